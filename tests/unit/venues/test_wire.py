"""What the built-in exchange writes must read as what Binance writes."""

import json
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.venues.binance import wire
from tests.grids import SPOT_BTC as SPOT

USDM = Instrument(
    venue="binance",
    market=Market.USDM,
    symbol="BTCUSDT",
    name="BTC/USDT:USDT",
    base="BTC",
    quote="USDT",
    tick_size=Decimal("0.10"),
    lot_size=Decimal("0.001"),
)


def levels(*pairs):
    return np.array(pairs, np.int64).reshape(-1, 2)


@given(st.integers(0, 10**15), st.integers(0, 9))
def test_fixed_text_is_the_exact_decimal(value, decimals):
    text = wire.fixed(value, decimals)
    assert Decimal(text) == Decimal(value).scaleb(-decimals)
    assert len(text.partition(".")[2]) == decimals


@given(st.lists(st.tuples(st.integers(1, 10**9), st.integers(0, 10**12)), max_size=30))
def test_the_compiled_level_text_is_the_plain_one(pairs):
    for instrument in (SPOT, USDM):
        grid = wire.grid_of(instrument)
        expected = [[grid.price(tick), grid.quantity(lots)] for tick, lots in pairs]
        assert json.loads(grid.levels(levels(*pairs))) == expected


def test_a_spot_depth_diff_has_eight_decimals_and_a_literal_zero_deletes():
    frame = wire.depth_update(
        wire.grid_of(SPOT),
        event_ns=1_700_000_000_123_456_789,
        transaction_ns=0,
        first_id=5,
        last_id=9,
        previous_id=4,
        bids=levels((6_000_012, 150_000)),
        asks=levels((6_000_013, 0)),
    )
    assert json.loads(frame) == {
        "e": "depthUpdate",
        "E": 1_700_000_000_123,
        "s": "BTCUSDT",
        "U": 5,
        "u": 9,
        "b": [["60000.12000000", "1.50000000"]],
        "a": [["60000.13000000", "0.00000000"]],
    }


def test_a_futures_depth_diff_has_the_previous_id_and_the_venues_decimals():
    frame = wire.depth_update(
        wire.grid_of(USDM),
        event_ns=2_000_000,
        transaction_ns=1_000_000,
        first_id=50,
        last_id=90,
        previous_id=41,
        bids=levels((600_001, 1500)),
        asks=levels(),
    )
    assert json.loads(frame) == {
        "e": "depthUpdate",
        "E": 2,
        "T": 1,
        "s": "BTCUSDT",
        "U": 50,
        "u": 90,
        "pu": 41,
        "b": [["60000.10", "1.500"]],
        "a": [],
    }


@pytest.mark.parametrize("instrument", [SPOT, USDM])
def test_frames_have_the_keys_of_recorded_ones(instrument, captures):
    import gzip

    grid = wire.grid_of(instrument)
    name = "spot/btcusdt_20240808.gz" if instrument is SPOT else "usdm/btcusdt_20240808.gz"
    recorded = {}
    with gzip.open(captures / "hftbacktest" / name, "rt") as lines:
        for line, _ in zip(lines, range(3000), strict=False):
            message = json.loads(line.partition(" ")[2])
            recorded.setdefault(message.get("stream", "snapshot").partition("@")[2].partition("@")[0], message.get("data", message))
    made = {
        "trade": wire.trade(grid, event_ns=1, time_ns=1, trade_id=1, ticks=1, lots=1, buyer_is_maker=True),
        "bookTicker": wire.book_ticker(grid, event_ns=1, update_id=1, bid_ticks=1, bid_lots=1, ask_ticks=2, ask_lots=1),
        "depth": wire.depth_update(grid, event_ns=1, transaction_ns=1, first_id=1, last_id=1, previous_id=0, bids=levels(), asks=levels()),
        "": wire.depth_snapshot(grid, 1, levels(), levels()),
    }
    optional = {"b", "a"} if instrument is SPOT else set()
    compared = 0
    for kind, frame in made.items():
        if kind in recorded:
            compared += 1
            ours = set(json.loads(frame))
            assert ours <= set(recorded[kind])
            assert set(recorded[kind]) - ours <= (optional if kind == "trade" else {"ps", "st"})
    assert compared >= 3


def test_exchange_info_carries_the_grid_as_filters():
    spot = wire.exchange_info([SPOT], 0)["symbols"][0]
    usdm = wire.exchange_info([USDM], 0)["symbols"][0]
    by_type = [{f["filterType"]: f for f in symbol["filters"]} for symbol in (spot, usdm)]
    assert by_type[0]["PRICE_FILTER"]["tickSize"] == "0.01000000"
    assert by_type[0]["LOT_SIZE"]["stepSize"] == "0.00001000"
    assert by_type[1]["PRICE_FILTER"]["tickSize"] == "0.10"
    assert by_type[1]["LOT_SIZE"]["stepSize"] == "0.001"
    assert usdm["contractType"] == "PERPETUAL"
