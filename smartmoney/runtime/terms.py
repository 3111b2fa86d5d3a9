"""From settings to what the processes beside the daemon need; they are small, and do not load the settings themselves."""

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

from smartmoney.core.domain.instruments import Market
from smartmoney.runtime.alert_queue import AlertTerms
from smartmoney.runtime.guard import GuardTerms
from smartmoney.runtime.guard_options import GuardAccess, GuardOptions
from smartmoney.settings.errors import ConfigurationError
from smartmoney.settings.models import Settings
from smartmoney.venues.binance.protocol import endpoints
from smartmoney.venues.ccxt_terms import VENUES

_REST = {"ccxt:bybit": ("https://api.bybit.com", "private"), "ccxt:okx": ("https://www.okx.com", "rest")}
"""The usual address, and the name under which `endpoints.ccxt_urls` may say another."""
_TIMER_S_MAX = {"ccxt:okx": 120.0}
"""The longest timer that the venue takes."""


def alert_terms(settings: Settings) -> AlertTerms:
    """Return whom to tell of what."""
    return AlertTerms(**settings.alerts.model_dump(exclude={"feed_loss_s"}))


def guard_options(settings: Settings, state_path: Path) -> GuardOptions:
    """Return what a guard of these settings does. On paper it has no access.

    Raises:
        ConfigurationError: live at a venue that it cannot act at.
    """
    guard = settings.guard
    access = _access(settings) if settings.mode == "live" else None
    timer_s = min(guard.timer_s, _TIMER_S_MAX.get(settings.venue, guard.timer_s))
    return GuardOptions(
        terms=GuardTerms(lease_s=guard.lease_s, start_s=guard.start_s, action=guard.action, timer_s=timer_s),
        alerts=alert_terms(settings),
        state_path=str(state_path),
        source=f"guard {settings.mode} {settings.venue}",
        log_level=settings.log_level,
        stop_fraction=Decimal(str(settings.strategy.stop_loss_base)),
        access=access,
    )


def _access(settings: Settings) -> GuardAccess:
    """Return where the guard's orders go, and whose key it signs with."""
    market, guard, key = Market(settings.market), settings.guard, settings.api_key
    given = settings.endpoints
    name = settings.venue.removeprefix("ccxt:")
    if settings.venue == "binance":
        rest = endpoints(market, rest=given.rest or "", stream=given.ws or "").rest
    elif settings.venue in _REST and market in VENUES[name].markets:
        usual, where = _REST[settings.venue]
        found = given.ccxt_urls.get("api", {})
        rest = str(found.get(where, usual)) if isinstance(found, Mapping) else usual
    else:
        raise ConfigurationError(
            "venue",
            f"the guard cannot act at {settings.venue} on `market: {market.value}`",
            "live it acts at binance and ccxt:bybit, and on perpetuals at ccxt:okx",
        )
    return GuardAccess(
        venue=name,  # type: ignore[arg-type]
        market=market,
        rest=rest,
        key_file=guard.key_file or key.key_file,
        secret_file=guard.secret_file or key.secret_file,
        # A key of its own has a passphrase of its own.
        passphrase_file=guard.passphrase_file or (None if guard.key_file else key.passphrase_file),
    )
