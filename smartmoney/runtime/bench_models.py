"""Measure a trained decision, and its parts against what else would compute them, in the same run.

Forests: xgboost's own `inplace_predict`, and onnxruntime, one row at a time on one thread, the same 100 trees of depth 6 over 60 inputs;
and how far what is said lies from what xgboost says, where every tenth number is missing.
Filter: hmmlearn's `predict_proba` over the last 100 bars, whose last row is what the filter says. Times are this thread's CPU time, since
everything here runs in the caller's thread: the least of many short rounds, in which all that is compared takes turns, so that a neighbour
on the machine slows all of it or none. Peers that are not installed are left out.
"""

import importlib.util
from collections.abc import Callable, Sequence
from time import thread_time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smartmoney.core.alpha.forest import NODE, TREE, Forest
from smartmoney.core.alpha.forest_kernel import pack, row_length, row_margins, table_margins
from smartmoney.core.domain.signals import Regime
from smartmoney.core.features.schema import COLUMNS, SCHEMA_HASH
from smartmoney.core.models.bundle import Bundle, BundleSpec, Calibrator, Classifier, Detector, Head, HiddenMarkov, Observed, Sigma, Trained
from smartmoney.core.models.columns import HMM_REGIMES, REGIMES
from smartmoney.core.regime.parameters import RegimeParameters
from smartmoney.core.strategy.trained import TrainedModel

TREES, DEPTH, INPUTS, ROWS = 100, 6, 60, 2000
WINDOW = 100
"""Bars that hmmlearn looks at for each posterior."""
ROUNDS, ASKED = 60, 100
"""In each round every one is asked about so many rows."""
HEAD_TREES, HEAD_DEPTH = 40, 4
HORIZONS = (60, 300, 900, 1800, 3600)
_S = 1_000_000_000

Row = tuple[str, float, str, str, float | None]
"""What, how much, of which unit, the peer, how much of it."""
Ask = Callable[[Any], object]


def measure() -> list[Row]:
    """Return what each part costs, and its peers."""
    return [*_decision(), *_forest(), *_filter()]


def made_up_bundle(trees: int = HEAD_TREES, depth: int = HEAD_DEPTH) -> Bundle:
    """Return a bundle of every stage with random trees: it knows nothing and costs what a real one costs."""
    random = np.random.default_rng(1)
    inputs = COLUMNS[:INPUTS]
    head_inputs = (*inputs, *REGIMES)
    heads = tuple(
        Head(
            horizon_s=horizon,
            tradable=True,
            inputs=head_inputs,
            calibrator=Calibrator(kind="platt", parameters=(1.0, 0.0)),
            return_scale=1.0,
            sigma=Sigma(feature="rv_120s", power=0.5, scale=1.0, floor_bps=0.1),
            conformal=(0.4,) * 5,
            terciles_bps=(5.0, 15.0),
        )
        for horizon in HORIZONS
    )
    spec = BundleSpec(
        name="made-up",
        schema_hash=SCHEMA_HASH,
        trained=Trained(venue="none", market="spot", instruments=(), data_hash=""),
        hmm=_hmm(),
        detector=Detector(inputs=inputs),
        classifier=Classifier(inputs=(*inputs, *HMM_REGIMES)),
        heads=heads,
    )
    sizes = {"detector": (INPUTS, 1), "classifier": (INPUTS + 5, 5), **{f"head-{h}": (INPUTS + 5, 1) for h in HORIZONS}}
    forests = {name: _random_forest(random, width, outputs, trees, depth) for name, (width, outputs) in sizes.items()}
    return Bundle(spec=spec, forests=forests, card="", hash="0" * 64)


def _decision() -> list[Row]:
    bundle = made_up_bundle()
    model = TrainedModel(bundle, RegimeParameters())
    state, rows = model.fresh_state(), np.abs(np.random.default_rng(2).normal(size=(ROWS, len(COLUMNS))))
    clock = [0]

    def decide(row: NDArray[np.float64]) -> None:
        clock[0] += _S
        model.step(state, row, {}, clock[0])

    count = sum(len(forest.trees) for forest in bundle.forests.values())
    what = f"trained decision, {count} trees of depth {HEAD_DEPTH}, each for row and mirror, one call"
    return [(what, _per_row([(decide, rows)])[0], "us", "", None)]


