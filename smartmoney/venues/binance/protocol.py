"""Binance's public protocol without any IO: where to connect, what to ask, what the control answers mean, which limits hold.

Spot and USD-M are complete; COIN-M has what reading its recordings needs. Nothing here opens a socket, reads a clock or logs: requests
and messages come out as values, answers go in as bytes. Sources: binance-spot-api-docs (web-socket-streams.md, rest-api.md, filters.md) and
developers.binance.com USD-M pages incl. "Important WebSocket Change Notice", both as of 2026-09.

Invariants: a stream is always planned on the route that carries it, because on another route it is silent, not an error; no plan exceeds
the venue's streams per connection; a frame that is not a control frame is never decoded here.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from urllib.parse import quote, urlencode

import msgspec

from smartmoney.core.domain.instruments import Instrument, Market

VENUE = "binance"


class ProtocolError(ValueError):
    """Say that the venue, or the caller, asks for something that this protocol has not.

    ProtocolError
    ├── SymbolUnavailableError  the symbol is unknown to the venue, or not trading (exchange_info.py)
    └── ExchangeInfoError       the body is not an exchangeInfo, or lacks a filter that trading needs (exchange_info.py)
    """

    exit_code = 78


# Where ----------------------------------------------------------------------------------------------------------------------------


class Environment(StrEnum):
    """Name which of the venue's worlds is meant."""

    LIVE = "live"
    TESTNET = "testnet"
    DEMO = "demo"


class Endpoints(msgspec.Struct, frozen=True, kw_only=True):
    """Hold base addresses without a trailing slash. `stream` is the part before `/ws`, `/stream` and the USD-M routes."""

    rest: str
    stream: str
    ws_api: str = ""


ENDPOINTS: Mapping[tuple[Market, Environment], Endpoints] = {
    (Market.SPOT, Environment.LIVE): Endpoints(
        rest="https://api.binance.com", stream="wss://stream.binance.com:9443", ws_api="wss://ws-api.binance.com:443/ws-api/v3"
    ),
    (Market.SPOT, Environment.TESTNET): Endpoints(
        rest="https://testnet.binance.vision",
        stream="wss://stream.testnet.binance.vision",
        ws_api="wss://ws-api.testnet.binance.vision/ws-api/v3",
    ),
    (Market.SPOT, Environment.DEMO): Endpoints(
        rest="https://demo-api.binance.com", stream="wss://demo-stream.binance.com", ws_api="wss://demo-ws-api.binance.com/ws-api/v3"
    ),
    (Market.USDM, Environment.LIVE): Endpoints(
        rest="https://fapi.binance.com", stream="wss://fstream.binance.com", ws_api="wss://ws-fapi.binance.com/ws-fapi/v1"
    ),
    (Market.USDM, Environment.TESTNET): Endpoints(
        rest="https://demo-fapi.binance.com",
        stream="wss://fstream.binancefuture.com",
        ws_api="wss://testnet.binancefuture.com/ws-fapi/v1",
    ),
    (Market.USDM, Environment.DEMO): Endpoints(rest="https://demo-fapi.binance.com", stream="wss://demo-fstream.binance.com"),
    (Market.COINM, Environment.LIVE): Endpoints(rest="https://dapi.binance.com", stream="wss://dstream.binance.com"),
}

_STREAM_TAILS = ("/stream", "/ws", "/public", "/market", "/private")


def endpoints(
    market: Market, environment: Environment = Environment.LIVE, *, rest: str = "", stream: str = "", ws_api: str = ""
) -> Endpoints:
    """Return the addresses of a market, each replaced by its override where one is given.

    A `stream` override may end in `/ws`, `/stream` or a USD-M route, as venues and simulators print it: those tails are dropped.

    Raises:
        ProtocolError: the market has no such environment and the override is incomplete.
    """
    known = ENDPOINTS.get((market, environment))
    if known is None and not (rest and stream):
        raise ProtocolError(f"{VENUE} {market} has no {environment} environment: give both a rest and a stream address")
    base = known or Endpoints(rest=rest, stream=stream)
    return Endpoints(
        rest=(rest or base.rest).rstrip("/"), stream=_stream_base(stream or base.stream), ws_api=(ws_api or base.ws_api).rstrip("/")
    )


def _stream_base(address: str) -> str:
    address = address.rstrip("/")
    shorter = True
    while shorter:
        shorter = False
        for tail in _STREAM_TAILS:
            if address.endswith(tail):
                address, shorter = address[: -len(tail)].rstrip("/"), True
    return address


