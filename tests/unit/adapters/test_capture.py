"""The capture: what went in comes out, in order, whatever happened to the file's end."""

import json
import random
import resource
import subprocess
import sys
import threading
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from smartmoney.adapters import capture as capture_module
from smartmoney.adapters.capture import (
    CaptureDamaged,
    CaptureFailed,
    CaptureWriter,
    Gap,
    apply_retention,
    close_torn_segments,
    read_capture,
    verify_capture,
)
from smartmoney.adapters.capture_segment import SegmentWriter, index_path, read_index, segments_of
from smartmoney.core.domain.entries import Entry, EntryKind, FeedConnected, OrderFilled, Tick
from smartmoney.core.domain.orders import Fill, Liquidity, Side

DAY_NS = 86_400 * 10**9


def frame(seq, size=200):
    return Entry(
        seq=seq,
        kind=EntryKind.FRAME,
        ts_wall_ns=1_700_000_000_000_000_000 + seq,
        ts_mono_ns=seq * 1000,
        ts_event_ns=1_699_999_999_000_000_000 + seq,
        connection=seq % 3,
        frame=(b'{"e":"depthUpdate","u":%d}' % seq).ljust(size, b" "),
    )


def event(seq, payload):
    return Entry(seq=seq, kind=EntryKind.EVENT, ts_wall_ns=seq, ts_mono_ns=-seq, payload=payload)


def mixed(count):
    fill = Fill(
        trade_id="t",
        client_order_id="o",
        instrument=1,
        side=Side.SELL,
        price_ticks=-(2**40),
        lots=2**62,
        fee=Decimal("-0.000000010"),
        fee_asset="BNB",
        liquidity=Liquidity.MAKER,
        ts_event_ns=2**62,
    )
    entries = []
    for seq in range(count):
        match seq % 4:
            case 0:
                entries.append(frame(seq))
            case 1:
                entries.append(event(seq, Tick()))
            case 2:
                snapshot = Entry(seq=seq, kind=EntryKind.SNAPSHOT, ts_wall_ns=1, ts_mono_ns=2, instrument=7, frame=bytes(range(256)))
                entries.append(snapshot)
            case _:
                entries.append(event(seq, FeedConnected(connection=1, instruments=(0, 1)) if seq % 8 == 3 else OrderFilled(fill=fill)))
    return entries


def written(folder, entries, **options):
    with CaptureWriter(folder, **options) as writer:
        for entry in entries:
            assert writer.append(entry)


def torn(folder, entries, cut):
    """Write entries as a writer does that is killed before it closes: no index, and `cut` bytes missing."""
    folder.mkdir(exist_ok=True)
    written(folder, entries)
    (segment,) = segments_of(folder)
    index_path(segment).unlink()
    raw = segment.read_bytes()
    segment.write_bytes(raw[: len(raw) - cut])
    return segment


def test_everything_comes_back_as_it_went_in(tmp_path):
    entries = mixed(1000)
    written(tmp_path / "run", entries)
    reader = read_capture(tmp_path / "run")
    assert list(reader) == entries
    assert (reader.is_complete, reader.bytes_cut, reader.entries) == (True, 0, 1000)
    assert list(reader) == entries


def test_an_empty_run_has_a_readable_capture(tmp_path):
    written(tmp_path / "run", [])
    assert list(read_capture(tmp_path / "run")) == []


def test_a_folder_without_capture_is_refused(tmp_path):
    with pytest.raises(CaptureDamaged, match="holds no capture"):
        read_capture(tmp_path)


def test_segments_rotate_by_size_and_each_closed_one_has_its_index(tmp_path):
    rng = random.Random(1)
    entries = [msgspec.structs.replace(frame(seq), frame=rng.randbytes(2000)) for seq in range(2000)]
    written(tmp_path / "run", entries, segment_bytes=1 << 20)
    segments = segments_of(tmp_path / "run")
    assert len(segments) >= 3
    assert list(read_capture(tmp_path / "run")) == entries
    indices = [read_index(segment) for segment in segments]
    assert sum(index.entries for index in indices) == 2000
    assert indices[0].first_seq == 0
    assert [after.first_seq for after in indices[1:]] == [before.last_seq + 1 for before in indices[:-1]]
    assert all(index.file_bytes == segment.stat().st_size for index, segment in zip(indices, segments, strict=True))
    assert list(read_capture(segments[1])) == entries[indices[1].first_seq : indices[1].last_seq + 1]


