"""Drawings of a run or backtest: equity, trades on the price with regimes, costs, budget, regimes, calibration, random trades.

Invariants: gains and losses, sides and regimes are told by shape or words as well as by colour; what is empty says so.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

from smartmoney.core.domain.orders import Side
from smartmoney.learning.matched_null import Null, NullTest
from smartmoney.learning.reliability import Reliability
from smartmoney.learning.resampling import Floats
from smartmoney.reports.drawing import Picture, drawn, say_nothing, style
from smartmoney.reports.findings import Budget, RegimeRow
from smartmoney.reports.palette import COSTS, LIGHT
from smartmoney.reports.wording import p_is
from smartmoney.runtime.backtest import JobResult
from smartmoney.runtime.chronicle import Chronicle, InstrumentChronicle, RoundTrip
from smartmoney.runtime.equity_curve import thinned
from smartmoney.runtime.fill_costs import CostSums

_INK, _FAINT, _LINE, _BLUE, _RED = (LIGHT[name] for name in ("ink", "faint", "line", "blue", "red"))
_NAMED_SHARE = {False: 0.12, True: 0.24}
"""A regime is named on its ribbon where it stands for this share of the width, by whether the drawing is narrow."""
_EMPTY_IN = 0.8
"""Height of a drawing that only says why it is empty."""
_DARK_TEXT, _LIGHT_TEXT = "#10100f", "#ffffff"
"""On regimes' colours that are light, or dark, in either theme."""
_LINKED_MAX = 150
"""With more trades than this their lines would hide the price."""


def draw_equity(jobs: Sequence[JobResult], quote: str) -> Picture:
    """Draw net profit over time and the drawdown below it; several stretches over each other, each from its start."""
    told = [job for job in jobs if len(job.equity) > 1]

    def paint(figure: Figure, is_narrow: bool) -> None:
        if not told:
            say_nothing(figure, "no equity was recorded")
            return
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        longest_s = max(job.equity[-1][0] - job.equity[0][0] for job in told) / 1e9
        unit, seconds = ("hours", 3600.0) if longest_s > 2 * 3600 else ("minutes", 60.0)
        for job in told:
            wall, equity = (np.asarray(column, float) for column in zip(*thinned(job.equity), strict=True))
            at = _dates(wall) if len(told) == 1 else (wall - wall[0]) / (1e9 * seconds)
            peak = np.maximum.accumulate(equity)
            above.step(at, equity - equity[0], where="post", color=_BLUE, linewidth=1.4 if len(told) == 1 else 0.9)
            below.fill_between(at, -100.0 * (peak - equity) / peak, step="post", color=_RED, alpha=0.55 / min(len(told), 3), linewidth=0)
            if len(told) <= 8 and not is_narrow:
                name = f"{equity[-1] - equity[0]:+,.2f}" + (f"  {job.name}" if len(told) > 1 else "")
                _write(above, name, (at[-1], equity[-1] - equity[0]), (4, 0))
        above.axhline(0.0, color=_FAINT, linewidth=0.7)
        style(above, f"net profit, {quote}")
        style(below, "drawdown, % of the peak")
        if len(told) == 1:
            _time_axis(below)
        else:
            below.set_xlabel(f"{unit} from the start of each stretch", fontsize=8, color=_FAINT)

    return drawn(paint, *((3.9, 3.4) if told else (_EMPTY_IN, _EMPTY_IN)))


def draw_price(chronicle: Chronicle, instrument: InstrumentChronicle) -> Picture:
    """Draw the mid, round trips on it (▲ long, ▼ short; ● gained, ○ lost), and the regimes as a ribbon below."""
    trips = [trip for trip in chronicle.trips if trip.instrument == instrument.name]

    def paint(figure: Figure, is_narrow: bool) -> None:
        if not instrument.path:
            say_nothing(figure, "no price is known for this stretch")
            return
        price, ribbon = figure.subplots(2, 1, sharex=True, height_ratios=(14, 1))
        at = _dates(np.array([when for when, _ in instrument.path], float))
        mids = np.array([np.nan if mid is None else mid for _, mid in instrument.path])
        price.plot(at, mids, color=_FAINT, linewidth=0.8)
        _draw_trips(price, trips, (at, mids), is_narrow=is_narrow)
        style(price, f"{instrument.name}, mid in {chronicle.quote}")
        price.ticklabel_format(axis="y", useOffset=False, style="plain")
        _draw_ribbon(ribbon, instrument, chronicle.end_ns, is_narrow=is_narrow)
        _time_axis(ribbon)

    return drawn(paint, *((4.2, 3.9) if instrument.path else (_EMPTY_IN, _EMPTY_IN)))


