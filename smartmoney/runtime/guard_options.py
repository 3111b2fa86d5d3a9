"""What a guard's process is told at its start: plain values, no secret among them."""

from decimal import Decimal
from typing import Literal

import msgspec

from smartmoney.core.domain.instruments import Market
from smartmoney.runtime.alert_queue import AlertTerms
from smartmoney.runtime.guard import GuardTerms


class GuardAccess(msgspec.Struct, frozen=True, kw_only=True):
    """Say where the guard's orders go and in which files its key lies (None: the environment's, credentials', a container's)."""

    venue: Literal["binance", "bybit", "okx"]
    market: Market
    rest: str
    key_file: str | None
    secret_file: str | None
    passphrase_file: str | None = None


class GuardOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Hold everything that a guard needs to know. `access` is None on paper."""

    terms: GuardTerms
    alerts: AlertTerms
    state_path: str
    source: str
    log_level: str
    stop_fraction: Decimal
    access: GuardAccess | None
