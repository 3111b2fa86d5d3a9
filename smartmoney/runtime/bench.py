"""Measurements on this machine, each with the obvious alternative measured in the same run. Prints nothing, asserts nothing.

Frames come from a recording of the user's, or from the built-in market. Every figure is the median of interleaved rounds.
"""

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from functools import partial
from pathlib import Path
from time import perf_counter, perf_counter_ns
from typing import Any

import msgspec
import numpy as np

from smartmoney.adapters.exchange_warm import capture_path, prerun
from smartmoney.adapters.journal import Journal, RunHeader, record
from smartmoney.adapters.recording_blocks import blocks_of
from smartmoney.adapters.recordings import RecordedFrame, read_recording
from smartmoney.core.book.codes import FoldCode
from smartmoney.core.domain.commands import RecordHalt
from smartmoney.core.domain.entries import EntryKind, Tick
from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.core.features.parameters import FeatureParameters
from smartmoney.core.features.row import read_row
from smartmoney.core.features.schema import FEATURES
from smartmoney.core.features.state import STATE
from smartmoney.runtime import bench_backtest, bench_entries, bench_features, bench_market, bench_models, bench_restart, bench_safety
from smartmoney.runtime.replay_frames import FrameReplay
from smartmoney.settings.load import load_settings
from smartmoney.simulation.market import SyntheticMarket
from smartmoney.venues.binance.codec import fold_frame, fold_slow, new_states
from smartmoney.venues.binance.grid_inference import infer_grid
from smartmoney.venues.binance.kernel import drop_book, fold

ROUNDS = 5
COMMITS = 200
SYNTHETIC_S = 300
DAEMON_S = 20
ENTRIES_S = 7200
_ENTRY_SCENARIOS = ("first_run", "volatile")
_ENTRY_SEED = 7


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """Be one measurement; `ratio` is the peer's value over ours, or the inverse for rates: more than 1 means that we are cheaper."""

    group: str
    name: str
    value: float | None
    unit: str
    peer: str = ""
    peer_value: float | None = None
    ratio: float | None = None


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """Hold the frames to measure with: the snapshot, the depth frames that follow it, and the trades."""

    instrument: Instrument
    before: tuple[bytes, ...]
    snapshot: bytes
    depth: tuple[bytes, ...]
    trades: tuple[bytes, ...]
    recorded: tuple[RecordedFrame, ...]


def sample_of(path: Path | None, market: Market) -> Sample:
    """Return the frames of a recording, or of five minutes of the built-in market.

    Raises:
        ValueError: the recording has no snapshot, or fewer than a hundred depth frames after it.
    """
    if path is None:
        with tempfile.TemporaryDirectory(prefix="smartmoney-bench-") as folder:
            base = Path(folder) / "bench"
            prerun(SyntheticMarket(7, symbols=("BTCUSDT",)), 1_700_000_000_000_000_000, SYNTHETIC_S, base)
            frames = tuple(read_recording(capture_path(base, market, "BTCUSDT")))
    else:
        frames = tuple(read_recording(path))
    instruments = infer_grid(((frame.frame, frame.symbol) for frame in frames), market)
    at = next((index for index, frame in enumerate(frames) if frame.is_snapshot), None)
    if at is None or len(instruments) != 1:
        raise ValueError("measuring needs a recording of one instrument that holds a depth snapshot")
    depth = [frame.frame for frame in frames if b"depthUpdate" in frame.frame[:120]]
    before = sum(1 for frame in frames[:at] if b"depthUpdate" in frame.frame[:120])
    trades = [frame.frame for frame in frames[at:] if b'"e":"trade"' in frame.frame[:120]]
    if len(depth) - before < 100:
        raise ValueError("measuring needs at least a hundred depth frames after the snapshot")
    return Sample(
        instrument=instruments[0],
        before=tuple(depth[:before]),
        snapshot=frames[at].frame,
        depth=tuple(depth[before:]),
        trades=tuple(trades),
        recorded=frames,
    )


