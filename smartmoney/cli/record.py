"""`smartmoney record`: what the daemon keeps of everything that entered its loop."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from smartmoney.cli.common import AsJson, ConfigFile, Overrides, Profile, StateDir, layout_of, print_json

if TYPE_CHECKING:
    from smartmoney.adapters.state_directory import StateLayout

WATCH_ONLY = "smartmoney.core.strategy.watch:WatchOnly"
FOLDER = "record"
"""Where recordings are kept, in the state directory: a recorder and a daemon can run side by side."""

app = typer.Typer(invoke_without_command=True)


@app.callback()
def record(
    context: typer.Context,
    config: ConfigFile = None,
    profile: Profile = None,
    seconds: Annotated[float | None, typer.Option("--for", min=0.1, help="Stop after so many seconds.")] = None,
    state_dir: StateDir = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Capture any venue without trading; list and verify captures.

    It runs until Ctrl-C, SIGTERM or --for, with books, features and trust watched, and no order ever sent. Captures go to `record/` in the
    state directory.

    Example: smartmoney record --set venue=binance --for 3600
    """
    if context.invoked_subcommand is not None:
        if any((config, profile, seconds, state_dir, overrides, as_json)):
            raise typer.BadParameter(f"give options after `{context.invoked_subcommand}`, whose they are")
        return
    from smartmoney.cli.run import run

    root = layout_of(state_dir).root / FOLDER
    run(
        config=config,
        profile=profile,
        seconds=seconds,
        state_dir=root,
        overrides=[*(overrides or ()), f"strategy_class={WATCH_ONLY}"],
        as_json=as_json,
    )


@app.command("ls")
def ls(state_dir: StateDir = None, as_json: AsJson = False) -> None:
    """List the captures there are, oldest first. Example: smartmoney record ls."""
    from smartmoney.adapters.capture_store import list_captures

    folders = [layout.captures for layout in _layouts(state_dir)]
    found = [one for folder in folders for one in list_captures(folder)]
    if as_json:
        print_json(
            [{"run_id": one.run_id, "segments": one.segments, "bytes": one.size, "changed_wall_ns": one.changed_wall_ns} for one in found]
        )
        return
    for one in found:
        print(f"{one.run_id}   {one.segments:>4} segments   {one.size / 1e6:10.1f} MB")
    if not found:
        print(f"no captures in {' or '.join(map(str, folders))}")


@app.command("verify")
def verify(
    runs: Annotated[list[str], typer.Argument(help="Run ids (`last` is the newest), or folders and segments of captures.")],
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Read captures completely and check every checksum; exit 1 if one is not whole. Example: smartmoney record verify last."""
    import msgspec

    from smartmoney.adapters.capture import CaptureDamaged, verify_capture

    verdicts: dict[str, dict[str, object]] = {}
    for name in runs:
        path = Path(name)
        try:
            if not path.exists():
                path = capture_folder(name, state_dir)
            verdicts[name] = msgspec.to_builtins(verify_capture(path))
        except CaptureDamaged as damage:
            verdicts[name] = {"segments": 0, "entries": 0, "lost": 0, "bytes_cut": 0, "problems": [str(damage)]}
    is_whole = not any(verdict["problems"] for verdict in verdicts.values())
    if as_json:
        print_json({"whole": is_whole, "captures": verdicts})
    else:
        for name, verdict in verdicts.items():
            problems = verdict["problems"]
            print(f"{name}: {verdict['segments']} segments, {verdict['entries']} entries, {'damaged' if problems else 'whole'}")
            for problem in problems if isinstance(problems, list | tuple) else ():
                print(f"  {problem}")
    raise typer.Exit(0 if is_whole else 1)


def capture_folder(name: str, state_dir: Path | None) -> Path:
    """Return the folder of a run's capture, of the daemon's state directory or of the recorder's in it."""
    daemon, recorder = _layouts(state_dir)
    if name == "last":
        name = _newest(daemon, recorder)
    return recorder.capture(name) if recorder.capture(name).is_dir() else daemon.capture(name)


def _newest(*layouts: "StateLayout") -> str:
    """Return the newest run of several state directories; their names sort by time."""
    from smartmoney.adapters.journal import JournalRefused
    from smartmoney.runtime.replay import ReplayRefused, named_run

    found: list[str] = []
    refused: list[JournalRefused | ReplayRefused] = []
    for layout in layouts:
        try:
            found.append(named_run(layout, "last"))
        except (JournalRefused, ReplayRefused) as failure:
            refused.append(failure)
    if not found:
        raise refused[0]
    return max(found)


def _layouts(state_dir: Path | None) -> "tuple[StateLayout, StateLayout]":
    from smartmoney.adapters.state_directory import StateLayout

    daemon = layout_of(state_dir)
    return daemon, StateLayout(daemon.root / FOLDER)
