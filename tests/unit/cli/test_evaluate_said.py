"""An evaluation as text: what was not scored is said in words, not as numbers that are none."""

import numpy as np
from msgspec.structs import replace

from smartmoney.cli.evaluate_said import _head, _mean_flow, _passed_by, _recordings
from smartmoney.learning.calibration import reliability
from smartmoney.learning.evaluation.baseline import BaselineScore, RecordedScore
from smartmoney.learning.evaluation.flow import FlowScore
from smartmoney.learning.evaluation.planted import score_planted
from smartmoney.learning.evaluation.worlds import HeadScore, UnseenScore
from tests.unit.learning.test_evaluation_trades import traded, worlds

NAMED = (("short", False), ("long", True))
NONE = reliability(*np.empty((3, 0)), np.empty(0, np.int64))


def test_a_horizon_that_no_world_is_long_enough_for_is_said_so():
    unseen = UnseenScore(auc=float("nan"), effective=0.0, quality=NONE)
    (line,) = _head(HeadScore(horizon_s=3600, auc=float("nan"), effective=0.0, quality=NONE, unseen=unseen))
    assert line == " 3600 s: not scored, the worlds are too short for it"


def test_families_of_somebody_elses_worlds_are_called_unknown():
    """A training may have had them: a recording of `mixed_day` is of a family that the default model learned from."""
    quality = reliability(np.full(200, 0.6), np.arange(200) % 2.0, np.ones(200), np.arange(200) // 20)
    head = HeadScore(horizon_s=300, auc=0.6, effective=200.0, quality=quality)
    for is_known, name in ((True, "families that no training had"), (False, "unknown families")):
        unseen = UnseenScore(auc=0.5, effective=9.0, quality=quality, is_known=is_known)
        assert f"of {name}: AUC 0.500" in list(_head(replace(head, unseen=unseen)))[-1]


def test_means_of_planted_flow_say_of_which_kinds_they_are():
    def kind(name, auc, oracle, efficiency):
        names = ("auc_low", "auc_high", "efficiency_low", "efficiency_high", "direction")
        return FlowScore(kind=name, worlds=10, auc=auc, auc_oracle=oracle, efficiency=efficiency, **dict.fromkeys(names, 0.5))

    flow = [kind("poisson", 0.9, 0.98, float("nan")), kind("twap", 0.6, 0.86, 0.1), kind("iceberg", 0.7, 0.9, 0.3)]
    assert _mean_flow(flow) == (
        "planted flow, means: AUC 0.733 and oracle 0.913 of all 3; efficiency 0.20 of the 2 whose oracle has an AUC of 0.70 to 0.97 "
        "(twap, iceberg)"
    )
    assert "efficiency unknown of the 0 whose" in _mean_flow(flow[:1])


def test_a_learner_that_grew_nothing_is_said_to_be_none():
    base = {name: 0.5 for name in BaselineScore.__struct_fields__ if name not in {"horizon_s", "rows", "recordings"}}
    recorded = [RecordedScore(name=name, hours=0.1, auc=0.5, auc_logistic=0.6, effective=9.0, is_grown=grown) for name, grown in NAMED]
    lines = list(_recordings(BaselineScore(horizon_s=30, rows=100, recordings=tuple(recorded), **base)))
    assert [line.endswith("; too few for our learner, which grew nothing") for line in lines] == [False, True, False]


def test_what_became_of_the_oracles_trades_is_told_with_sums_that_add_up(bundles):
    lines = list(_passed_by(score_planted(bundles.small_bundle(), [], [replace(one, normal=traded(9, net=12.0)) for one in worlds(2)])))
    assert [line.strip() for line in lines[1:]] == [
        "2 taken: +60.00, +24.00; held for 80% of their time, in which the oracle made +56.00, at 0.60 of its size",
        "2 nothing said: both sides possible, or hardly surer than chance: +40.00, +0.00",
        "while the oracle held nothing: +0.00, +0.00",
        "at the oracle's size throughout its share would be 40% [0.40, 0.40]",
    ]
