"""`smartmoney run`: the daemon."""

import contextlib
import gc
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from smartmoney.cli.common import AsJson, ConfigFile, Overrides, Profile, StateDir, layout_of, print_json, settings_of

if TYPE_CHECKING:
    from smartmoney.runtime.daemon import Options, Running, Screen
    from smartmoney.runtime.summary import Summary
    from smartmoney.settings.models import Settings


def run(
    paper: Annotated[bool, typer.Option("--paper", help="Trade on paper (the default).")] = False,
    live: Annotated[
        bool, typer.Option("--live", help="Send orders; needs `mode: live` in the file and a model that has passed its gate.")
    ] = False,
    config: ConfigFile = None,
    profile: Profile = None,
    seconds: Annotated[float | None, typer.Option("--for", min=0.1, help="Stop after so many seconds.")] = None,
    state_dir: StateDir = None,
    warm: Annotated[Path | None, typer.Option(help="Warm the features from this recording, and what later runs captured.")] = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Run the daemon until Ctrl-C, SIGTERM or --for. Example: smartmoney run --paper -c paper.yaml --for 60 --json."""
    with _nothing_collected():
        options, on_terminal = _prepare(paper, live, config, profile, seconds, state_dir, warm, overrides, as_json=as_json)
    summary = _serve(options, on_terminal=on_terminal)
    if as_json:
        import msgspec

        print_json(msgspec.to_builtins(summary))
    else:
        _farewell(summary)


@contextlib.contextmanager
def _nothing_collected() -> Iterator[None]:
    """Look for no garbage: nothing that a start imports ever goes, and looking through it again and again is a tenth of the start."""
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()


def _prepare(
    paper: bool,
    live: bool,
    config: Path | None,
    profile: str | None,
    seconds: float | None,
    state_dir: Path | None,
    warm: Path | None,
    overrides: list[str] | None,
    *,
    as_json: bool,
) -> "tuple[Options, bool]":
    """Return what to run, kernels and imports at hand, and whether a person watches.

    Raises:
        ConfigurationError: something does not fit together.
    """
    from smartmoney.settings.errors import ConfigurationError

    if paper and live:
        raise ConfigurationError("--paper, --live", "both were given", "choose one")
    settings = settings_of(config, profile, "live" if live else "paper", overrides)
    if settings.mode == "live":
        _check_live(settings)
    if warm is not None and not warm.is_file():
        raise ConfigurationError("--warm", f"{warm} is no file", "name a recording")

    from smartmoney.runtime import kernel_cache, logs
    from smartmoney.runtime.compile import compile_kernels

    # Until the daemon runs there is nothing to wind up; and process 1 of a container would not even notice the signal.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    on_terminal = sys.stderr.isatty() and not as_json and settings.logging.format == "auto"
    logs.configure(settings.log_level, to_screen=False, as_text=settings.logging.format == "console")
    compile_kernels(kernel_cache.prepare(), say=_say, with_market=settings.venue == "sim")
    logs.configure(settings.log_level, to_screen=on_terminal, as_text=settings.logging.format == "console")
    layout = layout_of(state_dir)

    from smartmoney.runtime.daemon import Options

    return Options(settings=settings, state_path=layout.root, seconds=seconds, warm=warm), on_terminal


def _check_live(settings: "Settings") -> None:
    """Refuse what no live run can be; whether its model may is for the daemon to say, which loads it.

    Raises:
        ConfigurationError: the venue takes no orders from here.
    """
    from smartmoney.settings.errors import ConfigurationError

    if settings.venue == "sim":
        remedy = "start `smartmoney sim` by itself, set `venue: binance`, and give its addresses as endpoints.rest and endpoints.ws"
        raise ConfigurationError("venue", "live orders need an exchange that outlives the daemon", remedy)
    if settings.venue.startswith("ccxt:"):
        from smartmoney.runtime.live_ccxt import ccxt_refusal

        refusal = ccxt_refusal(settings)
        if refusal is not None:
            raise ConfigurationError("venue", refusal.problem, refusal.remedy)


def _serve(options: object, *, on_terminal: bool) -> "Summary":
    import asyncio

    import msgspec
    import uvloop

    from smartmoney.runtime.daemon import Options, run_daemon

    assert isinstance(options, Options)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        if not on_terminal:
            return runner.run(run_daemon(options))
        from rich.live import Live

        with Live(screen=False, auto_refresh=False, transient=False) as live:
            return runner.run(run_daemon(msgspec.structs.replace(options, screen=_screen(live))))


def _screen(live: object) -> "Screen":
    from rich.live import Live

    from smartmoney.dashboard.terminal import render
    from smartmoney.runtime.logs import recent

    assert isinstance(live, Live)

    def show(running: "Running") -> None:
        live.update(render(running.view(), running.max_drawdown, running.simulated, list(recent)), refresh=True)

    return show


def _say(text: str) -> None:
    print(f"smartmoney: {text}", file=sys.stderr, flush=True)


def _farewell(summary: "Summary") -> None:
    equity = "unknown" if summary.equity is None else f"{summary.equity:,.2f}"
    _say(
        f"run {summary.run_id} ended after {summary.uptime_s:.0f} s: {summary.frames} frames, {summary.decisions} decisions, "
        f"{summary.signals} signals, {summary.fills} fills, equity {equity}. Replay it: smartmoney replay {summary.run_id}"
    )
