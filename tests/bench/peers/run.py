"""Measure smartmoney's whole backtest and its peers' replays on the same recording, in one run; print a table, or JSON.

Use: make bench-peers, or: python tests/bench/peers/run.py [--rounds 3] [--seconds 5] [--python PEERS/bin/python] [--json] [RECORDING …]

Without recordings the captures folder's USD-M session is taken (SMARTMONEY_CAPTURES), else ten minutes of the built-in market. Only depth
updates and trades count as messages, and best-quote frames are taken out beforehand. Engines take turns, each in a process of its own,
so that a slow minute of the machine meets all of them; the figure is the median of the rounds. Each runs for some seconds at least, by
repetition, and has compiled and loaded what it needs before its clock starts, which is that of the processor: all of them keep one core
busy, and a machine that is shared says nothing with the other clock. What an engine does, and in which form it finds its data, is said
beside its figure: only smartmoney's computes features, decides and keeps an account here. It is measured twice, from the recording as it
is (gzip, JSON), and from its prepared form, which an earlier run left in the cache; both from opening the file to the result. Its peers begin
with arrays or objects that are in memory already.
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

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
SESSION = "hftbacktest/usdm/btcusdt_20240808.gz"
_FORMS = {"prepared": "from its prepared form", "gzip": "from gzip JSON"}
"""How smartmoney's frames come, and the words by which its line ends."""
_EAGER = (
    "model=prior",
    "strategy.confidence_threshold=0.35",
    "advanced_features.signal_generation.min_confidence=0.3",
    "execution.entry=taker",
)
"""Settings under which the untrained prior trades at once, so that orders and fills are part of what is measured: the peers' strategies send no
order, and while one of ours waits in a queue each change of its level is looked at."""


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


def run_smartmoney(plain: Path, seconds: float, form: str) -> dict[str, object]:
    """Run the daemon's engine over the session."""
    return run_peer(sys.executable, "with_smartmoney.py", plain, seconds, form, *_EAGER)


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
    parser.add_argument("--single", action="store_true", help="also nautilus_trader with each level an event of its own")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="smartmoney-peers-") as name:
        folder = Path(name)
        files = recordings(given.recordings, folder)
        plain, dataset, events = prepare(files, folder)
        modes = ["batches", *(["single"] if given.single else [])]
        measured: dict[str, list[dict[str, object]]] = {}
        for number in range(given.rounds):
            hft = run_peer(given.python, "with_hftbacktest.py", dataset, given.seconds, events)
            found = [hft, *(run_smartmoney(plain, given.seconds, form) for form in _FORMS)]
            for one in found[1:]:
                one["levels"] = float(one["messages"]) * float(hft["levels"]) / float(hft["messages"])
            found += [run_peer(given.python, "with_nautilus.py", dataset, given.seconds, mode) for mode in modes]
            for one in found:
                measured.setdefault(str(one["engine"]), []).append(one)
            print(f"round {number + 1} of {given.rounds} done", file=sys.stderr)
    rows = [summary(engine, rounds) for engine, rounds in measured.items()]
    for row in rows:
        for form, words in _FORMS.items():
            own = next(one for one in rows if one["engine"].endswith(words))
            row[f"{form}_is_times"] = own["messages_per_s"] / row["messages_per_s"]
    if given.json:
        print(json.dumps({"recordings": [path.name for path in files], "rounds": given.rounds, "engines": rows}))
        return
    print(
        f"{', '.join(path.name for path in files)}: medians of {given.rounds} rounds, engines taking turns; "
        "depth and trade messages a CPU second of one core"
    )
    print("smartmoney beside each: prepared, and from gzip JSON, times its speed")
    print(f"{'messages/s':>12} {'levels/s':>12} {'us/message':>11} {'min..max':>19} {'prepared':>9} {'gzip':>7}")
    for row in sorted(rows, key=lambda one: -one["messages_per_s"]):
        span = f"{row['least']:,.0f}..{row['most']:,.0f}"
        rate = row["messages_per_s"]
        times = f"{row['prepared_is_times']:>8.3g}x {row['gzip_is_times']:>6.3g}x"
        print(f"{rate:>12,.0f} {row['levels_per_s']:>12,.0f} {1e6 / rate:>11.2f} {span:>19} {times}  {row['engine']}")


def summary(engine: str, rounds: list[dict[str, object]]) -> dict[str, object]:
    """Return the median rates of one engine."""
    rates = [float(one["messages"]) / float(one["seconds"]) for one in rounds]
    levels = [float(one["levels"]) / float(one["seconds"]) for one in rounds]
    return {
        "engine": engine,
        "messages_per_s": statistics.median(rates),
        "levels_per_s": statistics.median(levels),
        "least": min(rates),
        "most": max(rates),
        "seconds": [one["seconds"] for one in rounds],
    }


if __name__ == "__main__":
    main()
