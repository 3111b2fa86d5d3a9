"""Say what an oracle world is: takers who excite each other, hidden splitters and activity, and maybe one target parent.

In such a world the whole law of the public events is known, so what the public can know about the target can be computed exactly
(`oracle_filter`). Everything hidden is a finite Markov chain that listens to nothing: how many splitters trade on each side (0 to 4), and
which of three activity levels holds. Sizes, makers and the crowd are drawn without looking at anything hidden, so they say nothing.
"""

import math
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from smartmoney.simulation.bits import int64

SPLITTERS = 5
"""States of the splitter chain of one side: 0 to 4 of them."""
ACTIVITIES = 3
EXCITATIONS = 2

NO_TARGET, MEMORYLESS, RENEWAL, REFILLER = int64(0), int64(1), int64(2), int64(3)
"""How a target acts: not at all; Poisson children; children at uniform distances around a mean; refills what takers eat (iceberg)."""

KINDS = ("poisson", "twap", "iceberg", "jittered")
_STYLES = {"poisson": MEMORYLESS, "twap": RENEWAL, "jittered": RENEWAL, "iceberg": REFILLER}
_JITTER = {"twap": 0.1, "jittered": 0.6}

BUY, SELL, BID_REFILLED, BID_LEFT, ASK_REFILLED, ASK_LEFT = (int64(n) for n in range(6))
"""Kinds of public events: a taker's order; and, a fixed time after it, whether the eaten price was filled up again."""

LAW_FIELDS: list[Any] = [
    ("base_per_s", "f8"),
    ("levels", "f8", (ACTIVITIES,)),
    ("switch_per_s", "f8"),
    ("birth_per_s", "f8"),
    ("death_per_s", "f8"),
    ("splitter_per_s", "f8"),
    ("decay_per_s", "f8", (EXCITATIONS,)),
    ("excite_self", "f8", (EXCITATIONS,)),
    ("excite_cross", "f8", (EXCITATIONS,)),
    ("style", "i8"),
    ("target_per_s", "f8"),
    ("shortest_s", "f8"),
    ("longest_s", "f8"),
    ("refill_ns", "i8"),
    ("refill_base", "f8"),
    ("refill_splitter", "f8"),
    ("refill_target", "f8"),
]


class OracleWorld(msgspec.Struct, frozen=True, kw_only=True):
    """Hold the parameters of an oracle world. Rates are per second; those of takers are per side.

    The lawful difference between the hypotheses: under H1 the target acts at `target_per_s` (an iceberg refills with `refill_target`)
    for the whole window; under H0 a parent of the same kind acts at `decoy_per_s` (`refill_decoy`), by default none.
    `splitter_every_s` may be infinite: then there are no splitters.

    Raises:
        ValueError: a parameter is out of its range; the text names it.
    """

    kind: str = "poisson"
    base_per_s: float = 0.55
    levels: tuple[float, float, float] = (0.6, 1.0, 1.7)
    switch_per_s: float = 1.0 / 300.0
    splitter_every_s: float = 250.0
    splitter_life_s: float = 120.0
    splitter_per_s: float = 0.15
    decay_per_s: tuple[float, float] = (3.0, 0.12)
    excite_self: tuple[float, float] = (0.2, 0.15)
    excite_cross: tuple[float, float] = (0.05, 0.0)
    target_per_s: float = 0.25
    decoy_per_s: float = 0.0
    refill_after_ms: float = 5.0
    refill_base: float = 0.25
    refill_splitter: float = 0.15
    refill_target: float = 0.3
    refill_decoy: float = 0.0
    window_s: float = 120.0
    warm_s: float = 300.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind {self.kind!r} is no kind of target; there are {', '.join(KINDS)}")
        for name in ("base_per_s", "splitter_every_s", "splitter_life_s", "refill_after_ms", "window_s"):
            _check(name, getattr(self, name), low=0.0, open_low=True)
        for name in ("switch_per_s", "splitter_per_s", "target_per_s", "decoy_per_s", "warm_s"):
            _check(name, getattr(self, name), low=0.0)
        for name in ("refill_base", "refill_splitter", "refill_target", "refill_decoy"):
            _check(name, getattr(self, name), low=0.0, high=1.0)
        for name in ("levels", "decay_per_s", "excite_self", "excite_cross"):
            for value in getattr(self, name):
                _check(name, value, low=0.0, open_low=name in {"levels", "decay_per_s"})
        if self.branching >= 0.95:
            raise ValueError(f"excite_self and excite_cross sum to {self.branching:g}; keep a branching ratio below 0.95")

    @property
    def branching(self) -> float:
        """Return how many orders an order sets off, on average."""
        return sum(self.excite_self) + sum(self.excite_cross)

    @property
    def events_per_s(self) -> float:
        """Return the mean rate of takers' orders under H0, both sides."""
        splitters = float(stationary_splitters(self) @ np.arange(SPLITTERS))
        taken = 0.0 if self.kind == "iceberg" else self.splitter_per_s * splitters
        decoy = 0.0 if self.kind == "iceberg" else self.decoy_per_s
        return (2.0 * (self.base_per_s * sum(self.levels) / ACTIVITIES + taken) + decoy) / (1.0 - self.branching)

    @property
    def participation(self) -> float:
        """Return the target's own share of all takers' orders under H1; for an iceberg, its share of one side's refills."""
        if self.kind == "iceberg":
            others = 1.0 - (1.0 - self.refill_base) * float(
                stationary_splitters(self) @ (1.0 - self.refill_splitter) ** np.arange(SPLITTERS)
            )
            both = 1.0 - (1.0 - others) * (1.0 - self.refill_target)
            return (both - others) / both if both > 0.0 else 0.0
        return self.target_per_s / (self.events_per_s + self.target_per_s / (1.0 - self.branching))


