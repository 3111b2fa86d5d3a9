"""What `backtest` and `tune` share: which stretches of past are meant, and how an order gets to their venue."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from smartmoney.cli.common import layout_of

if TYPE_CHECKING:
    from smartmoney.runtime.backtest import BacktestJob, Source
    from smartmoney.settings.models import Settings
    from smartmoney.simulation.order_latency import OrderLatency

_MEASURED = "measured"

Files = Annotated[list[Path] | None, typer.Argument(help="Recordings of raw frames: one session, or with --each one a file.")]
TheMarket = Annotated[str | None, typer.Option("--market", help="Whose recordings: spot, usdm or coinm [default: the configuration's].")]
Runs = Annotated[list[str] | None, typer.Option("--run", help="A run whose capture to use; `last` is the newest. Repeatable.")]
ScenarioName = Annotated[str | None, typer.Option("--scenario", metavar="NAME", help="A synthetic market instead of recordings.")]
Seeds = Annotated[int | None, typer.Option("--seeds", min=1, max=10_000, help="With --scenario: how many markets [default: 1].")]
FirstSeed = Annotated[int | None, typer.Option("--seed", min=0, help="With --scenario: the first seed; the others follow it [default: 1].")]
Hours = Annotated[float | None, typer.Option("--hours", min=0.01, max=240.0, help="With --scenario: simulated hours of each [default: 1].")]
Each = Annotated[bool, typer.Option("--each", help="Every file is a stretch of its own, with an account of its own.")]
Latency = Annotated[
    str | None,
    typer.Option(
        "--latency",
        metavar="MS",
        help="Order latency: 50, or median and 99th percentile as 50,200, or `measured` [default: paper.latency_ms].",
    ),
]
FeedLatency = Annotated[
    float, typer.Option("--feed-latency", min=0.0, max=60_000.0, metavar="MS", help="Added to the recorded receive times.")
]
Processes = Annotated[int | None, typer.Option("--processes", min=1, max=256, help="Processes [default: one a core].", show_default=False)]


class Stretches(NamedTuple):
    """Be what the command line says about the past."""

    files: list[Path]
    market: str | None
    runs: list[str]
    scenario: str | None
    seeds: int | None
    seed: int | None
    hours: float | None
    each: bool

    def jobs(self, settings: "Settings", latency: str | None, feed_latency_ms: float, state_dir: Path | None) -> "list[BacktestJob]":
        """Return a job per stretch.

        Raises:
            typer.BadParameter: options contradict each other, or name what is not there.
            ConfigurationError: there is no such scenario.
        """
        if self.scenario is None and (self.seeds, self.seed, self.hours) != (None, None, None):
            raise typer.BadParameter("they belong to --scenario NAME", param_hint="--seeds, --seed, --hours")
        if self.each and not self.files:
            raise typer.BadParameter("it is about several recordings, and none is given", param_hint="--each")
        if self.runs and self.market is not None:
            raise typer.BadParameter("a run has the market that it had; leave it out", param_hint="--market")
        from smartmoney.runtime import kernel_cache

        # Before numba is imported, which would else keep its cache beside the sources, and take stale kernels from there.
        kernel_cache.prepare()
        sources = self._sources(self.market or settings.market, state_dir)
        model = _latency(latency, settings, state_dir)
        from smartmoney.runtime.backtest import BacktestJob

        models = str(layout_of(state_dir).models)
        return [
            BacktestJob(name=name, source=source, settings=settings, latency=model, feed_latency_ms=feed_latency_ms, models=models)
            for name, source in sources.items()
        ]

    def _sources(self, market: str, state_dir: Path | None) -> "dict[str, Source]":
        """Return what to test, by name."""
        if sum((bool(self.files), bool(self.runs), self.scenario is not None)) != 1:
            raise typer.BadParameter("give recordings, or --run RUN_ID, or --scenario NAME: one of the three")
        from smartmoney.runtime.backtest import CapturedRun, Recordings

        if market not in {"spot", "usdm", "coinm"}:
            raise typer.BadParameter(f"no market {market!r}; one of spot, usdm, coinm", param_hint="--market")
        for path in self.files:
            if not path.is_file():
                raise typer.BadParameter(f"{path} is no file; name recordings", param_hint="FILES")
        if self.files and self.each:
            return {str(path): Recordings((str(path),), market) for path in self.files}
        if self.files:
            return {", ".join(path.name for path in self.files): Recordings(tuple(map(str, self.files)), market)}
        if self.scenario is not None:
            return self._worlds(self.scenario, market)
        from smartmoney.runtime.replay import named_run

        layout = layout_of(state_dir)
        names = dict.fromkeys(named_run(layout, name) for name in self.runs)
        return {f"run {name}": CapturedRun(str(layout.capture(name))) for name in names}

    def _worlds(self, scenario: str, market: str) -> "dict[str, Source]":
        from smartmoney.runtime.backtest import BuiltIn
        from smartmoney.settings.scenario import load_scenario

        load_scenario(scenario)
        if market == "coinm":
            raise typer.BadParameter("the synthetic market has spot and usdm", param_hint="--market")
        first, seconds = 1 if self.seed is None else self.seed, max(round((self.hours or 1.0) * 3600), 1)
        return {f"{scenario} {one}": BuiltIn(scenario, one, seconds, market) for one in range(first, first + (self.seeds or 1))}


def prepare_to_run(*, with_market: bool) -> None:
    """Make this process ready, and the kernels compiled: before several processes would each do it, and before anything is timed."""
    from smartmoney.runtime import kernel_cache, logs

    logs.configure("WARNING", to_screen=False)
    from smartmoney.runtime.compile import compile_kernels, compile_market_kernels

    compile_kernels(kernel_cache.prepare(), lambda line: print(line, file=sys.stderr), with_market=with_market)
    if with_market:
        compile_market_kernels()


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
