"""The limits that no order and no loss may pass; `settings` builds them from `risk:`.

Invariants: every limit is finite and positive (or absent where None is allowed); a float given for money becomes the Decimal it prints as.
"""

import math
from decimal import Decimal

import msgspec

_MONEY = ("max_drawdown", "max_position_fraction", "gross_cap", "max_daily_loss", "max_order_notional", "collar_bps")
_OPTIONAL = frozenset({"max_order_notional"})
_COUNTS = ("max_open_orders", "max_orders_per_minute")


class RiskLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Bound what may be risked.

    Units: `max_drawdown` fraction of the equity peak; `breach_hold_ms` for how long a breach must hold; `mark_grace_s` for how long equity
    may be unknown while something is held; `collar_bps` how far past the touch a limit price may reach; `max_order_notional` in quote, None
    is no limit; `max_position_fraction` and `gross_cap` fractions of equity, for one instrument and for all; `max_orders_per_minute` in any
    sliding minute, of which `reserved_orders_per_minute` only orders that reduce risk may use; `max_daily_loss` fraction of the equity at
    00:00 UTC. `reduce_only_exempt`: the venue takes reduce-only orders below its minimum notional.
    """

    max_drawdown: Decimal = Decimal("0.05")
    breach_hold_ms: int = 250
    mark_grace_s: float = 30.0
    collar_bps: Decimal = Decimal(50)
    max_order_notional: Decimal | None = None
    max_position_fraction: Decimal = Decimal("0.25")
    gross_cap: Decimal = Decimal(1)
    max_open_orders: int = 20
    max_orders_per_minute: int = 120
    reserved_orders_per_minute: int = 60
    max_daily_loss: Decimal = Decimal("0.04")
    reduce_only_exempt: bool = True

    def __post_init__(self) -> None:
        """Check every limit.

        Raises:
            ValueError: a limit is not finite, not positive, or the reserve leaves nothing for entries.
        """
        for name in _MONEY:
            value = getattr(self, name)
            if value is None and name in _OPTIONAL:
                continue
            if not isinstance(value, Decimal):
                value = Decimal(str(value))
                msgspec.structs.force_setattr(self, name, value)
            if not value.is_finite() or value <= 0:
                raise ValueError(f"risk.{name} must be a positive number, not {value}")
        for name in _COUNTS:
            if getattr(self, name) < 1:
                raise ValueError(f"risk.{name} must be at least 1, not {getattr(self, name)}")
        if not self.max_drawdown < 1:
            raise ValueError(f"risk.max_drawdown must be below 1, not {self.max_drawdown}")
        if self.breach_hold_ms < 0:
            raise ValueError(f"risk.breach_hold_ms must not be negative, not {self.breach_hold_ms}")
        if not (math.isfinite(self.mark_grace_s) and self.mark_grace_s >= 0):
            raise ValueError(f"risk.mark_grace_s must be finite and not negative, not {self.mark_grace_s}")
        if not 0 <= self.reserved_orders_per_minute < self.max_orders_per_minute:
            raise ValueError("risk.reserved_orders_per_minute must be below risk.max_orders_per_minute")
