"""A trained bundle behind the protocol that the desk asks: one compiled call a step, then the choice of the horizon that speaks.

What the numbers are: confidence = max(p, 1 - p), calibrated, p the probability that the mid is higher at the horizon; gross = s sigma z, z
the normal quantile of confidence; expected = gross - cost, the only time that cost is counted; the tradable horizon with the largest
expected / sigma speaks, among those whose conformal set holds one side. Invariants: what is not a number is no opportunity.
"""

import math
from collections.abc import Mapping
from functools import lru_cache
from struct import Struct
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from smartmoney.core.domain.orders import Side
from smartmoney.core.domain.signals import Opportunity, Regime
from smartmoney.core.features.schema import FEATURE_INDEX
from smartmoney.core.models.bundle import Bundle, BundleSpec, Head
from smartmoney.core.models.checks import HEADS_MAX
from smartmoney.core.models.columns import products_of
from smartmoney.core.models.explanation import Seen
from smartmoney.core.models.kernel import decide, who_speaks
from smartmoney.core.models.layout import MIND, REGIMES, Layout, Thought, forget, fresh_mind, lay_out
from smartmoney.core.regime.parameters import RegimeParameters
from smartmoney.core.regime.reading import RegimeReading

_REGIMES = tuple(Regime)
_ALWAYS = ("liquidity_score", "liquidity_stress")
_CLOCK, _LABEL, _FORECASTS = Struct("<q"), Struct(f"<{REGIMES}d2q"), Struct(f"<{4 * HEADS_MAX}d")
_CLOCK_AT, _LABEL_AT, _FORECASTS_AT = (int(np.dtype(MIND).fields[name][1]) for name in ("ts_event_ns", "smoothed", "lean"))  # type: ignore[index]  # it has fields
"""Runs of fields of a record, which one call reads: time; smoothed, label, label_since_ns; lean, confidence, sigma, gross."""
_CLOCK_RESTART_NS = 60_000_000_000
"""A clock that falls back by more than this is another clock."""