def measure_decode(sample: Sample) -> list[Figure]:
    """Measure bytes to book (and features) per frame: fast path, slow path, and the book that anyone would write first."""
    fast, slow, peer, levels = [], [], [], 0
    for _ in range(ROUNDS):
        seconds, levels = _fold_all(sample, fold)
        fast.append(seconds / len(sample.depth))
        slow.append(_fold_all(sample, fold_slow)[0] / len(sample.depth))
        peer.append(_obvious_book(sample) / len(sample.depth))
    trades = [_fold_trades(sample) for _ in range(ROUNDS)] if sample.trades else []
    name = "orjson + Decimal + SortedDict"
    rows = [
        _figure("decode", "levels per depth frame", levels / len(sample.depth), "levels"),
        _us("decode", "depth frame: bytes to book and features, fast path", fast, name, peer),
        _us("decode", "depth frame: bytes to book and features, checked slow path", slow, name, peer),
        _figure("decode", "levels a second, fast path", levels / statistics.median(fast) / len(sample.depth), "levels/s"),
    ]
    return rows + ([_us("decode", "trade frame: bytes to features", trades)] if trades else [])


def measure_features(sample: Sample) -> list[Figure]:
    """Measure what the features cost: in one batch, at every event with both peers, on top of the book, and over many instruments."""
    after = tuple(frame.frame for frame in sample.recorded if _is_followed(frame.frame))[len(sample.before) :]
    mixed, depth, trades = (
        bench_features.Batch(after),
        bench_features.Batch(sample.depth),
        bench_features.Batch(sample.trades or sample.depth),
    )
    batches = {
        name: [batch.seconds(_synced(sample, fold)) for _ in range(ROUNDS)] for name, batch in (("all", mixed), ("d", depth), ("t", trades))
    }
    states = _synced(sample, fold)
    first = int(states[0]["levels"])
    depth.seconds(states)
    levels = int(states[0]["levels"]) - first
    book = [bench_features.book_seconds(_synced(sample, fold), sample.instrument, sample.depth)]
    scans = [_scans(sample) for _ in range(ROUNDS)]
    on_top = [total - scan - book[0] for total, scan in zip(batches["d"], scans, strict=True)]
    out = np.full(len(FEATURES), np.nan)
    reads = [_reads(states, out) for _ in range(ROUNDS)]
    some = after[: bench_features.PEER_FRAMES]
    ours = [_events(sample, some, out) for _ in range(ROUNDS)]
    slow = [bench_features.numpy_seconds(sample.snapshot, some)]
    scalar = [bench_features.scalar_seconds(sample.instrument, sample.snapshot, some)[0]]
    count = len(FEATURES)
    rows = [
        _us(
            "features",
            f"depth-or-trade frame in a batch, bytes to {count} features, {levels / len(sample.depth):.0f} levels a depth frame",
            batches["all"],
        ),
        _figure(
            "features",
            "the same, levels a second of depth frames",
            levels / statistics.median(batches["d"]) / len(sample.depth),
            "levels/s",
        ),
        _us("features", "depth frame in a batch, everything", batches["d"]),
        _us("features", "  of which scan (the same frames again, which the sequence rule ignores)", scans),
        _us("features", "  of which the book alone", book),
        _us("features", "  of which features: the rest", on_top),
        _us("features", "trade frame in a batch, everything", batches["t"]),
        _us("features", f"read of all {count} features, once a decision", reads),
        _us(
            "features",
            f"one event: bytes to book to a row of {count}",
            ours,
            f"orjson + SortedDict + NumPy, {bench_features.NUMPY_FEATURES} features only",
            slow,
        ),
        _us(
            "features",
            f"one event: bytes to book to a row of {count}",
            ours,
            "orjson + the same source as scalar Python, all features",
            scalar,
        ),
        _figure("features", "memory per instrument, book and features", STATE.itemsize / 2**20, "MiB"),
    ]
    return rows + [
        _figure("features", f"depth-or-trade frame, {n} instruments in turn", us, "us") for n, us in _many_instruments(sample, after)
    ]


def _is_followed(frame: bytes) -> bool:
    return b"depthUpdate" in frame[:120] or b'"e":"trade"' in frame[:120]


def _scans(sample: Sample) -> float:
    states = _synced(sample, fold)
    batch = bench_features.Batch(sample.depth)
    batch.seconds(states)
    return batch.seconds(states)


def _reads(states: Any, out: Any) -> float:
    started = perf_counter()
    for _ in range(2000):
        read_row(states, 0, 0, out)
    return (perf_counter() - started) / 2000


def _events(sample: Sample, frames: Sequence[bytes], out: Any) -> float:
    states = _synced(sample, fold)
    started = perf_counter()
    for frame in frames:
        fold(frame, states, -1, 1)
        read_row(states, 0, 0, out)
    return (perf_counter() - started) / len(frames)


