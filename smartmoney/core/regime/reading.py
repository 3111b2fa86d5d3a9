"""What any regime model publishes: the one form that strategies, gates and screens read."""

import msgspec

from smartmoney.core.domain.signals import Regime


class RegimeReading(msgspec.Struct, frozen=True, kw_only=True):
    """Publish a regime: the debounced label, its probability, the posterior in the order of `Regime`, age in seconds, entropy in nats."""

    label: Regime = Regime.NEUTRAL
    probability: float = 0.2
    posterior: tuple[float, ...] = (0.2, 0.2, 0.2, 0.2, 0.2)
    age_s: float = 0.0
    entropy: float = 0.0

    def probabilities(self) -> dict[str, float]:
        """Return the posterior by regime name, a fresh dictionary."""
        return {regime.value: p for regime, p in zip(Regime, self.posterior, strict=True)}
