"""What the executor is shown of the world with each call, and how prices become ticks.

Invariants: a stop rounds toward the market (never looser than asked), a target rounds toward the market (never further than asked), a
marketable limit rounds inside its collar.
"""

import math
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

import msgspec

from smartmoney.core.domain.instruments import Instrument
from smartmoney.core.domain.orders import Side
from smartmoney.core.domain.signals import FeedTrust

_BPS = Decimal(10_000)


class Quote(msgspec.Struct, frozen=True, kw_only=True):
    """Show the touch of one instrument, in ticks (-1: that side is empty), and how far it can be trusted."""

    best_bid_ticks: int
    best_ask_ticks: int
    trust: FeedTrust

    @property
    def is_usable(self) -> bool:
        """Tell whether both sides are there, uncrossed, in a synced book."""
        return self.trust is FeedTrust.SYNCED and 0 < self.best_bid_ticks < self.best_ask_ticks

    def touch(self, side: Side) -> int:
        """Return the price at which an order of a side would trade now, -1 where there is none."""
        return self.best_ask_ticks if side is Side.BUY else self.best_bid_ticks

    def own_side(self, side: Side) -> int:
        """Return the best price of the queue that a passive order of a side would join, -1 where there is none."""
        return self.best_bid_ticks if side is Side.BUY else self.best_ask_ticks


class ExecutionView(msgspec.Struct, frozen=True, kw_only=True):
    """Show the executor one entry of the inbox: its stamps, a quote per instrument, and what the risk gate needs.

    `seq` is the entry's; client order ids derive from it. `equity` in quote, None when it cannot be computed. `daily_loss` is a fraction
    of today's opening equity.
    """

    seq: int
    now_mono_ns: int
    quotes: tuple[Quote, ...]
    equity: Decimal | None
    halted: bool = False
    halt_epoch: int = 0
    daily_loss: Decimal | None = Decimal(0)


class Chase(msgspec.Struct, frozen=True):
    """Be an entry at `ticks` that follows the touch of `side` of the book: from a monotonic time on, ticks matter where that is better."""

    instrument: int
    side: int
    ticks: int
    from_mono_ns: int


def protective_ticks(instrument: Instrument, position_side: Side, price: float | Decimal) -> int | None:
    """Return the tick of a stop of a position, rounded toward the market: up for a long, down for a short. None when it is no price."""
    return _to_ticks(instrument, price, ROUND_CEILING if position_side is Side.BUY else ROUND_FLOOR)


def target_ticks(instrument: Instrument, position_side: Side, price: float | Decimal) -> int | None:
    """Return the tick of a target of a position, rounded toward the market: down for a long, up for a short. None when it is no price."""
    return _to_ticks(instrument, price, ROUND_FLOOR if position_side is Side.BUY else ROUND_CEILING)


def collar_ticks(side: Side, touch_ticks: int, collar_bps: Decimal) -> int:
    """Return the worst price of a marketable limit: the touch moved against us by the collar, rounded inside it; at least one tick."""
    reach = touch_ticks * (1 + side.sign * collar_bps / _BPS)
    rounding = ROUND_FLOOR if side is Side.BUY else ROUND_CEILING
    return max(1, int(reach.to_integral_value(rounding=rounding)))


def _to_ticks(instrument: Instrument, price: float | Decimal, rounding: str) -> int | None:
    if not math.isfinite(price) or not price > 0:
        return None
    exact = price if isinstance(price, Decimal) else Decimal(str(price))
    ticks = int((exact / instrument.tick_size).to_integral_value(rounding=rounding))
    return ticks if ticks > 0 else None
