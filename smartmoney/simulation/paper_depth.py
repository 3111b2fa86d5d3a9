"""What the paper venue sees of the real market, and the depth that its own orders have already used up.

Invariants: lots that were taken from a level stay taken until the venue shows another quantity there; memory is bounded.
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import NamedTuple, Protocol

BID = 0
ASK = 1
WALK_LEVELS_MAX = 1000
"""Levels that one order may walk; what is left then finds no more depth."""
_FIRST_LEVELS = 16
"""Levels that are asked for at first; most orders need no more."""
CONSUMED_LEVELS_MAX = 4096


class LastTrade(NamedTuple):
    """Show the last public trade: `sign` +1 when the buyer was the aggressor; `trade_id` differs from trade to trade, -1 before any."""

    ticks: int
    lots: int
    sign: int
    trade_id: int


class FundingTerms(NamedTuple):
    """Be a time at which a perpetual pays funding (ns, as the venue names it), the rate (positive: longs pay) and the mark price."""

    at_ns: int
    rate: Decimal
    mark: Decimal


class FundingTold(NamedTuple):
    """Be what the venue said of funding: the next payment, known `since_ns`, last told `heard_ns` on its clock, and the latest settled."""

    next: FundingTerms
    since_ns: int
    heard_ns: int
    settled: FundingTerms | None


class DepthView(Protocol):
    """Show one instrument's book as it is after the entry that was folded last. Ticks are -1 where a side is empty."""

    @property
    def synced(self) -> bool:
        """Tell whether the book can be vouched for; without that nothing fills."""
        ...

    @property
    def best_bid_ticks(self) -> int:
        """Return the best bid."""
        ...

    @property
    def best_ask_ticks(self) -> int:
        """Return the best ask."""
        ...

    def levels(self, side: int, limit: int) -> tuple[Sequence[int], Sequence[int]]:
        """Return ticks and lots of at most `limit` levels of a side (0 bid, 1 ask), best first."""
        ...

    def level_lots(self, side: int, ticks: int) -> int:
        """Return the lots shown at a price, 0 for none."""
        ...

    def last_trade(self) -> LastTrade:
        """Return the last public trade."""
        ...

    def funding(self) -> FundingTold | None:
        """Return what the venue said of funding, None where it said nothing."""
        ...


class ConsumedDepth:
    """Remember, per (side, tick), what was shown when lots were taken there, and how many were."""

    def __init__(self) -> None:
        self._levels: dict[tuple[int, int], tuple[int, int]] = {}

    def __len__(self) -> int:
        return len(self._levels)

    def available(self, side: int, ticks: int, shown: int) -> int:
        """Return the lots of a level that are still there for us; forgets what was taken once the level shows another quantity."""
        memory = self._levels.get((side, ticks))
        if memory is None:
            return shown
        if memory[0] != shown:
            del self._levels[side, ticks]
            return shown
        return max(0, shown - memory[1])

    def take(self, side: int, ticks: int, shown: int, lots: int) -> None:
        """Note lots that were taken from a level that shows `shown`."""
        memory = self._levels.pop((side, ticks), None)
        taken = memory[1] if memory is not None and memory[0] == shown else 0
        self._levels[side, ticks] = (shown, taken + lots)
        if len(self._levels) > CONSUMED_LEVELS_MAX:
            del self._levels[next(iter(self._levels))]

    def offers(self, market: DepthView, side: int, worst_ticks: int | None) -> Iterator[tuple[int, int, int]]:
        """Yield (ticks, shown, available) of a side's levels, best first, down to a worst price; levels that are used up are left out."""
        for ticks, shown in _walk(market, side):
            price = int(ticks)
            if worst_ticks is not None and (price > worst_ticks if side == ASK else price < worst_ticks):
                return
            free = self.available(side, price, int(shown))
            if free > 0:
                yield price, int(shown), free


def _walk(market: DepthView, side: int) -> Iterator[tuple[int, int]]:
    """Yield (ticks, lots) of a side's levels, best first, at most `WALK_LEVELS_MAX`; meanwhile the book stands still."""
    first = 0
    for limit in (_FIRST_LEVELS, WALK_LEVELS_MAX):
        ticks_of, lots_of = market.levels(side, limit)
        yield from zip(ticks_of[first:], lots_of[first:], strict=True)
        if len(ticks_of) < limit:
            return
        first = limit
