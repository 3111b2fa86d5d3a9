"""An evaluation as text: what was not scored is said in words, not as numbers that are none."""

import numpy as np
from msgspec.structs import replace

from smartmoney.cli.evaluate_said import _head, _passed_by
from smartmoney.learning.calibration import reliability
from smartmoney.learning.evaluation.planted import score_planted
from smartmoney.learning.evaluation.worlds import HeadScore, UnseenScore
from tests.unit.learning.test_evaluation_trades import traded, worlds

NONE = reliability(*np.empty((3, 0)), np.empty(0, np.int64))


def test_a_horizon_that_no_world_is_long_enough_for_is_said_so():
    unseen = UnseenScore(auc=float("nan"), effective=0.0, quality=NONE)
    (line,) = _head(HeadScore(horizon_s=3600, auc=float("nan"), effective=0.0, quality=NONE, unseen=unseen))
    assert line == " 3600 s: not scored, the worlds are too short for it"


def test_what_became_of_the_oracles_trades_is_told_with_sums_that_add_up(bundles):
    lines = list(_passed_by(score_planted(bundles.small_bundle(), [], [replace(one, normal=traded(9, net=12.0)) for one in worlds(2)])))
    assert [line.strip() for line in lines[1:]] == [
        "2 taken: +60.00, +24.00; held for 80% of their time, in which the oracle made +56.00, at 0.60 of its size",
        "2 nothing said: both sides possible, or hardly surer than chance: +40.00, +0.00",
        "while the oracle held nothing: +0.00, +0.00",
        "at the oracle's size throughout its share would be 40% [0.40, 0.40]",
    ]
