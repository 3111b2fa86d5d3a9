"""The sender: durable before sent, in order, or not at all."""

import asyncio

import pytest

from smartmoney.adapters.capture import CaptureFailed
from smartmoney.adapters.journal import JournalFailed
from smartmoney.core.domain.commands import (
    CancelOrder,
    Notify,
    ReconnectFeed,
    RecordHalt,
    RecordResume,
    RequestAccount,
    RequestSnapshot,
    SubmitOrder,
)
from smartmoney.core.domain.orders import Approved, OrderIntent, OrderType, Purpose, Side
from smartmoney.runtime.clock import now
from smartmoney.runtime.gateway import refusal_before_send
from smartmoney.runtime.loop import Batch, Line
from smartmoney.runtime.sender import Sender
from tests.waiting import PATIENCE_S, until

LATER_NS = 10**18


class World:
    """Everything the sender touches, in one list, in order."""

    def __init__(self, *, fails=None, is_latched=False, epoch=0):
        self.seen = []
        self.fails = fails
        self.is_latched = is_latched
        self.outbox = asyncio.Queue()
        self.gate = None
        self.sender = Sender(self.outbox, self, self, self, self, lambda refusal: self.seen.append(("refused", refusal)), epoch)

    # the ledger
    def commit(self, batches):
        if self.gate is not None:
            self.gate.wait(PATIENCE_S)
        if isinstance(self.fails, JournalFailed):
            raise self.fails
        self.seen.append(("commit", [batch.last_seq for batch in batches]))

    def ensure_captured(self, seq):
        if isinstance(self.fails, CaptureFailed):
            raise self.fails
        self.seen.append(("captured", seq))

    # the latch
    def set(self, reason, epoch):
        self.is_latched = True
        self.seen.append(("latched", reason, epoch))

    def clear(self):
        self.is_latched = False
        self.seen.append(("cleared",))

    def is_set(self):
        return self.is_latched

    # the gateway and the outside
    def submit(self, approved, _now):
        self.seen.append(("submit", approved.intent.client_order_id))

    def cancel(self, name, _now):
        self.seen.append(("cancel", name))

    def request_account(self, _now):
        self.seen.append(("account",))

    def request_snapshot(self, instrument, _reason):
        self.seen.append(("snapshot", instrument))

    def reconnect(self, instrument, _reason):
        self.seen.append(("reconnect", instrument))

    def did(self):
        return [what[0] for what in self.seen]


def order(name="o1", *, reduce_only=False, valid_until=LATER_NS, epoch=0):
    intent = OrderIntent(
        client_order_id=name,
        instrument=0,
        side=Side.BUY,
        type=OrderType.MARKET,
        lots=1,
        purpose=Purpose.FLATTEN if reduce_only else Purpose.ENTRY,
        reduce_only=reduce_only,
    )
    return SubmitOrder(approved=Approved(intent=intent, valid_until_mono_ns=valid_until, halt_epoch=epoch))


def batch(*commands, seq=7):
    return Batch(
        lines=tuple(Line(seq, 1, command) for command in commands),
        commands=commands,
        checkpoint=None,
        last_seq=seq,
        decided_mono_ns=now().mono_ns,
        has_orders=any(isinstance(command, SubmitOrder) for command in commands),
    )


async def test_an_order_leaves_after_its_inputs_and_its_intent_are_durable():
    world = World()
    await world.sender.send([batch(order())], is_queued=False)
    assert world.seen == [("captured", 7), ("commit", [7]), ("submit", "o1")]
    assert world.sender.send_latency.percentiles().count == 1


async def test_commands_of_several_batches_are_committed_as_one_and_leave_in_order():
    world = World()
    batches = [
        batch(order("a"), CancelOrder(client_order_id="b", instrument=0, reason=""), seq=1),
        batch(RequestAccount(reason=""), order("c"), seq=2),
    ]
    await world.sender.send(batches, is_queued=False)
    assert world.seen == [("captured", 2), ("commit", [1, 2]), ("submit", "a"), ("cancel", "b"), ("account",), ("submit", "c")]


async def test_what_is_no_order_waits_for_no_capture():
    world = World()
    commands = (
        RequestSnapshot(instrument=3, reason=""),
        ReconnectFeed(instrument=4, reason=""),
        Notify(severity="info", subject="s", text="t"),
    )
    await world.sender.send([batch(*commands)], is_queued=False)
    assert world.seen == [("commit", [7]), ("snapshot", 3), ("reconnect", 4)]


