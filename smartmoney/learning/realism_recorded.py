"""Recordings in the form of `realism_series`: the live fold over the frames, every public trade, and the spreads of the best-quote stream.

Best-quote frames never reach the fold, which would ignore them: the spread of each is counted, the rest is as if they had not been sent.
"""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from smartmoney.adapters.prepared_recordings import PreparedRecordings
from smartmoney.adapters.recordings import RecordedFrame
from smartmoney.core.book.state import ASK, BID, PHASE_SYNCED
from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.core.features.parameters import FeatureParameters
from smartmoney.learning.feature_study import FINE_NS
from smartmoney.learning.grid_fold import GridFold
from smartmoney.learning.realism_series import SPREADS, Ints, Observed, merged
from smartmoney.learning.recorded import Recorded, RecordedCodec, RecordingRefused, find_instruments, read_frames
from smartmoney.learning.top_watch import TopWatch


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """Name one continuous recording: its files below the folder of captures, and the market."""

    name: str
    files: tuple[str, ...]
    market: Market


SESSIONS = (
    Session(name="usdm BTC 2024", files=("usdm/btcusdt_20240808.gz",), market=Market.USDM),
    Session(name="usdm BTC 2023", files=("usdm/btcusdt_20230404.dat.gz", "usdm/btcusdt_20230405.dat.gz"), market=Market.USDM),
    Session(name="usdm ETH", files=("usdm/ethusdt_20240808.gz",), market=Market.USDM),
    Session(name="coinm BTC", files=("cm/btcusd_perp_20240808.gz", "cm/btcusd_perp_20240809.gz"), market=Market.COINM),
    Session(name="spot BTC", files=("spot/btcusdt_20240808.gz", "spot/btcusdt_20240809.gz"), market=Market.SPOT),
    Session(name="spot ETH", files=("spot/ethusdt_20240808.gz", "spot/ethusdt_20240809.gz"), market=Market.SPOT),
)
"""The public recordings of Binance (repository nkaz001/hftbacktest, MIT licence) that the published baseline was made on."""
FOLDER = "hftbacktest"


class _Quote(msgspec.Struct):
    b: str
    a: str


class _QuoteFrame(msgspec.Struct):
    data: _Quote


_quotes = msgspec.json.Decoder(_QuoteFrame)
_HEAD = 64
"""Bytes of a frame within which its envelope names the stream."""


class _Watch:
    """Watch the touch, as a study does, and besides it each trade and what left the book."""

    def __init__(self) -> None:
        self.top = TopWatch()
        self.trades = [array("q") for _ in range(4)]
        self.removed = 0
        self._seen = (0, -1, -1)
        self._levels: tuple[dict[int, int], dict[int, int]] = ({}, {})

    def note(self, states: Any) -> None:
        """Take note of one frame."""
        self.top.note(states)
        state = states[0]
        trades, depth, snapshots = int(state["trades"]), int(state["last_update_id"]), int(state["snapshots"])
        before, self._seen = self._seen, (trades, depth, snapshots)
        if trades != before[0]:
            names = ("last_trade_event_ns", "last_trade_sign", "last_trade_lots", "last_trade_tick")
            for column, name in zip(self.trades, names, strict=True):
                column.append(int(state[name]))
        if int(state["phase"]) != PHASE_SYNCED or (depth, snapshots) == before[1:]:
            return
        if snapshots != before[2]:
            self._levels = ({}, {})
        self._change(state)

    def _change(self, state: Any) -> None:
        for side in (int(BID), int(ASK)):
            count = int(state["scan_count"][side])
            ticks, lots = state["scan_prices"][side, :count].tolist(), state["scan_quantities"][side, :count].tolist()
            known = self._levels[side]
            for tick, now in zip(ticks, lots, strict=True):
                self.removed += max(known.get(tick, 0) - now, 0)
                known[tick] = now

    def fills(self) -> tuple[Ints, Ints, Ints, Ints]:
        """Return times, signs, lots and ticks of all trades."""
        times, signs, lots, ticks = (np.frombuffer(column, np.int64).copy() for column in self.trades)
        return times, signs, lots, ticks


def observe_recording(name: str, files: Sequence[Path], instrument: Instrument, codec: RecordedCodec) -> Observed:
    """Fold one recording. Cost: some 10 µs a frame.

    Raises:
        RecordingRefused: it gives no bars.
        OSError: a file cannot be read.
    """
    watch = _Watch()
    spreads = np.zeros(SPREADS, np.int64)
    fold = GridFold(codec, instrument, FeatureParameters(), FINE_NS, watch.top.sample, watch)
    fold.run(_without_quotes(read_frames(files), float(instrument.tick_size), spreads))
    bars = watch.top.bars()
    if not len(bars.times):
        raise RecordingRefused(f"{name}: no book can be made of {', '.join(path.name for path in files)}")
    times, signs, lots, ticks = watch.fills()
    return Observed(
        name=name,
        bars=bars,
        spreads=spreads,
        fills=merged(times, signs, lots, ticks),
        removed_lots=watch.removed,
        traded_lots=int(lots.sum()),
    )


def _without_quotes(recorded: Iterable[Recorded], tick: float, spreads: Ints) -> Iterator[Recorded]:
    for one in recorded:
        if isinstance(one, RecordedFrame) and b"@bookTicker" in one.frame[:_HEAD]:
            quote = _quotes.decode(one.frame).data
            ticks = round((float(quote.a) - float(quote.b)) / tick)
            spreads[min(max(ticks, 0), SPREADS - 1)] += 1
        else:
            yield one


def observe_captures(
    captures: Path, codec: RecordedCodec, sessions: Sequence[Session] = SESSIONS, store: PreparedRecordings | None = None
) -> list[Observed]:
    """Return every session whose files are all there, in the order given.

    Grids are taken from prepared forms where there is a `store`; frames are read as they are, since best quotes have no price there.
    """
    found = []
    for session in sessions:
        paths = [captures / FOLDER / one for one in session.files]
        if all(path.is_file() for path in paths):
            [instrument] = find_instruments(paths, codec, session.market, store)
            found.append(observe_recording(session.name, paths, instrument, codec))
    return found
