"""What an evaluation stays below of the skill goals, in words. What was not measured is no miss, and is said elsewhere.

Calibration that was measured on too few independent labels to be told is one.
"""

import math
from collections.abc import Iterator

from smartmoney.learning.calibration_error import TOO_FEW
from smartmoney.learning.evaluation.delay import POOLED, DelayScore
from smartmoney.learning.evaluation.evaluate import Evaluation
from smartmoney.learning.evaluation.filter_score import GOAL, GOAL_FLOOR, FilterScore
from smartmoney.learning.evaluation.flow import FlowScore
from smartmoney.learning.evaluation.nulls import TRADES_MIN, NullScore
from smartmoney.learning.evaluation.planted import PlantedScore
from smartmoney.learning.evaluation.spoofs import SpoofScore
from smartmoney.learning.evaluation.traps import TrapScore
from smartmoney.learning.evaluation.worlds import HeadScore, RegimeScore

NET_PLUS_COST_BPS = 0.2


def misses(found: Evaluation) -> Iterator[str]:
    """Yield what stays below the skill goals."""
    for flow in found.flow:
        yield from _of_flow(flow)
    for delay in found.delays:
        yield from _of_delay(delay)
    if found.spoofs is not None:
        yield from _of_spoofs(found.spoofs)
    if found.traps is not None:
        yield from _of_traps(found.traps)
    if found.regimes is not None:
        yield from _of_regimes(found.regimes)
    for head in found.heads:
        yield from misses_of_head(head)
    for base in found.baseline:
        if not base.gain_low > 0.0 or not base.gain >= 0.005:
            yield (
                f"recordings, {base.horizon_s} s: AUC {base.gain:+.3f} over the logistic [{base.gain_low:+.3f}, "
                f"{base.gain_high:+.3f}], goal +0.005 with the interval above 0"
            )
        if base.auc < base.best_single:
            yield f"recordings, {base.horizon_s} s: AUC {base.auc:.3f} is below the best single column's {base.best_single:.3f}"
    if found.nulls is not None:
        yield from _of_nulls(found.nulls)
    if found.planted is not None:
        yield from _of_planted(found.planted)


def _of_flow(one: FlowScore) -> Iterator[str]:
    if math.isfinite(one.efficiency) and one.efficiency < 0.65:
        yield f"planted flow, {one.kind}: efficiency {one.efficiency:.2f}, goal 0.65 (better 0.85)"
    if one.auc_low > one.auc_oracle:
        yield f"planted flow, {one.kind}: AUC {one.auc:.3f} is above the oracle's {one.auc_oracle:.3f}: a leak"


def _of_delay(one: DelayScore) -> Iterator[str]:
    name = "all kinds" if one.kind == POOLED else one.kind
    if math.isinf(one.ratio):
        yield (
            f"alarm, {name}: {one.caught_share:.0%} of the targets are noticed within {one.lasts_s:.0f} s, which is too few for a median "
            f"delay; goal 1.5 times the oracle's {one.oracle_s:.0f} s (better 1.2)"
        )
    elif one.ratio > 1.5:
        yield f"alarm, {name}: the median delay is {one.ratio:.2f} times the oracle's, goal 1.5 (better 1.2)"
    if one.ratio_high < 1.0:
        yield f"alarm, {name}: sooner than the oracle's ({one.ratio:.2f} times its delay): a leak"
    if math.isfinite(one.direction) and one.direction < 0.98:
        yield f"alarm, {name}: the side is right in {one.direction:.1%} of the alarms, goal 98 %"


def _of_spoofs(one: SpoofScore) -> Iterator[str]:
    if not one.combined.pr_auc >= 0.85:
        best = one.found_by[1]
        yield (
            f"spoofs: area under precision over recall {one.combined.pr_auc:.2f} of all features together, "
            f"{best.pr_auc:.2f} of {best.name} (no knowledge: {one.base_rate:.2f}), goal 0.85 (better 0.95)"
        )


def _of_traps(one: TrapScore) -> Iterator[str]:
    best = one.warned_by[0]
    if not best.share >= 0.6:
        yield f"traps: {best.name} warns of {best.share:.0%} before 60 % of the move, at one false alarm an hour; goal 60 % (better 80 %)"


