"""Carry orders to a live account and bring back what becomes of them, as entries of the inbox.

Every request is a task of its own, so that a venue that does not answer holds up nothing else; what it may mean is decided by what the
answer proves (`venues.outcomes`), and what was not proven is asked for by our own client id until it is. The stream, answers and
polling all lead into the same fold (`venues.followed`), which says each thing once.

Invariants: an order is sent at most once, except that one which the venue provably did not take (busy), or a stop of unknown outcome
(`live_again`), is sent again under the same id; no order leaves so late that it may be thought missing; an entry looks at latch, clock and
the age of the last report right before it leaves; requests in flight are bounded; a spot stop and its target leave as one pair; a report
that began before it was asked for is not an answer.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import structlog

from smartmoney.adapters.clock import Clock, first_of
from smartmoney.adapters.order_side import Answer, OrderSide
from smartmoney.core.domain.entries import (
    AccountReported,
    CancelRejected,
    HaltRequested,
    OrderCanceled,
    OrderRejected,
    OutcomeUnknown,
    Payload,
    SendRefused,
)
from smartmoney.core.domain.instruments import Market
from smartmoney.core.domain.orders import Approved, OrderIntent, Purpose
from smartmoney.runtime.elsewhere import Elsewhere
from smartmoney.runtime.live_account import Beginning, LiveAccount, ReadFailed
from smartmoney.runtime.live_again import StopsAgain, place_until_not_busy
from smartmoney.runtime.live_attached import AttachedStops
from smartmoney.runtime.live_money import LiveMoney
from smartmoney.runtime.supervisor import Beat
from smartmoney.venues.followed import Followed, FollowedOrders
from smartmoney.venues.order_news import NewsError, OrderNews
from smartmoney.venues.outcomes import Outcome

log = structlog.get_logger("gateway")

_S = 1_000_000_000
IN_FLIGHT_MAX = 64
"""Requests under way; of these `_RESERVED` are kept for what reduces risk."""
_RESERVED = 32
POLL_S = 10.0
"""The account is read this often beside the stream: a fill that the stream lost is found within it."""
REPORT_AGE_MAX_S = 60.0
"""No entry leaves while the last report is older."""
READ_S_MAX = 45.0
"""A reading that takes longer is given up: a venue so slow is read again at the next turn."""
CLOCK_EVERY_S = 60.0
_UNASKED_S_MAX = 4.0
"""A report that nobody asked for and that took longer says too little of young orders (`core.execution.reconciliation`)."""
_LOOKS_S = (0.25, 0.5, 1.0, 1.0, 2.0, 2.0, 4.0, 8.0)
"""Waits between looks for an order of unknown outcome; its receive window is over within the first five."""
_TRADES_S = 0.1
"""Stream and answers tell an order and its trades one after the other; what is not told after so long is asked for."""
_LEAVES_S_MAX = 8.0
"""An order that had to wait for longer does not leave: after `execution.ack_timeout_s` it may be thought missing."""
_FIRST_LOOK_S = 0.1
"""After a start, whoever asked for orders of an earlier life has told by then which of them it does not want any more."""
_FUNDS_PAUSE_S = 60.0
"""After a refusal for lack of money no entry of the instrument is tried for so long."""
_TURN_S = 0.5


class LiveGateway(Elsewhere):
    """Be the order gateway of a live (or rehearsed) account."""

    def __init__(
        self,
        account: OrderSide,
        followed: FollowedOrders,
        beginning: Beginning,
        post: Callable[[Payload], None],
        *,
        clock: Clock,
        is_latched: Callable[[], bool],
        money: LiveMoney | None = None,
    ) -> None:
        self._account = account
        self._money = money
        self._followed = followed
        self._instruments = followed.instruments
        self._post = post
        self._clock = clock
        self._is_latched = is_latched
        self._reader = LiveAccount(account, followed, beginning, self._post_all)
        self._tasks: set[asyncio.Task[None]] = set()
        self._sent: dict[str, asyncio.Event] = {}
        self._pairs: dict[str, list[OrderIntent]] = {}
        self._canceling: dict[str, asyncio.Event] = {}
        self._looking: set[str] = set()
        self._ending: dict[str, None] = {}
        """Orders whose cancel was taken note of, and whose end was not told yet."""
        self._again = StopsAgain(account, followed, beginning.orders, self._sent, self._learn, post, clock=clock)
        self._attached = AttachedStops(self._reader, followed, post, clock=clock)
        self._funds_until_ns = [0 for _ in self._instruments]
        self._first_ask_ns: int | None = None
        self._poll_now = asyncio.Event()
        self._asked = asyncio.Event()
        self._reported_ns: int | None = None
        self._clock_due_ns = 0
        self._key_refused = False
        self.is_stream_up = False

    # ---- the order gateway's face

    def submit(self, approved: Approved, now_mono_ns: int) -> None:
        """Send an order in the background."""
        del now_mono_ns
        intent = approved.intent
        room = IN_FLIGHT_MAX if intent.reduce_only else IN_FLIGHT_MAX - _RESERVED
        if len(self._tasks) >= room:
            self._post(SendRefused(client_order_id=intent.client_order_id, reason=f"{len(self._tasks)} requests are under way"))
            return
        order = self._followed.follow(intent)
        self._again.note_new(intent.client_order_id)
        if intent.is_attached:
            self._start(self._attached.expect(order))
            return
        self._sent[intent.client_order_id] = asyncio.Event()
        group = intent.oco_group
        waiting = self._pairs.get(group) if group is not None else None
        if waiting is not None:
            waiting.append(intent)
            return
        if group is not None and intent.purpose is Purpose.STOP and self._instruments[intent.instrument].market is Market.SPOT:
            self._pairs[group] = [intent]
            self._start(self._send_pair(group, approved))
            return
        self._start(self._send([intent], approved))

    def cancel(self, client_order_id: str, now_mono_ns: int) -> None:
        """Cancel an order in the background, once its own request is answered."""
        del now_mono_ns
        if client_order_id in self._canceling:
            return
        if len(self._tasks) >= IN_FLIGHT_MAX:
            log.warning("a cancel waits: too many requests are under way", client_order_id=client_order_id)
            return  # it is asked for again after its time-out
        self._again.note_unwanted(client_order_id)
        self._canceling[client_order_id] = asyncio.Event()
        self._start(self._cancel(client_order_id))

    def request_account(self, now_mono_ns: int) -> None:
        """Read the account now; answered by `AccountReported`."""
        del now_mono_ns
        if self._first_ask_ns is None:
            self._first_ask_ns = self._clock.monotonic_ns()
        self._asked.set()
        self._poll_now.set()

    # ---- the stream

    def private_up(self) -> None:
        """Read the account: what happened while the stream was down was told to nobody."""
        self.is_stream_up = True
        log.info("private stream up")
        self._poll_now.set()
        if self._money is not None:
            self._money.stream_up()

    def private_down(self, reason: str, *, key_refused: bool) -> None:
        """Go on by polling; a key that is not taken any more halts."""
        self.is_stream_up = False
        log.warning("private stream down", reason=reason)
        if key_refused:
            self._halt_for_key(reason)

    def private_event(self, event: Any) -> None:
        """Fold an event of the account's stream."""
        try:
            news = self._account.read_event(event)
            for order in news.orders:
                self._learn(order)
            replies, unknown = self._followed.learn_trades(news.trades)
            self._reader.tell(replies)
            if unknown:
                self._poll_now.set()
            if news.moved is not None and self._money is not None:
                self._money.note(news.moved)
            elif news.moved is not None:
                self._poll_now.set()
        except NewsError as problem:
            log.warning("a private event cannot be read", problem=str(problem))
            self._poll_now.set()

    # ---- children of the supervisor

    async def run(self, beat: Beat) -> None:
        """Read the account regularly, and whenever somebody asks."""
        due_ns = 0
        self._clock_due_ns = self._clock.monotonic_ns() + round(CLOCK_EVERY_S * _S)
        # What was paid before this start is part of the equity that the first decision looks at.
        await asyncio.gather(self._account.sync_clock(), *([] if self._money is None else [self._money.first()]))
        while True:
            beat()
            now_ns = self._clock.monotonic_ns()
            if now_ns >= self._clock_due_ns:
                self._clock_due_ns = now_ns + round(CLOCK_EVERY_S * _S)
                await self._account.sync_clock()
            if now_ns >= due_ns or self._poll_now.is_set():
                self._poll_now.clear()
                await self._report()
                due_ns = self._clock.monotonic_ns() + round(POLL_S * _S)
            try:
                async with asyncio.timeout(_TURN_S):
                    await self._poll_now.wait()
            except TimeoutError:
                continue

    async def settle(self, patience_s: float = 3.0) -> None:
        """Wait for what is under way to come to its end, within a patience."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=patience_s)

    async def close(self) -> None:
        """Drop what is still under way: the next start asks for it."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # ---- sending

    async def _send_pair(self, group: str, approved: Approved) -> None:
        # The target is handed over in the same turn as its stop, or not at all.
        await asyncio.sleep(0)
        intents = self._pairs.pop(group)
        await self._send(intents, approved)

    async def _send(self, intents: Sequence[OrderIntent], approved: Approved) -> None:
        """Send an order, or a pair, and post what the answer proves."""
        try:
            answer = await self._place(intents, approved)
            if len(intents) > 1 and answer.outcome is Outcome.REFUSED:
                # Better the stop alone than nothing: a target that the venue does not take must not cost the protection.
                self._refuse(intents[1], answer)
                self._answered(intents[1].client_order_id)
                intents = intents[:1]
                answer = await self._place(intents, approved)
            self._after_sending(intents, answer)
        finally:
            for intent in intents:
                self._answered(intent.client_order_id)

    async def _place(self, intents: Sequence[OrderIntent], approved: Approved) -> Answer:
        instrument = self._instruments[intents[0].instrument]
        return await place_until_not_busy(self._account, instrument, intents, lambda: self._why_not(approved), clock=self._clock)

    def _why_not(self, approved: Approved) -> str | None:
        """Say why an order must not leave now; what reduces risk may, unless it waited so long that it may have been replaced."""
        intent = approved.intent
        now_ns = self._clock.monotonic_ns()
        if self._again.age_s(intent.client_order_id) > _LEAVES_S_MAX:
            return f"it had to wait for more than {_LEAVES_S_MAX:g} s"
        if intent.reduce_only:
            return None
        if self._is_latched():
            return "halted meanwhile"
        if now_ns > approved.valid_until_mono_ns:
            return f"approval ran out {(now_ns - approved.valid_until_mono_ns) / 1e6:.0f} ms ago"
        if self._reported_ns is None or now_ns - self._reported_ns > REPORT_AGE_MAX_S * _S:
            return "the account was not read for too long"
        if not self._account.is_clock_good:
            return "the clock is not to be trusted: two measurements of the venue's differ"
        if now_ns < self._funds_until_ns[intent.instrument]:
            return "the venue said that the money does not suffice"
        return None

    def _after_sending(self, intents: Sequence[OrderIntent], answer: Answer) -> None:
        order = self._followed.get(intents[0].client_order_id)
        assert order is not None
        if answer.is_done:
            for news in answer.news:
                self._learn(news)
            for intent in intents if not answer.news else ():
                # Taken note of, and no more: what became of it is to be asked.
                self._look_for(intent.client_order_id)
            return
        if answer.outcome in {Outcome.UNKNOWN, Outcome.DUPLICATE}:
            log.warning("the outcome of an order is unknown", client_order_id=order.intent.client_order_id, answer=answer.why())
            for intent in intents:
                self._post(OutcomeUnknown(client_order_id=intent.client_order_id, reason=answer.why()))
                self._look_for(intent.client_order_id)
            return
        if answer.outcome is Outcome.KEY:
            self._halt_for_key(answer.why())
        if answer.outcome is Outcome.FUNDS and not intents[0].reduce_only:
            self._funds_until_ns[intents[0].instrument] = self._clock.monotonic_ns() + round(_FUNDS_PAUSE_S * _S)
        for intent in intents:
            self._refuse(intent, answer)

    def _refuse(self, intent: OrderIntent, answer: Answer) -> None:
        """Post that an order will not exist, unless something else has been heard of it."""
        order = self._followed.get(intent.client_order_id)
        if order is not None and order.is_told:
            self._look_for(intent.client_order_id)
            return
        self._followed.drop(intent.client_order_id)
        kind = SendRefused if answer.is_local else OrderRejected
        self._post(kind(client_order_id=intent.client_order_id, reason=answer.why()))

    def _answered(self, client_order_id: str) -> None:
        sent = self._sent.pop(client_order_id, None)
        if sent is not None:
            sent.set()

    # ---- cancelling

    async def _cancel(self, client_order_id: str) -> None:
        try:
            sent = self._sent.get(client_order_id)
            if sent is not None:
                await sent.wait()
            order = self._followed.get(client_order_id)
            if order is None:
                self._post(CancelRejected(client_order_id=client_order_id, reason="no such order is followed"))
                return
            await self._wait_for_sibling(order)
            if not order.is_ended:
                await self._cancel_at_venue(order)
        finally:
            self._canceling.pop(client_order_id).set()

    async def _wait_for_sibling(self, order: Followed) -> None:
        """Wait for the cancel of a spot pair's other leg: it takes this one along."""
        group = order.intent.oco_group
        if group is None or self._instruments[order.intent.instrument].market is not Market.SPOT:
            return
        for other in list(self._followed.working()):
            name = other.intent.client_order_id
            under_way = self._canceling.get(name)
            # The stop's cancel speaks for both; the target's waits for it, never the other way round.
            if other is not order and other.intent.oco_group == group and under_way is not None and name == group:
                await under_way.wait()

    async def _cancel_at_venue(self, order: Followed) -> None:
        name = order.intent.client_order_id
        instrument = self._instruments[order.intent.instrument]
        number = await self._attached.number_of(order)
        if number is None:
            return
        answer = await self._account.cancel(instrument, name, is_algo=order.is_algo, number=number, is_stop=order.is_stop)
        if answer.is_over and not order.is_ended:
            self._followed.drop(name)
            self._post(OrderCanceled(client_order_id=name, reason="requested"))
        elif answer.is_done:
            for news in answer.news:
                self._learn(news)
            if not answer.news and not order.is_ended:
                self._ending[name] = None
                self._look_for(name)
        elif answer.outcome is Outcome.NOT_FOUND:
            found = await self._reader.look_up(order)
            if not found.is_done and not order.is_ended:
                self._post(CancelRejected(client_order_id=name, reason=answer.why()))
        elif not order.is_ended:
            self._post(OutcomeUnknown(client_order_id=name, reason=f"cancel: {answer.why()}"))
            if answer.outcome is Outcome.KEY:
                self._halt_for_key(answer.why())

    # ---- learning

    def _learn(self, news: OrderNews) -> None:
        self._reader.tell(self._followed.learn(news))
        order = self._followed.get(news.client_id)
        if order is not None and (order.is_behind or order.needs_look):
            self._look_for(news.client_id)

    def _look_for(self, client_order_id: str) -> None:
        """Ask for an order again and again, until it is understood or its time is over."""
        if client_order_id in self._looking:
            return
        self._looking.add(client_order_id)
        self._start(self._look(client_order_id))

    async def _look(self, client_order_id: str) -> None:
        try:
            for wait_s in _LOOKS_S:
                order = self._followed.get(client_order_id)
                if order is None or self._is_understood(order):
                    return
                if order.is_told and order.is_behind:
                    # Its trades are told beside it, as a rule at once.
                    await self._clock.sleep(_TRADES_S)
                    if self._is_understood(order):
                        return
                answer = await self._reader.look_up(order)
                if answer.outcome is Outcome.NOT_FOUND and self._again.may(order):
                    await self._again.send(order)
                if answer.outcome is Outcome.KEY:
                    self._halt_for_key(answer.why())
                    return
                await self._clock.sleep(wait_s)
            self._poll_now.set()
        finally:
            self._looking.discard(client_order_id)
            self._ending.pop(client_order_id, None)

    def _is_understood(self, order: Followed) -> bool:
        if order.intent.client_order_id in self._ending and not order.is_ended:
            return False
        return order.is_told and not order.is_behind and not order.needs_look

    async def _report(self) -> None:
        """Read the account and post the report, if it answers what was asked."""
        turns = self._again.turns
        try:
            async with asyncio.timeout(READ_S_MAX):
                report, began_ns = await self._read()
        except TimeoutError:
            log.warning("the account could not be read", problem=f"not within {READ_S_MAX:g} s")
            return
        except ReadFailed as failure:
            log.warning("the account could not be read", problem=str(failure))
            if failure.answer is not None and failure.answer.outcome is Outcome.KEY:
                self._halt_for_key(failure.answer.why())
            return
        except NewsError as problem:
            log.critical("the account cannot be understood", problem=str(problem))
            self._post(HaltRequested(reason=f"the venue's account cannot be understood: {problem}"))
            return
        asked_ns = self._first_ask_ns
        # A stop that is sent again meanwhile is neither there nor missing.
        is_overtaken = (asked_ns is not None and asked_ns > began_ns) or not self._reader.still_holds(report)
        if is_overtaken or turns != self._again.turns or self._again.is_under_way:
            self._poll_now.set()
            return
        if asked_ns is None and self._clock.monotonic_ns() - began_ns > _UNASKED_S_MAX * _S:
            return
        self._first_ask_ns = None
        self._asked.clear()
        self._key_refused = False
        is_first = self._reported_ns is None
        self._reported_ns = self._clock.monotonic_ns()
        self._post(report)
        self._reader.note_reported()
        if is_first:
            self._start(self._look_for_earlier())

    async def _read(self) -> tuple[AccountReported, int]:
        """Read the account, and tell since when.

        A reading that nobody asked for waits for its budget, and makes way for one that is asked for meanwhile.
        """
        began_ns = self._clock.monotonic_ns()
        if not self._asked.is_set() and self._reported_ns is not None:
            report = await first_of(self._reader.read(), self._overtaken())
            if report is not None:
                return report, began_ns
            began_ns = self._clock.monotonic_ns()
        return await self._reader.read(is_urgent=True), began_ns

    async def _overtaken(self) -> None:
        await self._asked.wait()

    async def _look_for_earlier(self) -> None:
        """Ask for the orders of an earlier life that the venue does not list: they may never have come."""
        await self._clock.sleep(_FIRST_LOOK_S)
        for order in list(self._followed.working()):
            name = order.intent.client_order_id
            if not order.is_told and order.intent.is_attached and not order.is_expected:
                self._start(self._attached.wait_for(order))
            elif not order.is_told and name not in self._sent:
                self._look_for(name)

    def _halt_for_key(self, reason: str) -> None:
        """Ask for a halt, once until the account could be read again: a key that is refused does not come back by asking."""
        if not self._key_refused:
            self._key_refused = True
            self._post(HaltRequested(reason=f"the venue does not take the key: {reason}"))

    def _post_all(self, payloads: Sequence[Payload]) -> None:
        for payload in payloads:
            self._post(payload)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        failure = None if task.cancelled() else task.exception()
        if failure is None:
            return
        # Whatever it left undone is found by reading the account, which also halts where nothing can be understood.
        log.warning("a request came to no end", problem=f"{type(failure).__name__}: {failure}")
        self._poll_now.set()
        if not isinstance(failure, (ReadFailed, NewsError)):
            self._post(HaltRequested(reason=f"the order gateway failed: {type(failure).__name__}"))
