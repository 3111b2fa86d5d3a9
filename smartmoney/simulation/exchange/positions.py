"""Compute USD-M positions and margins: one-way positions, cross or isolated, with the venue's brackets. Pure functions over decimals.

Invariant: realised profit plus what the open position cost is what its trades paid, to the last place: nothing is rounded away.
Sources: Binance futures, "leverage and margin" and "liquidation price" pages (2026-07).
"""

from collections.abc import Iterable
from decimal import ROUND_HALF_EVEN, Decimal

import msgspec

from smartmoney.core.domain.instruments import Instrument
from smartmoney.simulation.exchange.ledger import ATOM, ZERO
from smartmoney.simulation.exchange.orders import Order

LEVERAGE_MAX = 125
DEFAULT_LEVERAGE = 20


class Bracket(msgspec.Struct, frozen=True):
    """Be a step of position size: up to `cap` of notional, at most `leverage`, maintenance `ratio` less `cum`."""

    cap: Decimal
    leverage: int
    ratio: Decimal
    cum: Decimal


def _brackets() -> tuple[Bracket, ...]:
    table = (
        (50_000, 125, "0.004"),
        (600_000, 100, "0.005"),
        (3_000_000, 75, "0.0065"),
        (12_000_000, 50, "0.01"),
        (70_000_000, 25, "0.02"),
        (100_000_000, 20, "0.025"),
        (230_000_000, 10, "0.05"),
        (480_000_000, 5, "0.1"),
        (600_000_000, 4, "0.125"),
        (800_000_000, 3, "0.15"),
        (1_200_000_000, 2, "0.25"),
        (1_800_000_000, 1, "0.5"),
    )
    made: list[Bracket] = []
    floor = cum = last = ZERO
    for cap, leverage, text in table:
        ratio = Decimal(text)
        cum += floor * (ratio - last)
        made.append(Bracket(Decimal(cap), leverage, ratio, cum))
        floor, last = Decimal(cap), ratio
    return tuple(made)


BRACKETS = _brackets()
"""Steps of every symbol, as published for BTCUSDT."""


class Position(msgspec.Struct, kw_only=True):
    """Be an account's position in one symbol. `lots` and `cost` are signed; `cost` is what the open lots were bought (or sold) for."""

    instrument: Instrument
    lots: int = 0
    cost: Decimal = ZERO
    fees: Decimal = ZERO
    realised: Decimal = ZERO
    leverage: int = DEFAULT_LEVERAGE
    is_isolated: bool = False
    isolated_wallet: Decimal = ZERO
    updated_ns: int = 0

    @property
    def quantity(self) -> Decimal:
        """Return the signed quantity."""
        return self.instrument.lot_size * self.lots

    @property
    def entry(self) -> Decimal:
        """Return the average price of the open lots, 0 if flat."""
        return self.cost / self.quantity if self.lots else ZERO

    @property
    def break_even(self) -> Decimal:
        """Return the price at which the open lots pay their own commissions."""
        return (self.cost + self.fees) / self.quantity if self.lots else ZERO

    def unrealised(self, mark: Decimal) -> Decimal:
        """Return the open profit at a mark price."""
        return self.quantity * mark - self.cost

    def trade(self, lots: int, price: Decimal, fee: Decimal) -> Decimal:
        """Take signed lots at a price and return the profit realised. Isolated margin follows the size."""
        before, closing = self.lots, 0
        realised = ZERO
        if before and (before > 0) != (lots > 0):
            closing = min(abs(before), abs(lots))
            sign = 1 if before > 0 else -1
            share = Decimal(closing) / abs(before)
            portion = self.cost if closing == abs(before) else _rounded(self.cost * share)
            realised = sign * closing * self.instrument.lot_size * price - portion
            self.cost -= portion
            self.isolated_wallet = ZERO if closing == abs(before) else _rounded(self.isolated_wallet * (1 - share))
            self.fees = ZERO if closing == abs(before) else _rounded(self.fees * (1 - share))
        opened = (abs(lots) - closing) * (1 if lots > 0 else -1)
        value = opened * self.instrument.lot_size * price
        self.lots += lots
        self.cost += value
        self.realised += realised
        if opened:
            self.fees += fee
            if self.is_isolated:
                self.isolated_wallet += _rounded(abs(value) / self.leverage)
        return realised


