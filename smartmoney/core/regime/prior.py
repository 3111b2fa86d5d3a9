"""The untrained prior's regime: fixed rules on the features, until a model is trained. It claims no skill and says its name.

Pressure (signed flow), efficiency, volatility against its own slow mean, and stress are averaged over `feature_window` seconds, scored per
regime, and turned into a posterior by softmax. The published label is debounced. Invariants: `step_regime` is pure and knows time from the
exchange's clock only; mirroring buys and sells swaps accumulation with distribution and changes nothing else.
"""

import math
from collections.abc import Mapping

import msgspec

from smartmoney.core.domain.signals import Regime
from smartmoney.core.regime.parameters import RegimeParameters
from smartmoney.core.regime.reading import RegimeReading

MODEL_NAME = "untrained-prior-1"
REGIMES = tuple(Regime)

FEATURES_REQUIRED = (
    "tfi_120s",
    "weighted_imbalance",
    "ofi_l1_10s",
    "large_trade_120s",
    "efficiency_120s",
    "rv_120s",
    "liquidity_stress",
)
"""What must be finite for a step; `rv_600s` and `large_trade_threshold` are used when they are."""

PRESSURE_WEIGHTS = {"tfi_120s": 0.75, "weighted_imbalance": 0.6, "ofi_l1_10s": 0.2, "large_trade_120s": 0.1}

PRESSURE_SLOPE, PRESSURE_EDGE = 14.0, 0.15
EFFICIENCY_SLOPE, EFFICIENCY_EDGE = 10.0, 0.42
VOLATILITY_SLOPE, VOLATILITY_EDGE = 4.0, math.log(2.0)
STRESS_SLOPE, STRESS_EDGE = 3.0, 0.6
NEUTRAL_LOGIT = 0.7
SWITCH_MARGIN = 0.2
"""A new label needs this much more probability than the standing one."""
LARGE_TRADES = 4.0
"""Net large flow of so many thresholds counts as half of the most there is."""
_CLOCK_RESTART_NS = 60_000_000_000
OFI_HALF = 5.0
"""Order-flow imbalance of so many mean depths counts as half of the most there is."""


class Observation(msgspec.Struct, frozen=True):
    """Hold the four numbers that the regimes are scored on: pressure in about [-1.4, 1.4], efficiency and stress in [0, 1]."""

    pressure: float
    efficiency: float
    volatility: float
    """Log of the ratio of the fast to the slow variance rate; 0 where the slow one is not warm."""
    stress: float


class RegimeState(msgspec.Struct, frozen=True, kw_only=True):
    """Carry the regime from one step to the next. The posterior is in the order of `Regime`; a fresh state knows nothing: neutral."""

    posterior: tuple[float, ...] = (0.2, 0.2, 0.2, 0.2, 0.2)
    label: Regime = Regime.NEUTRAL
    label_since_event_ns: int = 0
    ts_event_ns: int = 0
    evidence: Observation | None = None

    @property
    def current_regime(self) -> Regime:
        """Return the debounced label."""
        return self.label

    @property
    def regime_probability(self) -> float:
        """Return the posterior probability of the label (not of the likeliest regime)."""
        return self.posterior[REGIMES.index(self.label)]

    @property
    def age_s(self) -> float:
        """Return for how many seconds of exchange time the label has stood."""
        return (self.ts_event_ns - self.label_since_event_ns) / 1e9

    @property
    def entropy(self) -> float:
        """Return the posterior's entropy in nats: 0 is certain, ln 5 is knowing nothing."""
        return -sum(p * math.log(p) for p in self.posterior if p > 0)

    def reading(self) -> RegimeReading:
        """Return what is published of this state."""
        return RegimeReading(
            label=self.label, probability=self.regime_probability, posterior=self.posterior, age_s=self.age_s, entropy=self.entropy
        )


def step_regime(state: RegimeState, features: Mapping[str, float], now_event_ns: int, parameters: RegimeParameters) -> RegimeState:
    """Return the next state. Cost: 10 µs.

    A clock that does not move on, or a required feature that is not finite, changes nothing; a clock that falls back by more than a minute
    is another clock, and the state starts afresh on it.
    """
    raw = observe(features, parameters)
    is_new_clock = now_event_ns < state.ts_event_ns - _CLOCK_RESTART_NS
    if raw is None or (now_event_ns <= state.ts_event_ns and not is_new_clock):
        return state
    if state.evidence is None or is_new_clock:
        posterior = score(raw)
        return RegimeState(
            posterior=posterior,
            label=REGIMES[_argmax(posterior)],
            label_since_event_ns=now_event_ns,
            ts_event_ns=now_event_ns,
            evidence=raw,
        )
    elapsed_s = (now_event_ns - state.ts_event_ns) / 1e9
    evidence = _average(state.evidence, raw, math.exp(-2.0 * elapsed_s / (parameters.feature_window + 1.0)))
    keep = parameters.transition_smoothing
    posterior = tuple(keep * old + (1.0 - keep) * new for old, new in zip(state.posterior, score(evidence), strict=True))
    label = _debounced(state, posterior, now_event_ns, parameters.min_regime_duration)
    return RegimeState(
        posterior=posterior,
        label=label,
        label_since_event_ns=state.label_since_event_ns if label is state.label else now_event_ns,
        ts_event_ns=now_event_ns,
        evidence=evidence,
    )


