"""The three monitors of `learning.drift`, fed by whoever watches a model: a row a minute, forecasts, and the mid as time passes.

Pure: time is what the caller says. Forecasts of one instrument and horizon that are judged never overlap, since one that waits keeps the
next from being taken: ADWIN and the calibration's error assume independent values. Invariants: memory is bounded; what cannot be judged
(no price at the horizon) is counted as lost, never guessed; a monitor without enough to go by says nothing is known, not that all is well.
"""

import math
from collections import deque
from collections.abc import Iterator, Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from smartmoney.core.features.schema import FEATURE_INDEX
from smartmoney.core.models.bundle import Bundle, BundleSpec
from smartmoney.core.models.columns import products_of
from smartmoney.learning.coverage import Coverage, CoverageReport
from smartmoney.learning.drift import PSI_ACT, Adwin, CalibrationWatch, DriftReport, bin_edges, chance_psi, psi_of_shares, report, shares

Floats = NDArray[np.float64]

ROW_S = 60
WINDOW_ROWS = 1_440
"""Rows that a PSI looks at, and needs: a day at a row a minute. A shorter stretch differs from training by its hour alone."""
USUAL_ROOM = 1.25
"""The largest of a few stretches is not the largest that there is."""
LATE_NS_MAX = 2_000_000_000
"""A price that comes later than this after the horizon does not judge a forecast."""
_EPS = 1e-9


