"""Frames in stretches come to what frames one by one come to: the same digest, counters, money and book, wherever the stretches are cut."""

import gzip
import random

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smartmoney.adapters.exchange_warm import capture_path, prerun
from smartmoney.adapters.model_store import ModelStore
from smartmoney.adapters.recording_blocks import blocks_of, merge_blocks, read_blocks
from smartmoney.adapters.recordings import RecordedFrame, read_recording
from smartmoney.core.domain.entries import ScaleState
from smartmoney.core.domain.instruments import Market
from smartmoney.core.engine.brain import Brain
from smartmoney.core.strategy.desk import StrategyDesk
from smartmoney.runtime.chronicler import Chronicler
from smartmoney.runtime.models import Turn, TurnedModels
from smartmoney.runtime.replay_frames import FrameReplay, frame_replay, frame_summary
from smartmoney.runtime.tuned_models import silent
from smartmoney.settings.build import paper_parameters
from smartmoney.settings.load import load_settings
from smartmoney.settings.scenario import load_scenario
from smartmoney.simulation.market import SyntheticMarket
from smartmoney.simulation.order_latency import OrderLatency
from smartmoney.venues.binance.grid_inference import Inference, infer_grid, instruments_of

from .test_same_inbox import EAGER

SECONDS = 240
WARM_SECONDS = 600
"""The built-in model decides from its sixth minute on."""
DAY_NS = 86_400 * 10**9
VERY_EAGER = {key: 0.05 if "confidence" in key and "mm_" not in key else value for key, value in EAGER.items()}
TRAINED = {**VERY_EAGER, "model": "default"}
STYLES = [VERY_EAGER, {**VERY_EAGER, "execution.entry": "maker"}]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """Record some minutes of the built-in market."""
    base = tmp_path_factory.mktemp("recorded") / "feed"
    prerun(SyntheticMarket(5, symbols=("BTCUSDT",)), 1_700_000_000_000_000_000, SECONDS, base)
    return {kind: list(read_recording(capture_path(base, kind, "BTCUSDT"))) for kind in (Market.SPOT, Market.USDM)}


@pytest.fixture(scope="module")
def recorded_long(tmp_path_factory):
    """Record the built-in market for as long as its model takes to warm up, and as long again."""
    base = tmp_path_factory.mktemp("long") / "feed"
    market = SyntheticMarket(3, load_scenario("first_run"), symbols=("BTCUSDT",))
    prerun(market, 1_700_000_000_000_000_000, WARM_SECONDS, base)
    return {kind: list(read_recording(capture_path(base, kind, "BTCUSDT"))) for kind in (Market.SPOT, Market.USDM)}


def outcome(blocks, instruments, chosen, *, each, turns=(), share=1.0):
    """Replay blocks and return everything that a run comes to, the state of its book and features included."""
    watch = Chronicler()
    models = TurnedModels(turns) if turns else None
    latency = OrderLatency(median_ms=50.0, p99_ms=300.0)
    paper = msgspec.structs.replace(paper_parameters(chosen), passive_share=share)
    replay = FrameReplay(instruments, chosen, latency=latency, watcher=watch, each=each, models=models, turns=turns[1:], paper=paper)
    watch.use(replay.engine)
    replay.run(blocks)
    summary = frame_summary(replay)
    summary.pop("rss_mb")
    summary["funding"] = replay.engine.view().account.funding
    view = msgspec.to_builtins(replay.engine.view())
    states = replay.engine.market.states
    hidden = {name for name in states.dtype.names if name.startswith("scan_")}
    book = {name: states[name].tobytes() for name in states.dtype.names if name not in hidden}
    money = (
        watch.costs.total(),
        list(watch.costs.fills),
        watch.equity.points,
        watch.equity.worst_drawdown,
        watch.first_wall,
        watch.last_wall,
    )
    told = watch.told("")
    seen = [(signal_id, one.horizon_s, one.wide.tobytes()) for signal_id, one in replay.engine.brain.take_seen()]
    story = (told.decisions, told.by_regime, told.exits, [one.regimes for one in told.instruments], told.entries)
    return {
        "summary": summary,
        "view": repr(view),
        "book": book,
        "money": money,
        "frames": replay.recorded_frames,
        "story": story,
        "told": told,
        "seen": seen,
    }


def assert_same(frames, market, changes, instruments=None, sizes=None, turns=(), share=1.0):
    """Assert that stretches, in blocks of these sizes, come to what single frames come to; return the outcome."""
    chosen = load_settings(overrides={"market": market.value, **changes})
    grid = instruments or infer_grid(((one.frame, one.symbol) for one in frames), market)
    one_by_one = outcome(blocks_of(frames), grid, chosen, each=True, turns=turns, share=share)
    together = outcome(cut(frames, sizes), grid, chosen, each=False, turns=turns, share=share)
    one_by_one.pop("told")  # its paths hold every tick, not those that were looked at alone
    for key, value in one_by_one.items():
        assert together[key] == value, key
    return one_by_one["summary"]


