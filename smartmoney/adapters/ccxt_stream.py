"""An account's own stream through ccxt.pro: its orders and its trades, watched until cancelled.

ccxt reconnects when it is asked again, keeps only an order's last state between two questions, and does not say when a subscription was
confirmed. So whoever listens reads the account by REST at every `up` (said once a private socket stands, and once more a moment later) and
regularly besides. Nor does it say why a login was refused: to it a venue's own fault is a wrong key, too. So a refused login is a stream
that is down, and what the key is worth is said by the venue's code, at the next reading.

Invariants: what ccxt shows is handed on unread; a refused login is tried again once a minute at most; no message holds a key.
"""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import aiohttp
import structlog

from smartmoney.adapters.backoff import Backoff, BackoffPolicy
from smartmoney.adapters.ccxt_account import CcxtAccount
from smartmoney.adapters.clock import Clock
from smartmoney.adapters.private_stream import StreamListener

_NS = 1_000_000_000
_LOOK_S = 0.1
_AGAIN_S = 1.0
"""A subscription that was sent is confirmed by then."""
LOGIN_REFUSED_S = 60.0
log = structlog.get_logger("account")


class CcxtStream:
    """Keep an account's stream open. `run` it until cancelled."""

    def __init__(self, account: CcxtAccount, listener: StreamListener, *, clock: Clock, jitter: Random) -> None:
        self._account = account
        self._client = account.client
        self._listener = listener
        self._clock = clock
        self._jitter = jitter
        self.is_up = False

    async def run(self) -> None:
        """Watch orders and trades, and say when the sockets stand or fall."""
        row = self._account.terms.markets[self._account.market]
        watches: list[tuple[str, Callable[[], Awaitable[Any]]]] = [("orders", self._client.watch_orders)]
        if row.stops_apart and self._account.terms.watches_apart:
            watches.append(("orders apart", lambda: self._client.watch_orders(None, None, None, dict(row.apart_params))))
        if self._client.has.get("watchMyTrades"):
            watches.append(("trades", self._client.watch_my_trades))
        async with asyncio.TaskGroup() as group:
            for kind, call in watches:
                group.create_task(self._watch(kind, call))
            group.create_task(self._follow_sockets())

    async def _watch(self, kind: str, call: Callable[[], Awaitable[Any]]) -> None:
        import ccxt

        backoff = Backoff(BackoffPolicy(first_s=0.25, cap_s=15.0), self._jitter)
        while True:
            began_ns = self._clock.monotonic_ns()
            try:
                shown = await call()
            except asyncio.CancelledError:
                # ccxt cancels its own futures when its sockets are closed; only a cancellation of this task is meant for us.
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise
                self._down("connection closed")
            except ccxt.AuthenticationError as failure:
                self._down(f"the login was refused ({type(failure).__name__})")
                await self._clock.sleep(LOGIN_REFUSED_S)
                continue
            except (ccxt.BaseError, aiohttp.ClientError, OSError, TimeoutError) as failure:
                self._down(type(failure).__name__)
            except (LookupError, TypeError, ValueError, AttributeError) as failure:
                self._down(f"ccxt cannot read a message: {type(failure).__name__}")
            else:
                self._listener.private_event((kind, shown))
                backoff.note_lived((self._clock.monotonic_ns() - began_ns) / _NS)
                continue
            backoff.note_lived((self._clock.monotonic_ns() - began_ns) / _NS)
            await self._clock.sleep(backoff.next_delay_s())

    async def _follow_sockets(self) -> None:
        """Say `up` once every private socket stands and was subscribed to, and again when the confirmation must be there."""
        while True:
            await self._clock.sleep(_LOOK_S)
            if self._stands() and not self.is_up:
                self.is_up = True
                self._listener.private_up()
                await self._clock.sleep(_AGAIN_S)
                if self._stands():
                    self._listener.private_up()
            elif self.is_up and not self._stands():
                self._down("a private socket fell")

    def _stands(self) -> bool:
        # ccxt keeps what is no connection under other names there.
        sockets = [socket for url, socket in (self._client.clients or {}).items() if str(url).startswith("ws")]
        return bool(sockets) and all(
            socket.isConnected and not socket.closed() and (socket.subscriptions or socket.futures) for socket in sockets
        )

    def _down(self, reason: str) -> None:
        self.is_up = False
        self._listener.private_down(reason, key_refused=False)
