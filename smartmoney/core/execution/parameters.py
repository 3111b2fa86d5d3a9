"""How orders are worked; `settings` builds this from `execution:`.

Invariants: times are positive and finite; money is Decimal (a float becomes the Decimal it prints as).
"""

import math
from decimal import Decimal
from enum import StrEnum

import msgspec

_DECIMALS = ("collar_bps", "maker_bps", "taker_bps", "default_stop_fraction", "default_target_fraction")
_SECONDS = (
    "entry_timeout_s",
    "reprice_s",
    "signal_decay_time_s",
    "ack_timeout_s",
    "cancel_timeout_s",
    "account_retry_s",
    "proof_window_s",
    "protect_delay_s",
    "adopted_holding_s",
)


class EntryStyle(StrEnum):
    """Say how a position is entered."""

    TAKER = "taker"
    """A limit through the touch within the collar, immediate or cancel."""
    MAKER = "maker"
    """A post-only limit at the touch, which follows it, and is withdrawn after `entry_timeout_s`."""
    AUTO = "auto"
    """The one that is expected to cost less (`core.execution.entry_style`); what has waited in vain crosses while that still pays."""


class AttachedStops(StrEnum):
    """Say what a venue makes of the stop that an entry carries."""

    NONE = "none"
    """Entries carry none."""
    POSITION = "position"
    """It stands from the first fill on, always for all that is held, and goes with the position."""
    ORDER = "order"
    """It stands once the entry has ended, for what it filled, and does not go by itself."""


class ExecutionParameters(msgspec.Struct, frozen=True, kw_only=True):
    """Configure the executor.

    Units: names end in them. `collar_bps` is how far a marketable limit reaches past the touch, and how far a resting one follows it;
    `reprice_s` is how long it stays at a price at least; `passive_fill_share` of the resting orders that the market comes to are filled,
    `passive_wait_s` after it came in the mean, for `passive_loss_bps` more than the walk of the mid says; `max_holding_s` None means the
    forecast's own horizon, `adopted_holding_s` holds for a position whose opening this run did not see; `maker_bps` and `taker_bps` are
    what a round trip is estimated with; `default_*_fraction` place protection for a position whose own levels are not known (adopted after
    a crash, or a foreign fill); `protect_delay_s` is how long an immediate entry may keep reporting fills before its stop is placed
    regardless; `proof_window_s` is how long an order that was never acknowledged may still turn up at the venue (its receive window);
    `linked_pairs` says that the venue takes what one order of a pair filled off the other (it does not where stop and target are two
    orders); `attached` says what becomes of a stop that an entry carries to the venue; `watched_targets`
    says that the venue holds what is to be sold for one order only, so that the stop stands alone and the target is watched here
    (`core.execution.watched`).
    """

    entry: EntryStyle = EntryStyle.TAKER
    collar_bps: Decimal = Decimal(10)
    entry_timeout_s: float = 30.0
    reprice_s: float = 2.0
    passive_fill_share: float = 1.0
    passive_wait_s: float = 0.0
    passive_loss_bps: float = 0.0
    approval_valid_ms: int = 2000
    max_holding_s: float | None = None
    adopted_holding_s: float = 3600.0
    maker_bps: Decimal = Decimal(10)
    taker_bps: Decimal = Decimal(10)
    signal_decay_time_s: float = 300.0
    ack_timeout_s: float = 10.0
    cancel_timeout_s: float = 3.0
    account_retry_s: float = 2.0
    proof_window_s: float = 5.0
    protect_delay_s: float = 0.4
    protect_attempts_max: int = 3
    linked_pairs: bool = True
    attached: AttachedStops = AttachedStops.NONE
    watched_targets: bool = False
    default_stop_fraction: Decimal = Decimal("0.02")
    default_target_fraction: Decimal = Decimal("0.04")

    def __post_init__(self) -> None:
        """Check every parameter.

        Raises:
            ValueError: one is not finite or out of its range.
        """
        for name in _DECIMALS:
            value = getattr(self, name)
            if not isinstance(value, Decimal):
                value = Decimal(str(value))
                msgspec.structs.force_setattr(self, name, value)
            is_rebate = name == "maker_bps"
            if not value.is_finite() or (value < 0 and not is_rebate):
                raise ValueError(f"execution.{name} must be finite and not negative, not {value}")
        for name in _SECONDS:
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise ValueError(f"execution.{name} must be positive and finite, not {getattr(self, name)}")
        if self.max_holding_s is not None and not (math.isfinite(self.max_holding_s) and self.max_holding_s > 0):
            raise ValueError(f"execution.max_holding_s must be positive and finite, not {self.max_holding_s}")
        if not 0 < self.default_stop_fraction < 1 or not self.default_target_fraction > 0:
            raise ValueError("execution.default_stop_fraction must lie in (0, 1), default_target_fraction above 0")
        for name in ("passive_wait_s", "passive_loss_bps"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise ValueError(f"execution.{name} must be finite and not negative, not {getattr(self, name)}")
        if not 0 < self.passive_fill_share <= 1:
            raise ValueError(f"execution.passive_fill_share must lie in (0, 1], not {self.passive_fill_share}")
        if self.approval_valid_ms <= 0 or self.protect_attempts_max < 1:
            raise ValueError("execution.approval_valid_ms and protect_attempts_max must be positive")


def round_trip_cost_bps(parameters: ExecutionParameters, spread_bps: float, style: EntryStyle | None = None) -> float:
    """Return what entering and leaving is expected to cost, in bps of notional: both fees and the spread that a taker crosses.

    A maker entry pays the maker fee and no half-spread; the exit is always reckoned as a taker's, and so is an entry whose style is chosen
    when it is made (`style` None: as configured): what is traded has to pay the dearer way.
    """
    fees_bps, crossed = round_trip(parameters, style)
    return fees_bps + crossed * spread_bps


def round_trip(parameters: ExecutionParameters, style: EntryStyle | None = None) -> tuple[float, float]:
    """Return both fees of a round trip in bps, and how many spreads it crosses."""
    is_maker = (parameters.entry if style is None else style) is EntryStyle.MAKER
    entry_bps = parameters.maker_bps if is_maker else parameters.taker_bps
    return float(entry_bps + parameters.taker_bps), 0.5 if is_maker else 1.0
