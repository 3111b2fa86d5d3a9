"""What our own fills have made of our money: positions, fees, realised profit, equity; exact, in Decimal.

Invariants: `position` is the sum of the signed fills less fees taken in base; cash plus marked positions is equity, to the smallest unit;
each trade id counts once; a division never loses money (its remainder stays on the part that is kept).
"""

from collections.abc import Sequence
from decimal import ROUND_HALF_EVEN, Context, Decimal, DivisionByZero, Inexact, InvalidOperation, Overflow, localcontext

import msgspec

from smartmoney.core.domain.instruments import Instrument
from smartmoney.core.domain.orders import Fill, PositionReport, Side

CLOSED_ORDERS_REMEMBERED = 4096
"""Finished orders whose trade ids are kept, so that a late duplicate of theirs is still known."""

FUNDINGS_REMEMBERED = 4096
"""Funding payments whose references are kept: those of a year, for four instruments."""

_ZERO = Decimal(0)
_EXACT = Context(prec=96, traps=[InvalidOperation, DivisionByZero, Overflow, Inexact])
_SHARE = Context(prec=96, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation, DivisionByZero, Overflow])
_SHARE_UNIT = Decimal("1e-18")


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """Hold what is held of one instrument.

    Units: `quantity` signed, in base; `cost` the signed quote amount paid for it without fees; `entry_fees` the part of the fees paid,
    in quote, that belongs to what is still held.
    """

    quantity: Decimal = _ZERO
    cost: Decimal = _ZERO
    entry_fees: Decimal = _ZERO

    @property
    def average_price(self) -> Decimal | None:
        """Return the mean price paid, in quote, or None when nothing is held."""
        return None if self.quantity == 0 else self.cost / self.quantity


class ClosedTrade(msgspec.Struct, frozen=True, kw_only=True):
    """Describe one round trip, from flat to flat (below the smallest order counts as flat).

    Units: `quantity` in base, prices and money in quote, times on the venue's clock. `net_profit` = `gross_profit` less the fees of both
    legs. `opened_by` and `closed_by` are client order ids; `signal_id` and `reason` are completed by the executor.
    """

    instrument: int
    side: Side
    quantity: Decimal
    entry_price: Decimal
    exit_price: Decimal
    gross_profit: Decimal
    fees: Decimal
    net_profit: Decimal
    opened_ts_event_ns: int
    closed_ts_event_ns: int
    opened_by: str
    closed_by: str
    signal_id: str | None = None
    reason: str = ""


class _RoundTrip:
    """Add up one round trip while it lasts."""

    __slots__ = ("entry_cost", "fees", "gross", "opened_by", "opened_ns", "proceeds", "quantity", "side")

    def __init__(self, side: Side, opened_by: str, opened_ns: int) -> None:
        self.side = side
        self.opened_by = opened_by
        self.opened_ns = opened_ns
        self.quantity = _ZERO
        self.entry_cost = _ZERO
        self.proceeds = _ZERO
        self.gross = _ZERO
        self.fees = _ZERO


