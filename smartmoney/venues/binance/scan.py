"""The fast scanner: one pass over the raw bytes of a Binance frame, into the scratch fields of one record.

Invariants: no byte outside [begin, end) is read; nothing but `scan_*` fields is written; a frame that holds anything the scanner does not
know (an escape, a byte above 127, a number of an unexpected form, another nesting) makes `scan` return False and is for the slow path to
judge. Keys may come in any order, bare or inside the combined-stream envelope.
"""

# Chains of comparisons compile to branches; membership in a tuple would compile to a loop over a copy of it.
# ruff: noqa: PLR1714, SIM109

from typing import Any

import numpy as np

from smartmoney.core.book.state import SCAN_LEVELS
from smartmoney.core.book.typed import NO, YES, inlined, inner, spliced
from smartmoney.core.book.words import WORD_BYTES, word_at
from smartmoney.venues.binance.event_types import EVENT_AGGREGATE, EVENT_MARK, EVENT_TRADE
from smartmoney.venues.binance.scan_text import (
    BEGIN,
    CLOSE,
    COMMA,
    END,
    ESCAPE,
    OPEN,
    QUOTE,
    read_hash,
    read_integer,
    read_number,
    read_text,
    skip_space,
    skip_value,
)

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
SEEN_UNIFORM = 1048576
"""Set by no scanner: levels that were measured beforehand (`packed`) all have the decimals of the first place, and prices of 1 and more."""
SEEN_RATE = 2097152
"""Of a mark price alone: it and the rate of funding are both there."""
_MARK_TEXTS = SEEN_EVENT | SEEN_PRICE | SEEN_RATE


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
_RATE = _packed("r")
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
_LEVEL_BYTES_MIN = len('["1","1"]]')

_COLON = ord(":")
_BYTE = np.uint64(0xFF)
_TWO_BYTES = np.uint64(0xFFFF)
_AFTER_KEY = np.uint64(QUOTE | ord(":") << 8)
_ONE_BYTE = np.uint64(8)
_BOTH_BYTES = np.uint64(16)
_AT = ord("@")
_MINUS = ord("-")


@inner
def _levels(frame: Any, i: int, end: int, prices: Any, quantities: Any, price_decimals: Any, quantity_decimals: Any) -> tuple[int, int]:
    """Read `[["price","quantity"],…]` begun at `i`: (position after it, levels); position -1 if it is anything else."""
    i = skip_space(frame, i + 1, end)
    if i < end and frame[i] == CLOSE:
        return i + 1, 0
    count = 0
    while i < end:
        if frame[i] != OPEN or count == SCAN_LEVELS:
            return -1, 0
        # As the venue writes it, without a space: the form below it would read the same, byte by byte.
        if i + _LEVEL_BYTES_MIN <= end and frame[i + 1] == QUOTE:
            at, price, decimals = read_number(frame, i + 2, end)
            if at >= 0 and at + 3 < end and frame[at + 1] == COMMA and frame[at + 2] == QUOTE:
                stop, quantity, more = read_number(frame, at + 3, end)
                if stop >= 0 and stop + 2 < end and frame[stop + 1] == CLOSE and (frame[stop + 2] == COMMA or frame[stop + 2] == CLOSE):
                    prices[count] = price
                    price_decimals[count] = decimals
                    quantities[count] = quantity
                    quantity_decimals[count] = more
                    count += 1
                    if frame[stop + 2] == CLOSE:
                        return stop + 3, count
                    i = skip_space(frame, stop + 3, end)
                    continue
        i = skip_space(frame, i + 1, end)
        if i >= end or frame[i] != QUOTE:
            return -1, 0
        i, price, decimals = read_number(frame, i + 1, end)
        if i < 0:
            return -1, 0
        prices[count] = price
        price_decimals[count] = decimals
        i = skip_space(frame, i + 1, end)
        if i >= end or frame[i] != COMMA:
            return -1, 0
        i = skip_space(frame, i + 1, end)
        if i >= end or frame[i] != QUOTE:
            return -1, 0
        i, quantity, decimals = read_number(frame, i + 1, end)
        if i < 0:
            return -1, 0
        quantities[count] = quantity
        quantity_decimals[count] = decimals
        count += 1
        i = skip_space(frame, i + 1, end)
        if i < end and frame[i] == COMMA:
            # Snapshots of before 2018 carry a third, empty element.
            i = skip_space(frame, i + 1, end)
            if i >= end or frame[i] == QUOTE:
                return -1, 0
            i = skip_value(frame, i, end)
            if i < 0:
                return -1, 0
            i = skip_space(frame, i, end)
        if i >= end or frame[i] != CLOSE:
            return -1, 0
        i = skip_space(frame, i + 1, end)
        if i >= end:
            return -1, 0
        if frame[i] == CLOSE:
            return i + 1, count
        if frame[i] != COMMA:
            return -1, 0
        i = skip_space(frame, i + 1, end)
    return -1, 0


