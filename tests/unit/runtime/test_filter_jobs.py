"""Filters of real laws: the same whoever learns them; recordings have one only where their generator is known."""

import msgspec
import numpy as np
import pytest

from smartmoney.adapters.market_recorder import record
from smartmoney.core.domain.instruments import Market
from smartmoney.core.features.parameters import FeatureParameters
from smartmoney.learning.evaluation.filter_worlds import recorded_world
from smartmoney.learning.sets.families import FAMILIES
from smartmoney.learning.sets.recorded_worlds import read_world
from smartmoney.learning.sets.synthetic import World
from smartmoney.runtime.codecs import recorded_binance
from smartmoney.runtime.filter_jobs import filter_regimes
from smartmoney.runtime.training_jobs import world_rows
from smartmoney.settings.scenario import load_scenario
from smartmoney.simulation.market import SyntheticMarket
from smartmoney.simulation.scenario import FIRST_RUN
from tests.unit.learning.made_rows import made_rows

PARAMETERS = FeatureParameters()
SEEDED = ("a" * 64, "test")


def quiet(_what, _done, _total):
    """Show nothing."""


def recorded(folder, scenario):
    record(SyntheticMarket(3, scenario, ("BTCUSDT",), (Market.USDM,)), folder, 40)
    [rows] = read_world(folder, recorded_binance(), PARAMETERS)
    return recorded_world(folder, rows)


def test_a_recording_is_of_a_family_by_the_hash_of_its_scenario_whatever_its_folder_is_called(tmp_path):
    known = recorded(tmp_path / "some-where", load_scenario("first_run"))
    assert known == World(family="lively", scenario=load_scenario("first_run"), seed=3, seconds=40, market=Market.USDM)
    takers = msgspec.structs.replace(FIRST_RUN.takers, base_rate=0.2)
    assert recorded(tmp_path / "lively", msgspec.structs.replace(FIRST_RUN, takers=takers)) is None


def test_rows_of_no_known_world_have_no_filter():
    found = filter_regimes(SEEDED, [(made_rows(1, "lively", 400), None)], 2, PARAMETERS, quiet, parallel=False)
    assert found.said == found.half == [None]


@pytest.mark.slow
def test_filters_are_the_same_whoever_learns_them(tmp_path, monkeypatch):
    monkeypatch.setattr("smartmoney.runtime.training_jobs.rows_folder", lambda: tmp_path)
    worlds = [
        World(family=one.name, scenario=one.members()[0], seed=seed, seconds=900)
        for seed, one in enumerate((FAMILIES[0], FAMILIES[5], FAMILIES[0]))
    ]
    rows = list(world_rows(worlds, PARAMETERS, quiet, parallel=False))
    scored = [*zip(rows, worlds, strict=True), (made_rows(1, "strange", 900), None)]
    alone, shared = (filter_regimes(SEEDED, scored, 3, PARAMETERS, quiet, parallel=parallel) for parallel in (False, True))
    assert alone.said[3] is shared.said[3] is None
    for one, other in zip([*alone.said[:3], *alone.half[:3]], [*shared.said[:3], *shared.half[:3]], strict=True):
        assert np.array_equal(one.label, other.label)
        assert np.array_equal(one.posterior, other.posterior)
    assert not np.array_equal(alone.said[0].posterior, alone.said[2].posterior)
