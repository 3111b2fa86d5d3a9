"""The evidence of the gate: what is measured, what is refused, and one whole small judgement that fails honestly."""

import json
import math

import msgspec
import numpy as np
import pytest

from smartmoney.adapters.model_store import ModelStore
from smartmoney.core.domain.entries import Entry, EntryKind, Tick, WarmUpEnded
from smartmoney.learning.drift import DriftReport
from smartmoney.learning.evaluation.untouched import ForecastScore
from smartmoney.learning.gate import judge
from smartmoney.learning.validation.gains import Gain
from smartmoney.runtime import gate_jobs
from smartmoney.runtime.backtest import BacktestJob, Recordings, run_job
from smartmoney.runtime.backtest_sources import record_built_in
from smartmoney.runtime.gate_jobs import HOUR_NS, Contest, GateRefused, costs_times, judge_contest, live_from, net_low, told
from smartmoney.runtime.models import pair_of
from smartmoney.runtime.shadow import Shadowed
from smartmoney.settings.build import fees_bps, strategy_digest
from smartmoney.settings.models import Settings
from smartmoney.simulation.order_latency import OrderLatency

QUIET = DriftReport(feature="x", psi=0.01, cuts=0, calibration_z=0.4, level="ok")


def silent(_what, _done, _of):
    pass


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    return record_built_in("first_run", 3, 1000, "spot", (), tmp_path_factory.mktemp("market"))


def job(recording, models, **changes):
    settings = Settings.model_validate({"market": "spot", **changes})
    return BacktestJob(name="day", source=Recordings(recording, "spot"), settings=settings, latency=OrderLatency(), models=str(models))


def contest(job, bundle, champion=None, shadows=()):
    return Contest(challenger=bundle, champion=champion, reference=None, jobs=(job,), shadows=shadows, settings=job.settings)


def shadowed(**changes):
    given = {
        "run_id": "r", "venue": "binance", "market": "spot", "instruments": ("BTC/USDT",), "hours": 25.0, "minutes": 1500, "parity": 0.0,
        "worst": "x", "decisions": 1, "signals": 0, "entries_lost": 0,
    }  # fmt: skip
    return Shadowed(**(given | changes))


def test_a_small_real_judgement_fails_and_says_by_which_numbers(recording, tmp_path, bundles):
    store = ModelStore(tmp_path / "models")
    challenger, champion = bundles.small_bundle(), bundles.small_bundle(name="second")
    for one in (challenger, champion):
        store.add(one)
    asked = contest(job(recording, tmp_path / "models"), challenger, champion)
    found = judge_contest(asked, silent)
    assert not found.gate.passed
    by_name = {one.name: one for one in found.verdict.conditions}
    assert (by_name["untouched_days"].measured, by_name["untouched_days"].holds) == (0.0, False)
    assert not by_name["shadow_hours"].holds
    assert math.isnan(by_name["feature_parity"].measured)
    assert by_name["states_kept"].holds  # both have the same stage
    # The same forests under another name: neither gains, and both make the same money.
    assert by_name["log_loss_gain"].measured == 0.0
    assert by_name["net_at_cost_x1"].holds
    assert by_name["net_at_cost_x2"].holds
    assert not by_name["no_drift"].holds
    assert "no_drift: not measured" in found.gate.text
    assert "untouched_days: 0, needed at least 5" in found.gate.text
    assert (found.gate.maker_bps, found.gate.taker_bps) == tuple(map(float, fees_bps(asked.settings)))
    assert found.gate.strategy == strategy_digest(asked.settings)
    assert found.gate.text.endswith(f"| judged with {found.gate.judged_with}")
    store.record_gate(challenger.hash, found.gate)
    assert store.load(challenger.hash).gates == (found.gate,)
    assert not store.load(challenger.hash).passed_for("binance", "spot", "BTC/USDT")
    json.dumps(msgspec.to_builtins(found))


