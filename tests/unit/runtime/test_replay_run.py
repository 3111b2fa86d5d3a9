"""Replaying a captured run: what is compared with what, and what is said when nothing can be."""

from decimal import Decimal

import pytest

from smartmoney.adapters.journal import Checkpoint, record
from smartmoney.adapters.state_directory import StateLayout
from smartmoney.core.domain.entries import EntryKind, WarmUpEnded
from smartmoney.runtime.clock import Stamp, now
from smartmoney.runtime.inbox import Item
from smartmoney.runtime.replay import ReplayRefused, named_run, replay_run
from smartmoney.runtime.storage import open_run
from smartmoney.settings.load import load_settings

from .market import items_of, loop_of
from .market import record as record_market

ENTRIES = 900


@pytest.fixture(scope="module")
def lived(tmp_path_factory):
    """Give a function that lives a run through a recording and journals a checkpoint each hundred entries."""
    folder = tmp_path_factory.mktemp("lived")
    recordings, instruments = record_market(folder, 60, now().wall_ns)
    items = list(items_of(recordings["BTCUSDT"]))[:ENTRIES]

    def live(state, *, ends=True, damage=None):
        layout = StateLayout(state)
        with open_run(load_settings(), layout, instruments) as run:
            engine, loop = loop_of(instruments, run.capture, run.started.run_id)
            loop.process(Item(EntryKind.EVENT, Stamp(1, 1), payload=WarmUpEnded()))
            for item in items:
                loop.process(item)
                if loop.seq % 100 == 0:
                    digest = "0" * 64 if damage == loop.seq else engine.digest
                    run.journal.commit([record(loop.seq, now().wall_ns, Checkpoint(digest))])
            if ends:
                run.journal.end_run(now().wall_ns, loop.seq, engine.digest)
            return layout, run.started.run_id, engine.digest, loop.seq

    return live


def test_a_run_that_ended_is_compared_at_its_end(lived, tmp_path):
    layout, run_id, digest, seq = lived(tmp_path)
    engine, comparison = replay_run(layout, run_id)
    assert comparison.is_identical
    assert comparison.is_whole
    assert (comparison.seq, comparison.replayed, engine.digest) == (seq, digest, digest)
    assert (comparison.entries_beyond, comparison.orders_beyond) == (0, ())
    assert named_run(layout, "last") == run_id


def test_a_run_without_an_end_is_compared_at_its_last_checkpoint(lived, tmp_path):
    layout, run_id, _, seq = lived(tmp_path, ends=False)
    _, comparison = replay_run(layout, run_id)
    assert comparison.is_identical
    assert comparison.seq == seq // 100 * 100
    assert comparison.entries_beyond == seq - comparison.seq


def test_a_capture_that_lost_its_end_is_compared_at_the_last_checkpoint_that_it_reaches(lived, tmp_path):
    layout, run_id, _, seq = lived(tmp_path, ends=False)
    (segment,) = (path for path in layout.capture(run_id).iterdir() if path.suffix != ".json")
    for index in layout.capture(run_id).glob("*.json"):
        index.unlink()
    segment.write_bytes(segment.read_bytes()[: int(segment.stat().st_size * 0.6)])
    _, comparison = replay_run(layout, run_id)
    assert comparison.is_identical
    assert not comparison.is_whole
    assert 100 <= comparison.seq < seq


def test_the_first_checkpoint_that_differs_is_named(lived, tmp_path):
    layout, run_id, digest, _ = lived(tmp_path, damage=300)
    _, comparison = replay_run(layout, run_id)
    assert not comparison.is_identical
    assert comparison.differs_at == 300
    assert comparison.replayed == digest


def test_what_cannot_be_replayed_says_why(lived, tmp_path):
    layout, run_id, _, _ = lived(tmp_path)
    with pytest.raises(ReplayRefused, match=f"the newest are: {run_id}"):
        replay_run(layout, "nobody")
    import shutil

    shutil.rmtree(layout.capture(run_id))
    with pytest.raises(ReplayRefused, match="no capture"):
        replay_run(layout, run_id)


def test_a_run_without_a_checkpoint_has_nothing_to_compare_with(tmp_path):
    layout = StateLayout(tmp_path)
    _, instruments = record_market(tmp_path, 1, now().wall_ns)
    with open_run(load_settings(), layout, instruments) as run:
        run_id = run.started.run_id
    with pytest.raises(ReplayRefused, match="before its first checkpoint"):
        replay_run(layout, run_id)
    assert run.started.cash == Decimal(10_000)
