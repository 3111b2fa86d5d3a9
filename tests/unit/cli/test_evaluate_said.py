"""An evaluation as text: what was not scored is said in words, not as numbers that are none."""

import numpy as np

from smartmoney.cli.evaluate_said import _head
from smartmoney.learning.calibration import reliability
from smartmoney.learning.evaluation.worlds import HeadScore, UnseenScore

NONE = reliability(*np.empty((3, 0)), np.empty(0, np.int64))


def test_a_horizon_that_no_world_is_long_enough_for_is_said_so():
    unseen = UnseenScore(auc=float("nan"), effective=0.0, quality=NONE)
    (line,) = _head(HeadScore(horizon_s=3600, auc=float("nan"), effective=0.0, quality=NONE, unseen=unseen))
    assert line == " 3600 s: not scored, the worlds are too short for it"
