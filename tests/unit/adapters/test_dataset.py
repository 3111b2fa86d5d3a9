"""Datasets: what was received comes back as it was, days stand alone, other tools read the tables, and what cannot be is refused by name."""

import json
from decimal import Decimal

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smartmoney.adapters.dataset import BEGINS, DAY_NS, DEPTH_COLUMNS, TABLES
from smartmoney.adapters.dataset_export import export_frames
from smartmoney.adapters.dataset_frames import blocks_of_days
from smartmoney.adapters.dataset_reader import DatasetRefused, begins_ns, choose, stored_instruments
from smartmoney.adapters.history.events import HistoryRefused, Repairs
from smartmoney.adapters.market_recorder import record
from smartmoney.adapters.recordings import RecordedFrame, read_recording
from smartmoney.core.domain.instruments import Market
from smartmoney.learning.dataset_stats import holding_of, problems_of, stats_of
from smartmoney.runtime.codecs import recorded_binance
from smartmoney.simulation.market import SyntheticMarket
from smartmoney.venues.binance.grid_inference import infer_grid

MIDNIGHT = 20_000 * DAY_NS
T = MIDNIGHT - 3_000_000_000
MS = 1_000_000


def snapshot(wall, number, bids=(("100.1", "2"), ("100.0", "5")), asks=(("100.2", "3"),)):
    body = {"lastUpdateId": number, "E": wall // MS, "T": wall // MS, "bids": bids, "asks": asks}
    return RecordedFrame(wall, json.dumps(body).encode(), True, "XUSDT")


def update(wall, first, last, previous, bids=(), asks=(), symbol="XUSDT"):
    body = {
        "e": "depthUpdate",
        "E": wall // MS,
        "T": wall // MS - 1,
        "s": symbol,
        "U": first,
        "u": last,
        "pu": previous,
        "b": bids,
        "a": asks,
    }
    return RecordedFrame(wall, json.dumps({"stream": "xusdt@depth@0ms", "data": body}).encode(), False, None)


def trade(wall, number, price="100.2", size="0.5", maker=False, symbol="XUSDT"):
    body = {"e": "trade", "E": wall // MS, "T": wall // MS, "s": symbol, "t": number, "p": price, "q": size, "X": "MARKET", "m": maker}
    return RecordedFrame(wall, json.dumps({"stream": "xusdt@trade", "data": body}).encode(), False, None)


def quote(wall, number):
    body = {"e": "bookTicker", "u": number, "s": "XUSDT", "b": "100.1", "B": "2", "a": "100.2", "A": "3", "T": wall // MS, "E": wall // MS}
    return RecordedFrame(wall, json.dumps({"stream": "xusdt@bookTicker", "data": body}).encode(), False, None)


def mark(wall, rate="-0.0000182221218054", price="100.12345678", **more):
    body = {"e": "markPriceUpdate", "E": wall // MS, "s": "XUSDT", "p": price, "P": "1", "i": "2", "r": rate, "T": MIDNIGHT // MS, **more}
    return RecordedFrame(wall, json.dumps({"stream": "xusdt@markPrice", "data": body}).encode(), False, None)


SESSION = [
    quote(T - 7, 9),
    snapshot(T, 10),
    update(T + 1, 9, 12, 8, bids=(("100.1", "1"),)),
    trade(T + 2, 500),
    update(T + 3, 14, 14, 12),
    update(T + 4, 20, 21, 14, asks=(("100.2", "0"), ("100.3", "7.25"))),
    trade(MIDNIGHT + 5, 501, "100.1", "0.25", maker=True),
    update(MIDNIGHT + 6, 30, 31, 21, bids=(("99.5", "4"),)),
    mark(MIDNIGHT + 8),
    mark(MIDNIGHT + 9, "0.0001", "0"),
]


def exported(root, frames=SESSION):
    repairs = Repairs()
    instruments = infer_grid(((one.frame, one.symbol) for one in frames), Market.USDM)
    export_frames(iter(frames), instruments, root, repairs)
    return repairs.lines()


def told(frame):
    """Return what a frame says, in numbers."""
    body = json.loads(frame.frame)
    body = body.get("data", body)

    def levels(name):
        return [(float(price), float(size)) for price, size in body[name]]

    if frame.is_snapshot:
        return frame.ts_wall_ns, body["lastUpdateId"], levels("bids"), levels("asks")
    if body["e"] == "depthUpdate":
        return frame.ts_wall_ns, body["T"], body["U"], body["u"], body["pu"], levels("b"), levels("a")
    if body["e"] == "markPriceUpdate":
        return frame.ts_wall_ns, body["E"], body["T"], Decimal(body["r"]), Decimal(body["p"])
    return frame.ts_wall_ns, body["T"], body["t"], float(body["p"]), float(body["q"]), body["m"]


def read(root, first=None, last=None):
    repairs = Repairs()
    blocks = blocks_of_days(choose(root).between(first, last), repairs, packs=False)
    return [block.recorded(at) for block in blocks for at in range(len(block))], repairs.lines()


def test_what_was_received_comes_back_as_it_was(tmp_path):
    assert exported(tmp_path) == ["days begun with the book carried over from the day before: 1"]
    frames, repairs = read(tmp_path)
    # The best quote is a table of its own; the message without levels is joined to the one after it.
    joined = update(T + 4, 14, 21, 12, asks=(("100.2", "0"), ("100.3", "7.25")))
    wanted = [*SESSION[1:4], joined, *SESSION[6:]]
    assert list(map(told, frames)) == list(map(told, wanted))
    assert repairs == []
    assert begins_ns(choose(tmp_path)) == T - 7


def test_a_day_can_be_read_alone_from_the_book_that_stood(tmp_path):
    exported(tmp_path)
    frames, _ = read(tmp_path, "2024-10-04", "2024-10-04")
    assert told(frames[0]) == (MIDNIGHT + 5, 21, [(100.1, 1.0), (100.0, 5.0)], [(100.3, 7.25)])
    assert list(map(told, frames[1:])) == list(map(told, SESSION[6:]))


def test_polars_and_duckdb_read_the_same_tables(tmp_path):
    exported(tmp_path)
    for name, columns in TABLES.items():
        pattern = f"{tmp_path}/binance/usdm/XUSDT/*/{name}.parquet"
        frame = pl.scan_parquet(pattern).collect()
        rows = duckdb.sql(f"SELECT * FROM read_parquet('{pattern}') ORDER BY filename, file_row_number").fetchall()
        assert frame.columns == list(columns)
        assert frame.rows() == rows
    [(lots,)] = duckdb.sql(f"SELECT sum(lots) FROM '{tmp_path}/binance/usdm/XUSDT/2024-10-03/trades.parquet'").fetchall()
    assert lots == 50


def test_what_has_to_be_mended_is_told_and_gaps_stay(tmp_path):
    frames = [
        snapshot(T, 10),
        update(T + 5, 10, 11, 9, bids=(("100.1", "1"),)),
        update(T + 4, 12, 12, 11, bids=(("100.1", "2"),)),
        update(T + 6, 12, 12, 11, bids=(("100.1", "2"),)),
        trade(T + 7, 1),
        trade(T + 8, 1),
        update(T + 9, 20, 21, 15, bids=(("100.1", "4"),)),
        trade(T + 10, 2, "0", "0"),
        RecordedFrame(T + 11, b'{"data":{"e":"markPriceUpdate","s":"XUSDT","p":"1"}}', False, None),
        mark(T + 11, "0.00000000000000001"),
        mark(T + 11, "NaN"),
        mark(T + 11, "-1"),
        mark(T + 11, T=0),
        update(T + 12, 0, 0, 0, symbol="YUSDT"),
    ]
    instruments = infer_grid(((one.frame, one.symbol) for one in frames[:9]), Market.USDM)
    repairs = Repairs()
    export_frames(iter(frames), instruments, tmp_path, repairs)
    assert repairs.lines() == [
        "frames received before the one above them, stamped with its time: 1",
        "book updates seen twice, left out: 1",
        "trades seen twice, left out: 1",
        "gaps in the sequence of book updates, kept as they are: 1",
        "trades without a price or size, or off the grid, left out: 1",
        "frames that are no depth and no trade, left out: 1",
        "mark prices without a rate of funding and its time, left out: 4",
        "frames of other instruments, left out: 1",
    ]
    [day] = stats_of(choose(tmp_path), recorded_binance())
    assert (day.gaps, day.trades, day.snapshots, day.updates, day.spread_ticks_median) == (1, 1, 1, 2, 1)
    assert (day.volume, day.turnover, day.repairs) == ("0.5", pytest.approx(50.1), ())


def test_a_recording_without_times_or_in_other_units_is_told_or_refused(tmp_path):
    bare = [RecordedFrame(0, one.frame, one.is_snapshot, one.symbol) for one in SESSION]
    assert "frames without a receive time, stamped with the venue's: 10" in exported(tmp_path / "bare", bare)
    odd = [RecordedFrame(T // 1000, SESSION[2].frame, False, None)]
    with pytest.raises(HistoryRefused, match="is not in ns"):
        exported(tmp_path / "odd", odd)
    with pytest.raises(HistoryRefused, match="no depth and no trade to write"):
        export_frames(iter(()), infer_grid([(SESSION[2].frame, None)], Market.USDM), tmp_path / "none", Repairs())
    exported(tmp_path / "bare2")
    with pytest.raises(HistoryRefused, match="2024-10-03 is there already"):
        exported(tmp_path / "bare2")
    assert not list(tmp_path.rglob("*.part"))


def rewrite(path, change):
    """Change a table's columns and write it back, metadata kept."""
    table = pq.read_table(path)
    columns = {name: table[name].to_numpy() for name in table.schema.names}
    changed = change(columns)
    arrays = {name: pa.array(values) for name, values in changed.items()}
    pq.write_table(pa.table(arrays).replace_schema_metadata(table.schema.metadata), path)


@pytest.mark.parametrize(
    ("table", "change", "problem"),
    [
        ("trades", lambda c: {k: v for k, v in c.items() if k != "lots"}, "no column lots"),
        ("trades", lambda c: {**c, "lots": c["lots"].astype(float)}, "column lots is double; int64 is wanted"),
        ("trades", lambda c: {**c, "ts_wall_ns": c["ts_wall_ns"] // MS}, "is in ms; ns are wanted"),
        ("depth", lambda c: {**c, "ts_wall_ns": c["ts_wall_ns"] * 0 + 5}, "no time between 2009 and 2050"),
        ("depth", lambda c: {**c, "ts_event_ns": c["ts_event_ns"] // 1000}, "is the unit right"),
        ("depth", lambda c: {**c, "price_ticks": c["price_ticks"] * 0}, "price_ticks 0; at least 1"),
        ("trades", lambda c: {**c, "lots": c["lots"] * 0}, "lots 0; at least 1"),
        ("depth", lambda c: {**c, "side": c["side"] + np.int8(2)}, "a side that is neither 0"),
    ],
)
def test_what_cannot_be_is_refused_with_its_column(tmp_path, table, change, problem):
    exported(tmp_path)
    path = tmp_path / "binance" / "usdm" / "XUSDT" / "2024-10-03" / f"{table}.parquet"
    rewrite(path, change)
    with pytest.raises(DatasetRefused, match=problem):
        read(tmp_path)
    assert any(problem in line for line in _problems(tmp_path))


def _problems(root):
    try:
        return problems_of(choose(root))
    except DatasetRefused as problem:
        return [str(problem)]


def test_truncated_files_mixed_instruments_and_empty_days_are_refused_or_told(tmp_path):
    exported(tmp_path)
    folder = tmp_path / "binance" / "usdm" / "XUSDT"
    whole = (folder / "2024-10-04" / "depth.parquet").read_bytes()
    (folder / "2024-10-04" / "depth.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DatasetRefused, match="no whole Parquet file"):
        read(tmp_path)
    (folder / "2024-10-04" / "depth.parquet").write_bytes(whole)
    other = folder.with_name("YUSDT")
    folder.rename(other)
    with pytest.raises(DatasetRefused, match="another instrument than its folder's"):
        stored_instruments(tmp_path)
    other.rename(folder)
    (folder / "2024-10-06").mkdir()
    pq.write_table(pq.read_table(folder / "2024-10-04" / "depth.parquet").slice(0, 0), folder / "2024-10-06" / "depth.parquet")
    assert read(tmp_path)[1] == ["no day 2024-10-05: 1", "no row of depth or trades on 2024-10-06: 1"]
    assert holding_of(choose(tmp_path)).missing_days == ("2024-10-05",)
    with pytest.raises(DatasetRefused, match="no day from 2030-01-01"):
        read(tmp_path, "2030-01-01")
    with pytest.raises(DatasetRefused, match="'monday' is no day"):
        read(tmp_path, "monday")
    with pytest.raises(DatasetRefused, match="no dataset"):
        stored_instruments(tmp_path / "nowhere")


def test_rows_out_of_order_and_twice_are_mended_with_a_line(tmp_path):
    exported(tmp_path)
    path = tmp_path / "binance" / "usdm" / "XUSDT" / "2024-10-03" / "trades.parquet"
    rewrite(path, lambda c: {k: np.concatenate([v, v]) for k, v in c.items()})
    path = path.with_name("depth.parquet")
    rewrite(path, lambda c: {**c, "ts_wall_ns": np.where(np.arange(len(c["lots"])) == 4, T - 99, c["ts_wall_ns"])})
    frames, repairs = read(tmp_path)
    assert repairs == ["depth rows received before the one above them, stamped with its time: 1", "trades seen twice, left out: 1"]
    walls = [one.ts_wall_ns for one in frames]
    assert walls == sorted(walls)
    assert len(_problems(tmp_path)) == 2


def test_several_instruments_are_chosen_from(tmp_path):
    frames = [update(T, 1, 2, 0, bids=(("1", "1"),), symbol=name) for name in ("XUSDT", "YUSDT")]
    exported(tmp_path, frames)
    assert [one.key for one in stored_instruments(tmp_path)] == ["binance/usdm/XUSDT", "binance/usdm/YUSDT"]
    with pytest.raises(DatasetRefused, match="choose one of them with --symbol"):
        choose(tmp_path)
    assert choose(tmp_path, symbol="yusdt").instrument.symbol == "YUSDT"


@pytest.mark.parametrize("market", [Market.SPOT, Market.USDM])
def test_a_synthetic_dataset_is_told_as_its_own_stream_tells_it(tmp_path, market):
    record(SyntheticMarket(5, symbols=("BTCUSDT",), markets=(market,)), tmp_path / "one", 20, origin_ns=MIDNIGHT - 8 * 10**9)
    frames, repairs = read(tmp_path / "one" / "feed" / "dataset")
    assert repairs == []
    recorded = [one for one in read_recording(tmp_path / "one" / "feed" / "capture" / f"BTCUSDT.{market.value}.gz") if not one.is_snapshot]

    def plain(frame):
        body = json.loads(frame.frame)["data"]
        del body["E"]  # when the stream spoke, which the dataset's changes do not tell: theirs is when they happened
        levels = {name: [(float(p), float(q)) for p, q in body[name]] for name in "ba" if name in body}
        if "p" in body:
            levels |= {"p": float(body["p"]), "q": float(body["q"])}
        return frame.ts_wall_ns, {**body, **levels}

    assert frames[0].is_snapshot
    got = list(map(plain, frames[1:]))
    wanted = list(map(plain, recorded))
    # The stream ends with its last whole interval, the dataset with its last change.
    assert got[: len(wanted)] == wanted
    assert len(got) - len(wanted) <= 1


steps = st.lists(
    st.tuples(st.integers(0, 3), st.dictionaries(st.integers(1, 9), st.integers(0, 3), max_size=3), st.booleans()), min_size=1, max_size=20
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(steps)
def test_every_sequence_with_its_gaps_comes_back(tmp_path_factory, found):
    root = tmp_path_factory.mktemp("any")
    frames, last = [snapshot(T, 1)], 1
    for place, (hole, levels, is_trade) in enumerate(found, 1):
        wall = T + place * 400_000_000
        if is_trade:
            frames.append(trade(wall, place))
        elif levels:
            pairs = [(f"{90 + tick / 10:.1f}", str(size)) for tick, size in levels.items()]
            frames.append(update(wall, last + hole + 1, last + hole + 2, last + hole, bids=pairs))
            last += hole + 2
    exported(root, frames)
    again, repairs = read(root)
    assert list(map(told, again)) == list(map(told, frames))
    assert repairs == []
    assert set(pq.read_schema(next(root.rglob("depth.parquet"))).names) == set(DEPTH_COLUMNS)
    assert BEGINS.encode() in pq.read_schema(next(root.rglob("depth.parquet"))).metadata
