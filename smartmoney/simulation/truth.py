"""Make bars of truth from a book's truth rows: who was informed, how much of the trading was theirs, and which regime held.

A bar is a second of simulated time; it ends with its TRUTH_BAR row, and the trades before that row, since the last one, are its own. The
regime comes from latents by a fixed precedence and never from realised prices: volatile (volatility multiplier of at least 2, or a cascade
or trap active), trending (the efficient price at least one σ of 60 s from the mid, and no informed parent active), accumulation and
distribution (informed buyers' minus sellers' share of the last 60 s of trading at least 10 %, with at least 10 % of such a parent left),
neutral (the rest, uninformed splitters included).
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from smartmoney.simulation import ladder
from smartmoney.simulation.market import Rows
from smartmoney.simulation.parents import INFORMED, MISTAKEN, SPLITTER
from smartmoney.simulation.truth_bar import CASCADE_ON, INFORMED_ON, MILLION, PRICE_ONE, TRAP_ON

REGIMES = ("neutral", "accumulation", "distribution", "trending", "volatile")
NEUTRAL, ACCUMULATION, DISTRIBUTION, TRENDING, VOLATILE = range(5)
TRAILING = 60
"""Bars of the trailing participation."""
VOLATILE_FROM = 2.0
PARTICIPATION_FROM = 0.10
LEFT_FROM = 0.10

BAR = np.dtype(
    [
        ("ts_event_ns", "i8"),
        ("traded_lots", "i8"),
        ("informed_lots", "i8"),
        ("mistaken_lots", "i8"),
        ("splitter_lots", "i8"),
        ("participation", "f8"),
        ("participation_60s", "f8"),
        ("informed_left_lots", "i8"),
        ("buyer_left_share", "f8"),
        ("seller_left_share", "f8"),
        ("maker_lots", "i8"),
        ("spoof_lots", "i8"),
        ("efficient_ticks", "f8"),
        ("mid_ticks", "f8"),
        ("vol_mult", "f8"),
        ("sigma_60s_ticks", "f8"),
        ("is_cascade", "?"),
        ("is_trap", "?"),
        ("is_informed_active", "?"),
        ("regime", "i1"),
    ]
)
"""One bar. Lots of a kind of parent are signed (bought minus sold); `mid_ticks` is NaN while a side is empty."""


class BarMaker:
    """Make bars from truth rows that come in parts; the memory is one trailing minute and the kind of each parent."""

    def __init__(self) -> None:
        self._kinds: dict[int, int] = {0: 0}
        self._rest: Rows = np.zeros((0, 12), np.int64)
        self._before: npt.NDArray[Any] = np.zeros(TRAILING - 1, BAR)

    def feed(self, rows: Rows) -> npt.NDArray[Any]:
        """Take truth rows in order and return the bars that ended (dtype `BAR`)."""
        started = rows[rows[:, ladder.KIND] == ladder.PARENT_STARTED]
        self._kinds.update(zip(started[:, ladder.ID].tolist(), started[:, ladder.TICK].tolist(), strict=True))
        rows = np.concatenate([self._rest, rows[np.isin(rows[:, ladder.KIND], (ladder.TRADE, ladder.TRUTH_BAR))]])
        ends = np.flatnonzero(rows[:, ladder.KIND] == ladder.TRUTH_BAR)
        self._rest = rows[ends[-1] + 1 :] if len(ends) else rows
        bars = np.zeros(len(ends), BAR)
        if not len(ends):
            return bars
        self._count_lots(bars, rows[: ends[-1] + 1], ends)
        _read_latents(bars, rows[ends])
        known = np.concatenate([self._before, bars])
        bars["participation"] = _share(bars["informed_lots"], bars["traded_lots"])
        bars["participation_60s"] = _share(_trailing(known["informed_lots"]), _trailing(known["traded_lots"]))
        bars["regime"] = regimes(bars)
        self._before = known[-(TRAILING - 1) :]
        return bars

    def _count_lots(self, bars: npt.NDArray[Any], rows: Rows, ends: npt.NDArray[np.intp]) -> None:
        is_trade = rows[:, ladder.KIND] == ladder.TRADE
        lots = np.where(is_trade, rows[:, ladder.LOTS], 0)
        bars["traded_lots"] = _per_bar(lots, ends)
        taken = np.where(rows[:, ladder.SIDE] == ladder.BID, lots, -lots)
        takers, makers = (self._kinds_of(np.where(is_trade, rows[:, c], 0)) for c in (ladder.TAKER_PARENT, ladder.MAKER_PARENT))
        for kind, name in ((INFORMED, "informed_lots"), (MISTAKEN, "mistaken_lots"), (SPLITTER, "splitter_lots")):
            bars[name] = _per_bar(np.where(takers == kind, taken, 0) - np.where(makers == kind, taken, 0), ends)

    def _kinds_of(self, parents: Rows) -> Rows:
        found, places = np.unique(parents, return_inverse=True)
        return np.array([self._kinds.get(one, 0) for one in found.tolist()], np.int64)[places]


def _per_bar(values: Rows, ends: npt.NDArray[np.intp]) -> Rows:
    return np.diff(np.cumsum(values)[ends], prepend=0)


def _trailing(values: Rows) -> Rows:
    total = np.cumsum(np.r_[0, values])
    return np.asarray(total[TRAILING:] - total[:-TRAILING], np.int64)


def _share(part: Rows, whole: Rows) -> npt.NDArray[np.float64]:
    return np.asarray(part / np.maximum(whole, 1), np.float64)


def _read_latents(bars: npt.NDArray[Any], rows: Rows) -> None:
    bars["ts_event_ns"] = rows[:, ladder.TIME]
    bars["mid_ticks"] = np.where(rows[:, ladder.ID] < 0, np.nan, rows[:, ladder.ID] / 2.0)
    flags = rows[:, ladder.SIDE]
    bars["is_cascade"] = flags & CASCADE_ON != 0
    bars["is_trap"] = flags & TRAP_ON != 0
    bars["is_informed_active"] = flags & INFORMED_ON != 0
    bars["efficient_ticks"] = rows[:, ladder.TICK] / PRICE_ONE
    bars["informed_left_lots"] = rows[:, ladder.LOTS]
    bars["vol_mult"] = rows[:, ladder.MAKER] / MILLION
    bars["sigma_60s_ticks"] = rows[:, ladder.TAKER] / MILLION
    bars["maker_lots"] = rows[:, ladder.MAKER_OWNER]
    bars["spoof_lots"] = rows[:, ladder.TAKER_OWNER]
    bars["buyer_left_share"] = rows[:, ladder.MAKER_PARENT] / MILLION
    bars["seller_left_share"] = rows[:, ladder.TAKER_PARENT] / MILLION


def regimes(bars: npt.NDArray[Any]) -> npt.NDArray[np.int8]:
    """Return each bar's regime (an index of `REGIMES`) by the fixed precedence of the module's text."""
    phi = bars["participation_60s"]
    with np.errstate(invalid="ignore"):
        is_away = np.abs(bars["efficient_ticks"] - bars["mid_ticks"]) >= bars["sigma_60s_ticks"]
    chosen = np.select(
        [
            (bars["vol_mult"] >= VOLATILE_FROM) | bars["is_cascade"] | bars["is_trap"],
            is_away & ~bars["is_informed_active"],
            (phi >= PARTICIPATION_FROM) & (bars["buyer_left_share"] >= LEFT_FROM),
            (phi <= -PARTICIPATION_FROM) & (bars["seller_left_share"] >= LEFT_FROM),
        ],
        [VOLATILE, TRENDING, ACCUMULATION, DISTRIBUTION],
        NEUTRAL,
    )
    return chosen.astype(np.int8)


class Dwell:
    """Count how long each regime holds, bar by bar: seconds in it, stretches of it."""

    def __init__(self) -> None:
        self.seconds = [0] * len(REGIMES)
        self.stretches = [0] * len(REGIMES)
        self._last = -1

    def feed(self, regime: npt.NDArray[np.int8]) -> None:
        """Take the next bars' regimes."""
        changes = np.flatnonzero(np.diff(regime, prepend=self._last))
        for k in range(len(REGIMES)):
            self.seconds[k] += int((regime == k).sum())
            self.stretches[k] += int((regime[changes] == k).sum())
        if len(regime):
            self._last = int(regime[-1])

    def mean_s(self) -> dict[str, float | None]:
        """Return the mean length of a stretch of each regime in seconds, None for one that never held."""
        return {
            name: round(seconds / count, 3) if count else None
            for name, seconds, count in zip(REGIMES, self.seconds, self.stretches, strict=True)
        }
