from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartmoney.core.domain.entries import HaltState
from smartmoney.core.risk.kill_switch import (
    HaltCause,
    KillState,
    ResumeDenied,
    ResumeEvent,
    drawdown,
    halt,
    is_closing,
    observe,
    resume,
    transfer,
)
from smartmoney.core.risk.parameters import RiskLimits

D = Decimal
MS = 1_000_000
S = 1_000_000_000
LIMITS = RiskLimits()


def run(looks, state=None, limits=LIMITS):
    state = state or KillState()
    events = []
    for now, equity, has_position in looks:
        state, event = observe(state, equity, has_position, now, limits)
        events += [event] if event else []
    return state, events


def test_drawdown_must_hold_250_ms_and_then_halts_with_a_flatten():
    state, events = run([(0, D(1000), True), (1 * S, D(950), True), (1 * S + 249 * MS, D(940), True)])
    assert not state.halt.halted
    state, events = run([(1 * S + 250 * MS, D(950), True)], state)
    assert state.halt.halted
    assert state.halt.epoch == 1
    assert [event.cause for event in events] == [HaltCause.DRAWDOWN]
    assert events[0].must_flatten
    assert (events[0].peak, events[0].equity) == (D(1000), D(950))


def test_one_bad_mark_trips_nothing():
    state, events = run([(0, D(1000), True), (1 * S, D(500), True), (1 * S + 100 * MS, D(999), True), (2 * S, D(940), True)])
    assert events == []
    assert state.breach_since_ns == 2 * S


def test_drawdown_just_inside_the_limit_never_trips():
    state, _ = run([(0, D(1000), True), (1 * S, D("950.000001"), True), (100 * S, D("950.000001"), True)])
    assert not state.halt.halted


def test_realised_loss_trips_without_a_position():
    state, events = run([(0, D(1000), False), (1 * S, D(900), False), (2 * S, D(900), False)])
    assert state.halt.halted
    assert events[0].cause is HaltCause.DRAWDOWN


@pytest.mark.parametrize("unknown", [None, D("NaN"), D("sNaN"), D("Infinity"), float("nan")])
def test_unknown_equity_trips_after_the_grace_and_does_not_flatten(unknown):
    state, events = run([(0, D(1000), True), (1 * S, unknown, True), (31 * S, unknown, True)])
    assert events == []
    state, events = run([(31 * S + 1, unknown, True)], state)
    assert state.halt.halted
    assert events[0].cause is HaltCause.BLIND
    assert not events[0].must_flatten


def test_unknown_equity_without_a_position_trips_nothing_and_resets_the_grace():
    state, events = run([(0, None, True), (20 * S, None, False), (40 * S, None, True), (69 * S, None, True)])
    assert events == []
    assert state.blind_since_ns == 40 * S


def test_a_mark_in_time_resets_the_grace():
    _, events = run([(0, None, True), (29 * S, D(1000), True), (30 * S, None, True), (59 * S, None, True)])
    assert events == []


def test_blindness_does_not_forgive_a_breach():
    state, events = run([(0, D(1000), True), (1 * S, D(900), True), (2 * S, None, True), (3 * S, D(900), True)])
    assert events[0].cause is HaltCause.DRAWDOWN
    assert state.halt.halted


def test_zero_and_negative_equity_breach_even_without_a_peak():
    for equity in (D(0), D(-5)):
        _, events = run([(0, equity, False), (1 * S, equity, False)])
        assert events[0].cause is HaltCause.DRAWDOWN


def test_halt_is_sticky_whatever_equity_does_and_survives_a_restart():
    state, _ = halt(KillState(), "operator", D(1000))
    restored = KillState(halt=state.halt)
    for now in range(10):
        restored, event = observe(restored, D(10**6), True, now * 100 * S, LIMITS)
        assert event is None
        assert restored.halt == state.halt
    again, event = halt(restored, "again")
    assert event is None
    assert again.halt.reason == "operator"


def test_resume_starts_a_new_epoch_at_todays_equity():
    state, _ = run([(0, D(1000), True), (1 * S, D(900), True), (2 * S, D(900), True)])
    state, event = resume(state, D(890), "looked at it")
    assert event == ResumeEvent(reason="looked at it", epoch=2, old_peak=D(1000), new_peak=D(890))
    assert state == KillState(halt=HaltState(halted=False, reason="", epoch=2, peak=D(890)))
    state, events = run([(3 * S, D(880), True), (10 * S, D(880), True)], state)
    assert events == []


