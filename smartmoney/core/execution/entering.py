"""Entries: how a signal's order is made, follows the touch while it rests, and is followed by another, or crosses, when it has ended.

A resting entry that the touch has left behind, or for which there is no book any more, is withdrawn, and only once it is proven gone and
the market is seen does another one take its place, for what it left over: there is never more than one. All of them together wait for
`entry_timeout_s` and follow the touch no further than a marketable limit would have reached at the decision. Whoever withdraws an entry for
another reason (an exit, a halt, a person at the venue) ends this.

Invariants: one entry of an instrument at a time; the orders of one signal never add up to more than it asked for, as far as their fills
are told; nothing is sent anew while halted, leaving or out of sync.
"""

import math

import msgspec

from smartmoney.core.domain.commands import Command, RecordRefusal
from smartmoney.core.domain.instruments import Instrument
from smartmoney.core.domain.orders import OrderIntent, OrderStatus, OrderType, Purpose, Side, TimeInForce
from smartmoney.core.domain.signals import Refusal, RefusalCode, Signal
from smartmoney.core.execution import attached
from smartmoney.core.execution.desk import Desk
from smartmoney.core.execution.entry_style import choose
from smartmoney.core.execution.orders import OrderRecord
from smartmoney.core.execution.parameters import EntryStyle, round_trip_cost_bps
from smartmoney.core.execution.plan import EntryPlan, Pursuit
from smartmoney.core.execution.view import ExecutionView, Quote, collar_ticks, protective_ticks, target_ticks
from smartmoney.core.strategy.outlook import Outlook
from smartmoney.core.strategy.rules import is_void

REPRICED = "repriced"
TIMED_OUT = "entry_timeout"
VOID = "signal_void"
BLIND = "book_lost"
OVERTAKEN = "late_fill"
"""An order before it has filled after all: what still works is for more than is left."""

_S = 1_000_000_000
_BPS = 1e4
_SETTLE_NS = _S // 2
"""The fills of an order that was withdrawn may be told after its end: so long another one waits for them."""
_REFUSALS_MAX = 3
_AT_THE_VENUE = frozenset({OrderStatus.ACCEPTED, OrderStatus.PARTIALLY_FILLED})
_REFUSED = frozenset({OrderStatus.REJECTED, OrderStatus.EXPIRED})
_GOES_ON = frozenset({REPRICED, TIMED_OUT, OVERTAKEN, BLIND})


def enter(desk: Desk, signal: Signal, index: int, delta_lots: int, view: ExecutionView, outlook: Outlook) -> list[Command]:
    """Return the entry of a signal, or why there is none."""
    grid, quote, parameters = desk.instruments[index], view.quotes[index], desk.parameters
    side = Side.BUY if delta_lots > 0 else Side.SELL
    if not quote.is_usable:
        return refuse(RefusalCode.FEED_NOT_SYNCED, index, quote.trust.value)
    stop, target = protective_ticks(grid, side, signal.stop_loss), target_ticks(grid, side, signal.take_profit)
    if stop is None or target is None or not math.isfinite(signal.confidence):
        return refuse(RefusalCode.NOT_WARM, index, "stop, target or confidence is not a number")
    if not _encloses(side, stop, target, quote):
        tick = quote.touch(side.opposite)
        return refuse(RefusalCode.STRATEGY_FAULT, index, f"stop {stop} and target {target} do not enclose tick {tick}")
    holding_s = outlook.horizon_s if parameters.max_holding_s is None else parameters.max_holding_s
    choice = choose(outlook, _spread_bps(quote), _BPS / _mid(quote), parameters)
    pursuit = Pursuit(
        plan=EntryPlan(
            signal_id=signal.signal_id,
            confidence=signal.confidence,
            stop_ticks=stop,
            target_ticks=target,
            holding_ns=int(holding_s * _S) if math.isfinite(holding_s) and holding_s > 0 else None,
            created_mono_ns=view.now_mono_ns,
        ),
        side=side,
        lots=min(abs(delta_lots), grid.max_lots),
        limit_ticks=collar_ticks(side, quote.touch(side), parameters.collar_bps),
        mid_ticks=_mid(quote),
        outlook=outlook,
    )
    why = choice.words if parameters.entry is EntryStyle.AUTO else None
    commands, is_sent = _send(desk, index, pursuit, choice.style, why, view)
    if is_sent and choice.style is EntryStyle.MAKER:
        desk.pursuits[index] = pursuit
    return commands


