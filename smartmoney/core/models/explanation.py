"""Why a forecast leaned the way it did: each column's part in it. Computed outside, after the signal; no decision depends on it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smartmoney.core.alpha.contributions import contributions
from smartmoney.core.models.bundle import Bundle, head_name
from smartmoney.core.models.columns import columns_of


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """Hold what a trained model saw when it spoke: its bundle, the horizon that spoke in seconds, the wide row and its mirror."""

    bundle: Bundle
    horizon_s: int
    wide: NDArray[np.float32]


def explain(seen: Seen) -> dict[str, float]:
    """Return each column's part of the lean, the largest first: in units of half the difference of the margins of the row and its mirror.

    Above 0 speaks for buying. The parts sum to that lean; what the two sides share cancels. Cost: about a millisecond, more for deep trees.
    """
    columns = columns_of(seen.bundle.spec)
    name = head_name(seen.horizon_s)
    inputs = seen.bundle.spec.inputs_of(name)
    places = [columns.index[column] for column in inputs]
    forest = seen.bundle.forests[name]
    as_seen = contributions(forest, seen.wide[0, places])[0]
    mirrored = contributions(forest, seen.wide[1, places])[0]
    parts: dict[str, float] = dict.fromkeys(inputs, 0.0)
    for k, place in enumerate(places):
        parts[inputs[k]] += 0.5 * float(as_seen[k])
        # What stands in a column of the mirrored row is the value of its partner.
        partner = columns.names[columns.partner[place]]
        parts[partner] = parts.get(partner, 0.0) - 0.5 * float(mirrored[k])
    return dict(sorted(parts.items(), key=lambda item: -abs(item[1])))
