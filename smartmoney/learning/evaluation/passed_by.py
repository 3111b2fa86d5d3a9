"""What became of each trade of the oracle: taken by the model, or passed by, and how far the model came towards it meanwhile.

The oracle holds something from one moment to another. In between the model may have held the same side; else its decisions say at which
gate the one that came the furthest ended. What the model made is what its account gained meanwhile, costs and open positions included; what
it gained while the oracle held nothing is beside them, so that the parts add up to what both made.
"""

import math
from collections.abc import Iterator, Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from smartmoney.core.domain.signals import RefusalCode

TAKEN, AGAINST, ORDERED = "taken", "held the other side", "signal"
SILENT, OTHER_SIDE = "nothing said", "leant to the other side"
NOT_READY = frozenset({RefusalCode.WARMING.value, RefusalCode.NOT_WARM.value})
COLD = "not warm"
LATER = "later"
WAYS: Mapping[str, str] = {
    TAKEN: "taken",
    AGAINST: "the model held the other side",
    ORDERED: "signalled, and not filled in time",
    LATER: "refused after the gates, by account or order in flight",
    RefusalCode.EDGE_TOO_SMALL.value: "edge below its cost",
    RefusalCode.BELOW_MIN_CONFIDENCE.value: "confidence below what an unstable regime asks for",
    RefusalCode.MAKERS_ABSENT.value: "market makers absent",
    RefusalCode.LOW_LIQUIDITY.value: "liquidity too low",
    RefusalCode.LOW_CONFIDENCE.value: "confidence below the threshold",
    OTHER_SIDE: "leant to the other side alone",
    SILENT: "nothing said: both sides possible, or hardly surer than chance",
    COLD: "not warm yet",
}
"""What can become of a trade of the oracle, the furthest first, in words."""
_FURTHEST = {name: place for place, name in enumerate(reversed(tuple(WAYS)))}


class Moments:
    """Collect decisions: when, as which refusal (`signal`: an order), and to which side the model's best offer was (0: none)."""

    def __init__(self) -> None:
        self._at: list[int] = []
        self._code: list[str] = []
        self._sign: list[int] = []

    def note(self, at_ns: int, code: str, sign: int) -> None:
        """Take a decision; times ascend."""
        self._at.append(at_ns)
        self._code.append(code)
        self._sign.append(sign)

    def between(self, since_ns: int, until_ns: int) -> Iterator[tuple[str, int]]:
        """Yield code and side of the decisions in [since, until]."""
        first, last = np.searchsorted(np.array(self._at, np.int64), (since_ns, until_ns + 1)).tolist()
        return zip(self._code[first:last], self._sign[first:last], strict=True)


Path = Sequence[tuple[int, float]]
"""What an account was worth, or held: ascending times in ns, and quote; each holds until the next."""


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """Be something held from flat to flat, or to the end: side (±1), and what was left of it, in quote."""

    sign: int
    entry_ns: int
    exit_ns: int
    net: float


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """Hold what an account did: its trades, what it was worth, and its position (signed, at the price of its latest fill)."""

    held: Sequence[Held]
    worth: Path
    position: Path


class Chance(msgspec.Struct, frozen=True, kw_only=True):
    """Be a trade of the oracle, what became of it (a key of `WAYS`), and what either account gained while it lasted, in quote.

    For `held_s` of its `lasts_s` seconds the model held the same side; `net_held` is what the oracle gained then, `exposed` and
    `exposed_oracle` are what either held then, in quote times seconds.
    """

    way: str
    net_oracle: float
    net_model: float
    lasts_s: float
    held_s: float
    net_held: float
    exposed: float
    exposed_oracle: float


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """Sum the oracle's trades of which the same became.

    `held` is the share of their time in which the model held their side, `net_held` what the oracle gained then, `size` what the model held
    then in shares of what the oracle did (NaN: it never held it).
    """

    way: str
    trades: int
    net_oracle: float
    net_model: float
    held: float
    net_held: float
    size: float


def chances(oracle: Account, model: Account, moments: Moments) -> tuple[Chance, ...]:
    """Return what became of each trade of the oracle in one world."""
    worth, best, position, oracles = (_Steps(path) for path in (model.worth, oracle.worth, model.position, oracle.position))
    found = []
    for one in oracle.held:
        since, until = one.entry_ns, one.exit_ns
        ends = np.unique([since, until, *position.changes(since, until), *oracles.changes(since, until)])
        first, lasts = ends[:-1], np.diff(ends) / 1e9
        mine, its = one.sign * position.at(first), one.sign * oracles.at(first)
        same = mine > 0.0
        found.append(
            Chance(
                way=TAKEN if same.any() else AGAINST if (mine < 0.0).any() else _furthest(one, moments),
                net_oracle=one.net,
                net_model=float(worth.at(until) - worth.at(since)),
                lasts_s=(until - since) / 1e9,
                held_s=float(lasts[same].sum()),
                net_held=float((best.at(ends[1:]) - best.at(first))[same].sum()),
                exposed=float((mine * lasts)[same].sum()),
                exposed_oracle=float((its * lasts)[same].sum()),
            )
        )
    return tuple(found)


class _Steps:
    """Read a path at any time; before its first point it is as at that."""

    def __init__(self, path: Path) -> None:
        self._times = np.array([at for at, _ in path], np.int64)
        self._values = np.array([value for _, value in path], np.float64)

    def at(self, times: NDArray[np.int64] | int) -> NDArray[np.float64]:
        """Return the values at some times."""
        place = np.searchsorted(self._times, times, "right") - 1
        return np.asarray(self._values[np.maximum(place, 0)] if len(self._values) else np.zeros(np.shape(times)), np.float64)

    def changes(self, since_ns: int, until_ns: int) -> NDArray[np.int64]:
        """Return the times of its points in between."""
        return self._times[(self._times > since_ns) & (self._times < until_ns)]


def ways_of(found: Sequence[Chance]) -> tuple[Way, ...]:
    """Sum chances by what became of them, the furthest first; what became of none is left out."""
    return tuple(_sum(way, same) for way in WAYS if (same := [one for one in found if one.way == way]))


def _furthest(one: Held, moments: Moments) -> str:
    reached = {_way(code, sign * one.sign) for code, sign in moments.between(one.entry_ns, one.exit_ns)}
    return max(reached, key=_FURTHEST.__getitem__, default=SILENT)


def _way(code: str, agreement: int) -> str:
    if code in NOT_READY:
        return COLD
    if agreement == 0:
        return SILENT
    if agreement < 0:
        return OTHER_SIDE
    return code if code in WAYS else LATER


def _sum(way: str, same: Sequence[Chance]) -> Way:
    exposed, lasts_s = sum(one.exposed_oracle for one in same), sum(one.lasts_s for one in same)
    return Way(
        way=way,
        trades=len(same),
        net_oracle=sum(one.net_oracle for one in same),
        net_model=sum(one.net_model for one in same),
        held=sum(one.held_s for one in same) / lasts_s if lasts_s > 0.0 else 0.0,
        net_held=sum(one.net_held for one in same),
        size=sum(one.exposed for one in same) / exposed if exposed > 0.0 else math.nan,
    )
