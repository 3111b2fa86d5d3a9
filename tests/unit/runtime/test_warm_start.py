"""Warm start: from a recording, from earlier captures, from the middle of a long one; and never a reason not to start."""

import gzip
import math
import shutil
from collections import deque

import msgspec
import pytest

from smartmoney.adapters import capture_format
from smartmoney.adapters.capture import CaptureWriter, read_capture, verify_capture
from smartmoney.adapters.capture_segment import index_path, read_index
from smartmoney.core.domain.entries import EntryKind, OrderFilled, RunStarted, Tick, WarmUpEnded, encode_payload
from smartmoney.core.domain.orders import Side
from smartmoney.runtime import warm_start
from smartmoney.runtime.bookmarks import Bookmarks, encode_book
from smartmoney.runtime.clock import Stamp, now
from smartmoney.runtime.inbox import Inbox, Item
from smartmoney.runtime.warm_start import warm_blocks, warm_up
from tests.fills import fill_of

from .market import S, capture_run, items_of, loop_of, record

SECONDS = 200


class Nowhere:
    def append(self, entry):
        return True

    def append_frames(self, frames, at, end, first_seq):
        return True


@pytest.fixture(scope="module")
def past(tmp_path_factory):
    folder = tmp_path_factory.mktemp("past")
    recordings, instruments = record(folder, SECONDS, now().wall_ns)
    return recordings["BTCUSDT"], instruments


class Seen:
    """A loop that also keeps what is stepped: items, and frames with when they were, however they come."""

    def __init__(self, loop, *, each=False):
        self.loop, self.each = loop, each
        self.items = []

    def process(self, item):
        self.items.append(item)
        self.loop.process(item)

    def process_frames(self, frames, at, end, timer):
        reached = at
        while self.each and reached < end and frames.rows[2, reached] < timer.next_ns:
            self.loop.process(frame_item(frames, reached))
            reached += 1
        if not self.each:
            reached = self.loop.process_frames(frames, at, end, timer)
        self.items += [frame_item(frames, one) for one in range(at, reached)]
        return reached


def frame_item(frames, at):
    wall_ns = int(frames.rows[2, at])
    return Item(EntryKind.FRAME, Stamp(wall_ns, wall_ns - frames.origin_ns), frame=frames.frame(at))


def warmed(blocks, instruments, *, each=False, capture=None, before=()):
    """Fold the past as the daemon does, or frame by frame; return the engine and what was stepped."""
    engine, loop = loop_of(instruments, capture or Nowhere())
    for payload in before:
        loop.process(Item(EntryKind.EVENT, Stamp(2, 2), payload=payload))
    seen = Seen(loop, each=each)
    deque(warm_up(seen, instruments, blocks), 0)
    loop.take()
    return engine, seen.items


def stepped(blocks, instruments):
    return warmed(blocks, instruments)[1]


def warm_features(engine):
    return {name: value for name, value in engine.brain.features(engine.market.states, 0).items() if not math.isnan(value)}


def frames_of(items):
    return [item for item in items if item.kind is not EntryKind.EVENT]


def test_a_recording_warms_every_feature_and_the_regime(past, tmp_path):
    recording, instruments = past
    engine, folded = warmed(warm_blocks(instruments, {"BTCUSDT": recording}, tmp_path, "x"), instruments)
    ticks = [item for item in folded if isinstance(item.payload, Tick)]
    assert len(ticks) == pytest.approx(SECONDS, abs=3)
    assert {"sigma_bar_bps", "rv_120s", "tfi_120s", "liquidity_score", "weighted_imbalance"} <= warm_features(engine).keys()
    assert engine.brain.regime(0) is not None
    assert engine.counters.decisions == 0
    assert int(engine.market.states[0]["phase"]) == 1


BOUGHT = OrderFilled(fill=fill_of(Side.BUY, 1000, 6_000_000, "stranger", ts_event_ns=2))


