"""Entries by a coin in each style: the figures are of the same moments, add up, and say what waiting is worth."""

import json

import pytest

from smartmoney.runtime import bench_entries
from smartmoney.runtime.backtest_sources import record_built_in
from tests.integration.daemons import smartmoney


@pytest.mark.slow
def test_waiting_pays_the_makers_fee_and_crossing_the_takers():
    by_style = {one.style: one for one in bench_entries.simulated_costs("volatile", 7, 900, "usdm")}
    assert set(by_style) == {"taker", "maker", "auto"}
    crossing, waiting, chosen = by_style["taker"], by_style["maker"], by_style["auto"]
    assert crossing.entries >= 10
    assert waiting.entries == chosen.entries == crossing.entries, "the same moments"
    assert crossing.filled == 1.0
    assert crossing.fee_bps == pytest.approx(5.0, abs=1e-6)
    assert 2.0 <= waiting.fee_bps < crossing.fee_bps
    assert waiting.wait_s > crossing.wait_s
    assert chosen.filled >= waiting.filled
    for one in by_style.values():
        assert one.total_bps == pytest.approx(one.shortfall_bps + one.fee_bps)


def test_the_coin_falls_on_both_sides():
    turns = range(37_000_000, 37_000_200)
    sides = [bool((turn * bench_entries._MIX >> 40) & 1) for turn in turns]
    assert 70 < sum(sides) < 130


@pytest.mark.slow
def test_what_is_printed_as_json_is_nothing_else(tmp_path):
    (file,) = record_built_in("volatile", 7, 240, "usdm", (), tmp_path)
    done = smartmoney("bench", "entries", "--capture", file, "--market", "usdm", "--json")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert {row["group"] for row in rows} == {"entries"}
    assert len(rows) == 12
