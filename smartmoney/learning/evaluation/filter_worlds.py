"""Which worlds a family's filter is learned from: fresh ones of the very law that made a scored world, and never that world.

A law is everything of a world but its seed: scenario with its parameters, symbol, market, length. Whoever knows the generator knows it.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from smartmoney.core.domain.instruments import Market
from smartmoney.learning.sets.families import FAMILIES, PLANTED, UNSEEN, held_out_seeds
from smartmoney.learning.sets.rows import Rows
from smartmoney.learning.sets.synthetic import World

LASTS_S = 3600
"""Worlds that are learned from last no longer: what is rare, and what moves slowly, is seen in many worlds, not in long ones."""


class _Recorded(msgspec.Struct, frozen=True):
    scenario_hash: str
    seed: int
    seconds: int


def law_of(world: World) -> World:
    """Return a world's law: the world without its seed."""
    return msgspec.structs.replace(world, seed=0)


def filter_worlds(bundle_hash: str, suite: str, scored: Sequence[World], per_law: int) -> dict[World, tuple[World, ...]]:
    """Return for each law among the scored worlds so many worlds of it, whose seeds follow from the bundle and are not the scored ones'.

    The first few of more are those of fewer, and a law's are the same whatever else is scored. They last as long as the scored ones, an
    hour at most.
    """
    taken = {one.seed for one in scored}
    found = {}
    for law in dict.fromkeys(law_of(one) for one in scored):
        seeds = held_out_seeds(bundle_hash, f"{suite}-filter-{law.family}-{law.scenario.name}-{law.market.value}")
        fresh = (seed for seed in seeds if seed not in taken)
        lasting = min(law.seconds, LASTS_S)
        found[law] = tuple(msgspec.structs.replace(law, seed=next(fresh), seconds=lasting) for _ in range(per_law))
    return found


def recorded_world(folder: Path, rows: Rows) -> World | None:
    """Return which world a recording's rows are, by the hash of its scenario; None where that is no family's.

    Books of a recording do not touch each other, so each is a world of its own. What its folder is called counts for nothing.

    Raises:
        OSError: its meta.json cannot be read.
    """
    try:
        told = msgspec.json.decode((folder / "truth" / "meta.json").read_bytes(), type=_Recorded)
    except msgspec.MsgspecError:  # of another version, or not of ours
        return None
    symbol, market = rows.name.removeprefix(f"{folder.name}-").rsplit(".", 1)
    for family in (*FAMILIES, *UNSEEN, *PLANTED):
        for scenario in family.members():
            if hashlib.sha256(msgspec.json.encode(scenario, order="sorted")).hexdigest() == told.scenario_hash:
                return World(
                    family=family.name, scenario=scenario, seed=told.seed, seconds=told.seconds, symbol=symbol, market=Market(market)
                )
    return None
