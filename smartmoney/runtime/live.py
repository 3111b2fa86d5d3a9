"""Open a live account: key, clock, one daemon per account, the door, then gateway and stream as children of the supervisor.

Against an exchange on this machine it is a rehearsal: every step the same, and no other host is ever asked.

Invariants: two daemons never hold one account (the second ends with 78); nothing is ordered before the door has let us in.
"""

import asyncio
import contextlib
import hashlib
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from decimal import Decimal
from random import Random
from typing import Protocol
from urllib.parse import urlsplit

import msgspec
import structlog

from smartmoney.adapters.binance_account import BinanceAccount
from smartmoney.adapters.binance_money import BinanceMoney
from smartmoney.adapters.binance_orders import BinanceOrders
from smartmoney.adapters.clock import SystemClock
from smartmoney.adapters.credentials import read_credentials
from smartmoney.adapters.money_list import MoneyList
from smartmoney.adapters.order_side import OrderSide
from smartmoney.adapters.private_stream import PrivateStream, StreamListener
from smartmoney.core.domain.entries import Payload
from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.runtime.live_account import Beginning
from smartmoney.runtime.live_ccxt import ccxt_refusal, open_ccxt_venue
from smartmoney.runtime.live_door import DoorClosed, DoorTerms, Problem, live_door, payments_problems
from smartmoney.runtime.live_gateway import LiveGateway
from smartmoney.runtime.live_money import LOOK_BACK_MS as INCOMES_LATE_MS
from smartmoney.runtime.live_money import LiveMoney, MoneyBeginning
from smartmoney.runtime.storage import OpenAccount
from smartmoney.runtime.supervisor import Beat, ChildSpec
from smartmoney.settings.models import Settings
from smartmoney.venues.binance import order_calls as calls
from smartmoney.venues.binance.protocol import Endpoints, endpoints
from smartmoney.venues.followed import FollowedOrders
from smartmoney.venues.order_news import NewsError
from smartmoney.venues.outcomes import Outcome

log = structlog.get_logger("live")

SILENT_S_MAX = 120.0
"""The gateway's child may wait for a venue that does not answer, several requests long."""
LOOK_BACK_MS = 600_000
"""Trades are looked for from so long before an earlier run's last word: what it booked is known by its id."""
_BEAT_S = 1.0
_MS = 1_000_000


class AccountTaken(Exception):
    """Say that another daemon trades this account."""

    exit_code = 78


def live_endpoints(settings: Settings) -> Endpoints:
    """Return the addresses of the account's market."""
    given = settings.endpoints
    found = endpoints(Market(settings.market), rest=given.rest or "", stream=given.ws or "", ws_api=given.ws_api or "")
    if given.ws is None or given.ws_api is not None:
        return found
    # Who gives the streams' address means the whole exchange.
    return Endpoints(rest=found.rest, stream=found.stream, ws_api=f"{found.stream}/ws-api/v3")


class PrivateFeed(Protocol):
    """Be an account's own stream."""

    async def run(self) -> None:
        """Keep it open until cancelled."""


class LiveVenue(Protocol):
    """Be an opened account of one venue, natively or through ccxt."""

    @property
    def identity(self) -> str:
        """Return the account's name: venue, market, host, and the venue's own number or alias of it."""

    @property
    def side(self) -> OrderSide:
        """Return its order side, once `enter` was called."""

    async def enter(self, instruments: tuple[Instrument, ...], exchange_info: bytes, terms: DoorTerms) -> list[Problem]:
        """Return what keeps the door shut."""

    def stream(self, listener: StreamListener, *, jitter: Random) -> PrivateFeed:
        """Return its stream, not begun."""

    def money(self) -> MoneyList | None:
        """Return its list of payments without a trade, funding above all; None where there are none to be read."""

    async def close(self) -> None:
        """Close its connections."""


