"""`smartmoney doctor`: everything that can be known to be wrong before a start, in one table, each line with its remedy.

The door to live trading asks the same functions again; here they are asked all at once, and nothing is ordered.

Invariants: no order is sent; a check that could not be made is a failed one; no line holds a secret.
"""

import asyncio
import os
import time
from collections.abc import Sequence
from decimal import Decimal
from random import Random

from smartmoney.adapters.alert_channel import AlertChannel, AlertsUnusable
from smartmoney.adapters.binance_account import BinanceAccount
from smartmoney.adapters.ccxt_feed import instruments_of
from smartmoney.adapters.clock import SystemClock
from smartmoney.adapters.credentials import CredentialsError, read_credentials
from smartmoney.adapters.rest import RestError, RestPolicy, VenueRest
from smartmoney.adapters.state_directory import StateLayout
from smartmoney.adapters.websocket_transport import InsecureAddressError
from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.runtime.doctor_machine import Check, machine_checks
from smartmoney.runtime.guard_process import guard_venue, open_guard_account
from smartmoney.runtime.live import door_terms, live_endpoints, open_live_venue
from smartmoney.runtime.live_ccxt import CcxtVenue
from smartmoney.runtime.live_door import DoorClosed, Problem, live_door
from smartmoney.runtime.models import BundleRefused, ModelNotFitForLive, ModelNotFound, Models
from smartmoney.runtime.modes import is_rehearsal
from smartmoney.runtime.terms import guard_options
from smartmoney.settings.errors import ConfigurationError
from smartmoney.settings.models import Settings
from smartmoney.venues.binance.exchange_info import ExchangeInfoError
from smartmoney.venues.binance.protocol import ProtocolError
from smartmoney.venues.unified import UnifiedError, unified_names

PATIENCE_S = 20.0
CLOCK_MS_MAX = 1_000
_POLICY = RestPolicy(timeout_s=5.0, attempts=2)
_DOOR = ("clock", "key", "market", "money", "margin")


async def examine(settings: Settings, layout: StateLayout) -> list[Check]:
    """Return every check of a configuration on this machine; those of the account in live mode only."""
    is_live = settings.mode == "live"
    checks = await asyncio.to_thread(machine_checks, layout, is_live=is_live)
    checks += await asyncio.to_thread(_window, settings, layout)
    checks.append(await _alerts(settings))
    venue_checks, instruments, raw = await _venue(settings)
    checks += venue_checks
    if is_live:
        checks.append(await asyncio.to_thread(_model, settings, layout))
        checks.append(_guard(settings, layout))
        checks += await (_ccxt_account(settings) if settings.venue.startswith("ccxt:") else _account(settings, instruments, raw))
    return checks


async def _alerts(settings: Settings) -> Check:
    if not settings.alerts.urls:
        return Check(name="alerts", ok=None, found="nobody is told", remedy="name a file of addresses under alerts.urls (docs/safety.md)")
    channel = AlertChannel(settings.alerts.urls, settings.alerts.timeout_s)
    try:
        count = await channel.open()
    except AlertsUnusable as error:
        return Check(name="alerts", ok=False, found=str(error), remedy="mend it, then `smartmoney alerts test`")
    finally:
        await channel.close()
    return Check(name="alerts", ok=True, found=f"{count} addresses; `smartmoney alerts test` tries them")


async def _venue(settings: Settings) -> tuple[list[Check], tuple[Instrument, ...], bytes]:
    """Ask the venue for its clock and its instruments."""
    if settings.venue != "binance":
        said = "the built-in exchange starts with the daemon" if settings.venue == "sim" else f"{settings.venue} is not asked"
        return [Check(name="venue", ok=None, found=said)], (), b""
    try:
        where = live_endpoints(settings)
        rest = VenueRest(Market(settings.market), where.rest, clock=SystemClock(), jitter=Random(settings.sim.seed), policy=_POLICY)
    except (ProtocolError, InsecureAddressError, ValueError) as error:
        return [Check(name="venue", ok=False, found=str(error), remedy="mend `endpoints`")], (), b""
    remedy = "check network, DNS, firewall and `endpoints`"
    try:
        async with asyncio.timeout(PATIENCE_S):
            sent = time.time_ns()
            server_ms = await rest.server_time_ms()
            took_ms = (time.time_ns() - sent) / 1e6
            raw = await rest.exchange_info(settings.instruments)
            instruments = await rest.instruments(settings.instruments)
    except (RestError, ExchangeInfoError, ProtocolError, TimeoutError, OSError) as error:
        return [Check(name="venue", ok=False, found=str(error) or "no answer in time", remedy=remedy)], (), b""
    finally:
        await rest.close()
    offset_ms = server_ms - (sent / 1e6 + took_ms / 2)
    clock = Check(
        name="clock",
        ok=abs(offset_ms) <= CLOCK_MS_MAX,
        found=f"{offset_ms:+.0f} ms against the venue, ± {took_ms / 2:.0f}",
        remedy="let it be kept by NTP (timedatectl set-ntp true)",
    )
    names = ", ".join(f"{one.name} tick {one.tick_size.normalize():f} lot {one.lot_size.normalize():f}" for one in instruments)
    found = [Check(name="venue", ok=True, found=f"answers in {took_ms:.0f} ms"), clock]
    return [*found, Check(name="instruments", ok=len(instruments) == len(settings.instruments), found=names)], instruments, raw


