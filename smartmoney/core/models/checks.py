"""What must hold of a bundle before anything is computed with it: shapes, finite numbers, indices, known names, the mirror."""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

from smartmoney.core.alpha.forest import forest_problem
from smartmoney.core.domain.signals import Regime
from smartmoney.core.features.schema import FEATURE_INDEX, FEATURES, READABLE_HASHES, SCHEMA_HASH
from smartmoney.core.models.bundle import FORMAT, Bundle, BundleSpec, Calibrator, Head, HiddenMarkov, head_name
from smartmoney.core.models.columns import FROM_CLASSIFIER, FROM_DETECTOR, columns_of

STATES_MAX = 16
DIMENSIONS_MAX = 12
HEADS_MAX = 8
KNOTS_MAX = 256
HORIZON_S_MAX = 86_400

_PARAMETERS = {"identity": 0, "platt": 2, "beta": 3, "isotonic": 0}
_PARITY = {feature.name: feature.parity for feature in FEATURES}
_ROW_SUM_TOLERANCE = 1e-9


def bundle_problem(bundle: Bundle) -> tuple[str, str] | None:
    """Return the file and what is wrong in it, None when nothing is."""
    spec = bundle.spec
    for problem in _spec_problems(spec):
        return "bundle.json", problem
    index = columns_of(spec).index
    for name in spec.forest_names():
        inputs = spec.inputs_of(name)
        allowed = set(index) - (
            FROM_CLASSIFIER if name == "classifier" else FROM_DETECTOR | FROM_CLASSIFIER if name == "detector" else set()
        )
        unknown = [column for column in inputs if column not in allowed]
        if unknown or not inputs:
            return "bundle.json", f"{name}: input {unknown[0]!r} is not a column that it can read" if unknown else f"{name}: no inputs"
        forest = bundle.forests.get(name)
        if forest is None:
            return f"{name}.nodes.npy", "missing"
        found = forest_problem(forest, len(inputs))
        if found is None and len(forest.base) != (5 if name == "classifier" else 1):
            found = f"{len(forest.base)} outputs"
        if found is not None:
            return f"{name}.nodes.npy", found
    return None


def _spec_problems(spec: BundleSpec) -> Iterator[str]:
    if spec.format != FORMAT:
        yield f"format {spec.format}, and this build reads {FORMAT}"
    if spec.schema_hash not in READABLE_HASHES:
        yield f"made for the feature schema {spec.schema_hash[:12]}, and this build's is {SCHEMA_HASH[:12]}; train it anew"
    yield from _hmm_problems(spec.hmm)
    try:
        columns_of(spec)
    except ValueError as error:
        yield str(error)
    for name in spec.optional:
        if name not in FEATURE_INDEX:
            yield f"optional: no feature {name!r}"
    if not (0 <= spec.switch_margin <= 1 and spec.switch_bars >= 1 and spec.feature_window >= 1):
        yield "switch_margin, switch_bars or feature_window out of range"
    if spec.detector is not None:
        yield from _calibrator_problems("detector", spec.detector.calibrator, 0.0)
    if spec.classifier is not None and not 0 < spec.classifier.temperature < math.inf:
        yield f"classifier.temperature {spec.classifier.temperature}"
    if len(spec.heads) > HEADS_MAX or len({head.horizon_s for head in spec.heads}) != len(spec.heads):
        yield f"more than {HEADS_MAX} heads, or two of one horizon"
    for head in spec.heads:
        yield from _head_problems(head)


def _hmm_problems(hmm: HiddenMarkov) -> Iterator[str]:
    states, dimensions = len(hmm.names), len(hmm.observed)
    if not (1 <= states <= STATES_MAX and 1 <= dimensions <= DIMENSIONS_MAX):
        yield f"hmm: {states} states and {dimensions} dimensions; at most {STATES_MAX} and {DIMENSIONS_MAX}"
        return
    for name, table, width in (
        ("means", hmm.means, dimensions),
        ("variances", hmm.variances, dimensions),
        ("transitions", hmm.transitions, states),
    ):
        if len(table) != states or any(len(row) != width or not _finite(row) for row in table):
            yield f"hmm.{name}: not {states} rows of {width} finite numbers"
            return
    if len(hmm.start) != states or not _finite(hmm.start) or any(value <= 0 for row in hmm.variances for value in row):
        yield "hmm: start of another length, or a variance not above 0"
        return
    for row in (*hmm.transitions, hmm.start):
        if min(row) < 0 or abs(math.fsum(row) - 1.0) > _ROW_SUM_TOLERANCE:
            yield "hmm: a row of probabilities does not sum to 1"
            return
    if not (0 < hmm.temper < math.inf and 0 < hmm.z_max < math.inf and 0 < hmm.bar_s < math.inf):
        yield "hmm: temper, z_max or bar_s not above 0"
    if hmm.spread_max is not None and not 0 < hmm.spread_max < math.inf:
        yield "hmm: spread_max not above 0"
    yield from _observed_problems(hmm)
    yield from _mirror_problems(hmm)


