"""What every format of history is turned into: levels and prints, with texts of numbers as they stood, and what had to be mended.

Times are ns since 1970. `wall` is when the recorder received it (the venue's time where the format has no other), `event` the venue's.
"""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation

import msgspec

Level = tuple[str, str]
"""Price and quantity as plain decimal texts; quantity "0" removes the level."""

_EARLIEST_NS = 1_230_768_000 * 1_000_000_000
_LATEST_NS = 2_524_608_000 * 1_000_000_000
_NS_PER = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
_BELOW = (("s", 10**11), ("ms", 10**14), ("us", 10**17), ("ns", 10**20))

_EXCHANGE = "exchange"
_MARKETS = {"binance": "spot", "binance-us": "spot", "binance-futures": "usdm", "binance-delivery": "coinm", "bybit-spot": "spot"}
"""Markets of the exchanges that have only one, by Tardis' names."""


class HistoryRefused(Exception):
    """Say what is wrong with a file, and the remedy."""

    exit_code = 1


class FileRefused(HistoryRefused):
    """Say it of the whole file, or of a line that is named already."""


class LevelsChanged(msgspec.Struct, frozen=True):
    """Be a book change, or with `is_whole` a whole book: of both sides, or of `only_side` (0 bids, 1 asks) alone.

    `update_id` is the venue's last id in it, `previous_id` the one that it must follow; -1 where the format has none. `is_anew` is a whole
    book in the stream of the updates, with which their ids may begin anew; before one that `follows_gap` updates are missing.
    """

    wall_ns: int
    event_ns: int
    symbol: str
    is_whole: bool
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    only_side: int = -1
    update_id: int = -1
    previous_id: int = -1
    is_anew: bool = False
    follows_gap: bool = False


class Printed(msgspec.Struct, frozen=True):
    """Be a public trade; `trade_id` is -1 where it has none, `name` what the venue calls it where that is no number."""

    wall_ns: int
    event_ns: int
    symbol: str
    trade_id: int
    price: str
    quantity: str
    buyer_is_maker: bool
    name: str = ""


class FundingTold(msgspec.Struct, frozen=True):
    """Be what a venue says of a perpetual's funding: mark price and rate (signed) as plain decimal texts, and the next time of payment."""

    wall_ns: int
    event_ns: int
    symbol: str
    mark: str
    rate: str
    next_ns: int


Event = LevelsChanged | Printed | FundingTold
Events = Iterator[Event]


