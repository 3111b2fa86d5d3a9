"""The engine entry by entry: what it orders before and after it may, how it halts, and that nothing but entries moves it."""

from decimal import Decimal

import msgspec
import pytest

from smartmoney.core.domain.commands import (
    Notify,
    RecordEquity,
    RecordHalt,
    RecordRefusal,
    RecordResume,
    RecordScale,
    RequestAccount,
    RequestSnapshot,
)
from smartmoney.core.domain.entries import (
    AccountReported,
    EntryKind,
    FeedConnected,
    FeedDisconnected,
    FeedOverflowed,
    FlattenRequested,
    HaltRequested,
    HaltState,
    ModelActivated,
    ResumeRequested,
    RunStopping,
    ScaleRequested,
    ScaleState,
    SnapshotFailed,
    WarmUpEnded,
)
from smartmoney.core.domain.orders import OrderIntent, OrderReport, OrderType, Purpose, Side
from smartmoney.core.domain.signals import FeedTrust, RefusalCode
from smartmoney.core.engine.parameters import EngineParameters, decode_parameters, encode_parameters
from smartmoney.core.risk.parameters import RiskLimits

from .bench import Bench, depth, long

HELD = (long("1", "100.5"),)


def holding(**more):
    """An engine that holds one unit, bought at 100.5, in a synced book at 100 to 101; its equity was 1,100 at the peak."""
    bench = Bench(positions=HELD, **more)
    bench.sync()
    bench.reconcile()
    bench.live_for(0.5)
    return bench


def of(kind, commands):
    return [command for command in commands if isinstance(command, kind)]


def index_of(kind, commands):
    return next(number for number, command in enumerate(commands) if isinstance(command, kind))


def test_a_run_begins_by_asking_for_the_account_and_decides_nothing_before_the_answer():
    bench = Bench()
    assert bench.kinds() == ["RequestAccount"]
    bench.sync()
    commands = bench.live_for(3)
    assert bench.engine.counters.decisions == 0
    assert not of(RecordRefusal, commands)
    bench.reconcile()
    bench.live_for(1)
    assert bench.engine.counters.decisions > 0


def test_before_features_are_warm_each_decision_is_refused_as_not_warm_and_counted():
    bench = Bench()
    bench.sync()
    bench.reconcile()
    commands = bench.live_for(5)
    assert {command.refusal.code for command in of(RecordRefusal, commands)} == {RefusalCode.NOT_WARM}
    counters = bench.engine.counters
    assert counters.refusals == {"not_warm": counters.decisions}
    assert bench.engine.view().instruments[0].last_decision.code == "not_warm"


def test_decisions_come_each_update_interval_of_the_monotonic_clock():
    bench = Bench()
    bench.sync()
    bench.reconcile()
    bench.live_for(10)
    assert bench.engine.counters.decisions == 10
    bench.tick(60)
    assert bench.engine.counters.decisions == 11, "a late tick is one decision, not sixty"
    bench.live_for(5)
    assert bench.engine.counters.decisions in {15, 16}


def test_a_tick_that_is_a_little_early_does_not_skip_a_decision():
    bench = Bench()
    bench.sync()
    bench.reconcile()
    bench.live_for(0.1)
    before = bench.engine.counters.decisions
    for _ in range(3):
        bench.tick(0.9985)
    assert bench.engine.counters.decisions == before + 3


def test_the_time_to_sync_is_measured_from_the_end_of_the_warm_start():
    bench = Bench()
    bench.tick(1.5)
    assert bench.engine.synced_after_ns is None
    bench.sync()
    bench.touch()
    bench.tick(0.5)
    assert bench.engine.synced_after_ns == 2_000_000_000


