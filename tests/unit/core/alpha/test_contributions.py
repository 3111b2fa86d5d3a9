import numpy as np
import pytest
import xgboost

from smartmoney.core.alpha.contributions import contributions
from smartmoney.learning.forest_export import export_forest


def grown(outputs, depth, rounds, seed=0):
    random = np.random.default_rng(seed)
    x = random.normal(size=(2000, 8)).astype(np.float32)
    x[random.random(x.shape) < 0.1] = np.nan
    score = np.nan_to_num(x[:, 0]) * np.nan_to_num(x[:, 1]) + np.nan_to_num(x[:, 2]) + 0.3 * random.normal(size=2000)
    kind = {"objective": "binary:logistic"} if outputs == 1 else {"objective": "multi:softprob", "num_class": outputs}
    label = score > 0 if outputs == 1 else np.digitize(score, np.linspace(-1, 1, outputs - 1))
    return xgboost.train({**kind, "max_depth": depth, "nthread": 1}, xgboost.DMatrix(x, label), rounds), x


@pytest.mark.parametrize(("outputs", "depth", "rounds"), [(1, 1, 3), (1, 3, 20), (1, 6, 30), (5, 4, 6)])
def test_contributions_are_xgboosts(outputs, depth, rounds):
    booster, x = grown(outputs, depth, rounds)
    forest = export_forest(booster)
    theirs = booster.predict(xgboost.DMatrix(x[:50]), pred_contribs=True).reshape(50, outputs, 9)
    margins = booster.predict(xgboost.DMatrix(x[:50]), output_margin=True).reshape(50, outputs)
    for k in range(50):
        ours = contributions(forest, x[k])
        assert np.abs(ours - theirs[k]).max() <= 1e-4
        assert np.abs(ours.sum(axis=1) - margins[k]).max() <= 1e-4
