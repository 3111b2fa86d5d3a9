"""An evaluation as text."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from smartmoney.learning.calibration_error import in_words
from smartmoney.learning.evaluation.against import Compared
from smartmoney.learning.evaluation.baseline import BaselineScore
from smartmoney.learning.evaluation.delay import POOLED, DelayScore
from smartmoney.learning.evaluation.evaluate import Evaluation
from smartmoney.learning.evaluation.filter_score import FilterScore
from smartmoney.learning.evaluation.flow import ORACLE_AUC, FlowScore, with_efficiency
from smartmoney.learning.evaluation.misses import misses
from smartmoney.learning.evaluation.nulls import NullScore
from smartmoney.learning.evaluation.passed_by import WAYS
from smartmoney.learning.evaluation.planted import PlantedScore
from smartmoney.learning.evaluation.trades import TradeSums
from smartmoney.learning.evaluation.worlds import HeadScore, RegimeScore


def say(scores: Evaluation) -> None:
    """Print an evaluation."""
    print(f"{scores.name}; held-out suite {scores.suite!r}, run {scores.holdout_runs} of this store")
    for line in _lines(scores):
        print(f"  {line}")


def say_both(compared: Compared) -> None:
    """Print the first bundle's evaluation, then what it differs by from the other on the same worlds."""
    say(compared.first)
    print(f"{compared.first.name} against {compared.other.name}, on the same worlds; * where 0 is left out:")
    for one in compared.differences:
        first, other, gap = one.first.value, one.other.value, one.difference
        interval = "" if math.isnan(gap.low) else f" [{gap.low:+.3f}, {gap.high:+.3f}]"
        mark = " *" if one.is_told_apart else ""
        print(f"  {one.part + ', ' + one.name:62} {first:8.3f} {other:8.3f}  {gap.value:+.3f}{interval}{mark}")


def _lines(scores: Evaluation) -> Iterator[str]:
    for one in scores.flow:
        yield (
            f"planted flow, {one.kind:9} AUC {one.auc:.3f} [{one.auc_low:.3f}, {one.auc_high:.3f}], oracle {one.auc_oracle:.3f}, "
            f"efficiency {one.efficiency:.2f} [{one.efficiency_low:.2f}, {one.efficiency_high:.2f}], side {one.direction:.1%}"
        )
    if scores.flow:
        yield _mean_flow(scores.flow)
    for delay in scores.delays:
        yield _delay(delay)
    if scores.spoofs is not None:
        best = ", ".join(f"{one.name} {one.pr_auc:.2f} [{one.low:.2f}, {one.high:.2f}]" for one in scores.spoofs.found_by[:4])
        yield f"spoofs, area under precision over recall ({scores.spoofs.base_rate:.2f} without knowledge): {best}"
    if scores.traps is not None:
        warned = ", ".join(f"{one.name} {one.share:.0%} ({one.false_per_hour:.1f} false/h)" for one in scores.traps.warned_by)
        yield f"traps warned of before 60 % of the move (which takes {scores.traps.median_s:.0f} s), of {scores.traps.events}: {warned}"
    if scores.regimes is not None:
        yield from _regimes(scores.regimes)
    for head in scores.heads:
        yield from _head(head)
    for point in scores.curve:
        skill = f"refused: {point.refused}" if point.refused else f"macro F1 {point.macro_f1:.3f}, AUC {point.auc:.3f}"
        yield f"learned anew from {point.worlds} worlds: {skill}"
    for base in scores.baseline:
        yield from _recordings(base)
    if scores.nulls is not None:
        yield from _nulls(scores.nulls)
    if scores.planted is not None:
        yield from _planted(scores.planted)
    for miss in misses(scores):
        yield f"missed: {miss}"


