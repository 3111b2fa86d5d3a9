"""Evaluate settings on a stretch of past, on any machine that has the same sources and the same build, and say so where it has not.

Invariants: what comes out depends on the evaluation alone; sources are compared by content, never by date or name; a synthetic market is
made once a process, not once an evaluation.
"""

import functools
import hashlib
import socket
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

import smartmoney
from smartmoney import __version__
from smartmoney.adapters.dataset_reader import DatasetRefused, together
from smartmoney.adapters.trial_log import Outcome
from smartmoney.runtime.backtest import BacktestJob, BacktestRefused, BuiltIn, JobResult, Recordings, Source, StoredDays, models_of, run_job
from smartmoney.runtime.backtest_sources import record_built_in
from smartmoney.runtime.models import BundleRefused, ModelNotFound
from smartmoney.runtime.replay import ReplayRefused
from smartmoney.runtime.stretch_shares import OnShare
from smartmoney.runtime.tuning_worker import EvaluationRefused, unheard
from smartmoney.settings.errors import ConfigurationError
from smartmoney.settings.models import Settings
from smartmoney.settings.scenario import load_scenario

MARK_S = 10
"""Equity is journaled this often, in seconds of market."""
_MARK_NS = MARK_S * 1_000_000_000
_CHUNK = 1 << 20

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Content = tuple[tuple[str, str], ...]
"""Each part of a source by name, with the SHA-256 of what it holds."""


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """Be a backtest of one stretch, with what the source holds, and which build, model and strategy of the user's own it is meant for."""

    job: BacktestJob
    content: Content
    code: str
    strategy: str
    model: str


class Marks(msgspec.Struct, frozen=True, kw_only=True):
    """Say what came of one stretch: `equity` `(marks,)` in quote at the end of each `MARK_S`, `fills` `(marks,)` how many there were."""

    first_wall_ns: int
    cash: float
    equity: Floats
    fills: Integers
    outcome: Outcome


