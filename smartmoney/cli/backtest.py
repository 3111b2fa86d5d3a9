"""`smartmoney backtest`: the daemon's own engine over the past, and what came of it."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from smartmoney.cli.common import AsJson, ConfigFile, Overrides, Profile, StateDir, print_json, settings_of
from smartmoney.cli.stretches import (
    Dataset,
    Days,
    Each,
    FeedLatency,
    Files,
    Fills,
    FirstDay,
    FirstSeed,
    Hours,
    LastDay,
    Latency,
    Prepares,
    Processes,
    Runs,
    ScenarioName,
    Seeds,
    Stretches,
    Symbol,
    TheMarket,
    prepare_to_run,
)

if TYPE_CHECKING:
    from smartmoney.runtime.backtest import BacktestJob, BacktestResult


def backtest(
    files: Files = None,
    market: TheMarket = None,
    run: Runs = None,
    scenario: ScenarioName = None,
    seeds: Seeds = None,
    seed: FirstSeed = None,
    hours: Hours = None,
    dataset: Dataset = None,
    symbol: Symbol = None,
    first: FirstDay = None,
    last: LastDay = None,
    each: Each = False,
    latency: Latency = None,
    fills: Fills = None,
    feed_latency: FeedLatency = 0.0,
    prepared: Prepares = True,
    processes: Processes = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Also write backtest.html, backtest.json and pictures here.")] = None,
    config: ConfigFile = None,
    profile: Profile = None,
    overrides: Overrides = None,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Run the engine over recordings, captured runs or a synthetic market, with latency, queue and fees, and say what came of it.

    Examples: smartmoney backtest day.gz --market usdm; smartmoney backtest --run last --latency measured;
    smartmoney backtest --dataset DIR --symbol BTCUSDT --from 2025-01-02 --each;
    smartmoney backtest --scenario no_information --seeds 8 --hours 4 --out report
    """
    settings = settings_of(config, profile, "paper", overrides)
    days = Days(dataset, symbol, first, last)
    stretches = Stretches(files or [], market, run or [], scenario, seeds, seed, hours, days, each=each)
    jobs = stretches.jobs(settings, latency, feed_latency, state_dir, fills, prepares=prepared)
    if out is not None and out.exists() and not out.is_dir():
        raise typer.BadParameter(f"{out} is no folder; name one, it is made if need be", param_hint="--out")
    prepare_to_run(with_market=scenario is not None)
    result = _run(jobs, processes)
    if out is not None:
        from smartmoney.reports.backtest import write_report

        for path in write_report(result, out):
            print(f"wrote {path}", file=sys.stderr)
    if as_json:
        from smartmoney.reports.backtest import plain

        print_json(plain(result))
    else:
        _say(result)


def _run(jobs: "list[BacktestJob]", processes: int | None) -> "BacktestResult":
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from smartmoney.runtime.backtest import run_backtest
    from smartmoney.runtime.feature_jobs import worker_count

    bar = Progress(TextColumn("testing"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=Console(stderr=True))
    with bar:
        task = bar.add_task("", total=len(jobs))
        return run_backtest(
            jobs, processes or worker_count(len(jobs), parallel=True), lambda done, of: bar.update(task, completed=done, total=of)
        )


def _say(result: "BacktestResult") -> None:
    from smartmoney.reports.backtest import result_lines

    for line in result_lines(result):
        print(line)
