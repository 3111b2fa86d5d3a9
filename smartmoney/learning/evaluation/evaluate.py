"""The whole evaluation of a bundle as one report, and what it misses of the skill goals."""

import math
from collections.abc import Iterator, Sequence

import msgspec

from smartmoney.core.models.bundle import Bundle
from smartmoney.core.regime.parameters import RegimeParameters
from smartmoney.learning.evaluation.baseline import BaselineScore, score_baseline
from smartmoney.learning.evaluation.flow import FlowScore, score_flow
from smartmoney.learning.evaluation.nulls import TRADES_MIN, NullScore, score_nulls
from smartmoney.learning.evaluation.said import ask
from smartmoney.learning.evaluation.worlds import HeadScore, RegimeScore, score_heads, score_regimes
from smartmoney.learning.sets.rows import Rows


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """Hold every score of a bundle; a part that was not asked for is empty or None. `holdout_runs` counts how often it was held out."""

    hash: str
    name: str
    suite: str
    holdout_runs: int
    flow: tuple[FlowScore, ...]
    regimes: RegimeScore | None
    heads: tuple[HeadScore, ...]
    baseline: tuple[BaselineScore, ...]
    nulls: NullScore | None

    def summary(self) -> dict[str, object]:
        """Return the skill table in the documented form; what was not measured is None."""
        scored = [one for one in self.flow if math.isfinite(one.efficiency)]
        middle = min(self.baseline, key=lambda one: abs(one.horizon_s - 5), default=None)
        head = max(self.heads, key=lambda one: one.effective, default=None)
        return {
            "bundle": self.hash,
            "holdout_runs": self.holdout_runs,
            "planted_flow": {
                "efficiency": _mean([one.efficiency for one in scored]),
                "auc": _mean([one.auc for one in self.flow]),
                "auc_oracle": _mean([one.auc_oracle for one in self.flow]),
                "delay_ratio": _mean([one.delay_ratio for one in self.flow if math.isfinite(one.delay_ratio)]),
                "kinds": [_plain(one) for one in self.flow],
            },
            "regime": None
            if self.regimes is None
            else {
                "macro_f1": self.regimes.macro_f1,
                "macro_f1_ci": [self.regimes.macro_f1_low, self.regimes.macro_f1_high],
                "macro_f1_filter": None if math.isnan(self.regimes.macro_f1_filter) else self.regimes.macro_f1_filter,
                "f1": self.regimes.f1,
                "by_family": self.regimes.by_family,
                "scored_share": self.regimes.scored_share,
                "ece": self.regimes.quality.ece,
            },
            "calibration": None
            if head is None
            else {
                "horizon_s": head.horizon_s,
                "ece": head.quality.ece,
                "ece_ci": [head.quality.ece_low, head.quality.ece_high],
                "slope": head.quality.slope,
                "intercept": head.quality.intercept,
                "heads": [_plain(one) for one in self.heads],
            },
            "baseline": None
            if middle is None
            else {"auc": middle.auc, "auc_logistic": middle.auc_logistic, "horizons": [_plain(one) for one in self.baseline]},
            "null_worlds": None if self.nulls is None else _plain(self.nulls),
            "missed": list(misses(self)),
        }


def evaluate(
    bundle: Bundle,
    parameters: RegimeParameters,
    *,
    suite: str,
    holdout_runs: int,
    worlds: Sequence[Rows] = (),
    windows: Sequence[Rows] = (),
    nulls: Sequence[Rows] = (),
    recordings: Sequence[Rows] = (),
    fee_bps: float = 5.0,
) -> Evaluation:
    """Score a bundle on whatever is given: full worlds, oracle windows, worlds with nothing to find, recordings."""
    by_kind: dict[str, list[Rows]] = {}
    for one in windows:
        by_kind.setdefault(one.family.removeprefix("oracle_"), []).append(one)
    said = [(one, ask(bundle, one, parameters)) for one in worlds]
    return Evaluation(
        hash=bundle.hash,
        name=bundle.name,
        suite=suite,
        holdout_runs=holdout_runs,
        flow=tuple(score_flow(kind, [(one, ask(bundle, one, parameters)) for one in rows]) for kind, rows in by_kind.items()),
        regimes=score_regimes(said) if said else None,
        heads=score_heads(bundle, said) if said and bundle.spec.heads else (),
        baseline=score_baseline(recordings),
        nulls=score_nulls(bundle, [(one, ask(bundle, one, parameters)) for one in nulls], fee_bps) if nulls and bundle.spec.heads else None,
    )


def misses(found: Evaluation) -> Iterator[str]:
    """Yield what stays below the skill goals, in words; what was not measured is no miss, and is said elsewhere."""
    for one in found.flow:
        if math.isfinite(one.efficiency) and one.efficiency < 0.65:
            yield f"planted flow, {one.kind}: efficiency {one.efficiency:.2f}, goal 0.65 (better 0.85)"
        if one.auc_low > one.auc_oracle:
            yield f"planted flow, {one.kind}: AUC {one.auc:.3f} is above the oracle's {one.auc_oracle:.3f}: a leak"
        if math.isfinite(one.direction) and one.direction < 0.98:
            yield f"planted flow, {one.kind}: the side is right in {one.direction:.1%} of the alarms, goal 98 %"
    if found.regimes is not None and math.isnan(found.regimes.macro_f1_filter):
        yield f"regimes: macro-F1 {found.regimes.macro_f1:.2f}, absolute only: there is no public filter of full markets to compare with"
    if found.regimes is not None and found.regimes.scored_share < 0.70:
        yield f"regimes: {found.regimes.scored_share:.0%} of the time is far enough from a change to be scored, goal 70 %"
    for head in found.heads:
        if not head.effective > 0.0:
            continue
        if not head.quality.ece <= 0.03:
            yield f"calibration, {head.horizon_s} s: error {head.quality.ece:.3f}, goal 0.03 (better 0.015)"
        if not 0.9 <= head.quality.slope <= 1.1:
            yield f"calibration, {head.horizon_s} s: slope {head.quality.slope:.2f}, goal 0.9 to 1.1"
        if not head.quality.skill > 0.0:
            yield f"calibration, {head.horizon_s} s: Brier skill {head.quality.skill:+.4f}, goal above 0"
    for one_baseline in found.baseline:
        if not one_baseline.gain_low > 0.0 or not one_baseline.gain >= 0.005:
            yield (
                f"recordings, {one_baseline.horizon_s} s: AUC {one_baseline.gain:+.3f} over the logistic [{one_baseline.gain_low:+.3f}, "
                f"{one_baseline.gain_high:+.3f}], goal +0.005 with the interval above 0"
            )
    if found.nulls is not None:
        if not found.nulls.gross_ci_low <= 0.0 <= found.nulls.gross_ci_high:
            yield f"nothing to find: gross {found.nulls.gross:+.2f} bps, the interval leaves out 0"
        if found.nulls.trades < TRADES_MIN:
            yield f"nothing to find: {found.nulls.trades} trades, {TRADES_MIN} are needed"
        if not 0.40 <= found.nulls.pbo_mean <= 0.60:
            yield (
                f"nothing to find: mean probability of overfitting {found.nulls.pbo_mean:.2f} of {found.nulls.pbo_worlds} worlds, "
                "goal .40 to .60"
            )


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _plain(one: msgspec.Struct) -> dict[str, object]:
    """Return a struct as a mapping in which what is not a number is None."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in msgspec.to_builtins(one).items()
    }