def waiting_lots(desk: Desk, index: int) -> int:
    """Return the signed lots of an entry that is between two orders."""
    pursuit = desk.pursuits.get(index)
    if pursuit is None or is_working(desk, pursuit):
        return 0
    return pursuit.side.sign * _left(desk, pursuit)


def is_against(desk: Desk, side: Side, index: int) -> bool:
    """Tell whether an entry of the other side works, or is between two orders."""
    pursuit = desk.pursuits.get(index)
    between = pursuit is not None and pursuit.side is not side
    return between or any(record.intent.side is not side for record in desk.ledger.entries(index))


def withdraw(desk: Desk, record: OrderRecord, view: ExecutionView) -> list[Command]:
    """Withdraw an entry that has waited for too long, whose signal is void, or that the touch has left behind or out of sight."""
    pursuit = desk.pursuits.get(record.intent.instrument)
    if pursuit is not None and record.status in _AT_THE_VENUE:
        pursuit.withdrawn = None  # where it was taken back, that came to nothing: who ends it now is somebody else
    reason = _why_withdraw(desk, record, view)
    return [] if reason is None else _take_back(desk, record, reason, view)


def after_late_fill(desk: Desk, record: OrderRecord, view: ExecutionView) -> list[Command]:
    """Take back what follows an order that has filled after its end, where it is for more than is left now."""
    pursuit = desk.pursuits.get(record.intent.instrument)
    newest = None if pursuit is None else desk.ledger.get(pursuit.order_ids[-1])
    if pursuit is None or newest is None or record.intent.client_order_id not in pursuit.order_ids[:-1]:
        return []
    return _take_back(desk, newest, OVERTAKEN, view) if newest.leaves > _left(desk, pursuit) else []


def is_tried_again(desk: Desk, record: OrderRecord) -> bool:
    """Tell whether another order follows one that the venue refused: it would have crossed, by all that is known."""
    pursuit = desk.pursuits.get(record.intent.instrument)
    is_newest = pursuit is not None and pursuit.order_ids[-1] == record.intent.client_order_id
    return pursuit is not None and is_newest and record.status in _REFUSED and pursuit.refusals < _REFUSALS_MAX


def go_on(desk: Desk, view: ExecutionView) -> list[Command]:
    """Send what follows on the entries that have ended, once their fills are told."""
    return [command for index in tuple(desk.pursuits) for command in _follow(desk, index, desk.pursuits[index], view)]


def refuse(code: RefusalCode, index: int, detail: str) -> list[Command]:
    """Return a refusal as what is done."""
    return [RecordRefusal(refusal=Refusal(code=code, instrument=index, detail=detail))]


def _take_back(desk: Desk, record: OrderRecord, reason: str, view: ExecutionView) -> list[Command]:
    commands = desk.cancel(record, reason, view)
    pursuit = desk.pursuits.get(record.intent.instrument)
    if pursuit is not None and commands:
        pursuit.withdrawn = reason
    return commands


def _why_withdraw(desk: Desk, record: OrderRecord, view: ExecutionView) -> str | None:
    parameters, intent = desk.parameters, record.intent
    plan = desk.entry_plans.get(intent.client_order_id)
    age_s = (view.now_mono_ns - (record.submitted_mono_ns if plan is None else plan.created_mono_ns)) / _S
    if intent.time_in_force is TimeInForce.GTC and age_s >= parameters.entry_timeout_s:
        return TIMED_OUT
    if plan is None:
        return None
    if is_void(plan.confidence, age_s, parameters.signal_decay_time_s):
        return VOID
    if _is_left_behind(desk, record, view):
        return REPRICED
    return BLIND if _is_blind(desk, record, view) else None


def _is_blind(desk: Desk, record: OrderRecord, view: ExecutionView) -> bool:
    """Tell whether there has been no book for as long as an entry stays at a price: nobody knows what goes through there."""
    pursuit = desk.pursuits.get(record.intent.instrument)
    if pursuit is None or view.quotes[record.intent.instrument].is_usable:
        if pursuit is not None:
            pursuit.blind_mono_ns = None
        return False
    if pursuit.blind_mono_ns is None:
        pursuit.blind_mono_ns = view.now_mono_ns
    return view.now_mono_ns - pursuit.blind_mono_ns >= desk.parameters.reprice_s * _S


