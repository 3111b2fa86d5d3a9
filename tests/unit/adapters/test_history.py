"""History in other people's forms becomes recordings that hold the same books and trades, and what cannot be is refused by name."""

import bz2
import gzip
import json
import zipfile
from bisect import bisect
from decimal import Decimal

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smartmoney.adapters.history import assembly, hftbacktest, order
from smartmoney.adapters.history.assembly import by_trade_id, by_update_id, of_symbol, write_recording
from smartmoney.adapters.history.binance_frames import events_of
from smartmoney.adapters.history.binance_public import read_binance_public
from smartmoney.adapters.history.bitstamp import read_bitstamp
from smartmoney.adapters.history.bybit import read_bybit
from smartmoney.adapters.history.events import HistoryRefused, LevelsChanged, Printed, Repairs, decimal_text, nanoseconds
from smartmoney.adapters.history.hftbacktest import read_hftbacktest, write_hftbacktest
from smartmoney.adapters.history.order import in_order
from smartmoney.adapters.history.tardis import read_tardis
from smartmoney.adapters.recordings import read_recording
from smartmoney.core.book.codes import FoldCode, code_of
from smartmoney.core.domain.instruments import Market
from smartmoney.core.features.parameters import FeatureParameters
from smartmoney.simulation.kernel_depth import KernelDepth
from smartmoney.venues.binance.codec import fold_frame, new_states
from smartmoney.venues.binance.grid_inference import infer_grid

T = 1_700_000_000_000_000_000
US = T // 1000
BOOK = "exchange,symbol,timestamp,local_timestamp,is_snapshot,side,price,amount"
TRADES = "exchange,symbol,timestamp,local_timestamp,id,side,price,amount"
SNAPSHOT = (
    f"b,BTCUSDT,{US},{US + 9},true,bid,100.50,1.20",
    f"b,BTCUSDT,{US},{US + 9},true,bid,100.4,2",
    f"b,BTCUSDT,{US},{US + 9},true,ask,100.6,3",
)


def write(path, *lines):
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "wt") as file:
        file.write("\n".join(lines) + "\n")
    return path


def events(read, *paths):
    repairs = Repairs()
    return list(in_order([read(path, repairs) for path in paths], repairs)), repairs


def books(path, gaps=0):
    """Yield what the recording's book is after each of its lines, the sequence broken as often as that."""
    sides = ({}, {})
    last = None
    for recorded in read_recording(path):
        frame = json.loads(recorded.frame)
        frame = frame.get("data", frame)
        if recorded.is_snapshot:
            sides = tuple({Decimal(p): Decimal(q) for p, q in frame[name]} for name in ("bids", "asks"))
            last = frame["lastUpdateId"]
        elif frame["e"] == "depthUpdate":
            gaps -= frame["u"] != last + 1
            assert gaps >= 0
            assert frame["U"] == frame["u"]
            last = frame["u"]
            for side, name in zip(sides, "ba", strict=True):
                for price, quantity in frame[name]:
                    side[Decimal(price)] = Decimal(quantity)
                    if not Decimal(quantity):
                        del side[Decimal(price)]
        yield tuple(map(dict, sides))


def recording(tmp_path, found, market=Market.SPOT, name="out.gz"):
    repairs = Repairs()
    return write_recording(iter(found), market, tmp_path / name, repairs)


def test_tardis_book_and_trades_become_one_recording(tmp_path):
    book = write(
        tmp_path / "book.csv.gz",
        BOOK,
        *SNAPSHOT,
        f"b,BTCUSDT,{US + 50},{US + 60},false,bid,100.50,0",
        f"b,BTCUSDT,{US + 50},{US + 60},false,ask,100.7,5",
    )
    trades = write(
        tmp_path / "trades.csv.gz",
        TRADES,
        f"b,BTCUSDT,{US + 20},{US + 30},77,sell,100.5,0.3",
        f"b,BTCUSDT,{US + 20},{US + 31},77,sell,100.5,0.3",
        f"b,BTCUSDT,{US + 20},{US + 32},78,unknown,100.5,0.3",
    )
    found, repairs = events(read_tardis, trades, book)
    done = write_recording(iter(found), Market.SPOT, tmp_path / "out.gz", repairs)
    assert (done.symbol, done.updates, done.trades) == ("BTCUSDT", 1, 1)
    assert done.repairs == ("trades whose side is unknown, left out: 1", "trades seen twice, left out: 1")
    frames = [json.loads(one.frame) for one in read_recording(tmp_path / "out.gz")]
    assert frames[1]["data"] | {} == {
        "e": "trade",
        "E": T // 10**6,
        "T": T // 10**6,
        "s": "BTCUSDT",
        "t": 77,
        "p": "100.5",
        "q": "0.3",
        "m": True,
        "M": True,
    }
    *_, last = books(tmp_path / "out.gz")
    assert last == ({Decimal("100.4"): 2}, {Decimal("100.6"): 3, Decimal("100.7"): 5})
    assert (done.first_wall_ns, done.last_wall_ns) == (T + 9000, T + 60_000)


