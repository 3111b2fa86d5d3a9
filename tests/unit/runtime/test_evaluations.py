"""Marks and periods by hand, sources by content, and a worker that refuses what it cannot vouch for."""

import pickle

import msgspec
import numpy as np
import pytest

from smartmoney.adapters.trial_log import Outcome
from smartmoney.core.domain.orders import Side
from smartmoney.runtime.backtest import BacktestJob, BacktestResult, BuiltIn, CapturedRun, JobResult, Recordings
from smartmoney.runtime.evaluations import Evaluation, Marks, code_hash, content_of, marks_of, past_of, strategy_hash
from smartmoney.runtime.fill_costs import CostShares
from smartmoney.runtime.trials import period_returns
from smartmoney.runtime.tuning_worker import EvaluationRefused, evaluate
from smartmoney.settings.load import load_settings
from smartmoney.simulation.order_latency import OrderLatency
from tests.fills import cost_of

S = 1_000_000_000
START = 1_700_000_000 * S


def job_result(seconds, equity, net=0.0, fills=()):
    nothing = {name: 0 for name in ("frames", "decisions", "signals", "orders", "fills")} | {
        name: 0.0 for name in ("frames_per_s", "turnover", "fees", "net_return", "max_drawdown")
    }
    costs = CostShares(delay=0.0, spread=0.0, impact=0.0, fee=0.0)
    rest = {"refusals": {}, "fills_by": {}, "cost_bps": costs, "halted": False, "halt_reason": "", "digest": "d", "assumptions": ("a",)}
    result = BacktestResult(seconds=seconds, net_pnl=net, **nothing, **rest)
    points = tuple((START + int(at * S), value) for at, value in equity)
    return JobResult(name="day", result=result, equity=points, fills=tuple(fill(at) for at in fills))


def fill(at):
    return cost_of(Side.BUY, 1, 1, wall_ns=START + int(at * S))


def test_equity_stands_until_it_is_journaled_again_and_the_end_is_exact():
    marks = marks_of(job_result(45.0, [(0, 100.0), (12, 103.0), (19, 102.0), (31, 110.0)], net=7.0, fills=(0, 11, 12, 44)), 100.0)
    assert list(marks.equity) == [100.0, 102.0, 102.0, 107.0]
    assert list(marks.fills) == [1, 2, 0, 1]
    assert (marks.first_wall_ns, marks.outcome.assumptions) == (START, ("a",))


def test_a_stretch_without_a_mark_is_refused():
    for seconds, equity in ((9.0, [(0, 100.0)]), (60.0, [])):
        with pytest.raises(EvaluationRefused, match="record 10 s at least"):
            marks_of(job_result(seconds, equity), 100.0)


@pytest.mark.parametrize(
    ("size", "returns"),
    [(1, [0.1, 0.0, -0.1, 1 / 99, 0.0]), (2, [0.1, 100 / 110 - 1]), (9, [0.0])],
)
def test_periods_compound_to_the_whole_and_the_last_takes_what_is_left(size, returns):
    equity = np.array([110.0, 110.0, 99.0, 100.0, 100.0])
    outcome = Outcome(net=0.0, max_drawdown=0.0, orders=0, fills=0, halted=False, digest="")
    found = period_returns(Marks(first_wall_ns=0, cash=100.0, equity=equity, fills=np.zeros(5, np.int64), outcome=outcome), size)
    assert found == pytest.approx(returns)
    assert np.prod(1 + found) == pytest.approx(1.0)


def job(source, settings):
    return BacktestJob(name="day", source=source, settings=settings, latency=OrderLatency())


def test_a_past_is_known_by_content_wherever_it_lies(tmp_path):
    settings = load_settings()
    for folder, text in (("a", b"one"), ("b", b"one"), ("c", b"two")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "day.gz").write_bytes(text)
    jobs = [
        job(Recordings((str(tmp_path / folder / "day.gz"),), market), settings)
        for folder, market in (("a", "spot"), ("b", "spot"), ("c", "spot"), ("a", "usdm"))
    ]
    a, b, c, usdm = (past_of([one], [content_of(one.source)]) for one in jobs)
    assert a == b
    assert len({a, c, usdm}) == 3
    both = [jobs[0], jobs[2]]
    contents = [content_of(one.source) for one in both]
    assert past_of(both, contents) == past_of(both[::-1], contents[::-1])
    assert content_of(CapturedRun(str(tmp_path / "a")))[0][1] == content_of(jobs[0].source)[0][1]


def test_synthetic_markets_differ_by_seed_and_length():
    one = BuiltIn("no_information", 1, 60, "spot")
    changed = [
        msgspec.structs.replace(one, **change) for change in ({"seed": 2}, {"seconds": 61}, {"market": "usdm"}, {"scenario": "calm"})
    ]
    assert len({content_of(source)[0][1] for source in (one, *changed)}) == 5
    assert content_of(one) == content_of(msgspec.structs.replace(one))


def test_a_changed_strategy_of_the_users_own_is_another(tmp_path):
    (tmp_path / "my.yaml").write_text("mode: paper\nstrategy_class: mine:Mine\n")
    (tmp_path / "mine.py").write_text("class Mine: pass\n")
    settings = load_settings(tmp_path / "my.yaml")
    before = strategy_hash(settings)
    (tmp_path / "mine.py").write_text("class Mine: x = 1\n")
    assert before != strategy_hash(settings)
    assert strategy_hash(load_settings()) == ""


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"code": "other"}, "another build of smartmoney"),
        ({"content": (("day.gz", "other"),)}, r"has no day\.gz; share the folder"),
        ({"strategy": "other"}, "share the configuration's folder"),
    ],
)
def test_a_worker_refuses_what_it_cannot_vouch_for(tmp_path, change, says):
    (tmp_path / "day.gz").write_bytes(b"")
    source = Recordings((str(tmp_path / "day.gz"),), "spot")
    asked = Evaluation(
        job=job(source, load_settings(overrides={"model": "prior"})),
        content=content_of(source),
        code=code_hash(),
        strategy="",
        model="untrained-prior-1",
    )
    with pytest.raises(EvaluationRefused, match=says):
        evaluate(pickle.dumps(msgspec.structs.replace(asked, **change)))
    with pytest.raises(EvaluationRefused, match="no depth or trade frames"):
        evaluate(pickle.dumps(asked))
    (tmp_path / "day.gz").unlink()
    with pytest.raises(EvaluationRefused, match=r"cannot read day .*every machine has that path"):
        evaluate(pickle.dumps(asked))
