"""What exchanges tell of funding through ccxt, spoken as the mark price frames of Binance, which everything behind the feed reads. Pure.

Who tells it how: Bybit in its ticker, Binance with its mark price; OKX on two channels, the rate's only each 30 to 90 s; the others as ccxt
unifies it, watched or asked for. A frame has them all: the mark price, the rate, the time that it is paid at.

Invariants: what is told of a time is said before another time is named; the mark price of a time is the last one that was told before it
was over, however long the venue goes on to name it; what is older than what was told, or than `RATE_HEARD_MS`, is not said. A mark price of
0 says that the venue tells none.
Sources: ccxt 4.5.90, `pro/bybit.py` and `pro/okx.py`; OKX v5 "Funding rate channel" and "Get funding rate" (`settFundingRate`: the rate of
the settlement before, or of the one that is being made; `fundingRate` is a forecast until then); Bybit v5 "Ticker".
"""

from collections.abc import Mapping
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from enum import StrEnum
from typing import Any

import msgspec

FRAME_EVERY_MS = 3_000
"""As often as Binance tells it; venues that tell it ten times a second would fill captures with it."""
RATE_HEARD_MS = 600_000
"""A rate that was told longer ago is said no more beside newer mark prices."""
MARK_HEARD_MS = 120_000
"""A mark price that is so much older than the rest of what is told is none."""
_OVER_MS = 1_000
"""The venue's machines have clocks of their own: another time may be named so long before the one before it is over."""
_NEAR_MS = 60_000
_RATE_MAX = Decimal(1)
_STAMP_MAX = 10**14
_PLACES_MAX = 17
_DIGITS = Context(prec=_PLACES_MAX)


class Way(StrEnum):
    """Name a call of ccxt that tells of funding; the value is its key in `has`."""

    TICKER = "watchTicker"
    MARK = "watchMarkPrice"
    RATE = "watchFundingRate"
    ASK_RATE = "fetchFundingRate"
    ASK_MARK = "fetchMarkPrice"


class Words(msgspec.Struct, frozen=True):
    """Be a venue's own words of mark price, rate and next time in a ticker, and the call that gives it."""

    way: Way
    mark: str
    rate: str
    time: str


_BINANCE = Words(Way.MARK, "p", "r", "T")
TICKERS: Mapping[str, Words] = {
    "bybit": Words(Way.TICKER, "markPrice", "fundingRate", "nextFundingTime"),
    "binance": _BINANCE,
    "binanceusdm": _BINANCE,
}
"""Venues that tell all of it in one ticker; ccxt unifies its mark price alone."""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """Be what one answer tells: None where it tells nothing. `settled` is the rate of the payment before, `stamp_ms` the venue's clock."""

    at_ms: int | None = None
    rate: Decimal | None = None
    mark: Decimal | None = None
    settled: Decimal | None = None
    stamp_ms: int | None = None


def ways_of(exchange_id: str, has: Mapping[str, Any]) -> tuple[Way, ...]:
    """Return by which calls an exchange tells of funding, none where it does not."""
    offered = [way for way in Way if has.get(way)]
    words = TICKERS.get(exchange_id)
    watched = [words.way] if words is not None and words.way in offered else [way for way in (Way.RATE, Way.MARK) if way in offered]
    asked = [way for way in (Way.ASK_RATE, Way.ASK_MARK) if way in offered]
    return (*watched, *asked) if any(tells_rate(exchange_id, way) for way in (*watched, *asked)) else ()


def tells_rate(exchange_id: str, way: Way) -> bool:
    """Tell whether a call's answer holds rate and time, and not only a mark price."""
    words = TICKERS.get(exchange_id)
    return way in {Way.RATE, Way.ASK_RATE} or (words is not None and way is words.way)


def read(exchange_id: str, way: Way, answer: Mapping[str, Any]) -> Told:
    """Return what an answer of a call tells."""
    raw = answer.get("info")
    info: Mapping[str, Any] = raw if isinstance(raw, dict) else {}
    stamp_ms = _stamp(answer.get("timestamp")) or _stamp(info.get("ts"))
    words = TICKERS.get(exchange_id)
    if words is not None and way is words.way:
        # As the venue wrote it, where ccxt's floats might lose a digit.
        mark = _positive(info.get(words.mark))
        return Told(at_ms=_stamp(info.get(words.time)), rate=_rate(info.get(words.rate)), mark=mark, stamp_ms=stamp_ms)
    if way in {Way.MARK, Way.ASK_MARK}:
        return Told(mark=_positive(answer.get("markPrice")), stamp_ms=stamp_ms)
    return Told(
        at_ms=_stamp(answer.get("fundingTimestamp")),
        rate=_rate(answer.get("fundingRate")),
        mark=_positive(answer.get("markPrice")),
        settled=_rate(info.get("settFundingRate")),
        stamp_ms=stamp_ms,
    )


class _Rate(msgspec.Struct, frozen=True):
    """Be the rate of a time, the venue's clock of it (ours where it shows none), and when it came by our clock."""

    at_ms: int
    rate: Decimal
    stamp_ms: int
    heard_ms: int


class _Mark(msgspec.Struct, frozen=True):
    price: Decimal
    stamp_ms: int


