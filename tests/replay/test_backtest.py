"""A backtest is the daemon's engine over the past: the same fills as a replay of the same frames, whatever the number of processes."""

import gzip
import json
from pathlib import Path

import msgspec
import pytest

from smartmoney.adapters import dataset_reader, recorded_session, recording_blocks
from smartmoney.adapters.dataset_export import export_frames
from smartmoney.adapters.exchange_warm import capture_path, prerun
from smartmoney.adapters.history.events import Repairs
from smartmoney.adapters.market_recorder import record
from smartmoney.adapters.recordings import RecordedFrame
from smartmoney.adapters.state_directory import StateLayout
from smartmoney.core.domain.instruments import Market
from smartmoney.learning.recorded import find_instruments, read_frames
from smartmoney.reports.backtest import result_lines, write_report
from smartmoney.runtime.backtest import BacktestJob, BacktestRefused, BuiltIn, CapturedRun, Recordings, StoredDays, run_backtest
from smartmoney.runtime.codecs import recorded_binance
from smartmoney.runtime.evaluations import content_of
from smartmoney.runtime.replay import ReplayRefused
from smartmoney.runtime.replay_frames import frame_replay, frame_summary
from smartmoney.settings.load import load_settings
from smartmoney.simulation.market import SyntheticMarket
from smartmoney.simulation.order_latency import OrderLatency
from tests.captured_past import capture_past

from .test_same_inbox import EAGER

SECONDS = 300


@pytest.fixture(scope="module")
def settings():
    return load_settings(overrides=EAGER)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    base = tmp_path_factory.mktemp("recorded") / "feed"
    prerun(SyntheticMarket(3, symbols=("BTCUSDT",), markets=(Market.SPOT,)), 1_700_000_000_000_000_000, SECONDS, base)
    return (str(capture_path(base, Market.SPOT, "BTCUSDT")),)


def job(settings, files, **changes):
    latency = OrderLatency(median_ms=settings.paper.latency_ms)
    given = {"name": "one", "source": Recordings(files, "spot"), "settings": settings, "latency": latency}
    return BacktestJob(**{**given, **changes})


@pytest.fixture(scope="module")
def result(settings, files):
    return run_backtest([job(settings, files)], 1)


def test_it_does_what_a_replay_of_the_frames_does(result, settings, files):
    replay, frames = frame_replay([Path(file) for file in files], "spot", settings)
    replay.run(frames)
    summary = frame_summary(replay)
    assert result.fills > 0
    for key in ("frames", "decisions", "signals", "refusals", "orders", "fills", "fees"):
        assert getattr(result, key) == summary[key], key
    assert result.net_pnl == pytest.approx(summary["equity"] - float(settings.equity_start))


def test_costs_fees_and_profit_add_up(result):
    [only] = result.jobs
    assert len(only.fills) == result.fills == sum(result.fills_by.values())
    assert sum(fill.notional * fill.fee_bps for fill in only.fills) / 1e4 == pytest.approx(result.fees, rel=1e-9)
    assert result.cost_bps.fee == pytest.approx(10.0)
    assert result.turnover == pytest.approx(sum(fill.notional for fill in only.fills))
    assert 0.0 <= result.max_drawdown < 0.05
    assert result.seconds == pytest.approx(SECONDS, abs=2.0)


def said(result):
    """Return what a result says, but for how quick this machine is and where the frames came from."""
    plain = msgspec.to_builtins(result)
    for part in (plain, *(inner["result"] for inner in plain["jobs"])):
        for speed in ("frames_per_s", "reading_s", "frames_from"):
            part.pop(speed)
    return plain


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SMARTMONEY_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "recordings"


