"""The fast scanner: one pass over the raw bytes of a Binance frame, into the scratch fields of one record.

Invariants: no byte outside [begin, end) is read; nothing but `scan_*` fields is written; a frame that holds anything the scanner does not
know (an escape, a byte above 127, a number of an unexpected form, another nesting) makes `scan` return False and is for the slow path to
judge. Keys may come in any order, bare or inside the combined-stream envelope.
"""

# Chains of comparisons compile to branches; membership in a tuple would compile to a loop over a copy of it.
# ruff: noqa: PLR1714, SIM109, SIM108

from typing import Any

import numpy as np

from smartmoney.core.book.state import SCAN_LEVELS
from smartmoney.core.book.typed import NO, YES, entry, inlined, inner
from smartmoney.venues.binance.event_types import EVENT_AGGREGATE, EVENT_TRADE, FNV_BASIS, FNV_PRIME

SEEN_EVENT = 1
SEEN_SYMBOL = 2
SEEN_FIRST_ID = 4
SEEN_FINAL_ID = 8
SEEN_PREVIOUS_ID = 16
SEEN_EVENT_TIME = 32
SEEN_TRANSACTION_TIME = 64
SEEN_TRADE_ID = 128
SEEN_AGGREGATE_ID = 256
SEEN_PRICE = 512
SEEN_QUANTITY = 1024
SEEN_MAKER = 2048
SEEN_BIDS = 4096
SEEN_ASKS = 8192
SEEN_SNAPSHOT_ID = 16384
SEEN_REPLY = 32768
SEEN_TICKER_BID = 65536
SEEN_TICKER_ASK = 131072
SEEN_ENVELOPE = 262144
SEEN_PARTIAL = 524288

DIGITS_MAX = 18
NESTING_MAX = 64


def _packed(key: str) -> int:
    value = 0
    for byte in key.encode()[-7:]:
        value = (value << 8) | byte
    return value


# A key's last seven bytes as an integer; the length is checked beside it.
_E_EVENT = _packed("e")
_E_TIME = _packed("E")
_T_TIME = _packed("T")
_SYMBOL = _packed("s")
_FIRST = _packed("U")
_FINAL = _packed("u")
_PREVIOUS = _packed("pu")
_TRADE_ID = _packed("t")
_PRICE = _packed("p")
_QUANTITY = _packed("q")
_MAKER = _packed("m")
_B = _packed("b")
_A = _packed("a")
_BIDS = _packed("bids")
_ASKS = _packed("asks")
_LAST_ID = _packed("lastUpdateId")
_STREAM = _packed("stream")
_DATA = _packed("data")
_RESULT = _packed("result")
_ERROR = _packed("error")
_CODE = _packed("code")
_ID = _packed("id")
_LAST_ID_LENGTH = len("lastUpdateId")

_QUOTE = ord('"')
_COMMA = ord(",")
_COLON = ord(":")
_POINT = ord(".")
_OPEN, _CLOSE = ord("["), ord("]")
_BEGIN, _END = ord("{"), ord("}")
_ESCAPE = ord("\\")
_AT = ord("@")


@inner
def _space(frame: bytes, i: int, end: int) -> int:
    while i < end and (frame[i] == 32 or frame[i] == 10 or frame[i] == 13 or frame[i] == 9):
        i += 1
    return i


@inner
def _text(frame: bytes, i: int, end: int) -> int:
    """Return the position of the quote that ends a plain string begun before `i`, -1 if it is not plain."""
    while i < end:
        c = frame[i]
        if c == _QUOTE:
            return i
        if c == _ESCAPE or c < 32 or c > 126:
            return -1
        i += 1
    return -1


@inner
def _hash(frame: bytes, i: int, stop: int, upper: bool) -> Any:
    value = FNV_BASIS
    while i < stop:
        c = frame[i]
        if upper and 97 <= c <= 122:
            value = (value ^ np.uint64(c - 32)) * FNV_PRIME
        else:
            value = (value ^ np.uint64(c)) * FNV_PRIME
        i += 1
    return value


@inner
def _long_number(frame: bytes, start: int, whole: int, decimals: int) -> tuple[int, int, int]:
    """Read a number of more than eighteen digits whose last decimals are zeros; (-1, 0, 0) if it has more that count."""
    stop = start + whole + 1 + decimals
    kept = decimals
    while kept > 0 and frame[start + whole + kept] == 48:
        kept -= 1
    if whole + kept > DIGITS_MAX:
        return -1, 0, 0
    value: Any = 0
    for k in range(start, start + whole):
        value = value * 10 + (np.int64(frame[k]) - 48)
    for k in range(start + whole + 1, start + whole + 1 + kept):
        value = value * 10 + (np.int64(frame[k]) - 48)
    return (stop if decimals > 0 else start + whole), value, kept


