"""Follow the public events of an oracle world and say exactly how likely they are under a hypothesis.

A filter is one record. It holds the joint weight of the hidden chain (splitters of each side, activity) and, for a target whose children
keep a distance, of which past order was its last child. Between events the weights move by the exact matrix exponential of the killed
chain: rates add up, so it is the Kronecker product of two 5 by 5 and one 3 by 3 exponential, taken from eigenvalues found once. At an
event they are multiplied by the intensity of what happened. The sum of the logs of the norms is the log-likelihood, up to the integral of
the public excitation, which is the same under every hypothesis; so LLR = difference of two filters' `log_like`, which is
sum ln(λ̂¹/λ̂⁰) − ∫(λ̂¹−λ̂⁰) in innovations form (Brémaud 1981, chapter IV). Nothing is truncated: candidates leave only with weight zero, and
a filter that would need more than `CANDIDATES` sets `fault`.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from smartmoney.core.book.typed import entry, inner
from smartmoney.simulation.oracle_world import (
    ACTIVITIES,
    ASK_REFILLED,
    BID_REFILLED,
    EXCITATIONS,
    LAW_FIELDS,
    MEMORYLESS,
    REFILLER,
    RENEWAL,
    SELL,
    SPLITTERS,
    OracleWorld,
    activity_generator,
    fill_law,
    splitter_generator,
    stationary_splitters,
)

CANDIDATES = 192
"""Past orders that may each have been the last child; 192 of one side within one longest distance is a burst that no default world has."""
_SHAPE = (SPLITTERS, SPLITTERS, ACTIVITIES)

FILTER = np.dtype(
    [
        *LAW_FIELDS,
        ("side", "i8"),
        ("clock", "i8"),
        ("hawkes", "f8", (2, EXCITATIONS)),
        ("log_like", "f8"),
        ("fault", "i8"),
        ("count", "i8"),
        ("last_child", "i8", (CANDIDATES,)),
        ("is_start", "i8", (CANDIDATES,)),
        ("weight", "f8", (CANDIDATES, *_SHAPE)),
        ("splitter_values", "f8", (SPLITTERS,)),
        ("splitter_left", "f8", (SPLITTERS, SPLITTERS)),
        ("splitter_right", "f8", (SPLITTERS, SPLITTERS)),
        ("activity_values", "f8", (ACTIVITIES,)),
        ("activity_left", "f8", (ACTIVITIES, ACTIVITIES)),
        ("activity_right", "f8", (ACTIVITIES, ACTIVITIES)),
        ("move_splitters", "f8", (SPLITTERS, SPLITTERS)),
        ("move_activity", "f8", (ACTIVITIES, ACTIVITIES)),
        ("one", "f8", _SHAPE),
        ("two", "f8", _SHAPE),
    ],
    align=True,
)
"""One hypothesis's filter. `weight` is over (last child, buy splitters, sell splitters, activity) and sums to 1 after every call."""


def open_filter(world: OracleWorld, *, side: int = 0, under_h1: bool = False, with_parent: bool = True) -> npt.NDArray[Any]:
    """Return a filter (an array of one record) at time 0 of a world whose hidden chain is in its long-run state.

    Without a parent it follows the world outside any target's window; `start_target` lets one begin.
    """
    filters = np.zeros(1, FILTER)
    f = filters[0]
    fill_law(f, world, under_h1=under_h1, with_parent=with_parent)
    f["side"] = side
    killed = splitter_generator(world) - np.diag(f["splitter_per_s"] * np.arange(SPLITTERS))
    f["splitter_values"], f["splitter_left"], f["splitter_right"] = _spectrum(killed)
    killed = activity_generator(world) - np.diag(2.0 * world.base_per_s * np.asarray(world.levels))
    f["activity_values"], f["activity_left"], f["activity_right"] = _spectrum(killed)
    counts = stationary_splitters(world)
    f["weight"][0] = counts[:, None, None] * counts[None, :, None] / ACTIVITIES
    f["count"] = 1
    f["is_start"][0] = 1
    return filters


def _spectrum(matrix: npt.NDArray[np.float64]) -> tuple[Any, Any, Any]:
    """Return values, left and right with exp(t matrix) = left @ diag(exp(t values)) @ right. The chains are reversible: values are real."""
    values, left = np.linalg.eig(matrix)
    right = np.linalg.inv(left)
    if np.abs(np.imag(values)).max() > 0.0 or not np.allclose((left * values) @ right, matrix, rtol=1e-10, atol=1e-10):
        raise AssertionError("the killed chain has no real spectrum")
    return np.real(values), np.real(left), np.real(right)


