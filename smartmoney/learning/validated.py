"""What a challenger must show to decide on paper: forecasts on time that it has not learned from. Pure; real money needs the whole gate.

Invariants: all conditions must hold, and a number that was not measured fails. The base rate and, for a first champion, the logistic
regression are fitted on the very stretch that is judged, which favours them.
"""

import math

from smartmoney.learning.evaluation.untouched import ForecastScore
from smartmoney.learning.gate import Condition, Verdict

NEWEST_SHARE = 0.2
"""The newest fifth of the past is kept from training, and judged on."""


def judge_on_paper(score: ForecastScore, *, tradable: int, has_champion: bool) -> Verdict:
    """Judge a challenger with so many tradable heads by its forecasts on the newest stretch."""
    against = "the champion's" if has_champion else "a logistic regression's"
    return Verdict(
        conditions=(
            Condition(name="tradable horizons", holds=tradable > 0, measured=float(tradable), needed="at least 1"),
            _below("log-loss", score.log_loss, score.base_rate_log_loss, "the base rate's"),
            Condition(name=f"gain of log-loss over {against}", holds=score.gain.mean > 0.0, measured=score.gain.mean, needed="above 0"),
        )
    )


def _below(name: str, measured: float, limit: float, whose: str) -> Condition:
    needed = f"below {whose} {limit:.4f}" if math.isfinite(limit) else f"below {whose}, which is not known"
    return Condition(name=name, holds=measured < limit, measured=measured, needed=needed)