@inner
def _number(frame: bytes, i: int, end: int) -> tuple[int, int, int]:
    """Read digits with an optional fraction up to the closing quote: (its position, digits as an integer, decimals); -1 if not so."""
    start = i
    value: Any = 0
    while i < end:
        c = np.int64(frame[i]) - 48
        if c < 0 or c > 9:
            break
        value = value * 10 + c
        i += 1
    whole = i - start
    if whole == 0 or i >= end:
        return -1, 0, 0
    decimals = 0
    if frame[i] == _POINT:
        i += 1
        point = i
        while i < end:
            c = np.int64(frame[i]) - 48
            if c < 0 or c > 9:
                break
            value = value * 10 + c
            i += 1
        decimals = i - point
        if decimals == 0 or i >= end:
            return -1, 0, 0
    if frame[i] != _QUOTE:
        return -1, 0, 0
    if whole + decimals > DIGITS_MAX:
        return _long_number(frame, start, whole, decimals)
    return i, value, decimals


@inner
def _integer(frame: bytes, i: int, end: int) -> tuple[int, int]:
    """Read a JSON integer of at most eighteen digits: (position after it, value); position -1 if it is another kind of number."""
    start = i
    value: Any = 0
    while i < end:
        c = np.int64(frame[i]) - 48
        if c < 0 or c > 9:
            break
        value = value * 10 + c
        i += 1
    digits = i - start
    if digits == 0 or digits > DIGITS_MAX or (digits > 1 and frame[start] == 48) or i >= end:
        return -1, 0
    if frame[i] == _POINT or frame[i] == 101 or frame[i] == 69:
        return -1, 0
    return i, value


@inner
def _skip(frame: bytes, i: int, end: int) -> int:
    """Return the position after a value that begins at `i` and is not a string, -1 if it does not end or nests too deep."""
    c = frame[i]
    if c != _OPEN and c != _BEGIN:
        start = i
        while i < end and frame[i] != _COMMA and frame[i] != _END and frame[i] != _CLOSE and frame[i] > 32:
            i += 1
        return _literal(frame, start, i)
    depth = 0
    while i < end:
        c = frame[i]
        if c == _QUOTE:
            i = _text(frame, i + 1, end)
            if i < 0:
                return -1
        elif c == _OPEN or c == _BEGIN:
            depth += 1
            if depth > NESTING_MAX:
                return -1
        elif c == _CLOSE or c == _END:
            depth -= 1
            if depth == 0:
                return i + 1
        i += 1
    return -1


@inner
def _literal(frame: bytes, start: int, stop: int) -> int:
    """Return `stop` if the span is true, false, null or made of a number's characters, else -1."""
    size = stop - start
    if size == 4 and frame[start] == 116 and frame[start + 1] == 114 and frame[start + 2] == 117 and frame[start + 3] == 101:
        return stop
    if size == 4 and frame[start] == 110 and frame[start + 1] == 117 and frame[start + 2] == 108 and frame[start + 3] == 108:
        return stop
    if size == 5 and frame[start] == 102 and frame[start + 1] == 97 and frame[start + 2] == 108 and frame[start + 3] == 115:
        return stop if frame[start + 4] == 101 else -1
    for k in range(start, stop):
        c = frame[k]
        if not (48 <= c <= 57 or c == 45 or c == 43 or c == 46 or c == 101 or c == 69):
            return -1
    return stop if size > 0 else -1


@inner
def _levels(frame: bytes, i: int, end: int, prices: Any, quantities: Any, price_decimals: Any, quantity_decimals: Any) -> tuple[int, int]:
    """Read `[["price","quantity"],…]` begun at `i`: (position after it, levels); position -1 if it is anything else."""
    i = _space(frame, i + 1, end)
    if i < end and frame[i] == _CLOSE:
        return i + 1, 0
    count = 0
    while i < end:
        if frame[i] != _OPEN or count == SCAN_LEVELS:
            return -1, 0
        i = _space(frame, i + 1, end)
        if i >= end or frame[i] != _QUOTE:
            return -1, 0
        i, price, decimals = _number(frame, i + 1, end)
        if i < 0:
            return -1, 0
        prices[count] = price
        price_decimals[count] = decimals
        i = _space(frame, i + 1, end)
        if i >= end or frame[i] != _COMMA:
            return -1, 0
        i = _space(frame, i + 1, end)
        if i >= end or frame[i] != _QUOTE:
            return -1, 0
        i, quantity, decimals = _number(frame, i + 1, end)
        if i < 0:
            return -1, 0
        quantities[count] = quantity
        quantity_decimals[count] = decimals
        count += 1
        i = _space(frame, i + 1, end)
        if i < end and frame[i] == _COMMA:
            # Snapshots of before 2018 carry a third, empty element.
            i = _space(frame, i + 1, end)
            if i >= end or frame[i] == _QUOTE:
                return -1, 0
            i = _skip(frame, i, end)
            if i < 0:
                return -1, 0
            i = _space(frame, i, end)
        if i >= end or frame[i] != _CLOSE:
            return -1, 0
        i = _space(frame, i + 1, end)
        if i >= end:
            return -1, 0
        if frame[i] == _CLOSE:
            return i + 1, count
        if frame[i] != _COMMA:
            return -1, 0
        i = _space(frame, i + 1, end)
    return -1, 0