def draw_costs(costs: Mapping[str, CostSums]) -> Picture:
    """Draw what each kind of fill cost, split in four, in bps of the fill."""
    kinds = list(costs)

    def paint(figure: Figure, is_narrow: bool) -> None:
        if not kinds:
            say_nothing(figure, "nothing was filled")
            return
        axes = figure.subplots()
        for row, kind in enumerate(kinds):
            shares = costs[kind].shares()
            for offset, name in enumerate(COSTS):
                value = getattr(shares, name)
                y = row + 0.2 * (offset - 1.5)
                axes.barh(y, value, height=0.17, color=LIGHT[name])
                text = f"{name} {value:+.2f}"
                _write(axes, text, (max(value, 0.0), y), (4, 0), size=7.5)
        names = [f"{kind}\n{costs[kind].fills:,} fills" for kind in kinds]
        axes.set_yticks(range(len(kinds)), names, fontsize=8)
        axes.set_ylim(len(kinds) - 0.45, -0.55)
        style(axes, "bps of the mid at the decision, above 0 is lost")
        axes.grid(visible=False)
        axes.axvline(0.0, color=_FAINT, linewidth=0.7)
        low, high = axes.get_xlim()
        axes.set_xlim(low, high + (0.45 if is_narrow else 0.2) * (high - low))

    return drawn(paint, 0.7 + 0.95 * max(len(kinds), 1))


def draw_budget(budget: Budget | None) -> Picture:
    """Draw the way from the edge of the decisions to the net result, a step a cost, in bps of a round trip."""

    def paint(figure: Figure, is_narrow: bool) -> None:
        if budget is None:
            say_nothing(figure, "nothing was traded")
            return
        axes = figure.subplots()
        parts = (*(COSTS if budget.is_split else ("fee",)), *(("funding",) if budget.funding else ()))
        spent = [(name, getattr(budget, name)) for name in parts]
        names = ["edge at\ndecisions", *(name for name, _ in spent), "net"]
        level = budget.edge
        _bar(axes, 0, 0.0, level, _BLUE if level >= 0 else _RED, f"{level:+.2f}")
        for x, (name, cost) in enumerate(spent, 1):
            axes.plot([x - 1 + 0.32, x + 0.32], [level, level], color=_FAINT, linewidth=0.7)
            _bar(axes, x, level, -cost, LIGHT.get(name, _FAINT), f"{0.0 - round(cost, 2):+.2f}")
            level -= cost
        axes.plot([len(spent) + 0.32, len(spent) + 1.32], [level, level], color=_FAINT, linewidth=0.7)
        _bar(axes, len(spent) + 1, 0.0, level, _BLUE if level >= 0 else _RED, f"{level:+.2f}")
        axes.set_xticks(range(len(names)), names, fontsize=7 if is_narrow else 8)
        style(axes, "bps of a round trip's notional")
        axes.axhline(0.0, color=_FAINT, linewidth=0.7)
        # A bar keeps its end free of a margin, and what is written above it would meet the title.
        axes.use_sticky_edges = False
        axes.margins(y=0.16)

    return drawn(paint, _EMPTY_IN if budget is None else 3.0)


