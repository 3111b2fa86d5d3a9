"""Sequence rules, grid, routing and duplicates of the Binance fold, scenario by scenario, through both paths."""

import json
import subprocess
import sys
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartmoney.core.book.codes import CODE_MASK, FoldCode, code_of, instrument_of
from smartmoney.core.book.kernel import level_lots
from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.core.features.parameters import FeatureParameters
from smartmoney.core.features.state import STATE
from smartmoney.venues.binance.codec import fill_scratch, first_update_id, fold_frame, fold_slow, new_states
from smartmoney.venues.binance.kernel import drop_book, fold

MS = 1_000_000
T0 = 1_700_000_000_000


def instrument(market: Market, symbol: str = "BTCUSDT", tick: str = "0.5", lot: str = "0.001") -> Instrument:
    return Instrument(
        venue="binance", market=market, symbol=symbol, name=symbol, base="B", quote="Q", tick_size=Decimal(tick), lot_size=Decimal(lot)
    )


def states_of(market: Market, *symbols: str) -> np.ndarray:
    return new_states([instrument(market, one) for one in symbols or ("BTCUSDT",)], FeatureParameters())


def depth(first: int, final: int, previous: int | None = None, bids=(), asks=(), symbol: str = "BTCUSDT", **more) -> bytes:
    body = {"e": "depthUpdate", "E": T0 + final, "s": symbol, "U": first, "u": final, "b": list(bids), "a": list(asks)}
    if previous is not None:
        body["pu"] = previous
    return json.dumps(body | more, separators=(",", ":")).encode()


def snapshot(last: int, bids=(("100.0", "1"),), asks=(("101.0", "1"),)) -> bytes:
    return json.dumps({"lastUpdateId": last, "bids": bids, "asks": asks}, separators=(",", ":")).encode()


def trade(ident: int, price: str = "100.5", quantity: str = "0.002", maker: bool = False, **more) -> bytes:
    body = {"e": "trade", "E": T0, "T": T0, "s": "BTCUSDT", "t": ident, "p": price, "q": quantity, "m": maker}
    return json.dumps(body | more, separators=(",", ":")).encode()


@pytest.fixture(params=["fast", "slow"])
def run(request):
    """Fold through one path or the other: every rule must hold in both."""

    def both(frame: bytes, states: np.ndarray, hint: int = -1, wall: int = T0 * MS) -> FoldCode:
        if request.param == "slow":
            return code_of(fold_slow(frame, states, hint, wall))
        return code_of(fold_frame(frame, states, hint, wall))

    return both


def test_spot_rules(run):
    states = states_of(Market.SPOT)
    assert run(depth(5, 8), states) is FoldCode.BUFFER
    assert run(snapshot(3), states, 0) is FoldCode.SNAPSHOT_TOO_OLD
    assert run(snapshot(10), states, 0) is FoldCode.SNAPSHOT
    assert run(depth(5, 8), states) is FoldCode.IGNORED
    assert run(depth(5, 10), states) is FoldCode.IGNORED
    assert run(depth(9, 12), states) is FoldCode.APPLIED
    assert run(depth(13, 13), states) is FoldCode.APPLIED
    assert run(depth(13, 13), states) is FoldCode.IGNORED
    assert run(depth(15, 16), states) is FoldCode.GAP
    assert int(states[0]["phase"]) == 0
    assert int(states[0]["best_bid_tick"]) == -1
    assert int(states[0]["gaps"]) == 1
    assert run(depth(17, 18), states) is FoldCode.BUFFER
    assert run(snapshot(16), states, 0) is FoldCode.SNAPSHOT
    assert run(depth(18, 18), states) is FoldCode.GAP