def _forest() -> list[Row]:
    random = np.random.default_rng(3)
    x = random.normal(size=(ROWS, INPUTS)).astype(np.float32)
    what = f"forest of {TREES} trees, depth {DEPTH}, {INPUTS} inputs, one call a row"
    if importlib.util.find_spec("xgboost") is None:
        forest = _random_forest(np.random.default_rng(4), INPUTS, 1, TREES, DEPTH)
        return [(what, _per_row([(_asking(forest), x)])[0], "us", "", None)]
    import xgboost

    from smartmoney.learning.forest_export import export_forest

    label = (x[:, 0] + x[:, 1] * x[:, 2] + np.random.default_rng(5).normal(size=ROWS) > 0).astype(int)
    booster = xgboost.train({"objective": "binary:logistic", "max_depth": DEPTH, "nthread": 1}, xgboost.DMatrix(x, label), TREES)
    forest = export_forest(booster)
    holed = np.where(random.random(x.shape) < 0.1, np.float32(np.nan), x)
    apart = np.abs(_probabilities(forest, holed) - booster.inplace_predict(holed)).max()
    peers: list[tuple[str, Ask]] = [("xgboost inplace_predict, one row", lambda row: booster.inplace_predict(row[None, :]))]
    if importlib.util.find_spec("onnx") is not None and importlib.util.find_spec("onnxruntime") is not None:
        run = onnx_session(forest)
        peers.append(("onnxruntime, one row", lambda row: run(row[None, :])))
    own, *others = _per_row([(ask, x) for ask in (_asking(forest), *(ask for _, ask in peers))])
    return [(what, own, "us", peer, value) for (peer, _), value in zip(peers, others, strict=True)] + [
        ("  apart from xgboost at most, every tenth input missing", float(apart) * 1e6, "1e-6", "", None)
    ]


def _filter() -> list[Row]:
    hmm = _hmm()
    spec = BundleSpec(name="f", schema_hash=SCHEMA_HASH, trained=Trained(venue="", market="", instruments=(), data_hash=""), hmm=hmm)
    model = TrainedModel(Bundle(spec=spec, forests={}, card="", hash="0" * 64), RegimeParameters())
    state, rows = model.fresh_state(), np.random.default_rng(6).normal(size=(ROWS, len(COLUMNS)))
    clock = [0]

    def step(row: NDArray[np.float64]) -> None:
        clock[0] += _S
        model.step(state, row, {}, clock[0])

    what = f"hidden Markov step, {len(hmm.names)} states, {len(hmm.observed)} dimensions, all of the call"
    if importlib.util.find_spec("hmmlearn") is None:
        return [(what, _per_row([(step, rows)])[0], "us", "", None)]
    from hmmlearn.hmm import GaussianHMM

    peer = GaussianHMM(n_components=len(hmm.names), covariance_type="diag")
    peer.startprob_, peer.transmat_ = np.array(hmm.start), np.array(hmm.transitions)
    peer.means_, peer.covars_ = np.array(hmm.means), np.array(hmm.variances)
    z = np.random.default_rng(7).normal(size=(WINDOW, len(hmm.observed)))
    own, other = _per_row([(step, rows), (lambda _row: peer.predict_proba(z), rows)])
    return [(what, own, "us", f"hmmlearn predict_proba, {WINDOW} bars", other)]


def onnx_session(forest: Forest) -> Callable[[NDArray[np.float32]], Any]:
    """Return onnxruntime's function of a table, float32[rows, inputs], to margins, on one thread, for the same trees."""
    import onnxruntime
    from onnx import TensorProto, helper

    nodes, roots = forest.nodes, forest.trees["root"]
    tree = np.searchsorted(roots, np.arange(len(nodes)), side="right") - 1
    own = np.arange(len(nodes)) - roots[tree]
    leaf = nodes["left"] == -1
    left = np.where(leaf, 0, nodes["left"] - roots[tree])
    ensemble = helper.make_node(
        "TreeEnsembleRegressor",
        ["x"],
        ["margin"],
        domain="ai.onnx.ml",
        n_targets=len(forest.base),
        base_values=list(forest.base),
        nodes_treeids=tree.tolist(),
        nodes_nodeids=own.tolist(),
        nodes_featureids=nodes["feature"].tolist(),
        nodes_values=nodes["threshold"].tolist(),
        nodes_modes=["LEAF" if one else "BRANCH_LT" for one in leaf],
        nodes_truenodeids=left.tolist(),
        nodes_falsenodeids=np.where(leaf, 0, left + 1).tolist(),
        nodes_missing_value_tracks_true=nodes["default_left"].astype(int).tolist(),
        target_treeids=tree[leaf].tolist(),
        target_nodeids=own[leaf].tolist(),
        target_ids=forest.trees["output"][tree[leaf]].tolist(),
        target_weights=nodes["value"][leaf].tolist(),
    )
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, None])
    margin = helper.make_tensor_value_info("margin", TensorProto.FLOAT, [None, len(forest.base)])
    opsets = [helper.make_opsetid("ai.onnx.ml", 3), helper.make_opsetid("", 17)]
    model = helper.make_model(helper.make_graph([ensemble], "forest", [x], [margin]), opset_imports=opsets, ir_version=9)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda table: session.run(None, {"x": table})[0]


