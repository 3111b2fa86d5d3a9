"""`smartmoney replay`: a captured run, or recorded raw frames, through the same engine."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from smartmoney.cli.common import AsJson, ConfigFile, Overrides, Profile, StateDir, layout_of, print_json, settings_of
from smartmoney.cli.stretches import Prepares


def replay(
    run_id: Annotated[str | None, typer.Argument(help="A run to reproduce; `last` is the newest.")] = None,
    frames: Annotated[list[Path] | None, typer.Option("--frames", help="Recorded raw frames, in order. Repeatable.")] = None,
    more: Annotated[list[Path] | None, typer.Argument(help="Further recordings.", show_default=False)] = None,
    venue: Annotated[str, typer.Option(help="Whose frames: binance.")] = "binance",
    market: Annotated[str, typer.Option(help="spot, usdm or coinm.")] = "spot",
    prepared: Prepares = True,
    emit: Annotated[str | None, typer.Option(help="bbo: print the touch after every applied depth update, as CSV.")] = None,
    config: ConfigFile = None,
    profile: Profile = None,
    overrides: Overrides = None,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Reproduce a run, or put recordings through decoder, book, features and strategy.

    Examples: smartmoney replay last --json; smartmoney replay --frames a.gz b.gz --market usdm --emit bbo > bbo.csv.
    """
    if frames:
        files = [*frames, *([Path(run_id)] if run_id else []), *(more or [])]
        settings = settings_of(config, profile, "paper", overrides)
        _replay_frames(files, venue, market, emit, settings, state_dir, prepares=prepared, as_json=as_json)
        return
    if run_id is None or more:
        raise typer.BadParameter("give one RUN_ID (or `last`), or --frames FILE...")
    _replay_run(run_id, state_dir, config, as_json=as_json)


def _replay_run(run_id: str, state_dir: Path | None, config: Path | None, *, as_json: bool) -> None:
    from smartmoney.runtime import kernel_cache, logs

    logs.configure("WARNING", to_screen=False)
    kernel_cache.prepare()
    import msgspec

    from smartmoney.runtime.replay import named_run, replay_run
    from smartmoney.runtime.summary import summarise

    layout = layout_of(state_dir)
    engine, comparison = replay_run(layout, named_run(layout, run_id), None if config is None else str(config.parent))
    summary = msgspec.to_builtins(summarise(engine.view()))
    # What lies beyond the compared entry was stepped too; the run's digest is the one at that entry.
    summary["digest"] = comparison.replayed
    summary["replay"] = msgspec.to_builtins(comparison)
    if as_json:
        print_json(summary)
    else:
        verdict = "identical" if comparison.is_identical else "DIFFERENT"
        print(f"run {engine.run.run_id}: {verdict} at entry {comparison.seq}")
        print(f"  recorded {comparison.recorded}\n  replayed {comparison.replayed}")
        if comparison.differs_at is not None:
            print(f"  the first checkpoint that differs is at entry {comparison.differs_at}")
        if not comparison.is_whole:
            print("  the capture ends before the run's last checkpoint")
        for order in comparison.orders_beyond:
            print(f"  beyond the last durable entry: {order}")
    if not comparison.is_identical:
        raise typer.Exit(1)


def _replay_frames(
    files: list[Path],
    venue: str,
    market: str,
    emit: str | None,
    settings: Any,
    state_dir: Path | None,
    *,
    prepares: bool,
    as_json: bool,
) -> None:
    from smartmoney.settings.errors import ConfigurationError

    for path in files:
        if not path.is_file():
            raise ConfigurationError("--frames", f"{path} is no file", "name recordings")
    if venue != "binance":
        raise ConfigurationError("--venue", f"no decoder for {venue!r}", "binance is what there is")
    if market not in {"spot", "usdm", "coinm"}:
        raise ConfigurationError("--market", f"no market {market!r}", "one of spot, usdm, coinm")
    if emit not in {None, "bbo"}:
        raise ConfigurationError("--emit", f"cannot emit {emit!r}", "bbo is what there is")
    from smartmoney.runtime import kernel_cache, logs

    logs.configure("INFO", to_screen=False)
    kernel_cache.prepare()
    from smartmoney.runtime.cached_files import prepared_recordings
    from smartmoney.runtime.models import Models
    from smartmoney.runtime.replay_frames import FrameReplay, emit_touch, frame_replay, frame_summary

    models = Models(layout_of(state_dir).models)
    store = prepared_recordings(settings.caches) if prepares else None
    replay, frames = frame_replay(files, market, settings, lambda instruments: FrameReplay(instruments, settings, models=models), store)
    replay.run(frames, on_ready=(lambda engine: emit_touch(engine, sys.stdout)) if emit else None)
    summary = frame_summary(replay)
    if as_json:
        # With --emit the table goes to standard output, and what belongs beside it to standard error.
        print(json.dumps(summary, default=str), file=sys.stderr if emit else sys.stdout)
    elif not emit:
        _print_summary(summary)


def _print_summary(summary: dict[str, Any]) -> None:
    for key, value in summary.items():
        if isinstance(value, dict):
            print(f"{key}:")
            for name, inner in value.items():
                print(f"  {name}: {inner}")
        else:
            print(f"{key}: {value}")