@pytest.mark.parametrize(("equity", "reason"), [(D(1), "  "), (None, "why"), (D("NaN"), "why")])
def test_resume_is_denied_without_reason_or_equity(equity, reason):
    halted, _ = halt(KillState(), "x")
    state, event = resume(halted, equity, reason)
    assert isinstance(event, ResumeDenied)
    assert state.halt.halted


def test_resume_of_a_switch_that_is_not_halted_is_denied():
    assert isinstance(resume(KillState(), D(1), "why")[1], ResumeDenied)


def test_a_transfer_moves_the_peak_and_leaves_the_drawdown_alone():
    state, _ = run([(0, D(1000), False), (1 * S, D(960), False)])
    assert transfer(state, D(960), D(-480)).halt.peak == D(500)
    assert transfer(state, D(960), D(9600)).halt.peak == D(11000)
    assert transfer(KillState(), D(5), D(5)).halt.peak is None


@given(st.decimals(1, 10**6, places=2), st.decimals(0, "0.0499", places=4), st.decimals("-0.99", 100, places=4))
def test_no_transfer_trips_the_switch_or_hides_a_loss(peak, lost, share):
    state, _ = observe(KillState(), peak, False, 0, LIMITS)
    equity = peak * (1 - lost)
    moved = transfer(state, equity, equity * share)
    before, after = drawdown(equity, state.halt.peak), drawdown(equity * (1 + share), moved.halt.peak)
    assert before <= after + D("1e-12")
    assert after <= before + D("1e-4")


def test_drawdown_is_a_fraction_of_the_peak_or_unknown():
    assert drawdown(D(950), D(1000)) == D("0.05")
    assert drawdown(D(1100), D(1000)) == 0
    assert drawdown(None, D(1)) is None
    assert drawdown(D(1), None) is None
    assert drawdown(D(1), D(0)) is None


looks = st.lists(
    st.tuples(
        st.integers(0, 20 * S),
        st.one_of(st.none(), st.just(D("NaN")), st.decimals(min_value=-10, max_value=2000, places=3, allow_nan=False)),
        st.booleans(),
    ),
    max_size=60,
)


@given(looks)
def test_peak_is_monotone_and_nothing_clears_a_halt(steps):
    now, state = 0, KillState()
    for gap, equity, has_position in steps:
        now += gap
        before = state
        state, event = observe(state, equity, has_position, now, LIMITS)
        assert before.halt.peak is None or state.halt.peak >= before.halt.peak
        assert not before.halt.halted or (state.halt.halted and state.halt.peak == before.halt.peak)
        assert not is_closing(before.halt) or state == before
        assert (event is not None) == (state.halt.epoch > before.halt.epoch)
        if event is None and equity is not None and equity.is_finite() and not state.halt.halted:
            in_limit = equity > state.halt.peak * (1 - LIMITS.max_drawdown)
            assert in_limit or now - state.breach_since_ns < 250 * MS


def test_a_drawdown_under_a_halt_that_left_the_position_open_closes_it_once():
    state, _ = observe(KillState(), D(1000), True, 0, LIMITS)
    state, halted = halt(state, "operator: news", D(1000))
    assert not halted.must_flatten
    state, event = observe(state, D(900), True, 1 * S, LIMITS)
    assert event is None, "a breach must hold"
    state, event = observe(state, D(900), True, 2 * S, LIMITS)
    assert (event.cause, event.must_flatten, event.epoch) == (HaltCause.DRAWDOWN, True, halted.epoch + 1)
    assert is_closing(state.halt)
    assert observe(state, D(800), True, 9 * S, LIMITS) == (state, None)


def test_a_flatten_of_a_halted_switch_is_a_halt_of_its_own():
    state, _ = halt(KillState(), "operator", D(1000))
    assert not is_closing(state.halt)
    state, event = halt(state, "flatten: end of the week", D(1000), must_flatten=True)
    assert event.must_flatten
    assert is_closing(state.halt)
    assert halt(state, "flatten: again", D(1000), must_flatten=True) == (state, None)