def test_while_warming_nothing_is_asked_of_the_past():
    bench = Bench(is_live=False)
    before = bench.engine.digest
    assert bench.frame(depth(9, 10)) == []
    bench.sync()
    assert bench.live_for(3) == []
    assert bench.frame(depth(900, 910)) == [], "not even a snapshot for a gap"
    assert bench.engine.digest == before
    assert bench.engine.counters.decisions == 0
    bench.say(WarmUpEnded())
    view = bench.engine.view()
    assert (view.frames, view.gaps, view.resyncs) == (0, 0, 0)
    assert view.instruments[0].trust.state is FeedTrust.RESYNCING
    assert len(of(RequestSnapshot, bench.frame(depth(911, 912)))) == 1


def test_equity_and_its_peak_are_recorded_when_the_peak_rises_and_each_ten_seconds():
    bench = holding()
    assert of(RecordEquity, bench.commands)[-1] == RecordEquity(equity=Decimal(1100), peak=Decimal(1100))
    assert of(RecordEquity, bench.live_for(5)) == []
    bench.touch("100.5", "101.5")
    (record,) = of(RecordEquity, bench.tick())
    assert record.peak == Decimal("1100.5")
    bench.touch("100.0", "101.0")
    records = of(RecordEquity, bench.live_for(20))
    assert len(records) == 2
    assert all(record == RecordEquity(equity=Decimal(1100), peak=Decimal("1100.5")) for record in records)


def test_a_drawdown_that_holds_halts_durably_before_it_flattens():
    bench = holding()
    bench.touch("40.0", "41.0")
    assert of(RecordHalt, bench.tick()) == [], "it must hold for a moment"
    commands = bench.live_for(0.5)
    (record,) = of(RecordHalt, commands)
    assert record.reason.startswith("drawdown")
    assert (record.equity, record.peak, record.epoch) == (Decimal(1040), Decimal(1100), 1)
    (intent,) = bench.submitted(commands)
    assert (intent.purpose, intent.side, intent.lots, intent.reduce_only) == (Purpose.FLATTEN, Side.SELL, 1000, True)
    assert index_of(RecordHalt, commands) < commands.index(next(c for c in commands if type(c).__name__ == "SubmitOrder"))
    assert of(Notify, commands)[0].severity == "critical"


def test_a_breach_that_passes_at_once_halts_nothing():
    bench = holding()
    bench.touch("40.0", "41.0")
    bench.tick()
    bench.touch("100.0", "101.0")
    assert of(RecordHalt, bench.live_for(3)) == []


def test_a_halt_is_sticky_and_its_flatten_goes_on_until_nothing_is_held():
    bench = holding()
    bench.touch("40.0", "41.0")
    commands = bench.live_for(0.5)
    (intent,) = bench.submitted(commands)
    bench.fill(intent, "40.0")
    bench.touch("100.0", "101.0")
    commands = bench.live_for(30)
    view = bench.engine.view()
    assert view.is_flat
    assert view.account.halted
    assert of(RecordHalt, commands) == []
    assert bench.submitted(commands) == []
    assert bench.say(HaltRequested(reason="again")) == []


def test_resume_starts_a_new_epoch_from_the_equity_of_now():
    bench = holding()
    bench.say(HaltRequested(reason="lunch"))
    bench.touch("95.0", "96.0")
    (record,) = of(RecordResume, bench.say(ResumeRequested(reason="back")))
    assert (record.epoch, record.old_peak, record.new_peak) == (2, Decimal(1100), Decimal(1095))
    assert of(RecordHalt, bench.live_for(3)) == []
    assert bench.engine.view().account.high_water_mark == Decimal(1095)


def test_resume_is_refused_when_not_halted_and_without_a_reason():
    bench = holding()
    assert bench.kinds(bench.say(ResumeRequested(reason="why not"))) == ["Notify"]
    bench.say(HaltRequested(reason="lunch"))
    assert bench.kinds(bench.say(ResumeRequested(reason=" "))) == ["Notify"]
    assert bench.engine.view().account.halted


def test_an_operators_halt_keeps_the_position_and_its_protection():
    bench = holding()
    commands = bench.say(HaltRequested(reason="lunch"))
    assert bench.kinds(commands) == ["RecordHalt", "Notify"]
    assert commands[0].reason == "lunch"
    assert bench.cancelled(commands) == []
    assert bench.submitted(commands) == []


