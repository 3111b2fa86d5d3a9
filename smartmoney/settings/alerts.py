"""Model of `alerts:`: whom to tell of what. Addresses are secrets and stand in files; here are references to those files only."""

from typing import Annotated, Literal, get_args

from pydantic import Field

from smartmoney.settings.advanced import Section

AlertKind = Literal[
    "halt",
    "resume",
    "feed",
    "funding",
    "reconciliation",
    "naked",
    "order",
    "fill",
    "transfer",
    "guard",
    "drift",
    "training",
    "notice",
    "start",
    "stop",
]
ALERT_KINDS: tuple[AlertKind, ...] = get_args(AlertKind)
Reference = Annotated[str, Field(pattern=r"^(/\S+|[A-Za-z0-9_.-]{1,128})$")]


class Alerts(Section):
    """Whom to tell of what, through apprise (docs/safety.md)."""

    urls: tuple[Reference, ...] = Field(default=(), max_length=8)
    """Where addresses stand: names of service credentials or container secrets, or paths of files of mode 0600."""
    events: tuple[AlertKind, ...] = ALERT_KINDS
    """What is told: all kinds, or some of them."""
    interval_s: float = Field(default=60.0, ge=0, le=86_400)
    """A subject is told at most once in so many seconds; halts, re-arms, starts and stops always."""
    feed_loss_s: float = Field(default=30.0, ge=1, le=86_400)
    """A feed that cannot be vouched for is told after so many seconds."""
    timeout_s: float = Field(default=10.0, ge=0.5, le=60)
    """Seconds that a service may take for one alert."""
    queue_max: int = Field(default=200, ge=10, le=10_000)
    """Alerts that may wait; the oldest is dropped for a newer one, and counted."""
