"""Write what Binance writes when things go wrong, and frames as no exchange should write them.

Pure. Error texts: spot's errors.md and web-socket-api.md (2026-07), USD-M's error-code page and general information (2026).
"""

import re
from collections.abc import Callable
from typing import Any

import msgspec

from smartmoney.venues.binance.wire import error

_MS = 1_000_000
_TIMES = re.compile(r'"(E|T|O)":([0-9]{12,16})')
_FUNDING_EVENT = '"e":"markPriceUpdate"'

TEXTS = {
    -1000: "An unknown error occurred while processing the request.",
    -1001: "Internal error; unable to process your request. Please try again.",
    -1006: "An unexpected response was received from the message bus. Execution status unknown.",
    -1007: "Timeout waiting for response from backend server. Send status unknown; execution status unknown.",
    -1008: "Server is currently overloaded with other requests. Please try again in a few minutes.",
    -1016: "This service is no longer available.",
    -1021: "Timestamp for this request is outside of the recvWindow.",
    -2011: "Unknown order sent.",
    -2013: "Order does not exist.",
    -2015: "Invalid API-key, IP, or permissions for action.",
}
"""The venue's own words for a code; a code without words gets those of -1000."""
_USDM_TEXTS = {-2015: "Invalid API-key, IP, or permissions for action, request ip: 127.0.0.1"}
AHEAD = "Timestamp for this request was 1000ms ahead of the server's time."


def failure(code: int, *, is_spot: bool) -> dict[str, Any]:
    """Return the error body of a code."""
    text = TEXTS.get(code, TEXTS[-1000])
    return error(code, text if is_spot else _USDM_TEXTS.get(code, text))


def proxy_page(status: int, reason: str) -> str:
    """Return the HTML that a proxy before the venue answers when nothing behind it does."""
    title = f"{status} {reason}"
    return f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n</body>\r\n</html>"


def limited(limit: int) -> dict[str, Any]:
    """Return the body of a 429."""
    return error(
        -1003,
        f"Too much request weight used; current limit is {limit} request weight per 1 MINUTE. "
        "Please use WebSocket Streams for live updates to avoid polling the API.",
    )


def banned(until_ms: int) -> dict[str, Any]:
    """Return the body of a 418."""
    return error(
        -1003,
        f"Way too much request weight used; IP banned until {until_ms}. Please use WebSocket Streams for live updates to avoid bans.",
    )


def would_trigger(*, is_spot: bool) -> dict[str, Any]:
    """Return the refusal of a stop whose trigger is behind the market."""
    if is_spot:
        return error(-2010, "Order would trigger immediately.")
    return error(-2021, "Order would immediately trigger.")


def closed_market(*, is_spot: bool) -> dict[str, Any]:
    """Return the refusal of an order in a symbol that does not trade."""
    if is_spot:
        return error(-2010, "Market is closed.")
    return error(-4108, "Symbol is on delivering or delivered or settling or closed or pre-trading.")


def filter_failure(name: str, *, is_spot: bool) -> dict[str, Any]:
    """Return the refusal of an order that does not meet a filter."""
    usdm = {
        "PRICE_FILTER": error(-4014, "Price not increased by tick size."),
        "LOT_SIZE": error(-1111, "Precision is over the maximum defined for this asset."),
        "NOTIONAL": error(-4164, "Order's notional must be no smaller than the filter's notional (unless you choose reduce only)."),
    }
    return error(-1013, f"Filter failure: {name}") if is_spot else usdm[name]


HALTED = {True: "BREAK", False: "PENDING_TRADING"}
"""What exchangeInfo's `status` says of a symbol that stands still, on (spot, USD-M)."""


def server_shutdown(event_ns: int, *, is_combined: bool) -> str:
    """Return spot's announcement that a stream connection will be closed."""
    event = f'{{"e":"serverShutdown","E":{event_ns // _MS}}}'
    return f'{{"stream":"!serverShutdown","data":{event}}}' if is_combined else event


def shifted(frame: str, by_ns: int) -> str:
    """Return a frame whose event and transaction times lie `by_ns` later; a mark price's funding time stays."""
    names = "E" if _FUNDING_EVENT in frame else "ETO"
    return _TIMES.sub(lambda found: f'"{found[1]}":{int(found[2]) + by_ns // _MS}' if found[1] in names else found[0], frame)


