"""The kill switch: a pure transition from what is known of equity to halted or not.

Invariants: equity that cannot be computed while something is held trips after `mark_grace_s`; a drawdown trips once it has held
`breach_hold_ms`; the peak never falls within an epoch; nothing but `resume` ever clears a halt; every halt and resume raises the epoch by
one. A caller journals a raised peak (`KillState.halt.peak` changed) before it decides anything with it.
"""

from decimal import ROUND_CEILING, Context, Decimal, localcontext
from enum import StrEnum

import msgspec

from smartmoney.core.domain.entries import HaltState
from smartmoney.core.risk.parameters import RiskLimits

_MS = 1_000_000
_S = 1_000_000_000
_WIDE = Context(prec=60)
_UNIT = Decimal("1e-8")


DRAWDOWN = "drawdown: "
FLATTEN = "flatten: "
"""How the reasons of halts begin that close every position; an operator's plain halt begins otherwise."""


class HaltCause(StrEnum):
    """Say what tripped, because it decides whether to flatten."""

    DRAWDOWN = "drawdown"
    BLIND = "blind"
    REQUESTED = "requested"


class KillState(msgspec.Struct, frozen=True, kw_only=True):
    """Carry the switch: the durable part, and since when a breach or blindness has lasted (monotonic ns)."""

    halt: HaltState = HaltState()
    breach_since_ns: int | None = None
    blind_since_ns: int | None = None


class KillEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Report a halt that has just begun: everything that `RecordHalt` needs. `must_flatten` is false where the book cannot be trusted."""

    cause: HaltCause
    reason: str
    epoch: int
    equity: Decimal | None
    peak: Decimal | None
    must_flatten: bool


class ResumeEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Report a re-arm: everything that `RecordResume` needs."""

    reason: str
    epoch: int
    old_peak: Decimal | None
    new_peak: Decimal


class ResumeDenied(msgspec.Struct, frozen=True, kw_only=True):
    """Say why a re-arm was refused."""

    reason: str


def drawdown(equity: Decimal | None, peak: Decimal | None) -> Decimal | None:
    """Return the loss from the peak as a fraction of it, never below 0; None when either is unknown or the peak is not positive."""
    known = _known(equity)
    if known is None or peak is None or peak <= 0:
        return None
    return max(Decimal(0), (peak - known) / peak)


def observe(
    state: KillState, equity: Decimal | None, has_position: bool, now_mono_ns: int, limits: RiskLimits
) -> tuple[KillState, KillEvent | None]:
    """Fold one look at equity into the switch; return the new state and the halt that it caused, if any.

    Without a position equity is cash, so that being unable to mark trips nothing; a loss already realised still does. A halt that left a
    position open does not end the watch: a drawdown under it closes the position, as a halt of its own.
    """
    if is_closing(state.halt):
        return state, None
    known = _known(equity)
    if known is None:
        return _observe_blind(state, has_position, now_mono_ns, limits)
    if state.halt.halted and not has_position:
        return KillState(halt=state.halt), None
    peak = known if state.halt.peak is None else state.halt.peak if state.halt.halted else max(state.halt.peak, known)
    halt = state.halt if state.halt.halted or peak == state.halt.peak else msgspec.structs.replace(state.halt, peak=peak)
    if known > peak * (1 - limits.max_drawdown):
        return KillState(halt=halt), None
    since = now_mono_ns if state.breach_since_ns is None else state.breach_since_ns
    breached = KillState(halt=halt, breach_since_ns=since)
    if now_mono_ns - since < limits.breach_hold_ms * _MS:
        return breached, None
    lost = (peak - known) / peak if peak > 0 else Decimal(1)
    reason = f"{DRAWDOWN}equity {known:.2f} is {lost:.3%} below its peak {peak:.2f}; {limits.max_drawdown:.3%} is allowed"
    return _trip(breached, HaltCause.DRAWDOWN, reason, known, must_flatten=True)


def halt(state: KillState, reason: str, equity: Decimal | None = None, *, must_flatten: bool = False) -> tuple[KillState, KillEvent | None]:
    """Halt on request, of an operator or of the program itself.

    A switch that is halted stays as it is, unless this halt closes positions and the one in force does not.
    """
    if state.halt.halted and (is_closing(state.halt) or not must_flatten):
        return state, None
    return _trip(state, HaltCause.REQUESTED, reason, _known(equity), must_flatten=must_flatten)


def resume(state: KillState, equity: Decimal | None, reason: str) -> tuple[KillState, ResumeEvent | ResumeDenied]:
    """Re-arm on an operator's word and start a new drawdown epoch whose peak is equity now."""
    known = _known(equity)
    if not reason.strip():
        return state, ResumeDenied(reason="a resume needs a reason")
    if not state.halt.halted:
        return state, ResumeDenied(reason="not halted")
    if known is None:
        return state, ResumeDenied(reason="equity is unknown: a position is held and its book cannot be trusted")
    epoch = state.halt.epoch + 1
    event = ResumeEvent(reason=reason, epoch=epoch, old_peak=state.halt.peak, new_peak=known)
    return KillState(halt=HaltState(halted=False, reason="", epoch=epoch, peak=known)), event


def is_closing(halt: HaltState) -> bool:
    """Tell whether a halt is in force that closes every position: a restart in its middle goes on closing."""
    return halt.halted and halt.reason.startswith((DRAWDOWN, FLATTEN))


def transfer(state: KillState, equity: Decimal, amount: Decimal) -> KillState:
    """Move the peak by a deposit (positive) or a withdrawal (negative), which are neither profit nor loss.

    The peak moves by the same factor as equity, so that the drawdown stays what it was: a withdrawal cannot trip the switch, and a
    deposit cannot hide a loss. `equity` is that before the transfer; it and what is left must be positive.
    """
    if state.halt.peak is None:
        return state
    return msgspec.structs.replace(state, halt=msgspec.structs.replace(state.halt, peak=rescaled(state.halt.peak, equity, amount)))


def rescaled(level: Decimal, equity: Decimal, amount: Decimal) -> Decimal:
    """Return a level of equity, such as the peak, after a transfer; rounded up to 1e-8, so that no loss is forgotten by rounding."""
    with localcontext(_WIDE):
        return (level * (equity + amount) / equity).quantize(_UNIT, rounding=ROUND_CEILING)


def _known(equity: Decimal | None) -> Decimal | None:
    return equity if isinstance(equity, Decimal) and equity.is_finite() else None


def _observe_blind(state: KillState, has_position: bool, now_mono_ns: int, limits: RiskLimits) -> tuple[KillState, KillEvent | None]:
    if not has_position or state.halt.halted:
        return msgspec.structs.replace(state, blind_since_ns=None, breach_since_ns=None), None
    since = now_mono_ns if state.blind_since_ns is None else state.blind_since_ns
    blind = msgspec.structs.replace(state, blind_since_ns=since)
    if now_mono_ns - since <= limits.mark_grace_s * _S:
        return blind, None
    reason = f"equity could not be computed for {limits.mark_grace_s} s while a position is held"
    return _trip(blind, HaltCause.BLIND, reason, None, must_flatten=False)


def _trip(state: KillState, cause: HaltCause, reason: str, equity: Decimal | None, *, must_flatten: bool) -> tuple[KillState, KillEvent]:
    epoch = state.halt.epoch + 1
    tripped = KillState(halt=HaltState(halted=True, reason=reason, epoch=epoch, peak=state.halt.peak))
    event = KillEvent(cause=cause, reason=reason, epoch=epoch, equity=equity, peak=state.halt.peak, must_flatten=must_flatten)
    return tripped, event
