"""When a paper account's perpetual positions pay or receive funding, and how much. A pure reducer.

What it assumes: one rate for all perpetuals and for ever, paid at 00, 08 and 16 o'clock UTC of our clock, on what is held then, at the mid
of the touch. The venue's own rate moves with its premium; the usual one, on Binance, Bybit and OKX, is that of interest alone, 1 bp.

Invariants: a time of payment is paid once, whatever is restarted; where no touch is known, what was held then is paid for once one is.
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
    """Know when funding is paid, and what is still owed where no touch was known."""

    def __init__(self, rate_bps: Decimal, instruments: Sequence[Instrument], since_wall_ns: int | None) -> None:
        """Begin; `since_wall_ns` is until when all is paid, None for an account that begins with the first entry."""
        self._instruments = instruments
        self._rate = rate_bps * _BP
        self._paying = [index for index, one in enumerate(instruments) if one.market is not Market.SPOT]
        self._owed: list[tuple[int, int, Decimal]] = []
        self._next_ns = NEVER
        if self._rate and self._paying:
            self._next_ns = _AT_ONCE if since_wall_ns is None else _next_after(since_wall_ns)

    @property
    def due_wall_ns(self) -> int:
        """Return the time before which nothing has to be asked: that of the next payment, NEVER where nothing is ever paid."""
        return _AT_ONCE if self._owed else self._next_ns

    def pay(self, now_wall_ns: int, account: Portfolio, market: Sequence[DepthView], ts_event_ns: int) -> list[FundingPaid]:
        """Book on an account what is due by now, and return it, oldest first."""
        if self._next_ns == _AT_ONCE:
            self._next_ns = _next_after(now_wall_ns)
        while self._next_ns <= now_wall_ns:
            held = ((index, account.position(index).quantity) for index in self._paying)
            self._owed += [(self._next_ns, index, quantity) for index, quantity in held if quantity != 0]
            self._next_ns += EVERY_NS
        owed, self._owed = self._owed, []
        paid: list[FundingPaid] = []
        for due_ns, index, quantity in owed:
            view, grid = market[index], self._instruments[index]
            if not view.synced:
                self._owed.append((due_ns, index, quantity))
                continue
            mid = (grid.price(view.best_bid_ticks) + grid.price(view.best_ask_ticks)) / 2
            amount, reference = -quantity * mid * self._rate, f"paper {grid.name} {due_ns // _S}"
            if account.apply_funding(amount, reference):
                paid.append(FundingPaid(instrument=index, amount=amount, reference=reference, ts_event_ns=ts_event_ns))
        return paid


def _next_after(wall_ns: int) -> int:
    return (wall_ns // EVERY_NS + 1) * EVERY_NS
