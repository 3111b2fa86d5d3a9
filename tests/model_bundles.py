"""Small trained bundles for tests: real xgboost forests over made-up rows, a mirrored hidden Markov model of six states."""

from functools import cache

import numpy as np

from smartmoney.adapters.model_files import assemble
from smartmoney.core.domain.signals import Regime
from smartmoney.core.features.schema import COLUMNS, FEATURE_INDEX, FEATURES, SCHEMA_HASH
from smartmoney.core.models.bundle import (
    BundleSpec,
    Calibrator,
    Classifier,
    Detector,
    Head,
    HiddenMarkov,
    Observed,
    Sigma,
    Trained,
)
from smartmoney.core.models.columns import HMM_AGE, HMM_ENTROPY, HMM_REGIMES, REGIMES

A, D, T, V, N = Regime
NAMES = (A, D, T, T, V, N)
MIRROR = (1, 0, 3, 2, 4, 5)
OBSERVED = (
    ("tfi_120s", False, 0.0, 0.2),
    ("ofi_l1_10s", True, 0.0, 0.5),
    ("rv_120s", True, 1.0, 0.7),
    ("efficiency_120s", False, 0.3, 0.2),
)
PRODUCTS = ("spread_bps*queue_imbalance", "tfi_10s*tfi_120s", "tfi_120s*efficiency_120s")
FLOW_INPUTS = ("tfi_10s", "tfi_120s", "ofi_l1_10s", "splitting_cusum_buy", "splitting_cusum_sell", "hmm:accumulation", "hmm:distribution")
REGIME_INPUTS = (
    "tfi_120s",
    "rv_120s",
    "efficiency_120s",
    "window:tfi_120s",
    *HMM_REGIMES,
    HMM_ENTROPY,
    HMM_AGE,
    "flow:buying",
    "flow:selling",
)
HEAD_INPUTS = (
    "queue_imbalance",
    "tfi_10s",
    "tfi_120s",
    "weighted_imbalance",
    "rv_120s",
    *PRODUCTS,
    *REGIMES,
    "flow:buying",
    "flow:selling",
)


def hidden_markov(**changes):
    """Return six states over four dimensions: two odd, two even."""
    means = (
        (1.5, 1.0, 0.0, -0.5),
        (-1.5, -1.0, 0.0, -0.5),
        (0.8, 0.5, 0.5, 1.5),
        (-0.8, -0.5, 0.5, 1.5),
        (0.0, 0.0, 2.0, 0.0),
        (0.0, 0.0, -0.3, -0.3),
    )
    stay = 0.95
    transitions = tuple(tuple(stay if i == j else (1 - stay) / 5 for j in range(6)) for i in range(6))
    given = {
        "observed": tuple(Observed(feature=f, signed_log=s, median=m, mad=d) for f, s, m, d in OBSERVED),
        "z_max": 5.0,
        "means": means,
        "variances": tuple((0.8, 1.0, 1.0, 1.2) for _ in range(6)),
        "transitions": transitions,
        "start": (1 / 6,) * 6,
        "names": NAMES,
        "mirror": MIRROR,
        "temper": 2.0,
        "spread_max": 6.0,
    }
    return HiddenMarkov(**{**given, **changes})


def rows(count, seed=1, missing=0.0):
    """Return rows of made-up features: even and paired ones above 0, so that they look like what they are named for."""
    random = np.random.default_rng(seed)
    table = random.normal(size=(count, len(COLUMNS))) * 0.4
    for k, feature in enumerate(FEATURES):
        if feature.parity != "odd":
            table[:, k] = np.abs(table[:, k]) + 0.05
    table[:, FEATURE_INDEX["rv_120s"]] *= 40.0
    table[:, FEATURE_INDEX["liquidity_score"]] = 0.9
    table[random.random(table.shape) < missing] = np.nan
    return table


def grow(inputs, signal, outputs, rounds, depth, seed=3, count=3000):
    """Return a real Booster over random inputs in which the first few matter."""
    import xgboost

    random = np.random.default_rng(seed)
    x = random.normal(size=(count, inputs)).astype(np.float32)
    x[random.random(x.shape) < 0.05] = np.nan
    score = np.nan_to_num(x[:, signal[0]]) + 0.5 * np.nan_to_num(x[:, signal[1]]) + random.normal(size=count)
    label = (score > 0).astype(int) if outputs == 1 else np.digitize(score, np.quantile(score, np.arange(1, outputs) / outputs))
    kind = {"objective": "binary:logistic"} if outputs == 1 else {"objective": "multi:softprob", "num_class": outputs}
    parameters = (
        {**kind, "max_depth": depth, "nthread": 1, "seed": seed, "base_score": 0.5}
        if outputs == 1
        else {**kind, "max_depth": depth, "nthread": 1}
    )
    return xgboost.train(parameters, xgboost.DMatrix(x, label), rounds)


@cache
def small_bundle(
    rounds=8, depth=3, name="small", heads=(60, 900), conformal=0.45, return_scale=1.0, venue="sim", calibrated=(0.5, 0.75, 0.97)
):
    """Return a bundle of every stage."""
    from smartmoney.learning.forest_export import export_forest

    forests = {
        "detector": export_forest(grow(len(FLOW_INPUTS), (0, 1), 1, rounds, depth)),
        "classifier": export_forest(grow(len(REGIME_INPUTS), (0, 1), 5, rounds, depth)),
        **{f"head-{h}": export_forest(grow(len(HEAD_INPUTS), (1, 2), 1, rounds, depth, seed=h)) for h in heads},
    }
    spec = BundleSpec(
        name=name,
        schema_hash=SCHEMA_HASH,
        trained=Trained(venue=venue, market="spot", instruments=("BTC/USDT",), data_hash="0" * 64),
        hmm=hidden_markov(),
        detector=Detector(inputs=FLOW_INPUTS, calibrator=Calibrator(kind="platt", parameters=(1.1, -0.2))),
        classifier=Classifier(inputs=REGIME_INPUTS, temperature=1.3),
        heads=tuple(
            Head(
                horizon_s=h,
                tradable=h >= 300,
                inputs=HEAD_INPUTS,
                calibrator=Calibrator(kind="isotonic", x=(0.5, 0.7, 1.0), y=calibrated),
                return_scale=return_scale,
                sigma=Sigma(feature="rv_120s", power=0.5, scale=(h / 60) ** 0.5, floor_bps=0.5),
                conformal=(conformal,) * 5,
                terciles_bps=(5.0, 20.0),
            )
            for h in heads
        ),
        products=PRODUCTS,
        importance={"tfi_120s": 3.0, "tfi_10s": 1.0},
    )
    return assemble(spec, forests, "# small\n\nMade up for tests.\n")
