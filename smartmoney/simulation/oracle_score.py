"""Score the public oracle, and obvious detectors beside it, on seeded worlds with and without a target.

Windows: the log-likelihood ratio of one window, its side told or not. Watches: a CUSUM of the same ratio over a running feed, whose
threshold is set on quiet worlds to one false alarm per 24 hours, and the delay it then has. At a reset the H1 filter begins anew with what
the filter without a target knows (Chen and Willett 2000, "Detection of hidden Markov model transient signals", IEEE T-AES 36).
"""

import math
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from smartmoney.core.book.typed import entry
from smartmoney.simulation import oracle_filter
from smartmoney.simulation.market import Rows
from smartmoney.simulation.oracle_filter import follow, open_filter, start_target, take
from smartmoney.simulation.oracle_flow import EVENT_ROWS, open_flow
from smartmoney.simulation.oracle_market import events_of_flow
from smartmoney.simulation.oracle_world import ASK_LEFT, BID_REFILLED, BUY, OracleWorld

DAY_S = 86_400.0
_SECOND = 1_000_000_000
_PEAKS = 1 << 16
_LEAST_PEAK = 0.5


class WindowScore(msgspec.Struct, frozen=True):
    """Be what is said of one window. `llr` knows no side, `llr_told` and the detectors are told it; `llr_sides` are buy and sell."""

    llr: float
    llr_told: float
    llr_sides: tuple[float, float]
    imbalance: float
    sign_cusum: float


class WindowScorer:
    """Score windows of one kind of world."""

    def __init__(self, world: OracleWorld) -> None:
        self.world = world
        self._fresh = np.concatenate(
            [open_filter(world, with_parent=False)]
            + [open_filter(world, side=side, under_h1=under_h1) for under_h1 in (False, True) for side in (0, 1)]
        )
        self._filters = self._fresh.copy()

    def score(self, events: Rows, side: int) -> WindowScore:
        """Score the window that begins at `warm_s` of a world's public events (time, kind), which begin at time 0.

        Raises:
            AssertionError: more past orders could have been the last child than a filter can hold.
        """
        world, filters = self.world, self._filters
        filters[:] = self._fresh
        starts, ends = round(world.warm_s * 1e9), round((world.warm_s + world.window_s) * 1e9)
        cut, last = np.searchsorted(events[:, 0], [starts, ends], side="right")
        inside = events[cut:last]
        follow(filters, 0, events[:cut], starts)
        like = []
        for k in range(1, 5):
            start_target(filters, k, filters, 0)
            like.append(follow(filters, k, inside, ends))
        if filters["fault"].any():
            raise AssertionError(f"more than {oracle_filter.CANDIDATES} orders could each have been the last child")
        buy, sell = like[2] - like[0], like[3] - like[1]
        either = float(np.logaddexp(like[2], like[3]) - np.logaddexp(like[0], like[1]))
        marks = marks_of(inside, world)
        signed = marks if side == BUY else -marks
        return WindowScore(
            llr=either,
            llr_told=buy if side == BUY else sell,
            llr_sides=(buy, sell),
            imbalance=float(signed.mean()) if len(signed) else 0.0,
            sign_cusum=sign_cusum(signed, 0.5 * world.participation),
        )


def marks_of(events: Rows, world: OracleWorld) -> npt.NDArray[np.float64]:
    """Return +1 for what a buyer would do and −1 for the opposite: orders by side; in an iceberg world, refills by side."""
    kinds = events[:, 1]
    if world.kind != "iceberg":
        return np.where(kinds == BUY, 1.0, -1.0)
    kinds = kinds[kinds >= BID_REFILLED]
    return np.where((kinds == BID_REFILLED) | (kinds == ASK_LEFT), 1.0, -1.0)


def sign_cusum(marks: npt.NDArray[np.float64], drift: float) -> float:
    """Return the highest sum of (mark − drift) over any stretch that ends anywhere: Page's statistic."""
    total = np.r_[0.0, np.cumsum(marks - drift)]
    return float((total - np.minimum.accumulate(total)).max())


def window_events(world: OracleWorld, seed: int, *, under_h1: bool, side: int, buffer: Rows) -> Rows:
    """Return the events of a world from its beginning to its window's end (made without a book: the flow is the same)."""
    starts, ends = round(world.warm_s * 1e9), round((world.warm_s + world.window_s) * 1e9)
    flows = open_flow(world, seed, under_h1=under_h1, side=side, starts_ns=starts, ends_ns=ends)
    return events_of_flow(flows, ends, buffer)


def score_windows(world: OracleWorld, seed: int, worlds: int, *, under_h1: bool) -> list[WindowScore]:
    """Score so many fresh worlds of one hypothesis, half with a buyer and half with a seller in mind."""
    scorer = WindowScorer(world)
    buffer = np.zeros((EVENT_ROWS, 4), np.int64)
    salt = 1 if under_h1 else 0
    scores = []
    for n in range(worlds):
        side = n % 2
        events = window_events(world, seed * 1_000_003 + 2 * n + salt, under_h1=under_h1, side=side, buffer=buffer)
        scores.append(scorer.score(events, side))
    return scores


