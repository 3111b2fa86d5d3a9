"""The process that trains for a daemon. Standard input: one `RetrainJob`, then nothing until the daemon is gone, which ends this process.

Standard output: `RetrainProgress` and at last one `RetrainOutcome`, a line each. Invariants: it gives way to everything, and when memory is
short the kernel takes it before the daemon; beyond its memory it gives up by itself; it never outlives the daemon.
"""

import contextlib
import os
import resource
import signal
import sys
import threading
from pathlib import Path

import msgspec

from smartmoney.runtime.retraining_child import RetrainJob, RetrainOutcome, RetrainProgress, Told

_NICEST = 19
_FIRST_TO_GO = "1000"


def main() -> None:
    """Train what the first line of standard input says."""
    os.setpriority(os.PRIO_PROCESS, 0, _NICEST)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_FIRST_TO_GO)
    job = msgspec.json.decode(sys.stdin.buffer.readline(), type=RetrainJob)
    threading.Thread(target=_end_with_the_daemon, daemon=True).start()
    from smartmoney.runtime import kernel_cache, logs
    from smartmoney.settings.load import recorded_settings

    logs.configure("WARNING", to_screen=False)
    settings = recorded_settings(job.settings, None, None if job.directory is None else Path(job.directory))
    _limit_memory(settings.training.memory_mb)
    directory = kernel_cache.prepare()
    from smartmoney.runtime.compile import compile_offline_kernels

    compile_offline_kernels(directory, say=lambda _text: None)
    from smartmoney.runtime.retraining import retrain

    try:
        found = retrain(job, settings, lambda what, done, total: _tell(RetrainProgress(what, done, total)))
    except MemoryError:
        remedy = "raise training.memory_mb, or lower training.max_hours"
        found = RetrainOutcome(act="refused", text=f"more than {settings.training.memory_mb} MB were needed (training.memory_mb); {remedy}")
    _tell(found)


def _limit_memory(megabytes: int) -> None:
    # What is written to, not what is mapped: libraries map gigabytes that they never touch.
    resource.setrlimit(resource.RLIMIT_DATA, (megabytes << 20, megabytes << 20))


def _end_with_the_daemon() -> None:
    with contextlib.suppress(OSError):
        while os.read(0, 4096):
            pass
    os.killpg(os.getpgid(0), signal.SIGKILL)


def _tell(told: Told) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(told) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