def test_tardis_derivative_ticker_becomes_mark_prices(tmp_path):
    due = US + 60_000_000
    header = "exchange,symbol,timestamp,local_timestamp,funding_timestamp,funding_rate,predicted_funding_rate,open_interest,last_price"
    rows = (
        f"b,BTCUSDT,{US + 20_000},{US + 30_000},{due},-0.00010000,,5,100.5,100.4,100.45",
        f"b,BTCUSDT,{US + 40_000},{US + 50_000},,,,6,100.5,100.4,100.45",
        f"b,BTCUSDT,{due + 10_000},{due + 20_000},{due + 28_800_000_000},1e-04,,5,100.5,100.4,100.50",
    )
    ticker = write(tmp_path / "t.csv.gz", f"{header},index_price,mark_price", *rows)
    book = write(tmp_path / "book.csv.gz", BOOK, *SNAPSHOT)
    found, repairs = events(read_tardis, ticker, book)
    done = write_recording(iter(found), Market.USDM, tmp_path / "out.gz", repairs)
    assert "rows of derivative_ticker without a rate, its time or a mark price, left out: 1" in done.repairs
    told = [json.loads(one.frame) for one in read_recording(tmp_path / "out.gz") if b"markPrice" in one.frame]
    assert [one["stream"] for one in told] == ["btcusdt@markPrice"] * 2
    assert told[0]["data"] == {
        "e": "markPriceUpdate",
        "E": T // 10**6 + 20,
        "s": "BTCUSDT",
        "p": "100.45",
        "r": "-0.0001",
        "T": due // 1_000,
    }
    states = new_states(
        infer_grid(((one.frame, one.symbol) for one in read_recording(tmp_path / "out.gz")), Market.USDM), FeatureParameters()
    )
    for one in read_recording(tmp_path / "out.gz"):
        fold_frame(one.frame, states, -1, one.ts_wall_ns)
    settled = KernelDepth(states, 0, lambda: True).funding().settled
    assert settled == (due * 1_000, Decimal("-0.0001"), Decimal("100.45"))
    spot = recording(tmp_path, found, Market.SPOT, "spot.gz")
    assert "rows of funding, which spot does not pay, left out: 2" in spot.repairs
    assert b"markPrice" not in gzip.decompress((tmp_path / "spot.gz").read_bytes())


@pytest.mark.parametrize(("column", "text"), [(4, "soon"), (5, "much"), (5, "nan"), (10, "-1"), (10, "0")])
def test_tardis_derivative_ticker_that_cannot_be_is_refused(tmp_path, column, text):
    row = f"b,X,{US},{US},{US},0.0001,,5,1,1,1".split(",")
    row[column] = text
    header = "exchange,symbol,timestamp,local_timestamp,funding_timestamp,funding_rate,predicted_funding_rate,open_interest,last_price"
    with pytest.raises(HistoryRefused):
        events(read_tardis, write(tmp_path / "t.csv", f"{header},index_price,mark_price", ",".join(row)))


def test_tardis_snapshots_of_a_few_levels_become_the_updates_between_them(tmp_path):
    header = "exchange,symbol,timestamp,local_timestamp,asks[0].price,asks[0].amount,bids[0].price,bids[0].amount"
    rows = [f"b,X,{US + n},{US + n},{101 + n},{1},{100 + n},{2}" for n in range(3)]
    found, _ = events(read_tardis, write(tmp_path / "s.csv", header, *rows))
    done = recording(tmp_path, found)
    assert done.updates == 2
    assert [tuple(dict(side) for side in book) for book in books(tmp_path / "out.gz")] == [
        ({Decimal(100 + n): 2}, {Decimal(101 + n): 1}) for n in range(3)
    ]


def zipped(path, name, *lines):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, "\n".join(lines) + "\n")
    return path


def test_binance_trades_with_and_without_a_header_and_in_either_unit(tmp_path):
    spot = zipped(
        tmp_path / "BTCUSDT-trades-2025-01-02.zip", "t.csv", f"5,100.10,0.20,20.02,{US},True,True", f"6,100.2,1,100.2,{US + 1},False,True"
    )
    perp = zipped(
        tmp_path / "BTCUSDT-trades-2024-01-02.zip", "t.csv", "id,price,qty,quote_qty,time,is_buyer_maker", f"9,1,2,2,{US // 1000},true"
    )
    found, _ = events(read_binance_public, spot)
    assert found == [
        Printed(T, T, "BTCUSDT", 5, "100.1", "0.2", True),
        Printed(T + 1000, T + 1000, "BTCUSDT", 6, "100.2", "1", False),
    ]
    assert events(read_binance_public, perp)[0] == [Printed(T, T, "BTCUSDT", 9, "1", "2", True)]