@inner
def _is_partial(frame: bytes, i: int, stop: int) -> bool:
    """Tell whether a stream's name is that of a partial book (`…@depth5`, `…@depth20@100ms`)."""
    while i < stop and frame[i] != _AT:
        i += 1
    if stop - i < 7:
        return False
    named = frame[i + 1] == 100 and frame[i + 2] == 101 and frame[i + 3] == 112 and frame[i + 4] == 116 and frame[i + 5] == 104
    return named and 48 <= frame[i + 6] <= 57


@inner
def _integer_field(s: Any, key: int, value: int) -> int:
    """Store an integer under its key and return the bit that says so, 0 if the key takes no integer."""
    if key == _E_TIME:
        s.scan_event_time = value
        return SEEN_EVENT_TIME
    if key == _T_TIME:
        s.scan_transaction_time = value
        return SEEN_TRANSACTION_TIME
    if key == _FIRST:
        s.scan_first_id = value
        return SEEN_FIRST_ID
    if key == _FINAL:
        s.scan_final_id = value
        return SEEN_FINAL_ID
    if key == _PREVIOUS:
        s.scan_previous_id = value
        return SEEN_PREVIOUS_ID
    if key == _TRADE_ID:
        s.scan_trade_id = value
        return SEEN_TRADE_ID
    if key == _A:
        s.scan_aggregate_id = value
        return SEEN_AGGREGATE_ID
    if key == _LAST_ID:
        s.scan_snapshot_id = value
        return SEEN_SNAPSHOT_ID
    return 0


@inner
def _is_integer_key(key: int) -> bool:
    return (
        key == _E_TIME
        or key == _T_TIME
        or key == _FIRST
        or key == _FINAL
        or key == _PREVIOUS
        or key == _TRADE_ID
        or key == _A
        or key == _LAST_ID
    )


@inner
def _key(frame: bytes, i: int, end: int) -> tuple[int, int]:
    """Read a key begun before `i`: (position of its closing quote, its packed form or 0); position -1 if it is not plain."""
    packed: Any = 0
    start = i
    while i < end and frame[i] != _QUOTE:
        c = frame[i]
        if c == _ESCAPE or c < 32 or c > 126:
            return -1, 0
        packed = ((packed & 0xFFFF_FFFF_FFFF) << 8) | np.int64(c)
        i += 1
    if i >= end:
        return -1, 0
    length = i - start
    if length > 6 and not (length == _LAST_ID_LENGTH and frame[start] == 108 and frame[start + 1] == 97):
        packed = 0
    return i, packed


@inner
def _string_value(frame: bytes, start: int, stop: int, key: int, is_outer: bool, s: Any) -> int:
    """Note a string value `frame[start:stop]` under its key; the bits that say so, -1 where the key takes no string."""
    if key == _E_EVENT:
        s.scan_event = _hash(frame, start, stop, NO)
        return SEEN_EVENT
    if key == _SYMBOL:
        s.scan_symbol = _hash(frame, start, stop, YES)
        return SEEN_SYMBOL
    if key == _PRICE:
        s.scan_trade_price = start  # where its text begins: read once the frame is known to be a trade
        return SEEN_PRICE
    if key == _QUANTITY:
        s.scan_trade_quantity = start
        return SEEN_QUANTITY
    if key == _B:
        return SEEN_TICKER_BID
    if key == _A:
        return SEEN_TICKER_ASK
    if key == _STREAM and is_outer:
        return SEEN_PARTIAL if _is_partial(frame, start, stop) else 0
    return -1 if _is_integer_key(key) or key == _MAKER else 0


