"""Tell accounts what happens to them: spot's user data subscriptions on the WebSocket API, USD-M's listen keys on `/private`.

A connection has one subscription an account on spot, one listen key on USD-M. Sources: binance-spot-api-docs, web-socket-api.md "User Data
Stream requests" (2026-07); USD-M "User data streams" (2026-07).
"""

import json
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any

from smartmoney.adapters import exchange_private_spot_wire as spot_form
from smartmoney.adapters import exchange_private_usdm_wire as usdm_form
from smartmoney.adapters.exchange_client import StreamClient
from smartmoney.simulation.exchange.accounts import Account
from smartmoney.simulation.exchange.events import Event
from smartmoney.simulation.exchange.refusals import Refusal
from smartmoney.simulation.fault_events import PrivateLine
from smartmoney.venues.binance.wire import Grid

_MS = 1_000_000
LISTEN_KEY_NS = 3_600_000_000_000
"""How long a listen key lives without being kept alive: 60 minutes."""


class _Link:
    """Hold what one connection is told: accounts by subscription, and, for USD-M, which events."""

    def __init__(self, line: PrivateLine) -> None:
        self.line = line
        self.owners: dict[int, int] = {}
        self.listen_key = ""
        self.only: frozenset[str] = frozenset()


class PrivateStreams:
    """Tell one market's private events to the connections that asked for them."""

    def __init__(self, grids: Mapping[str, Grid], *, is_spot: bool, now_ns: Callable[[], int], salt: str) -> None:
        self._grids = grids
        self._is_spot = is_spot
        self._now_ns = now_ns
        self._salt = salt
        self._links: dict[StreamClient, _Link] = {}
        self._subscriptions = 0
        self._keys: dict[str, tuple[int, int]] = {}
        self._keys_made = 0

    @property
    def listeners(self) -> int:
        """Return how many connections are told something."""
        return sum(bool(link.owners) for link in self._links.values())

    # ---- spot

    def subscribe(self, client: StreamClient, line: Callable[[], PrivateLine], account: Account) -> int:
        """Subscribe a connection to an account and return the subscription's id.

        Raises:
            Refusal: the connection has a subscription to it already (-2035).
        """
        link = self._links.get(client) or self._links.setdefault(client, _Link(line()))
        if account.owner in link.owners.values():
            raise Refusal(-2035, "User Data Stream subscription already active.")
        number = self._subscriptions
        self._subscriptions += 1
        link.owners[number] = account.owner
        return number

    def unsubscribe(self, client: StreamClient, number: int | None) -> None:
        """End one subscription of a connection, or all.

        Raises:
            Refusal: there is none (-2036).
        """
        link = self._links.get(client)
        ended = [] if link is None else [n for n in link.owners if number in (None, n)]
        if link is None or not ended:
            raise Refusal(-2036, "User Data Stream subscription not active.")
        for each in ended:
            del link.owners[each]
            at_ms = self._now_ns() // _MS
            client.offer(json.dumps({"subscriptionId": each, "event": {"e": "eventStreamTerminated", "E": at_ms}}))

    # ---- USD-M

    def listen_key(self, account: Account) -> str:
        """Return an account's listen key: the one in force, kept alive, or a new one."""
        self.expire()
        until_ns = self._now_ns() + LISTEN_KEY_NS
        found = next((key for key, (owner, _) in self._keys.items() if owner == account.owner), None)
        if found is None:
            self._keys_made += 1
            found = sha256(f"{self._salt}:listen:{self._keys_made}".encode()).hexdigest()
        self._keys[found] = (account.owner, until_ns)
        return found

    def keep_alive(self, account: Account) -> str:
        """Give an account's listen key another hour and return it.

        Raises:
            Refusal: there is none (-1125).
        """
        self.expire()
        found = next((key for key, (owner, _) in self._keys.items() if owner == account.owner), None)
        if found is None:
            raise Refusal(-1125, "This listenKey does not exist.")
        self._keys[found] = (account.owner, self._now_ns() + LISTEN_KEY_NS)
        return found

    def drop_key(self, account: Account) -> None:
        """End an account's listen key."""
        for key in [key for key, (owner, _) in self._keys.items() if owner == account.owner]:
            del self._keys[key]

    def attach(self, client: StreamClient, line: Callable[[], PrivateLine], words: Sequence[str], only: str) -> None:
        """Tell a connection the events of the listen key that is among the words of its address, if one is in force."""
        self.expire()
        key = next((word for word in words if word in self._keys), "")
        if not key:
            return
        link = self._links.setdefault(client, _Link(line()))
        link.listen_key = key
        link.only = frozenset(name for name in only.split("/") if name)
        link.owners = {0: self._keys[key][0]}

    def expire(self) -> None:
        """End the listen keys that were not kept alive, and tell who listens."""
        now_ns = self._now_ns()
        for key in [key for key, (_, until_ns) in self._keys.items() if until_ns <= now_ns]:
            del self._keys[key]
            for client, link in self._links.items():
                if link.listen_key == key:
                    self._send(client, link, 0, {"e": "listenKeyExpired", "E": now_ns // _MS, "listenKey": key})

    # ---- both

    def detach(self, client: StreamClient) -> None:
        """Forget a connection."""
        self._links.pop(client, None)

    def publish(self, events: Sequence[Event]) -> None:
        """Tell every connection its accounts' events; call it in each step, with or without events."""
        if self._keys:
            self.expire()
        now_ns = self._now_ns()
        for client, link in self._links.items():
            mine = [event for event in events if event.owner in link.owners.values()]
            for event in link.line.carry(mine, now_ns):
                for number, owner in link.owners.items():
                    if owner == event.owner:
                        for frame in self._frames(event):
                            self._send(client, link, number, frame)

    def _frames(self, event: Event) -> list[dict[str, Any]]:
        if not self._is_spot:
            return usdm_form.events(self._grids, event)
        frame = spot_form.event(self._grids, event)
        return [frame] if frame is not None else []

    def _send(self, client: StreamClient, link: _Link, number: int, frame: dict[str, Any]) -> None:
        if link.only and frame["e"] not in link.only:
            return
        if link.listen_key and link.listen_key not in self._keys and frame["e"] != "listenKeyExpired":
            return
        whole: dict[str, Any] = frame
        if self._is_spot:
            whole = {"subscriptionId": number, "event": frame}
        elif client.is_combined:
            whole = {"stream": link.listen_key, "data": frame}
        client.offer(json.dumps(whole, separators=(",", ":")))
