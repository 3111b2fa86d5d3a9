"""Open a live account at a venue that is traded through ccxt: its row of data, its key, its clock, whose it is, then its side and stream.

Invariants: a venue without a row, or a market in which protection cannot be held there, is refused with the reason before anything is sent;
one ccxt instance serves one account, and holds the account's private sockets beside its requests; what the account and the feed say of an
instrument's grid must be the same.
"""

from random import Random
from urllib.parse import urlsplit

from smartmoney.adapters.ccxt_account import CcxtAccount, CcxtAccountError, open_ccxt_account
from smartmoney.adapters.ccxt_feed import instruments_of
from smartmoney.adapters.ccxt_money import CcxtMoney
from smartmoney.adapters.ccxt_orders import CcxtOrders
from smartmoney.adapters.ccxt_stream import CcxtStream
from smartmoney.adapters.clock import Clock, SystemClock
from smartmoney.adapters.credentials import Credentials, CredentialsError
from smartmoney.adapters.money_list import MoneyList
from smartmoney.adapters.order_side import OrderSide
from smartmoney.adapters.private_stream import StreamListener
from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.runtime.ccxt_door import DOORS, ccxt_door
from smartmoney.runtime.live_door import DoorClosed, DoorTerms, Problem, payments_problems
from smartmoney.runtime.modes import is_rehearsal
from smartmoney.settings.models import Settings
from smartmoney.venues.ccxt_money import MONEY
from smartmoney.venues.ccxt_news import Sized
from smartmoney.venues.ccxt_terms import VENUES, why_not_live
from smartmoney.venues.unified import UnifiedError, addresses


class CcxtVenue:
    """An account through ccxt."""

    def __init__(self, account: CcxtAccount, identity: str, key: list[Problem]) -> None:
        self.account = account
        self.identity = identity
        self.side: OrderSide
        self._key = key

    async def enter(self, instruments: tuple[Instrument, ...], exchange_info: bytes, terms: DoorTerms) -> list[Problem]:
        """Return what keeps the door shut; `exchange_info` is the native venue's, and not needed here."""
        del exchange_info
        try:
            found = instruments_of(self.account.client, [instrument.name for instrument in instruments])
        except UnifiedError as failure:
            return [Problem(check="market", problem=str(failure), remedy="mend `instruments`")]
        wrong = [one for one, (mine, _) in zip(instruments, found, strict=True) if one != mine or one.market is not self.account.market]
        if wrong:
            said = f"the feed and the account describe {', '.join(one.name for one in wrong)} differently"
            return [Problem(check="market", problem=said, remedy="see whether `market` and `endpoints.ccxt_urls` mean one exchange")]
        self.side = CcxtOrders(self.account, [Sized(instrument=one, contract_size=size) for one, size in found])
        return [*await ccxt_door(self.account, instruments, self._key, terms), *await payments_problems(self.money())]

    def stream(self, listener: StreamListener, *, jitter: Random) -> CcxtStream:
        """Return its stream, not begun."""
        return CcxtStream(self.account, listener, clock=SystemClock(), jitter=jitter)

    def money(self) -> MoneyList | None:
        """Return the list of payments without a trade; None on spot, which has none, and in rehearsals at Binance."""
        has_list = self.account.market is Market.USDM and self.account.terms.venue in MONEY
        return CcxtMoney(self.account) if has_list else None

    async def close(self) -> None:
        """Close its connections."""
        await self.account.close()


def ccxt_refusal(settings: Settings) -> Problem | None:
    """Say why the settings' venue is not traded live; None where it is."""
    reason = why_not_live(settings.venue.removeprefix("ccxt:"), Market(settings.market), is_rehearsal=is_rehearsal(settings))
    return None if reason is None else Problem(check="venue", problem=reason, remedy="docs/going-live.md has the list")


async def open_ccxt_venue(settings: Settings, credentials: Credentials, *, clock: Clock) -> CcxtVenue:
    """Return the account that the settings name, its clock measured, its markets loaded, its key asked about.

    Raises:
        CredentialsError: the venue wants a passphrase, and there is none.
        DoorClosed: the venue does not answer, or does not say whose account it is.
    """
    terms = VENUES[settings.venue.removeprefix("ccxt:")]
    market = Market(settings.market)
    if terms.needs_passphrase and not credentials.passphrase:
        raise CredentialsError(
            f"{settings.venue} wants a passphrase beside the key; name a file of mode 0600 that holds it in api_key.passphrase_file, or "
            "give exchange.passphrase as a systemd credential or container secret"
        )
    urls = settings.endpoints.ccxt_urls
    try:
        account = await open_ccxt_account(terms, market, credentials, clock=clock, urls=urls, is_rehearsal=is_rehearsal(settings))
    except CcxtAccountError as failure:
        remedy = "see whether the exchange is there, and `endpoints.ccxt_urls`"
        raise DoorClosed([Problem(check="account", problem=str(failure), remedy=remedy, is_passing=True)]) from None
    except UnifiedError as failure:
        raise DoorClosed([Problem(check="account", problem=str(failure), remedy="mend `endpoints.ccxt_urls`")]) from None
    is_open = False
    try:
        number, problems = await DOORS[terms.venue].identify(account)
        if not number:
            raise DoorClosed(problems)
        is_open = True
    finally:
        if not is_open:
            await account.close()
    return CcxtVenue(account, f"{settings.venue}:{market.value}:{_host(settings)}:{number}", problems)


def _host(settings: Settings) -> str:
    """Return where the account is, where it is not at the venue's usual address."""
    given = sorted(filter(None, (urlsplit(address).netloc for address in addresses(settings.endpoints.ccxt_urls))))
    return given[0] if given else "usual"
