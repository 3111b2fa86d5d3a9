"""The same inbox gives the same digest: twice, in another process, and whatever comes after it."""

import itertools
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from smartmoney.adapters.exchange_warm import capture_path, prerun
from smartmoney.adapters.recording_blocks import blocks_of
from smartmoney.adapters.recordings import RecordedFrame, read_recording
from smartmoney.core.domain.instruments import Market
from smartmoney.core.domain.signals import FeedTrust
from smartmoney.runtime.replay_frames import FrameReplay, frame_replay, frame_summary
from smartmoney.settings.load import load_settings
from smartmoney.simulation.market import SyntheticMarket

SECONDS = 420
MARKETS = [Market.SPOT, Market.USDM]
EAGER = {
    "model": "prior",
    "strategy.confidence_threshold": 0.5,
    "strategy.min_liquidity_score": 0.01,
    "advanced_features.signal_generation.min_confidence": 0.5,
    "advanced_features.feature_engine.confidence_threshold": 0.5,
    "advanced_features.liquidity_patterns.mm_confidence_threshold": 0.01,
}
"""Settings under which the untrained prior trades, so that there are commands worth comparing."""


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """Record some minutes of the built-in market, each market in a file of its own."""
    base = tmp_path_factory.mktemp("recorded") / "feed"
    market = SyntheticMarket(3, symbols=("BTCUSDT",))
    prerun(market, 1_700_000_000_000_000_000, SECONDS, base)
    return {kind: capture_path(base, kind, "BTCUSDT") for kind in MARKETS}


@pytest.fixture(scope="module")
def settings():
    return load_settings(overrides=EAGER)


def replayed(path, market, settings, frames=None):
    """Replay a recording, or these frames on its grid, and return the replay."""
    replay, recorded = frame_replay([path], market.value, settings)
    replay.run(recorded if frames is None else frames(read_recording(path), replay) if callable(frames) else blocks_of(frames))
    return replay


@pytest.mark.parametrize("market", [Market.SPOT, pytest.param(Market.USDM, marks=pytest.mark.slow)])
def test_twice_in_one_process_and_once_in_another_with_another_hash_seed(recordings, settings, market):
    one, two = (replayed(recordings[market], market, settings) for _ in range(2))
    assert one.engine.digest == two.engine.digest
    first, second = frame_summary(one), frame_summary(two)
    first.pop("rss_mb"), second.pop("rss_mb")
    assert first == second
    assert first["signals"] > 0
    assert first["fills"] > 0
    assert (first["gaps"], first["resyncs"]) == (0, 1)
    words = [word for key, value in EAGER.items() for word in ("--set", f"{key}={value}")]
    result = subprocess.run(
        (sys.executable, "-m", "smartmoney", "replay", "--frames", recordings[market], "--market", market.value, "--json", *words),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONHASHSEED": "4242"},
    )
    assert result.returncode == 0, result.stderr
    elsewhere = json.loads(result.stdout)
    assert elsewhere["digest"] == first["digest"]
    for key in ("frames", "trades", "decisions", "signals", "refusals", "orders", "fills", "equity", "position", "fold_codes"):
        assert elsewhere[key] == first[key], key


def test_the_two_markets_of_one_seed_are_two_stories(recordings, settings):
    assert len({replayed(recordings[market], market, settings).engine.digest for market in MARKETS}) == 2


@pytest.fixture(scope="module", params=[200, 1500, 3001])
def beginning(recordings, settings, request):
    """Give so many frames of a recording, and the digest after them when nothing follows."""
    path, cut = recordings[Market.SPOT], request.param
    return path, cut, replayed(path, Market.SPOT, settings, lambda recorded, _: blocks_of(itertools.islice(recorded, cut))).engine.digest


@pytest.mark.parametrize("future", ["the recorded one", "garbage", "shuffled"])
def test_appending_the_future_changes_nothing_before_it(beginning, settings, future):
    path, cut, before = beginning
    seen = []

    def then_more(recorded, replay):
        past, rest = list(itertools.islice(recorded, cut)), list(itertools.islice(recorded, 400))
        if future == "garbage":
            rest = [msgspec.structs.replace(frame, frame=b"\xff" + frame.frame[:40], is_snapshot=False) for frame in rest]
        if future == "shuffled":
            random.Random(1).shuffle(rest)
        yield from blocks_of(past)
        seen.append(replay.engine.digest)
        yield from blocks_of(rest)

    after = replayed(path, Market.SPOT, settings, then_more).engine.digest
    assert seen == [before]
    assert after != before