def draw_regimes(rows: Sequence[RegimeRow]) -> Picture:
    """Draw each regime's mean net result with its interval."""
    shown = [(row, row.mean_bps) for row in rows if row.mean_bps is not None]

    def paint(figure: Figure, is_narrow: bool) -> None:
        if not shown:
            say_nothing(figure, "no round trip was closed in any regime")
            return
        axes = figure.subplots()
        for y, (row, mean) in enumerate(shown):
            colour = LIGHT.get(row.regime, _INK)
            if row.low_bps is not None and row.high_bps is not None:
                axes.plot([row.low_bps, row.high_bps], [y, y], color=colour, linewidth=2.5, solid_capstyle="butt")
            axes.plot([mean], [y], "o", color=colour, markersize=7)
            words = f"{mean:+.2f}" + ("" if row.low_bps is not None else "  (too few for an interval)")
            _write(axes, words, (mean, y), (0, 8), ha="center")
        break_after = "\n" if is_narrow else ", "
        axes.set_yticks(range(len(shown)), [f"{row.regime}{break_after}{row.trips:,} trips" for row, _ in shown], fontsize=8)
        axes.set_ylim(len(shown) - 0.5, -0.6)
        style(axes, "net a round trip, bps, with 95 % interval")
        axes.grid(visible=False)
        axes.axvline(0.0, color=_FAINT, linewidth=0.7)
        axes.margins(x=0.25)

    return drawn(paint, 0.9 + 0.5 * max(len(shown), 1))


def draw_calibration(told: Reliability) -> Picture:
    """Draw the share of forecasts that came true against their confidence, with intervals and counts."""
    bins = [one for one in told.bins if one.n]

    def paint(figure: Figure, is_narrow: bool) -> None:
        del is_narrow
        if not bins:
            say_nothing(figure, "no forecast had reached its horizon")
            return
        axes = figure.subplots()
        axes.plot([0.5, 1.0], [0.5, 1.0], color=_FAINT, linewidth=0.8, linestyle=(0, (4, 3)))
        _write(axes, "on the dashed line: as good as it says", (1.01, 0.0), (0, 4), ha="right", colour=_FAINT)
        for one in bins:
            axes.plot([one.confidence] * 2, one.interval, color=_BLUE, linewidth=2.0, alpha=0.45, solid_capstyle="butt")
            _write(axes, f"n {one.n:,}", (one.confidence, one.interval[0]), (0, -9), ha="center", colour=_FAINT, size=7)
        axes.plot([one.confidence for one in bins], [one.share for one in bins], "o", color=_BLUE, markersize=6)
        axes.set_xlim(0.48, 1.02)
        axes.set_ylim(-0.08, 1.04)
        axes.set_xlabel("confidence said", fontsize=8, color=_FAINT)
        style(axes, "share that came true")

    return drawn(paint, *((3.6, 3.4) if bins else (_EMPTY_IN, _EMPTY_IN)))


def draw_null(test: NullTest | None) -> Picture:
    """Draw what random trades would have made, and what these made."""

    def paint(figure: Figure, is_narrow: bool) -> None:
        if test is None or test.same_side is None or test.any_side is None or test.observed_bps is None:
            say_nothing(figure, "no round trip on a known price path: nothing to compare")
            return
        cells = figure.subplots(*((2, 1) if is_narrow else (1, 2)), sharex=True)
        for axes, null, name in zip(np.ravel(cells), (test.same_side, test.any_side), ("same sides", "random sides"), strict=True):
            _draw_null(axes, null, test.observed_bps, f"random times, {name}: {p_is(null.p)}")
            axes.set_xlabel(
                "mean move to the trade's side, bps, before costs" if not is_narrow or null is test.any_side else "",
                fontsize=8,
                color=_FAINT,
            )

    return drawn(paint, *((2.7, 4.4) if test is not None and test.p is not None else (_EMPTY_IN, _EMPTY_IN)))


def _draw_null(axes: Axes, null: Null, observed: float, title: str) -> None:
    edges = np.asarray(null.edges_bps)
    axes.stairs(null.counts, edges, fill=True, color=LIGHT["neutral"], alpha=0.7)
    axes.axvspan(null.low_bps, null.high_bps, ymax=0.03, color=_FAINT, linewidth=0)
    axes.axvline(observed, color=_BLUE, linewidth=2.0)
    top = 1.12 * max(null.counts)
    axes.set_ylim(0, 1.1 * top)
    is_right = observed > 0.5 * (edges[0] + edges[-1])
    side = ("right", -5) if is_right else ("left", 5)
    _write(axes, f"these trades {observed:+.2f}", (observed, top), (side[1], 0), ha=side[0])
    style(axes, title)
    axes.set_yticks([])


