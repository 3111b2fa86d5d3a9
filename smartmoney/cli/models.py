"""`smartmoney models`: the trained models there are, what is known of each, which one decides, and the way back."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from smartmoney.cli import models_gate, models_importance
from smartmoney.cli.common import AsJson, ConfigFile, Overrides, Profile, StateDir, layout_of, print_json, settings_of

if TYPE_CHECKING:
    from smartmoney.adapters.model_store import ModelStore, Place
    from smartmoney.adapters.state_directory import StateLayout
    from smartmoney.core.models.bundle import Bundle, Gate

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Trained models: list, show, judge, weigh, promote, roll back.")
app.command("gate")(models_gate.gate)
app.command("shadow")(models_gate.shadow)
app.command("importance")(models_importance.importance)

Model = Annotated[str, typer.Argument(metavar="MODEL", help="Name, hash (or its beginning), or a bundle's folder.", show_default=False)]
Ungated = Annotated[
    bool, typer.Option("--ungated", help="On paper only: let it decide though no gate has judged it. Live refuses it all the same.")
]
Reason = Annotated[str, typer.Option("--reason", help="Why; it is kept with the change.")]
_HASH_SHOWN = 12


@app.command("list")
def list_models(state_dir: StateDir = None, as_json: AsJson = False) -> None:
    """List the bundles of the store and the package. Example: smartmoney models list --json."""
    import msgspec

    _, store = _store(state_dir)
    found = store.listed()
    if as_json:
        print_json({"store": str(store.folder), "champion": store.champion(), "models": msgspec.to_builtins(found)})
        return
    for one in found:
        mark = "*" if one.is_champion else " "
        gates = ", ".join(f"{'passed' if gate.passed else 'failed'} on {gate.venue} {gate.market}" for gate in one.gates)
        print(f"{mark} {one.hash[:_HASH_SHOWN]}  {one.name or '?'}  ({one.origin})  {one.problem or gates or 'no gate'}")
    if not found:
        print(f"no trained model in {store.folder}: the untrained prior decides")


@app.command()
def show(model: Model, state_dir: StateDir = None, as_json: AsJson = False) -> None:
    """Check a bundle and show its card. Example: smartmoney models show default."""
    import msgspec

    _, store = _store(state_dir)
    bundle = _found(store, model)
    spec = bundle.spec
    trees = {name: len(forest.trees) for name, forest in bundle.forests.items()}
    if as_json:
        about = {"name": bundle.name, "hash": bundle.hash, "gates": msgspec.to_builtins(bundle.gates), "trees": trees, "card": bundle.card}
        print_json({**about, "spec": msgspec.to_builtins(spec)})
        return
    trained = spec.trained
    print(f"{bundle.name}\n  hash {bundle.hash}\n  trained on {trained.venue} {trained.market} {', '.join(trained.instruments)}")
    print(f"  data {trained.data_hash}\n  trees {trees}")
    for gate in bundle.gates:
        where = f"{gate.venue} {gate.market} {', '.join(gate.instruments)}"
        print(f"  gate {gate.at}: {'passed' if gate.passed else 'failed'} on {where}, judged with {gate.judged_with}: {gate.text}")
    print(f"\n{bundle.card}")


@app.command()
def promote(
    model: Model,
    reason: Reason = "operator",
    ungated: Ungated = False,
    config: ConfigFile = None,
    profile: Profile = None,
    overrides: Overrides = None,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Make a bundle that has passed its gate the champion; a running daemon decides by it at once.

    Its newest gate where it is to decide counts: at the running daemon's venue, market and instruments, else those of -c, --profile or
    --set; where neither says it, one that passed anywhere is enough.

    Examples: smartmoney models promote m1 --reason "its gate"; smartmoney models promote m2 --ungated --reason "a try on paper"
    """
    layout, store = _store(state_dir)
    from smartmoney.adapters.model_store import GateNotPassed, check_gate

    bundle = _found(store, model)
    place = _place(layout, config, profile, overrides)
    try:
        gates = check_gate(bundle, place)
    except GateNotPassed as refused:
        if place is not None:
            raise
        raise GateNotPassed(f"{refused}. To let it decide elsewhere, say where: -c FILE, or --set venue=…") from None
    if not gates and not ungated:
        where = "" if place is None else f" on {place.text}"
        raise GateNotPassed(
            f"no gate has judged {bundle.name}{where}; `smartmoney models gate {bundle.name}` does, on days that it "
            "never saw (docs/training.md). "
            "To let it decide on paper all the same, add --ungated"
        )
    store.add(bundle)
    # The daemon first: where it refuses, who stands stays.
    running = _activate(layout, bundle)
    store.promote(bundle.hash, reason, _now_wall_ns(), place)
    _say("promoted", bundle, running, gates, as_json=as_json)


