"""Feed trust: how far a book can be vouched for, from evidence only (design law 7).

Four kinds of evidence, none of which may be missing: the sequence (is the book a gapless fold?), the book itself (crossed or locked?),
its age on two clocks (ours since the last frame; the venue's, against the smallest delay seen, so that a skewed clock neither hides nor
invents staleness), and the trades (do they print where the book says they should?). Unless all agree, no order may increase risk.
"""

import msgspec

from smartmoney.core.domain.signals import FeedTrust

_S = 1_000_000_000


class TrustLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Bound the evidence. Ages in seconds; `trade_outside_max` is the share of recent trades that printed outside the book."""

    stale_after_s: float = 5.0
    lag_s_max: float = 5.0
    crossed_s_max: float = 0.25
    malformed_quiet_s: float = 5.0
    trade_outside_max: float = 0.5
    unproven_stale_after_s: float = 3.0
    """For feeds that can prove no sequence: older than this, and the book may have missed anything."""


class FeedEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """Collect what is known of one book at one moment. Ages in ns; None where it never happened."""

    is_synced: bool
    proves_sequence: bool
    age_ns: int | None
    lag_ns: int
    crossed_for_ns: int | None
    malformed_ago_ns: int | None
    trade_outside: float


class Trust(msgspec.Struct, frozen=True, kw_only=True):
    """Give the verdict and the evidence that decided it, in words."""

    state: FeedTrust
    reason: str


def assess(evidence: FeedEvidence, limits: TrustLimits) -> Trust:
    """Judge one feed. Written so that NaN or absent evidence never counts as good."""
    if not evidence.is_synced:
        return Trust(state=FeedTrust.RESYNCING, reason="the book waits for a snapshot")
    stale_after = limits.stale_after_s if evidence.proves_sequence else limits.unproven_stale_after_s
    if evidence.age_ns is None or not (evidence.age_ns <= stale_after * _S):
        return Trust(state=FeedTrust.STALE, reason=f"no frame for {_seconds(evidence.age_ns)}")
    if not (evidence.lag_ns <= limits.lag_s_max * _S):
        return Trust(state=FeedTrust.STALE, reason=f"frames arrive {_seconds(evidence.lag_ns)} late by the venue's clock")
    if evidence.crossed_for_ns is not None and not (evidence.crossed_for_ns <= limits.crossed_s_max * _S):
        return Trust(state=FeedTrust.SUSPECT, reason=f"crossed or locked for {_seconds(evidence.crossed_for_ns)}")
    if evidence.malformed_ago_ns is not None and evidence.malformed_ago_ns < limits.malformed_quiet_s * _S:
        return Trust(state=FeedTrust.SUSPECT, reason=f"an unreadable frame {_seconds(evidence.malformed_ago_ns)} ago")
    if not (evidence.trade_outside <= limits.trade_outside_max):
        return Trust(state=FeedTrust.SUSPECT, reason=f"{evidence.trade_outside:.0%} of recent trades printed outside the book")
    words = (
        "gapless, fresh, uncrossed, trades agree" if evidence.proves_sequence else "fresh, uncrossed, trades agree; no sequence to prove it"
    )
    return Trust(state=FeedTrust.SYNCED, reason=words)


def _seconds(age_ns: int | None) -> str:
    return "ever" if age_ns is None else f"{age_ns / _S:.1f} s"