def _observed_problems(hmm: HiddenMarkov) -> Iterator[str]:
    for one in hmm.observed:
        parity = _PARITY.get(one.feature)
        if parity not in ("odd", "even"):
            yield f"hmm.observed: {one.feature!r} is not a feature that is odd or even"
        elif not (math.isfinite(one.median) and 0 < one.mad < math.inf) or (parity == "odd" and one.median != 0.0):
            yield f"hmm.observed: {one.feature}: median {one.median} (an odd one's is 0), mad {one.mad}"


def _mirror_problems(hmm: HiddenMarkov) -> Iterator[str]:
    states, mirror = len(hmm.names), hmm.mirror
    if sorted(mirror) != list(range(states)) or any(mirror[mirror[i]] != i for i in range(states)):
        yield "hmm.mirror: not a mirror of the states"
        return
    swapped = {Regime.ACCUMULATION: Regime.DISTRIBUTION, Regime.DISTRIBUTION: Regime.ACCUMULATION}
    sign = [-1.0 if _PARITY.get(one.feature) == "odd" else 1.0 for one in hmm.observed]
    for i, j in enumerate(mirror):
        same = (
            hmm.names[j] is swapped.get(hmm.names[i], hmm.names[i])
            and hmm.means[j] == tuple(s * value for s, value in zip(sign, hmm.means[i], strict=True))
            and hmm.variances[j] == hmm.variances[i]
            and hmm.start[j] == hmm.start[i]
            and all(hmm.transitions[j][mirror[k]] == hmm.transitions[i][k] for k in range(states))
        )
        if not same:
            yield f"hmm: state {j} is not the mirror of state {i}; average the two in training"
            return


def _head_problems(head: Head) -> Iterator[str]:
    name = head_name(head.horizon_s)
    if not 1 <= head.horizon_s <= HORIZON_S_MAX or not 0 <= head.return_scale < math.inf:
        yield f"{name}: horizon or return_scale out of range"
    if (
        head.sigma.feature not in FEATURE_INDEX
        or not _finite((head.sigma.power, head.sigma.scale))
        or not 0 < head.sigma.floor_bps < math.inf
    ):
        yield f"{name}: sigma: an unknown feature, a number that is not finite, or no floor above 0"
    if not _finite(head.conformal) or min(head.conformal) < 0 or max(head.conformal) > 1:
        yield f"{name}: conformal thresholds outside 0..1"
    if not 0 < head.terciles_bps[0] <= head.terciles_bps[1] < math.inf:
        yield f"{name}: terciles not in order"
    yield from _calibrator_problems(name, head.calibrator, 0.5)


def _calibrator_problems(name: str, calibrator: Calibrator, low: float) -> Iterator[str]:
    if len(calibrator.parameters) != _PARAMETERS[calibrator.kind] or not _finite(calibrator.parameters):
        yield f"{name}: {calibrator.kind} calibration takes {_PARAMETERS[calibrator.kind]} finite parameters"
    x, y = calibrator.x, calibrator.y
    if calibrator.kind != "isotonic":
        if x or y:
            yield f"{name}: knots without isotonic calibration"
    elif not (
        2 <= len(x) <= KNOTS_MAX
        and len(x) == len(y)
        and _finite((*x, *y))
        and low <= x[0]
        and x[-1] <= 1
        and all(a < b for a, b in pairwise(x))
        and all(a <= b for a, b in pairwise(y))
        and y[0] >= 0
        and y[-1] <= 1
    ):
        yield f"{name}: isotonic calibration takes 2..{KNOTS_MAX} rising knots within {low}..1"


def _finite(values: Sequence[float]) -> bool:
    return all(math.isfinite(value) for value in values)