class Portfolio:
    """Book fills and price what they made.

    `cash` is quote currency; a derivative's notional is booked through cash too, which gives the same equity as margin accounting.
    Fees in another asset than base or quote cannot be priced here: they are totalled in `fees_other` and leave equity alone.
    """

    def __init__(
        self, instruments: Sequence[Instrument], cash: Decimal, positions: Sequence[PositionReport] = (), fundings: Sequence[str] = ()
    ) -> None:
        self.instruments = tuple(instruments)
        self.cash = cash
        self.realised = _ZERO
        self.fees_paid = _ZERO
        self.funding_paid = _ZERO
        self.transferred = _ZERO
        self.fees_other: dict[str, Decimal] = {}
        self.fill_count = 0
        self._positions = [Position() for _ in self.instruments]
        self._lots = [0 for _ in self.instruments]
        self.is_exposed = False
        """Whether anything is held at all, be it dust."""
        self._trips: list[_RoundTrip | None] = [None for _ in self.instruments]
        self._seen: set[tuple[int, str]] = set()
        self._ids_of_order: dict[str, list[tuple[int, str]]] = {}
        self._closed_orders: dict[str, None] = {}
        self._fundings: dict[str, None] = dict.fromkeys(fundings)
        for report in positions:
            self._put(report.instrument, Position(quantity=report.quantity, cost=report.cost))
            if self.position_lots(report.instrument) != 0:
                self._trips[report.instrument] = _RoundTrip(Side.BUY if report.quantity > 0 else Side.SELL, "", 0)

    def position(self, instrument: int) -> Position:
        """Return what is held of an instrument."""
        return self._positions[instrument]

    def position_lots(self, instrument: int) -> int:
        """Return the signed lots that could be traded away: rounded toward zero, 0 when below the smallest order."""
        return self._lots[instrument]

    def has_position(self) -> bool:
        """Tell whether any instrument holds more than dust."""
        return any(self._lots)

    def is_known(self, fill: Fill) -> bool:
        """Tell whether a fill was booked before."""
        return (fill.instrument, fill.trade_id) in self._seen

    def apply(self, fill: Fill) -> ClosedTrade | None:
        """Book a fill; return the round trip that it closed, if it did. A fill booked before changes nothing.

        Raises:
            decimal.Inexact: the amounts need more than 96 digits; nothing is booked.
        """
        if self.is_known(fill):
            return None
        with localcontext(_EXACT):
            closed = self._book(fill)
        key = (fill.instrument, fill.trade_id)
        self._seen.add(key)
        self._ids_of_order.setdefault(fill.client_order_id, []).append(key)
        self.fill_count += 1
        return closed

    def is_booked(self, reference: str) -> bool:
        """Tell whether a funding payment of this reference is booked."""
        return reference in self._fundings

    def apply_funding(self, amount: Decimal, reference: str) -> bool:
        """Book a funding payment, in quote: positive is received, negative is paid. One that was booked changes nothing and gives False."""
        if reference in self._fundings:
            return False
        self._fundings[reference] = None
        if len(self._fundings) > FUNDINGS_REMEMBERED:
            del self._fundings[next(iter(self._fundings))]
        with localcontext(_EXACT):
            self.cash += amount
            self.funding_paid -= amount
        return True

    def apply_transfer(self, amount: Decimal) -> None:
        """Book money paid in (positive) or taken out (negative), in quote."""
        with localcontext(_EXACT):
            self.cash += amount
            self.transferred += amount

    def order_closed(self, client_order_id: str) -> None:
        """Note that an order is finished: its trade ids are kept for the next 4,096 orders and then forgotten. Twice is once."""
        if client_order_id not in self._ids_of_order or client_order_id in self._closed_orders:
            return
        self._closed_orders[client_order_id] = None
        if len(self._closed_orders) > CLOSED_ORDERS_REMEMBERED:
            oldest = next(iter(self._closed_orders))
            del self._closed_orders[oldest]
            self._seen.difference_update(self._ids_of_order.pop(oldest, ()))

    def equity(self, marks: Sequence[Decimal | None]) -> Decimal | None:
        """Return cash plus marked positions, in quote; None when more than dust is held of an instrument without a mark."""
        if not self.is_exposed:
            return self.cash
        with localcontext(_EXACT):
            total = self.cash
            for index, position in enumerate(self._positions):
                if position.quantity == 0:
                    continue
                mark = marks[index]
                if mark is not None and mark.is_finite():
                    total += position.quantity * mark
                elif self.position_lots(index) != 0:
                    return None
                else:
                    total += position.cost
            return total

    def reports(self) -> tuple[PositionReport, ...]:
        """Return every position that is not exactly zero."""
        return tuple(
            PositionReport(instrument=index, quantity=position.quantity, cost=position.cost)
            for index, position in enumerate(self._positions)
            if position.quantity != 0
        )

    def _put(self, instrument: int, position: Position) -> None:
        """Replace a position, and what is asked of it at every look."""
        self._positions[instrument] = position
        grid, quantity = self.instruments[instrument], position.quantity
        lots = int(_SHARE.divide_int(abs(quantity), grid.lot_size))
        self._lots[instrument] = 0 if lots < grid.min_lots else lots if quantity > 0 else -lots
        self.is_exposed = any(one.quantity != 0 for one in self._positions)

    def _book(self, fill: Fill) -> ClosedTrade | None:
        grid = self.instruments[fill.instrument]
        price = grid.price(fill.price_ticks)
        quantity = grid.quantity(fill.lots) * fill.side.sign
        fee_quote = self._take_fee(fill, grid, price)
        self.cash -= price * quantity
        if fill.fee_asset == grid.base:
            quantity -= fill.fee
        held = self._positions[fill.instrument].quantity
        if held == 0 or (held > 0) == (quantity > 0):
            self._open(fill, quantity, price, fee_quote)
            return None
        closing = quantity if abs(quantity) <= abs(held) else -held
        closing_fee = fee_quote if closing == quantity else _part(fee_quote, closing, quantity)
        self._close(fill, closing, price, closing_fee)
        closed = self._end_trip_when_flat(fill)
        if closing != quantity:
            self._open(fill, quantity - closing, price, fee_quote - closing_fee)
        return closed

    def _take_fee(self, fill: Fill, grid: Instrument, price: Decimal) -> Decimal:
        if fill.fee_asset == grid.quote:
            self.cash -= fill.fee
            fee_quote = fill.fee
        elif fill.fee_asset == grid.base:
            fee_quote = fill.fee * price
        else:
            self.fees_other[fill.fee_asset] = self.fees_other.get(fill.fee_asset, _ZERO) + fill.fee
            fee_quote = _ZERO
        self.fees_paid += fee_quote
        return fee_quote

    def _open(self, fill: Fill, quantity: Decimal, price: Decimal, fee_quote: Decimal) -> None:
        held = self._positions[fill.instrument]
        self._put(
            fill.instrument,
            Position(quantity=held.quantity + quantity, cost=held.cost + quantity * price, entry_fees=held.entry_fees + fee_quote),
        )
        if quantity != 0 and self._trips[fill.instrument] is None:
            side = Side.BUY if quantity > 0 else Side.SELL
            self._trips[fill.instrument] = _RoundTrip(side, fill.client_order_id, fill.ts_event_ns)

    def _close(self, fill: Fill, closing: Decimal, price: Decimal, fee_quote: Decimal) -> None:
        held = self._positions[fill.instrument]
        is_all = closing == -held.quantity
        cost = held.cost if is_all else _part(held.cost, closing, -held.quantity)
        entry_fees = held.entry_fees if is_all else _part(held.entry_fees, closing, -held.quantity)
        proceeds = -closing * price
        self.realised += proceeds - cost
        self._put(
            fill.instrument, Position(quantity=held.quantity + closing, cost=held.cost - cost, entry_fees=held.entry_fees - entry_fees)
        )
        trip = self._trips[fill.instrument]
        if trip is None:  # dust of an earlier round trip is being sold
            trip = _RoundTrip(fill.side.opposite, "", fill.ts_event_ns)
            self._trips[fill.instrument] = trip
        trip.quantity += abs(closing)
        trip.entry_cost += abs(cost)
        trip.proceeds += abs(proceeds)
        trip.gross += proceeds - cost
        trip.fees += entry_fees + fee_quote

    def _end_trip_when_flat(self, fill: Fill) -> ClosedTrade | None:
        trip = self._trips[fill.instrument]
        if trip is None or trip.quantity == 0 or self.position_lots(fill.instrument) != 0:
            return None
        self._trips[fill.instrument] = None
        return ClosedTrade(
            instrument=fill.instrument,
            side=trip.side,
            quantity=trip.quantity,
            entry_price=_SHARE.divide(trip.entry_cost, trip.quantity).quantize(_SHARE_UNIT, context=_SHARE),
            exit_price=_SHARE.divide(trip.proceeds, trip.quantity).quantize(_SHARE_UNIT, context=_SHARE),
            gross_profit=trip.gross,
            fees=trip.fees,
            net_profit=trip.gross - trip.fees,
            opened_ts_event_ns=trip.opened_ns,
            closed_ts_event_ns=fill.ts_event_ns,
            opened_by=trip.opened_by,
            closed_by=fill.client_order_id,
        )


def mark_price(instrument: Instrument, quantity: Decimal, best_bid_ticks: int, best_ask_ticks: int) -> Decimal | None:
    """Return what a position could be closed at: the bid for a long, the ask for a short; None when that side is empty (-1)."""
    ticks = best_bid_ticks if quantity >= 0 else best_ask_ticks
    return instrument.price(ticks) if ticks > 0 else None


def unrealised(position: Position, mark: Decimal) -> Decimal:
    """Return the open profit of a position at a mark, in quote, fees left out."""
    return position.quantity * mark - position.cost


def _part(amount: Decimal, numerator: Decimal, denominator: Decimal) -> Decimal:
    """Return `amount` times a fraction, rounded to 18 decimals: the caller keeps the remainder, so that nothing is lost."""
    return _SHARE.divide(_SHARE.multiply(amount, numerator), denominator).quantize(_SHARE_UNIT, context=_SHARE)
