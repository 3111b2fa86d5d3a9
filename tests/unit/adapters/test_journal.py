"""The journal: what it keeps, what it thins, what it refuses, and that it never lies about durability."""

import resource
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import apsw
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smartmoney.adapters import migrations
from smartmoney.adapters.journal import Checkpoint, Journal, JournalFailed, JournalReader, JournalRecord, JournalRefused, RunHeader, record
from smartmoney.adapters.migrations import Migration, SchemaTooNew, applied, migrate
from smartmoney.core.domain.commands import (
    CancelOrder,
    Notify,
    RecordCash,
    RecordDay,
    RecordEquity,
    RecordHalt,
    RecordRefusal,
    RecordResume,
    RecordSignal,
    SubmitOrder,
)
from smartmoney.core.domain.entries import (
    CancelRejected,
    DayState,
    HaltState,
    OrderAccepted,
    OrderCanceled,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OutcomeUnknown,
    SendRefused,
    Tick,
)
from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.core.domain.orders import Approved, Fill, Liquidity, OrderIntent, OrderType, Purpose, Side
from smartmoney.core.domain.signals import Refusal, RefusalCode, Signal, SignalType

SECOND = 1_000_000_000


def instrument(base="BTC", market=Market.SPOT, tick="0.01", lot="0.00001", **more):
    return Instrument(
        venue="binance",
        market=market,
        symbol=f"{base}USDT",
        name=f"{base}/USDT",
        base=base,
        quote="USDT",
        tick_size=Decimal(tick),
        lot_size=Decimal(lot),
        min_notional=Decimal(5),
        **more,
    )


BTC = instrument()
ETH = instrument("ETH", lot="0.0001")


def header(run_id="run-1", seed=7, started=1):
    return RunHeader(
        run_id=run_id,
        mode="paper",
        venue="binance",
        market="spot",
        build="b",
        config_hash="c",
        config="{}",
        model="untrained",
        seed=seed,
        started_wall_ns=started,
    )


def opened(path, mode="paper", account="binance:spot:paper", cash="10000"):
    return Journal.open(path, mode, account, initial_cash=Decimal(cash))


def submit(client_order_id, index=0, lots=10, side=Side.BUY):
    intent = OrderIntent(
        client_order_id=client_order_id,
        instrument=index,
        side=side,
        type=OrderType.LIMIT,
        lots=lots,
        purpose=Purpose.ENTRY,
        price_ticks=6_000_000,
    )
    return SubmitOrder(approved=Approved(intent=intent, valid_until_mono_ns=0, halt_epoch=0))


def filled(trade_id, client_order_id="o1", index=0, side=Side.BUY, ticks=6_000_000, lots=10, fee="0.01", fee_asset="USDT"):
    fill = Fill(
        trade_id=trade_id,
        client_order_id=client_order_id,
        instrument=index,
        side=side,
        price_ticks=ticks,
        lots=lots,
        fee=Decimal(fee),
        fee_asset=fee_asset,
        liquidity=Liquidity.TAKER,
        ts_event_ns=5,
    )
    return OrderFilled(fill=fill)


def refused(code=RefusalCode.LOW_CONFIDENCE, index=0):
    return RecordRefusal(refusal=Refusal(code=code, instrument=index, value=0.5, limit=0.6))


class Writing:
    """Commit items one after the other, each a second later."""

    def __init__(self, journal):
        self.journal = journal
        self.seq = 0

    def __call__(self, *items, step=SECOND):
        batch = []
        for item in items:
            self.seq += 1
            entry = record(self.seq, self.seq * step, item)
            assert entry is not None, item
            batch.append(entry)
        return self.journal.commit(batch)


@pytest.fixture
def journal(tmp_path):
    opened_journal = opened(tmp_path / "journal.db")
    opened_journal.begin_run(header(), [BTC, ETH])
    yield opened_journal
    opened_journal.close()


@pytest.fixture
def write(journal):
    return Writing(journal)


