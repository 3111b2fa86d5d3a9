"""Walk a recording with hftbacktest: a compiled loop that elapses 1 ms and reads 20 ticks a side of a ROI vector book.

Use: python with_hftbacktest.py DATASET SECONDS EVENTS.npz. The dataset tells only how many messages the same recording has. Prints one JSON
object; the time is that of the loop alone, compiled and loaded beforehand.
"""

import json
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
from hftbacktest import BacktestAsset, ROIVectorMarketDepthBacktest
from messages import read_messages
from numba import njit

_TICKS = 20


@njit
def walk(hbt):
    """Read the book each millisecond until the data ends; return how often, and a sum that keeps the reads from being dropped."""
    looks = 0
    seen = 0.0
    while hbt.elapse(1_000_000) == 0:
        depth = hbt.depth(0)
        bid = depth.best_bid_tick
        ask = depth.best_ask_tick
        if 0 < bid < ask:
            for k in range(_TICKS):
                seen += depth.bid_qty_at_tick(bid - k) + depth.ask_qty_at_tick(ask + k)
        looks += 1
    return looks, seen


def main() -> None:
    """Run until the time is up, and print what was measured."""
    root, seconds = Path(sys.argv[1]), float(sys.argv[2])
    found = read_messages(root)
    events = np.load(sys.argv[3])["data"]
    tick, lot = 10.0**-found.price_decimals, 10.0**-found.lot_decimals
    middle = float(np.median(events["px"]))

    def fresh():
        asset = (
            BacktestAsset()
            .data([events])
            .linear_asset(1.0)
            .constant_order_latency(50_000_000, 50_000_000)
            .power_prob_queue_model(2.0)
            .no_partial_fill_exchange()
            .trading_value_fee_model(0.0002, 0.0005)
            .tick_size(tick)
            .lot_size(lot)
            .roi_lb(0.5 * middle)
            .roi_ub(1.5 * middle)
            .last_trades_capacity(0)
        )
        return ROIVectorMarketDepthBacktest([asset])

    walk(fresh())
    took = runs = 0
    while took < seconds:
        hbt = fresh()
        started = time.process_time()
        looks, seen = walk(hbt)
        took += time.process_time() - started
        runs += 1
        if not looks or not seen > 0.0:
            raise SystemExit("the loop saw nothing")
        hbt.close()
    print(
        json.dumps(
            {
                "engine": f"hftbacktest {version('hftbacktest')}, ROIVector, elapse 1 ms, 20 ticks a side; from binary events in memory",
                "messages": found.counted * runs,
                "levels": found.levels * runs,
                "seconds": took,
            }
        )
    )


if __name__ == "__main__":
    main()
