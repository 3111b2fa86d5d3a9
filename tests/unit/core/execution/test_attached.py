"""Stops that the venue makes out of entries: when the executor expects one, what it makes of two, and what it does without."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from smartmoney.core.domain.entries import AccountReported, OrderAccepted, OrderCanceled, OrderExpired, OrderRejected
from smartmoney.core.domain.orders import OrderIntent, OrderReport, OrderType, PositionReport, Purpose, Side, attached_id
from smartmoney.core.execution.parameters import AttachedStops, EntryStyle

from .test_executor import Bench, cancels, intents

D = Decimal


def bench(attached, entry=EntryStyle.MAKER):
    return Bench(linked_pairs=False, attached=attached, entry=entry)


def carried(commands):
    return [each for each in intents(commands) if each.is_attached]


def own(commands):
    return [each for each in intents(commands) if each.purpose is Purpose.STOP and not each.is_attached]


def stops(made):
    return [record for record in made.executor.ledger.working(0) if record.intent.purpose is Purpose.STOP]


def end(made, intent):
    return made.reply(OrderCanceled(client_order_id=intent.client_order_id))


@pytest.mark.parametrize("attached", [AttachedStops.POSITION, AttachedStops.ORDER])
def test_an_entry_carries_its_stop_and_keeps_the_next_name_for_it(attached):
    made = bench(attached)
    (entry,) = intents(made.open())
    assert entry.stop_ticks == 9_800
    head, _, index = entry.client_order_id.rpartition("-")
    assert attached_id(entry.client_order_id) == f"{head}-{int(index) + 1}"
    with pytest.raises(ValueError, match="carries no stop"):
        attached_id("web_4711")


def test_elsewhere_entries_carry_nothing_and_no_name_is_kept():
    made = bench(AttachedStops.NONE)
    (entry,) = intents(made.open())
    assert entry.stop_ticks is None
    assert carried(made.fill(entry, 400)) == []


def test_a_stop_by_position_is_expected_at_the_first_fill_and_grows_and_shrinks_with_what_is_held():
    made = bench(AttachedStops.POSITION)
    (entry,) = intents(made.open())
    first = made.fill(entry, 400)
    (stop,) = carried(first)
    assert (stop.client_order_id, stop.lots, stop.reduce_only) == (attached_id(entry.client_order_id), 400, True)
    assert own(first) == []
    made.accept(*first)
    again = made.fill(entry, 600)
    assert carried(again) == own(again) == []
    (record,) = stops(made)
    assert record.leaves == 1000
    (target,) = [each for each in made.executor.ledger.working(0) if each.intent.purpose is Purpose.TARGET]
    assert cancels(again) == [target.intent.client_order_id], "the target is replaced, the stop is not touched"
    made.fill(record.intent, 1000, 9_800)
    assert made.executor.portfolio.position_lots(0) == 0
    assert made.executor.take_halt_request() is None


def test_a_stop_by_order_is_expected_when_the_entry_has_ended():
    made = bench(AttachedStops.ORDER, EntryStyle.TAKER)
    (entry,) = intents(made.open())
    assert carried(made.fill(entry, 400)) == []
    (stop,) = carried(made.reply(OrderExpired(client_order_id=entry.client_order_id)))
    assert stop.lots == 400
    whole = bench(AttachedStops.ORDER, EntryStyle.TAKER)
    (entry,) = intents(whole.open())
    (stop,) = carried(whole.fill(entry))
    assert stop.lots == 1000


def test_a_stop_by_order_joins_ours_and_the_one_that_fits_and_is_known_to_stand_stays():
    made = bench(AttachedStops.ORDER)
    (entry,) = intents(made.open())
    (ours,) = own(made.fill(entry, 400))
    made.reply(OrderAccepted(client_order_id=ours.client_order_id, venue_order_id="v1"))
    commands = made.fill(entry, 600)
    (stop,) = carried(commands)
    assert stop.oco_group == ours.oco_group
    assert ours.client_order_id not in cancels(commands), "what stands stays until the right one is known to stand"
    assert cancels(made.tick()) == []
    assert cancels(made.reply(OrderAccepted(client_order_id=stop.client_order_id, venue_order_id="v2"))) == [ours.client_order_id]
    end(made, ours)
    assert [record.intent for record in stops(made)] == [stop]


def test_a_target_that_is_on_its_way_out_does_not_keep_the_venues_stop_from_being_known():
    made = bench(AttachedStops.ORDER)
    (entry,) = intents(made.open())
    commands = made.fill(entry, 2)
    made.accept(*commands)
    more = made.fill(entry, 3)
    (bigger,) = own(more)
    assert (bigger.lots, cancels(more)) == (5, [])
    (ours,) = own(commands)
    assert cancels(made.accept(*more)) == [ours.client_order_id]
    assert len(cancels(end(made, ours))) == 1, "the target"
    (stop,) = carried(made.fill(entry, 995))
    assert stop.lots == 1000


def test_a_stop_by_order_of_an_addition_covers_the_new_part_until_one_for_all_of_it_stands():
    made = bench(AttachedStops.ORDER, EntryStyle.TAKER)
    (entry,) = intents(made.open())
    first = made.fill(entry)
    made.accept(*first)
    (add,) = intents(made.open(lots=1500, stop=97.0, signal_id="two"))
    assert add.stop_ticks == 9_800, "never loosened"
    commands = made.fill(add)
    (part,), (whole,) = carried(commands), own(commands)
    assert (part.lots, whole.lots, cancels(commands)) == (500, 1500, [])
    (old,) = carried(first)
    # What the venue has not shown yet cannot be withdrawn yet.
    assert cancels(made.reply(OrderAccepted(client_order_id=whole.client_order_id, venue_order_id="v3"))) == [old.client_order_id]
    assert cancels(made.reply(OrderAccepted(client_order_id=part.client_order_id, venue_order_id="v2"))) == [part.client_order_id]


def test_of_two_that_fit_the_venues_goes_where_ours_stands_already():
    made = bench(AttachedStops.ORDER)
    (entry,) = intents(made.open())
    (ours,) = own(made.fill(entry, 400))
    made.reply(OrderAccepted(client_order_id=ours.client_order_id, venue_order_id="v1"))
    commands = made.reply(OrderCanceled(client_order_id=entry.client_order_id))
    (stop,) = carried(commands)
    assert cancels(commands) == [], "it cannot be withdrawn before it is there"
    assert cancels(made.reply(OrderAccepted(client_order_id=stop.client_order_id, venue_order_id="v2"))) == [stop.client_order_id]


@pytest.mark.parametrize("attached", [AttachedStops.POSITION, AttachedStops.ORDER])
def test_a_stop_that_the_venue_did_not_make_is_replaced_at_once_and_counts_as_no_refusal(attached):
    made = bench(attached, EntryStyle.TAKER)
    (entry,) = intents(made.open())
    (stop,) = carried(made.fill(entry))
    for record in list(made.executor.ledger.working(0)):
        if record.intent.purpose is Purpose.TARGET:
            end(made, record.intent)
    commands = made.reply(OrderRejected(client_order_id=stop.client_order_id, reason="none made"))
    commands += [each for left in [*cancels(commands)] for each in made.reply(OrderCanceled(client_order_id=left))]
    (ours,) = own(commands)
    assert (ours.lots, ours.stop_ticks) == (1000, 9_800)
    assert made.executor.plan(0).protect_failures == 0


@pytest.mark.parametrize(("side", "loose", "tight"), [(Side.SELL, 9_700, 9_800), (Side.BUY, 10_300, 10_200)])
@pytest.mark.parametrize("sizes", [(1000, 1000), (1500, 1000)])
@pytest.mark.parametrize("looser_first", [True, False])
def test_of_two_wrong_stops_that_cover_as_much_the_tighter_one_stays_for_the_round_trip(side, loose, tight, sizes, looser_first):
    """A restart finds both, and neither is where the level in force is."""
    held = PositionReport(instrument=0, quantity=D(10) * -side.sign, cost=D(1000) * -side.sign)
    made = Bench(linked_pairs=False, positions=(held,))
    levels = {"sm0-1-0": (loose, sizes[0]), "sm0-2-0": (tight, sizes[1])}
    reports = [
        OrderReport(
            intent=OrderIntent(
                client_order_id=name,
                instrument=0,
                side=side,
                type=OrderType.STOP_MARKET,
                lots=lots,
                purpose=Purpose.STOP,
                stop_ticks=ticks,
                reduce_only=True,
            ),
            venue_order_id="v" + name,
        )
        for name, (ticks, lots) in levels.items()
    ]
    made.executor.restore(reports if looser_first else reports[::-1], made.view())
    made.executor.plan(0).stop_ticks = tight - side.sign * 10
    commands = made.tick()
    assert cancels(commands) == ["sm0-1-0"]
    (right,) = own(commands)
    assert (right.lots, right.stop_ticks) == (1000, tight - side.sign * 10)


def test_what_was_made_after_the_position_is_gone_is_found_by_the_account_and_withdrawn():
    made = bench(AttachedStops.ORDER)
    (entry,) = intents(made.open())
    (ours,) = own(made.fill(entry, 400))
    made.reply(OrderAccepted(client_order_id=ours.client_order_id, venue_order_id="v1"))
    assert cancels(made.fill(ours, 400, 9_800))[0] == entry.client_order_id
    commands = made.reply(OrderCanceled(client_order_id=entry.client_order_id))
    assert carried(commands) == [], "there is nothing that it could reduce"
    assert [type(each).__name__ for each in commands] == ["RequestAccount"]
    late = OrderReport(
        intent=msgspec.structs.replace(ours, client_order_id=attached_id(entry.client_order_id)),
        venue_order_id="v2",
    )
    told = AccountReported(orders=(late,), positions=(PositionReport(instrument=0, quantity=D(0), cost=D(0)),))
    assert cancels(made.executor.reconcile(told, made.view())) == [attached_id(entry.client_order_id)]


def test_growing_beyond_a_stop_of_ours_carries_the_tighter_level_and_beyond_the_venues_carries_none():
    made = bench(AttachedStops.POSITION, EntryStyle.TAKER)
    (entry,) = intents(made.open())
    commands = made.fill(entry)
    made.accept(*commands)
    (second,) = intents(made.open(lots=1500, stop=97.0, signal_id="two"))
    assert second.stop_ticks is None
    made.reply(OrderExpired(client_order_id=second.client_order_id))
    (stop,) = carried(commands)
    gone = end(made, stop)
    gone += [each for left in cancels(gone) for each in made.reply(OrderCanceled(client_order_id=left))]
    made.accept(*gone)
    (third,) = intents(made.open(lots=1500, stop=97.0, signal_id="three"))
    assert third.stop_ticks == 9_800, "never loosened"


class Venue:
    """Make stops as a venue does, and answer late, in any order; its own list is the judge."""

    def __init__(self, made, attached):
        self.made, self.attached = made, attached
        self.live, self.inbox, self.told, self.going = {}, [], set(), set()
        self.was_covered = 0

    def take(self, commands):
        # Judged when a stop is given up, not when the venue gets to it: what was bought meanwhile cannot call a cancel back.
        self.going.update(cancels(commands))
        assert self.covered() >= min(self.was_covered, self.held), "what was covered stays covered"
        self.was_covered = self.covered()
        for intent in intents(commands):
            if not intent.is_attached:
                self.live[intent.client_order_id] = intent
                self.inbox.append(("accept", intent))
            else:
                self.inbox.append(("look", intent))
        for name in cancels(commands):
            self.inbox.append(("cancel", name))

    @property
    def held(self):
        return self.made.executor.portfolio.position_lots(0)

    def attach(self, entry, filled):
        name = attached_id(entry.client_order_id)
        if entry.stop_ticks is not None and filled and name not in self.told:
            self.told.add(name)
            self.live[name] = filled

    def covered(self):
        """Return how much of what is held has a stop at the venue that nobody has asked to go."""
        by_position = self.attached is AttachedStops.POSITION
        sizes = (
            (self.held if by_position else what) if isinstance(what, int) else what.lots
            for name, what in self.live.items()
            if name not in self.going and (isinstance(what, int) or what.purpose is Purpose.STOP)
        )
        return min(self.held, sum(sizes))

    def step(self, which):
        kind, what = self.inbox.pop(which % len(self.inbox))
        if kind == "accept":
            if what.client_order_id in self.live:
                return self.made.reply(OrderAccepted(client_order_id=what.client_order_id, venue_order_id="v" + what.client_order_id))
            return []
        if kind == "look":
            name = what.client_order_id
            if name in self.live:
                return self.made.reply(OrderAccepted(client_order_id=name, venue_order_id="v" + name))
            return self.made.reply(OrderRejected(client_order_id=name, reason="none"))
        gone = self.live.pop(what, None)
        out = self.made.reply(OrderCanceled(client_order_id=what))
        record = self.made.executor.ledger.get(what)
        if gone is not None and record.intent.purpose is Purpose.ENTRY and self.attached is AttachedStops.ORDER:
            self.attach(record.intent, record.filled_lots)
        return out


@settings(max_examples=150, deadline=None)
@given(
    attached=st.sampled_from([AttachedStops.POSITION, AttachedStops.ORDER]),
    cuts=st.lists(st.integers(1, 400), min_size=1, max_size=4),
    withdraw=st.booleans(),
    order=st.lists(st.integers(0, 7), min_size=40, max_size=40),
)
# The smallest stop is needless and asked to go; before the venue gets to it, the entry fills far beyond what the others cover.
@example(attached=AttachedStops.ORDER, cuts=[1, 2, 2, 2], withdraw=False, order=[1, 0, 1, 0, 2, *[0] * 35])
def test_whatever_comes_first_one_stop_stands_in_the_end_for_exactly_what_is_held(attached, cuts, withdraw, order):
    made = bench(attached)
    venue = Venue(made, attached)
    commands = made.open(lots=1000)
    (entry,) = intents(commands)
    venue.take(commands)
    picks = iter(order * 20)
    left = 1000
    for cut in [*cuts, 0 if withdraw else left - sum(cuts) if sum(cuts) < left else 0]:
        lots = min(cut, left)
        if lots >= 2 and entry.client_order_id in venue.live:
            left -= lots
            if attached is AttachedStops.POSITION:
                venue.attach(entry, lots)
            if left == 0:
                venue.live.pop(entry.client_order_id)
                venue.attach(entry, 1000 - left)
            venue.take(made.fill(entry, lots))
        for _ in range(next(picks)):
            if venue.inbox:
                venue.take(venue.step(next(picks)))
    for _ in range(200):
        if venue.inbox:
            venue.take(venue.step(next(picks, 0)))
        venue.take(made.tick(0.3))
    assert made.executor.take_halt_request() is None
    working = stops(made)
    held = made.executor.portfolio.position_lots(0)
    assert [record.leaves for record in working] == ([held] if held else [])
    at_venue = [name for name in venue.live if (found := made.executor.ledger.get(name)) is None or found.intent.purpose is Purpose.STOP]
    assert at_venue == [record.intent.client_order_id for record in working], "what stands there is what is known here, and no more"


def test_an_order_that_is_not_carried_is_encoded_as_before_there_were_such():
    """Digests of older runs hold its bytes."""
    plain = OrderIntent(client_order_id="sma-1-0", instrument=0, side=Side.SELL, type=OrderType.STOP_MARKET, lots=1, purpose=Purpose.STOP)
    assert b"attached_to" not in msgspec.msgpack.encode(plain)
    assert b"attached_to" in msgspec.msgpack.encode(msgspec.structs.replace(plain, attached_to="sma-1-1"))
    assert msgspec.json.decode(msgspec.json.encode(plain), type=OrderIntent) == plain
