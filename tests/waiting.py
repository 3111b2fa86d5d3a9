"""Wait for what another process, thread or socket is about to do: until it is so, or a failure that says what was seen in its place.

A cause is not its effect: a signal is sent before its process ends, a line is written before it is read, and on a busy machine anything may
lie between. Who looks right away has a test that fails once in a hundred runs; who sleeps for a fixed time has the same test, slower.
"""

import asyncio
import inspect
import socket
import time
from contextlib import contextmanager

PATIENCE_S = 150.0
"""For what takes moments on a quiet machine; where it comes, so much patience costs nothing."""
SCENE_S = 2 * PATIENCE_S
"""For a whole scene: what is missing in it shall be said by who waits for it."""


def wait_until(condition, what="it is so", *, seen=lambda: "", patience_s=PATIENCE_S, every_s=0.02):
    """Return what a condition gives once that is true; fail with `what` was waited for and what `seen` says."""
    deadline_s = time.monotonic() + patience_s
    while True:
        is_over = time.monotonic() > deadline_s
        if found := condition():
            return found
        assert not is_over, f"not within {patience_s:g} s: {what}; seen: {seen() or 'nothing'}"
        time.sleep(every_s)


async def until(condition, what="it is so", *, seen=lambda: "", patience_s=PATIENCE_S, every_s=0.005):
    """Return what a condition, or what it asks for, gives once that is true, others having their turn meanwhile; fail as `wait_until` does."""
    deadline_s = time.monotonic() + patience_s
    while True:
        is_over = time.monotonic() > deadline_s
        found = condition()
        if inspect.isawaitable(found):
            found = await found
        if found:
            return found
        assert not is_over, f"not within {patience_s:g} s: {what}; seen: {seen() or 'nothing'}"
        await asyncio.sleep(every_s)


def wait_while(condition, what="it stays so", *, for_s, seen=lambda: "", every_s=0.1):
    """Look for some time that a condition stays true; fail with `what` and what `seen` says once it is not."""
    ends_s = time.monotonic() + for_s
    while time.monotonic() < ends_s:
        assert condition(), f"no longer: {what}; seen: {seen() or 'nothing'}"
        time.sleep(every_s)


@contextmanager
def dead_port():
    """Give a port of this machine on which nobody listens, and hold it, so that nobody else can be given it meanwhile."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]