def observe(features: Mapping[str, float], parameters: RegimeParameters) -> Observation | None:
    """Return the evidence in a feature mapping; None when a required feature is missing or not finite."""
    values = [features.get(name, math.nan) for name in FEATURES_REQUIRED]
    if not all(math.isfinite(value) for value in values):
        return None
    threshold = features.get("large_trade_threshold", math.nan)
    if not threshold > 0 or math.isinf(threshold):
        threshold = max(parameters.large_order_threshold, 1.0)
    contribution = {
        "tfi_120s": features["tfi_120s"],
        "weighted_imbalance": features["weighted_imbalance"],
        "large_trade_120s": _soft(features["large_trade_120s"], LARGE_TRADES * threshold),
        "ofi_l1_10s": _soft(features["ofi_l1_10s"], OFI_HALF),
    }
    pressure = 0.0
    for name, weight in PRESSURE_WEIGHTS.items():  # in this order, and no compensated sum, whatever `sum` is today
        pressure += weight * contribution[name]
    return Observation(
        pressure=pressure,
        efficiency=features["efficiency_120s"],
        volatility=_log_variance_ratio(features["rv_120s"], features.get("rv_600s", math.nan)),
        stress=features["liquidity_stress"],
    )


def score(evidence: Observation) -> tuple[float, ...]:
    """Return the posterior over the five regimes, in the order of `Regime`."""
    pressure = evidence.pressure
    logits = (
        PRESSURE_SLOPE * (pressure - PRESSURE_EDGE),
        PRESSURE_SLOPE * (-pressure - PRESSURE_EDGE),
        EFFICIENCY_SLOPE * (evidence.efficiency - EFFICIENCY_EDGE),
        VOLATILITY_SLOPE * (evidence.volatility - VOLATILITY_EDGE) + STRESS_SLOPE * (evidence.stress - STRESS_EDGE),
        NEUTRAL_LOGIT,
    )
    top = max(logits)
    weights = [math.exp(logit - top) for logit in logits]
    # fsum is exact, so that the order of the terms, which the mirror changes, does not change the sum.
    total = math.fsum(weights)
    return tuple(weight / total for weight in weights)


def _log_variance_ratio(fast: float, slow: float) -> float:
    # Decayed sums of squares settle at rate x half-life / ln 2: compare them per second of half-life.
    if not (slow > 0 and fast > 0) or math.isinf(slow):
        return 0.0
    ratio = 600.0 / 120.0 * fast / slow
    return math.log(min(max(ratio, 0.05), 20.0))


def _soft(value: float, half: float) -> float:
    return value / (abs(value) + half)


def _average(old: Observation, new: Observation, keep: float) -> Observation:
    return Observation(
        keep * old.pressure + (1.0 - keep) * new.pressure,
        keep * old.efficiency + (1.0 - keep) * new.efficiency,
        keep * old.volatility + (1.0 - keep) * new.volatility,
        keep * old.stress + (1.0 - keep) * new.stress,
    )


def _argmax(posterior: tuple[float, ...]) -> int:
    best = max(posterior)
    # Accumulation and distribution level at the top say nothing about direction.
    if posterior[0] == posterior[1] == best:
        return REGIMES.index(Regime.NEUTRAL)
    return posterior.index(best)


def _debounced(state: RegimeState, posterior: tuple[float, ...], now_event_ns: int, min_duration_s: float) -> Regime:
    best = _argmax(posterior)
    candidate = REGIMES[best]
    if candidate is state.label:
        return state.label
    if not posterior[best] - posterior[REGIMES.index(state.label)] > SWITCH_MARGIN:
        return state.label
    # Danger is believed at once; everything else must wait until the standing label has had its time.
    if candidate is Regime.VOLATILE or now_event_ns - state.label_since_event_ns >= min_duration_s * 1e9:
        return candidate
    return state.label
