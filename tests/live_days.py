"""`python -m tests.live_days STATE CONFIG DAYS`: the days of docs/training.md, each a paper run in simulated time; prints their ids."""

import sys
from pathlib import Path

from smartmoney.adapters.state_directory import StateLayout
from smartmoney.runtime import kernel_cache


def main(state, config, days):
    """Live through so many days in a state directory, under a configuration."""
    # Before anything imports numba, which would else keep its cache beside the sources.
    kernel_cache.prepare()
    from smartmoney.settings.load import load_settings
    from tests.simulated_days import live_day

    layout, settings = StateLayout(Path(state)), load_settings(Path(config))
    layout.root.mkdir(mode=0o700, exist_ok=True)
    for day in range(int(days)):
        print(live_day(layout, settings, day), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
