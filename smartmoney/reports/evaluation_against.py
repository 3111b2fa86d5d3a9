"""The part of an evaluation's page that holds a bundle against another on the same worlds, and how its numbers are written."""

import math
from collections.abc import Iterator, Sequence
from html import escape

from smartmoney.learning.evaluation.against import Compared
from smartmoney.learning.evaluation.paired import Difference
from smartmoney.reports.page import folded, paragraph, table


def against(compared: Compared) -> Iterator[str]:
    """Yield what differs more than by the draw of worlds, then everything."""
    other = compared.other
    apart = [one for one in compared.differences if one.is_told_apart]
    yield f"<h2>Against {escape(other.name)}</h2>"
    yield paragraph(
        f"Bundle {other.hash[:12]}, asked about the very same worlds, whose seeds follow from both bundles. Intervals are 95 % over worlds "
        f"that are drawn for both at once. Of {len(compared.differences)} numbers {len(apart)} leave out 0; chance alone makes one of "
        "twenty do so. The difference is this bundle less the other: whether more is better depends on the number."
    )
    if apart:
        yield _table(apart)
    yield folded("every number", _table(compared.differences), is_open=not apart)


def _table(shown: Sequence[Difference]) -> str:
    heads = {"number": "text", "this bundle": "", "the other": "", "difference": "", "95 %": "", "units": ""}
    return table(
        heads,
        [
            (escape(f"{one.part}, {one.name}"), said(one.first.value, ".3f"), said(one.other.value, ".3f"),
             said(one.difference.value, "+.3f"), ranged(one.difference.low, one.difference.high, "+.3f"), str(one.units))
            for one in shown
        ],
    )  # fmt: skip


def said(value: float, form: str) -> str:
    """Return a number in a form; a dash where it is not known."""
    if math.isnan(value):
        return "–"
    return "endless" if math.isinf(value) else format(value, form)


def ranged(low: float, high: float, form: str) -> str:
    """Return an interval; a dash where there is none."""
    return "–" if math.isnan(low) or math.isnan(high) else f"{said(low, form)} to {said(high, form)}"