def _mean_flow(flow: Sequence[FlowScore]) -> str:
    """Say what the table's means are of: AUCs of every kind, efficiency of those that the oracle leaves something of."""
    count, efficient = len(flow), with_efficiency(flow)
    low, high = ORACLE_AUC
    auc, oracle = (sum(getattr(one, name) for one in flow) / count for name in ("auc", "auc_oracle"))
    mean = f"{sum(one.efficiency for one in efficient) / len(efficient):.2f}" if efficient else "unknown"
    return (
        f"planted flow, means: AUC {auc:.3f} and oracle {oracle:.3f} of {'all ' if count > 1 else ''}{count}; efficiency {mean} of the "
        f"{len(efficient)} whose oracle has an AUC of {low:.2f} to {high:.2f}"
        + (f" ({', '.join(one.kind for one in efficient)})" if efficient else "")
    )


def _head(head: HeadScore) -> Iterator[str]:
    quality = head.quality
    if not head.effective > 0.0:
        yield f"{head.horizon_s:5d} s: not scored, the worlds are too short for it"
        return
    yield (
        f"{head.horizon_s:5d} s: AUC {head.auc:.3f}, error {in_words(quality.ece, quality.ece_low, quality.ece_high)}, "
        f"slope {quality.slope:.2f}, intercept {quality.intercept:+.2f}, Brier skill {quality.skill:+.4f}, "
        f"{head.effective:.0f} independent"
    )
    for name, one in head.by_regime.items():
        error = in_words(one.ece, one.ece_low, one.ece_high)
        yield f"         while {name}: error {error}, Brier {one.brier:.4f}, slope {one.slope:.2f}, {one.effective:.0f} independent"
    if head.unseen is not None and head.unseen.effective > 0.0:
        unseen = head.unseen.quality
        yield (
            f"         of {head.unseen.name}: AUC {head.unseen.auc:.3f}, slope {unseen.slope:.2f}, "
            f"Brier skill {unseen.skill:+.4f}, {head.unseen.effective:.0f} independent"
        )


def _recordings(base: BaselineScore) -> Iterator[str]:
    yield (
        f"recordings, {base.horizon_s} s: AUC {base.auc:.3f}, logistic {base.auc_logistic:.3f}, gain {base.gain:+.3f} "
        f"[{base.gain_low:+.3f}, {base.gain_high:+.3f}], best of its columns {base.best_single:.3f}; log-loss of fell, stood, rose "
        f"{base.three:.4f}, logistic {base.three_logistic:.4f}, base rates {base.three_base:.4f}"
    )
    for one in base.recordings:
        yield (
            f"  {one.name} ({60 * one.hours:.0f} min): AUC {one.auc:.3f}, logistic {one.auc_logistic:.3f}, {one.effective:.0f} independent"
            + ("" if one.is_grown else "; too few for our learner, which grew nothing")
        )


def _delay(one: DelayScore) -> str:
    name = "all kinds" if one.kind == POOLED else one.kind
    ratio = "endless" if math.isinf(one.ratio) else f"{one.ratio:.2f}"
    return (
        f"alarm, {name:9} {ratio} times the oracle's delay [{one.ratio_low:.2f}, {one.ratio_high:.2f}]: median {one.median_s:.0f} s, "
        f"oracle {one.oracle_s:.0f} s; noticed {one.caught_share:.0%}, oracle {one.oracle_caught_share:.0%} of {one.worlds}; "
        f"side {one.direction:.1%}; one false alarm per 24 h on {one.quiet_hours} quiet hours"
    )


def _regimes(regimes: RegimeScore) -> Iterator[str]:
    yield (f"regimes: macro F1 {regimes.macro_f1:.3f} [{regimes.macro_f1_low:.3f}, {regimes.macro_f1_high:.3f}] on {regimes.worlds} worlds")
    yield _pairs("  by regime", regimes.f1)
    yield _pairs("  by family", regimes.by_family)
    if regimes.filter is not None:
        yield from _filter(regimes.filter)


