"""Opening a run is recovery: the account, the halt, the latch, and whatever an earlier process left half-written."""

from decimal import Decimal

import msgspec
import pytest

from smartmoney.adapters.capture import read_capture
from smartmoney.adapters.journal import Journal, JournalRefused
from smartmoney.adapters.service import read_latch, set_latch
from smartmoney.adapters.state_directory import StateLayout
from smartmoney.core.domain.commands import Notify, RecordCash, RecordDay, RecordEquity, RecordHalt, RecordResume
from smartmoney.core.domain.entries import DayState, Entry, EntryKind, OrderFilled, Tick
from smartmoney.core.domain.instruments import Market
from smartmoney.core.domain.orders import Side
from smartmoney.runtime import storage
from smartmoney.runtime.clock import Stamp, now
from smartmoney.runtime.loop import Batch, Line
from smartmoney.runtime.loop import Checkpoint as Point
from smartmoney.runtime.storage import new_run_id, open_run, paper_venue
from smartmoney.settings.load import load_settings
from smartmoney.simulation.paper_funding import EVERY_NS
from tests.fills import fill_of
from tests.grids import SPOT_BTC as BTC
from tests.unit.simulation.test_paper import Book as Shown


@pytest.fixture
def layout(tmp_path):
    return StateLayout(tmp_path)


def opened(layout, **overrides):
    return open_run(load_settings(overrides=overrides), layout, [BTC])


NOTHING = {"commands": (), "checkpoint": None, "last_seq": 2, "decided_mono_ns": 1, "has_orders": False}


def batch(*commands, seq=3, digest="d"):
    lines = tuple(Line(seq, 1_700_000_000_000_000_000, command) for command in commands)
    return Batch(lines=lines, commands=commands, checkpoint=Point(seq, digest), last_seq=seq, decided_mono_ns=1, has_orders=False)


def test_a_first_run_starts_with_the_paper_balance_and_nothing_else(layout):
    with opened(layout, paper_balance=1234) as run:
        started = run.started
        assert (started.cash, started.positions, started.orders, started.order_count) == (Decimal(1234), (), (), 0)
        assert not started.halt.halted
        assert run.latched_for is None
        assert paper_venue(load_settings(), run).is_idle


def test_what_one_run_commits_the_next_one_finds(layout):
    halt = RecordHalt(reason="drawdown: much", epoch=1, equity=Decimal(900), peak=Decimal(1100))
    with opened(layout) as run:
        run.ledger.commit([batch(RecordEquity(equity=Decimal(1000), peak=Decimal(1100))), batch(halt, seq=4)])
        first = run.started.run_id
    with opened(layout) as run:
        found = run.started.halt
        assert (found.halted, found.reason, found.epoch, found.peak) == (True, "drawdown: much", 1, Decimal(1100))
        assert run.started.run_id != first
        assert run.journal.reader.last_checkpoint(first).seq == 4
        run.ledger.commit([batch(RecordResume(reason="looked", epoch=2, old_peak=Decimal(1100), new_peak=Decimal(900)))])
    with opened(layout) as run:
        assert not run.started.halt.halted
        assert run.started.halt.peak == Decimal(900)


def test_a_latch_that_the_journal_knows_nothing_of_is_handed_on(layout):
    with opened(layout):
        pass
    set_latch(layout.latch, "disk was full", 0)
    with opened(layout) as run:
        assert run.latched_for == "disk was full"
        run.ledger.commit([batch(RecordHalt(reason="disk was full", epoch=1, equity=None, peak=None))])
    with opened(layout) as run:
        assert run.latched_for is None
        assert run.started.halt.reason == "disk was full"


PERPETUAL = msgspec.structs.replace(BTC, market=Market.USDM)
BOUGHT = OrderFilled(fill=fill_of(Side.BUY, 100_000, 10_000))


def test_a_perpetual_position_owes_funding_since_the_run_before_was_last_heard_of_and_pays_no_time_twice(layout):
    settings = load_settings(overrides={"market": "usdm"})
    book = Shown({9_999: 10}, {10_001: 10})

    def begun():
        return open_run(settings, layout, [PERPETUAL])

    with begun() as run:
        assert paper_venue(settings, run).pays_at_wall_ns < 0
        run.ledger.commit([Batch(lines=(Line(2, now().wall_ns, BOUGHT),), **NOTHING)])
    with begun() as run:
        venue, heard_ns = paper_venue(settings, run), run.account.active_wall_ns
        due_ns = venue.pays_at_wall_ns
        assert heard_ns < due_ns <= heard_ns + EVERY_NS
        venue.pay_funding(due_ns + 1, 0, [book])
        (paid,) = venue.advance(0, 0, [book])
        assert paid.amount == Decimal("-0.01")
        cash = RecordCash(kind="funding", amount=paid.amount, reason="", reference=paid.reference, peak=None, ts_event_ns=0)
        run.ledger.commit([batch(cash)])
    with begun() as run:
        venue = paper_venue(settings, run)
        assert venue.account.cash == Decimal("9899.99")
        assert venue.pays_at_wall_ns == due_ns
        venue.pay_funding(due_ns + 1, 0, [book])
        assert venue.advance(0, 0, [book]) == []


