"""The inbox: one order, and an overflow that says what it cost."""

import asyncio

from smartmoney.core.domain.entries import EntryKind, FeedOverflowed, HaltRequested, Tick
from smartmoney.runtime.inbox import Inbox


def told(items):
    return [item.payload if item.kind is EntryKind.EVENT else item.frame for item in items]


def test_items_come_out_in_the_order_in_which_they_went_in():
    inbox = Inbox()
    inbox.offer_frame(1, b"a")
    inbox.post(Tick())
    inbox.offer_snapshot(0, b"s")
    inbox.offer_frame(1, b"b")
    items = inbox.take(10)
    assert told(items) == [b"a", Tick(), b"s", b"b"]
    assert [item.stamp.mono_ns for item in items] == sorted(item.stamp.mono_ns for item in items)
    assert len(inbox) == 0


def test_frames_beyond_the_bound_are_dropped_and_an_overflow_stands_in_their_place():
    inbox = Inbox(frames_max=3)
    assert [inbox.offer_frame(1, b"%d" % number) for number in range(5)] == [True, True, True, False, False]
    assert told(inbox.take(1)) == [b"0"]
    assert inbox.offer_frame(1, b"later") is False, "the note of the loss took the room: the loss goes on"
    assert told(inbox.take(2)) == [b"1", b"2"]
    inbox.offer_frame(1, b"x")
    items = told(inbox.take(10))
    assert items[0] == FeedOverflowed(dropped=2)
    assert b"x" in items
    assert sum(item.dropped for item in items if isinstance(item, FeedOverflowed)) == 3
    assert inbox.dropped_total == 3


def test_the_loss_is_told_before_the_next_frame_even_when_nothing_was_taken_meanwhile():
    inbox = Inbox(frames_max=1)
    inbox.offer_frame(1, b"a")
    inbox.offer_frame(1, b"lost")
    inbox.take(1)
    inbox.offer_frame(1, b"b")
    items = told(inbox.take(10))
    assert items[0] == FeedOverflowed(dropped=1)


def test_events_are_never_refused():
    inbox = Inbox(frames_max=1)
    inbox.offer_frame(1, b"a")
    for _ in range(50):
        inbox.post(HaltRequested(reason="x"))
    assert len(inbox) == 51
    assert inbox.offer_snapshot(0, b"s") is False


async def test_drain_waits_for_the_first_item_and_takes_no_more_than_asked():
    inbox = Inbox()
    waiting = asyncio.ensure_future(inbox.drain(2, 60.0))
    await asyncio.sleep(0)
    assert not waiting.done()
    for _ in range(3):
        inbox.post(Tick())
    assert len(await waiting) == 2
    assert len(await inbox.drain(2, 60.0)) == 1
    assert await inbox.drain(2, 0.0) == []
