"""Rows of oracle worlds that are watched like a feed: hours without a target, and targets that last until somebody notices.

A watch's alarm needs both: the quiet hours say how high it climbs when there is nothing (uninformed splitters are there), the others how
soon it is above that once there is something. Each batch holds several worlds, two hours apart. The oracle's own CUSUM runs over the very
same events and lies beside the rows, in `extras`: a value per world in `first` (its first row), `begin` (the first row that is watched) and
`end` (one past the last); what the oracle's statistic did in `peaks.KIND` (world, height) or `highs` (world, delay in s, height, side).
"""

import hashlib

import msgspec
import numpy as np
from numpy.typing import NDArray

from smartmoney import __version__
from smartmoney.core.features.parameters import FeatureParameters
from smartmoney.core.features.schema import SCHEMA_HASH
from smartmoney.learning.recorded import RecordedCodec
from smartmoney.learning.sets.folding import FoldedRows
from smartmoney.learning.sets.oracle_windows import AFTER_S, frames_of_oracle
from smartmoney.learning.sets.rows import SECOND_NS, Rows
from smartmoney.learning.sets.synthetic import ORIGIN_NS
from smartmoney.simulation.oracle_market import OracleBook
from smartmoney.simulation.oracle_report import default_world
from smartmoney.simulation.oracle_score import watch, watchers
from smartmoney.simulation.oracle_world import KINDS, OracleWorld

Floats = NDArray[np.float64]

FORM = 1
HOUR_S = 3600
_PEAKS = 1 << 14
_APART_NS = 7200 * SECOND_NS


class QuietHours(msgspec.Struct, frozen=True, kw_only=True):
    """Name hours without a target, each a world of its own.

    Without a target, worlds of takers are one law whatever their kind; those of `is_iceberg` are another, with hidden uninformed icebergs.
    """

    is_iceberg: bool
    seed: int
    hours: int

    @property
    def kinds(self) -> tuple[str, ...]:
        """Return the kinds of target that these hours have none of."""
        return tuple(kind for kind in KINDS if (kind == "iceberg") == self.is_iceberg)

    @property
    def name(self) -> str:
        """Return a short name for people."""
        return f"quiet-{'icebergs' if self.is_iceberg else 'takers'}-{self.seed}"

    def key(self, parameters: FeatureParameters) -> str:
        """Return the identity of the rows, in hexadecimal."""
        return _key(self, [default_world(kind) for kind in self.kinds], parameters)


class WatchedTargets(msgspec.Struct, frozen=True, kw_only=True):
    """Name so many worlds of one kind with a target, buyers and sellers in turn, that lasts `lasts_s`."""

    kind: str
    seed: int
    targets: int
    lasts_s: int = 1800

    @property
    def name(self) -> str:
        """Return a short name for people."""
        return f"watched-{self.kind}-{self.seed}"

    def key(self, parameters: FeatureParameters) -> str:
        """Return the identity of the rows, in hexadecimal."""
        return _key(self, [default_world(self.kind)], parameters)


def simulate_quiet(batch: QuietHours, codec: RecordedCodec, parameters: FeatureParameters) -> Rows:
    """Return the rows of quiet hours and the peaks of the oracle's CUSUM, one per excursion. Cost: some 4 s an hour."""
    worlds = [msgspec.structs.replace(default_world(kind), window_s=float(HOUR_S)) for kind in batch.kinds]
    peaks: dict[str, list[Floats]] = {kind: [] for kind in batch.kinds}
    feeds = _Feeds(codec, parameters)
    for n in range(batch.hours):
        book = OracleBook(worlds[0], batch.seed * 1_000_003 + n, under_h1=False)
        feeds.take(book, worlds[0])
        events = _until(book.events(), worlds[0])
        for world in worlds:
            heights = oracle_peaks(world, events, round(world.warm_s * 1e9))
            peaks[world.kind].append(np.column_stack([np.full(len(heights), float(n)), heights]))
    return feeds.rows(
        batch.name, "oracle_quiet", {f"peaks.{kind}": np.concatenate(found).astype(np.float64) for kind, found in peaks.items()}
    )


