"""Say which faults an exchange can be asked for: where each takes hold, its parameters with their ranges, and what it does.

The table is the one source of it: the plan reads it for defaults, the settings for validation, the documentation for its text. Pure.
"""

from enum import Enum

import msgspec

Value = float | int | str | bool


class Point(Enum):
    """Name where in an exchange a fault takes hold."""

    FRAME = "frame"
    """A frame of a market stream, once for each connection that gets it."""
    CONNECTION = "connection"
    """A stream connection, once in its life."""
    REQUEST = "request"
    """A request: REST, the request API, or the handshake of a websocket (`WS stream`, `WS api`)."""
    CLOCK = "clock"
    """Every reading of the exchange's clock for something that it says."""
    BOOK = "book"
    """The matching of one symbol."""
    EVENT = "event"
    """An event of a private stream, once for each connection that gets it."""
    ACCOUNT = "account"
    """An account's orders and positions, looked at in every step of the market."""


class Parameter(msgspec.Struct, frozen=True, kw_only=True):
    """Describe one parameter: its default gives its type; bounds for numbers, choices for words."""

    default: Value
    meaning: str
    least: float | None = None
    most: float | None = None
    choices: tuple[str, ...] = ()


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """Describe one kind of fault.

    `stream`, `call` and `count` are what applies when the fault itself says nothing: patterns of names, and how often it acts at most
    (0 is without end).
    """

    points: tuple[Point, ...]
    meaning: str
    parameters: dict[str, Parameter] = {}
    stream: str = "*"
    call: str = "*"
    count: int = 0


def _seconds(default: float, meaning: str, *, least: float = 0.0, most: float = 604_800.0) -> Parameter:
    return Parameter(default=default, meaning=meaning, least=least, most=most)


def _number(default: int, meaning: str, *, least: float, most: float) -> Parameter:
    return Parameter(default=default, meaning=meaning, least=least, most=most)


_FRAME, _CONNECTION, _REQUEST, _EVENT = (Point.FRAME,), (Point.CONNECTION,), (Point.REQUEST,), (Point.EVENT,)
_DEPTH = "*@depth*"
_BOOKS = "*@depth*|*@bookTicker"
_PRINTS = "*@trade|*@aggTrade"
NEW_ORDERS = "POST order|POST algoOrder|POST batchOrders|POST orderList/*|POST order/oco|POST order/cancelReplace|POST sor/order"
"""Calls that can place an order."""
_QUERIES = "GET order|GET algoOrder|GET openOrder"

STREAM_KINDS = {
    "silence": Kind(points=_FRAME, meaning="No frames; pings and acknowledgements go on."),
    "gap": Kind(points=_FRAME, stream=_DEPTH, meaning="The frame is lost, so that the sequence of the next one does not join."),
    "duplicate": Kind(
        points=_FRAME,
        meaning="The frame is sent again, unchanged.",
        parameters={"times": _number(1, "How many copies follow the frame.", least=1, most=10_000)},
    ),
    "burst": Kind(
        points=_FRAME,
        meaning="The load of a burst: each frame is sent many times over.",
        parameters={"times": _number(100, "How often each frame is sent.", least=2, most=10_000)},
    ),
    "reorder": Kind(
        points=_FRAME,
        meaning="The frame comes after frames of its stream that followed it.",
        parameters={"by": _number(1, "How many later frames of the same stream overtake it.", least=1, most=1000)},
    ),
    "backlog": Kind(
        points=_FRAME,
        meaning="Frames are held back, then all sent at once, in order; again and again while the fault stands.",
        parameters={
            "hold_s": _seconds(
                60.0, "Seconds of holding, from the beginning of the fault; then all is sent and the next holding begins.", least=0.001
            )
        },
    ),
    "delay": Kind(
        points=_FRAME,
        meaning="Every frame is late by the same time.",
        parameters={"delay_s": _seconds(10.0, "Seconds of delay.", least=0.001)},
    ),
    "truncate": Kind(
        points=_FRAME,
        meaning="The text message ends early.",
        parameters={"keep": Parameter(default=0.5, meaning="Share of the characters that arrives.", least=0.0, most=0.999)},
    ),
    "garbage": Kind(
        points=_FRAME,
        meaning="The frame is replaced by, or holds, what no exchange should send.",
        parameters={
            "form": Parameter(
                default="not_json",
                meaning="What is sent.",
                choices=(
                    "not_json",
                    "binary",
                    "large",
                    "deep",
                    "empty",
                    "nan",
                    "bare_nan",
                    "infinity",
                    "bare_infinity",
                    "exponent",
                    "negative",
                    "zero",
                    "off_grid",
                ),
            ),
            "size": _number(10_000_000, "Bytes of `large` and `binary`, brackets of `deep`.", least=1, most=100_000_000),
            "instead": Parameter(default=True, meaning="In the frame's place; false: before it."),
        },
    ),
    "crossed_book": Kind(
        points=_FRAME,
        stream=_BOOKS,
        meaning="The best bid is above the best ask; put right in the first frame after the fault.",
        parameters={"ticks": _number(1, "Ticks by which it is crossed; 0 locks the book.", least=0, most=100_000)},
    ),
    "empty_book": Kind(
        points=_FRAME,
        stream=_DEPTH,
        meaning="Every level of a side is deleted; given back in the first frame after the fault.",
        parameters={"side": Parameter(default="both", meaning="Which side.", choices=("bids", "asks", "both"))},
    ),
    "price_spike": Kind(
        points=_FRAME,
        stream=_PRINTS,
        count=1,
        meaning="One trade prints far from the market.",
        parameters={"percent": Parameter(default=50.0, meaning="Distance of the print in percent.", least=-99.0, most=10_000.0)},
    ),
    "stale_timestamps": Kind(
        points=_FRAME,
        meaning="Event and transaction times lie in the past, while the frame itself comes in time.",
        parameters={"age_s": _seconds(60.0, "Seconds by which they lie back.", least=0.001)},
    ),
}

