"""The kill switch to the letter: K1 to K6 of its promises, each asked of the engine, entry by entry."""

import ast
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import smartmoney
from smartmoney.core.domain.commands import CancelOrder, Notify, RecordCash, RecordDay, RecordEquity, RecordHalt, RecordResume, SubmitOrder
from smartmoney.core.domain.entries import (
    DayState,
    FlattenRequested,
    FundingPaid,
    HaltRequested,
    HaltState,
    ModelActivated,
    ResumeRequested,
    TransferRequested,
)
from smartmoney.core.domain.orders import OrderIntent, OrderReport, OrderType, Purpose, Side
from smartmoney.core.engine.money import Money
from smartmoney.core.engine.parameters import EngineParameters
from smartmoney.core.risk.daily_loss import day_of, read_clock
from smartmoney.core.strategy.model import PriorModel

from .bench import WALL, Bench, S, instrument, long

HELD = (long("1", "100.5"),)
D = Decimal


def holding(**more):
    bench = Bench(positions=HELD, **more)
    bench.sync()
    bench.reconcile()
    bench.live_for(0.5)
    return bench


def of(kind, commands):
    return [command for command in commands if isinstance(command, kind)]


def raising(commands):
    return [command for command in of(SubmitOrder, commands) if not command.approved.intent.reduce_only]


# K1


def test_k1_a_raised_peak_is_recorded_before_anything_that_is_decided_with_it():
    bench = holding()
    bench.touch("103.0", "104.0")
    commands = bench.tick()
    (recorded,) = of(RecordEquity, commands)
    assert recorded.peak == bench.engine.money.state.peak == D(1103)
    first_order = next((number for number, command in enumerate(commands) if isinstance(command, SubmitOrder)), len(commands))
    assert commands.index(recorded) < first_order


def test_k1_a_trip_carries_the_peak_that_it_was_measured_from():
    bench = holding()
    bench.touch("103.0", "104.0")
    bench.touch("10.0", "11.0")
    (halted,) = of(RecordHalt, bench.live_for(0.4))
    assert halted.peak == 1103


def test_k1_a_restart_goes_on_from_the_peak():
    bench = holding(halt=HaltState(peak=D(5000)))
    bench.live_for(0.5)
    assert bench.engine.money.state.halted
    assert bench.engine.money.state.reason.startswith("drawdown")


def test_k1_a_deposit_moves_peak_and_day_and_is_recorded_with_its_reason():
    bench = holding(halt=HaltState(peak=D(1120)))
    before = bench.engine.money.drawdown
    commands = bench.say(TransferRequested(amount=D(550), reason="savings"))
    (moved,) = of(RecordCash, commands)
    assert (moved.kind, moved.amount, moved.reason, moved.peak) == ("transfer", 550, "savings", 1680)
    (day,) = of(RecordDay, commands)
    assert day.opening == 1650
    assert bench.engine.money.drawdown == before
    assert bench.engine.money.daily_loss == 0
    assert bench.engine.view().account.equity == 1650
    assert not of(RecordHalt, bench.live_for(1))


def test_k1_a_withdrawal_does_not_trip_the_switch():
    bench = holding(halt=HaltState(peak=D(1140)))
    assert of(RecordCash, bench.say(TransferRequested(amount=D(-900), reason="rent")))
    assert not of(RecordHalt, bench.live_for(1))
    assert bench.engine.money.state.peak == D(1140) * 200 / 1100 + D("0.00000001") - (D(1140) * 200 / 1100) % D("0.00000001")


@pytest.mark.parametrize("amount", ["-5000", "0", "NaN", "Infinity", "-1050"])
def test_k1_what_is_no_transfer_changes_nothing(amount):
    bench = holding()
    before = bench.engine.money.state
    commands = bench.say(TransferRequested(amount=D(amount), reason="why"))
    assert [command.subject for command in of(Notify, commands)] == ["transfer refused"]
    assert not of(RecordCash, commands)
    assert bench.engine.money.state == before


def test_k1_with_equity_unknown_no_transfer_is_booked():
    bench = Bench(positions=HELD)
    assert of(Notify, bench.say(TransferRequested(amount=D(5), reason="why")))[0].text.startswith("equity is unknown")


