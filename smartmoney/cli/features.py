"""`smartmoney features`: the schema of the features; `compute` writes their table for a recording, `study` says what they were worth."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from smartmoney.cli.common import ConfigFile, Overrides, Profile, print_json, settings_of

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from smartmoney.learning.feature_study import FeatureStudy
    from smartmoney.learning.feature_table import TableSummary
    from smartmoney.settings.models import Settings

app = typer.Typer(rich_markup_mode=None)

_WIDTH = 140
"""Columns of a table that goes to a file or a pipe."""

Files = Annotated[
    list[Path],
    typer.Argument(metavar="FILE...", help="One continuous recording, in order: raw frames, or captures of runs.", show_default=False),
]
Venue = Annotated[str, typer.Option(help="Whose frames: binance.")]
TheMarket = Annotated[str, typer.Option(help="spot, usdm or coinm.", show_default=False)]
Every = Annotated[str, typer.Option(metavar="STEP", help="Exchange time between rows: 100ms, 1s, 5s, 1m …")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.callback(invoke_without_command=True)
def features(
    context: typer.Context,
    group: Annotated[str | None, typer.Option(metavar="NAME", help="Only the features of this group.")] = None,
    interactions: Annotated[
        int | None, typer.Option(metavar="DEPTH", min=1, help="Print instead the products of up to so many features that models get.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object: hash, version, and a list of features.")] = False,
) -> None:
    """Print what each feature is: name, group, unit, parity under the buy/sell mirror, half-life, warm-up, bounds, formula.

    Example: smartmoney features --group top --json
    """
    from smartmoney.runtime.kernel_cache import prepare

    # For every subcommand, before it imports numba, which would else keep its cache beside the sources, and take stale kernels from there.
    prepare()
    if context.invoked_subcommand is not None:
        return
    import msgspec

    from smartmoney.core.features.schema import FEATURES, SCHEMA_HASH, VERSION

    if interactions is not None:
        _print_interactions(interactions, as_json=as_json)
        return
    groups = dict.fromkeys(feature.group for feature in FEATURES)
    if group is not None and group not in groups:
        raise typer.BadParameter(f"no group {group!r}; there are {', '.join(groups)}", param_hint="--group")
    chosen = [feature for feature in FEATURES if group in {None, feature.group}]
    if as_json:
        print(msgspec.json.encode({"schema_hash": SCHEMA_HASH, "version": VERSION, "features": chosen}).decode())
        return
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(title=f"{len(chosen)} features, schema {SCHEMA_HASH[:12]}")
    for heading in ("feature", "unit", "parity", "half-life", "warm after", "bounds"):
        table.add_column(heading, no_wrap=heading == "feature")
    for feature in chosen:
        half_life = f"{feature.half_life_s:g} s" if feature.half_life_s else ""
        warm = f"{feature.warm_up.seconds:g} s, {feature.warm_up.events} {feature.warm_up.event}"
        table.add_row(feature.name, feature.unit, feature.parity, half_life, warm, _bounds(*feature.bounds))
    console.print(table)
    for feature in chosen:
        console.print(f"{feature.name} ({feature.group}; {feature.source})", style="bold", markup=False, highlight=False)
        console.print(f"  {feature.description}", markup=False, highlight=False)


def _print_interactions(depth: int, *, as_json: bool) -> None:
    import msgspec

    from smartmoney.core.features.interactions import interactions, schema_hash

    products = interactions(depth)
    if as_json:
        print(msgspec.json.encode({"schema_hash": schema_hash(depth), "depth": depth, "interactions": products}).decode())
        return
    for product in products:
        print(f"{product.name} ({product.parity})")
    print(f"{len(products)} products of up to {depth} features, schema {schema_hash(depth)[:12]}")


@app.command()
def compute(
    files: Files,
    market: TheMarket,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The table: .parquet, or .csv.", show_default=False)],
    venue: Venue = "binance",
    every: Every = "1s",
    symbol: Annotated[
        list[str] | None,
        typer.Option(metavar="SYMBOL", help="Which instrument, or `all`. Repeatable: then a file each, with the symbol in its name."),
    ] = None,
    config: ConfigFile = None,
    profile: Profile = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Write the feature table of a recording: a row per step of exchange time, a column per feature; not warm is NaN.

    Example: smartmoney features compute day1.gz day2.gz --market usdm --every 1s --out table.parquet
    """
    every_ns = _checked(venue, market, every)
    from smartmoney.learning.feature_table import SUFFIXES

    if out.suffix not in SUFFIXES:
        raise typer.BadParameter(f"{out.name!r} names no kind of table; end it with {' or '.join(SUFFIXES)}", param_hint="--out")
    settings = _prepared(files, config, profile, overrides)
    from smartmoney.runtime.feature_jobs import EVERY_SYMBOL, chosen_instruments, run_jobs, table_jobs, worker_count
    from smartmoney.settings.build import feature_parameters

    wanted = symbol or []
    one_file = len(wanted) <= 1 and EVERY_SYMBOL not in [one.lower() for one in wanted]
    instruments = chosen_instruments(files, venue, market, wanted, settings.caches)
    jobs = table_jobs(files, instruments, every_ns, feature_parameters(settings), out, one_file=one_file)
    parallel = settings.advanced_features.feature_engine.enable_parallel_processing
    tables = run_jobs(jobs, venue, settings.caches, parallel=parallel)
    if as_json:
        import msgspec

        shown = [msgspec.to_builtins(table) for table in tables]
        workers = worker_count(len(jobs), parallel=parallel)
        print_json({**shown[0], "workers": workers} if one_file else {"workers": workers, "tables": shown})
        return
    for table in tables:
        _say_table(table)


