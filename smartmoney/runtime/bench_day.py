"""How a backtest's time and memory grow with the length of what is tested, and with how many instruments it holds.

The same recording again and again, its times and numbers moved on, until it holds as many frames as a busy day; and several of them side
by side under other names. Each repetition begins with a sequence that breaks and a snapshot that mends it, as after a reconnection. Every
run is in a process of its own, from the file to the result: CPU seconds of one core without the start of the process, and the peak of its
resident memory with all that it loads.
"""

import itertools
import math
import multiprocessing
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from time import process_time

import msgspec
import numpy as np
from zlib_ng import gzip_ng

from smartmoney.adapters.recordings import open_recording
from smartmoney.core.domain.instruments import Market
from smartmoney.runtime import logs
from smartmoney.runtime.backtest import BacktestJob, Recordings, run_job
from smartmoney.runtime.backtest_sources import record_built_in
from smartmoney.runtime.bench import Figure
from smartmoney.runtime.cached_files import prepared_recordings
from smartmoney.runtime.worker_ends import end_with_the_parent
from smartmoney.settings.load import load_settings
from smartmoney.simulation.order_latency import OrderLatency

DAY_FRAMES = 3_000_000
"""Depth and trade frames of a busy day."""
LONGER = 8
SEVERAL = (1, 2, 4)
SIMULATED_S = 1800
_SCENARIO, _SEED = "no_information", 7
_WARM_LINES = 3000
_GZIP_LEVEL = 1
_NUMBERS = re.compile(rb'(?m)^([0-9]{15,19})(?= )|"[ET]":([0-9]+)|"(?:U|u|pu|lastUpdateId)":([0-9]+)|"[ta]":([0-9]+)')
"""Receive time, exchange times, numbers of updates, numbers of trades: what is moved on."""
_CLOCKS = 2
_FOLLOWED = (b'"e":"depthUpdate"', b'"e":"trade"')
_MS = 1_000_000
_NS_FROM, _US_FROM = 10**17, 10**14


class NotRepeatable(ValueError):
    """Report a recording that cannot be repeated."""

    exit_code = 1


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """Say what one run took, and where its frames came from."""

    frames_from: str
    cpu_s: float
    peak_mb: float


