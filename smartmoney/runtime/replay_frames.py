"""Replay recorded raw frames: through decoder, book, features, strategy and the paper venue, on the recording's own clock."""

import heapq
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

import msgspec
import structlog

from smartmoney import __version__
from smartmoney.adapters.recordings import RecordedFrame, RecordingDamaged, read_recording
from smartmoney.core.book.kernel import shown_lots
from smartmoney.core.book.state import ASK, BID
from smartmoney.core.domain.entries import EntryKind, RunStarted, Tick, WarmUpEnded
from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.core.engine.engine import Engine
from smartmoney.core.engine.market import top_of_book
from smartmoney.core.engine.parameters import encode_parameters
from smartmoney.runtime.assembly import engine_parameters, strategy_factory
from smartmoney.runtime.clock import Stamp
from smartmoney.runtime.codecs import binance_codec
from smartmoney.runtime.inbox import Item
from smartmoney.runtime.models import Models
from smartmoney.runtime.offline import MONO_START_NS, OfflineRun, Watcher
from smartmoney.runtime.replay import ReplayRefused
from smartmoney.runtime.summary import summarise
from smartmoney.settings.build import paper_parameters
from smartmoney.settings.effective import config_hash
from smartmoney.settings.models import Settings
from smartmoney.simulation.order_latency import OrderLatency
from smartmoney.venues.binance.grid_inference import infer_grid

log = structlog.get_logger("replay")

TICK_NS = 100_000_000
QUIET_NS_MAX = 5_000_000_000
"""A recording that pauses for longer is taken to have a hole: timers jump over it."""
_EVENT = re.compile(rb'"e"\s*:\s*"(\w{1,40})"')
_LOOKED_AT = 160
"""Bytes of a frame in which its event type stands."""


class FrameReplay:
    """Run recorded frames through decoder, book, features, strategy and the paper venue."""

    def __init__(
        self,
        instruments: Sequence[Instrument],
        settings: Settings,
        *,
        run_id: str = "replay",
        latency: OrderLatency | None = None,
        watcher: Watcher | None = None,
        models: Models | None = None,
    ) -> None:
        """Prepare a replay; `run_id` names it and its mode, `watcher` looks on, `models` is where the settings' model is looked for.

        Raises:
            ModelNotFound, BundleRefused: that model cannot be had.
        """
        models = models or Models(None)
        self.engine = Engine(binance_codec(), strategy_factory(settings.directory), models.bundle)
        self.instruments = tuple(instruments)
        start = RunStarted(
            run_id=run_id,
            mode=run_id,
            venue=f"binance:{instruments[0].market.value}",
            build=__version__,
            config_hash=config_hash(settings),
            model=models.choose(settings),
            seed=0,
            instruments=self.instruments,
            parameters=encode_parameters(engine_parameters(settings)),
            cash=settings.equity_start,
        )
        self._run = OfflineRun(self.engine, start, paper_parameters(settings), latency=latency, watcher=watcher)
        self.message_types: dict[str, int] = {}
        self.damage: list[str] = []
        """What was cut off of the recordings, and why."""
        self._index_of = {instrument.symbol.upper(): index for index, instrument in enumerate(instruments)}
        self.recorded_frames = 0

    def run(self, frames: Iterable[RecordedFrame], on_ready: Callable[[Engine], None] | None = None) -> None:
        """Step everything; time comes from the recording alone. `on_ready` may hook into the engine once its run is open.

        Raises:
            ReplayRefused: there are no frames.
        """
        source = self._items(frames)
        first = next(source, None)
        if first is None:
            raise ReplayRefused("the recordings hold no frames")
        warmed = Item(EntryKind.EVENT, first.stamp, payload=WarmUpEnded())
        self._run.run(itertools.chain((first,), source), after_start=(warmed,), on_ready=on_ready)

    def _items(self, frames: Iterable[RecordedFrame]) -> Iterator[Item]:
        """Turn recorded frames into items, with a tick each 100 ms of recorded time between them."""
        origin_ns: int | None = None
        wall_ns = tick_ns = 0
        for frame in frames:
            self.recorded_frames += 1
            kind = _message_type(frame)
            self.message_types[kind] = self.message_types.get(kind, 0) + 1
            wall_ns = max(wall_ns, frame.ts_wall_ns)
            if origin_ns is None:
                origin_ns = wall_ns - MONO_START_NS
                tick_ns = wall_ns + TICK_NS
            if wall_ns - tick_ns > QUIET_NS_MAX:
                tick_ns = wall_ns
            while tick_ns <= wall_ns:
                yield Item(EntryKind.EVENT, Stamp(tick_ns, tick_ns - origin_ns), payload=Tick())
                tick_ns += TICK_NS
            stamp = Stamp(wall_ns, wall_ns - origin_ns)
            if not frame.is_snapshot:
                yield Item(EntryKind.FRAME, stamp, frame=frame.frame)
            else:
                yield Item(EntryKind.SNAPSHOT, stamp, instrument=self._whose(frame), frame=frame.frame)

    def _whose(self, frame: RecordedFrame) -> int:
        """Return the instrument that a snapshot belongs to: the only one, or the one that the recording names."""
        only = 0 if len(self._index_of) == 1 else -1
        return self._index_of.get((frame.symbol or "").upper(), only)


