"""The plan of faults: scope, window, count and chance, and that it decides the same whenever it is asked the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartmoney.simulation.fault_kinds import KINDS, Point
from smartmoney.simulation.faults import Fault, FaultPlan, Where

S = 1_000_000_000
HERE = Where(market="spot", symbol="BTCUSDT", connection=1, stream="btcusdt@depth@100ms")


def acts(plan, times=1, where=HERE, now_ns=S):
    return [bool(plan.acting(Point.FRAME, now_ns, where)) for _ in range(times)]


def test_an_empty_plan_stands_nowhere():
    plan = FaultPlan()
    assert not any(plan.stands(point) for point in Point)
    assert plan.acting(Point.FRAME, 0, HERE) == []


@pytest.mark.parametrize(
    ("scope", "other"),
    [
        ({"market": "spot"}, {"market": "usdm"}),
        ({"symbol": "BTCUSDT"}, {"symbol": "ETHUSDT"}),
        ({"connection": 1}, {"connection": 2}),
        ({"stream": "*@depth*"}, {"stream": "btcusdt@trade"}),
        ({"stream": "btcusdt@*|ethusdt@trade"}, {"stream": "ethusdt@depth"}),
    ],
)
def test_a_scope_holds_what_it_names_only(scope, other):
    plan = FaultPlan([Fault(kind="silence", **scope)])
    assert acts(plan) == [True]
    values = {"market": "spot", "symbol": "BTCUSDT", "connection": 1, "stream": "btcusdt@depth@100ms", **other}
    assert acts(plan, where=Where(**values)) == [False]


def test_a_window_is_counted_from_the_beginning_and_open_at_its_end():
    plan = FaultPlan([Fault(kind="silence", after_s=2.0, for_s=3.0)])
    plan.begin(100 * S)
    assert [acts(plan, now_ns=100 * S + n * S)[0] for n in range(7)] == [False, False, True, True, True, False, False]


def test_an_absolute_time_and_a_late_addition():
    plan = FaultPlan()
    plan.begin(100 * S)
    plan.add(Fault(kind="silence", at_ms=103_000, for_s=1.0), 50 * S)
    plan.add(Fault(kind="silence", after_s=10.0, for_s=1.0), 100 * S)
    assert [n for n in range(100, 120) if acts(plan, now_ns=n * S)[0]] == [103, 110]


def test_skip_every_and_count():
    plan = FaultPlan([Fault(kind="gap", skip=2, every=3, count=2)])
    assert acts(plan, 12) == [n in {2, 5} for n in range(12)]
    (report,) = plan.reports(S)
    assert (report.matched, report.acted) == (12, 2)


def test_a_kind_brings_its_own_count_unless_the_fault_has_one():
    where = Where(market="spot", symbol="BTCUSDT", connection=1, stream="btcusdt@trade")
    assert sum(acts(FaultPlan([Fault(kind="price_spike")]), 5, where)) == 1
    assert sum(acts(FaultPlan([Fault(kind="price_spike", count=0)]), 5, where)) == 5


@given(st.integers(0, 1 << 40), st.floats(0.05, 0.95), st.lists(st.integers(1, 3), max_size=40))
def test_chance_falls_to_each_connection_alike_whoever_else_is_there(seed, probability, others):
    def decisions(order):
        plan = FaultPlan([Fault(kind="gap", probability=probability)], seed)
        decided = {}
        for connection in order:
            where = Where(market="spot", symbol="BTCUSDT", connection=connection, stream="x@depth")
            decided.setdefault(connection, []).append(bool(plan.acting(Point.FRAME, S, where)))
        return decided

    alone = decisions([1] * 20)[1]
    assert decisions([*others, *[1] * 20])[1][:20] == alone
    assert decisions([1] * 20) == {1: alone}


def test_chance_has_the_asked_share_and_depends_on_seed_and_name():
    def pattern(seed, name):
        return acts(FaultPlan([Fault(kind="gap", name=name, probability=0.25)], seed), 2000)

    assert 400 < sum(pattern(1, "a")) < 600
    assert pattern(1, "a") == pattern(1, "a")
    assert pattern(1, "a") != pattern(2, "a")
    assert pattern(1, "a") != pattern(1, "b")


def test_faults_are_named_and_taken_away_by_name():
    plan = FaultPlan([Fault(kind="gap"), Fault(kind="silence", name="quiet")])
    assert [report.fault.name for report in plan.reports(0)] == ["gap-1", "quiet"]
    with pytest.raises(ValueError, match="quiet"):
        plan.add(Fault(kind="gap", name="quiet"), 0)
    assert plan.remove("quiet")
    assert not plan.remove("quiet")
    assert [act.fault.name for act in plan.acting(Point.FRAME, S, HERE)] == ["gap-1"]


def test_a_forgotten_connection_begins_anew():
    plan = FaultPlan([Fault(kind="gap", skip=1, every=100)])
    assert acts(plan, 2) == [False, True]
    plan.forget_connection("spot", 1)
    assert acts(plan, 2) == [False, True]


def test_what_only_refuses_is_no_match():
    plan = FaultPlan([Fault(kind="reject_stop")])
    where = Where(market="spot", call="POST order")
    assert plan.acting(Point.REQUEST, S, where, lambda _fault: False) == []
    assert plan.reports(S)[0].matched == 0
    assert len(plan.acting(Point.REQUEST, S, where, lambda _fault: True)) == 1
    assert plan.acting(Point.REQUEST, S, Where(market="spot", call="GET depth")) == []


def test_noise_is_of_the_asked_size_and_the_same_for_the_same_act():
    def noises(seed):
        plan = FaultPlan([Fault(kind="garbage")], seed)
        return [plan.noise(plan.acting(Point.FRAME, S, HERE)[0], 1000) for _ in range(2)]

    assert [len(noise) for noise in noises(3)] == [1000, 1000]
    assert noises(3) == noises(3)
    assert len({*noises(3), *noises(4)}) == 4


def test_a_count_of_frames_is_each_connections_own_and_one_of_connections_is_not():
    there = Where(market="spot", symbol="BTCUSDT", connection=2, stream="btcusdt@depth@100ms")
    plan = FaultPlan([Fault(kind="gap", count=1)])
    assert (acts(plan, 2), acts(plan, 2, there)) == ([True, False], [True, False])
    storm = FaultPlan([Fault(kind="disconnect", count=1)])
    assert [storm.meets("disconnect-1", where) for where in (HERE, there)] == [True, False]
    assert not storm.reports(S)[0].is_active


def test_every_kind_stands_somewhere_and_its_defaults_lie_in_their_ranges():
    for name, kind in KINDS.items():
        assert kind.points, name
        assert kind.meaning.endswith("."), name
        for key, parameter in kind.parameters.items():
            assert parameter.meaning.endswith("."), (name, key)
            if parameter.choices:
                assert parameter.default in parameter.choices
            elif isinstance(parameter.default, (int, float)) and not isinstance(parameter.default, bool):
                assert parameter.least <= parameter.default <= parameter.most
