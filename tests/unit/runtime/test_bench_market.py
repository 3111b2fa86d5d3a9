"""What the market's bench measures is the same work on both sides."""

import numpy as np

from smartmoney.runtime import bench_market
from smartmoney.simulation import ladder
from smartmoney.simulation.flow import WORLD
from smartmoney.simulation.invariants import SOUND, check


def test_the_python_book_trades_what_the_engine_trades_on_the_same_stream():
    world = np.zeros(1, WORLD)
    stream = bench_market.recorded(world, 20_000)
    ids = np.zeros(len(stream), np.int64)
    ladder.reset(world[0], bench_market.CENTRE, 1)
    traded = int(bench_market.replay(world, stream, ids))
    assert traded == bench_market.run_python(stream)[1] > 10_000
    assert check(world[0]) == SOUND
    kinds = np.bincount(stream[:, 0]) / len(stream)
    assert kinds.min() > 0.05


def test_a_quiet_book_does_the_same_work_and_writes_no_rows():
    world = np.zeros(1, WORLD)
    stream = bench_market.recorded(world, 5_000)
    ids = np.zeros(len(stream), np.int64)
    books = []
    for is_quiet in (0, 1):
        ladder.reset(world[0], bench_market.CENTRE, 1)
        world["quiet"] = is_quiet
        bench_market.replay(world, stream, ids)
        assert (world["out_len"][0] == 0) == bool(is_quiet)
        books.append([world[name].tobytes() for name in ("level_lots", "order_lots", "position", "cash", "update_id", "lots_traded")])
    assert books[0] == books[1]
