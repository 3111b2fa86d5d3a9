"""The promotion gate: every condition that a challenger must meet, each with what was measured and what was needed. Pure.

All must hold. A number that was not measured is NaN, and NaN fails. A first champion, where none stands, has nobody to be compared with:
it must beat the base rate and a logistic regression instead.
"""

import math
from collections.abc import Iterator

import msgspec

from smartmoney.learning.validation.gains import Gain

GAIN_P_MAX = 0.05
DAYS_MIN = 5.0
ECE_SLACK = 0.005
REGIME_SLACK = 0.05
SHADOW_H_MIN = 24.0
PARITY_MAX = 1e-9

_NAN = float("nan")


class GateEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """Hold what was measured of a challenger, on data that neither it nor its champion was trained on.

    `gain` is of log-loss, paired, champion's minus challenger's (for a first champion: over the logistic regression); log-losses in nats;
    `regime_loss` by regime. Net results are fractions of equity over the same past, `net_low` the lower end of a 95 % interval.
    """

    gain: Gain
    untouched_days: float = _NAN
    ece: float = _NAN
    regime_loss: dict[str, float] = {}
    log_loss: float = _NAN
    base_rate_log_loss: float = _NAN
    logistic_log_loss: float = _NAN
    states_kept: bool = False
    shadow_hours: float = _NAN
    feature_parity: float = _NAN
    net_low: float = _NAN
    net: float = _NAN
    net_double_cost: float = _NAN
    rollback_target: bool = False
    """There is somebody to go back to: a champion, or the untrained prior."""
    is_drifting: bool | None = None
    """None: not measured."""
    has_champion: bool = True
    champion_ece: float = _NAN
    champion_regime_loss: dict[str, float] = {}
    champion_net: float = _NAN
    champion_net_double_cost: float = _NAN


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """Be one condition: its name, whether it holds, the number that was measured and what was needed, in words."""

    name: str
    holds: bool
    measured: float
    needed: str

    @property
    def text(self) -> str:
        """Return it as one line."""
        shown = f"{self.measured:.4g}" if math.isfinite(self.measured) else "not measured"
        return f"{self.name}: {shown}, needed {self.needed}"


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Say what the gate found."""

    conditions: tuple[Condition, ...]

    @property
    def passed(self) -> bool:
        """Tell whether every condition holds."""
        return all(one.holds for one in self.conditions)

    @property
    def failed(self) -> tuple[Condition, ...]:
        """Return the conditions that do not hold."""
        return tuple(one for one in self.conditions if not one.holds)

    @property
    def text(self) -> str:
        """Return the verdict as one line."""
        if self.passed:
            return f"all {len(self.conditions)} conditions hold"
        return "; ".join(one.text for one in self.failed)


def judge(evidence: GateEvidence) -> Verdict:
    """Return the verdict on some evidence."""
    return Verdict(conditions=tuple(_conditions(evidence)))


def _conditions(e: GateEvidence) -> Iterator[Condition]:
    yield _above("log_loss_gain", e.gain.mean, 0.0)
    yield _below("log_loss_gain_p", e.gain.p_value, GAIN_P_MAX)
    yield _at_least("untouched_days", e.untouched_days, DAYS_MIN)
    if e.has_champion:
        yield _at_most("ece", e.ece, e.champion_ece + ECE_SLACK)
        yield from _regimes(e)
    else:
        yield _below("log_loss_against_base_rate", e.log_loss, e.base_rate_log_loss)
        yield _below("log_loss_against_logistic", e.log_loss, e.logistic_log_loss)
    yield _flag("states_kept", e.states_kept)
    yield _at_least("shadow_hours", e.shadow_hours, SHADOW_H_MIN)
    yield _at_most("feature_parity", e.feature_parity, PARITY_MAX)
    yield _above("net_low_at_cost_x1", e.net_low, 0.0)
    if e.has_champion:
        yield _at_least("net_at_cost_x1", e.net, e.champion_net)
        yield _at_least("net_at_cost_x2", e.net_double_cost, e.champion_net_double_cost)
    yield _flag("rollback_target", e.rollback_target)
    yield _flag("no_drift", None if e.is_drifting is None else not e.is_drifting)


def _regimes(e: GateEvidence) -> Iterator[Condition]:
    for name, champion in sorted(e.champion_regime_loss.items()):
        yield _at_most(f"log_loss_in_{name}", e.regime_loss.get(name, _NAN), champion * (1.0 + REGIME_SLACK))
    if not e.champion_regime_loss:
        yield Condition(name="log_loss_by_regime", holds=False, measured=_NAN, needed="of both models, by regime")


def _above(name: str, value: float, limit: float) -> Condition:
    return Condition(name=name, holds=value > limit, measured=value, needed=f"above {_told(limit)}")


def _below(name: str, value: float, limit: float) -> Condition:
    return Condition(name=name, holds=value < limit, measured=value, needed=f"below {_told(limit)}")


def _at_least(name: str, value: float, limit: float) -> Condition:
    return Condition(name=name, holds=value >= limit, measured=value, needed=f"at least {_told(limit)}")


def _at_most(name: str, value: float, limit: float) -> Condition:
    return Condition(name=name, holds=value <= limit, measured=value, needed=f"at most {_told(limit)}")


def _flag(name: str, holds: bool | None) -> Condition:
    return Condition(name=name, holds=holds is True, measured=_NAN if holds is None else float(holds), needed="1 (yes)")


def _told(limit: float) -> str:
    """Return a limit; one that was to be measured of the champion, or of these days, may be missing."""
    return f"{limit:.4g}" if math.isfinite(limit) else "a number that was not measured"