class TrainedModel:
    """Be a bundle under a configuration. A state is what it knows of an instrument, changed in place; the model itself never changes."""

    is_trained = True

    def __init__(self, bundle: Bundle, parameters: RegimeParameters) -> None:
        self.bundle = bundle
        self.name = bundle.name
        ready = _ready(bundle, parameters)
        self.features_required = ready.features_required
        self.tradable = np.zeros(HEADS_MAX, np.int64)
        """1 for each head that may speak."""
        self.tradable[: len(bundle.spec.heads)] = [head.tradable for head in bundle.spec.heads]
        self.horizons_s = [float(head.horizon_s) for head in bundle.spec.heads]
        self._layout = ready.layout
        self.arguments = self._layout.arguments()
        """What a compiled decision takes of the model."""
        self._importance = ready.importance

    def seen(self, state: Thought, horizon_s: float) -> Seen:
        """Return what the latest step saw, for an explanation of the horizon that spoke."""
        return Seen(bundle=self.bundle, horizon_s=round(horizon_s), wide=state.wide.copy())

    def fresh_state(self) -> Thought:
        """Return the state before the first step."""
        return Thought(fresh_mind(), self._layout.unseen())

    def fresh_states(self, minds: NDArray[np.void]) -> tuple[list[Thought], NDArray[np.float32]]:
        """Return the states before the first step whose records are those of an array, and an array of what they see."""
        forget(minds)
        wides = self._layout.unseen(len(minds))
        return [Thought(minds[index : index + 1], wide) for index, wide in enumerate(wides)], wides

    def step(self, state: Thought, row: NDArray[np.float64], features: Mapping[str, float], now_event_ns: int) -> Thought:
        """Take a row and return the state, changed; a clock that does not move on changes nothing. Cost: about 10 µs."""
        del features
        assert row.shape == (len(FEATURE_INDEX),), "a row has one number per feature"
        last_ns = state.mind["ts_event_ns"].item(0)
        if now_event_ns < last_ns - _CLOCK_RESTART_NS:
            forget(state.mind)
        elif now_event_ns <= last_ns:
            return state
        decide(state.mind, 0, row, now_event_ns, *self.arguments, state.wide)
        return state

    def reading(self, state: Thought) -> RegimeReading:
        """Return the debounced label with its smoothed, calibrated probability."""
        raw = state.mind.tobytes()
        *smoothed, label, since_ns = _LABEL.unpack_from(raw, _LABEL_AT)
        posterior = tuple(smoothed)
        return RegimeReading(
            label=_REGIMES[label],
            probability=posterior[label],
            posterior=posterior,
            age_s=(_CLOCK.unpack_from(raw, _CLOCK_AT)[0] - since_ns) / 1e9,
            entropy=-sum([p * math.log(p) for p in posterior if p > 0]),
        )

    def opportunities(
        self,
        state: Thought,
        features: Mapping[str, float],
        regime: RegimeReading,
        *,
        stop_bps: float,
        target_bps: float,
        cost_bps: float,
    ) -> tuple[Opportunity, ...]:
        """Return the forecast of the horizon that speaks, or none: no horizon is sure of one side, or something is not a number."""
        del regime, stop_bps, target_bps
        h = who_speaks(state.mind, 0, self.tradable, cost_bps)
        if h < 0:
            return ()
        told = _FORECASTS.unpack_from(state.mind.tobytes(), _FORECASTS_AT)
        leans, confidences, sigmas, grosses = (told[first : first + HEADS_MAX] for first in range(0, 4 * HEADS_MAX, HEADS_MAX))
        head = self.bundle.spec.heads[h]
        return (
            Opportunity(
                side=Side.BUY if leans[h] > 0 else Side.SELL,
                confidence=confidences[h],
                liquidity_score=features["liquidity_score"],
                gross_return_bps=grosses[h],
                expected_return_bps=grosses[h] - cost_bps,
                risk_level=_risk_level(head, sigmas[h]),
                horizon_s=float(head.horizon_s),
                model=self.name,
            ),
        )

    def ups(self, state: Thought) -> tuple[tuple[int, float], ...]:
        """Return every horizon in s with its calibrated probability that the mid is higher at its end; NaN where there is none."""
        mind = state.mind[0]
        found = []
        for h, head in enumerate(self.bundle.spec.heads):
            lean, confidence = float(mind["lean"][h]), float(mind["confidence"][h])
            found.append((head.horizon_s, confidence if lean > 0.0 else 1.0 - confidence if lean < 0.0 else lean + 0.5))
        return tuple(found)

    def importance(self) -> dict[str, float]:
        """Return each column's share of the gain in training, largest first."""
        return dict(self._importance)


class _Ready(NamedTuple):
    """Be what a bundle comes to under a configuration, none of which ever changes."""

    layout: Layout
    features_required: tuple[str, ...]
    importance: Mapping[str, float]


@lru_cache(maxsize=2)
def _ready(bundle: Bundle, parameters: RegimeParameters) -> _Ready:
    """Return what a bundle comes to. Several runs of one process decide by the same bundle, which is laid out once."""
    total = math.fsum(bundle.spec.importance.values())
    shares = {name: gain / total for name, gain in bundle.spec.importance.items()} if total > 0 else {}
    importance = dict(sorted(shares.items(), key=lambda item: -item[1]))
    return _Ready(lay_out(bundle, parameters), features_required(bundle.spec), importance)


def features_required(spec: BundleSpec) -> tuple[str, ...]:
    """Return the features without which there is no forecast: what forests read of the row, except `optional`, and every volatility.

    An observed feature of the filter may be missing: its dimension is left out of that bar.
    """
    products = products_of(spec.products)
    read = [name for forest in spec.forest_names() for name in spec.inputs_of(forest)]
    named = [factor for name in read for factor in (products[name][0] if name in products else (name,))]
    free = set(spec.optional)
    wanted = dict.fromkeys(name for name in named if name in FEATURE_INDEX and name not in free)
    return tuple(dict.fromkeys((*_ALWAYS, *(head.sigma.feature for head in spec.heads), *wanted)))


def _risk_level(head: Head, sigma_bps: float) -> str:
    low, high = head.terciles_bps
    return "low" if sigma_bps < low else "medium" if sigma_bps < high else "high"