def _is_left_behind(desk: Desk, record: OrderRecord, view: ExecutionView) -> bool:
    """Tell whether a resting entry is to be withdrawn for a better price: not sooner than it is worth a place in the queue."""
    intent, quote = record.intent, view.quotes[record.intent.instrument]
    pursuit = desk.pursuits.get(intent.instrument)
    if pursuit is None or pursuit.order_ids[-1] != intent.client_order_id or intent.price_ticks is None:
        return False
    has_rested = view.now_mono_ns - record.submitted_mono_ns >= desk.parameters.reprice_s * _S
    if not has_rested or _is_minute_short(desk, view) or record.status not in _AT_THE_VENUE or not quote.is_usable:
        return False
    return (_resting_ticks(pursuit, quote) - intent.price_ticks) * pursuit.side.sign > 0


def _is_minute_short(desk: Desk, view: ExecutionView) -> bool:
    """Tell whether half of the orders that entries have in a minute are spent: what rests keeps its place, the others are for new ones."""
    return desk.rate.count(view.now_mono_ns) >= orders_for_new_ones(desk)


def orders_for_new_ones(desk: Desk) -> int:
    """Return from how many orders in a minute on no entry is re-priced."""
    limits = desk.limits
    return (limits.max_orders_per_minute - limits.reserved_orders_per_minute + 1) // 2


def _resting_ticks(pursuit: Pursuit, quote: Quote) -> int:
    """Return the price at which it would rest now: the touch, followed no further than the limit."""
    bound = min if pursuit.side is Side.BUY else max
    return bound(quote.own_side(pursuit.side), pursuit.limit_ticks)


def _follow(desk: Desk, index: int, pursuit: Pursuit, view: ExecutionView) -> list[Command]:
    if is_working(desk, pursuit):
        return []
    style = next_style(desk, index, pursuit, view.now_mono_ns, is_halted=view.halted)
    if style is None:
        del desk.pursuits[index]
        return []
    if pursuit.ended_mono_ns is None:
        pursuit.ended_mono_ns = view.now_mono_ns
    if view.now_mono_ns - pursuit.ended_mono_ns < pause_ns(desk, pursuit) or not view.quotes[index].is_usable:
        return []
    if not _still_pays(desk, index, pursuit, style, view):
        del desk.pursuits[index]
        return []
    if pursuit.withdrawn is None:
        pursuit.refusals += 1
    before = pursuit.order_ids[-1]
    why = f"goes on after {before}: {pursuit.withdrawn or 'refused'}"
    commands, is_sent = _send(desk, index, pursuit, style, why, view)
    if not is_sent or style is EntryStyle.TAKER:
        del desk.pursuits[index]
    return commands


def pause_ns(desk: Desk, pursuit: Pursuit) -> int:
    """Return how long after the end of its order an entry goes on. What was refused stood at no price, but is not followed at once."""
    return int(desk.parameters.reprice_s * _S) if pursuit.withdrawn is None else _SETTLE_NS


def next_style(desk: Desk, index: int, pursuit: Pursuit, now_mono_ns: int, *, is_halted: bool) -> EntryStyle | None:
    """Return how an entry goes on whose order has ended, None where it does not."""
    record, age_s = desk.ledger.get(pursuit.order_ids[-1]), _age_s(pursuit, now_mono_ns)
    is_leaving = is_halted or desk.plans[index].exit is not None or desk.flattening is not None
    is_filled = not _is_order(desk.instruments[index], _left(desk, pursuit), pursuit.limit_ticks)
    if record is None or is_leaving or is_filled or is_void(pursuit.plan.confidence, age_s, desk.parameters.signal_decay_time_s):
        return None
    # A venue refuses what would have crossed, or lets it expire. Whatever else ended it is not for us to undo.
    is_refused = pursuit.withdrawn is None and is_tried_again(desk, record)
    if not is_refused and pursuit.withdrawn not in _GOES_ON:
        return None
    if not is_timed_out(desk, pursuit, now_mono_ns):
        return EntryStyle.MAKER
    return EntryStyle.TAKER if desk.parameters.entry is EntryStyle.AUTO else None


