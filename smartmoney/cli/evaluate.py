"""`smartmoney evaluate`: how good a bundle is on worlds that nobody could tune it to, and what it misses."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from smartmoney.cli.common import AsJson, ConfigFile, Overrides, Profile, StateDir, layout_of, print_json, settings_of
from smartmoney.cli.train import bars

if TYPE_CHECKING:
    from smartmoney.adapters.model_store import ModelStore
    from smartmoney.core.models.bundle import Bundle
    from smartmoney.learning.evaluation.against import Compared
    from smartmoney.learning.evaluation.evaluate import Evaluation, HeldOut
    from smartmoney.learning.sets.rows import Rows
    from smartmoney.settings.models import Settings

HOLDOUTS = "holdouts.jsonl"
"""Every run on held-out worlds, in the model store's folder; nothing is ever removed, so that everybody can count."""


def evaluate(
    bundle: Annotated[str, typer.Argument(metavar="[BUNDLE]", help="Name, hash, or a bundle's folder.")] = "default",
    against: Annotated[
        str | None, typer.Option(metavar="BUNDLE", help="Score this one on the very same worlds, too, and tell each difference.")
    ] = None,
    suite: Annotated[str, typer.Option(help="Name of the held-out suite: another name, other worlds.")] = "standard",
    worlds: Annotated[
        Path | None, typer.Option("--worlds", metavar="DIR", help="Score these recorded worlds instead of fresh ones.")
    ] = None,
    per_family: Annotated[int, typer.Option(min=1, max=50, help="Fresh worlds of each family.")] = 1,
    hours: Annotated[float, typer.Option(min=0.25, max=24, help="Hours of each full market.")] = 2.0,
    windows: Annotated[
        int, typer.Option(min=0, max=2000, help="Oracle worlds with a target, per kind, and as many without; 0: none.")
    ] = 50,
    quiet_days: Annotated[
        float, typer.Option(min=0, max=100, help="Days without a target by which alarms are set, of each law; 0: no delays.")
    ] = 1.0,
    targets: Annotated[int, typer.Option(min=0, max=2000, help="Targets per kind whose alarm is timed; 0: none.")] = 20,
    nulls: Annotated[int, typer.Option(min=0, max=200, help="Worlds with nothing to find, traded on; 0: none.")] = 10,
    planted: Annotated[int, typer.Option(min=0, max=200, help="Worlds with an edge worth its cost, traded on; 0: none.")] = 4,
    told: Annotated[int, typer.Option(min=0, max=50, help="Worlds with spoofers, and as many with traps; 0: none.")] = 1,
    curve: Annotated[
        int, typer.Option(min=0, max=50, help="Also learn anew from up to so many worlds of each family: the learning curve.")
    ] = 0,
    filter_: Annotated[
        int, typer.Option("--filter", min=0, max=64, help="Worlds that each family's filter of regimes is learned from; 0: no filter.")
    ] = 8,
    captures: Annotated[bool, typer.Option("--captures", help="Also compare on the public recordings in SMARTMONEY_CAPTURES.")] = False,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Also write evaluation.json and evaluation.html to this folder.")] = None,
    state_dir: StateDir = None,
    config: ConfigFile = None,
    profile: Profile = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Measure a bundle: planted flow against the exact oracle, spoofs, traps, regimes, forecasts, trades on worlds with and without edge.

    Example: smartmoney evaluate default --captures --json
    """
    if 0 < quiet_days < 1:
        raise typer.BadParameter("one false alarm a day cannot be set on less than a day; give 1 or more, or 0", param_hint="--quiet-days")
    settings = settings_of(config, profile, "paper", overrides)
    from smartmoney.runtime import kernel_cache, logs

    logs.configure("WARNING", to_screen=False)
    directory = kernel_cache.prepare()
    from smartmoney.adapters.model_store import ModelStore
    from smartmoney.runtime.compile import compile_offline_kernels
    from smartmoney.runtime.evaluation_jobs import Maker, Sizes
    from smartmoney.runtime.training_jobs import recipe_of

    store = ModelStore(layout_of(state_dir).models)
    bundles = [_found(store, one) for one in (bundle, against) if one is not None]
    if len(bundles) > len({one.hash for one in bundles}):
        raise typer.BadParameter(f"is the same bundle as {bundle}; name another one", param_hint="--against")
    compile_offline_kernels(directory, say=lambda text: print(text, file=sys.stderr))
    sizes = Sizes(
        per_family=per_family,
        hours=hours,
        windows=windows,
        quiet_days=quiet_days,
        targets=targets,
        nulls=nulls,
        planted=planted,
        told=told,
        curve=curve,
        filter=filter_,
    )
    with bars() as progress:
        recordings = _recordings(settings, progress) if captures else []
        held = Maker(bundles, suite, sizes, settings, progress).held_out(worlds, recordings, recipe_of(settings, built_in=True))
        progress("scores", 0, 1)
        scores = _scored(store, bundles, held, settings, suite=suite, worlds=worlds, permute=out is not None)
        progress("scores", 1, 1)
    if out is not None:
        from smartmoney.reports.evaluation import write_evaluation

        write_evaluation(scores, bundles[0], out)
    _tell(scores, as_json=as_json)


def _scored(
    store: "ModelStore",
    bundles: "list[Bundle]",
    held: "list[HeldOut]",
    settings: "Settings",
    *,
    suite: str,
    worlds: Path | None,
    permute: bool,
) -> "Evaluation | Compared":
    """Note in the ledger that the bundles were held out, then score them."""
    from smartmoney.adapters.ledger import append
    from smartmoney.learning.evaluation.against import compare
    from smartmoney.learning.evaluation.evaluate import evaluate as score
    from smartmoney.settings.build import regime_parameters

    runs = []
    for one in bundles:
        entry: dict[str, object] = {"bundle": one.hash, "suite": suite, "worlds": str(worlds) if worlds else "fresh"}
        others = [other.hash for other in bundles if other is not one]
        runs.append(append(store.folder / HOLDOUTS, entry | ({"against": others[0]} if others else {})))
    parameters = regime_parameters(settings)
    suite = suite if worlds is None else f"recorded in {worlds.name}"
    if len(bundles) == 1:
        return score(bundles[0], parameters, held[0], suite=suite, holdout_runs=runs[0], permute=permute)
    return compare((bundles[0], bundles[1]), (held[0], held[1]), parameters, suite=suite, holdout_runs=(runs[0], runs[1]), permute=permute)


def _tell(scores: "Evaluation | Compared", *, as_json: bool) -> None:
    from smartmoney.cli.evaluate_said import say, say_both
    from smartmoney.learning.evaluation.evaluate import Evaluation
    from smartmoney.learning.evaluation.summary import summary_of, summary_of_both

    if isinstance(scores, Evaluation):
        print_json(summary_of(scores)) if as_json else say(scores)
    else:
        print_json(summary_of_both(scores)) if as_json else say_both(scores)


def _found(store: "ModelStore", asked: str) -> "Bundle":
    from smartmoney.adapters.model_store import ModelNotFound

    found = store.find(asked)
    if found is None:
        raise ModelNotFound(
            f"{asked} is the untrained prior here: there is no bundle to evaluate; make one with `smartmoney train --built-in`"
        )
    return found


def _recordings(settings: "Settings", progress: Callable[[str, int, int], None]) -> "list[Rows]":
    from smartmoney.runtime.public_recordings import public_rows

    root = os.environ.get("SMARTMONEY_CAPTURES")
    if not root:
        raise typer.BadParameter("set SMARTMONEY_CAPTURES to the folder of the public recordings", param_hint="--captures")
    return public_rows(Path(root), settings, progress, lambda text: print(text, file=sys.stderr))