@inner
def _value(frame: bytes, i: int, end: int, key: int, is_outer: bool, s: Any) -> tuple[int, int]:
    """Take the value that begins at `i`: (position after it, bits of what was noted); position -1 if it is not of a known plain form."""
    c = frame[i]
    if c == _QUOTE:
        start = i + 1
        i = _text(frame, start, end)
        if i < 0:
            return -1, 0
        bits = _string_value(frame, start, i, key, is_outer, s)
        return (i + 1 if bits >= 0 else -1), bits
    if c == _OPEN and (key == _B or key == _BIDS or key == _A or key == _ASKS):
        side = 0 if key == _B or key == _BIDS else 1
        i, count = _levels(
            frame, i, end, s.scan_prices[side], s.scan_quantities[side], s.scan_price_decimals[side], s.scan_quantity_decimals[side]
        )
        s.scan_count[side] = count
        return i, (SEEN_BIDS if side == 0 else SEEN_ASKS)
    if 48 <= c <= 57 and _is_integer_key(key):
        i, value = _integer(frame, i, end)
        return i, (_integer_field(s, key, value) if i >= 0 else 0)
    if _is_integer_key(key) or (key == _MAKER and c != 116 and c != 102):
        return -1, 0
    if key == _MAKER:
        s.scan_maker = 1 if c == 116 else 0
        return _skip(frame, i, end), SEEN_MAKER
    return _skip(frame, i, end), 0


@inner
def _trade_numbers(frame: bytes, end: int, seen: int, s: Any) -> bool:
    """Read price and quantity of a trade where their texts were found to begin."""
    if seen & SEEN_PRICE == 0 or seen & SEEN_QUANTITY == 0:
        return False
    price_at, price, price_decimals = _number(frame, s.scan_trade_price, end)
    quantity_at, quantity, quantity_decimals = _number(frame, s.scan_trade_quantity, end)
    s.scan_trade_price = price
    s.scan_trade_price_decimals = price_decimals
    s.scan_trade_quantity = quantity
    s.scan_trade_quantity_decimals = quantity_decimals
    return price_at >= 0 and quantity_at >= 0


@inlined
def _object(frame: bytes, i: int, end: int, s: Any) -> tuple[int, int]:
    """Take the object whose members begin at `i`, and one under `data` inside it: (position after it or -1, bits of what was noted)."""
    seen = 0
    plain_keys = 0
    inside = 1
    fresh = True
    while i < end:
        if frame[i] == _END:
            i += 1
            inside -= 1
            if inside == 0:
                return (-1 if seen & SEEN_ENVELOPE != 0 and plain_keys > 0 else i), seen
        elif frame[i] != _QUOTE or not fresh:
            return -1, 0
        else:
            i, key = _key(frame, i + 1, end)
            if i < 0:
                return -1, 0
            i = _space(frame, i + 1, end)
            if i >= end or frame[i] != _COLON:
                return -1, 0
            i = _space(frame, i + 1, end)
            if i >= end:
                return -1, 0
            if inside == 1 and key != _STREAM and key != _DATA:
                plain_keys += 1
            if frame[i] == _BEGIN and key == _DATA and inside == 1 and seen & SEEN_ENVELOPE == 0:
                seen |= SEEN_ENVELOPE
                inside = 2
                fresh = True
                i = _space(frame, i + 1, end)
                continue
            i, bits = _value(frame, i, end, key, inside == 1, s)
            if i < 0:
                return -1, 0
            seen |= bits
            if key == _RESULT or key == _ERROR or key == _CODE or key == _ID:
                seen |= SEEN_REPLY
        fresh = False
        i = _space(frame, i, end)
        if i < end and frame[i] == _COMMA:
            i = _space(frame, i + 1, end)
            if i >= end or frame[i] != _QUOTE:
                return -1, 0
            fresh = True
    return -1, 0


@entry
def scan(frame: bytes, begin: int, end: int, s: Any) -> bool:
    """Scan one frame, `frame[begin:end]`, into the scratch of record `s`; False if any of it is not of a known plain form."""
    s.scan_event = np.uint64(0)
    s.scan_symbol = np.uint64(0)
    s.scan_count[0] = 0
    s.scan_count[1] = 0
    s.scan_seen = 0
    i = _space(frame, begin, end)
    if i >= end or frame[i] != _BEGIN:
        return False
    i, seen = _object(frame, _space(frame, i + 1, end), end, s)
    if i < 0 or _space(frame, i, end) != end:
        return False
    is_trade = seen & SEEN_EVENT != 0 and (s.scan_event == EVENT_TRADE or s.scan_event == EVENT_AGGREGATE)
    if is_trade:
        s.scan_seen = seen
        return _trade_numbers(frame, end, seen, s)
    s.scan_trade_price = 0
    s.scan_trade_quantity = 0
    s.scan_seen = seen & ~(SEEN_PRICE | SEEN_QUANTITY)
    return True
