"""The past that restarts are measured over: as many frames as are said, until now, closed or as a kill leaves it."""

import time

import pytest

from smartmoney.adapters.capture import read_capture, verify_capture
from smartmoney.core.domain.entries import EntryKind
from smartmoney.runtime import bench_restart
from smartmoney.runtime.warm_start import warm_blocks
from tests.grids import USDM_BTC

from .market import S, started

FRAMES = 700


@pytest.mark.parametrize("is_torn", [False, True])
def test_half_a_busy_hour_is_there_once_and_warms(tmp_path, monkeypatch, is_torn):
    monkeypatch.setattr(bench_restart, "FRAMES", FRAMES)
    monkeypatch.setattr(bench_restart, "_MARKET_S", 90)
    captures = tmp_path / "captures"
    captures.mkdir()
    since_ns = time.time_ns()
    for _ in range(2):
        bench_restart.live_through(captures, started((USDM_BTC,)), tmp_path / "feed", is_torn=is_torn)
    (folder,) = (run for run in captures.iterdir() if any(run.iterdir()))
    frames = [entry for entry in read_capture(folder) if entry.kind is not EntryKind.EVENT]
    until_ns = time.time_ns()
    assert since_ns - 60 * S < frames[0].ts_wall_ns + bench_restart.SPAN_NS < until_ns + 60 * S
    assert bool(verify_capture(folder).problems) == is_torn
    if is_torn:
        assert 0.5 * FRAMES < len(frames) < FRAMES
    else:
        assert len(frames) == FRAMES
        assert since_ns - 60 * S < frames[-1].ts_wall_ns < until_ns + 60 * S
    assert sum(map(len, warm_blocks((USDM_BTC,), {}, captures, "current"))) == pytest.approx(len(frames), abs=20)
