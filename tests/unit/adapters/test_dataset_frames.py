"""A dataset's rows, put into the packed form, do what the text of the same frames does."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smartmoney.adapters import dataset_messages, dataset_reader
from smartmoney.adapters.dataset import DAY_NS, DEPTH_COLUMNS, GROUP_ROWS, TRADE_COLUMNS, ParquetTable, instrument_folder, metadata_of
from smartmoney.adapters.dataset_frames import blocks_of_days
from smartmoney.adapters.dataset_reader import choose
from smartmoney.adapters.history.events import Repairs
from smartmoney.core.book.state import SCAN_LEVELS
from smartmoney.core.domain.instruments import Market
from smartmoney.core.features.parameters import FeatureParameters
from smartmoney.venues.binance.codec import fold_recorded, new_states
from smartmoney.venues.binance.grid_inference import infer_grid
from smartmoney.venues.recorded_lines import PACKED

DAY = 20_000
HUGE = 10**18


def instrument(market, symbol="XUSDT"):
    frame = f'{{"e":"trade","E":1,"T":1,"s":"{symbol}","t":1,"p":"1.01","q":"1.001","m":true}}'
    [found] = infer_grid([(frame.encode(), None)], market)
    return found


def write(root, of, days):
    """Write days of rows: of each, depth (side, ticks, lots after wall, ids, is_snapshot) and trades."""
    for number, (depth, trades) in enumerate(days):
        for name, columns, rows in (("depth", DEPTH_COLUMNS, depth), ("trades", TRADE_COLUMNS, trades)):
            if rows:
                table = ParquetTable(instrument_folder(root, of), name, columns, metadata_of(of))
                table.write({column: np.array([row[at] for row in rows], kind) for at, (column, kind) in enumerate(columns.items())})
                table.close()
        assert not depth or depth[0][0] // DAY_NS == DAY + number
    return choose(root)


def depth_row(wall, previous, last, side, ticks, lots, *, is_snapshot=False):
    return wall, wall - 1_000, max(previous + 1, 0), previous, last, side, ticks, lots, is_snapshot


def read(stored, *, packs):
    repairs = Repairs()
    blocks = list(blocks_of_days(stored, repairs, packs=packs))
    return [(block.recorded(at), bool(block.rows[PACKED, at])) for block in blocks for at in range(len(block))], repairs.lines()


def states_after(of, frames):
    states = new_states((of,), FeatureParameters())
    codes = [fold_recorded(one.frame, states, 0 if one.is_snapshot else -1, one.ts_wall_ns) for one, _ in frames]
    return codes, {name: states[name].tobytes() for name in states.dtype.names if not name.startswith("scan_")}


def assert_same(of, stored):
    """Assert that packed and text fold to the same; return which frames are packed."""
    (text, told), (packed, mended) = (read(stored, packs=packs) for packs in (False, True))
    assert told == mended
    assert not any(is_packed for _, is_packed in text)
    assert [(one.ts_wall_ns, one.is_snapshot, one.symbol) for one, _ in text] == [
        (one.ts_wall_ns, one.is_snapshot, one.symbol) for one, _ in packed
    ]
    wanted, found = states_after(of, text), states_after(of, packed)
    assert found[0] == wanted[0]
    for name, value in wanted[1].items():
        assert found[1][name] == value, name
    return [is_packed for _, is_packed in packed]


lots = st.integers(0, 9) | st.sampled_from([2**32 - 1, 2**32, 10**15])
levels = st.lists(st.tuples(st.integers(0, 1), st.integers(1, 9) | st.just(2**33), lots), min_size=1, max_size=6)
messages = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from([0, 0, 0, 1, -3]), st.integers(1, 3), levels, st.integers(0, 9)), max_size=12
)
prints = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 1), st.integers(1, 9), lots), max_size=8)


def day_of(number, changes, trades):
    """Return the rows of a day: a book, carried over or sent, and what changes it; several updates at one time are one message."""
    wall, last, depth, printed = (DAY + number) * DAY_NS + 5, 50, [], []
    for side, ticks in ((0, 4), (0, 3), (1, 6)):
        depth.append(depth_row(wall, -1 if number == 0 else last, last, side, ticks, 5, is_snapshot=True))
    for wait, hole, more, pairs, joined in changes:
        wall, previous = wall + wait * 100_000_000, last + hole
        last = max(previous + more, 0)
        for place, pair in enumerate(pairs):
            if place and joined == place:
                previous, last = last, last + 1
            depth.append(depth_row(wall, max(previous, 0), last, *pair))
    wall, trade_id = (DAY + number) * DAY_NS + 5, 7
    for wait, step, side, ticks, size in trades:
        wall, trade_id = wall + wait * 100_000_000, trade_id + step
        printed.append((wall, wall - 1_000, trade_id, side, ticks, max(size, 1)))
    return depth, printed


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(
    st.sampled_from([Market.SPOT, Market.USDM]),
    st.lists(st.tuples(messages, prints), min_size=1, max_size=2),
    st.sampled_from([2, 7, 1 << 16]),
)
def test_any_rows_fold_as_the_text_of_their_frames_does(tmp_path_factory, monkeypatch, market, found, group_rows):
    of = instrument(market)
    stored = write(tmp_path_factory.mktemp("any"), of, [day_of(number, *rows) for number, rows in enumerate(found)])
    monkeypatch.setattr(dataset_reader, "GROUP_ROWS", group_rows)
    monkeypatch.setattr(dataset_messages, "IDS_KEPT", 5)
    is_packed = assert_same(of, stored)
    # The first book is text, and so is none of the rest: a book that was carried over is known from the day before.
    assert is_packed == [False] + [True] * (len(is_packed) - 1)


@pytest.mark.parametrize("market", [Market.SPOT, Market.USDM])
def test_what_the_packed_form_has_no_place_for_stays_text(tmp_path, market):
    of, wall = instrument(market), DAY * DAY_NS + 5
    depth = [
        depth_row(wall, -1, 1, 0, 4, 5, is_snapshot=True),
        depth_row(wall + 1, 1, 2, 0, 4, HUGE),
        depth_row(wall + 2, 2, 3, 1, HUGE, 1),
    ]
    depth += [depth_row(wall + 3, 3, 4, 1, 6 + place, 1) for place in range(SCAN_LEVELS + 1)]
    depth += [depth_row(wall + 4, 4, 5, 0, 3, 1), depth_row(wall + 5, 5, 10**18, 0, 2, 1)]
    trades = [(wall + 6, wall, 1, 0, 4, 1), (wall + 7, wall, 2, 0, 4, HUGE), (wall + 8, wall, 10**18, 1, 4, 1)]
    is_packed = assert_same(of, write(tmp_path, of, [(depth, trades)]))
    assert is_packed == [False, False, False, False, True, False, True, False, False]


def test_a_symbol_that_the_scanner_does_not_read_stays_text(tmp_path):
    of, wall = instrument(Market.USDM, "ÄUSDT"), DAY * DAY_NS + 5
    rows = [depth_row(wall, -1, 1, 0, 4, 5, is_snapshot=True), depth_row(wall + 1, 1, 2, 0, 4, 1)]
    assert assert_same(of, write(tmp_path, of, [(rows, [(wall + 6, wall, 1, 0, 4, 1)])])) == [False, False, False]


def test_updates_and_trades_that_came_before_are_left_out_across_midnight(tmp_path):
    of = instrument(Market.USDM)
    depth, trades = day_of(0, [(1, 0, 1, [(0, 4, lots)], 0) for lots in range(1, 4)], [(1, 1, 0, 4, 1)])
    again = [(DAY_NS + row[0], *row[1:]) for row in depth if not row[-1]]
    new = depth_row(again[-1][0] + 1, 53, 54, 0, 4, 9)
    stored = write(tmp_path, of, [(depth, trades), ([*again, new], [(DAY_NS + trades[0][0], *trades[0][1:])])])
    frames, mended = read(stored, packs=True)
    assert mended == ["book updates seen twice, left out: 3", "trades seen twice, left out: 1"]
    assert len(frames) == len([depth[0], *again, trades[0], new])


def test_memory_does_not_grow_with_what_was_read_of_a_file(tmp_path):
    of, wall, count = instrument(Market.SPOT), DAY * DAY_NS + 5, 24 * GROUP_ROWS
    stored = write(tmp_path, of, [([], [(wall, wall, 1, 0, 4, 1)])])
    [path] = tmp_path.rglob("trades.parquet")
    schema = pq.read_schema(path)
    columns = {
        **dict.fromkeys(TRADE_COLUMNS, np.ones(count, np.int64)),
        "ts_wall_ns": np.full(count, wall),
        "ts_event_ns": np.full(count, wall),
    }
    columns |= {"trade_id": np.arange(count)}
    arrays = [pa.array(values.astype(TRADE_COLUMNS[name])) for name, values in columns.items()]
    pq.write_table(pa.table(arrays, schema), path, row_group_size=GROUP_ROWS, compression="none", use_dictionary=False)
    before, held = pa.total_allocated_bytes(), []
    for block in blocks_of_days(stored, Repairs()):
        assert len(block) == GROUP_ROWS
        held.append(pa.total_allocated_bytes() - before)
    assert len(held) == 24
    assert max(held) < path.stat().st_size / 6


def test_days_whose_ids_begin_anew_go_on_from_the_day_before(tmp_path):
    """So stand in datasets the imports that counted from one."""
    of, days = instrument(Market.USDM), []
    for number in range(3):
        wall = (DAY + number) * DAY_NS + 5
        depth = [depth_row(wall, -1, 1, side, ticks, 5, is_snapshot=True) for side, ticks in ((0, 4), (1, 6))]
        depth += [depth_row(wall + at, at, at + 1, 0, 4, 10 * number + at) for at in range(1, 8)]
        days.append((depth, [(wall + at, wall + at, at, 0, 6, 1) for at in range(1, 9)]))
    stored = write(tmp_path, of, days)
    frames, mended = read(stored, packs=True)
    assert mended == []
    _, state = states_after(of, frames)
    counts = {
        name: int(np.frombuffer(state[name], np.int64)[0]) for name in ("snapshots", "depth", "trades", "gaps", "trade_gaps", "ignored")
    }
    assert counts == {"snapshots": 3, "depth": 21, "trades": 24, "gaps": 0, "trade_gaps": 0, "ignored": 0}
    assert_same(of, stored)


def test_a_book_that_came_late_at_the_beginning_of_a_day_does_not_begin_the_ids_anew(tmp_path):
    of, wall = instrument(Market.USDM), DAY * DAY_NS + 5
    first = [depth_row(wall, -1, 50, side, ticks, 5, is_snapshot=True) for side, ticks in ((0, 4), (1, 6))]
    first.append(depth_row(wall + 1, 50, 55, 0, 4, 7))
    second = [depth_row(wall + DAY_NS, -1, 54, 0, 4, 6, is_snapshot=True), depth_row(wall + DAY_NS + 1, 55, 56, 0, 4, 8)]
    frames, _ = read(write(tmp_path, of, [(first, []), (second, [])]), packs=False)
    assert [b'"u":56' in one.frame for one, _ in frames] == [False, False, False, True]
    assert b'"lastUpdateId":54' in frames[2][0].frame
