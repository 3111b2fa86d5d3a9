"""Real daemons in processes of their own, and what they say. Every wait is bounded and ends with an event, not with a pause."""

import contextlib
import json
import os
import queue
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from smartmoney.adapters.control import ControlRequest, DaemonNotRunning, DaemonSilent, request
from smartmoney.adapters.state_directory import StateLayout
from tests.waiting import PATIENCE_S, wait_until

COMMAND = (sys.executable, "-m", "smartmoney")
LONG_ONLY = '''
from smartmoney import OrderFlowStrategy, Signal, SignalType

class LongOnly(OrderFlowStrategy):
    """Buy a little at once and keep it, whatever the market does."""

    async def generate_signals(self):
        price = self.current_price
        return [
            Signal(
                signal_type=SignalType.BUY,
                symbol=self.symbol,
                price=price,
                quantity=0.1,
                confidence=0.9,
                stop_loss=price * 0.98,
                take_profit=price * 1.04,
            )
        ]
'''
PRERUN_S = 350
"""What is simulated before a start: so long that nothing that a decision needs has to become warm while a test waits."""
LONG_ONLY_CONFIG = f"""
mode: paper
sim: {{prerun_s: {PRERUN_S}}}
strategy_class: long_only_for_tests:LongOnly
strategy: {{min_liquidity_score: 0.01}}
advanced_features:
  liquidity_patterns: {{mm_confidence_threshold: 0.01}}
"""


def environment(**changes):
    """Return the environment of a child: this session's kernel cache, and nothing that points at a user's own state."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SMARTMONEY_STATE", "STATE_DIR", "NOTIFY_"))}
    return {**kept, **changes}


def long_only(folder):
    """Write a configuration whose strategy buys at the first decision; return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "long_only_for_tests.py").write_text(LONG_ONLY)
    (folder / "paper.yaml").write_text(LONG_ONLY_CONFIG)
    return folder / "paper.yaml"


def smartmoney(*arguments, timeout=PATIENCE_S, **changes):
    """Run one command to its end."""
    return subprocess.run(
        (*COMMAND, *map(str, arguments)), capture_output=True, text=True, timeout=timeout, env=environment(**changes), check=False
    )


def status(state):
    """Ask the daemon of a state directory for its status."""
    return request(StateLayout(state).control_socket, ControlRequest(command="status"))


class Daemon:
    """A running `smartmoney` process whose log can be waited on. Use it as a context: nothing is left behind."""

    def __init__(self, *arguments, command="run", program=COMMAND, **changes):
        self.process = subprocess.Popen(
            (*program, command, *map(str, arguments)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(**changes),
        )
        self.lines = []
        self._out = []
        self._heard = queue.SimpleQueue()
        self._first_out = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._listen, args=(self.process.stderr, self._note), daemon=True),
            threading.Thread(target=self._listen, args=(self.process.stdout, self._take_out), daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.finish()

    def wait_for(self, event, test=lambda line: True, patience_s=PATIENCE_S):
        """Return the next log line of an event that passes the test."""
        deadline = time.monotonic() + patience_s
        while True:
            try:
                line = self._heard.get(timeout=max(0.001, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no {event!r} in time; it said:\n{self.said()[-3000:]}") from None
            if line is None:
                raise AssertionError(f"ended before {event!r}; it said:\n{self.said()[-3000:]}")
            if line.get("event") == event and test(line):
                return line

    def until(self, condition, what="it is so", every_s=0.1):
        """Return what a condition gives once that is true; fail at once where the process ends before."""

        def looked():
            has_ended = self.process.poll() is not None
            found = condition()
            assert found or not has_ended, f"ended before {what}; it said:\n{self.said()[-3000:]}"
            return found

        return wait_until(looked, what, seen=lambda: self.said()[-3000:], every_s=every_s)

    def shows(self, state, test, what="its status is so"):
        """Ask a daemon for its status until that passes a test; return it. Quicker than the line that it writes now and then."""

        def asked():
            with contextlib.suppress(DaemonNotRunning, DaemonSilent):
                found = status(state)
                return found if test(found) else None

        return self.until(asked, what)

    def first_printed(self, patience_s=PATIENCE_S):
        """Return the first line on standard output, as JSON."""
        try:
            line = self._first_out.get(timeout=patience_s)
        except queue.Empty:
            line = None
        if line is None:
            raise AssertionError(f"nothing was printed; it said:\n{self.said()[-3000:]}")
        return json.loads(line)

    def stop(self, number=signal.SIGTERM):
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        return self.finish()

    def finish(self, patience_s=PATIENCE_S):
        """Wait for the end and return the exit code."""
        code = self.process.wait(patience_s)
        for thread in self._threads:
            thread.join(10)
        self.process.stdout.close()
        self.process.stderr.close()
        return code

    def said(self):
        return "".join(self.lines)

    def printed(self):
        return "".join(self._out)

    def summary(self):
        """Return the one JSON object that the run printed at its end."""
        found = json.loads(self.printed(), parse_constant=_refuse_constant)
        assert isinstance(found, dict)
        return found

    def children(self):
        """Return the ids of its child processes."""
        return [int(word) for word in Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()]

    def _note(self, line):
        self.lines.append(line)
        if line.startswith("{") and line.endswith("}\n"):  # who is killed may have said half a line
            self._heard.put(json.loads(line))

    def _take_out(self, line):
        self._out.append(line)
        self._first_out.put(line)

    def _listen(self, stream, take):
        for line in stream:
            take(line)
        (self._heard if take == self._note else self._first_out).put(None)


def has_ended(pid, patience_s=PATIENCE_S):
    """Wait until a process that is not our child is gone (or dead and not yet reaped); tell whether it is."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], patience_s)[0])
    finally:
        os.close(handle)


def _refuse_constant(name):
    raise AssertionError(f"{name} is no JSON")
