"""Drawings of an evaluation: regimes over the price, reliability, importance, learning curve, alarms, costs.

Invariants: what is told by colour is told by words or shape as well; what is empty says so.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from smartmoney.learning.evaluation.curve import CurvePoint
from smartmoney.learning.evaluation.delay import DelayScore
from smartmoney.learning.evaluation.importance import Worth
from smartmoney.learning.evaluation.ribbons import Ribbon
from smartmoney.learning.evaluation.trades import TradeSums
from smartmoney.learning.evaluation.worlds import HeadScore
from smartmoney.reports.drawing import Picture, drawn, say_nothing, style
from smartmoney.reports.palette import LIGHT

_FAINT, _BLUE, _RED = (LIGHT[name] for name in ("faint", "blue", "red"))
_LINES = ("blue", "red", "trending", "volatile", "delay")
_MARKS = "osD^v"
_EMPTY_IN = 0.8
_TOP = 15
_COSTS_MOST = 2.5


def draw_ribbon(one: Ribbon) -> Picture:
    """Draw a world's price and two ribbons below it: the regimes of truth, and those that were told."""

    def paint(figure: Figure, is_narrow: bool) -> None:
        price, truth, told = figure.subplots(3, 1, sharex=True, height_ratios=(10, 1, 1))
        minutes = np.asarray(one.seconds, float) / 60.0
        price.plot(minutes, [math.nan if value is None else value for value in one.price], color=_FAINT, linewidth=0.9)
        style(price, "mid, in ticks")
        price.ticklabel_format(axis="y", useOffset=False, style="plain")
        for axes, name, labels in ((truth, "truth", one.truth), (told, "told", one.told)):
            _strip(axes, minutes, labels)
            style(axes)
            axes.grid(visible=False)
            axes.set_yticks([0.5], [name], fontsize=8)
            axes.set_ylim(0.0, 1.0)
        told.set_xlim(minutes[0], minutes[-1])
        told.set_xlabel("minutes", fontsize=8, color=_FAINT)
        del is_narrow

    return drawn(paint, 3.4, 3.2)


def draw_reliability(heads: Sequence[HeadScore]) -> Picture:
    """Draw how often the mid rose against the probability that was said, a line a horizon."""
    shown = [head for head in heads if head.quality.bins]

    def paint(figure: Figure, is_narrow: bool) -> None:
        if not shown:
            say_nothing(figure, "no forecast was scored")
            return
        axes = figure.subplots()
        axes.plot((0, 1), (0, 1), color=_FAINT, linewidth=0.8, linestyle=(0, (4, 3)))
        for number, head in enumerate(shown):
            said, came = [one[0] for one in head.quality.bins], [one[1] for one in head.quality.bins]
            k = number % len(_LINES)
            axes.plot(said, came, marker=_MARKS[k], markersize=4, linewidth=1.0, color=LIGHT[_LINES[k]], label=f"{head.horizon_s} s")
        axes.set_xlim(0.15, 0.85)
        axes.set_ylim(0.0, 1.0)
        axes.set_xlabel("probability of up that was said", fontsize=8, color=_FAINT)
        style(axes, "share that went up; dashed: as good as it says")
        _legend(axes, 2 if is_narrow else 1)

    return drawn(paint, *((3.6, 3.4) if shown else (_EMPTY_IN, _EMPTY_IN)))


def draw_gains(importance: Mapping[str, float]) -> Picture:
    """Draw each column's share of the gain in training, the largest first."""
    total = sum(importance.values()) or 1.0
    top = sorted(importance.items(), key=lambda item: -item[1])[:_TOP]

    def paint(figure: Figure, is_narrow: bool) -> None:
        if not top:
            say_nothing(figure, "the bundle does not say what its trees gained by")
            return
        axes = figure.subplots()
        values = [100.0 * gain / total for _, gain in top]
        axes.barh(range(len(top)), values, height=0.62, color=_BLUE)
        _name_rows(axes, [name for name, _ in top])
        style(axes, "% of all gain")
        _upright(axes)
        del is_narrow

    return drawn(paint, _rows_in(len(top)))


def draw_worth(importance: Sequence[Worth]) -> Picture:
    """Draw what each feature saves on held-out worlds, in thousandths of a nat: of the regime (bar above), of the forecast (below)."""
    top = importance[:_TOP]

    def paint(figure: Figure, is_narrow: bool) -> None:
        if not top:
            say_nothing(figure, "not measured: no held-out worlds with truth")
            return
        axes = figure.subplots()
        rows = np.arange(len(top))
        axes.barh(rows - 0.2, [1e3 * one.regime for one in top], height=0.36, color=LIGHT["volatile"], label="regime (upper bar)")
        axes.barh(rows + 0.2, [1e3 * one.forecast for one in top], height=0.36, color=_BLUE, label="side at the shortest horizon (lower)")
        axes.axvline(0.0, color=_FAINT, linewidth=0.7)
        _name_rows(axes, [one.feature for one in top])
        style(axes, "log-loss saved, thousandths of a nat")
        _upright(axes)
        _legend_below(figure, 1 if is_narrow else 2)

    return drawn(paint, _rows_in(len(top)) if top else _EMPTY_IN)


