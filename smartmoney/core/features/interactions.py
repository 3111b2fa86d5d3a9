"""Products of features, generated from the schema by name, up to `feature_interaction_depth`, for the models.

A full cross of the schema would be thousands of columns that say the same; the products are over `BASE`, one or two features of each kind
of evidence. Each is first bounded: what the schema bounds within -1..1 is taken as it is, the rest as sign(x) ln(1 + |x|), so that no
product is the size of its wildest factor. Pairs that change places under the mirror take no part: their odd and even combinations do.
"""

import hashlib
from collections.abc import Sequence
from itertools import combinations

import msgspec
import numpy as np
from numpy.typing import NDArray

from smartmoney.core.features.schema import FEATURE_INDEX, FEATURES, SCHEMA_HASH
from smartmoney.core.features.spec import FeatureSpec

BASE: tuple[str, ...] = (
    "queue_imbalance",
    "microprice_bps",
    "weighted_imbalance",
    "ofi_l1_10s",
    "ofi_decayed_10s",
    "tfi_10s",
    "tfi_120s",
    "hawkes_log_ratio_10s",
    "splitting_cusum_imbalance",
    "refill_imbalance_120s",
    "impact_residual_120s",
    "efficiency_120s",
    "rv_120s",
    "spread_bps",
    "liquidity_stress",
    "mm_presence",
)
"""Flow, signs of splitting and of hidden size, and the states of the market that change what they mean."""
DEPTH_MAX = len(BASE)


class Interaction(msgspec.Struct, frozen=True, kw_only=True):
    """Be the product of some features; `parity` is odd when an odd number of them is."""

    name: str
    factors: tuple[str, ...]
    parity: str


def interactions(depth: int, features: Sequence[FeatureSpec] = FEATURES) -> tuple[Interaction, ...]:
    """Return every product of 2 to `depth` different features of `BASE`, shorter ones first, each in the order of the schema.

    Raises:
        ValueError: the depth is below 1 (which means none), or a feature of `BASE` is not in the schema or has a partner.
    """
    if depth < 1:
        raise ValueError(f"feature_interaction_depth: {depth} is below 1, which means no products")
    known = {feature.name: feature for feature in features}
    for name in BASE:
        if name not in known or known[name].parity not in ("odd", "even"):
            raise ValueError(f"{name}: not a feature that can be multiplied")
    order = [feature for feature in features if feature.name in BASE]
    return tuple(
        Interaction(
            name="*".join(feature.name for feature in chosen),
            factors=tuple(feature.name for feature in chosen),
            parity="odd" if sum(feature.parity == "odd" for feature in chosen) % 2 else "even",
        )
        for size in range(2, min(depth, DEPTH_MAX) + 1)
        for chosen in combinations(order, size)
    )


def schema_hash(depth: int) -> str:
    """Return the identity of the schema with its products, in hexadecimal."""
    products = interactions(depth)
    return hashlib.sha256(msgspec.json.encode((SCHEMA_HASH, products))).hexdigest() if products else SCHEMA_HASH


def compute(rows: NDArray[np.float64], products: Sequence[Interaction]) -> NDArray[np.float64]:
    """Return the products of one row or of a table, along the last axis; NaN where a factor is not warm.

    Args:
        rows: (..., features) in schema order.
        products: what `interactions` returned.

    Raises:
        ValueError: the rows have not one value per feature.
    """
    if rows.shape[-1] != len(FEATURES):
        raise ValueError(f"a row has {len(FEATURES)} features, not {rows.shape[-1]}")
    bounded = {name: _bounded(rows[..., FEATURE_INDEX[name]], FEATURES[FEATURE_INDEX[name]]) for name in BASE}
    out = np.empty((*rows.shape[:-1], len(products)))
    for k, product in enumerate(products):
        value = bounded[product.factors[0]]
        for name in product.factors[1:]:
            value = value * bounded[name]
        out[..., k] = value
    return out


def _bounded(values: NDArray[np.float64], feature: FeatureSpec) -> NDArray[np.float64]:
    low, high = feature.bounds
    if low is not None and high is not None and low >= -1.0 and high <= 1.0:
        return values
    return np.sign(values) * np.log1p(np.abs(values))
