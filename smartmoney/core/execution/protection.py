"""Bring an instrument's orders to what its plan wants: one stop and one target for what is held, or an exit, or nothing.

Each call looks at what is and returns the next commands; it is called after every reply and on every tick, and calling it again changes
nothing until something else does. Orders that reduce are never working for more than is held: a protective pair shares an oco_group, and
an exit (or a resized pair) is sent only after the old pair is proven gone. That leaves a position without a stop for one cancel round trip,
which is the price of never selling twice: spot inventory is locked by the old pair, and a venue without reduce-only would flip. Where the
venue itself keeps what reduces from doing more (USD-M: stop and target are two reduce-only orders), a stop waits for nothing: an exit of
unknown outcome does not keep it back, a target is replaced without touching it, and the right stop is placed beside those that are not,
which go once the venue has acknowledged it. A stop that the venue made out of an entry (`core.execution.attached`) is one of them. Where
the venue holds what is to be sold for one order only, that is the stop, and the target is watched here (`core.execution.watched`). While a
resting entry fills bit by bit and the minute's orders run short, what protects grows in steps, not with every bit: on spot each step is a
moment without a stop, and each takes two orders of a minute that has only so many. It covers half of what is held at least (`_PATIENCE`).
"""

from smartmoney.core.book.stretch import NEVER
from smartmoney.core.domain.commands import Command, Notify, RecordRefusal
from smartmoney.core.domain.orders import OrderIntent, OrderStatus, OrderType, Purpose, Side, TimeInForce
from smartmoney.core.domain.signals import RefusalCode
from smartmoney.core.execution import watched
from smartmoney.core.execution.attached import resize
from smartmoney.core.execution.desk import Desk
from smartmoney.core.execution.orders import OrderRecord
from smartmoney.core.execution.plan import ExitPlan, PositionPlan
from smartmoney.core.execution.view import ExecutionView, Quote, collar_ticks