def test_only_what_the_journal_keeps_becomes_a_record():
    assert record(1, 2, Tick()) is None
    assert record(1, 2, Notify(severity="info", subject="s", text="t")) is None
    assert record(1, 2, Checkpoint("ab")) == JournalRecord(1, 2, Checkpoint("ab"))


def test_file_is_durable_wal_and_private(journal, tmp_path):
    assert journal._connection.pragma("journal_mode") == "wal"
    assert journal._connection.pragma("synchronous") == 2
    for suffix in ("", "-wal", "-shm"):
        assert (tmp_path / f"journal.db{suffix}").stat().st_mode & 0o777 == 0o600


def test_a_fresh_account_has_its_initial_cash_for_good(tmp_path):
    with_cash = opened(tmp_path / "j", cash="10000.50")
    state = with_cash.load_account([BTC])
    assert (state.cash, state.positions, state.orders, state.halt) == (Decimal("10000.50"), (), (), HaltState())
    with_cash.close()
    again = opened(tmp_path / "j", cash="1")
    assert again.initial_cash == Decimal("10000.50")
    again.close()


def test_account_is_the_fold_of_its_fills(journal, write):
    write(submit("o1"), OrderAccepted(client_order_id="o1", venue_order_id="v1"))
    write(filled("t1", lots=4, fee="0.00000010", fee_asset="BTC"), filled("t2", lots=6, fee="0.25"))
    state = journal.load_account([BTC, ETH])
    assert state.cash == Decimal(10000) - Decimal("60000.00") * Decimal("0.0001") - Decimal("0.25")
    (position,) = state.positions
    assert position.instrument == 0
    assert position.quantity == Decimal("0.0001") - Decimal("0.00000010")
    assert (state.orders, state.fill_count, state.order_count) == ((), 2, 1)


def test_instruments_are_matched_by_name_when_their_order_changes(journal, write):
    write(submit("o1", index=1), filled("t1", index=1, lots=3), submit("o2", index=0))
    state = journal.load_account([ETH, BTC])
    assert [report.instrument for report in state.positions] == [0]
    assert {report.intent.client_order_id: report.intent.instrument for report in state.orders} == {"o1": 0, "o2": 1}


@pytest.mark.parametrize(
    ("reply", "is_working"),
    [
        (OrderAccepted(client_order_id="o1", venue_order_id="v"), True),
        (CancelRejected(client_order_id="o1", reason="r"), True),
        (OutcomeUnknown(client_order_id="o1", reason="r"), True),
        (CancelOrder(client_order_id="o1", instrument=0, reason="r"), True),
        (filled("t1", lots=9), True),
        (filled("t1", lots=10), False),
        (OrderRejected(client_order_id="o1", reason="r"), False),
        (OrderCanceled(client_order_id="o1", reason="r"), False),
        (OrderExpired(client_order_id="o1", reason="r"), False),
        (SendRefused(client_order_id="o1", reason="r"), False),
    ],
)
def test_an_order_works_until_its_end_is_journaled(journal, write, reply, is_working):
    write(submit("o1"))
    write(reply)
    orders = journal.load_account([BTC, ETH]).orders
    assert bool(orders) == is_working
    write(OrderAccepted(client_order_id="o1", venue_order_id="late"))
    assert bool(journal.load_account([BTC, ETH]).orders) == is_working
    kinds = [event.kind for event in journal.reader.order_events("o1")]
    assert kinds == [type(reply).__name__, "OrderAccepted"]


def test_a_fill_counts_once_and_a_contradicting_one_is_an_error(journal, write):
    write(submit("o1"), filled("t1", lots=4))
    write(filled("t1", lots=4))
    assert journal.load_account([BTC, ETH]).positions[0].quantity == Decimal("0.00004")
    assert journal.reader.orders("run-1")[0].filled_lots == 4
    write(filled("t1", index=1, lots=4))
    with pytest.raises(JournalFailed, match="trade t1 is in the journal with another content"):
        write(filled("t1", lots=5))


