"""Trades that an evaluation made through the product's own engine: gross at mids, costs as charged, net by the account.

Three numbers of a trade come from three places: gross is what the mid did between the fills, cost is the venue's split of each fill
(spread, impact, fee), net is what the account was left with. That net is gross minus cost is therefore something to find out. All are bps
of what was paid at the entry.
"""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from smartmoney.learning.evaluation.passed_by import Chance

Floats = NDArray[np.float64]

_RESAMPLES = 1000
DAY_S = 86_400.0


class Trade(msgspec.Struct, frozen=True):
    """Be one round trip, in bps of its entry's notional; `at_ns` is when it ended."""

    at_ns: int
    gross: float
    spread: float
    impact: float
    fee: float
    net: float

    @property
    def cost(self) -> float:
        """Return what the venue charged."""
        return self.spread + self.impact + self.fee


class Traded(msgspec.Struct, frozen=True, kw_only=True):
    """Hold what one world's run made: trades from flat to flat, and the account's net result, in quote, open position included."""

    world: str
    family: str
    seconds: float
    signals: int
    trades: tuple[Trade, ...]
    net: float
    turnover: float
    halted: bool = False


class WorldTraded(msgspec.Struct, frozen=True, kw_only=True):
    """Hold one world's runs: with gates as configured, forced open, and the oracle's (None where none traded).

    `chances` are the oracle's trades and what became of each with the gates as configured.
    """

    normal: Traded
    opened: Traded
    oracle: Traded | None = None
    chances: tuple[Chance, ...] = ()


class TradeSums(msgspec.Struct, frozen=True, kw_only=True):
    """Average trades of several worlds, in bps; intervals are 95 %, over worlds (with one world, or none that traded, NaN)."""

    worlds: int
    trades: int
    gross: float
    gross_low: float
    gross_high: float
    cost: float
    spread: float
    impact: float
    fee: float
    net: float
    net_low: float
    net_high: float
    per_day: float

    @property
    def net_plus_cost(self) -> float:
        """Return net and what was charged: zero where the market gave nothing."""
        return self.net + self.cost

    @property
    def unexplained(self) -> float:
        """Return what net and gross differ by beside the cost: zero where account and venue agree."""
        return self.net + self.cost - self.gross

    @property
    def break_even_fee(self) -> float:
        """Return the fee of a fill, in bps, at which these trades would have come out even; below zero none would do."""
        return 0.5 * (self.gross - self.spread - self.impact)

    def net_at(self, times: float) -> float:
        """Return net at so many times the cost. The same trades: gates that read costs would have let others pass."""
        return self.gross - times * self.cost


def sums_of(worlds: Sequence[Traded], seed: int = 3) -> TradeSums:
    """Average the trades of some worlds."""
    count = len(worlds)
    table = np.array([(one.gross, one.cost, one.spread, one.impact, one.fee, one.net) for world in worlds for one in world.trades])
    table = table.reshape(-1, 6)
    of = np.repeat(np.arange(count), [len(world.trades) for world in worlds])
    means = table.mean(axis=0).tolist() if len(table) else [float("nan")] * 6
    gross, net = (_interval(table[:, column], of, count, seed) for column in (0, 5))
    days = sum(world.seconds for world in worlds) / DAY_S
    return TradeSums(
        worlds=count,
        trades=len(table),
        gross=means[0],
        gross_low=gross[0],
        gross_high=gross[1],
        cost=means[1],
        spread=means[2],
        impact=means[3],
        fee=means[4],
        net=means[5],
        net_low=net[0],
        net_high=net[1],
        per_day=len(table) / days if days else float("nan"),
    )


def _interval(values: Floats, of: NDArray[np.int64], worlds: int, seed: int) -> tuple[float, float]:
    counts = np.bincount(of, minlength=worlds).astype(np.float64)
    if (counts > 0.0).sum() < 2:
        return float("nan"), float("nan")
    totals = np.bincount(of, values, worlds)
    drawn = np.random.default_rng(seed).integers(0, worlds, (_RESAMPLES, worlds))
    held = counts[drawn].sum(axis=1)
    means = totals[drawn].sum(axis=1)[held > 0.0] / held[held > 0.0]
    low, high = np.quantile(means, (0.025, 0.975)).tolist()
    return low, high
