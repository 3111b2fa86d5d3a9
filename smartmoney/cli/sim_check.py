"""`smartmoney sim check`: is the synthetic market like a market? Statistics against acceptance bands, over fresh seeds."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from smartmoney.cli.common import ConfigFile, Overrides, settings_of

if TYPE_CHECKING:
    from smartmoney.learning.realism_bands import Verdict
    from smartmoney.learning.realism_check import Report
    from smartmoney.runtime.realism_jobs import CheckJob

_WIDTH = 140
_HOURS_MIN = 1.0 / 12.0


def sim_check(
    scenario: Annotated[str, typer.Option(metavar="NAME", help="Which market.")] = "mixed_day",
    seeds: Annotated[int, typer.Option(min=1, max=10_000, help="How many markets, each from a seed of its own.")] = 20,
    hours: Annotated[float, typer.Option(min=_HOURS_MIN, max=240.0, help="Simulated hours of each.")] = 24.0,
    base: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="What seeds are derived from [default: a new one, printed].", show_default=False)
    ] = None,
    processes: Annotated[int | None, typer.Option(min=1, max=256, help="Processes [default: one a core].", show_default=False)] = None,
    captures: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Recordings to compare with [default: SMARTMONEY_CAPTURES].", show_default=False)
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Also write check.json and pictures to this folder.")] = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure a synthetic market against the acceptance bands of a real one; exit 0 if it passes all, 1 otherwise.

    Example: smartmoney sim check --scenario mixed_day --seeds 20 --json
    """
    import secrets

    if out is not None and out.exists() and not out.is_dir():
        raise typer.BadParameter(f"{out} is no folder; name one, it is made if need be", param_hint="--out")
    folder = captures or (Path(found) if (found := os.environ.get("SMARTMONEY_CAPTURES")) else None)
    if captures is not None and not captures.is_dir():
        raise typer.BadParameter(f"{captures} is no folder of recordings", param_hint="--captures")
    from smartmoney.runtime.kernel_cache import prepare
    from smartmoney.settings.scenario import load_scenario

    population = load_scenario(scenario)
    prepare()
    from smartmoney.runtime.feature_jobs import worker_count
    from smartmoney.runtime.realism_jobs import CheckJob

    job = CheckJob(
        scenario=population,
        seeds=seeds,
        base=secrets.randbelow(1 << 31) if base is None else base,
        hours=hours,
        processes=min(seeds, processes or worker_count(seeds, parallel=True)),
        captures=folder if folder is not None and folder.is_dir() else None,
        caches=settings_of(config, None, None, overrides).caches,
    )
    _check(job, out, as_json=as_json)


def _check(job: "CheckJob", out: Path | None, *, as_json: bool) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from smartmoney.runtime.realism_jobs import run_check

    bar = Progress(TextColumn("simulating"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=Console(stderr=True))
    with bar:
        task = bar.add_task("", total=None)
        outcome = run_check(job, lambda done, total: bar.update(task, completed=done, total=total))
    report = outcome.report
    if out is not None:
        from smartmoney.reports.realism import write_check

        for path in write_check(outcome, out):
            print(f"wrote {path}", file=sys.stderr)
    if as_json:
        import msgspec

        print(msgspec.json.encode(report).decode())
    else:
        _say(report)
    raise typer.Exit(0 if report.passes else 1)


def _say(report: "Report") -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    from smartmoney.learning.realism_bands import bounds_text

    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH)
    passed = sum(band.passes for band in report.bands)
    title = (
        f"{report.scenario}: {report.seeds} seeds of {report.hours:g} h from base {report.base}; {passed} of {len(report.bands)} rows pass"
    )
    table = Table(title=title, box=SIMPLE_HEAD, title_justify="left", padding=(0, 1, 0, 0))
    table.add_column("band", justify="right")
    table.add_column("statistic", no_wrap=True)
    for heading in ("must be", "median", "least", "most", "pooled", "inside", "real", ""):
        table.add_column(heading, justify="right", no_wrap=True)
    for band in report.bands:
        table.add_row(str(band.number), band.name, bounds_text(band.low, band.high), *_numbers(band), "ok" if band.passes else "MISS")
    console.print(table)
    for band in report.bands:
        if not band.passes:
            console.print(f"{band.number} {band.name}: {band.reason}", markup=False, highlight=False)
    for band in report.bands:
        if band.published:
            text = f"band {band.number} {band.name}: recalibrated on fills merged per aggressor; proposed: {band.published}"
            console.print(text, markup=False, highlight=False)
    area, low, high = report.leak_auc
    if area is not None:
        console.print(f"band 14: detector's AUC {area:.3f} [{low:.3f}, {high:.3f}] in worlds where nothing may tell", markup=False)
    console.print(f"{report.cpu_s_per_day:.1f} CPU seconds a simulated day, statistics included", markup=False, highlight=False)


def _numbers(band: "Verdict") -> list[str]:
    import statistics

    known = [value for value in band.values if value is not None]
    spread = [statistics.median(known), min(known), max(known)] if known else [None, None, None]
    shown = ["–" if value is None else f"{value:.3f}" for value in (*spread, band.judged)]
    share = "–" if band.pooled and not known else f"{band.share_inside:.0%}"
    return [*shown, share, "–" if band.real is None else f"{band.real:.3f}"]