@pytest.mark.parametrize("market", [Market.USDM, Market.COINM])
def test_futures_rules(run, market):
    states = states_of(market)
    assert run(depth(50, 60, 40), states) is FoldCode.BUFFER
    assert run(snapshot(45), states, 0) is FoldCode.SNAPSHOT_TOO_OLD
    assert run(snapshot(70), states, 0) is FoldCode.SNAPSHOT
    assert run(depth(50, 60, 40), states) is FoldCode.IGNORED
    assert run(depth(65, 80, 60), states) is FoldCode.APPLIED
    assert run(depth(95, 99, 80), states) is FoldCode.APPLIED  # U jumps: the id space is shared
    assert run(depth(95, 99, 80), states) is FoldCode.IGNORED  # the other of two overlapping connections
    assert run(depth(65, 80, 60), states) is FoldCode.IGNORED
    assert run(depth(100, 110, 98), states) is FoldCode.GAP
    assert int(states[0]["phase"]) == 0


def test_futures_first_frame_must_bridge_the_snapshot(run):
    for frame, expected in (
        (depth(70, 70, 60), FoldCode.APPLIED),
        (depth(71, 80, 70), FoldCode.APPLIED),  # continues exactly where the snapshot ends
        (depth(71, 80, 69), FoldCode.GAP),
        (depth(60, 69, 50), FoldCode.IGNORED),
    ):
        states = states_of(Market.USDM)
        assert run(snapshot(70), states, 0) is FoldCode.SNAPSHOT
        assert run(frame, states) is expected, frame


def test_a_snapshot_replaces_a_synced_book_only_if_it_is_newer(run):
    states = states_of(Market.SPOT)
    assert run(snapshot(10, [["100.0", "1"], ["90.0", "1"]]), states, 0) is FoldCode.SNAPSHOT
    assert run(depth(11, 12, bids=[["99.0", "3"]]), states) is FoldCode.APPLIED
    assert run(snapshot(11), states, 0) is FoldCode.IGNORED
    assert run(snapshot(12), states, 0) is FoldCode.IGNORED
    assert level_lots(states[0], 0, 198) == 3000
    assert run(snapshot(13), states, 0) is FoldCode.SNAPSHOT
    assert level_lots(states[0], 0, 198) == level_lots(states[0], 0, 180) == 0


@pytest.mark.parametrize(
    ("price", "quantity", "expected"),
    [
        ("100.50000000", "0.00100000", FoldCode.APPLIED),
        ("100.500000000000000000000", "1.000000000000000000000", FoldCode.APPLIED),
        ("000000000000100.5", "1", FoldCode.APPLIED),
        ("100.3", "1", FoldCode.OFF_GRID),
        ("100.5", "0.0015", FoldCode.APPLIED),
        ("100.5", "0.0004", FoldCode.APPLIED),
        ("100.5000000000000000001", "1", FoldCode.MALFORMED),
        ("1000000000000000000", "1", FoldCode.MALFORMED),
        ("1000000000000000", "1", FoldCode.MALFORMED),
        ("0.0", "1", FoldCode.MALFORMED),
        ("-100.5", "1", FoldCode.MALFORMED),
        ("+100.5", "1", FoldCode.MALFORMED),
        ("1e2", "1", FoldCode.MALFORMED),
        ("1e30", "1", FoldCode.MALFORMED),
        ("NaN", "1", FoldCode.MALFORMED),
        ("Infinity", "1", FoldCode.MALFORMED),
        (".5", "1", FoldCode.MALFORMED),
        ("5.", "1", FoldCode.MALFORMED),
        ("", "1", FoldCode.MALFORMED),
        ("\u0661", "1", FoldCode.MALFORMED),
        ("100.5", "999999999999999999", FoldCode.MALFORMED),
        ("100.5", "-1", FoldCode.MALFORMED),
    ],
)
def test_price_and_quantity_text(run, price, quantity, expected):
    states = states_of(Market.SPOT)
    run(snapshot(10), states, 0)
    assert run(depth(11, 11, bids=[["99.5", "1"], [price, quantity]]), states) is expected
    applied = expected is FoldCode.APPLIED
    assert (level_lots(states[0], 0, 199) > 0) is applied  # the good level beside it shares its fate
    assert int(states[0]["last_update_id"]) == (11 if applied else 10)