def test_a_client_order_id_is_never_used_twice(journal, write):
    write(submit("o1"))
    with pytest.raises(JournalFailed, match="UNIQUE"):
        write(submit("o2"), submit("o1"))
    assert [row.client_order_id for row in journal.reader.orders("run-1")] == ["o1"]


def test_after_a_failed_commit_nothing_more_is_taken(journal, write):
    write(submit("o1"))
    with pytest.raises(JournalFailed):
        write(submit("o1"))
    for attempt in (lambda: write(submit("o9")), lambda: write(Checkpoint("x")), lambda: journal.end_run(1, 1, "d")):
        with pytest.raises(JournalFailed, match="failed before"):
            attempt()
    assert "UNIQUE" in journal.failure


def test_committing_without_a_run_is_refused(tmp_path):
    journal = opened(tmp_path / "j")
    with pytest.raises(JournalFailed, match="no run"):
        journal.commit([])
    journal.close()


def test_refusals_are_written_on_change_and_each_minute_and_all_counted(journal, write):
    rows = [write(refused()) for _ in range(130)]
    assert [index for index, count in enumerate(rows) if count] == [0, 60, 120]
    assert write(refused(RefusalCode.AT_TARGET)) == 1
    assert write(refused(index=1)) == 1
    assert write(refused(RefusalCode.AT_TARGET)) == 0
    journal.end_run(1, 2, "d")
    assert journal.reader.refusal_counts("run-1") == {"at_target": 2, "low_confidence": 131}
    assert [row.code for row in journal.reader.refusals("run-1")] == ["low_confidence"] * 3 + ["at_target", "low_confidence"]


def test_a_batch_of_thinned_records_costs_no_transaction(journal, write):
    write(refused())
    before = journal._connection.total_changes()
    assert write(refused(), refused()) == 0
    assert journal._connection.total_changes() == before


def equity(value, peak):
    return RecordEquity(equity=Decimal(value), peak=Decimal(peak))


def test_equity_is_written_at_each_new_peak_and_each_ten_seconds(journal, write):
    rows = [write(equity("99", "100")) for _ in range(25)]
    assert [index for index, count in enumerate(rows) if count] == [0, 10, 20]
    assert write(equity("100.01", "100.01")) == 1
    assert journal.load_account([BTC]).halt.peak == Decimal("100.01")


def test_halt_and_resume_survive_reopening(journal, write, tmp_path):
    write(equity("100", "100"), RecordHalt(reason="drawdown", epoch=1, equity=Decimal(79), peak=Decimal(100)))
    journal.close()
    again = opened(tmp_path / "journal.db")
    assert again.load_account([BTC]).halt == HaltState(halted=True, reason="drawdown", epoch=1, peak=Decimal(100))
    again.begin_run(header("run-2"), [BTC])
    write = Writing(again)
    write(RecordResume(reason="looked", epoch=2, old_peak=Decimal(100), new_peak=Decimal(79)))
    assert again.load_account([BTC]).halt == HaltState(epoch=2, peak=Decimal(79))
    assert write(equity("79", "79")) == 1
    assert [(row.kind, row.reason, row.old_peak, row.new_peak) for row in again.reader.halts()] == [
        ("halt", "drawdown", Decimal(100), Decimal(100)),
        ("resume", "looked", Decimal(100), Decimal(79)),
    ]
    again.close()


def test_a_halt_without_equity_keeps_the_peak(journal, write):
    write(equity("100", "100"), RecordHalt(reason="no mark", epoch=1, equity=None, peak=None))
    assert journal.load_account([BTC]).halt == HaltState(halted=True, reason="no mark", epoch=1, peak=Decimal(100))


def test_checkpoints_are_kept_each_second_for_an_hour_and_each_minute_before(journal, write):
    for _ in range(9):
        write(*(Checkpoint(f"d{index}") for index in range(600)))
    rows = journal.reader.checkpoints("run-1")
    assert rows[-1].seq == 5400
    recent = [row for row in rows if row.wall_ns >= (5400 - 3600) * SECOND]
    assert len(recent) == 3601
    assert len(rows) - len(recent) == 30
    assert journal.reader.last_checkpoint("run-1").digest == "d599"