class FundingNews:
    """Fold what an instrument's venue tells into frames. Times in ms; `now_ms` is our wall clock."""

    def __init__(self, symbol: str) -> None:
        self._symbol = symbol
        self._rate: _Rate | None = None
        self._mark: _Mark | None = None
        self._later: _Mark | None = None
        """The mark price of after the time that is named still."""
        self._mark_heard_ms = 0
        self._event_ms = 0
        self._sent_ms: int | None = None
        self._is_new = False

    @property
    def at_ms(self) -> int | None:
        """Return the time that is named as the next one."""
        return None if self._rate is None else self._rate.at_ms

    @property
    def rate_heard_ms(self) -> int | None:
        """Return when a rate was told last."""
        return None if self._rate is None else self._rate.heard_ms

    @property
    def mark_heard_ms(self) -> int:
        """Return when a mark price was told last, 0 for never."""
        return self._mark_heard_ms

    def take(self, told: Told, now_ms: int) -> list[bytes]:
        """Take what was told; return the frames that say it now: none, one, or the last word of a time and the first of the next."""
        stamp_ms = now_ms if told.stamp_ms is None else told.stamp_ms
        frames: list[bytes] = []
        if told.rate is not None and told.at_ms is not None:
            rate = _Rate(told.at_ms, told.rate, stamp_ms, now_ms)
            if self._is_of_before(rate):
                return self.flush(now_ms)
            frames = self._take_rate(told, rate, now_ms)
        if told.mark is not None:
            self._take_mark(_Mark(told.mark, stamp_ms), now_ms)
        return frames + self.flush(now_ms)

    def flush(self, now_ms: int) -> list[bytes]:
        """Return the frame that says what is not said yet, once it is time for it."""
        if self._sent_ms is not None and 0 <= now_ms - self._sent_ms < FRAME_EVERY_MS:
            return []
        return self._said(now_ms)

    def _is_of_before(self, rate: _Rate) -> bool:
        """Tell whether an answer is older than what is known: by its clock, or because the time that it names is over."""
        before = self._rate
        return before is not None and (rate.stamp_ms < before.stamp_ms or before.at_ms > rate.at_ms <= rate.stamp_ms)

    def _take_rate(self, told: Told, rate: _Rate, now_ms: int) -> list[bytes]:
        before = self._rate
        if before is None or rate.at_ms == before.at_ms:
            self._rate, self._is_new = rate, True
            return []
        return self._turn(told, before, rate, now_ms)

    def _turn(self, told: Told, before: _Rate, rate: _Rate, now_ms: int) -> list[bytes]:
        """Say the last word of the time before, then begin with another."""
        if told.stamp_ms is None and abs(now_ms - before.at_ms) < _NEAR_MS:
            # Our clock may be a little behind the venue's, which names a time no more once it is over.
            rate = msgspec.structs.replace(rate, stamp_ms=max(rate.stamp_ms, before.at_ms))
        if rate.at_ms > before.at_ms and rate.stamp_ms >= before.at_ms - _OVER_MS and told.settled is not None:
            stamp_ms = max(before.stamp_ms, min(before.at_ms, rate.stamp_ms))
            self._rate, self._is_new = _Rate(before.at_ms, told.settled, stamp_ms, now_ms), True
        frames = self._said(now_ms)
        self._rate, self._is_new, self._sent_ms = rate, True, None
        if self._later is not None:
            self._mark, self._later = self._later, None
        return frames

    def _take_mark(self, mark: _Mark, now_ms: int) -> None:
        self._mark_heard_ms = now_ms
        if self._rate is not None and mark.stamp_ms > self._rate.at_ms:
            self._later = mark
        elif self._mark is None or mark.stamp_ms >= self._mark.stamp_ms:
            self._mark, self._is_new = mark, True

    def _said(self, now_ms: int) -> list[bytes]:
        """Return the frame of what is known and not said yet."""
        rate, mark = self._rate, self._mark
        if not self._is_new or rate is None or now_ms - rate.heard_ms > RATE_HEARD_MS:
            return []
        self._event_ms = max(self._event_ms, rate.stamp_ms, 0 if mark is None else mark.stamp_ms)
        is_known = mark is not None and self._event_ms - mark.stamp_ms <= MARK_HEARD_MS
        price = mark.price if mark is not None and is_known else Decimal(0)
        self._is_new, self._sent_ms = False, now_ms
        return [encode_mark(self._symbol, self._event_ms, price, rate.rate, rate.at_ms)]


class _MarkPrice(msgspec.Struct):
    e: str
    E: int
    s: str
    p: str
    r: str
    T: int


_encoder = msgspec.json.Encoder()


def encode_mark(symbol: str, event_ms: int, mark: Decimal, rate: Decimal, at_ms: int) -> bytes:
    """Return a mark price frame; numbers are rounded to the eighteen digits that the scanner reads."""
    return _encoder.encode(_MarkPrice("markPriceUpdate", event_ms, symbol, _text(mark), _text(rate), at_ms))


def _text(value: Decimal) -> str:
    shown = _DIGITS.plus(value)
    if _places(shown) > _PLACES_MAX:
        shown = shown.quantize(Decimal(1).scaleb(-_PLACES_MAX), rounding=ROUND_HALF_EVEN).normalize()
    return f"{shown:f}"


def _places(value: Decimal) -> int:
    exponent = value.as_tuple().exponent
    return -exponent if isinstance(exponent, int) else 0


def _number(value: object) -> Decimal | None:
    """Return a number as ccxt or a venue writes it; the shortest repr of a float gives the venue's digits back."""
    if not isinstance(value, int | float | str | Decimal) or isinstance(value, bool):
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _positive(value: object) -> Decimal | None:
    number = _number(value)
    return number if number is not None and 0 < number < Decimal(10) ** 15 else None


def _rate(value: object) -> Decimal | None:
    number = _number(value)
    return number if number is not None and abs(number) < _RATE_MAX else None


def _stamp(value: object) -> int | None:
    number = _number(value)
    return int(number) if number is not None and 0 < number < _STAMP_MAX else None