_DIGITS = st.text("0123456789", min_size=1, max_size=9)
_NUMBERS = st.builds(lambda whole, part: f"{whole}.{part}" if part else whole, _DIGITS, st.one_of(st.just(""), _DIGITS))


@given(levels=st.lists(st.tuples(_NUMBERS, _NUMBERS), min_size=1, max_size=6))
def test_numbers_of_every_length_are_read_as_the_slow_path_reads_them(levels):
    fast, slow = states_of(Market.SPOT), states_of(Market.SPOT)
    frame = depth(11, 11, bids=levels, symbol="OTHER")  # nobody's: what was scanned stays as it was written
    assert code_of(fold(frame, fast, -1, 1)) is FoldCode.IGNORED
    assert fill_scratch(frame, slow[0])
    for field in ("scan_prices", "scan_price_decimals", "scan_quantities", "scan_quantity_decimals"):
        assert fast[0][field][0, : len(levels)].tolist() == slow[0][field][0, : len(levels)].tolist()


@pytest.mark.parametrize(("shown", "lots"), [("0.0015", 1), ("0.0029", 2), ("0.0004", 1), ("0.0000", 0)])
def test_a_shown_quantity_finer_than_a_lot_is_rounded_down_but_not_to_nothing(run, shown, lots):
    states = states_of(Market.SPOT)
    run(snapshot(10), states, 0)
    assert run(depth(11, 11, bids=[["100.5", shown]]), states) is FoldCode.APPLIED
    assert level_lots(states[0], 0, 201) == lots


@pytest.mark.parametrize(
    "frame",
    [
        b'{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":11,"b":[],"a":[]}',
        b'{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":12,"u":11,"b":[],"a":[]}',
        b'{"e":"depthUpdate","E":-1,"s":"BTCUSDT","U":11,"u":11,"b":[],"a":[]}',
        b'{"e":"depthUpdate","E":99999999999999999,"s":"BTCUSDT","U":11,"u":11,"b":[],"a":[]}',
        b'{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":11.0,"u":11,"b":[],"a":[]}',
        b'{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":11,"u":11,"b":[],"a":{}}',
        b'{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":11,"u":11,"b":[["1"]],"a":[]}',
        b'{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":11,"u":11,"b":[[1,2]],"a":[]}',
        b'{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":11,"u":11,"b":[["1","2","3"]],"a":[]}',
        b'{"e":"depthUpdate","E":1,"U":11,"u":11,"b":[],"a":[]}',
        b'{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":011,"u":11,"b":[],"a":[]}',
        b'{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":11,"u":11,"b":[],"a":[],}',
        b'{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":11,"u":11,"b":[],"a":[]}}',
        b'{"e":"trade","E":1,"s":"BTCUSDT","t":1,"p":"1","q":"1"}',
        b'{"e":"trade","E":1,"s":"BTCUSDT","p":"1","q":"1","m":true}',
        b'{"e":"trade","s":"BTCUSDT","t":1,"p":"1","q":"1","m":true}',
        b'{"e":"trade","E":1,"s":"BTCUSDT","t":1,"p":1.5,"q":"1","m":true}',
        b'{"e":"trade","E":1,"s":"BTCUSDT","t":1,"p":"1","q":"1","m":1}',
    ],
)
def test_a_frame_with_a_missing_or_wrong_field_is_malformed(run, frame):
    states = states_of(Market.SPOT)
    run(snapshot(10), states, 0)
    assert run(frame, states) is FoldCode.MALFORMED
    assert int(states[0]["malformed"]) == 1
    assert int(states[0]["last_update_id"]) == 10