def cut(frames, sizes):
    """Yield blocks of these many frames, then the rest."""
    at = 0
    for size in sizes or ():
        yield from blocks_of(frames[at : at + size])
        at += size
    yield from blocks_of(frames[at:])


@pytest.mark.parametrize("changes", STYLES, ids=["taker", "maker"])
@pytest.mark.parametrize("market", [Market.SPOT, Market.USDM])
def test_a_run_with_fills_and_resting_orders(recorded, market, changes):
    summary = assert_same(recorded[market], market, changes)
    assert summary["orders"] > 10
    assert summary["fills"] > 0 or "execution.entry" in changes


QUIET = {
    "as configured": {},
    "the prior": {"model": "prior"},
    "the prior trades": VERY_EAGER,
    "it trades": TRAINED,
    "small, by a wide band": {**TRAINED, "strategy.max_position_size": 0.011, "strategy.rebalance_band": 0.9},
    "dear": {**TRAINED, "advanced_features.feature_engine.risk_adjustment_factor": 40.0},
    "analyses are rarer than decisions": {**TRAINED, "advanced_features.update_frequency": 2.0},
}


@pytest.fixture
def decisions(monkeypatch):
    """Count the decisions that Python took, each on a book that is trusted as far as the evidence says in words."""
    taken = []
    decide = Brain.decide

    def counted(brain, engine, index, quote, entry):
        taken.append(index)
        assert quote.trust is engine.market.trust(index).state
        return decide(brain, engine, index, quote, entry)

    monkeypatch.setattr(Brain, "decide", counted)
    return taken


@pytest.mark.parametrize(
    ("name", "market"),
    [
        ("as configured", Market.USDM),
        ("it trades", Market.SPOT),
        ("the prior trades", Market.USDM),
        *(pytest.param(name, Market.USDM, marks=pytest.mark.slow) for name in QUIET if name not in ("as configured", "the prior trades")),
        pytest.param("the prior trades", Market.SPOT, marks=pytest.mark.slow),
    ],
)
def test_quiet_decisions(recorded_long, decisions, market, name):
    summary = assert_same(recorded_long[market], market, QUIET[name])
    in_stretches = len(decisions) - summary["decisions"]
    assert summary["decisions"] > 290
    assert in_stretches < 0.6 * summary["decisions"]


@pytest.mark.parametrize("name", ["as configured", "the prior trades"])
def test_what_is_told_is_the_same_wherever_blocks_of_frames_end(recorded_long, name):
    frames = recorded_long[Market.USDM]
    chosen = load_settings(overrides={"market": "usdm", **QUIET[name]})
    grid = infer_grid(((one.frame, one.symbol) for one in frames), Market.USDM)
    whole, parts = (outcome(cut(frames, sizes), grid, chosen, each=False)["told"] for sizes in ((), [777] * 30))
    for field in whole.__struct_fields__:
        assert getattr(whole, field) == getattr(parts, field), field


@pytest.mark.parametrize("factor", [pytest.param(0.0, marks=pytest.mark.slow), 0.5])
def test_sizes_that_drift_shrinks_are_pythons(recorded_long, decisions, monkeypatch, factor):
    shrunk = ScaleState(factor=factor, reason="drift: made up")
    monkeypatch.setattr(StrategyDesk, "scale", property(lambda desk: shrunk, lambda desk, scale: None), raising=False)
    summary = assert_same(recorded_long[Market.USDM], Market.USDM, TRAINED)
    assert len(decisions) > summary["decisions"]
    assert (summary["orders"] > 0) == (factor > 0.0)


@pytest.mark.parametrize(
    "changes", [pytest.param({"model": "prior"}, id="flat"), pytest.param(VERY_EAGER, id="held", marks=pytest.mark.slow)]
)
def test_midnight_between_quiet_decisions(recorded_long, changes):
    frames = recorded_long[Market.USDM]
    later = -(frames[0].ts_wall_ns + 400 * 10**9 + 350_000_000) % DAY_NS
    assert_same([msgspec.structs.replace(one, ts_wall_ns=one.ts_wall_ns + later) for one in frames], Market.USDM, changes)


