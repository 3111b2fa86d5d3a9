"""Which synthetic worlds the built-in model learns from: families of scenarios and parameters, so that one can be left out together.

A family is a way in which the market differs: the schedules that informed parents keep, how fast prices move, whether anything is planted
at all. Within a family worlds differ by seed. Validation leaves out families, never seeds alone: seeds of one family resemble each other.
"""

import hashlib
from collections.abc import Iterator

import msgspec

from smartmoney.core.domain.instruments import Market
from smartmoney.learning.sets.oracle_feeds import QuietHours, WatchedTargets
from smartmoney.learning.sets.oracle_windows import OracleBatch
from smartmoney.learning.sets.synthetic import World
from smartmoney.learning.sets.told_worlds import ToldWorld
from smartmoney.settings.scenario import load_scenario
from smartmoney.simulation.oracle_world import KINDS
from smartmoney.simulation.scenario import Scenario

_BATCH_HOURS = 4


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """Name a family: the scenarios that it is made of, and by section the values that it changes in each.

    Its worlds take `markets` in turn; it has `times` as many worlds as others.
    """

    name: str
    scenarios: tuple[str, ...]
    changes: dict[str, dict[str, float]] = {}
    markets: tuple[Market, ...] = (Market.USDM,)
    times: int = 1

    def members(self) -> tuple[Scenario, ...]:
        """Return its scenarios, changed. Raises ConfigurationError where one cannot be loaded."""
        return tuple(changed(load_scenario(name), self.changes) for name in self.scenarios)


def changed(scenario: Scenario, changes: dict[str, dict[str, float]]) -> Scenario:
    """Return a scenario with other values in some sections."""
    sections = {name: msgspec.structs.replace(getattr(scenario, name), **values) for name, values in changes.items()}
    return msgspec.structs.replace(scenario, **sections)


def _styles(**weights: float) -> dict[str, float]:
    return {style: weights.get(style, 0.0) for style in ("twap", "pov", "poisson", "iceberg", "jittered")}


FAMILIES: tuple[Family, ...] = (
    Family(name="day", scenarios=("mixed_day",), times=2),
    Family(name="clockwork", scenarios=("mixed_day",), changes={"informed": {**_styles(twap=1, jittered=1), "every_s": 1000, "size": 14}}),
    Family(name="volume", scenarios=("mixed_day",), changes={"informed": {**_styles(pov=1, poisson=1), "every_s": 900, "duration_s": 300}}),
    Family(
        name="hidden", scenarios=("mixed_day",), changes={"informed": {**_styles(iceberg=1), "passive": 0.5, "every_s": 900, "size": 14}}
    ),
    Family(name="lively", scenarios=("first_run",), markets=(Market.SPOT, Market.USDM), times=4),
    Family(name="one_sided", scenarios=("accumulation", "distribution"), times=2),
    Family(name="wild", scenarios=("volatile", "trending"), markets=(Market.USDM, Market.USDM, Market.SPOT), times=4),
    Family(name="nothing", scenarios=("no_information", "calm"), markets=(Market.USDM, Market.USDM, Market.SPOT), times=4),
)
"""The families that the default model is trained on; each stands for one way of being different."""

NOT_STAGED = ("lively",)
"""Families that the hidden Markov stage is not fitted on: drifts as large as those of a first run make accumulation and trends look alike,
and its states would then be named after a market that is like no other."""

UNSEEN: tuple[Family, ...] = (
    Family(name="unseen_thin", scenarios=("thin_book",)),
    Family(name="unseen_urgent", scenarios=("mixed_day",), changes={"informed": {"duration_s": 150, "every_s": 700, "on_adverse": 1.0}}),
    Family(name="unseen_trap", scenarios=("trap",)),
)
"""Families that no training world has; `evaluate` scores on them beside fresh seeds of the others."""


def is_unseen(family: str) -> bool:
    """Tell whether the default model learned from no world of a family: of `UNSEEN`, or somebody else's."""
    return all(one.name != family for one in FAMILIES)


def is_held_out(family: str) -> bool:
    """Tell whether a family is one of `UNSEEN`, of which no training has a world."""
    return any(one.name == family for one in UNSEEN)


PLANTED: tuple[Family, ...] = (
    Family(name="planted_lively", scenarios=("first_run",), changes={"informed": {"drift_bps": 40}}),
    Family(name="planted_one_sided", scenarios=("accumulation", "distribution"), changes={"informed": {"drift_bps": 40}}),
    Family(name="planted_day", scenarios=("mixed_day",), changes={"informed": {"drift_bps": 40}}),
)
"""Families whose informed parents precede a drift that is worth a round trip's cost: with less, nobody's gates let anything pass."""


