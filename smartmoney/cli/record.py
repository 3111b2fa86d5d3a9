"""`smartmoney record`: what the daemon keeps of everything that entered its loop."""

from pathlib import Path
from typing import Annotated

import typer

from smartmoney.cli.common import AsJson, StateDir, layout_of, print_json

app = typer.Typer(no_args_is_help=True, help="Captures: everything that entered a run's loop.")


@app.command("ls")
def ls(state_dir: StateDir = None, as_json: AsJson = False) -> None:
    """List the captures there are, oldest first. Example: smartmoney record ls."""
    from smartmoney.adapters.capture_store import list_captures

    captures = layout_of(state_dir).captures
    found = list_captures(captures)
    if as_json:
        print_json(
            [{"run_id": one.run_id, "segments": one.segments, "bytes": one.size, "changed_wall_ns": one.changed_wall_ns} for one in found]
        )
        return
    for one in found:
        print(f"{one.run_id}   {one.segments:>4} segments   {one.size / 1e6:10.1f} MB")
    if not found:
        print(f"no captures in {captures}")


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
                path = _folder_of(name, state_dir)
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


def _folder_of(name: str, state_dir: Path | None) -> Path:
    from smartmoney.runtime.replay import named_run

    layout = layout_of(state_dir)
    return layout.capture(named_run(layout, name))