@inner
def _copy(one: Any, other: Any) -> None:
    """Copy weights value by value: for arrays as a whole numba compiles, besides, what words the error of shapes that differ."""
    for i in range(SPLITTERS):
        for j in range(SPLITTERS):
            for a in range(ACTIVITIES):
                other[i, j, a] = one[i, j, a]


@entry
def start_target(filters: npt.NDArray[Any], k: int, without: npt.NDArray[Any], j: int) -> None:
    """Let filter k's target begin now, with what filter j (no target) knows. Its log-likelihood begins at 0 there."""
    f, g = filters[k], without[j]
    f.clock = g.clock
    for side in range(f.hawkes.shape[0]):
        for part in range(f.hawkes.shape[1]):
            f.hawkes[side, part] = g.hawkes[side, part]
    _copy(g.weight[0], f.weight[0])
    f.count = 1
    f.last_child[0] = g.clock
    f.is_start[0] = 1
    f.log_like = 0.0


@entry
def move_to(filters: npt.NDArray[Any], k: int, to_ns: int) -> None:
    """Take in that nothing happened until a time."""
    f = filters[k]
    dt = (to_ns - f.clock) * 1e-9
    if dt <= 0.0:
        return
    _exponential(f.splitter_left, f.splitter_values, f.splitter_right, dt, f.move_splitters)
    _exponential(f.activity_left, f.activity_values, f.activity_right, dt, f.move_activity)
    kept = 0
    for c in range(f.count):
        share = _survival_ratio(f, c, to_ns)
        if share > 0.0:
            _move(f, c, kept, share)
            f.last_child[kept] = f.last_child[c]
            f.is_start[kept] = f.is_start[c]
            kept += 1
    f.count = kept
    f.clock = to_ns
    for e in range(EXCITATIONS):
        shrink = math.exp(-f.decay_per_s[e] * dt)
        f.hawkes[0, e] *= shrink
        f.hawkes[1, e] *= shrink
    _normalise(f)


@inner
def _exponential(left: Any, values: Any, right: Any, dt: float, out: Any) -> None:
    n = values.size
    for i in range(n):
        for j in range(n):
            out[i, j] = 0.0
    for m in range(n):
        grown = math.exp(values[m] * dt)
        for i in range(n):
            scaled = left[i, m] * grown
            for j in range(n):
                out[i, j] += scaled * right[m, j]
    for i in range(n):
        for j in range(n):
            # Rounding may leave −1e-17 where the exact entry is 0.
            out[i, j] = max(out[i, j], 0.0)


@inner
def _move(f: Any, source: int, target: int, share: float) -> None:
    w, one, two = f.weight[source], f.one, f.two
    for i in range(SPLITTERS):
        for j in range(SPLITTERS):
            for a in range(ACTIVITIES):
                total = 0.0
                for m in range(ACTIVITIES):
                    total += w[i, j, m] * f.move_activity[m, a]
                one[i, j, a] = total * share
    for i in range(SPLITTERS):
        for j in range(SPLITTERS):
            for a in range(ACTIVITIES):
                total = 0.0
                for m in range(SPLITTERS):
                    total += one[i, m, a] * f.move_splitters[m, j]
                two[i, j, a] = total
    for i in range(SPLITTERS):
        for j in range(SPLITTERS):
            for a in range(ACTIVITIES):
                total = 0.0
                for m in range(SPLITTERS):
                    total += two[m, j, a] * f.move_splitters[m, i]
                f.weight[target, i, j, a] = total


@inner
def _survival_ratio(f: Any, c: int, to_ns: int) -> Any:
    """Return P(no child until `to_ns` | none until now), if candidate c was the last child."""
    if f.style == MEMORYLESS:
        return math.exp(-f.target_per_s * (to_ns - f.clock) * 1e-9)
    if f.style != RENEWAL:
        return 1.0
    born = f.last_child[c]
    before = survival(f, (f.clock - born) * 1e-9, f.is_start[c])
    return survival(f, (to_ns - born) * 1e-9, f.is_start[c]) / before if before > 0.0 else 0.0


@entry
def survival(f: Any, age_s: float, is_start: int) -> Any:
    """Return P(distance to the next child > age): uniform between shortest and longest; from a target's start, what is left of one."""
    low, high = f.shortest_s, f.longest_s
    if age_s >= high:
        return 0.0
    if is_start == 1:
        if age_s <= low:
            return 1.0 - age_s * f.target_per_s
        return (high - age_s) * (high - age_s) / (2.0 * (high - low)) * f.target_per_s
    return 1.0 if age_s <= low else (high - age_s) / (high - low)


