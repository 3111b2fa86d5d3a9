"""Measure smartmoney's whole backtest and its peers' replays on the same recording, in one run; print a table, or JSON.

Use: make bench-peers, or: python tests/bench/peers/run.py [--rounds 3] [--seconds 5] [--python PEERS/bin/python] [--json] [RECORDING …]

Without recordings the captures folder's USD-M session is taken (SMARTMONEY_CAPTURES), else ten minutes of the built-in market. Only depth
updates and trades count as messages, and best-quote frames are taken out beforehand. Engines take turns, each in a process of its own,
so that a slow minute of the machine meets all of them; the figure is the median of the rounds. Each runs for some seconds at least, by
repetition, and has compiled and loaded what it needs before its clock starts, which is that of the processor: all of them keep one core
busy, and a machine that is shared says nothing with the other clock. What an engine does, and in which form it finds its data, is said
beside its figure: only smartmoney's computes features, decides and keeps an account here. It is measured in three configurations: as shipped
(the built-in model and default settings, the row to hold against peers whose strategies send no order), and under settings at which the
untrained prior trades, its entries crossing at once or, as the default has it, waiting in the queue where that is cheaper; how often it
decided, signalled and filled is said beside each. Each runs from the recording's prepared form, which an earlier run left in the cache, and
the shipped one from the recording as it is (gzip, JSON), too; all from opening the file to the result. Its peers begin with arrays or
objects that are in memory already.
"""

import argparse
import gzip
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
SESSION = "hftbacktest/usdm/btcusdt_20240808.gz"
_EAGER = ("model=prior", "strategy.confidence_threshold=0.35", "advanced_features.signal_generation.min_confidence=0.3")
"""Settings under which the untrained prior trades at once, so that orders and fills are part of what is measured."""


class Configuration(NamedTuple):
    """Be one of ours: a short name, the words for it, how its frames come, and what is set."""

    name: str
    words: str
    form: str
    changes: tuple[str, ...]


_OURS = (
    Configuration("shipped", "as shipped", "prepared", ()),
    Configuration("crossing", "the prior at eager settings, entries cross", "prepared", (*_EAGER, "execution.entry=taker")),
    Configuration("waiting", "the prior at eager settings, entries wait or cross", "prepared", (*_EAGER, "execution.entry=auto")),
    Configuration("gzip", "as shipped", "gzip", ()),
)


def smartmoney(*words: object) -> str:
    """Run a command of the product and return what it prints."""
    done = subprocess.run([sys.executable, "-m", "smartmoney", *map(str, words)], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"smartmoney {words[0]} failed: {done.stderr.strip()[-2000:]}")
    return done.stdout


def recordings(given: list[Path], folder: Path) -> list[Path]:
    """Return the session to measure on."""
    if given:
        return given
    for captures in filter(None, (os.environ.get("SMARTMONEY_CAPTURES"), ROOT.parent / "shared" / "captures")):
        if (Path(captures) / SESSION).is_file():
            return [Path(captures) / SESSION]
    print("no captures here: ten minutes of the built-in market instead", file=sys.stderr)
    smartmoney("sim", "--record", folder / "market", "--seconds", 600, "--symbols", "BTCUSDT", "--no-truth")
    return [folder / "market" / "feed" / "capture" / "BTCUSDT.usdm.gz"]


def repeated(files: list[Path], times: int, folder: Path) -> Path:
    """Write a recording several times over: what each run costs once weighs less in a longer session."""
    if len(files) != 1:
        raise SystemExit("--repeat is of one recording")
    sys.path.insert(0, str(ROOT))
    from smartmoney.runtime.bench_day import Repeating

    return Repeating(files[0]).write(times, folder / f"{times}-times-{files[0].name}")


def prepare(files: list[Path], folder: Path) -> tuple[Path, Path, Path]:
    """Write the session without best quotes, as a dataset, and as events for hftbacktest."""
    plain = folder / "session.gz"
    with gzip.open(plain, "wt", compresslevel=1) as out:
        for path in files:
            with gzip.open(path, "rt") as lines:
                out.writelines(line for line in lines if "@depth" in line or "@trade" in line or '"lastUpdateId"' in line)
    smartmoney("export", plain, "--market", "usdm", "--out", folder / "dataset")
    smartmoney("export", plain, "--market", "usdm", "--out", folder / "events.npz")
    return plain, folder / "dataset", folder / "events.npz"