def test_funding_is_profit_or_loss_once_and_can_trip():
    bench = holding()
    paid = FundingPaid(instrument=0, amount=D(-80), reference="f1", ts_event_ns=1)
    assert of(RecordCash, bench.say(paid))
    assert bench.say(paid) == []
    assert bench.engine.view().account.equity == 1020
    assert of(RecordHalt, bench.live_for(0.5))[0].reason.startswith("drawdown")


def test_funding_that_an_earlier_run_journaled_is_not_booked_again():
    bench = Bench()
    again = Bench()
    started = msgspec.structs.replace(bench.started, fundings=("f1",))
    again.say(started)
    assert again.say(FundingPaid(instrument=0, amount=D(-80), reference="f1", ts_event_ns=1)) == []


# K2


def test_k2_a_breach_is_halted_and_recorded_before_the_next_decision():
    bench = holding()
    bench.touch("10.0", "11.0")
    decided = bench.engine.counters.decisions
    seen = []
    while not of(RecordHalt, seen):
        seen = bench.tick(0.05)
        bench.touch()
    halt_at = next(number for number, command in enumerate(seen) if isinstance(command, RecordHalt))
    assert not [c for c in seen[:halt_at] if isinstance(c, (SubmitOrder, CancelOrder))]
    assert not raising(seen)
    assert bench.engine.counters.decisions <= decided + 1


# K3


@settings(max_examples=60)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("touch"), st.integers(60, 140)),
            st.tuples(st.just("tick"), st.integers(1, 20)),
            st.tuples(st.just("halt"), st.just(0)),
            st.tuples(st.just("flatten"), st.just(0)),
            st.tuples(st.just("transfer"), st.integers(-300, 300)),
            st.tuples(st.just("resume"), st.just(0)),
            st.tuples(st.just("model"), st.just(0)),
        ),
        max_size=40,
    )
)
def test_k3_after_a_halt_nothing_raises_risk_until_a_person_resumes(steps):
    bench = holding()
    halted = False
    for what, number in steps:
        peak = bench.engine.money.state.peak
        match what:
            case "touch":
                commands = bench.touch(f"{number}.0", f"{number + 1}.0")
            case "tick":
                commands = bench.tick(number / 10)
            case "halt":
                commands = bench.say(HaltRequested(reason="operator"))
            case "flatten":
                commands = bench.say(FlattenRequested(reason="operator"))
            case "transfer":
                commands = bench.say(TransferRequested(amount=D(number), reason="why"))
            case "model":
                commands = bench.say(ModelActivated(model=PriorModel.name))
            case _:
                commands = bench.say(ResumeRequested(reason="looked"))
        was_resumed = bool(of(RecordResume, commands))
        assert what == "resume" or not was_resumed
        if halted and not was_resumed:
            assert bench.engine.money.state.halted
            assert not raising(commands)
        now = bench.engine.money.state
        if what not in {"resume", "transfer"} and peak is not None:
            assert now.peak >= peak, "the peak falls only by a person's word"
        halted = now.halted


# K4


def test_k4_a_halt_is_taken_over_by_the_next_run_and_only_a_reason_clears_it():
    bench = holding(halt=HaltState(halted=True, reason="drawdown: x", epoch=3, peak=D(2000)))
    assert bench.engine.money.state.halted
    for reason in ("", "  "):
        bench.say(ResumeRequested(reason=reason))
        assert bench.engine.money.state.halted
    (resumed,) = of(RecordResume, bench.say(ResumeRequested(reason="looked at it")))
    assert (resumed.reason, resumed.old_peak, resumed.epoch) == ("looked at it", 2000, 4)


# K5


def test_k5_any_error_of_the_kill_switch_is_a_halt(monkeypatch):
    bench = holding()

    def broken(self, *_):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(Money, "_observe", broken)
    (halted,) = of(RecordHalt, bench.tick())
    assert halted.reason == "the kill switch could not look: ZeroDivisionError: a bug"
    assert not of(RecordHalt, bench.tick()), "once"
    assert not raising(bench.live_for(2))


# K6

PACKAGE = Path(smartmoney.__file__).parent
MAY_RESUME = {"core/domain/entries.py", "core/engine/engine.py", "runtime/control.py"}


