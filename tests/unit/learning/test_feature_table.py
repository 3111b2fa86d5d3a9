"""Tables of the built-in market: the grid, the rows, the files, and what is said when there is nothing to make one of."""

import gzip
import os
import re

import msgspec
import numpy as np
import pyarrow.csv
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartmoney.adapters import recording_blocks
from smartmoney.adapters.prepared_recordings import PreparedRecordings
from smartmoney.adapters.recordings import read_recording
from smartmoney.core.book.codes import CODE_MASK, FoldCode
from smartmoney.core.domain.instruments import Market
from smartmoney.core.features.parameters import FeatureParameters
from smartmoney.core.features.row import read_row
from smartmoney.core.features.schema import FEATURES, SCHEMA_HASH
from smartmoney.learning import grid_fold
from smartmoney.learning.feature_table import FEATURE_NAMES, TableJob, compute_table
from smartmoney.learning.grid_fold import GridFold, parse_step
from smartmoney.learning.recorded import RecordingRefused, find_instruments, read_files, read_frames
from smartmoney.learning.top_watch import TopWatch
from smartmoney.runtime.codecs import RECORDED_CODECS

from .markets import ORIGIN_NS, ObviousBook, S, messages, record

SECONDS = 75


@pytest.fixture(scope="module")
def codec():
    return RECORDED_CODECS["binance"]()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return record(tmp_path_factory.mktemp("market"), SECONDS)


def instrument_of(codec, files, market=Market.USDM):
    [instrument] = find_instruments(files, codec, market)
    return instrument


def rows_of(codec, recorded, instrument, step_ns=S, watch=None):
    times, rows = [], []

    def take(ts_ns):
        row = np.empty(len(FEATURES))
        read_row(fold.states, 0, ts_ns, row)
        times.append(ts_ns)
        rows.append(row)

    fold = GridFold(codec, instrument, FeatureParameters(), step_ns, take, watch)
    fold.run(recorded)
    return np.array(times, np.int64), np.array(rows), fold


