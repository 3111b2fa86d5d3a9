"""A bundle laid out for the compiled decision: one record of numbers, two arrays of trees, the mirror, and an instrument's own record."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smartmoney.core.alpha.calibration import KINDS
from smartmoney.core.alpha.forest_kernel import pack, row_length
from smartmoney.core.domain.signals import Regime
from smartmoney.core.features.interactions import DEPTH_MAX
from smartmoney.core.features.schema import FEATURE_INDEX, FEATURES
from smartmoney.core.models.bundle import Bundle, Calibrator, HiddenMarkov, head_name
from smartmoney.core.models.checks import HEADS_MAX, KNOTS_MAX
from smartmoney.core.models.columns import Columns, columns_of, products_of
from smartmoney.core.regime.filter import DIMENSIONS, FILTER, FILTERED, transition_powers
from smartmoney.core.regime.parameters import RegimeParameters

REGIMES = len(Regime)
FACTORS_MAX = DEPTH_MAX
Arguments = tuple[Any, Any, Any, Any, Any]
_CALIBRATORS = HEADS_MAX + 1
_FORESTS = HEADS_MAX + 2
_NO_NODES, _NO_WALKS = np.zeros(0, np.uint32), np.zeros((0, 3), np.int32)

MODEL = np.dtype(
    [
        *FILTER,
        *((name, "<i8") for name in ("features", "products_at", "window_at", "hmm_at", "flow_at", "regime_at", "width", "heads")),
        ("smoothing", "<f8"),
        ("duration_ns", "<i8"),
        ("window_s", "<f8"),
        ("switch_margin", "<f8"),
        ("switch_bars", "<i8"),
        ("temperature", "<f8"),
        ("first", "<i8", _FORESTS),
        ("last", "<i8", _FORESTS),
        ("base", "<f4", (_FORESTS, REGIMES)),
        ("kind", "<i8", _CALIBRATORS),
        ("parameters", "<f8", (_CALIBRATORS, 3)),
        ("knots", "<i8", _CALIBRATORS),
        ("x", "<f8", (_CALIBRATORS, KNOTS_MAX)),
        ("y", "<f8", (_CALIBRATORS, KNOTS_MAX)),
        ("sigma_column", "<i8", HEADS_MAX),
        ("sigma_power", "<f8", HEADS_MAX),
        ("sigma_scale", "<f8", HEADS_MAX),
        ("sigma_floor", "<f8", HEADS_MAX),
        ("return_scale", "<f8", HEADS_MAX),
        ("conformal", "<f8", (HEADS_MAX, REGIMES)),
    ],
    align=True,
)
"""Forest 0 is the detector, 1 the classifier, 2 + h head h (first = last: there is none); calibrator 0 is the detector's, 1 + h head h."""

MIND = np.dtype(
    [
        *FILTERED,
        ("ts_event_ns", "<i8"),
        ("window", "<f8", DIMENSIONS),
        ("hmm_label", "<i8"),
        ("hmm_since_ns", "<i8"),
        ("posterior_now", "<f8", REGIMES),
        ("smoothed", "<f8", REGIMES),
        ("label", "<i8"),
        ("label_since_ns", "<i8"),
        ("candidate", "<i8"),
        ("candidate_bars", "<i8"),
        ("flow", "<f8", 2),
        ("margins", "<f4", (2, REGIMES)),
        ("lean", "<f8", HEADS_MAX),
        ("confidence", "<f8", HEADS_MAX),
        ("sigma", "<f8", HEADS_MAX),
        ("gross", "<f8", HEADS_MAX),
        ("single", "<i8", HEADS_MAX),
    ],
    align=True,
)
"""What is carried from decision to decision for an instrument (`ts_event_ns` 0: nothing yet), and the forecasts of the latest one."""


@dataclass(frozen=True, slots=True, eq=False)
class Thought:
    """Be what a trained model knows of an instrument, changed in place by each decision.

    `mind` is a MIND array of one; `wide`, float32[2, row_length(columns)], is the row and its mirror as the latest decision saw them.
    """

    mind: NDArray[np.void]
    wide: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """Hold what the compiled decision takes; it only reads it. Column k of the mirrored row is mirror[k, 0] times column mirror[k, 1].

    Plain arrays where they can be: handing numba a structured one takes five times as long.
    """

    columns: Columns
    model: NDArray[np.void]
    nodes: NDArray[np.uint32]
    walks: NDArray[np.int32]
    factors: NDArray[np.int64]
    mirror: NDArray[np.int32]

    def arguments(self) -> Arguments:
        """Return the arguments of `decide` in its order, from `m` to `mirror`."""
        return (self.model, self.nodes, self.walks, self.factors, self.mirror)

    def unseen(self, *several: int) -> NDArray[np.float32]:
        """Return a row and its mirror, or so many, that no decision has seen."""
        return np.full((*several, 2, row_length(len(self.columns.names))), np.nan, np.float32)


