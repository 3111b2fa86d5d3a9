"""What the stages before the forests say of past rows, by the compiled decision itself: one implementation for training and for the daemon.

Causal: a later row changes no earlier one. Sources do not touch each other.
"""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from smartmoney.core.features.interactions import Interaction
from smartmoney.core.features.schema import SCHEMA_HASH
from smartmoney.core.models.bundle import Bundle, BundleSpec, HiddenMarkov, Trained
from smartmoney.core.models.kernel import decide_table
from smartmoney.core.models.layout import MIND, fresh_mind, lay_out
from smartmoney.core.regime.parameters import RegimeParameters
from smartmoney.learning.sets.rows import Rows

Floats = NDArray[np.float64]


class Staged(msgspec.Struct, frozen=True, kw_only=True):
    """Hold one source's columns before the detector, of chosen rows `(chosen, columns)`, and the states' posterior of all rows."""

    x: NDArray[np.float32]
    states: Floats


def stage_spec(hmm: HiddenMarkov, feature_window: int, products: Sequence[Interaction] = ()) -> BundleSpec:
    """Return a specification that holds the stage alone, without forests."""
    return BundleSpec(
        name="stage",
        schema_hash=SCHEMA_HASH,
        trained=Trained(venue="sim", market="usdm", instruments=(), data_hash=""),
        hmm=hmm,
        feature_window=feature_window,
        products=tuple(one.name for one in products),
    )


def stage(sources: Sequence[Rows], spec: BundleSpec, chosen: Sequence[NDArray[np.int64]]) -> list[Staged]:
    """Return the stage's columns of every source's chosen rows: features, products, window means, the filter's regimes, entropy and age.

    Cost: some 3 µs a row.
    """
    layout = lay_out(
        Bundle(spec=msgspec.structs.replace(spec, detector=None, classifier=None, heads=()), forests={}, card="", hash=""),
        RegimeParameters(feature_window=spec.feature_window),
    )
    columns, states = layout.columns.flow, len(spec.hmm.names)
    found = []
    for one, rows in zip(sources, chosen, strict=True):
        table = np.empty((len(one), len(layout.columns.names)), np.float32)
        told = np.empty(len(one), MIND)
        decide_table(fresh_mind(), one.values.astype(np.float64), one.times, table, told, *layout.arguments())
        found.append(Staged(x=table[rows, :columns], states=told["posterior"][:, :states].copy()))
    return found


def posterior(rows: Rows, hmm: HiddenMarkov) -> Floats:
    """Return the filter's posterior `(rows, states)`."""
    return stage([rows], stage_spec(hmm, 100), [np.empty(0, np.int64)])[0].states
