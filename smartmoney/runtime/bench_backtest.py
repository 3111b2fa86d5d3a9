"""How fast the past is: a whole backtest over a recording, and over a simulated day, in CPU seconds of one core.

Everything runs that a backtest runs: reading and decompressing, book, features, timers, decisions, gates and the paper venue. CPU time,
because a machine that is shared says nothing with its clock. Frames are depth and trades alone; what else a recording holds is read and not
counted.
"""

import tempfile
from pathlib import Path
from time import perf_counter, process_time

import msgspec

from smartmoney.core.domain.instruments import Market
from smartmoney.runtime.backtest import BacktestJob, Recordings, run_job
from smartmoney.runtime.backtest_sources import record_built_in
from smartmoney.runtime.replay_frames import FrameReplay, frame_replay
from smartmoney.settings.load import load_settings
from smartmoney.simulation.order_latency import OrderLatency

SECONDS_MIN = 5.0
"""A rate is measured for at least so long."""
SIMULATED_S = 1800
DAY_S = 86_400
_SCENARIO = "no_information"
_SEED = 7


class BacktestSpeed(msgspec.Struct, frozen=True, kw_only=True):
    """Say how fast a recording is tested. Rates are per CPU second of one core, over `cpu_s`, in `rounds` rounds.

    `all_frames_per_s` counts every recorded frame, those of other streams (bookTicker) too; `frames_per_s` depth and trades.
    `run_share` is the part of the CPU time that is no reading: the rates without reading are those divided by it.
    """

    recording: str
    market_s: float
    recorded_frames: int
    frames: int
    levels: int
    decisions: int
    orders: int
    fills: int
    rounds: int
    cpu_s: float
    wall_s: float
    frames_per_s: float
    all_frames_per_s: float
    levels_per_s: float
    run_share: float
    cpu_s_per_day: float


def recording_speed(files: tuple[str, ...], market: str, *, seconds_min: float = SECONDS_MIN) -> BacktestSpeed:
    """Test a recording again and again for at least `seconds_min` CPU seconds, each time from the file to the result.

    Raises:
        BacktestRefused, ReplayRefused: there is nothing to test.
        OSError: a file cannot be read.
    """
    settings = load_settings(overrides={"market": market})
    latency = OrderLatency(median_ms=settings.paper.latency_ms)
    job = BacktestJob(name="bench", source=Recordings(files, market), settings=settings, latency=latency)
    run_job(job)  # kernels are loaded, pages are there
    replay, blocks = frame_replay(
        [Path(file) for file in files], market, settings, lambda grid: FrameReplay(grid, settings, latency=latency)
    )
    ahead = list(blocks)
    started = process_time()
    replay.run(ahead)
    run_s = process_time() - started
    rounds, cpu, wall = 0, process_time(), perf_counter()
    while rounds == 0 or process_time() - cpu < seconds_min:
        result = run_job(job).result
        rounds += 1
    cpu_s, wall_s = process_time() - cpu, perf_counter() - wall
    states = replay.engine.market.states
    frames, levels = int(states["depth"].sum() + states["trades"].sum()), int(states["levels"].sum())
    return BacktestSpeed(
        recording=", ".join(Path(file).name for file in files),
        market_s=result.seconds,
        recorded_frames=replay.recorded_frames,
        frames=frames,
        levels=levels,
        decisions=result.decisions,
        orders=result.orders,
        fills=result.fills,
        rounds=rounds,
        cpu_s=round(cpu_s, 3),
        wall_s=round(wall_s, 3),
        frames_per_s=round(rounds * frames / cpu_s, 1),
        all_frames_per_s=round(rounds * replay.recorded_frames / cpu_s, 1),
        levels_per_s=round(rounds * levels / cpu_s, 1),
        run_share=round(min(1.0, run_s * rounds / cpu_s), 3),
        cpu_s_per_day=round(cpu_s / rounds * DAY_S / max(result.seconds, 1e-9), 2),
    )


def simulated_speed(*, seconds: int = SIMULATED_S, seconds_min: float = SECONDS_MIN) -> BacktestSpeed:
    """Let the built-in market live for `seconds`, record it, and test that; making it is not measured."""
    with tempfile.TemporaryDirectory(prefix="smartmoney-bench-") as folder:
        files = record_built_in(_SCENARIO, _SEED, seconds, Market.USDM.value, (), Path(folder))
        return recording_speed(files, Market.USDM.value, seconds_min=seconds_min)
