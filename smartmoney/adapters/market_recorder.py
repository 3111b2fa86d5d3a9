"""Record a synthetic market in simulated time: its public feed, and beside it, never inside it, the truth.

`DIR/feed/capture/<SYMBOL>.<market>.gz` and `DIR/feed/dataset/…` are what an outsider may see; `DIR/truth/…` is what nobody could. The same
market, times and origin give the same bytes of every file. Everything is written to a hidden folder beside DIR and takes DIR's name at the
end, so an interrupted run leaves nothing that looks complete. Memory does not grow with the length.
"""

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path

import msgspec
import numpy as np

from smartmoney import __version__
from smartmoney.adapters.dataset import DATASET_VERSION, InstrumentDataset, ParquetTable, instrument_folder, metadata_of
from smartmoney.adapters.exchange_feed import Desk
from smartmoney.adapters.exchange_warm import CaptureWriter
from smartmoney.simulation import ladder
from smartmoney.simulation.market import Rows, SimulatedBook, SyntheticMarket
from smartmoney.simulation.truth import BAR, REGIMES, BarMaker, Dwell

ORIGIN_NS = 1_735_689_600_000_000_000
"""The wall time at which a recording begins unless told otherwise: 2025-01-01T00:00:00Z."""
TRUTH_VERSION = 1
_SECOND_NS = 1_000_000_000
_FIRST_STEP_NS = 250_000_000
_STEP_NS = 10 * _SECOND_NS

PARENT_COLUMNS = {
    "ts_event_ns": "i8",
    "is_start": "?",
    "parent": "i8",
    "side": "i1",
    "kind": "i1",
    "lots": "i8",
    "style": "i1",
    "planned_end_ns": "i8",
}
EVENT_COLUMNS = {
    "ts_event_ns": "i8",
    "kind": "i1",
    "id": "i8",
    "side": "i1",
    "price_ticks": "i8",
    "lots": "i8",
    "maker_order": "i8",
    "taker_order": "i8",
    "maker_owner": "i2",
    "taker_owner": "i2",
    "maker_parent": "i8",
    "taker_parent": "i8",
}
BAR_COLUMNS = {name: BAR[name].str[1:] if BAR[name].kind != "b" else "?" for name in BAR.names or ()}


class RecordingRefused(Exception):
    """Say why nothing was recorded, and what to do."""

    exit_code = 2


class Recorded(msgspec.Struct, frozen=True):
    """Sum up a recording: rows per instrument and table, and the mean seconds that each regime held."""

    directory: str
    scenario: str
    seed: int
    origin_ns: int
    seconds: int
    scenario_hash: str
    versions: dict[str, str]
    rows: dict[str, dict[str, int]]
    mean_dwell_s: dict[str, dict[str, float | None]]
    seconds_in: dict[str, dict[str, int]]
    regimes: tuple[str, ...] = REGIMES


def record(
    market: SyntheticMarket,
    directory: Path,
    seconds: int,
    *,
    scenario: str = "first_run",
    origin_ns: int = ORIGIN_NS,
    with_truth: bool = True,
    progress: Callable[[float], None] = lambda _done: None,
) -> Recorded:
    """Run a fresh market for so many simulated seconds and write it down; `progress` gets the share done.

    `scenario` is the name to write down; what the market was is told by the scenario's hash.

    Raises:
        RecordingRefused: the directory holds something already, or the market has run before.
        OSError: it cannot be written.
    """
    if any(book.now_ns for book in market.books.values()):
        raise RecordingRefused("the market has run already; record a fresh one")
    with _finished_or_gone(directory) as folder, ExitStack() as files:
        scribes = [_Scribe(book, origin_ns, folder, files, with_truth=with_truth) for book in market.books.values()]
        until = seconds * _SECOND_NS
        # The first step is short, so that the snapshot stands near the beginning of the capture.
        for to_ns in sorted({min(_FIRST_STEP_NS, until), *range(_STEP_NS, until, _STEP_NS), until}):
            for scribe in scribes:
                scribe.advance(to_ns)
            progress(to_ns / until)
        files.close()
        summary = _summary(market, scribes, directory, seconds, origin_ns, scenario)
        if with_truth:
            meta = {"truth_version": TRUTH_VERSION, **msgspec.to_builtins(summary)}
            del meta["directory"]
            (folder / "truth" / "meta.json").write_bytes(msgspec.json.format(msgspec.json.encode(meta), indent=2) + b"\n")
    return summary


