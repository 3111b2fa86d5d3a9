"""However a client composes its URLs, the exchange must understand them."""

import pytest

from smartmoney.adapters.exchange_paths import channel_of, rest_path, stream_path


@pytest.mark.parametrize(
    ("path", "family", "call"),
    [
        ("/api/v3/depth", "api", "depth"),
        ("/api/v3/api/v3/depth", "api", "depth"),
        ("/fapi/v1/ticker/24hr", "fapi", "ticker/24hr"),
        ("/fapi/v1/fapi/v1/exchangeInfo", "fapi", "exchangeInfo"),
        ("/depth", "", "depth"),
        ("//api//v3//time", "api", "time"),
        ("/dapi/v1/exchangeInfo", "dapi", "exchangeInfo"),
        ("/", "", ""),
    ],
)
def test_a_rest_path_is_read_from_its_last_version_on(path, family, call):
    found = rest_path(path)
    assert (found.family, found.call) == (family, call)
    assert not found.version or f"/{found.version}/" in path


@pytest.mark.parametrize(
    ("path", "query", "combined", "channel", "streams"),
    [
        ("/ws/btcusdt@depth@100ms", "", False, "", ("btcusdt@depth@100ms",)),
        ("/ws/ws/btcusdt@depth/btcusdt@trade", "", False, "", ("btcusdt@depth", "btcusdt@trade")),
        ("/stream", "a@trade/b@trade", True, "", ("a@trade", "b@trade")),
        ("/stream/stream", "a@trade", True, "", ("a@trade",)),
        ("/0", "", False, "", ()),
        ("/stream/0", "", True, "", ()),
        ("/stream/ws/0", "", False, "", ()),
        ("/public/ws/0", "", False, "public", ()),
        ("/market/stream", "a@aggTrade", True, "market", ("a@aggTrade",)),
        ("/ws/a@trade/a@trade", "", False, "", ("a@trade",)),
        ("/", "a@trade", True, "", ("a@trade",)),
    ],
)
def test_a_stream_path_is_read_by_its_last_marker(path, query, combined, channel, streams):
    found = stream_path(path, query)
    assert (found.is_combined, found.channel, found.streams, found.is_api) == (combined, channel, streams, False)


def test_the_request_api_is_told_apart():
    assert stream_path("/ws-api/v3").is_api
    assert stream_path("/ws-fapi/v1").is_api


@pytest.mark.parametrize(
    ("stream", "channel"),
    [
        ("a@depth@100ms", "public"),
        ("a@bookTicker", "public"),
        ("a@trade", "public"),
        ("a@aggTrade", "market"),
        ("a@markPrice@1s", "market"),
    ],
)
def test_a_futures_stream_has_one_route(stream, channel):
    assert channel_of(stream) == channel
