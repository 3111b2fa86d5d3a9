"""The one summary of a run: its keys, and JSON that every reader takes."""

import json

import msgspec

from smartmoney.cli import operate
from smartmoney.core.domain.signals import Regime
from smartmoney.core.engine.view import RegimeView
from smartmoney.runtime.latency import SAMPLES_MAX, LatencyRecorder
from smartmoney.runtime.summary import rss_mb, summarise

from .test_loop import Running

KEYS = {
    *("run_id", "mode", "venue", "build", "config_hash", "model", "uptime_s", "synced_after_s", "frames", "trades", "gaps", "resyncs"),
    *("feed_trust", "decisions", "signals", "refusals", "orders", "fills", "position", "equity", "high_water_mark", "drawdown"),
    *("halted", "digest", "rss_mb", "loop_lag_p99_ms"),
}


def strict(value):
    def refuse(name):
        raise AssertionError(name)

    return json.loads(json.dumps(msgspec.to_builtins(value)), parse_constant=refuse)


def test_a_run_that_has_seen_nothing_has_every_key_and_no_invented_number():
    found = strict(summarise(Running().engine.view()))
    assert set(found) >= KEYS
    assert (found["feed_trust"], found["synced_after_s"], found["equity"]) == ("resyncing", None, None)
    assert found["instruments"]["BTC/USDT"]["bid"] is None
    assert found["position"] == 0.0


def test_a_regime_is_told_whole_posterior_age_entropy_and_whether_it_is_stable():
    view = Running().engine.view()
    for posterior, steady in (((0.05, 0.82, 0.05, 0.04, 0.04), True), ((0.1, 0.6, 0.1, 0.1, 0.1), False)):
        shares = dict(zip([one.value for one in Regime], posterior, strict=True))
        reading = RegimeView(label=Regime.DISTRIBUTION, probability=posterior[1], posterior=shares, age_s=27.0, entropy=0.7)
        seen = msgspec.structs.replace(view.instruments[0], regime=reading)
        told = strict(summarise(msgspec.structs.replace(view, instruments=(seen,))))["instruments"]["BTC/USDT"]
        assert told["regime_posterior"] == shares
        assert (told["regime_age_s"], told["regime_entropy"], told["regime_stable"]) == (27.0, 0.7, steady)
        words = operate._regime(told)
        assert words == f"distribution {posterior[1]:.2f} for 27 s, {'stable' if steady else 'unstable'}, entropy 0.70"


def test_memory_is_that_of_this_process():
    assert 20 < rss_mb() < 20_000


def test_percentiles_are_of_the_last_samples_and_absent_without_any():
    recorder = LatencyRecorder()
    assert recorder.percentiles().p99_ms is None
    for number in range(1, 101):
        recorder.add(number * 1_000_000)
    found = recorder.percentiles()
    assert (found.count, found.p50_ms, found.p99_ms, found.max_ms) == (100, 51.0, 100.0, 100.0)
    for _ in range(SAMPLES_MAX):
        recorder.add(5_000_000)
    assert recorder.percentiles().max_ms == 5.0
    assert recorder.percentiles().count == 100 + SAMPLES_MAX
