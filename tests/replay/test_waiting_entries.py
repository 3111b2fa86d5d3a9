"""Entries that wait in the paper queue come, inside stretches, to what they come to frame by frame, and hardly end one."""

from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smartmoney.adapters.exchange_warm import capture_path, prerun
from smartmoney.adapters.recordings import read_recording
from smartmoney.core.domain.instruments import Market
from smartmoney.core.domain.orders import Liquidity, Purpose
from smartmoney.core.engine.engine import Engine
from smartmoney.runtime.fill_costs import FillCosts
from smartmoney.simulation.market import SyntheticMarket

from .test_stretches import VERY_EAGER, assert_same

SECONDS = 300


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """Record some minutes of the built-in market."""
    base = tmp_path_factory.mktemp("waiting") / "feed"
    prerun(SyntheticMarket(11, symbols=("BTCUSDT",)), 1_700_000_000_000_000_000, SECONDS, base)
    return {kind: list(read_recording(capture_path(base, kind, "BTCUSDT"))) for kind in (Market.SPOT, Market.USDM)}


class Seen:
    """What was seen of the stretches, and of the fills of entries that waited, in both runs."""

    def __init__(self):
        self.stretches = self.ticks = self.moved = 0
        self.fills = Counter()


@pytest.fixture
def seen(monkeypatch):
    """Count the ticks that were passed over while an entry was followed, the stretches of that, and how often an order moved up."""
    found = Seen()
    pass_frames, keep = Engine.pass_frames, FillCosts._keep

    def passed_over(engine, frames, at, end, timer, waits):
        is_followed = bool(engine.executor.chases())
        passed = pass_frames(engine, frames, at, end, timer, waits)
        if is_followed and waits.prices:
            found.stretches += 1
            found.ticks += passed.ticks
            found.moved += sum(place.ahead < price.ahead for price, place in zip(waits.prices, passed.places, strict=False))
        return passed

    def kept(costs, entry, fill):
        keep(costs, entry, fill)
        one = costs.fills[-1]
        if one.purpose is Purpose.ENTRY and one.liquidity is Liquidity.MAKER:
            found.fills[one.client_order_id] += 1

    monkeypatch.setattr(Engine, "pass_frames", passed_over)
    monkeypatch.setattr(FillCosts, "_keep", kept)
    return found


LARGE = {**VERY_EAGER, "strategy.max_position_size": 0.9, "paper_balance": 1_000_000}
"""Orders that are large against what is shown fill in parts."""
WAITING = {
    "auto, even": (Market.USDM, {**LARGE, "execution.entry": "auto", "paper.queue": "even"}, 1.0),
    "maker": (Market.USDM, {**LARGE, "execution.entry": "maker"}, 1.0),
    "maker on spot, slow, some are never filled": (
        Market.SPOT,
        {**LARGE, "execution.entry": "maker", "execution.reprice_s": 6, "execution.entry_timeout_s": 20},
        0.6,
    ),
}


@pytest.mark.parametrize("name", ["auto, even", *(pytest.param(one, marks=pytest.mark.slow) for one in WAITING if one != "auto, even")])
def test_entries_that_wait(recorded, seen, name):
    market, changes, share = WAITING[name]
    summary = assert_same(recorded[market], market, changes, share=share)
    assert summary["orders"] > 10
    assert len(seen.fills) > 2
    assert max(seen.fills.values()) > 2, "some entry filled in parts, in each of both runs"
    assert seen.moved > 2
    assert seen.ticks > seen.stretches, "a tick is not looked at because an entry waits"


@pytest.mark.slow
@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    market=st.sampled_from([Market.SPOT, Market.USDM]),
    entry=st.sampled_from(["auto", "maker"]),
    queue=st.sampled_from(["careful", "even"]),
    share=st.sampled_from([0.3, 1.0]),
    reprice=st.floats(0.1, 8.0),
    timeout=st.floats(1.0, 30.0),
    latency=st.floats(0.0, 900.0),
    balance=st.sampled_from([10_000, 1_000_000]),
    size=st.floats(0.05, 0.9),
    every=st.sampled_from([0.3, 1.0]),
)
def test_entries_that_wait_under_any_settings(recorded, market, entry, queue, share, reprice, timeout, latency, balance, size, every):
    changes = {
        **VERY_EAGER,
        "execution.entry": entry,
        "execution.reprice_s": reprice,
        "execution.entry_timeout_s": timeout,
        "paper.queue": queue,
        "paper.latency_ms": latency,
        "paper_balance": balance,
        "strategy.max_position_size": size,
        "strategy.update_frequency": every,
    }
    assert_same(recorded[market], market, changes, share=share)