def altered(frame: str, change: Callable[[dict[str, Any]], None]) -> str:
    """Return a frame after a change of its decoded object, in the venue's form (no spaces, the same order of keys)."""
    body = msgspec.json.decode(frame, type=dict[str, Any])
    change(body)
    return msgspec.json.encode(body).decode()


def with_level(frame: str, side: str, price: str, quantity: str) -> str:
    """Return a depth diff that also sets one level of `b` or `a`."""

    def change(body: dict[str, Any]) -> None:
        body[side] = [level for level in body[side] if level[0] != price] + [[price, quantity]]

    return altered(frame, change)


def with_levels(frame: str, bids: list[list[str]], asks: list[list[str]], none: str) -> str:
    """Return a depth diff after which a client has exactly these levels: what the diff names besides has quantity `none`."""

    def change(body: dict[str, Any]) -> None:
        for key, levels in (("b", bids), ("a", asks)):
            quantities = dict.fromkeys((price for price, _ in body[key]), none)
            quantities.update((price, quantity) for price, quantity in levels)
            body[key] = [[price, quantity] for price, quantity in quantities.items()]

    return altered(frame, change)


def with_best(frame: str, price: str, quantity: str) -> str:
    """Return a book ticker or partial book whose best bid is another."""

    def change(body: dict[str, Any]) -> None:
        if "B" in body:
            body["b"], body["B"] = price, quantity
        else:
            side = "bids" if "bids" in body else "b"
            body[side] = [[price, quantity], *body[side][1:]]

    return altered(frame, change)


def with_print(frame: str, price: str) -> str:
    """Return a trade that printed at another price."""
    return altered(frame, lambda body: body.update(p=price))


NUMBERS = {
    "nan": '"NaN"',
    "bare_nan": "NaN",
    "infinity": '"Infinity"',
    "bare_infinity": "Infinity",
    "exponent": '"1e30"',
    "negative": '"-1.00000000"',
    "zero": '"0.00000000"',
    "off_grid": '"1.2345678901234567"',
}
"""JSON texts that stand where a price should."""
_MARK = "\u0000price\u0000"


def with_number(frame: str, form: str) -> str:
    """Return a frame in which one price is not a price: the first level's, the trade's or the best bid's."""

    def change(body: dict[str, Any]) -> None:
        for side in ("b", "bids", "a", "asks"):
            if isinstance(body.get(side), list):
                body[side] = [[_MARK, body[side][0][1] if body[side] else "1.00000000"], *body[side][1:]]
                return
        body["p" if "p" in body else "b"] = _MARK

    return altered(frame, change).replace(msgspec.json.encode(_MARK).decode(), NUMBERS[form])


def coarser(body: dict[str, Any], symbol: str, times: dict[str, float]) -> dict[str, Any]:
    """Return an exchangeInfo body whose filters of a symbol (empty: of all) are multiplied.

    `times` has a factor for each of tickSize, stepSize, minNotional (spot) and notional (USD-M); least quantities and prices grow along.
    """
    for entry in body["symbols"]:
        if symbol in {"", entry["symbol"]}:
            for rule in entry["filters"]:
                for name in times.keys() & rule.keys():
                    if not float(rule[name]):
                        continue
                    rule[name] = _times(rule[name], times[name])
                    least = {"tickSize": "minPrice", "stepSize": "minQty"}.get(name)
                    if least is not None and float(rule[least]) < float(rule[name]):
                        rule[least] = rule[name]
    return body


def halted(body: dict[str, Any], symbol: str, *, is_spot: bool) -> dict[str, Any]:
    """Return an exchangeInfo body that says a symbol (empty: all) stands still."""
    for entry in body["symbols"]:
        if symbol in {"", entry["symbol"]}:
            entry["status"] = HALTED[is_spot]
    return body


def _times(text: str, factor: float) -> str:
    decimals = len(text.partition(".")[2])
    return f"{float(text) * factor:.{decimals}f}"


def with_retry(body: dict[str, Any], now_ns: int, retry_after_s: int) -> dict[str, Any]:
    """Return the body of a 429 or 418 as the request API words it: it has no headers, so its data say until when."""
    now_ms = now_ns // _MS
    return {**body, "data": {"serverTime": now_ms, "retryAfter": now_ms + retry_after_s * 1000}}
