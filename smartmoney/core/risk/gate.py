"""The gate: the last decision before an order leaves, and the only place that makes `Approved`.

Invariants: an order that can raise risk passes every check; an order that reduces it needs a valid grid, a position to reduce and a free
slot in the order rate, and nothing else can hold it back. Every comparison is written so that NaN and None refuse.
"""

from collections.abc import Callable
from decimal import Decimal

import msgspec

from smartmoney.core.domain.instruments import Instrument
from smartmoney.core.domain.orders import Approved, OrderIntent, OrderType, Purpose, Side
from smartmoney.core.domain.signals import FeedTrust, Refusal, RefusalCode
from smartmoney.core.risk.parameters import RiskLimits

_BPS = Decimal(10_000)


class GateContext(msgspec.Struct, frozen=True, kw_only=True):
    """Show the gate the world at send time.

    Units: ticks and lots on the instrument's grid (-1 ticks: that side of the book is empty). `position_lots` signed.
    `working_buy_lots`, `working_sell_lots`: worst case of this instrument's working and unknown orders that may raise risk.
    `reducing_lots`: worst case of its working orders that reduce the position, those of the intent's own oco_group left out.
    `gross_other`: worst-case notional of all other instruments, in quote. `daily_loss`: fraction of today's opening equity.
    """

    instrument: Instrument
    now_mono_ns: int
    valid_ns: int
    halted: bool
    halt_epoch: int
    trust: FeedTrust
    best_bid_ticks: int
    best_ask_ticks: int
    position_lots: int
    working_buy_lots: int
    working_sell_lots: int
    reducing_lots: int
    equity: Decimal | None
    gross_other: Decimal | None
    open_orders: int
    orders_last_minute: int
    daily_loss: Decimal | None


class _Denied(msgspec.Struct, frozen=True):
    """Name the limit that was missed."""

    code: RefusalCode
    detail: str
    value: float | None = None
    limit: float | None = None


_Check = Callable[[OrderIntent, GateContext, RiskLimits], _Denied | None]


def approve(intent: OrderIntent, context: GateContext, limits: RiskLimits) -> Approved | Refusal:
    """Approve an order or say which limit it misses. Cost: a few µs, at decisions only."""
    checks = _REDUCING if intent.reduce_only else _INCREASING
    for check in checks:
        denied = check(intent, context, limits)
        if denied is not None:
            return Refusal(code=denied.code, instrument=intent.instrument, detail=denied.detail, value=denied.value, limit=denied.limit)
    return Approved(intent=intent, valid_until_mono_ns=context.now_mono_ns + context.valid_ns, halt_epoch=context.halt_epoch)


def _grid(intent: OrderIntent, context: GateContext, _limits: RiskLimits) -> _Denied | None:
    grid = context.instrument
    if intent.type is OrderType.LIMIT and not (intent.price_ticks is not None and intent.price_ticks > 0):
        return _Denied(RefusalCode.OFF_GRID, "a limit order needs a positive price")
    if intent.type is OrderType.MARKET and intent.price_ticks is not None:
        return _Denied(RefusalCode.OFF_GRID, "a market order has no price")
    is_conditional = intent.type in {OrderType.STOP_MARKET, OrderType.TAKE_PROFIT_MARKET}
    if is_conditional and not (intent.stop_ticks is not None and intent.stop_ticks > 0):
        return _Denied(RefusalCode.OFF_GRID, "a conditional order needs a positive trigger")
    if not intent.lots >= grid.min_lots:
        return _Denied(RefusalCode.BELOW_MIN_NOTIONAL, "below the smallest order", intent.lots, grid.min_lots)
    if not intent.lots <= grid.max_lots:
        return _Denied(RefusalCode.ABOVE_MAX_ORDER, "above the venue's largest order", intent.lots, grid.max_lots)
    return None