@pytest.mark.parametrize("before", [(), (BOUGHT,)], ids=["flat", "held"])
def test_stretches_warm_and_are_captured_as_frames_one_by_one(past, tmp_path, before):
    recording, instruments = past
    capture_run(tmp_path, recording, instruments, before=list(items_of(recording))[:700])
    found = []
    for each in (False, True):
        with CaptureWriter(tmp_path / f"out-{each}") as writer:
            blocks = warm_blocks(instruments, {}, tmp_path, f"out-{each}")
            engine, _ = warmed(blocks, instruments, each=each, capture=writer, before=before)
            assert engine.executor.portfolio.has_position() == bool(before)
        entries = list(read_capture(tmp_path / f"out-{each}"))
        assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1))
        kept = [(entry.kind, entry.ts_wall_ns, entry.connection, entry.instrument, entry.frame) for entry in entries]
        index = read_index(next((tmp_path / f"out-{each}").glob("*.zst")))
        counted = msgspec.structs.replace(index, plain_bytes=0, file_bytes=0, sha256="")
        found.append((kept, counted, engine.market.states.tobytes(), engine.market.codes, engine.digest, warm_features(engine)))
        assert verify_capture(tmp_path / f"out-{each}").problems == ()
        shutil.rmtree(tmp_path / f"out-{each}")
    assert found[0] == found[1]


def test_the_past_lies_on_our_monotonic_clock_where_it_was(past, tmp_path):
    recording, instruments = past
    at = now()
    folded = stepped(warm_blocks(instruments, {"BTCUSDT": recording}, tmp_path, "x"), instruments)
    monos = [item.stamp.mono_ns for item in folded]
    assert monos == sorted(monos)
    first, last = folded[0].stamp, folded[-1].stamp
    assert last.mono_ns - first.mono_ns == last.wall_ns - first.wall_ns
    assert last.mono_ns <= now().mono_ns
    assert at.mono_ns - first.mono_ns == pytest.approx(at.wall_ns - first.wall_ns, abs=S)


def test_the_capture_of_an_earlier_run_warms_as_its_recording_does(past, tmp_path):
    recording, instruments = past
    capture_run(tmp_path, recording, instruments)
    from_capture, folded = warmed(warm_blocks(instruments, {}, tmp_path, "current"), instruments)
    from_recording, _ = warmed(warm_blocks(instruments, {"BTCUSDT": recording}, tmp_path, "current"), instruments)
    assert len(frames_of(folded)) > 1000
    assert warm_features(from_capture).keys() == warm_features(from_recording).keys()
    for name in ("best_bid_tick", "best_ask_tick", "last_update_id", "last_trade_id"):
        assert from_capture.market.states[0][name] == from_recording.market.states[0][name]


def test_a_capture_that_a_kill_left_open_warms_to_its_last_whole_entry(past, tmp_path):
    recording, instruments = past
    capture_run(tmp_path, recording, instruments)
    closed = frames_of(stepped(warm_blocks(instruments, {}, tmp_path, "current"), instruments))
    (segment,) = (tmp_path / "earlier").glob("*.zst")
    index_path(segment).unlink()
    segment.write_bytes(segment.read_bytes()[:-100])
    torn = frames_of(stepped(warm_blocks(instruments, {}, tmp_path, "current"), instruments))
    assert len(torn) > len(closed) * 0.5
    assert [item.frame for item in torn] == [item.frame for item in closed[: len(torn)]]


def test_what_an_earlier_run_warmed_itself_with_is_not_folded_twice(past, tmp_path):
    recording, instruments = past
    capture_run(tmp_path, recording, instruments, run_id="first", cut=1500)
    capture_run(tmp_path, recording, instruments, run_id="second", before=list(items_of(recording))[:1500])
    folded = stepped(warm_blocks(instruments, {}, tmp_path, "current"), instruments)
    frames = [item.frame for item in frames_of(folded)]
    alone = [item.frame for item in frames_of(items_of(recording))]
    first = [item.frame for item in frames_of(list(items_of(recording))[:1500])]
    assert frames == first + alone


