"""Each condition of the promotion gate, alone, refuses; and nothing that was not measured passes."""

import msgspec
import pytest

from smartmoney.learning.gate import GateEvidence, judge
from smartmoney.learning.validation.gains import Gain

NAN = float("nan")
GOOD = GateEvidence(
    gain=Gain(0.01, 0.002, 0.02, 0.01, 10_000, 40),
    untouched_days=6.0,
    ece=0.02,
    regime_loss={"neutral": 0.6, "volatile": 0.7},
    log_loss=0.65,
    base_rate_log_loss=0.69,
    logistic_log_loss=0.66,
    states_kept=True,
    shadow_hours=30.0,
    feature_parity=1e-12,
    net_low=0.001,
    net=0.01,
    net_double_cost=0.004,
    rollback_target=True,
    is_drifting=False,
    champion_ece=0.02,
    champion_regime_loss={"neutral": 0.6, "volatile": 0.7},
    champion_net=0.005,
    champion_net_double_cost=-0.01,
)


def test_a_challenger_that_meets_everything_passes():
    verdict = judge(GOOD)
    assert verdict.passed
    assert verdict.failed == ()
    assert "all" in verdict.text


@pytest.mark.parametrize(
    ("changes", "condition"),
    [
        ({"gain": Gain(0.0, -1, 1, 0.01, 1, 1)}, "log_loss_gain"),
        ({"gain": Gain(0.01, 0, 1, 0.05, 1, 1)}, "log_loss_gain_p"),
        ({"untouched_days": 4.9}, "untouched_days"),
        ({"ece": 0.0251}, "ece"),
        ({"regime_loss": {"neutral": 0.6, "volatile": 0.74}}, "log_loss_in_volatile"),
        ({"regime_loss": {"neutral": 0.6}}, "log_loss_in_volatile"),
        ({"champion_regime_loss": {}}, "log_loss_by_regime"),
        ({"states_kept": False}, "states_kept"),
        ({"shadow_hours": 23.9}, "shadow_hours"),
        ({"feature_parity": 1e-8}, "feature_parity"),
        ({"net_low": 0.0}, "net_low_at_cost_x1"),
        ({"net": 0.004}, "net_at_cost_x1"),
        ({"net_double_cost": -0.02}, "net_at_cost_x2"),
        ({"rollback_target": False}, "rollback_target"),
        ({"is_drifting": True}, "no_drift"),
    ],
)
def test_one_condition_that_does_not_hold_refuses_by_name_and_number(changes, condition):
    verdict = judge(msgspec.structs.replace(GOOD, **changes))
    assert not verdict.passed
    assert [one.name for one in verdict.failed] == [condition]
    assert condition in verdict.text


@pytest.mark.parametrize(
    "name", ["untouched_days", "ece", "shadow_hours", "feature_parity", "net_low", "net", "net_double_cost", "champion_ece"]
)
def test_what_was_not_measured_refuses(name):
    verdict = judge(msgspec.structs.replace(GOOD, **{name: NAN}))
    assert not verdict.passed
    if not name.startswith("champion"):
        assert "not measured" in verdict.text


def test_nothing_measured_passes_nothing():
    verdict = judge(GateEvidence(gain=Gain(NAN, NAN, NAN, NAN, 0, 0)))
    assert not any(one.holds for one in verdict.conditions)


def test_a_first_champion_must_beat_base_rate_and_logistic_instead():
    first = msgspec.structs.replace(GOOD, has_champion=False, champion_ece=NAN, champion_regime_loss={}, champion_net=NAN)
    assert judge(first).passed
    assert [one.name for one in judge(msgspec.structs.replace(first, log_loss=0.67)).failed] == ["log_loss_against_logistic"]
    assert len(judge(msgspec.structs.replace(first, log_loss=0.70)).failed) == 2
