"""Targets that are not at the venue: it holds what is to be sold for one order only, and that one is the stop.

The target is watched here, at every tick and every reply, and taken as an exit once the price that we would get has reached it: first as a
limit within the collar, immediate or cancel, then at market, as every exit. The stop goes first, because what is to be sold is held by it;
so the target costs a taker's fee, and is taken only while the daemon lives. What it is travels in the stop's intent, for a restart.

Such a venue is not told which way a trigger works: a level above the market is one that waits for a rise. So a stop that arrives after the
market has passed its level does nothing; what is held is closed where the market stays beyond a stop that does not act.

Invariants: an untrusted or one-sided book reaches no target; a target is taken once; without a right stop nothing is watched, protection
comes first and looks for a crossed target by itself.
"""

import msgspec

from smartmoney.core.domain.orders import OrderIntent
from smartmoney.core.execution.plan import ExitPlan, PositionPlan
from smartmoney.core.execution.view import Quote

REASON = "target"
"""What the round trip is told to have ended with, as where the venue fills a target."""
PASSED = "stop_passed"
ACTS_S = 3
"""A stop that the market has passed has acted by then: the venue looks at the last trade, and this at the touch."""
_S = 1_000_000_000


def is_reached(plan: PositionPlan, held: int, quote: Quote) -> bool:
    """Tell whether what is held could be closed at its target, or better, now."""
    if plan.target_ticks is None or not quote.is_usable or held == 0:
        return False
    if held > 0:
        return quote.best_bid_ticks >= plan.target_ticks
    return quote.best_ask_ticks <= plan.target_ticks


def due_exit(plan: PositionPlan, held: int, quote: Quote, now_mono_ns: int) -> ExitPlan | None:
    """Return the exit that is due beside a right stop: its target is reached, or the market stays beyond the stop and that does not act."""
    if is_reached(plan, held, quote):
        return ExitPlan(reason=REASON, signal_id=plan.signal_id)
    if plan.stop_ticks is None or not quote.is_usable:
        return None
    touch, sign = (quote.best_bid_ticks, 1) if held > 0 else (quote.best_ask_ticks, -1)
    if (touch - plan.stop_ticks) * sign > 0:
        plan.passed_since_ns = None
    elif plan.passed_since_ns is None:
        plan.passed_since_ns = now_mono_ns
    elif now_mono_ns - plan.passed_since_ns >= ACTS_S * _S:
        return ExitPlan(reason=PASSED, at_market=True, signal_id=plan.signal_id)
    return None


def carried_by(plan: PositionPlan, stop: OrderIntent) -> OrderIntent:
    """Return a stop that says where its position's target is."""
    return stop if plan.target_ticks is None else msgspec.structs.replace(stop, target_ticks=plan.target_ticks)