@inner
def hazard(f: Any, c: int) -> Any:
    """Return the target's intensity now, if candidate c was its last child."""
    if f.style == MEMORYLESS:
        return f.target_per_s
    if f.style != RENEWAL:
        return 0.0
    age_s = (f.clock - f.last_child[c]) * 1e-9
    low, high = f.shortest_s, f.longest_s
    if age_s >= high:
        return 0.0
    if f.is_start[c] == 1:
        return 1.0 / (1.0 / f.target_per_s - age_s) if age_s <= low else 2.0 / (high - age_s)
    return 0.0 if age_s < low else 1.0 / (high - age_s)


@entry
def take(filters: npt.NDArray[Any], k: int, at_ns: int, kind: int) -> None:
    """Fold one public event: move to its time, then weigh every hidden state by how likely it made this event."""
    move_to(filters, k, at_ns)
    f = filters[k]
    if kind <= SELL:
        _take_order(f, kind)
        for e in range(EXCITATIONS):
            f.hawkes[kind, e] += f.excite_self[e] * f.decay_per_s[e]
            f.hawkes[1 - kind, e] += f.excite_cross[e] * f.decay_per_s[e]
    else:
        _take_refill(f, kind)
    _normalise(f)


@inner
def _take_order(f: Any, side: int) -> None:
    excited = f.hawkes[side, 0] + f.hawkes[side, 1]
    is_targets = side == f.side
    adds = is_targets and f.style == RENEWAL
    if adds:
        f.one[:, :, :] = 0.0
    for c in range(f.count):
        rate = hazard(f, c) if is_targets else 0.0
        stays = rate if f.style == MEMORYLESS else 0.0
        for i in range(SPLITTERS):
            for j in range(SPLITTERS):
                crowd = excited + f.splitter_per_s * (i if side == 0 else j)
                for a in range(ACTIVITIES):
                    w = f.weight[c, i, j, a]
                    if adds:
                        f.one[i, j, a] += w * rate
                    f.weight[c, i, j, a] = w * (crowd + f.base_per_s * f.levels[a] + stays)
    if adds and f.one.sum() > 0.0:
        if f.count >= CANDIDATES:
            f.fault = 1
            return
        _copy(f.one, f.weight[f.count])
        f.last_child[f.count] = f.clock
        f.is_start[f.count] = 0
        f.count += 1


@inner
def refill_chance(f: Any, side: int, splitters: int) -> Any:
    """Return P(an eaten price is filled up again), given how many hidden icebergs stand on its side."""
    missed = 1.0 - f.refill_base
    for _ in range(splitters):
        missed *= 1.0 - f.refill_splitter
    if f.style == REFILLER and side == f.side:
        missed *= 1.0 - f.refill_target
    return 1.0 - missed


@inner
def _take_refill(f: Any, kind: int) -> None:
    side = 0 if kind < ASK_REFILLED else 1
    for i in range(SPLITTERS):
        for j in range(SPLITTERS):
            chance = refill_chance(f, side, i if side == 0 else j)
            if kind not in (BID_REFILLED, ASK_REFILLED):
                chance = 1.0 - chance
            for a in range(ACTIVITIES):
                f.weight[0, i, j, a] *= chance


@inner
def _normalise(f: Any) -> None:
    total = 0.0
    for c in range(f.count):
        total += f.weight[c].sum()
    if total <= 0.0:
        # The hypothesis cannot have made these events.
        f.log_like = -math.inf
        return
    f.log_like += math.log(total)
    for c in range(f.count):
        for i in range(SPLITTERS):
            for j in range(SPLITTERS):
                for a in range(ACTIVITIES):
                    f.weight[c, i, j, a] /= total


@entry
def intensity(filters: npt.NDArray[Any], k: int, side: int) -> Any:
    """Return λ̂: the expected intensity of a side's orders now, given what was public."""
    f = filters[k]
    total = f.hawkes[side, 0] + f.hawkes[side, 1]
    for c in range(f.count):
        own = hazard(f, c) if side == f.side else 0.0
        for i in range(SPLITTERS):
            for j in range(SPLITTERS):
                for a in range(ACTIVITIES):
                    rate = own + f.splitter_per_s * (i if side == 0 else j) + f.base_per_s * f.levels[a]
                    total += f.weight[c, i, j, a] * rate
    return total


@entry
def follow(filters: npt.NDArray[Any], k: int, events: npt.NDArray[np.int64], until_ns: int) -> Any:
    """Fold public events (rows of time and kind, ordered) and the silence after them up to a time; return the log-likelihood."""
    for n in range(events.shape[0]):
        take(filters, k, events[n, 0], events[n, 1])
    move_to(filters, k, until_ns)
    return filters[k].log_like
