"""`smartmoney evaluate`: how good a bundle is on worlds that nobody could tune it to, and what it misses."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from smartmoney.cli.common import AsJson, ConfigFile, Overrides, Profile, StateDir, layout_of, print_json, settings_of
from smartmoney.cli.train import bars

if TYPE_CHECKING:
    from smartmoney.core.features.parameters import FeatureParameters
    from smartmoney.learning.evaluation.evaluate import Evaluation
    from smartmoney.learning.sets.rows import Rows

HOLDOUTS = "holdouts.jsonl"
"""Every run on held-out worlds, in the model store's folder; nothing is ever removed, so that everybody can count."""
_CAPTURES = (
    ("usdm", ("usdm/btcusdt_20240808.gz",)),
    ("usdm", ("usdm/btcusdt_20230404.dat.gz", "usdm/btcusdt_20230405.dat.gz")),
    ("usdm", ("usdm/ethusdt_20240808.gz",)),
    ("spot", ("spot/btcusdt_20240808.gz", "spot/btcusdt_20240809.gz")),
    ("spot", ("spot/ethusdt_20240808.gz", "spot/ethusdt_20240809.gz")),
)


def evaluate(
    bundle: Annotated[str, typer.Argument(metavar="[BUNDLE]", help="Name, hash, or a bundle's folder.")] = "default",
    suite: Annotated[str, typer.Option(help="Name of the held-out suite: another name, other worlds.")] = "standard",
    worlds: Annotated[
        Path | None, typer.Option("--worlds", metavar="DIR", help="Score these recorded worlds instead of fresh ones.")
    ] = None,
    per_family: Annotated[int, typer.Option(min=1, max=50, help="Fresh worlds of each family.")] = 1,
    hours: Annotated[float, typer.Option(min=0.25, max=24, help="Hours of each.")] = 2.0,
    windows: Annotated[
        int, typer.Option(min=0, max=2000, help="Oracle worlds with a target, per kind, and as many without; 0: none.")
    ] = 50,
    nulls: Annotated[int, typer.Option(min=0, max=200, help="Worlds with nothing to find; 0: none.")] = 10,
    captures: Annotated[bool, typer.Option("--captures", help="Also compare on the public recordings in SMARTMONEY_CAPTURES.")] = False,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Also write evaluation.json and evaluation.html to this folder.")] = None,
    state_dir: StateDir = None,
    config: ConfigFile = None,
    profile: Profile = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Measure a bundle: planted flow against the exact oracle, regimes against truth, calibration, recordings, worlds with nothing to find.

    Example: smartmoney evaluate default --captures --json
    """
    settings = settings_of(config, profile, "paper", overrides)
    from smartmoney.runtime import kernel_cache, logs

    logs.configure("WARNING", to_screen=False)
    directory = kernel_cache.prepare()
    from smartmoney.adapters.ledger import append
    from smartmoney.adapters.model_store import ModelNotFound, ModelStore
    from smartmoney.learning.evaluation.evaluate import evaluate as score
    from smartmoney.runtime.compile import compile_offline_kernels
    from smartmoney.settings.build import feature_parameters, fees_bps, regime_parameters

    store = ModelStore(layout_of(state_dir).models)
    found = store.find(bundle)
    if found is None:
        raise ModelNotFound(
            f"{bundle} is the untrained prior here: there is no bundle to evaluate; make one with `smartmoney train --built-in`"
        )
    compile_offline_kernels(directory, say=lambda text: print(text, file=sys.stderr))
    parameters = feature_parameters(settings)
    rows = _rows(found.hash, suite, worlds, per_family, hours, windows, nulls, parameters)
    recordings = _recordings(parameters) if captures else []
    runs = append(store.folder / HOLDOUTS, {"bundle": found.hash, "suite": suite, "worlds": str(worlds) if worlds else "fresh"})
    scores = score(
        found,
        regime_parameters(settings),
        suite=suite,
        holdout_runs=runs,
        recordings=recordings,
        fee_bps=float(fees_bps(settings)[1]),
        **rows,
    )
    if out is not None:
        from smartmoney.reports.evaluation import write_evaluation

        write_evaluation(scores, found, out)
    if as_json:
        print_json(scores.summary())
        return
    _say(scores)


def _rows(
    hash_: str, suite: str, folder: Path | None, per_family: int, hours: float, windows: int, nulls: int, parameters: "FeatureParameters"
) -> "dict[str, list[Rows]]":
    from smartmoney.learning.sets.families import held_out_nulls, held_out_windows, held_out_worlds
    from smartmoney.learning.sets.recorded_worlds import read_world, world_folders
    from smartmoney.runtime.codecs import recorded_binance
    from smartmoney.runtime.training_jobs import world_rows

    with bars() as progress:
        made: dict[str, list[Rows]] = {}
        if folder is not None:
            made["worlds"] = [rows for one in world_folders(folder) for rows in read_world(one, recorded_binance(), parameters)]
        else:
            made["worlds"] = list(
                world_rows(held_out_worlds(hash_, suite, per_family, round(hours * 3600)), parameters, progress, parallel=True)
            )
        if windows:
            made["windows"] = list(world_rows(held_out_windows(hash_, suite, windows), parameters, progress, parallel=True))
        if nulls:
            made["nulls"] = list(world_rows(held_out_nulls(hash_, suite, nulls, round(hours * 3600)), parameters, progress, parallel=True))
    return made


def _recordings(parameters: "FeatureParameters") -> "list[Rows]":
    from smartmoney.runtime.feature_jobs import chosen_instruments
    from smartmoney.runtime.training_jobs import recorded_rows

    root = os.environ.get("SMARTMONEY_CAPTURES")
    if not root:
        raise typer.BadParameter("set SMARTMONEY_CAPTURES to the folder of the public recordings", param_hint="--captures")
    found = []
    for market, names in _CAPTURES:
        files = [Path(root) / "hftbacktest" / name for name in names]
        if all(file.is_file() for file in files):
            instrument = chosen_instruments(files, "binance", market, [])[0]
            found.append(recorded_rows(files, instrument, "binance", parameters))
    return found


def _say(scores: "Evaluation") -> None:
    print(f"{scores.name}; held-out suite {scores.suite!r}, run {scores.holdout_runs} of this store")
    for one in scores.flow:
        print(
            f"  planted flow, {one.kind:9} AUC {one.auc:.3f} [{one.auc_low:.3f}, {one.auc_high:.3f}], oracle {one.auc_oracle:.3f}, "
            f"efficiency {one.efficiency:.2f} [{one.efficiency_low:.2f}, {one.efficiency_high:.2f}], side {one.direction:.1%}"
        )
    if scores.regimes is not None:
        regimes = scores.regimes
        print(
            f"  regimes: macro F1 {regimes.macro_f1:.3f} [{regimes.macro_f1_low:.3f}, {regimes.macro_f1_high:.3f}] "
            f"on {regimes.worlds} worlds"
        )
        _say_pairs("    by regime", regimes.f1)
        _say_pairs("    by family", regimes.by_family)
    for head in scores.heads:
        quality = head.quality
        print(
            f"  {head.horizon_s:5d} s: AUC {head.auc:.3f}, error {quality.ece:.3f} [{quality.ece_low:.3f}, {quality.ece_high:.3f}], "
            f"slope {quality.slope:.2f}, intercept {quality.intercept:+.2f}, Brier skill {quality.skill:+.4f}, "
            f"{head.effective:.0f} independent"
        )
    for base in scores.baseline:
        print(
            f"  recordings (minutes), {base.horizon_s} s: AUC {base.auc:.3f}, logistic {base.auc_logistic:.3f}, gain {base.gain:+.3f} "
            f"[{base.gain_low:+.3f}, {base.gain_high:+.3f}]"
        )
    if scores.nulls is not None:
        nulls = scores.nulls
        print(
            f"  nothing to find: {nulls.trades} trades, gross {nulls.gross:+.2f} bps "
            f"[{nulls.gross_ci_low:+.2f}, {nulls.gross_ci_high:+.2f}], net {nulls.net:+.2f} at a cost of {nulls.cost:.2f}, "
            f"overfitting {nulls.pbo_mean:.2f} of {nulls.pbo_worlds} worlds"
        )
    from smartmoney.learning.evaluation.evaluate import misses

    for miss in misses(scores):
        print(f"  missed: {miss}")


def _say_pairs(title: str, values: dict[str, Any]) -> None:
    print(f"{title}: " + ", ".join(f"{name} {value:.2f}" for name, value in values.items()))
