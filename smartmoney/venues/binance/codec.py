"""Binance frames, the Python side: making states, the checked slow path, and what a snapshot fetch needs to know.

The slow path decodes with `msgspec`, judges every field by itself, fills the same scratch as the fast scanner, and lets the same compiled
kernel apply it: the two can differ in reading only, and a test compares them on every captured frame.
"""

import contextlib
import re
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from smartmoney.core.book.codes import APPLIED, CODE_MASK, IGNORED, INDEX_SHIFT, MALFORMED, NO_INSTRUMENT, TRADE, UNKNOWN
from smartmoney.core.book.grid import step_of
from smartmoney.core.book.state import COINM, INSTRUMENTS_MAX, ROUTES, SCAN_LEVELS, SPOT, USDM
from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.core.features.parameters import FeatureParameters
from smartmoney.core.features.state import STATE, configure
from smartmoney.venues.binance import stretch
from smartmoney.venues.binance.event_types import KNOWN_EVENTS, fnv
from smartmoney.venues.binance.kernel import FRAME_BYTES_MAX, apply_scanned, fold, fold_many
from smartmoney.venues.binance.packed import is_packed, unpack_one
from smartmoney.venues.binance.routing import scanned_event_ns
from smartmoney.venues.binance.scan import (
    SEEN_AGGREGATE_ID,
    SEEN_ASKS,
    SEEN_BIDS,
    SEEN_ENVELOPE,
    SEEN_EVENT,
    SEEN_EVENT_TIME,
    SEEN_FINAL_ID,
    SEEN_FIRST_ID,
    SEEN_MAKER,
    SEEN_PARTIAL,
    SEEN_PREVIOUS_ID,
    SEEN_PRICE,
    SEEN_QUANTITY,
    SEEN_RATE,
    SEEN_REPLY,
    SEEN_SNAPSHOT_ID,
    SEEN_SYMBOL,
    SEEN_TICKER_ASK,
    SEEN_TICKER_BID,
    SEEN_TRADE_ID,
    SEEN_TRANSACTION_TIME,
)
from smartmoney.venues.binance.scan_text import DIGITS_MAX
from smartmoney.venues.recorded_lines import BEGINS, ENDS, WALLS

States = np.ndarray[Any, np.dtype[np.void]]
"""A record array of `STATE`, one record per instrument."""

MARKET_CODES = {Market.SPOT: SPOT, Market.USDM: USDM, Market.COINM: COINM}
_LEVEL_BYTES_MAX = 96
_MARK = "markPriceUpdate"
_NONE_FIELDS = (
    "best_bid_tick",
    "best_ask_tick",
    "last_update_id",
    "buffered_first_id",
    "buffered_previous_id",
    "last_trade_id",
    "last_trade_tick",
    "trade_low",
    "trade_high",
    "judged_low",
    "judged_high",
    "touch_bids",
    "touch_asks",
)
"""Fields whose "none" is -1."""
_NO_ONE = NO_INSTRUMENT << INDEX_SHIFT
_EVERYDAY = frozenset({APPLIED, TRADE, IGNORED})
_ABSENT = msgspec.Raw()
_DECIMAL = re.compile(r"([0-9]{1,18})(?:\.([0-9]+))?", re.ASCII)
_INTEGER = re.compile(rb"0|[1-9][0-9]{0,17}")
_PARTIAL = re.compile(r"[^@]*@depth[0-9]")
_ARRAY_EVENT = re.compile(rb'\s*\[\s*\{\s*"e"\s*:\s*"(\w+)"')
_FIRST_ID = re.compile(rb'"U"\s*:\s*([0-9]{1,18})\b')


class _Frame(
    msgspec.Struct,
    rename={
        "event": "e",
        "event_time": "E",
        "transaction_time": "T",
        "symbol": "s",
        "first_id": "U",
        "final_id": "u",
        "previous_id": "pu",
        "trade_id": "t",
        "price": "p",
        "quantity": "q",
        "maker": "m",
        "rate": "r",
        "snapshot_id": "lastUpdateId",
    },
):
    stream: msgspec.Raw = _ABSENT
    data: msgspec.Raw = _ABSENT
    event: msgspec.Raw = _ABSENT
    event_time: msgspec.Raw = _ABSENT
    transaction_time: msgspec.Raw = _ABSENT
    symbol: msgspec.Raw = _ABSENT
    first_id: msgspec.Raw = _ABSENT
    final_id: msgspec.Raw = _ABSENT
    previous_id: msgspec.Raw = _ABSENT
    trade_id: msgspec.Raw = _ABSENT
    price: msgspec.Raw = _ABSENT
    quantity: msgspec.Raw = _ABSENT
    maker: msgspec.Raw = _ABSENT
    rate: msgspec.Raw = _ABSENT
    a: msgspec.Raw = _ABSENT
    b: msgspec.Raw = _ABSENT
    snapshot_id: msgspec.Raw = _ABSENT
    bids: msgspec.Raw = _ABSENT
    asks: msgspec.Raw = _ABSENT
    result: msgspec.Raw = _ABSENT
    error: msgspec.Raw = _ABSENT
    code: msgspec.Raw = _ABSENT
    id: msgspec.Raw = _ABSENT