@pytest.mark.parametrize(
    "frame",
    [
        b'{"result":null,"id":1}',
        b'{"id":1,"result":["btcusdt@depth"]}',
        b'{"code":2,"msg":"Invalid request"}',
        b'{"error":{"code":-1121,"msg":"Invalid symbol."},"id":3}',
        b'{"u":1,"s":"BTCUSDT","b":"1","B":"2","a":"3","A":"4"}',
        b'{"e":"markPriceUpdate","E":1,"s":"BTCUSDT","p":"1.5","P":"1","i":"1","r":"-0.0001","T":2}',
        b'{"e":"kline","E":1,"s":"BTCUSDT","k":{"t":1,"b":[["x"]],"x":false}}',
        b'{"stream":"!ticker@arr","data":[{"e":"24hrTicker","s":"X"}]}',
        b'[{"e":"24hrMiniTicker","s":"X"}]',
        b'{"e":"serverShutdown","E":1}',
        b'{"stream":"btcusdt@depth5@100ms","data":{"lastUpdateId":1,"bids":[["1","1"]],"asks":[]}}',
        b'{"stream":"btcusdt@depth5","data":{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":11,"u":11,"b":[],"a":[]}}',
        b'{"lastUpdateId":99,"bids":[],"asks":[]}',
        b'{"e":"depthUpdate","E":1,"s":"OTHER","U":1,"u":2,"b":[],"a":[]}',
        b'{"e":"trade","E":1,"T":1,"s":"BTCUSDT","t":1,"p":"0","q":"0","m":true}',
    ],
)
def test_frames_that_say_nothing_about_the_book_are_ignored(run, frame):
    states = states_of(Market.SPOT)
    run(snapshot(10), states, 0)
    assert run(frame, states) is FoldCode.IGNORED
    assert int(states[0]["last_update_id"]) == 10
    assert int(states[0]["trades"]) == 0


@pytest.mark.parametrize("frame", [b"{}", b"[]", b"1", b'{"e":"somethingNew","s":"BTCUSDT"}', b'{"stream":"x","data":{}}', b'{"data":[1]}'])
def test_json_of_no_known_form_is_unknown_and_counted_once(run, frame):
    states = states_of(Market.SPOT)
    assert run(frame, states) is FoldCode.UNKNOWN
    assert int(states[0]["unknown"]) == int(states[0]["frames"]) == 1


def test_key_order_whitespace_escapes_and_nested_unknown_values_change_nothing(run):
    bids, asks = [["100.0", "2"]], [["101.0", "0"], ["101.5", "1"]]
    plain = depth(11, 11, bids=bids, asks=asks)
    pretty = json.dumps(dict(reversed(json.loads(plain).items())), indent=2).encode()
    nested = depth(11, 11, bids=bids, asks=asks, zz={"a": [["]"], {"b": "}"}], "s": "OTHER"}, st=1)
    escaped = plain.replace(b"BTCUSDT", b"BTC\\u0055SDT")
    wrapped = b'{"data":' + plain + b' , "stream" : "btcusdt@depth@100ms"}\n'
    lower = plain.replace(b"BTCUSDT", b"btcusdt")
    touches = set()
    for frame in (plain, pretty, nested, escaped, wrapped, lower):
        states = states_of(Market.SPOT)
        run(snapshot(10), states, 0)
        assert run(frame, states) is FoldCode.APPLIED, frame
        s = states[0]
        touches.add((int(s["best_bid_tick"]), level_lots(s, 0, 200), int(s["best_ask_tick"]), int(s["last_event_ns"])))
    assert touches == {(200, 2000, 203, (T0 + 11) * MS)}


def test_microsecond_stamps_and_transaction_time_are_understood(run):
    states = states_of(Market.USDM)
    run(snapshot(10), states, 0)
    assert run(depth(10, 11, 9, T=T0 - 7), states) is FoldCode.APPLIED
    assert int(states[0]["last_event_ns"]) == (T0 - 7) * MS
    assert run(depth(12, 12, 11, T=T0 * 1000 + 3), states) is FoldCode.APPLIED
    assert int(states[0]["last_event_ns"]) == T0 * MS + 3000


