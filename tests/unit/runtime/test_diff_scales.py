"""Entries that drift made smaller: a comparison shows them on the side that had them, and on the other what stood there instead."""

import pytest

from smartmoney.adapters.journal import record
from smartmoney.adapters.state_directory import StateLayout
from smartmoney.core.domain.commands import RecordScale
from smartmoney.core.domain.entries import ScaleRequested, Tick
from smartmoney.runtime.diff import diff_build, diff_settings, encoded_settings
from smartmoney.runtime.storage import open_run
from smartmoney.settings.load import load_settings, recorded_settings
from tests.captured_past import INSTRUMENT, SECOND_NS, capture_past

SECONDS, SAID_AT = 1200, 400
ENDS_NS = 1_700_000_000 * SECOND_NS
SHRUNK = ScaleRequested(factor=0.5, reason="drift: made up")
OWN = {
    "model": "prior",
    "drift.action": "shrink",
    "execution.max_holding_s": 30,
    "strategy.confidence_threshold": 0.5,
    "strategy.min_liquidity_score": 0.01,
    "advanced_features.signal_generation.min_confidence": 0.5,
    "advanced_features.feature_engine.confidence_threshold": 0.5,
    "advanced_features.feature_engine.risk_adjustment_factor": 0.0,
    "advanced_features.liquidity_patterns.mm_confidence_threshold": 0.01,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    layout = StateLayout(tmp_path_factory.mktemp("state"))
    said = [(second, payload) for second in range(1, SECONDS) for payload in ((SHRUNK, Tick()) if second == SAID_AT else (Tick(),))]
    return layout, capture_past(layout, load_settings(overrides=OWN), SECONDS, ENDS_NS, said=said)


def compared(run, **changes):
    layout, name = run
    overrides = {key.replace("__", "."): value for key, value in changes.items()}
    return diff_settings(layout, name, recorded_settings(encoded_settings(layout, name), overrides))


def test_a_run_that_was_scaled_is_itself_under_its_own_settings(run):
    report = compared(run)
    assert report.identical
    assert report.counts["scales"].recorded == report.counts["scales"].today == 1
    assert report.counts["fills"].recorded > 0


def test_settings_under_which_nothing_is_scaled_show_both_sides(run):
    report = compared(run, drift__action="warn")
    assert not report.identical
    first = report.first_difference
    assert (first.table, first.today) == ("scales", None)
    assert (first.recorded["factor"], first.recorded["reason"]) == (0.5, "drift: made up")
    assert report.counts["scales"].today == 0
    assert report.counts["orders"].different > 0
    assert report.notes == ()


def test_other_sizes_for_drift_are_said_to_be_unknown(run):
    report = compared(run, drift__watch_size=0.25)
    assert report.counts["scales"].different == 1
    assert "nobody knows" in report.notes[0]


def test_what_does_not_touch_drift_keeps_the_scales_on_both_sides(run):
    report = compared(run, strategy__rebalance_band=0.9)
    assert report.counts["scales"].different == 0
    assert report.counts["scales"].today == 1


def test_what_a_later_run_was_scaled_by_is_not_this_ones(tmp_path):
    layout = StateLayout(tmp_path)
    settings = load_settings(overrides=OWN)
    name = capture_past(layout, settings, 30, ENDS_NS)
    with open_run(settings, layout, (INSTRUMENT,)) as later:
        later.journal.commit([record(1, ENDS_NS, RecordScale(factor=0.5, reason="drift: of a later run"))])
    assert diff_build(layout, name).counts["scales"].recorded == 0