def test_flatten_on_request_halts_first_and_works_while_halted_already():
    bench = holding()
    commands = bench.say(FlattenRequested(reason="weekend"))
    assert bench.kinds(commands)[0] == "RecordHalt"
    assert commands[0].reason == "flatten: weekend"
    assert [intent.purpose for intent in bench.submitted(commands)] == [Purpose.FLATTEN]
    halted = holding()
    halted.say(HaltRequested(reason="lunch"))
    commands = halted.say(FlattenRequested(reason="weekend"))
    assert [intent.purpose for intent in halted.submitted(commands)] == [Purpose.FLATTEN]


@pytest.mark.parametrize("reason", ["drawdown: equity 1 is 0.05 or more below its peak 2", "flatten: weekend"])
def test_a_restart_in_the_middle_of_a_flatten_goes_on_closing(reason):
    bench = Bench(positions=HELD, halt=HaltState(halted=True, reason=reason, epoch=3, peak=Decimal(1100)))
    bench.sync()
    bench.touch()
    commands = bench.reconcile() + bench.live_for(0.3)
    *protection, last = bench.submitted(commands)
    assert (last.purpose, last.lots) == (Purpose.FLATTEN, 1000)
    assert set(bench.cancelled(commands)) == {intent.client_order_id for intent in protection}, "nothing else may sell too"
    assert of(RecordHalt, bench.commands) == []
    assert bench.engine.view().account.halted


def test_a_restart_while_halted_by_an_operator_keeps_the_position():
    bench = Bench(positions=HELD, halt=HaltState(halted=True, reason="lunch", epoch=3, peak=Decimal(1100)))
    bench.sync()
    bench.reconcile()
    commands = bench.live_for(5)
    assert all(intent.purpose in {Purpose.STOP, Purpose.TARGET} for intent in bench.submitted(commands))
    assert bench.engine.view().account.halted
    assert "still halted: lunch" in [notice.text for notice in of(Notify, bench.commands)]


def test_the_peak_of_an_earlier_run_counts():
    bench = Bench(positions=HELD, halt=HaltState(peak=Decimal(2000)))
    bench.sync()
    bench.reconcile()
    (record,) = of(RecordHalt, bench.live_for(1))
    assert record.peak == Decimal(2000)


def test_blindness_with_a_position_halts_after_its_grace_without_an_order_into_the_dark():
    bench = holding()
    bench.say(FeedDisconnected(connection=1, instruments=(0,), reason="gone"))
    commands = [command for _ in range(290) for command in bench.tick()]
    assert of(RecordHalt, commands) == []
    assert bench.engine.view().account.equity == Decimal(1100), "the last mark serves within its grace"
    commands = [command for _ in range(20) for command in bench.tick()]
    (record,) = of(RecordHalt, commands)
    assert record.equity is None
    assert bench.submitted(commands) == []


def test_blindness_without_a_position_is_nothing():
    bench = Bench()
    bench.sync()
    bench.reconcile()
    bench.say(FeedDisconnected(connection=1, instruments=(0,), reason="gone"))
    commands = [command for _ in range(600) for command in bench.tick()]
    assert of(RecordHalt, commands) == []
    assert bench.engine.view().account.equity == Decimal(1000)


def test_equity_that_cannot_be_computed_cannot_be_resumed_on():
    bench = holding(parameters=EngineParameters(limits=RiskLimits(mark_grace_s=1.0)))
    bench.say(FeedDisconnected(connection=1, instruments=(0,), reason="gone"))
    for _ in range(20):
        bench.tick()
    assert bench.engine.view().account.halted
    assert bench.kinds(bench.say(ResumeRequested(reason="hope"))) == ["Notify"]
    assert bench.engine.view().account.halted


