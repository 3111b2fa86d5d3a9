"""`smartmoney bench`: measurements on this machine, each with its peer in the same run."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from smartmoney.cli.common import AsJson, print_json

if TYPE_CHECKING:
    from smartmoney.runtime.bench import Figure

_PRINTED_WIDTH = 170
GROUPS = ("decode", "features", "decision", "entries", "models", "backtest", "market", "journal", "safety", "daemon", "restart", "day")
ASKED_FOR = ("day",)
"""Takes minutes and gigabytes: only when it is named."""


def bench(
    groups: Annotated[
        list[str] | None, typer.Argument(help=f"Which of {', '.join(GROUPS)} [default: all but {', '.join(ASKED_FOR)}].")
    ] = None,
    capture: Annotated[Path | None, typer.Option(help="Measure with this recording instead of the built-in market's frames.")] = None,
    market: Annotated[str, typer.Option(help="Whose recording: spot, usdm or coinm.")] = "usdm",
    cold: Annotated[bool, typer.Option("--cold", help="Measure a start with an empty kernel cache too (minutes).")] = False,
    as_json: AsJson = False,
) -> None:
    """Measure this machine. Example: smartmoney bench decode journal --json."""
    from smartmoney.runtime import kernel_cache, logs

    # What a run logs must stay off the standard output, where the figures go.
    logs.configure("WARNING", to_screen=False)
    kernel_cache.prepare()
    from smartmoney.core.domain.instruments import Market
    from smartmoney.runtime import bench as measuring
    from smartmoney.runtime.bench_day import measure_day

    chosen = groups or [name for name in GROUPS if name not in ASKED_FOR]
    if unknown := set(chosen) - set(GROUPS):
        raise typer.BadParameter(f"no group {', '.join(sorted(unknown))}; there are {', '.join(GROUPS)}")
    figures: list[measuring.Figure] = []
    with tempfile.TemporaryDirectory(prefix="smartmoney-bench-") as scratch:
        if {"decode", "features", "decision"} & set(chosen):
            sample = measuring.sample_of(capture, Market(market))
            steps = {"decode": measuring.measure_decode, "features": measuring.measure_features, "decision": measuring.measure_decision}
            for name, measure in steps.items():
                figures += measure(sample) if name in chosen else []
        if "backtest" in chosen:
            figures += measuring.measure_backtest(capture, Market(market))
        if "entries" in chosen:
            figures += measuring.measure_entries(capture, Market(market))
        if "models" in chosen:
            figures += measuring.measure_models()
        if "market" in chosen:
            figures += measuring.measure_market()
        if "journal" in chosen:
            figures += measuring.measure_journal(Path(scratch))
        if "safety" in chosen:
            figures += measuring.measure_safety(Path(scratch))
        if "daemon" in chosen:
            figures += measuring.measure_daemon(Path(scratch), cold=cold)
        if "restart" in chosen:
            figures += measuring.measure_restart()
        if "day" in chosen:
            figures += measure_day(capture, Market(market))
    _print(figures, as_json=as_json)


def _print(figures: "list[Figure]", *, as_json: bool) -> None:
    import msgspec

    if as_json:
        print_json(msgspec.to_builtins(figures))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("group", "what", "value", "unit", "peer, in the same run", "peer's value", "times cheaper")
    for row in figures:
        cells = ["" if value is None else f"{value:,.2f}" for value in (row.value, row.peer_value, row.ratio)]
        table.add_row(row.group, row.name, cells[0], row.unit, row.peer, cells[1], cells[2])
    console = Console()
    # Piped into a file there is no width to respect: a measurement is not folded.
    Console(width=console.width if console.is_terminal else _PRINTED_WIDTH).print(table)
