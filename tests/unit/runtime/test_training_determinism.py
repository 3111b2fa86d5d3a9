"""The recipe of the model that ships, in the small: worlds made in one process or two, and trainings here or elsewhere, are the same bytes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from smartmoney.adapters.model_files import write_bundle
from smartmoney.learning.fitting.plan import Recipe
from smartmoney.learning.sets.oracle_windows import OracleBatch
from smartmoney.learning.sets.synthetic import World
from smartmoney.learning.trainer import Origin, train
from smartmoney.runtime import training_jobs
from smartmoney.runtime.training_jobs import world_rows
from smartmoney.settings.build import feature_parameters
from smartmoney.settings.load import load_settings
from smartmoney.settings.scenario import load_scenario
from tests.unit.learning.made_rows import made_rows

pytestmark = pytest.mark.slow
RECIPE = Recipe(gb_n_estimators=12, gb_max_depth=3, every_s=10, folds=2, horizons_s=(60,), hmm_rows=4000)
ORIGIN = Origin(venue="sim", market="usdm", instruments=("BTC/USDT",))
WORLDS = (
    World(family="day", scenario=load_scenario("mixed_day"), seed=1, seconds=900),
    World(family="wild", scenario=load_scenario("volatile"), seed=2, seconds=900),
    OracleBatch(kind="poisson", seed=3, pairs=2),
)
ELSEWHERE = """
import sys
from pathlib import Path
from smartmoney.runtime import kernel_cache
kernel_cache.prepare()
from tests.unit.runtime.test_training_determinism import learn
learn(Path(sys.argv[1]))
"""


def quiet(_what, _done, _total):
    """Show nothing."""


def learn(out: Path) -> None:
    """Train on rows with truth and write the bundle to a folder."""
    sources = [made_rows(seed, f"family{seed % 2}") for seed in range(4)]
    write_bundle(out, train(sources, RECIPE, "small", ORIGIN, quiet).bundle)


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_worlds_are_the_same_bytes_whoever_makes_them(tmp_path):
    for name, parallel in (("alone", False), ("shared", True)):
        list(world_rows(WORLDS, feature_parameters(load_settings()), quiet, parallel=parallel, folder=tmp_path / name))
    alone, shared = contents(tmp_path / "alone"), contents(tmp_path / "shared")
    assert len(alone) == len(WORLDS)
    assert alone == shared


def test_rows_are_made_anew_where_the_market_is_another_or_they_are_gone(tmp_path, monkeypatch):
    parameters = feature_parameters(load_settings())

    def names():
        return {path.name for path in tmp_path.iterdir()}

    waiting = world_rows(WORLDS[:1] * 2, parameters, quiet, parallel=False, folder=tmp_path)
    count = len(next(waiting))
    [first] = names()
    (tmp_path / first).unlink()
    assert len(next(waiting)) == count
    assert names() == {first}
    monkeypatch.setattr(training_jobs, "_made_by", lambda: b"another simulator")
    assert [len(one) for one in world_rows(WORLDS[:1], parameters, quiet, parallel=False, folder=tmp_path)] == [count]
    assert len(names()) == 2


def test_a_training_is_the_same_bytes_in_another_process_with_another_hash_seed_and_another_number_of_threads(tmp_path):
    learn(tmp_path / "here")
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "2")  # here it is one: see tests/conftest.py
    words = (sys.executable, "-c", ELSEWHERE, tmp_path / "there")
    subprocess.run(words, check=True, env={**os.environ, "PYTHONHASHSEED": "4242", **threads})
    here, there = contents(tmp_path / "here"), contents(tmp_path / "there")
    assert here.keys() == there.keys()
    assert [name for name in here if here[name] != there[name]] == []
