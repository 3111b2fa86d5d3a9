"""What failed the gate cannot be made champion, and the refusal names the condition and its number."""

import dataclasses
import json

import msgspec
import pytest

from smartmoney.adapters.model_files import assemble
from smartmoney.adapters.model_store import GateNotPassed, ModelStore, Place, check_gate
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


def gate_at(venue, passed, instruments=("BTC/USDT",), at="2026-11-26"):
    return Gate(passed=passed, venue=venue, market="spot", instruments=instruments, at=at, text="why")


HERE = Place("binance", "spot", ("BTC/USDT",))
BOTH = Place("binance", "spot", ("BTC/USDT", "ETH/USDT"))
ELSEWHERE = Place("sim", "spot", ("BTC/USDT",))
PASSED_HERE, FAILED_THERE = gate_at("binance", True), gate_at("ccxt:kraken", False)
FAILED_HERE = gate_at("binance", False)
FAILED_ETH = gate_at("binance", False, ("ETH/USDT",))


@pytest.mark.parametrize(
    ("gates", "place", "found"),
    [
        ((PASSED_HERE, FAILED_THERE), HERE, (PASSED_HERE,)),
        ((PASSED_HERE, FAILED_THERE), None, (PASSED_HERE,)),
        ((PASSED_HERE, FAILED_THERE), Place("ccxt:kraken", "spot", ("BTC/USDT",)), FAILED_THERE),
        ((FAILED_HERE,), ELSEWHERE, ()),
        ((FAILED_HERE,), None, FAILED_HERE),
        ((FAILED_HERE, PASSED_HERE), HERE, (PASSED_HERE,)),
        ((PASSED_HERE, FAILED_HERE), HERE, FAILED_HERE),
        ((PASSED_HERE, FAILED_HERE), None, FAILED_HERE),
        ((PASSED_HERE, FAILED_ETH), BOTH, FAILED_ETH),
        ((PASSED_HERE, FAILED_ETH), HERE, (PASSED_HERE,)),
        ((PASSED_HERE,), Place("binance", "usdm", ("BTC/USDT",)), ()),
        ((), HERE, ()),
        ((), None, ()),
    ],
)
def test_the_newest_gate_where_a_model_is_to_decide_counts(bundles, gates, place, found):
    bundle = dataclasses.replace(bundles.small_bundle(), gates=gates)
    if isinstance(found, tuple):
        assert check_gate(bundle, place) == found
        return
    with pytest.raises(GateNotPassed, match=f"did not pass its gate of 2026-11-26 on {found.venue} spot {found.instruments[0]}: why"):
        check_gate(bundle, place)


def test_a_record_that_does_not_tell_fees_is_read_with_the_seal_that_it_had(tmp_path, bundles):
    store = ModelStore(tmp_path / "models")
    bundle = bundles.small_bundle()
    folder = store.add(bundle)
    store.record_gate(bundle.hash, PASSED_HERE)
    kept = json.loads((folder / "manifest.json").read_text())["gates"][0]
    assert set(kept) == {"passed", "venue", "market", "instruments", "at", "text"}
    assert store.load(bundle.hash).gates[0].judged_with == "fees not told"
    store.record_gate(bundle.hash, msgspec.structs.replace(PASSED_HERE, maker_bps=0.0, taker_bps=4.5, strategy="ab" * 32, profile="mine"))
    assert store.load(bundle.hash).gates[1].judged_with == ("fees of 0 (maker) and 4.5 bps (taker), strategy abababababab, profile mine")