def _many_instruments(sample: Sample, frames: tuple[bytes, ...]) -> Iterator[tuple[int, float]]:
    """Fold the same stream for 1, 10 and 100 instruments, frame by frame in turn; yield how many and the microseconds a frame."""
    few = frames[:500]
    old = f'"s":"{sample.instrument.symbol}"'.encode()
    for count in (1, 10, 100):
        names = [f"S{k:05d}" for k in range(count)]
        states = new_states([msgspec.structs.replace(sample.instrument, symbol=name, name=name) for name in names], FeatureParameters())
        for index in range(count):
            drop_book(states, index)
            fold_frame(sample.snapshot, states, index, 1)
        batch = bench_features.Batch(tuple(frame.replace(old, f'"s":"{name}"'.encode()) for frame in few for name in names))
        yield count, batch.seconds(states) * 1e6


def measure_decision(sample: Sample) -> list[Figure]:
    """Measure a whole step with a decision in it: features, regime, opportunities, strategy, gates, orders."""
    replay = FrameReplay([sample.instrument], load_settings(None))
    engine, steps = replay.engine, []
    original = engine.step

    def timed(entry: Any) -> Any:
        decided = engine.counters.decisions
        started = perf_counter_ns()
        commands = original(entry)
        if entry.kind is EntryKind.EVENT and type(entry.payload) is Tick and engine.counters.decisions > decided:
            steps.append(perf_counter_ns() - started)
        return commands

    engine.step = timed  # type: ignore[method-assign]  # a stopwatch around the real thing
    replay.run(blocks_of(sample.recorded))
    if not steps:
        return []
    ordered = sorted(steps)
    return [
        _figure("decision", "step with a decision, p50", ordered[len(ordered) // 2] / 1e3, "us"),
        _figure("decision", "step with a decision, p99", ordered[int(0.99 * (len(ordered) - 1))] / 1e3, "us"),
    ]


def measure_backtest(path: Path | None, market: Market) -> list[Figure]:
    """Measure whole backtests in CPU time of one core: of a recording, where one is given, and of the built-in market."""
    speeds = [("recording", bench_backtest.recording_speed((str(path),), market.value))] if path is not None else []
    speeds.append(("simulated market", bench_backtest.simulated_speed()))
    rows = []
    for name, speed in speeds:
        without = speed.frames_per_s / speed.run_share if speed.run_share else None
        rows += [
            _figure("backtest", f"{name}, file to result: depth and trade frames a CPU second", speed.frames_per_s, "frames/s"),
            _figure("backtest", f"{name}: the same, frames of every kind", speed.all_frames_per_s, "frames/s"),
            _figure("backtest", f"{name}: the same, levels", speed.levels_per_s, "levels/s"),
            _figure("backtest", f"{name}: depth and trade frames, frames being read already", without, "frames/s"),
            _figure("backtest", f"{name}: a day of it", speed.cpu_s_per_day, "CPU s"),
        ]
    return rows


def measure_entries(path: Path | None, market: Market) -> list[Figure]:
    """Measure what entries cost by style, against crossing at once: on a recording, where one is given, or in built-in markets."""
    if path is not None:
        found = [("recording", bench_entries.entry_costs((str(path),), market.value))]
    else:
        found = [(name, bench_entries.simulated_costs(name, _ENTRY_SEED, ENTRIES_S, market.value)) for name in _ENTRY_SCENARIOS]
    rows = []
    for name, styles in found:
        crossing = next(one.total_bps for one in styles if one.style == "taker")
        for one in styles:
            what = f"{name}, {one.style}, {one.entries} entries"
            rows += [
                _figure("entries", f"{what}: share of the lots filled", one.filled, ""),
                _figure("entries", f"{what}: wait for a fill, mean", one.wait_s, "s"),
                _figure("entries", f"{what}: price of what was filled, over the mid of the decision", one.price_bps, "bps"),
                Figure(
                    group="entries",
                    name=f"{what}: cost with fees, what was not filled crossing in the end",
                    value=round(one.total_bps, 3),
                    unit="bps",
                    peer="crossing at once",
                    peer_value=round(crossing, 3),
                ),
            ]
    return rows


def measure_models() -> list[Figure]:
    """Measure a trained decision and its parts against xgboost, onnxruntime and hmmlearn."""
    return [
        Figure(
            group="models",
            name=what,
            value=round(own, 3),
            unit=unit,
            peer=peer,
            peer_value=None if other is None else round(other, 3),
            ratio=None if other is None else round(other / own, 2),
        )
        for what, own, unit, peer, other in bench_models.measure()
    ]


def measure_market() -> list[Figure]:
    """Measure the built-in exchange's matching engine alone, against a plain Python book, and the market with everybody in it."""
    speed = bench_market.measure_speed()
    limit, market, cancel = (round(100 * share) for share in speed.mix)
    peer, value = "dictionary of queues and heaps, in Python, the same events", round(speed.python, 0)
    return [
        Figure(
            group="market",
            name=f"matching engine alone, of CPU time, {limit} % limit, {market} % market, {cancel} % cancel, {shown}",
            value=round(rate, 0),
            unit="events/s",
            peer=peer,
            peer_value=value,
            ratio=round(rate / value, 2),
        )
        for shown, rate in (("rows not written", speed.engine), ("rows written", speed.engine_with_rows))
    ] + [
        _figure("market", "one book with the whole population, of CPU time, rows collected", speed.population, "events/s"),
        _figure("market", "  the same, published rows", speed.population_rows, "rows/s"),
    ]


def measure_journal(folder: Path) -> list[Figure]:
    """Measure a durable commit against this disk's own floor: a write of 512 bytes and an fsync."""
    instrument = Instrument(
        venue="none", market=Market.SPOT, symbol="XY", name="X/Y", base="X", quote="Y", tick_size=Decimal(1), lot_size=Decimal(1)
    )
    journal = Journal.open(folder / "bench.db", "paper", "bench", initial_cash=Decimal(1))
    header = RunHeader(
        run_id="bench", mode="paper", venue="none", market="spot", build="", config_hash="", config="", model="", seed=0, started_wall_ns=0
    )
    journal.begin_run(header, [instrument])
    commits, floors = [], []
    with (folder / "floor").open("wb", buffering=0) as floor:
        for seq in range(COMMITS):
            line = record(seq, seq, RecordHalt(reason="bench", epoch=seq, equity=None, peak=None))
            assert line is not None
            started = perf_counter()
            journal.commit([line])
            commits.append(perf_counter() - started)
            started = perf_counter()
            floor.write(b"x" * 512)
            os.fsync(floor.fileno())
            floors.append(perf_counter() - started)
    journal.close()
    row = _us("journal", "commit of one record, durable, p50", commits, "write + fsync of 512 bytes", floors)
    p99 = sorted(commits)[int(0.99 * COMMITS)] * 1e6
    return [row, _figure("journal", "commit of one record, durable, p99", p99, "us")]


def measure_safety(folder: Path) -> list[Figure]:
    """Measure decision to wire, breach to halt and recovery, with this disk's floor beside what holds a commit."""
    rows = []
    for timing in bench_safety.measure(folder):
        for rank, value, floor in (("p50", timing.p50_ms, timing.floor_p50_ms), ("p99", timing.p99_ms, timing.floor_p99_ms)):
            peer = "" if floor is None else "floor: write + fsync of 512 bytes"
            ratio = None if floor is None else round(floor / value, 2)
            row = Figure(group="safety", name=f"{timing.name}, {rank}", value=value, unit="ms", peer=peer, peer_value=floor, ratio=ratio)
            rows.append(row)
    return rows


def measure_daemon(folder: Path, *, cold: bool) -> list[Figure]:
    """Run the daemon for some seconds on the built-in exchange; report start-up, memory and the latencies that it measured itself."""
    rows: list[Figure] = []
    starts = (("cold", {"SMARTMONEY_CACHE_DIR": str(folder / "cache")}),) if cold else ()
    for name, extra in (*starts, ("warm", {})):
        started = perf_counter()
        summary = _run_daemon(folder / name, extra)
        total = perf_counter() - started
        synced = summary["synced_after_s"]
        rows.append(_figure("daemon", f"{name} start: command to first synced book", total - DAEMON_S + (synced or 0.0), "s"))
    for stage, shown in (
        ("inbox", "frame arrival to folded"),
        ("decision", "tick arrival to decided"),
        ("decision_to_send", "decision to sent"),
    ):
        measured = summary["latency"][stage]
        rows += [_figure("daemon", f"{shown}, {rank[:3]}", measured[rank], "ms") for rank in ("p50_ms", "p99_ms")]
    rows.append(_figure("daemon", "event loop lag, p99", summary["loop_lag_p99_ms"], "ms"))
    rows.append(_figure("daemon", "resident memory", summary["rss_mb"], "MiB"))
    return rows


def measure_restart() -> list[Figure]:
    """Restart a rehearsal over a journal of ten thousand events: a small past, half a busy hour, and one that a kill ended."""
    journal = f"{bench_safety.EVENTS:,} events"
    busy = f"{journal}, {bench_restart.FRAMES:,} frames"
    cases = (
        (journal, bench_restart.measure_restarts),
        (busy, partial(bench_restart.measure_busy_restarts, is_torn=False)),
        (f"{busy}, killed", partial(bench_restart.measure_busy_restarts, is_torn=True)),
    )
    rows = []
    for kind, measure in cases:
        restarts = measure()
        middle = {name: statistics.median(getattr(each, name) for each in restarts) for name in ("ready_ms", "cpu_ms", "warm_ms")}
        rows.append(_figure("restart", f"restart_to_ready_ms: {kind}", middle["ready_ms"], "ms"))
        rows.append(_figure("restart", f"slowest of {len(restarts)}: {kind}", max(each.ready_ms for each in restarts), "ms"))
        rows.append(_figure("restart", f"processor time of it: {kind}", middle["cpu_ms"], "ms"))
        rows.append(_figure("restart", f"warm start done: {kind}", middle["warm_ms"], "ms"))
    return rows


def _run_daemon(state: Path, extra: dict[str, str]) -> dict[str, Any]:
    command = [sys.executable, "-m", "smartmoney", "run", "--paper", "--for", str(DAEMON_S), "--json", "--state-dir", str(state)]
    done = subprocess.run(command, capture_output=True, check=True, env={**os.environ, **extra}, timeout=900)
    return dict(msgspec.json.decode(done.stdout))


def _fold_all(sample: Sample, folding: Callable[..., int]) -> tuple[float, int]:
    states = _synced(sample, folding)
    before = int(states[0]["levels"])
    started = perf_counter()
    for frame in sample.depth:
        folding(frame, states, -1, 1)
    return perf_counter() - started, int(states[0]["levels"]) - before


def _synced(sample: Sample, folding: Callable[..., int]) -> Any:
    states = new_states([sample.instrument], FeatureParameters())
    drop_book(states, 0)
    for frame in sample.before:
        folding(frame, states, -1, 1)
    code = FoldCode(fold_frame(sample.snapshot, states, 0, 1) & 0xFF)
    assert code is FoldCode.SNAPSHOT, code
    for frame in sample.before:
        folding(frame, states, -1, 1)
    return states


def _fold_trades(sample: Sample) -> float:
    states = _synced(sample, fold)
    started = perf_counter()
    for frame in sample.trades:
        fold(frame, states, -1, 1)
    return (perf_counter() - started) / len(sample.trades)


def _obvious_book(sample: Sample) -> float:
    """Keep the same book with the libraries that anyone would take first, and read its touch after every frame."""
    import orjson
    from sortedcontainers import SortedDict

    bids, asks = SortedDict(), SortedDict()
    opening = orjson.loads(sample.snapshot)
    for side, levels in ((bids, opening["bids"]), (asks, opening["asks"])):
        for price, quantity in levels:
            side[Decimal(price)] = Decimal(quantity)
    started = perf_counter()
    for frame in sample.depth:
        message = orjson.loads(frame)
        data = message.get("data", message)
        for side, levels in ((bids, data["b"]), (asks, data["a"])):
            for price, quantity in levels:
                amount = Decimal(quantity)
                if amount:
                    side[Decimal(price)] = amount
                else:
                    side.pop(Decimal(price), None)
        bids.peekitem(-1)
        asks.peekitem(0)
    return perf_counter() - started


def _us(group: str, name: str, seconds: Sequence[float], peer: str = "", peers: Sequence[float] = ()) -> Figure:
    value = statistics.median(seconds) * 1e6
    if not peers:
        return _figure(group, name, value, "us")
    other = statistics.median(peers) * 1e6
    return Figure(
        group=group, name=name, value=round(value, 3), unit="us", peer=peer, peer_value=round(other, 3), ratio=round(other / value, 2)
    )


def _figure(group: str, name: str, value: float | None, unit: str) -> Figure:
    return Figure(group=group, name=name, value=None if value is None else round(value, 3), unit=unit)