CONNECTION_KINDS = {
    "half_open": Kind(
        points=_CONNECTION,
        meaning="Nothing is read or written any more, no pings, no close, no FIN; cut once the fault ends.",
        parameters={"life_s": _seconds(0.0, "Seconds after the connection was opened.")},
    ),
    "disconnect": Kind(
        points=_CONNECTION,
        meaning="The connection is cut. With a `life_s` of 86400 it is the venue's daily disconnect, with a short one a storm of them.",
        parameters={
            "life_s": _seconds(0.0, "Seconds after the connection was opened."),
            "how": Parameter(default="reset", meaning="reset: no close frame; close: with one.", choices=("reset", "close")),
            "code": _number(1008, "Code of the close frame.", least=1000, most=4999),
            "reason": Parameter(default="disconnected", meaning="Text of the close frame."),
        },
    ),
    "server_shutdown": Kind(
        points=_CONNECTION,
        meaning="Spot announces the end of the connection (serverShutdown), then closes it; USD-M closes it without a word.",
        parameters={
            "life_s": _seconds(0.0, "Seconds after the connection was opened."),
            "lead_s": _seconds(10.0, "Seconds from the announcement to the end."),
        },
    ),
}

REQUEST_KINDS = {
    "rate_limit": Kind(
        points=_REQUEST,
        meaning="429 with Retry-After; going on asking meanwhile earns 418.",
        parameters={
            "banned": Parameter(default=False, meaning="418 from the first."),
            "retry_after_s": _number(30, "Seconds of the Retry-After header.", least=0, most=259_200),
            "patience": _number(
                0, "Requests within Retry-After that are still answered 429; the next is 418. 0: never.", least=0, most=10_000
            ),
            "ban_s": _number(120, "Retry-After of a 418.", least=1, most=259_200),
        },
    ),
    "server_error": Kind(
        points=_REQUEST,
        meaning="5xx; what was asked for may have been done all the same.",
        parameters={
            "status": _number(503, "HTTP status.", least=500, most=599),
            "code": _number(
                -1007, "Code of the body: -1000, -1001, -1006, -1007, -1008 or -1016; 0: a proxy's HTML page.", least=-9999, most=0
            ),
            "accepted": Parameter(default=False, meaning="Whether the request was carried out."),
        },
    ),
    "slow_answer": Kind(
        points=_REQUEST,
        meaning="Carried out at once (or not before the wait is over), answered late. With orders: fills come before the answer.",
        parameters={
            "delay_s": _seconds(2.0, "Seconds of delay.", least=0.001),
            "accepted": Parameter(default="before", meaning="Carried out before or after the wait.", choices=("before", "after")),
        },
    ),
    "lost_answer": Kind(
        points=_REQUEST,
        meaning="No answer at all.",
        parameters={
            "accepted": Parameter(default=True, meaning="Whether the request was carried out."),
            "how": Parameter(default="reset", meaning="reset: the connection is cut; hang: it stays silent.", choices=("reset", "hang")),
        },
    ),
    "reject": Kind(
        points=_REQUEST,
        call=NEW_ORDERS,
        meaning="The venue refuses with a code.",
        parameters={
            "code": _number(-2010, "Error code.", least=-9999, most=-1),
            "message": Parameter(default="Account has insufficient balance for requested action.", meaning="Error text."),
            "status": _number(400, "HTTP status.", least=400, most=499),
        },
    ),
    "reject_stop": Kind(
        points=_REQUEST, call=NEW_ORDERS, meaning="Orders with a trigger are refused: spot -2010, USD-M -2021, would trigger immediately."
    ),
    "not_found": Kind(
        points=_REQUEST,
        call=_QUERIES + "|DELETE order|DELETE algoOrder",
        meaning="Orders do not exist yet (-2013; -2011 for a cancel); after the fault they do.",
    ),
    "key_revoked": Kind(points=_REQUEST, meaning="Everything that carries a key is refused with 401 and -2015; public calls are answered."),
    "clock_skew": Kind(
        points=_REQUEST,
        meaning="Signed requests are refused with -1021, whatever their timestamp.",
        parameters={"ahead": Parameter(default=False, meaning="They are said to be ahead of the server, not outside of recvWindow.")},
    ),
    "filter_change": Kind(
        points=_REQUEST,
        call="GET exchangeInfo|" + NEW_ORDERS,
        meaning="The filters of exchangeInfo change, and orders that do not meet them are refused with -1013.",
        parameters={
            "tick_times": _number(10, "The tick is so many times what it was.", least=1, most=1_000_000),
            "lot_times": _number(1, "The lot is so many times what it was.", least=1, most=1_000_000),
            "notional_times": Parameter(default=1.0, meaning="The least notional is so many times what it was.", least=0.0, most=1e9),
        },
    ),
}

