"""Send again: a stop whose outcome is unknown, under its own id, so that a position is protected at once and by one stop.

If the first request came, the venue refuses the second as a duplicate; if it comes later, it is refused itself. Nothing else may be sent
again so: an exit that came has filled and ended, and its id is free again.

Invariants: only a reduce-only stop that nobody has heard of and nobody has cancelled is sent again, at most `TIMES_MAX` times, and only
while it is too young to be thought missing (`execution.proof_window_s`); a spot stop goes with its target, as it went at first.
"""

import asyncio
from collections.abc import Callable, Sequence

import structlog

from smartmoney.adapters.clock import Clock
from smartmoney.adapters.order_side import Answer, LastLook, OrderSide
from smartmoney.core.domain.entries import OrderRejected, Payload
from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.core.domain.orders import OrderIntent, OrderReport, Purpose
from smartmoney.venues.followed import Followed, FollowedOrders
from smartmoney.venues.order_news import OrderNews
from smartmoney.venues.outcomes import Outcome

log = structlog.get_logger("gateway")

_S = 1_000_000_000
TIMES_MAX = 3
BUSY_ATTEMPTS = 3
AGE_S_MAX = 4.0
"""Less than `execution.proof_window_s`: an older one may have been replaced by another."""
_AGES_KEPT = 4096


class StopsAgain:
    """Know how old our orders are, and send stops again. `sent` holds what is on its way; `learn` and `post` take what comes of it."""

    def __init__(
        self,
        account: OrderSide,
        followed: FollowedOrders,
        earlier: Sequence[OrderReport],
        sent: dict[str, asyncio.Event],
        learn: Callable[[OrderNews], None],
        post: Callable[[Payload], None],
        *,
        clock: Clock,
    ) -> None:
        now_ns = clock.monotonic_ns()
        self._account = account
        self._followed = followed
        self._sent = sent
        self._learn = learn
        self._post = post
        self._clock = clock
        self._since_ns = {report.intent.client_order_id: now_ns - report.age_ns for report in earlier}
        self._times: dict[str, int] = {}
        self._unwanted: dict[str, None] = {}
        self._under_way = 0
        self.turns = 0
        """Changes whenever one leaves and whenever it was answered."""

    @property
    def is_under_way(self) -> bool:
        """Tell whether one was sent and is not answered: it is neither at the venue nor missing."""
        return self._under_way > 0

    def note_new(self, client_order_id: str) -> None:
        """Take note that an order is being sent for the first time."""
        self._since_ns[client_order_id] = self._clock.monotonic_ns()
        _forget_oldest(self._since_ns)

    def note_unwanted(self, client_order_id: str) -> None:
        """Take note that an order is to be cancelled: it is not sent again."""
        self._unwanted[client_order_id] = None
        _forget_oldest(self._unwanted)

    def age_s(self, client_order_id: str) -> float:
        """Return how long ago an order was decided, in s."""
        now_ns = self._clock.monotonic_ns()
        return (now_ns - self._since_ns.get(client_order_id, 0)) / _S

    def may(self, order: Followed) -> bool:
        """Tell whether an order that the venue does not know is to be sent again."""
        name = order.intent.client_order_id
        is_stop = order.intent.purpose is Purpose.STOP and order.intent.reduce_only and not order.intent.is_attached
        return is_stop and name not in self._sent and self._times.get(name, 0) < TIMES_MAX and self._why_not(order) is None

    async def send(self, order: Followed) -> None:
        """Send a stop again, with its target where the two are a pair."""
        name, instrument = order.intent.client_order_id, self._followed.instruments[order.intent.instrument]
        intents = [order.intent, *self._target_of(order)]
        self._times[name] = self._times.get(name, 0) + 1
        _forget_oldest(self._times)
        self.turns += 1
        self._under_way += 1
        for intent in intents:
            self._sent[intent.client_order_id] = asyncio.Event()
        try:
            answer = await self._account.place(instrument, intents, lambda: self._why_not(order))
            log.warning("a stop of unknown outcome was sent again", client_order_id=name, answer=answer.outcome.value)
            self._take(intents, answer)
        finally:
            self.turns += 1
            self._under_way -= 1
            for intent in intents:
                self._sent.pop(intent.client_order_id).set()

    def _why_not(self, order: Followed) -> str | None:
        name = order.intent.client_order_id
        if order.is_told or order.is_ended or name in self._unwanted:
            return "it was heard of, or is not wanted any more"
        return "it is too late to send it again" if self.age_s(name) > AGE_S_MAX else None

    def _take(self, intents: Sequence[OrderIntent], answer: Answer) -> None:
        if answer.is_done:
            for news in answer.news:
                self._learn(news)
        elif answer.outcome in {Outcome.REFUSED, Outcome.FUNDS} and not answer.is_local:
            # The first one may still come. It goes on being followed, and would be found as a late order.
            for intent in intents:
                found = self._followed.get(intent.client_order_id)
                if found is not None and not found.is_told:
                    self.note_unwanted(intent.client_order_id)
                    self._post(OrderRejected(client_order_id=intent.client_order_id, reason=answer.why()))

    def _target_of(self, stop: Followed) -> list[OrderIntent]:
        """Return the target that left in one pair with a spot stop."""
        intent = stop.intent
        if self._followed.instruments[intent.instrument].market is not Market.SPOT or intent.oco_group is None:
            return []
        others = (other for other in self._followed.working() if other is not stop and not other.is_told)
        return [other.intent for other in others if other.intent.oco_group == intent.oco_group][:1]


async def place_until_not_busy(
    account: OrderSide, instrument: Instrument, intents: Sequence[OrderIntent], last_look: LastLook, *, clock: Clock
) -> Answer:
    """Send an order; what reduces risk is sent again where the venue refused it for its rate, which proves that it was not taken."""
    answer = await account.place(instrument, intents, last_look)
    for _ in range(BUSY_ATTEMPTS - 1):
        if answer.outcome is not Outcome.LIMITED or not intents[0].reduce_only:
            return answer
        await clock.sleep(0.5)
        answer = await account.place(instrument, intents, last_look)
    return answer


def _forget_oldest(kept: dict[str, int] | dict[str, None]) -> None:
    if len(kept) > _AGES_KEPT:
        del kept[next(iter(kept))]