def _reduces(intent: OrderIntent, context: GateContext, _limits: RiskLimits) -> _Denied | None:
    available = -intent.side.sign * context.position_lots
    if not available > 0:
        return _Denied(RefusalCode.NO_POSITION, "nothing to reduce", available, intent.lots)
    if not intent.lots + context.reducing_lots <= available:
        detail = "more would be closed than is held"
        return _Denied(RefusalCode.WOULD_INCREASE_RISK, detail, intent.lots + context.reducing_lots, available)
    return None


def _rate_of_reducing(_intent: OrderIntent, context: GateContext, limits: RiskLimits) -> _Denied | None:
    if not context.orders_last_minute < limits.max_orders_per_minute:
        return _Denied(RefusalCode.ORDER_RATE, "orders in a minute", context.orders_last_minute, limits.max_orders_per_minute)
    return None


def _notional_of_reducing(intent: OrderIntent, context: GateContext, limits: RiskLimits) -> _Denied | None:
    return None if limits.reduce_only_exempt else _min_notional(intent, context, limits)


def _reducing_collar(intent: OrderIntent, context: GateContext, limits: RiskLimits) -> _Denied | None:
    """Stop a limit price far through the touch; where there is no touch nothing holds back a reduction."""
    touch = context.best_ask_ticks if intent.side is Side.BUY else context.best_bid_ticks
    if intent.price_ticks is None or touch <= 0:
        return None
    return _through(intent, touch, limits)


def _may_increase(intent: OrderIntent, context: GateContext, _limits: RiskLimits) -> _Denied | None:
    if intent.purpose is not Purpose.ENTRY:
        return _Denied(RefusalCode.WOULD_INCREASE_RISK, f"{intent.purpose.value} orders are reduce-only")
    if context.halted:
        return _Denied(RefusalCode.HALTED, "halted")
    if context.trust is not FeedTrust.SYNCED:
        return _Denied(RefusalCode.FEED_NOT_SYNCED, context.trust.value)
    if intent.side is Side.SELL and not context.instrument.allows_short:
        return _Denied(RefusalCode.NO_POSITION, "no shorts here")
    return None


def _entry_collar(intent: OrderIntent, context: GateContext, limits: RiskLimits) -> _Denied | None:
    bid, ask = context.best_bid_ticks, context.best_ask_ticks
    if not 0 < bid < ask:
        return _Denied(RefusalCode.FEED_NOT_SYNCED, f"no usable touch: bid {bid}, ask {ask}")
    if intent.type is not OrderType.LIMIT or intent.price_ticks is None:
        return _Denied(RefusalCode.OUTSIDE_COLLAR, "an entry needs a limit price")
    own, other = (bid, ask) if intent.side is Side.BUY else (ask, bid)
    behind_bps = Decimal((own - intent.price_ticks) * intent.side.sign) / own * _BPS
    if not behind_bps <= limits.collar_bps:
        return _Denied(RefusalCode.OUTSIDE_COLLAR, "too far behind the touch, bps", float(behind_bps), float(limits.collar_bps))
    return _through(intent, other, limits)


def _through(intent: OrderIntent, touch: int, limits: RiskLimits) -> _Denied | None:
    if intent.price_ticks is None:
        return _Denied(RefusalCode.OUTSIDE_COLLAR, "no price")
    through_bps = Decimal((intent.price_ticks - touch) * intent.side.sign) / touch * _BPS
    if not through_bps <= limits.collar_bps:
        return _Denied(RefusalCode.OUTSIDE_COLLAR, "too far through the touch, bps", float(through_bps), float(limits.collar_bps))
    return None


def _min_notional(intent: OrderIntent, context: GateContext, _limits: RiskLimits) -> _Denied | None:
    # An order without a limit is reckoned at the touch: a stop some percent away must not be refused for a position that can be sold now.
    ticks = intent.price_ticks or max(context.best_bid_ticks, intent.stop_ticks or 0)
    notional = context.instrument.notional(max(ticks, 0), intent.lots)
    if not notional >= context.instrument.min_notional:
        detail = "below the venue's smallest notional"
        return _Denied(RefusalCode.BELOW_MIN_NOTIONAL, detail, float(notional), float(context.instrument.min_notional))
    return None


