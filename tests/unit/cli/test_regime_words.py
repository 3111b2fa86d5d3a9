"""The regime as `smartmoney status` says it, also where the daemon that answers is of an older build."""

from smartmoney.cli.operate import _regime

TOLD = {"regime": "neutral", "regime_probability": 0.7}


def test_a_regime_is_told_whole():
    whole = {**TOLD, "regime_age_s": 27.4, "regime_stable": False, "regime_entropy": 0.41}
    assert _regime(whole) == "neutral 0.70 for 27 s, unstable, entropy 0.41"
    assert _regime({"regime": None}) == "warming"


def test_an_older_daemon_tells_less_and_is_believed():
    assert _regime(TOLD) == "neutral 0.70"
