"""Tables of real recordings: a row is what had happened, and a later day changes no earlier row."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from smartmoney.adapters.prepared_recordings import PreparedRecordings
from smartmoney.adapters.recordings import RecordedFrame
from smartmoney.core.book.codes import CODE_MASK, FoldCode
from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.core.features.parameters import FeatureParameters
from smartmoney.core.features.row import read_row
from smartmoney.core.features.schema import FEATURES
from smartmoney.learning.grid_fold import GridFold
from smartmoney.learning.recorded import find_instruments, read_files, read_frames
from smartmoney.runtime.codecs import RECORDED_CODECS

S = 1_000_000_000
SESSIONS = {
    "usdm-eth": (("usdm/ethusdt_20240808.gz",), Market.USDM),
    "spot-btc": (("spot/btcusdt_20240808.gz", "spot/btcusdt_20240809.gz"), Market.SPOT),
    "coinm-btc": (("cm/btcusd_perp_20240808.gz", "cm/btcusd_perp_20240809.gz"), Market.COINM),
    "usdm-btc-2023": (("usdm/btcusdt_20230404.dat.gz", "usdm/btcusdt_20230405.dat.gz"), Market.USDM),
}
CODEC = RECORDED_CODECS["binance"]()


class _Event(msgspec.Struct):
    e: str = ""
    E: int = 0
    T: int = 0


class _Envelope(msgspec.Struct):
    data: _Event = msgspec.field(default_factory=_Event)
    E: int = 0
    T: int = 0


_envelopes = msgspec.json.Decoder(_Envelope)


def event_ns(one: RecordedFrame) -> int:
    """Return a frame's exchange time as a JSON decoder reads it, 0 for what is neither depth nor trade nor snapshot."""
    envelope = _envelopes.decode(one.frame)
    if one.is_snapshot:
        return (envelope.T or envelope.E) * 1_000_000
    return (envelope.data.T or envelope.data.E) * 1_000_000 if envelope.data.e in {"depthUpdate", "trade"} else 0


def paths_of(captures: Path, name: str) -> list[Path]:
    return [captures / "hftbacktest" / one for one in SESSIONS[name][0]]


def table(
    paths: list[Path], instrument: Instrument, step_ns: int = S, store: PreparedRecordings | None = None
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    times, rows = [], []

    def take(ts_ns: int) -> None:
        row = np.empty(len(FEATURES))
        read_row(fold.states, 0, ts_ns, row)
        times.append(ts_ns)
        rows.append(row)

    fold = GridFold(CODEC, instrument, FeatureParameters(), step_ns, take)
    fold.run(read_files(paths, None, store))
    return np.array(times, np.int64), np.array(rows)


def frames_of(paths: list[Path]) -> Iterator[RecordedFrame]:
    for one in read_frames(paths):
        assert isinstance(one, RecordedFrame)
        yield one


def some_always(names, always):
    """Give names as parameters; those not in `always` are left to the long campaign."""
    return [name if name in always else pytest.param(name, marks=pytest.mark.slow) for name in names]


@pytest.mark.parametrize("name", some_always(SESSIONS, ("spot-btc", "usdm-eth")))
def test_a_row_is_what_folding_the_frames_until_then_gives(captures: Path, name: str) -> None:
    paths = paths_of(captures, name)
    [instrument] = find_instruments(paths, CODEC, SESSIONS[name][1])
    times, rows = table(paths, instrument)
    assert len(times) > 300
    assert (np.diff(times) == S).all()
    states = CODEC.new_states([instrument], FeatureParameters())
    expected: list[NDArray[np.float64]] = []
    kept: list[RecordedFrame] = []
    for one in frames_of(paths):
        at_ns = event_ns(one)
        while len(expected) < len(times) and at_ns > times[len(expected)]:
            row = np.empty(len(FEATURES))
            read_row(states, 0, int(times[len(expected)]), row)
            expected.append(row)
        code = CODEC.fold(one.frame, states, 0 if one.is_snapshot else -1, one.ts_wall_ns) & CODE_MASK
        if code == FoldCode.BUFFER:
            kept.append(one)
        elif code == FoldCode.SNAPSHOT:
            for earlier in kept:
                CODEC.fold(earlier.frame, states, -1, earlier.ts_wall_ns)
    assert np.array(expected).tobytes() == rows.tobytes()
    assert np.isfinite(rows[-1]).mean() > 0.5


@pytest.mark.parametrize("name", some_always(SESSIONS, ("spot-btc", "usdm-eth")))
def test_prepared_recordings_give_the_same_grid_and_rows(captures: Path, name: str, tmp_path: Path) -> None:
    paths, store = paths_of(captures, name), PreparedRecordings(tmp_path)
    [instrument] = find_instruments(paths, CODEC, SESSIONS[name][1])
    assert find_instruments(paths, CODEC, SESSIONS[name][1], store) == (instrument,)
    assert len(list(tmp_path.iterdir())) == len(paths)
    times, rows = table(paths, instrument)
    again, same = table(paths, instrument, S, store)
    assert (again == times).all()
    assert same.tobytes() == rows.tobytes()


@pytest.mark.parametrize("name", some_always([name for name, (files, _) in SESSIONS.items() if len(files) == 2], ("spot-btc",)))
def test_the_next_day_leaves_the_first_days_rows_as_they_are(captures: Path, name: str) -> None:
    paths = paths_of(captures, name)
    [alone] = find_instruments(paths[:1], CODEC, SESSIONS[name][1])
    [together] = find_instruments(paths, CODEC, SESSIONS[name][1])
    assert alone == together
    times, rows = table(paths[:1], alone)
    all_times, all_rows = table(paths, together)
    assert len(all_times) > len(times)
    assert (all_times[: len(times)] == times).all()
    assert all_rows[: len(times)].tobytes() == rows.tobytes()


def test_a_finer_grid_passes_through_the_same_rows(captures: Path) -> None:
    paths = paths_of(captures, "usdm-eth")
    [instrument] = find_instruments(paths, CODEC, Market.USDM)
    times, rows = table(paths, instrument)
    fine_times, fine = table(paths, instrument, S // 10)
    whole = np.isin(fine_times, times)
    assert fine[whole].tobytes() == rows.tobytes()