def frame_replay(
    files: Sequence[Path], market: str, settings: Settings, make: Callable[[Sequence[Instrument]], FrameReplay] | None = None
) -> tuple[FrameReplay, Iterator[RecordedFrame]]:
    """Return a replay of recordings and the frames to run it with. The grid is inferred from the frames, since no exchangeInfo is recorded.

    `make` makes the replay for the instruments that were found, where the plain one will not do.

    Raises:
        ReplayRefused: the recordings hold no depth or trade of any symbol.
    """
    instruments = infer_grid(((frame.frame, frame.symbol) for frame in _whole(files, [])), Market(market))
    if not instruments:
        raise ReplayRefused(f"no depth or trade frames in {', '.join(path.name for path in files)}")
    for instrument in instruments:
        log.info("provisional grid", symbol=instrument.symbol, tick=str(instrument.tick_size), lot=str(instrument.lot_size))
    replay = make(instruments) if make else FrameReplay(instruments, settings)
    return replay, _whole(files, replay.damage)


def emit_touch(engine: Engine, out: TextIO) -> None:
    """Write the touch after every applied depth update, as CSV with prices and quantities in the venue's decimals."""
    out.write("update_id,bid_price,bid_quantity,ask_price,ask_quantity\n")
    market = engine.market

    def write(index: int) -> None:
        state, grid = market.states[index], market.instruments[index]
        bid, ask = top_of_book(state)
        cells = [str(int(state["last_update_id"]))]
        for side, ticks in ((BID, bid), (ASK, ask)):
            lots = int(shown_lots(market.states, index, side, ticks)) if ticks > 0 else 0
            cells += [f"{grid.price(ticks):f}", f"{grid.quantity(lots):f}"] if ticks > 0 else ["", ""]
        out.write(",".join(cells) + "\n")

    market.applied_hook = write


def frame_summary(replay: FrameReplay) -> dict[str, Any]:
    """Return the summary of a frame replay: a run's own keys where they apply, and counts per message type and fold code."""
    summary: dict[str, Any] = msgspec.to_builtins(summarise(replay.engine.view()))
    summary["recorded_frames"] = replay.recorded_frames
    summary["message_types"] = dict(sorted(replay.message_types.items()))
    summary["fold_codes"] = {code.name.lower(): count for code, count in replay.engine.market.codes.items() if count}
    summary["grids"] = {
        item.symbol: {"tick_size": f"{item.tick_size:f}", "lot_size": f"{item.lot_size:f}", "provisional": item.provisional}
        for item in replay.instruments
    }
    return summary


def _whole(files: Sequence[Path], damage: list[str]) -> Iterator[RecordedFrame]:
    """Yield what is whole of some recordings; damage is noted, and ends its file."""
    sources = [_until_damaged(path, damage) for path in files]
    # By receive time: a session may keep its replies and its streams in separate files.
    yield from heapq.merge(*sources, key=lambda frame: frame.ts_wall_ns)


def _until_damaged(path: Path, damage: list[str]) -> Iterator[RecordedFrame]:
    try:
        yield from read_recording(path)
    except RecordingDamaged as problem:
        damage.append(f"{path.name} is damaged, and was used until there: {problem}")
        log.warning("recording damaged", file=path.name, problem=str(problem))


def _message_type(frame: RecordedFrame) -> str:
    if frame.is_snapshot:
        return "snapshot"
    head = frame.frame[:_LOOKED_AT]
    found = _EVENT.search(head)
    if found:
        return found[1].decode()
    return "bookTicker" if b"bookTicker" in head or b'"B":' in head else "other"