def test_prepared_recordings_come_to_the_same(result, settings, files, cache):
    first, second = (run_backtest([job(settings, files, prepares=True)], 1) for _ in range(2))
    assert (result.frames_from, first.frames_from, second.frames_from) == ("recording", "recording, prepared now", "prepared")
    assert said(first) == said(second) == said(result)
    assert result.fills > 0
    [made] = cache.iterdir()
    made.write_bytes(made.read_bytes()[:-1])
    third = run_backtest([job(settings, files, prepares=True)], 1)
    assert third.frames_from == "recording, prepared now"
    assert said(third) == said(result)


def test_prepared_sessions_of_several_files_and_gaps_come_to_the_same(settings, cache, tmp_path):
    base = tmp_path / "feed"
    prerun(SyntheticMarket(4, symbols=("BTCUSDT", "ETHUSDT"), markets=(Market.SPOT,)), 1_700_000_000_000_000_000, 90, base)
    plain, named = [], []
    for symbol in ("BTCUSDT", "ETHUSDT"):
        whole = gzip.decompress(capture_path(base, Market.SPOT, symbol).read_bytes()).splitlines(keepends=True)
        # A hole, and a snapshot from after it: frames are kept until it comes.
        snapshot = next(line for line in whole if b'"lastUpdateId"' in line[:60])
        cut = [*whole[:600], *whole[640:700], snapshot, *whole[700:]]
        plain.append(tmp_path / f"{symbol}.spot.gz")
        plain[-1].write_bytes(gzip.compress(b"".join(cut), 1))
        named.append(tmp_path / f"{symbol}.jsonl")
        named[-1].write_bytes(b"".join(as_reply(line, symbol) for line in cut))
    found = []
    for files in (plain, named):
        names = tuple(str(path) for path in files)
        read, made, ready = (run_backtest([job(settings, names, prepares=prepares)], 1) for prepares in (False, True, True))
        assert said(made) == said(ready) == said(read)
        assert ready.frames_from == "prepared"
        assert read.frames > 1_000
        found.append((read.frames, read.decisions, read.refusals, [one.name for one in read.jobs[0].chronicle.instruments]))
    # Snapshots that do not say whose they are are those of the symbol that their file speaks of.
    assert found[0] == found[1]


def as_reply(line, symbol):
    """Return a stamped line in a form in which a snapshot says whose it is."""
    stamp, _, frame = line.decode().strip().partition(" ")
    is_snapshot = '"lastUpdateId"' in frame[:60]
    kind = {"t": "http", "url": f"https://api/api/v3/depth?symbol={symbol}"} if is_snapshot else {"t": "recv"}
    return json.dumps({**kind, "conn": "c", "ts": int(stamp) / 1e9, "data": frame}).encode() + b"\n"


def test_shares_of_a_stretch_are_told_while_it_runs(settings, files, tmp_path, monkeypatch, cache):
    monkeypatch.setattr(recording_blocks, "BLOCK_BYTES", 1 << 18)
    monkeypatch.setattr(dataset_reader, "GROUP_ROWS", 1 << 12)
    record(SyntheticMarket(3, symbols=("BTCUSDT",), markets=(Market.SPOT,)), tmp_path / "one", 240, origin_ns=20_000 * 86_400 * 10**9)
    stored = StoredDays(str(tmp_path / "one" / "feed" / "dataset"), "spot", "BTCUSDT", "2024-10-04", "2024-10-04")
    for source in (Recordings(files, "spot"), stored):
        told = []
        run_backtest([job(settings, (), source=source), job(settings, (), source=source)], 1, lambda *one, told=told: told.append(one))
        shares = [done for done, _ in told]
        assert {of for _, of in told} == {2}
        assert shares == sorted(shares)
        assert len({share for share in shares if 0.0 < share < 1.0}) > 2
        assert 1.0 in shares
        assert shares[-1] == 2.0


def test_shares_of_a_captured_run_are_told_as_its_time_passes(settings, tmp_path):
    layout, ends_ns = StateLayout(tmp_path), 1_700_000_600 * 10**9
    whole = CapturedRun(str(layout.capture(capture_past(layout, settings, 600, ends_ns))))
    for source in (whole, msgspec.structs.replace(whole, until_ns=ends_ns - 300 * 10**9)):
        told = []
        run_backtest([job(settings, (), source=source)], 1, lambda *one, told=told: told.append(one))
        shares = [done for done, _ in told]
        assert shares == sorted(shares)
        assert 50 < len({share for share in shares if 0.0 < share < 1.0}) < 250
        assert shares[-1] == 1.0


