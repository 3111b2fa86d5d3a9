"""Where the money of each fill went: delay, spread, impact, fee.

With side s (+1 a buy), decision mid m0, mid at the fill m1, the touch that a taker met t and the fill's price p, all over m0:
delay = s (m1 − m0); a taker's spread = s (t − m1) and impact = s (p − t); a maker's spread = s (p − m1) and its impact is 0. The three sum
to s (p − m0), exactly, whatever happened in between. A stop is decided at its trigger, a target at its price; without a book then, the last
one known counts. Each order is decided anew: what a cancelled one waited for is charged to nobody. Costs above zero are losses.
After Perold (1988), implementation shortfall.

Memory is bounded: the first `FILLS_MAX` fills are kept one by one, every fill is in the sums by purpose and liquidity.
"""

from collections import deque
from collections.abc import Iterable
from decimal import Decimal

import msgspec

from smartmoney.core.domain.commands import Command, SubmitOrder
from smartmoney.core.domain.entries import Entry, OrderCanceled, OrderExpired, OrderFilled, OrderRejected, RunStarted, SendRefused
from smartmoney.core.domain.instruments import Instrument
from smartmoney.core.domain.orders import Fill, Liquidity, OrderIntent, Purpose, Side
from smartmoney.core.engine.engine import Engine

FILLS_MAX = 10_000
"""Fills kept one by one; the sums take in all."""
ENDED_ORDERS_MAX = 4_096
"""Orders that have ended are remembered so long: a fill may come late."""
_ENDED = (OrderCanceled, OrderExpired, OrderRejected, SendRefused)
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


class CostSums(msgspec.Struct, frozen=True, kw_only=True):
    """Sum what fills of one kind cost, in quote: `known` is the notional of those with a book to tell delay, spread and impact by."""

    fills: int = 0
    notional: float = 0.0
    known: float = 0.0
    delay: float = 0.0
    spread: float = 0.0
    impact: float = 0.0
    fee: float = 0.0

    def plus(self, other: "CostSums") -> "CostSums":
        """Return the sums of both."""
        return CostSums(**{name: getattr(self, name) + getattr(other, name) for name in self.__struct_fields__})

    def shares(self) -> CostShares:
        """Return the average costs in bps; zeros without fills."""
        scale = _BPS / self.known if self.known else 0.0
        fee = self.fee / self.notional * _BPS if self.notional else 0.0
        return CostShares(delay=self.delay * scale, spread=self.spread * scale, impact=self.impact * scale, fee=fee)


