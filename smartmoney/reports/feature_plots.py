"""Pictures of a feature study, as PNG bytes: correlations with intervals, distributions, memory, and flow against the move.

Drawn with matplotlib's file backend alone, on figures of their own: no global state, no display.
"""

import io
from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.text import Text

from smartmoney.learning.feature_study import (
    HISTOGRAM_BINS,
    HORIZONS_S,
    LAGS_S,
    SECOND_NS,
    Estimate,
    FeatureStatistics,
    FeatureStudy,
    StudyRows,
    bar_sums,
    moves_bps,
)
from smartmoney.learning.resampling import Floats

DPI = 110
INK, FAINT, ACCENT = "#1f2933", "#9aa5b1", "#2a6f97"
LAG_COLOURS = ("#0b3954", "#2a9d8f", "#e9a03b")
_ROW_IN = 0.235
_BAR_ROWS = 20
_GRID_COLUMNS = 6
_SHOWN = (0.005, 0.995)
"""Quantiles between which a distribution is drawn."""


def draw_all(study: FeatureStudy, rows: StudyRows) -> dict[str, bytes]:
    """Return every picture by name."""
    return {
        "correlations": draw_correlations(study),
        "flow": draw_flow(study, rows),
        "distributions": draw_distributions(study, rows),
        "autocorrelations": draw_autocorrelations(study),
    }


def draw_correlations(study: FeatureStudy) -> bytes:
    """Draw a heat map: a row per feature, a column per target, each cell with its interval; bold where that excludes zero."""
    features = study.features
    headings = ["same second", *(f"next {horizon} s" for horizon in HORIZONS_S)]
    cells = [[one.same_1s, *(one.next_move[str(horizon)] for horizon in HORIZONS_S)] for one in features]
    values = np.array([[np.nan if cell.value is None else cell.value for cell in row] for row in cells])
    largest = max(0.1, float(np.nanmax(np.abs(values))) if np.isfinite(values).any() else 0.1)
    figure = Figure(figsize=(9.6, 1.3 + _ROW_IN * len(features)), layout="constrained")
    axes = figure.subplots()
    colours = colormaps["RdBu"].with_extremes(bad="#eef1f4")
    image = axes.imshow(np.ma.masked_invalid(values), cmap=colours, norm=Normalize(-largest, largest), aspect="auto", interpolation="none")
    for y, row in enumerate(cells):
        for x, cell in enumerate(row):
            # Dark cells take white text.
            is_dark = cell.value is not None and abs(cell.value) > 0.6 * largest
            weight = "bold" if cell.excludes_zero else "normal"
            axes.text(x, y, _cell_text(cell), ha="center", va="center", fontsize=6.8, weight=weight, color="white" if is_dark else INK)
    axes.set_xticks(range(len(headings)), headings, fontsize=8.5)
    axes.xaxis.tick_top()
    _name_rows(axes, features)
    _separate_groups(axes, features, len(headings))
    bar = figure.colorbar(image, ax=axes, fraction=0.025, pad=0.01, shrink=min(1.0, _BAR_ROWS / len(features)), anchor=(0.0, 1.0))
    bar.ax.tick_params(labelsize=7)
    _title(figure, study, "correlation with the mid's move, 95 % block-bootstrap interval (bold: excludes 0)")
    return png_of(figure)