@app.command()
def study(
    files: Files,
    market: TheMarket,
    venue: Venue = "binance",
    every: Every = "1s",
    symbol: Annotated[str | None, typer.Option(metavar="SYMBOL", help="Which instrument, where there are several.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Also write study.json, study.html and pictures to this folder.")] = None,
    config: ConfigFile = None,
    profile: Profile = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Say what each feature was worth on a recording: coverage, distribution, memory, correlation with the mid's moves, with intervals.

    Example: smartmoney features study day.gz --market usdm --out report
    """
    every_ns = _checked(venue, market, every)
    if out is not None and out.exists() and not out.is_dir():
        raise typer.BadParameter(f"{out} is no folder; name one, it is made if need be", param_hint="--out")
    if symbol is not None and symbol.lower() == "all":
        raise typer.BadParameter("a study is of one instrument; name its symbol", param_hint="--symbol")
    settings = _prepared(files, config, profile, overrides)
    from smartmoney.runtime.feature_jobs import chosen_instruments, run_study
    from smartmoney.settings.build import feature_parameters

    instrument = chosen_instruments(files, venue, market, [symbol] if symbol else [], settings.caches)[0]
    found, rows = run_study(files, instrument, venue, every_ns, feature_parameters(settings), settings.caches)
    written: list[Path] = []
    if out is not None:
        from smartmoney.reports.feature_study import write_study

        written = write_study(found, rows, out)
    if as_json:
        import msgspec

        print(msgspec.json.encode(found).decode())
        return
    _say_study(found)
    if written:
        print(f"wrote {', '.join(path.name for path in written)} to {out}")


def _checked(venue: str, market: str, every: str) -> int:
    """Return the step in ns.

    Raises:
        typer.BadParameter: an option says what there is not.
    """
    from smartmoney.core.domain.instruments import Market
    from smartmoney.learning.grid_fold import parse_step
    from smartmoney.runtime.codecs import RECORDED_CODECS

    if venue not in RECORDED_CODECS:
        raise typer.BadParameter(f"no decoder for {venue!r}; there is {', '.join(RECORDED_CODECS)}", param_hint="--venue")
    markets = [one.value for one in Market]
    if market not in markets:
        raise typer.BadParameter(f"no market {market!r}; there are {', '.join(markets)}", param_hint="--market")
    try:
        return parse_step(every)
    except ValueError as wrong:
        raise typer.BadParameter(str(wrong), param_hint="--every") from None


def _prepared(files: list[Path], config: Path | None, profile: str | None, overrides: list[str] | None) -> "Settings":
    """Return the settings, once it is certain that there are files and kernels to work with."""
    settings = settings_of(config, profile, "paper", overrides)
    from smartmoney.runtime import kernel_cache, logs

    logs.configure("WARNING", to_screen=False)
    directory = kernel_cache.prepare()
    from smartmoney.learning.recorded import check_files
    from smartmoney.runtime.compile import compile_offline_kernels

    check_files(files)
    compile_offline_kernels(directory, say=lambda text: print(text, file=sys.stderr))
    return settings


def _say_table(table: "TableSummary") -> None:
    rate = table.frames / table.seconds if table.seconds else 0.0
    print(f"{table.out}: {table.symbol}, {table.rows} rows of {table.columns} features, {table.frames} frames in {table.seconds:.1f} s")
    print(f"  {table.first_ts_event_ns} to {table.last_ts_event_ns} ns of exchange time, {table.levels} levels, {rate:.0f} frames/s")
    if table.provisional_grid:
        print("  tick and lot are guessed from the recording, which holds no exchange information")
    if table.holes:
        print(f"  {table.holes} holes, in which there are no rows")
    for problem in table.problems:
        print(f"  damaged: {problem}")


def _say_study(found: "FeatureStudy") -> None:
    from rich.console import Console

    from smartmoney.reports.feature_study import description

    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH)
    for line in description(found):
        console.print(line, markup=False, highlight=False)
    _say_facts(console, found)
    _say_relations(console, found)
    _say_distributions(console, found)


def _table(title: str, first: str, *others: str) -> "Table":
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(title=title, box=SIMPLE_HEAD, title_justify="left", padding=(0, 1, 0, 0))
    table.add_column(first, no_wrap=True)
    for heading in others:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _say_facts(console: "Console", found: "FeatureStudy") -> None:
    from smartmoney.reports.feature_study import estimate_text, interval_text

    table = _table(
        f"published facts, measured here: {found.symbol} {found.market}", "fact", "measured", "95 % interval", "rows", "published"
    )
    for fact in found.facts:
        known = "" if fact.published is None else f"{fact.published:g}"
        one = fact.measured
        table.add_row(fact.meaning, estimate_text(one, 3), interval_text(one, 3), str(one.n), known)
    console.print(table)


def _say_relations(console: "Console", found: "FeatureStudy") -> None:
    from smartmoney.learning.feature_study import HORIZONS_S
    from smartmoney.reports.feature_study import estimate_text

    moves = ("same 1 s", *(f"next {horizon} s" for horizon in HORIZONS_S))
    areas = tuple(f"AUC {horizon} s" for horizon in HORIZONS_S)
    title = "correlation with the mid's move (*: the 95 % interval excludes 0; --json has it); AUC of its direction"
    table = _table(title, "feature", *moves, *areas)
    for one in found.features:
        cells = [one.same_1s, *(one.next_move[str(horizon)] for horizon in HORIZONS_S)]
        shown = [estimate_text(cell, signed=True) + ("*" if cell.excludes_zero else " ") for cell in cells]
        table.add_row(one.name, *shown, *(estimate_text(area) for area in one.auc_next.values()))
    console.print(table)


def _say_distributions(console: "Console", found: "FeatureStudy") -> None:
    from smartmoney.learning.feature_study import LAGS_S
    from smartmoney.reports.feature_study import number_text

    quantiles = [f"{level:.0%}" for level in found.quantile_levels]
    table = _table("distribution and autocorrelation", "feature", "warm", "mean", "sd", *quantiles, *(f"ρ {lag} s" for lag in LAGS_S))
    for one in found.features:
        memory = [one.autocorrelation[str(lag)] for lag in LAGS_S]
        numbers = map(number_text, (one.mean, one.sd, *one.quantiles))
        table.add_row(one.name, f"{one.coverage:.0%}", *numbers, *("–" if value is None else f"{value:.2f}" for value in memory))
    console.print(table)


def _bounds(low: float | None, high: float | None) -> str:
    if low is None and high is None:
        return ""
    return f"{'' if low is None else format(low, 'g')} … {'' if high is None else format(high, 'g')}"
