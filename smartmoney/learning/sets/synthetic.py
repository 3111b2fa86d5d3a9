"""Training rows of a synthetic market, in process: market to frames to the live fold, and the truth of the same seconds beside them.

Invariants: the same `World` gives the same rows, byte for byte; the features come from public frames only; a row at t gets the truth bar
that ends at t, which holds what happened up to t and nothing later.
"""

import hashlib
from collections.abc import Iterator

import msgspec
import numpy as np
from numpy.typing import NDArray

from smartmoney import __version__
from smartmoney.adapters.exchange_feed import Desk
from smartmoney.adapters.recordings import RecordedFrame
from smartmoney.core.domain.instruments import Market
from smartmoney.core.features.parameters import FeatureParameters
from smartmoney.core.features.schema import SCHEMA_HASH
from smartmoney.learning.recorded import Recorded, RecordedCodec
from smartmoney.learning.sets.folding import FoldedRows
from smartmoney.learning.sets.rows import NO_TRUTH, SECOND_NS, Rows, Truth
from smartmoney.simulation.market import SimulatedBook, SyntheticMarket
from smartmoney.simulation.scenario import Scenario
from smartmoney.simulation.truth import BAR, TRAILING, BarMaker

ORIGIN_NS = 1_735_689_600_000_000_000
FORM = 1
"""Raise it when the same world gives other rows."""
_FIRST_STEP_NS = 250_000_000
_STEP_NS = 10 * SECOND_NS
_SNAPSHOT_LEVELS = 1000
_STREAMS = ("depth@100ms", "trade")


class World(msgspec.Struct, frozen=True, kw_only=True):
    """Name one synthetic market: whose parameters, which seed, for how many seconds. `family` is what is left out together."""

    family: str
    scenario: Scenario
    seed: int
    seconds: int
    symbol: str = "BTCUSDT"
    market: Market = Market.USDM

    @property
    def name(self) -> str:
        """Return a short name for people."""
        return f"{self.family}-{self.scenario.name}-{self.seed}"

    def key(self, parameters: FeatureParameters) -> str:
        """Return the identity of the rows that this world gives, in hexadecimal."""
        told = msgspec.json.encode((FORM, __version__, SCHEMA_HASH, self, parameters), order="sorted")
        return hashlib.sha256(told).hexdigest()[:24]


def simulate(world: World, codec: RecordedCodec, parameters: FeatureParameters) -> Rows:
    """Return the rows of a world. Cost: some 5 s per simulated hour of BTCUSDT on one core, 2 MB an hour."""
    return simulate_with_bars(world, codec, parameters)[0]


def simulate_with_bars(world: World, codec: RecordedCodec, parameters: FeatureParameters) -> tuple[Rows, NDArray[np.void]]:
    """Return the rows of a world and every bar of its truth, whose times count from `ORIGIN_NS`."""
    market = SyntheticMarket(world.seed, world.scenario, (world.symbol,), (world.market,))
    book = market.books[world.market, world.symbol]
    book.tell()
    bars: list[NDArray[np.void]] = []
    folded = FoldedRows(codec, book.instrument, parameters)
    times, values, mids = folded.run(_frames(book, world.seconds, bars), [])
    told = np.concatenate(bars) if bars else np.zeros(0, BAR)
    rows = Rows(name=world.name, family=world.family, times=times, values=values, mid_after=mids, truth=truth_at(times, told, ORIGIN_NS))
    return rows, told


def frames_of(book: SimulatedBook, seconds: int) -> Iterator[tuple[int, list[RecordedFrame]]]:
    """Run a fresh book and yield, for each step, its end in ns and what its public streams said, with one snapshot near the beginning."""
    desk = Desk(book, ORIGIN_NS)
    writers = [writer for kind in _STREAMS if (writer := desk.open_stream(kind)) is not None]
    until = seconds * SECOND_NS
    has_snapshot = False
    for to_ns in sorted({min(_FIRST_STEP_NS, until), *range(_STEP_NS, until, _STEP_NS), until}):
        batch = desk.take(book.advance(to_ns))
        timed = sorted((frame for write in writers for frame in write(batch)), key=lambda one: one[0])
        frames = [RecordedFrame(ts_wall_ns=at, frame=text.encode(), is_snapshot=False, symbol=None) for at, text in timed]
        if not has_snapshot and frames:
            has_snapshot = True
            body = desk.snapshot(_SNAPSHOT_LEVELS).encode()
            frames.append(RecordedFrame(ts_wall_ns=desk.now_ns, frame=body, is_snapshot=True, symbol=book.instrument.symbol))
        yield to_ns, frames


def _frames(book: SimulatedBook, seconds: int, bars: list[NDArray[np.void]]) -> Iterator[Recorded]:
    maker = BarMaker()
    for _, frames in frames_of(book, seconds):
        bars.append(maker.feed(book.truth()))
        yield from frames


def bar_at(times: NDArray[np.int64], bars: NDArray[np.void], origin_ns: int) -> tuple[NDArray[np.bool_], NDArray[np.void]]:
    """Return for each time whether a bar ends then, and the bar; times of bars count from `origin_ns`."""
    ends = bars["ts_event_ns"] + origin_ns
    if not len(ends):
        return np.zeros(len(times), np.bool_), np.zeros(len(times), BAR)
    place = np.searchsorted(ends, times)
    inside = np.minimum(place, len(ends) - 1)
    return (place < len(ends)) & (ends[inside] == times), bars[inside]


def truth_at(times: NDArray[np.int64], bars: NDArray[np.void], origin_ns: int) -> Truth:
    """Return the bar that ends at each time; −1 and zeros where none does. Times of bars count from `origin_ns`."""
    known, chosen = bar_at(times, bars, origin_ns)
    inside = np.minimum(np.searchsorted(bars["ts_event_ns"] + origin_ns, times), max(len(bars) - 1, 0))
    traded, split = (np.cumsum(np.r_[np.zeros(TRAILING, np.int64), bars[name]]) for name in ("traded_lots", "splitter_lots"))
    share = (split[TRAILING:] - split[:-TRAILING]) / np.maximum(traded[TRAILING:] - traded[:-TRAILING], 1)
    return Truth(
        regime=np.where(known, chosen["regime"], NO_TRUTH).astype(np.int8),
        participation=np.where(known, chosen["participation_60s"], 0.0),
        informed_buying=known & (chosen["buyer_left_share"] > 0.0),
        informed_selling=known & (chosen["seller_left_share"] > 0.0),
        splitter=np.where(known, share[inside], 0.0) if len(bars) else np.zeros(len(times)),
        efficient=np.where(known, chosen["efficient_ticks"], np.nan),
    )
