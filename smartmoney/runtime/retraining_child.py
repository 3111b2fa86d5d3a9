"""The process that trains for a daemon: started, listened to, and ended with everything that it started.

Invariants: nothing here waits on the loop's time but for a few bytes; the process is of lowest priority and in a group of its own; whatever
ends the wait (the end, the limit, a stop) leaves no process of that group behind; a process that breaks off has changed nothing but, at
most, left one whole bundle in the store.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import msgspec
import structlog

log = structlog.get_logger("training")

_COMMAND = (sys.executable, "-m", "smartmoney.runtime.retraining_process")
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
"""It has one core, at what the others leave of it."""


class RetrainJob(msgspec.Struct, frozen=True, kw_only=True):
    """Say what to train: whose state, under which settings (JSON; `directory` is where a strategy is looked for), against whom.

    `champion` is what decides now, as `RunStarted.model` says it; `now_wall_ns` is where the past ends.
    """

    state: str
    settings: str
    directory: str | None
    champion: str
    now_wall_ns: int
    name: str


class RetrainOutcome(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Say what came of it: refused (nothing was kept), failed (it broke off), kept (a challenger, not good enough), passed.

    `is_short`: there was too little to learn from, which time mends.
    """

    act: Literal["refused", "failed", "kept", "passed"]
    text: str
    model: str = ""
    name: str = ""
    is_short: bool = False


class RetrainProgress(msgspec.Struct, frozen=True, tag=True):
    """Say how far a part of the work is."""

    what: str
    done: int
    total: int


Told = RetrainOutcome | RetrainProgress
OnProgress = Callable[[RetrainProgress], object]


async def retrain_apart(
    job: RetrainJob, complaints: Path, limit_s: float, on_progress: OnProgress = lambda _told: None, command: Sequence[str] = _COMMAND
) -> RetrainOutcome:
    """Train in a process of its own; what it complains of goes to the file `complaints`. Cancelled, it ends the process.

    Raises:
        OSError: the process cannot be started, or the file not be written.
    """
    with complaints.open("wb") as said:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            start_new_session=True,
            env={**os.environ, **_ONE_THREAD},
        )
    log.info("training process", pid=process.pid)
    try:
        async with asyncio.timeout(limit_s):
            found = await _listen(process, job, on_progress)
    except TimeoutError:
        return RetrainOutcome(act="failed", text=f"it was ended after {limit_s / 3600.0:g} h (training.limit_h)")
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()
    if found is None:
        return RetrainOutcome(act="failed", text=f"the process ended with {_ended(process.returncode)} and no result; see {complaints}")
    return found


async def _listen(process: asyncio.subprocess.Process, job: RetrainJob, on_progress: OnProgress) -> RetrainOutcome | None:
    assert process.stdin is not None
    assert process.stdout is not None
    # It stays open: its end is how the process learns that the daemon is gone.
    process.stdin.write(msgspec.json.encode(job) + b"\n")
    with contextlib.suppress(ConnectionError):
        await process.stdin.drain()
    async for line in process.stdout:
        try:
            told = msgspec.json.decode(line, type=Told)
        except msgspec.MsgspecError:
            continue
        if isinstance(told, RetrainOutcome):
            return told
        on_progress(told)
    await process.wait()
    return None


def _ended(code: int | None) -> str:
    if code is not None and code < 0:
        return f"signal {signal.Signals(-code).name}"
    return f"code {code}"
