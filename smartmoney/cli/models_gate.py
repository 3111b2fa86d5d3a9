"""`smartmoney models gate` and `models shadow`: what a challenger is worth on days that it never saw, and the record of it."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from smartmoney.cli.common import AsJson, ConfigFile, Overrides, Profile, StateDir, layout_of, print_json, settings_of
from smartmoney.cli.stretches import Dataset, Days, Files, FirstDay, LastDay, Runs, Stretches, Symbol, TheMarket, prepare_to_run
from smartmoney.cli.train import bars

if TYPE_CHECKING:
    from smartmoney.adapters.model_store import ModelStore
    from smartmoney.core.models.bundle import Bundle
    from smartmoney.runtime.gate_jobs import Judgement
    from smartmoney.runtime.shadow import Shadowed
    from smartmoney.settings.models import Settings

Challenger = Annotated[
    str, typer.Argument(metavar="MODEL", help="Name, hash (or its beginning), or a bundle's folder.", show_default=False)
]
ShadowRuns = Annotated[
    list[str] | None, typer.Option("--shadow", metavar="RUN", help="Also a run to shadow, beside those of --run. Repeatable.")
]


def gate(
    model: Challenger,
    files: Files = None,
    market: TheMarket = None,
    run: Runs = None,
    dataset: Dataset = None,
    symbol: Symbol = None,
    first: FirstDay = None,
    last: LastDay = None,
    shadow: ShadowRuns = None,
    config: ConfigFile = None,
    profile: Profile = None,
    overrides: Overrides = None,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Judge a challenger against the champion on untouched days, and record what the gate said in the bundle. Exit 1: it did not pass.

    Example: smartmoney models gate challenger --dataset DIR --symbol BTCUSDT --from 2025-03-01 --shadow last
    """
    settings = settings_of(config, profile, "paper", overrides)
    days = Days(dataset, symbol, first, last)
    jobs = Stretches(files or [], market, run or [], None, None, None, None, days, each=False).jobs(settings, None, 0.0, state_dir)
    prepare_to_run(with_market=False)
    from smartmoney.adapters.model_store import ModelStore
    from smartmoney.learning.drift_monitors import Reference
    from smartmoney.runtime.gate_jobs import Contest, judge_contest

    store = ModelStore(layout_of(state_dir).models)
    challenger = _bundle(store, model)
    store.add(challenger)
    with bars() as progress:
        shadows = _shadows(challenger, settings, shadow or [], state_dir)
        # Of the judged runs as many as make a day, the newest first: a replay costs what a backtest does.
        shadows += _shadows(challenger, settings, (run or [])[::-1], state_dir, may_lack=True, so_far=shadows)
        contest = Contest(
            challenger=challenger,
            champion=_champion(store, challenger),
            reference=store.reference(challenger.hash, Reference),
            jobs=tuple(jobs),
            shadows=shadows,
            settings=settings,
        )
        found = judge_contest(contest, progress)
    store.record_gate(challenger.hash, found.gate)
    if as_json:
        import msgspec

        print_json(msgspec.to_builtins(found))
    else:
        _say(found)
    if not found.verdict.passed:
        raise typer.Exit(1)


def shadow(
    model: Challenger,
    run: Runs = None,
    config: ConfigFile = None,
    profile: Profile = None,
    overrides: Overrides = None,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Let a challenger decide, on paper, in what a daemon's runs captured, and hold its features against what the daemon noted.

    Example: smartmoney models shadow challenger --run last
    """
    settings = settings_of(config, profile, "paper", overrides)
    if not run:
        raise typer.BadParameter("name a run: --run RUN_ID, or --run last", param_hint="--run")
    prepare_to_run(with_market=False)
    from smartmoney.adapters.model_store import ModelStore

    challenger = _bundle(ModelStore(layout_of(state_dir).models), model)
    found = _shadows(challenger, settings, run, state_dir)
    if as_json:
        import msgspec

        print_json({"model": challenger.name, "shadows": msgspec.to_builtins(found)})
        return
    for one in found:
        print(
            f"run {one.run_id}: {challenger.name} made {one.decisions} decisions, {one.signals} signals; {one.hours:.2f} hours of noted "
            f"features, largest difference {one.parity:.3g} ({one.worst}), {one.entries_lost} entries lost"
        )


def _bundle(store: "ModelStore", model: str) -> "Bundle":
    from smartmoney.adapters.model_store import ModelNotFound

    found = store.find(model)
    if found is None:
        raise ModelNotFound(f"{model} is the untrained prior here: there is nothing to judge; train a challenger first")
    return found


def _champion(store: "ModelStore", challenger: "Bundle") -> "Bundle | None":
    """Return the newest champion that is another model; None where none was ever promoted."""
    others = [one for one in store.champions().standing if one != challenger.hash]
    return store.load(others[-1]) if others else None


def _shadows(
    challenger: "Bundle",
    settings: "Settings",
    runs: list[str],
    state_dir: Path | None,
    *,
    may_lack: bool = False,
    so_far: "tuple[Shadowed, ...] | None" = None,
) -> "tuple[Shadowed, ...]":
    """Return shadows of runs: of all, or (`so_far` given) of those not among them until together they last as long as a gate asks."""
    from smartmoney.learning.gate import SHADOW_H_MIN
    from smartmoney.runtime.replay import ReplayRefused, named_run
    from smartmoney.runtime.shadow import shadow_run

    layout = layout_of(state_dir)
    found: list[Shadowed] = []
    known = {one.run_id for one in so_far or ()}
    for name in dict.fromkeys(named_run(layout, run) for run in runs):
        if name in known or (so_far is not None and sum(one.hours for one in (*so_far, *found)) >= SHADOW_H_MIN):
            continue
        try:
            found.append(shadow_run(layout, name, challenger, settings))
        except ReplayRefused as refused:
            if not may_lack:
                raise
            print(f"no shadow: {refused}", file=sys.stderr)
    return tuple(found)


def _say(found: "Judgement") -> None:
    from smartmoney.runtime.drift_watch import words

    against = found.champion or "nobody: a first champion must beat the base rate and a logistic regression"
    print(f"{found.challenger} against {against}")
    scores = found.forecasts
    print(f"  {found.rows} rows, {scores.hours:.1f} judged hours, {scores.days} untouched days, {len(found.shadows)} shadows")
    for one in found.verdict.conditions:
        print(f"  {'holds ' if one.holds else 'FAILS '} {one.text}")
    if found.drift is not None:
        print(f"  monitors: {words(found.drift)}")
    gate_ = found.gate
    where = f"{gate_.venue} {gate_.market} {', '.join(gate_.instruments)}"
    print(f"{'passed' if gate_.passed else 'did not pass'} the gate on {where}, judged with {gate_.judged_with}; recorded in the bundle")
