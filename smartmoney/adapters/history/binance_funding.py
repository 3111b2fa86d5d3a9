"""Binance's monthly archives of paid funding: what was paid, when, as what the mark price stream would have told of it.

A row says the rate that was settled at its time; what the venue told before, and the mark price, are not in it. So the time that comes next
is told as soon as the one before is over, with the rate of that one, and its own rate at the time itself: nobody sees a rate before it was
settled. Source: binance-public-data, `futures/um/monthly/fundingRate`: calc_time in ms, a few ms after the full hour.
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import msgspec

from smartmoney.adapters.history.events import Event, Events, FundingTold, HistoryRefused, Repairs, signed_text, whole_number

COLUMNS = ("calc_time", "funding_interval_hours", "last_funding_rate")
NO_MARK = "0"
"""What stands for a mark price that is not told."""
_HOUR_NS = 3_600_000_000_000
_MINUTE_NS = 60_000_000_000
_HOURS_MAX = 24
_OWN = ("ms",)


class _Row(msgspec.Struct, frozen=True):
    at_ns: int
    calculated_ns: int
    interval_ns: int
    rate: str


def read_funding(rows: Iterator[list[str]], at: Sequence[int], path: Path, symbol: str, repairs: Repairs) -> Iterator[Event]:
    """Yield what a file's rows stand for, in order of time. Memory: the file's rows, some ninety a month.

    Raises:
        HistoryRefused: a time, an interval or a rate cannot be.
    """
    found = _in_order([_row(row, at, path, repairs) for row in rows], repairs)
    for number, row in enumerate(found):
        following = found[number + 1] if number + 1 < len(found) else None
        next_ns = row.at_ns + row.interval_ns
        if following is not None:
            # The interval changes at times, and a payment before the usual time was announced.
            missing = max(0, (following.at_ns - row.at_ns) // max(row.interval_ns, following.interval_ns) - 1)
            repairs.note("payments of funding that are missing between those that are there", missing)
            next_ns = next_ns if missing > 0 else following.at_ns
        if number == 0:
            begins_ns = row.at_ns - row.interval_ns
            yield FundingTold(begins_ns, begins_ns, symbol, NO_MARK, "0", row.at_ns)
        yield FundingTold(row.calculated_ns, row.calculated_ns, symbol, NO_MARK, row.rate, row.at_ns)
        yield FundingTold(row.calculated_ns, row.calculated_ns, symbol, NO_MARK, row.rate, next_ns)


def beside_the_rest(events: Events, repairs: Repairs) -> Events:
    """Yield events; of what such archives tell only what was told while there is anything else, and last before it.

    Raises:
        HistoryRefused: there is nothing else.
    """
    waiting: list[FundingTold] = []
    has_begun = False
    for event in events:
        if isinstance(event, FundingTold) and event.mark == NO_MARK:
            waiting.append(event)
            continue
        if has_begun:
            yield from waiting
        elif waiting:
            repairs.note(_BEYOND, sum(map(_is_paid, waiting)))
            yield msgspec.structs.replace(waiting[-1], wall_ns=event.wall_ns)
        waiting.clear()
        has_begun = True
        yield event
    repairs.note(_BEYOND, sum(map(_is_paid, waiting)))
    if waiting and not has_begun:
        raise HistoryRefused("fundingRate has neither a book nor trades: give it together with files that have, of the same instrument")


_BEYOND = "payments of funding before or after all other rows, left out"


def _is_paid(told: FundingTold) -> bool:
    return abs(told.next_ns - told.event_ns) <= _MINUTE_NS


def _row(row: Sequence[str], at: Sequence[int], path: Path, repairs: Repairs) -> _Row:
    time, hours, rate = (row[place] for place in at)
    calculated_ns = repairs.time(time, f"{path}: calc_time", _OWN)
    interval = whole_number(hours, f"{path}: funding_interval_hours")
    if not 1 <= interval <= _HOURS_MAX:
        raise HistoryRefused(f"{path}: funding_interval_hours {interval}; 1 to {_HOURS_MAX} is wanted")
    text = signed_text(rate, f"{path}: last_funding_rate")
    if abs(Decimal(text)) >= 1:
        raise HistoryRefused(f"{path}: last_funding_rate {text}; a fraction below 1 is wanted, is it in per cent?")
    at_ns = (calculated_ns + _MINUTE_NS // 2) // _MINUTE_NS * _MINUTE_NS
    return _Row(at_ns, calculated_ns, interval * _HOUR_NS, text)


def _in_order(rows: list[_Row], repairs: Repairs) -> list[_Row]:
    """Return rows by time, each time once.

    Raises:
        HistoryRefused: one time has two rates.
    """
    misplaced = sum(after.at_ns < before.at_ns for before, after in pairwise(rows))
    repairs.note("payments of funding out of order, put back into their place", misplaced)
    kept: dict[int, _Row] = {}
    for row in sorted(rows, key=lambda row: row.at_ns):
        other = kept.setdefault(row.at_ns, row)
        if other.rate != row.rate:
            raise HistoryRefused(f"funding of one time at two rates, {other.rate} and {row.rate}; download the file again")
    repairs.note("payments of funding there twice, left out", len(rows) - len(kept))
    return list(kept.values())