class Repairs:
    """Count what was mended or left out, in words: each kind once, with its number."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self._agreed: dict[str, str] = {}

    def agree(self, subject: str, kind: str, where: str) -> None:
        """Note by which kind of file something is told.

        Raises:
            HistoryRefused: another kind tells it already.
        """
        other = self._agreed.setdefault(subject, kind)
        if other != kind:
            raise HistoryRefused(f"{where}: {kind} beside {other} tell the same {subject} twice; give one of the two kinds")

    def exchange(self, name: str, market: str | None, where: str) -> None:
        """Note of which exchange rows are, in Tardis' words.

        Raises:
            FileRefused: rows before were of another one, or it is known to be of another market than the one that is meant.
        """
        if not name.isprintable():
            raise FileRefused(f"{where}: {name[:20]!r} is no exchange; is the file damaged?")
        other = self._agreed.setdefault(_EXCHANGE, name)
        if other != name:
            raise FileRefused(f"{where}: mixed instruments: rows of {name} beside those of {other}; give files of one exchange")
        known = _MARKETS.get(name)
        if market is not None and known is not None and known != market:
            raise FileRefused(f"{where}: rows of {name}, whose market is {known}, not {market}; say --market {known}")

    def time(self, text: str | int, where: str, own: Sequence[str]) -> int:
        """Return a time in ns as `nanoseconds` does, and note a unit that is not the form's own.

        Raises:
            HistoryRefused: it is no time.
        """
        found, unit = _timed(text, where)
        if unit not in own:
            self.note(f"times ({where.rpartition(': ')[2]}) in {unit} where the form has {' or '.join(own)}, read as {unit}")
        return found

    def note(self, what: str, count: int = 1) -> None:
        """Count something."""
        if count:
            self.counts[what] = self.counts.get(what, 0) + count

    def lines(self) -> list[str]:
        """Return what was noted."""
        return [f"{what}: {count:,}" for what, count in self.counts.items()]


def nanoseconds(text: str | int, where: str) -> int:
    """Return a time in ns; its unit (s, ms, us, ns) is told by its size.

    Raises:
        HistoryRefused: it is no time between 2009 and 2050 in any of them.
    """
    return _timed(text, where)[0]


def _timed(text: str | int, where: str) -> tuple[int, str]:
    """Return a time in ns, and the unit that it was in."""
    try:
        value = int(text)
    except ValueError:
        raise HistoryRefused(f"{where}: {text!r} is no time; whole seconds, ms, us or ns since 1970 are wanted") from None
    for unit, below in _BELOW:
        if 0 < value < below:
            found = value * _NS_PER[unit]
            if _EARLIEST_NS <= found < _LATEST_NS:
                return found, unit
    raise HistoryRefused(f"{where}: {value} is no time between 2009 and 2050 in s, ms, us or ns; is the column right?")


def whole_number(text: str, where: str) -> int:
    """Return an id or a count.

    Raises:
        HistoryRefused: it is none.
    """
    try:
        return int(text)
    except ValueError:
        raise HistoryRefused(f"{where}: {text!r} is no whole number") from None


def decimal_text(text: str, where: str, *, may_be_zero: bool) -> str:
    """Return a price or quantity as plain decimal text without an exponent or trailing zeros.

    Raises:
        HistoryRefused: it is no number, negative, or zero where it must not be.
    """
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise HistoryRefused(f"{where}: {text!r} is no number") from None
    if not value.is_finite() or value < 0 or (value == 0 and not may_be_zero):
        raise HistoryRefused(f"{where}: {text!r} is no {'quantity' if may_be_zero else 'price or size'}; above zero is wanted")
    return f"{value.normalize():f}"


def signed_text(text: str, where: str) -> str:
    """Return a rate, which may be negative or nothing, as plain decimal text.

    Raises:
        HistoryRefused: it is no number.
    """
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise HistoryRefused(f"{where}: {text!r} is no number") from None
    if not value.is_finite():
        raise HistoryRefused(f"{where}: {text!r} is no rate")
    return f"{value.normalize():f}"


def level_of(price: str, quantity: str, where: str) -> Level:
    """Return a level of a book; see `decimal_text`."""
    return decimal_text(price, f"{where}: price", may_be_zero=False), decimal_text(quantity, f"{where}: quantity", may_be_zero=True)


def columns_of(header: Sequence[str], wanted: Sequence[str], where: str) -> list[int]:
    """Return where the wanted columns stand.

    Raises:
        HistoryRefused: one is missing.
    """
    place = {name.strip().lower(): number for number, name in enumerate(header)}
    missing = [name for name in wanted if name not in place]
    if missing:
        raise HistoryRefused(f"{where}: no column {', '.join(missing)}; there are {', '.join(header)}")
    return [place[name] for name in wanted]


def lacking(header: Sequence[str], kinds: Mapping[str, Sequence[str]]) -> str:
    """Return what a header lacks of the kinds of file that it comes closest to; empty where it has little of any."""
    names = {name.strip().lower() for name in header}
    lacks = {kind: [name for name in wanted if name not in names] for kind, wanted in kinds.items()}
    least = min(len(missing) for missing in lacks.values())
    close = {kind: missing for kind, missing in lacks.items() if len(missing) == least and 2 * least <= len(kinds[kind])}
    return "".join(f"; of {kind} it has no column {', '.join(missing)}" for kind, missing in close.items())
