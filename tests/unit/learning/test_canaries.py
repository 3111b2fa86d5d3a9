"""Each canary sings where it should: a future in the features, labels that the test has seen, and time that runs the wrong way."""

import msgspec
import numpy as np
import pytest

from smartmoney.core.features.schema import COLUMNS, FEATURE_INDEX, FEATURES
from smartmoney.learning.fitting.canaries import Canaries, canaries, canary_fold
from smartmoney.learning.fitting.heads import head_rows
from smartmoney.learning.fitting.leaks import Leak
from smartmoney.learning.fitting.plan import FOREVER_NS, Fold, Recipe, sample
from smartmoney.learning.fitting.stages import layout

from .made_rows import made_rows

RECIPE = Recipe(every_s=10, folds=2, horizons_s=(300,), interaction_depth=1)
HORIZON_S = 300
CLEAN = Canaries(
    horizon_s=300,
    horizons_s=(60, 300),
    future_found=True,
    named=(),
    shuffled_most=0.03,
    shuffled_limit=0.08,
    forward_auc=0.55,
    reversed_auc=0.9,
)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, None),
        ({"future_found": False}, "future was not noticed"),
        (
            {"named": tuple(Leak(column="microprice_bps", horizon_s=h, auc=0.95, agrees=0.5) for h in (60, 1800))},
            "microprice_bps foretells the direction of 60 s, 1800 s as only the future can",
        ),
        ({"shuffled_most": 0.09}, "shuffled labels were learned: AUC 0.090"),
        ({"forward_auc": 0.99}, "the future (AUC 0.990) is better known than the past (0.900)"),
    ],
)
def test_each_finding_alone_is_a_problem_that_is_said(changes, says):
    problems = msgspec.structs.replace(CLEAN, **changes).problems
    assert len(problems) == (says is not None)
    assert says is None or says in problems[0]


def look(bundles, sources, fold=None):
    hmm = bundles.hidden_markov()
    made = sample(sources, hmm, RECIPE)
    rows = head_rows(sources, made, HORIZON_S, RECIPE.every_s, RECIPE.half_life_s)
    used = fold or canary_fold(sources, made, rows, RECIPE, HORIZON_S)
    return canaries(sources, made, {HORIZON_S: rows}, used, layout(hmm, RECIPE), RECIPE, HORIZON_S)


@pytest.fixture(scope="module")
def sources():
    return [made_rows(seed, f"family{seed % 2}", 14_400) for seed in range(4)]


def changed(sources, change):
    """Return the sources with values changed by a function of the source, in place."""
    found = []
    for one in sources:
        values = one.values.copy()
        change(one, values)
        found.append(msgspec.structs.replace(one, values=values))
    return found


@pytest.mark.slow
def test_nothing_is_found_where_nothing_is_wrong(bundles, sources):
    assert look(bundles, sources).problems == ()


@pytest.mark.slow
def test_labels_that_the_test_has_seen_are_learned_though_they_were_shuffled(bundles, sources):
    """Columns that stand for minutes tell which stretch a row is of; a broken fold is tested on the stretches that it learned from."""
    rng = np.random.default_rng(5)
    slow = [name for name, one in zip(COLUMNS, FEATURES, strict=True) if one.parity == "even" and one.bounds[1] is None][1:25]

    def stand(_one, values):
        stretch = np.arange(len(values)) // HORIZON_S
        for name in slow:
            values[:, FEATURE_INDEX[name]] = 1.0 + rng.random(stretch[-1] + 1)[stretch]

    standing, count = changed(sources, stand), len(sources)
    assert look(bundles, standing).problems == ()
    broken = Fold(train_until=(FOREVER_NS,) * count, test_from=(0,) * count, test_until=(FOREVER_NS,) * count)
    assert [one for one in look(bundles, standing, broken).problems if one.startswith("shuffled labels were learned")]


@pytest.mark.slow
def test_a_column_of_the_future_too_noisy_to_be_named_by_itself_is_found_by_turning_time_round(bundles, sources):
    rng = np.random.default_rng(3)

    def look_ahead(one, values):
        ahead = np.minimum(np.arange(len(one)) + HORIZON_S, len(one) - 1)
        move = (one.mid_after[ahead] - one.mid_after) / one.mid_after * 1e4
        values[:, FEATURE_INDEX["microprice_bps"]] = move + 0.85 * move.std() * rng.standard_normal(len(one))

    found = look(bundles, changed(sources, look_ahead))
    assert found.named == ()
    assert len(found.problems) == 1
    assert "is better known than the past" in found.problems[0]