@app.command()
def rollback(reason: Reason = "operator", state_dir: StateDir = None, as_json: AsJson = False) -> None:
    """Put the champion before this one back, in a running daemon too. Example: smartmoney models rollback --reason "worse live"."""
    from smartmoney.adapters.model_store import ModelNotFound

    layout, store = _store(state_dir)
    standing = store.champions().standing
    if len(standing) < 2:
        raise ModelNotFound(store.none_before())
    running = _activate(layout, store.load(standing[-2]))
    bundle = store.rollback(reason, _now_wall_ns())
    _say("rolled back to", bundle, running, bundle.gates, as_json=as_json)


def _store(state_dir: Path | None) -> "tuple[StateLayout, ModelStore]":
    from smartmoney.runtime import kernel_cache

    # Before anything imports numba, which would else keep its cache beside the sources.
    kernel_cache.prepare()
    from smartmoney.adapters.model_store import ModelStore

    layout = layout_of(state_dir)
    return layout, ModelStore(layout.models)


def _place(layout: "StateLayout", config: Path | None, profile: str | None, overrides: list[str] | None) -> "Place | None":
    """Return where a model is to decide: where the running daemon does, else where a given configuration says; None where neither is."""
    from smartmoney.adapters.control import ControlRequest, DaemonNotRunning, request
    from smartmoney.adapters.model_store import Place
    from smartmoney.runtime.models import pair_of, place_of

    try:
        told = request(layout.control_socket, ControlRequest(command="status"))
    except DaemonNotRunning:
        return place_of(settings_of(config, profile, "paper", overrides)) if config or profile or overrides else None
    return Place(told["venue"], told["market"], tuple(pair_of(name) for name in told["positions"]))


def _found(store: "ModelStore", model: str) -> "Bundle":
    from smartmoney.adapters.model_store import ModelNotFound

    bundle = store.find(model)
    if bundle is None:
        raise ModelNotFound(f"{model} is the untrained prior here: there is no bundle to show or promote")
    return bundle


def _activate(layout: "StateLayout", bundle: "Bundle") -> dict[str, Any] | None:
    """Ask a running daemon to decide by a bundle; return its answer, None when none runs.

    Raises:
        ControlError: it refuses.
    """
    from smartmoney.adapters.control import ControlRequest, DaemonNotRunning, request

    try:
        return request(layout.control_socket, ControlRequest(command="activate", arguments={"model": bundle.hash}))
    except DaemonNotRunning:
        return None


def _say(what: str, bundle: "Bundle", running: dict[str, Any] | None, gates: "Sequence[Gate]", *, as_json: bool) -> None:
    if as_json:
        print_json({"name": bundle.name, "hash": bundle.hash, "daemon": running})
        return
    print(f"{what} {bundle.name}")
    for gate in gates:
        where = f"{gate.venue} {gate.market} {', '.join(gate.instruments)}"
        print(f"it {'passed' if gate.passed else 'failed'} the gate of {gate.at} on {where}, judged with {gate.judged_with}")
    if not gates:
        print("no gate has judged it here: it decides on paper only, live refuses it")
    print(
        "the running daemon decides by it"
        if running is not None
        else "no daemon is running; the next one starts with it (`model: default`)"
    )


def _now_wall_ns() -> int:
    from smartmoney.runtime.clock import now

    return now().wall_ns
