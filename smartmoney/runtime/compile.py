"""Compile every kernel before the first frame, so that nothing is ever compiled on a tick (design law 11)."""

import subprocess
import sys
import tempfile
from collections.abc import Callable
from decimal import Decimal
from functools import cache
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from smartmoney.runtime import kernel_cache
from smartmoney.runtime.kernel_loading import loading_first

if TYPE_CHECKING:
    from smartmoney.core.domain.instruments import Instrument
    from smartmoney.core.engine.market import VenueCodec
    from smartmoney.core.models.bundle import Bundle

_OFFLINE = "offline"
_SNAPSHOT = b'{"lastUpdateId":5,"bids":[["100.0","1.0"],["99.9","2.0"]],"asks":[["100.1","1.0"],["100.2","2.0"]]}'
_DEPTH = b'{"e":"depthUpdate","E":1000,"s":"XY","U":6,"u":6,"b":[["99.8","1.0"]],"a":[["100.1","2.0"]]}'
_TRADE = b'{"e":"trade","E":1000,"s":"XY","t":1,"p":"100.1","q":"1.0","T":1000,"m":false,"M":true}'


def compile_kernels(directory: Path, say: Callable[[str], None], *, with_market: bool, with_offline: bool = False) -> float:
    """Compile (or load from the cache) every kernel of the daemon; return the seconds that it took.

    Args:
        directory: of the kernel cache, as `kernel_cache.prepare` returned it.
        say: tells the user what takes so long, the first time.
        with_market: the built-in exchange will be started: its kernels are compiled beside ours, in a process of their own.
        with_offline: that process goes on with the kernels that read recordings: it is done before us. `compile_offline_kernels` has
            then nothing left to do.
    """
    started = monotonic()
    is_first = not kernel_cache.is_warm(directory)
    market: subprocess.Popen[bytes] | None = None
    if is_first:
        say("compiling kernels, once for this version and machine; about a minute")
        if with_market:
            words = [sys.executable, "-m", "smartmoney", "kernels", "--market-only", *["--and-offline"] * with_offline]
            market = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    try:
        with loading_first():
            _exercise()
    finally:
        # A market that could not be compiled is not our failure: the exchange says so itself when it starts.
        if market is not None:
            market.wait()
    if is_first:
        kernel_cache.mark_warm(directory)
        say(f"kernels compiled in {monotonic() - started:.0f} s")
    return monotonic() - started


def _instrument() -> "Instrument":
    from smartmoney.core.domain.instruments import Instrument, Market

    size = Decimal("0.1")
    return Instrument(venue="none", market=Market.SPOT, symbol="XY", name="X/Y", base="X", quote="Y", tick_size=size, lot_size=size)


def _exercise() -> None:
    """Call every kernel with the types that the daemon calls it with."""
    import numpy as np

    from smartmoney.core.book.kernel import shown_levels, shown_lots
    from smartmoney.core.book.queue import move_up
    from smartmoney.core.features.parameters import FeatureParameters
    from smartmoney.core.features.row import read_row
    from smartmoney.core.features.schema import FEATURES
    from smartmoney.runtime.codecs import binance_codec

    codec = binance_codec()
    states = codec.new_states([_instrument()], FeatureParameters())
    for frame, index in ((_DEPTH, -1), (_SNAPSHOT, 0), (_DEPTH, -1), (_TRADE, -1), (b"{ }", -1)):
        codec.fold(frame, states, index, 1)
    scratch = np.zeros(8, np.int64)
    shown_levels(states, 0, 0, 8, scratch, scratch)
    shown_lots(states, 0, 0, 1000)
    move_up(0, 0, 0, 0, 0, 0)
    read_row(states, 0, 0, np.zeros(len(FEATURES)))
    codec.drop_book(states, 0)
    _stretch_once(codec, states)
    _decide_once()
    _explain_once()