def run_smartmoney(plain: Path, seconds: float, ours: Configuration) -> dict[str, object]:
    """Run the daemon's engine over the session."""
    found = run_peer(sys.executable, "with_smartmoney.py", plain, seconds, ours.form, ours.words, *ours.changes)
    return {**found, "configuration": ours.name}


def run_peer(python: str, script: str, *words: object) -> dict[str, object]:
    """Run one peer's script in its own environment."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [python, "-W", "ignore", str(HERE / script), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise SystemExit(f"{script} failed: {done.stderr.strip()[-2000:]}")
    found: dict[str, object] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recordings", nargs="*", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--python", default=str(ROOT / ".venv-peers" / "bin" / "python"))
    parser.add_argument("--repeat", type=int, default=1, help="so many times the session, its times and numbers moved on: of one recording")
    parser.add_argument("--single", action="store_true", help="also nautilus_trader with each level an event of its own")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="smartmoney-peers-") as name:
        folder = Path(name)
        files = recordings(given.recordings, folder)
        if given.repeat > 1:
            files = [repeated(files, given.repeat, folder)]
        plain, dataset, events = prepare(files, folder)
        modes = ["batches", *(["single"] if given.single else [])]
        measured: dict[str, list[dict[str, object]]] = {}
        for number in range(given.rounds):
            hft = run_peer(given.python, "with_hftbacktest.py", dataset, given.seconds, events)
            found = [hft, *(run_smartmoney(plain, given.seconds, ours) for ours in _OURS)]
            for one in found[1:]:
                one["levels"] = float(one["messages"]) * float(hft["levels"]) / float(hft["messages"])
            found += [run_peer(given.python, "with_nautilus.py", dataset, given.seconds, mode) for mode in modes]
            for one in found:
                measured.setdefault(str(one["engine"]), []).append(one)
            print(f"round {number + 1} of {given.rounds} done", file=sys.stderr)
    rows = [summary(engine, rounds) for engine, rounds in measured.items()]
    own = {row["configuration"]: row["messages_per_s"] for row in rows}
    for row in rows:
        row["ours_is_times"] = {ours.name: own[ours.name] / row["messages_per_s"] for ours in _OURS}
    if given.json:
        print(json.dumps({"recordings": [path.name for path in files], "rounds": given.rounds, "engines": rows}))
        return
    print(
        f"{', '.join(path.name for path in files)}: medians of {given.rounds} rounds, engines taking turns; "
        "depth and trade messages a CPU second of one core"
    )
    print("smartmoney beside each, times its speed: " + "; ".join(f"{ours.name}: {ours.words}, {ours.form}" for ours in _OURS))
    heads = " ".join(f"{ours.name:>9}" for ours in _OURS)
    print(f"{'messages/s':>12} {'levels/s':>12} {'us/message':>11} {'min..max':>19} {heads}")
    for row in sorted(rows, key=lambda one: -one["messages_per_s"]):
        span = f"{row['least']:,.0f}..{row['most']:,.0f}"
        rate = row["messages_per_s"]
        times = " ".join(f"{row['ours_is_times'][ours.name]:>8.3g}x" for ours in _OURS)
        print(f"{rate:>12,.0f} {row['levels_per_s']:>12,.0f} {1e6 / rate:>11.2f} {span:>19} {times}  {row['engine']}")


def summary(engine: str, rounds: list[dict[str, object]]) -> dict[str, object]:
    """Return the median rates of one engine."""
    rates = [float(one["messages"]) / float(one["seconds"]) for one in rounds]
    levels = [float(one["levels"]) / float(one["seconds"]) for one in rounds]
    return {
        "engine": engine,
        "configuration": rounds[0].get("configuration"),
        "messages_per_s": statistics.median(rates),
        "levels_per_s": statistics.median(levels),
        "least": min(rates),
        "most": max(rates),
        "seconds": [one["seconds"] for one in rounds],
    }


if __name__ == "__main__":
    main()
