"""The card of a bundle, in plain words: what it was made of, what was measured, what it does not know."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from smartmoney.core.domain.instruments import BUILT_IN_VENUE
from smartmoney.core.models.bundle import Bundle
from smartmoney.learning.calibration_error import TOO_FEW, in_words
from smartmoney.learning.fitting.stages import LABELS_MIN

if TYPE_CHECKING:
    from smartmoney.learning.trainer import HeadReport, TrainingReport

DISPLAY_ONLY = "the horizons that can be traded could not be learned, and the other is for display, so such a model never opens a position"
_TOP = 12


def card_of(bundle: Bundle, report: "TrainingReport") -> str:
    """Return the card as Markdown."""
    return "\n".join(_lines(bundle, report)) + "\n"


def _lines(bundle: Bundle, report: "TrainingReport") -> Iterator[str]:
    trained = bundle.spec.trained
    yield f"# Model `{bundle.name}`"
    yield ""
    if trained.venue == BUILT_IN_VENUE:
        yield (
            f"Trained on the built-in synthetic market: {report.sources} simulated worlds, {report.rows / 3600:.0f} hours of seconds. "
            "**It proves nothing about a real market**, and live mode refuses it. It is a demonstration, and the state of knowledge from "
            "which a model of real data starts."
        )
    else:
        yield (
            f"Trained on recordings of {trained.venue} {trained.market}, {', '.join(trained.instruments)}: {report.rows / 3600:.1f} hours "
            "of seconds. Nobody knows the true regimes of a real market: classifier and detector are the champion's, which learned them on "
            "the synthetic market; only the hidden Markov stage (where the data allowed it) and the heads learned from these recordings."
        )
    yield ""
    if report.note:
        yield f"Other than configured: {report.note}."
        yield ""
    yield "## How it was measured"
    yield ""
    by = "families of worlds that the fold had not seen" if report.has_truth else "time after everything that the fold had learned from"
    judges = "`smartmoney evaluate` judges it on fresh worlds" if report.has_truth else "`smartmoney models gate` judges it on later days"
    yield (
        f"All numbers are out of fold: {report.folds} folds, each tested on {by}, with scales, states, columns and forests fitted inside "
        f"the fold. They are of the folds' models; the bundle itself is fitted on everything, and {judges}."
    )
    yield ""
    if report.has_truth:
        yield (
            "Calibration is another matter: classifier and detector are calibrated on folds that leave out worlds of every family, since "
            "the bundle has learned from every family. Of what heads are calibrated on, "
            f"{report.unseen_share:.0%} of the weight is of families that the fold had not seen, since a real market is such a one. There "
            "confidence is still too high, and in known families too low: the slopes below say by how much."
        )
        yield ""
    yield from _regimes(report)
    yield from _heads(bundle, report)
    yield from _paths(report)
    yield from _checks(report)
    yield "## What it does not know"
    yield ""
    yield "* Costs differ by account: the gate subtracts yours. A forecast that beats chance may still be worth less than a round trip."
    yield "* Probabilities were calibrated on the rows above. Another market has other base rates: watch the calibration monitor."
    yield "* It reads one instrument's book and trades. News, other venues, funding and the time of day are not in it."
    if trained.venue == BUILT_IN_VENUE:
        yield "* What the synthetic market lacks (docs/market.md says what) the model has never seen."


def _regimes(report: "TrainingReport") -> Iterator[str]:
    yield "## Regimes and informed flow"
    yield ""
    yield f"Hidden Markov stage: {report.stage}; naming margin {_shown(report.naming_margin)}."
    yield ""
    if not report.has_truth:
        yield "Not measurable here: there is no truth."
        yield ""
        yield _readers(report)
        yield ""
        return
    yield "| regime | F1 |"
    yield "|---|---|"
    for name, value in report.regime_f1.items():
        yield f"| {name} | {value:.2f} |"
    yield ""
    yield (
        f"Macro F1 {report.macro_f1:.2f} (the filter alone: {report.filter_macro_f1:.2f}; 1 would be knowing what is hidden, which the "
        f"public feed does not allow). Log-loss {report.regime_log_loss:.2f} nats against {report.base_log_loss:.2f} of the base rates. "
        f"Calibration error of the likeliest regime: {_error(report.regime_ece)}."
    )
    yield ""
    yield (
        f"Detector of informed buying or selling: AUC {report.detector_auc:.3f}, calibration error: {_error(report.detector_ece)}; among "
        f"its surest twentieth, the side is right in {report.detector_direction:.0%} of the cases in which there is one."
    )
    yield ""
    yield _readers(report)
    yield ""


def _readers(report: "TrainingReport") -> str:
    """Say which forests read the detector, and what it is to them."""
    if not report.flow_gain:
        return "No forest that was grown here reads the detector."
    whose = "the champion's detector" if not report.has_truth else "the detector"
    shares = ", ".join(f"{name} {share:.1%}" for name, share in report.flow_gain.items())
    seen = "" if not report.has_truth else " They learned from what detectors said of worlds that those had not seen."
    return f"Classifier and heads may read {whose} (`flow:buying`, `flow:selling`); its share of each one's gain: {shares}.{seen}"


def left_out(head: "HeadReport", folds: int) -> str:
    """Say which folds were too small for a head, and on how much it is calibrated instead."""
    which = "; ".join(f"fold {number}: {why}" for number, why in head.left_out.items())
    return (
        f"{len(head.left_out)} of {folds} folds could not be fitted and are left out ({which}), so {head.effective:.1f} of "
        f"{head.whole:.1f} independent labels are out of fold, which it is calibrated on (no fewer than {LABELS_MIN:.0f} are allowed)"
    )


def _heads(bundle: Bundle, report: "TrainingReport") -> Iterator[str]:
    yield "## Forecasts"
    yield ""
    yield "| horizon | AUC | independent labels | calibration error [95 %] | slope | Brier skill | scale of returns | calibration |"
    yield "|---|---|---|---|---|---|---|---|"
    for one in report.heads:
        yield (
            f"| {one.horizon_s} s | {one.auc:.3f} | {one.effective:.0f} | {in_words(one.ece, one.ece_low, one.ece_high)} | "
            f"{_shown(one.slope)} | {one.skill:+.3f} | {one.return_scale:.2f} | {one.calibration} |"
        )
    yield ""
    if not any(one.tradable for one in bundle.spec.heads):
        yield f"**None of these can be traded**: {DISPLAY_ONLY}."
        yield ""
    for one in report.heads:
        if one.left_out:
            yield f"{one.horizon_s} s: {left_out(one, report.folds)}."
            yield ""
    fresh = [
        f"{one.horizon_s} s: AUC {one.fresh_auc:.3f}, slope {_shown(one.fresh_slope)}"
        for one in report.heads
        if one.fresh_auc is not None and one.fresh_slope is not None
    ]
    if fresh:
        yield f"On fresh worlds of families that the fold had seen: {'; '.join(fresh)}."
        yield ""
    yield from _by_regime(report)
    trees = ", ".join(f"{name} {count}" for name, count in report.trees.items())
    yield f"Trees: {trees}. A forest ends where further trees gain next to nothing out of fold; one that knows nothing keeps a few."
    yield ""
    for horizon, why in report.skipped.items():
        yield f"No head for {horizon} s: {why}."
        yield ""
    shown = ", ".join(f"`{name}` {share:.0%}" for name, share in list(report.importance.items())[:_TOP])
    if report.still:
        names = ", ".join(f"`{name}`" for name in report.still)
        yield f"Constant or unknown in all of these rows, so that nothing was learned from them: {names}."
        yield ""
    yield f"Columns by share of all gain: {shown}. Columns that hardly matter were dropped, and the forests grown anew without them."
    yield ""


def _by_regime(report: "TrainingReport") -> Iterator[str]:
    rows = [(head.horizon_s, name, one) for head in report.heads for name, one in head.by_regime.items()]
    if not rows:
        yield "No regime holds enough independent labels to tell calibration by regime."
        yield ""
        return
    yield "Calibration in each regime (the likeliest, or for recordings the published one) that holds twenty independent labels or more:"
    yield ""
    yield "| horizon | regime | independent labels | calibration error | Brier | Brier skill | slope |"
    yield "|---|---|---|---|---|---|---|"
    for horizon, name, one in rows:
        yield (
            f"| {horizon} s | {name} | {one.effective:.0f} | {_error(one.ece)} | {_shown(one.brier)} | {_shown(one.skill)} | "
            f"{_shown(one.slope)} |"
        )
    yield ""


def _paths(report: "TrainingReport") -> Iterator[str]:
    found = report.paths
    if found is None:
        return
    if found.aucs:
        low, middle, high = found.aucs[0], found.aucs[len(found.aucs) // 2], found.aucs[-1]
        yield (
            f"Combinatorial purged cross-validation at {found.horizon_s} s, {found.splits} splits: the AUCs of its {len(found.aucs)} "
            f"histories lie between {low:.3f} and {high:.3f}, the median is {middle:.3f}. Some of its forests know what came after what "
            "they were tested on: it tells how much is luck of the stretch, the table above what to expect."
        )
    else:
        yield "Combinatorial purged cross-validation was not possible: the recording is too short for all of its splits."
    yield ""


def _checks(report: "TrainingReport") -> Iterator[str]:
    yield "## Checks for leaks"
    yield ""
    found = report.canaries
    if found is None:
        yield "Not made: there is no head."
        yield ""
        return
    yield (
        f"At {found.horizon_s} s: a planted feature of the future was found; shuffled labels gave an AUC at most "
        f"{found.shuffled_most:.3f} from one half (chance allows {found.shuffled_limit:.3f}); the future is foretold with an AUC of "
        f"{_shown(found.forward_auc)}, the past with {_shown(found.reversed_auc)}. No real column looks like the future at "
        f"{', '.join(str(horizon) for horizon in found.horizons_s)} s, neither by its level nor by what it changes with."
    )
    yield ""


def _error(value: float) -> str:
    return TOO_FEW if math.isnan(value) else f"{value:.3f}"


def _shown(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else "unknown"