@pytest.mark.parametrize("failure", [JournalFailed("disk full"), CaptureFailed("disk gone")])
async def test_a_failed_write_sends_nothing_and_sets_the_latch(failure):
    world = World(fails=failure)
    with pytest.raises(type(failure)):
        await world.sender.send([batch(order(), order("o2", reduce_only=True))], is_queued=False)
    assert "submit" not in world.did()
    assert world.seen[-1][0] == "latched"
    assert str(failure) in world.seen[-1][1]


async def test_a_halt_sets_the_latch_before_the_orders_that_follow_it_and_only_reducing_ones_leave():
    world = World()
    halt = RecordHalt(reason="drawdown", epoch=1, equity=None, peak=None)
    await world.sender.send([batch(halt, order("entry"), order("close", reduce_only=True))], is_queued=False)
    assert world.did() == ["captured", "commit", "latched", "refused", "submit"]
    assert world.seen[-1] == ("submit", "close")
    assert world.seen[-2][1].reason == "halted meanwhile"


async def test_an_entry_that_was_approved_before_a_halt_and_a_resume_does_not_leave_after_them():
    world = World()
    halt = RecordHalt(reason="x", epoch=1, equity=None, peak=None)
    resume = RecordResume(reason="y", epoch=2, old_peak=None, new_peak=None)
    await world.sender.send([batch(halt, resume, order("stale", epoch=0), order("fresh", epoch=2))], is_queued=False)
    assert world.did() == ["captured", "commit", "latched", "cleared", "refused", "submit"]
    assert world.seen[-1] == ("submit", "fresh")


async def test_a_latch_that_an_operator_sets_by_hand_stops_entries():
    world = World(is_latched=True)
    await world.sender.send([batch(order("entry"), order("close", reduce_only=True))], is_queued=False)
    assert [what[:2] for what in world.seen if what[0] == "submit"] == [("submit", "close")]


@pytest.mark.parametrize(
    ("changes", "now_ns", "epoch", "is_latched", "reason"),
    [
        ({}, 100, 0, False, None),
        ({}, 101, 0, False, "ran out"),
        ({"reduce_only": True}, 101, 0, False, None),
        ({}, 100, 1, False, "halted"),
        ({}, 100, 0, True, "halted"),
        ({"reduce_only": True}, 100, 1, True, None),
    ],
)
def test_the_last_check_is_a_table(changes, now_ns, epoch, is_latched, reason):
    refusal = refusal_before_send(order(valid_until=100, **changes).approved, now_ns, epoch, is_latched=is_latched)
    assert refusal is None if reason is None else reason in refusal.reason


async def test_running_sends_what_comes_and_settled_waits_for_it():
    world = World()
    running = asyncio.ensure_future(world.sender.run(lambda: None))
    for seq in range(1, 6):
        world.outbox.put_nowait(batch(order(f"o{seq}"), seq=seq))
    await world.sender.settled()
    assert [what[1] for what in world.seen if what[0] == "submit"] == [f"o{seq}" for seq in range(1, 6)]
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_cancelled_sender_finishes_the_batch_that_it_is_committing():
    import threading

    world = World()
    world.gate = threading.Event()
    running = asyncio.ensure_future(world.sender.run(lambda: None))
    world.outbox.put_nowait(batch(order("under way")))
    await until(world.outbox.empty, "the batch is taken", every_s=0)
    await asyncio.sleep(0)
    running.cancel()
    await asyncio.sleep(0)
    world.outbox.put_nowait(batch(order("waiting"), seq=8))
    world.gate.set()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert world.did() == ["captured", "commit", "submit"]
    await world.sender.drain()
    assert world.seen[-1] == ("submit", "waiting")


async def test_a_failure_while_being_cancelled_is_not_lost():
    import threading

    world = World(fails=JournalFailed("disk full"))
    world.gate = threading.Event()
    running = asyncio.ensure_future(world.sender.run(lambda: None))
    world.outbox.put_nowait(batch(order()))
    await until(world.outbox.empty, "the batch is taken", every_s=0)
    running.cancel()
    await asyncio.sleep(0)
    world.gate.set()
    with pytest.raises(JournalFailed):
        await running
    assert world.seen[-1][0] == "latched"