def obvious_rows(codec, recorded, instrument, step_ns):
    """Fold frame by frame, and read a row whenever a frame's time, as the standard library reads it, is past the grid."""
    states = codec.new_states((instrument,), FeatureParameters())
    times, rows, kept, due_ns = [], [], [], None
    recorded = list(recorded)
    for one, (event_ns, _) in zip(recorded, messages(recorded), strict=True):
        while due_ns is not None and event_ns > due_ns:
            row = np.empty(len(FEATURES))
            read_row(states, 0, due_ns, row)
            times.append(due_ns)
            rows.append(row)
            due_ns += step_ns
        if due_ns is None and event_ns:
            due_ns = -(-event_ns // step_ns) * step_ns
        code = codec.fold(one.frame, states, 0 if one.is_snapshot else -1, one.ts_wall_ns) & CODE_MASK
        if code == FoldCode.BUFFER:
            kept.append(one)
        elif code == FoldCode.SNAPSHOT:
            for earlier in kept:
                codec.fold(earlier.frame, states, -1, earlier.ts_wall_ns)
    return np.array(times, np.int64), np.array(rows), states


@pytest.mark.parametrize("step_ns", [S, 100_000_000, 7 * S])
def test_rows_are_those_of_folding_one_by_one(codec, files, step_ns):
    path = files["BTCUSDT"]
    instrument = instrument_of(codec, [path])
    times, rows, fold = rows_of(codec, read_files([path]), instrument, step_ns)
    expected_times, expected, states = obvious_rows(codec, read_recording(path), instrument, step_ns)
    assert (times == expected_times).all()
    assert (times % step_ns == 0).all()
    assert rows.tobytes() == expected.tobytes()
    assert fold.states.tobytes() == states.tobytes()
    assert np.isfinite(rows[len(rows) // 2 :]).any(axis=0).sum() > len(FEATURES) // 2


def test_the_last_grid_point_has_no_row_and_later_frames_change_no_earlier_one(codec, files):
    path = files["ETHUSDT"]
    instrument = instrument_of(codec, [path])
    recorded = list(read_recording(path))
    times, rows, _ = rows_of(codec, iter(recorded), instrument)
    last_ns = max(event_ns for event_ns, _ in messages(recorded))
    assert times[-1] < last_ns <= times[-1] + S
    for cut in (len(recorded) // 3, len(recorded) // 2, len(recorded) - 1):
        fewer_times, fewer, _ = rows_of(codec, iter(recorded[:cut]), instrument)
        assert (fewer_times == times[: len(fewer_times)]).all()
        assert fewer.tobytes() == rows[: len(fewer)].tobytes()


def test_batches_and_a_watch_change_nothing(codec, files, monkeypatch):
    path = files["BTCUSDT"]
    instrument = instrument_of(codec, [path])
    _, expected, whole = rows_of(codec, read_files([path]), instrument)
    monkeypatch.setattr(recording_blocks, "BLOCK_FRAMES", 7)
    _, small, cut = rows_of(codec, read_frames([path]), instrument)
    _, watched, fold = rows_of(codec, read_files([path]), instrument, watch=TopWatch())
    assert expected.tobytes() == small.tobytes() == watched.tobytes()
    assert whole.frames == cut.frames == fold.frames


def test_of_several_files_each_instruments_rows_are_those_of_its_own(codec, files, tmp_path):
    paths, store = list(files.values()), PreparedRecordings(tmp_path)
    for kept in (None, store):
        found = find_instruments(paths, codec, Market.USDM, kept)
        assert {one.symbol for one in found} == set(files)
        for instrument in found:
            times, expected, _ = rows_of(codec, read_files([files[instrument.symbol]]), instrument)
            again, rows, fold = rows_of(codec, read_files(paths, None, kept), instrument)
            assert (again == times).all()
            assert rows.tobytes() == expected.tobytes()
            assert int(fold.states[0]["snapshots"]) > 0


def test_bars_hold_the_sums_of_an_obvious_book(codec, files):
    path = files["BTCUSDT"]
    instrument = instrument_of(codec, [path])
    watch = TopWatch()
    fold = GridFold(codec, instrument, FeatureParameters(), S, watch.sample, watch)
    fold.run(read_files([path]))
    bars = watch.bars()
    book, expected, position = ObviousBook(instrument), [], 0
    for event_ns, message in messages(read_recording(path)):
        while position < len(bars.times) and event_ns > bars.times[position]:
            top = book.top() if book.last_id is not None else None
            mid = float((top[0] + top[2]) / 2 / instrument.tick_size) if top else np.nan
            queue = (top[1] - top[3]) / (top[1] + top[3]) if top else np.nan
            expected.append((mid, queue, book.order_flow, book.trade_flow))
            book.order_flow = book.trade_flow = 0
            position += 1
        book.take(message)
    columns = np.array(expected).T
    for name, column in zip(("mid", "queue_imbalance", "order_flow", "trade_flow"), columns, strict=True):
        np.testing.assert_allclose(getattr(bars, name), column, rtol=1e-12, err_msg=name)
    assert np.abs(columns[2]).sum() > 0
    assert np.abs(columns[3]).sum() > 0


def test_a_silence_is_a_hole_without_rows(codec, files):
    path = files["BTCUSDT"]
    instrument = instrument_of(codec, [path])
    recorded = list(read_recording(path))
    stamps = [event_ns for event_ns, _ in messages(recorded)]
    begin_ns, end_ns = ORIGIN_NS + 20 * S, ORIGIN_NS + 30 * S
    thinned = [one for one, at in zip(recorded, stamps, strict=True) if not begin_ns <= at < end_ns]
    for hole_ns, missing in ((60 * S, 0), (3 * S, 7)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(grid_fold, "HOLE_NS", hole_ns)
            times, _, fold = rows_of(codec, iter(thinned), instrument)
        assert fold.holes == (missing > 0)
        assert np.diff(times).max() // S - 1 in {missing, missing - 1 if missing else 0}


def test_a_table_holds_every_feature_and_says_what_it_is(codec, files, tmp_path):
    path = files["BTCUSDT"]
    job = TableJob(
        files=(path,), instrument=instrument_of(codec, [path]), every_ns=S, parameters=FeatureParameters(), out=tmp_path / "t.parquet"
    )
    summary = compute_table(job, codec)
    table = pyarrow.parquet.read_table(job.out)
    assert table.column_names == ["ts_event_ns", *FEATURE_NAMES]
    assert (summary.rows, summary.columns) == (table.num_rows, len(FEATURES))
    assert all(column.null_count == 0 for column in table.columns)
    times, rows, _ = rows_of(codec, read_files([path]), job.instrument)
    assert (table["ts_event_ns"].to_numpy() == times).all()
    assert np.stack([table[name].to_numpy() for name in FEATURE_NAMES], axis=1).tobytes() == rows.tobytes()
    assert np.isnan(rows[0]).any()
    said = {
        key.decode().removeprefix("smartmoney."): value.decode() for key, value in table.schema.metadata.items() if b"smartmoney" in key
    }
    assert said["schema_hash"] == SCHEMA_HASH
    assert (said["venue"], said["market"], said["symbol"], said["every_ns"]) == ("binance", "usdm", "BTCUSDT", "1000000000")
    assert msgspec.json.decode(said["parameters"], type=FeatureParameters) == job.parameters
    assert (summary.first_ts_event_ns, summary.last_ts_event_ns) == (times[0], times[-1])
    assert os.listdir(tmp_path) == ["t.parquet"]


def test_a_table_as_text_has_the_same_numbers(codec, files, tmp_path):
    path = files["ETHUSDT"]
    job = TableJob(
        files=(path,), instrument=instrument_of(codec, [path]), every_ns=S, parameters=FeatureParameters(), out=tmp_path / "t.csv"
    )
    compute_table(job, codec)
    as_numbers = pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(FEATURE_NAMES, "double"), null_values=[])
    table = pyarrow.csv.read_csv(job.out, convert_options=as_numbers)
    _, rows, _ = rows_of(codec, read_files([path]), job.instrument)
    found = np.stack([table[name].to_numpy() for name in FEATURE_NAMES], axis=1)
    np.testing.assert_array_equal(found, rows)


def without_snapshot(path, folder):
    stripped = folder / "stripped.gz"
    lines = gzip.decompress(path.read_bytes()).splitlines(keepends=True)
    stripped.write_bytes(gzip.compress(b"".join(line for line in lines if b"lastUpdateId" not in line)))
    return stripped


def test_what_cannot_become_a_table_is_refused_and_leaves_nothing(codec, files, tmp_path):
    path = files["BTCUSDT"]
    instrument = instrument_of(codec, [path])
    empty = tmp_path / "empty.gz"
    empty.write_bytes(gzip.compress(b""))
    other = tmp_path / "other.gz"
    other.write_bytes(gzip.compress(b'1700000000000000000 {"result":null,"id":1}\n'))
    out = tmp_path / "out"
    out.mkdir()
    cases = (
        (without_snapshot(path, tmp_path), instrument, S, "no depth snapshot"),
        (empty, instrument, S, "empty"),
        (other, instrument, S, "no depth or trade"),
        (files["ETHUSDT"], instrument, S, "no depth or trade"),
        (path, instrument, 3600 * S, "shorter --every"),
        (tmp_path / "missing.gz", instrument, S, "no such file"),
        (out, instrument, S, "without a capture"),
    )
    for file, one, every_ns, words in cases:
        job = TableJob(files=(file,), instrument=one, every_ns=every_ns, parameters=FeatureParameters(), out=out / "t.parquet")
        with pytest.raises(RecordingRefused, match=words):
            compute_table(job, codec)
        assert os.listdir(out) == []
    nowhere = TableJob(files=(path,), instrument=instrument, every_ns=S, parameters=FeatureParameters(), out=tmp_path / "no" / "t.parquet")
    with pytest.raises(RecordingRefused, match="no such folder"):
        compute_table(nowhere, codec)


def rewritten(path, folder, change):
    """Give a copy of a recording whose list of lines was changed."""
    copy = folder / "rewritten.gz"
    copy.write_bytes(gzip.compress(b"".join(change(gzip.decompress(path.read_bytes()).splitlines(keepends=True)))))
    return copy


def test_depth_frames_of_another_market_make_no_table_without_a_book(codec, files, tmp_path):
    spot = rewritten(files["BTCUSDT"], tmp_path, lambda lines: [re.sub(rb'"pu":[0-9]+,', b"", line) for line in lines])
    out = tmp_path / "t.parquet"
    job = TableJob(files=(spot,), instrument=instrument_of(codec, [spot]), every_ns=S, parameters=FeatureParameters(), out=out)
    with pytest.raises(RecordingRefused, match="is --market right"):
        compute_table(job, codec)
    assert not out.exists()


def test_a_gap_in_the_recording_is_told_and_ends_the_book(codec, files, tmp_path):
    def without_one(lines):
        depth = [k for k, line in enumerate(lines) if b"depthUpdate" in line]
        return [line for k, line in enumerate(lines) if k != depth[len(depth) // 2]]

    cut, out = rewritten(files["BTCUSDT"], tmp_path, without_one), tmp_path / "t.parquet"
    job = TableJob(files=(cut,), instrument=instrument_of(codec, [cut]), every_ns=S, parameters=FeatureParameters(), out=out)
    [problem] = compute_table(job, codec).problems
    assert problem.startswith("1 gaps in the sequence")
    spread = pyarrow.parquet.read_table(out)["spread_bps"].to_numpy()
    assert np.isfinite(spread[len(spread) // 3])
    assert np.isnan(spread[-1])


def test_a_table_is_not_written_over_a_folder(codec, files, tmp_path):
    path, out = files["BTCUSDT"], tmp_path / "folder.parquet"
    out.mkdir()
    job = TableJob(files=(path,), instrument=instrument_of(codec, [path]), every_ns=S, parameters=FeatureParameters(), out=out)
    with pytest.raises(RecordingRefused, match="is a folder"):
        compute_table(job, codec)
    assert os.listdir(tmp_path) == ["folder.parquet"]


def test_an_old_table_survives_a_failed_one(codec, files, tmp_path):
    out = tmp_path / "t.parquet"
    out.write_bytes(b"old")
    stripped = without_snapshot(files["BTCUSDT"], tmp_path)
    job = TableJob(
        files=(stripped,), instrument=instrument_of(codec, [files["BTCUSDT"]]), every_ns=S, parameters=FeatureParameters(), out=out
    )
    with pytest.raises(RecordingRefused):
        compute_table(job, codec)
    assert out.read_bytes() == b"old"


def test_damage_ends_a_file_and_is_told(codec, files, tmp_path):
    path = files["BTCUSDT"]
    cut = tmp_path / "cut.gz"
    cut.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    job = TableJob(
        files=(cut,), instrument=instrument_of(codec, [path]), every_ns=S, parameters=FeatureParameters(), out=tmp_path / "t.parquet"
    )
    summary = compute_table(job, codec)
    [problem] = summary.problems
    assert "cut.gz" in problem
    whole, _, _ = rows_of(codec, read_files([path]), job.instrument)
    assert 0 < summary.rows < len(whole)


@given(st.integers(1, 999_999), st.sampled_from(["ms", "s", "m", "h"]))
def test_a_step_is_a_number_and_a_unit(number, unit):
    assert parse_step(f"{number}{unit}") == number * {"ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}[unit]


@pytest.mark.parametrize("text", ["", "0s", "-1s", "1", "1.5s", "1 s", "s", "1d", "1us", "٣s", "1s1s"])
def test_what_is_no_step_is_told_so(text):
    with pytest.raises(ValueError, match="as in 100ms"):
        parse_step(text)
