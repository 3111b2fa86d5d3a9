"""A recorded market: the same bytes again, a feed without truth in it, files that others read, and nothing half done."""

import gzip
import hashlib
import json
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

from smartmoney.adapters.dataset import DEPTH_COLUMNS, GROUP_ROWS, TOUCH_COLUMNS, TRADE_COLUMNS, ParquetTable
from smartmoney.adapters.market_recorder import ORIGIN_NS, RecordingRefused, record
from smartmoney.adapters.recordings import read_recording
from smartmoney.core.domain.instruments import Market
from smartmoney.simulation.market import SyntheticMarket
from smartmoney.simulation.truth import REGIMES

SECOND = 1_000_000_000
SECONDS = 70


def market(seed=3):
    return SyntheticMarket(seed, symbols=("BTCUSDT",))


def digests(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recorded") / "one"
    shares = []
    summary = record(market(), folder, SECONDS, progress=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    return folder, summary


def table(folder, kind, name, market="usdm"):
    root = folder / "feed" / "dataset" if kind == "feed" else folder / kind
    return root / "binance" / market / "BTCUSDT" / "2025-01-01" / f"{name}.parquet"


def test_the_same_seed_gives_the_same_bytes_of_every_file_and_another_does_not(recorded, tmp_path):
    folder, _ = recorded
    record(market(), tmp_path / "again", SECONDS)
    first = digests(folder)
    assert digests(tmp_path / "again") == first
    assert len(first) == 2 + 2 * 3 + 2 * 3 + 1
    record(market(4), tmp_path / "other", SECONDS)
    assert not set(digests(tmp_path / "other").values()) & set(first.values())


def test_the_feed_is_the_same_bytes_whether_truth_is_recorded_or_not(recorded, tmp_path):
    folder, _ = recorded
    record(market(), tmp_path / "silent", SECONDS, with_truth=False)
    assert digests(tmp_path / "silent" / "feed") == digests(folder / "feed")
    assert not (tmp_path / "silent" / "truth").exists()


def test_no_column_of_the_feed_names_an_owner_or_a_parent(recorded):
    folder, _ = recorded
    seen = set()
    for path in (folder / "feed").rglob("*.parquet"):
        schema = pq.read_schema(path)
        seen.add(tuple(schema.names))
        assert set(schema.metadata) == {b"dataset_version", b"venue", b"market", b"symbol", b"tick_size", b"lot_size", b"instrument"}
    assert seen == {tuple(DEPTH_COLUMNS), tuple(TRADE_COLUMNS), tuple(TOUCH_COLUMNS)}
    assert not [name for names in seen for name in names if "owner" in name or "parent" in name or "order" in name]
    keys = set()
    for path in (folder / "feed" / "capture").iterdir():
        for line in gzip.decompress(path.read_bytes()).splitlines():
            body = json.loads(line.split(b" ", 1)[1])
            keys |= set(body) | set(body.get("data", {}))
    # What the venue's depth and trade messages have, and no more.
    assert keys <= {"stream", "data", "lastUpdateId", "bids", "asks", "pu", *"esEUuabtpqTmXM"}


def test_depth_changes_on_the_first_book_give_the_last_touch_and_the_books_own_state(recorded):
    folder, _ = recorded
    twin = market()
    twin.advance(SECONDS * SECOND)
    book = twin.books[Market.USDM, "BTCUSDT"]
    depth = pl.read_parquet(table(folder, "feed", "depth"))
    last = depth.group_by("side", "price_ticks", maintain_order=True).last().filter(pl.col("lots") > 0)
    shown = book.snapshot(100_000)
    for side, levels in ((0, shown.bids), (1, shown.asks)):
        kept = last.filter(pl.col("side") == side).sort("price_ticks", descending=side == 0)
        assert kept.select("price_ticks", "lots").rows() == [tuple(level) for level in levels.tolist()]
    touch = pl.read_parquet(table(folder, "feed", "touch"))
    assert touch.row(-1)[3:] == book.touch
    assert depth["is_snapshot"].sum() > 100
    for name in ("depth", "trades", "touch"):
        times = pl.read_parquet(table(folder, "feed", name))["ts_event_ns"]
        assert times.is_sorted()
        assert ORIGIN_NS <= times[0]
        assert times[-1] <= ORIGIN_NS + SECONDS * SECOND


def test_truth_stands_beside_the_feed_and_joins_to_it(recorded):
    folder, summary = recorded
    trades = pl.read_parquet(table(folder, "feed", "trades"))
    events = pl.read_parquet(table(folder, "truth", "events")).filter(pl.col("kind") == 1)
    joined = trades.join(events, left_on="trade_id", right_on="id", how="inner", suffix="_truth")
    assert len(joined) == len(trades) == len(events)
    assert (joined["lots"] == joined["lots_truth"]).all()
    assert (joined["aggressor_side"] == joined["side"]).all()
    parents = pl.read_parquet(table(folder, "truth", "parents"))
    started = set(parents.filter("is_start")["parent"])
    assert set(events["taker_parent"]) - {0} <= started
    bars = pl.read_parquet(table(folder, "truth", "bars"))
    assert len(bars) == SECONDS
    assert bars["traded_lots"].sum() == trades["lots"].sum()
    meta = json.loads((folder / "truth" / "meta.json").read_bytes())
    assert (meta["seed"], meta["origin_ns"], meta["seconds"]) == (3, ORIGIN_NS, SECONDS)
    assert len(meta["scenario_hash"]) == 64
    assert meta["regimes"] == list(REGIMES)
    assert meta["rows"]["usdm.BTCUSDT"]["bars"] == SECONDS
    assert sum(meta["seconds_in"]["usdm.BTCUSDT"].values()) == SECONDS
    assert summary.rows["usdm.BTCUSDT"]["trades"] == len(trades)


def test_the_capture_form_is_read_as_a_recording(recorded):
    folder, _ = recorded
    frames = list(read_recording(folder / "feed" / "capture" / "BTCUSDT.usdm.gz"))
    assert sum(frame.is_snapshot for frame in frames) == 1
    assert len(frames) > 500
    assert ORIGIN_NS < frames[0].ts_wall_ns < frames[-1].ts_wall_ns <= ORIGIN_NS + SECONDS * SECOND


def test_a_folder_that_holds_something_and_a_market_that_has_run_are_refused(tmp_path):
    (tmp_path / "kept").write_text("mine")
    with pytest.raises(RecordingRefused, match="empty or a new"):
        record(market(), tmp_path, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    used = market()
    used.advance(SECOND)
    with pytest.raises(RecordingRefused, match="fresh"):
        record(used, tmp_path / "new", 1)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("exists", [False, True])
def test_an_interrupted_run_leaves_nothing(tmp_path, exists):
    target = tmp_path / "half"
    if exists:
        target.mkdir()

    def interrupt(share):
        if share > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        record(market(), target, 30, progress=interrupt)
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == (["half"] if exists else [])
    record(market(), target, 1)
    assert (target / "truth" / "meta.json").is_file()


def test_a_table_turns_to_a_new_file_at_midnight_and_groups_do_not_depend_on_the_parts(tmp_path):
    day = 86_400 * SECOND
    rows = GROUP_ROWS + 1000
    times = np.r_[np.arange(rows), day + np.arange(5)]
    for name, cuts in (("whole", []), ("parts", [1, 70, GROUP_ROWS - 1, rows + 2])):
        made = ParquetTable(tmp_path / name, "t", {"ts_event_ns": "i8", "x": "i2"}, {})
        for part in np.split(times, cuts):
            made.write({"ts_event_ns": part, "x": part % 7})
        made.close()
        assert made.rows == len(times)
    assert digests(tmp_path / "whole") == digests(tmp_path / "parts")
    assert sorted(digests(tmp_path / "whole")) == ["1970-01-01/t.parquet", "1970-01-02/t.parquet"]
    first = pq.ParquetFile(tmp_path / "whole" / "1970-01-01" / "t.parquet")
    assert [first.metadata.row_group(k).num_rows for k in range(first.num_row_groups)] == [GROUP_ROWS, 1000]
    assert Path(tmp_path / "whole" / "1970-01-02" / "t.parquet").is_file()


def test_each_day_after_the_first_begins_with_the_book_that_stands(tmp_path):
    record(market(), tmp_path / "one", 20, origin_ns=ORIGIN_NS - 10 * SECOND, with_truth=False)
    days = tmp_path / "one" / "feed" / "dataset" / "binance" / "usdm" / "BTCUSDT"
    before, after = (pq.read_table(days / day / "depth.parquet").to_pylist() for day in ("2024-12-31", "2025-01-01"))
    carried = [row for row in after if row["is_snapshot"]]
    assert after[: len(carried)] == carried
    own, at_ns = after[len(carried)]["prev_update_id"], after[len(carried)]["ts_wall_ns"]
    assert at_ns == ORIGIN_NS
    assert {(row["first_update_id"], row["prev_update_id"], row["update_id"], row["ts_wall_ns"]) for row in carried} == {
        (own,) * 3 + (at_ns,)
    }
    assert _book(carried) == _book(before)
    assert min(len(levels) for levels in _book(carried).values()) > 20


def _book(rows):
    book = {0: {}, 1: {}}
    for row in rows:
        book[row["side"]][row["price_ticks"]] = row["lots"]
    return {side: {tick: lots for tick, lots in levels.items() if lots} for side, levels in book.items()}