def draw_curve(curve: Sequence[CurvePoint]) -> Picture:
    """Draw skill on held-out worlds against the number of worlds that were learned from."""

    def paint(figure: Figure, is_narrow: bool) -> None:
        if len(known) < 2:
            say_nothing(figure, "not measured: ask with --curve" if not is_narrow else "not measured: --curve")
            return
        axes = figure.subplots()
        counts = [one.worlds for one in known]
        for number, (name, values) in enumerate(
            (("macro-F1 of regimes", [one.macro_f1 for one in known]), ("AUC of the side, shortest horizon", [one.auc for one in known]))
        ):
            axes.plot(counts, values, marker=_MARKS[number], markersize=5, linewidth=1.2, color=LIGHT[_LINES[number]], label=name)
        axes.set_xscale("log", base=2)
        axes.set_xticks(counts, [str(count) for count in counts])
        axes.minorticks_off()
        axes.set_xlabel("worlds learned from", fontsize=8, color=_FAINT)
        axes.set_ylim(0.0, 1.0)
        style(axes, "skill on held-out worlds, raw")
        _legend(axes, 1, "lower right")

    known = [one for one in curve if not one.refused]
    return drawn(paint, *((2.8, 2.8) if len(known) > 1 else (_EMPTY_IN, _EMPTY_IN)))


def draw_delays(delays: Sequence[DelayScore]) -> Picture:
    """Draw median delays of the model's and the oracle's alarms by kind; an endless one is drawn to the edge and called so."""

    def paint(figure: Figure, is_narrow: bool) -> None:
        if not delays:
            say_nothing(figure, "no alarm was timed")
            return
        axes = figure.subplots()
        edge = max(one.lasts_s for one in delays)
        for row, one in enumerate(delays):
            for offset, value, colour, name in ((-0.2, one.oracle_s, _FAINT, "oracle"), (0.2, one.median_s, _BLUE, "model")):
                is_endless = not math.isfinite(value)
                axes.barh(row + offset, min(value, edge), height=0.34, color=colour, alpha=0.35 if is_endless else 1.0)
                words = f"{name}: too few noticed" if is_endless else f"{name} {value:.0f} s"
                at = 0.0 if is_endless else value
                axes.annotate(words, (at, row + offset), (6, 0), textcoords="offset points", va="center", fontsize=7.5, color=LIGHT["ink"])
        axes.set_xlim(0.0, edge * (1.25 if is_narrow else 1.1))
        _name_rows(axes, [one.kind for one in delays])
        style(axes, "median delay of the alarm, seconds")
        _upright(axes)

    return drawn(paint, 0.7 + 0.6 * max(len(delays), 1) if delays else _EMPTY_IN)


def draw_cost_sensitivity(sums: Mapping[str, TradeSums]) -> Picture:
    """Draw net a trade against how many times the costs are charged; where a line meets zero is what its trades could pay."""
    shown = {name: one for name, one in sums.items() if one.trades}

    def paint(figure: Figure, is_narrow: bool) -> None:
        if not shown:
            say_nothing(figure, "nothing was traded")
            return
        axes = figure.subplots()
        axes.axhline(0.0, color=_FAINT, linewidth=0.8)
        for number, (name, one) in enumerate(shown.items()):
            k = number % len(_LINES)
            axes.plot(
                (0, 1, 2), [one.net_at(times) for times in (0, 1, 2)], marker=_MARKS[k], markersize=5, color=LIGHT[_LINES[k]], label=name
            )
        axes.set_xticks((0, 1, 2), ("no costs", "as charged", "twice"), fontsize=8)
        axes.set_xlim(-0.2, _COSTS_MOST)
        style(axes, "net a trade, bps")
        _legend_below(figure, 1 if is_narrow else 3)

    return drawn(paint, *((3.2, 3.9) if shown else (_EMPTY_IN, _EMPTY_IN)))


def _strip(axes: Axes, minutes: np.ndarray[tuple[int], np.dtype[np.float64]], labels: Sequence[str]) -> None:
    """Draw a ribbon; a regime goes until the next one begins."""
    starts = [0, *(k for k in range(1, len(labels)) if labels[k] != labels[k - 1]), len(labels) - 1]
    by_regime: dict[str, list[tuple[float, float]]] = {}
    for first, last in pairwise(starts):
        by_regime.setdefault(labels[first], []).append((minutes[first], minutes[last] - minutes[first]))
    for regime, spans in by_regime.items():
        axes.broken_barh(spans, (0.05, 0.9), color=LIGHT.get(regime, _FAINT), linewidth=0)


def _name_rows(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), names, fontsize=7.5)
    axes.set_ylim(len(names) - 0.4, -0.6)


def _upright(axes: Axes) -> None:
    axes.grid(visible=False, axis="y")
    axes.grid(axis="x", color=LIGHT["line"], linewidth=0.6)


def _rows_in(count: int) -> float:
    return 0.7 + 0.24 * max(count, 1)


def _legend_below(figure: Figure, columns: int) -> None:
    """Put the legend below the axes, where no line and no bar can be."""
    legend = figure.legend(fontsize=7.5, frameon=False, loc="outside lower left", ncols=columns)
    for text in legend.get_texts():
        text.set_color(LIGHT["ink"])


def _legend(axes: Axes, columns: int, where: Literal["upper left", "lower right"] = "upper left") -> None:
    legend = axes.legend(fontsize=7.5, frameon=False, loc=where, ncols=columns)
    for text in legend.get_texts():
        text.set_color(LIGHT["ink"])
