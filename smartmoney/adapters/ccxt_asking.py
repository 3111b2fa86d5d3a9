"""How something is asked of ccxt: what it raises, and its cancellations, become words; what fails again and again is asked more seldom."""

import asyncio
from collections.abc import Awaitable
from random import Random
from typing import Any

import aiohttp

from smartmoney.adapters.backoff import Backoff, BackoffPolicy

CLOSED = "connection closed"
_REASON_MAX = 300
_NS = 1_000_000_000


class Retry:
    """Say how long to wait after a failure of one loop; an answer that kept coming for the stable time forgives what was before."""

    def __init__(self, policy: BackoffPolicy, jitter: Random) -> None:
        self._backoff = Backoff(policy, jitter)
        self._well_since_ns: int | None = None

    def note_answer(self, now_ns: int) -> None:
        """Note that something came."""
        if self._well_since_ns is None:
            self._well_since_ns = now_ns

    def delay_s(self, now_ns: int) -> float:
        """Return the wait after one more failure."""
        if self._well_since_ns is not None:
            self._backoff.note_lived((now_ns - self._well_since_ns) / _NS)
        self._well_since_ns = None
        return self._backoff.next_delay_s()


async def answered(asked: Awaitable[Any]) -> tuple[Any, str]:
    """Return what ccxt gives and "", or None and why it gave nothing."""
    from ccxt.base.errors import BaseError

    try:
        return await asked, ""
    except asyncio.CancelledError:
        # A drop cancels what is asked, as ccxt does when its connections are closed; only a cancellation of this task is meant for us.
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        reason = CLOSED
    except (BaseError, aiohttp.ClientError, OSError, TimeoutError) as failure:
        reason = f"{type(failure).__name__}: {failure}"
    except (LookupError, TypeError, ValueError, AttributeError) as failure:
        # What ccxt's parsers raise on messages that they do not expect.
        reason = f"ccxt could not read a message: {type(failure).__name__}: {failure}"
    return None, reason[:_REASON_MAX]
