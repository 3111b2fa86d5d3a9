"""The drill itself, whole: real processes, and a report without a hole in it."""

import json

import pytest

from .daemons import smartmoney

pytestmark = pytest.mark.campaign


@pytest.mark.parametrize("market", ["spot", "usdm"])
@pytest.mark.timeout(1500)
def test_a_drill_measures_everything_and_finds_nothing_doubled_or_lost(market):
    said = smartmoney("drill", "--market", market, "--kills", 2, "--json", timeout=1400)
    report = json.loads(said.stdout)
    assert report["problems"] == [], said.stderr[-2000:]
    assert said.returncode == 0
    assert report["duplicates"] == report["orphans"] == 0
    assert report["kill_points"] == 2
    assert [name for name, value in report.items() if value is None] == []
    assert report["fills_covered"] > 0