def _asking(forest: Forest) -> Ask:
    nodes, walks = pack(forest, range(INPUTS), INPUTS)
    base, wide, out = np.array(forest.base, np.float32), np.full(row_length(INPUTS), np.nan, np.float32), np.zeros(1, np.float32)
    return lambda row: row_margins(nodes, walks, base, row, wide, out)


def _probabilities(forest: Forest, x: NDArray[np.float32]) -> NDArray[np.float64]:
    nodes, walks = pack(forest, range(INPUTS), INPUTS)
    base, wide, out = np.array(forest.base, np.float32), np.full(row_length(INPUTS), np.nan, np.float32), np.empty((len(x), 1), np.float32)
    table_margins(nodes, walks, base, x, wide, out)
    return np.asarray(1.0 / (1.0 + np.exp(-out[:, 0].astype(np.float64))))


def _per_row(asks: Sequence[tuple[Ask, NDArray[Any]]]) -> list[float]:
    """Return microseconds a row for each of those that are asked in turns about its rows, the least of rounds."""
    for ask, rows in asks:
        ask(rows[0])
    least = [float("inf")] * len(asks)
    for turn in range(ROUNDS):
        for k, (ask, rows) in enumerate(asks):
            first = turn * ASKED % (len(rows) - ASKED + 1)
            started = thread_time()
            for row in rows[first : first + ASKED]:
                ask(row)
            least[k] = min(least[k], thread_time() - started)
    return [seconds / ASKED * 1e6 for seconds in least]


def _random_forest(random: np.random.Generator, inputs: int, outputs: int, trees: int, depth: int) -> Forest:
    """Return complete trees, `trees` for each output."""
    size = 2 ** (depth + 1) - 1
    one = np.arange(size)
    inner = one < 2**depth - 1
    nodes, table = np.zeros(size * trees * outputs, NODE), np.zeros(trees * outputs, TREE)
    for t in range(trees * outputs):
        own = nodes[t * size : (t + 1) * size]
        own["feature"] = np.where(inner, random.integers(0, inputs, size), 0)
        own["threshold"] = np.where(inner, random.normal(size=size), 0.0)
        own["left"] = np.where(inner, t * size + 2 * one + 1, -1)
        own["value"] = np.where(inner, 0.0, 0.01 * random.normal(size=size))
        own["cover"] = 1.0
    table["root"], table["output"] = np.arange(trees * outputs) * size, np.arange(trees * outputs) % outputs
    return Forest(nodes=nodes, trees=table, base=(0.0,) * outputs)


def _hmm() -> HiddenMarkov:
    """Return six sticky states over eight dimensions, mirrored."""
    features = (
        "tfi_120s",
        "ofi_decayed_10s",
        "microprice_bps",
        "refill_imbalance_120s",
        "rv_120s",
        "efficiency_120s",
        "liquidity_stress",
        "order_rate_10s",
    )
    up = (1.0, 1.0, 0.5, 0.5, 0.0, 0.0, 0.0, 0.0)
    down = tuple(-value for value in up[:4]) + up[4:]
    strong, weak = (*up[:4], 1.0, 1.0, 0.0, 0.0), (*down[:4], 1.0, 1.0, 0.0, 0.0)
    return HiddenMarkov(
        observed=tuple(Observed(feature=name, signed_log=True, median=0.0, mad=1.0) for name in features),
        z_max=5.0,
        means=(up, down, strong, weak, (0.0,) * 4 + (2.0, 0.0, 2.0, 1.0), (0.0,) * 8),
        variances=((1.0,) * 8,) * 6,
        transitions=tuple(tuple(0.975 if i == j else 0.005 for j in range(6)) for i in range(6)),
        start=(1 / 6,) * 6,
        names=(Regime.ACCUMULATION, Regime.DISTRIBUTION, Regime.TRENDING, Regime.TRENDING, Regime.VOLATILE, Regime.NEUTRAL),
        mirror=(1, 0, 3, 2, 4, 5),
        temper=3.0,
        spread_max=6.0,
    )