def _stretch_once(codec: "VenueCodec", states: Any) -> None:
    """Read and fold the past as a warm start does."""
    import numpy as np

    from smartmoney.core.book.stretch import NOTHING
    from smartmoney.core.engine.quiet import QuietDesk
    from smartmoney.core.engine.stretch import FeedStamps, Frames, Limits, StretchFold, Timer, Until
    from smartmoney.core.strategy.desk import StrategyDesk
    from smartmoney.core.strategy.follower import SmartMoneyFollowerStrategy
    from smartmoney.core.strategy.parameters import DeskParameters
    from smartmoney.venues.recorded_lines import KINDS_MAX, ROWS, classify, split_lines

    line = b"1700000000000000 " + _DEPTH + b"\n"
    rows = np.zeros((ROWS, 2), np.int64)
    count, _, _ = split_lines(line, 0, rows)
    rows = np.ascontiguousarray(rows[:, :count])
    classify(line, rows, 0, np.zeros((KINDS_MAX, 3), np.int64), True)
    stretch = StretchFold(codec.fold_stretch, states, Limits(1, 1, 1, 1.0, 1.0))
    desk = StrategyDesk(SmartMoneyFollowerStrategy({}), DeskParameters())
    quiet = QuietDesk(desk, (_instrument(),), round_trip=(0.0, 0.0), interval_ns=1, slack_ns=0, value_every_ns=1)
    quiet.tell(None, 0, 0, 0)
    unheard = [FeedStamps(NOTHING, NOTHING, False)]
    stretch.run(Frames(buffer=line, rows=rows, origin_ns=0), 0, count, Timer(2**62, 1, 1), Until(), unheard, quiet)


def _decide_once() -> None:
    """Call the trained decision: its types are the same for every bundle, so the smallest will do."""
    import numpy as np

    from smartmoney.core.features.schema import FEATURES
    from smartmoney.core.regime.parameters import RegimeParameters
    from smartmoney.core.strategy.trained import TrainedModel

    model = TrainedModel(_smallest_bundle(), RegimeParameters())
    state = model.step(model.fresh_state(), np.zeros(len(FEATURES)), {}, 1)
    model.opportunities(state, {}, model.reading(state), stop_bps=0.0, target_bps=0.0, cost_bps=0.0)


def _smallest_bundle() -> "Bundle":
    from smartmoney.core.domain.signals import Regime
    from smartmoney.core.features.schema import SCHEMA_HASH
    from smartmoney.core.models.bundle import Bundle, BundleSpec, HiddenMarkov, Observed, Trained

    hmm = HiddenMarkov(
        observed=(Observed(feature="tfi_10s", signed_log=False, median=0.0, mad=1.0),),
        z_max=5.0,
        means=((0.0,),),
        variances=((1.0,),),
        transitions=((1.0,),),
        start=(1.0,),
        names=(Regime.NEUTRAL,),
        mirror=(0,),
    )
    trained = Trained(venue="none", market="spot", instruments=(), data_hash="")
    return Bundle(spec=BundleSpec(name="none", schema_hash=SCHEMA_HASH, trained=trained, hmm=hmm), forests={}, card="", hash="")


def _explain_once() -> None:
    import numpy as np

    from smartmoney.core.alpha.contributions import contributions
    from smartmoney.core.alpha.forest import NODE, TREE, Forest

    nodes = np.zeros(1, NODE)
    nodes["left"], nodes["cover"] = -1, 1.0
    contributions(Forest(nodes=nodes, trees=np.zeros(1, TREE), base=(0.0,)), np.zeros(1, np.float32))


