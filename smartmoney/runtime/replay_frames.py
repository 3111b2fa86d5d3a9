"""Replay recorded raw frames: through decoder, book, features, strategy and the paper venue, on the recording's own clock."""

import itertools
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import msgspec
import numpy as np
import structlog

from smartmoney import __version__
from smartmoney.adapters.prepared_recordings import PreparedRecordings
from smartmoney.adapters.recorded_session import FRAMES_READ, RecordedSession
from smartmoney.adapters.recording_blocks import Block, count_kinds
from smartmoney.adapters.recordings import RecordedFrame, RecordingDamaged
from smartmoney.core.book.kernel import shown_lots
from smartmoney.core.book.state import ASK, BID
from smartmoney.core.domain.entries import EntryKind, FeedDisconnected, ModelActivated, RunStarted, SnapshotFailed, Tick, WarmUpEnded
from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.core.engine.engine import Engine
from smartmoney.core.engine.market import top_of_book
from smartmoney.core.engine.parameters import encode_parameters
from smartmoney.core.engine.stretch import Frames, Timer
from smartmoney.runtime.assembly import engine_parameters, strategy_factory
from smartmoney.runtime.clock import Stamp
from smartmoney.runtime.codecs import recorded_codec
from smartmoney.runtime.feed_notes import feed_notes
from smartmoney.runtime.inbox import Item
from smartmoney.runtime.models import Models, Turn
from smartmoney.runtime.offline import MONO_START_NS, OfflineRun, Watcher
from smartmoney.runtime.replay import ReplayRefused
from smartmoney.runtime.summary import summarise
from smartmoney.settings.build import paper_parameters
from smartmoney.settings.effective import config_hash
from smartmoney.settings.models import Settings
from smartmoney.simulation.order_latency import OrderLatency
from smartmoney.simulation.paper_parameters import PaperParameters
from smartmoney.venues.binance.packed import event_of
from smartmoney.venues.recorded_lines import PACKED, SNAPSHOTS, WALLS

log = structlog.get_logger("replay")

TICK_NS = 100_000_000
QUIET_NS_MAX = 5_000_000_000
"""A recording that pauses for longer is taken to have a hole: timers jump over it."""
_EVENT = re.compile(rb'"e"\s*:\s*"(\w{1,40})"')
_COUNTED_FROM = 1
"""The id of the first book of an import that counted from there; those of today begin with a time."""
_ANEW = "the recording begins again"
_LOOKED_AT = 160
"""Bytes of a frame in which its event type stands."""


class _BookId(msgspec.Struct):
    lastUpdateId: int = -1  # noqa: N815 - the venue's word


