"""What each entry came to: how much of it was filled, how long that took, and what it cost against what had been expected of it.

An entry is what one signal asks for, over all the orders that followed one another for it. Prices are measured from the mid at its first
order; what was not filled in the end is priced as if it had crossed then, so that waiting cannot look cheap by missing what ran away.
Costs above zero are losses. Invariants: it watches and changes nothing; memory is bounded, the first `ENTRIES_MAX` entries are kept.
"""

import msgspec

from smartmoney.core.domain.commands import Command, SubmitOrder
from smartmoney.core.domain.entries import Entry, OrderFilled
from smartmoney.core.domain.orders import Fill, Liquidity, OrderIntent, Purpose, TimeInForce
from smartmoney.core.engine.engine import Engine
from smartmoney.core.execution.entry_style import expected_in
from smartmoney.core.execution.parameters import EntryStyle
from smartmoney.runtime.fill_costs import fee_in_quote

ENTRIES_MAX = 5_000
_ORDERS_REMEMBERED = 4_096
_S = 1_000_000_000
_BPS = 1e4


class EntryCost(msgspec.Struct, frozen=True, kw_only=True):
    """Be one entry. bps are of the mid at the decision; `style` is how its first order went to the market.

    `filled` is the share of the lots, `rested` the share that was filled in the queue, `wait_s` from the decision to a fill and `price_bps`
    of what was filled, means over its lots; `missed_bps` is the price of crossing when it ended, of what was not filled (0: nothing was
    left); `fee_bps` the fees of both, over everything asked for. `expected_bps` is what the choice of the style expected it to cost, None
    where nothing was reckoned.
    """

    signal_id: str
    instrument: int
    style: EntryStyle
    lots: int
    filled: float
    rested: float
    wait_s: float
    price_bps: float
    missed_bps: float
    fee_bps: float
    expected_bps: float | None = None

    @property
    def shortfall_bps(self) -> float:
        """Return what it cost without fees."""
        return self.filled * self.price_bps + (1.0 - self.filled) * self.missed_bps

    @property
    def cost_bps(self) -> float:
        """Return what it cost, fees and what it missed included."""
        return self.shortfall_bps + self.fee_bps


class _Open(msgspec.Struct):
    """Follow one entry: sums over its fills are weighted by their lots; `missed_ticks` is where crossing stood when it ended."""

    intent: OrderIntent
    mid_ticks: float
    mono_ns: int
    filled: int = 0
    rested: int = 0
    waited_s: float = 0.0
    over_bps: float = 0.0
    fees_bps: float = 0.0
    missed_ticks: int | None = None


class EntryCosts:
    """Watch a run and keep what its entries came to."""

    def __init__(self) -> None:
        self._entries: dict[str, _Open] = {}
        self._going: dict[int, _Open] = {}
        self._orders: dict[str, _Open] = {}
        self._engine: Engine | None = None

    def use(self, engine: Engine) -> None:
        """Say whose book and orders are meant."""
        self._engine = engine

    def look(self) -> None:
        """See which entries have ended, before anything else moves the market."""
        if not self._going:
            return
        assert self._engine is not None
        for index in [index for index in self._going if not self._engine.executor.is_entering(index)]:
            self._end(index, self._engine)

    def asked(self, command: Command, mono_ns: int) -> None:
        """Note an order of an entry, the first of which is its decision."""
        if not isinstance(command, SubmitOrder) or self._engine is None:
            return
        intent = command.approved.intent
        if intent.purpose is not Purpose.ENTRY or intent.signal_id is None:
            return
        entry = self._entries.get(intent.signal_id)
        if entry is None:
            if intent.instrument in self._going:
                self._end(intent.instrument, self._engine)
            bid, ask = self._engine.market.touch(intent.instrument)
            if not 0 < bid <= ask or len(self._entries) >= ENTRIES_MAX:
                return
            entry = self._entries[intent.signal_id] = self._going[intent.instrument] = _Open(intent, 0.5 * (bid + ask), mono_ns)
        self._orders[intent.client_order_id] = entry
        if len(self._orders) > _ORDERS_REMEMBERED:
            del self._orders[next(iter(self._orders))]

    def append(self, entry: Entry) -> None:
        """See an entry of the run that is no tick: its fills count, late ones too."""
        if isinstance(entry.payload, OrderFilled):
            opened = self._orders.get(entry.payload.fill.client_order_id)
            if opened is not None and self._engine is not None:
                self._book(opened, entry.payload.fill, entry.ts_mono_ns, self._engine)

    def told(self) -> tuple[EntryCost, ...]:
        """Return the entries that have ended; one that goes on still is left out."""
        if self._engine is None:
            return ()
        self.look()
        taker_bps = float(self._engine.executor.parameters.taker_bps)
        return tuple(_cost(entry, taker_bps) for entry in self._entries.values() if entry.missed_ticks is not None)

    def _end(self, index: int, engine: Engine) -> None:
        entry = self._going.pop(index)
        bid, ask = engine.market.touch(index)
        # Without a book nobody knows what crossing would have cost: the mid of the decision stands in for it.
        is_known = 0 < bid <= ask
        entry.missed_ticks = (ask if entry.intent.side.sign > 0 else bid) if is_known else round(entry.mid_ticks)

    def _book(self, entry: _Open, fill: Fill, mono_ns: int, engine: Engine) -> None:
        grid, sign = engine.market.instruments[fill.instrument], entry.intent.side.sign
        entry.filled += fill.lots
        entry.rested += fill.lots if fill.liquidity is Liquidity.MAKER else 0
        entry.waited_s += fill.lots * (mono_ns - entry.mono_ns) / _S
        entry.over_bps += fill.lots * _over_bps(sign, fill.price_ticks, entry.mid_ticks)
        entry.fees_bps += fill.lots * float(fee_in_quote(fill, grid) / grid.notional(fill.price_ticks, fill.lots)) * _BPS


def _over_bps(sign: int, ticks: float, mid_ticks: float) -> float:
    return sign * (ticks - mid_ticks) / mid_ticks * _BPS


def _cost(entry: _Open, taker_bps: float) -> EntryCost:
    intent = entry.intent
    lots = max(intent.lots, entry.filled)
    left = lots - entry.filled
    style = EntryStyle.TAKER if intent.time_in_force is TimeInForce.IOC else EntryStyle.MAKER
    assert entry.missed_ticks is not None
    return EntryCost(
        signal_id=intent.signal_id or "",
        instrument=intent.instrument,
        style=style,
        lots=lots,
        filled=entry.filled / lots,
        rested=entry.rested / lots,
        wait_s=entry.waited_s / max(entry.filled, 1),
        price_bps=entry.over_bps / max(entry.filled, 1),
        missed_bps=_over_bps(intent.side.sign, entry.missed_ticks, entry.mid_ticks) if left else 0.0,
        fee_bps=(entry.fees_bps + left * taker_bps) / lots,
        expected_bps=None if intent.why is msgspec.UNSET else expected_in(intent.why),
    )