@inner
def _is_partial(frame: Any, i: int, stop: int) -> Any:
    """Tell whether a stream's name is that of a partial book (`…@depth5`, `…@depth20@100ms`)."""
    while i < stop and frame[i] != _AT:
        i += 1
    if stop - i < 7:
        return False
    named = frame[i + 1] == 100 and frame[i + 2] == 101 and frame[i + 3] == 112 and frame[i + 4] == 116 and frame[i + 5] == 104
    return named and 48 <= frame[i + 6] <= 57


@spliced
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


@spliced
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
def _key(frame: Any, i: int, end: int) -> tuple[int, int]:
    """Read a key begun before `i`: (position of its closing quote, its packed form or 0); position -1 if it is not plain."""
    packed: Any = 0
    start = i
    while i < end and frame[i] != QUOTE:
        c = frame[i]
        if c == ESCAPE or c < 32 or c > 126:
            return -1, 0
        packed = ((packed & 0xFFFF_FFFF_FFFF) << 8) | np.int64(c)
        i += 1
    if i >= end:
        return -1, 0
    length = i - start
    if length > 6 and not (length == _LAST_ID_LENGTH and frame[start] == 108 and frame[start + 1] == 97):
        packed = 0
    return i, packed


@spliced
def _key_and_colon(frame: Any, i: int, end: int) -> tuple[int, Any]:
    """Read a key begun before `i` and its colon: (position after the colon, the key's packed form); position -1 if it is not so."""
    if i + WORD_BYTES <= end:
        word = word_at(frame, i)
        first = np.int64(word & _BYTE)
        second = np.int64((word >> _ONE_BYTE) & _BYTE)
        if _is_letter(first):
            if (word >> _ONE_BYTE) & _TWO_BYTES == _AFTER_KEY:
                return i + 3, first
            if _is_letter(second) and (word >> _BOTH_BYTES) & _TWO_BYTES == _AFTER_KEY:
                return i + 4, (first << 8) | second
    i, key = _key(frame, i, end)
    if i < 0:
        return -1, 0
    i = skip_space(frame, i + 1, end)
    return (i + 1 if i < end and frame[i] == _COLON else -1), key


@spliced
def _is_letter(c: Any) -> Any:
    return 65 <= c <= 90 or 97 <= c <= 122


@spliced
def _string_value(frame: Any, start: int, stop: int, key: int, is_outer: bool, s: Any) -> int:
    """Note a string value `frame[start:stop]` under its key; the bits that say so, -1 where the key takes no string."""
    if key == _E_EVENT:
        s.scan_event = read_hash(frame, start, stop, NO)
        return SEEN_EVENT
    if key == _SYMBOL:
        s.scan_symbol = read_hash(frame, start, stop, YES)
        return SEEN_SYMBOL
    if key == _PRICE:
        s.scan_trade_price = start  # where its text begins: read once the frame is known to be a trade
        return SEEN_PRICE
    if key == _QUANTITY:
        s.scan_trade_quantity = start
        return SEEN_QUANTITY
    if key == _RATE:
        s.scan_rate = start
        return SEEN_RATE
    if key == _B:
        return SEEN_TICKER_BID
    if key == _A:
        return SEEN_TICKER_ASK
    if key == _STREAM and is_outer:
        return SEEN_PARTIAL if _is_partial(frame, start, stop) else 0
    return -1 if _is_integer_key(key) or key == _MAKER else 0


@spliced
def _value(frame: Any, i: int, end: int, key: int, is_outer: bool, s: Any) -> tuple[int, int]:
    """Take the value that begins at `i`: (position after it, bits of what was noted); position -1 if it is not of a known plain form."""
    c = frame[i]
    if c == QUOTE:
        start = i + 1
        i = read_text(frame, start, end)
        if i < 0:
            return -1, 0
        bits = _string_value(frame, start, i, key, is_outer, s)
        return (i + 1 if bits >= 0 else -1), bits
    if c == OPEN and (key == _B or key == _BIDS or key == _A or key == _ASKS):
        side = 0 if key == _B or key == _BIDS else 1
        i, count = _levels(
            frame, i, end, s.scan_prices[side], s.scan_quantities[side], s.scan_price_decimals[side], s.scan_quantity_decimals[side]
        )
        s.scan_count[side] = count
        return i, (SEEN_BIDS if side == 0 else SEEN_ASKS)
    if 48 <= c <= 57 and _is_integer_key(key):
        i, value = read_integer(frame, i, end)
        return i, (_integer_field(s, key, value) if i >= 0 else 0)
    if _is_integer_key(key) or (key == _MAKER and c != 116 and c != 102):
        return -1, 0
    if key == _MAKER:
        s.scan_maker = 1 if c == 116 else 0
        return skip_value(frame, i, end), SEEN_MAKER
    return skip_value(frame, i, end), 0