class BinanceVenue:
    """A native Binance account."""

    def __init__(self, account: BinanceAccount, where: Endpoints, identity: str) -> None:
        self.account = account
        self.identity = identity
        self.side: OrderSide = BinanceOrders(account)
        self._where = where

    async def enter(self, instruments: tuple[Instrument, ...], exchange_info: bytes, terms: DoorTerms) -> list[Problem]:
        """Return what keeps the door shut."""
        return [*await live_door(self.account, instruments, exchange_info, terms), *await payments_problems(self.money())]

    def stream(self, listener: StreamListener, *, jitter: Random) -> PrivateStream:
        """Return its stream, not begun."""
        return PrivateStream(self.account, self._where, listener, clock=SystemClock(), jitter=jitter)

    def money(self) -> MoneyList | None:
        """Return USD-M's list of incomes. Spot's money is seen by its balances."""
        return BinanceMoney(self.account) if self.account.market is Market.USDM else None

    async def close(self) -> None:
        """Close its connections."""
        await self.account.close()


class LiveOrders:
    """Hold an opened account: who it is, and, once `begin` was called, its gateway and the supervised children behind it."""

    def __init__(self, venue: LiveVenue, seed: int) -> None:
        self.venue = venue
        self.identity = venue.identity
        self._seed = seed
        self._instruments: tuple[Instrument, ...] = ()
        self.gateway: LiveGateway
        self._stream: PrivateFeed
        self._money: LiveMoney | None = None

    async def enter(self, instruments: tuple[Instrument, ...], exchange_info: bytes, terms: DoorTerms) -> None:
        """Pass the door. `exchange_info` is the native venue's own description of the instruments, empty at others.

        Raises:
            DoorClosed: something keeps it shut.
        """
        self._instruments = instruments
        problems = await self.venue.enter(instruments, exchange_info, terms)
        if problems:
            raise DoorClosed(problems)

    def begin(self, opened: OpenAccount, post: Callable[[Payload], None], is_latched: Callable[[], bool]) -> None:
        """Make gateway and stream, knowing what the journal knows; nothing is sent yet."""
        clock, side = SystemClock(), self.venue.side
        state = opened.state
        followed = FollowedOrders(self._instruments, side.is_algo, _known_trades(opened, self._instruments))
        for report in state.orders:
            followed.follow(report.intent, report.venue_order_id, report.filled_lots)
        since_ms = side.venue_ms()
        if opened.active_wall_ns is not None:
            since_ms = min(since_ms, opened.active_wall_ns // _MS + (side.clock_offset_ms or 0)) - LOOK_BACK_MS
        beginning = Beginning(orders=tuple(state.orders), positions=state.positions, since_ms=since_ms)
        listed = self.venue.money()
        if listed is not None:
            self._money = LiveMoney(listed, self._instruments, self._known_money(opened, listed), post, clock=clock)
        self.gateway = LiveGateway(side, followed, beginning, post, clock=clock, is_latched=is_latched, money=self._money)
        self._stream = self.venue.stream(self.gateway, jitter=Random(self._seed))

    def children(self) -> tuple[ChildSpec, ...]:
        """Return what the supervisor must keep running."""
        children = (
            ChildSpec(name="account", start=self.gateway.run, beat_s_max=SILENT_S_MAX),
            ChildSpec(name="private stream", start=self._listen, beat_s_max=SILENT_S_MAX),
        )
        return children if self._money is None else (*children, ChildSpec(name="money", start=self._money.run, beat_s_max=SILENT_S_MAX))

    def _known_money(self, opened: OpenAccount, listed: MoneyList) -> MoneyBeginning:
        """Return what the journal knows of payments: a new one knows none, and asks for none of the time before it was made."""
        offset_ms, state = self.venue.side.clock_offset_ms or 0, opened.state
        moved_ms = self.venue.side.venue_ms() if opened.active_wall_ns is None else opened.active_wall_ns // _MS + offset_ms
        made_ms = state.created_wall_ns // _MS + offset_ms
        from_ms = {kind: max(made_ms, state.booked_until_ns.get(kind, 0) // _MS - INCOMES_LATE_MS) for kind in listed.booked}
        return MoneyBeginning(from_ms={**from_ms, **dict.fromkeys(listed.moved, moved_ms)}, booked=state.fundings)

    async def _listen(self, beat: Beat) -> None:
        task = asyncio.ensure_future(self._stream.run())
        try:
            while not task.done():
                beat()
                await asyncio.wait({task}, timeout=_BEAT_S)
            await task
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


@contextlib.asynccontextmanager
async def open_live(settings: Settings) -> AsyncIterator[LiveOrders | None]:
    """Open the account of a live run, None on paper.

    Raises:
        CredentialsError: there is no usable key.
        DoorClosed: the venue is not traded live, does not answer, or does not take the key.
        AccountTaken: another daemon trades it.
    """
    if settings.mode != "live":
        yield None
        return
    venue = await open_live_venue(settings)
    try:
        with hold_account(venue.identity):
            yield LiveOrders(venue, settings.sim.seed)
    finally:
        await venue.close()


async def open_live_venue(settings: Settings) -> LiveVenue:
    """Return the account that the settings name, read once; `close` it.

    Raises:
        CredentialsError: there is no usable key.
        DoorClosed: the venue is not traded live, does not answer, or does not take the key.
    """
    given = settings.api_key
    if settings.venue.startswith("ccxt:"):
        problem = ccxt_refusal(settings)
        if problem is not None:
            raise DoorClosed([problem])
        return await open_ccxt_venue(
            settings, read_credentials(given.key_file, given.secret_file, os.environ, given.passphrase_file), clock=SystemClock()
        )
    credentials = read_credentials(given.key_file, given.secret_file, os.environ)
    where = live_endpoints(settings)
    account = BinanceAccount(Market(settings.market), where, credentials, clock=SystemClock(), sapi=_sapi(settings))
    is_open = False
    try:
        identity = await _identify(account, where)
        is_open = True
    finally:
        if not is_open:
            await account.close()
    return BinanceVenue(account, where, identity)


def door_terms(settings: Settings, cash: Decimal, invested: Decimal) -> DoorTerms:
    """Return what the account must have. `cash` and `invested` (the cost of what is held) are the journal's, in quote currency."""
    capital = settings.equity_start
    # A derivative's notional is booked through cash; what must lie in the wallet is what is left when it is added back.
    needed = cash if settings.market == "spot" else cash + invested
    return DoorTerms(
        capital=capital,
        money_needed=max(Decimal(0), needed),
        largest_position=capital * Decimal(str(settings.strategy.max_position_size)),
        leverage=int(settings.leverage),
    )


@contextlib.contextmanager
def hold_account(identity: str) -> Iterator[None]:
    """Hold an account for this process, machine-wide; the kernel lets go of it when the process ends, however it ends.

    Raises:
        AccountTaken: another process holds it.
    """
    name = hashlib.sha256(identity.encode()).hexdigest()[:32]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as lock:
        try:
            lock.bind(f"\0smartmoney-account-{name}")
        except OSError:
            raise AccountTaken(f"another daemon on this machine trades the account {identity}; stop that one first") from None
        yield


def _known_trades(opened: OpenAccount, instruments: Sequence[Instrument]) -> Iterator[tuple[int, str]]:
    """Yield the trades that the journal has booked, by instrument and trade id."""
    index = {instrument.name: number for number, instrument in enumerate(instruments)}
    return ((index[row.instrument], row.trade_id) for row in opened.journal.reader.fills() if row.instrument in index)


def _sapi(settings: Settings) -> str:
    if settings.endpoints.sapi is not None:
        return settings.endpoints.sapi
    # What a key may do is said by spot's host, for every market.
    return endpoints(Market.SPOT).rest if settings.market != "spot" and settings.endpoints.rest is None else ""


async def _identify(account: BinanceAccount, where: Endpoints) -> str:
    """Return the account's name: host, market and the venue's own number or alias of it."""
    answer = await account.sync_clock()
    if answer.is_done:
        # Out of what is kept for protection: what a life before this one has spent must not hold this one up.
        answer = await account.ask(msgspec.structs.replace(calls.wallet(account.market), is_urgent=True))
    if not answer.is_done:
        is_key = answer.outcome is Outcome.KEY
        remedy = "check key, secret, permissions and address at the exchange" if is_key else "see whether the exchange is there"
        raise DoorClosed([Problem(check="account", problem=f"cannot be read ({answer.why()})", remedy=remedy, is_passing=not is_key)])
    try:
        number = answer.body["uid"] if account.market is Market.SPOT else answer.body[0]["accountAlias"]
    except (KeyError, IndexError, TypeError) as failure:
        raise NewsError(f"the account does not say whose it is: {failure}") from None
    return f"binance:{account.market.value}:{urlsplit(where.rest).netloc}:{number}"
