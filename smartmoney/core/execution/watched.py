"""Targets that are not at the venue: it holds what is to be sold for one order only, and that one is the stop.

The target is watched here, at every tick and every reply, and taken as an exit once the price that we would get has reached it: first as a
limit within the collar, immediate or cancel, then at market, as every exit. The stop goes first, because what is to be sold is held by it;
so the target costs a taker's fee, and is taken only while the daemon lives. What it is travels in the stop's intent, for a restart.

Invariants: an untrusted or one-sided book reaches no target; a target is taken once; without a right stop nothing is watched, protection
comes first and looks for a crossed target by itself.
"""

import msgspec

from smartmoney.core.domain.orders import OrderIntent
from smartmoney.core.execution.plan import ExitPlan, PositionPlan
from smartmoney.core.execution.view import Quote

REASON = "target"
"""What the round trip is told to have ended with, as where the venue fills a target."""


def is_reached(plan: PositionPlan, held: int, quote: Quote) -> bool:
    """Tell whether what is held could be closed at its target, or better, now."""
    if plan.target_ticks is None or not quote.is_usable or held == 0:
        return False
    if held > 0:
        return quote.best_bid_ticks >= plan.target_ticks
    return quote.best_ask_ticks <= plan.target_ticks


def exit_of(plan: PositionPlan) -> ExitPlan:
    """Return the exit that takes a target."""
    return ExitPlan(reason=REASON, signal_id=plan.signal_id)


def carried_by(plan: PositionPlan, stop: OrderIntent) -> OrderIntent:
    """Return a stop that says where its position's target is."""
    return stop if plan.target_ticks is None else msgspec.structs.replace(stop, target_ticks=plan.target_ticks)