_S = 1_000_000_000
_PROTECTIVE = frozenset({Purpose.STOP, Purpose.TARGET})
_AT_THE_VENUE = frozenset({OrderStatus.ACCEPTED, OrderStatus.PARTIALLY_FILLED})
_PATIENCE = ((0.5, 2 * _S), (0.25, _S // 2))
"""From which share of the minute's orders on what protects may be for less than is held, and for how long, while a resting entry fills."""
_RETRY_WITHOUT_STOP_NS = _S
"""An exit that is tried again within this time waits without a stop; a longer wait gets one."""


def converge(desk: Desk, index: int, view: ExecutionView) -> list[Command]:
    """Return the next commands for one instrument."""
    plan = desk.plans[index]
    held = desk.held_lots(index, view)
    if held == 0:
        return _stand_down(desk, index, view)
    resize(desk, index, held)
    commands = desk.complete_plan(index, held, view)
    if desk.flattening is not None and (plan.exit is None or plan.exit.purpose is not Purpose.FLATTEN):
        plan.exit = ExitPlan(reason=desk.flattening, purpose=Purpose.FLATTEN, at_market=True)
    if plan.exit is not None and abs(held) <= plan.exit.keep_lots:
        plan.exit = None
    if plan.exit is None:
        return commands + _protect(desk, index, held, view)
    return commands + _pursue_exit(desk, index, held, plan.exit, view)


def settled_until_ns(desk: Desk, index: int, reducing: list[OrderRecord], now_mono_ns: int) -> int:
    """Return the monotonic time before which a tick does nothing about what is held and what reduces it, 0 if it does, or might.

    Nobody reports anything until then; deadlines are the caller's. `reducing`: all orders of the instrument that work and are no entries.
    """
    plan, held = desk.plans[index], desk.portfolio.position_lots(index)
    due_ns = min((_answer_due_ns(desk, record) for record in reducing), default=NEVER)
    is_withdrawn = all(record.status is OrderStatus.PENDING_CANCEL for record in reducing)
    if desk.portfolio.position(index).quantity == 0:
        return due_ns if plan.is_clear and is_withdrawn else 0
    if held == 0 or plan.stop_ticks is None or desk.parameters.watched_targets:
        return 0  # any tick may reach a target that is watched, or pass a stop that does not act
    if not all(record.intent.reduce_only for record in reducing):
        return 0
    if plan.exit is not None:
        is_alone = index not in desk.pursuits and not any(desk.ledger.entries(index))
        is_over = abs(held) <= plan.exit.keep_lots
        is_sent = any(record.intent.purpose not in _PROTECTIVE for record in reducing)
        makes_room = bool(reducing) and is_withdrawn and now_mono_ns >= plan.exit.not_before_ns
        return due_ns if is_alone and not is_over and (is_sent or makes_room) else 0
    if _is_stop_right(reducing, held, plan) and _is_target_right(desk, reducing, held, plan):
        return due_ns
    makes_room = bool(reducing) and is_withdrawn and desk.parameters.linked_pairs
    return due_ns if makes_room else 0


def _answer_due_ns(desk: Desk, record: OrderRecord) -> int:
    """Return when the venue's answer about an order is overdue; 0 where it is not known what became of it."""
    if record.status in _AT_THE_VENUE:
        return NEVER
    if record.status is OrderStatus.SUBMITTED:
        return record.submitted_mono_ns + int(desk.parameters.ack_timeout_s * _S)
    if record.status is OrderStatus.PENDING_CANCEL and record.cancel_mono_ns is not None:
        return record.cancel_mono_ns + int(desk.parameters.cancel_timeout_s * _S)
    return 0


def _stand_down(desk: Desk, index: int, view: ExecutionView) -> list[Command]:
    desk.plans[index].clear()
    commands: list[Command] = []
    for record in desk.ledger.working(index):
        if record.intent.reduce_only or desk.flattening is not None:
            commands += desk.cancel(record, "nothing is held", view)
    return commands


def _pursue_exit(desk: Desk, index: int, held: int, exit_plan: ExitPlan, view: ExecutionView) -> list[Command]:
    now = view.now_mono_ns
    commands = desk.cancel_entries(exit_plan.reason, view, index)
    working = [record for record in desk.ledger.working(index) if record.intent.reduce_only]
    exits = [record for record in working if record.intent.purpose not in _PROTECTIVE]
    if exits:
        is_doubtful = all(record.is_doubtful_exit for record in exits) and not desk.parameters.linked_pairs
        return commands + (_protect(desk, index, held, view) if is_doubtful else [])
    if now < exit_plan.not_before_ns:
        if exit_plan.not_before_ns - now < _RETRY_WITHOUT_STOP_NS and not working:
            return commands
        return commands + _protect(desk, index, held, view)
    if working:
        for record in working:
            commands += desk.cancel(record, exit_plan.reason, view)
        return commands
    exit_plan.note_attempt(now)
    _, sent = desk.submit(_exit_intent(desk, index, held, exit_plan, view), view)
    return commands + sent


def _exit_intent(desk: Desk, index: int, held: int, exit_plan: ExitPlan, view: ExecutionView) -> OrderIntent:
    grid, quote = desk.instruments[index], view.quotes[index]
    side = Side.SELL if held > 0 else Side.BUY
    lots = abs(held) - exit_plan.keep_lots
    if lots < grid.min_lots:
        lots = abs(held)
    is_limit = exit_plan.attempts == 1 and not exit_plan.at_market and quote.is_usable
    return OrderIntent(
        client_order_id=desk.ids.next(view.seq),
        instrument=index,
        side=side,
        type=OrderType.LIMIT if is_limit else OrderType.MARKET,
        lots=min(lots, grid.max_lots),
        purpose=exit_plan.purpose,
        time_in_force=TimeInForce.IOC,
        price_ticks=collar_ticks(side, quote.touch(side), desk.parameters.collar_bps) if is_limit else None,
        reduce_only=True,
        signal_id=exit_plan.signal_id,
    )


def _protect(desk: Desk, index: int, held: int, view: ExecutionView) -> list[Command]:
    plan = desk.plans[index]
    if plan.stop_ticks is None or _is_entry_reporting(desk, index, view):
        return []
    is_linked = desk.parameters.linked_pairs
    working = [record for record in desk.ledger.working(index) if record.intent.reduce_only and (is_linked or not record.is_doubtful_exit)]
    if _is_growing(desk, index, held, working, view):
        return []
    spare = None if is_linked else _spare_stops(working, held, plan)
    if spare is not None:
        return [command for record in spare for command in desk.cancel(record, "one stop is enough", view)]
    is_stop_right = _is_stop_right(working, held, plan)
    if is_stop_right and desk.parameters.watched_targets and plan.exit is None:
        plan.exit = watched.due_exit(plan, held, view.quotes[index], view.now_mono_ns)
        if plan.exit is not None:
            return _pursue_exit(desk, index, held, plan.exit, view)
    if is_stop_right and (_is_target_right(desk, working, held, plan) or view.now_mono_ns < plan.protect_not_before_ns):
        return []
    if is_stop_right and not is_linked:
        return _replace_target(desk, index, held, working, view)
    if working and is_linked:
        return [command for record in working for command in desk.cancel(record, "protection is replaced", view)]
    crossed = _crossed(plan, held, view.quotes[index])
    if crossed is not None:
        if plan.exit is not None:
            return []  # the exit's next attempt is due sooner than a stop that would fill at once is of use
        plan.exit = ExitPlan(reason=crossed, at_market=True, signal_id=plan.signal_id)
        return _pursue_exit(desk, index, held, plan.exit, view)
    needless = [command for record in _needless_stops(working, held) for command in desk.cancel(record, "one stop is enough", view)]
    if view.now_mono_ns < plan.protect_not_before_ns or _is_stop_under_way(working):
        return needless
    return needless + _place(desk, index, held, working, view)


def _place(desk: Desk, index: int, held: int, beside: list[OrderRecord], view: ExecutionView) -> list[Command]:
    """Place a stop for all that is held, and a target where nothing else works beside it."""
    plan, side = desk.plans[index], Side.SELL if held > 0 else Side.BUY
    stop_id = desk.ids.next(view.seq)
    # With what it is placed beside it makes one group: none of them adds to what it closes.
    group = next((record.intent.oco_group for record in beside if record.intent.oco_group is not None), stop_id)
    stop = OrderIntent(
        client_order_id=stop_id,
        instrument=index,
        side=side,
        type=OrderType.STOP_MARKET,
        lots=abs(held),
        purpose=Purpose.STOP,
        stop_ticks=plan.stop_ticks,
        reduce_only=True,
        oco_group=group,
        signal_id=plan.signal_id,
        ends_in_ns=None if plan.deadline_mono_ns is None else max(0, plan.deadline_mono_ns - view.now_mono_ns),
    )
    is_watched = desk.parameters.watched_targets
    record, commands = desk.submit(watched.carried_by(plan, stop) if is_watched else stop, view)
    if record is None:
        plan.protect_not_before_ns = view.now_mono_ns + _S
        return [*commands, _tell_refused(desk, index, commands, view)]
    return commands if beside or is_watched else commands + _place_target(desk, index, held, group, view)


def _tell_refused(desk: Desk, index: int, refused: list[Command], view: ExecutionView) -> Command:
    """Return what is to be said of a stop that the gate refused; without a price nobody knows whether what is held is more than dust."""
    name = desk.instruments[index].name
    is_small = any(isinstance(each, RecordRefusal) and each.refusal.code is RefusalCode.BELOW_MIN_NOTIONAL for each in refused)
    if is_small and view.quotes[index].best_bid_ticks <= 0:
        return Notify(severity="warning", subject="perhaps dust", text=f"{name}: too little for a stop, as far as is known without a price")
    return Notify(severity="critical", subject="stop refused by the risk gate", text=name)


def _place_target(desk: Desk, index: int, held: int, group: str | None, view: ExecutionView) -> list[Command]:
    plan = desk.plans[index]
    if plan.target_ticks is None:
        return []
    target = OrderIntent(
        client_order_id=desk.ids.next(view.seq),
        instrument=index,
        side=Side.SELL if held > 0 else Side.BUY,
        type=OrderType.LIMIT,
        lots=abs(held),
        purpose=Purpose.TARGET,
        price_ticks=plan.target_ticks,
        reduce_only=True,
        oco_group=group,
        signal_id=plan.signal_id,
    )
    record, commands = desk.submit(target, view)
    if record is None:
        plan.note_target_failure(view.now_mono_ns, desk.parameters.protect_attempts_max)
    return commands


def _replace_target(desk: Desk, index: int, held: int, working: list[OrderRecord], view: ExecutionView) -> list[Command]:
    """Bring the target to what the plan wants; the stop beside it is right, and stays."""
    targets = [record for record in working if record.intent.purpose is Purpose.TARGET]
    if targets:
        return [command for record in targets for command in desk.cancel(record, "the target is replaced", view)]
    stop = next(record for record in working if record.intent.purpose is Purpose.STOP)
    plan = desk.plans[index]
    crossed = _crossed(plan, held, view.quotes[index])
    if crossed == "target_crossed" and plan.exit is None:
        plan.exit = ExitPlan(reason=crossed, at_market=True, signal_id=plan.signal_id)
        return _pursue_exit(desk, index, held, plan.exit, view)
    if crossed is not None:
        return []
    return _place_target(desk, index, held, stop.intent.oco_group, view)


def _is_entry_reporting(desk: Desk, index: int, view: ExecutionView) -> bool:
    """Tell whether an immediate entry is still telling its fills: one stop for all of them is better than one for each."""
    limit_ns = desk.parameters.protect_delay_s * _S
    return any(
        record.intent.time_in_force is not TimeInForce.GTC and view.now_mono_ns - record.submitted_mono_ns < limit_ns
        for record in desk.ledger.entries(index)
    )


def _is_growing(desk: Desk, index: int, held: int, working: list[OrderRecord], view: ExecutionView) -> bool:
    """Tell whether a resting entry has just made the position larger than what protects it, which is to follow in a moment."""
    plan, now = desk.plans[index], view.now_mono_ns
    if plan.exit is not None or not any(record.intent.time_in_force is TimeInForce.GTC for record in desk.ledger.entries(index)):
        return False
    spent = desk.rate.count(now) / desk.limits.max_orders_per_minute
    patience_ns = next((wait_ns for share, wait_ns in _PATIENCE if spent >= share), 0)

    def may_wait(record: OrderRecord) -> bool:
        is_there = record.status in _AT_THE_VENUE and record.intent.side.sign * held < 0
        return is_there and record.leaves < abs(held) <= 2 * record.leaves and now - record.submitted_mono_ns < patience_ns

    stops, targets = _stops(working), [record for record in working if record.intent.purpose is Purpose.TARGET]
    if len(stops) != 1 or len(stops) + len(targets) != len(working) or stops[0].intent.stop_ticks != plan.stop_ticks:
        return False
    has_target = len(targets) == 1 and targets[0].intent.price_ticks == plan.target_ticks
    if not has_target and not _is_target_right(desk, working, held, plan):
        return False
    return any(map(may_wait, working)) and all(_fits(record, held) or may_wait(record) for record in working)


def _spare_stops(working: list[OrderRecord], held: int, plan: PositionPlan) -> list[OrderRecord] | None:
    """Return which stops beside the right one are to go; None while there are not two, of which one is right.

    None of them goes before the venue has acknowledged the right one: until then it is not known to stand. One that the venue is to make of
    an entry cannot go before it is shown.
    """
    stops = _stops(working)
    right = [record for record in stops if _fits(record, held) and record.intent.stop_ticks == plan.stop_ticks]
    if len(stops) < 2 or not right:
        return None
    stands = next((record for record in right if record.status in _AT_THE_VENUE), None)
    return [] if stands is None else [record for record in stops if record is not stands and not _is_awaited(record)]


def _needless_stops(working: list[OrderRecord], held: int) -> list[OrderRecord]:
    """Return which of several stops, none of them right, are to go already: what is left covers as much of what is held without them.

    Of two that cover as much the tighter one stays: what was promised to be lost at most is not more for a round trip.
    """
    standing = [record for record in _stops(working) if record.status in _AT_THE_VENUE]
    sign = 1 if held > 0 else -1

    def worth(record: OrderRecord) -> tuple[int, int]:
        return min(record.leaves, abs(held)), (record.intent.stop_ticks or 0) * sign

    covering = sorted((record for record in standing if record.intent.side.sign * held < 0), key=worth, reverse=True)
    kept, covered = list[OrderRecord](), 0
    for record in covering:
        if covered < abs(held):
            kept.append(record)
            covered += record.leaves
    return [record for record in standing if record not in kept]


def _is_stop_under_way(working: list[OrderRecord]) -> bool:
    """Tell whether a stop of our own was sent and not answered yet: one at a time."""
    return any(record.status is OrderStatus.SUBMITTED and not record.intent.is_attached for record in _stops(working))


def _is_awaited(record: OrderRecord) -> bool:
    return record.intent.is_attached and record.status is OrderStatus.SUBMITTED


def _stops(working: list[OrderRecord]) -> list[OrderRecord]:
    return [record for record in working if record.intent.purpose is Purpose.STOP]


def _is_stop_right(working: list[OrderRecord], held: int, plan: PositionPlan) -> bool:
    stops = [record for record in working if record.intent.purpose is not Purpose.TARGET]
    return len(stops) == 1 and _fits(stops[0], held) and stops[0].intent.stop_ticks == plan.stop_ticks


def _is_target_right(desk: Desk, working: list[OrderRecord], held: int, plan: PositionPlan) -> bool:
    targets = [record for record in working if record.intent.purpose is Purpose.TARGET]
    if plan.target_ticks is None or desk.parameters.watched_targets:
        return not targets
    return len(targets) == 1 and _fits(targets[0], held) and targets[0].intent.price_ticks == plan.target_ticks


def _fits(record: OrderRecord, held: int) -> bool:
    return record.status is not OrderStatus.PENDING_CANCEL and record.leaves == abs(held) and record.intent.side.sign * held < 0


def _crossed(plan: PositionPlan, held: int, quote: Quote) -> str | None:
    """Tell whether the market is already past a level, so that an order for it would be refused or filled at once."""
    if not quote.is_usable or plan.stop_ticks is None:
        return None
    sign = 1 if held > 0 else -1
    touch = quote.best_bid_ticks if held > 0 else quote.best_ask_ticks
    if (touch - plan.stop_ticks) * sign <= 0:
        return "stop_crossed"
    if plan.target_ticks is not None and (touch - plan.target_ticks) * sign >= 0:
        return "target_crossed"
    return None