@pytest.mark.parametrize(("bought_min", "is_owed"), [(-30, True), (1, False)], ids=["held at the time", "bought after it"])
def test_what_a_run_without_a_book_could_not_pay_the_next_one_pays(layout, monkeypatch, bought_min, is_owed):
    settings, minute_ns, time_ns = load_settings(overrides={"market": "usdm"}), 60 * 10**9, 2_500 * EVERY_NS

    def lived(at_min, book, *lines):
        monkeypatch.setattr(storage, "now", lambda: Stamp(time_ns + at_min * minute_ns, 1))
        with open_run(settings, layout, [PERPETUAL]) as run:
            venue = paper_venue(settings, run)
            venue.pay_funding(time_ns + at_min * minute_ns + 1, 0, [book])
            run.ledger.commit([Batch(lines=lines, **NOTHING)])
            return len(venue.advance(0, 0, [book]))

    seen, dark = Shown({9_999: 10}, {10_001: 10}), Shown({9_999: 10}, {10_001: 10})
    dark.synced = False
    lived(-31, seen, Line(2, time_ns + bought_min * minute_ns, BOUGHT))
    assert lived(2, dark) == lived(5, dark) == 0
    assert lived(9, seen) == is_owed


@pytest.mark.parametrize("sold", [40_000, 100_000, 150_000], ids=["less", "nothing", "the other side"])
def test_a_run_that_trades_after_a_time_and_is_killed_before_its_settlement_leaves_it_to_the_next(layout, monkeypatch, sold):
    settings, second_ns, time_ns = load_settings(overrides={"market": "usdm"}), 10**9, 2_500 * EVERY_NS
    seen, dark = Shown({9_999: 10}, {10_001: 10}), Shown({9_999: 10}, {10_001: 10})
    dark.synced = False

    def lived(at_s, book, *lines):
        monkeypatch.setattr(storage, "now", lambda: Stamp(time_ns + at_s * second_ns, 1))
        with open_run(settings, layout, [PERPETUAL]) as run:
            venue = paper_venue(settings, run)
            venue.pay_funding(time_ns + at_s * second_ns + 1, 0, [book])
            run.ledger.commit([Batch(lines=lines, **NOTHING)])
            return [one.amount for one in venue.advance(0, 0, [book])]

    after = OrderFilled(fill=fill_of(Side.SELL, sold, 10_000, order="after"))
    assert lived(-1_800, seen, Line(2, time_ns - 900 * second_ns, BOUGHT)) == []
    assert lived(-60, dark, Line(3, time_ns + 20 * second_ns, after)) == []
    assert lived(40, seen) == [Decimal("-0.01")], "what was held at the time, and not what is held now"


def test_a_time_that_one_of_two_perpetuals_was_paid_for_is_paid_to_the_other_by_the_next_run(layout, monkeypatch):
    settings, minute_ns, time_ns = load_settings(overrides={"market": "usdm"}), 60 * 10**9, 2_500 * EVERY_NS
    other = msgspec.structs.replace(PERPETUAL, symbol="ETHUSDT", name="ETH/USDT:USDT", base="ETH")
    books = [Shown({9_999: 10}, {10_001: 10}) for _ in range(2)]
    books[1].synced = False

    def lived(at_min, *lines):
        monkeypatch.setattr(storage, "now", lambda: Stamp(time_ns + at_min * minute_ns, 1))
        with open_run(settings, layout, [PERPETUAL, other]) as run:
            venue = paper_venue(settings, run)
            venue.pay_funding(time_ns + at_min * minute_ns + 1, 0, books)
            paid = venue.advance(0, 0, books)
            booked = (
                RecordCash(kind="funding", amount=one.amount, reason="", reference=one.reference, peak=None, ts_event_ns=0) for one in paid
            )
            cash = tuple(Line(8, time_ns + at_min * minute_ns, one) for one in booked)
            run.ledger.commit([Batch(lines=(*lines, *cash), **NOTHING)])
            return [one.instrument for one in paid]

    bought = [OrderFilled(fill=fill_of(Side.BUY, 100_000, 10_000, order=f"o{i}", instrument=i)) for i in range(2)]
    lived(-31, *(Line(2 + i, time_ns - 30 * minute_ns, one) for i, one in enumerate(bought)))
    assert lived(2) == [0]
    books[1].synced = True
    assert lived(9) == [1]
    assert lived(12) == []