@pytest.mark.slow
def test_the_number_of_processes_changes_nothing(settings, files):
    jobs = [
        job(settings, files, name=name, latency=OrderLatency(median_ms=50.0, p99_ms=400.0, seed=seed)) for seed, name in enumerate("ab")
    ]
    told = []
    one, two = (run_backtest(jobs, processes, lambda done, _of: told.append(done)) for processes in (1, 2))
    assert [part.name for part in two.jobs] == ["a", "b"]
    assert told[-1] == 2
    assert all(0.0 <= share <= 2.0 for share in told)

    assert said(one) == said(two)
    assert one.jobs[0].result.digest != one.digest


def test_a_slower_way_to_the_venue_costs_delay_and_says_so(result, settings, files):
    slow = run_backtest([job(settings, files, latency=OrderLatency(median_ms=3_000.0), feed_latency_ms=500.0)], 1)
    assert slow.digest != result.digest
    assert any("orders act after 3000 ms" in line for line in slow.assumptions)
    assert any("500 ms added" in line for line in slow.assumptions)


def test_a_synthetic_market_is_tested_as_its_recording_is(settings):
    source = BuiltIn("first_run", 3, 60, "spot", ("BTCUSDT",))
    one, two = (run_backtest([job(settings, (), source=source)], 1) for _ in range(2))
    assert one.digest == two.digest
    assert one.frames > 100
    assert any("proves nothing" in line for line in one.assumptions)


def test_the_report_holds_everything_in_itself(result, tmp_path):
    written = {path.name for path in write_report(result, tmp_path / "report")}
    assert {"backtest.html", "backtest.json", "equity.png", "price.png", "costs.png", "budget.png", "random.png"} <= written
    page = (tmp_path / "report" / "backtest.html").read_text()
    assert page.index("Assumed") < page.index("What came of it")
    assert "http" not in page
    assert json.loads((tmp_path / "report" / "backtest.json").read_text())["digest"] == result.digest
    lines = list(result_lines(result))
    assert any(line.startswith("costs") for line in lines)


@pytest.mark.parametrize("kept_bytes", [0, 1 << 20])
def test_a_recording_that_is_too_large_to_keep_is_read_twice_to_the_same_end(settings, files, tmp_path, monkeypatch, kept_bytes):
    cut = tmp_path / Path(files[0]).name
    cut.write_bytes(Path(files[0]).read_bytes()[:-1000])
    kept = run_backtest([job(settings, (str(cut),))], 1)
    monkeypatch.setattr(recorded_session, "KEPT_BYTES_MAX", kept_bytes)
    again = run_backtest([job(settings, (str(cut),))], 1)
    assert sum("is damaged" in line for line in kept.assumptions) == 1
    assert (again.digest, again.frames, again.assumptions) == (kept.digest, kept.frames, kept.assumptions)


def test_nothing_to_test_is_refused(settings, tmp_path):
    with pytest.raises(BacktestRefused, match="cannot be tested"):
        run_backtest([job(settings, (), source=CapturedRun(str(tmp_path / "none")))], 1)
    empty = tmp_path / "empty.gz"
    empty.write_bytes(b"")
    with pytest.raises(ReplayRefused, match="no depth or trade"):
        run_backtest([job(settings, (str(empty),))], 1)


