"""Where parts begin and what their models may know, by hand."""

import pytest

from smartmoney.adapters.trial_log import Span
from smartmoney.runtime.tuned_parts import Past, Reach, least_learned_s

S = 1_000_000_000
MON, TUE = 1_700_000_000 * S, 1_700_010_000 * S


def past(*spans, is_shared=True, period_s=100.0, embargo_s=300.0):
    return Past(spans=spans, mark_s=10, period_s=period_s, embargo_s=embargo_s, is_shared=is_shared)


def test_periods_begin_where_marks_do_and_the_last_takes_what_is_left():
    found = past(Span("a", MON, 25), Span("b", TUE, 19)).starts
    assert found == [(0, MON), (0, MON + 100 * S), (1, TUE)]


def test_a_part_learns_from_nothing_within_its_embargo_on_a_shared_clock():
    two = past(Span("a", MON, 1000), Span("b", MON + 10_000 * S, 100))
    first = two.part(100)
    assert (first.stretch, first.since_ns) == (1, MON + 10_000 * S)
    assert first.learned == (Reach(0, MON + 9_700 * S),)
    assert two.learned_s(first) == 9_700.0
    later = two.part(105)
    assert later.learned == (Reach(0, MON + 10_200 * S), Reach(1, MON + 10_200 * S))
    assert two.learned_s(later) == 10_000.0 + 200.0


def test_stretches_that_run_at_the_same_time_are_told_by_how_long():
    assert past(Span("a", MON, 10), Span("b", MON + 100 * S, 10)).overlap_s == 0.0
    assert past(Span("a", MON, 100), Span("b", MON + 100 * S, 10), Span("c", MON + 950 * S, 10)).overlap_s == 900.0


def test_worlds_have_a_clock_each():
    worlds = past(Span("a", MON, 100), Span("b", MON, 100), is_shared=False)
    assert worlds.part(10).learned == (Reach(0, 0),)
    assert worlds.part(15).learned == (Reach(0, 0), Reach(1, MON + 200 * S))
    # On one clock the second one's beginning is the first one's.
    assert past(Span("a", MON, 100), Span("b", MON, 100)).part(10).learned == ()


@pytest.mark.parametrize(("least_s", "lead"), [(100.0, 25), (3_000.0, 33), (9_650.0, 100), (9_801.0, None)])
def test_the_lead_is_an_equal_part_or_what_a_model_needs(least_s, lead):
    assert past(Span("a", MON, 1000)).lead(2, least_s) == (lead if lead != 100 else None)


def test_a_training_needs_labels_in_each_of_its_own_stretches():
    assert least_learned_s(4, (300, 900)) == 9_000.0
