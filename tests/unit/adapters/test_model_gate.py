"""What failed the gate cannot be made champion, and the refusal names the condition and its number."""

import pytest

from smartmoney.adapters.model_files import assemble
from smartmoney.adapters.model_store import GateNotPassed, ModelStore
from smartmoney.core.models.bundle import Gate
from smartmoney.learning.gate import GateEvidence, judge
from smartmoney.learning.validation.gains import Gain

EVIDENCE = GateEvidence(gain=Gain(-0.002, -0.01, 0.003, 0.8, 900, 30), untouched_days=2.0)


def gate_of(verdict, passed):
    return Gate(passed=passed, venue="binance", market="usdm", instruments=("BTC/USDT",), at="2026-11-26", text=verdict.text)


def test_a_bundle_that_failed_is_refused_by_condition_and_number_and_the_champion_stays(tmp_path, bundles):
    store = ModelStore(tmp_path / "models")
    stands = bundles.small_bundle()
    challenger = assemble(bundles.small_bundle(name="other").spec, stands.forests, "")
    for bundle in (stands, challenger):
        store.add(bundle)
    store.promote(stands.hash, "first", 1)
    verdict = judge(EVIDENCE)
    store.record_gate(challenger.hash, gate_of(verdict, verdict.passed))
    with pytest.raises(GateNotPassed, match=r"log_loss_gain: -0\.002, needed above 0; .*untouched_days: 2, needed at least 5"):
        store.promote(challenger.hash, "hope", 2)
    assert store.champion() == stands.hash


def test_a_later_gate_that_passes_lets_it_stand(tmp_path, bundles):
    store = ModelStore(tmp_path / "models")
    bundle = bundles.small_bundle()
    store.add(bundle)
    verdict = judge(EVIDENCE)
    store.record_gate(bundle.hash, gate_of(verdict, False))
    store.record_gate(bundle.hash, gate_of(verdict, True))
    store.promote(bundle.hash, "better", 1)
    assert store.champion() == bundle.hash