def test_k6_nothing_but_the_operators_socket_can_resume():
    naming = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, (ast.Name, ast.alias)) and (node.id if isinstance(node, ast.Name) else node.name) == "ResumeRequested"
    }
    assert naming == MAY_RESUME
    for room in ("dashboard", "learning", "reports", "compat", "core/strategy"):
        text = "".join(path.read_text() for path in (PACKAGE / room).rglob("*.py"))
        assert "adapters.control" not in text, room
        assert "clear_latch" not in text, room


def test_k6_a_new_model_changes_neither_halt_nor_limits():
    bench = holding(halt=HaltState(halted=True, reason="x", epoch=1, peak=D(1100)))
    limits = bench.engine.parameters.limits
    bench.say(ModelActivated(model=PriorModel.name))
    assert bench.engine.money.state.halted
    assert bench.engine.parameters.limits is limits


# the day's loss, the horizon, clocks


def test_the_days_loss_survives_a_restart():
    day = day_of(WALL + 1_000 * S)
    bench = Bench()
    again = Bench()
    again.say(msgspec.structs.replace(bench.started, day=DayState(day=day, opening=D(2000))))
    again.live_for_ticks = again.tick()
    assert again.engine.money.daily_loss == D("0.5")
    assert not of(RecordDay, again.live_for_ticks), "it is journaled already"


def test_a_new_days_opening_is_recorded_once():
    bench = Bench()
    bench.sync()
    bench.reconcile()
    days = of(RecordDay, bench.live_for(3))
    assert [(day.day, day.opening) for day in days] == [(day_of(WALL + 1_000 * S), 1000)]


def test_a_wall_clock_that_is_set_moves_the_day_only_after_an_hour():
    clock, at = read_clock(None, 100 * 86_400 * S, 5 * S)
    assert at == 100 * 86_400 * S
    clock, at = read_clock(clock, 101 * 86_400 * S, 6 * S)
    assert at == 100 * 86_400 * S + S, "a day ahead, and not believed"
    back, at = read_clock(clock, 100 * 86_400 * S + 2 * S, 7 * S)
    assert at == 100 * 86_400 * S + 2 * S
    assert back.doubted_since_ns is None
    _, at = read_clock(clock, 101 * 86_400 * S + 3_600 * S, 3_606 * S)
    assert at == 101 * 86_400 * S + 3_600 * S, "an hour later it is"


@given(st.lists(st.tuples(st.integers(0, 7_200 * S), st.integers(-(10**18), 10**18)), max_size=30))
def test_the_clock_of_the_day_never_jumps_within_an_hour_of_doubt(steps):
    wall, mono = 10**18 + 10**17, 0
    clock, last = read_clock(None, wall, mono)
    doubted = None
    for gap, jump in steps:
        mono += gap
        clock, at = read_clock(clock, wall + mono + jump, mono)
        doubted = clock.doubted_since_ns
        if doubted is not None:
            assert at == last + gap
            assert mono - doubted < 3_600 * S
        last = at


def stop_of(ends_in_s, age_s):
    intent = OrderIntent(
        client_order_id="smold-1-0",
        instrument=0,
        side=Side.SELL,
        type=OrderType.STOP_MARKET,
        lots=1000,
        purpose=Purpose.STOP,
        stop_ticks=190,
        reduce_only=True,
        oco_group="smold-1-0",
        ends_in_ns=None if ends_in_s is None else ends_in_s * S,
    )
    return OrderReport(intent=intent, venue_order_id="v1", age_ns=age_s * S)


@pytest.mark.parametrize(("ends_in_s", "age_s", "left_s"), [(900, 300, 600), (900, 5000, 0), (900, 0, 900), (None, 300, 3600)])
def test_a_positions_horizon_is_what_was_left_of_it_at_the_restart(ends_in_s, age_s, left_s):
    bench = Bench(positions=HELD, orders=(stop_of(ends_in_s, age_s),), parameters=EngineParameters())
    plan = bench.engine.executor.plan(0)
    assert plan.deadline_mono_ns - 1_000 * S == left_s * S


def test_a_stop_says_how_long_its_position_may_still_last():
    bench = holding()
    (stop,) = [intent for intent in bench.submitted() if intent.purpose is Purpose.STOP]
    assert stop.ends_in_ns == 3_600 * S, "nothing is known of this position: the default"
    assert instrument().quantity(stop.lots) == 1
