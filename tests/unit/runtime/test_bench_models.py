import numpy as np
import pytest

from smartmoney.core.models.checks import bundle_problem
from smartmoney.learning.forest_export import export_forest
from smartmoney.runtime.bench_models import made_up_bundle, onnx_session


def test_the_made_up_bundle_is_one_that_would_be_taken():
    assert bundle_problem(made_up_bundle(trees=3, depth=2)) is None


def test_onnxruntime_is_measured_on_the_same_forest(bundles):
    pytest.importorskip("onnxruntime")
    booster = bundles.grow(12, (0, 1), 1, 20, 4)
    x = np.random.default_rng(1).normal(size=(500, 12)).astype(np.float32)
    x[x > 1.5] = np.nan
    margins = onnx_session(export_forest(booster))(x)[:, 0]
    assert np.abs(1 / (1 + np.exp(-margins.astype(float))) - booster.inplace_predict(x)).max() <= 1e-6