def compile_offline_kernels(directory: Path, say: Callable[[str], None]) -> None:
    """Compile (or load) what folds recordings in batches, before several processes would each do it."""
    if kernel_cache.is_warm(directory, _OFFLINE):
        return
    say("compiling the kernels that read recordings, once for this version and machine; half a minute")
    import numpy as np

    from smartmoney.adapters.recording_blocks import blocks_of
    from smartmoney.adapters.recordings import RecordedFrame
    from smartmoney.core.domain.instruments import Market
    from smartmoney.core.features.parameters import FeatureParameters
    from smartmoney.runtime.codecs import recorded_binance

    codec = recorded_binance()
    frames = (_SNAPSHOT, _DEPTH, _TRADE)
    states = codec.new_states(codec.infer(((frame, "XY") for frame in frames), Market.SPOT), FeatureParameters())
    [block] = blocks_of(RecordedFrame(ts_wall_ns=1, frame=frame, is_snapshot=False, symbol=None) for frame in frames)
    codec.fold_batch(block.buffer, block.rows, np.zeros(len(frames), np.int64), states, 0, 2, 1)
    codec.fold(_SNAPSHOT, states, 0, 1)
    codec.scanned_event_ns(states, 0)
    codec.drop_book(states, 0)
    _replay_a_little()
    load_backtest_kernels()
    _decide_many()
    kernel_cache.mark_warm(directory, _OFFLINE)


def _decide_many() -> None:
    """Call the trained decision on a table, as training and evaluation do in several processes at once."""
    import numpy as np

    from smartmoney.core.features.schema import FEATURES
    from smartmoney.core.models.table import decide_rows
    from smartmoney.core.regime.parameters import RegimeParameters

    decide_rows(_smallest_bundle(), RegimeParameters(), np.zeros((1, len(FEATURES))), np.ones(1, np.int64))


@cache
def load_backtest_kernels() -> None:
    """Load (or compile) what a backtest calls, once a process, so that its clock tells the speed of the market alone."""
    from smartmoney.adapters.recording_blocks import Block, blocks_of
    from smartmoney.adapters.recordings import RecordedFrame
    from smartmoney.runtime.replay_frames import FrameReplay
    from smartmoney.settings.load import load_settings
    from smartmoney.venues.binance.packer import Packer

    _decide_once()
    # The depth before the snapshot is kept for it: that frame is folded by itself.
    frames = (
        RecordedFrame(ts_wall_ns=(number + 1) * 10**9, frame=frame, is_snapshot=frame is _SNAPSHOT, symbol="XY")
        for number, frame in enumerate((_TRADE, _DEPTH, _SNAPSHOT, _DEPTH, _TRADE))
    )
    [block] = blocks_of(frames)
    for blocks in ((block,), (Block(buffer=words, rows=rows) for words, rows, _ in Packer(1024).pack(block.buffer, block.rows, {}))):
        FrameReplay((_instrument(),), load_settings()).run(blocks)


def _replay_a_little() -> None:
    """Replay a recording of three frames: lines, grid, stretches."""
    from smartmoney.runtime.replay_frames import frame_replay
    from smartmoney.settings.load import load_settings

    stamp_us = 1_700_000_000_000_000
    with tempfile.TemporaryDirectory(prefix="smartmoney-kernels-") as folder:
        path = Path(folder) / "recording"
        frames = enumerate((_SNAPSHOT, _DEPTH, _TRADE))
        path.write_bytes(b"".join(b"%d %b\n" % (stamp_us + number, frame) for number, frame in frames))
        replay, blocks = frame_replay([path], "spot", load_settings())
        replay.run(blocks)


def compile_market_kernels() -> None:
    """Compile (or load) the kernels of the built-in exchange: let its market live for a second, trade in it, write what its streams say."""
    from smartmoney.adapters.exchange_feed import Desk
    from smartmoney.core.domain.instruments import Market
    from smartmoney.simulation.first_orders import trade_a_little
    from smartmoney.simulation.market import SyntheticMarket

    trade_a_little()
    for market in (Market.SPOT, Market.USDM):
        desk = Desk(SyntheticMarket(1, symbols=("BTCUSDT",), markets=(market,)).books[market, "BTCUSDT"], 0)
        writers = [
            writer for kind in ("trade", "aggTrade", "bookTicker", "depth@100ms", "depth20@100ms") if (writer := desk.open_stream(kind))
        ]
        desk.snapshot(1000)
        batch = desk.take(desk.book.advance(1_000_000_000))
        for write in writers:
            write(batch)