class SymbolMargin(msgspec.Struct, frozen=True, kw_only=True):
    """Be what one symbol's position and open orders tie up, at a mark price."""

    notional: Decimal
    unrealised: Decimal
    maintenance: Decimal
    position_initial: Decimal
    open_initial: Decimal
    bids: Decimal
    asks: Decimal

    @property
    def initial(self) -> Decimal:
        """Return position and order margin together."""
        return self.position_initial + self.open_initial


class Margin(msgspec.Struct, frozen=True, kw_only=True):
    """Be an account's sums. `available` is what new orders may tie up."""

    wallet: Decimal
    cross_wallet: Decimal
    unrealised: Decimal
    cross_unrealised: Decimal
    maintenance: Decimal
    cross_maintenance: Decimal
    position_initial: Decimal
    open_initial: Decimal
    available: Decimal


def bracket_of(notional: Decimal) -> Bracket:
    """Return the bracket of a position's size."""
    return next((b for b in BRACKETS if notional <= b.cap), BRACKETS[-1])


def notional_max(leverage: int) -> Decimal:
    """Return the largest position at a leverage."""
    return next((b.cap for b in reversed(BRACKETS) if b.leverage >= leverage), BRACKETS[0].cap)


def symbol_margin(
    position: Position, orders: Iterable[Order], mark: Decimal, extra: tuple[Decimal, Decimal] = (ZERO, ZERO)
) -> SymbolMargin:
    """Return what a symbol ties up; `extra` adds hypothetical bid and ask notional."""
    bids, asks = extra
    for order in orders:
        if order.reduce_only or not order.is_open:
            continue
        value = position.instrument.notional(order.asked.tick, order.left_lots)
        bids, asks = (bids + value, asks) if order.is_buy else (bids, asks + value)
    notional = position.quantity * mark
    size = abs(notional)
    bracket = bracket_of(size)
    held = size / position.leverage
    worst = max(abs(notional + bids), abs(notional - asks)) / position.leverage
    return SymbolMargin(
        notional=notional,
        unrealised=position.unrealised(mark),
        maintenance=size * bracket.ratio - bracket.cum,
        position_initial=held,
        open_initial=max(worst - held, ZERO),
        bids=bids,
        asks=asks,
    )


def account_margin(wallet: Decimal, parts: Iterable[tuple[Position, SymbolMargin]]) -> Margin:
    """Return an account's sums over its symbols."""
    unrealised = cross_unrealised = maintenance = cross_maintenance = position_initial = open_initial = tied = isolated = ZERO
    for position, part in parts:
        unrealised += part.unrealised
        maintenance += part.maintenance
        position_initial += part.position_initial
        open_initial += part.open_initial
        tied += part.open_initial
        if position.is_isolated:
            isolated += position.isolated_wallet
        else:
            cross_unrealised += part.unrealised
            cross_maintenance += part.maintenance
            tied += part.position_initial
    cross_wallet = wallet - isolated
    return Margin(
        wallet=wallet,
        cross_wallet=cross_wallet,
        unrealised=unrealised,
        cross_unrealised=cross_unrealised,
        maintenance=maintenance,
        cross_maintenance=cross_maintenance,
        position_initial=position_initial,
        open_initial=open_initial,
        available=max(cross_wallet + cross_unrealised - tied, ZERO),
    )


def liquidation_price(position: Position, margin: Margin, part: SymbolMargin) -> Decimal:
    """Return the mark price at which the position would be taken over, 0 if there is none above 0."""
    if not position.lots:
        return ZERO
    if position.is_isolated:
        buffer = position.isolated_wallet
    else:
        others = margin.cross_maintenance - part.maintenance
        buffer = margin.cross_wallet - others + margin.cross_unrealised - part.unrealised
    size, sign = abs(position.quantity), 1 if position.lots > 0 else -1
    price, bracket = ZERO, bracket_of(abs(part.notional))
    for _ in BRACKETS:
        # The price may lie where the position falls into another bracket.
        price = (buffer + bracket.cum - position.cost) / (size * bracket.ratio - sign * size)
        there = bracket_of(size * max(price, ZERO))
        if there is bracket:
            break
        bracket = there
    return max(price, ZERO)


def _rounded(value: Decimal) -> Decimal:
    return value.quantize(ATOM, rounding=ROUND_HALF_EVEN)
