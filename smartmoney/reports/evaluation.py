"""An evaluation as a page: the numbers, what they miss, and pictures. Everything is in one file; nothing is fetched."""

import math
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

import msgspec

from smartmoney.core.models.bundle import Bundle
from smartmoney.learning.calibration_error import TOO_FEW
from smartmoney.learning.evaluation.against import Compared
from smartmoney.learning.evaluation.baseline import BaselineScore
from smartmoney.learning.evaluation.delay import POOLED
from smartmoney.learning.evaluation.evaluate import Evaluation
from smartmoney.learning.evaluation.filter_score import FilterScore
from smartmoney.learning.evaluation.misses import misses
from smartmoney.learning.evaluation.passed_by import WAYS
from smartmoney.learning.evaluation.planted import PlantedScore
from smartmoney.learning.evaluation.summary import summary_of, summary_of_both
from smartmoney.learning.evaluation.trades import TradeSums
from smartmoney.learning.evaluation.worlds import HeadScore, RegimeScore
from smartmoney.reports import evaluation_plots as plots
from smartmoney.reports.evaluation_against import against, ranged, said
from smartmoney.reports.page import bullets, figure, page, paragraph, swatch, table, tiles
from smartmoney.reports.palette import REGIMES

_FOUND_BY = 8


def write_evaluation(found: Evaluation | Compared, bundle: Bundle, folder: Path) -> list[Path]:
    """Write evaluation.json and evaluation.html of a bundle, or of it and another, to a folder, made if need be, and return both.

    Raises:
        OSError: they cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    summary, scores = (summary_of_both(found), found.first) if isinstance(found, Compared) else (summary_of(found), found)
    told = folder / "evaluation.json"
    told.write_bytes(msgspec.json.format(msgspec.json.encode(summary), indent=2) + b"\n")
    written = folder / "evaluation.html"
    compared = found if isinstance(found, Compared) else None
    written.write_text(page(f"smartmoney: evaluation of {scores.name}", _parts(scores, bundle, compared)), encoding="utf-8")
    return [told, written]


def _parts(scores: Evaluation, bundle: Bundle, compared: Compared | None) -> Iterator[str]:
    yield f"<h1>Evaluation of {escape(scores.name)}</h1>"
    yield paragraph(
        f"Held-out suite {scores.suite!r}, run {scores.holdout_runs} of this store; bundle {scores.hash[:12]}. Synthetic markets "
        "with known truth: what is good here proves nothing about yours.",
        "faint",
    )
    yield tiles(_headline(scores))
    missed = list(misses(scores))
    yield (
        '<div class="verdict">'
        + (paragraph("Below the goals:") + bullets(missed) if missed else paragraph("No goal is missed."))
        + "</div>"
    )
    if compared is not None:
        yield from against(compared)
    yield from _flow(scores)
    yield from _events(scores)
    yield from _regimes(scores)
    yield from _forecasts(scores)
    yield from _importance(scores, bundle)
    yield from _money(scores)


def _headline(scores: Evaluation) -> Iterator[tuple[str, str]]:
    efficient = [one.efficiency for one in scores.flow if math.isfinite(one.efficiency)]
    yield "efficiency against the oracle (goal .65)", said(sum(efficient) / len(efficient) if efficient else math.nan, ".2f")
    yield "times the oracle's delay (goal 1.5)", said(scores.delay.ratio if scores.delay else math.nan, ".2f")
    yield "macro-F1 of regimes", said(scores.regimes.macro_f1 if scores.regimes else math.nan, ".2f")
    beside = scores.regimes.filter if scores.regimes else None
    yield "of the public filter's macro-F1, at most (goal .90)", said(beside.ratio if beside else math.nan, ".2f")
    yield "of the net that an oracle makes (goal 50 %)", said(scores.planted.share if scores.planted else math.nan, ".0%")


def _flow(scores: Evaluation) -> Iterator[str]:
    if not scores.flow and not scores.delays:
        return
    yield "<h2>Planted flow</h2>"
    yield paragraph(
        "The detector against the exact public filter: who was there a target in, and how soon does an alarm say so, both at one "
        "false alarm per day among uninformed splitters."
    )
    heads = {"kind": "text", "AUC": "", "95 %": "", "oracle": "", "efficiency": "", "side right": ""}
    yield table(
        heads,
        [
            (escape(one.kind), said(one.auc, ".3f"), ranged(one.auc_low, one.auc_high, ".2f"), said(one.auc_oracle, ".3f"),
             said(one.efficiency, ".2f"), said(one.direction, ".0%"))
            for one in scores.flow
        ],
    )  # fmt: skip
    if not scores.delays:
        return
    yield figure(
        plots.draw_delays([one for one in scores.delays if one.kind != POOLED]), "median delay of alarms, model and oracle, by kind"
    )
    heads = {"kind": "text", "ratio of delays": "", "95 %": "", "noticed": "", "oracle noticed": "", "side right": "", "targets": ""}
    yield table(
        heads,
        [
            (escape(one.kind), said(one.ratio, ".2f"), ranged(one.ratio_low, one.ratio_high, ".2f"), said(one.caught_share, ".0%"),
             said(one.oracle_caught_share, ".0%"), said(one.direction, ".0%"), str(one.worlds))
            for one in scores.delays
        ],
    )  # fmt: skip


def _events(scores: Evaluation) -> Iterator[str]:
    if scores.spoofs is not None:
        yield "<h2>Spoofers</h2>"
        yield paragraph(
            "Seconds in which a spoofer's wall stands, found by features alone and by all together (a regression fitted on other worlds): "
            f"the area under precision over recall. Without any knowledge it is {scores.spoofs.base_rate:.2f}; the goal is .85."
        )
        yield table(
            {"score": "text", "area": "", "95 %": ""},
            [(escape(one.name), said(one.pr_auc, ".2f"), ranged(one.low, one.high, ".2f")) for one in scores.spoofs.found_by[:_FOUND_BY]],
        )
    if scores.traps is not None:
        yield "<h2>Traps</h2>"
        yield paragraph(
            f"{scores.traps.events} traps; 60 % of the move are done after {scores.traps.median_s:.0f} s (median). Warned before that, "
            "at one false alarm an hour; the regime's label has no threshold, so its false alarms are what they are. The goal is 60 %."
        )
        yield table(
            {"warning": "text", "warned in time": "", "false an hour": ""},
            [(escape(one.name), said(one.share, ".0%"), said(one.false_per_hour, ".1f")) for one in scores.traps.warned_by],
        )


def _regimes(scores: Evaluation) -> Iterator[str]:
    if scores.regimes is None:
        return
    yield "<h2>Regimes</h2>"
    if scores.regimes.filter is not None:
        yield paragraph(_bound(scores.regimes.filter))
    yield from _regime_tables(scores.regimes)
    if scores.ribbons:
        yield f'<p class="faint">{" &nbsp; ".join(swatch(name, name) for name in REGIMES)}</p>'
    for one in scores.ribbons:
        yield f"<h3>{escape(one.world)}</h3>"
        yield figure(plots.draw_ribbon(one), f"price of {one.world}, with the regimes of truth and those told")


def _bound(one: FilterScore) -> str:
    loose = f" It is above it in {', '.join(one.loose)}: there the bound is loose." if one.loose else ""
    half = "" if math.isnan(one.macro_f1_half) else f" ({said(one.macro_f1_half, '.2f')} had it learned from half as many)"
    return (
        f"Beside it a filter for each family, learned from {one.per_law} fresh worlds of each: on {one.worlds} worlds it "
        f"has a macro-F1 of {said(one.macro_f1, '.2f')}{half}, a lower bound of the exact public filter's, which knows the generator. "
        f"The model has {said(one.ratio, '.2f')} ({ranged(one.ratio_low, one.ratio_high, '.2f')}) of it, an upper bound of its share; the "
        f"goal is .90, better .95.{loose}"
    )


def _regime_tables(regimes: RegimeScore) -> Iterator[str]:
    beside = regimes.filter
    if beside is None:
        yield table({"regime": "text", "F1": ""}, [(swatch(name, name), said(value, ".2f")) for name, value in regimes.f1.items()])
        yield table({"family": "text", "macro-F1": ""}, [(escape(name), said(value, ".2f")) for name, value in regimes.by_family.items()])
        return
    yield table(
        {"regime": "text", "F1": "", "filter's": ""},
        [(swatch(name, name), said(value, ".2f"), said(beside.f1[name], ".2f")) for name, value in beside.f1_model.items()],
    )
    rows = [(name, value, beside.by_family.get(name)) for name, value in regimes.by_family.items()]
    yield table(
        {"family": "text", "macro-F1": "", "filter's, at least": "", "ratio, at most": ""},
        [
            (escape(name), said(value, ".2f"), *((said(one.filter, ".2f"), said(one.ratio, ".2f")) if one is not None else ("–", "–")))
            for name, value, one in rows
        ],
    )


def _forecasts(scores: Evaluation) -> Iterator[str]:
    if scores.heads:
        yield "<h2>Forecasts</h2>"
        yield table(
            {"horizon": "text", "AUC": "", "error": "", "95 %": "", "slope": "", "Brier skill": "", "independent": ""},
            [
                (name, said(one.auc, ".3f"), _error(one.quality.ece), ranged(one.quality.ece_low, one.quality.ece_high, ".3f"),
                 said(one.quality.slope, ".2f"), said(one.quality.skill, "+.4f"), said(one.effective, ".0f"))
                for head in scores.heads
                for name, one in ((f"{head.horizon_s} s", head), ("" if head.unseen is None else f"… {head.unseen.name}", head.unseen))
                if one is not None and (one is head or one.effective > 0.0)
            ],
        )  # fmt: skip
        yield figure(plots.draw_reliability(scores.heads), _of_reliability(scores.heads))
        yield from _by_regime(scores)
    if scores.curve:
        yield "<h2>Learning curve</h2>"
        yield paragraph("Learned anew from so many training worlds, scored raw on the held-out ones: would more worlds help?")
        yield figure(plots.draw_curve(scores.curve), "skill against the number of training worlds")
    if scores.baseline:
        yield from _recordings(scores.baseline)


def _error(value: float) -> str:
    return "too few to tell" if math.isnan(value) else said(value, ".3f")


def _of_reliability(heads: Sequence[HeadScore]) -> str:
    few = ", ".join(f"{head.horizon_s} s" for head in heads if head.quality.bins and math.isnan(head.quality.ece))
    return "reliability of forecasts on held-out worlds" + (f"; {TOO_FEW} how far off they are: {few}" if few else "")


def _by_regime(scores: Evaluation) -> Iterator[str]:
    rows = [
        (f"{head.horizon_s} s", swatch(name, name), _error(one.ece), said(one.brier, ".4f"), said(one.skill, "+.4f"),
         said(one.slope, ".2f"), said(one.intercept, "+.2f"), said(one.effective, ".0f"))
        for head in scores.heads
        for name, one in head.by_regime.items()
    ]  # fmt: skip
    if rows:
        yield paragraph("By the regime that was published when the forecast was made, where it holds twenty independent ones or more.")
        yield table(
            {"horizon": "text", "regime": "text", "error": "", "Brier": "", "skill": "", "slope": "", "intercept": "", "independent": ""},
            rows,
        )


def _recordings(found: Sequence[BaselineScore]) -> Iterator[str]:
    yield "<h2>Recordings of real markets</h2>"
    yield paragraph(
        "Our learner, and a logistic regression of queue imbalance, order flow and trade flow, both walking forward. Most recordings are "
        "minutes long. Log-losses, in nats, are of three outcomes: the mid fell, stood, rose."
    )
    yield table(
        {"horizon": "text", "AUC": "", "logistic": "", "gain": "", "95 %": "", "log-loss": "", "… logistic": "", "… base rates": ""},
        [
            (f"{one.horizon_s} s", said(one.auc, ".3f"), said(one.auc_logistic, ".3f"), said(one.gain, "+.3f"),
             ranged(one.gain_low, one.gain_high, "+.3f"), said(one.three, ".4f"), said(one.three_logistic, ".4f"),
             said(one.three_base, ".4f"))
            for one in found
        ],
    )  # fmt: skip
    yield table(
        {"recording": "text", "horizon": "text", "minutes": "", "AUC": "", "logistic": "", "independent": ""},
        [
            (escape(one.name), f"{base.horizon_s} s", said(60.0 * one.hours, ".0f"), said(one.auc, ".3f"), said(one.auc_logistic, ".3f"),
             said(one.effective, ".0f") + ("" if one.is_grown else ": nothing grew"))
            for base in found
            for one in base.recordings
        ],
    )  # fmt: skip


def _importance(scores: Evaluation, bundle: Bundle) -> Iterator[str]:
    yield "<h2>What it goes by</h2>"
    yield paragraph("By gain in training, which says what the trees used, not that it helps.")
    yield figure(plots.draw_gains(bundle.spec.importance), "share of the gain in training by column")
    if scores.importance:
        yield paragraph("By what is lost on held-out worlds when a feature tells of another time, which says what helps there.")
        yield figure(plots.draw_worth(scores.importance), "log-loss that each feature saves on held-out worlds")


def _money(scores: Evaluation) -> Iterator[str]:
    rows: dict[str, TradeSums] = {}
    if scores.planted is not None:
        rows |= {
            "edge planted, as configured": scores.planted.model,
            "edge planted, oracle of parents": scores.planted.oracle,
            "edge planted, gates forced open": scores.planted.opened,
        }
    if scores.nulls is not None:
        rows |= {"nothing to find, as configured": scores.nulls.normal, "nothing to find, gates forced open": scores.nulls.opened}
    if not rows:
        return
    yield "<h2>Trades</h2>"
    yield paragraph(
        "Through the product's own engine, gates and paper venue. Gross is what the mid did between the fills, in bps a trade; "
        "break-even is the fee of a fill at which nothing would be left."
    )
    if scores.planted is not None:
        yield paragraph(
            f"Net where an edge is planted: the model {scores.planted.net_model:+.2f}, the oracle {scores.planted.net_oracle:+.2f} "
            "(it knows side and start of every informed and mistaken parent from truth, more than anybody could). Choosing among variants "
            f"by the past overfits with probability {said(scores.planted.pbo_mean, '.2f')} (goal: below .05)."
        )
    if scores.nulls is not None:
        nulls = scores.nulls
        yield paragraph(
            f"Where there is nothing to find, net and cost together are {said(nulls.opened.net_plus_cost, '+.2f')} bps (goal: "
            f"within 0.2), and overfitting has probability {said(nulls.pbo_mean, '.2f')} (goal: about a half)."
        )
    heads = {
        "who and where": "text",
        "trades": "",
        "a day": "",
        "gross": "",
        "95 %": "",
        "cost": "",
        "net": "",
        "x2": "",
        "break-even": "",
    }
    yield table(heads, [(escape(name), *_row(one)) for name, one in rows.items()])
    if scores.planted is not None:
        yield from _passed_by(scores.planted)
    yield figure(plots.draw_cost_sensitivity(rows), "net a trade without costs, with them, and with twice as much")


def _passed_by(planted: PlantedScore) -> Iterator[str]:
    if not planted.ways:
        return
    yield paragraph(
        "What became of the oracle's trades: taken by the model, or passed by, and how far it came towards them meanwhile. Nets are in "
        "quote, of the model what its account gained meanwhile; held is for which share of their time it held their side, then what the "
        "oracle made in that, and what the model held in shares of what the oracle did. Sizes follow from confidence and regime; at the "
        f"oracle's the share of its net would be {said(planted.share_at_size, '.0%')} instead of {said(planted.share, '.0%')}."
    )
    model, oracle = planted.beside
    rows = [
        (escape(WAYS[one.way]), str(one.trades), said(one.net_oracle, "+.2f"), said(one.net_model, "+.2f"),
         *((said(one.held, ".0%"), said(one.net_held, "+.2f"), said(one.size, ".2f")) if one.held > 0.0 else ("", "", "")))
        for one in planted.ways
    ]  # fmt: skip
    heads = {"what became of them": "text", "trades": "", "oracle": "", "model": "", "held": "", "oracle then": "", "size": ""}
    yield table(heads, [*rows, ("while the oracle held nothing", "", said(oracle, "+.2f"), said(model, "+.2f"), "", "", "")])


def _row(one: TradeSums) -> tuple[str, ...]:
    return (
        str(one.trades),
        said(one.per_day, ".0f"),
        said(one.gross, "+.2f"),
        ranged(one.gross_low, one.gross_high, "+.2f"),
        said(one.cost, ".2f"),
        said(one.net, "+.2f"),
        said(one.net_at(2), "+.2f"),
        said(one.break_even_fee, "+.2f"),
    )
