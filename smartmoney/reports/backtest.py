"""A backtest as text, and as files: `backtest.json`, the pictures, and `backtest.html`, which holds everything in itself."""

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path

import msgspec
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from smartmoney.reports.feature_plots import png_of
from smartmoney.runtime.backtest import BacktestResult, JobResult

_BLUE, _RED, _GREY = "#2a6f97", "#c05746", "#5f6c7b"
_COSTS = ("delay", "spread", "impact", "fee")
_LINES_MAX = 200
_HOW_TO_READ = (
    "In bps of the mid at the decision (fees: of the fill). Above zero is lost; a spread below zero is one that a resting order earned."
)
_STYLE = """
:root { color-scheme: light; --ink: #1f2933; --faint: #5f6c7b; --line: #d8dee5; --mark: #2a6f97; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: #fff; margin: 2rem auto; max-width: 62rem; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.1rem; margin: 2.2rem 0 .6rem; }
p, li { max-width: 52rem; } .faint { color: var(--faint); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .8rem; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line); }
th { color: var(--faint); font-weight: 600; } th:first-child, td:first-child { text-align: left; }
img { max-width: 100%; height: auto; display: block; }
"""


def result_lines(result: BacktestResult) -> Iterator[str]:
    """Yield a result as lines of text, assumptions last."""
    halted = f"; HALTED: {result.halt_reason}" if result.halted else ""
    yield f"{len(result.jobs)} {_plural('stretch', 'es', len(result.jobs))}, {_span(result.seconds)} of market, {result.frames:,} frames"
    yield f"net       {result.net_pnl:+,.2f}  ({result.net_return:+.3%}, worst drawdown {result.max_drawdown:.3%}){halted}"
    yield (
        f"activity  {result.decisions:,} decisions, {result.signals:,} signals, {result.orders:,} orders, {result.fills:,} fills, "
        f"turnover {result.turnover:,.2f}, fees {result.fees:,.2f}"
    )
    costs = "   ".join(f"{name} {getattr(result.cost_bps, name):+.2f}" for name in _COSTS)
    yield f"costs     bps of each fill: {costs}   (above 0 is lost)"
    if result.fills_by:
        yield "fills     " + ", ".join(f"{name} {count}" for name, count in result.fills_by.items())
    yield "refused   " + (", ".join(f"{code} {count:,}" for code, count in _most(result.refusals)[:6]) or "nothing")
    yield f"speed     {result.frames_per_s:,.0f} frames/s a process"
    yield f"digest    {result.digest}"
    if len(result.jobs) > 1:
        for job in result.jobs:
            yield f"  {job.name:<32} {job.result.net_pnl:+10.2f}   {job.result.fills:5} fills   drawdown {job.result.max_drawdown:.3%}"
    yield "assumed"
    for line in result.assumptions:
        yield f"  {line}"


