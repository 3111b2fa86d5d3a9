"""When a paper account's perpetual positions pay or receive funding, and how much. A pure reducer.

Where the venue's mark prices are in the feed, it pays as they say: at their times, on what is held then by our clock, the rate and the mark
price that were told last before the time was over. That is known a moment later, when the venue names the next time; where it does not
within a minute, what was told last counts, if that was in the ten minutes before.

Where a mark price is missing among what the venue says, the mid of the touch is paid on, and the reference says so.

Where they are not, it assumes one rate for all perpetuals and for ever, paid at 00, 08 and 16 o'clock UTC of our clock, on what is held
then, at the mid of the touch. The venue's own rate moves with its premium; the usual one, on Binance, Bybit and OKX, is that of interest
alone, 1 bp.

Invariants: a time of payment is paid once, whatever is restarted; where no touch is known, what was held then is paid for once one is.
Source: Binance, "Introduction to Binance Futures Funding Rates" (2026-07).
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from smartmoney.core.book.stretch import NEVER
from smartmoney.core.domain.entries import FundingPaid
from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.core.portfolio.portfolio import Portfolio
from smartmoney.simulation.paper_depth import DepthView, FundingTerms, FundingTold

EVERY_NS = 8 * 3_600_000_000_000
SETTLED_WITHIN_NS = 60 * 1_000_000_000
"""Binance names the next time with its first mark price after the last one, a second or three later."""
PAID_ON_PAPER, AS_RECORDED, AT_MID = "paper ", " as recorded", " as recorded, at the mid"
"""What each reference begins with, and what one ends in where the venue's own rate was paid: on its mark price, or on the mid."""
_ENDINGS = ("", AS_RECORDED, AT_MID)
HEARD_WITHIN_NS = 600 * 1_000_000_000
"""What was said last of a time longer before it is no rate of it any more: the venue's moves until the last moment."""
_AT_ONCE = -1
_BP = Decimal("0.0001")
_S = 1_000_000_000


class Traded(NamedTuple):
    """Be what an earlier run traded, at a time of our wall clock: the signed quantity of an instrument."""

    wall_ns: int
    instrument: int
    quantity: Decimal


class FundingClock:
    """Know when funding is paid, and what is still owed where no touch was known, or no rate yet."""

    def __init__(
        self, rate_bps: Decimal, instruments: Sequence[Instrument], since_wall_ns: int | None, traded: Sequence[Traded] = ()
    ) -> None:
        """Begin; until `since_wall_ns` all is paid (None: the account begins with the first entry); `traded` is what was traded since."""
        self._traded = tuple(traded)
        self._instruments = instruments
        self._rate = rate_bps * _BP
        self._paid_until = {index: since_wall_ns for index, one in enumerate(instruments) if one.market is not Market.SPOT}
        self._planned = dict.fromkeys(self._paid_until, 0)
        self._owed: list[tuple[int, int, Decimal]] = []
        self._due_ns = NEVER
        if self._rate and self._paid_until:
            self._due_ns = _AT_ONCE if since_wall_ns is None else _next_after(since_wall_ns)

    @property
    def due_wall_ns(self) -> int:
        """Return the time before which nothing has to be asked, unless the venue names another: NEVER where nothing is ever paid."""
        return self._due_ns

    def pay(self, now_wall_ns: int, account: Portfolio, market: Sequence[DepthView], ts_event_ns: int) -> list[FundingPaid]:
        """Book on an account what is due by now, and return it, oldest first."""
        told = {index: market[index].funding() for index in self._paid_until}
        for index, until_ns in self._paid_until.items():
            after_ns = now_wall_ns if until_ns is None else until_ns
            while (due_ns := self._next(index, after_ns, told[index])) <= now_wall_ns:
                quantity = self._held(index, due_ns, account)
                if quantity != 0:
                    self._owed.append((due_ns, index, quantity))
                after_ns = due_ns
            self._paid_until[index], self._planned[index] = after_ns, due_ns
        owed, self._owed = sorted(self._owed), []
        paid: list[FundingPaid] = []
        for due_ns, index, quantity in owed:
            terms, ending = self._terms(due_ns, index, told[index], market[index], now_wall_ns)
            if terms is None:
                self._owed.append((due_ns, index, quantity))
                continue
            reference, amount = f"{PAID_ON_PAPER}{self._instruments[index].name} {due_ns // _S}", _paid(quantity, terms)
            is_booked = any(account.is_booked(reference + one) for one in _ENDINGS)
            # What the venue settled at nothing is booked, too: a restart would take it for unpaid, and assume a rate.
            if (amount != 0 or ending) and not is_booked and account.apply_funding(amount, reference + ending):
                paid.append(FundingPaid(instrument=index, amount=amount, reference=reference + ending, ts_event_ns=ts_event_ns))
        waits = (due_ns + SETTLED_WITHIN_NS if _is_awaited(due_ns, told[index]) else _AT_ONCE for due_ns, index, _ in self._owed)
        self._due_ns = min((*waits, *self._planned.values()), default=NEVER)
        return paid

    def _held(self, index: int, due_ns: int, account: Portfolio) -> Decimal:
        """Return what was held at a time that has come: without what an earlier run traded between it and its end."""
        later = (one.quantity for one in self._traded if one.instrument == index and one.wall_ns > due_ns)
        return account.position(index).quantity - sum(later, Decimal(0))

    def _next(self, index: int, after_ns: int, told: FundingTold | None) -> int:
        """Return the first time of payment after `after_ns`: the venue's, else the usual one."""
        usual_ns = _next_after(after_ns) if self._rate or told is not None else NEVER
        if told is None:
            return usual_ns
        named = [terms.at_ns for terms in (told.settled, told.next) if terms is not None and terms.at_ns > after_ns]
        if not named:
            return usual_ns
        # Before the venue was heard, or while it was not, times went by that it did not name; not so before one that it had named.
        is_unnamed = self._planned[index] <= usual_ns < min(named) and usual_ns <= told.since_ns
        return usual_ns if is_unnamed else min(named)

    def _terms(self, due_ns: int, index: int, told: FundingTold | None, view: DepthView, now_ns: int) -> tuple[FundingTerms | None, str]:
        """Return at what a time is paid for, None while that is not known, and what the reference of it ends in."""
        said: FundingTerms | None = None
        if told is not None and told.settled is not None and told.settled.at_ns == due_ns:
            said = told.settled
        elif told is not None and _is_awaited(due_ns, told):
            if now_ns < due_ns + SETTLED_WITHIN_NS:
                return None, ""
            if told.heard_ns >= due_ns - HEARD_WITHIN_NS:
                said = told.next
        if said is not None and said.mark:
            return said, AS_RECORDED
        if not view.synced:
            return None, ""
        grid = self._instruments[index]
        mid = (grid.price(view.best_bid_ticks) + grid.price(view.best_ask_ticks)) / 2
        return (FundingTerms(due_ns, self._rate, mid), "") if said is None else (FundingTerms(due_ns, said.rate, mid), AT_MID)


def _is_awaited(due_ns: int, told: FundingTold | None) -> bool:
    """Tell whether a time is the one that the venue named last, so that it will say at what it was settled."""
    return told is not None and told.next.at_ns == due_ns


def _paid(quantity: Decimal, terms: FundingTerms) -> Decimal:
    """Return what somebody who holds a quantity receives, zero without a sign."""
    return -quantity * terms.mark * terms.rate or Decimal(0)


def _next_after(wall_ns: int) -> int:
    return (wall_ns // EVERY_NS + 1) * EVERY_NS