class FillCosts:
    """Watch a run and keep what its fills cost, from the book as it was when the fill's entry came."""

    def __init__(self) -> None:
        self.fills: list[FillCost] = []
        self.sums: dict[str, CostSums] = {}
        """By purpose and liquidity, as in "exit maker"."""
        self.strangers = 0
        """Fills of orders that were neither sent in this run nor working at its start."""
        self._engine: Engine | None = None
        self._decided: dict[str, tuple[OrderIntent, float | None]] = {}
        self._ended: deque[str] = deque()
        self.mids: dict[int, float] = {}
        """The last mid known of each instrument, in ticks; a watcher that sees one earlier writes it here."""

    @property
    def is_whole(self) -> bool:
        """Tell whether `fills` are all of them."""
        return len(self.fills) < FILLS_MAX

    def use(self, engine: Engine) -> None:
        """Say whose book and orders are meant."""
        self._engine = engine

    def asked(self, command: Command, mono_ns: int) -> None:
        """Note the mid at which an order was decided on."""
        del mono_ns
        if isinstance(command, SubmitOrder):
            intent = command.approved.intent
            self._book(intent.instrument)
            self._decided[intent.client_order_id] = (intent, self.mids.get(intent.instrument))

    def append(self, entry: Entry) -> None:
        """Look at one entry of the run that is no tick; fills are kept."""
        payload = entry.payload
        if isinstance(payload, OrderFilled):
            self._keep(entry, payload.fill)
        elif isinstance(payload, _ENDED):
            self._forget_later(payload.client_order_id)
        elif isinstance(payload, RunStarted):
            # Orders of an earlier run: nobody here knows when they were decided.
            self._decided.update({order.intent.client_order_id: (order.intent, None) for order in payload.orders})

    def intent(self, client_order_id: str) -> OrderIntent | None:
        """Return what an order was to do; None if it is not known (any more)."""
        found = self._decided.get(client_order_id)
        return None if found is None else found[0]

    def mid_ticks(self, index: int) -> float | None:
        """Return the last mid known of an instrument, in ticks."""
        return self.mids.get(index)

    def total(self) -> CostSums:
        """Return the sums over all fills."""
        return summed(self.sums.values())

    def _forget_later(self, client_order_id: str) -> None:
        self._ended.append(client_order_id)
        if len(self._ended) > ENDED_ORDERS_MAX:
            self._decided.pop(self._ended.popleft(), None)

    def _book(self, index: int) -> tuple[int, int]:
        if self._engine is None:
            return -1, -1
        bid, ask = self._engine.market.touch(index)
        if 0 < bid <= ask:
            self.mids[index] = 0.5 * (bid + ask)
        return bid, ask

    def _keep(self, entry: Entry, fill: Fill) -> None:
        intent, decided = self._decided.get(fill.client_order_id, (None, None))
        if intent is None or self._engine is None:
            self.strangers += 1
            return
        bid, ask = self._book(fill.instrument)
        grid = self._engine.market.instruments[fill.instrument]
        notional = grid.notional(fill.price_ticks, fill.lots)
        delay, spread, impact = _shortfall(intent, decided, bid, ask, fill)
        cost = FillCost(
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
            fee_bps=float(fee_in_quote(fill, grid) / notional) * _BPS,
        )
        if len(self.fills) < FILLS_MAX:
            self.fills.append(cost)
        kind = f"{cost.purpose.value} {cost.liquidity.value}"
        self.sums[kind] = self.sums.get(kind, CostSums()).plus(sums_of(cost))
        if fill.lots >= intent.lots:
            self._forget_later(fill.client_order_id)


def summed(parts: Iterable[CostSums]) -> CostSums:
    """Return the sums of all parts."""
    total = CostSums()
    for part in parts:
        total = total.plus(part)
    return total


def sums_of(cost: FillCost) -> CostSums:
    """Return what one fill adds to the sums."""
    scale = cost.notional / _BPS
    fee = cost.fee_bps * scale
    if cost.delay_bps is None or cost.spread_bps is None or cost.impact_bps is None:
        return CostSums(fills=1, notional=cost.notional, fee=fee)
    return CostSums(
        fills=1,
        notional=cost.notional,
        known=cost.notional,
        delay=cost.delay_bps * scale,
        spread=cost.spread_bps * scale,
        impact=cost.impact_bps * scale,
        fee=fee,
    )


def _shortfall(
    intent: OrderIntent, decided: float | None, bid: int, ask: int, fill: Fill
) -> tuple[float | None, float | None, float | None]:
    start = decided
    if intent.stop_ticks is not None and intent.purpose is not Purpose.ENTRY:  # an entry's is that of the stop which it carries
        start = float(intent.stop_ticks)
    elif intent.purpose is Purpose.TARGET and intent.price_ticks is not None:
        start = float(intent.price_ticks)
    if start is None or not 0 < bid <= ask:
        return None, None, None
    sign, mid = fill.side.sign, 0.5 * (bid + ask)
    touch = fill.price_ticks if fill.liquidity is Liquidity.MAKER else ask if sign > 0 else bid
    scale = sign * _BPS / start
    return (mid - start) * scale, (touch - mid) * scale, (fill.price_ticks - touch) * scale


def fee_in_quote(fill: Fill, grid: Instrument) -> Decimal:
    """Return a fee in quote; one in a third asset cannot be priced here and counts as none, as in the portfolio."""
    if fill.fee_asset == grid.base:
        return fill.fee * grid.price(fill.price_ticks)
    return fill.fee if fill.fee_asset == grid.quote else Decimal(0)