class Repeating:
    """Write a recording several times over, under its own symbol or another."""

    def __init__(self, path: Path) -> None:
        """Read it.

        Raises:
            NotRepeatable: it is not of the form with a receive time before each frame, not of one instrument, or holds neither depth nor
                trades.
            OSError: it cannot be read.
        """
        with open_recording(path) as stream:
            text = stream.read()
        found = list(_NUMBERS.finditer(text))
        symbols = set(re.findall(rb'"s":"([^"]+)"', text))
        self.frames = sum(text.count(kind) for kind in _FOLLOWED)
        if not self.frames or not found or found[0].start(1) != 0 or len(symbols) != 1:
            needs = "depth and trades of one instrument, and a receive time before each frame"
            raise NotRepeatable(f"{path.name}: measuring needs {needs}; name another recording")
        self.head = b"\n".join(text.split(b"\n", _WARM_LINES)[:_WARM_LINES]) + b"\n"
        [self._symbol] = symbols
        ends = [0, *(one.end(one.lastindex or 0) for one in found)]
        begins = [*(one.start(one.lastindex or 0) for one in found), len(text)]
        self._texts = [text[end:begin] for end, begin in zip(ends, begins, strict=True)]
        self._values = np.array([int(one[one.lastindex or 0]) for one in found], np.int64)
        kinds = np.array([one.lastindex for one in found])
        walls = self._values[kinds == 1]
        self.span_ns = -(-int(np.ptp(np.where(walls < _NS_FROM, walls * 1000, walls))) // _MS) * _MS + _MS
        clock = np.select([self._values >= _NS_FROM, self._values >= _US_FROM], [self.span_ns, self.span_ns // 1000], self.span_ns // _MS)
        self._steps = np.where(kinds <= _CLOCKS, clock, 0)
        for kind in set(kinds[kinds > _CLOCKS].tolist()):
            self._steps[kinds == kind] = np.ptp(self._values[kinds == kind]) + 1

    def write(self, times: int, out: Path, symbol: str | None = None) -> Path:
        """Write it so many times, one after the other.

        Raises:
            OSError: it cannot be written.
        """
        texts = self._texts if symbol is None else [self._renamed(one, symbol.encode()) for one in self._texts]
        with gzip_ng.open(out, "wb", compresslevel=_GZIP_LEVEL) as file:  # type: ignore[no-untyped-call]  # it has no types
            for turn in range(times):
                numbers = map(b"%d".__mod__, (self._values + turn * self._steps).tolist())
                whole = b"".join(itertools.chain.from_iterable(zip(texts, numbers, strict=False))) + texts[-1]
                file.write(whole if whole.endswith(b"\n") else whole + b"\n")
        return out

    def _renamed(self, text: bytes, symbol: bytes) -> bytes:
        return text.replace(self._symbol, symbol).replace(self._symbol.lower() + b"@", symbol.lower() + b"@")


def measure_day(path: Path | None, market: Market) -> list[Figure]:
    """Measure a recording, or half an hour of the built-in market, as long as it is, longer and as long as a busy day; and several at once.

    Cost: minutes, and two gigabytes of disk.

    Raises:
        NotRepeatable: it is no recording that could be repeated.
        BacktestRefused, ReplayRefused: there is nothing to test.
        OSError: something cannot be read or written.
    """
    with tempfile.TemporaryDirectory(prefix="smartmoney-bench-") as name:
        folder = Path(name)
        given = path or Path(record_built_in(_SCENARIO, _SEED, SIMULATED_S, market.value, (), folder)[0])
        repeating = Repeating(given)
        warm = folder / "warm.txt"
        warm.write_bytes(repeating.head)
        measured = _Measuring(market, warm)
        return [*_lengths(repeating, folder, measured), *_several(repeating, folder, measured)]


def _lengths(repeating: Repeating, folder: Path, run: "_Measuring") -> Iterator[Figure]:
    for times in sorted({1, LONGER, math.ceil(DAY_FRAMES / repeating.frames)}):
        file = repeating.write(times, folder / f"times-{times}.gz")
        what = f"{times} times, {times * repeating.frames:,} depth and trade frames, {times * repeating.span_ns / 3.6e12:.1f} h"
        yield from run.figures(what, [file], (False, True, True))
        file.unlink()


def _several(repeating: Repeating, folder: Path, run: "_Measuring") -> Iterator[Figure]:
    for count in SEVERAL:
        for times in (1, LONGER):
            files = [repeating.write(times, folder / f"several-{k}.gz", f"S{k:05d}USDT") for k in range(count)]
            yield from run.figures(f"{count} instruments, {times} times", files, (False, True, True))


class _Measuring:
    """Run backtests in processes of their own."""

    def __init__(self, market: Market, warm: Path) -> None:
        self._market, self._warm = market.value, str(warm)

    def figures(self, what: str, files: Sequence[Path], prepares: Sequence[bool]) -> Iterator[Figure]:
        """Yield seconds and memory of a run for each of `prepares`; of what was prepared nothing stays."""
        store = prepared_recordings()
        try:
            for each in prepares:
                found = _apart(_run, self._market, self._warm, tuple(map(str, files)), each)
                name = f"{what}, frames from: {found.frames_from}"
                yield Figure(group="day", name=name, value=found.cpu_s, unit="CPU s")
                yield Figure(group="day", name="  peak of its resident memory", value=found.peak_mb, unit="MB")
        finally:
            for file in files:
                store.forget(file)


def _apart(function: Callable[..., Run], *arguments: object) -> Run:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"), initializer=end_with_the_parent) as pool:
        return pool.submit(function, *arguments).result()


def _run(market: str, warm: str, files: tuple[str, ...], prepares: bool) -> Run:
    logs.configure("WARNING", to_screen=False)
    settings = load_settings(overrides={"market": market})
    latency = OrderLatency(median_ms=settings.paper.latency_ms)
    job = BacktestJob(name="bench", source=Recordings((warm,), market), settings=settings, latency=latency, prepares=False)
    run_job(job)  # kernels are loaded
    begun = process_time()
    done = run_job(msgspec.structs.replace(job, source=Recordings(files, market), prepares=prepares))
    return Run(frames_from=done.result.frames_from, cpu_s=round(process_time() - begun, 3), peak_mb=round(_peak_bytes() / 1e6, 1))


def _peak_bytes() -> int:
    """Return the peak of this process's resident memory; what `getrusage` says of it counts the process that began this one, too."""
    found = re.search(r"VmHWM:\s+([0-9]+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) * 1024 if found else 0
