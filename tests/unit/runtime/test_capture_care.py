"""Earlier captures are closed while the daemon runs: nothing is lost by a kill at any moment of it, and whoever reads meanwhile reads all."""

import asyncio
import os
import shutil
import threading

import pytest
import zstandard

from smartmoney.adapters import capture_store
from smartmoney.adapters.capture import CaptureWriter, close_torn_segments, read_capture, verify_capture
from smartmoney.adapters.capture_segment import index_path, segments_of
from smartmoney.core.domain.entries import Entry, EntryKind, Tick
from smartmoney.runtime.capture_care import CaptureCare
from smartmoney.settings.models import Capture
from tests.waiting import PATIENCE_S

ENTRIES = 600


def entries():
    made = []
    for seq in range(1, ENTRIES + 1):
        frame = os.urandom(2000) if seq % 3 else b""
        kind, payload = (EntryKind.FRAME, None) if frame else (EntryKind.EVENT, Tick())
        made.append(Entry(seq=seq, kind=kind, ts_wall_ns=seq, ts_mono_ns=seq, frame=frame, payload=payload))
    return made


def killed(folder, run_id="earlier"):
    """Leave what a kill leaves: a segment without an index, cut in the middle of a write."""
    with CaptureWriter(folder / run_id) as writer:
        for entry in entries():
            writer.append(entry)
            if entry.seq % 100 == 0:
                writer.ensure_durable(entry.seq)  # a frame of the compression ends here
    (segment,) = segments_of(folder / run_id)
    index_path(segment).unlink()
    os.truncate(segment, segment.stat().st_size - 700)
    return segment


def care(folder):
    return CaptureCare(folder, "current", Capture(), pause_s=0.0)


def test_what_a_kill_left_open_is_closed_and_the_running_capture_is_not(tmp_path):
    segment, own = killed(tmp_path), killed(tmp_path, "current")
    before = list(read_capture(tmp_path / "earlier"))
    assert ENTRIES * 0.5 < len(before) < ENTRIES
    care(tmp_path).close_torn()
    assert list(read_capture(tmp_path / "earlier")) == before
    assert verify_capture(tmp_path / "earlier").problems == ()
    assert index_path(segment).exists()
    assert not index_path(own).exists()


def test_what_is_closed_keeps_the_age_of_what_it_holds(tmp_path):
    """Retention and a warm start go by it: a day-old past that is closed now did not end now."""
    segment = killed(tmp_path)
    os.utime(segment, ns=(10**18, 10**18))
    care(tmp_path).close_torn()
    assert segment.stat().st_mtime_ns == 10**18


FOREIGN = zstandard.compress(b"another format" * 9)


@pytest.mark.parametrize("leftover", [b"", b"shopping list", FOREIGN])
def test_what_cannot_be_mended_is_left_alone_and_the_others_are_closed(tmp_path, leftover):
    killed(tmp_path, "a")
    broken = killed(tmp_path, "b")
    last = killed(tmp_path, "c")
    broken.write_bytes(leftover)
    care(tmp_path).close_torn()
    assert index_path(last).exists()
    assert (broken.read_bytes() == leftover) == (leftover is FOREIGN), "what is no end of a segment is not taken for one"


def die_at(turn):
    """Return a turn that ends the process at once, as a kill does, the so many-th time."""
    count = iter(range(turn + 1))

    def act():
        if next(count) == turn:
            os._exit(9)

    return act


def in_a_child(act):
    """Do something in a process that may die of it; return its exit code."""
    child = os.fork()
    if child == 0:
        try:
            act()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("moment", [0, 1, 3, "before the segment is replaced", "before its index", "before the leftover goes"])
def test_a_kill_while_it_is_closed_loses_nothing_and_the_next_one_closes_it(tmp_path, monkeypatch, moment):
    killed(tmp_path)
    folder = tmp_path / "earlier"
    before = list(read_capture(folder))
    if isinstance(moment, int):
        code = in_a_child(lambda: close_torn_segments(folder, die_at(moment)))
    else:
        names = {"before the segment is replaced": "_put_in_place", "before its index": "write_durably"}
        with monkeypatch.context() as patched:
            if moment in names:
                patched.setattr(capture_store, names[moment], lambda *_: os._exit(9))
            else:
                written = capture_store.write_durably
                patched.setattr(capture_store, "write_durably", lambda *given: (written(*given), os._exit(9)))
            code = in_a_child(lambda: close_torn_segments(folder))
    assert code == 9
    assert list(read_capture(folder)) == before
    close_torn_segments(folder)
    assert list(read_capture(folder)) == before
    assert verify_capture(folder).problems == ()
    assert {path.name for path in folder.iterdir()} == {"segment-000001.smc.zst", "segment-000001.json"}


def test_whoever_reads_while_it_is_closed_reads_every_entry(tmp_path):
    killed(tmp_path)
    folder = tmp_path / "earlier"
    before = list(read_capture(folder))
    underway = iter(read_capture(folder))
    begun = [next(underway)]
    seen = []
    close_torn_segments(folder, lambda: seen.append(list(read_capture(folder)) == before))
    assert len(seen) > 3
    assert all(seen)
    assert begun + list(underway) == before, "one that was being read is read to its end"


async def test_a_daemon_that_ends_does_not_wait_for_it_and_leaves_it_as_it_was(tmp_path):
    segment = killed(tmp_path)
    raw = segment.read_bytes()
    begin, under_way = asyncio.Event(), threading.Event()
    caring = CaptureCare(tmp_path, "current", Capture(), pause_s=60.0)
    turn = caring._turn

    def noted():
        under_way.set()
        caring._since_s = 0.0  # its time is up
        turn()

    caring._turn = noted
    task = asyncio.create_task(caring.run(begin, lambda: None))
    await asyncio.sleep(0)
    assert not under_way.is_set(), "not before it may"
    begin.set()
    await asyncio.to_thread(under_way.wait)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_default_executor()
    assert segment.read_bytes() == raw
    assert [path.name for path in segment.parent.iterdir()] == [segment.name]
    shutil.rmtree(tmp_path / "earlier")


async def test_a_thread_that_begins_after_the_end_was_told_does_not_take_it_back(tmp_path):
    segment = killed(tmp_path)
    raw = segment.read_bytes()
    begin, begun, may_go = asyncio.Event(), threading.Event(), threading.Event()
    caring = CaptureCare(tmp_path, "current", Capture(), pause_s=0.0)
    close_torn, turn = caring.close_torn, caring._turn

    def late():
        begun.set()
        may_go.wait(PATIENCE_S)
        close_torn()

    def turns():
        caring._since_s = 0.0  # its time is up
        turn()

    caring.close_torn, caring._turn = late, turns
    begin.set()
    task = asyncio.create_task(caring.run(begin, lambda: None))
    await asyncio.to_thread(begun.wait)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    may_go.set()
    await asyncio.get_running_loop().shutdown_default_executor()
    assert segment.read_bytes() == raw
