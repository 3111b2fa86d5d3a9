"""What `backtest` and `tune` share: which stretches of past are meant, and how an order gets to their venue."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from smartmoney.cli.common import layout_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from smartmoney.adapters.dataset_reader import StoredInstrument
    from smartmoney.runtime.backtest import BacktestJob, Source
    from smartmoney.runtime.fill_calibration import FillModel
    from smartmoney.settings.models import Settings
    from smartmoney.simulation.order_latency import OrderLatency

RECORDED = "recorded"
"""A latency: what each request of a captured run took."""
_MEASURED = "measured"

Files = Annotated[list[Path] | None, typer.Argument(help="Recordings of raw frames: one session, or with --each one a file.")]
TheMarket = Annotated[str | None, typer.Option("--market", help="Whose recordings: spot, usdm or coinm [default: the configuration's].")]
Runs = Annotated[list[str] | None, typer.Option("--run", help="A run whose capture to use; `last` is the newest. Repeatable.")]
ScenarioName = Annotated[str | None, typer.Option("--scenario", metavar="NAME", help="A synthetic market instead of recordings.")]
Seeds = Annotated[int | None, typer.Option("--seeds", min=1, max=10_000, help="With --scenario: how many markets [default: 1].")]
FirstSeed = Annotated[int | None, typer.Option("--seed", min=0, help="With --scenario: the first seed; the others follow it [default: 1].")]
Hours = Annotated[float | None, typer.Option("--hours", min=0.01, max=240.0, help="With --scenario: simulated hours of each [default: 1].")]
Dataset = Annotated[Path | None, typer.Option("--dataset", metavar="ROOT", help="A dataset instead: one instrument of it, or all.")]
Symbol = Annotated[
    str | None,
    typer.Option("--symbol", help="With --dataset: which instrument, if it holds several; A,B: in one account; `all`: each alone."),
]
FirstDay = Annotated[str | None, typer.Option("--from", metavar="DAY", help="With --dataset: the first day.")]
LastDay = Annotated[str | None, typer.Option("--to", metavar="DAY", help="With --dataset: the last day.")]
Each = Annotated[bool, typer.Option("--each", help="Every file, or day of a dataset, is a stretch with an account of its own.")]
Fills = Annotated[
    list[str] | None,
    typer.Option("--fills", metavar="measured|RUN", help="Fit queue, slippage and latency to your own fills, all or a run's."),
]
Latency = Annotated[
    str | None,
    typer.Option(
        "--latency",
        metavar="MS",
        help="Order latency: 50, or median and 99th percentile as 50,200, or `measured`; with --run `recorded`, each order's own "
        "[default: paper.latency_ms].",
    ),
]
FeedLatency = Annotated[
    float, typer.Option("--feed-latency", min=0.0, max=60_000.0, metavar="MS", help="Added to the recorded receive times.")
]
Prepares = Annotated[
    bool, typer.Option("--prepared/--no-prepared", help="Read recordings from their prepared form, kept in the cache and made if need be.")
]
Processes = Annotated[int | None, typer.Option("--processes", min=1, max=256, help="Processes [default: one a core].", show_default=False)]


class Days(NamedTuple):
    """Be what the command line says about a dataset."""

    root: Path | None
    symbol: str | None
    first: str | None
    last: str | None

    def sources(self, market: str | None, *, each: bool) -> "dict[str, Source]":
        """Return the stretches of one instrument, or of each of all, by name.

        Raises:
            DatasetRefused: there is no such dataset, instrument or day.
        """
        from smartmoney.adapters.dataset_reader import chosen_of, together

        assert self.root is not None
        if self.symbol is not None and "," in self.symbol:
            return self._stretches(together(self.root, market, self.symbol, self.first, self.last), each=each)
        found: dict[str, Source] = {}
        for one in chosen_of(self.root, market, [] if self.symbol is None else [self.symbol]):
            found |= self._stretches([one.between(self.first, self.last)], each=each)
        return found

    def _stretches(self, chosen: "list[StoredInstrument]", *, each: bool) -> "dict[str, Source]":
        """Return the stretches of instruments that share an account; a day by itself is one that all of them have."""
        from smartmoney.adapters.dataset_reader import DatasetRefused
        from smartmoney.runtime.backtest import StoredDays

        symbols, market = ",".join(one.instrument.symbol for one in chosen), chosen[0].instrument.market.value
        shared = [day for day in chosen[0].days if all(day in one.days for one in chosen)]
        if each and not shared:
            raise DatasetRefused(f"{self.root}: no day that {symbols} all have; leave --each out, or choose other days")
        whole = (min(one.days[0] for one in chosen), max(one.days[-1] for one in chosen))
        key = chosen[0].key.rpartition("/")[0]
        return {
            f"{key}/{symbols} {begin if begin == end else f'{begin} to {end}'}": StoredDays(str(self.root), market, symbols, begin, end)
            for begin, end in ([(day, day) for day in shared] if each else [whole])
        }


class Stretches(NamedTuple):
    """Be what the command line says about the past."""

    files: list[Path]
    market: str | None
    runs: list[str]
    scenario: str | None
    seeds: int | None
    seed: int | None
    hours: float | None
    days: Days
    each: bool

    def jobs(
        self,
        settings: "Settings",
        latency: str | None,
        feed_latency_ms: float,
        state_dir: Path | None,
        fills: list[str] | None = None,
        *,
        prepares: bool = True,
    ) -> "list[BacktestJob]":
        """Return a job per stretch.

        Raises:
            typer.BadParameter: options contradict each other, or name what is not there.
            ConfigurationError: there is no such scenario.
        """
        self._check()
        from smartmoney.runtime import kernel_cache

        # Before numba is imported, which would else keep its cache beside the sources, and take stale kernels from there.
        kernel_cache.prepare()
        sources = self._sources(settings, state_dir)
        waits = self._waits(sources, state_dir) if latency == RECORDED else {}
        model = _latency(None if waits else latency, settings, state_dir)
        fitted = _fitted(fills, state_dir) if fills else None
        if fitted is not None and latency is None:
            model = fitted.latency(model)
        from smartmoney.runtime.backtest import BacktestJob

        models = str(layout_of(state_dir).models)
        return [
            BacktestJob(
                name=name,
                source=source,
                settings=settings,
                latency=model,
                feed_latency_ms=feed_latency_ms,
                models=models,
                fills=fitted,
                prepares=prepares,
                waits_ms=waits.get(name, ()),
            )
            for name, source in sources.items()
        ]

    def _waits(self, sources: "Mapping[str, Source]", state_dir: Path | None) -> dict[str, tuple[float, ...]]:
        """Return what the requests of each run took."""
        from smartmoney.adapters.journal import JournalReader
        from smartmoney.runtime.backtest import CapturedRun

        _refuse_unless(bool(self.runs), "`recorded` is about a captured run: name it with --run", "--latency")
        with JournalReader.open(layout_of(state_dir).journal) as journal:
            found = {
                name: tuple(journal.request_waits_ms(Path(source.folder).name))
                for name, source in sources.items()
                if isinstance(source, CapturedRun)
            }
        _refuse_unless(all(found.values()), "`recorded`: the run sent no order, so none has a latency", "--latency")
        return found

    def _check(self) -> None:
        days = self.days
        _refuse_unless(
            self.scenario is not None or (self.seeds, self.seed, self.hours) == (None, None, None),
            "belong to --scenario NAME",
            "--seeds, --seed, --hours",
        )
        _refuse_unless(
            days.root is not None or (days.symbol, days.first, days.last) == (None, None, None),
            "belong to --dataset ROOT",
            "--symbol, --from, --to",
        )
        is_several = bool(self.files) or days.root is not None
        _refuse_unless(not self.each or is_several, "is about several recordings or days, and none is given", "--each")
        _refuse_unless(not self.runs or self.market is None, "is what the run had; leave it out", "--market")
        if sum((bool(self.files), bool(self.runs), self.scenario is not None, days.root is not None)) != 1:
            raise typer.BadParameter("give recordings, or --run RUN_ID, --scenario NAME or --dataset ROOT: one of the four")

    def _sources(self, settings: "Settings", state_dir: Path | None) -> "dict[str, Source]":
        """Return what to test, by name."""
        if self.days.root is not None:
            return self.days.sources(self.market, each=self.each)
        market = self.market or settings.market
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
    from smartmoney.runtime.compile import compile_kernels, compile_market_kernels, compile_offline_kernels

    directory = kernel_cache.prepare()
    compile_kernels(directory, _tell, with_market=with_market)
    compile_offline_kernels(directory, _tell)
    if with_market:
        compile_market_kernels()


def _tell(line: str) -> None:
    print(line, file=sys.stderr)


def _refuse_unless(fits: bool, problem: str, options: str) -> None:
    if not fits:
        raise typer.BadParameter(problem, param_hint=options)


def _fitted(runs: list[str], state_dir: Path | None) -> "FillModel":
    from smartmoney.runtime.fill_calibration import calibrate_on

    found = calibrate_on(layout_of(state_dir), [name for name in runs if name != _MEASURED])
    for line in found.words:
        print(line, file=sys.stderr)
    return found


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