_book_id = msgspec.json.Decoder(_BookId)


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
        each: bool = False,
        models: Models | None = None,
        begins_ns: int = 0,
        paper: PaperParameters | None = None,
        turns: Sequence[Turn] = (),
    ) -> None:
        """Prepare a replay; `run_id` names it and its mode, `watcher` looks on, `models` is where the settings' model is looked for.

        `each` steps frame by frame, as the daemon does; what comes of it is the same, and some twenty times slower. Timers begin at
        `begins_ns`, or with the first frame. `paper` is the paper venue's model where it is not that of the settings. Each of `turns`, by
        time, is activated before the first frame of its time.

        Raises:
            ModelNotFound, BundleRefused: that model cannot be had.
        """
        models = models or Models(None)
        self.engine = Engine(recorded_codec(), strategy_factory(settings.directory), models.bundle)
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
        self._run = OfflineRun(self.engine, start, paper or paper_parameters(settings), latency=latency, watcher=watcher)
        self.message_types: dict[str, int] = {}
        self.damage: list[str] = []
        """What was cut off of the recordings, and why."""
        self.origin = FRAMES_READ
        self.frames_ahead = 0
        """How many frames the recordings hold."""
        self._index_of = {instrument.symbol.upper(): index for index, instrument in enumerate(instruments)}
        self.recorded_frames = 0
        self.backwards = 0
        """Frames that were received before the one above them."""
        self.is_stamped = False
        """Whether any frame says when it was received."""
        self._is_each = each
        self._wall_ns = self._origin_ns = 0
        self._timer: Timer | None = None
        self._begins_ns = begins_ns
        self._turns = deque(turns)

    def run(self, blocks: Iterable[Block], on_ready: Callable[[Engine], None] | None = None) -> None:
        """Step everything; time comes from the recording alone. `on_ready` may hook into the engine once its run is open.

        Raises:
            ReplayRefused: there are no frames.
        """
        for block in itertools.chain.from_iterable(map(self._by_turns, blocks)):
            if len(block):
                self._count(block)
                frames = self._timed(block, on_ready)
                (self._step_each if self._is_each else self._step_block)(block, frames)
        if self._timer is None:
            raise ReplayRefused("the recordings hold no frames")

    def _by_turns(self, block: Block) -> Iterator[Block]:
        """Yield a block in pieces, and activate the model whose turn it is between them, after the ticks that come before its frame."""
        at = 0
        while self._turns and at < len(block):
            walls = np.maximum.accumulate(np.maximum(block.rows[WALLS, at:], self._wall_ns))
            ends = at + int(np.searchsorted(walls, self._turns[0].since_ns))
            if ends > at:
                yield _piece(block, at, ends)
            if ends < len(block):
                self._take_turn(int(walls[ends - at]))
            at = ends
        yield block if not at else _piece(block, at, len(block))

    def _take_turn(self, wall_ns: int) -> None:
        timer = self._timer
        assert timer is not None, "the first model is chosen, not activated"
        while timer.next_ns <= wall_ns:
            self._tick(timer, wall_ns)
        stamp = Stamp(wall_ns, wall_ns - self._origin_ns)
        self._run.step(Item(EntryKind.EVENT, stamp, payload=ModelActivated(model=self._turns.popleft().bundle.hash)))

    def _timed(self, block: Block, on_ready: Callable[[Engine], None] | None) -> Frames:
        """Return a block's frames on clocks that never turn back; the first one opens the run."""
        rows = np.ascontiguousarray(block.rows)
        given = rows[WALLS]
        if given[0] < self._wall_ns or (given[1:] < given[:-1]).any():
            walls = np.maximum.accumulate(np.maximum(given, self._wall_ns))
            self.backwards += int(np.count_nonzero(walls > given))
            rows = rows.copy()
            rows[WALLS] = walls
        self._wall_ns = int(rows[WALLS, -1])
        self.is_stamped = self.is_stamped or self._wall_ns > 0
        if self._timer is None:
            first_ns = min(self._begins_ns, int(rows[WALLS, 0])) or int(rows[WALLS, 0])
            self._origin_ns = first_ns - MONO_START_NS
            self._timer = Timer(first_ns + TICK_NS, TICK_NS, QUIET_NS_MAX)
            stamp = Stamp(first_ns, MONO_START_NS)
            self._run.open(stamp)
            if on_ready is not None:
                on_ready(self.engine)
            self._run.step(Item(EntryKind.EVENT, stamp, payload=WarmUpEnded()))
        return Frames(buffer=block.buffer, rows=rows, origin_ns=self._origin_ns)

    def _step_block(self, block: Block, frames: Frames) -> None:
        """Step frames in stretches, with a tick each 100 ms of recorded time between them."""
        timer = self._timer
        assert timer is not None
        at = 0
        for snapshot in [*np.flatnonzero(block.rows[SNAPSHOTS]).tolist(), len(block)]:
            while at < snapshot:
                at = self._run.step_frames(frames, at, snapshot, timer)
                if at < snapshot:
                    self._tick(timer, int(frames.rows[WALLS, at]))
            if snapshot < len(block):
                self._step_one(block, frames, snapshot)
                at = snapshot + 1

    def _step_each(self, block: Block, frames: Frames) -> None:
        for at in range(len(block)):
            self._step_one(block, frames, at)

    def _step_one(self, block: Block, frames: Frames, at: int) -> None:
        """Step one frame as an item of its own, and every tick before it."""
        timer = self._timer
        assert timer is not None
        wall_ns = int(frames.rows[WALLS, at])
        while timer.next_ns <= wall_ns:
            self._tick(timer, wall_ns)
        stamp = Stamp(wall_ns, wall_ns - self._origin_ns)
        if block.rows[SNAPSHOTS, at]:
            index, frame = self._whose(block.symbols.get(at)), block.frame(at)
            self._part_with_the_past(index, frame, stamp)
            self._run.step(Item(EntryKind.SNAPSHOT, stamp, instrument=index, frame=frame))
        else:
            self._run.step(Item(EntryKind.FRAME, stamp, frame=block.frame(at)))

    def _part_with_the_past(self, index: int, frame: bytes, stamp: Stamp) -> None:
        """Say what a snapshot in a recording is, where the engine would take it for something else.

        Nobody answers its requests here: a book that is further is no answer about a depth stream that died, but where recording, or the
        import of another day, begins again. One that was numbered from 1 knows nothing of what was before it.
        """
        market = self.engine.market
        if not 0 <= index < len(market.instruments) or not market.states[index]["phase"]:
            return
        try:
            own, reached = _book_id.decode(frame).lastUpdateId, int(market.states[index]["last_update_id"])
        except msgspec.MsgspecError:
            return
        if own == _COUNTED_FROM and own < reached:
            self._run.step(Item(EntryKind.EVENT, stamp, payload=FeedDisconnected(connection=0, instruments=(index,), reason=_ANEW)))
        elif own > reached and market.is_probing(index):
            self._run.step(Item(EntryKind.EVENT, stamp, payload=SnapshotFailed(instrument=index, reason=_ANEW)))

    def _tick(self, timer: Timer, wall_ns: int) -> None:
        """Run the next tick; `wall_ns` is the time of the frame after it."""
        if wall_ns - timer.next_ns > timer.hole_ns:
            timer.next_ns = wall_ns
        self._run.step(Item(EntryKind.EVENT, Stamp(timer.next_ns, timer.next_ns - self._origin_ns), payload=Tick()))
        timer.next_ns += timer.step_ns

    def _count(self, block: Block) -> None:
        self.recorded_frames += len(block)
        for row, count in count_kinds(block):
            kind = event_of(block.frame(row)) if block.rows[PACKED, row] else _message_type(block.recorded(row))
            self.message_types[kind] = self.message_types.get(kind, 0) + count

    def _whose(self, symbol: str | None) -> int:
        """Return the instrument that a snapshot belongs to: the only one, or the one that the recording names."""
        only = 0 if len(self._index_of) == 1 else -1
        return self._index_of.get((symbol or "").upper(), only)