@entry
def watch(
    filters: npt.NDArray[Any], totals: npt.NDArray[np.float64], events: Rows, peaks: npt.NDArray[np.float64], used: int, since_ns: int
) -> int:
    """Run the CUSUM of both sides over events and return how many rows of `peaks` are used.

    `filters`: without a target, buyer, seller. `totals`: [0] the first filter's likelihood at the last reset, [1] the CUSUM, [2] its
    highest value since then, a column per side. With `since_ns` below 0, each excursion's peak becomes a row (time, peak, side) when it
    ends; else every new high of either side at or after that time does.
    """
    for n in range(events.shape[0]):
        take(filters, 0, events[n, 0], events[n, 1])
        for side in range(2):
            k = side + 1
            take(filters, k, events[n, 0], events[n, 1])
            total = filters[k].log_like - (filters[0].log_like - totals[0, side])
            totals[1, side] = total
            is_new = total > totals[2, side]
            if is_new:
                totals[2, side] = total
            if since_ns >= 0:
                is_high = used == 0 or total > peaks[max(used - 1, 0), 1]
                if is_high and events[n, 0] >= since_ns and total > _LEAST_PEAK and used < peaks.shape[0]:
                    peaks[used, 0], peaks[used, 1], peaks[used, 2] = events[n, 0], total, side
                    used += 1
            elif total <= 0.0 and totals[2, side] > _LEAST_PEAK and used < peaks.shape[0]:
                peaks[used, 0], peaks[used, 1], peaks[used, 2] = events[n, 0], totals[2, side], side
                used += 1
            if total <= 0.0:
                start_target(filters, k, filters, 0)
                totals[0, side] = filters[0].log_like
                totals[1, side] = 0.0
                totals[2, side] = 0.0
    return used


def watchers(world: OracleWorld) -> npt.NDArray[Any]:
    """Return the three filters of a watch: no target, a buyer, a seller."""
    return np.concatenate([open_filter(world, with_parent=False), *(open_filter(world, side=side, under_h1=True) for side in (0, 1))])


def quiet_peaks(world: OracleWorld, seed: int, seconds: float) -> npt.NDArray[np.float64]:
    """Return the peaks (time in ns, peak, side) of the CUSUM's excursions in a world without any target, run for so long.

    An alarm lasts until its CUSUM is back at zero, so the false alarms at a threshold are the peaks at or above it.
    """
    if world.decoy_per_s > 0.0 or world.refill_decoy > 0.0:
        raise ValueError("decoy_per_s and refill_decoy must be 0 where a feed is watched: a decoy has a window, not a feed")
    ends = round(seconds * _SECOND)
    flows = open_flow(world, seed, under_h1=False, side=0, starts_ns=ends, ends_ns=ends)
    buffer = np.zeros((EVENT_ROWS, 4), np.int64)
    filters, totals = watchers(world), np.zeros((3, 2))
    peaks = np.zeros((_PEAKS, 3))
    found = []
    for to_ns in [*range(3600 * _SECOND, ends, 3600 * _SECOND), ends]:
        used = watch(filters, totals, events_of_flow(flows, to_ns, buffer), peaks, 0, -1)
        found.append(peaks[:used].copy())
    _check(filters)
    return np.concatenate(found)


def climb(world: OracleWorld, seed: int, side: int, lasts_s: float) -> npt.NDArray[np.float64]:
    """Return the new highs (delay in s, height, side) of the CUSUM from the start of a target that lasts so long."""
    starts = round(world.warm_s * 1e9)
    ends = starts + round(lasts_s * 1e9)
    flows = open_flow(world, seed, under_h1=True, side=side, starts_ns=starts, ends_ns=ends)
    buffer = np.zeros((EVENT_ROWS, 4), np.int64)
    peaks = np.zeros((_PEAKS, 3))
    filters, totals = watchers(world), np.zeros((3, 2))
    used = watch(filters, totals, events_of_flow(flows, ends, buffer), peaks, 0, starts)
    _check(filters)
    highs = peaks[:used].copy()
    highs[:, 0] = (highs[:, 0] - starts) * 1e-9
    return highs


def _check(filters: npt.NDArray[Any]) -> None:
    if filters["fault"].any():
        raise AssertionError(f"more than {oracle_filter.CANDIDATES} orders could each have been the last child")


def alarm(highs: npt.NDArray[np.float64], threshold: float) -> tuple[float, int]:
    """Return delay in seconds (infinite: never) and side of the first high at or above a threshold."""
    above = np.flatnonzero(highs[:, 1] >= threshold)
    return (float(highs[above[0], 0]), int(highs[above[0], 2])) if len(above) else (math.inf, -1)


def threshold_of(peaks: npt.NDArray[np.float64], days: float) -> float:
    """Return the height that the excursions of so many quiet days reach once a day."""
    count = max(1, round(days))
    heights = np.sort(peaks)[::-1]
    return float(heights[count - 1]) if len(heights) >= count else _LEAST_PEAK
