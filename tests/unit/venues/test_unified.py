"""ccxt's books and trades as frames of the Binance decoder."""

import json
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartmoney.core.domain.instruments import Market
from smartmoney.venues.unified import (
    LEVELS_MAX,
    Grid,
    RecentIds,
    UnifiedError,
    encode_book,
    encode_change,
    encode_shown,
    encode_trade,
    grid_of,
    instrument_of,
    merge_urls,
    shown_book,
    unified_names,
)

TICK_SIZE, DECIMAL_PLACES, SIGNIFICANT_DIGITS = 4, 2, 3


def market(**changes: Any) -> dict[str, Any]:
    return {
        "id": "btc-usd",
        "symbol": "BTC/USD",
        "base": "BTC",
        "quote": "USD",
        "spot": True,
        "active": True,
        "contract": False,
        "precision": {"price": 0.01, "amount": 1e-8},
        "limits": {"amount": {"min": 0.0001, "max": 3400}, "cost": {"min": 1}, "price": {}},
        **changes,
    }


SWAP = market(
    id="BTC-USDT-SWAP",
    symbol="BTC/USDT:USDT",
    quote="USDT",
    spot=False,
    contract=True,
    swap=True,
    linear=True,
    inverse=False,
    contractSize=0.01,
    precision={"price": 0.1, "amount": 1.0},
    limits={"amount": {"min": 1, "max": None}, "cost": {}},
)


def grid(tick: str, lot: str, contract_size: str = "1") -> Grid:
    instrument, _ = instrument_of("ccxt:x", market(precision={"price": float(tick), "amount": float(lot)}), TICK_SIZE)
    return grid_of(instrument, Decimal(contract_size))


def test_spot_market_becomes_an_instrument_on_its_grid() -> None:
    found, contract_size = instrument_of("ccxt:coinbase", market(), TICK_SIZE)
    assert (found.venue, found.market, found.symbol, found.name) == ("ccxt:coinbase", Market.SPOT, "BTC-USD", "BTC/USD")
    assert (found.tick_size, found.lot_size) == (Decimal("0.01"), Decimal("0.00000001"))
    assert (found.min_lots, found.max_lots, found.min_notional) == (10_000, 340_000_000_000, 1)
    assert contract_size == 1


def test_linear_swap_is_counted_in_base_units_not_contracts() -> None:
    found, contract_size = instrument_of("ccxt:okx", SWAP, TICK_SIZE)
    assert (found.market, found.lot_size, found.min_lots, contract_size) == (Market.USDM, Decimal("0.01"), 1, Decimal("0.01"))
    book = json.loads(encode_book(grid_of(found, contract_size), [[65000.1, 7]], [], number=1, ts_event_ms=1))
    assert [[Decimal(text) for text in level] for level in book["bids"]] == [[Decimal("65000.1"), Decimal("0.07")]]


@pytest.mark.parametrize(
    ("shown", "lots"),
    [
        (market(info={"lotSizeFilter": {"maxOrderQty": "3400", "maxMarketOrderQty": "120.5"}}), 12_050_000_000),
        ({**SWAP, "info": {"lotSizeFilter": {"maxMktOrderQty": "500"}}}, 500),
        ({**SWAP, "info": {"maxLmtSz": "100000000", "maxMktSz": "12000", "maxStopSz": "10000"}}, 10_000),
        (market(info={"maxMktSz": "1000000", "maxStopSz": ""}), 340_000_000_000),
    ],
    ids=["bybit spot", "bybit swap", "okx swap", "okx spot, in quote currency"],
)
def test_the_largest_order_is_what_one_at_market_may_be(shown: dict[str, Any], lots: int) -> None:
    assert instrument_of("v", shown, TICK_SIZE)[0].max_lots == lots


def test_decimal_places_mode_is_understood() -> None:
    found, _ = instrument_of("ccxt:x", market(precision={"price": 2, "amount": 0}), DECIMAL_PLACES)
    assert (found.tick_size, found.lot_size) == (Decimal("0.01"), Decimal(1))


@pytest.mark.parametrize(
    ("changes", "mode", "text"),
    [
        ({"active": False}, TICK_SIZE, "does not trade"),
        ({"precision": {"price": None, "amount": 1e-8}}, TICK_SIZE, "no price and quantity steps"),
        ({"precision": {"price": 0, "amount": 1e-8}}, TICK_SIZE, "no price and quantity steps"),
        ({"precision": {"price": float("nan"), "amount": 1e-8}}, TICK_SIZE, "no price and quantity steps"),
        ({}, SIGNIFICANT_DIGITS, "no price and quantity steps"),
        ({"spot": False, "option": True, "contract": True}, TICK_SIZE, "neither spot nor a future"),
        ({"spot": False, "contract": True, "linear": True, "contractSize": None}, TICK_SIZE, "no contract size"),
        ({"id": 'b"tc'}, TICK_SIZE, "identifier"),
        ({"id": ""}, TICK_SIZE, "identifier"),
    ],
)
def test_market_that_cannot_be_traded_exactly_is_refused(changes: dict[str, Any], mode: int, text: str) -> None:
    with pytest.raises(UnifiedError, match=text):
        instrument_of("ccxt:x", market(**changes), mode)


@given(
    st.sampled_from(["0.00000001", "0.01", "1", "0.5", "0.25", "0.00025", "10", "5"]),
    st.integers(1, 10**9),
)
def test_value_on_the_grid_comes_back_exactly(step: str, count: int) -> None:
    exact = Decimal(step) * count
    text = grid(step, "1").price_text(float(exact))
    assert text is not None
    assert Decimal(text) == exact
    assert "e" not in text.lower()