def draw_distributions(study: FeatureStudy, rows: StudyRows) -> bytes:
    """Draw a small histogram per feature, between its 0.5 and 99.5 % quantiles, the median marked."""
    count = len(study.features)
    lines = -(-count // _GRID_COLUMNS)
    height = 0.8 + 1.35 * lines
    figure = Figure(figsize=(2.1 * _GRID_COLUMNS, height))
    # By hand: over a hundred axes the automatic layout takes ten seconds.
    figure.subplots_adjust(left=0.01, right=0.99, top=1.0 - 0.55 / height, bottom=0.3 / height, hspace=0.7, wspace=0.12)
    for position, (axes, one) in enumerate(zip(_flat_axes(figure, lines, _GRID_COLUMNS), _padded(study.features, lines), strict=True)):
        if one is None:
            axes.set_visible(False)
            continue
        _histogram(axes, one, rows.values[:, position])
    _title(figure, study, "distributions, 0.5 to 99.5 %; line: median").set_y(1.0 - 0.08 / height)
    return png_of(figure)


def draw_autocorrelations(study: FeatureStudy) -> bytes:
    """Draw each feature's correlation with itself 1, 10 and 60 s earlier."""
    features = study.features
    figure = Figure(figsize=(8.4, 1.3 + _ROW_IN * len(features)), layout="constrained")
    axes = figure.subplots()
    for y, one in enumerate(features):
        known = [value for lag in LAGS_S if (value := one.autocorrelation[str(lag)]) is not None]
        if known:
            axes.plot([min(known), max(known)], [y, y], color="#d5dbe1", linewidth=1.5, zorder=1)
    for lag, colour in zip(LAGS_S, LAG_COLOURS, strict=True):
        shown = [(value, y) for y, one in enumerate(features) if (value := one.autocorrelation[str(lag)]) is not None]
        axes.scatter([x for x, _ in shown], [y for _, y in shown], s=18, color=colour, label=f"{lag} s", zorder=2)
    axes.axvline(0.0, color=INK, linewidth=0.8)
    axes.set_xlim(-1.02, 1.02)
    axes.set_ylim(len(features) - 0.5, -0.5)
    axes.grid(axis="x", color="#e4e8ec", linewidth=0.6)
    axes.tick_params(axis="x", labelsize=8, labeltop=True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    _name_rows(axes, features)
    _separate_groups(axes, features, None)
    axes.legend(loc="upper left", title="lag", frameon=False, fontsize=8, title_fontsize=8)
    _title(figure, study, "autocorrelation, by lag")
    return png_of(figure)


def draw_flow(study: FeatureStudy, rows: StudyRows) -> bytes:
    """Draw order flow and trade flow per second against the same second's move, with the line of least squares."""
    bars = rows.bars
    whole = bars.times[bars.times % SECOND_NS == 0]
    move = moves_bps(bars, whole - SECOND_NS, whole)
    facts = {fact.key: fact.measured for fact in study.facts}
    figure = Figure(figsize=(10.5, 4.4), layout="constrained")
    panels = (
        ("OFI of the second, lots", bars.order_flow, facts["r2_same_ofi"]),
        ("signed volume of the second, lots", bars.trade_flow, facts["r2_same_tfi"]),
    )
    for axes, (label, column, r2) in zip(_flat_axes(figure, 1, 2), panels, strict=True):
        _scatter(axes, bar_sums(bars, column, whole, SECOND_NS), move, label, r2)
    _title(figure, study, "flow against the mid's move of the same second")
    return png_of(figure)


def _scatter(axes: Axes, flow: Floats, move: Floats, label: str, r2: Estimate) -> None:
    known = np.isfinite(flow) & np.isfinite(move)
    x, y = flow[known], move[known]
    axes.scatter(x, y, s=10, color=ACCENT, alpha=0.45, linewidths=0, rasterized=True)
    if len(x) > 2 and x.std() > 0:
        slope, intercept = np.polyfit(x, y, 1)
        ends = np.array([x.min(), x.max()])
        axes.plot(ends, intercept + slope * ends, color="#c8553d", linewidth=1.5)
    axes.axhline(0.0, color=FAINT, linewidth=0.6)
    axes.axvline(0.0, color=FAINT, linewidth=0.6)
    axes.set_xlabel(label, fontsize=8.5, color=INK)
    axes.set_ylabel("move of the mid, bps", fontsize=8.5, color=INK)
    axes.set_title(f"R² {_interval_text(r2)}", fontsize=9, color=INK)
    axes.tick_params(labelsize=7.5)
    axes.xaxis.get_offset_text().set_fontsize(7.5)
    axes.spines[["top", "right"]].set_visible(False)


def _histogram(axes: Axes, one: FeatureStatistics, column: Floats) -> None:
    known = column[np.isfinite(column)]
    axes.set_title(one.name, fontsize=6.8, color=INK, pad=2)
    axes.set_yticks([])
    axes.tick_params(axis="x", labelsize=5.5, length=2, pad=1)
    axes.spines[["top", "right", "left"]].set_visible(False)
    if not len(known):
        axes.set_xticks([])
        axes.text(0.5, 0.5, "never warm", ha="center", va="center", fontsize=6.5, color=FAINT, transform=axes.transAxes)
        return
    low, high = np.quantile(known, _SHOWN)
    if high <= low:
        low, high = low - 0.5, high + 0.5
    axes.stairs(*np.histogram(known, bins=HISTOGRAM_BINS, range=(low, high)), fill=True, color=ACCENT, alpha=0.85)
    axes.axvline(float(np.median(known)), color="#c8553d", linewidth=1.0)
    axes.locator_params(axis="x", nbins=3)
    axes.ticklabel_format(axis="x", style="sci", scilimits=(-3, 4), useOffset=False)
    axes.xaxis.get_offset_text().set_fontsize(5.5)
    axes.text(0.99, 0.97, f"{one.coverage:.0%} warm", ha="right", va="top", fontsize=5.5, color=FAINT, transform=axes.transAxes)


def _flat_axes(figure: Figure, lines: int, columns: int) -> list[Axes]:
    return list(figure.subplots(lines, columns, squeeze=False).ravel())


def _padded(features: Sequence[FeatureStatistics], lines: int) -> list[FeatureStatistics | None]:
    return [*features, *([None] * (lines * _GRID_COLUMNS - len(features)))]


def _cell_text(cell: Estimate) -> str:
    if cell.value is None:
        return "–"
    if cell.low is None or cell.high is None:
        return f"{cell.value:+.2f}"
    return f"{cell.value:+.2f}  [{cell.low:+.2f}, {cell.high:+.2f}]"


def _interval_text(cell: Estimate) -> str:
    if cell.value is None:
        return "unknown"
    return f"{cell.value:.2f}" if cell.low is None or cell.high is None else f"{cell.value:.2f}  [{cell.low:.2f}, {cell.high:.2f}]"


def _name_rows(axes: Axes, features: Sequence[FeatureStatistics]) -> None:
    axes.set_yticks(range(len(features)), [one.name for one in features], fontsize=7.2)
    axes.tick_params(axis="both", length=0)


def _separate_groups(axes: Axes, features: Sequence[FeatureStatistics], columns: int | None) -> None:
    """Draw a line where the group changes."""
    for y in range(1, len(features)):
        if features[y].group != features[y - 1].group:
            if columns is None:
                axes.axhline(y - 0.5, color="#b8c2cc", linewidth=0.7)
            else:
                axes.plot([-0.5, columns - 0.5], [y - 0.5, y - 0.5], color=INK, linewidth=0.7)


def _title(figure: Figure, study: FeatureStudy, text: str) -> Text:
    return figure.suptitle(f"{study.symbol} {study.market}, {study.rows} rows: {text}", fontsize=9.5, color=INK)


def png_of(figure: Figure) -> bytes:
    """Return a figure as PNG."""
    FigureCanvasAgg(figure)
    out = io.BytesIO()
    # No software, no date: the same study gives the same bytes.
    figure.savefig(out, format="png", dpi=DPI, facecolor="white", metadata={"Software": None})
    return out.getvalue()
