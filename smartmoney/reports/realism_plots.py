"""Pictures of the stylised facts, simulated beside real, as PNG bytes. Drawn on figures of their own: no global state, no display."""

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from smartmoney.learning.realism_curves import LAGS_S, MOVE_EDGES, SIGN_LAGS, Curves
from smartmoney.learning.realism_impact import ORDERS_MIN, Impacts, impact_curve
from smartmoney.learning.resampling import Floats
from smartmoney.reports.feature_plots import png_of

SIMULATED, REAL = "#2a6f97", "#c05746"
_SPREADS_SHOWN = 12


def draw_all(simulated: Sequence[Curves], real: Sequence[Curves], impacts: Sequence[Impacts]) -> dict[str, bytes]:
    """Return every picture by name; that of impact only where there are enough large orders."""
    found = {
        "moves": _draw("size of 1 s moves", simulated, real, _moves),
        "memory": _draw("autocorrelation of 1 s moves (below) and of their size (above)", simulated, real, _memory),
        "signs": _draw("autocorrelation of the signs of merged orders", simulated, real, _signs),
        "spreads": _draw("spread after each change of the touch", simulated, real, _spreads),
        "day": _draw("volatility over the day", simulated, (), _day),
    }
    if sum(len(one.sizes) for one in impacts) >= ORDERS_MIN:
        found["impact"] = _draw_impact(impacts)
    return found


def _draw(title: str, simulated: Sequence[Curves], real: Sequence[Curves], draw: Callable[[Axes, Curves, str], None]) -> bytes:
    figure = Figure(figsize=(7.6, 4.6), layout="constrained")
    axes = figure.subplots()
    for curves, colour in ((real, REAL), (simulated, SIMULATED)):
        for one in curves:
            draw(axes, one, colour)
    axes.plot([], [], color=SIMULATED, label=f"simulated ({len(simulated)})")
    if real:
        axes.plot([], [], color=REAL, label=f"recorded ({len(real)})")
    axes.set_title(title, fontsize=10, loc="left")
    axes.legend(fontsize=8, frameon=False)
    axes.tick_params(labelsize=8)
    return png_of(figure)


def _moves(axes: Axes, one: Curves, colour: str) -> None:
    middles = 0.5 * (MOVE_EDGES[1:-2] + MOVE_EDGES[2:-1])
    density = one.moves[1:-1] / np.diff(MOVE_EDGES[1:-1])
    shown = density > 0.0
    axes.plot(middles[shown], density[shown], ".-", color=colour, alpha=0.5, linewidth=0.8, markersize=3)
    axes.set_yscale("log")
    axes.set_xlabel("standard deviations", fontsize=8)


def _memory(axes: Axes, one: Curves, colour: str) -> None:
    axes.plot(LAGS_S, one.size_acf, ".-", color=colour, alpha=0.5, linewidth=0.8, markersize=4)
    axes.plot(LAGS_S, one.move_acf, ":", color=colour, alpha=0.5, linewidth=0.9)
    axes.set_xscale("log")
    axes.set_xlabel("lag, s", fontsize=8)


def _signs(axes: Axes, one: Curves, colour: str) -> None:
    lags = np.arange(1, SIGN_LAGS + 1)
    shown = one.sign_acf > 0.0
    axes.plot(lags[shown], one.sign_acf[shown], ".", color=colour, alpha=0.4, markersize=3)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_ylim(1e-3, 1.0)
    axes.set_xlabel("lag, orders", fontsize=8)


def _spreads(axes: Axes, one: Curves, colour: str) -> None:
    ticks = np.arange(1, _SPREADS_SHOWN + 1)
    axes.plot(ticks, np.maximum(one.spreads[:_SPREADS_SHOWN], 1e-6), ".-", color=colour, alpha=0.5, linewidth=0.8)
    axes.set_yscale("log")
    axes.set_xlabel("ticks", fontsize=8)


def _day(axes: Axes, one: Curves, colour: str) -> None:
    axes.plot(np.arange(len(one.volatility)) / 2.0, one.volatility, color=colour, alpha=0.4, linewidth=0.8)
    axes.set_xlabel("hour", fontsize=8)
    axes.set_ylabel("bps in a second", fontsize=8)


def _draw_impact(impacts: Sequence[Impacts]) -> bytes:
    sizes, at_end = (np.concatenate([getattr(one, name) for one in impacts]) for name in ("sizes", "at_end"))
    x, y, error = impact_curve(sizes, at_end)
    figure = Figure(figsize=(7.6, 4.6), layout="constrained")
    axes = figure.subplots()
    shown = y > 0.0
    lower: Floats = np.minimum(error[shown], 0.9 * y[shown])
    axes.errorbar(x[shown], y[shown], yerr=(lower, error[shown]), fmt="o", color=SIMULATED, markersize=4, label="uninformed parents")
    axes.plot(x, np.sqrt(x), "--", color=REAL, linewidth=0.9, label="square root of the share")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("size over the day's volume", fontsize=8)
    axes.set_ylabel("move over the day's volatility", fontsize=8)
    axes.set_title(f"impact of {len(sizes)} large orders", fontsize=10, loc="left")
    axes.legend(fontsize=8, frameon=False)
    return png_of(figure)