@pytest.mark.parametrize(("market", "pays"), [(Market.USDM, True), (Market.SPOT, False)])
def test_funding_is_paid_on_what_is_held_between_quiet_decisions(recorded_long, market, pays):
    frames = recorded_long[market]
    chosen = load_settings(overrides={"market": market.value, **VERY_EAGER})
    grid = infer_grid(((one.frame, one.symbol) for one in frames), market)
    opened = outcome(blocks_of(frames), grid, chosen, each=False)["money"][1][0]
    later = -(opened.wall_ns + 1_350_000_000) % (DAY_NS // 3)
    moved = [msgspec.structs.replace(one, ts_wall_ns=one.ts_wall_ns + later) for one in frames]
    assert (assert_same(moved, market, VERY_EAGER)["funding"] != 0) == pays


@pytest.mark.slow
@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    least=st.floats(0.5, 0.65),
    threshold=st.floats(0.5, 0.7),
    confidence=st.floats(0.4, 0.65),
    size=st.floats(0.01, 1.0),
    band=st.floats(0.0, 1.0, exclude_max=True),
    every=st.sampled_from([0.3, 1.0, 1.7]),
    model=st.sampled_from(["default", "prior"]),
    shift=st.integers(0, WARM_SECONDS * 10**9),
)
def test_quiet_decisions_under_any_settings_and_over_midnight(recorded_long, least, threshold, confidence, size, band, every, model, shift):
    frames = recorded_long[Market.USDM]
    later = -(frames[0].ts_wall_ns + shift) % DAY_NS
    moved = [msgspec.structs.replace(one, ts_wall_ns=one.ts_wall_ns + later) for one in frames]
    changes = {
        "model": model,
        "advanced_features.feature_engine.confidence_threshold": least,
        "strategy.confidence_threshold": threshold,
        "advanced_features.signal_generation.min_confidence": confidence,
        "strategy.max_position_size": size,
        "strategy.rebalance_band": band,
        "strategy.update_frequency": every,
        "strategy.min_liquidity_score": 0.2,
    }
    assert_same(moved, Market.USDM, changes)


def test_models_that_take_turns_do_so_at_the_same_frame_wherever_blocks_are_cut(recorded_long):
    frames = recorded_long[Market.USDM]
    default = ModelStore(None).find("default")
    begins_ns = frames[0].ts_wall_ns
    at = [begins_ns, begins_ns + 330 * 10**9, begins_ns + 500 * 10**9 + 1, begins_ns + 550 * 10**9]
    mute = silent(default)
    turns = tuple(Turn(since_ns, bundle) for since_ns, bundle in zip(at, (mute, default, mute, default), strict=True))
    summary = assert_same(frames, Market.USDM, TRAINED, sizes=(7, 3000, 1, 5000), turns=turns)
    always = outcome(
        blocks_of(frames),
        infer_grid(((one.frame, one.symbol) for one in frames), Market.USDM),
        load_settings(overrides={"market": "usdm", **TRAINED}),
        each=False,
    )["summary"]
    assert summary["orders"] > 0
    assert summary["digest"] != always["digest"]


def test_a_file_of_one_symbol_beside_another_has_the_snapshots_of_its_own(recorded, tmp_path):
    frames = recorded[Market.USDM][:4000]
    for symbol in (b"BTCUSDT", b"ETHUSDT"):
        with gzip.open(tmp_path / f"{symbol.decode()}.gz", "wb", compresslevel=1) as out:
            out.writelines(b"%d %b\n" % (one.ts_wall_ns, one.frame.replace(b"BTCUSDT", symbol)) for one in frames)
    replay, blocks = frame_replay(sorted(tmp_path.glob("*.gz")), "usdm", load_settings(overrides={"market": "usdm"}))
    replay.run(blocks)
    books = replay.engine.market.states
    assert [int(book["phase"]) for book in books] == [1, 1]
    assert books[0]["best_bid_tick"] == books[1]["best_bid_tick"] > 0