def test_runs_that_are_later_than_a_recording_are_its_continuation_and_others_are_not(past, tmp_path):
    recording, instruments = past
    everything = list(items_of(recording))
    middle = len(everything) // 2
    early = tmp_path / "early.gz"
    lines = gzip.decompress(recording.read_bytes()).splitlines(keepends=True)
    early.write_bytes(gzip.compress(b"".join(lines[: len(lines) // 2])))
    capture_run(tmp_path / "later", recording, instruments, cut=0, tail=everything[middle - 400 :])
    from_both = stepped(warm_blocks(instruments, {"BTCUSDT": early}, tmp_path / "later", "x"), instruments)
    frames = [item.frame for item in frames_of(from_both)]
    recorded = [item.frame for item in frames_of(items_of(early))]
    assert frames[: len(recorded)] == recorded
    rest = [item.frame for item in frames_of(items_of(recording))][len(recorded) :]
    assert frames[len(recorded) :] == rest, "each frame once, where both hold it"
    capture_run(tmp_path / "earlier", early, instruments)
    from_one = stepped(warm_blocks(instruments, {"BTCUSDT": recording}, tmp_path / "earlier", "x"), instruments)
    assert [item.frame for item in frames_of(from_one)] == recorded + rest


def test_the_run_that_begins_is_no_past(past, tmp_path):
    recording, instruments = past
    capture_run(tmp_path, recording, instruments, run_id="current", cut=300)
    assert stepped(warm_blocks(instruments, {}, tmp_path, "current"), instruments) == []


def test_a_past_that_ended_long_ago_is_left_alone(tmp_path):
    old = now().wall_ns - warm_start.AGE_NS_MAX - 60 * S
    recordings, instruments = record(tmp_path, 30, old)
    capture_run(tmp_path / "captures", recordings["BTCUSDT"], instruments)
    assert stepped(warm_blocks(instruments, {}, tmp_path / "captures", "current"), instruments) == []


def test_instruments_are_matched_by_symbol_when_their_order_has_changed(past, tmp_path):
    recording, instruments = past
    capture_run(tmp_path, recording, instruments)
    _, both = record(tmp_path, 1, now().wall_ns, symbols=("ETHUSDT", "BTCUSDT"))
    folded = stepped(warm_blocks(both, {}, tmp_path, "current"), both)
    assert {item.instrument for item in folded if item.kind is EntryKind.SNAPSHOT} == {1}
    alone = stepped(warm_blocks(both[:1], {}, tmp_path, "current"), both[:1])
    assert alone
    assert not [item for item in alone if item.kind is EntryKind.SNAPSHOT]


def test_the_middle_of_a_long_run_has_a_book_because_of_its_bookmark(past, tmp_path, monkeypatch):
    recording, instruments = past
    everything = list(items_of(recording))
    middle = len(everything) // 2
    engine, loop = loop_of(instruments, Nowhere())
    for item in everything[:middle]:
        loop.process(item)
    inbox = Inbox()
    bookmarks = Bookmarks(engine.market, inbox)
    engine.market.on_tick(everything[middle].stamp.mono_ns)
    bookmarks.take()
    assert not bookmarks.offer(), "the book has not moved past it yet"
    moved = middle
    while not bookmarks.offer():
        loop.process(everything[moved])
        moved += 1
    (mark,) = inbox.take(9)
    before = engine.market.states[0]["last_update_id"], engine.market.resyncs
    mark = Item(mark.kind, everything[moved].stamp, instrument=mark.instrument, frame=mark.frame)
    loop.process(mark)
    assert (engine.market.states[0]["last_update_id"], engine.market.resyncs) == before, "the live book ignores it"
    with_mark = [*everything[:moved], mark, *everything[moved:]]
    without_first = [item for item in with_mark if item.kind is not EntryKind.SNAPSHOT or item is mark]
    capture_run(tmp_path, recording, instruments, cut=0, tail=without_first)
    monkeypatch.setattr(warm_start, "SPAN_NS", (SECONDS // 4) * S)
    warm, folded = warmed(warm_blocks(instruments, {}, tmp_path, "current"), instruments)
    assert len(frames_of(folded)) < len(frames_of(with_mark)) * 0.75, "not from the beginning"
    monkeypatch.setattr(capture_format, "_READ_BYTES", 4096)
    assert 0 in [len(block) for block in warm_blocks(instruments, {}, tmp_path, "current")], "what is passed over gives way, too"
    assert int(warm.market.states[0]["phase"]) == 1
    for item in everything[moved:]:
        loop.process(item)
    for name in ("best_bid_tick", "best_ask_tick", "last_update_id"):
        assert warm.market.states[0][name] == engine.market.states[0][name], name
    assert encode_book(warm.market.states, 0, instruments[0])[:4000] == encode_book(engine.market.states, 0, instruments[0])[:4000]


@pytest.mark.parametrize("damage", ["empty folder", "half a segment", "broken index", "no index"])
def test_a_capture_that_cannot_be_read_is_no_reason_not_to_start(past, tmp_path, damage):
    recording, instruments = past
    capture_run(tmp_path, recording, instruments, cut=600)
    folder = tmp_path / "earlier"
    segment, index = folder / "segment-000001.zst", folder / "segment-000001.json"
    if not segment.exists():
        segment = next(path for path in folder.iterdir() if path.suffix != ".json")
    if damage == "empty folder":
        segment.unlink(), index.unlink()
    if damage == "half a segment":
        segment.write_bytes(segment.read_bytes()[: segment.stat().st_size // 2])
    if damage == "broken index":
        index.write_text("{")
    if damage == "no index":
        index.unlink()
    stepped(warm_blocks(instruments, {}, tmp_path, "current"), instruments)


def test_a_capture_of_another_version_is_no_reason_not_to_start(past, tmp_path, monkeypatch):
    """A daemon that is brought up to date meets what the one before it has written: at each start, for an hour."""
    recording, instruments = past

    def older(payload):
        body = encode_payload(payload)
        if not isinstance(payload, RunStarted):
            return body
        fields = msgspec.msgpack.decode(body)
        del fields["cash"]
        return msgspec.msgpack.encode(fields)

    monkeypatch.setattr(capture_format, "encode_payload", older)
    capture_run(tmp_path, recording, instruments)
    assert list(warm_blocks(instruments, {}, tmp_path, "current")) == []


def test_a_recording_that_ends_early_warms_with_what_is_whole(past, tmp_path):
    recording, instruments = past
    torn = tmp_path / "torn.gz"
    torn.write_bytes(recording.read_bytes()[: recording.stat().st_size // 2])
    _, folded = warmed(warm_blocks(instruments, {"": torn}, tmp_path, "x"), instruments)
    assert len(frames_of(folded)) > 100


def test_nothing_recorded_means_nothing_to_fold(past, tmp_path):
    assert stepped(warm_blocks(past[1], {}, tmp_path / "none", "x"), past[1]) == []


def test_after_the_warm_start_slow_features_stay_and_the_book_is_gone(past, tmp_path):
    recording, instruments = past
    engine, loop = loop_of(instruments, Nowhere())
    deque(warm_up(loop, instruments, warm_blocks(instruments, {"BTCUSDT": recording}, tmp_path, "x")), 0)
    loop.process(Item(EntryKind.EVENT, now(), payload=WarmUpEnded()))
    assert int(engine.market.states[0]["phase"]) == 0
    features = warm_features(engine)
    assert {"rv_120s", "tfi_120s"} <= features.keys()
    assert "weighted_imbalance" not in features
    assert (engine.market.frames, engine.market.gaps) == (0, 0)


def test_a_past_from_before_the_monotonic_clock_began_warms_alike(past, tmp_path, monkeypatch):
    """After a reboot the captures of the run before lie there, and so does a recent past on a machine that has just been switched on."""
    recording, instruments = past
    found, wall_ns = [], now().wall_ns
    for up_s in (100_000, 60):
        monkeypatch.setattr(warm_start, "now", lambda up_s=up_s: Stamp(wall_ns, up_s * S))
        engine, items = warmed(warm_blocks(instruments, {"BTCUSDT": recording}, tmp_path, "x"), instruments)
        found.append((len(items), warm_features(engine), engine.brain.regime(0)))
    assert found[0] == found[1]
    assert items[0].stamp.mono_ns < 0