def test_frames_are_routed_by_symbol_and_snapshots_by_hint(run):
    states = states_of(Market.SPOT, "AAAUSDT", "BBBUSDT", "CCCUSDT")
    assert run(snapshot(10), states, 2) is FoldCode.SNAPSHOT
    folded = fold(depth(11, 11, symbol="CCCUSDT"), states, -1, 1)
    assert (code_of(folded), instrument_of(folded)) == (FoldCode.APPLIED, 2)
    folded = fold(depth(1, 2, symbol="BBBUSDT"), states, -1, 1)
    assert (code_of(folded), instrument_of(folded)) == (FoldCode.BUFFER, 1)
    folded = fold(b'{"result":null,"id":7}', states, -1, 1)
    assert (code_of(folded), instrument_of(folded)) == (FoldCode.IGNORED, -1)
    assert states["phase"].tolist() == [0, 0, 1]
    assert run(snapshot(10), states, 3) is FoldCode.IGNORED


def test_two_hundred_instruments_are_all_reached():
    symbols = [f"S{k}USDT" for k in range(200)]
    states = states_of(Market.SPOT, *symbols)
    assert states.nbytes / len(states) <= 8 * 2**20
    for k, symbol in enumerate(symbols):
        assert instrument_of(fold(depth(1, 2, symbol=symbol), states, -1, 1)) == k
    with pytest.raises(ValueError, match="between 1 and 200"):
        states_of(Market.SPOT, *symbols, "ONEMORE")
    with pytest.raises(ValueError, match="once per feed"):
        states_of(Market.SPOT, "BTCUSDT", "btcusdt")


def test_trades_are_counted_once_and_carry_the_aggressor(run):
    states = states_of(Market.USDM)
    s = states[0]
    assert run(trade(5, "100.5", "0.002", maker=True), states) is FoldCode.TRADE
    assert (int(s["last_trade_sign"]), int(s["last_trade_tick"]), int(s["last_trade_lots"])) == (-1, 201, 2)
    assert run(trade(5), states) is FoldCode.IGNORED
    assert run(trade(4), states) is FoldCode.IGNORED
    assert run(trade(6), states) is FoldCode.TRADE
    assert int(s["last_trade_sign"]) == 1
    assert run(trade(9), states) is FoldCode.TRADE
    assert int(s["trade_gaps"]) == 1
    assert run(trade(10, "100.3"), states) is FoldCode.OFF_GRID
    aggregate = trade(1).replace(b'"trade"', b'"aggTrade"').replace(b'"t":1', b'"a":99')
    assert run(aggregate, states) is FoldCode.IGNORED  # the same volume by another stream
    assert int(s["trades"]) == 3


def test_aggregate_trades_count_by_their_own_id(run):
    states = states_of(Market.USDM)
    aggregate = trade(1).replace(b'"trade"', b'"aggTrade"').replace(b'"t":1', b'"a":99,"f":1,"l":2')
    assert run(aggregate, states) is FoldCode.TRADE
    assert run(aggregate, states) is FoldCode.IGNORED
    assert int(states[0]["last_trade_id"]) == 99


def test_a_crossed_book_is_flagged_until_it_uncrosses(run):
    states = states_of(Market.SPOT)
    run(snapshot(10), states, 0)
    run(depth(11, 11, bids=[["101.0", "1"]]), states)
    assert (int(states[0]["crossed_now"]), int(states[0]["crossed"])) == (1, 1)
    run(depth(12, 12, asks=[["101.0", "0"]]), states)
    assert (int(states[0]["crossed_now"]), int(states[0]["crossed"])) == (0, 1)