def test_a_lost_frame_is_a_gap_and_a_later_snapshot_heals_it(recordings, settings):
    frames = list(read_recording(recordings[Market.SPOT]))
    updates = [number for number, frame in enumerate(frames) if b"depthUpdate" in frame.frame[:200]]
    lost = updates[300]
    replay = replayed(recordings[Market.SPOT], Market.SPOT, settings, [*frames[:lost], *frames[lost + 1 :]])
    market = replay.engine.market
    assert market.gaps >= 1
    assert market.trust(0).state is FeedTrust.RESYNCING
    assert frame_summary(replay)["refusals"].get("feed_not_synced", 0) + frame_summary(replay)["refusals"].get("not_warm", 0) > 0
    healed = [*frames[:lost], *frames[lost + 1 : lost + 200], _snapshot_of(frames, lost + 100), *frames[lost + 200 :]]
    replay = replayed(recordings[Market.SPOT], Market.SPOT, settings, healed)
    assert replay.engine.market.gaps == 1
    assert replay.engine.market.resyncs == 2
    assert replay.engine.market.trust(0).state is FeedTrust.SYNCED
    whole = replayed(recordings[Market.SPOT], Market.SPOT, settings)
    for name in ("best_bid_tick", "best_ask_tick", "last_update_id"):
        assert replay.engine.market.states[0][name] == whole.engine.market.states[0][name], "the book is the same again"


def test_a_frame_that_came_twice_is_folded_once(recordings, settings):
    frames = list(itertools.islice(read_recording(recordings[Market.USDM]), 2000))
    doubled = [frame for frame in frames for _ in range(2)]
    once = replayed(recordings[Market.USDM], Market.USDM, settings, frames).engine
    twice = replayed(recordings[Market.USDM], Market.USDM, settings, doubled).engine
    assert twice.market.gaps == 0
    assert twice.market.trades == once.market.trades
    # The digest counts entries; what was seen, decided and earned does not.
    for name in ("best_bid_tick", "best_ask_tick", "last_update_id", "last_trade_id"):
        assert twice.market.states[0][name] == once.market.states[0][name], name
    assert twice.counters.refusals == once.counters.refusals
    assert twice.money.equity == once.money.equity


def test_replaying_takes_its_time_from_the_recording(recordings, settings):
    summary = frame_summary(replayed(recordings[Market.SPOT], Market.SPOT, settings))
    assert summary["uptime_s"] == pytest.approx(SECONDS, abs=5)
    assert summary["decisions"] == pytest.approx(SECONDS, abs=10)


CAPTURED = [
    ("hftbacktest/spot/btcusdt_20240808.gz", Market.SPOT),
    ("hftbacktest/usdm/btcusdt_20240808.gz", Market.USDM),
    ("hftbacktest/cm/btcusd_perp_20240808.gz", Market.COINM),
]


@pytest.mark.parametrize(("name", "market"), CAPTURED, ids=[market.value for _, market in CAPTURED])
def test_real_recordings_replay_to_the_same_digest_synced_and_without_a_gap(captures, settings, name, market):
    path = captures / name
    if not path.is_file():
        found = sorted(Path(captures).rglob(Path(name).name))
        path = found[0] if found else pytest.skip(f"no {name} here")
    some = list(itertools.islice(read_recording(path), 12_000))
    digests = set()
    for _ in range(2):
        replay = replayed(path, market, settings, some)
        summary = frame_summary(replay)
        digests.add(summary["digest"])
        assert (summary["feed_trust"], summary["gaps"], summary["resyncs"]) == ("synced", 0, 1)
        assert summary["decisions"] > 10
        assert summary["equity"] is not None
    assert len(digests) == 1


def _snapshot_of(frames, upto):
    """Fold the whole recording up to a frame and write its book down as the venue would."""
    from smartmoney.runtime.bookmarks import encode_book

    settings = load_settings()
    replay = FrameReplay(_grid(frames), settings)
    replay.run(blocks_of(frames[:upto]))
    return RecordedFrame(frames[upto].ts_wall_ns, encode_book(replay.engine.market.states, 0, replay.instruments[0]), True, "BTCUSDT")


def _grid(frames):
    from smartmoney.venues.binance.grid_inference import infer_grid

    return infer_grid(((frame.frame, frame.symbol) for frame in frames), Market.SPOT)