def _check(name: str, value: float, *, low: float, high: float = math.inf, open_low: bool = False) -> None:
    endless = name == "splitter_every_s" and value == math.inf
    if not (math.isfinite(value) or endless) or value < low or value > high or (open_low and value == low):
        least = f"more than {low:g}" if open_low else f"at least {low:g}"
        raise ValueError(f"{name} is {value!r}; give {least}" + (f" and at most {high:g}" if math.isfinite(high) else ""))


def fill_law(record: Any, world: OracleWorld, *, under_h1: bool, with_parent: bool = True) -> None:
    """Write a world's law into the `LAW_FIELDS` of a record, as it is under one hypothesis, or without any parent."""
    for name in ("base_per_s", "levels", "switch_per_s", "splitter_per_s", "decay_per_s", "excite_self", "excite_cross"):
        record[name] = getattr(world, name)
    record["birth_per_s"] = 1.0 / world.splitter_every_s if math.isfinite(world.splitter_every_s) else 0.0
    record["death_per_s"] = 1.0 / world.splitter_life_s
    record["refill_ns"] = round(world.refill_after_ms * 1e6)
    rate = world.target_per_s if under_h1 else world.decoy_per_s
    is_iceberg = world.kind == "iceberg"
    if is_iceberg:
        # Here the hidden crowd of each side are uninformed icebergs: they refill and never take.
        record["splitter_per_s"] = 0.0
        record["refill_base"] = world.refill_base
        record["refill_splitter"] = world.refill_splitter
        record["refill_target"] = world.refill_target if under_h1 else world.refill_decoy
        rate = record["refill_target"]
    acts = with_parent and rate > 0.0
    record["style"] = _STYLES[world.kind] if acts else NO_TARGET
    record["target_per_s"] = 0.0 if is_iceberg or not acts else rate
    if acts and world.kind in _JITTER:
        record["shortest_s"] = (1.0 - _JITTER[world.kind]) / rate
        record["longest_s"] = (1.0 + _JITTER[world.kind]) / rate


def splitter_generator(world: OracleWorld) -> npt.NDArray[np.float64]:
    """Return the generator of one side's splitter count: births at a constant rate below four, each one ends by itself."""
    birth = 1.0 / world.splitter_every_s if math.isfinite(world.splitter_every_s) else 0.0
    return _birth_and_death([birth] * (SPLITTERS - 1), [n / world.splitter_life_s for n in range(1, SPLITTERS)])


def activity_generator(world: OracleWorld) -> npt.NDArray[np.float64]:
    """Return the generator of the activity level, which moves to each neighbour at one rate."""
    return _birth_and_death([world.switch_per_s] * (ACTIVITIES - 1), [world.switch_per_s] * (ACTIVITIES - 1))


def _birth_and_death(up: list[float], down: list[float]) -> npt.NDArray[np.float64]:
    q = np.diag(up, 1) + np.diag(down, -1)
    return q - np.diag(q.sum(axis=1))


def stationary_splitters(world: OracleWorld) -> npt.NDArray[np.float64]:
    """Return the long-run distribution of one side's splitter count: a Poisson law cut off above four."""
    load = world.splitter_life_s / world.splitter_every_s
    weights = np.array([load**n / math.factorial(n) for n in range(SPLITTERS)])
    return np.asarray(weights / weights.sum(), np.float64)