class MalformedFrameError(Exception):
    """Say that a frame is not one; `fold_slow` turns it into a code."""


_frames = msgspec.json.Decoder(_Frame)
_texts = msgspec.json.Decoder(str)
_anything = msgspec.json.Decoder()
_skipped = msgspec.json.Decoder(msgspec.Raw)
_INTEGER_FIELDS = (
    ("event_time", "scan_event_time", SEEN_EVENT_TIME),
    ("transaction_time", "scan_transaction_time", SEEN_TRANSACTION_TIME),
    ("first_id", "scan_first_id", SEEN_FIRST_ID),
    ("final_id", "scan_final_id", SEEN_FINAL_ID),
    ("previous_id", "scan_previous_id", SEEN_PREVIOUS_ID),
    ("trade_id", "scan_trade_id", SEEN_TRADE_ID),
    ("a", "scan_aggregate_id", SEEN_AGGREGATE_ID),
    ("snapshot_id", "scan_snapshot_id", SEEN_SNAPSHOT_ID),
)


def new_states(instruments: Sequence[Instrument], parameters: FeatureParameters) -> States:
    """Return fresh states, one record per instrument in order, every book empty. About 2.2 MiB each, touched only where used.

    One array is for one market: frames are routed by symbol, so a symbol may stand in it once.

    Raises:
        ValueError: no instrument, too many, a symbol twice, or a grid that does not fit.
    """
    if not 0 < len(instruments) <= INSTRUMENTS_MAX:
        raise ValueError(f"between 1 and {INSTRUMENTS_MAX} instruments can be followed, not {len(instruments)}")
    states = np.zeros(len(instruments), STATE)
    states["route_index"] = -1
    for index, instrument in enumerate(instruments):
        symbol = instrument.symbol.upper()
        if any(symbol == other.symbol.upper() for other in instruments[:index]):
            raise ValueError(f"{symbol}: a symbol can be followed once per feed")
        state = states[index]
        state["symbol_hash"] = fnv(symbol)
        state["tick_size"] = float(instrument.tick_size)
        state["lot_size"] = float(instrument.lot_size)
        state["price_decimals"], state["price_step"] = step_of(instrument.tick_size)
        state["lot_decimals"], state["lot_step"] = step_of(instrument.lot_size)
        state["market"] = MARKET_CODES[instrument.market]
        for field in _NONE_FIELDS:
            state[field] = -1
        _add_route(states[0], fnv(symbol), index)
        configure(state, instrument, parameters)
    return states


def _add_route(first: Any, symbol_hash: int, index: int) -> None:
    slot = symbol_hash & (ROUTES - 1)
    while first["route_index"][slot] >= 0:
        slot = (slot + 1) & (ROUTES - 1)
    first["route_hash"][slot] = symbol_hash
    first["route_index"][slot] = index


def fold_frame(frame: bytes, states: States, instrument_hint: int, ts_wall_ns: int) -> int:
    """Fold one frame: the fast path, and the slow path where that does not recognise it. Returns as `fold` does; never raises."""
    folded: int = fold(frame, states, instrument_hint, ts_wall_ns)
    if folded & CODE_MASK != UNKNOWN:
        return folded
    return fold_slow(frame, states, instrument_hint, ts_wall_ns)


def fold_recorded(frame: bytes, states: States, instrument_hint: int, ts_wall_ns: int) -> int:
    """Do `fold_frame` with a frame of a recording, which may be packed."""
    if is_packed(frame) and unpack_one(frame, states) == APPLIED:
        return int(apply_scanned(states, instrument_hint, ts_wall_ns))
    return fold_frame(frame, states, instrument_hint, ts_wall_ns)


