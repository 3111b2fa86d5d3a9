"""A run is told by its capture as it was, by its journal alone as far as that goes; and a signal is explained by both."""

import json
import shutil
import sqlite3
import sys
from contextlib import closing
from decimal import Decimal

import msgspec
import pytest

from smartmoney.adapters.capture import CaptureWriter, read_capture
from smartmoney.adapters.exchange_warm import capture_path, prerun
from smartmoney.adapters.journal import Journal, JournalReader, record
from smartmoney.adapters.recordings import read_recording
from smartmoney.adapters.state_directory import StateLayout
from smartmoney.cli import main as command_line
from smartmoney.core.domain.commands import RecordCash
from smartmoney.core.domain.entries import EntryKind, Tick, WarmUpEnded
from smartmoney.core.domain.instruments import Market
from smartmoney.core.engine.engine import Engine
from smartmoney.reports.backtest import plain, result_lines, write_report
from smartmoney.reports.explanation import explanation_lines, refusal_lines
from smartmoney.runtime.assembly import strategy_factory
from smartmoney.runtime.clock import Stamp
from smartmoney.runtime.codecs import binance_codec
from smartmoney.runtime.explain import SignalUnknown, explain_signal
from smartmoney.runtime.explain_refusal import RefusalUnknown, explain_refusal
from smartmoney.runtime.inbox import Item
from smartmoney.runtime.offline import OfflineRun, Unwatched
from smartmoney.runtime.replay import ReplayRefused
from smartmoney.runtime.run_report import told_run
from smartmoney.runtime.storage import open_run
from smartmoney.settings.build import paper_parameters
from smartmoney.settings.load import load_settings
from smartmoney.simulation.market import SyntheticMarket

from .test_same_inbox import EAGER

SECONDS = 240
START_NS = 1_700_000_000_000_000_000


class Living(Unwatched):
    """Capture and journal an offline run, as the daemon does a running one."""

    def __init__(self, run):
        self.run, self.rows, self.entry = run, [], None

    def keep(self, item):
        line = record(self.entry.seq, self.entry.ts_wall_ns, item)
        if line is not None:
            self.rows.append(line)

    def append(self, entry):
        self.entry = entry
        self.run.capture.append(entry)
        self.keep(entry.payload)

    def asked(self, command, mono_ns):
        self.keep(command)


def items_of(path):
    """Yield a recording's frames with ten ticks a second."""
    yield Item(EntryKind.EVENT, Stamp(START_NS, START_NS), payload=WarmUpEnded())
    tick_ns = START_NS
    for frame in read_recording(path):
        while tick_ns <= frame.ts_wall_ns:
            yield Item(EntryKind.EVENT, Stamp(tick_ns, tick_ns), payload=Tick())
            tick_ns += 100_000_000
        kind = EntryKind.SNAPSHOT if frame.is_snapshot else EntryKind.FRAME
        yield Item(kind, Stamp(frame.ts_wall_ns, frame.ts_wall_ns), instrument=0 if frame.is_snapshot else -1, frame=frame.frame)