@inner
def _trade_numbers(frame: Any, end: int, seen: int, s: Any) -> bool:
    """Read price and quantity of a trade where their texts were found to begin."""
    if seen & SEEN_PRICE == 0 or seen & SEEN_QUANTITY == 0:
        return False
    price_at, price, price_decimals = read_number(frame, s.scan_trade_price, end)
    quantity_at, quantity, quantity_decimals = read_number(frame, s.scan_trade_quantity, end)
    s.scan_trade_price = price
    s.scan_trade_price_decimals = price_decimals
    s.scan_trade_quantity = quantity
    s.scan_trade_quantity_decimals = quantity_decimals
    return price_at >= 0 and quantity_at >= 0


@inner
def _mark_numbers(frame: Any, end: int, s: Any) -> bool:
    """Read mark price and rate of funding where their texts were found to begin; False where one is no number (a delivery has no rate)."""
    start = s.scan_rate
    is_negative = frame[start] == _MINUS
    if is_negative:
        start += 1
    mark_at, mark, mark_decimals = read_number(frame, s.scan_trade_price, end)
    rate_at, rate, rate_decimals = read_number(frame, start, end)
    s.scan_mark = mark
    s.scan_mark_decimals = mark_decimals
    s.scan_rate = rate
    s.scan_rate_decimals = rate_decimals
    if is_negative:
        s.scan_rate = -s.scan_rate
    return mark_at >= 0 and rate_at >= 0


@inner
def _take_rate(frame: Any, end: int, seen: int, s: Any) -> int:
    """Read what a mark price says of funding, if the frame is one: the bit that says so, and nothing in the scratch where it is none."""
    if seen & _MARK_TEXTS == _MARK_TEXTS and s.scan_event == EVENT_MARK and _mark_numbers(frame, end, s):
        return SEEN_RATE
    s.scan_mark = 0
    s.scan_mark_decimals = 0
    s.scan_rate = 0
    s.scan_rate_decimals = 0
    return 0


@inlined
def _object(frame: Any, i: int, end: int, s: Any) -> tuple[int, int]:
    """Take the object whose members begin at `i`, and one under `data` inside it: (position after it or -1, bits of what was noted)."""
    seen = 0
    plain_keys = 0
    inside = 1
    fresh = True
    while i < end:
        if frame[i] == END:
            i += 1
            inside -= 1
            if inside == 0:
                return (-1 if seen & SEEN_ENVELOPE != 0 and plain_keys > 0 else i), seen
        elif frame[i] != QUOTE or not fresh:
            return -1, 0
        else:
            i, key = _key_and_colon(frame, i + 1, end)
            if i < 0:
                return -1, 0
            i = skip_space(frame, i, end)
            if i >= end:
                return -1, 0
            if inside == 1 and key != _STREAM and key != _DATA:
                plain_keys += 1
            if frame[i] == BEGIN and key == _DATA and inside == 1 and seen & SEEN_ENVELOPE == 0:
                seen |= SEEN_ENVELOPE
                inside = 2
                fresh = True
                i = skip_space(frame, i + 1, end)
                continue
            i, bits = _value(frame, i, end, key, inside == 1, s)
            if i < 0:
                return -1, 0
            seen |= bits
            if key == _RESULT or key == _ERROR or key == _CODE or key == _ID:
                seen |= SEEN_REPLY
        fresh = False
        i = skip_space(frame, i, end)
        if i < end and frame[i] == COMMA:
            i = skip_space(frame, i + 1, end)
            if i >= end or frame[i] != QUOTE:
                return -1, 0
            fresh = True
    return -1, 0


@inner
def scan(frame: Any, begin: int, end: int, s: Any) -> bool:
    """Scan the bytes from `begin` to `end` into the scratch of record `s`; False if any of them is not of a known plain form."""
    s.scan_event = np.uint64(0)
    s.scan_symbol = np.uint64(0)
    s.scan_count[0] = 0
    s.scan_count[1] = 0
    s.scan_seen = 0
    i = skip_space(frame, begin, end)
    if i >= end or frame[i] != BEGIN:
        return False
    i, seen = _object(frame, skip_space(frame, i + 1, end), end, s)
    if i < 0 or skip_space(frame, i, end) != end:
        return False
    if seen & SEEN_RATE != 0:
        seen = (seen & ~SEEN_RATE) | _take_rate(frame, end, seen, s)
    is_trade = seen & SEEN_EVENT != 0 and (s.scan_event == EVENT_TRADE or s.scan_event == EVENT_AGGREGATE)
    if is_trade:
        s.scan_seen = seen
        return _trade_numbers(frame, end, seen, s)
    s.scan_trade_price = 0
    s.scan_trade_quantity = 0
    s.scan_seen = seen & ~(SEEN_PRICE | SEEN_QUANTITY)
    return True
