"""`smartmoney sim --record DIR`: a synthetic market in simulated time, written down with its truth beside it."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from smartmoney.adapters.market_recorder import Recorded
    from smartmoney.simulation.market import SyntheticMarket


def run(
    market: "SyntheticMarket", directory: Path, scenario: str, seconds: int, origin_ns: int | None, *, with_truth: bool, as_json: bool
) -> None:
    """Record a fresh market and say what was written.

    Raises:
        RecordingRefused: the directory holds something.
    """
    from smartmoney.adapters.market_recorder import ORIGIN_NS, record

    begins_ns = ORIGIN_NS if origin_ns is None else origin_ns
    with _bar() as progress:
        summary = record(market, directory, seconds, scenario=scenario, origin_ns=begins_ns, with_truth=with_truth, progress=progress)
    if as_json:
        print(json.dumps(msgspec.to_builtins(summary)))
        return
    _say(summary)


@contextmanager
def _bar() -> Iterator[Callable[[float], None]]:
    """Show how far it is, on a terminal only."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as shown:
        task = shown.add_task("simulating", total=1.0)
        yield lambda done: shown.update(task, completed=done)


def _say(summary: "Recorded") -> None:
    print(f"{summary.seconds} s of seed {summary.seed} in {summary.directory} (scenario {summary.scenario}, {summary.scenario_hash[:12]})")
    for key, tables in summary.rows.items():
        print(f"  {key}: " + ", ".join(f"{count} {name}" for name, count in tables.items()))
        if "bars" not in tables:
            continue
        dwell, held = summary.mean_dwell_s[key], summary.seconds_in[key]
        shown = [
            f"{name} {dwell[name]:.0f} s ({held[name] / summary.seconds:.0%} of the time)" for name in dwell if dwell[name] is not None
        ]
        print("    a regime holds, on average: " + ", ".join(shown))
