"""When Python has to look next: what is held, what works and what is due decide how far a stretch of frames may reach.

Invariant: what is answered here is never later than the first moment at which `Engine.step` would do anything at all.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from smartmoney.core.book.state import ASK, BID
from smartmoney.core.engine.stretch import EACH_TICK, Mark, Until, Waits
from smartmoney.core.execution.view import Quote

if TYPE_CHECKING:
    from smartmoney.core.engine.engine import Engine

_DAY_NS = 86_400 * 1_000_000_000
_LOOK_AT_EACH = Until(each=True)


def until(engine: "Engine", waits: Waits, now_wall_ns: int, origin_ns: int) -> Until:
    """Return where a stretch that begins at `now_wall_ns` has to end; `origin_ns` is the wall clock when the monotonic one showed 0."""
    if waits.each:
        return _LOOK_AT_EACH
    portfolio = engine.executor.portfolio
    # While a past is folded nothing is valued: it does not matter what is held.
    is_exposed = portfolio.is_exposed and not engine.is_warming
    held = [index for index in range(len(portfolio.instruments)) if portfolio.position(index).quantity != 0] if is_exposed else []
    # What follows the touch needs a book that can be relied on, at the venue or on its way there.
    chases = engine.executor.chases()
    wanted = [*(price.instrument for price in waits.prices), *(one.instrument for one in chases)]
    watched = tuple(sorted({*held, *wanted})) if held or wanted else ()
    # A new day of the daily loss opens with the first look at equity in it.
    day_ends_ns = (now_wall_ns // _DAY_NS + 1) * _DAY_NS - origin_ns
    pay_ns = waits.pay_wall_ns - origin_ns
    # What travels to the venue arrives at the first entry after its latency, a tick or another.
    act_ns = min(waits.due_mono_ns, pay_ns)
    is_new_day = engine.money.is_new_day(now_wall_ns)
    tick_ns = EACH_TICK if is_new_day else min(engine.tick_due_ns(), day_ends_ns, act_ns)
    round_ns = engine.brain.round_ns
    if not watched:
        return Until(act_mono_ns=act_ns, tick_mono_ns=tick_ns, round_mono_ns=round_ns)
    quotes = engine.quotes()
    is_trusted = all(quotes[index].is_usable and not engine.market.is_crossing(index) for index in watched)
    if not is_trusted or not engine.money.is_steady:
        return _LOOK_AT_EACH
    if not held:
        return Until(watched=watched, prices=waits.prices, chases=chases, act_mono_ns=act_ns, tick_mono_ns=tick_ns, round_mono_ns=round_ns)
    if is_new_day or not engine.has_looked or not portfolio.has_position():
        return _LOOK_AT_EACH
    return Until(
        watched=watched,
        prices=waits.prices,
        marks=_marks(engine, held, quotes),
        chases=chases,
        act_mono_ns=min(act_ns, day_ends_ns),
        tick_mono_ns=tick_ns,
        round_mono_ns=round_ns,
    )


def _marks(engine: "Engine", held: list[int], quotes: Sequence[Quote]) -> tuple[Mark, ...]:
    """Return within which marks nothing happens."""
    executor = engine.executor
    sides = [BID if executor.portfolio.position(index).quantity > 0 else ASK for index in held]
    now = {
        index: quotes[index].best_bid_ticks if side == BID else quotes[index].best_ask_ticks
        for index, side in zip(held, sides, strict=True)
    }
    found = zip(held, sides, engine.money.bounds(now), strict=True)
    return tuple([Mark(index, side, max(low, executor.closable_ticks(index)), high) for index, side, (low, high) in found])