def test_signals_keep_odd_metadata_and_numbers_that_are_not(journal, write):
    signal = Signal(
        signal_type=SignalType.BUY,
        symbol="BTC/USDT",
        price=1.5,
        quantity=float("nan"),
        confidence=0.7,
        stop_loss=1.0,
        take_profit=2.0,
        metadata={"why": {"a": [1, 2.5]}, "path": Path("/x")},
        signal_id="s1",
    )
    write(RecordSignal(instrument=0, signal=signal))
    row = journal.reader.signal("s1")
    assert (row.price, row.quantity, row.instrument, row.signal_type) == (1.5, None, "BTC/USDT", "buy")
    assert msgspec.json.decode(row.metadata) == {"why": {"a": [1, 2.5]}, "path": "/x"}
    assert journal.reader.signals("run-1") == [row]
    assert journal.reader.signal("s2") is None


def test_runs_are_listed_and_summed_up_and_a_killed_one_has_no_end(journal, write, tmp_path):
    write(submit("o1"), filled("t1"), equity("1", "2"), refused(), Checkpoint("half"))
    journal.end_run(99, 5, "digest")
    journal.begin_run(header("run-2", seed=2**64 + 1, started=100), [BTC])
    with JournalReader.open(tmp_path / "journal.db") as reader:
        assert [run.run_id for run in reader.runs()] == ["run-2", "run-1"]
        assert reader.last_run().seed == 2**64 + 1
        assert reader.last_run().ended_wall_ns is None
        assert reader.run("none") is None
        assert reader.summary("none") is None
        summary = reader.summary("run-1")
        assert (summary.run.digest, summary.run.last_seq, summary.run.ended_wall_ns) == ("digest", 5, 99)
        assert (summary.orders, summary.fills, summary.signals, summary.refusals) == (1, 1, 0, {"low_confidence": 1})
        assert (summary.equity, summary.peak, summary.last_checkpoint.digest) == (Decimal(1), Decimal(2), "half")
        assert [(fill.price, fill.quantity) for fill in reader.fills("run-1")] == [(Decimal("60000.00"), Decimal("0.00010"))]
        with pytest.raises(apsw.ReadOnlyError):
            reader._connection.execute("DELETE FROM runs")


def test_a_run_id_is_never_used_twice(journal):
    with pytest.raises(JournalFailed, match="UNIQUE"):
        journal.begin_run(header(), [BTC])


# What is open must be expressible in the present instruments.


def test_a_changed_grid_is_refused_while_something_is_open_and_fine_when_flat(journal, write):
    finer = instrument(tick="0.001")
    write(submit("o1"), filled("t1", lots=20))
    with pytest.raises(JournalRefused, match=r"has an open position on a grid of tick 0.01.*now tick 0.001.*; close it by hand"):
        journal.load_account([finer, ETH])
    write(filled("t2", lots=20, side=Side.SELL, ticks=6_000_100))
    state = journal.load_account([finer, ETH])
    assert state.cash == Decimal(10000) + Decimal("1.00") * Decimal("0.0002") - Decimal("0.02")
    write(submit("o2"))
    with pytest.raises(JournalRefused, match=r"has a working order \(o2\)"):
        journal.load_account([finer, ETH])


def test_an_open_position_whose_instrument_left_the_configuration_is_refused(journal, write):
    write(submit("o1"), filled("t1", lots=20))
    with pytest.raises(JournalRefused, match=r"holds 0.00020 BTC of BTC/USDT, which is not configured; put BTC/USDT back"):
        journal.load_account([ETH])
    write(filled("t2", lots=19, side=Side.SELL))
    assert journal.load_account([ETH]).positions == ()
    write(submit("o2", index=1))
    with pytest.raises(JournalRefused, match="order o2 of ETH/USDT may still work"):
        journal.load_account([BTC])


