"""The three kinds of forests as predictors that are exactly mirror-symmetric: classifier of regimes, detector of informed flow, head.

A predictor reads the wide rows of `staging.wide`; `Layout` says what its columns are and how they look in the mirror.
"""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from smartmoney.core.domain.signals import Regime
from smartmoney.core.features.interactions import Interaction
from smartmoney.core.models.bundle import BundleSpec, Calibrator
from smartmoney.core.models.columns import columns_of
from smartmoney.learning.boosting.trees import Grown, Matrix, margins
from smartmoney.learning.calibration import apply

Floats = NDArray[np.float64]
REGIMES = tuple(Regime)
MIRRORED = np.array([1, 0, 2, 3, 4])
"""Regimes in the mirror: accumulation and distribution change places."""


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """Name the columns of a wide row before the classifier, and hold the mirror: value k is `sign[k]` × row[`partner[k]`]."""

    names: tuple[str, ...]
    sign: NDArray[np.float32]
    partner: NDArray[np.int64]
    products: tuple[Interaction, ...]

    def mirror(self, x: Matrix) -> Matrix:
        """Return rows as they would be if buys were sells."""
        return np.asarray(x[:, self.partner] * self.sign, np.float32)

    def columns(self, prefixes: Sequence[str] = (), *, features: bool = True, products: bool = False) -> NDArray[np.int64]:
        """Return the numbers of chosen columns: the schema's features, products, and what begins with a prefix."""
        chosen = []
        for k, name in enumerate(self.names):
            is_product, is_stage = "*" in name, ":" in name
            wanted = (
                (is_product and products)
                or (is_stage and name.startswith(tuple(prefixes)))
                or (features and not is_product and not is_stage)
            )
            chosen += [k] if wanted else []
        return np.array(chosen, np.int64)


def layout_of(spec: BundleSpec, products: Sequence[Interaction]) -> Layout:
    """Return the layout of `staging.wide` for a specification that names those products."""
    columns = columns_of(spec)
    count = columns.regime
    return Layout(
        names=columns.names[:count],
        sign=columns.sign[:count].astype(np.float32),
        partner=columns.partner[:count],
        products=tuple(products),
    )


class RegimeClassifier(msgspec.Struct, frozen=True, kw_only=True):
    """Say the five regimes' probabilities: softmax of the margins of row and mirror, averaged, over the temperature."""

    grown: Grown
    layout: Layout
    temperature: float = 1.0

    def margins(self, x: Matrix) -> Floats:
        """Return `(rows, 5)` margins: the mean of those of the row and of its mirror, regimes put back."""
        return 0.5 * (margins(self.grown, x) + margins(self.grown, self.layout.mirror(x))[:, MIRRORED])

    def probabilities(self, x: Matrix) -> Floats:
        """Return `(rows, 5)` probabilities in the order of `Regime`."""
        return softmax(self.margins(x) / self.temperature)


class FlowDetector(msgspec.Struct, frozen=True, kw_only=True):
    """Say how likely informed buying, and informed selling, is at work; the second is the first in the mirror."""

    grown: Grown
    layout: Layout
    calibrator: Calibrator = Calibrator()

    def raw(self, x: Matrix) -> tuple[Floats, Floats]:
        """Return uncalibrated probabilities of buying and of selling."""
        return sigmoid(margins(self.grown, x)), sigmoid(margins(self.grown, self.layout.mirror(x)))

    def probabilities(self, x: Matrix) -> tuple[Floats, Floats]:
        """Return calibrated probabilities of buying and of selling."""
        buying, selling = self.raw(x)
        return apply(self.calibrator, buying), apply(self.calibrator, selling)


class HeadModel(msgspec.Struct, frozen=True, kw_only=True):
    """Say how likely the mid is higher at a horizon: ½[f(x) + 1 − f(mirror x)], confidence calibrated for both sides alike."""

    grown: Grown
    layout: Layout
    horizon_s: int
    calibrator: Calibrator = Calibrator()

    def raw(self, x: Matrix) -> Floats:
        """Return uncalibrated probabilities of up, exactly one minus those of the mirrored rows."""
        return 0.5 * (sigmoid(margins(self.grown, x)) + 1.0 - sigmoid(margins(self.grown, self.layout.mirror(x))))

    def probabilities(self, x: Matrix) -> Floats:
        """Return calibrated probabilities of up."""
        return calibrated_up(self.calibrator, self.raw(x))


def calibrated_up(calibrator: Calibrator, p_up: Floats) -> Floats:
    """Return calibrated probabilities of up, from a calibrator of confidence."""
    confidence = np.clip(apply(calibrator, np.maximum(p_up, 1.0 - p_up)), 0.5, 1.0)
    return np.asarray(np.where(p_up >= 0.5, confidence, 1.0 - confidence), np.float64)


def softmax(x: Floats) -> Floats:
    """Return the softmax of each row."""
    raised = np.exp(x - x.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True), np.float64)


def sigmoid(x: Floats) -> Floats:
    """Return 1/(1 + e^−x)."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(x, -500.0, 500.0))), np.float64)
