import numpy as np
import pytest
import xgboost

from smartmoney.core.alpha.forest import APART_MAX
from smartmoney.core.alpha.forest_kernel import pack, row_length, table_margins
from smartmoney.learning.boosting import trees
from smartmoney.learning.boosting.trees import LEAVES_MAX, TreeSettings, grow
from smartmoney.learning.forest_export import ForestNotExportable, export_forest, gains


def margins(forest, x):
    nodes, walks = pack(forest, range(x.shape[1]), x.shape[1])
    wide = np.full(row_length(x.shape[1]), np.nan, np.float32)
    out = np.empty((len(x), len(forest.base)), np.float32)
    table_margins(nodes, walks, np.array(forest.base, np.float32), x, wide, out)
    return out.astype(np.float64)


def probabilities(forest, x):
    found = margins(forest, x)
    if found.shape[1] == 1:
        return 1.0 / (1.0 + np.exp(-found[:, 0]))
    grown = np.exp(found - found.max(axis=1, keepdims=True))
    return grown / grown.sum(axis=1, keepdims=True)


def table(rows, columns, seed):
    random = np.random.default_rng(seed)
    x = random.normal(size=(rows, columns)).astype(np.float32)
    x[random.random(x.shape) < 0.1] = np.nan
    # Thresholds are values that were seen: equality is what goes wrong first.
    x[:, 0] = np.round(x[:, 0] * 4) / 4
    x[0] = np.nan
    x[1], x[2] = np.inf, -np.inf
    return x


def trained(objective, seed=0, rounds=100, depth=6, columns=20, **more):
    x = table(4000, columns, seed)[3:]
    score = np.nan_to_num(x[:, 0]) + np.nan_to_num(x[:, 1]) * np.nan_to_num(x[:, 2])
    label = (score > 0.3).astype(int) if objective.startswith("binary") else np.digitize(score, [-1, -0.3, 0.3, 1])
    parameters = {"objective": objective, "max_depth": depth, "nthread": 1, "seed": seed, **more}
    if objective.startswith("multi"):
        parameters["num_class"] = 5
    return xgboost.train(parameters, xgboost.DMatrix(x, label), rounds)


def compare(rows, **given):
    booster = trained(**given)
    x = table(rows, 20, seed=9)
    assert np.abs(probabilities(export_forest(booster), x) - booster.inplace_predict(x)).max() <= 1e-6


@pytest.mark.parametrize("objective", ["binary:logistic", "multi:softprob"])
def test_an_exported_forest_says_what_xgboost_says(objective):
    compare(50_000 if objective == "binary:logistic" else 10_000, objective=objective)


@pytest.mark.campaign
@pytest.mark.parametrize("objective", ["binary:logistic", "multi:softprob"])
def test_an_exported_forest_says_what_xgboost_says_on_a_million_rows(objective):
    compare(1_000_000, objective=objective)


@pytest.mark.parametrize(
    "more",
    [
        {"base_score": 0.2},
        {"base_score": 0.5},
        {"max_depth": 1},
        {"gamma": 5.0, "max_depth": 8},
        {"grow_policy": "lossguide", "max_leaves": 9},
    ],
)
def test_base_scores_stumps_and_pruned_trees_are_exported(more):
    booster = trained(
        "binary:logistic", rounds=13, **{"depth": more.get("max_depth", 4), **{k: v for k, v in more.items() if k != "max_depth"}}
    )
    x = table(3000, 20, seed=4)
    assert np.abs(probabilities(export_forest(booster), x) - booster.inplace_predict(x)).max() <= 1e-6


def test_covers_of_children_add_up_to_their_parents():
    forest = export_forest(trained("binary:logistic", rounds=5))
    nodes = forest.nodes
    inner = np.flatnonzero(nodes["left"] != -1)
    left = nodes["left"][inner]
    assert np.allclose(nodes["cover"][inner], nodes["cover"][left] + nodes["cover"][left + 1], rtol=1e-4)


def test_what_cannot_be_computed_is_refused_with_what_to_train_instead():
    x, y = table(100, 3, 1)[3:], np.arange(97) % 7
    with pytest.raises(ForestNotExportable, match="reg:squarederror"):
        export_forest(xgboost.train({"objective": "reg:squarederror", "nthread": 1}, xgboost.DMatrix(x, y), 2))
    with pytest.raises(ForestNotExportable, match="gbtree"):
        export_forest(xgboost.train({"objective": "binary:logistic", "booster": "dart", "nthread": 1}, xgboost.DMatrix(x, y % 2), 2))
    kinds = xgboost.DMatrix(np.abs(np.nan_to_num(np.round(x))), y % 2, feature_types=["c", "q", "q"], enable_categorical=True)
    by_kind = xgboost.train({"objective": "binary:logistic", "nthread": 1, "max_cat_to_onehot": 1}, kinds, 20)
    with pytest.raises(ForestNotExportable, match="categorical"):
        export_forest(by_kind)


def test_gains_are_named_by_input():
    booster = trained("binary:logistic", rounds=5)
    found = gains(booster, [f"x{k}" for k in range(20)])
    assert found
    assert all(gain > 0 and name.startswith("x") for name, gain in found.items())
    assert max(found, key=found.get) in {"x0", "x1", "x2"}


def test_trees_of_any_depth_that_training_grows_can_be_packed(monkeypatch):
    assert 2 * LEAVES_MAX - 2 <= APART_MAX
    x = table(4000, 6, 3)[3:]
    label, weights = np.random.default_rng(1).integers(0, 2, len(x)), np.ones(len(x))
    settings = TreeSettings(rounds=1, depth=16, leaf_rows_min=0.1, penalty=0.0)
    assert len(export_forest(grow(x, label, weights, settings).booster).nodes) > 200
    monkeypatch.setattr(trees, "LEAVES_MAX", 50)
    assert len(export_forest(grow(x, label, weights, settings).booster).nodes) <= 99