def test_a_short_of_a_derivative_is_never_dust(tmp_path):
    perpetual = instrument(market=Market.USDM, lot="0.001")
    journal = opened(tmp_path / "j")
    journal.begin_run(header(), [perpetual])
    Writing(journal)(submit("o1", side=Side.SELL, lots=1), filled("t1", side=Side.SELL, ticks=100, lots=1))
    assert journal.load_account([perpetual]).positions[0].quantity == Decimal("-0.001")
    with pytest.raises(JournalRefused):
        journal.load_account([])
    journal.close()


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([0, 1]), st.sampled_from(list(Side)), st.integers(1, 10**7), st.integers(1, 10**4), st.integers(0, 999)),
        max_size=30,
    )
)
def test_reloaded_account_equals_an_independent_ledger(tmp_path_factory, trades):
    path = tmp_path_factory.mktemp("j") / "j"
    journal = opened(path)
    journal.begin_run(header(), [BTC, ETH])
    write = Writing(journal)
    cash, held = Decimal(10000), [Decimal(0), Decimal(0)]
    for number, (index, side, ticks, lots, fee) in enumerate(trades):
        write(filled(str(number), index=index, side=side, ticks=ticks, lots=lots, fee=f"0.{fee:03}"))
        grid = (BTC, ETH)[index]
        cash -= grid.price(ticks) * grid.quantity(lots) * side.sign + Decimal(f"0.{fee:03}")
        held[index] += grid.quantity(lots) * side.sign
    journal.close()
    journal = opened(path)
    state = journal.load_account([BTC, ETH])
    journal.close()
    assert state.cash == cash
    assert {report.instrument: report.quantity for report in state.positions} == {i: q for i, q in enumerate(held) if q}


# Refused files are not changed.


def _content(path):
    return path.read_bytes()


def test_another_mode_or_account_is_refused_and_nothing_changes(tmp_path):
    path = tmp_path / "j"
    opened(path).close()
    before = _content(path)
    with pytest.raises(JournalRefused, match="belongs to mode 'paper', not 'live'; give this one its own --state-dir"):
        opened(path, mode="live")
    with pytest.raises(JournalRefused, match="belongs to account 'binance:spot:paper', not 'kraken:spot:paper'"):
        opened(path, account="kraken:spot:paper")
    assert _content(path) == before


def test_a_refused_file_of_a_killed_daemon_keeps_its_write_ahead_log(journal, write, tmp_path):
    write(submit("o1"))
    killed = tmp_path / "killed"
    killed.mkdir()
    for name in ("journal.db", "journal.db-wal"):
        (killed / name).write_bytes((tmp_path / name).read_bytes())
    before = [(killed / name).read_bytes() for name in ("journal.db", "journal.db-wal")]
    with pytest.raises(JournalRefused, match="belongs to mode"):
        opened(killed / "journal.db", mode="live")
    assert [(killed / name).read_bytes() for name in ("journal.db", "journal.db-wal")] == before
    recovered = opened(killed / "journal.db")
    assert recovered.load_account([BTC, ETH]).order_count == 1
    recovered.close()


def test_a_newer_schema_is_refused_and_nothing_changes(tmp_path):
    path = tmp_path / "j"
    opened(path).close()
    connection = apsw.Connection(str(path))
    migrate(connection, 1, [*migrations.MIGRATIONS, Migration("from_the_future", "CREATE TABLE later (x)")])
    connection.close()
    before = _content(path)
    with pytest.raises(JournalRefused, match=r"newer smartmoney.*from_the_future.*; install that version"):
        opened(path)
    with pytest.raises(JournalRefused, match="newer smartmoney"):
        JournalReader.open(path)
    assert _content(path) == before


