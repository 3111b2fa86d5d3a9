"""Backtest a recording with smartmoney, as `smartmoney backtest` does: from opening the file to the result, again and again.

Use: python with_smartmoney.py RECORDING SECONDS prepared|gzip WORDS [SETTING=VALUE …]. WORDS name the settings beside the figure, where what
came of them is told, too. Prints one JSON object; before the clock starts kernels are loaded, the model is read and laid out, as a process does
once, and with `prepared` an earlier run has left the recording's prepared form in the cache.
"""

import json
import sys
import time
from pathlib import Path

FORMS = {"prepared": ("prepared", "from its prepared form"), "gzip": ("recording", "from gzip JSON")}
"""How the frames come, and the words for it."""


def told(count: int, what: str) -> str:
    """Return a count in words."""
    return f"{count or 'no'} {what}{'' if count == 1 else 's'}"


def main() -> None:
    """Run until the time is up, and print what was measured."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
    from smartmoney.runtime import kernel_cache, logs

    logs.configure("WARNING", to_screen=False)
    kernel_cache.prepare()
    from smartmoney import __version__
    from smartmoney.runtime.backtest import BacktestJob, Recordings, run_backtest
    from smartmoney.settings.load import load_settings
    from smartmoney.simulation.order_latency import OrderLatency

    recording, seconds, form, configured, *changes = sys.argv[1:]
    settings = load_settings(overrides=dict(one.split("=", 1) for one in ("market=usdm", *changes)))
    job = BacktestJob(
        name="session",
        source=Recordings((recording,), "usdm"),
        settings=settings,
        latency=OrderLatency(median_ms=settings.paper.latency_ms),
        prepares=form == "prepared",
    )
    came, words = FORMS[form]
    for _ in range(2):
        run_backtest([job], 1)
    took = runs = 0
    while took < float(seconds):
        started = time.process_time()
        result = run_backtest([job], 1)
        took += time.process_time() - started
        runs += 1
        if result.frames_from != came:
            raise SystemExit(f"frames came from: {result.frames_from}; {form} was to be measured")
    print(
        json.dumps(
            {
                "engine": f"smartmoney {__version__} backtest, {configured}: every feature, {result.decisions} decisions, "
                f"{told(result.signals, 'signal')}, {told(result.fills, 'fill')}; {words}",
                "messages": result.frames * runs,
                "seconds": took,
                "decisions": result.decisions,
                "signals": result.signals,
                "fills": result.fills,
                "digest": result.digest,
            }
        )
    )


if __name__ == "__main__":
    main()
