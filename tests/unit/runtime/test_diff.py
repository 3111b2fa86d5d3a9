"""A comparison sees features and decisions of which no row of the journal's tables tells, and shows both sides."""

import contextlib
import json
import shutil
import sqlite3
import sys

import numpy as np
import pytest

from smartmoney.adapters.capture import read_capture
from smartmoney.adapters.state_directory import StateLayout
from smartmoney.cli import main as command_line
from smartmoney.core.domain.entries import Tick
from smartmoney.core.engine.engine import Engine
from smartmoney.core.features.row import read_row
from smartmoney.core.features.schema import FEATURES, SCHEMA_HASH
from smartmoney.runtime.assembly import strategy_factory
from smartmoney.runtime.codecs import codec_of
from smartmoney.runtime.diff import diff_build, diff_settings, encoded_settings
from smartmoney.runtime.replay import runs_of_last_day
from smartmoney.settings.load import load_settings, recorded_settings
from tests.captured_past import INSTRUMENT, SECOND_NS, capture_past

SECONDS = 200
ENDS_NS = 1_700_000_000 * SECOND_NS
NOTED_AT = 150
CHANGED = 7


@pytest.fixture(scope="module")
def past(tmp_path_factory):
    """A run, and its feature row and digest after one of its entries."""
    layout = StateLayout(tmp_path_factory.mktemp("state"))
    name = capture_past(layout, load_settings(overrides={"model": "prior"}), SECONDS, ENDS_NS)
    entries = iter(read_capture(layout.capture(name)))
    first = next(entries)
    engine = Engine(codec_of(first.payload.venue), strategy_factory(None))
    engine.step(first)
    for entry in entries:
        engine.step(entry)
        if entry.seq == NOTED_AT:
            break
    row = np.empty(len(FEATURES))
    read_row(engine.market.states, 0, 0, row)
    return layout, name, entry.ts_wall_ns, row, engine.digest


@contextlib.contextmanager
def noted(past, row=None, digest=None, schema=SCHEMA_HASH):
    """Let the run have noted these, for as long as it takes."""
    layout, name, wall_ns, true_row, true_digest = past
    bytes_of_row = (true_row if row is None else row).astype("<f8").tobytes()
    with contextlib.closing(sqlite3.connect(layout.journal)) as journal:
        journal.execute("INSERT INTO witnesses VALUES (?, ?, ?, ?, ?, ?)", (name, NOTED_AT, wall_ns, INSTRUMENT.name, schema, bytes_of_row))
        journal.execute("INSERT INTO checkpoints VALUES (?, ?, ?, ?, 1)", (name, NOTED_AT, wall_ns, digest or true_digest))
        journal.commit()
        try:
            yield diff_build(layout, name)
        finally:
            journal.execute("DELETE FROM witnesses")
            journal.execute("DELETE FROM checkpoints")
            journal.commit()


def test_features_and_digests_of_a_run_are_held_against_the_replay(past):
    with noted(past) as report:
        counts = report.counts
    assert [(counts[table].recorded, counts[table].today, counts[table].different) for table in ("features", "digests")] == [(1, 1, 0)] * 2


def test_a_feature_that_differs_is_named_with_both_values(past):
    row = past[3].copy()
    assert np.isfinite(row[CHANGED])
    row[CHANGED] += 0.25
    with noted(past, row=row) as report:
        first = report.first_difference
    assert not report.identical
    assert (first.table, first.wall_ns) == ("features", past[2])
    name = FEATURES[CHANGED].name
    assert set(first.recorded) == {"seq", "wall_ns", "instrument", name}
    assert first.recorded[name] == row[CHANGED]
    assert first.today[name] == past[3][CHANGED]


def test_an_unknown_value_is_the_same_however_it_is_written(past):
    row = past[3].copy()
    unknown, zeros = np.flatnonzero(np.isnan(row)), np.flatnonzero(row == 0.0)
    assert len(unknown)
    assert len(zeros)
    row[unknown[0]], row[zeros[0]] = np.copysign(np.nan, -1.0), -0.0
    with noted(past, row=row) as report:
        assert report.counts["features"].different == 0
    row[unknown[0]] = 1.0
    with noted(past, row=row) as report:
        assert report.counts["features"].different == 1
    assert report.first_difference.today[FEATURES[unknown[0]].name] is None


def test_decisions_that_no_table_tells_of_differ_by_their_digest(past):
    with noted(past, digest="ab" * 32) as report:
        pass
    assert not report.identical
    assert report.counts["digests"].different == 1
    assert report.counts["digests"].recorded == report.counts["digests"].today == 1


def test_features_of_another_schema_are_said_to_be_left_out(past):
    with noted(past, schema="0" * 64) as report:
        pass
    assert report.counts["features"].recorded == 0
    assert report.notes[0] == "1 feature rows are of another schema and cannot be compared"