class Reference(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Say how a bundle's features were distributed in training: by feature, edges and the share of rows between them, unknown last.

    `bundle` is the hash of the bundle that it belongs to, `rows` how many rows it was made of. `usual` is the largest PSI that a stretch of
    the training itself has against the whole, or what chance gives a day of a feature with so long a memory, whichever is more: markets
    differ from day to day, and what training saw is no drift.
    """

    bundle: str
    rows: int
    edges: dict[str, tuple[float, ...]]
    shares: dict[str, tuple[float, ...]]
    usual: dict[str, float]


def features_of(spec: BundleSpec) -> tuple[str, ...]:
    """Return the features that a bundle's decision reads: of forests, of the filter, of volatilities."""
    products = products_of(spec.products)
    columns = [name for forest in spec.forest_names() for name in spec.inputs_of(forest)]
    plain = [name.removeprefix("window:") for name in columns]
    read = [factor for name in plain for factor in (products[name][0] if name in products else (name,))]
    read += [one.feature for one in spec.hmm.observed] + [head.sigma.feature for head in spec.heads]
    return tuple(sorted({name for name in read if name in FEATURE_INDEX}))


def reference_of(bundle: Bundle, sources: Sequence[NDArray[np.float32]]) -> Reference:
    """Return a bundle's reference over `(rows, features)` tables of the rows that it was trained on."""
    edges, found = {}, {}
    for name in features_of(bundle.spec):
        column = np.concatenate([one[:, FEATURE_INDEX[name]] for one in sources]).astype(np.float64)
        edges[name] = bin_edges(column)
        found[name] = tuple(shares(column, edges[name]).tolist())
    known = Reference(bundle=bundle.hash, rows=sum(len(one) for one in sources), edges=edges, shares=found, usual={})
    usual: dict[str, float] = {}
    minutes = [one[::ROW_S].astype(np.float64) for one in sources]
    for name, inner in edges.items():
        usual[name] = chance_psi([one[:, FEATURE_INDEX[name]] for one in minutes], len(inner) + 1, WINDOW_ROWS) if inner else 0.0
    for stretch in _stretches(sources):
        for name, value in psi_by_feature(known, stretch).items():
            usual[name] = max(usual.get(name, 0.0), value)
    return msgspec.structs.replace(known, usual=usual)


def _stretches(sources: Sequence[NDArray[np.float32]]) -> Iterator[Floats]:
    """Yield what the monitor would have seen in training: a row a minute, a day or, of a shorter source, all of it."""
    for one in sources:
        minutes = one[::ROW_S].astype(np.float64)
        for first in range(0, max(len(minutes) - WINDOW_ROWS, 0) + 1, WINDOW_ROWS):
            yield minutes[first : first + WINDOW_ROWS]


def unusual(reference: Reference, values: Mapping[str, float]) -> dict[str, float]:
    """Return PSIs scaled so that `PSI_ACT` is reached where a value is above that limit and a quarter above what training itself had."""
    return {name: value * PSI_ACT / max(PSI_ACT, USUAL_ROOM * reference.usual.get(name, 0.0)) for name, value in values.items()}


def psi_by_feature(reference: Reference, table: Floats) -> dict[str, float]:
    """Return the PSI of each feature of the reference over `(rows, features)`."""
    return {
        name: psi_of_shares(np.array(reference.shares[name]), shares(table[:, FEATURE_INDEX[name]], edges))
        for name, edges in reference.edges.items()
        if edges
    }


class Forecast(msgspec.Struct, frozen=True):
    """Be what was said of one horizon: the calibrated probability that the mid is higher at its end, and by which set it was judged.

    `q` is the threshold of the conformal set in the regime that stood; NaN where there is none.
    """

    horizon_s: int
    up: float
    regime: str = ""
    q: float = math.nan


class _Pending(msgspec.Struct, frozen=True):
    due_ns: int
    said: Forecast
    mid: float


class DriftMonitors:
    """Watch one model on any number of instruments. `reference` None: PSI is not measured."""

    def __init__(self, reference: Reference | None) -> None:
        self._reference = reference
        self._rows: dict[int, deque[Floats]] = {}
        self._pending: dict[tuple[int, int], _Pending] = {}
        self._losses: dict[int, Adwin] = {}
        self._calibration = CalibrationWatch()
        self._coverage = Coverage()
        self._jumped_from: dict[int, float] = {}
        self.judged = 0
        self.lost = 0

    @property
    def has_reference(self) -> bool:
        """Tell whether features are compared with their training."""
        return self._reference is not None

    @property
    def is_full(self) -> bool:
        """Tell whether some instrument has the rows that a PSI needs."""
        return self.rows == WINDOW_ROWS

    @property
    def rows(self) -> int:
        """Return how many rows the instrument has that most are known of, at most `WINDOW_ROWS`."""
        return max((len(kept) for kept in self._rows.values()), default=0)

    def succeeded_by(self, reference: Reference | None) -> "DriftMonitors":
        """Return monitors of another model: rows are the market's and stay, forecasts were the old model's."""
        other = DriftMonitors(reference)
        other._rows = self._rows
        return other

    def row(self, instrument: int, row: Floats) -> None:
        """Take an instrument's feature row, once a minute, while its book can be trusted."""
        self._rows.setdefault(instrument, deque(maxlen=WINDOW_ROWS)).append(row)

    def said(self, instrument: int, forecasts: Sequence[Forecast], mid: float | None, now_ns: int) -> None:
        """Take what the model says now, of each horizon of which nothing is waiting."""
        if mid is None:
            return
        for one in forecasts:
            key = (instrument, one.horizon_s)
            if key not in self._pending and math.isfinite(one.up):
                self._pending[key] = _Pending(now_ns + one.horizon_s * 1_000_000_000, one, mid)

    def look(self, mids: Mapping[int, float | None], now_ns: int) -> None:
        """Judge what has come due."""
        for key in [key for key, one in self._pending.items() if one.due_ns <= now_ns]:
            one, mid = self._pending.pop(key), mids.get(key[0])
            if mid is None or now_ns - one.due_ns > LATE_NS_MAX:
                self.lost += 1
            elif mid != one.mid:
                self._judge(one.said, float(mid > one.mid))

    def _judge(self, said: Forecast, outcome: float) -> None:
        self.judged += 1
        horizon_s, up = said.horizon_s, said.up
        self._coverage.took(horizon_s, said.regime, said.q, up if outcome else 1.0 - up)
        held = min(max(up, _EPS), 1.0 - _EPS)
        loss = -math.log(held if outcome else 1.0 - held)
        seen = self._losses.setdefault(horizon_s, Adwin())
        before = seen.mean
        # The window is cut for better and for worse: only what the model does worse than it did is drift, until it does as well again.
        if seen.update(loss) and seen.mean > before:
            self._jumped_from.setdefault(horizon_s, before)
        elif seen.mean - seen.error <= self._jumped_from.get(horizon_s, -math.inf):
            del self._jumped_from[horizon_s]
        # By confidence: both sides are calibrated alike, and a market that rises is no fault of the model.
        confidence = max(up, 1.0 - up)
        self._calibration.took(confidence, outcome if up >= 0.5 else 1.0 - outcome)

    def coverage(self) -> CoverageReport:
        """Return how often what came true was in its conformal set."""
        return self._coverage.report()

    def report(self) -> DriftReport:
        """Return what the monitors come to; the worst instrument counts."""
        worst: dict[str, float] = {}
        if self._reference is not None:
            for kept in self._rows.values():
                if len(kept) < WINDOW_ROWS:
                    continue
                for name, value in unusual(self._reference, psi_by_feature(self._reference, np.array(kept))).items():
                    worst[name] = max(worst.get(name, 0.0), value)
        return report(worst, len(self._jumped_from), self._calibration.z)