def training_worlds(per_family: int, seconds: int, first_seed: int = 1_000) -> tuple[World, ...]:
    """Return the worlds of every training family, seeds ascending, scenarios of a family in turn."""
    return tuple(
        World(
            family=family.name,
            scenario=members[n % len(members)],
            seed=first_seed + 100 * place + n,
            seconds=seconds,
            market=family.markets[n % len(family.markets)],
        )
        for place, family in enumerate(FAMILIES)
        for members in [family.members()]
        for n in range(per_family * family.times)
    )


def training_windows(pairs: int, batches: int = 4, first_seed: int = 50_000) -> tuple[OracleBatch, ...]:
    """Return the oracle worlds that the detector learns from: `batches` of so many pairs of every kind."""
    return tuple(
        OracleBatch(kind=kind, seed=first_seed + 10 * place + n, pairs=pairs) for place, kind in enumerate(KINDS) for n in range(batches)
    )


def held_out_seeds(bundle_hash: str, suite: str) -> Iterator[int]:
    """Yield seeds that nobody could tune to: SHA-256 of the bundle's hash, the suite's name and a count."""
    count = 0
    while True:
        digest = hashlib.sha256(f"{bundle_hash}:{suite}:{count}".encode()).digest()
        yield int.from_bytes(digest[:5], "big")
        count += 1


def held_out_windows(bundle_hash: str, suite: str, pairs: int) -> tuple[OracleBatch, ...]:
    """Return fresh oracle worlds of every kind, whose seeds follow from the bundle."""
    seeds = held_out_seeds(bundle_hash, f"{suite}-windows")
    return tuple(OracleBatch(kind=kind, seed=next(seeds) % 1_000_000_007, pairs=pairs) for kind in KINDS)


def held_out_worlds(bundle_hash: str, suite: str, per_family: int, seconds: int) -> tuple[World, ...]:
    """Return fresh worlds of every family, the unseen ones too, whose seeds follow from the bundle."""
    seeds = held_out_seeds(bundle_hash, suite)
    return tuple(
        World(
            family=family.name,
            scenario=members[n % len(members)],
            seed=next(seeds),
            seconds=seconds,
            market=family.markets[n % len(family.markets)],
        )
        for family in (*FAMILIES, *UNSEEN)
        for members in [family.members()]
        for n in range(per_family)
    )


def held_out_planted(bundle_hash: str, suite: str, count: int, seconds: int) -> tuple[World, ...]:
    """Return so many fresh worlds with an edge that is worth its cost, families in turn, whose seeds follow from the bundle."""
    members = [(family.name, one) for family in PLANTED for one in family.members()]
    seeds = held_out_seeds(bundle_hash, f"{suite}-planted")
    chosen = [members[n % len(members)] for n in range(count)]
    return tuple(World(family=family, scenario=scenario, seed=next(seeds), seconds=seconds) for family, scenario in chosen)


def held_out_told(bundle_hash: str, suite: str, scenario: str, count: int, seconds: int) -> tuple[ToldWorld, ...]:
    """Return fresh worlds of a scenario whose bars are wanted, too, whose seeds follow from the bundle."""
    seeds = held_out_seeds(bundle_hash, f"{suite}-{scenario}")
    law = load_scenario(scenario)
    return tuple(ToldWorld(world=World(family=scenario, scenario=law, seed=next(seeds), seconds=seconds)) for _ in range(count))


def held_out_feeds(
    bundle_hash: str, suite: str, quiet_hours: int, targets: int, lasts_s: int
) -> tuple[tuple[QuietHours, ...], tuple[WatchedTargets, ...]]:
    """Return fresh quiet hours of both laws and fresh targets of every kind, in batches that several processes can share."""
    seeds = held_out_seeds(bundle_hash, f"{suite}-watch")
    quiet = tuple(
        QuietHours(is_iceberg=is_iceberg, seed=next(seeds) % 1_000_000_007, hours=min(_BATCH_HOURS, quiet_hours - first))
        for is_iceberg in (False, True)
        for first in range(0, quiet_hours, _BATCH_HOURS)
    )
    watched = tuple(WatchedTargets(kind=kind, seed=next(seeds) % 1_000_000_007, targets=targets, lasts_s=lasts_s) for kind in KINDS)
    return quiet, watched


def held_out_nulls(bundle_hash: str, suite: str, count: int, seconds: int) -> tuple[World, ...]:
    """Return fresh worlds with nothing to find, whose seeds follow from the bundle."""
    seeds = held_out_seeds(bundle_hash, f"{suite}-nothing")
    scenario = load_scenario("no_information")
    return tuple(World(family="nothing", scenario=scenario, seed=next(seeds), seconds=seconds) for _ in range(count))
