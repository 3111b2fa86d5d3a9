"""`smartmoney train`: a model of the built-in market, of recordings or of a dataset, checked for leaks, a challenger in the model store."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from smartmoney.cli.common import AsJson, ConfigFile, Overrides, Profile, StateDir, layout_of, print_json, settings_of
from smartmoney.cli.stretches import Dataset, FirstDay, LastDay

if TYPE_CHECKING:
    from smartmoney.learning.sets.rows import Rows
    from smartmoney.learning.trainer import Origin, Training, TrainingReport
    from smartmoney.settings.models import Settings

_WINDOW_PAIRS = 30
_UNSAID_MARKET = "usdm"


def train(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[FILE]...", help="One continuous recording, in order: raw frames, or captures of runs.", show_default=False
        ),
    ] = None,
    built_in: Annotated[bool, typer.Option("--built-in", help="Learn from synthetic worlds with known truth: the default model.")] = False,
    run: Annotated[str | None, typer.Option(metavar="RUN_ID", help="Learn from what a run captured; `last` is the newest.")] = None,
    dataset: Dataset = None,
    first: FirstDay = None,
    last: LastDay = None,
    market: Annotated[
        str | None,
        typer.Option(help="Of the recording or dataset: spot, usdm or coinm [default: its own, else usdm].", show_default=False),
    ] = None,
    venue: Annotated[str, typer.Option(help="Whose frames: binance.")] = "binance",
    symbol: Annotated[list[str] | None, typer.Option(metavar="SYMBOL", help="Which instrument, or `all`. Repeatable.")] = None,
    worlds: Annotated[int, typer.Option(min=1, max=100, help="With --built-in: worlds of each family.")] = 3,
    hours: Annotated[float, typer.Option(min=0.5, max=48, help="With --built-in: hours of each world.")] = 3.0,
    base: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Whose regimes a recording is read with [default: the champion's, else the package's]."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="The model's name [default: default, or challenger].")] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Write the bundle to this new folder instead of the model store.")] = None,
    state_dir: StateDir = None,
    config: ConfigFile = None,
    profile: Profile = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Train a model, at low priority. It becomes a challenger: who decides changes with `models promote` only.

    Example: smartmoney train --built-in --out my-model; smartmoney train --dataset DIR --symbol BTCUSDT --from 2025-03-01
    """
    chosen = [bool(files), built_in, run is not None, dataset is not None]
    if sum(chosen) != 1:
        raise typer.BadParameter("name recordings, --built-in, --run RUN_ID or --dataset ROOT: exactly one of them", param_hint="FILE")
    if dataset is None and (first, last) != (None, None):
        raise typer.BadParameter("belong to --dataset ROOT", param_hint="--from, --to")
    if out is not None and out.exists():
        raise typer.BadParameter(f"{out} exists; name a new folder", param_hint="--out")
    if built_in and base is not None:
        raise typer.BadParameter("is for recordings; the built-in market knows its regimes", param_hint="--base")
    settings = settings_of(config, profile, "paper", overrides)
    from smartmoney.runtime import kernel_cache, logs

    logs.configure("WARNING", to_screen=False)
    directory = kernel_cache.prepare()
    from smartmoney.runtime.compile import compile_offline_kernels

    compile_offline_kernels(directory, say=lambda text: print(text, file=sys.stderr))
    layout = layout_of(state_dir)
    with bars() as progress:
        from smartmoney.runtime.training_jobs import recipe_of, stage_champion, train_apart

        champion = None if built_in else stage_champion(layout.models, base)
        if built_in:
            sources, origin = _worlds(settings, worlds, hours, progress)
        elif dataset is not None:
            sources, origin = _stored(dataset, market, symbol or [], first, last, settings)
        else:
            from smartmoney.runtime.replay import named_run

            named = list(files or []) if run is None else [layout.capture(named_run(layout, run))]
            sources, origin = _recordings(named, venue, market, symbol or [], settings)
        recipe = recipe_of(settings, built_in=built_in)
        made = train_apart(sources, recipe, name or ("default" if built_in else "challenger"), origin, progress, champion)
    where = _kept(made, layout.models, out)
    if as_json:
        import msgspec

        print_json({**msgspec.to_builtins(made.report), "folder": str(where)})
        return
    _say(made.report, where)


def _worlds(settings: "Settings", worlds: int, hours: float, progress: Callable[[str, int, int], None]) -> "tuple[list[Rows], Origin]":
    from smartmoney.learning.sets.families import training_windows, training_worlds
    from smartmoney.learning.trainer import Origin
    from smartmoney.runtime.training_jobs import Source, world_rows
    from smartmoney.settings.build import feature_parameters

    asked: list[Source] = [*training_worlds(worlds, round(hours * 3600)), *training_windows(_WINDOW_PAIRS)]
    parallel = settings.advanced_features.feature_engine.enable_parallel_processing
    rows = list(world_rows(asked, feature_parameters(settings), progress, parallel=parallel, caches=settings.caches))
    return rows, Origin(venue="sim", market="usdm", instruments=("BTC/USDT",))