# Limits ---------------------------------------------------------------------------------------------------------------------------


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Hold what a market allows one IP address. Pings, pongs and JSON messages all count as incoming messages."""

    messages_per_s: int
    streams_per_connection: int
    attempts: int
    attempts_window_s: float
    life_s: float
    ping_interval_s: float
    pong_timeout_s: float
    weight_per_minute: int


LIMITS: Mapping[Market, Limits] = {
    Market.SPOT: Limits(
        messages_per_s=5,
        streams_per_connection=1024,
        attempts=300,
        attempts_window_s=300.0,
        life_s=86_400.0,
        ping_interval_s=20.0,
        pong_timeout_s=60.0,
        weight_per_minute=6000,
    ),
    # The venue's own pages disagree about streams per connection (1024 or 200): the smaller holds in both. It states no attempts limit
    # for futures; spot's is kept, because both are counted on one address.
    Market.USDM: Limits(
        messages_per_s=10,
        streams_per_connection=200,
        attempts=300,
        attempts_window_s=300.0,
        life_s=86_400.0,
        ping_interval_s=180.0,
        pong_timeout_s=600.0,
        weight_per_minute=2400,
    ),
    Market.COINM: Limits(
        messages_per_s=10,
        streams_per_connection=200,
        attempts=300,
        attempts_window_s=300.0,
        life_s=86_400.0,
        ping_interval_s=180.0,
        pong_timeout_s=600.0,
        weight_per_minute=2400,
    ),
}


# Streams --------------------------------------------------------------------------------------------------------------------------

_ROUTES: Mapping[str, str] = {
    "depth": "public",
    "trade": "public",
    "bookTicker": "public",
    "rpiDepth": "public",
    "aggTrade": "market",
    "markPrice": "market",
    "kline": "market",
    "forceOrder": "market",
    "ticker": "market",
    "miniTicker": "market",
    "contractInfo": "market",
}
"""USD-M only, since 2026-04-23. The kind of a stream is what follows its first `@`, without speed, levels or interval."""

DEFAULT_STREAMS = ("depth@100ms", "trade")
"""What book and trades need: the fastest diff stream, and single trades with their aggressor."""

FUNDING_STREAMS = ("markPrice",)
"""What funding needs of a perpetual: its mark price, rate and next time of payment, every three seconds, and at the time itself."""

_BOOK_KINDS = frozenset({"depth", "trade", "aggTrade"})


def streams_of(market: Market) -> tuple[str, ...]:
    """Return what is followed of each instrument of a market."""
    return DEFAULT_STREAMS if market is Market.SPOT else (*DEFAULT_STREAMS, *FUNDING_STREAMS)


class ConnectionPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Say what one connection carries: its address, its streams, whose they are (engine indices), and the messages that ask for them.

    `subscriptions` holds (id, message) pairs; the venue answers each with its id. Without `carries_books` its loss leaves no hole in
    anybody's book or trades.
    """

    url: str
    streams: tuple[str, ...]
    instruments: tuple[int, ...]
    subscriptions: tuple[tuple[int, bytes], ...]
    carries_books: bool = True


def is_mark_price(frame: bytes) -> bool:
    """Tell whether a frame is a whole mark price and nothing else: what comes beside the books' connections costs no book its trust."""
    try:
        body = msgspec.json.decode(frame)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return (
        isinstance(body, dict) and body.get("e") == "markPriceUpdate" and not any(isinstance(value, list | dict) for value in body.values())
    )


def stream_name(symbol: str, stream: str) -> str:
    """Return the venue's name of an instrument's stream: `BTCUSDT`, `depth@100ms` -> `btcusdt@depth@100ms`."""
    return f"{symbol.lower()}@{stream}"


def route_of(market: Market, stream: str) -> str:
    """Return the route that carries a stream: empty on spot and COIN-M, `public` or `market` on USD-M.

    Raises:
        ProtocolError: USD-M knows no route for it; subscribing anyway would be silent for ever.
    """
    if market is not Market.USDM:
        return ""
    kind = stream.split("@")[1] if "@" in stream else stream
    kind = kind.split("_")[0].rstrip("0123456789")
    try:
        return _ROUTES[kind]
    except KeyError:
        raise ProtocolError(f"{VENUE} {market}: no route is known for the stream {stream!r}") from None


def stream_url(market: Market, base: str, route: str = "", *, combined: bool = False) -> str:
    """Return the address to connect to before subscribing. Bare frames (`/ws`) are shorter than `combined` ones (`/stream`)."""
    tail = "stream" if combined else "ws"
    return f"{base}/{route}/{tail}" if market is Market.USDM else f"{base}/{tail}"


def subscribe(streams: Sequence[str], identifier: int) -> bytes:
    """Return the message that asks for streams."""
    return _request("SUBSCRIBE", streams, identifier)


def unsubscribe(streams: Sequence[str], identifier: int) -> bytes:
    """Return the message that gives streams up."""
    return _request("UNSUBSCRIBE", streams, identifier)