@pytest.fixture(scope="module")
def lived(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lived")
    market = SyntheticMarket(3, symbols=("BTCUSDT",), markets=(Market.USDM,))
    prerun(market, START_NS, SECONDS, folder / "feed")
    instruments = (market.books[Market.USDM, "BTCUSDT"].instrument,)
    (folder / "state").mkdir()
    settings = load_settings(overrides={**EAGER, "market": "usdm", "execution.max_holding_s": 20})
    layout = StateLayout(folder / "state")
    with open_run(settings, layout, instruments) as run:
        living = Living(run)
        engine = Engine(binance_codec(), strategy_factory(None))
        offline = OfflineRun(engine, run.started, paper_parameters(settings), watcher=living)
        assert offline.run(items_of(capture_path(folder / "feed", Market.USDM, "BTCUSDT")))
        run.journal.commit(living.rows)
        run.journal.end_run(living.entry.ts_wall_ns, living.entry.seq, engine.digest)
    return layout, run.started.run_id, engine.view()


@pytest.fixture(scope="module")
def result(lived):
    layout, run_id, _ = lived
    return told_run(layout, run_id)


@pytest.fixture(scope="module")
def forgotten(lived, tmp_path_factory):
    """Return the same state directory without its capture."""
    layout, run_id, _ = lived
    root = tmp_path_factory.mktemp("forgotten") / "state"
    shutil.copytree(layout.root, root)
    shutil.rmtree(StateLayout(root).capture(run_id))
    return StateLayout(root), run_id


def test_what_is_told_is_what_the_run_did(lived, result):
    _, run_id, view = lived
    assert view.fills > 4
    for name in ("frames", "decisions", "signals", "orders", "fills", "digest"):
        assert getattr(result, name) == getattr(view, name), name
    assert result.refusals == dict(sorted(view.refusals.items()))
    assert result.net_pnl == pytest.approx(float(view.account.equity) - 10_000.0)
    [job] = result.jobs
    chronicle = job.chronicle
    assert job.name == f"run {run_id}"
    assert len(job.equity) > 10
    assert sum(trip.net for trip in chronicle.trips) == pytest.approx(result.net_pnl, abs=0.6)
    assert {trip.exit for trip in chronicle.trips} <= {"signal", "horizon_exit", "stop", "target"}
    assert all(0.5 <= trip.confidence <= 1.0 and trip.signal_id.startswith(run_id) and trip.regime != "unknown" for trip in chronicle.trips)
    assert sum(sum(by.values()) for code, by in chronicle.decisions.items() if code == "signal") == result.signals
    assert {code: sum(by.values()) for code, by in chronicle.decisions.items() if code != "signal"} == dict(result.refusals)
    assert sum(one.seconds for one in chronicle.by_regime.values()) == pytest.approx(result.decisions, abs=70)
    [instrument] = chronicle.instruments
    assert len(instrument.path) >= SECONDS - 5
    assert instrument.regimes
    assert result.null_test.trades == len(chronicle.trips)
    assert 0.0 < result.null_test.p <= 1.0
    assert any("paper at" in line for line in result.assumptions)


def test_the_journal_alone_tells_the_same_money_and_what_it_cannot_know(result, forgotten):
    told = told_run(*forgotten)
    for name in ("signals", "orders", "fills", "fills_by", "refusals", "digest"):
        assert getattr(told, name) == getattr(result, name), name
    for name in ("fees", "turnover"):
        assert getattr(told, name) == pytest.approx(getattr(result, name)), name
    [seen], [journaled] = result.jobs, told.jobs
    assert [(one.entry_price, one.exit_price, one.net, one.regime, one.signal_id, one.entry_ns) for one in journaled.chronicle.trips] == [
        (one.entry_price, one.exit_price, one.net, one.regime, one.signal_id, one.entry_ns) for one in seen.chronicle.trips
    ]
    assert journaled.chronicle.missing
    assert told.null_test.p is None
    assert (told.net_pnl, told.max_drawdown) == (pytest.approx(result.net_pnl, abs=0.5), pytest.approx(result.max_drawdown, abs=1e-4))


def test_funding_of_the_run_is_told(forgotten, tmp_path):
    earlier, run_id = forgotten
    layout = StateLayout(tmp_path / "state")
    shutil.copytree(earlier.root, layout.root)
    with JournalReader.open(layout.journal) as reader:
        (mode, account), header, instruments = reader.owner(), reader.run(run_id), reader.instruments()
    journal = Journal.open(layout.journal, mode, account, initial_cash=Decimal(0))
    journal.begin_run(msgspec.structs.replace(header, run_id="funded"), instruments)
    paid = RecordCash(kind="funding", amount=Decimal("-1.25"), reason=instruments[0].name, reference="paper B 28800", peak=None)
    journal.commit([record(1, 1, paid), record(2, 2, msgspec.structs.replace(paid, reference="paper B 57600 as recorded"))])
    journal.close()
    told = [line for line in told_run(layout, "funded").assumptions if "payments" in line]
    assert told == [
        "funding: -2.5000 in 2 payments, in net and in equity, in no round trip",
        "funding: as recorded in 1 of 2 payments, at the assumed rate in 1",
    ]


def test_the_report_of_either_is_whole(result, forgotten, tmp_path):
    names = {path.name for path in write_report(result, tmp_path / "a", "report", "Run x")}
    assert {
        "report.html",
        "report.json",
        "equity.png",
        "price.png",
        "budget.png",
        "costs.png",
        "regimes.png",
        "calibration.png",
        "random.png",
    } == names
    write_report(told_run(*forgotten), tmp_path / "b", "report", "Run x")
    assert any("delay, spread and impact are not known" in line for line in result_lines(told_run(*forgotten)))
    page = (tmp_path / "b" / "report.html").read_text()
    assert "the capture of this run is gone" in page
    assert "no price is known for this stretch" in page
    assert json.loads((tmp_path / "a" / "report.json").read_text())["findings"]["verdict"] == plain(result)["findings"]["verdict"]


def test_a_run_that_is_not_there_is_named_with_those_that_are(lived):
    layout, run_id, _ = lived
    with pytest.raises(ReplayRefused, match=f"newest are: {run_id}"):
        told_run(layout, "nothing")


def test_a_signal_is_explained_by_what_was_known_then(lived, result):
    layout, _, _ = lived
    trip = result.jobs[0].chronicle.trips[0]
    told = explain_signal(layout, trip.signal_id)
    assert told.confidence == trip.confidence
    assert told.known.regime == trip.regime == told.metadata["regime"]
    assert told.known.forecasts[0]["signal"] == told.side
    assert told.known.feed == "synced"
    assert len(told.known.features) > 60
    assert told.known.features["weighted_imbalance"] == told.metadata["imbalance"]
    assert [gate.code for gate in told.known.gates] == ["low_liquidity", "makers_absent", "below_min_confidence", "edge_too_small"]
    assert all(gate.passes for gate in told.known.gates)
    entries = [order for order in told.orders if order.purpose == "entry"]
    assert told.orders[0] is entries[0]
    assert "expected to cost" in entries[0].why
    *_, last = (order for order in entries if order.filled_lots)
    kinds = [event.kind for event in last.events]
    assert kinds[0] == "OrderAccepted"
    assert "OrderFilled" in kinds
    assert told.round_trip.net == trip.net
    assert "round trip" in told.outcome
    text = "\n".join(explanation_lines(told))
    assert "gate       edge_too_small" in text
    assert "MISSED" not in text


def test_a_refusal_is_explained_by_what_the_model_saw(lived, call):
    layout, run_id, _ = lived
    with JournalReader.open(layout.journal) as journal:
        row = journal.refusals(run_id)[-1]
    newest = explain_refusal(layout, "last")
    assert (newest.code, newest.detail, newest.value) == (row.code, row.detail, row.value)
    assert newest.wall_ns == row.wall_ns
    assert newest.known.gates == ()
    begin_ns = newest.wall_ns - 60_000_000_000
    earlier = explain_refusal(layout, run_id, row.instrument, begin_ns)
    assert begin_ns <= earlier.wall_ns < newest.wall_ns
    assert (earlier.parts, earlier.ups, earlier.horizon_s) == ({}, {}, None), "the prior explains itself in its words"
    text = "\n".join(refusal_lines(earlier))
    assert f"because    {earlier.code}" in text
    state = ("--state-dir", layout.root)
    code, out, _ = call("explain", "--refused", "last", *state, "--json")
    assert (code, json.loads(out)["code"]) == (0, row.code)
    for words, said in (
        (("--refused", "last", "--at", "yesterday"), "is no time"),
        (("--at", "2026-01-01"), "SIGNAL_ID"),
        (("x", "--symbol", "BTC/USDT"), "--refused RUN"),
        (("--refused", "last", "--symbol", "ETH/USDT"), "no refusal of ETH/USDT"),
        (("--refused", "last", "--at", "2100-01-01"), "newest refusal kept"),
    ):
        code, out, err = call("explain", *words, *state)
        assert code != 0
        assert out == ""
        assert said in err


def changed_state(lived, tmp_path):
    """Return a copy of the state directory."""
    layout, run_id, _ = lived
    shutil.copytree(layout.root, tmp_path / "state")
    copied = StateLayout(tmp_path / "state")
    return copied, run_id


def test_a_refusal_is_not_explained_by_a_capture_that_lost_entries_before_it(lived, tmp_path, monkeypatch):
    broken, run_id = changed_state(lived, tmp_path)
    whole = list(read_capture(broken.capture(run_id)))
    shutil.rmtree(broken.capture(run_id))
    with closing(CaptureWriter(broken.capture(run_id))) as writer:
        for number, entry in enumerate(whole[:80]):
            with monkeypatch.context() as full:
                if 40 <= number < 50:
                    full.setattr(writer, "_queue_entries", 0)
                assert writer.append(entry) == (not 40 <= number < 50)
    for at_ns in (None, whole[60].ts_wall_ns):
        with pytest.raises(RefusalUnknown, match="lost entries before"):
            explain_refusal(broken, run_id, at_ns=at_ns)


def test_another_refusal_is_not_told_for_the_one_that_the_journal_keeps(lived, tmp_path):
    other, run_id = changed_state(lived, tmp_path)
    with sqlite3.connect(other.journal) as database:
        database.execute("UPDATE refusals SET code = 'stale_feed' WHERE id = (SELECT max(id) FROM refusals)")
    database.close()
    with pytest.raises(RefusalUnknown, match=r"this build does not refuse for stale_feed at entry .* `smartmoney diff"):
        explain_refusal(other, run_id)


def test_without_a_capture_the_journal_explains_and_says_what_is_missing(result, forgotten):
    layout, _ = forgotten
    signal_id = result.jobs[0].chronicle.trips[0].signal_id
    told = explain_signal(layout, signal_id)
    assert told.known is None
    assert told.orders
    assert "holds no capture" in told.missing[0]
    assert any(line.startswith("missing") for line in explanation_lines(told))


def test_an_unknown_signal_names_the_nearest(lived, result):
    layout, _, _ = lived
    with JournalReader.open(layout.journal) as journal:
        known = journal.signal_ids()
    with pytest.raises(SignalUnknown) as refused:
        explain_signal(layout, known[0][:-1])
    assert known[0] in str(refused.value)
    assert len(str(refused.value).split("are: ")[1].split(", ")) == min(5, len(known))


@pytest.fixture
def call(monkeypatch, capsys):
    """Run one command in this process; return exit code, standard output, standard error."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["smartmoney", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            command_line.main()
        said = capsys.readouterr()
        return ended.value.code or 0, said.out, said.err

    return run


def test_the_commands_print_text_or_json_and_fail_with_one_line(lived, result, call, tmp_path):
    layout, run_id, _ = lived
    state = ("--state-dir", layout.root)
    code, out, _ = call("report", "last", *state, "--json")
    assert (code, json.loads(out)["digest"]) == (0, result.digest)
    code, out, _ = call("report", run_id, *state)
    assert code == 0
    assert out.splitlines()[0].startswith(("Made", "Lost"))
    signal_id = result.jobs[0].chronicle.trips[0].signal_id
    code, out, _ = call("explain", signal_id, *state, "--json")
    assert (code, json.loads(out)["signal_id"]) == (0, signal_id)
    for words, said in ((("report", "nothing"), "newest are"), (("explain", "nothing"), "nearest are")):
        code, out, err = call(*words, *state)
        assert (code, out, err.count("\n")) == (1, "", 1)
        assert said in err
    (tmp_path / "file").write_text("x")
    code, _, err = call("report", "last", *state, "--out", tmp_path / "file")
    assert code == 2
    assert "is no folder" in err