def test_what_is_printed_is_written_for_whoever_is_told(past, tmp_path, monkeypatch, capsys):
    layout, name, *_ = past
    out = tmp_path / "diff.txt"
    monkeypatch.setattr(sys, "argv", ["smartmoney", "diff", name, "--state-dir", str(layout.root), "--out", str(out)])
    with noted(past, digest="ab" * 32), pytest.raises(SystemExit) as ended:
        command_line.main()
    assert ended.value.code == 1
    printed = capsys.readouterr().out
    assert printed.startswith(f"run {name}: DIFFERENT\nfirst difference, in digests")
    assert out.read_text() == printed
    monkeypatch.setattr(sys, "argv", ["smartmoney", "diff", "nothing", "--state-dir", str(layout.root), "--out", str(out)])
    with pytest.raises(SystemExit):
        command_line.main()
    assert out.read_text().startswith("nothing was compared: run 'nothing' cannot be compared: "), (
        "instead of what was told of an older one"
    )
    assert out.read_text().removeprefix("nothing was compared: ") in capsys.readouterr().err


def test_settings_that_change_features_are_seen(tmp_path):
    layout, ticks = StateLayout(tmp_path), [(second, Tick()) for second in range(1, SECONDS)]
    name = capture_past(layout, load_settings(overrides={"model": "prior"}), SECONDS, ENDS_NS, said=ticks)
    own = encoded_settings(layout, name)
    assert diff_settings(layout, name, recorded_settings(own, {})).identical
    report = diff_settings(layout, name, recorded_settings(own, {"advanced_features.order_book_imbalance.distance_decay_rate": 0.3}))
    assert report.counts["features"].recorded == report.counts["features"].today > 2
    assert report.counts["features"].different > 0
    assert "digests" not in report.counts


def test_runs_of_the_last_day_are_compared_however_they_ended(tmp_path, monkeypatch, capsys):
    layout, settings, hour = StateLayout(tmp_path), load_settings(overrides={"model": "prior"}), 3_600 * SECOND_NS
    ends = {capture_past(layout, settings, SECONDS, ENDS_NS - ago * hour): ENDS_NS - ago * hour for ago in (30, 5, 3, 0)}
    _, unproven, killed, newest = ends
    with contextlib.closing(sqlite3.connect(layout.journal)) as journal:
        for name, at in ends.items():
            journal.execute("UPDATE runs SET started_wall_ns = ? WHERE run_id = ?", (at - SECONDS * SECOND_NS, name))
        for name in (unproven, killed):  # the machine went down under them
            journal.execute("UPDATE runs SET ended_wall_ns = NULL, last_seq = NULL, digest = NULL WHERE run_id = ?", (name,))
        journal.execute("INSERT INTO checkpoints VALUES (?, ?, ?, ?, 1)", (killed, NOTED_AT, ends[killed] - 9, "ab" * 32))
        journal.commit()
    assert runs_of_last_day(layout) == [newest, killed, unproven]
    out = tmp_path / "diff.txt"
    monkeypatch.setattr(sys, "argv", ["smartmoney", "diff", "last-day", "--state-dir", str(layout.root), "--out", str(out), "--json"])
    with pytest.raises(SystemExit) as ended:
        command_line.main()
    assert ended.value.code == 1
    printed = json.loads(capsys.readouterr().out)
    assert [(one["run_id"], one["identical"]) for one in printed["runs"]] == [(killed, False), (newest, True)]
    why = f"run '{unproven}' ended before its first checkpoint: there is nothing to compare with"
    assert printed["refused"] == [why]
    lines = out.read_text().splitlines()
    assert lines[:2] == [f"not compared: {why}", f"run {killed}: DIFFERENT"]


@pytest.mark.parametrize(
    "damage", [lambda index: index.write_bytes(b'{"\xff'), lambda index: shutil.rmtree(index.parent)], ids=["index", "gone"]
)
def test_a_run_that_should_have_been_compared_and_cannot_be_is_no_quiet_night(tmp_path, monkeypatch, capsys, damage):
    layout, settings, hour = StateLayout(tmp_path), load_settings(overrides={"model": "prior"}), 3_600 * SECOND_NS
    older, newest = (capture_past(layout, settings, SECONDS, ENDS_NS - ago * hour) for ago in (30, 0))
    with contextlib.closing(sqlite3.connect(layout.journal)) as journal:
        for name, ago in ((older, 30), (newest, 0)):
            journal.execute("UPDATE runs SET started_wall_ns = ? WHERE run_id = ?", (ENDS_NS - ago * hour - SECONDS * SECOND_NS, name))
        journal.commit()
    assert runs_of_last_day(layout) == [newest, older], "down for more than a day: what was before it is compared all the same"
    (index,) = (layout.captures / newest).glob("*.json")
    damage(index)
    monkeypatch.setattr(sys, "argv", ["smartmoney", "diff", "last-day", "--state-dir", str(layout.root)])
    with pytest.raises(SystemExit) as ended:
        command_line.main()
    assert ended.value.code == 1
    first, *others = capsys.readouterr().out.splitlines()
    assert first.startswith("not compared: ")
    assert newest in first
    assert f"run {older}: identical" in others
    shutil.rmtree(layout.capture(older))
    assert runs_of_last_day(layout) == [newest], "what retention has taken is no reason for an alarm each night"