def _filter(one: FilterScore) -> Iterator[str]:
    interval = "" if math.isnan(one.ratio_low) else f" [{one.ratio_low:.2f}, {one.ratio_high:.2f}]"
    of = f" on the {one.worlds} worlds that have one" if one.left_out else ""
    yield (
        f"  a filter learned from {one.per_law} worlds of each family{of}: macro F1 {one.macro_f1:.3f}, a lower bound of the exact public "
        f"filter's{_rise(one)}; the model has {one.ratio:.2f}{interval} of it, an upper bound of its share"
    )
    yield _pairs("    the filter by regime", one.f1)
    shares = ", ".join(f"{name} {each.model:.2f} of {each.filter:.2f} ({each.ratio:.2f})" for name, each in one.by_family.items())
    yield f"    model of filter by family: {shares}"
    if one.loose:
        yield f"    the model is above the filter in {', '.join(one.loose)}: there the bound is loose"


def _rise(one: FilterScore) -> str:
    return "" if math.isnan(one.macro_f1_half) else f" ({one.macro_f1_half:.3f} had it learned from half as many)"


def _nulls(nulls: NullScore) -> Iterator[str]:
    yield (
        f"nothing to find: gates forced open, {_trades(nulls.opened)}; net and cost together {nulls.opened.net_plus_cost:+.2f}, "
        f"unexplained {nulls.opened.unexplained:+.3f}; overfitting {nulls.pbo_mean:.2f} of {nulls.pbo_worlds} worlds"
    )
    yield f"  gates as configured: {_normal(nulls.normal)}"


def _planted(planted: PlantedScore) -> Iterator[str]:
    share = "nothing to have a share of" if math.isnan(planted.share) else f"share {planted.share:.0%}"
    yield (
        f"planted worlds: net of the model {planted.net_model:+.2f}, of the oracle of parents {planted.net_oracle:+.2f}: {share} "
        f"[{planted.share_low:.2f}, {planted.share_high:.2f}]; overfitting {planted.pbo_mean:.2f} of {planted.pbo_worlds} worlds"
    )
    yield f"  the model, gates as configured: {_normal(planted.model)}"
    yield f"  the oracle, the same gates: {_normal(planted.oracle)}"
    yield from _passed_by(planted)
    opened = planted.opened
    if opened.trades:
        at_costs = ", ".join(f"x{times} {opened.net_at(times):+.2f}" for times in (0, 1, 2))
        yield (
            f"  the model, gates forced open: {_trades(opened)}; net at costs {at_costs}; "
            f"break-even fee {opened.break_even_fee:+.2f} bps a fill"
        )


def _passed_by(planted: PlantedScore) -> Iterator[str]:
    if not planted.ways:
        return
    yield "  what became of the oracle's trades; net of the oracle, of the model:"
    for one in planted.ways:
        more = ""
        if one.held > 0.0:
            more = f"; held for {one.held:.0%} of their time, in which the oracle made {one.net_held:+.2f}, at {one.size:.2f} of its size"
        yield f"    {one.trades:4d} {WAYS[one.way]}: {one.net_oracle:+.2f}, {one.net_model:+.2f}{more}"
    model, oracle = planted.beside
    yield f"         while the oracle held nothing: {oracle:+.2f}, {model:+.2f}"
    if not math.isnan(planted.share_at_size):
        yield (
            f"  at the oracle's size throughout its share would be {planted.share_at_size:.0%} "
            f"[{planted.share_at_size_low:.2f}, {planted.share_at_size_high:.2f}]"
        )


def _trades(sums: TradeSums) -> str:
    if not sums.trades:
        return "no trade"
    return (
        f"{sums.trades} trades, gross {sums.gross:+.2f} bps [{sums.gross_low:+.2f}, {sums.gross_high:+.2f}], "
        f"net {sums.net:+.2f} at a cost of {sums.cost:.2f} (spread {sums.spread:.2f}, impact {sums.impact:.2f}, fee {sums.fee:.2f})"
    )


def _normal(sums: TradeSums) -> str:
    net = f", net {sums.net:+.2f} bps [{sums.net_low:+.2f}, {sums.net_high:+.2f}] each" if sums.trades else ""
    return f"{sums.trades} trades, {sums.per_day:.1f} a day{net}"


def _pairs(title: str, values: dict[str, Any]) -> str:
    return f"{title}: " + ", ".join(f"{name} {value:.2f}" for name, value in values.items())