def test_an_entry_order_of_an_earlier_run_is_cancelled_and_a_stop_adopted():
    def report(name, purpose, kind, **more):
        intent = OrderIntent(
            client_order_id=name,
            instrument=0,
            side=Side.SELL,
            type=kind,
            lots=1000,
            purpose=purpose,
            reduce_only=purpose is Purpose.STOP,
            **more,
        )
        return OrderReport(intent=intent, venue_order_id=f"v-{name}")

    entry = msgspec.structs.replace(report("old-entry", Purpose.ENTRY, OrderType.LIMIT, price_ticks=190), venue_order_id="v1")
    entry = msgspec.structs.replace(entry, intent=msgspec.structs.replace(entry.intent, side=Side.BUY))
    stop = report("old-stop", Purpose.STOP, OrderType.STOP_MARKET, stop_ticks=180)
    bench = Bench(positions=HELD, orders=(entry, stop))
    assert bench.cancelled() == ["old-entry"]
    bench.sync()
    bench.reconcile(orders=(entry, stop))
    commands = bench.live_for(2)
    assert "old-stop" not in bench.cancelled(commands)
    assert [intent for intent in bench.submitted(commands) if intent.purpose is Purpose.STOP] == []
    assert bench.engine.view().instruments[0].stop == Decimal("90.0")


def test_a_position_that_differs_at_the_start_is_asked_for_again_before_anything_is_ordered():
    bench = Bench(positions=HELD)
    bench.sync()
    commands = bench.say(AccountReported(orders=(), positions=(long("5", "100"),)))
    assert [command for command in commands if isinstance(command, RequestAccount)]
    assert not bench.engine.is_reconciled
    bench.say(AccountReported(orders=(), positions=HELD))
    assert bench.engine.is_reconciled
    assert not bench.engine.view().account.halted
    other = Bench(positions=HELD)
    other.sync()
    for _ in range(2):
        other.say(AccountReported(orders=(), positions=(long("5", "100"),)))
    assert other.engine.is_reconciled
    assert other.engine.view().account.halted


def test_a_position_that_differs_from_the_venues_halts():
    bench = Bench(positions=HELD)
    bench.sync()
    for _ in range(3):
        bench.say(AccountReported(orders=(), positions=(long("5", "100"),)))
        bench.live_for(6)
    assert bench.engine.view().account.halted


def test_after_stopping_nothing_is_decided_any_more():
    bench = Bench()
    bench.sync()
    bench.reconcile()
    bench.live_for(2)
    before = bench.engine.counters.decisions
    bench.say(RunStopping(reason="told"))
    bench.live_for(5)
    assert bench.engine.counters.decisions == before


def test_events_of_the_feed_and_the_model_are_understood():
    bench = Bench()
    assert bench.say(FeedConnected(connection=1, instruments=(0,))) == []
    bench.sync()
    assert len(of(RequestSnapshot, bench.say(FeedOverflowed(dropped=7)))) == 1
    assert bench.say(SnapshotFailed(instrument=0, reason="502")) == []
    assert of(RequestSnapshot, bench.tick(2))
    assert bench.kinds(bench.say(ModelActivated(model="untrained-prior-1"))) == ["Notify"]


def test_every_command_is_in_the_digest_and_only_entries_move_it():
    def lived(**more):
        bench = Bench(positions=HELD, **more)
        bench.sync()
        bench.reconcile()
        bench.live_for(3)
        return bench

    one, two = lived(), lived()
    assert one.engine.digest == two.engine.digest
    assert one.commands == two.commands
    one.engine.view()
    assert one.engine.digest == two.engine.digest
    one.say(HaltRequested(reason="x"))
    two.say(HaltRequested(reason="y"))
    assert one.engine.digest != two.engine.digest
    assert lived(cash="1001").engine.digest != lived().engine.digest


def test_later_entries_change_nothing_that_was_said_before():
    short, long_lived = holding(), holding()
    assert short.engine.digest == long_lived.engine.digest
    at = len(long_lived.commands)
    long_lived.touch("40.0", "41.0")
    long_lived.live_for(3)
    assert long_lived.commands[:at] == short.commands


