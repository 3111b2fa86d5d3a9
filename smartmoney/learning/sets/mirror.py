"""The buy/sell mirror of feature rows and of their products, by the parities of the schema.

Odd columns negate, even ones stay, `swap` partners change places. `mirror(mirror(x))` is x, exactly.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from smartmoney.core.features.interactions import Interaction
from smartmoney.core.features.schema import FEATURE_INDEX, FEATURES


def mirror_plan(products: Sequence[Interaction] = ()) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return `(columns,)` from where each mirrored column comes, and by what it is multiplied (1 or −1): features, then products."""
    source = np.arange(len(FEATURES) + len(products))
    sign = np.ones(len(source), np.float32)
    for column, feature in enumerate(FEATURES):
        if feature.parity == "odd":
            sign[column] = -1.0
        elif feature.parity.startswith("swap:"):
            source[column] = FEATURE_INDEX[feature.parity.removeprefix("swap:")]
    for place, product in enumerate(products, len(FEATURES)):
        sign[place] = -1.0 if product.parity == "odd" else 1.0
    return source, sign


def mirror(values: NDArray[np.float32], products: Sequence[Interaction] = ()) -> NDArray[np.float32]:
    """Return the rows `(rows, columns)` as they would be if buys were sells."""
    source, sign = mirror_plan(products)
    return np.asarray(values[:, source] * sign, values.dtype)
