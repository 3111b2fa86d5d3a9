"""How entries shrink and grow with drift: at once down, late and only when something is known up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartmoney.runtime.drift_sizes import JUDGED_MIN, EntrySize, SizePlan
from smartmoney.settings.load import ConfigurationError, load_settings

H = 3600 * 1_000_000_000
PLAN = SizePlan(watch=0.5, act=0.1, recover_s=3600.0)


def lived(levels, every_ns=60_000_000_000, judged=JUDGED_MIN, now=1.0):
    """Return what entries are scaled by after each level."""
    size, found = EntrySize(PLAN), []
    for number, level in enumerate(levels):
        change = size.change(level, now, judged, number * every_ns)
        now = now if change is None else change
        found.append(now)
    return found


def test_entries_shrink_at_once_by_degrees():
    assert lived(["ok", "watch", "watch", "act", "act"]) == [1.0, 0.5, 0.5, 0.1, 0.1]


def test_they_grow_after_the_monitors_were_calmer_for_the_whole_time():
    assert lived(["act", *["watch"] * 60]) == [0.1] * 61
    assert lived(["act", *["watch"] * 61])[-1] == 0.5
    assert lived(["act", *["ok"] * 61])[-1] == 1.0
    # Watch a minute ago allows what watch allows; the rest takes as long again.
    assert lived(["act", *["watch"] * 60, "ok"])[-1] == 0.5
    assert lived(["act", *["watch"] * 60, *["ok"] * 61])[-1] == 0.5
    assert lived(["act", *["watch"] * 60, *["ok"] * 62])[-1] == 1.0
    # One bad minute among them, and the time begins anew.
    assert lived(["act", *["ok"] * 40, "act", *["ok"] * 60])[-1] == 0.1
    assert lived(["act", *["ok"] * 40, "act", *["ok"] * 61])[-1] == 1.0


def test_monitors_that_have_judged_nothing_let_nothing_grow():
    assert lived(["ok"] * 600, judged=JUDGED_MIN - 1, now=0.1) == [0.1] * 600


def test_another_model_has_the_size_that_is_said_of_it():
    size = EntrySize(PLAN)
    size.begin_anew()
    assert size.change("ok", 0.1, 0, 0) == 1.0
    assert size.change("watch", 1.0, 0, 1) == 0.5
    assert size.change("ok", 0.5, 0, 2) is None


@given(st.lists(st.sampled_from(["ok", "watch", "act"]), max_size=200), st.sampled_from([1.0, 0.5, 0.1]))
def test_they_are_never_larger_than_the_latest_level_allows(levels, now):
    for level, factor in zip(levels, lived(levels, now=now), strict=True):
        assert factor <= PLAN.at(level)


def test_a_size_for_act_above_that_for_watch_is_refused_by_name():
    with pytest.raises(ConfigurationError, match=r"act_size 0\.6 is above watch_size 0\.5"):
        load_settings(overrides={"drift.act_size": 0.6})
