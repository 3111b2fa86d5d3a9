"""A recorded stretch of the built-in market, entries made of it, and captures that hold it."""

import asyncio
import itertools

from smartmoney.adapters.capture import CaptureWriter
from smartmoney.adapters.exchange_warm import capture_path, prerun
from smartmoney.adapters.recordings import read_recording
from smartmoney.core.domain.entries import EntryKind, RunStarted, Tick, WarmUpEnded
from smartmoney.core.domain.instruments import Market
from smartmoney.core.engine.engine import Engine, no_bundles
from smartmoney.core.engine.parameters import encode_parameters
from smartmoney.runtime.assembly import engine_parameters, strategy_factory
from smartmoney.runtime.clock import Stamp
from smartmoney.runtime.codecs import binance_codec
from smartmoney.runtime.gateway import NoGateway
from smartmoney.runtime.inbox import Inbox, Item
from smartmoney.runtime.loop import Loop
from smartmoney.settings.load import load_settings
from smartmoney.simulation.market import SyntheticMarket

S = 1_000_000_000


def record(folder, seconds, ends_wall_ns, *, symbols=("BTCUSDT",), seed=5):
    """Record the spot market so that it ends at a time; return file by symbol and the instruments."""
    market = SyntheticMarket(seed, symbols=symbols, markets=(Market.SPOT,))
    prerun(market, ends_wall_ns - seconds * S, seconds, folder / "feed")
    instruments = tuple(market.books[Market.SPOT, symbol].instrument for symbol in symbols)
    return {symbol: capture_path(folder / "feed", Market.SPOT, symbol) for symbol in symbols}, instruments


def started(instruments, run_id="1abcdefghjk", model="untrained-prior-1"):
    settings = load_settings()
    return RunStarted(
        run_id=run_id,
        mode="paper",
        venue="binance",
        build="test",
        config_hash="",
        model=model,
        seed=1,
        instruments=instruments,
        parameters=encode_parameters(engine_parameters(settings)),
        cash=settings.paper_balance,
    )


def loop_of(instruments, capture, run_id="1abcdefghjk", model="untrained-prior-1", bundles=no_bundles):
    """Open a run on a fresh engine whose entries go to a capture."""
    engine = Engine(binance_codec(), strategy_factory(None), bundles)
    loop = Loop(engine, Inbox(), capture, NoGateway(), asyncio.Queue())
    loop.process(Item(EntryKind.EVENT, Stamp(1, 1), payload=started(instruments, run_id, model)))
    return engine, loop


def capture_run(folder, recording, instruments, *, run_id="earlier", before=(), cut=None, tail=()):
    """Write the capture of a run that lived through a recording; return the engine at its end."""
    with CaptureWriter(folder / run_id) as writer:
        engine, loop = loop_of(instruments, writer, run_id)
        for item in before:
            loop.process(item)
        loop.process(Item(EntryKind.EVENT, Stamp(1, 1), payload=WarmUpEnded()))
        for item in itertools.islice(items_of(recording), cut):
            loop.process(item)
        for item in tail:
            loop.process(item)
    return engine


def items_of(recording):
    """Yield a recording's frames with a tick each second of it."""
    tick_ns = 0
    for frame in read_recording(recording):
        stamp = Stamp(frame.ts_wall_ns, frame.ts_wall_ns)
        if frame.ts_wall_ns >= tick_ns:
            tick_ns = frame.ts_wall_ns + S
            yield Item(EntryKind.EVENT, stamp, payload=Tick())
        if frame.is_snapshot:
            yield Item(EntryKind.SNAPSHOT, stamp, instrument=0, frame=frame.frame)
        else:
            yield Item(EntryKind.FRAME, stamp, frame=frame.frame)
