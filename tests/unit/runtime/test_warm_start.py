"""Warm start: from a recording, from earlier captures, from the middle of a long one; and never a reason not to start."""

import math

import pytest

from smartmoney.core.domain.entries import EntryKind, Tick, WarmUpEnded
from smartmoney.runtime import warm_start
from smartmoney.runtime.bookmarks import Bookmarks, encode_book
from smartmoney.runtime.clock import now
from smartmoney.runtime.inbox import Inbox, Item
from smartmoney.runtime.warm_start import warm_items

from .market import S, capture_run, items_of, loop_of, record

SECONDS = 200


class Nowhere:
    def append(self, entry):
        return True


@pytest.fixture(scope="module")
def past(tmp_path_factory):
    folder = tmp_path_factory.mktemp("past")
    recordings, instruments = record(folder, SECONDS, now().wall_ns)
    return recordings["BTCUSDT"], instruments


def warmed(items, instruments):
    """Fold what a warm start yields, as the daemon does; return the engine and what was folded."""
    engine, loop = loop_of(instruments, Nowhere())
    folded = list(items)
    for item in folded:
        loop.process(item)
    loop.take()
    return engine, folded


def warm_features(engine):
    return {name: value for name, value in engine.brain.features(engine.market.states, 0).items() if not math.isnan(value)}


def frames_of(items):
    return [item for item in items if item.kind is not EntryKind.EVENT]


def test_a_recording_warms_every_feature_and_the_regime(past, tmp_path):
    recording, instruments = past
    engine, folded = warmed(warm_items(instruments, {"BTCUSDT": recording}, tmp_path, "x"), instruments)
    ticks = [item for item in folded if isinstance(item.payload, Tick)]
    assert len(ticks) == pytest.approx(SECONDS, abs=3)
    assert {"sigma_bar_bps", "rv_120s", "tfi_120s", "liquidity_score", "weighted_imbalance"} <= warm_features(engine).keys()
    assert engine.brain.regime(0) is not None
    assert engine.counters.decisions == 0
    assert int(engine.market.states[0]["phase"]) == 1


def test_the_past_lies_on_our_monotonic_clock_where_it_was(past, tmp_path):
    recording, instruments = past
    at = now()
    folded = list(warm_items(instruments, {"BTCUSDT": recording}, tmp_path, "x"))
    monos = [item.stamp.mono_ns for item in folded]
    assert monos == sorted(monos)
    first, last = folded[0].stamp, folded[-1].stamp
    assert last.mono_ns - first.mono_ns == last.wall_ns - first.wall_ns
    assert last.mono_ns <= now().mono_ns
    assert at.mono_ns - first.mono_ns == pytest.approx(at.wall_ns - first.wall_ns, abs=S)


def test_the_capture_of_an_earlier_run_warms_as_its_recording_does(past, tmp_path):
    recording, instruments = past
    capture_run(tmp_path, recording, instruments)
    from_capture, folded = warmed(warm_items(instruments, {}, tmp_path, "current"), instruments)
    from_recording, _ = warmed(warm_items(instruments, {"BTCUSDT": recording}, tmp_path, "current"), instruments)
    assert len(frames_of(folded)) > 1000
    assert warm_features(from_capture).keys() == warm_features(from_recording).keys()
    for name in ("best_bid_tick", "best_ask_tick", "last_update_id", "last_trade_id"):
        assert from_capture.market.states[0][name] == from_recording.market.states[0][name]


def test_what_an_earlier_run_warmed_itself_with_is_not_folded_twice(past, tmp_path):
    recording, instruments = past
    capture_run(tmp_path, recording, instruments, run_id="first", cut=1500)
    capture_run(tmp_path, recording, instruments, run_id="second", before=list(items_of(recording))[:1500])
    folded = list(warm_items(instruments, {}, tmp_path, "current"))
    frames = [item.frame for item in frames_of(folded)]
    alone = [item.frame for item in frames_of(items_of(recording))]
    first = [item.frame for item in frames_of(list(items_of(recording))[:1500])]
    assert frames == first + alone


def test_the_run_that_begins_is_no_past(past, tmp_path):
    recording, instruments = past
    capture_run(tmp_path, recording, instruments, run_id="current", cut=300)
    assert list(warm_items(instruments, {}, tmp_path, "current")) == []


def test_a_past_that_ended_long_ago_is_left_alone(tmp_path):
    old = now().wall_ns - warm_start.AGE_NS_MAX - 60 * S
    recordings, instruments = record(tmp_path, 30, old)
    capture_run(tmp_path / "captures", recordings["BTCUSDT"], instruments)
    assert list(warm_items(instruments, {}, tmp_path / "captures", "current")) == []


def test_instruments_are_matched_by_symbol_when_their_order_has_changed(past, tmp_path):
    recording, instruments = past
    capture_run(tmp_path, recording, instruments)
    _, both = record(tmp_path, 1, now().wall_ns, symbols=("ETHUSDT", "BTCUSDT"))
    folded = list(warm_items(both, {}, tmp_path, "current"))
    assert {item.instrument for item in folded if item.kind is EntryKind.SNAPSHOT} == {1}
    assert list(warm_items(both[:1], {}, tmp_path, "current")) is not None
    assert not [item for item in warm_items(both[:1], {}, tmp_path, "current") if item.kind is EntryKind.SNAPSHOT]


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
    warm, folded = warmed(warm_items(instruments, {}, tmp_path, "current"), instruments)
    assert len(frames_of(folded)) < len(frames_of(with_mark)) * 0.75, "not from the beginning"
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
    list(warm_items(instruments, {}, tmp_path, "current"))


def test_a_recording_that_ends_early_warms_with_what_is_whole(past, tmp_path):
    recording, instruments = past
    torn = tmp_path / "torn.gz"
    torn.write_bytes(recording.read_bytes()[: recording.stat().st_size // 2])
    _, folded = warmed(warm_items(instruments, {"": torn}, tmp_path, "x"), instruments)
    assert len(frames_of(folded)) > 100


def test_nothing_recorded_means_nothing_to_fold(past, tmp_path):
    assert list(warm_items(past[1], {}, tmp_path / "none", "x")) == []


def test_after_the_warm_start_slow_features_stay_and_the_book_is_gone(past, tmp_path):
    recording, instruments = past
    engine, loop = loop_of(instruments, Nowhere())
    for item in warm_items(instruments, {"BTCUSDT": recording}, tmp_path, "x"):
        loop.process(item)
    loop.process(Item(EntryKind.EVENT, now(), payload=WarmUpEnded()))
    assert int(engine.market.states[0]["phase"]) == 0
    features = warm_features(engine)
    assert {"rv_120s", "tfi_120s"} <= features.keys()
    assert "weighted_imbalance" not in features
    assert (engine.market.frames, engine.market.gaps) == (0, 0)