@functools.cache
def code_hash() -> str:
    """Return the SHA-256 of the package's sources: what decides what an evaluation gives, beside its settings and source."""
    home = Path(smartmoney.__file__).resolve().parent
    digest = hashlib.sha256(__version__.encode())
    for path in sorted(home.rglob("*.py")):
        digest.update(path.relative_to(home).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def content_of(source: Source) -> Content:
    """Return what a source holds.

    Raises:
        OSError: a file cannot be read.
        ConfigurationError: there is no such scenario.
        DatasetRefused: there is no such dataset, or day of it.
    """
    if isinstance(source, BuiltIn):
        what = (load_scenario(source.scenario), source.seed, source.seconds, source.market, source.symbols, code_hash())
        return ((f"scenario {source.scenario}", hashlib.sha256(msgspec.json.encode(what)).hexdigest()),)
    if isinstance(source, Recordings):
        files = [Path(file) for file in source.files]
    elif isinstance(source, StoredDays):
        stored = together(Path(source.root), source.market, source.symbol, source.first, source.last)
        files = [file for one in stored for day in one.days for file in sorted((one.folder / day).glob("*.parquet"))]
    else:
        files = sorted(path for path in Path(source.folder).iterdir() if path.is_file())
    return tuple((str(path), _file_hash(path)) for path in files)


def strategy_hash(settings: Settings) -> str:
    """Return the hash of the Python files beside the configuration, where a user's strategy stands; empty for the built-in one.

    Raises:
        OSError: a file cannot be read.
    """
    if settings.strategy_class is None or settings.directory is None:
        return ""
    digest = hashlib.sha256()
    for path in sorted(Path(settings.directory).glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def model_of(job: BacktestJob) -> str:
    """Return the model that a job decides by: its hash, or the prior's name.

    Raises:
        ModelNotFound, BundleRefused: it cannot be had here.
        OSError: a file cannot be read.
    """
    return models_of(job).choose(job.settings)


def past_of(jobs: Sequence[BacktestJob], contents: Sequence[Content]) -> str:
    """Return the name of a past: the same for the same recordings, wherever they lie."""
    parts = sorted(
        (getattr(job.source, "market", ""), [digest for _, digest in content]) for job, content in zip(jobs, contents, strict=True)
    )
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()


def run_evaluation(evaluation: Evaluation, on_share: OnShare = unheard) -> Marks:
    """Run one evaluation; `on_share` is told how much of its stretch is done.

    Raises:
        EvaluationRefused: this machine lacks the source or has another build, or there is nothing to test.
    """
    _check(evaluation)
    job = evaluation.job
    notes: tuple[str, ...] = ()
    try:
        if isinstance(job.source, BuiltIn):
            notes = (f"market: synthetic, {job.source.scenario}, seed {job.source.seed}: proves nothing about yours",)
            job = msgspec.structs.replace(job, source=recorded(job.source))
        result = run_job(job, on_share=on_share)
    except (BacktestRefused, ReplayRefused, DatasetRefused, ConfigurationError, OSError) as problem:
        raise EvaluationRefused(str(problem)) from None
    return marks_of(result, float(job.settings.equity_start), notes)


def marks_of(result: JobResult, cash: float, notes: tuple[str, ...] = ()) -> Marks:
    """Return equity and fills on the grid of marks. Equity between journaled points is the last one; the end's is exact.

    Raises:
        EvaluationRefused: the stretch is shorter than one mark.
    """
    count = int(result.result.seconds * 1e9) // _MARK_NS
    if count < 1 or not result.equity:
        raise EvaluationRefused(f"{result.name} holds {result.result.seconds:g} s with a known equity; record {MARK_S} s at least")
    walls, values = (np.asarray(column) for column in zip(*result.equity, strict=True))
    first = int(walls[0])
    ends = first + _MARK_NS * np.arange(1, count + 1)
    equity = values.astype(np.float64)[np.searchsorted(walls, ends, "right") - 1]
    equity[-1] = cash + result.result.net_pnl
    filled = np.array([fill.wall_ns for fill in result.fills], np.int64)
    fills = np.bincount(np.clip((filled - first) // _MARK_NS, 0, count - 1), minlength=count).astype(np.int64)
    part = result.result
    outcome = Outcome(
        net=part.net_return,
        max_drawdown=part.max_drawdown,
        orders=part.orders,
        fills=part.fills,
        halted=part.halted,
        digest=part.digest,
        assumptions=(*notes, *part.assumptions),
    )
    return Marks(first_wall_ns=first, cash=cash, equity=equity, fills=fills, outcome=outcome)


def check_build(code: str) -> None:
    """Refuse work that another build asks for.

    Raises:
        EvaluationRefused: which machine it is.
    """
    if code != code_hash():
        raise EvaluationRefused(
            f"{socket.gethostname()} has another build of smartmoney ({__version__}); install the same one on every machine"
        )


def check_content(name: str, source: Source, content: Content) -> None:
    """Refuse a source that holds something else here.

    Raises:
        EvaluationRefused: which machine it is, and which part of the source.
    """
    host = socket.gethostname()
    try:
        here = dict(content_of(source))
    except (ConfigurationError, DatasetRefused, OSError) as problem:
        raise _unread(name, problem) from None
    for part, digest in content:
        if here.get(part) != digest:
            state = "holds something else in" if part in here else "has no"
            raise EvaluationRefused(f"{host} {state} {part}; share the folder, or copy it again")


def _unread(name: str, problem: Exception) -> EvaluationRefused:
    return EvaluationRefused(f"{socket.gethostname()} cannot read {name} ({problem}); share the folder so that every machine has that path")


def _check(evaluation: Evaluation) -> None:
    host, name = socket.gethostname(), evaluation.job.name
    check_build(evaluation.code)
    check_content(name, evaluation.job.source, evaluation.content)
    try:
        strategy = strategy_hash(evaluation.job.settings)
        # What was trained for the job comes with it.
        model = evaluation.model if evaluation.job.turns else model_of(evaluation.job)
    except (ConfigurationError, ModelNotFound, BundleRefused, OSError) as problem:
        raise _unread(name, problem) from None
    if evaluation.strategy != strategy:
        raise EvaluationRefused(f"{host} has another {evaluation.job.settings.strategy_class}; share the configuration's folder")
    if evaluation.model != model:
        raise EvaluationRefused(
            f"{host} would decide by the model {model[:12]}, not by {evaluation.model[:12]}; share the model store's folder"
        )


def _file_hash(path: Path) -> str:
    state = path.stat()
    return _hash_of(str(path), state.st_size, state.st_mtime_ns)


@functools.lru_cache(maxsize=4096)
def _hash_of(path: str, _size: int, _mtime_ns: int) -> str:
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    """Return this process's folder of synthetic markets, which goes when the process does."""
    return tempfile.TemporaryDirectory(prefix="smartmoney-tune-")


@functools.cache
def recorded(source: BuiltIn) -> Recordings:
    """Return the recording of a synthetic market, made once a process."""
    folder = Path(tempfile.mkdtemp(dir=_folder().name))
    return Recordings(record_built_in(source.scenario, source.seed, source.seconds, source.market, source.symbols, folder), source.market)
