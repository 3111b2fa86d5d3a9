"""Where the money of each fill went: delay, spread, impact, fee.

With side s (+1 a buy), decision mid m0, mid at the fill m1, the touch that a taker met t and the fill's price p, all over m0:
delay = s (m1 − m0); a taker's spread = s (t − m1) and impact = s (p − t); a maker's spread = s (p − m1) and its impact is 0. The three sum
to s (p − m0), exactly, whatever happened in between. A stop is decided at its trigger, a target at its price; without a book then, the last
one known counts. Each order is decided anew: what a cancelled one waited for is charged to nobody. Costs above zero are losses.
After Perold (1988), implementation shortfall.
"""

from collections import deque
from decimal import Decimal

import msgspec

from smartmoney.core.domain.commands import Command, SubmitOrder
from smartmoney.core.domain.entries import Entry, OrderCanceled, OrderExpired, OrderFilled, OrderRejected, SendRefused, Tick
from smartmoney.core.domain.instruments import Instrument
from smartmoney.core.domain.orders import Fill, Liquidity, OrderIntent, Purpose, Side
from smartmoney.core.engine.engine import Engine
from smartmoney.core.engine.market import top_of_book
from smartmoney.core.engine.stretch import Passed

_BPS = 10_000.0
_Parts = tuple[float | None, float | None, float | None]


class FillCost(msgspec.Struct, frozen=True, kw_only=True):
    """Be one fill with its costs in bps of the decision mid (None: no book to tell); `fee_bps` is of the fill's own notional."""

    ts_event_ns: int
    wall_ns: int
    client_order_id: str
    instrument: int
    side: Side
    purpose: Purpose
    liquidity: Liquidity
    price: Decimal
    quantity: Decimal
    notional: float
    delay_bps: float | None
    spread_bps: float | None
    impact_bps: float | None
    fee_bps: float


class CostShares(msgspec.Struct, frozen=True, kw_only=True):
    """Average costs over fills, each weighted by its notional, in bps."""

    delay: float
    spread: float
    impact: float
    fee: float


FILLS_KEPT = 20_000
"""Fills kept one by one; the averages are over all of them."""
ENDED_ORDERS_KEPT = 1024
"""Orders that ended and are still known, should a fill of theirs come late."""
_ENDS = (OrderCanceled, OrderExpired, OrderRejected, SendRefused)
_PARTS = {"delay": "delay_bps", "spread": "spread_bps", "impact": "impact_bps", "fee": "fee_bps"}


class FillCosts:
    """Watch a run and keep what its fills cost, from the book as it was when the fill's entry came. Memory is bounded."""

    def __init__(self) -> None:
        self.fills: deque[FillCost] = deque(maxlen=FILLS_KEPT)
        """The newest fills."""
        self.fills_by: dict[str, int] = {}
        """How many fills of each purpose and liquidity."""
        self.turnover = 0.0
        self._weighted = dict.fromkeys(_PARTS, 0.0)
        self._weights = dict.fromkeys(_PARTS, 0.0)
        self._ended: deque[str] = deque()
        self._engine: Engine | None = None
        self._decided: dict[str, tuple[OrderIntent, float | None]] = {}
        self._mids: dict[int, float] = {}

    def use(self, engine: Engine) -> None:
        """Say whose book and orders are meant."""
        self._engine = engine

    def asked(self, command: Command, mono_ns: int) -> None:
        """Note the mid at which an order was decided on."""
        del mono_ns
        if isinstance(command, SubmitOrder):
            intent = command.approved.intent
            self._book(intent.instrument)
            self._decided[intent.client_order_id] = (intent, self._mids.get(intent.instrument))

    def append(self, entry: Entry) -> None:
        """Look at one entry of the run; fills are kept."""
        if isinstance(entry.payload, Tick):
            self._watch_books()
        elif isinstance(entry.payload, OrderFilled):
            self._keep(entry, entry.payload.fill)
        elif isinstance(entry.payload, _ENDS):
            self._end(entry.payload.client_order_id)

    def pass_over(self, passed: Passed) -> None:
        """Note the touches of ticks that went by."""
        for touch in passed.ticked:
            self._mids[touch.instrument] = 0.5 * (touch.bid_ticks + touch.ask_ticks)

    def shares(self) -> CostShares:
        """Return the average costs; zeros while nothing was filled."""
        return CostShares(**{name: total / self._weights[name] if self._weights[name] else 0.0 for name, total in self._weighted.items()})

    def _end(self, client_order_id: str) -> None:
        """Forget an order some time after it ended."""
        self._ended.append(client_order_id)
        if len(self._ended) > ENDED_ORDERS_KEPT:
            self._decided.pop(self._ended.popleft(), None)

    def _add(self, fill: FillCost) -> None:
        self.fills.append(fill)
        self.turnover += fill.notional
        key = f"{fill.purpose.value} {fill.liquidity.value}"
        self.fills_by[key] = self.fills_by.get(key, 0) + 1
        for name, field in _PARTS.items():
            value = getattr(fill, field)
            if value is not None:
                self._weighted[name] += value * fill.notional
                self._weights[name] += fill.notional

    def _watch_books(self) -> None:
        if self._engine is not None:
            for index in range(len(self._engine.market.instruments)):
                self._book(index)

    def _book(self, index: int) -> tuple[int, int]:
        if self._engine is None:
            return -1, -1
        bid, ask = top_of_book(self._engine.market.states[index])
        if 0 < bid <= ask:
            self._mids[index] = 0.5 * (bid + ask)
        return bid, ask

    def _keep(self, entry: Entry, fill: Fill) -> None:
        intent, decided = self._decided.get(fill.client_order_id, (None, None))
        if intent is None or self._engine is None:
            raise AssertionError(f"a fill of {fill.client_order_id}, which this run did not send")
        bid, ask = self._book(fill.instrument)
        grid = self._engine.market.instruments[fill.instrument]
        notional = grid.notional(fill.price_ticks, fill.lots)
        delay, spread, impact = _shortfall(intent, decided, bid, ask, fill)
        self._add(
            FillCost(
                ts_event_ns=fill.ts_event_ns,
                wall_ns=entry.ts_wall_ns,
                client_order_id=fill.client_order_id,
                instrument=fill.instrument,
                side=fill.side,
                purpose=intent.purpose,
                liquidity=fill.liquidity,
                price=grid.price(fill.price_ticks),
                quantity=grid.quantity(fill.lots),
                notional=float(notional),
                delay_bps=delay,
                spread_bps=spread,
                impact_bps=impact,
                fee_bps=float(_fee_in_quote(fill, grid) / notional) * _BPS,
            )
        )


def _shortfall(
    intent: OrderIntent, decided: float | None, bid: int, ask: int, fill: Fill
) -> tuple[float | None, float | None, float | None]:
    start = decided
    if intent.stop_ticks is not None:
        start = float(intent.stop_ticks)
    elif intent.purpose is Purpose.TARGET and intent.price_ticks is not None:
        start = float(intent.price_ticks)
    if start is None or not 0 < bid <= ask:
        return None, None, None
    sign, mid = fill.side.sign, 0.5 * (bid + ask)
    touch = fill.price_ticks if fill.liquidity is Liquidity.MAKER else ask if sign > 0 else bid
    scale = sign * _BPS / start
    return (mid - start) * scale, (touch - mid) * scale, (fill.price_ticks - touch) * scale


def _fee_in_quote(fill: Fill, grid: Instrument) -> Decimal:
    return fill.fee * grid.price(fill.price_ticks) if fill.fee_asset == grid.base else fill.fee
