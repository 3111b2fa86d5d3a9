"""What the stages before the forests say of past rows, by the compiled decision itself: one implementation for training and for the daemon.

Causal: a later row changes no earlier one. Sources do not touch each other.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from smartmoney.core.alpha.forest import Forest
from smartmoney.core.features.interactions import Interaction
from smartmoney.core.features.schema import SCHEMA_HASH
from smartmoney.core.models.bundle import Bundle, BundleSpec, Detector, HiddenMarkov, Trained
from smartmoney.core.models.kernel import decide_table
from smartmoney.core.models.layout import MIND, Layout, fresh_mind, lay_out
from smartmoney.core.regime.parameters import RegimeParameters
from smartmoney.learning.sets.rows import Rows

Floats = NDArray[np.float64]
Told = NDArray[Any]
"""Records of `core.models.layout.MIND`."""
BLOCK = 16_384
"""Rows decided at once: their wide rows and minds take some eighty megabytes, of however long a recording."""


class Staged(msgspec.Struct, frozen=True, kw_only=True):
    """Hold one source's columns before the classifier, of chosen rows `(chosen, columns)`, and the states' posterior of all rows."""

    x: NDArray[np.float32]
    states: Floats


class StandingDetector(msgspec.Struct, frozen=True, kw_only=True):
    """Hold a detector that is not learned here: a champion's, which goes on speaking where nobody knows who was informed."""

    spec: Detector
    forest: Forest


def standing_of(champion: Bundle | None) -> StandingDetector | None:
    """Return a champion's detector, None where it has none."""
    if champion is None or champion.spec.detector is None:
        return None
    return StandingDetector(spec=champion.spec.detector, forest=champion.forests["detector"])


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


def stage(
    sources: Sequence[Rows], spec: BundleSpec, chosen: Sequence[NDArray[np.int64]], standing: StandingDetector | None = None
) -> list[Staged]:
    """Return the stage's columns of every source's chosen rows: features, products, window means, the filter's regimes, entropy, age; flow.

    The last two are what a standing detector says on this stage, NaN without one. The numbers of chosen rows rise. Cost: some 3 µs a row.
    """
    detector, forests = (None, {}) if standing is None else (standing.spec, {"detector": standing.forest})
    layout = lay_out(
        Bundle(spec=msgspec.structs.replace(spec, detector=detector, classifier=None, heads=()), forests=forests, card="", hash=""),
        RegimeParameters(),
    )
    columns, states = layout.columns.regime, len(spec.hmm.names)
    found = []
    for one, rows in zip(sources, chosen, strict=True):
        parts, posteriors = [], []
        for begin, end, table, told in decided(one, layout):
            first, last = np.searchsorted(rows, (begin, end))
            parts.append(table[rows[first:last] - begin, :columns])
            posteriors.append(told["posterior"][:, :states].copy())
        nothing = np.empty((0, columns), np.float32)
        found.append(Staged(x=np.concatenate([nothing, *parts]), states=np.concatenate([np.empty((0, states)), *posteriors])))
    return found


def decided(rows: Rows, layout: Layout, block: int = BLOCK) -> Iterator[tuple[int, int, NDArray[np.float32], Told]]:
    """Yield what the compiled decision makes of a source, a block of rows at a time: from, until, wide rows, the mind after each.

    The mind goes on from block to block, so that what is said does not depend on their length. Both arrays are written over by the next
    block. Memory: one block, some 5 kB a row.
    """
    mind, wide = fresh_mind(), layout.unseen()
    table, told = np.empty((min(block, len(rows)), len(layout.columns.names)), np.float32), np.empty(min(block, len(rows)), MIND)
    for begin in range(0, len(rows), block):
        end = min(begin + block, len(rows))
        # Copies in the order of C, whatever the source is: numba would compile the decision once more for another order.
        values, times = rows.values[begin:end].astype(np.float64, order="C"), np.array(rows.times[begin:end])
        decide_table(mind, values, times, table[: end - begin], told[: end - begin], *layout.arguments(), wide)
        yield begin, end, table[: end - begin], told[: end - begin]


def posterior(rows: Rows, hmm: HiddenMarkov) -> Floats:
    """Return the filter's posterior `(rows, states)`."""
    return stage([rows], stage_spec(hmm, 100), [np.empty(0, np.int64)])[0].states