def simulate_targets(batch: WatchedTargets, codec: RecordedCodec, parameters: FeatureParameters) -> Rows:
    """Return the rows of watched targets and the new highs of the oracle's CUSUM since each began. Cost: some 2 s a target."""
    world = msgspec.structs.replace(default_world(batch.kind), window_s=float(batch.lasts_s))
    highs: list[Floats] = []
    feeds = _Feeds(codec, parameters)
    for n in range(batch.targets):
        book = OracleBook(world, batch.seed * 1_000_003 + n, under_h1=True, side=n % 2)
        feeds.take(book, world)
        found = oracle_highs(world, _until(book.events(), world), round(world.warm_s * 1e9))
        highs.append(np.column_stack([np.full(len(found), float(n)), found]))
    sides = (np.arange(batch.targets) % 2).astype(np.float64)
    return feeds.rows(batch.name, f"oracle_{batch.kind}", {"highs": np.concatenate(highs), "side": sides})


def oracle_highs(world: OracleWorld, events: NDArray[np.int64], starts_ns: int) -> Floats:
    """Return the new highs (delay in s, height, side) of the oracle's CUSUM over a world's events since a time."""
    found, _ = _watched(world, events, starts_ns)
    found[:, 0] = (found[:, 0] - starts_ns) * 1e-9
    return found


def oracle_peaks(world: OracleWorld, events: NDArray[np.int64], starts_ns: int) -> Floats:
    """Return the heights of the CUSUM's excursions that end after a time; what is above zero at the end counts, too."""
    ended, standing = _watched(world, events, -1)
    return np.concatenate([ended[ended[:, 0] >= starts_ns, 1], standing[standing > 0.0]])


def _watched(world: OracleWorld, events: NDArray[np.int64], since_ns: int) -> tuple[Floats, Floats]:
    peaks = np.zeros((_PEAKS, 3))
    filters, totals = watchers(world), np.zeros((3, 2))
    used = watch(filters, totals, events, peaks, 0, since_ns)
    assert not filters["fault"].any(), "more orders than a filter can hold could each have been the last child"
    return peaks[:used].copy(), totals[2]


class _Feeds:
    """Fold one world after the other."""

    def __init__(self, codec: RecordedCodec, parameters: FeatureParameters) -> None:
        self._codec, self._parameters = codec, parameters
        self._parts: list[tuple[NDArray[np.int64], NDArray[np.float32], Floats]] = []
        self._marks: list[tuple[int, int, int]] = []

    def take(self, book: OracleBook, world: OracleWorld) -> None:
        """Run a fresh world to its window's end."""
        origin_ns = ORIGIN_NS + len(self._parts) * _APART_NS
        starts_s, ends_s = round(world.warm_s), round(world.warm_s + world.window_s)
        folded = FoldedRows(self._codec, book.instrument, self._parameters)
        part = folded.run(frames_of_oracle(book, ends_s + AFTER_S, origin_ns), [])
        first = sum(len(times) for times, _, _ in self._parts)
        begin, end = np.searchsorted(part[0], [origin_ns + at * SECOND_NS for at in (starts_s, ends_s)], side="right").tolist()
        self._parts.append(part)
        self._marks.append((first, first + begin, first + end))

    def rows(self, name: str, family: str, oracle: dict[str, Floats]) -> Rows:
        """Return all of it, with what the oracle said."""
        times, values, mids = (np.concatenate(column) for column in zip(*self._parts, strict=True))
        first, begin, end = np.array(self._marks, np.float64).T.copy()
        return Rows(
            name=name,
            family=family,
            times=times,
            values=values,
            mid_after=mids,
            truth=None,
            extras={"first": first, "begin": begin, "end": end, **oracle},
        )


def _until(events: NDArray[np.int64], world: OracleWorld) -> NDArray[np.int64]:
    """Return the events up to the window's end."""
    return events[: np.searchsorted(events[:, 0], round((world.warm_s + world.window_s) * 1e9), side="right")]


def _key(batch: QuietHours | WatchedTargets, worlds: list[OracleWorld], parameters: FeatureParameters) -> str:
    told = msgspec.json.encode((FORM, __version__, SCHEMA_HASH, type(batch).__name__, batch, worlds, parameters), order="sorted")
    return hashlib.sha256(told).hexdigest()[:24]
