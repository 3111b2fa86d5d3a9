"""How likely a parent's children keep a clock, or a pace, hidden among random arrivals: a bank of periods per side, on order times alone.

For each period the mass of every past step is what speaks for "the last child came then"; a later order is a child with the chance that a
renewal at that distance gives it, against the rate at which its side's orders came anyway (Shiryaev 1963, Roberts 1966: likelihood ratios
of a change at an unknown time, summed). Masses belong to whole steps of exchange time in which orders came, and nothing moves them: what is
left of one at an age is in a table, so time costs nothing. A step is settled once: what came a distance before it when its first order
comes, its mass when a later step begins. A word of bits per period tells which of the last 64 steps had orders, so that only masses which
count are fetched. Sums are in the order of the ring, whatever skips what is not there. Side 0 buys, 1 sells.
"""

import math
from typing import Any

import numpy as np

from smartmoney.core.book.typed import inner, int64
from smartmoney.core.book.words import trailing_zeros
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
"""Steps whose masses are kept, one per bit of a word: more than `BINS_MAX`."""
_CLOCKS = len(CLOCKS_S)
_PERIODS = _CLOCKS + len(PACES_S)
_LAWS = ((32, 0.12), (10, 0.6))
"""Steps of a period, and by how much of it a distance may differ from it (uniform): of a clock, of a pace."""
_LAW_OF = np.array((0,) * _CLOCKS + (1,) * len(PACES_S))
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
_RING = int64(RING)
_WORD_BITS = np.uint64(RING)
_ONE = np.uint64(1)
_NONE = np.uint64(0)
_WORD_MASK = np.uint64(RING - 1)
_RATE_MIN = 1e-4
"""Orders per second: a side that is quieter has no rate to hold an order against."""


def _renewal() -> tuple[Any, Any, Any, Any]:
    """Return per law the first age in steps at which a child can come, the number of ages, its chance at each, and at a later one."""
    first, bins, chances, later = [], [], np.zeros((len(_LAWS), BINS_MAX)), np.zeros((len(_LAWS), BINS_MAX))
    for k, (steps, spread) in enumerate(_LAWS):
        low, high = steps * (1.0 - spread), steps * (1.0 + spread)
        first.append(math.floor(low))
        bins.append(math.ceil(high))
        ages = np.arange(BINS_MAX + 1.0)
        beyond = np.clip((high - np.maximum(ages, low)) / (high - low), 0.0, 1.0)
        chances[k], later[k] = beyond[:-1] - beyond[1:], beyond[:-1]
    return np.array(first), np.array(bins), chances, later


_FIRST, _BINS, _CHANCE, _LATER = _renewal()
_TOO_OLD = (RING + 1 - _BINS).astype(np.uint64)
"""Bits of a word of steps that are older than any age at which a child can come, per law."""
_YOUNG_ENOUGH = np.array([(1 << int(n)) - 1 for n in _BINS - _FIRST], np.uint64)
_STEP_NS = np.array([round(t * 1e9 / steps) for t, (steps, _) in zip((*CLOCKS_S, *PACES_S), (_LAWS[k] for k in _LAW_OF), strict=True)])
_PER_NS = 1.0 / _STEP_NS
_MEMORY_S = np.array([max(MEMORY_S, MEMORY_PERIODS * t) for t in (*CLOCKS_S, *PACES_S)])
_FOLLOW = 2.0 ** (-np.array((*CLOCKS_S, *PACES_S)) / _MEMORY_S) / (_STEP_NS * 1e-9)
"""Chance that a parent goes on after a child, by the seconds of a step."""
_BIRTH = math.log(2.0) / _MEMORY_S
_BAND_ENDS = np.array([*range(PER_OCTAVE, _CLOCKS + 1, PER_OCTAVE), _PERIODS])

