"""What entries came to by the way they went to the market, against what had been expected: numbers, words, a section of the page.

Invariants: pure; each entry counts once, whatever its size; nothing is advised unless the interval of twenty entries leaves out zero.
"""

from collections.abc import Iterator, Sequence

import msgspec
import numpy as np

from smartmoney.core.execution.parameters import EntryStyle
from smartmoney.learning.resampling import mean_interval
from smartmoney.reports.page import paragraph, table
from smartmoney.runtime.entry_costs import EntryCost

ADVICE_MIN = 20
"""Entries from which on the expectation is judged."""
_WAYS = {EntryStyle.TAKER: "crossed at once", EntryStyle.MAKER: "waited in the queue"}
_Interval = tuple[float, float] | None


class EntryRow(msgspec.Struct, frozen=True, kw_only=True):
    """Be the entries of one style: means over entries, costs in bps with fees, 95 % intervals from ten entries up (else None).

    `rested` is the share filled in the queue, `reckoned` how many had an expectation, `expected_bps` its mean and `over_bps` the mean of
    what those cost beyond it.
    """

    style: EntryStyle
    entries: int
    filled: float
    rested: float
    wait_s: float
    cost_bps: float
    cost_interval: _Interval
    reckoned: int
    expected_bps: float | None
    over_bps: float | None
    over_interval: _Interval

    @property
    def is_off(self) -> bool:
        """Tell whether the expectation was wrong, as far as so many entries tell."""
        return self.over_interval is not None and self.reckoned >= ADVICE_MIN and self.over_interval[0] * self.over_interval[1] > 0


def entry_rows(entries: Sequence[EntryCost]) -> tuple[EntryRow, ...]:
    """Return what the entries of each style came to."""
    return tuple(_row(style, mine) for style in _WAYS if (mine := [one for one in entries if one.style is style]))


def advice(rows: Sequence[EntryRow]) -> str | None:
    """Return what to change where waiting was reckoned wrongly; None where that cannot be said."""
    row = next((row for row in rows if row.style is EntryStyle.MAKER and row.is_off), None)
    if row is None or row.over_bps is None or not row.rested:
        return None
    # The setting counts for what fills in the queue alone: what crossed at the time-out was reckoned with by the price of crossing.
    more = row.over_bps / row.rested
    word, side = ("more", "higher") if more > 0 else ("less", "lower")
    return (
        f"Waiting cost {abs(row.over_bps):.2f} bps {word} an entry than was expected of it: {abs(more):.2f} {side}, "
        "execution.passive_loss_bps would have been right here."
    )


def entry_line(rows: Sequence[EntryRow]) -> str:
    """Return the entries as one line of text."""
    return "; ".join(_told(row) for row in rows)


def entry_section(rows: Sequence[EntryRow], *, is_known: bool = True) -> Iterator[str]:
    """Yield the entries as a part of the page; `is_known`: the book was there, by which they are reckoned."""
    if not rows:
        yield paragraph("No entry was sent and ended." if is_known else "Not known: it needs the book at each entry.")
        return
    yield paragraph(
        "What one signal asked for, over all of its orders, in bps of the mid at its decision, fees included; what was not filled is "
        "priced as if it had crossed when the entry ended. Expected is what the choice between crossing and waiting reckoned with "
        "(execution.entry: auto). Each entry counts once; 95 % intervals from ten up.",
        "faint",
    )
    heads = {
        "entries that": "text",
        "number": "",
        "filled": "",
        "after": "",
        "cost, bps": "",
        "expected, bps": "",
        "more than that, bps": "",
    }
    yield table(heads, (_cells(row) for row in rows))
    said = advice(rows)
    if said is not None:
        yield paragraph(said)


def _row(style: EntryStyle, entries: Sequence[EntryCost]) -> EntryRow:
    costs = [one.cost_bps for one in entries]
    reckoned = [(one.cost_bps, one.expected_bps) for one in entries if one.expected_bps is not None]
    over = [cost - expected for cost, expected in reckoned]
    filled = [one for one in entries if one.filled]
    return EntryRow(
        style=style,
        entries=len(entries),
        filled=float(np.mean([one.filled for one in entries])),
        rested=float(np.mean([one.rested for one in entries])),
        wait_s=float(np.mean([one.wait_s for one in filled])) if filled else 0.0,
        cost_bps=float(np.mean(costs)),
        cost_interval=mean_interval(costs),
        reckoned=len(reckoned),
        expected_bps=float(np.mean([expected for _, expected in reckoned])) if reckoned else None,
        over_bps=float(np.mean(over)) if over else None,
        over_interval=mean_interval(over),
    )


def _told(row: EntryRow) -> str:
    expected = "" if row.expected_bps is None else f", expected {row.expected_bps:+.2f}"
    return f"{row.entries:,} {_WAYS[row.style]}, {row.filled:.0%} filled after {row.wait_s:.1f} s: {row.cost_bps:+.2f} bps{expected}"


def _cells(row: EntryRow) -> tuple[str, ...]:
    return (
        _WAYS[row.style],
        f"{row.entries:,}",
        f"{row.filled:.0%}",
        f"{row.wait_s:.1f} s",
        _within(row.cost_bps, row.cost_interval),
        _within(row.expected_bps),
        _within(row.over_bps, row.over_interval),
    )


def _within(value: float | None, interval: _Interval = None) -> str:
    if value is None:
        return "–"
    return f"{value:+.2f}" if interval is None else f"{value:+.2f} [{interval[0]:+.2f}, {interval[1]:+.2f}]"