def _of_regimes(one: RegimeScore) -> Iterator[str]:
    if one.filter is None:
        yield f"regimes: macro-F1 {one.macro_f1:.2f}, absolute only: no filter was learned to compare with, or nobody knows the generator"
    elif not GOAL <= one.filter.ratio <= 1.0:
        yield _of_filter(one.filter)
    if one.scored_share < 0.70:
        yield f"regimes: {one.scored_share:.0%} of the time is far enough from a change to be scored, goal 70 %"


def _of_filter(one: FilterScore) -> str:
    if one.ratio > 1.0:
        return (
            f"regimes: macro-F1 {one.macro_f1_model:.2f} is above the {one.macro_f1:.2f} that the public filter has at least (learned from "
            f"{one.per_law} worlds of each family): the bound is loose, {GOAL_FLOOR:.2f} of it (better {GOAL:.2f}) neither met nor missed"
        )
    is_above = one.ratio >= GOAL_FLOOR
    goal = f"above {GOAL_FLOOR:.2f}, but not the better {GOAL:.2f}" if is_above else f"goal {GOAL_FLOOR:.2f} (better {GOAL:.2f})"
    return (
        f"regimes: macro-F1 {one.macro_f1_model:.2f} is at most {one.ratio:.2f} of the public filter's, which is {one.macro_f1:.2f} or "
        f"more (learned from {one.per_law} worlds of each family); {goal}"
    )


def misses_of_head(head: HeadScore) -> Iterator[str]:
    """Yield what one horizon's forecasts stay below."""
    if not head.effective > 0.0:
        return
    if math.isnan(head.quality.ece):
        yield f"calibration, {head.horizon_s} s: {TOO_FEW} the error, goal 0.03 (better 0.015)"
    elif not head.quality.ece <= 0.03:
        yield f"calibration, {head.horizon_s} s: error {head.quality.ece:.3f}, goal 0.03 (better 0.015)"
    if not 0.9 <= head.quality.slope <= 1.1:
        yield f"calibration, {head.horizon_s} s: slope {head.quality.slope:.2f}, goal 0.9 to 1.1"
    if not head.quality.skill > 0.0:
        yield f"calibration, {head.horizon_s} s: Brier skill {head.quality.skill:+.4f}, goal above 0"


def _of_nulls(one: NullScore) -> Iterator[str]:
    opened = one.opened
    if opened.trades < TRADES_MIN:
        yield f"nothing to find: {opened.trades} trades, {TRADES_MIN} are needed"
    if opened.trades and not opened.gross_low <= 0.0 <= opened.gross_high:
        yield f"nothing to find: gross {opened.gross:+.2f} bps, [{opened.gross_low:+.2f}, {opened.gross_high:+.2f}] leaves out 0"
    if opened.trades and not abs(opened.net_plus_cost) <= NET_PLUS_COST_BPS:
        yield f"nothing to find: net {opened.net:+.2f} and cost {opened.cost:.2f} come to {opened.net_plus_cost:+.2f}, goal within 0.2"
    if one.normal.net_low > 0.0:
        yield f"nothing to find: with its gates as configured it earns {one.normal.net:+.2f} bps a trade there, the interval above 0"
    if not 0.40 <= one.pbo_mean <= 0.60:
        yield f"nothing to find: mean probability of overfitting {one.pbo_mean:.2f} of {one.pbo_worlds} worlds, goal .40 to .60"


def _of_planted(one: PlantedScore) -> Iterator[str]:
    if math.isnan(one.share):
        yield f"planted worlds: the oracle itself does not earn there ({one.net_oracle:+.2f}): nothing to have a share of"
    elif one.share < 0.5:
        yield (
            f"planted worlds: net {one.net_model:+.2f} is {one.share:.0%} of the {one.net_oracle:+.2f} that the oracle of parents makes, "
            "goal 50 % (better 70 %)"
        )
    if not one.pbo_mean < 0.05:
        yield f"planted worlds: mean probability of overfitting {one.pbo_mean:.2f} of {one.pbo_worlds} worlds, goal below .05"
