"""The columns that forests read: the feature row, products of features, what the stages before said. Their parity, and who may read what.

Names of stages' outputs hold a colon, which no feature's name does. Invariants: `Columns` of a specification are in a fixed order, the
feature row first; the mirror of the mirror is the identity.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from smartmoney.core.domain.signals import Regime
from smartmoney.core.features.interactions import DEPTH_MAX, interactions
from smartmoney.core.features.schema import COLUMNS as FEATURE_NAMES
from smartmoney.core.features.schema import FEATURE_INDEX, FEATURES
from smartmoney.core.models.bundle import BundleSpec

HMM_REGIMES = tuple(f"hmm:{regime.value}" for regime in Regime)
"""The filter's posterior, summed by regime."""
HMM_ENTROPY, HMM_AGE = "hmm:entropy", "hmm:age_s"
"""Entropy of that in nats; for how many seconds its likeliest regime has been the same, at most `AGE_S_MAX`."""
FLOW_BUYING, FLOW_SELLING = "flow:buying", "flow:selling"
"""The detector's calibrated probabilities; NaN without a detector."""
REGIMES = tuple(f"regime:{regime.value}" for regime in Regime)
"""The classifier's calibrated posterior, before smoothing; the filter's without a classifier."""
REGIME_ENTROPY = "regime:entropy"
AGE_S_MAX = 3600.0

FROM_DETECTOR = frozenset({FLOW_BUYING, FLOW_SELLING})
FROM_CLASSIFIER = frozenset({*REGIMES, REGIME_ENTROPY})
_SWAPS = {
    "hmm:accumulation": "hmm:distribution",
    "regime:accumulation": "regime:distribution",
    FLOW_BUYING: FLOW_SELLING,
}


def window_name(feature: str) -> str:
    """Return the column of an observed feature's mean over `feature_window` (exponential, of z, in bars of one second)."""
    return f"window:{feature}"


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """Lay out a wide row: names, their index, where each stage's outputs begin, and the mirror (value k is sign[k] * row[partner[k]])."""

    names: tuple[str, ...]
    index: dict[str, int]
    sign: NDArray[np.float64]
    partner: NDArray[np.int64]
    products: int
    window: int
    hmm: int
    flow: int
    regime: int


def columns_of(spec: BundleSpec) -> Columns:
    """Return the layout of a specification's wide row.

    Raises:
        ValueError: a product or an observed feature is not known.
    """
    products = products_of(spec.products)
    window = tuple(window_name(one.feature) for one in spec.hmm.observed)
    groups = (
        FEATURE_NAMES,
        spec.products,
        window,
        (*HMM_REGIMES, HMM_ENTROPY, HMM_AGE),
        (FLOW_BUYING, FLOW_SELLING),
        (*REGIMES, REGIME_ENTROPY),
    )
    names = tuple(name for group in groups for name in group)
    index = {name: k for k, name in enumerate(names)}
    sign, partner = np.ones(len(names)), np.arange(len(names), dtype=np.int64)
    parity = {**{spec.name: spec.parity for spec in FEATURES}, **{name: odd for name, (_, odd) in products.items()}}
    for one in spec.hmm.observed:
        if one.feature not in FEATURE_INDEX:
            raise ValueError(f"hmm.observed: no feature {one.feature!r}")
        parity[window_name(one.feature)] = parity[one.feature]
    for name, kind in parity.items():
        if kind == "odd":
            sign[index[name]] = -1.0
        elif kind.startswith("swap:"):
            partner[index[name]] = index[kind.removeprefix("swap:")]
    for one_side, other in _SWAPS.items():
        partner[index[one_side]], partner[index[other]] = index[other], index[one_side]
    ends = np.cumsum([len(group) for group in groups]).tolist()
    return Columns(names, index, sign, partner, *ends[:5])


def products_of(names: tuple[str, ...]) -> dict[str, tuple[tuple[str, ...], str]]:
    """Return the factors and the parity of products by name.

    Raises:
        ValueError: a name is not one that `interactions` makes, or stands twice.
    """
    if len(set(names)) != len(names):
        raise ValueError("products: a name stands twice")
    depth = max((name.count("*") + 1 for name in names), default=1)
    known = _known(min(depth, DEPTH_MAX)) if names else {}
    for name in names:
        if name not in known:
            raise ValueError(f"products: {name!r} is not a product of features of this schema")
    return {name: known[name] for name in names}


@lru_cache(maxsize=2)
def _known(depth: int) -> Mapping[str, tuple[tuple[str, ...], str]]:
    """Return the factors and the parity of all products up to a depth, by name; they are thousands, and a run asks several times."""
    return {one.name: (one.factors, one.parity) for one in interactions(depth)}