def test_binance_aggregated_trades_and_quotes(tmp_path):
    aggregated = zipped(tmp_path / "ETHUSDT-aggTrades-2024-01-02.zip", "t.csv", f"5,10.0,2,100,103,{US // 1000},false,true")
    found, repairs = events(read_binance_public, aggregated)
    assert found == [Printed(T, T, "ETHUSDT", 5, "10", "2", False)]
    assert repairs.lines() == ["prints that an aggregated trade stands for beyond itself: 3"]
    header = "update_id,best_bid_price,best_bid_qty,best_ask_price,best_ask_qty,transaction_time,event_time"
    ticker = zipped(tmp_path / "ETHUSDT-bookTicker-2024-01-02.zip", "t.csv", header, f"1,10.0,2,10.1,3,{US // 1000},{US // 1000 + 1}")
    [quote], _ = events(read_binance_public, ticker)
    assert (quote.wall_ns - quote.event_ns, quote.bids, quote.asks) == (10**6, (("10", "2"),), (("10.1", "3"),))


def test_binance_updates_and_a_whole_book_from_another_file_are_joined_by_their_ids(tmp_path):
    header = "symbol,timestamp,first_update_id,last_update_id,side,update_type,price,qty,pu"
    ms = US // 1000
    updates = write(
        tmp_path / "X_T_DEPTH_2024-01-02_depth_update.csv",
        header,
        f"X,{ms + 1},90,99,b,set,100,5,89",
        f"X,{ms + 2},100,101,b,set,100,7,99",
        f"X,{ms + 2},100,101,a,set,101,8,99",
        f"X,{ms + 4},95,98,b,set,100,1,94",
        f"X,{ms + 5},102,103,b,set,99,3,101",
        f"X,{ms + 6},110,111,b,set,98,4,109",
    )
    whole = write(
        tmp_path / "X_T_DEPTH_2024-01-02_depth_snap.csv",
        header,
        f"X,{ms + 3},0,100,b,snap,100,5,-1",
        f"X,{ms + 3},0,100,a,snap,101,2,-1",
    )
    found, repairs = events(read_binance_public, updates, whole)
    recording(tmp_path, list(by_update_id(iter(found), repairs)))
    *_, last = books(tmp_path / "out.gz", gaps=1)
    assert last == ({Decimal(100): 7, Decimal(99): 3, Decimal(98): 4}, {Decimal(101): 8})
    assert repairs.lines() == [
        "updates that a whole book held already, left out: 1",
        "gaps in the update ids, after which there is no book until a whole one: 1",
    ]