def is_timed_out(desk: Desk, pursuit: Pursuit, now_mono_ns: int) -> bool:
    """Tell whether an entry has waited for as long as it may."""
    return pursuit.withdrawn == TIMED_OUT or not _age_s(pursuit, now_mono_ns) < desk.parameters.entry_timeout_s


def _still_pays(desk: Desk, index: int, pursuit: Pursuit, style: EntryStyle, view: ExecutionView) -> bool:
    """Tell whether what is left of the forecast pays for going on. Without one the collar alone bounds how far it is followed.

    What would have to be closed at once, because the market is past its stop or its target, never does.
    """
    quote = view.quotes[index]
    if not _encloses(pursuit.side, pursuit.plan.stop_ticks, pursuit.plan.target_ticks, quote):
        return False
    if not pursuit.outlook.is_known:
        return style is EntryStyle.MAKER
    moved_bps = _BPS * pursuit.side.sign * (_mid(quote) - pursuit.mid_ticks) / pursuit.mid_ticks
    left_bps = pursuit.outlook.left_bps(_age_s(pursuit, view.now_mono_ns), moved_bps)
    return left_bps > round_trip_cost_bps(desk.parameters, _spread_bps(quote), style)


def _send(desk: Desk, index: int, pursuit: Pursuit, style: EntryStyle, why: str | None, view: ExecutionView) -> tuple[list[Command], bool]:
    """Send an order for what the entry has left over; say whether it passed the gate."""
    quote, is_maker = view.quotes[index], style is EntryStyle.MAKER
    bound = min if pursuit.side is Side.BUY else max
    crossing = bound(collar_ticks(pursuit.side, quote.touch(pursuit.side), desk.parameters.collar_bps), pursuit.limit_ticks)
    intent = OrderIntent(
        client_order_id=attached.next_id(desk, view.seq),
        instrument=index,
        side=pursuit.side,
        type=OrderType.LIMIT,
        lots=_left(desk, pursuit),
        purpose=Purpose.ENTRY,
        time_in_force=TimeInForce.GTC if is_maker else TimeInForce.IOC,
        price_ticks=_resting_ticks(pursuit, quote) if is_maker else crossing,
        stop_ticks=attached.carried_ticks(desk, index, pursuit.side, pursuit.plan.stop_ticks),
        post_only=is_maker,
        signal_id=pursuit.plan.signal_id,
        why=msgspec.UNSET if why is None else why,
    )
    record, commands = desk.submit(intent, view)
    if record is None:
        return commands, False
    pursuit.order_ids.append(intent.client_order_id)
    pursuit.withdrawn = pursuit.ended_mono_ns = pursuit.blind_mono_ns = None
    desk.remember_entry(intent.client_order_id, pursuit.plan)
    return commands, True


def is_working(desk: Desk, pursuit: Pursuit) -> bool:
    """Tell whether an entry's newest order may still fill; else it is between two orders."""
    record = desk.ledger.get(pursuit.order_ids[-1])
    return record is not None and record.is_working


def _left(desk: Desk, pursuit: Pursuit) -> int:
    """Return the lots that its orders have not filled, as far as is told."""
    records = (desk.ledger.get(order_id) for order_id in pursuit.order_ids)
    return max(0, pursuit.lots - sum(record.filled_lots for record in records if record is not None))


def _encloses(side: Side, stop_ticks: int, target_ticks: int, quote: Quote) -> bool:
    """Tell whether the price at which a position could be left now lies between its stop and its target."""
    ticks = quote.touch(side.opposite)
    return (ticks - stop_ticks) * side.sign > 0 and (target_ticks - ticks) * side.sign > 0


def _is_order(grid: Instrument, lots: int, ticks: int) -> bool:
    return lots >= max(1, grid.min_lots) and grid.notional(ticks, lots) >= grid.min_notional


def _age_s(pursuit: Pursuit, now_mono_ns: int) -> float:
    return (now_mono_ns - pursuit.plan.created_mono_ns) / _S


def _mid(quote: Quote) -> float:
    return (quote.best_bid_ticks + quote.best_ask_ticks) / 2


def _spread_bps(quote: Quote) -> float:
    return _BPS * (quote.best_ask_ticks - quote.best_bid_ticks) / _mid(quote)
