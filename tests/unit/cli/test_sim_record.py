"""`smartmoney sim --record` and `smartmoney sim oracle`, through the command line."""

import json

import pytest


def test_a_market_is_recorded_and_a_full_folder_is_refused(call, tmp_path):
    words = ("sim", "--record", tmp_path / "day", "--scenario", "calm", "--symbols", "BTCUSDT", "--seconds", "3", "--seed", "9")
    code, out, err = call(*words, "--json")
    assert code == 0, err
    summary = json.loads(out)
    assert (summary["scenario"], summary["seed"], summary["seconds"]) == ("calm", 9, 3)
    assert summary["rows"]["usdm.BTCUSDT"]["bars"] == 3
    assert sorted(path.name for path in (tmp_path / "day").iterdir()) == ["feed", "truth"]
    code, _, err = call(*words)
    assert code == 2
    assert "holds something already" in err
    code, out, _ = call(*words[:2], tmp_path / "other", *words[3:], "--no-truth")
    assert code == 0
    assert "a regime holds" not in out
    assert sorted(path.name for path in (tmp_path / "other").iterdir()) == ["feed"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("sim", "--seconds", "3"), "--record"),
        (("sim", "--record", "x", "--hours", "1", "--seconds", "3"), "not both"),
        (("sim", "--record", "x", "--symbols", "NOPE"), "NOPE"),
        (("sim", "oracle", "--kind", "pov"), "poisson, twap, iceberg, jittered"),
        (("sim", "oracle", "--quiet-days", "0.5"), "quiet-days"),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error_that_says_why(call, tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    code, _, err = call(*words)
    assert code == 2
    assert said in " ".join(err.split())
    assert list(tmp_path.iterdir()) == []


def test_the_oracle_prints_its_scores(call):
    code, out, err = call("sim", "oracle", "--worlds", "20", "--quiet-days", "0", "--json")
    assert code == 0, err
    found = json.loads(out)
    assert found["kind"] == "poisson"
    assert found["auc"]["interval"][0] <= found["auc"]["value"] <= found["auc"]["interval"][1]
    assert found["delay"] is None
    code, out, _ = call("sim", "oracle", "--worlds", "20", "--quiet-days", "0", "--kind", "twap")
    assert code == 0
    assert "AUC, side unknown" in out
