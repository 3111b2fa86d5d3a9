"""Feed trust, a table: each kind of evidence alone is enough to withhold it, and absent evidence never counts as good."""

import math

import msgspec
import pytest

from smartmoney.core.book.trust import FeedEvidence, TrustLimits, assess
from smartmoney.core.domain.signals import FeedTrust

S = 1_000_000_000
GOOD = FeedEvidence(is_synced=True, proves_sequence=True, age_ns=S, lag_ns=0, crossed_for_ns=None, malformed_ago_ns=None, trade_outside=0.0)
SYNCED, SUSPECT, STALE, RESYNCING = FeedTrust.SYNCED, FeedTrust.SUSPECT, FeedTrust.STALE, FeedTrust.RESYNCING


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, SYNCED),
        ({"is_synced": False}, RESYNCING),
        ({"age_ns": None}, STALE),
        ({"age_ns": 5 * S}, SYNCED),
        ({"age_ns": 5 * S + 1}, STALE),
        ({"age_ns": 4 * S, "proves_sequence": False}, STALE),
        ({"age_ns": 3 * S, "proves_sequence": False}, SYNCED),
        ({"lag_ns": 5 * S}, SYNCED),
        ({"lag_ns": 5 * S + 1}, STALE),
        ({"crossed_for_ns": 250_000_000}, SYNCED),
        ({"crossed_for_ns": 250_000_001}, SUSPECT),
        ({"malformed_ago_ns": 0}, SUSPECT),
        ({"malformed_ago_ns": 5 * S - 1}, SUSPECT),
        ({"malformed_ago_ns": 5 * S}, SYNCED),
        ({"trade_outside": 0.5}, SYNCED),
        ({"trade_outside": 0.51}, SUSPECT),
        ({"trade_outside": math.nan}, SUSPECT),
        ({"is_synced": False, "age_ns": None, "crossed_for_ns": 9 * S}, RESYNCING),
        ({"age_ns": 9 * S, "malformed_ago_ns": 0}, STALE),
    ],
)
def test_verdict(changes, verdict):
    trust = assess(msgspec.structs.replace(GOOD, **changes), TrustLimits())
    assert trust.state is verdict
    assert trust.reason


def test_limits_decide_not_constants():
    patient = TrustLimits(stale_after_s=60.0, trade_outside_max=1.0)
    assert assess(msgspec.structs.replace(GOOD, age_ns=50 * S, trade_outside=0.99), patient).state is SYNCED
