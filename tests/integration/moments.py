"""When a made-up exchange begins, where a test must mean the same at any time of day: limits are counted by its clock, and funding is due by it.

The exchange may begin ahead of this machine's clock, and never behind it: it would first make up what it missed.
"""

MINUTE_NS = 60 * 10**9
FUNDING_NS = 8 * 60 * MINUTE_NS
_CLEAR_NS = 60 * MINUTE_NS


def in_a_new_minute(now_ns):
    """Return the first second of the next minute: no window of a limit ends within the nine seconds, or the fifty-nine, after it."""
    return (now_ns // MINUTE_NS + 1) * MINUTE_NS + MINUTE_NS // 60


def far_from_funding(now_ns):
    """Return the moment itself, or one just after the next funding where that would be within the hour."""
    is_near = now_ns // FUNDING_NS != (now_ns + _CLEAR_NS) // FUNDING_NS
    return (now_ns // FUNDING_NS + 1) * FUNDING_NS + MINUTE_NS if is_near else now_ns
