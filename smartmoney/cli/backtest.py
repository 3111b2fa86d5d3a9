"""`smartmoney backtest`: the daemon's own engine over the past, and what came of it."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from smartmoney.cli.common import AsJson, ConfigFile, Overrides, Profile, StateDir, layout_of, print_json, settings_of

if TYPE_CHECKING:
    from smartmoney.runtime.backtest import BacktestJob, BacktestResult, Source
    from smartmoney.settings.models import Settings
    from smartmoney.simulation.order_latency import OrderLatency

_MEASURED = "measured"


def backtest(
    files: Annotated[list[Path] | None, typer.Argument(help="Recordings of raw frames: one session, or with --each one a file.")] = None,
    market: Annotated[str | None, typer.Option(help="Whose recordings: spot, usdm or coinm [default: the configuration's].")] = None,
    run: Annotated[list[str] | None, typer.Option("--run", help="A run whose capture to use; `last` is the newest. Repeatable.")] = None,
    scenario: Annotated[str | None, typer.Option(metavar="NAME", help="A synthetic market instead of recordings.")] = None,
    seeds: Annotated[int | None, typer.Option(min=1, max=10_000, help="With --scenario: how many markets [default: 1].")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="With --scenario: the first seed; the others follow it [default: 1].")] = None,
    hours: Annotated[float | None, typer.Option(min=0.01, max=240.0, help="With --scenario: simulated hours of each [default: 1].")] = None,
    each: Annotated[bool, typer.Option("--each", help="Every file is a stretch of its own, with an account of its own.")] = False,
    latency: Annotated[
        str | None,
        typer.Option(
            metavar="MS", help="Order latency: 50, or median and 99th percentile as 50,200, or `measured` [default: paper.latency_ms]."
        ),
    ] = None,
    feed_latency: Annotated[float, typer.Option(min=0.0, max=60_000.0, metavar="MS", help="Added to the recorded receive times.")] = 0.0,
    processes: Annotated[int | None, typer.Option(min=1, max=256, help="Processes [default: one a core].", show_default=False)] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Also write backtest.html, backtest.json and pictures here.")] = None,
    config: ConfigFile = None,
    profile: Profile = None,
    overrides: Overrides = None,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Run the engine over recordings, captured runs or a synthetic market, with latency, queue and fees, and say what came of it.

    Examples: smartmoney backtest day.gz --market usdm; smartmoney backtest --run last --latency measured;
    smartmoney backtest --scenario no_information --seeds 8 --hours 4 --out report
    """
    if scenario is None and (seeds, seed, hours) != (None, None, None):
        raise typer.BadParameter("they belong to --scenario NAME", param_hint="--seeds, --seed, --hours")
    if each and not files:
        raise typer.BadParameter("it is about several recordings, and none is given", param_hint="--each")
    if run and market is not None:
        raise typer.BadParameter("a run has the market that it had; leave it out", param_hint="--market")
    settings = settings_of(config, profile, "paper", overrides)
    worlds = (1 if seed is None else seed, seeds or 1, hours or 1.0)
    sources = _sources(files or [], market or settings.market, run or [], scenario, worlds, state_dir, each=each)
    model = _latency(latency, settings, state_dir)
    if out is not None and out.exists() and not out.is_dir():
        raise typer.BadParameter(f"{out} is no folder; name one, it is made if need be", param_hint="--out")
    from smartmoney.runtime import kernel_cache, logs

    logs.configure("WARNING", to_screen=False)
    from smartmoney.runtime.backtest import BacktestJob
    from smartmoney.runtime.compile import compile_kernels, compile_market_kernels

    # Before several processes would each do it, and before anything is timed.
    compile_kernels(kernel_cache.prepare(), lambda line: print(line, file=sys.stderr), with_market=scenario is not None)
    if scenario is not None:
        compile_market_kernels()

    models = str(layout_of(state_dir).models)
    jobs = [
        BacktestJob(name=name, source=source, settings=settings, latency=model, feed_latency_ms=feed_latency, models=models)
        for name, source in sources.items()
    ]
    result = _run(jobs, processes)
    if out is not None:
        from smartmoney.reports.backtest import write_backtest

        for path in write_backtest(result, out):
            print(f"wrote {path}", file=sys.stderr)
    if as_json:
        print_json(_plain(result))
    else:
        _say(result)


def _sources(
    files: list[Path],
    market: str,
    runs: list[str],
    scenario: str | None,
    worlds: tuple[int, int, float],
    state_dir: Path | None,
    *,
    each: bool,
) -> "dict[str, Source]":
    """Return what to test, by name."""
    if sum((bool(files), bool(runs), scenario is not None)) != 1:
        raise typer.BadParameter("give recordings, or --run RUN_ID, or --scenario NAME: one of the three")
    from smartmoney.runtime.backtest import BuiltIn, CapturedRun, Recordings

    if market not in {"spot", "usdm", "coinm"}:
        raise typer.BadParameter(f"no market {market!r}; one of spot, usdm, coinm", param_hint="--market")
    for path in files:
        if not path.is_file():
            raise typer.BadParameter(f"{path} is no file; name recordings", param_hint="FILES")
    if files and each:
        return {str(path): Recordings((str(path),), market) for path in files}
    if files:
        return {", ".join(path.name for path in files): Recordings(tuple(map(str, files)), market)}
    if scenario is not None:
        from smartmoney.settings.scenario import load_scenario

        load_scenario(scenario)
        if market == "coinm":
            raise typer.BadParameter("the synthetic market has spot and usdm", param_hint="--market")
        first, count, hours = worlds
        return {f"{scenario} {one}": BuiltIn(scenario, one, max(round(hours * 3600), 1), market) for one in range(first, first + count)}
    from smartmoney.runtime.replay import named_run

    layout = layout_of(state_dir)
    names = dict.fromkeys(named_run(layout, name) for name in runs)
    return {f"run {name}": CapturedRun(str(layout.capture(name))) for name in names}


def _latency(text: str | None, settings: "Settings", state_dir: Path | None) -> "OrderLatency":
    from smartmoney.simulation.order_latency import OrderLatency, measured_latency, parse_latency

    try:
        if text is None:
            return OrderLatency(median_ms=settings.paper.latency_ms)
        if text != _MEASURED:
            return parse_latency(text)
        from smartmoney.adapters.journal import JournalReader

        with JournalReader.open(layout_of(state_dir).journal) as journal:
            return measured_latency(journal.acknowledgements_ms())
    except ValueError as problem:
        raise typer.BadParameter(str(problem), param_hint="--latency") from None


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


def _plain(result: "BacktestResult") -> object:
    import msgspec

    return msgspec.json.decode(msgspec.json.encode(result))


def _say(result: "BacktestResult") -> None:
    from smartmoney.reports.backtest import result_lines

    for line in result_lines(result):
        print(line)
