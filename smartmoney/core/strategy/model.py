"""What a desk asks of a model, and the untrained prior in that form; `trained.py` is a bundle in the same form."""

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from smartmoney.core.alpha import prior as alpha_prior
from smartmoney.core.domain.signals import Opportunity
from smartmoney.core.models.explanation import Seen
from smartmoney.core.regime import prior as regime_prior
from smartmoney.core.regime.parameters import RegimeParameters
from smartmoney.core.regime.reading import RegimeReading


class MarketModel(Protocol):
    """Turn features into a regime and opportunities. Pure: the state is carried by the caller, one per instrument."""

    @property
    def name(self) -> str:
        """Return the name that every decision carries."""
        ...

    @property
    def is_trained(self) -> bool:
        """Tell whether the model was fitted; live mode refuses one that was not."""
        ...

    @property
    def features_required(self) -> tuple[str, ...]:
        """Return the features that must be finite."""
        ...

    def fresh_state(self) -> Any:
        """Return the state before the first step."""
        ...

    def step(self, state: Any, row: NDArray[np.float64], features: Mapping[str, float], now_event_ns: int) -> Any:
        """Return the next state, perhaps the old one, changed; `row` and `features` are the same numbers, in schema order and by name."""
        ...

    def reading(self, state: Any) -> RegimeReading:
        """Return what is published of a state."""
        ...

    def opportunities(
        self,
        state: Any,
        features: Mapping[str, float],
        regime: RegimeReading,
        *,
        stop_bps: float,
        target_bps: float,
        cost_bps: float,
    ) -> tuple[Opportunity, ...]:
        """Return the forecasts of a state, the best first; bracket distances and round-trip cost in bps."""
        ...

    def ups(self, state: Any) -> tuple[tuple[int, float], ...]:
        """Return every horizon in s with the probability that the mid is higher at its end, spoken or not; none without calibrated ones."""
        ...

    def seen(self, state: Any, horizon_s: float) -> Seen | None:
        """Return what a state's latest step saw, for an explanation of the horizon that spoke; None when there is nothing to explain by."""
        ...

    def importance(self) -> dict[str, float]:
        """Return each feature's share of the decision, largest first, summing to 1; a fresh dictionary."""
        ...


class PriorModel:
    """Be the untrained prior: deterministic rules, no claim of skill."""

    name = alpha_prior.MODEL_NAME
    is_trained = False
    features_required = tuple(dict.fromkeys((*regime_prior.FEATURES_REQUIRED, *alpha_prior.FEATURES_REQUIRED)))

    def __init__(self, regime: RegimeParameters, alpha: alpha_prior.PriorParameters) -> None:
        self.regime = regime
        self.alpha = alpha
        self.horizons_s = [alpha.horizon_s]

    def fresh_state(self) -> regime_prior.RegimeState:
        """Return the state before the first step."""
        return regime_prior.RegimeState()

    def step(
        self, state: regime_prior.RegimeState, row: NDArray[np.float64], features: Mapping[str, float], now_event_ns: int
    ) -> regime_prior.RegimeState:
        """Return the next state."""
        del row
        return regime_prior.step_regime(state, features, now_event_ns, self.regime)

    @staticmethod
    def save(state: regime_prior.RegimeState, mind: NDArray[np.void]) -> None:
        """Write a state to a record that was fresh once, in which compiled decisions change it (`core.models.untrained`)."""
        mind["ts_event_ns"], mind["label_since_ns"] = state.ts_event_ns, state.label_since_event_ns
        mind["label"], mind["smoothed"] = regime_prior.REGIMES.index(state.label), state.posterior
        if state.evidence is not None:
            mind["window"][0, :4] = msgspec.structs.astuple(state.evidence)

    @staticmethod
    def load(mind: NDArray[np.void]) -> regime_prior.RegimeState:
        """Return the state that a record holds."""
        ts_event_ns = mind["ts_event_ns"].item(0)
        return regime_prior.RegimeState(
            posterior=tuple(mind["smoothed"][0].tolist()),
            label=regime_prior.REGIMES[mind["label"].item(0)],
            label_since_event_ns=mind["label_since_ns"].item(0),
            ts_event_ns=ts_event_ns,
            evidence=regime_prior.Observation(*mind["window"][0, :4].tolist()) if ts_event_ns else None,
        )

    def reading(self, state: regime_prior.RegimeState) -> RegimeReading:
        """Return what is published of a state."""
        return state.reading()

    def opportunities(
        self,
        state: regime_prior.RegimeState,
        features: Mapping[str, float],
        regime: RegimeReading,
        *,
        stop_bps: float,
        target_bps: float,
        cost_bps: float,
    ) -> tuple[Opportunity, ...]:
        """Return at most one opportunity, on the side of the flow."""
        del state
        return alpha_prior.opportunities(
            features,
            regime.label,
            regime.probability,
            stop_bps=stop_bps,
            target_bps=target_bps,
            cost_bps=cost_bps,
            parameters=self.alpha,
        )

    def ups(self, state: regime_prior.RegimeState) -> tuple[tuple[int, float], ...]:
        """Return nothing: the prior's confidence is no calibrated probability."""
        del state
        return ()

    def seen(self, state: regime_prior.RegimeState, horizon_s: float) -> None:
        """Return nothing: the rules explain themselves in the signal's text."""
        del state, horizon_s

    def importance(self) -> dict[str, float]:
        """Return the weights of the flow score, scaled to sum to 1."""
        total = sum(alpha_prior.FLOW_WEIGHTS.values())
        return {name: weight / total for name, weight in alpha_prior.FLOW_WEIGHTS.items()}