STATE_KINDS = {
    "clock_offset": Kind(
        points=(Point.CLOCK, Point.FRAME),
        meaning="The exchange's clock is wrong: server time, event times, and the judgement of timestamps.",
        parameters={"offset_s": Parameter(default=30.0, meaning="Seconds ahead; negative: behind.", least=-86_400.0, most=86_400.0)},
    ),
    "symbol_halt": Kind(
        points=(Point.BOOK, Point.REQUEST),
        call="GET exchangeInfo|" + NEW_ORDERS,
        meaning="A symbol stands still: no frames, orders refused, exchangeInfo says so. It opens where the others have got to.",
    ),
    "maintenance": Kind(
        points=(Point.CONNECTION, Point.REQUEST),
        meaning="Every request is answered 503 and -1016, streams are closed and refused; then all is as before.",
    ),
}

EVENT_KINDS = {
    "lost_fill": Kind(
        points=_EVENT,
        meaning="A fill is not told, while the stream stays healthy and REST knows it.",
        parameters={"account": Parameter(default=True, meaning="What the fill changed in balances or position is not told either.")},
    ),
    "duplicate_fill": Kind(
        points=_EVENT,
        meaning="A fill is told again, under the same trade id.",
        parameters={"times": _number(1, "How many copies follow.", least=1, most=1000)},
    ),
    "late_fill": Kind(
        points=_EVENT,
        meaning="A fill is told late.",
        parameters={"delay_s": _seconds(5.0, "Seconds of delay.", least=0.001)},
    ),
    "fill_before_ack": Kind(
        points=_EVENT,
        meaning="The acknowledgement (NEW) of an order comes after its next event, such as its fill.",
        parameters={"wait_s": _seconds(1.0, "Seconds after which it comes without one.")},
    ),
    "private_silence": Kind(points=_EVENT, meaning="Nothing is told, while pings are answered."),
}

ACCOUNT_KINDS = {
    "vanished_stop": Kind(
        points=(Point.ACCOUNT,),
        count=1,
        meaning="A conditional order is cancelled by somebody else.",
        parameters={"told": Parameter(default=False, meaning="Whether the private stream tells it.")},
    ),
    "liquidation": Kind(points=(Point.ACCOUNT,), count=1, meaning="The venue takes a USD-M position over (`autoclose-`)."),
    "funding": Kind(
        points=(Point.ACCOUNT,),
        count=1,
        meaning="Funding is charged on a USD-M position, out of turn.",
        parameters={"rate": Parameter(default=0.0075, meaning="Rate; positive: longs pay.", least=-0.1, most=0.1)},
    ),
}

KINDS: dict[str, Kind] = {**STREAM_KINDS, **CONNECTION_KINDS, **REQUEST_KINDS, **STATE_KINDS, **EVENT_KINDS, **ACCOUNT_KINDS}
"""Every kind by name."""