def test_a_shadow_of_another_market_is_refused(recording, tmp_path, bundles):
    one = bundles.small_bundle()
    for wrong in ({"market": "usdm"}, {"venue": "sim"}, {"instruments": ("ETH/USDT",)}):
        with pytest.raises(GateRefused, match="is no shadow of binance spot BTC/USDT"):
            judge_contest(contest(job(recording, tmp_path), one, shadows=(shadowed(**wrong),)), silent)


def test_evidence_that_meets_everything_passes_and_opens_the_door(recording, tmp_path, bundles):
    """Every number is put together by the real function; money and forecasts are made up, as days of them would be needed."""
    one = bundles.small_bundle()
    flat = run_job(job(recording, tmp_path, model="prior"))
    rising = _rising(flat, per_hour=3.0)
    scores = ForecastScore(
        gain=Gain(0.01, 0.002, 0.02, 0.001, 40_000, 60), days=6, hours=140.0, ece=0.02, log_loss=0.66, base_rate_log_loss=0.69,
        logistic_log_loss=math.nan, regime_loss={"neutral": 0.66}, champion_ece=0.02, champion_regime_loss={"neutral": 0.67},
    )  # fmt: skip
    given = contest(job(recording, tmp_path), one, bundles.small_bundle(name="second"), (shadowed(hours=13.0), shadowed(hours=12.0)))
    evidence = gate_jobs._evidence(given, scores, QUIET, ([rising], [rising]), ([flat], [flat]), is_kept=True)
    verdict = judge(evidence)
    assert verdict.passed, verdict.text
    assert evidence.shadow_hours == 25.0
    assert told(verdict).startswith("held: ")
    worse = gate_jobs._evidence(given, scores, QUIET, ([flat], [flat]), ([rising], [rising]), is_kept=True)
    assert {bad.name for bad in judge(worse).failed} == {"net_low_at_cost_x1", "net_at_cost_x1", "net_at_cost_x2"}


def _rising(result, per_hour, hours=120):
    rng = np.random.default_rng(4)
    equity = 10_000.0 + np.cumsum(per_hour + rng.standard_normal(hours))
    points = tuple((k * HOUR_NS, float(value)) for k, value in enumerate(equity))
    net = msgspec.structs.replace(result.result, net_return=float(equity[-1] / 10_000.0 - 1.0))
    return msgspec.structs.replace(result, equity=points, result=net)


def test_the_lower_end_of_the_net_result_needs_hours_and_is_below_the_result(recording, tmp_path):
    flat = run_job(job(recording, tmp_path, model="prior"))
    assert math.isnan(net_low([flat], 10_000.0))
    rising = _rising(flat, per_hour=0.5)
    assert 0.0 < net_low([rising], 10_000.0) < rising.result.net_return
    falling = _rising(flat, per_hour=-0.5)
    assert net_low([falling], 10_000.0) < falling.result.net_return < 0.0


@pytest.mark.parametrize(("maker", "taker", "expected"), [(2, 5, (4, 10)), (-1, 5, (-1, 10))])
def test_costs_are_multiplied_and_rebates_are_not(maker, taker, expected):
    settings = Settings.model_validate({"fees": {"maker_bps": maker, "taker_bps": taker}})
    assert fees_bps(costs_times(settings, 2)) == expected
    assert fees_bps(costs_times(settings, 1)) == (maker, taker)


def test_a_gate_is_of_a_pair_however_a_source_names_it():
    assert pair_of("BTC/USDT:USDT") == pair_of("BTC/USDT") == "BTC/USDT"


def test_what_warmed_a_run_is_not_its_day():
    entries = [
        Entry(seq=k, kind=EntryKind.EVENT, ts_wall_ns=k * 10, ts_mono_ns=k, payload=payload)
        for k, payload in enumerate((Tick(), WarmUpEnded(), Tick()), 1)
    ]
    assert live_from(entries) == 20
    assert live_from(entries[:1]) == 0
