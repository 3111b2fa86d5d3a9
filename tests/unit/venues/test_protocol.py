"""Binance's public protocol: addresses, routes, requests, control frames, instruments."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.venues.binance.exchange_info import ExchangeInfoError, SymbolUnavailableError, parse_exchange_info
from smartmoney.venues.binance.protocol import (
    LIMITS,
    Ack,
    Environment,
    Fault,
    ProtocolError,
    ServerShutdown,
    Throttle,
    depth_request,
    endpoints,
    exchange_info_request,
    parse_rejection,
    parse_time,
    plan_connections,
    recognise,
    route_of,
    stream_name,
    streams_of,
    subscribe,
    throttle,
    time_request,
    unsubscribe,
    used_weight,
)


def instrument(symbol: str, market: Market = Market.SPOT) -> Instrument:
    return Instrument(
        venue="binance",
        market=market,
        symbol=symbol,
        name=symbol,
        base="B",
        quote="Q",
        tick_size=Decimal("0.01"),
        lot_size=Decimal("0.001"),
    )


def symbol_entry(**changes: Any) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "symbol": "BTCUSDT",
        "status": "TRADING",
        "baseAsset": "BTC",
        "quoteAsset": "USDT",
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": "0.01000000", "maxPrice": "1000000.00000000", "tickSize": "0.01000000"},
            {"filterType": "LOT_SIZE", "minQty": "0.00001000", "maxQty": "9000.00000000", "stepSize": "0.00001000"},
            {"filterType": "MARKET_LOT_SIZE", "minQty": "0.00000000", "maxQty": "120.50000000", "stepSize": "0.00000000"},
            {"filterType": "NOTIONAL", "minNotional": "5.00000000", "applyMinToMarket": True},
        ],
    }
    return {**entry, **changes}


def exchange_info(*entries: dict[str, Any]) -> bytes:
    return json.dumps({"timezone": "UTC", "symbols": list(entries)}).encode()


# Addresses


@pytest.mark.parametrize(
    "printed", ["ws://127.0.0.1:9/", "ws://127.0.0.1:9/ws", "ws://127.0.0.1:9/stream", "ws://127.0.0.1:9/public/ws", "ws://127.0.0.1:9/ws/"]
)
def test_stream_override_may_be_any_address_that_a_simulator_prints(printed: str) -> None:
    assert endpoints(Market.USDM, stream=printed, rest="http://127.0.0.1:8/").stream == "ws://127.0.0.1:9"


def test_every_live_address_is_encrypted() -> None:
    for market in Market:
        found = endpoints(market)
        assert found.rest.startswith("https://")
        assert found.stream.startswith("wss://")


def test_environment_that_a_market_has_not_is_named() -> None:
    with pytest.raises(ProtocolError, match="coinm has no demo environment"):
        endpoints(Market.COINM, Environment.DEMO)


# Streams and routes


@pytest.mark.parametrize(
    ("stream", "route"),
    [
        ("depth@100ms", "public"),
        ("depth20@100ms", "public"),
        ("trade", "public"),
        ("bookTicker", "public"),
        ("aggTrade", "market"),
        ("markPrice@1s", "market"),
        ("kline_1m", "market"),
    ],
)
def test_usdm_stream_rides_on_its_route_and_spot_has_none(stream: str, route: str) -> None:
    assert route_of(Market.USDM, stream_name("BTCUSDT", stream)) == route
    assert route_of(Market.SPOT, stream_name("BTCUSDT", stream)) == ""


def test_usdm_stream_of_unknown_kind_is_refused_because_it_would_be_silent() -> None:
    with pytest.raises(ProtocolError, match="no route is known"):
        plan_connections(Market.USDM, "wss://x", [instrument("BTCUSDT", Market.USDM)], ("depht@100ms",))


def test_spot_plan_is_one_connection_with_all_streams() -> None:
    (plan,) = plan_connections(Market.SPOT, "wss://stream.binance.com:9443", [instrument("BTCUSDT"), instrument("ETHUSDT")])
    assert plan.url == "wss://stream.binance.com:9443/ws"
    assert plan.streams == ("btcusdt@depth@100ms", "btcusdt@trade", "ethusdt@depth@100ms", "ethusdt@trade")
    assert plan.instruments == (0, 1)
    assert [json.loads(message) for _, message in plan.subscriptions] == [
        {"method": "SUBSCRIBE", "params": list(plan.streams), "id": 1},
    ]


def test_usdm_plan_splits_streams_by_route_and_knows_which_connection_books_depend_on() -> None:
    plans = plan_connections(Market.USDM, "wss://fstream.binance.com", [instrument("BTCUSDT", Market.USDM)], streams_of(Market.USDM))
    assert {plan.url: (plan.streams, plan.carries_books) for plan in plans} == {
        "wss://fstream.binance.com/public/ws": (("btcusdt@depth@100ms", "btcusdt@trade"), True),
        "wss://fstream.binance.com/market/ws": (("btcusdt@markPrice",), False),
    }


def test_a_connection_that_carries_trades_beside_mark_prices_is_one_that_books_depend_on() -> None:
    (plan,) = plan_connections(Market.USDM, "wss://x", [instrument("BTCUSDT", Market.USDM)], ("markPrice", "aggTrade"))
    assert plan.carries_books


def test_perpetuals_are_followed_with_their_mark_prices_and_spot_has_none() -> None:
    assert [len(streams_of(market)) for market in (Market.SPOT, Market.USDM, Market.COINM)] == [2, 3, 3]
    (plan,) = plan_connections(Market.COINM, "wss://x", [instrument("BTCUSD_PERP", Market.COINM)], streams_of(Market.COINM))
    assert plan.carries_books


@given(st.sampled_from([Market.SPOT, Market.USDM]), st.integers(1, 1500))
def test_plan_covers_every_stream_once_within_the_venues_limits(market: Market, count: int) -> None:
    plans = plan_connections(market, "wss://x", [instrument(f"S{n}", market) for n in range(count)])
    streams = [stream for plan in plans for stream in plan.streams]
    assert len(streams) == len(set(streams)) == 2 * count
    assert sorted(index for plan in plans for index in plan.instruments) == list(range(count))
    for plan in plans:
        assert len(plan.streams) <= LIMITS[market].streams_per_connection
        asked = [stream for _, message in plan.subscriptions for stream in json.loads(message)["params"]]
        assert tuple(asked) == plan.streams
        identifiers = [identifier for identifier, _ in plan.subscriptions]
        assert [json.loads(message)["id"] for _, message in plan.subscriptions] == identifiers
        assert len(set(identifiers)) == len(identifiers)
        assert all(len(message) < 4096 for _, message in plan.subscriptions)


def test_instrument_of_another_market_is_refused() -> None:
    with pytest.raises(ProtocolError, match="is of market spot, not usdm"):
        plan_connections(Market.USDM, "wss://x", [instrument("BTCUSDT")])


def test_subscribe_and_unsubscribe_are_the_documented_messages() -> None:
    assert json.loads(subscribe(["a@trade"], 3)) == {"method": "SUBSCRIBE", "params": ["a@trade"], "id": 3}
    assert json.loads(unsubscribe(["a@trade"], 4)) == {"method": "UNSUBSCRIBE", "params": ["a@trade"], "id": 4}


# Control frames


@pytest.mark.parametrize(
    ("frame", "meaning"),
    [
        (b'{"result":null,"id":1}', Ack(1)),
        (b'{ "id" : "a1" , "result" : [] }', Ack("a1")),
        (b'{"code":2,"msg":"Invalid request"}', Fault(None, 2, "Invalid request")),
        (b'{"error":{"code":2,"msg":"Invalid request"},"id":7}', Fault(7, 2, "Invalid request")),
        (b'{"code":3,"msg":"Invalid JSON","id":9}', Fault(9, 3, "Invalid JSON")),
        (b'{"e":"serverShutdown","E":1770123456789}', ServerShutdown(1770123456789)),
        (b'{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":5}}', ServerShutdown(5)),
        (b'{"event":{"e":"serverShutdown","E":6}}', ServerShutdown(6)),
    ],
)
def test_control_frame_is_recognised(frame: bytes, meaning: object) -> None:
    assert recognise(frame) == meaning


@pytest.mark.parametrize(
    "frame",
    [
        b'{"e":"trade","E":1,"s":"BTCUSDT","t":1,"p":"1","q":"1","T":1,"m":true}',
        b'{"e":"trade","s":"serverShutdown"}',
        b'{"result":null}',
        b'{"result":',
        b'{"code":"x"}',
        b'"result" "code"',
        b'[{"result":null,"id":1}]',
        b'{"result":' + b"[" * 900,
        b'{"result":null,"id":1,"padding":"' + b"x" * 2000 + b'"}',
        b"",
        b"\xff\xfe",
    ],
)
def test_any_other_frame_is_left_to_the_decoder(frame: bytes) -> None:
    assert recognise(frame) is None


@given(st.binary(max_size=200))
def test_recognising_garbage_never_raises(frame: bytes) -> None:
    recognise(frame)
    recognise(b'{"result":' + frame)
    recognise(b'{"e":"serverShutdown","E":' + frame + b"}")


# Requests


@pytest.mark.parametrize(
    ("market", "limit", "weight"),
    [
        (Market.SPOT, 100, 5),
        (Market.SPOT, 101, 25),
        (Market.SPOT, 1000, 50),
        (Market.SPOT, 5000, 250),
        (Market.USDM, 50, 2),
        (Market.USDM, 1000, 20),
    ],
)
def test_depth_request_costs_what_the_venue_documents(market: Market, limit: int, weight: int) -> None:
    assert depth_request(market, "BTCUSDT", limit).weight == weight


@pytest.mark.parametrize(("market", "limit"), [(Market.SPOT, 5001), (Market.USDM, 1001), (Market.SPOT, 0), (Market.SPOT, -1)])
def test_depth_that_the_venue_does_not_give_is_refused(market: Market, limit: int) -> None:
    with pytest.raises(ProtocolError, match="no depth snapshot"):
        depth_request(market, "BTCUSDT", limit)


def test_requests_have_the_documented_targets() -> None:
    assert depth_request(Market.USDM, "BTCUSDT").target() == "/fapi/v1/depth?symbol=BTCUSDT&limit=1000"
    assert exchange_info_request(Market.SPOT, ["BTC/USDT"]).target() == "/api/v3/exchangeInfo?symbols=%5B%22BTCUSDT%22%5D"
    assert exchange_info_request(Market.USDM, ["BTC/USDT:USDT"]).target() == "/fapi/v1/exchangeInfo"
    assert time_request(Market.SPOT).target() == "/api/v3/time"


def test_server_time_is_read_and_anything_else_refused() -> None:
    assert parse_time(b'{"serverTime":1770000000000}') == 1770000000000
    with pytest.raises(ProtocolError):
        parse_time(b'{"serverTime":"soon"}')


@pytest.mark.parametrize(
    ("status", "header", "expected"),
    [
        (429, "17", Throttle(wait_s=17.0, banned=False)),
        (418, "600", Throttle(wait_s=600.0, banned=True)),
        (429, None, Throttle(wait_s=60.0, banned=False)),
        (418, "Wed, 21 Oct 2026 07:28:00 GMT", Throttle(wait_s=120.0, banned=True)),
        (429, "-5", Throttle(wait_s=60.0, banned=False)),
        (429, "9" * 400, Throttle(wait_s=60.0, banned=False)),
        (200, "17", None),
        (503, None, None),
    ],
)
def test_throttle_says_how_long_to_be_quiet(status: int, header: str | None, expected: Throttle | None) -> None:
    assert throttle(status, header) == expected


def test_used_weight_is_found_under_both_header_names() -> None:
    assert used_weight({"X-MBX-USED-WEIGHT-1M": "1200", "x-mbx-used-weight": "1100"}) == 1200
    assert used_weight({"x-mbx-used-weight": "7", "Content-Type": "x"}) == 7
    assert used_weight({"X-MBX-USED-WEIGHT-1M": "many"}) is None


def test_rejection_body_gives_code_and_text_or_nothing() -> None:
    assert parse_rejection(b'{"code":-1121,"msg":"Invalid symbol."}') == Fault(None, -1121, "Invalid symbol.")
    assert parse_rejection(b"<html>403 Forbidden</html>") is None


# Instruments


@pytest.mark.parametrize("name", ["BTC/USDT", "BTCUSDT", "btc/usdt", "BTC/USDT:USDT"])
def test_filters_become_an_exact_grid_whatever_way_the_name_is_written(name: str) -> None:
    (found,) = parse_exchange_info(exchange_info(symbol_entry()), [name])
    assert (found.symbol, found.name, found.base, found.quote) == ("BTCUSDT", "BTC/USDT", "BTC", "USDT")
    assert (found.tick_size, found.lot_size) == (Decimal("0.01"), Decimal("0.00001"))
    assert (found.min_lots, found.max_lots) == (1, 12_050_000)
    assert found.min_notional == 5
    assert not found.provisional
    assert str(found.tick_size) == "0.01"


def test_names_are_resolved_by_assets_not_by_gluing_letters() -> None:
    odd = symbol_entry(symbol="1000SATSUSDT_X", baseAsset="1000SATS")
    assert parse_exchange_info(exchange_info(symbol_entry(), odd), ["1000SATS/USDT", "BTC/USDT"])[0].symbol == "1000SATSUSDT_X"


def test_usdm_pair_means_the_perpetual_and_its_own_notional_filter() -> None:
    filters = [
        {"filterType": "PRICE_FILTER", "tickSize": "0.10"},
        {"filterType": "LOT_SIZE", "minQty": "0.001", "maxQty": "1000", "stepSize": "0.001"},
        {"filterType": "MIN_NOTIONAL", "notional": "100"},
    ]
    dated = symbol_entry(symbol="BTCUSDT_261225", contractType="CURRENT_QUARTER", filters=filters)
    perpetual = symbol_entry(contractType="PERPETUAL", filters=filters)
    (found,) = parse_exchange_info(exchange_info(dated, perpetual), ["BTC/USDT"], Market.USDM)
    assert found.symbol == "BTCUSDT"
    assert found.market is Market.USDM
    assert found.allows_short
    assert found.min_notional == 100
    (exact,) = parse_exchange_info(exchange_info(dated, perpetual), ["BTCUSDT_261225"], Market.USDM)
    assert exact.symbol == "BTCUSDT_261225"


def test_coin_margined_contract_status_counts_as_status() -> None:
    entry = symbol_entry(symbol="BTCUSD_PERP", quoteAsset="USD", contractStatus="TRADING", contractType="PERPETUAL")
    del entry["status"]
    assert parse_exchange_info(exchange_info(entry), ["BTC/USD"], Market.COINM)[0].symbol == "BTCUSD_PERP"


@pytest.mark.parametrize("status", ["BREAK", "HALT", "CANCEL_ONLY", "SETTLING", ""])
def test_symbol_that_does_not_trade_is_refused_with_its_status(status: str) -> None:
    with pytest.raises(SymbolUnavailableError, match=status or "unknown status"):
        parse_exchange_info(exchange_info(symbol_entry(status=status)), ["BTC/USDT"])


def test_unknown_symbol_is_refused_with_a_remedy() -> None:
    with pytest.raises(SymbolUnavailableError, match=r"BTC/USDX: binance spot has no such symbol; check spelling"):
        parse_exchange_info(exchange_info(symbol_entry()), ["BTC/USDX"])


@pytest.mark.parametrize("value", ["0.00000000", "-0.01", "NaN", "Infinity", "1e30", "", "abc", 0.01, None])
@pytest.mark.parametrize(("kind", "key"), [("PRICE_FILTER", "tickSize"), ("LOT_SIZE", "stepSize")])
def test_senseless_grid_is_refused(kind: str, key: str, value: object) -> None:
    entry = symbol_entry()
    for one in entry["filters"]:
        if one["filterType"] == kind:
            one[key] = value
    with pytest.raises(ExchangeInfoError, match=f"{kind}.{key}"):
        parse_exchange_info(exchange_info(entry), ["BTC/USDT"])


@pytest.mark.parametrize("missing", ["PRICE_FILTER", "LOT_SIZE"])
def test_missing_filter_is_refused(missing: str) -> None:
    entry = symbol_entry()
    entry["filters"] = [one for one in entry["filters"] if one["filterType"] != missing]
    with pytest.raises(ExchangeInfoError, match=missing):
        parse_exchange_info(exchange_info(entry), ["BTC/USDT"])


@pytest.mark.parametrize("body", [b"", b"[]", b'{"symbols":3}', b'{"symbols":[{}]}', b"\xff", b"[" * 100_000])
def test_body_that_is_no_exchange_info_is_refused(body: bytes) -> None:
    with pytest.raises(ExchangeInfoError):
        parse_exchange_info(body, ["BTC/USDT"])
