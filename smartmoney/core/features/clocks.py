"""How likely a parent's children keep a clock, or a pace, hidden among random arrivals: a bank of periods per side, on order times alone.

For each period the mass of every past step is what speaks for "the last child came then"; a later order is a child with the chance that a
renewal at that distance gives it, against the rate at which its side's orders came anyway (Shiryaev 1963, Roberts 1966: likelihood ratios
of a change at an unknown time, summed). Masses belong to whole steps of exchange time in which orders came, and nothing moves them: what is
left of one at an age is in a table, so time costs nothing. An order costs 0.3 us while the masses are in the nearest cache, and some 7 us
in a feed, where other work has pushed them out. Side 0 buys, 1 sells.
"""

import math
from typing import Any

import numpy as np

from smartmoney.core.book.typed import inner, int64
from smartmoney.core.features.basis import is_warm_orders
from smartmoney.core.features.horizons import H60, SECOND_NS, WARM_EVENTS
from smartmoney.core.features.spec import OWN, POSITIVE, FeatureSpec, WarmUp, swaps

GROUP = "clocks"
PER_OCTAVE = 5
BANDS_S = (4, 8, 16)
"""Shortest period of each band of clocks; a band is an octave."""
PACES_S = tuple(2.0 * 1.6**k for k in range(5))
CLOCKS_S = tuple(BANDS_S[0] * 2.0 ** (k / PER_OCTAVE) for k in range(PER_OCTAVE * len(BANDS_S)))
BINS_MAX = 36
RING = 64
"""Steps whose masses are kept: a power of two, more than `BINS_MAX`."""
_CLOCKS = len(CLOCKS_S)
_PERIODS = _CLOCKS + len(PACES_S)
_LAWS = ((32, 0.12),) * _CLOCKS + ((10, 0.6),) * len(PACES_S)
"""Steps of a period, and by how much of it a distance may differ from it (uniform), per period."""
MASS_MAX = 1e12
MEMORY_S = 60.0
MEMORY_PERIODS = 10.0
RATE_HALF_LIVES_S = (1.0, 10.0, 60.0)
RATE_SHARES = (0.25, 0.25, 0.5)
_FIRST_KERNEL = 1
"""Of `HAWKES_HALF_LIVES_S` in `arrivals`, whose sums are read here."""
_BETA = math.log(2.0) / np.array(RATE_HALF_LIVES_S)
_SHARE = np.array(RATE_SHARES)
_WARM_NS = 60 * SECOND_NS
_MASK = int64(RING - 1)
_NEVER = int64(-RING)
_RATE_MIN = 1e-4
"""Orders per second: a side that is quieter has no rate to hold an order against."""


def _renewal() -> tuple[Any, Any, Any, Any]:
    """Return per period the first age in steps at which a child can come, the number of ages, its chance at each, and at a later one."""
    first, bins, chances, later = [], [], np.zeros((_PERIODS, BINS_MAX)), np.zeros((_PERIODS, BINS_MAX))
    for k, (steps, spread) in enumerate(_LAWS):
        low, high = steps * (1.0 - spread), steps * (1.0 + spread)
        first.append(math.floor(low))
        bins.append(math.ceil(high))
        ages = np.arange(BINS_MAX + 1.0)
        beyond = np.clip((high - np.maximum(ages, low)) / (high - low), 0.0, 1.0)
        chances[k], later[k] = beyond[:-1] - beyond[1:], beyond[:-1]
    return np.array(first), np.array(bins), chances, later


_FIRST, _BINS, _CHANCE, _LATER = _renewal()
_STEP_NS = np.array([round(t * 1e9 / steps) for t, (steps, _) in zip((*CLOCKS_S, *PACES_S), _LAWS, strict=True)])
_STEP_S = _STEP_NS * 1e-9
_PER_NS = 1.0 / _STEP_NS
_MEMORY_S = np.array([max(MEMORY_S, MEMORY_PERIODS * t) for t in (*CLOCKS_S, *PACES_S)])
_KEEP = 2.0 ** (-np.array((*CLOCKS_S, *PACES_S)) / _MEMORY_S)
_BIRTH = math.log(2.0) / _MEMORY_S
_BAND_ENDS = np.array([*range(PER_OCTAVE, _CLOCKS + 1, PER_OCTAVE), _PERIODS])

FIELDS: list[tuple[str, str] | tuple[str, str, tuple[int, ...]]] = [
    ("f_clock_first_ns", "i8"),  # of the first order since the drop
    ("f_clock_ns", "i8"),  # of the latest
    ("f_clock_step", "i8", (2, _PERIODS)),  # number of the step in hand, the latest one of the side with an order
    ("f_clock_fresh", "f8", (2, _PERIODS)),  # sum of 1 / rate of its orders
    # Per number of a step, modulo RING: mass, and the whole number, which tells what is too old to count.
    ("f_clock_mass", "f8", (2, _PERIODS, RING)),
    ("f_clock_born", "i8", (2, _PERIODS, RING)),
]

_LAW = (
    "Steps d = P / {steps} (whole ns) of exchange time from the first order after the drop; w_n = sum of 1 / L over the aggressors' {side} "
    "orders whose last trades fall into step n, L the side's rate by the orders before: b1 R1 / 4 + b10 R10 / 4 + b60 R60 / 2 / "
    "(1 - 2^(-u / 60)), R and b as in hawkes_log_ratio_10s, u the time since that first order; it has no w, nor has one at L up to "
    "1e-4 / s. x_n = min(10^12, w_n (r + k / d sum over m < n of x_m p(n - m))), p(a) the part of P (1 - {spread}) .. P (1 + {spread}) "
    "within a .. a + 1 steps, k = 2^(-P / M), r = ln 2 / M, M = max(60 s, 10 P). S = sum of x_m times the part of that range beyond the "
    "age of m, at the step of the latest order, m before it; ln(1 + mean of S over {periods}). Mean S is about 1 where orders come at "
    "random."
)
_WARM = WarmUp(seconds=60.0, events=WARM_EVENTS, event="aggressor orders")