def _recordings(files: list[Path], venue: str, given: str | None, symbols: list[str], settings: "Settings") -> "tuple[list[Rows], Origin]":
    from smartmoney.learning.recorded import check_files, market_of, venue_of
    from smartmoney.learning.trainer import Origin
    from smartmoney.runtime.feature_jobs import chosen_instruments
    from smartmoney.runtime.training_jobs import recorded_rows
    from smartmoney.settings.build import feature_parameters

    check_files(files)
    captured = market_of(files)
    market = given or (_UNSAID_MARKET if captured is None else captured.value)
    instruments = chosen_instruments(files, venue, market, symbols, settings.caches)
    rows = [recorded_rows(files, one, venue, feature_parameters(settings), settings.caches) for one in instruments]
    return rows, Origin(venue=venue_of(files) or venue, market=market, instruments=tuple(one.symbol for one in instruments))


def _stored(
    root: Path, market: str | None, symbols: list[str], first: str | None, last: str | None, settings: "Settings"
) -> "tuple[list[Rows], Origin]":
    from smartmoney.adapters.dataset_reader import chosen_of
    from smartmoney.learning.trainer import Origin
    from smartmoney.runtime.training_jobs import stored_rows
    from smartmoney.settings.build import feature_parameters

    chosen = [one.between(first, last) for one in chosen_of(root, market, symbols)]
    rows = [stored_rows(one, feature_parameters(settings)) for one in chosen]
    whose = chosen[0].instrument
    return rows, Origin(venue=whose.venue, market=whose.market.value, instruments=tuple(one.instrument.symbol for one in chosen))


def _kept(made: "Training", store: Path, out: Path | None) -> Path:
    """Write the bundle and note the training; both whole or not at all."""
    from smartmoney.adapters.model_files import write_bundle
    from smartmoney.adapters.model_reference import write_reference

    if out is None:
        from smartmoney.runtime.training_jobs import keep_training

        return keep_training(made, store)
    write_bundle(out, made.bundle)
    write_reference(out, made.reference)
    return out


def _say(report: "TrainingReport", where: Path) -> None:
    from smartmoney.learning.model_card import DISPLAY_ONLY, left_out
    from smartmoney.learning.sets.labels import TRADABLE_S

    print(f"{report.name}: {report.sources} sources, {report.rows} rows, {report.folds} folds; {where}")
    if report.note:
        print(f"  {report.note}")
    print(f"  regime stage {report.stage}, naming margin {report.naming_margin:.2f}")
    if report.has_truth:
        shown = ", ".join(f"{name} {value:.2f}" for name, value in report.regime_f1.items())
        print(f"  regimes: macro F1 {report.macro_f1:.3f} (filter alone {report.filter_macro_f1:.3f}): {shown}")
        print(f"  informed flow: AUC {report.detector_auc:.3f}, side right {report.detector_direction:.1%} of the surest")
    from smartmoney.learning.calibration_error import in_words

    for one in report.heads:
        print(
            f"  {one.horizon_s:5d} s: AUC {one.auc:.3f}, calibration error {in_words(one.ece, one.ece_low, one.ece_high)}, "
            f"returns x {one.return_scale:.2f}, "
            f"{one.effective:.0f} independent labels, {one.columns} columns"
            + ("" if one.fresh_auc is None else f"; fresh worlds of known families: AUC {one.fresh_auc:.3f}")
        )
        if one.left_out:
            print(f"          {left_out(one, report.folds)}")
    for horizon, why in report.skipped.items():
        print(f"  {horizon:>5} s: none: {why}")
    if not any(one.horizon_s in TRADABLE_S for one in report.heads):
        print(f"  it can never trade: {DISPLAY_ONLY}")
    if report.still:
        print(f"  constant or unknown in all rows: {', '.join(report.still)}")
    if report.paths is not None and report.paths.aucs:
        aucs = report.paths.aucs
        print(
            f"  {report.paths.horizon_s:5d} s, {len(aucs)} histories of combinatorial purged cross-validation: AUC {aucs[0]:.3f} to "
            f"{aucs[-1]:.3f}, median {aucs[len(aucs) // 2]:.3f}"
        )
    if report.canaries is not None:
        print(
            f"  canaries caught: future feature, shuffled labels (AUC off by {report.canaries.shuffled_most:.3f}), time reversed; no "
            f"column knows the future at {', '.join(str(one) for one in report.canaries.horizons_s)} s"
        )
    print("a challenger: `smartmoney evaluate` measures it, `models gate` judges it, and `models promote` makes it decide")


@contextmanager
def bars() -> "Iterator[Callable[[str, int, int], None]]":
    """Show how far each part is, on a terminal only."""
    from rich.console import Console
    from rich.progress import Progress, TaskID

    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as shown:
        tasks: dict[str, TaskID] = {}

        def progress(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = shown.add_task(what, total=total)
            shown.update(tasks[what], completed=done, total=total)

        yield progress
