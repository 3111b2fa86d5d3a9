"""From a signal's size to an order's size: a target, less what is held, less what is working. Integers and Decimal, no float money.

Invariants: a difference never turns a position round: an opposite signal closes first, and reverses at a later decision; on spot nothing
is ever sold that is not held (a sell takes back an entry that works); a target never exceeds size times equity at the touch that an order
would meet; what entries are scaled by never makes one sell.
"""

from decimal import Decimal

import msgspec

from smartmoney.core.domain.instruments import Instrument
from smartmoney.core.domain.orders import Side
from smartmoney.core.domain.signals import RefusalCode

NO_SHORTS = "spot has no shorts, and nothing is held"
TOO_SMALL = "the target is below the venue's minimum order"
AWAY_TOO_LITTLE = "too few lots away from the target to order"


class Holding(msgspec.Struct, frozen=True, kw_only=True):
    """State what is held and working of one instrument, in signed lots, and the equity behind it in quote (None while unknown)."""

    position_lots: int
    working_lots: int
    equity: Decimal | None


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Say what a signal comes to. `refusal` is set when there is nothing to order; `reduces` when the order can only lower risk."""

    target_lots: int
    delta_lots: int
    reduces: bool
    refusal: RefusalCode | None = None
    detail: str = ""


def is_tradable(lots: int, price: Decimal, instrument: Instrument) -> bool:
    """Tell whether a quantity is at or above the venue's minimum order; below it a position counts as flat."""
    return abs(lots) >= max(1, instrument.min_lots) and abs(lots) * instrument.lot_size * price >= instrument.min_notional


def plan_order(
    side: Side, size: float, price: Decimal, instrument: Instrument, holding: Holding, rebalance_band: float, scale: float = 1.0
) -> Plan:
    """Return target and difference of a signal. `price` is the touch that the order would meet.

    `rebalance_band`: a difference on a held position smaller than this share of the larger of target and position is noise, which is not
    worth a fee: sizes move with every decision's confidence. `scale`: the share of its size up to which a position may be entered or
    added to; a position that is larger already stays.
    """
    sign = side.sign
    held, working = sign * holding.position_lots, sign * holding.working_lots
    is_held = is_tradable(held, price, instrument)
    if is_held and held < 0:
        return _close(sign, held, working, price, instrument)
    if side is Side.SELL and not instrument.allows_short and is_tradable(working, price, instrument) and working < 0:
        # Nothing is held, but an entry works: it is what can be given back.
        return Plan(target_lots=0, delta_lots=sign * -working, reduces=True)
    if side is Side.SELL and not instrument.allows_short:
        return _nothing(0, RefusalCode.NO_POSITION, NO_SHORTS)
    if holding.equity is None:
        return _nothing(0, RefusalCode.NOT_WARM, "equity")
    whole = max(0, instrument.floor_lots(Decimal(repr(size)) * holding.equity / price))
    target = whole if scale >= 1.0 else max(_scaled(whole, scale), min(whole, max(0, held + working)))
    wanted = target - held - working
    if wanted < 0:
        # More is held than wanted: only what is held can be given back, and not what is on its way back already.
        wanted = -min(-wanted, max(0, held + min(0, working)))
    band_lots = rebalance_band * max(target, held) if is_held else 0.0
    if is_tradable(wanted, price, instrument) and abs(wanted) >= band_lots:
        return Plan(target_lots=sign * target, delta_lots=sign * wanted, reduces=wanted < 0)
    if target < whole and wanted <= 0 and whole > held + working:
        detail = f"drift: new entries are scaled by {scale:g}"
        return _nothing(sign * target, RefusalCode.SIZE_SHRUNK, detail)
    if not is_held and working <= 0:
        return _nothing(sign * target, RefusalCode.BELOW_MIN_NOTIONAL, TOO_SMALL)
    return _nothing(sign * target, RefusalCode.AT_TARGET, AWAY_TOO_LITTLE)


def _scaled(lots: int, scale: float) -> int:
    return int(lots * Decimal(repr(scale))) if scale > 0.0 else 0


def _close(sign: int, held: int, working: int, price: Decimal, instrument: Instrument) -> Plan:
    # Working orders that add to the position are about to be withdrawn; those that close it count.
    wanted = max(0, -held - max(0, working))
    if is_tradable(wanted, price, instrument):
        return Plan(target_lots=0, delta_lots=sign * wanted, reduces=True)
    return Plan(target_lots=0, delta_lots=0, reduces=True, refusal=RefusalCode.AT_TARGET, detail="the position is being closed already")


def _nothing(target: int, code: RefusalCode, detail: str) -> Plan:
    return Plan(target_lots=target, delta_lots=0, reduces=False, refusal=code, detail=detail)