def test_a_dataset_gives_what_its_recordings_give(captures, tmp_path):
    paths = [captures / "hftbacktest" / "spot" / "btcusdt_20240808.gz"]
    overrides = {**EAGER, "strategy.confidence_threshold": 0.35, "advanced_features.signal_generation.min_confidence": 0.3}
    settings = load_settings(overrides=overrides)
    instruments = find_instruments(paths, recorded_binance(), Market.SPOT)
    export_frames((one for one in read_frames(paths) if isinstance(one, RecordedFrame)), instruments, tmp_path, Repairs())
    stored = StoredDays(str(tmp_path), "spot", "BTCUSDT", "2024-08-08", "2024-08-08")
    recorded, again = (
        run_backtest([job(settings, (), source=source)], 1) for source in (Recordings(tuple(map(str, paths)), "spot"), stored)
    )
    packed = run_backtest([job(settings, (), source=stored, prepares=True)], 1)
    assert (again.frames_from, packed.frames_from) == ("dataset, as text", "dataset")
    assert said(packed) == said(again)
    assert recorded.fills > 0
    # Client ids, and with them the digest, count entries, and best quotes are no entries of a dataset; everything else is the same.
    for key in ("decisions", "signals", "refusals", "orders", "fills", "fees", "net_pnl", "cost_bps", "assumptions"):
        assert getattr(again, key) == getattr(recorded, key), key
    assert again.seconds == pytest.approx(recorded.seconds, abs=0.1)  # the recording may end with a best quote
    [one], [other] = recorded.jobs, again.jobs
    assert one.equity[:-1] == other.equity[:-1]
    assert one.equity[-1][1] == other.equity[-1][1]  # as of the last entry, which may be a best quote
    assert [msgspec.structs.replace(fill, client_order_id="") for fill in one.fills] == [
        msgspec.structs.replace(fill, client_order_id="") for fill in other.fills
    ]


def test_instruments_of_a_dataset_in_one_account_give_what_their_recordings_give(settings, tmp_path):
    base, root, symbols = tmp_path / "feed", tmp_path / "data", ("BTCUSDT", "ETHUSDT")
    prerun(SyntheticMarket(4, symbols=symbols, markets=(Market.SPOT,)), 1_700_000_000_000_000_000, 90, base)
    paths = [capture_path(base, Market.SPOT, symbol) for symbol in symbols]
    instruments = find_instruments(paths, recorded_binance(), Market.SPOT)
    export_frames((one for one in read_frames(paths) if isinstance(one, RecordedFrame)), instruments, root, Repairs())
    stored = StoredDays(str(root), "spot", ",".join(symbols), "2023-11-14", "2023-11-14")
    recorded, packed, text = (
        run_backtest([job(settings, (), source=source, prepares=prepares)], 1)
        for source, prepares in ((Recordings(tuple(map(str, paths)), "spot"), False), (stored, True), (stored, False))
    )
    assert said(packed) == said(text)
    assert recorded.fills > 0
    for key in ("decisions", "signals", "refusals", "orders", "fills", "fees", "net_pnl", "cost_bps"):
        assert getattr(packed, key) == getattr(recorded, key), key
    assert [one.name for one in packed.jobs[0].chronicle.instruments] == [one.name for one in recorded.jobs[0].chronicle.instruments]
    assert len(packed.jobs[0].chronicle.instruments) == 2
    assert len(dict(content_of(stored))) == 4


def test_a_dataset_in_stretches_of_a_day_gives_a_job_a_day(settings, tmp_path):
    record(
        SyntheticMarket(3, symbols=("BTCUSDT",), markets=(Market.SPOT,)), tmp_path / "one", 240, origin_ns=(20_000 * 86_400 - 120) * 10**9
    )
    root = tmp_path / "one" / "feed" / "dataset"
    jobs = [job(settings, (), name=day, source=StoredDays(str(root), "spot", "BTCUSDT", day, day)) for day in ("2024-10-03", "2024-10-04")]
    result = run_backtest(jobs, 1)
    assert said(run_backtest([msgspec.structs.replace(one, prepares=True) for one in jobs], 1)) == said(result)
    assert [round(part.result.seconds) for part in result.jobs] == [120, 120]
    assert all(part.result.decisions > 100 for part in result.jobs)
