"""When a paper account's perpetual positions pay or receive funding, and how much. A pure reducer.

What it assumes: one rate for all perpetuals and for ever, paid at 00, 08 and 16 o'clock UTC of our clock, on what is held then, at the mid
of the touch. The venue's own rate moves with its premium; the usual one, on Binance, Bybit and OKX, is that of interest alone, 1 bp.

Invariants: a time of payment is paid once, whatever is restarted; nothing is paid where no touch is known, but later, as soon as one is.
Source: Binance, "Introduction to Binance Futures Funding Rates" (2026-07).
"""

from collections.abc import Sequence
from decimal import Decimal

from smartmoney.core.book.stretch import NEVER
from smartmoney.core.domain.entries import FundingPaid
from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.core.portfolio.portfolio import Portfolio
from smartmoney.simulation.paper_depth import DepthView

EVERY_NS = 8 * 3_600_000_000_000
_AT_ONCE = -1
_BP = Decimal("0.0001")
_S = 1_000_000_000


class FundingClock:
    """Know the next time of payment (`due_wall_ns`): before that nothing has to be asked, NEVER where nothing is ever paid."""

    def __init__(self, rate_bps: Decimal, instruments: Sequence[Instrument], since_wall_ns: int | None) -> None:
        """Begin; `since_wall_ns` is until when all is paid, None for an account that begins with the first entry."""
        self._instruments = instruments
        self._rate = rate_bps * _BP
        self._paying = [index for index, one in enumerate(instruments) if one.market is not Market.SPOT]
        self.due_wall_ns = NEVER
        if self._rate and self._paying:
            self.due_wall_ns = _AT_ONCE if since_wall_ns is None else _next_after(since_wall_ns)

    def pay(self, now_wall_ns: int, account: Portfolio, market: Sequence[DepthView], ts_event_ns: int) -> list[FundingPaid]:
        """Book on an account what is due by now, and return it, oldest first."""
        due_ns = self.due_wall_ns if self.due_wall_ns != _AT_ONCE else _next_after(now_wall_ns)
        paid: list[FundingPaid] = []
        held = [index for index in self._paying if account.position(index).quantity != 0]
        if due_ns <= now_wall_ns and not all(market[index].synced for index in held):
            return paid
        while due_ns <= now_wall_ns:
            for index in held:
                amount, reference = self._amount(index, account, market[index]), f"paper {self._instruments[index].name} {due_ns // _S}"
                if account.apply_funding(amount, reference):
                    paid.append(FundingPaid(instrument=index, amount=amount, reference=reference, ts_event_ns=ts_event_ns))
            due_ns += EVERY_NS
        self.due_wall_ns = due_ns
        return paid

    def _amount(self, index: int, account: Portfolio, view: DepthView) -> Decimal:
        grid = self._instruments[index]
        mid = (grid.price(view.best_bid_ticks) + grid.price(view.best_ask_ticks)) / 2
        return -account.position(index).quantity * mid * self._rate


def _next_after(wall_ns: int) -> int:
    return (wall_ns // EVERY_NS + 1) * EVERY_NS
