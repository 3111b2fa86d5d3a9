"""What the paper venue keeps of an order, and of what travels to it."""

import msgspec

from smartmoney.core.domain.orders import OrderIntent, OrderType, Side
from smartmoney.simulation.paper_depth import ASK, BID, DepthView, LastTrade


class Working:
    """Follow one order at the venue.

    `waits` for a synced book; `queue_ahead` is None until it rests in a queue; `shown` is what its level
    showed last, `traded` what has traded there since and is not taken off it yet.
    """

    __slots__ = ("filled", "intent", "leaves", "queue_ahead", "shown", "traded", "trimmed", "venue_order_id", "waits")

    def __init__(self, intent: OrderIntent, venue_order_id: str, filled: int = 0) -> None:
        self.intent = intent
        self.venue_order_id = venue_order_id
        self.filled = filled
        self.leaves = intent.lots - filled
        self.queue_ahead: int | None = None
        self.shown = 0
        self.traded = 0
        self.trimmed = 0
        self.waits = True

    def is_behind(self, view: DepthView) -> bool:
        """Tell whether its level shows something that it has not seen: it sees nothing in a book that cannot be vouched for."""
        ticks = self.intent.price_ticks
        return ticks is not None and view.level_lots(BID if self.intent.side is Side.BUY else ASK, ticks) != self.shown


class Request(msgspec.Struct, frozen=True):
    """Be on the way to the venue: an order, or the cancel of one."""

    due_mono_ns: int
    client_order_id: str
    intent: OrderIntent | None


def trigger_direction(intent: OrderIntent) -> int:
    """Return +1 for what triggers on the way up: a buy stop, a sell take-profit; -1 for their mirrors."""
    return intent.side.sign if intent.type is OrderType.STOP_MARKET else -intent.side.sign


def is_marketable(intent: OrderIntent, view: DepthView) -> bool:
    """Tell whether an order's price reaches the touch that it would trade against."""
    touch = view.best_ask_ticks if intent.side is Side.BUY else view.best_bid_ticks
    return touch > 0 and intent.price_ticks is not None and (intent.price_ticks - touch) * intent.side.sign >= 0


def is_triggered(intent: OrderIntent, view: DepthView, trade: LastTrade | None) -> bool:
    """Tell whether the touch that an order would trade against, or a trade, is at or through its trigger."""
    stop = intent.stop_ticks
    if stop is None:
        return False
    direction = trigger_direction(intent)
    touch = view.best_ask_ticks if intent.side is Side.BUY else view.best_bid_ticks
    if touch > 0 and (touch - stop) * direction >= 0:
        return True
    return trade is not None and (trade.ticks - stop) * direction >= 0