class _Scribe:
    """Write one book's feed and truth."""

    def __init__(self, book: SimulatedBook, origin_ns: int, folder: Path, files: ExitStack, *, with_truth: bool) -> None:
        self.key = f"{book.instrument.market.value}.{book.instrument.symbol}"
        self.rows: dict[str, int] = {}
        self.dwell = Dwell()
        self._book = book
        self._origin_ns = origin_ns
        self._desk = Desk(book, origin_ns)
        capture = folder / "feed" / "capture" / f"{book.instrument.symbol}.{book.instrument.market.value}.gz"
        capture.parent.mkdir(parents=True, exist_ok=True)
        self._capture = CaptureWriter(self._desk, capture)
        files.callback(self._capture.close)
        self._dataset = InstrumentDataset(folder / "feed" / "dataset", book.instrument)
        files.callback(self._dataset.close)
        self._dataset.start(book.snapshot(ladder.POOL), origin_ns)
        self._bars = BarMaker()
        self._truth: dict[str, ParquetTable] = {}
        if with_truth:
            book.tell()
            place, metadata = instrument_folder(folder / "truth", book.instrument), metadata_of(book.instrument)
            for name, columns in (("parents", PARENT_COLUMNS), ("events", EVENT_COLUMNS), ("bars", BAR_COLUMNS)):
                self._truth[name] = ParquetTable(place, name, columns, metadata)
                files.callback(self._truth[name].close)

    def advance(self, to_ns: int) -> None:
        rows = self._book.advance(to_ns)
        batch = self._desk.take(rows)
        self._capture.write(batch)
        self._dataset.write(rows)
        told = self._book.truth()
        if self._truth:
            self._write_truth(told)
        self.rows = {**self._dataset.rows, **{name: table.rows for name, table in self._truth.items()}}

    def _write_truth(self, told: Rows) -> None:
        told[:, ladder.TIME] += self._origin_ns
        kinds = told[:, ladder.KIND]
        parents = told[(kinds == ladder.PARENT_STARTED) | (kinds == ladder.PARENT_ENDED)]
        is_start = parents[:, ladder.KIND] == ladder.PARENT_STARTED
        ends = np.where(is_start & (parents[:, ladder.TAKER] > 0), parents[:, ladder.TAKER] + self._origin_ns, 0)
        plain = [parents[:, c] for c in (ladder.ID, ladder.SIDE, ladder.TICK, ladder.LOTS, ladder.MAKER)]
        self._truth["parents"].write(dict(zip(PARENT_COLUMNS, [parents[:, ladder.TIME], is_start, *plain, ends], strict=True)))
        bars = self._bars.feed(told)
        self._truth["bars"].write({name: bars[name] for name in BAR_COLUMNS})
        self.dwell.feed(bars["regime"])
        events = told[~np.isin(kinds, (ladder.PARENT_STARTED, ladder.PARENT_ENDED, ladder.TRUTH_BAR))]
        order = (ladder.TIME, ladder.KIND, *range(ladder.ID, ladder.TAKER_PARENT + 1))
        self._truth["events"].write(dict(zip(EVENT_COLUMNS, (events[:, c] for c in order), strict=True)))


def _summary(market: SyntheticMarket, scribes: list[_Scribe], directory: Path, seconds: int, origin_ns: int, scenario: str) -> Recorded:
    return Recorded(
        directory=str(directory),
        scenario=scenario,
        seed=market.seed,
        origin_ns=origin_ns,
        seconds=seconds,
        scenario_hash=hashlib.sha256(msgspec.json.encode(market.scenario, order="sorted")).hexdigest(),
        versions={
            "smartmoney": __version__,
            "dataset": str(DATASET_VERSION),
            **{name: version(name) for name in ("numba", "numpy", "pyarrow")},
        },
        rows={scribe.key: scribe.rows for scribe in scribes},
        mean_dwell_s={scribe.key: scribe.dwell.mean_s() for scribe in scribes},
        seconds_in={scribe.key: dict(zip(REGIMES, scribe.dwell.seconds, strict=True)) for scribe in scribes},
    )


@contextmanager
def _finished_or_gone(directory: Path) -> Iterator[Path]:
    """Give a hidden folder beside the directory; it takes the directory's name at the end, or goes."""
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise RecordingRefused(f"{directory} holds something already; name an empty or a new directory")
    directory.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", suffix=".part", dir=directory.parent))
    try:
        yield folder
        folder.chmod(0o755)
        folder.rename(directory)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
