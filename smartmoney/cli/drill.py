"""`smartmoney drill`: does it really stop? Measured against the built-in exchange, judged by that exchange's own ledger."""

import sys
from typing import Annotated, Any, Literal

import typer

from smartmoney.cli.common import AsJson, print_json

GOALS = {
    "breach_to_halt_ms": 50.0,
    "halt_to_cancelled_ms": 1_000.0,
    "halt_to_flat_ms": 5_000.0,
    "frozen_to_guard_ms": 10_000.0,
    "frozen_halt_ms": 5_000.0,
    "fill_to_stop_p99_ms": 1_000.0,
    "fill_to_stop_ms": 10_000.0,
    "restart_to_ready_ms": 5_000.0,
    "restart_long_ms": 5_000.0,
    "naked_ms_max": 10_000.0,
    "duplicates": 0,
    "orphans": 0,
}
"""What a quiet machine should reach. `frozen_to_guard_ms` holds the guard's lease of 5 s."""


def drill(
    market: Annotated[Literal["spot", "usdm"], typer.Option(help="Which market of the built-in exchange.")] = "spot",
    kills: Annotated[int, typer.Option(min=0, max=1000, help="How often the daemon is killed.")] = 5,
    seed: Annotated[int, typer.Option(min=0, help="Of the market and of the moments of the kills.")] = 7,
    as_json: AsJson = False,
) -> None:
    """Kill, halt, hurt and freeze a daemon in rehearsal, and measure; some minutes. Example: smartmoney drill --kills 10 --json."""
    import asyncio

    import msgspec

    from smartmoney.runtime import kernel_cache, logs
    from smartmoney.runtime.compile import compile_kernels
    from smartmoney.runtime.drill import run_drill

    logs.configure("ERROR", to_screen=False)
    compile_kernels(kernel_cache.prepare(), say=_say, with_market=True)
    report = asyncio.run(run_drill(market, seed=seed, kills=kills, say=lambda text: _say(f"drill: {text}")))
    found = msgspec.to_builtins(report)
    if as_json:
        print_json(found)
    else:
        _show(found)
    is_safe = not report.problems and report.duplicates == report.orphans == 0
    raise typer.Exit(0 if is_safe else 1)


def _show(found: dict[str, Any]) -> None:
    for name, value in found.items():
        if name == "problems":
            continue
        goal = GOALS.get(name)
        said = "" if goal is None else f"goal {goal:g}"
        if goal is not None and value is not None and value > goal:
            said += "  MISSED"
        print(f"{name:24} {'not measured' if value is None else value!s:>12}   {said}".rstrip())
    for problem in found["problems"]:
        print(f"PROBLEM: {problem}")


def _say(text: str) -> None:
    print(f"smartmoney: {text}", file=sys.stderr, flush=True)