def lay_out(bundle: Bundle, parameters: RegimeParameters) -> Layout:
    """Return the layout of a checked bundle under a configuration; its means are over the window that its forests learned with."""
    spec, columns = bundle.spec, columns_of(bundle.spec)
    model = np.zeros(1, MODEL)
    m = model[0]
    _fill_filter(m, spec.hmm)
    m["features"], m["products_at"], m["window_at"] = len(FEATURES), columns.products, columns.window
    m["hmm_at"], m["flow_at"], m["regime_at"] = columns.hmm, columns.flow, columns.regime
    m["width"], m["heads"] = len(columns.names), len(spec.heads)
    m["smoothing"], m["duration_ns"] = parameters.transition_smoothing, round(parameters.min_regime_duration * 1e9)
    m["window_s"], m["switch_margin"], m["switch_bars"] = spec.feature_window, spec.switch_margin, spec.switch_bars
    m["temperature"] = 1.0 if spec.classifier is None else spec.classifier.temperature
    if spec.detector is not None:
        _fill_calibrator(m, 0, spec.detector.calibrator)
    for h, head in enumerate(spec.heads):
        _fill_calibrator(m, 1 + h, head.calibrator)
        m["sigma_column"][h], m["sigma_power"][h] = FEATURE_INDEX[head.sigma.feature], head.sigma.power
        m["sigma_scale"][h], m["sigma_floor"][h] = head.sigma.scale, head.sigma.floor_bps
        m["return_scale"][h], m["conformal"][h] = head.return_scale, head.conformal
    nodes, walks = _fill_forests(m, bundle, columns)
    return Layout(
        columns=columns,
        model=model,
        nodes=nodes,
        walks=walks,
        factors=_factors(spec.products),
        mirror=np.stack((columns.sign, columns.partner), axis=1).astype(np.int32),
    )


def nothing_to_decide() -> Arguments:
    """Return what `Layout.arguments` does, of its types and never read: no model is there."""
    return (np.zeros(1, MODEL), _NO_NODES, _NO_WALKS, np.zeros((0, FACTORS_MAX), np.int64), np.zeros((0, 2), np.int32))


def fresh_mind() -> NDArray[np.void]:
    """Return an instrument's record before the first step: neutral, every forecast unknown."""
    mind = np.zeros(1, MIND)
    forget(mind)
    return mind


def forget(mind: NDArray[np.void]) -> None:
    """Make a record fresh."""
    mind[:] = 0
    neutral = list(Regime).index(Regime.NEUTRAL)
    mind["label"] = mind["hmm_label"] = mind["candidate"] = neutral
    mind["posterior_now"] = mind["smoothed"] = 1.0 / REGIMES
    for name in ("window", "flow", "lean", "confidence", "sigma", "gross"):
        mind[name] = math.nan


def _fill_filter(m: Any, hmm: HiddenMarkov) -> None:
    states, dimensions = len(hmm.names), len(hmm.observed)
    m["states"], m["dimensions"] = states, dimensions
    for d, one in enumerate(hmm.observed):
        m["column"][d], m["signed_log"][d] = FEATURE_INDEX[one.feature], one.signed_log
        m["median"][d], m["mad"][d] = one.median, one.mad
    variances = np.array(hmm.variances)
    m["z_max"] = hmm.z_max
    m["mean"][:states, :dimensions] = hmm.means
    m["precision"][:states, :dimensions] = 1.0 / variances
    m["log_norm"][:states, :dimensions] = -0.5 * np.log(2.0 * math.pi * variances)
    pairs = [(i, j) for i, j in enumerate(hmm.mirror) if i <= j]
    these, others = zip(*pairs, strict=True)
    m["pairs"], m["one"][: len(pairs)], m["other"][: len(pairs)] = len(pairs), these, others
    m["power"][:, :states, :states] = transition_powers(hmm.transitions, these, others)
    m["start"][:states] = hmm.start
    m["regime"][:states] = [list(Regime).index(name) for name in hmm.names]
    m["temper"] = hmm.temper
    m["spread_max"] = math.inf if hmm.spread_max is None else hmm.spread_max
    m["bar_ns"] = round(hmm.bar_s * 1e9)


def _fill_calibrator(m: Any, at: int, calibrator: Calibrator) -> None:
    m["kind"][at], m["knots"][at] = KINDS.index(calibrator.kind), len(calibrator.x)
    m["parameters"][at, : len(calibrator.parameters)] = calibrator.parameters
    m["x"][at, : len(calibrator.x)], m["y"][at, : len(calibrator.y)] = calibrator.x, calibrator.y


def _fill_forests(m: Any, bundle: Bundle, columns: Columns) -> tuple[NDArray[np.uint32], NDArray[np.int32]]:
    spec, width = bundle.spec, len(columns.names)
    places = {"detector": 0, "classifier": 1, **{head_name(head.horizon_s): 2 + h for h, head in enumerate(spec.heads)}}
    nodes, walks = [_NO_NODES], [_NO_WALKS]
    count = trees = 0
    for name in spec.forest_names():
        forest, place = bundle.forests[name], places[name]
        own_nodes, own_walks = pack(forest, [columns.index[column] for column in spec.inputs_of(name)], width, count)
        m["base"][place, : len(forest.base)] = forest.base
        m["first"][place], m["last"][place] = trees, trees + len(own_walks)
        nodes.append(own_nodes)
        walks.append(own_walks)
        count, trees = count + len(own_nodes) // 2, trees + len(own_walks)
    return np.concatenate(nodes), np.concatenate(walks)


def _factors(products: Sequence[str]) -> NDArray[np.int64]:
    """Return the columns of each product's factors, -1 after the last; a column that is bounded already is marked by -2 - column."""
    table = np.full((len(products), FACTORS_MAX), -1, np.int64)
    for p, (factors, _) in enumerate(products_of(tuple(products)).values()):
        for f, name in enumerate(factors):
            at = FEATURE_INDEX[name]
            low, high = FEATURES[at].bounds
            is_bounded = low is not None and high is not None and low >= -1.0 and high <= 1.0
            table[p, f] = -2 - at if is_bounded else at
    return table