def _request(method: str, streams: Sequence[str], identifier: int) -> bytes:
    return msgspec.json.encode({"method": method, "params": list(streams), "id": identifier})


_STREAMS_PER_MESSAGE = 100
"""Bounds one SUBSCRIBE to about 2.5 kB; the venue documents no limit, but closes connections that send very long messages."""


def plan_connections(
    market: Market, base: str, instruments: Sequence[Instrument], streams: Sequence[str] = DEFAULT_STREAMS
) -> tuple[ConnectionPlan, ...]:
    """Return the connections that carry `streams` of every instrument, one per route and per full connection.

    An instrument's index is its place in `instruments`. All streams of one route of an instrument share a connection.

    Raises:
        ProtocolError: no instruments, a stream without a route, or an instrument of another market.
    """
    if not instruments:
        raise ProtocolError(f"{VENUE} {market}: no instruments to subscribe to")
    for instrument in instruments:
        if instrument.market is not market:
            raise ProtocolError(f"{instrument.symbol} is of market {instrument.market}, not {market}")
    by_route: dict[str, list[str]] = {}
    for stream in streams:
        by_route.setdefault(route_of(market, f"@{stream}"), []).append(stream)
    plans: list[ConnectionPlan] = []
    for route, kinds in by_route.items():
        carries_books = any(kind.partition("@")[0] in _BOOK_KINDS for kind in kinds)
        per_connection = max(1, LIMITS[market].streams_per_connection // len(kinds))
        for start in range(0, len(instruments), per_connection):
            indices = tuple(range(start, min(start + per_connection, len(instruments))))
            names = tuple(stream_name(instruments[i].symbol, kind) for i in indices for kind in kinds)
            plans.append(
                ConnectionPlan(
                    url=stream_url(market, base, route),
                    streams=names,
                    instruments=indices,
                    subscriptions=_subscriptions(names),
                    carries_books=carries_books,
                )
            )
    return tuple(plans)


def _subscriptions(names: tuple[str, ...]) -> tuple[tuple[int, bytes], ...]:
    starts = range(0, len(names), _STREAMS_PER_MESSAGE)
    return tuple((n, subscribe(names[start : start + _STREAMS_PER_MESSAGE], n)) for n, start in enumerate(starts, 1))


# Control frames -------------------------------------------------------------------------------------------------------------------


class Ack(msgspec.Struct, frozen=True):
    """Confirm the request with this id."""

    identifier: int | str | None


class Fault(msgspec.Struct, frozen=True):
    """Refuse a request; without an id the venue does not say which."""

    identifier: int | str | None
    code: int
    message: str


class ServerShutdown(msgspec.Struct, frozen=True):
    """Announce a forced disconnect, with no promised lead time: connect elsewhere now. `ts_event_ms` is the venue's clock."""

    ts_event_ms: int


Control = Ack | Fault | ServerShutdown

_CONTROL_SIZE_MAX = 1024


class _Inner(msgspec.Struct):
    e: str = ""
    E: int = 0


class _ErrorBody(msgspec.Struct):
    code: int = 0
    msg: str = ""


class _ControlBody(msgspec.Struct):
    id: int | str | None = None
    result: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: _ErrorBody | None = None
    code: int | None = None
    msg: str = ""
    e: str = ""
    E: int = 0
    data: _Inner | None = None
    event: _Inner | None = None


_control_decoder = msgspec.json.Decoder(_ControlBody)


def recognise(frame: bytes) -> Control | None:
    """Return what a control frame says, or None for every other frame, market data and garbage alike.

    Cost: a market-data frame costs a length test, short ones four byte searches (about 0.2 µs); only candidates are decoded.
    """
    if len(frame) > _CONTROL_SIZE_MAX:
        return None
    if b'"result"' not in frame and b'"code"' not in frame and b"serverShutdown" not in frame:
        return None
    try:
        body = _control_decoder.decode(frame)
    except (msgspec.DecodeError, RecursionError):
        return None
    for inner in (body, body.data, body.event):
        if inner is not None and inner.e == "serverShutdown":
            return ServerShutdown(inner.E)
    if body.error is not None:
        return Fault(body.id, body.error.code, body.error.msg)
    if body.code is not None:
        return Fault(body.id, body.code, body.msg)
    return Ack(body.id) if body.result is not msgspec.UNSET and body.id is not None else None


# Requests -------------------------------------------------------------------------------------------------------------------------


class RestRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Describe one public read: path, query in sending order, and what it costs of the address's weight per minute."""

    path: str
    query: tuple[tuple[str, str], ...] = ()
    weight: int = 1

    def target(self) -> str:
        """Return path and encoded query, to be appended to the base address."""
        return f"{self.path}?{urlencode(self.query, quote_via=quote)}" if self.query else self.path


_ROOTS: Mapping[Market, str] = {Market.SPOT: "/api/v3", Market.USDM: "/fapi/v1", Market.COINM: "/dapi/v1"}
_DEPTH_WEIGHTS: Mapping[Market, tuple[tuple[int, int], ...]] = {
    Market.SPOT: ((100, 5), (500, 25), (1000, 50), (5000, 250)),
    Market.USDM: ((50, 2), (100, 5), (500, 10), (1000, 20)),
    Market.COINM: ((50, 2), (100, 5), (500, 10), (1000, 20)),
}
_EXCHANGE_INFO_WEIGHTS: Mapping[Market, int] = {Market.SPOT: 20, Market.USDM: 1, Market.COINM: 1}


def depth_request(market: Market, symbol: str, limit: int = 1000) -> RestRequest:
    """Return the request for a depth snapshot of `limit` levels a side.

    Raises:
        ProtocolError: the market gives no snapshot so deep (spot 5000, futures 1000).
    """
    for deepest, weight in _DEPTH_WEIGHTS[market]:
        if 0 < limit <= deepest:
            return RestRequest(path=f"{_ROOTS[market]}/depth", query=(("symbol", symbol), ("limit", str(limit))), weight=weight)
    raise ProtocolError(f"{VENUE} {market}: no depth snapshot of {limit} levels; the deepest has {_DEPTH_WEIGHTS[market][-1][0]}")


def exchange_info_request(market: Market, names: Iterable[str] = ()) -> RestRequest:
    """Return the request for symbols and filters. Only spot can narrow it; an unknown name is then refused with -1121.

    A name's symbol is guessed for the narrowing only; `parse_exchange_info` resolves it by base and quote asset.
    """
    query: tuple[tuple[str, str], ...] = ()
    symbols = [guess_symbol(name) for name in names]
    if symbols and market is Market.SPOT:
        query = (("symbols", msgspec.json.encode(symbols).decode()),)
    return RestRequest(path=f"{_ROOTS[market]}/exchangeInfo", query=query, weight=_EXCHANGE_INFO_WEIGHTS[market])


def guess_symbol(name: str) -> str:
    """Return the likely venue symbol of a name: `BTC/USDT` -> `BTCUSDT`. Fit to narrow a query, not to identify an instrument."""
    return name.split(":", maxsplit=1)[0].replace("/", "").upper()


def time_request(market: Market) -> RestRequest:
    """Return the request for the venue's clock."""
    return RestRequest(path=f"{_ROOTS[market]}/time", weight=1)


def parse_time(body: bytes) -> int:
    """Return the venue's clock in milliseconds.

    Raises:
        ProtocolError: the body has none.
    """
    try:
        return msgspec.json.decode(body, type=_ServerTime).serverTime
    except (msgspec.DecodeError, RecursionError) as failure:
        raise ProtocolError(f"{VENUE}: not a server time: {failure}") from None


class _ServerTime(msgspec.Struct):
    serverTime: int  # noqa: N815 (the venue's spelling)


class Throttle(msgspec.Struct, frozen=True, kw_only=True):
    """Tell for how long the address must be quiet. `banned` (418) means that an earlier 429 was not honoured."""

    wait_s: float
    banned: bool


_DEFAULT_WAIT_S = {429: 60.0, 418: 120.0}
"""Where Retry-After is missing: weights are counted per minute, and the shortest ban is two minutes."""


def throttle(status: int, retry_after: str | None) -> Throttle | None:
    """Return what a response demands of the next requests, or None when it demands nothing.

    `retry_after` is the header in seconds (the venue's form); an unreadable one counts as missing.
    """
    if status not in _DEFAULT_WAIT_S:
        return None
    wait_s = _DEFAULT_WAIT_S[status]
    if retry_after is not None and retry_after.strip().isdecimal() and len(retry_after) < 10:
        wait_s = float(retry_after)
    return Throttle(wait_s=wait_s, banned=status == 418)


def used_weight(headers: Mapping[str, str]) -> int | None:
    """Return the weight that the venue says this address has used in the minute, or None. Header names in any case."""
    found = None
    for name, value in headers.items():
        if name.lower() in {"x-mbx-used-weight-1m", "x-mbx-used-weight"} and value.strip().isdecimal():
            found = max(found or 0, int(value[:12]))
    return found


class _RejectionBody(msgspec.Struct):
    code: int
    msg: str = ""


def parse_rejection(body: bytes) -> Fault | None:
    """Return the venue's error code and text from the body of a refused request, or None when it holds none."""
    try:
        parsed = msgspec.json.decode(body, type=_RejectionBody)
    except (msgspec.DecodeError, RecursionError):
        return None
    return Fault(None, parsed.code, parsed.msg)
