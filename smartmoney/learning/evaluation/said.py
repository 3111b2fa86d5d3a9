"""What a bundle says of past rows, by the compiled decision that the daemon makes: nothing here is a second implementation."""

import msgspec
import numpy as np
from numpy.typing import NDArray

from smartmoney.core.models.bundle import Bundle
from smartmoney.core.models.layout import MIND, lay_out
from smartmoney.core.regime.parameters import RegimeParameters
from smartmoney.learning.sets.rows import Rows
from smartmoney.learning.staging import Told, decided

Floats = NDArray[np.float64]


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """Hold what was said at each row: published label and posterior (order of `Regime`), flow, and per head p(up) and gross in bps.

    `up` and `gross` are `(rows, heads)` in the bundle's order; NaN where there is no forecast.
    """

    label: NDArray[np.int64]
    posterior: Floats
    buying: Floats
    selling: Floats
    up: Floats
    gross: Floats


class RegimesSaid(msgspec.Struct, frozen=True, kw_only=True):
    """Hold what anybody said of regimes at each row: label and posterior (order of `Regime`)."""

    label: NDArray[np.int64]
    posterior: Floats


def ask(bundle: Bundle, rows: Rows, parameters: RegimeParameters) -> Said:
    """Return what a bundle says of every row of a source. Cost: some 20 µs a row."""
    layout = lay_out(bundle, parameters)
    heads = len(bundle.spec.heads)
    parts = [_said(told, heads) for *_, told in decided(rows, layout)] or [_said(np.empty(0, MIND), heads)]
    return Said(**{name: np.concatenate([getattr(one, name) for one in parts]) for name in Said.__struct_fields__})


def _said(told: Told, heads: int) -> Said:
    confidence, lean = told["confidence"][:, :heads], told["lean"][:, :heads]
    return Said(
        label=told["label"].astype(np.int64),
        posterior=told["smoothed"].copy(),
        buying=told["flow"][:, 0].copy(),
        selling=told["flow"][:, 1].copy(),
        # Leaning to neither side is no forecast of a side, however it is calibrated.
        up=np.where(lean > 0.0, confidence, np.where(lean < 0.0, 1.0 - confidence, np.where(np.isnan(lean), np.nan, 0.5))),
        gross=told["gross"][:, :heads] * np.sign(lean),
    )
