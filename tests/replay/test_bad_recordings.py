"""What is wrong with a recording is said beside the result of its backtest, or the backtest is refused in words."""

import gzip
import json

import pytest

from smartmoney.adapters.market_recorder import record
from smartmoney.core.domain.instruments import Market
from smartmoney.runtime.backtest import BacktestJob, BacktestRefused, Recordings, run_job
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
        f"updates and trades that book and tape had already, left out: {_told(lines[middle - 40 : middle])}",
    ]


def _told(lines):
    return len(of_kind(lines, b"depthUpdate")) + len(of_kind(lines, b"trade"))


def test_frames_that_lack_a_field_and_the_gap_that_they_leave(lines, said):
    updates = of_kind(lines, b"depthUpdate")
    broken = {at: lines[at].replace(b'"u":', b'"no":') for at in updates[10:13]}
    assert said([broken.get(at, line) for at, line in enumerate(lines)]) == [
        "frames malformed, or without a field that they need, left out: 3",
        "gaps in the updates, no book from there to the next snapshot: 1",
    ]


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


def test_times_that_are_missing_or_in_another_unit_are_refused(lines, said):
    with pytest.raises(BacktestRefused, match="do not say when they were received"):
        said([line.partition(b" ")[2] for line in lines])
    with pytest.raises(ReplayRefused, match=r"receive time 1700000000\d{3} is neither ns nor us since 1970; is the unit right"):
        said([b"%d %s" % (int(line.partition(b" ")[0]) // 10**6, line.partition(b" ")[2]) for line in lines])
    with pytest.raises(ReplayRefused, match="; a recording has `<receive time, ns> <frame>` a line"):
        said([])