@given(st.sampled_from(["0.01", "0.5", "0.025", "1", "10"]), st.floats(1e-6, 1e9))
def test_value_off_the_grid_goes_to_a_nearest_multiple(step: str, value: float) -> None:
    text = grid(step, "1").price_text(value)
    tick = Decimal(step)
    nearest = (Decimal(repr(value)) / tick).to_integral_value(rounding=ROUND_HALF_EVEN) * tick
    if text is None:
        assert nearest == 0
    else:
        assert Decimal(text) % tick == 0
        assert abs(Decimal(text) - Decimal(repr(value))) <= tick / 2 + Decimal("1e-9")


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), 1e30, None, "1", 1e-12])
def test_value_that_is_no_price_is_left_out(value: object) -> None:
    assert grid("0.01", "0.01").price_text(value) is None
    assert grid("0.5", "0.5").quantity_text(value) is None


def test_book_keeps_order_drops_senseless_levels_and_is_bounded() -> None:
    bids: list[list[Any]] = [[100.01, 1.5], [float("nan"), 1], [100.0, 0], [99.99, -1], [None, None], [99.98, 2, "extra"]]
    body = json.loads(encode_book(grid("0.01", "0.001"), bids, [[101 + n, 1] for n in range(5000)], number=77, ts_event_ms=1700))
    assert (body["lastUpdateId"], body["E"]) == (77, 1700)
    assert body["bids"] == [["100.01", "1.500"], ["99.98", "2.000"]]
    assert len(body["asks"]) == LEVELS_MAX
    assert body["asks"][0] == ["101.00", "1.000"]


@pytest.mark.parametrize(
    ("side", "makers", "taker_sold"), [("sell", False, True), ("buy", False, False), ("sell", True, False), ("buy", True, True)]
)
def test_trade_says_whether_the_taker_sold(side: str, makers: bool, taker_sold: bool) -> None:
    raw = encode_trade(
        grid("0.01", "0.001"), {"side": side, "price": 100.01, "amount": 0.25}, number=5, ts_event_ms=1700, side_is_makers=makers
    )
    assert raw is not None
    assert json.loads(raw) == {
        "e": "trade",
        "E": 1700,
        "s": "BTC-USD",
        "t": 5,
        "p": "100.01",
        "q": "0.250",
        "T": 1700,
        "m": taker_sold,
    }


@pytest.mark.parametrize("change", [{"side": None}, {"price": None}, {"amount": 0.0}, {"amount": float("inf")}, {"side": "?"}])
def test_trade_without_side_price_or_quantity_is_left_out(change: dict[str, Any]) -> None:
    trade = {"side": "buy", "price": 1.0, "amount": 1.0, **change}
    assert encode_trade(grid("0.01", "0.001"), trade, number=1, ts_event_ms=1) is None


@given(st.lists(st.integers(0, 30)), st.integers(1, 10))
def test_ids_seen_within_the_bound_count_once(ids: list[int], size: int) -> None:
    recent = RecentIds(size)
    kept: list[int] = []
    for identifier in ids:
        assert recent.is_new(str(identifier)) is (identifier not in kept)
        if identifier not in kept:
            kept = [*kept, identifier][-size:]


def test_url_override_is_laid_over_key_by_key() -> None:
    known = {"api": {"public": "https://a", "ws": {"spot": "wss://a", "linear": "wss://b"}}, "doc": ["x"]}
    merged = merge_urls(known, {"api": {"ws": {"spot": "ws://127.0.0.1/ws"}}})
    assert merged["api"] == {"public": "https://a", "ws": {"spot": "ws://127.0.0.1/ws", "linear": "wss://b"}}
    assert known["api"]["ws"]["spot"] == "wss://a"


@pytest.mark.parametrize("override", [{"api": {"pubic": "x"}}, {"api": "x"}, {"api": {"public": {"x": "y"}}}])
def test_misspelt_url_override_is_refused(override: dict[str, Any]) -> None:
    with pytest.raises(UnifiedError, match=r"urls\.api"):
        merge_urls({"api": {"public": "https://a"}}, override)


sides = st.dictionaries(st.integers(1, 40), st.integers(1, 9), max_size=8)


@given(st.lists(st.tuples(sides, sides), min_size=1, max_size=6), st.sampled_from([Market.SPOT, Market.USDM]))
def test_changes_laid_over_the_first_book_give_every_later_one(books: list[Any], kind: Market) -> None:
    held: dict[str, dict[str, str]] = {}
    before, place = None, grid("0.5", "0.001")
    for number, (bids, asks) in enumerate(books):
        levels = [[[tick / 2, lots / 1000] for tick, lots in side.items()] for side in (bids, asks)]
        after = shown_book(place, *levels, number=10 * number + 7)
        if before is None:
            body = json.loads(encode_shown(after, ts_event_ms=5))
            held = {"b": dict(body["bids"]), "a": dict(body["asks"])}
            assert encode_book(place, *levels, number=7, ts_event_ms=5) == encode_shown(after, ts_event_ms=5)
        else:
            body = json.loads(encode_change(place, kind, before, after, ts_event_ms=5))
            assert (body["U"], body["u"], body["s"]) == (before.number + 1, after.number, place.symbol)
            assert body.get("pu") == (None if kind is Market.SPOT else before.number)
            for side, book in held.items():
                for price, quantity in body[side]:
                    book.pop(price, None)
                    if quantity != "0":
                        book[price] = quantity
        assert held == {"b": dict(after.bids), "a": dict(after.asks)}
        before = after


def test_a_name_of_a_derivatives_market_is_its_perpetual() -> None:
    assert unified_names(["BTC/USDT", "ETH/USDT:USDT", "XBTUSD"], Market.USDM) == ("BTC/USDT:USDT", "ETH/USDT:USDT", "XBTUSD")
    assert unified_names(["BTC/USDT"], Market.SPOT) == ("BTC/USDT",)