def _pair(name: str, spread: str, steps: str, periods: str) -> tuple[FeatureSpec, FeatureSpec]:
    sides = ("buy", "sell")
    return tuple(  # type: ignore[return-value]
        FeatureSpec(
            name=f"{name}_{side}",
            group=GROUP,
            unit="nats",
            parity=swaps(f"{name}_{other}"),
            warm_up=_WARM,
            bounds=POSITIVE,
            resets=True,
            source=f"Shiryaev 1963, Roberts 1966 (the sum of likelihood ratios); {OWN}",
            description=_LAW.format(side=side, spread=spread, steps=steps, periods=periods),
        )
        for side, other in (sides, sides[::-1])
    )


FEATURES: tuple[FeatureSpec, ...] = (
    *(
        one
        for shortest in BANDS_S
        for one in _pair(f"clock_{shortest}s", "0.12", "32", f"the {PER_OCTAVE} periods P = {shortest} 2^(j / {PER_OCTAVE}) s")
    ),
    *_pair("pace", "0.6", "10", f"the {len(PACES_S)} periods P = 2 1.6^j s"),
)
COUNT = len(FEATURES)


@inner
def _mass_in_hand(s: Any, side: int, k: int) -> Any:
    """Return the mass of the step in hand: that of a first child, and of one that follows those that came a distance before."""
    fresh = s.f_clock_fresh[side, k]
    if fresh == 0.0:
        return 0.0
    number = s.f_clock_step[side, k]
    mass = s.f_clock_mass[side, k]
    born = s.f_clock_born[side, k]
    came = 0.0
    for age in range(_FIRST[k], _BINS[k]):
        at = (number - age) & _MASK
        if born[at] == number - age:
            came += mass[at] * _CHANCE[k, age]
    return min(MASS_MAX, fresh * (_BIRTH[k] + _KEEP[k] / _STEP_S[k] * came))


@inner
def _take(s: Any, side: int, k: int, number: int, weight: float) -> None:
    """Add an order to its step; the step in hand is closed when it is an earlier one."""
    before = s.f_clock_step[side, k]
    if number != before:
        at = before & _MASK
        s.f_clock_mass[side, k, at] = _mass_in_hand(s, side, k)
        s.f_clock_born[side, k, at] = before
        s.f_clock_step[side, k] = number
        s.f_clock_fresh[side, k] = 0.0
    s.f_clock_fresh[side, k] += weight


@inner
def order_clocks(s: Any) -> None:
    """Take in the aggressor's order that was closed, after `order_arrivals`. One that began before the drop is left out."""
    if s.f_order_epoch != s.f_epoch:
        return
    now_ns = s.f_order_ns
    if s.f_clock_first_ns == 0:
        s.f_clock_first_ns = now_ns
    s.f_clock_ns = now_ns
    side = 0 if s.f_order_sign > 0 else 1
    since_ns = now_ns - s.f_clock_first_ns
    cover = -math.expm1(-_BETA[2] * since_ns * 1e-9)
    if cover <= 0.0:
        return
    # The order in hand is in the sums already.
    rate = _SHARE[2] * _BETA[2] * (s.f_hawkes[side, _FIRST_KERNEL + 2] - 1.0) / cover
    for k in range(2):
        rate += _SHARE[k] * _BETA[k] * (s.f_hawkes[side, _FIRST_KERNEL + k] - 1.0)
    if rate > _RATE_MIN:
        for k in range(_PERIODS):
            _take(s, side, k, int(since_ns * _PER_NS[k]), 1.0 / rate)


@inner
def reset_clocks(s: Any) -> None:
    """Forget all: while the book is dropped trades may be missed, and a clock that misses a child is none."""
    s.f_clock_first_ns = 0
    s.f_clock_born[:] = _NEVER
    s.f_clock_step[:] = 0
    s.f_clock_fresh[:] = 0.0


@inner
def _mass_left(s: Any, side: int, k: int) -> Any:
    """Return what is left of a period's masses at the step of the latest order of any side, which itself does not count yet."""
    number = int((s.f_clock_ns - s.f_clock_first_ns) * _PER_NS[k])
    mass = s.f_clock_mass[side, k]
    born = s.f_clock_born[side, k]
    total = 0.0
    for at in range(RING):
        age = number - born[at]
        if 0 < age < _BINS[k]:
            total += mass[at] * _LATER[k, age]
    age = number - s.f_clock_step[side, k]
    if 0 < age < _BINS[k]:
        total += _mass_in_hand(s, side, k) * _LATER[k, age]
    return total


@inner
def read_clocks(s: Any, out: Any) -> None:
    """Write the group's features, as of the latest order. About 2 us."""
    if s.f_clock_first_ns == 0 or s.f_clock_ns - s.f_clock_first_ns < _WARM_NS or not is_warm_orders(s, H60):
        return
    for side in range(2):
        first = 0
        for band in range(len(_BAND_ENDS)):
            last = _BAND_ENDS[band]
            total = 0.0
            for k in range(first, last):
                total += _mass_left(s, side, k)
            out[2 * band + side] = math.log1p(total / (last - first))
            first = last
