"""Model of `guard:`: the process beside the daemon that acts when the daemon shows no progress."""

from typing import Literal

from pydantic import Field

from smartmoney.settings.advanced import Section


class GuardSettings(Section):
    """When `smartmoney guard` acts, and how (docs/safety.md)."""

    lease_s: float = Field(default=5.0, ge=2, le=600)
    """Without progress of the daemon for so many seconds the guard halts and acts."""
    start_s: float = Field(default=180.0, ge=5, le=3600)
    """A daemon that starts gets so many seconds: it replays the recent past before it beats regularly."""
    action: Literal["cancel", "flatten"] = "cancel"
    """cancel: entries go, every position keeps one stop; flatten: everything is closed at market."""
    timer_s: float = Field(default=60.0, ge=10, le=600)
    """Length of the venue's own dead-man timer, where it has one (Binance USD-M, OKX: 120 at most), set while entries rest; it may cancel
    stops too."""
    key_file: str | None = Field(default=None, min_length=1, max_length=4096)
    """File of a key of the guard's own; left out, the daemon's."""
    secret_file: str | None = Field(default=None, min_length=1, max_length=4096)
    """File of that key's secret."""
    passphrase_file: str | None = Field(default=None, min_length=1, max_length=4096)
    """File of that key's passphrase, where the exchange has one (OKX)."""