def test_live_mode_refuses_the_untrained_prior_whatever_it_says():
    bench = Bench(mode="live")
    bench.sync()
    bench.reconcile()
    bench.live_for(5)
    assert bench.engine.counters.refusals.keys() <= {"not_warm", "model_untrained"}
    assert bench.engine.counters.signals == 0


def test_parameters_travel_through_their_bytes_unchanged():
    parameters = EngineParameters(limits=RiskLimits(max_drawdown=Decimal("0.031")), strategy_config={"symbol": "BTC/USDT", "x": 1.5})
    assert decode_parameters(encode_parameters(parameters)) == parameters
    assert encode_parameters(decode_parameters(encode_parameters(parameters))) == encode_parameters(parameters)


def test_garbage_frames_leave_a_running_engine_running():
    bench = holding()
    for raw in (b"", b"\x00\x01", b"[" * 50_000, b'{"e":"depthUpdate"', b'{"lastUpdateId":1}', b"null", b'"text"', b"1e999"):
        bench.frame(raw)
        bench.enter(EntryKind.SNAPSHOT, frame=raw, instrument=0)
    assert bench.engine.view().instruments[0].trust.state is FeedTrust.SUSPECT
    commands = bench.live_for(8)
    assert bench.engine.view().instruments[0].trust.state is FeedTrust.SYNCED
    assert of(RecordHalt, commands) == []


def test_the_question_about_the_account_is_asked_again_until_it_is_answered():
    bench = Bench()
    commands = [command for _ in range(350) for command in bench.tick()]
    assert len(of(RequestAccount, commands)) == 3
    bench.reconcile()
    commands = [command for _ in range(350) for command in bench.tick()]
    assert of(RequestAccount, commands) == []


def test_a_fill_shows_in_equity_at_once_and_the_kill_switch_sees_it():
    bench = holding()
    (intent,) = (
        item for item in bench.submitted(bench.say(FlattenRequested(reason="x")) + bench.live_for(0.1)) if item.purpose is Purpose.FLATTEN
    )
    commands = bench.fill(intent, "50.0")
    view = bench.engine.view()
    assert view.account.equity == Decimal("1049.99")
    assert view.account.drawdown == pytest.approx(0.0455, abs=0.001)
    assert bench.submitted(commands) == []


def test_news_of_an_order_that_is_no_fill_leaves_what_the_kill_switch_saw():
    bench = holding()
    intent = bench.submitted()[-1]
    bench.touch()
    assert bench.engine.has_looked
    bench.accept(intent)
    assert bench.engine.has_looked
    bench.say(FeedConnected(connection=1, instruments=(0,)))
    assert not bench.engine.has_looked, "what else happens may have changed what is known of the books"
    bench.accept(intent)
    assert not bench.engine.has_looked, "it was not looked at before the news either"
    bench.touch()
    bench.say(HaltRequested(reason="lunch"))
    bench.accept(intent)
    assert not bench.engine.has_looked


def test_entries_are_scaled_by_an_entry_that_is_recorded_shown_and_survives_a_restart():
    bench = holding()
    commands = bench.say(ScaleRequested(factor=0.5, reason="drift: made up"))
    assert of(RecordScale, commands) == [RecordScale(factor=0.5, reason="drift: made up")]
    assert [said.severity for said in of(Notify, commands)] == ["warning"]
    account = bench.engine.view().account
    assert (account.size_factor, account.size_reason) == (0.5, "drift: made up")
    assert not bench.engine.money.state.halted
    assert bench.say(ScaleRequested(factor=0.5, reason="still")) == [], "nothing changes, nothing is recorded"
    assert [said.severity for said in of(Notify, bench.say(ScaleRequested(factor=1.0, reason="over")))] == ["info"]
    again = Bench(scale=ScaleState(factor=0.25, reason="before"))
    assert again.engine.view().account.size_factor == 0.25


@pytest.mark.parametrize("factor", [float("nan"), -0.1, 1.5])
def test_a_scale_that_is_no_share_enters_nothing(factor):
    bench = holding()
    assert of(RecordScale, bench.say(ScaleRequested(factor=factor, reason="x")))[0].factor == 0.0