def _draw_trips(axes: Axes, trips: Sequence[RoundTrip], path: tuple[Floats, Floats], *, is_narrow: bool) -> None:
    """Draw trades on the mid's path: the price that they paid is an average over fills, at several times."""
    times, mids = path
    known = np.isfinite(mids)

    def on_path(wall_ns: Sequence[int]) -> tuple[Floats, Floats]:
        at = _dates(np.array(wall_ns, float))
        return at, np.interp(at, times[known], mids[known])

    whole = [trip for trip in trips if trip.entry_ns]
    is_few = len(whole) <= _LINKED_MAX
    size = (6.0 if is_few else 3.5) * (0.7 if is_narrow else 1.0)
    for trip in whole if is_few else ():
        axes.plot(*on_path((trip.entry_ns, trip.exit_ns)), color=_BLUE if trip.net > 0 else _RED, linewidth=1.1)
    for side, marker in ((Side.BUY, "^"), (Side.SELL, "v")):
        mine = [trip.entry_ns for trip in whole if trip.side is side]
        axes.plot(*on_path(mine), marker, color=_INK, markersize=size, linestyle="none", markeredgewidth=0, zorder=3)
    for gained, colour in ((True, _BLUE), (False, _RED)):
        mine = [trip.exit_ns for trip in trips if (trip.net > 0) is gained]
        inside = colour if gained else "none"
        axes.plot(
            *on_path(mine), "o", color=colour, markerfacecolor=inside, markersize=size - 1, markeredgewidth=0.9, linestyle="none", zorder=3
        )


def _draw_ribbon(axes: Axes, instrument: InstrumentChronicle, end_ns: int, *, is_narrow: bool) -> None:
    style(axes)
    axes.set_yticks([])
    axes.grid(visible=False)
    axes.set_ylim(0, 1)
    if not instrument.regimes:
        axes.text(0.0, 0.5, "no regime was read", fontsize=7.5, va="center", color=_FAINT, transform=axes.transAxes)
        return
    starts = _dates(np.array([one.at_ns for one in instrument.regimes] + [end_ns], float))
    first = _dates(np.array([instrument.path[0][0]], float))[0]
    whole = starts[-1] - first
    for one, begin, end in zip(instrument.regimes, starts[:-1], starts[1:], strict=True):
        axes.axvspan(begin, end, color=LIGHT[one.label], linewidth=0)
        if end - begin > _NAMED_SHARE[is_narrow] * whole:
            ink = {"accumulation": LIGHT["on_colour"], "volatile": _LIGHT_TEXT}.get(one.label, _DARK_TEXT)
            axes.text(0.5 * (begin + end), 0.46, one.label, ha="center", va="center", fontsize=7, color=ink)


def _bar(axes: Axes, x: int, bottom: float, height: float, colour: str, words: str) -> None:
    axes.bar(x, height, bottom=bottom, width=0.64, color=colour)
    end = bottom + height
    up = height >= 0
    _write(axes, words, (x, end), (0, 3 if up else -3), ha="center", va="bottom" if up else "top")


def _write(
    axes: Axes,
    words: str,
    at: tuple[float, float],
    beside: tuple[float, float],
    *,
    ha: str = "left",
    va: str = "center",
    colour: str = _INK,
    size: float = 8,
) -> None:
    """Write beside a point, so many points of type away from it."""
    axes.annotate(words, at, beside, textcoords="offset points", ha=ha, va=va, fontsize=size, color=colour)


def _dates(wall_ns: Floats) -> Floats:
    """Return matplotlib's dates: days since 1970, UTC."""
    return wall_ns / 86_400e9


def _time_axis(axes: Axes) -> None:
    locator = AutoDateLocator(minticks=3, maxticks=7)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    axes.xaxis.get_offset_text().set_fontsize(7.5)
    axes.xaxis.get_offset_text().set_color(_FAINT)
