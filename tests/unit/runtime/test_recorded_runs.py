"""Captures of the product's own runs as recordings: their table is that of the frames, and what dropped a book live drops it here."""

from pathlib import Path

import numpy as np
import pytest

from smartmoney.adapters.recordings import read_recording
from smartmoney.core.domain.entries import EntryKind, FeedDisconnected, FeedOverflowed
from smartmoney.core.domain.instruments import Market
from smartmoney.core.features.parameters import FeatureParameters
from smartmoney.core.features.row import read_row
from smartmoney.core.features.schema import FEATURES
from smartmoney.learning.grid_fold import GridFold
from smartmoney.learning.recorded import Interruption, RecordingRefused, find_instruments, read_files, read_frames
from smartmoney.runtime.clock import Stamp
from smartmoney.runtime.codecs import RECORDED_CODECS
from smartmoney.runtime.inbox import Item

from .market import S, capture_run, record

ORIGIN_NS = 1_700_000_000_250_000_000


@pytest.fixture(scope="module")
def codec():
    return RECORDED_CODECS["binance"]()


def rows_of(codec, recorded, instrument):
    times, rows = [], []

    def take(ts_ns):
        row = np.empty(len(FEATURES))
        read_row(fold.states, 0, ts_ns, row)
        times.append(ts_ns)
        rows.append(row)

    fold = GridFold(codec, instrument, FeatureParameters(), S, take)
    fold.run(recorded)
    return np.array(times, np.int64), np.array(rows), fold


def test_a_capture_of_a_run_gives_the_rows_of_its_frames_and_the_state_of_its_engine(codec, tmp_path):
    recordings, instruments = record(tmp_path, 40, ORIGIN_NS)
    recording = recordings["BTCUSDT"]
    engine = capture_run(tmp_path / "captures", recording, instruments)
    capture = tmp_path / "captures" / "earlier"
    assert find_instruments([capture], codec, Market.SPOT) == instruments
    times, rows, fold = rows_of(codec, read_files([capture]), instruments[0])
    raw_times, raw_rows, _ = rows_of(codec, read_recording(recording), instruments[0])
    assert (times == raw_times).all()
    assert rows.tobytes() == raw_rows.tobytes()
    ours, live = np.empty(len(FEATURES)), np.empty(len(FEATURES))
    read_row(fold.states, 0, 0, ours)
    read_row(engine.market.states, 0, 0, live)
    assert ours.tobytes() == live.tobytes()
    [segment] = sorted(Path(capture).glob("*.smc.zst"))
    assert rows_of(codec, read_files([segment]), instruments[0])[1].tobytes() == rows.tobytes()
    with pytest.raises(RecordingRefused, match="say --market spot"):
        find_instruments([capture], codec, Market.USDM)


@pytest.mark.parametrize("lost", [FeedDisconnected(connection=0, instruments=(0,), reason="test"), FeedOverflowed(dropped=3)])
def test_an_interruption_of_a_capture_drops_the_book(codec, tmp_path, lost):
    recordings, instruments = record(tmp_path, 30, ORIGIN_NS)
    tail = [Item(EntryKind.EVENT, Stamp(ORIGIN_NS, ORIGIN_NS), payload=lost)]
    engine = capture_run(tmp_path / "captures", recordings["BTCUSDT"], instruments, tail=tail)
    recorded = list(read_frames([tmp_path / "captures" / "earlier"]))
    assert isinstance(recorded[-1], Interruption)
    _, rows, fold = rows_of(codec, iter(recorded), instruments[0])
    assert list(read_files([tmp_path / "captures" / "earlier"]))[-1] == recorded[-1]
    assert int(fold.states[0]["phase"]) == int(engine.market.states[0]["phase"]) == 0
    assert np.isfinite(rows[-1]).any()
