"""One drawing in three forms: a PNG, and two vector drawings for a page, one wide and one for the width of a phone.

Drawn with matplotlib's file backends, on figures of their own: no display. Invariant: the same numbers give the same bytes.
"""

import io
import re
from collections.abc import Callable

import matplotlib as mpl
import msgspec
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from smartmoney.reports.feature_plots import png_of
from smartmoney.reports.palette import LIGHT, themed

WIDE_IN, NARROW_IN = 8.6, 4.1
_PROLOGUE = re.compile(r"^.*?<svg", re.DOTALL)
_METADATA = re.compile(r"\s*<metadata>.*?</metadata>", re.DOTALL)
_NAMESPACES = re.compile(r'\s(?:xmlns(?::\w+)?|version|width|height)="[^"]*"')

Paint = Callable[[Figure, bool], None]
"""Paint on an empty figure; the second argument tells whether it is a narrow one."""


class Picture(msgspec.Struct, frozen=True):
    """Hold a drawing: PNG bytes, and the two forms for a page."""

    png: bytes
    wide: str
    narrow: str


def drawn(paint: Paint, height_in: float, narrow_height_in: float | None = None) -> Picture:
    """Return a drawing in its three forms."""
    low = height_in if narrow_height_in is None else narrow_height_in
    broad = _painted(paint, (WIDE_IN, height_in), is_narrow=False)
    png = png_of(broad)
    # The layout of the first drawing holds for the second: finding it is half of the work.
    broad.set_layout_engine("none")
    return Picture(png, _svg_of(broad), _svg_of(_painted(paint, (NARROW_IN, low), is_narrow=True)))


def style(axes: Axes, title: str = "") -> None:
    """Take the frame away and set what is left in the palette's colours; a title says what is drawn, with its unit."""
    axes.set_facecolor("none")
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(LIGHT["line"])
    axes.tick_params(labelsize=8, colors=LIGHT["faint"], length=0)
    axes.grid(axis="y", color=LIGHT["line"], linewidth=0.6)
    axes.set_axisbelow(True)
    if title:
        axes.set_title(title, fontsize=9, loc="left", color=LIGHT["faint"])


def say_nothing(figure: Figure, words: str) -> None:
    """Write in an otherwise empty drawing why it is empty."""
    axes = figure.subplots()
    axes.axis("off")
    axes.text(0.5, 0.5, words, ha="center", va="center", fontsize=9, color=LIGHT["faint"], transform=axes.transAxes)


def _painted(paint: Paint, size: tuple[float, float], *, is_narrow: bool) -> Figure:
    figure = Figure(figsize=size, layout="constrained")
    paint(figure, is_narrow)
    return figure


def _svg_of(figure: Figure) -> str:
    FigureCanvasSVG(figure)
    out = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "smartmoney"}):
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    whole = _METADATA.sub("", _PROLOGUE.sub("<svg", out.getvalue(), count=1))
    head, rest = whole.split(">", 1)
    return themed(_NAMESPACES.sub("", head) + ">" + rest.strip())
