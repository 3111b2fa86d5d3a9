"""Rounds of decisions on several instruments come, inside a stretch, to what they come to frame by frame."""

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smartmoney.adapters.exchange_warm import capture_path, prerun
from smartmoney.adapters.recordings import read_recording
from smartmoney.core.domain.instruments import Market
from smartmoney.core.engine.engine import Engine
from smartmoney.core.engine.stretch import Decided
from smartmoney.settings.scenario import load_scenario
from smartmoney.simulation.market import SyntheticMarket, instrument_of

from .test_stretches import DAY_NS, QUIET, TRAINED, VERY_EAGER, WARM_SECONDS, assert_same

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
LATER_NS = 330 * 10**9


@pytest.fixture(scope="module")
def recorded_several(tmp_path_factory):
    """Return a function of market and count: frames of so many instruments of the built-in market, as they came, and the instruments.

    With `late_ns` the last of them begins later.
    """
    base = tmp_path_factory.mktemp("several") / "feed"
    scenario = load_scenario("many_symbols")
    prerun(SyntheticMarket(3, scenario, symbols=SYMBOLS), 1_700_000_000_000_000_000, WARM_SECONDS, base)

    def several(market, count, late_ns=0):
        chosen = SYMBOLS[:count]
        found = []
        for symbol in chosen:
            later = late_ns if symbol == chosen[-1] else 0
            for one in read_recording(capture_path(base, market, symbol)):
                named = symbol if one.is_snapshot else None
                found.append(msgspec.structs.replace(one, symbol=named, ts_wall_ns=one.ts_wall_ns + later))
        instruments = tuple(instrument_of(scenario.profile(symbol), market) for symbol in chosen)
        return sorted(found, key=lambda one: one.ts_wall_ns), instruments

    return several


@pytest.fixture
def quietly(monkeypatch):
    """Collect what was decided in stretches: instrument, code, and which instruments something was held of."""
    found = []
    pass_frames = Engine.pass_frames

    def counted(engine, *arguments):
        passed = pass_frames(engine, *arguments)
        portfolio = engine.executor.portfolio
        held = tuple(index for index in range(len(portfolio.instruments)) if portfolio.position_lots(index))
        found.extend((one.refusal.instrument, one.refusal.code.value, held) for one in passed.decided if type(one) is Decided)
        return passed

    monkeypatch.setattr(Engine, "pass_frames", counted)
    return found


@pytest.mark.parametrize(
    ("name", "market", "count"),
    [
        ("as configured", Market.USDM, 2),
        pytest.param("the prior trades", Market.USDM, 2, marks=pytest.mark.slow),
        pytest.param("it trades", Market.USDM, 3, marks=pytest.mark.slow),
        pytest.param("analyses are rarer than decisions", Market.USDM, 3, marks=pytest.mark.slow),
    ],
)
def test_quiet_rounds(recorded_several, quietly, market, name, count):
    frames, instruments = recorded_several(market, count)
    # An entry that waits is Python's, and its rounds with it: how many there are is not what is asked here.
    summary = assert_same(frames, market, {**QUIET[name], "execution.entry": "taker"}, instruments=instruments)
    assert len(quietly) > 0.6 * summary["decisions"]
    assert {instrument for instrument, _, _ in quietly} == set(range(count))


POOR = {**TRAINED, "paper_balance": 2000}
THIN = {**TRAINED, "strategy.min_liquidity_score": 0.965}
ALONE = {**TRAINED, "advanced_features.liquidity_patterns.mm_confidence_threshold": 0.93}
UNSURE = {"strategy.confidence_threshold": 0.62, "advanced_features.signal_generation.min_confidence": 0.7}
REFUSED = {
    "trained": (Market.USDM, TRAINED, 0, ["at_target", "edge_too_small", "no_opportunity"]),
    "begins later": (Market.USDM, TRAINED, LATER_NS, ["not_warm"]),
    "unsure": (Market.USDM, UNSURE, 0, ["low_confidence", "below_min_confidence"]),
    "poor": (Market.USDM, POOR, 0, ["below_min_notional"]),
    "no shorts": (Market.SPOT, VERY_EAGER, 0, ["no_position"]),
    "thin": (Market.USDM, THIN, 0, ["low_liquidity"]),
    "makers away": (Market.USDM, ALONE, 0, ["makers_absent"]),
}


@pytest.mark.parametrize("name", ["trained", *(pytest.param(name, marks=pytest.mark.slow) for name in REFUSED if name != "trained")])
def test_an_instrument_is_refused_quietly_by_each_code_while_another_is_held(recorded_several, quietly, name):
    market, changes, late_ns, codes = REFUSED[name]
    frames, instruments = recorded_several(market, 2, late_ns)
    assert_same(frames, market, changes, instruments=instruments)
    while_another_is_held = {code for instrument, code, held in quietly if set(held) - {instrument}}
    assert while_another_is_held >= set(codes)


@pytest.mark.slow
@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    market=st.sampled_from([Market.SPOT, Market.USDM]),
    confidence=st.floats(0.05, 0.65),
    size=st.floats(0.01, 0.9),
    band=st.floats(0.0, 1.0),
    liquidity=st.sampled_from([0.2, 0.9, 0.965]),
    balance=st.sampled_from([2000, 10_000]),
    entry=st.sampled_from(["auto", "taker", "maker"]),
    model=st.sampled_from(["default", "prior"]),
    shift=st.integers(0, WARM_SECONDS * 10**9),
)
def test_rounds_of_several_under_any_settings_and_over_midnight(
    recorded_several, market, confidence, size, band, liquidity, balance, entry, model, shift
):
    frames, instruments = recorded_several(market, 2)
    later = -(frames[0].ts_wall_ns + shift) % DAY_NS
    changes = {
        **VERY_EAGER,
        "model": model,
        "advanced_features.signal_generation.min_confidence": confidence,
        "strategy.max_position_size": size,
        "strategy.rebalance_band": band,
        "strategy.min_liquidity_score": liquidity,
        "paper_balance": balance,
        "execution.entry": entry,
    }
    moved = [msgspec.structs.replace(one, ts_wall_ns=one.ts_wall_ns + later) for one in frames]
    assert_same(moved, market, changes, instruments=instruments)