def frame_replay(
    files: Sequence[Path],
    market: str,
    settings: Settings,
    make: Callable[[Sequence[Instrument]], FrameReplay] | None = None,
    store: PreparedRecordings | None = None,
) -> tuple[FrameReplay, Iterator[Block]]:
    """Return a replay of recordings and the frames to run it with. The grid is inferred from the frames, since no exchangeInfo is recorded.

    `make` makes the replay for the instruments that were found, where the plain one will not do. With a `store` the recordings are read
    from their prepared form, which is made now where there is none; what comes of them is the same.

    Raises:
        ReplayRefused: the recordings hold no depth or trade of any symbol.
    """
    damage: list[str] = []
    session = RecordedSession(files, store, partial(_note_damage, damage))
    try:
        replay = _made(session.instruments(Market(market)), files, damage, settings, make)
    except BaseException:
        session.close()
        raise
    replay.origin, replay.frames_ahead = session.origin, session.frames
    replay.damage = damage
    return replay, session.blocks()


def _note_damage(damage: list[str], path: Path, problem: RecordingDamaged) -> None:
    damage.append(f"{path.name} is damaged, and was used until there: {problem}")
    log.warning("recording damaged", file=path.name, problem=str(problem))


def _made(
    instruments: Sequence[Instrument],
    files: Sequence[Path],
    damage: Sequence[str],
    settings: Settings,
    make: Callable[[Sequence[Instrument]], FrameReplay] | None,
) -> FrameReplay:
    if not instruments:
        why = "".join(f"; {line}" for line in damage)
        raise ReplayRefused(
            f"no depth or trade frames in {', '.join(path.name for path in files)}{why}; a recording has `<receive time, ns> <frame>` "
            "a line, and `smartmoney import` makes one of other forms"
        )
    for instrument in instruments:
        log.info("provisional grid", symbol=instrument.symbol, tick=str(instrument.tick_size), lot=str(instrument.lot_size))
    return make(instruments) if make else FrameReplay(instruments, settings)


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
    summary["notes"] = [*feed_notes(replay.engine, replay.message_types, replay.backwards), *replay.damage]
    summary["frames_from"] = replay.origin
    summary["message_types"] = dict(sorted(replay.message_types.items()))
    summary["fold_codes"] = {code.name.lower(): count for code, count in replay.engine.market.codes.items() if count}
    summary["grids"] = {
        item.symbol: {"tick_size": f"{item.tick_size:f}", "lot_size": f"{item.lot_size:f}", "provisional": item.provisional}
        for item in replay.instruments
    }
    return summary


def _piece(block: Block, first: int, last: int) -> Block:
    """Return some frames of a block."""
    symbols = {at - first: symbol for at, symbol in block.symbols.items() if first <= at < last}
    return Block(buffer=block.buffer, rows=block.rows[:, first:last], symbols=symbols)


def _message_type(frame: RecordedFrame) -> str:
    if frame.is_snapshot:
        return "snapshot"
    head = frame.frame[:_LOOKED_AT]
    found = _EVENT.search(head)
    if found:
        return found[1].decode()
    return "bookTicker" if b"bookTicker" in head or b'"B":' in head else "other"
