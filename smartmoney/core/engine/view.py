"""What the engine shows: frozen pictures for screens, status replies and summaries. They are read, never written back."""

from collections.abc import Mapping
from decimal import Decimal

import msgspec

from smartmoney.core.book.trust import Trust
from smartmoney.core.domain.signals import Regime


class RegimeView(msgspec.Struct, frozen=True, kw_only=True):
    """Show the regime: the debounced label, its probability, its age in seconds, the posterior over the five, its entropy in nats."""

    label: Regime
    probability: float
    age_s: float
    posterior: Mapping[str, float]
    entropy: float


class DecisionView(msgspec.Struct, frozen=True, kw_only=True):
    """Show the latest decision on an instrument: `code` is "signal" or the refusal's code."""

    code: str
    text: str
    mono_ns: int


class FundingView(msgspec.Struct, frozen=True, kw_only=True):
    """Show what a perpetual's venue tells of its next payment; by its clock, which the book's frames and its mark prices show."""

    is_told: bool
    """It names a next time, and did so within ten minutes: a paper account pays what it tells. Else the assumed rate."""
    age_s: float | None
    """Since it told last; None: it never did."""
    at_ns: int | None
    rate: Decimal | None
    mark: Decimal | None
    """None also where it tells a rate and no mark price."""


class InstrumentView(msgspec.Struct, frozen=True, kw_only=True):
    """Show one instrument. Prices and quantities exact; features by schema name, NaN where not warm."""

    name: str
    trust: Trust
    bid: Decimal | None
    ask: Decimal | None
    bid_quantity: Decimal
    ask_quantity: Decimal
    position: Decimal
    entry_price: Decimal | None
    stop: Decimal | None
    target: Decimal | None
    is_protected: bool
    """A stop is working at the venue, or nothing is held."""
    features: Mapping[str, float]
    regime: RegimeView | None
    last_decision: DecisionView | None
    funding: FundingView | None = None
    """None on spot."""


class AccountView(msgspec.Struct, frozen=True, kw_only=True):
    """Show the money, in quote currency. `equity` is None while it cannot be computed."""

    equity: Decimal | None
    high_water_mark: Decimal | None
    drawdown: float | None
    cash: Decimal
    fees: Decimal
    realised: Decimal
    funding: Decimal
    """Paid in this run; negative was received."""
    transferred: Decimal
    halted: bool
    halt_reason: str
    size_factor: float
    """What new entries are scaled by; 1 unless drift shrinks them."""
    size_reason: str


class EngineView(msgspec.Struct, frozen=True, kw_only=True):
    """Show everything at one entry."""

    run_id: str
    mode: str
    venue: str
    build: str
    config_hash: str
    model: str
    model_hash: str
    is_warming: bool
    is_reconciled: bool
    is_flat: bool
    instruments: tuple[InstrumentView, ...]
    account: AccountView
    frames: int
    trades: int
    gaps: int
    resyncs: int
    synced_after_ns: int | None
    started_mono_ns: int
    now_mono_ns: int
    decisions: int
    signals: int
    refusals: Mapping[str, int]
    orders: int
    fills: int
    performance: Mapping[str, object]
    digest: str
