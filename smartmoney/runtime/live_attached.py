"""Wait for the stop that the venue makes out of an entry, and say so where it made none.

Nothing is sent here. What stands is accepted when the venue shows it, by stream or by asking; what the venue's own list does not show after
`SHOWS_S` is refused, so that an ordinary stop is placed within the second that a fill may be without one.

Invariants: a refusal rests on a list that was read after the time was over, never on silence; every loop is bounded.
"""

from collections.abc import Callable

from smartmoney.adapters.clock import Clock
from smartmoney.core.domain.entries import CancelRejected, OrderRejected, OutcomeUnknown, Payload
from smartmoney.runtime.live_account import LiveAccount
from smartmoney.venues.followed import Followed, FollowedOrders
from smartmoney.venues.outcomes import Outcome

SHOWS_S = 0.5
"""A stop that the venue made is in its lists by then."""
GIVE_UP_S = 8.0
"""A venue that gives no answer for so long leaves it to the next reading of the account."""
_LOOK_S = 0.1
_S = 1_000_000_000


class AttachedStops:
    """Look for stops that travelled with their entries."""

    def __init__(self, reader: LiveAccount, followed: FollowedOrders, post: Callable[[Payload], None], *, clock: Clock) -> None:
        self._reader = reader
        self._followed = followed
        self._post = post
        self._clock = clock

    async def expect(self, order: Followed) -> None:
        """Look for one that an entry of this life carried."""
        order.is_expected = True
        await self.wait_for(order)

    async def wait_for(self, order: Followed) -> None:
        """Look until the venue shows it, or has none that is known to be it."""
        began_ns, name = self._clock.monotonic_ns(), order.intent.client_order_id
        while not _is_known(order):
            asked_s = (self._clock.monotonic_ns() - began_ns) / _S
            answer = await self._reader.look_up(order)
            if _is_known(order):
                return
            if asked_s > SHOWS_S and (answer.is_done or answer.outcome is Outcome.NOT_FOUND):
                self._followed.drop(name)
                self._post(OrderRejected(client_order_id=name, reason=f"no stop is known to be of {order.intent.attached_to}"))
                return
            if asked_s > GIVE_UP_S:
                self._post(OutcomeUnknown(client_order_id=name, reason=f"whether it stands cannot be asked: {answer.why()}"))
                return
            await self._clock.sleep(_LOOK_S)

    async def number_of(self, order: Followed) -> str | None:
        """Return the venue's number of an order that has no name there, "" of one that has; None, said aloud, where it shows none yet."""
        if not self._reader.is_nameless(order):
            return ""
        if not order.order_id:
            await self._reader.look_up(order)
        if not order.order_id:
            self._post(CancelRejected(client_order_id=order.intent.client_order_id, reason="the venue does not show it yet"))
            return None
        return order.order_id


def _is_known(order: Followed) -> bool:
    return order.is_told or order.is_ended