def test_segments_rotate_by_time_but_not_while_empty(tmp_path):
    with CaptureWriter(tmp_path / "run", segment_s=0.0) as writer:
        for seq in range(3):
            writer.append(frame(seq))
            writer.ensure_durable(seq)
    assert [read_index(segment).entries for segment in segments_of(tmp_path / "run")] == [1, 1, 1, 0]


def test_a_durable_entry_is_in_the_file_before_closing(tmp_path):
    with CaptureWriter(tmp_path / "run", flush_s=1e9) as writer:
        for seq in range(100):
            writer.append(frame(seq))
        writer.ensure_durable(99)
        assert [entry.seq for entry in read_capture(tmp_path / "run")] == list(range(100))
        writer.ensure_durable(50)


def test_closing_twice_is_harmless_and_durability_after_it_is_known(tmp_path):
    writer = CaptureWriter(tmp_path / "run")
    writer.append(frame(0))
    writer.close()
    writer.close()
    writer.ensure_durable(0)
    with pytest.raises(CaptureFailed, match="entry 1 is not durable: the capture is closed"):
        writer.ensure_durable(1)


def test_overflow_never_waits_and_leaves_a_counted_gap(tmp_path, monkeypatch):
    gate = threading.Event()
    original = CaptureWriter._take_batch
    monkeypatch.setattr(CaptureWriter, "_take_batch", lambda self: (gate.wait(), original(self))[1])
    writer = CaptureWriter(tmp_path / "run", queue_entries=10)
    taken = [writer.append(frame(seq)) for seq in range(15)]
    assert taken == [True] * 10 + [False] * 5
    gate.set()
    writer.ensure_durable(9)
    assert writer.append(frame(15))
    writer.ensure_durable(15)
    monkeypatch.setattr(writer, "_queue_entries", 0)
    assert not writer.append(frame(16))
    assert writer.is_incomplete
    assert writer.lost == 6
    writer.close()
    reader = read_capture(tmp_path / "run")
    assert [entry.seq for entry in reader] == [*range(10), 15]
    assert reader.gaps == [Gap(15, 5), Gap(17, 1)]
    assert not reader.is_complete
    segment = segments_of(tmp_path / "run")[0]
    assert read_index(segment).lost == 6
    assert "5 entries before 15 were lost" in verify_capture(tmp_path / "run").problems
    path = index_path(segment)
    before, quote, after = path.read_bytes().rpartition(b'"')
    path.write_bytes(before + b"\xff" + quote + after)
    with pytest.raises(msgspec.MsgspecError):
        read_index(segment)


def test_waiting_bytes_are_bounded(tmp_path, monkeypatch):
    gate = threading.Event()
    original = CaptureWriter._take_batch
    monkeypatch.setattr(CaptureWriter, "_take_batch", lambda self: (gate.wait(), original(self))[1])
    writer = CaptureWriter(tmp_path / "run", queue_bytes=1000)
    assert [writer.append(frame(seq, size=400)) for seq in range(3)] == [True, True, False]
    gate.set()
    writer.ensure_durable(1)
    assert writer.append(frame(3, size=400))
    writer.close()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 40_000))