def test_gaps_and_what_is_no_frame(recorded):
    random_ = random.Random(7)
    frames = []
    for one in recorded[Market.USDM][:6000]:
        dice = random_.random()
        if dice < 0.001:
            continue  # a lost frame: a gap, if it was depth
        frames.append(one)
        if dice > 0.996:
            odd = random_.choice(
                [b"{}", b"not json", b'{"e":"kline","s":"BTCUSDT"}', one.frame[: len(one.frame) // 2], one.frame, b'{ "id": 1 }']
            )
            frames.append(RecordedFrame(one.ts_wall_ns, odd, False, None))
    snapshot = next(one for one in frames if one.is_snapshot)
    for at in (len(frames) * quarter // 4 for quarter in (1, 2, 3)):  # too old, and of nobody: an answer that heals nothing
        frames.insert(at, msgspec.structs.replace(snapshot, ts_wall_ns=frames[at].ts_wall_ns))
    summary = assert_same(frames, Market.USDM, STYLES[0])
    assert summary["gaps"] > 0
    assert len(summary["fold_codes"]) >= 5


def test_silence_and_holes_in_the_recording(recorded):
    frames, later = [], 0
    whole = recorded[Market.SPOT][:5000]
    fifth = len(whole) // 5
    for number, one in enumerate(whole):
        pauses = {fifth: 3_000_000_000, 2 * fifth: 4_900_000_000, 3 * fifth: 30_000_000_000, 4 * fifth: 86_400_000_000_000}
        later += pauses.get(number, 0)
        frames.append(msgspec.structs.replace(one, ts_wall_ns=one.ts_wall_ns + later))
    assert_same(frames, Market.SPOT, STYLES[0])


@pytest.mark.slow
def test_two_instruments_of_which_one_has_no_snapshot(recorded):
    other = [
        msgspec.structs.replace(one, frame=one.frame.replace(b"BTCUSDT", b"ETHUSDT"), symbol="ETHUSDT" if one.is_snapshot else None)
        for one in recorded[Market.USDM][:4000]
        if not one.is_snapshot
    ]
    mine = [msgspec.structs.replace(one, symbol="BTCUSDT") if one.is_snapshot else one for one in recorded[Market.USDM][:4000]]
    both = sorted(mine + other, key=lambda one: one.ts_wall_ns)
    summary = assert_same(both, Market.USDM, STYLES[0])
    assert summary["fold_codes"]["buffer"] > 100


@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes=st.lists(st.integers(1, 700), max_size=12), start=st.integers(0, 800))
def test_wherever_the_blocks_are_cut(recorded, sizes, start):
    frames = recorded[Market.USDM]
    kept = [one for one in frames[:400] if one.is_snapshot] + frames[start : start + 3000]
    kept = [msgspec.structs.replace(one, ts_wall_ns=max(one.ts_wall_ns, kept[-1].ts_wall_ns - 60_000_000_000)) for one in kept]
    assert_same(kept, Market.USDM, STYLES[0], sizes=sizes)


CAPTURED = [("hftbacktest/spot/btcusdt_20240808.gz", Market.SPOT), ("hftbacktest/usdm/ethusdt_20240808.gz", Market.USDM)]


@pytest.mark.parametrize(
    ("name", "market", "changes"),
    [
        pytest.param(*CAPTURED[0], STYLES[0], id="spot-taker"),
        pytest.param(*CAPTURED[1], STYLES[1], id="usdm-maker"),
        pytest.param(*CAPTURED[0], STYLES[1], id="spot-maker", marks=pytest.mark.slow),
        pytest.param(*CAPTURED[1], STYLES[0], id="usdm-taker", marks=pytest.mark.slow),
    ],
)
def test_real_recordings(captures, name, market, changes):
    path = captures / name
    if not path.is_file():
        pytest.skip(f"no {name} here")
    summary = assert_same(list(read_recording(path))[:40_000], market, changes)
    assert summary["fills"] > 0


@pytest.mark.parametrize("name", ["hftbacktest/spot/ethusdt_20240808.gz", "hftbacktest/usdm/btcusdt_20230404.dat.gz"])
def test_blocks_hold_the_frames_of_a_recording_and_lead_to_its_grid(captures, name):
    path = captures / name
    if not path.is_file():
        pytest.skip(f"no {name} here")
    frames = list(read_recording(path))
    blocks = list(read_blocks(path))
    assert [block.recorded(at) for block in blocks for at in range(len(block))] == frames
    inference = Inference()
    for block in blocks:
        inference.take_block(block.buffer, block.rows, block.symbols)
    found = instruments_of([inference.needed()], Market.SPOT)
    assert found == infer_grid(((one.frame, one.symbol) for one in frames), Market.SPOT)


@given(st.lists(st.lists(st.integers(0, 30), max_size=40), min_size=1, max_size=4), st.integers(1, 9))
def test_files_are_merged_as_frames_one_by_one_are(files, size):
    import heapq

    named = [[RecordedFrame(wall, b'{"n":"%d.%d"}' % (k, n), False, None) for n, wall in enumerate(walls)] for k, walls in enumerate(files)]
    expected = list(heapq.merge(*named, key=lambda one: one.ts_wall_ns))
    sources = [iter([block for at in range(0, len(one), size) for block in blocks_of(one[at : at + size])]) for one in named]
    merged = [block.recorded(at) for block in merge_blocks(sources) for at in range(len(block))]
    assert merged == expected
    assert all(np.all(np.diff(block.rows[:2], axis=0) >= 0) for block in merge_blocks([iter(blocks_of(named[0]))]))