def test_the_latch_file_is_set_seen_and_cleared(layout):
    with opened(layout) as run:
        assert not run.latch.is_set()
        run.latch.set("because", 5)
        assert run.latch.is_set()
        assert read_latch(layout.latch).epoch == 5
        run.latch.clear()
        assert not run.latch.is_set()


def test_a_batch_of_which_nothing_is_kept_is_no_error(layout):
    with opened(layout) as run:
        run.ledger.commit([batch(Notify(severity="info", subject="s", text="t"))])
        run.ledger.commit([])


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [({"venue": "sim"}, {"venue": "binance"}, "belongs to account"), ({"market": "spot"}, {"market": "usdm"}, "belongs to account")],
)
def test_a_journal_of_another_account_is_refused_and_nothing_is_lost(layout, first, second, words):
    with opened(layout, **first) as run:
        run_id = run.started.run_id
    with pytest.raises(JournalRefused, match=words) as refused, opened(layout, **second):
        pass
    assert refused.value.exit_code == 78
    assert "--state-dir" in str(refused.value)
    with opened(layout, **first) as run:
        assert run.journal.reader.run(run_id) is not None


def test_a_journal_of_another_mode_is_refused(layout):
    Journal.open(layout.journal, "live", "sim:spot", initial_cash=Decimal(1)).close()
    with pytest.raises(JournalRefused, match="mode 'live', not 'paper'"), opened(layout):
        pass


@pytest.mark.parametrize("leftover", ["empty", "not a segment", "torn", "broken index"])
def test_whatever_a_killed_run_left_in_its_capture_the_next_one_starts(layout, leftover):
    with opened(layout) as run:
        run.capture.append(Entry(seq=1, kind=EntryKind.EVENT, ts_wall_ns=1, ts_mono_ns=1, payload=Tick()))
        folder = layout.capture(run.started.run_id)
    (segment,) = (path for path in folder.iterdir() if path.suffix != ".json")
    (index,) = folder.glob("*.json")
    if leftover == "broken index":
        index.write_text("{")
    else:
        index.unlink()
        segment.write_bytes({"empty": b"", "not a segment": b"shopping list", "torn": segment.read_bytes()[:-3]}[leftover])
    with opened(layout) as run:
        assert run.started.cash == Decimal(10_000)


def test_the_capture_ends_whole_when_the_run_does(layout):
    with opened(layout) as run:
        for seq in range(1, 500):
            run.capture.append(Entry(seq=seq, kind=EntryKind.EVENT, ts_wall_ns=seq, ts_mono_ns=seq, payload=Tick()))
        run.ledger.ensure_captured(499)
        folder = layout.capture(run.started.run_id)
    reader = read_capture(folder)
    assert [entry.seq for entry in reader] == list(range(1, 500))
    assert reader.is_complete


def test_run_ids_sort_by_time_and_do_not_repeat():
    S = 1_000_000_000
    ids = [new_run_id(second * S) for second in (1, 1_700_000_000, 1_700_000_001, 1_900_000_000)]
    assert ids == sorted(ids)
    assert len({new_run_id(5 * S) for _ in range(200)}) > 195
    assert {len(name) for name in ids} == {11}


def test_the_days_loss_and_what_was_moved_reach_the_next_run(layout):
    with opened(layout) as run:
        moved = RecordCash(kind="transfer", amount=Decimal(500), reason="savings", reference="", peak=Decimal(10500))
        run.ledger.commit([batch(RecordDay(day=20_000, opening=Decimal(10200)), moved)])
    with opened(layout) as run:
        assert run.started.day == DayState(day=20_000, opening=Decimal(10200))
        assert run.started.cash == 10500
        assert run.started.halt.peak == 10500


def test_a_journal_that_was_restored_from_before_the_halt_starts_halted_by_the_latch(layout):
    with opened(layout):
        pass
    kept = layout.journal.read_bytes()
    with opened(layout) as run:
        run.ledger.commit([batch(RecordHalt(reason="drawdown: much", epoch=1, equity=None, peak=None))])
        run.latch.set("drawdown: much", 1)
    for part in layout.root.glob("journal.db*"):
        part.unlink()
    layout.journal.write_bytes(kept)
    with opened(layout) as run:
        assert not run.started.halt.halted
        assert run.latched_for == "drawdown: much"
