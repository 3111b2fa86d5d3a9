"""Where orders go: one interface for paper and for a venue.

The sender checks the last three things before an order leaves (decisions: "the loop", 5): it is not too late, the halt epoch has not
moved on, and no latch file stands there. A refusal is an entry like any other.
"""

from collections.abc import Sequence
from functools import partial
from typing import Protocol, get_args

from smartmoney.core.domain.entries import Entry, EntryKind, OrderReply, Payload, SendRefused
from smartmoney.core.domain.orders import Approved
from smartmoney.core.engine.market import Market
from smartmoney.core.engine.stretch import Passed, Waits
from smartmoney.core.portfolio.portfolio import Portfolio
from smartmoney.runtime.elsewhere import Elsewhere
from smartmoney.simulation.kernel_depth import KernelDepth
from smartmoney.simulation.paper import PaperVenue

_NEWS = frozenset(get_args(OrderReply))
"""What is said of our orders moves no market: the venue that said it has met the orders in that one."""


class OrderGateway(Protocol):
    """Take approved orders; answers come back as order replies."""

    def submit(self, approved: Approved, now_mono_ns: int) -> None:
        """Send an order."""

    def cancel(self, client_order_id: str, now_mono_ns: int) -> None:
        """Cancel an order."""

    def request_account(self, now_mono_ns: int) -> None:
        """Ask for working orders and positions; answered by `AccountReported`."""

    def advance(self, entry: Entry) -> Sequence[Payload]:
        """Return what the venue answers as of this entry (paper; a real venue answers on its own stream)."""

    def waits(self) -> Waits:
        """Return what the venue waits for in the market (paper; a real venue waits elsewhere)."""

    def pass_over(self, passed: Passed) -> None:
        """Note entries that `advance` was spared."""


def refusal_before_send(approved: Approved, now_mono_ns: int, halt_epoch: int, *, is_latched: bool) -> SendRefused | None:
    """Check an approved order for the last time; None lets it go. Orders that reduce risk pass a halt and a slow disk."""
    intent = approved.intent
    if now_mono_ns > approved.valid_until_mono_ns and not intent.reduce_only:
        late_ms = (now_mono_ns - approved.valid_until_mono_ns) / 1e6
        return SendRefused(client_order_id=intent.client_order_id, reason=f"approval ran out {late_ms:.0f} ms ago")
    if not intent.reduce_only and (is_latched or approved.halt_epoch != halt_epoch):
        return SendRefused(client_order_id=intent.client_order_id, reason="halted meanwhile")
    return None


class NoGateway(Elsewhere):
    """Carry nothing: a replay of a run has its replies in the capture, and a run that is being opened has no venue yet."""

    def submit(self, approved: Approved, now_mono_ns: int) -> None:
        """Send nothing."""

    def cancel(self, client_order_id: str, now_mono_ns: int) -> None:
        """Cancel nothing."""

    def request_account(self, now_mono_ns: int) -> None:
        """Ask nobody."""


class PaperGateway:
    """Carry orders to the paper venue, which answers on the inbox's own clock."""

    def __init__(self, venue: PaperVenue, market: Market, ours: Portfolio) -> None:
        """Serve a market; `ours` is the engine's portfolio: money that a person moves there is moved at the venue too."""
        self._venue = venue
        self._ours = ours
        self._transferred = ours.transferred
        self._market = market
        self._views = [KernelDepth(market.states, index, partial(market.is_synced, index)) for index in range(len(market.instruments))]
        self._account_asked = False
        self._turns = market.states["funding_turns"][:1]
        self._turns_seen = -1

    def submit(self, approved: Approved, now_mono_ns: int) -> None:
        """Send an order; it is effective after the configured latency."""
        self._venue.submit(approved.intent, now_mono_ns)

    def cancel(self, client_order_id: str, now_mono_ns: int) -> None:
        """Cancel an order; effective after the configured latency."""
        self._venue.cancel(client_order_id, now_mono_ns)

    def request_account(self, now_mono_ns: int) -> None:
        """Ask for working orders and positions; answered after the next entry."""
        del now_mono_ns
        self._account_asked = True

    def advance(self, entry: Entry) -> Sequence[Payload]:
        """Return what the paper venue answers as of this entry. Cost: nothing while no order works there and no funding is due."""
        if self._ours.transferred != self._transferred:
            self._venue.account.apply_transfer(self._ours.transferred - self._transferred)
            self._transferred = self._ours.transferred
        is_unmoved = entry.kind is EntryKind.FRAME and not self._market.is_moved
        turns = self._turns.item()
        is_turned = turns != self._turns_seen
        if is_turned or (entry.ts_wall_ns >= self._venue.pays_at_wall_ns and not is_unmoved):
            self._turns_seen = turns
            self._venue.pay_funding(entry.ts_wall_ns, self._event_ns(), self._views)
        if not self._account_asked and ((is_unmoved and not is_turned) or self._venue.is_idle):
            return ()
        is_same = type(entry.payload) in _NEWS
        replies: list[Payload] = [*self._venue.advance(entry.ts_mono_ns, self._event_ns(), self._views, is_same=is_same)]
        if self._account_asked:
            self._account_asked = False
            replies.append(self._venue.report())
        return replies

    def waits(self) -> Waits:
        """Return what the venue waits for."""
        return Waits(each=True) if self._account_asked else self._venue.waits(self._views)

    def pass_over(self, passed: Passed) -> None:
        """Note entries that `advance` was spared, because nothing that the venue waits for happened."""
        if passed.moved_wall_ns is not None and passed.trade_ids:
            self._venue.pass_over(passed.trade_ids, passed.places)

    def _event_ns(self) -> int:
        return max((view.last_event_ns for view in self._views), default=0)