def test_a_torn_end_costs_only_the_end(tmp_path_factory, cut):
    folder = tmp_path_factory.mktemp("run")
    rng = random.Random(2)
    entries = [msgspec.structs.replace(frame(seq), frame=rng.randbytes(400)) for seq in range(200)]
    with CaptureWriter(folder) as writer:
        for start in range(0, 200, 50):
            for entry in entries[start : start + 50]:
                writer.append(entry)
            writer.ensure_durable(start + 49)
    (segment,) = segments_of(folder)
    index_path(segment).unlink()
    raw = segment.read_bytes()
    segment.write_bytes(raw[: len(raw) - cut])
    reader = read_capture(folder)
    found = list(reader)
    assert found == entries[: len(found)]
    assert len(found) >= (200 - cut // 400 - 1) // 50 * 50
    if cut:
        assert reader.torn is not None


def test_a_tail_of_garbage_does_not_reach_durable_entries(tmp_path):
    segment = torn(tmp_path / "run", mixed(40), 0)
    for garbage in (b"\0" * 4096, random.Random(3).randbytes(500), zstandard.compress(b"\xff" * 300)):
        raw = segment.read_bytes()
        segment.write_bytes(raw + garbage)
        reader = read_capture(tmp_path / "run")
        assert list(reader) == mixed(40)
        assert reader.torn is not None
        assert reader.torn.path == segment
        segment.write_bytes(raw)


def test_a_torn_capture_is_repaired_and_then_whole(tmp_path):
    entries = mixed(400)
    segment = torn(tmp_path / "run", entries, 100)
    before = list(read_capture(tmp_path / "run"))
    assert before == entries[: len(before)]
    (cut,) = close_torn_segments(tmp_path / "run")
    assert cut.path == segment
    reader = read_capture(tmp_path / "run")
    assert list(reader) == before
    assert reader.is_complete
    assert verify_capture(tmp_path / "run").problems == ()
    assert close_torn_segments(tmp_path / "run") == []
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"segment-000001.smc.zst", "segment-000001.json"}


def test_a_repair_keeps_gaps(tmp_path):
    (tmp_path / "run").mkdir()
    writer = SegmentWriter(tmp_path / "run" / "segment-000001.smc.zst")
    for entry, gap in ((frame(0), None), (frame(5), Gap(5, 4))):
        if gap is not None:
            writer.add(b"".join(capture_module.encode_gap(gap, 0, 0)))
        writer.add(b"".join(capture_module.encode_entry(entry)))
    writer.sync()
    writer.abandon()
    close_torn_segments(tmp_path / "run")
    reader = read_capture(tmp_path / "run")
    assert [entry.seq for entry in reader] == [0, 5]
    assert reader.gaps == [Gap(5, 4)]


def test_damage_of_a_closed_segment_is_an_error_and_verify_names_it(tmp_path):
    entries = [msgspec.structs.replace(frame(seq), frame=random.Random(seq).randbytes(300)) for seq in range(100)]
    written(tmp_path / "run", entries)
    assert verify_capture(tmp_path / "run").problems == ()
    (segment,) = segments_of(tmp_path / "run")
    raw = bytearray(segment.read_bytes())
    raw[len(raw) // 2] ^= 1
    segment.write_bytes(raw)
    with pytest.raises(CaptureDamaged):
        list(read_capture(tmp_path / "run"))
    problems = verify_capture(tmp_path / "run").problems
    assert any("SHA-256" in problem for problem in problems)
    index_path(segment).write_text("{")
    with pytest.raises(CaptureDamaged, match="its index cannot be read"):
        list(read_capture(tmp_path / "run"))


def test_other_files_are_not_captures(tmp_path):
    segment = tmp_path / "segment-000001.smc.zst"
    segment.write_bytes(zstandard.compress(b"something else entirely"))
    with pytest.raises(CaptureDamaged, match="not a capture segment"):
        list(read_capture(tmp_path))
    segment.write_bytes(b"plain text")
    assert list(read_capture(tmp_path)) == []
    assert verify_capture(tmp_path).problems


def test_entries_out_of_order_are_an_error(tmp_path):
    written(tmp_path / "run", [frame(1), frame(1)])
    with pytest.raises(CaptureDamaged, match="entry 1 follows entry 1"):
        list(read_capture(tmp_path / "run"))


def test_an_entry_out_of_range_ends_the_capture_and_is_reported(tmp_path):
    writer = CaptureWriter(tmp_path / "run")
    writer.append(frame(0))
    writer.append(msgspec.structs.replace(frame(1), instrument=1 << 20))
    with pytest.raises(CaptureFailed, match="has failed"):
        writer.ensure_durable(1)
    assert not writer.append(frame(2))
    assert writer.is_incomplete
    with pytest.raises(CaptureFailed):
        writer.close()


FULL = """
import sys
sys.path.insert(0, sys.argv[2])
from test_capture import *
writer = CaptureWriter(Path(sys.argv[1]))
rng = random.Random(4)
done = -1
try:
    for seq in range(100_000):
        writer.append(msgspec.structs.replace(frame(seq), frame=rng.randbytes(5000)))
        if seq % 10 == 9:
            writer.ensure_durable(seq)
            done = seq
except CaptureFailed as error:
    print(done, writer.failure, "|", error)
"""


def test_a_full_disk_ends_the_capture_and_keeps_what_was_durable(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path / "run"), str(Path(__file__).parent)],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 18, 1 << 18)),
    )
    acknowledged = int(done.stdout.split()[0])
    assert acknowledged > 0
    assert "File too large" in done.stdout
    assert [entry.seq for entry in read_capture(tmp_path / "run")][: acknowledged + 1] == list(range(acknowledged + 1))


