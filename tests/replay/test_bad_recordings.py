"""What is wrong with a recording is said beside the result of its backtest, or the backtest is refused in words."""

import gzip
import json
import re

import pyarrow.parquet as pq
import pytest

from smartmoney.adapters.market_recorder import record
from smartmoney.core.domain.instruments import Market
from smartmoney.runtime.backtest import BacktestJob, BacktestRefused, Recordings, StoredDays, run_job
from smartmoney.runtime.replay import ReplayRefused
from smartmoney.settings.load import load_settings
from smartmoney.simulation.market import SyntheticMarket
from smartmoney.simulation.order_latency import OrderLatency


@pytest.fixture(scope="module")
def lines(tmp_path_factory):
    folder = tmp_path_factory.mktemp("market") / "one"
    record(SyntheticMarket(7, symbols=("BTCUSDT",), markets=(Market.USDM,)), folder, 20, origin_ns=1_700_000_000 * 10**9, with_truth=False)
    return gzip.decompress((folder / "feed" / "capture" / "BTCUSDT.usdm.gz").read_bytes()).splitlines()


@pytest.fixture
def said(tmp_path):
    """Backtest some lines; return what is said of them."""

    def run(lines, market="usdm"):
        path = tmp_path / "day.gz"
        path.write_bytes(gzip.compress(b"\n".join(lines) + b"\n"))
        settings = load_settings(overrides={"model": "prior", "market": market})
        done = run_job(BacktestJob(name="day", source=Recordings((str(path),), market), settings=settings, latency=OrderLatency()))
        return [line.removeprefix("day: ") for line in done.result.assumptions if line.startswith("day: ")]

    return run


def of_kind(lines, kind):
    return [at for at, line in enumerate(lines) if b'"e":"%s"' % kind in line]


def test_nothing_is_said_of_a_recording_that_is_whole(lines, said):
    assert said(lines) == []


def test_frames_out_of_order_and_frames_that_are_there_twice(lines, said):
    middle = len(lines) // 2
    assert said([*lines[:middle], *lines[middle - 40 : middle], *lines[middle:]]) == [
        "frames received before the one above them, stamped with its time: 39",
        f"updates and trades that book and tape had already, or had passed by their ids, left out: {_told(lines[middle - 40 : middle])}",
    ]


def _told(lines):
    return len(of_kind(lines, b"depthUpdate")) + len(of_kind(lines, b"trade"))


def test_frames_that_lack_a_field_and_the_gap_that_they_leave(lines, said):
    updates = of_kind(lines, b"depthUpdate")
    broken = {at: lines[at].replace(b'"u":', b'"no":') for at in updates[10:13]}
    *counted, bookless = said([broken.get(at, line) for at, line in enumerate(lines)])
    assert counted == [
        "frames malformed, or without a field that they need, left out: 3",
        "gaps in the updates, no book from there to the next snapshot: 1",
    ]
    assert re.match(r"no book for 0:00:1[89] in which 1\d\d updates came, for want of a snapshot before them: ", bookless)


def test_a_snapshot_that_comes_late_is_told_with_the_time_without_a_book(lines, said):
    [at] = [at for at, line in enumerate(lines) if b"lastUpdateId" in line]
    start_ns, updates = int(lines[0].partition(b" ")[0]), of_kind(lines, b"depthUpdate")
    late = next(at for at in updates if int(lines[at].partition(b" ")[0]) - start_ns > 12 * 10**9)
    book = json.loads(lines[at].partition(b" ")[2])
    book["lastUpdateId"] = json.loads(lines[late].partition(b" ")[2])["data"]["u"]
    stamp = lines[late].partition(b" ")[0]
    moved = [*lines[:at], *lines[at + 1 : late + 1], stamp + b" " + json.dumps(book).encode(), *lines[late + 1 :]]
    [told] = said(moved)
    count = sum(at <= late for at in updates)
    assert told.startswith(f"no book for 0:00:12 in which {count} updates came, for want of a snapshot before them: put the venue's")


def test_a_day_of_a_dataset_without_a_book_is_told_when_it_is_read_alone(tmp_path):
    midnight_ns = 20_000 * 86_400 * 10**9
    market = SyntheticMarket(3, symbols=("BTCUSDT",), markets=(Market.SPOT,))
    record(market, tmp_path / "one", 60, origin_ns=midnight_ns - 30 * 10**9, with_truth=False)
    root = tmp_path / "one" / "feed" / "dataset"
    path = root / "binance" / "spot" / "BTCUSDT" / "2024-10-04" / "depth.parquet"
    table = pq.read_table(path)
    settings = load_settings(overrides={"model": "prior", "market": "spot"})

    def said_of(first):
        source = StoredDays(str(root), "spot", "BTCUSDT", first, "2024-10-04")
        done = run_job(BacktestJob(name=first, source=source, settings=settings, latency=OrderLatency()))
        return [line for line in done.result.assumptions if line.startswith(first)]

    assert said_of("2024-10-04") == [], "the book was carried into it"
    is_update = [not whole for whole in table["is_snapshot"].to_pylist()]
    pq.write_table(table.filter(is_update), path)
    assert said_of("2024-10-03") == [], "the book is that of the day before"
    [line] = said_of("2024-10-04")
    assert line.startswith("2024-10-04: no snapshot of the book, so there was none: ")
    assert "begin with a day of the dataset that holds a book" in line


def test_no_snapshot_and_the_wrong_market(lines, said):
    assert "put the venue's depth reply before the updates" in said([line for line in lines if b"lastUpdateId" not in line])[-1]
    updates = of_kind(lines, b"depthUpdate")
    # As other venues number their updates: each begins beyond the end of the one before.
    jumps = []
    for at, line in enumerate(lines):
        if at in updates:
            stamp, _, frame = line.partition(b" ")
            said_in = json.loads(frame)
            said_in["data"]["pu"] += 7
            line = stamp + b" " + json.dumps(said_in).encode()
        jumps.append(line)
    assert "is the market (--market) the one that was recorded?" in said(jumps)[-1]


def test_a_market_that_was_left_out_is_asked_for(lines, said):
    """Perpetuals' updates begin beyond the end of the one before: read as spot they wait for ever, and nothing is wrong with any of them."""
    joins = of_kind(lines, b"depthUpdate")[:3]
    found = said([line for at, line in enumerate(lines) if at not in joins], "spot")
    assert "is the market (--market) the one that was recorded?" in found[-1]


def test_a_book_without_trades_is_told(lines, said):
    trades = of_kind(lines, b"trade")
    assert said([line for at, line in enumerate(lines) if at not in trades]) == [
        "no trades: flows are unknown, and what a model decides rests on missing flows"
    ]


def test_times_that_are_missing_or_in_another_unit_are_refused(lines, said):
    with pytest.raises(BacktestRefused, match="do not say when they were received"):
        said([line.partition(b" ")[2] for line in lines])
    with pytest.raises(ReplayRefused, match=r"receive time 1700000000\d{3} is neither ns nor us since 1970; is the unit right"):
        said([b"%d %s" % (int(line.partition(b" ")[0]) // 10**6, line.partition(b" ")[2]) for line in lines])
    with pytest.raises(ReplayRefused, match="; a recording has `<receive time, ns> <frame>` a line"):
        said([])
