"""What the guard does about one instrument, given what it sees at the venue: a pure function, asked again until it has nothing to say.

Invariants: nothing here raises risk; only orders of ours (their ids begin with `sm`) are touched; what is held keeps exactly one stop, for
exactly as much, and on USD-M is never without one on the way there; nothing held means nothing working.
"""

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.core.domain.orders import Side

OUR_PREFIX = "sm"
GUARD_PREFIX = "smg"


class SeenOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Be one open order as the venue shows it. `quantity` is what is still open, in base; `is_stop`: it waits for a worse price."""

    client_id: str
    side: Side
    quantity: Decimal
    is_stop: bool
    is_algo: bool
    reduces: bool
    number: str = ""
    """The venue's own identifier, by which an order without a name is known there."""
    trigger: Decimal = Decimal(0)
    """The level of a stop."""

    @property
    def is_ours(self) -> bool:
        """Tell whether the daemon or the guard made it."""
        return self.client_id.startswith(OUR_PREFIX)


class Cancel(msgspec.Struct, frozen=True):
    """Cancel an order."""

    order: SeenOrder
    why: str


class PlaceStop(msgspec.Struct, frozen=True):
    """Place a stop for everything that is held."""

    side: Side
    lots: int


class Close(msgspec.Struct, frozen=True):
    """Close everything that is held, at market."""

    side: Side
    lots: int


Action = Cancel | PlaceStop | Close


def guard_plan(instrument: Instrument, position: Decimal, orders: Sequence[SeenOrder], *, flatten: bool) -> list[Action]:
    """Return what to do next; nothing when entries are gone and what is held has its stop (or, with `flatten`, when nothing is left)."""
    is_spot = instrument.market is Market.SPOT
    # Spot knows no shorts: where more seems sold than bought, something was counted twice, and nothing is bought for that.
    lots = instrument.floor_lots(max(position, Decimal(0)) if is_spot else abs(position))
    held = lots if lots >= instrument.min_lots else 0
    exit_side = Side.SELL if position > 0 else Side.BUY
    ours = [order for order in orders if order.is_ours]
    if held == 0:
        return [Cancel(order, "nothing is held") for order in ours]
    if flatten:
        return [Cancel(order, "flatten") for order in ours] or [Close(exit_side, min(held, instrument.max_lots))]
    actions: list[Action] = [Cancel(order, "an entry") for order in ours if not order.reduces or order.side is not exit_side]
    if actions:
        return actions
    stops = [order for order in ours if order.is_stop]
    fitting = [order for order in stops if order.quantity == instrument.quantity(held)]
    # Of two the tighter one: what was promised to be lost at most is not more because the daemon died between them.
    right = max(fitting, key=lambda order: order.trigger * (1 if position > 0 else -1), default=None)
    if right is not None:
        return [Cancel(order, "one stop is enough") for order in stops if order is not right]
    if is_spot and ours:
        # What they sell is locked by them: the stop finds room only when they are gone.
        return [Cancel(order, "makes room for the stop") for order in ours]
    return [PlaceStop(exit_side, min(held, instrument.max_lots))]


def hand_over_plan(instrument: Instrument, position: Decimal, orders: Sequence[SeenOrder]) -> list[Action]:
    """Return which of the guard's own orders go that a daemon which is back has not taken over.

    On USD-M they stay until the daemon's own stop stands; on spot they lock what the daemon's stop has to sell, and go at once.
    """
    own = [order for order in orders if order.client_id.startswith(GUARD_PREFIX)]
    theirs = [order for order in orders if order.is_ours and order.is_stop and order not in own]
    is_covered = any(order.quantity >= instrument.quantity(instrument.floor_lots(abs(position))) for order in theirs)
    if instrument.market is not Market.SPOT and not is_covered and instrument.floor_lots(abs(position)) >= instrument.min_lots:
        return []
    return [Cancel(order, "the daemon is back") for order in own]


def expected_position(base: Decimal, executed: Sequence[tuple[Side, Decimal]]) -> Decimal:
    """Return a position after what has been executed since it was known. Quantities in base, fees in base already taken off."""
    return base + sum((side.sign * quantity for side, quantity in executed), Decimal(0))


def stop_price(
    instrument: Instrument, position: Decimal, known: Decimal | None, touch: Decimal | None, fraction: Decimal
) -> Decimal | None:
    """Return where a stop goes: the level that was in force, else a fraction away from the touch; None when neither is known.

    Rounded toward the market, so that it is never looser than meant.
    """
    if known is not None:
        return known
    if touch is None:
        return None
    sign = 1 if position > 0 else -1
    wanted = touch * (1 - sign * fraction) / instrument.tick_size
    ticks = int(wanted.to_integral_value(rounding="ROUND_CEILING" if sign > 0 else "ROUND_FLOOR"))
    return instrument.price(max(1, ticks))