def test_age_is_measured_against_its_own_minimum_so_that_skew_cancels(run):
    states = states_of(Market.SPOT)
    s = states[0]
    run(snapshot(10), states, 0)
    skew = -1270 * MS
    for k, late in enumerate((5, 3, 40)):
        run(depth(11 + k, 11 + k), states, -1, (T0 + 11 + k + late) * MS + skew)
    assert int(s["age_offset_ns"]) == 3 * MS + skew
    assert int(s["lag_ns"]) == 37 * MS
    eleven_minutes = 660_000
    for k, minutes in ((14, eleven_minutes), (15, 2 * eleven_minutes), (16, 3 * eleven_minutes)):
        run(depth(k, k, E=T0 + minutes), states, -1, (T0 + minutes + 50) * MS + skew)
    assert int(s["age_offset_ns"]) == 50 * MS + skew  # the old minimum has aged out
    assert int(s["lag_ns"]) == 0


def test_trades_that_print_away_from_the_book_raise_the_share_and_a_sweep_does_not(run):
    states = states_of(Market.SPOT)
    s = states[0]
    run(snapshot(10), states, 0)
    last, ident = 10, 0

    def step(price: str) -> None:
        nonlocal last, ident
        last, ident = last + 1, ident + 1
        assert run(trade(ident, price), states) is FoldCode.TRADE
        assert run(depth(last, last, bids=[["50.0", str(last)]]), states) is FoldCode.APPLIED

    for _ in range(80):
        step("100.5")
    assert float(s["trade_outside"]) == 0.0
    for _ in range(80):
        step("110.0")
    assert float(s["trade_outside"]) > 0.6


def test_drop_book_empties_and_awaits_a_snapshot(run):
    states = states_of(Market.SPOT)
    run(snapshot(10), states, 0)
    drop_book(states, 0)
    assert (int(states[0]["phase"]), int(states[0]["best_bid_tick"]), int(states[0]["best_ask_tick"])) == (0, -1, -1)
    assert run(depth(11, 11), states) is FoldCode.BUFFER
    drop_book(states, 5)  # out of range: nothing


def test_huge_frames_are_refused_unread(run):
    states = states_of(Market.SPOT)
    assert run(b" " * (8 * 2**20 + 1), states) is FoldCode.MALFORMED
    many = depth(11, 11, bids=[["100.0", "1"]] * 9000)
    assert run(many, states) is FoldCode.MALFORMED


def test_first_update_id_is_read_from_depth_frames_only():
    assert first_update_id(depth(77, 80)) == 77
    assert first_update_id(b'{"stream":"x","data":' + depth(78, 80) + b"}") == 78
    assert first_update_id(trade(1)) is None
    assert first_update_id(b"\xff") is None


def test_fast_path_alone_reports_unknown_and_changes_nothing():
    states = states_of(Market.SPOT)
    fold(snapshot(10), states, 0, 1)
    assert code_of(fold(b"garbage", states, -1, 1)) is FoldCode.UNKNOWN
    assert (int(states[0]["slow"]), int(states[0]["frames"]), int(states[0]["malformed"])) == (1, 1, 0)


@pytest.mark.slow
def test_a_second_process_compiles_nothing():
    fold(b"{}", np.zeros(1, STATE), -1, 1)
    code = (
        "from smartmoney.core.domain.instruments import *; from decimal import Decimal as D;"
        "from smartmoney.core.features.parameters import FeatureParameters as P;"
        "from smartmoney.venues.binance.codec import new_states; from smartmoney.venues.binance.kernel import fold;"
        "i=Instrument(venue='binance',market=Market.SPOT,symbol='A',name='A',base='A',quote='B',tick_size=D(1),lot_size=D(1));"
        "fold(b'{}',new_states([i],P()),-1,1); print(sum(fold.stats.cache_hits.values()), sum(fold.stats.cache_misses.values()))"
    )
    seen = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert seen == "1 0\n"


def test_code_of_and_mask_cover_every_code():
    assert [int(one) for one in FoldCode] == list(range(10))
    assert all(one & CODE_MASK == one for one in FoldCode)