def test_an_older_schema_is_migrated_on_opening_and_refused_read_only(tmp_path, monkeypatch):
    path = tmp_path / "j"
    opened(path).close()
    extended = (*migrations.MIGRATIONS, Migration("second", "CREATE TABLE second (x)"))
    monkeypatch.setattr("smartmoney.adapters.journal.migrate", lambda connection, wall_ns: migrate(connection, wall_ns, extended))
    monkeypatch.setattr("smartmoney.adapters.journal_reader.pending", lambda connection: migrations.pending(connection, extended))
    with pytest.raises(JournalRefused, match="older smartmoney"):
        JournalReader.open(path)
    journal = opened(path)
    assert applied(journal._connection) == [migration.name for migration in extended]
    journal.close()


def test_a_migration_that_fails_leaves_no_trace(tmp_path):
    path = tmp_path / "j"
    opened(path).close()
    connection = apsw.Connection(str(path))
    broken = Migration("broken", "CREATE TABLE half (x); CREATE TABLE runs (x)")
    with pytest.raises(apsw.SQLError):
        migrate(connection, 1, [*migrations.MIGRATIONS, broken])
    assert applied(connection) == [migration.name for migration in migrations.MIGRATIONS]
    assert connection.pragma("user_version") == len(migrations.MIGRATIONS)
    assert connection.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'half'").get == 0
    with pytest.raises(SchemaTooNew):
        migrate(connection, 1, [Migration("other", "")])
    connection.close()


def test_foreign_and_damaged_files_are_refused_and_not_changed(tmp_path):
    text = tmp_path / "text"
    text.write_bytes(b"dear diary, " * 1000)
    other = tmp_path / "other"
    connection = apsw.Connection(str(other))
    connection.execute("CREATE TABLE t (x)")
    connection.close()
    damaged = tmp_path / "damaged"
    journal = opened(damaged)
    journal.begin_run(header(), [BTC])
    Writing(journal)(*(submit(f"o{n}") for n in range(200)))
    journal.close()
    raw = bytearray(damaged.read_bytes())
    raw[len(raw) // 2 : len(raw) // 2 + 3000] = b"\xa5" * 3000
    damaged.write_bytes(raw)
    truncated = tmp_path / "truncated"
    truncated.write_bytes(bytes(raw)[:5000])
    for path, reason in (
        (text, "not a journal"),
        (other, "not a journal of smartmoney"),
        (damaged, "damaged|cannot be read"),
        (truncated, "damaged|cannot be read"),
    ):
        before = _content(path)
        with pytest.raises(JournalRefused, match=reason):
            opened(path)
        assert _content(path) == before
    with pytest.raises(JournalRefused, match="there is no journal"):
        JournalReader.open(tmp_path / "absent")
    with pytest.raises(JournalRefused):
        JournalReader.open(text)
    with pytest.raises(JournalRefused):
        JournalReader.open(other)
    with pytest.raises(JournalRefused, match="cannot be opened"):
        opened(tmp_path / "no" / "folder" / "j")


def test_a_full_disk_fails_the_commit_in_plain_words_and_keeps_the_file_whole(journal, write, tmp_path):
    write(submit("o1"), filled("t1"))
    journal._connection.pragma("max_page_count", journal._connection.pragma("page_count"))
    acknowledged = 1

    def fill_up():
        nonlocal acknowledged
        for number in range(2, 10_000):
            write(submit(f"o{number}"))
            acknowledged = number

    with pytest.raises(JournalFailed, match="the disk is full"):
        fill_up()
    journal.close()
    again = opened(tmp_path / "journal.db")
    assert again.load_account([BTC, ETH]).order_count == acknowledged
    assert again._connection.pragma("integrity_check") == "ok"
    again.begin_run(header("run-2"), [BTC])
    Writing(again)(submit("after"))
    again.close()


FULL = """
import sys
sys.path.insert(0, sys.argv[2])
from test_journal import *
journal = opened(Path(sys.argv[1]))
journal.begin_run(header(), [BTC, ETH])
write = Writing(journal)
done = 0
try:
    for number in range(100_000):
        write(submit(f"o{number}"))
        done += 1
except JournalFailed as error:
    print(done, error)
"""


def test_a_file_that_may_not_grow_fails_the_commit_and_loses_nothing_acknowledged(tmp_path):
    path = tmp_path / "j"
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(path), str(Path(__file__).parent)],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 19, 1 << 19)),
    )
    acknowledged, message = done.stdout.split(" ", 1)
    assert int(acknowledged) > 10
    assert str(path) in message
    journal = opened(path)
    assert journal.load_account([BTC, ETH]).order_count >= int(acknowledged)
    journal.close()


