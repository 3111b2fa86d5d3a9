"""`smartmoney models` without a daemon: what is there, what one is, who decides."""

import json
import re

import pytest
from msgspec.structs import replace

from smartmoney.adapters.model_store import ModelStore
from smartmoney.core.models.bundle import Gate


@pytest.fixture
def state(tmp_path, bundles):
    store = ModelStore(tmp_path / "models")
    for bundle in (bundles.small_bundle(), bundles.small_bundle(name="second")):
        store.add(bundle)
    return tmp_path


def test_an_empty_store_says_who_decides(call, tmp_path, monkeypatch):
    monkeypatch.setattr("smartmoney.adapters.model_store.ModelStore.listed", lambda _store: ())
    code, out, _ = call("models", "list", "--state-dir", tmp_path)
    assert code == 0
    assert "the untrained prior decides" in out


def test_promote_and_rollback_are_listed(call, state, bundles):
    first, second = bundles.small_bundle(), bundles.small_bundle(name="second")
    ask = lambda *words: call("models", *words, "--state-dir", state, "--json")  # noqa: E731
    for model, reason in (("small", "the first"), (second.hash[:8], "better")):
        code, out, err = ask("promote", model, "--ungated", "--reason", reason)
        assert (code, err) == (0, "")
        assert json.loads(out)["daemon"] is None
    listed = json.loads(ask("list")[1])
    assert listed["champion"] == second.hash
    assert [one["name"] for one in listed["models"] if one["is_champion"]] == ["second"]
    assert json.loads(ask("rollback", "--reason", "worse")[1])["hash"] == first.hash
    code, _, err = ask("rollback")
    assert code == 78
    assert "no champion stood before" in err
    # What is named instead works as it stands there.
    words = re.search(r"`smartmoney models (promote \S+ --ungated)`", err)[1].split()
    assert ask(*words)[0] == 0
    assert json.loads(ask("list")[1])["champion"] != first.hash
    assert ask("rollback")[0] == 0
    code, out, _ = call("models", "list", "--state-dir", state)
    assert f"* {first.hash[:12]}  small" in out


def test_what_no_gate_has_judged_decides_on_paper_alone_and_only_if_told(call, state, bundles):
    code, out, err = call("models", "promote", "small", "--state-dir", state)
    assert (code, out) == (1, "")
    assert "no gate has judged small" in err
    assert "models gate small" in err
    assert ModelStore(state / "models").champion() is None
    code, out, _ = call("models", "promote", "small", "--ungated", "--state-dir", state)
    assert code == 0
    assert "live refuses it" in out
    hash_ = bundles.small_bundle(name="second").hash
    ModelStore(state / "models").record_gate(
        hash_, Gate(passed=True, venue="binance", market="spot", instruments=("BTC/USDT",), at="2026-01-01", text="")
    )
    code, out, _ = call("models", "promote", "second", "--state-dir", state)
    assert code == 0
    assert "live refuses it" not in out


def test_a_gate_that_failed_elsewhere_does_not_stand_in_the_way_and_it_is_said_which_counts(call, state, bundles):
    store, hash_ = ModelStore(state / "models"), bundles.small_bundle().hash
    gate = Gate(passed=False, venue="binance", market="spot", instruments=("BTC/USDT",), at="2026-01-01", text="why")
    store.record_gate(hash_, gate)
    code, _, err = call("models", "promote", "small", "--ungated", "--state-dir", state)
    assert code == 1
    assert "did not pass its gate of 2026-01-01 on binance spot BTC/USDT: why" in err
    assert "--set venue=" in err
    code, _, err = call("models", "promote", "small", "--set", "venue=binance", "--ungated", "--state-dir", state)
    assert code == 1
    code, _, err = call("models", "promote", "small", "--set", "venue=sim", "--state-dir", state)
    assert (code, "no gate has judged small" in err, "on sim spot BTC/USDT" in err) == (1, True, True)
    code, out, _ = call("models", "promote", "small", "--set", "venue=sim", "--ungated", "--state-dir", state)
    assert code == 0
    assert "no gate has judged it here" in out
    store.record_gate(hash_, replace(gate, passed=True, venue="ccxt:kraken", maker_bps=25.0, taker_bps=40.0))
    code, out, _ = call("models", "promote", "small", "--state-dir", state)
    assert code == 0
    assert "it passed the gate of 2026-01-01 on ccxt:kraken spot BTC/USDT, judged with fees of 25 (maker) and 40 bps (taker)" in out


def test_show_checks_the_bundle_and_prints_its_card(call, state, bundles):
    code, out, _ = call("models", "show", "small", "--state-dir", state)
    assert code == 0
    assert bundles.small_bundle().hash in out
    assert "Made up for tests." in out
    shown = json.loads(call("models", "show", "small", "--state-dir", state, "--json")[1])
    assert shown["trees"]["classifier"] == 40
    assert shown["spec"]["hmm"]["bar_s"] == 1.0
    (state / "models" / bundles.small_bundle().hash / "CARD.md").write_text("a better card")
    code, _, err = call("models", "show", "small", "--state-dir", state)
    assert code == 78
    assert "CARD.md" in err


def test_what_is_not_there_and_the_prior_cannot_be_promoted(call, state):
    for model, says in (("unheard-of", "models list"), ("prior", "untrained prior"), ("./nowhere", "is no folder")):
        code, _, err = call("models", "promote", model, "--state-dir", state)
        assert code == 78
        assert says in err
