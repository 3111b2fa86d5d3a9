"""What a report needs to know of a stretch of market: small, plain, of bounded size however long the stretch was.

Units: times are ns of our wall clock, money is in quote currency. Invariant: trades beyond `TRIPS_MAX` are in the sums by regime and in
nothing else, and `trips_left_out` says how many they are.
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from smartmoney.core.domain.orders import Side
from smartmoney.learning.matched_null import NullDraws
from smartmoney.learning.reliability import Reliability
from smartmoney.runtime.entry_costs import EntryCost
from smartmoney.runtime.fill_costs import CostSums

TRIPS_MAX = 5_000
PATH_POINTS = 1_600
REGIME_CHANGES_MAX = 1_024
UNKNOWN = "unknown"
"""The regime of a decision that was taken before the first analysis, and of a trade that an earlier run opened."""


class RoundTrip(msgspec.Struct, frozen=True, kw_only=True):
    """Be one trade from flat to flat. `exit` says why it ended; `confidence`, `signal_id` and `regime` are of its entry."""

    instrument: str
    side: Side
    quantity: float
    entry_ns: int
    exit_ns: int
    entry_price: float
    exit_price: float
    gross: float
    fees: float
    net: float
    regime: str
    confidence: float | None
    exit: str
    signal_id: str

    @property
    def notional(self) -> float:
        """Return what was paid for it, in quote."""
        return self.entry_price * self.quantity

    @property
    def net_bps(self) -> float:
        """Return the net result in bps of the notional."""
        return 1e4 * self.net / self.notional

    @property
    def holding_s(self) -> float:
        """Return how long it was held."""
        return (self.exit_ns - self.entry_ns) / 1e9


class RegimeChange(msgspec.Struct, frozen=True):
    """Say from when a regime's label stood, and its probability then."""

    at_ns: int
    label: str
    probability: float


class InstrumentChronicle(msgspec.Struct, frozen=True, kw_only=True):
    """Show one instrument: its mid, thinned for drawing (None is a hole), and its regimes."""

    name: str
    path: tuple[tuple[int, float | None], ...] = ()
    regimes: tuple[RegimeChange, ...] = ()


class TripSums(msgspec.Struct, frozen=True, kw_only=True):
    """Sum the round trips of one regime, and the seconds for which it stood."""

    seconds: float = 0.0
    trips: int = 0
    wins: int = 0
    notional: float = 0.0
    gross: float = 0.0
    fees: float = 0.0
    net: float = 0.0

    def plus(self, other: "TripSums") -> "TripSums":
        """Return the sums of both."""
        return TripSums(**{name: getattr(self, name) + getattr(other, name) for name in self.__struct_fields__})


class Chronicle(msgspec.Struct, frozen=True, kw_only=True):
    """Hold what a stretch was like. `decisions` counts by code ("signal" for what became one), then by regime; `costs` by kind of fill.

    `missing` names, in words, what could not be known.
    """

    start_ns: int = 0
    end_ns: int = 0
    quote: str = ""
    instruments: tuple[InstrumentChronicle, ...] = ()
    trips: tuple[RoundTrip, ...] = ()
    by_regime: Mapping[str, TripSums] = {}
    exits: Mapping[str, int] = {}
    decisions: Mapping[str, Mapping[str, int]] = {}
    costs: Mapping[str, CostSums] = {}
    entries: tuple[EntryCost, ...] = ()
    forecasts: Reliability = Reliability()
    null: NullDraws = NullDraws()
    payments: tuple[tuple[int, float], ...] = ()
    """Funding, and what liquidations cost: when it was booked (our wall clock, ns), and in quote what was received; the first ones."""
    missing: tuple[str, ...] = ()

    @property
    def totals(self) -> TripSums:
        """Return the sums over all regimes."""
        total = TripSums()
        for part in self.by_regime.values():
            total = total.plus(part)
        return total

    @property
    def trips_left_out(self) -> int:
        """Return how many round trips are in the sums only."""
        return self.totals.trips - len(self.trips)


def cost_sums(parts: Iterable[Mapping[str, CostSums]]) -> dict[str, CostSums]:
    """Return the sums of several stretches, by kind of fill."""
    total: dict[str, CostSums] = {}
    for part in parts:
        for kind, sums in part.items():
            total[kind] = total.get(kind, CostSums()).plus(sums)
    return dict(sorted(total.items()))


def regime_sums(parts: Sequence[Mapping[str, TripSums]]) -> dict[str, TripSums]:
    """Return the sums of several stretches, by regime."""
    total: dict[str, TripSums] = {}
    for part in parts:
        for regime, sums in part.items():
            total[regime] = total.get(regime, TripSums()).plus(sums)
    return dict(sorted(total.items()))


def decision_sums(parts: Iterable[Mapping[str, Mapping[str, int]]]) -> dict[str, dict[str, int]]:
    """Return the counts of several stretches, by code and regime."""
    total: dict[str, dict[str, int]] = {}
    for part in parts:
        for code, by in part.items():
            mine = total.setdefault(code, {})
            for regime, count in by.items():
                mine[regime] = mine.get(regime, 0) + count
    return {code: dict(sorted(by.items())) for code, by in sorted(total.items())}


def counted(parts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Return the sums of several counts, by name."""
    total: dict[str, int] = {}
    for part in parts:
        for name, count in part.items():
            total[name] = total.get(name, 0) + count
    return dict(sorted(total.items()))