def fold_slow(frame: bytes, states: States, instrument_hint: int, ts_wall_ns: int) -> int:
    """Fold one frame through a full JSON decoder: whitespace, escapes, unknown nested values. UNKNOWN: valid, of no known form.

    Never raises; memory is bounded by a small multiple of the frame, which is refused above 8 MiB. Some 100 µs.
    """
    first = states[0]
    if len(frame) > FRAME_BYTES_MAX:
        return _count(first, MALFORMED)
    try:
        recognised = fill_scratch(frame, first)
    except (MalformedFrameError, msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return _count(first, MALFORMED)
    if not recognised:
        return _count(first, UNKNOWN)
    folded = int(apply_scanned(states, instrument_hint, ts_wall_ns))
    return _count(first, UNKNOWN) if folded & CODE_MASK == UNKNOWN else folded


def fold_batch(
    buffer: bytes, rows: Any, hints: Any, states: States, start: int, until_wall_ns: int, until_event_ns: int
) -> tuple[int, int]:
    """Do `fold_many`, with the slow path where a frame needs it. UNKNOWN comes back only for what is of no known form; never raises."""
    at = start
    while True:
        at, folded = fold_many(buffer, rows, hints, states, at, until_wall_ns, until_event_ns)
        if folded & CODE_MASK != UNKNOWN:
            return at, folded
        frame = buffer[int(rows[BEGINS, at - 1]) : int(rows[ENDS, at - 1])]
        hint = int(hints[at - 1])
        if until_event_ns > 0 and _slow_event_ns(frame, states, hint) > until_event_ns:
            states[0]["slow"] -= 1  # it is scanned, and counted, again when its time has come
            return at - 1, IGNORED | _NO_ONE
        folded = fold_slow(frame, states, hint, int(rows[WALLS, at - 1]))
        if folded & CODE_MASK not in _EVERYDAY:
            return at, folded


def fold_stretch(buffer: bytes, rows: Any, control: Any, feeds: Any, watches: Any, states: States, desk: Any, model: Any) -> None:
    """Do `stretch.fold_stretch`; a frame that needs the slow path is the last one, and `control.folded` is what that path returned."""
    stretch.fold_stretch(buffer, rows, control, feeds, watches, states, desk, model)
    if control["folded"][0] & CODE_MASK == UNKNOWN and control["folded"][0] >= 0:
        at = int(control["at"][0]) - 1
        control["folded"] = fold_slow(buffer[int(rows[0, at]) : int(rows[1, at])], states, -1, int(rows[2, at]))


def _slow_event_ns(frame: bytes, states: States, hint: int) -> int:
    """Return what `scanned_event_ns` says of a frame that the fast scanner does not read, 0 for what is none."""
    try:
        recognised = len(frame) <= FRAME_BYTES_MAX and fill_scratch(frame, states[0])
    except (MalformedFrameError, msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return 0
    return int(scanned_event_ns(states, hint)) if recognised else 0


def first_update_id(frame: bytes) -> int | None:
    """Return `U` of a depth frame, None for any other frame: a snapshot must not end before the first one that was buffered."""
    if b"depthUpdate" not in frame:
        return None
    found = _FIRST_ID.search(frame)
    return int(found.group(1)) if found else None


def _count(first: Any, code: int) -> int:
    first["frames"] += 1
    first["malformed" if code == MALFORMED else "unknown"] += 1
    return code | _NO_ONE


def fill_scratch(frame: bytes, first: Any) -> bool:
    """Decode a frame into the scratch of record 0 as the fast scanner would; False if it is JSON of no form that has a scratch.

    Raises:
        MalformedFrameError, msgspec.DecodeError, RecursionError, UnicodeDecodeError: it is not a frame.
    """
    seen = 0
    first["scan_seen"] = 0
    first["scan_event"] = 0
    first["scan_symbol"] = 0
    first["scan_count"][:] = 0
    first["scan_trade_price"] = 0
    first["scan_trade_quantity"] = 0
    raw: bytes | msgspec.Raw = frame
    if frame.lstrip()[:1] != b"{":
        _skipped.decode(frame)
        return _known_array(frame, first)
    parsed = _frames.decode(raw)
    data = bytes(parsed.data)
    if data[:1] == b"[":
        return _known_array(data, first)
    if data[:1] == b"{":
        seen |= SEEN_ENVELOPE
        stream = _text(parsed.stream)
        if stream is not None and _PARTIAL.match(stream):
            seen |= SEEN_PARTIAL
        parsed = _frames.decode(data)
    seen |= _fill_scalars(parsed, first)
    event = _text(parsed.event)
    if event in {"trade", "aggTrade"}:
        first["scan_trade_price"], first["scan_trade_price_decimals"] = _decimal(_text(parsed.price))
        first["scan_trade_quantity"], first["scan_trade_quantity_decimals"] = _decimal(_text(parsed.quantity))
        seen |= SEEN_PRICE | SEEN_QUANTITY
    if _text(parsed.rate) is not None:
        seen |= _fill_mark(parsed, first, is_mark=event == _MARK)
    for side, one, bit in ((0, parsed.b, SEEN_BIDS), (0, parsed.bids, SEEN_BIDS), (1, parsed.a, SEEN_ASKS), (1, parsed.asks, SEEN_ASKS)):
        if bytes(one)[:1] == b"[":
            _fill_levels(bytes(one), first, side)
            seen |= bit
    first["scan_seen"] = seen
    return True


def _fill_scalars(parsed: _Frame, first: Any) -> int:
    seen = 0
    for name, field, bit in _INTEGER_FIELDS:
        found = _INTEGER.fullmatch(bytes(getattr(parsed, name)))
        if found:
            first[field] = int(found.group())
            seen |= bit
    event = _text(parsed.event)
    if event is not None:
        first["scan_event"] = fnv(event)
        seen |= SEEN_EVENT
    symbol = _text(parsed.symbol)
    if symbol is not None:
        first["scan_symbol"] = fnv(symbol.upper() if symbol.isascii() else symbol)
        seen |= SEEN_SYMBOL
    maker = bytes(parsed.maker)
    if maker in {b"true", b"false"}:
        first["scan_maker"] = maker == b"true"
        seen |= SEEN_MAKER
    if any(bytes(one) for one in (parsed.result, parsed.error, parsed.code, parsed.id)):
        seen |= SEEN_REPLY
    if bytes(parsed.b)[:1] == b'"':
        seen |= SEEN_TICKER_BID
    if bytes(parsed.a)[:1] == b'"':
        seen |= SEEN_TICKER_ASK
    return seen


def _fill_mark(parsed: _Frame, first: Any, *, is_mark: bool) -> int:
    """Take mark price and rate of funding, if it is a mark price and both are numbers: a delivery has no rate."""
    rate = _text(parsed.rate) or ""
    mark = digits = mark_decimals = rate_decimals = seen = 0
    with contextlib.suppress(MalformedFrameError):
        if is_mark:
            mark, mark_decimals = _decimal(_text(parsed.price))
            digits, rate_decimals = _decimal(rate.removeprefix("-"))
            seen = SEEN_RATE
    if not seen:
        mark = mark_decimals = 0
    first["scan_mark"], first["scan_mark_decimals"] = mark, mark_decimals
    first["scan_rate"], first["scan_rate_decimals"] = -digits if rate[:1] == "-" else digits, rate_decimals
    return seen


def _known_array(raw: bytes, first: Any) -> bool:
    """Recognise `[{"e":"24hrTicker",…},…]`, the all-market streams, by its first element."""
    found = _ARRAY_EVENT.match(raw)
    if found is None or found.group(1).decode() not in KNOWN_EVENTS:
        return False
    first["scan_event"] = fnv(found.group(1).decode())
    first["scan_seen"] = SEEN_EVENT
    return True


def _text(raw: msgspec.Raw) -> str | None:
    return _texts.decode(raw) if bytes(raw)[:1] == b'"' else None


def _decimal(text: str | None) -> tuple[int, int]:
    """Return (digits as an integer, decimals) of a plain non-negative decimal of at most eighteen digits that count."""
    found = _DECIMAL.fullmatch(text) if text is not None else None
    if found is None:
        raise MalformedFrameError
    whole, fraction = found.group(1), found.group(2) or ""
    if len(whole) + len(fraction) > DIGITS_MAX:
        fraction = fraction.rstrip("0")
    if len(whole) + len(fraction) > DIGITS_MAX:
        raise MalformedFrameError
    return int(whole + fraction), len(fraction)


def _is_level(level: Any) -> bool:
    """Tell whether this is `["price","quantity"]`, or the form of before 2018 with a third, empty element."""
    if not isinstance(level, list) or not 2 <= len(level) <= 3:
        return False
    return isinstance(level[0], str) and isinstance(level[1], str) and not (len(level) == 3 and isinstance(level[2], str))


def _fill_levels(raw: bytes, first: Any, side: int) -> None:
    if len(raw) > SCAN_LEVELS * _LEVEL_BYTES_MAX:
        raise MalformedFrameError
    levels = _anything.decode(raw)
    if len(levels) > SCAN_LEVELS or not all(map(_is_level, levels)):
        raise MalformedFrameError
    if levels:
        count = len(levels)
        prices, price_decimals = zip(*[_decimal(level[0]) for level in levels], strict=True)
        quantities, quantity_decimals = zip(*[_decimal(level[1]) for level in levels], strict=True)
        first["scan_prices"][side, :count] = prices
        first["scan_price_decimals"][side, :count] = price_decimals
        first["scan_quantities"][side, :count] = quantities
        first["scan_quantity_decimals"][side, :count] = quantity_decimals
    first["scan_count"][side] = len(levels)
