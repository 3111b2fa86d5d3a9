"""Training and test rows of oracle worlds: a target or none, among hidden uninformed splitters, and what the exact public filter says.

Each batch holds several worlds one after another, an hour apart, so that nothing of one reaches into the next. `extras` has a value per
world: the row of its window's end, whether there was a target, on which side, and the oracle's log-likelihood ratios.
"""

import hashlib
from collections.abc import Iterator

import msgspec
import numpy as np

from smartmoney import __version__
from smartmoney.adapters.exchange_feed import Desk
from smartmoney.adapters.recordings import RecordedFrame
from smartmoney.core.features.parameters import FeatureParameters
from smartmoney.core.features.schema import SCHEMA_HASH
from smartmoney.learning.recorded import Recorded, RecordedCodec
from smartmoney.learning.sets.folding import FoldedRows
from smartmoney.learning.sets.rows import NO_TRUTH, SECOND_NS, Rows, Truth
from smartmoney.learning.sets.synthetic import ORIGIN_NS
from smartmoney.simulation.ladder import BID
from smartmoney.simulation.oracle_market import OracleBook
from smartmoney.simulation.oracle_report import default_world
from smartmoney.simulation.oracle_score import WindowScorer
from smartmoney.simulation.oracle_world import OracleWorld

FORM = 1
_APART_NS = 3600 * SECOND_NS
AFTER_S = 2
"""Seconds run past the window's end, so that its last row is written."""
_STEP_NS = 10 * SECOND_NS


class OracleBatch(msgspec.Struct, frozen=True, kw_only=True):
    """Name some worlds of one kind: `pairs` with a target and as many without, buyers and sellers in turn."""

    kind: str
    seed: int
    pairs: int

    @property
    def name(self) -> str:
        """Return a short name for people."""
        return f"oracle-{self.kind}-{self.seed}"

    @property
    def world(self) -> OracleWorld:
        """Return the law of these worlds: the default one of the kind."""
        return default_world(self.kind)

    def key(self, parameters: FeatureParameters) -> str:
        """Return the identity of the rows, in hexadecimal."""
        told = msgspec.json.encode((FORM, __version__, SCHEMA_HASH, self, self.world, parameters), order="sorted")
        return hashlib.sha256(told).hexdigest()[:24]


def simulate_windows(batch: OracleBatch, codec: RecordedCodec, parameters: FeatureParameters) -> Rows:
    """Return the rows of every world of a batch, and the oracle's scores of the same windows. Cost: some 0.4 s a world."""
    world, scorer = batch.world, WindowScorer(batch.world)
    parts: list[Rows] = []
    said: list[tuple[float, ...]] = []
    rows = 0
    for n in range(2 * batch.pairs):
        under_h1, side = n % 2 == 1, (n // 2) % 2
        book = OracleBook(world, batch.seed * 1_000_003 + n, under_h1=under_h1, side=side)
        part = _one(book, world, n, codec, parameters, is_target=under_h1, is_buyer=side == BID)
        score = scorer.score(book.events(), side)
        parts.append(part)
        end_ns = _start_ns(n) + round((world.warm_s + world.window_s) * 1e9)
        end = rows + int(np.searchsorted(part.times, end_ns, side="right")) - 1
        rows += len(part)
        said.append((end, float(under_h1), float(side), score.llr, score.llr_told))
    table = np.array(said)
    return Rows(
        name=batch.name,
        family=f"oracle_{batch.kind}",
        times=np.concatenate([one.times for one in parts]),
        values=np.concatenate([one.values for one in parts]),
        mid_after=np.concatenate([one.mid_after for one in parts]),
        truth=_joined([one.truth for one in parts if one.truth is not None]),
        extras=dict(zip(("end", "target", "side", "llr", "llr_told"), table.T.copy(), strict=True)),
    )


def _start_ns(n: int) -> int:
    return ORIGIN_NS + n * _APART_NS


def _one(
    book: OracleBook, world: OracleWorld, n: int, codec: RecordedCodec, parameters: FeatureParameters, *, is_target: bool, is_buyer: bool
) -> Rows:
    folded = FoldedRows(codec, book.instrument, parameters)
    seconds = round(world.warm_s + world.window_s) + AFTER_S
    times, values, mids = folded.run(frames_of_oracle(book, seconds, _start_ns(n)), [])
    inside = (times > _start_ns(n) + round(world.warm_s * 1e9)) & (times <= _start_ns(n) + round((world.warm_s + world.window_s) * 1e9))
    acting = inside & is_target
    zeros = np.zeros(len(times))
    truth = Truth(
        regime=np.full(len(times), NO_TRUTH, np.int8),
        participation=zeros,
        informed_buying=acting & is_buyer,
        informed_selling=acting & (not is_buyer),
        splitter=zeros,
        efficient=np.full(len(times), np.nan),
    )
    return Rows(name="", family="", times=times, values=values, mid_after=mids, truth=truth)


def frames_of_oracle(book: OracleBook, seconds: int, origin_ns: int) -> Iterator[Recorded]:
    """Run a fresh oracle world for so many seconds and yield what its public streams say."""
    desk = Desk(book, origin_ns)
    writers = [writer for kind in ("depth@100ms", "trade") if (writer := desk.open_stream(kind)) is not None]
    yield RecordedFrame(ts_wall_ns=origin_ns, frame=desk.snapshot(1000).encode(), is_snapshot=True, symbol=book.instrument.symbol)
    until = seconds * SECOND_NS
    for to_ns in sorted({*range(_STEP_NS, until, _STEP_NS), until}):
        batch = desk.take(book.advance(to_ns))
        for at, text in sorted((frame for write in writers for frame in write(batch)), key=lambda one: one[0]):
            yield RecordedFrame(ts_wall_ns=at, frame=text.encode(), is_snapshot=False, symbol=None)


def _joined(parts: list[Truth]) -> Truth:
    return Truth(**{name: np.concatenate([getattr(one, name) for one in parts]) for name in Truth.__struct_fields__})