def _model(settings: Settings, layout: StateLayout) -> Check:
    remedy = "docs/models.md says how a model passes its gate; until one has, run with --paper"
    try:
        models = Models(layout.models)
        chosen, why = models.examine(settings), models.why_unfit(settings)
    except (ModelNotFound, BundleRefused, ModelNotFitForLive, OSError) as error:
        return Check(name="model", ok=False, found=str(error), remedy=remedy)
    if why is not None:
        return Check(name="model", ok=None, found=f"{chosen}; a rehearsal takes any, and live mode would refuse {why}", remedy=remedy)
    return Check(name="model", ok=True, found=f"{chosen} has passed its gate here")


def _window(settings: Settings, layout: StateLayout) -> list[Check]:
    """Say where the model does not follow the configuration; nothing where it does, or where there is none to be had."""
    models = Models(layout.models)
    try:
        note = models.note(settings, models.choose(settings))
    except (ModelNotFound, BundleRefused, OSError):
        return []
    return [Check(name="window", ok=None, found=note)] if note else []


def _guard(settings: Settings, layout: StateLayout) -> Check:
    """Say whether a guard could act at the venue: with which key, and with whose timer."""
    try:
        access = guard_options(settings, layout.root).access
        assert access is not None
        account = open_guard_account(access)
        timer = {"": "no timer of the venue's", "symbol": "a timer for each symbol", "account": "a timer for the account"}
        found = f"could act at {access.venue}, with {timer[guard_venue(access, account).timer]}"
        account.close()
    except (ConfigurationError, CredentialsError) as error:
        ok = None if is_rehearsal(settings) else False
        return Check(name="guard's reach", ok=ok, found=str(error), remedy="docs/safety.md says where it acts and with which key")
    return Check(name="guard's reach", ok=True, found=found)


async def _account(settings: Settings, instruments: Sequence[Instrument], raw: bytes) -> list[Check]:
    """Ask what the live door asks, and sort its answers into lines."""
    given = settings.api_key
    try:
        credentials = read_credentials(given.key_file, given.secret_file, os.environ)
    except CredentialsError as error:
        return [Check(name="key", ok=False, found=str(error), remedy="see docs/going-live.md")]
    if not instruments:
        return [Check(name="account", ok=False, found="cannot be asked while the venue does not answer", remedy="mend `venue` first")]
    sapi = settings.endpoints.sapi or ""
    account = BinanceAccount(Market(settings.market), live_endpoints(settings), credentials, clock=SystemClock(), sapi=sapi)
    try:
        async with asyncio.timeout(PATIENCE_S):
            await account.sync_clock()
            terms = door_terms(settings, settings.equity_start, Decimal(0))
            problems = await live_door(account, instruments, raw, terms)
    except TimeoutError:
        return [Check(name="account", ok=False, found="no answer in time", remedy="try again")]
    finally:
        await account.close()
    return _as_checks(problems, settings.market)


async def _ccxt_account(settings: Settings) -> list[Check]:
    """Open the account through ccxt as a start would, and ask what its door asks."""
    remedy = "see docs/going-live.md"
    try:
        async with asyncio.timeout(PATIENCE_S):
            venue = await open_live_venue(settings)
            try:
                names = unified_names(settings.instruments, Market(settings.market))
                assert isinstance(venue, CcxtVenue)
                instruments = tuple(one for one, _ in instruments_of(venue.account.client, names))
                problems = await venue.enter(instruments, b"", door_terms(settings, settings.equity_start, Decimal(0)))
            finally:
                await venue.close()
    except CredentialsError as error:
        return [Check(name="key", ok=False, found=str(error), remedy=remedy)]
    except DoorClosed as closed:
        return [Check(name=f"door: {one.check}", ok=False, found=one.problem, remedy=one.remedy) for one in closed.problems]
    except (UnifiedError, InsecureAddressError) as error:
        return [Check(name="venue", ok=False, found=str(error), remedy="mend `instruments` and `endpoints.ccxt_urls`")]
    except TimeoutError:
        return [Check(name="account", ok=False, found="no answer in time", remedy="try again")]
    return _as_checks(problems, settings.market)


def _as_checks(problems: Sequence[Problem], market: str) -> list[Check]:
    found = []
    for name in _DOOR:
        mine = [one for one in problems if one.check == name]
        if name == "margin" and market == "spot" and not mine:
            continue
        said = "; ".join(one.problem for one in mine)
        found.append(Check(name=f"door: {name}", ok=not mine, found=said or "as it must be", remedy="; ".join(one.remedy for one in mine)))
    others = [one for one in problems if one.check not in _DOOR]
    return found + [Check(name=f"door: {one.check}", ok=False, found=one.problem, remedy=one.remedy) for one in others]