def write_backtest(result: BacktestResult, folder: Path) -> list[Path]:
    """Write the report to a folder, which is made if need be; return the files.

    Raises:
        OSError: the folder or a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pictures = {"equity": _draw_equity(result.jobs), "costs": _draw_costs(result)}
    written: dict[Path, bytes] = {folder / f"{name}.png": picture for name, picture in pictures.items()}
    written[folder / "backtest.json"] = msgspec.json.format(msgspec.json.encode(result), indent=1)
    written[folder / "backtest.html"] = backtest_page(result, pictures).encode()
    for path, content in written.items():
        path.write_bytes(content)
    return list(written)


def backtest_page(result: BacktestResult, pictures: Mapping[str, bytes]) -> str:
    """Return the report as one page of HTML, with its pictures in it."""
    lines = [line for line in result_lines(result) if line != "assumed" and not line.startswith("  ")]
    fills = [(job.name, fill) for job in result.jobs for fill in job.fills]
    cells = (
        (
            escape(name),
            escape(fill.purpose.value),
            fill.side.value,
            fill.liquidity.value,
            f"{fill.quantity:f}",
            f"{fill.price:f}",
            *("–" if value is None else f"{value:+.2f}" for value in (fill.delay_bps, fill.spread_bps, fill.impact_bps, fill.fee_bps)),
        )
        for name, fill in fills[:_LINES_MAX]
    )
    stretches = (
        (
            escape(job.name),
            _span(job.result.seconds),
            f"{job.result.fills:,}",
            f"{job.result.net_pnl:+,.2f}",
            f"{job.result.max_drawdown:.3%}",
            f"{job.result.fees:,.2f}",
        )
        for job in result.jobs
    )
    more = f'<p class="faint">The first {_LINES_MAX} of {len(fills):,}; backtest.json has all.</p>' if len(fills) > _LINES_MAX else ""
    refusals = ((escape(code), f"{count:,}") for code, count in _most(result.refusals))
    return "\n".join(
        (
            "<!doctype html>",
            f'<html lang="en"><head><meta charset="utf-8"><title>Backtest</title><style>{_STYLE}</style></head><body>',
            f"<h1>Backtest</h1><p class='faint'>smartmoney {escape(result.build)}, digest {escape(result.digest[:16])}…</p>",
            "<h2>Assumed</h2>",
            f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in result.assumptions)}</ul>",
            "<h2>What came of it</h2>",
            f"<pre>{escape(chr(10).join(lines))}</pre>",
            _image(pictures["equity"], "Equity and drawdown"),
            "<h2>Stretches</h2>",
            _table(("stretch", "market time", "fills", "net", "worst drawdown", "fees"), stretches),
            "<h2>What fills cost</h2>",
            f'<p class="faint">{_HOW_TO_READ}</p>',
            _image(pictures["costs"], "Costs by purpose"),
            "<h2>Fills</h2>",
            _table(("stretch", "purpose", "side", "as", "quantity", "price", *_COSTS), cells),
            more,
            "<h2>Refusals</h2>",
            _table(("code", "times"), refusals),
            "</body></html>",
        )
    )


def _draw_equity(jobs: Sequence[JobResult]) -> bytes:
    figure = Figure(figsize=(8.6, 4.8), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    longest_s = max((job.result.seconds for job in jobs), default=0.0)
    unit, seconds = ("hours", 3600.0) if longest_s > 2 * 3600 else ("minutes", 60.0)
    for job in jobs:
        if len(job.equity) < 2:
            continue
        wall, equity = (np.asarray(column, float) for column in zip(*job.equity, strict=True))
        at = (wall - wall[0]) / (1e9 * seconds)
        peak = np.maximum.accumulate(equity)
        above.plot(at, equity - equity[0], color=_BLUE, linewidth=0.9, alpha=0.8)
        below.fill_between(at, -100.0 * (peak - equity) / peak, color=_RED, alpha=0.35, linewidth=0)
    above.axhline(0.0, color=_GREY, linewidth=0.6)
    _label(above, "net, in quote")
    _label(below, "drawdown, %")
    below.set_xlabel(unit, fontsize=8)
    return png_of(figure)


def _draw_costs(result: BacktestResult) -> bytes:
    figure = Figure(figsize=(8.6, 3.0), layout="constrained")
    axes = figure.subplots()
    fills = [fill for job in result.jobs for fill in job.fills]
    groups = sorted({f"{fill.purpose.value} {fill.liquidity.value}" for fill in fills})
    for row, group in enumerate(groups):
        mine = [fill for fill in fills if f"{fill.purpose.value} {fill.liquidity.value}" == group and fill.delay_bps is not None]
        weight = sum(fill.notional for fill in mine) or 1.0
        for offset, (name, colour) in enumerate(zip(_COSTS, (_BLUE, "#61a5c2", _RED, _GREY), strict=True)):
            value = sum(getattr(fill, f"{name}_bps") * fill.notional for fill in mine) / weight
            axes.barh(row + 0.2 * (offset - 1.5), value, height=0.18, color=colour, label=name if row == 0 else None)
    axes.set_yticks(range(len(groups)), groups, fontsize=8)
    axes.axvline(0.0, color=_GREY, linewidth=0.6)
    _label(axes, "bps, averaged by notional" if groups else "nothing was filled")
    if groups:
        axes.legend(fontsize=8, frameon=False)
    return png_of(figure)


def _label(axes: Axes, title: str) -> None:
    axes.set_title(title, fontsize=9, loc="left")
    axes.tick_params(labelsize=8)


def _image(picture: bytes, title: str) -> str:
    return f'<img alt="{escape(title)}" src="data:image/png;base64,{base64.b64encode(picture).decode()}">'


def _table(headings: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    body = "\n".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in line)}</tr>" for line in lines)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>'


def _most(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _span(seconds: float) -> str:
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours} h {rest // 60:02} min" if hours else f"{rest // 60} min {rest % 60:02} s"


def _plural(word: str, ending: str, count: int) -> str:
    return word if count == 1 else word + ending
