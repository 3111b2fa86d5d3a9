"""What the paper venue is told: latency, fees, how queues are counted, leverage. Checked when made."""

import math
from decimal import Decimal

import msgspec

QUEUES = ("careful", "even")
"""How cancels ahead of a resting order are counted: none until it must be, or each as its share of the whole queue."""


class PaperParameters(msgspec.Struct, frozen=True, kw_only=True):
    """Configure the paper venue. `fee_in_base`: a spot buy pays its fee in base, as most real venues do; else all fees are in quote.

    `passive_share` is the share of resting orders that are filled where this model fills them, as measured on one's own fills; the others
    rest until they are withdrawn. `funding_bps` is what a long perpetual position pays every eight hours, and a short one receives.
    """

    latency_ms: float = 50.0
    maker_bps: Decimal = Decimal(10)
    taker_bps: Decimal = Decimal(10)
    fee_in_base: bool = False
    queue: str = "careful"
    funding_bps: Decimal = Decimal(0)
    leverage: Decimal = Decimal(1)
    passive_share: float = 1.0

    def __post_init__(self) -> None:
        """Check every parameter; a float given for money becomes the Decimal it prints as.

        Raises:
            ValueError: one is not finite or out of its range.
        """
        for name in ("maker_bps", "taker_bps", "funding_bps", "leverage"):
            value = getattr(self, name)
            if not isinstance(value, Decimal):
                value = Decimal(str(value))
                msgspec.structs.force_setattr(self, name, value)
            if not value.is_finite():
                raise ValueError(f"paper.{name} must be finite, not {value}")
        if not (math.isfinite(self.latency_ms) and self.latency_ms >= 0):
            raise ValueError(f"paper.latency_ms must be finite and not negative, not {self.latency_ms}")
        if not 0.0 <= self.passive_share <= 1.0:
            raise ValueError(f"paper.passive_share must lie between 0 and 1, not {self.passive_share}")
        if self.queue not in QUEUES:
            raise ValueError(f"paper.queue must be one of {', '.join(QUEUES)}, not {self.queue!r}")
        if self.taker_bps < 0 or self.leverage <= 0:
            raise ValueError("paper.taker_bps must not be negative and paper.leverage must be positive")
