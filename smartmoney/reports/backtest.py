"""A backtest, or a run, as text, and as files: JSON, the pictures, and one page of HTML, which holds everything in itself."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from smartmoney.reports import backtest_plots as plots
from smartmoney.reports.drawing import Picture
from smartmoney.reports.entries import entry_line, entry_rows
from smartmoney.reports.findings import Findings, findings, most
from smartmoney.reports.palette import COSTS
from smartmoney.reports.sections import report_page
from smartmoney.reports.wording import p_is, plural, quote_of, span
from smartmoney.runtime.backtest import BacktestResult
from smartmoney.runtime.chronicle import cost_sums
from smartmoney.runtime.equity_curve import thinned
from smartmoney.runtime.fill_costs import summed

_PRICES_MAX = 12
"""Stretches and instruments drawn, each a picture of its own."""


def result_lines(result: BacktestResult) -> Iterator[str]:
    """Yield a result as lines of text, assumptions last."""
    halted = f"; HALTED: {result.halt_reason}" if result.halted else ""
    yield f"{len(result.jobs)} {plural('stretch', 'es', len(result.jobs))}, {span(result.seconds)} of market, {result.frames:,} frames"
    yield f"net       {result.net_pnl:+,.2f}  ({result.net_return:+.3%}, worst drawdown {result.max_drawdown:.3%}){halted}"
    yield (
        f"activity  {result.decisions:,} decisions, {result.signals:,} signals, {result.orders:,} orders, {result.fills:,} fills, "
        f"turnover {result.turnover:,.2f}, fees {result.fees:,.2f}{f', funding {result.funding:+,.2f}' if result.funding else ''}"
    )
    is_split = not result.fills or summed(cost_sums(job.chronicle.costs for job in result.jobs).values()).known > 0
    costs = "   ".join(f"{name} {getattr(result.cost_bps, name):+.2f}" for name in (COSTS if is_split else ("fee",)))
    yield f"costs     bps of each fill: {costs}   (above 0 is lost{'' if is_split else '; delay, spread and impact are not known'})"
    if result.fills_by:
        yield "fills     " + ", ".join(f"{name} {count}" for name, count in result.fills_by.items())
    rows = entry_rows([one for job in result.jobs for one in job.chronicle.entries])
    if rows:
        yield f"entries   {entry_line(rows)}"
    yield "refused   " + (", ".join(f"{code} {count:,}" for code, count in most(result.refusals)[:6]) or "nothing")
    test = result.null_test
    if test is not None and test.p is not None:
        yield f"random    mid moved {test.observed_bps:+.2f} bps to the trades' side; {p_is(test.p)} against random, n = {test.groups}"
    if result.frames_per_s:
        came = f", frames from: {result.frames_from}" if result.frames_from else ""
        read = f", read in {result.reading_s:.2f} s" if result.reading_s else ""
        yield f"speed     {result.frames_per_s:,.0f} frames/s a process{came}{read}"
    yield f"digest    {result.digest}"
    if len(result.jobs) > 1:
        for job in result.jobs:
            yield f"  {job.name:<32} {job.result.net_pnl:+10.2f}   {job.result.fills:5} fills   drawdown {job.result.max_drawdown:.3%}"
    yield "assumed"
    for line in result.assumptions:
        yield f"  {line}"


def report_lines(result: BacktestResult) -> Iterator[str]:
    """Yield the verdict, then the result, as lines of text."""
    yield from findings(result).verdict
    yield from result_lines(result)


def write_report(result: BacktestResult, folder: Path, name: str = "backtest", title: str = "Backtest") -> list[Path]:
    """Write `name`.html, `name`.json and the pictures to a folder, which is made if need be; return the files.

    Raises:
        OSError: the folder or a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found = findings(result)
    pictures = pictures_of(result, found)
    written: dict[Path, bytes] = {folder / f"{picture}.png": drawing.png for picture, drawing in pictures.items()}
    written[folder / f"{name}.json"] = msgspec.json.format(msgspec.json.encode(plain(result, found)), indent=1)
    written[folder / f"{name}.html"] = report_page(result, found, pictures, title).encode()
    for path, content in written.items():
        path.write_bytes(content)
    return list(written)


def plain(result: BacktestResult, found: Findings | None = None) -> dict[str, Any]:
    """Return a result as plain values, what it comes to under `findings`."""
    jobs = tuple(msgspec.structs.replace(job, equity=tuple(thinned(job.equity))) for job in result.jobs)
    whole: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(msgspec.structs.replace(result, jobs=jobs)))
    whole["findings"] = msgspec.json.decode(msgspec.json.encode(found or findings(result)))
    return whole


def pictures_of(result: BacktestResult, found: Findings) -> dict[str, Picture]:
    """Return every drawing by name."""
    drawings = {"equity": plots.draw_equity(result.jobs, quote_of(result))}
    shown = [(job, instrument) for job in result.jobs for instrument in job.chronicle.instruments][:_PRICES_MAX]
    for number, (job, instrument) in enumerate(shown, 1):
        drawings["price" if len(shown) == 1 else f"price-{number}"] = plots.draw_price(job.chronicle, instrument)
    return {
        **drawings,
        "budget": plots.draw_budget(found.budget),
        "costs": plots.draw_costs(cost_sums(job.chronicle.costs for job in result.jobs)),
        "regimes": plots.draw_regimes([*found.regimes, found.all_trades] if len(found.regimes) > 1 else found.regimes),
        "calibration": plots.draw_calibration(found.calibration),
        "random": plots.draw_null(result.null_test),
    }