def test_retention_removes_the_oldest_first_and_spares_what_is_kept_or_open(tmp_path):
    import os

    now = 1_800_000_000 * 10**9
    for run, age_days in (("old", 20), ("kept", 30), ("mid", 5), ("new", 1)):
        written(tmp_path / run, mixed(50))
        (segment,) = segments_of(tmp_path / run)
        os.utime(segment, ns=(now - age_days * DAY_NS,) * 2)
    open_segment = torn(tmp_path / "running", mixed(50), 0)
    os.utime(open_segment, ns=(now, now))
    size = open_segment.stat().st_size
    report = apply_retention(tmp_path, days=14, bytes_max=10**9, now_wall_ns=now, keep={"kept"})
    assert report.segments_removed == 1
    assert {path.name for path in tmp_path.iterdir()} == {"kept", "mid", "new", "running"}
    report = apply_retention(tmp_path, days=14, bytes_max=size * 3, now_wall_ns=now, keep={"kept"})
    assert {path.name for path in tmp_path.iterdir()} == {"kept", "new", "running"}
    report = apply_retention(tmp_path, days=14, bytes_max=0, now_wall_ns=now, keep={"kept"})
    assert {path.name for path in tmp_path.iterdir()} == {"kept", "running"}
    assert report.bytes_left == sum(path.stat().st_size for path in tmp_path.glob("*/*.zst"))
    assert apply_retention(tmp_path / "absent", days=1, bytes_max=1, now_wall_ns=now).bytes_left == 0


def three_segments(folder):
    for k in range(3):
        written(folder, [frame(10 * k + j) for j in range(10)])
    return segments_of(folder)


def test_a_runs_first_segment_stays_while_a_later_one_does_and_what_went_is_a_gap(tmp_path):
    import os

    now = 1_800_000_000 * 10**9
    first, middle, last = three_segments(tmp_path / "run")
    for segment, age_days in ((first, 30), (middle, 20), (last, 1)):
        os.utime(segment, ns=(now - age_days * DAY_NS,) * 2)
    assert apply_retention(tmp_path, days=14, bytes_max=10**9, now_wall_ns=now).segments_removed == 1
    assert segments_of(tmp_path / "run") == [first, last]
    reader = read_capture(tmp_path / "run")
    assert [entry.seq for entry in reader] == [*range(10), *range(20, 30)]
    assert [(gap.before_seq, gap.count) for gap in reader.gaps] == [(20, 10)]
    assert not reader.is_complete
    os.utime(last, ns=(now - 15 * DAY_NS,) * 2)
    for _ in range(2):
        apply_retention(tmp_path, days=14, bytes_max=10**9, now_wall_ns=now)
    assert list(tmp_path.iterdir()) == []


def test_what_ended_before_a_time_is_passed_over_but_for_the_first_segment(tmp_path):
    three_segments(tmp_path / "run")
    since_ns = frame(20).ts_wall_ns
    reader = read_capture(tmp_path / "run", since_ns)
    assert [entry.seq for entry in reader] == [*range(10), *range(20, 30)]
    # Nothing is missing: it was not asked for.
    assert reader.is_complete


def test_a_run_of_an_existing_folder_goes_on_in_a_new_segment(tmp_path):
    written(tmp_path / "run", [frame(0)])
    written(tmp_path / "run", [frame(1)])
    assert [entry.seq for entry in read_capture(tmp_path / "run")] == [0, 1]
    assert json.loads(index_path(segments_of(tmp_path / "run")[1]).read_text())["first_seq"] == 1