def test_a_plain_table_whose_last_number_may_be_cut_loses_that_row_and_says_so(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(f"{TRADES}\nb,X,{US},{US},1,buy,1,1\nb,X,{US},{US},2,buy,1,12.3")
    found, repairs = events(read_tardis, path)
    assert [one.quantity for one in found] == ["1"]
    assert repairs.lines() == ["last lines of plain files that have no end and may be cut short, left out: 1"]


def test_depth_by_percent_is_refused_with_what_to_take_instead(tmp_path):
    path = zipped(
        tmp_path / "BTCUSDT-bookDepth-2024-01-02.zip", "t.csv", "timestamp,percentage,depth,notional", "2024-01-02 00:00:08,-5,1,2"
    )
    with pytest.raises(HistoryRefused, match="take bookTicker or T_DEPTH"):
        events(read_binance_public, path)


def bitstamp(at_ms, kind, **fields):
    return f"{T // 10**6 + at_ms} {kind} {json.dumps(fields)}"


def an_order(at_ms, kind, number, side, price, amount):
    return bitstamp(at_ms, f"order_{kind}", id=number, order_type=side, price=price, amount=amount, datetime="0")


BITSTAMP = (
    an_order(0, "created", 1, 0, "99.00", "5.00000000"),
    bitstamp(10, "order_book", bids=[["100.00", "1.00000000"], ["99.00", "5.00000000"]], asks=[["101.00", "2.00000000"]]),
    an_order(20, "created", 2, 1, "100.50", "2.99999999"),
    an_order(30, "created", 3, 0, "101.00", "3.00000000"),
    an_order(31, "changed", 3, 0, "101.00", "0.00000001"),
    an_order(32, "deleted", 2, 1, "100.50", "0.00000000"),
    bitstamp(33, "trade", price=100.5, amount=2.9999999900000001, id=7),
    bitstamp(34, "trade", price=100.5, amount=0.25, id=8),
    an_order(40, "deleted", 1, 0, "99.00", "5.00000000"),
)


def test_orders_of_bitstamp_become_levels_that_never_cross_and_trades_with_the_takers_side(tmp_path):
    found, repairs = events(read_bitstamp, write(tmp_path / "log", *BITSTAMP))
    whole = found[0]
    assert (whole.is_whole, whole.bids, whole.asks) == (True, (("99", "5"), ("100", "1")), (("101", "2"),))
    levels = ({}, {})
    for one in found:
        if isinstance(one, LevelsChanged):
            for side, changes in zip(levels, (one.bids, one.asks), strict=True):
                side.update({Decimal(price): Decimal(amount) for price, amount in changes})
            bids, asks = ([price for price, amount in side.items() if amount] for side in levels)
            assert max(bids) < min(asks)
    assert [(one.trade_id, one.price, one.quantity, one.buyer_is_maker) for one in found if isinstance(one, Printed)] == [
        (7, "100.5", "2.99999999", False)
    ]
    assert repairs.lines() == ["trades whose side is unknown, left out: 1"]
    # 99.00 went with its order; what the taker has left waits outside, for 101 still stands against it.
    assert {price for price, amount in levels[0].items() if amount} == {Decimal(100)}


def test_a_level_that_nobody_touched_follows_the_order_book_and_one_just_touched_does_not(tmp_path):
    later = bitstamp(6000, "order_book", bids=[["100.00", "0.50000000"]], asks=[["101.00", "2.00000000"], ["102.00", "1.00000000"]])
    fresh = an_order(5900, "created", 9, 1, "100.80", "4.00000000")
    found, _ = events(read_bitstamp, write(tmp_path / "log", *BITSTAMP[:2], fresh, later))
    assert found[-1].bids == (("100", "0.5"),)
    assert found[-1].asks == (("102", "1"),)


def test_sixteen_hours_of_bitstamp_have_the_touch_that_the_venue_told(captures, tmp_path):
    (log,) = (captures / "ob-analytics").glob("*raw_ws_log*.bz2")
    with bz2.open(log, "rt") as file:
        lines = [line.rstrip() for line, _ in zip(file, range(20_000), strict=False)]
    touches, told = [], []
    book = ({}, {})
    for one in read_bitstamp(write(tmp_path / "log", *lines), Repairs()):
        if isinstance(one, LevelsChanged):
            for side, changes in zip(book, (one.bids, one.asks), strict=True):
                for price, amount in changes:
                    side[Decimal(price)] = Decimal(amount)
                    if amount == "0":
                        del side[Decimal(price)]
            touches.append((one.wall_ns // 10**6, max(book[0]), min(book[1])))
            assert touches[-1][1] < touches[-1][2]
    for line in lines:
        stamp, kind, body = line.split(" ", 2)
        if kind == "order_book":
            sides = json.loads(body)
            told.append((int(stamp), Decimal(sides["bids"][0][0]), Decimal(sides["asks"][0][0])))
    times = [at for at, *_ in touches]
    # What it tells is up to some 100 ms old.
    near = [touches[max(0, bisect(times, at - 400) - 1) : bisect(times, at)] for at, *_ in told]
    right = sum(
        any(one[1:] == touch for one in candidates)
        for (_, *touch_), candidates in zip(told, near, strict=True)
        for touch in [tuple(touch_)]
    )
    assert len(told) > 1000
    assert right >= 0.99 * len(told)


def test_a_real_file_of_bybit(captures, tmp_path):
    path = captures / "nautilus_trader" / "market_data" / "xrpusdt-ob500.data.zip"
    found, repairs = events(read_bybit, path)
    done = write_recording(of_symbol(iter(found), None), Market.USDM, tmp_path / "out.gz", repairs)
    assert (done.symbol, done.updates, done.repairs) == ("XRPUSDT", 49, (assembly._NO_TRADES + ": 1",))
    for bids, asks in books(tmp_path / "out.gz"):
        assert max(bids) < min(asks)
        assert len(bids) >= 400


def test_messages_of_bybit_that_are_missing_are_told_and_the_book_waits_for_the_next_snapshot(captures, tmp_path):
    path = captures / "nautilus_trader" / "market_data" / "xrpusdt-ob500.data.zip"
    with zipfile.ZipFile(path) as archive:
        lines = archive.read(archive.namelist()[0]).decode().splitlines()
    renewed = json.loads(lines[0]) | {"ts": json.loads(lines[40])["ts"]}
    renewed["data"]["u"] = 1  # so the venue begins after a restart
    after = [json.loads(line) for line in lines[41:]]
    for number, line in enumerate(after):
        line["data"]["u"] = 2 + number
    file = write(tmp_path / "b.data", *lines[:20], *lines[30:40], *map(json.dumps, (renewed, *after)))
    found, repairs = events(read_bybit, file)
    done = write_recording(by_update_id(iter(found), repairs), Market.USDM, tmp_path / "out.gz", repairs)
    assert repairs.counts["gaps in the update ids, after which there is no book until a whole one"] == 1
    assert done.updates == 19 + 10 + 9
    frames = list(read_recording(tmp_path / "out.gz"))
    states = new_states(infer_grid(((one.frame, one.symbol) for one in frames), Market.USDM), FeatureParameters())
    codes = [code_of(fold_frame(one.frame, states, 0 if one.is_snapshot else -1, one.ts_wall_ns)) for one in frames]
    wanted = [FoldCode.SNAPSHOT] + [FoldCode.APPLIED] * 19 + [FoldCode.GAP] + [FoldCode.BUFFER] * 9 + [FoldCode.SNAPSHOT]
    assert codes == wanted + [FoldCode.APPLIED] * 9


whole_or_not = st.lists(
    st.tuples(
        st.booleans(),
        st.dictionaries(st.integers(90, 99), st.integers(0, 3), max_size=5),
        st.dictionaries(st.integers(100, 109), st.integers(0, 3), max_size=5),
    ),
    min_size=1,
    max_size=12,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(whole_or_not)
def test_the_book_after_each_line_is_the_one_that_the_events_made(tmp_path, steps):
    found, model, wanted = [], ({}, {}), []
    for number, (is_whole, *sides) in enumerate(steps):
        texts = [tuple((str(price), str(size)) for price, size in side.items()) for side in sides]
        found.append(LevelsChanged(T + number, T + number, "X", is_whole, *texts))
        for held, side in zip(model, sides, strict=True):
            if is_whole:
                held.clear()
            held.update({Decimal(price): Decimal(size) for price, size in side.items()})
            for price in [price for price, size in held.items() if not size]:
                del held[price]
        wanted.append(tuple(map(dict, model)))
    recording(tmp_path, found)
    got = list(books(tmp_path / "out.gz"))
    first = next((number for number, book in enumerate(wanted) if all(book)), None)
    distinct = [] if first is None else [wanted[first]] + [b for a, b in zip(wanted[first:], wanted[first + 1 :], strict=False) if a != b]
    assert [book for n, book in enumerate(got) if n == 0 or got[n - 1] != book] == distinct


def test_hftbacktest_there_and_back_is_the_same(tmp_path):
    found = [
        LevelsChanged(T, T - 5, "BTCUSDT", True, (("100.5", "1"), ("100.4", "2")), (("100.6", "3"),)),
        Printed(T + 10, T + 5, "BTCUSDT", -1, "100.5", "0.25", True),
        LevelsChanged(T + 20, T + 15, "BTCUSDT", False, (("100.5", "0"),), (("100.7", "0.001"),)),
        Printed(T + 20, T + 15, "BTCUSDT", -1, "100.6", "1", False),
    ]
    path = tmp_path / "btcusdt_20240808.npz"
    assert write_hftbacktest(iter(found), path) == 9
    rows = np.load(path)["data"]
    assert rows.dtype == hftbacktest.EVENT
    assert rows.dtype.itemsize == 64
    assert events(read_hftbacktest, path)[0] == found


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=30))
def test_what_is_written_for_hftbacktest_is_in_order_for_both_sides_of_the_wire(times):
    local = 0
    found = []
    for number, (gap, lag) in enumerate(times):
        local += gap
        found.append(Printed(T + local, T + local - lag, "X", -1, str(number + 1), "1", True))
    parts = [np.array(list(hftbacktest._rows_of(event)), hftbacktest.EVENT) for event in found]
    rows = hftbacktest._both_in_order(np.concatenate(parts) if parts else np.zeros(0, hftbacktest.EVENT))
    for mark, clock in ((hftbacktest.EXCHANGE, "exch_ts"), (hftbacktest.LOCAL, "local_ts")):
        seen = rows[(rows["ev"] & np.uint64(mark)) != 0]
        assert (np.diff(seen[clock]) >= 0).all()
        assert sorted(seen["px"].tolist()) == [float(number + 1) for number in range(len(times))]


def test_recordings_are_events_again(tmp_path):
    found = [
        LevelsChanged(T, T, "BTCUSDT", True, (("100.5", "1"),), (("100.6", "3"),)),
        LevelsChanged(T + 10**9, T + 10**9, "BTCUSDT", False, (("100.5", "0.5"),), ()),
        Printed(T + 2 * 10**9, T + 2 * 10**9, "BTCUSDT", 4, "100.5", "0.25", True),
    ]
    for market in (Market.SPOT, Market.USDM):
        name = f"{market.value}.gz"
        recording(tmp_path, found, market, name)
        again = list(events_of(read_recording(tmp_path / name), Repairs()))
        made_up = {"update_id": T // 1000 + 1, "previous_id": T // 1000}
        assert again[1:] == [msgspec.structs.replace(found[1], **made_up), found[2]]
        assert (again[0].bids, again[0].asks, again[0].is_whole) == (found[0].bids, found[0].asks, True)


def test_a_depth_reply_does_not_undo_newer_updates_and_needs_no_name(tmp_path):
    lines = (
        f'{T} {{"lastUpdateId":90,"bids":[["100","5"]],"asks":[["101","1"]]}}',
        f'{T + 1} {{"e":"depthUpdate","E":{T // 10**6},"s":"X","U":91,"u":101,"b":[["100","7"]],"a":[]}}',
        f'{T + 2} {{"lastUpdateId":100,"bids":[["100","1"],["99","2"]],"asks":[["101","1"]]}}',
        f'{T + 3} {{"e":"depthUpdate","E":{T // 10**6},"s":"X","U":95,"u":99,"b":[["99","9"]],"a":[]}}',
        f'{T + 4} {{"e":"aggTrade","E":{T // 10**6},"s":"X","a":7,"p":"100","q":"2","f":1,"l":2,"T":{T // 10**6},"m":true}}',
        f'{T + 5} {{"e":"trade","E":{T // 10**6},"s":"X","t":9,"p":"100","q":"2","T":{T // 10**6},"m":true}}',
    )
    repairs = Repairs()
    found = list(of_symbol(events_of(read_recording(write(tmp_path / "r.txt", *lines)), repairs), None))
    recording(tmp_path, found)
    *_, last = books(tmp_path / "out.gz")
    assert last == ({Decimal(100): 7, Decimal(99): 2}, {Decimal(101): 1})
    assert [one.trade_id for one in found if isinstance(one, Printed)] == [7]
    assert repairs.lines() == ["updates that a whole book held already, left out: 1", "frames that are no depth and no trade, left out: 1"]


def test_contracts_keep_their_whole_name_and_coin_margined_columns_are_known(tmp_path):
    header = "id,price,qty,base_qty,time,is_buyer_maker"
    perp = zipped(
        tmp_path / "BTCUSD_PERP-trades-2024-01-02.zip", "t.csv", header, f"1,100,2,0.1,{US // 1000},true", f"2,0,0,0,{US // 1000},true"
    )
    [one], repairs = events(read_binance_public, perp)
    assert one.symbol == "BTCUSD_PERP"
    assert repairs.lines() == ["trades without a price or size, left out: 1"]
    odd = zipped(tmp_path / "A-trades-1.zip", "t.csv", header, f"x1,100,2,0.1,{US // 1000},true")
    with pytest.raises(HistoryRefused, match="id: 'x1' is no whole number"):
        events(read_binance_public, odd)


def test_hftbacktest_clears_one_side_alone_and_leaves_best_quotes_out(tmp_path):
    both = hftbacktest.EXCHANGE | hftbacktest.LOCAL
    buy, sell = both | hftbacktest.BUY, both | hftbacktest.SELL
    rows = [
        (buy | hftbacktest.SNAPSHOT, 0, 0, 100.0, 1.0, 0, 0, 0.0),
        (sell | hftbacktest.SNAPSHOT, 0, 0, 101.0, 1.0, 0, 0, 0.0),
        (buy | hftbacktest.TOUCH, T, T + 1, 99.5, 1.0, 0, 0, 0.0),
        (buy | hftbacktest.CLEAR, T, T + 2, 90.0, 0.0, 0, 0, 0.0),
        (buy | hftbacktest.SNAPSHOT, T, T + 2, 99.0, 4.0, 0, 0, 0.0),
    ]
    path = tmp_path / "x_1.npz"
    np.savez_compressed(path, data=np.array(rows, hftbacktest.EVENT))
    found, repairs = events(read_hftbacktest, path)
    recording(tmp_path, found)
    assert list(books(tmp_path / "out.gz")) == [({Decimal(100): 1}, {Decimal(101): 1}), ({Decimal(99): 4}, {Decimal(101): 1})]
    assert repairs.lines() == ["best quotes beside the book, left out: 1"]


def test_rows_and_lines_that_are_cut_are_left_out_and_told(tmp_path):
    found, repairs = events(read_tardis, write(tmp_path / "t.csv", TRADES, f"b,X,{US},{US},1,buy,1,1", f"b,X,{US}"))
    assert (len(found), repairs.lines()) == (1, ["rows cut short, left out: 1"])
    line = json.dumps({"type": "snapshot", "ts": US // 1000, "data": {"s": "X", "b": [["1", "1"]], "a": [["2", "1"]]}})
    found, repairs = events(read_bybit, write(tmp_path / "b.data", line, line[:40]))
    assert (len(found), len(repairs.lines())) == (1, 1)
    with pytest.raises(HistoryRefused, match="line 2 is no order-book message"):
        events(read_bybit, write(tmp_path / "c.data", line, line[:40], line))


def test_time_that_runs_backwards_and_pauses_are_told(tmp_path):
    rows = [f"b,X,{US},{US + at},{n},buy,1,1" for n, at in enumerate((0, 50, 20, 90_000_000))]
    found, repairs = events(read_tardis, write(tmp_path / "t.csv", TRADES, *rows))
    assert [event.wall_ns for event in found] == [T, T + 50_000, T + 50_000, T + 90_000_000_000]
    assert repairs.lines() == ["events received before the one above them, stamped with its time: 1", "pauses of more than a minute: 1"]


def test_what_was_misplaced_goes_back_and_what_is_there_twice_is_left_out(tmp_path):
    """The book that a shuffled file makes is the one of the file as it was, not one with levels from before."""
    told = [f"b,X,{US + at},{US + at},false,bid,{100 - at % 3},{at + 1}" for at in range(60)]
    whole = [line.replace("BTCUSDT", "X").replace(str(US + 9), str(US)) for line in SNAPSHOT]
    straight, _ = events(read_tardis, write(tmp_path / "a.csv", BOOK, *whole, *told))
    mixed = [*told[:20], *told[30:40], *told[20:30], *told[15:25], *told[40:]]
    found, repairs = events(read_tardis, write(tmp_path / "b.csv", BOOK, *whole, *mixed))
    assert found == straight
    assert repairs.lines() == ["events out of order, put back into their place: 10", "messages seen twice, left out: 10"]


def test_what_is_misplaced_by_more_than_the_window_is_stamped_and_told(tmp_path, monkeypatch):
    monkeypatch.setattr(order, "WINDOW", 8)
    told = [f"b,X,{US + at},{US + at},{at},buy,1,1" for at in range(50)]
    found, repairs = events(read_tardis, write(tmp_path / "t.csv", TRADES, *told[1:], told[0]))
    walls = [one.wall_ns for one in found]
    assert walls == sorted(walls)
    assert {one.trade_id for one in found} == set(range(50))
    assert repairs.lines() == ["events received before the one above them, stamped with its time: 1"]


def test_trades_of_one_receive_time_are_put_into_the_order_of_their_ids_and_later_ones_counted(tmp_path):
    header = "id,price,qty,quote_qty,time,is_buyer_maker"
    rows = [
        f"{number},100,{number},100,{US // 1000 + at},true"
        for number, at in ((3, 0), (1, 0), (2, 0), (6, 1), (7, 1), (5, 2), (8, 3), (9, 3))
    ]
    found, repairs = events(read_binance_public, zipped(tmp_path / "X-trades-2024-01-02.zip", "t.csv", header, *rows))
    write_recording(by_trade_id(iter(found)), Market.USDM, tmp_path / "out.gz", repairs)
    frames = [line.partition(" ")[2].encode() for line in gzip.open(tmp_path / "out.gz", "rt")]
    assert [json.loads(frame)["data"]["t"] for frame in frames] == [1, 2, 3, 6, 7, 5, 8, 9]
    assert repairs.counts["trades that came after one of a higher id, which readers pass over"] == 1
    states = new_states(infer_grid(((frame, "X") for frame in frames), Market.USDM), FeatureParameters())
    codes = [code_of(fold_frame(frame, states, -1, T + at)) for at, frame in enumerate(frames)]
    assert codes.count(FoldCode.TRADE) == 7
    assert codes[5] is FoldCode.IGNORED
    assert int(states[0]["trades"]) == 7


def test_whole_books_of_many_files_do_not_fill_the_memory():
    drawn = []

    def days(number):
        side = tuple((str(price), "1") for price in range(1, 26))
        for second in range(6_000):
            drawn.append(number)
            at = T + (number * 6_000 + second) * 10**9
            yield LevelsChanged(at, at, "BTCUSDT", True, side, side)

    found = in_order([days(number) for number in range(3)], Repairs())
    next(found)
    assert 3 * 1_000 < len(drawn) < 3 * 1_500
    assert sum(1 for _ in found) == 3 * 6_000 - 1


def test_missing_ids_of_binance_trades_are_counted_and_two_kinds_of_the_same_refused(tmp_path):
    header = "id,price,qty,quote_qty,time,is_buyer_maker"
    rows = [f"{number},100,1,100,{US // 1000 + number // 4},true" for number in (1, 3, 2, 7, 8, 2, 11)]
    trades = zipped(tmp_path / "X-trades-2024-01-02.zip", "t.csv", header, *rows)
    found, repairs = events(read_binance_public, trades)
    write_recording(iter(found), Market.USDM, tmp_path / "out.gz", repairs, trades_follow=True)
    assert repairs.counts["trades whose ids are missing between those that are there"] == 5
    assert repairs.counts["trades seen twice, left out"] == 1
    with gzip.open(tmp_path / "out.gz", "rt") as lines:
        ids = [json.loads(line.partition(" ")[2])["data"]["t"] for line in lines]
    assert ids == [1, 3, 2, 7, 8, 11]
    together = zipped(tmp_path / "X-aggTrades-2024-01-02.zip", "t.csv", f"5,10.0,2,100,103,{US // 1000},false,true")
    with pytest.raises(HistoryRefused, match="aggTrades beside trades tell the same trades twice; give one of the two kinds"):
        events(read_binance_public, trades, together)


def test_a_header_that_lacks_a_column_names_it_and_a_row_that_cannot_be_has_its_line(tmp_path):
    lacks = zipped(tmp_path / "X-trades-2024-01-02.zip", "t.csv", "id,price,qty,quote_qty,time", f"1,1,1,1,{US}")
    with pytest.raises(HistoryRefused, match="of trades it has no column is_buyer_maker"):
        events(read_binance_public, lacks)
    with pytest.raises(HistoryRefused, match="of trades it has no column id; its columns are"):
        events(read_tardis, write(tmp_path / "t.csv", TRADES.replace(",id,", ","), "b"))
    rows = [f"b,X,{US},{US},{n},buy,{'x' if n == 5 else 1},1" for n in range(9)]
    with pytest.raises(HistoryRefused, match=r"price: 'x' is no number \(about line 7: mend that row, or leave it out\)"):
        events(read_tardis, write(tmp_path / "u.csv", TRADES, *rows))


def test_times_in_a_unit_that_is_not_the_forms_own_are_read_and_told(tmp_path):
    rows = [f"b,X,{US // 1000 + n},{US + n * 1000},{n},buy,1,1" for n in range(3)]
    found, repairs = events(read_tardis, write(tmp_path / "t.csv", TRADES, *rows))
    assert [one.event_ns for one in found] == [T, T + 10**6, T + 2 * 10**6]
    assert repairs.lines() == ["times (timestamp) in ms where the form has us, read as ms: 3"]
    line = {"type": "snapshot", "ts": US, "data": {"s": "X", "b": [["1", "1"]], "a": [["2", "1"]]}}
    assert events(read_bybit, write(tmp_path / "b.data", json.dumps(line)))[1].lines() == [
        "times (ts) in us where the form has ms, read as us: 1"
    ]
    line["data"]["a"] = [["x", "1"]]
    with pytest.raises(HistoryRefused, match=r"b\.data: line 1: price: 'x' is no number"):
        events(read_bybit, write(tmp_path / "b.data", json.dumps(line)))


def test_files_without_a_symbol_take_the_one_that_is_given(tmp_path):
    path = tmp_path / "day.npz"
    write_hftbacktest([Printed(T, T, "BTCUSDT", -1, "100", "1", True)], path)
    assert [one.symbol for one in read_hftbacktest(path, Repairs())] == ["DAY"]
    assert [one.symbol for one in read_hftbacktest(path, Repairs(), "btcusdt")] == ["BTCUSDT"]
    np.save(tmp_path / "day.npy", np.zeros(3))
    with pytest.raises(HistoryRefused, match="no npz of hftbacktest"):
        list(read_hftbacktest(tmp_path / "day.npy", Repairs()))
    plain = write(tmp_path / "trades.csv", f"6,100.2,1,100.2,{US + 1},False,True")
    assert [one.symbol for one in read_binance_public(plain, Repairs(), "ethusdt")] == ["ETHUSDT"]


def test_an_archive_that_ends_early_gives_what_is_whole_and_says_so(tmp_path):
    path = write(tmp_path / "t.csv.gz", TRADES, *(f"b,X,{US},{US + n},{n},buy,1.{n % 977},1" for n in range(20_000)))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    found, repairs = events(read_tardis, path)
    assert 100 < len(found) < 20_000
    assert repairs.lines() == ["archives that end early; what was whole is kept: 1"]
    broken = tmp_path / "x.zip"
    broken.write_bytes(zipped(tmp_path / "y.zip", "t.csv", "1").read_bytes()[:20])
    with pytest.raises(HistoryRefused, match="no whole zip archive"):
        events(read_binance_public, broken)


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (("exchange,symbol,timestamp,local_timestamp,is_snapshot,side,price",), "no column amount"),
        ((BOOK, f"b,X,{US},{US},true,up,1,1"), "side 'up'"),
        ((BOOK, f"b,X,{US},{US},true,bid,-1,1"), "'-1' is no price"),
        ((BOOK, f"b,X,{US},{US},true,bid,nan,1"), "'nan' is no price"),
        ((BOOK, f"b,X,{US},12,true,bid,1,1"), "12 is no time between 2009 and 2050"),
        (("a,b", "1,2"), "neither incremental_book_L2"),
    ],
)
def test_what_cannot_be_is_refused_by_name(tmp_path, lines, problem):
    with pytest.raises(HistoryRefused, match=problem):
        events(read_tardis, write(tmp_path / "t.csv", *lines))


def test_empty_and_mixed_files_are_refused(tmp_path):
    empty = tmp_path / "t.csv"
    empty.touch()
    with pytest.raises(HistoryRefused, match="empty"):
        events(read_tardis, empty)
    mixed = [Printed(T, T, name, 1, "1", "1", True) for name in ("X", "Y")]
    with pytest.raises(HistoryRefused, match="choose one with --symbol"):
        list(of_symbol(iter(mixed), None))
    assert [one.symbol for one in of_symbol(iter(mixed), "y")] == ["Y"]
    with pytest.raises(HistoryRefused, match="--symbol may be X or Y"):
        list(of_symbol(iter(mixed), "z"))
    with pytest.raises(HistoryRefused, match="hold no row: an empty day"):
        write_recording(iter(()), Market.SPOT, tmp_path / "none.gz", Repairs())
    assert not list(tmp_path.glob("*none*"))


@given(st.decimals(min_value="0.00000001", max_value="1e9", places=8))
def test_texts_of_numbers_keep_their_value_and_lose_their_zeros(value):
    text = decimal_text(str(value), "x", may_be_zero=True)
    assert Decimal(text) == value
    assert "E" not in text.upper()
    assert not ("." in text and text.endswith("0"))


@pytest.mark.parametrize(("value", "unit"), [(T // 10**9, "s"), (T // 10**6, "ms"), (US, "us"), (T, "ns")])
def test_units_of_time_are_told_by_size(value, unit):
    assert nanoseconds(value, unit) == T