def _max_notional(intent: OrderIntent, context: GateContext, limits: RiskLimits) -> _Denied | None:
    if limits.max_order_notional is None:
        return None
    notional = context.instrument.notional(_dearest(intent, context), intent.lots)
    if not notional <= limits.max_order_notional:
        return _Denied(RefusalCode.ABOVE_MAX_ORDER, "notional of one order", float(notional), float(limits.max_order_notional))
    return None


def _position(intent: OrderIntent, context: GateContext, limits: RiskLimits) -> _Denied | None:
    equity = _known(context.equity)
    if equity is None:
        return _Denied(RefusalCode.ABOVE_MAX_POSITION, "equity is unknown")
    worst_lots = _worst_lots(intent, context)
    if not worst_lots <= context.instrument.max_lots:
        detail = "one stop could not hold it all: above the venue's largest order"
        return _Denied(RefusalCode.ABOVE_MAX_POSITION, detail, worst_lots, context.instrument.max_lots)
    worst = context.instrument.notional(_dearest(intent, context), worst_lots)
    cap = limits.max_position_fraction * equity
    if not worst <= cap:
        return _Denied(RefusalCode.ABOVE_MAX_POSITION, "worst-case notional", float(worst), float(cap))
    return None


def _gross(intent: OrderIntent, context: GateContext, limits: RiskLimits) -> _Denied | None:
    equity, other = _known(context.equity), _known(context.gross_other)
    if equity is None or other is None:
        return _Denied(RefusalCode.ABOVE_GROSS_CAP, "equity or exposure elsewhere is unknown")
    gross = other + context.instrument.notional(_dearest(intent, context), _worst_lots(intent, context))
    cap = limits.gross_cap * equity
    if not gross <= cap:
        return _Denied(RefusalCode.ABOVE_GROSS_CAP, "worst-case notional of everything", float(gross), float(cap))
    return None


def _open_orders(_intent: OrderIntent, context: GateContext, limits: RiskLimits) -> _Denied | None:
    if not context.open_orders < limits.max_open_orders:
        return _Denied(RefusalCode.TOO_MANY_OPEN_ORDERS, "open orders", context.open_orders, limits.max_open_orders)
    return None


def _rate_of_entries(_intent: OrderIntent, context: GateContext, limits: RiskLimits) -> _Denied | None:
    allowed = limits.max_orders_per_minute - limits.reserved_orders_per_minute
    if not context.orders_last_minute < allowed:
        return _Denied(RefusalCode.ORDER_RATE, "orders in a minute", context.orders_last_minute, allowed)
    return None


def _daily_loss(_intent: OrderIntent, context: GateContext, limits: RiskLimits) -> _Denied | None:
    loss = _known(context.daily_loss)
    if loss is None:
        return _Denied(RefusalCode.DAILY_LOSS, "today's loss is unknown")
    if not loss < limits.max_daily_loss:
        return _Denied(RefusalCode.DAILY_LOSS, "fraction lost today", float(loss), float(limits.max_daily_loss))
    return None


def _known(amount: Decimal | None) -> Decimal | None:
    return amount if amount is not None and amount.is_finite() else None


def _dearest(intent: OrderIntent, context: GateContext) -> int:
    return max(intent.price_ticks or 0, context.best_ask_ticks)


def _worst_lots(intent: OrderIntent, context: GateContext) -> int:
    """Return the largest position, long or short, that everything working and this order could make."""
    buys = context.working_buy_lots + (intent.lots if intent.side is Side.BUY else 0)
    sells = context.working_sell_lots + (intent.lots if intent.side is Side.SELL else 0)
    return max(abs(context.position_lots + buys), abs(context.position_lots - sells))


_REDUCING: tuple[_Check, ...] = (_grid, _reduces, _notional_of_reducing, _reducing_collar, _rate_of_reducing)
_INCREASING: tuple[_Check, ...] = (
    _grid,
    _may_increase,
    _entry_collar,
    _min_notional,
    _max_notional,
    _position,
    _gross,
    _open_orders,
    _rate_of_entries,
    _daily_loss,
)