FIELDS: list[tuple[str, str] | tuple[str, str, tuple[int, ...]]] = [
    ("f_clock_first_ns", "i8"),  # of the first order since the drop
    ("f_clock_ns", "i8"),  # of the latest
    ("f_clock_step", "i8", (2, _PERIODS)),  # number of the step in hand, the latest one of the side with an order
    ("f_clock_fresh", "f8", (2, _PERIODS)),  # sum of 1 / rate of its orders
    ("f_clock_came", "f8", (2, _PERIODS)),  # chance-weighted masses a distance before it
    # Steps with orders: bit RING - a for the step that is a before the one in hand. Their masses, per number of a step, modulo RING.
    ("f_clock_past", "u8", (2, _PERIODS)),
    ("f_clock_mass", "f8", (2, _PERIODS, RING)),
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
    return min(MASS_MAX, s.f_clock_fresh[side, k] * (_BIRTH[k] + _FOLLOW[k] * s.f_clock_came[side, k]))


@inner
def _begin_step(s: Any, side: int, k: int, number: int) -> None:
    """Close the step in hand, and take a later one in hand with what came a distance before it."""
    before = s.f_clock_step[side, k]
    s.f_clock_mass[side, k, before & _MASK] = _mass_in_hand(s, side, k)
    s.f_clock_step[side, k] = number
    s.f_clock_fresh[side, k] = 0.0
    s.f_clock_came[side, k] = 0.0
    steps = number - before
    if steps >= _RING:
        s.f_clock_past[side, k] = _NONE
        return
    past = s.f_clock_past[side, k] >> np.uint64(steps) | _ONE << np.uint64(_RING - steps)
    s.f_clock_past[side, k] = past
    law = _LAW_OF[k]
    if past >> _TOO_OLD[law] & _YOUNG_ENOUGH[law] == _NONE:
        return
    mass = s.f_clock_mass[side, k]
    came = 0.0
    # Without a branch per age: what a step without orders holds is old, finite, and counts 0 times.
    for age in range(_FIRST[law], _BINS[law]):
        has_orders = past >> np.uint64(_RING - age) & _ONE
        came += mass[(number - age) & _MASK] * _CHANCE[law, age] * float(has_orders)
    s.f_clock_came[side, k] = came


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
        weight = 1.0 / rate
        for k in range(_PERIODS):
            number = int(since_ns * _PER_NS[k])
            if number != s.f_clock_step[side, k]:
                _begin_step(s, side, k, number)
            s.f_clock_fresh[side, k] += weight


@inner
def reset_clocks(s: Any) -> None:
    """Forget all: while the book is dropped trades may be missed, and a clock that misses a child is none."""
    s.f_clock_first_ns = 0
    s.f_clock_step[:] = 0
    s.f_clock_fresh[:] = 0.0
    s.f_clock_came[:] = 0.0
    s.f_clock_past[:] = 0


@inner
def _mass_left(s: Any, side: int, k: int) -> Any:
    """Return what is left of a period's masses at the step of the latest order of any side, which itself does not count yet."""
    number = int((s.f_clock_ns - s.f_clock_first_ns) * _PER_NS[k])
    law = _LAW_OF[k]
    since = number - s.f_clock_step[side, k]
    if since >= _BINS[law]:
        return 0.0
    mass = s.f_clock_mass[side, k]
    past = s.f_clock_past[side, k] >> np.uint64(since) >> _TOO_OLD[law] << _TOO_OLD[law]
    # From ages to places in the ring.
    turn = np.uint64(number & _MASK)
    places = past << turn | past >> (_WORD_BITS - turn & _WORD_MASK)
    total = 0.0
    while places != _NONE:
        at = np.int64(trailing_zeros(places))
        total += mass[at] * _LATER[law, (number - at) & _MASK]
        places &= places - _ONE
    if since > 0:
        total += _mass_in_hand(s, side, k) * _LATER[law, since]
    return total


@inner
def read_clocks(s: Any, out: Any) -> None:
    """Write the group's features, as of the latest order."""
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