def moved(amount, kind="transfer", reference="", peak=None, reason="r"):
    return RecordCash(kind=kind, amount=Decimal(amount), reason=reason, reference=reference, peak=None if peak is None else Decimal(peak))


def test_money_that_moved_is_part_of_the_account_and_of_its_peak(journal, write):
    write(RecordEquity(equity=Decimal(10000), peak=Decimal(10000)))
    write(moved("-4000.5", peak="5999.5", reason="rent"))
    write(moved("-1.25", kind="funding", reference="f1", peak="5999.5"), moved("-1.25", kind="funding", reference="f1", peak="5999.5"))
    state = journal.load_account([BTC, ETH])
    assert state.cash == Decimal("5998.25")
    assert state.halt.peak == Decimal("5999.5")
    assert state.fundings == ("f1",)
    assert [(row.kind, row.amount, row.reason) for row in journal.reader.cash_movements()] == [
        ("transfer", Decimal("-4000.5"), "rent"),
        ("funding", Decimal("-1.25"), "r"),
    ]


def test_how_far_payments_are_booked_is_known_by_kind(journal, write):
    assert journal.load_account([BTC, ETH]).booked_until_ns == {}
    rows = (("FUNDING_FEE-7", 50), ("FUNDING_FEE-8", 40), ("INSURANCE_CLEAR-9", 60))
    paid = [msgspec.structs.replace(moved("-1", kind="funding", reference=name), ts_event_ns=at_ns) for name, at_ns in rows]
    write(*paid, moved("5"))
    assert journal.load_account([BTC, ETH]).booked_until_ns == {"FUNDING_FEE": 50, "INSURANCE_CLEAR": 60}
    assert journal.load_account([BTC, ETH]).cash == Decimal(10_002)


def test_the_days_opening_survives(journal, write, tmp_path):
    assert journal.load_account([BTC]).day == DayState()
    write(RecordDay(day=20_000, opening=Decimal("9876.5")))
    journal.close()
    again = opened(tmp_path / "journal.db")
    assert again.load_account([BTC, ETH]).day == DayState(day=20_000, opening=Decimal("9876.5"))
    again.close()


def test_a_working_order_is_as_old_as_its_intent_and_no_younger_than_new(journal, monkeypatch):
    journal.commit([record(1, 5 * SECOND, submit("o1"))])
    monkeypatch.setattr("smartmoney.adapters.journal.time.time_ns", lambda: 65 * SECOND)
    assert journal.load_account([BTC, ETH]).orders[0].age_ns == 60 * SECOND
    monkeypatch.setattr("smartmoney.adapters.journal.time.time_ns", lambda: 2 * SECOND)
    assert journal.load_account([BTC, ETH]).orders[0].age_ns == 0, "the wall clock was set back"


def test_a_halt_survives_the_upgrade_of_the_schema(tmp_path):
    path = tmp_path / "journal.db"
    connection = apsw.Connection(str(path))
    migrate(connection, 1, migrations.MIGRATIONS[:1])
    connection.execute(
        "INSERT INTO account (id, mode, account, initial_cash, created_wall_ns, halted, halt_reason, halt_epoch, peak) "
        "VALUES (1, 'paper', 'binance:spot:paper', '10000', 1, 1, 'drawdown: much', 3, '10500')"
    )
    connection.close()
    journal = opened(path)
    assert journal.load_account([BTC]).halt == HaltState(halted=True, reason="drawdown: much", epoch=3, peak=Decimal(10500))
    assert applied(journal._connection) == [migration.name for migration in migrations.MIGRATIONS]
    journal.close()
