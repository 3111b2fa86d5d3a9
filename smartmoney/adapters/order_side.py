"""What a live account can be asked, whichever venue it is at: one face for the native requests and for ccxt's.

Whoever carries orders (`runtime.live_gateway`, `runtime.live_account`) knows these words only. An implementation decides by the venue's
own codes what an answer proves, and puts what it says into the one form of `venues.order_news`.

Invariants: an answer's outcome is never better than what was proven; client order ids are ours; nothing is raised but `NewsError`, for an
answer that cannot be read, and a cancellation.
"""

from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.core.domain.orders import OrderIntent
from smartmoney.venues.order_news import Held, OrderNews, TradeNews
from smartmoney.venues.outcomes import Outcome

LastLook = Callable[[], str | None]
"""Called right before a request leaves; a reason ends it there."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Say what came of a request. `is_local`: it never left. `body` is what the venue's reader needs of a DONE answer.

    `news`, `trades` and `held` are what it says; a venue that only takes note of an order or a cancel says nothing of it yet.
    `is_over`: the order that was cancelled is gone, though the venue does not describe it.
    """

    outcome: Outcome
    status: int = 0
    code: int = 0
    message: str = ""
    body: Any = None
    is_local: bool = False
    news: tuple[OrderNews, ...] = ()
    trades: tuple[TradeNews, ...] = ()
    held: tuple[Held, ...] = ()
    is_over: bool = False

    @property
    def is_done(self) -> bool:
        """Tell whether it was carried out."""
        return self.outcome is Outcome.DONE

    def why(self) -> str:
        """Return the refusal in words, for a reason or a log line."""
        code = f"{self.code} " if self.code else ""
        status = f"HTTP {self.status} " if self.status and not self.code else ""
        return f"{status}{code}{self.message}".strip() or self.outcome.value


def left_alone(quiet_s: float) -> Answer:
    """Return the answer to what does not leave, because the venue asked to be left alone for some seconds more."""
    return Answer(outcome=Outcome.LIMITED, message=f"the venue asked to be left alone for another {quiet_s:.0f} s", is_local=True)


class TradesMark(msgspec.Struct, frozen=True, kw_only=True):
    """Say up to where an instrument's trades were read: the venue's time in ms, and its next trade number where it counts them."""

    since_ms: int
    from_id: int | None = None


class TradesPage(msgspec.Struct, frozen=True, kw_only=True):
    """Be a part of an account's trades. `mark` is where the next one begins; `is_last`: there are no more for now."""

    answer: Answer
    mark: TradesMark
    is_last: bool


class PrivateNews(msgspec.Struct, frozen=True, kw_only=True):
    """Be what an event of the account's stream says. `moved`: why money moved without a trade, in the venue's words, if it did."""

    orders: tuple[OrderNews, ...] = ()
    trades: tuple[TradeNews, ...] = ()
    moved: str | None = None


class OrderSide(Protocol):
    """Ask one account of one market. Calls may run side by side; `is_urgent` may use what is reserved for stops, exits and cancels."""

    @property
    def market(self) -> Market:
        """Return the market whose account it is."""

    @property
    def is_clock_good(self) -> bool:
        """Tell whether the last two measurements of the venue's clock agree."""

    @property
    def clock_offset_ms(self) -> int | None:
        """Return the venue's clock less ours, in ms; None before it was measured."""

    def venue_ms(self) -> int:
        """Return the venue's clock as well as we know it, in ms."""

    async def sync_clock(self) -> Answer:
        """Measure the venue's clock again."""

    def is_algo(self, instrument: Instrument, intent: OrderIntent) -> bool:
        """Tell whether the venue keeps an order apart from the others, under calls and an identifier of its own."""

    async def place(self, instrument: Instrument, intents: Sequence[OrderIntent], last_look: LastLook | None = None) -> Answer:
        """Send an order, or a spot stop and target as a pair; the answer's `news` describe them as far as the venue does.

        Raises:
            ValueError: the venue cannot be asked for such an order.
            NewsError: the answer cannot be read.
        """

    def is_nameless(self, intent: OrderIntent) -> bool:
        """Tell whether the venue knows an order by its own identifier only: a stop that it made out of an entry."""

    async def cancel(self, instrument: Instrument, client_id: str, *, is_algo: bool, number: str = "", is_stop: bool = False) -> Answer:
        """Cancel an order by our own id; one that is nameless there by the venue's `number`. `is_stop`: it waits. Raises: NewsError."""

    async def find(self, instrument: Instrument, client_id: str, *, is_algo: bool) -> Answer:
        """Ask for one order by our own id. Raises: NewsError."""

    async def find_number(self, instrument: Instrument, order_id: str) -> Answer:
        """Ask for one order by the venue's identifier. Raises: NewsError."""

    async def open_orders(self, instrument: Instrument, *, is_urgent: bool) -> Answer:
        """List the working orders of an instrument, of every kind. Raises: NewsError."""

    async def order_trades(self, instrument: Instrument, order_id: str) -> Answer:
        """List the trades of an order. Raises: NewsError."""

    async def trades_since(self, instrument: Instrument, mark: TradesMark, *, is_urgent: bool) -> TradesPage:
        """Return a page of the account's trades in an instrument. Raises: NewsError."""

    async def holdings(self, *, is_urgent: bool) -> Answer:
        """Return what is held: balances by asset on spot, signed positions by symbol on derivatives. Raises: NewsError."""

    def read_event(self, event: Any) -> PrivateNews:
        """Return what an event of the account's stream says. Raises: NewsError."""


class Account(Protocol):
    """Be the connection to an account, as far as an order side hands it on."""

    market: Market

    @property
    def is_clock_good(self) -> bool:
        """Tell whether the last two measurements of the venue's clock agree."""

    @property
    def clock_offset_ms(self) -> int | None:
        """Return the venue's clock less ours, in ms; None before it was measured."""

    def venue_ms(self) -> int:
        """Return the venue's clock as well as we know it, in ms."""

    async def sync_clock(self) -> Answer:
        """Measure the venue's clock again."""


_A = TypeVar("_A", bound=Account)


class AccountSide(Generic[_A]):
    """Hand on what every order side says of its account: market and clock."""

    def __init__(self, account: _A) -> None:
        self.account = account

    @property
    def market(self) -> Market:
        """Return the market whose account it is."""
        return self.account.market

    @property
    def is_clock_good(self) -> bool:
        """Tell whether the last two measurements of the venue's clock agree."""
        return self.account.is_clock_good

    @property
    def clock_offset_ms(self) -> int | None:
        """Return the venue's clock less ours, in ms."""
        return self.account.clock_offset_ms

    def venue_ms(self) -> int:
        """Return the venue's clock as well as we know it, in ms."""
        return self.account.venue_ms()

    async def sync_clock(self) -> Answer:
        """Measure the venue's clock again."""
        return await self.account.sync_clock()
