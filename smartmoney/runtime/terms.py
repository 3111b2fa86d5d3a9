"""From settings to what the processes beside the daemon need; they are small, and do not load the settings themselves."""

from decimal import Decimal
from pathlib import Path

from smartmoney.core.domain.instruments import Market
from smartmoney.runtime.alert_queue import AlertTerms
from smartmoney.runtime.guard import GuardTerms
from smartmoney.runtime.guard_options import GuardAccess, GuardOptions
from smartmoney.settings.models import Settings
from smartmoney.venues.binance.protocol import endpoints


def alert_terms(settings: Settings) -> AlertTerms:
    """Return whom to tell of what."""
    return AlertTerms(**settings.alerts.model_dump(exclude={"feed_loss_s"}))


def guard_options(settings: Settings, state_path: Path) -> GuardOptions:
    """Return what a guard of these settings does. On a venue that it cannot reach by itself it has no access, as on paper."""
    guard = settings.guard
    access = None
    if settings.mode == "live" and settings.venue == "binance":
        market = Market(settings.market)
        access = GuardAccess(
            market=market,
            rest=endpoints(market, rest=settings.endpoints.rest or "", stream=settings.endpoints.ws or "").rest,
            key_file=guard.key_file or settings.api_key.key_file,
            secret_file=guard.secret_file or settings.api_key.secret_file,
        )
    return GuardOptions(
        terms=GuardTerms(lease_s=guard.lease_s, start_s=guard.start_s, action=guard.action, timer_s=guard.timer_s),
        alerts=alert_terms(settings),
        state_path=str(state_path),
        source=f"guard {settings.mode} {settings.venue}",
        log_level=settings.log_level,
        stop_fraction=Decimal(str(settings.strategy.stop_loss_base)),
        access=access,
    )
