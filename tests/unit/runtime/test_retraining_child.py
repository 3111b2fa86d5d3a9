"""The process that trains, from the daemon's side: what it says, how it ends, and that nothing of it stays behind."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time

import msgspec
import pytest

from smartmoney.adapters.state_directory import StateLayout
from smartmoney.runtime.retraining_child import RetrainJob, RetrainOutcome, RetrainProgress, Told, retrain_apart
from smartmoney.settings.load import load_settings
from tests.captured_past import capture_past
from tests.integration.daemons import has_ended
from tests.waiting import PATIENCE_S, until

JOB = RetrainJob(state="/nowhere", settings="{}", directory=None, champion="", now_wall_ns=1, name="x")
SAYS = """
import sys, msgspec
sys.path[:0] = {path!r}
from smartmoney.runtime.retraining_child import RetrainOutcome, RetrainProgress
job = msgspec.json.decode(sys.stdin.buffer.readline())
out = lambda told: (sys.stdout.buffer.write(msgspec.json.encode(told) + b"\\n"), sys.stdout.flush())
print("a library that talks")
out(RetrainProgress("folds", 1, 5))
out(RetrainOutcome(act="kept", text=job["name"], model="m"))
"""
WITH_CHILD = "import subprocess, sys, time; print(subprocess.Popen(['sleep', '600']).pid, file=sys.stderr, flush=True); time.sleep(600)"


def run(code, tmp_path, limit_s=60.0):
    told = []
    words = (sys.executable, "-c", code)
    return asyncio.run(retrain_apart(JOB, tmp_path / "said", limit_s, told.append, words)), told


def number_in(path):
    """Return the process that a program has told of in a file, None before."""
    text = path.read_text() if path.exists() else ""
    return int(text) if text.endswith("\n") else None


def test_it_gets_its_job_and_says_how_far_it_is_and_what_came_of_it(tmp_path):
    found, told = run(SAYS.format(path=sys.path), tmp_path)
    assert found == RetrainOutcome(act="kept", text="x", model="m")
    assert told == [RetrainProgress("folds", 1, 5)]


@pytest.mark.parametrize(
    ("code", "says"), [("raise SystemExit(3)", "code 3"), ("import os; os.kill(os.getpid(), 9)", "signal SIGKILL"), ("1 / 0", "code 1")]
)
def test_one_that_breaks_off_has_failed_and_left_its_complaints(tmp_path, code, says):
    found, _ = run(code, tmp_path)
    assert found.act == "failed"
    assert says in found.text
    assert str(tmp_path / "said") in found.text
    assert ("ZeroDivisionError" in (tmp_path / "said").read_text()) == (code == "1 / 0")


def test_beyond_its_time_it_is_ended_with_everything_that_it_started(tmp_path):
    # A machine that is busy may take longer to start two processes than the first of these times.
    for limit_s in (1.0, 5.0, 25.0, 125.0):
        found, _ = run(WITH_CHILD, tmp_path, limit_s=limit_s)
        assert found.act == "failed"
        assert "training.limit_h" in found.text
        if number_in(tmp_path / "said") is not None:
            break
    # A signal that nothing survives is sent at once, but acted on only when its process is scheduled.
    assert has_ended(number_in(tmp_path / "said"))


def test_cancelled_it_leaves_no_process(tmp_path):
    async def cancelled():
        task = asyncio.create_task(retrain_apart(JOB, tmp_path / "said", 60.0, command=(sys.executable, "-c", WITH_CHILD)))
        await until(lambda: number_in(tmp_path / "said"), "it has started its child")
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert has_ended(number_in(tmp_path / "said"))


@pytest.mark.slow
def test_the_real_process_gives_way_tells_and_ends_when_the_daemon_is_gone(tmp_path):
    layout = StateLayout(tmp_path)
    settings = load_settings(overrides={"training.every_h": 1, "training.promote": "never", "training.min_hours": 1, "model": "prior"})
    now_ns = time.time_ns()
    capture_past(layout, settings, 5_400, now_ns)
    job = RetrainJob(
        state=str(tmp_path), settings=settings.model_dump_json(), directory=None, champion="", now_wall_ns=now_ns, name="trained-x"
    )
    process = subprocess.Popen(
        (sys.executable, "-m", "smartmoney.runtime.retraining_process"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    with process:
        process.stdin.write(msgspec.json.encode(job) + b"\n")
        process.stdin.flush()
        first = msgspec.json.decode(process.stdout.readline(), type=Told)
        assert first == RetrainProgress("captures", 0, 1)
        assert os.getpriority(os.PRIO_PROCESS, process.pid) == 19
        process.stdin.close()
        assert process.wait(PATIENCE_S) == -signal.SIGKILL
    assert not layout.models.exists()
