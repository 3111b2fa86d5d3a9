"""The judge of a drill: the exchange's own ledger, looked at many times a second, and what follows from it.

Invariants: nothing here asks the daemon; times are of this process's monotonic clock, exact to one look (a few hundredths of a second).
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import aiohttp
import msgspec

LOOK_EVERY_S = 0.015
LOOK_SELDOM_S = 0.2
"""While a process starts: the judge must not take the time that it needs."""
_LIVE = frozenset({"NEW", "PARTIALLY_FILLED"})
_STOPS = frozenset({"STOP_LOSS", "STOP_MARKET"})


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """Be what the ledger showed at one moment, of our orders: lots held (signed), lots of each live stop, ids of resting entries."""

    at: float
    held: int
    stops: tuple[int, ...]
    entries: tuple[str, ...]
    is_dust: bool

    @property
    def is_covered(self) -> bool:
        """Tell whether exactly one stop stands for exactly what is held, or nothing is held and none stands."""
        return self.stops == () if self.held == 0 or self.is_dust else self.stops == (abs(self.held),)

    @property
    def is_naked(self) -> bool:
        """Tell whether more is held than the stops would close."""
        return not self.is_dust and sum(self.stops) < abs(self.held)


def read_look(ledger: Mapping[str, Any], market: str, lot: Decimal, at: float) -> Look:
    """Return what a ledger shows of our orders in BTCUSDT."""
    account = ledger["accounts"][0]
    orders = [one for one in account["orders"] if one["market"] == market and one["client_id"].startswith("sm")]
    # A short's target buys, too, and raises nothing.
    buys = [one for one in orders if one["side"] == "BUY" and one["status"] in _LIVE and not one["reduce_only"]]
    entries = tuple(one["client_id"] for one in buys if one["kind"] not in _STOPS)
    if market == "usdm":
        held = next((one["lots"] for one in account["positions"] if one["symbol"] == "BTCUSDT"), 0)
        stops = tuple(one["lots"] for one in account["algos"] if one["status"] == "NEW")
        return Look(at=at, held=held, stops=stops, entries=entries, is_dust=held == 0)
    held = int(_bought(account, {one["id"] for one in orders}, lot) / lot)
    stops = tuple(one["lots"] for one in orders if one["kind"] in _STOPS and one["status"] in _LIVE)
    # Below the venue's smallest notional (5 USDT) nothing can be protected or sold.
    return Look(at=at, held=held, stops=stops, entries=entries, is_dust=abs(held) * lot * 60_000 < 6)


def of_others(ledger: Mapping[str, Any], lot: Decimal) -> Decimal:
    """Return the BTC of the spot account that our own orders have not bought: its owner's, and none of our business."""
    account = ledger["accounts"][0]
    mine = {one["id"] for one in account["orders"] if one["market"] == "spot" and one["client_id"].startswith("sm")}
    return Decimal(ledger["balances"][f"spot:{account['owner']}"].get("BTC", "0")) - _bought(account, mine, lot)


def _bought(account: Mapping[str, Any], mine: set[int], lot: Decimal) -> Decimal:
    """Return what some spot orders bought and have not sold, less what the venue kept of it."""
    total = Decimal(0)
    for fill in account["fills"]:
        if fill["market"] == "spot" and fill["order_id"] in mine:
            total += lot * fill["lots"] * (1 if fill["side"] == "BUY" else -1)
            total -= Decimal(fill["commission"]) if fill["commission_asset"] == "BTC" else 0
    return total


class Watch:
    """Look on and on. `naked_ms` is the longest time without enough of a stop in each phase, `worst` how the longest looked."""

    def __init__(self, rest: str, market: str, lot: Decimal) -> None:
        self._rest = rest
        self._market = market
        self._lot = lot
        self.phase = ""
        self.is_idle = True
        self.worst = ""
        self.last: Look | None = None
        self.naked_ms: dict[str, float] = {}
        self.covers_ms: list[float] = []
        """From a fill that raised what is held to its stop, while a daemon ran."""
        self._naked_since: float | None = None
        self._raised_at: float | None = None
        self._changed = asyncio.Condition()

    async def run(self) -> None:
        """Look until cancelled."""
        async with aiohttp.ClientSession() as session:
            while True:
                await self._take(await self._fetch(session))
                await asyncio.sleep(LOOK_SELDOM_S if self.is_idle else LOOK_EVERY_S)

    async def ledger(self) -> Mapping[str, Any]:
        """Return the whole ledger now."""
        async with aiohttp.ClientSession() as session:
            return await self._fetch(session)

    async def until(self, wanted: Any, patience_s: float) -> Look | None:
        """Return the first look that is as wanted, from now on; None when none comes in time."""
        try:
            async with asyncio.timeout(patience_s), self._changed:
                while self.last is None or not wanted(self.last):
                    await self._changed.wait()
                return self.last
        except TimeoutError:
            return None

    async def _fetch(self, session: aiohttp.ClientSession) -> Mapping[str, Any]:
        async with session.get(f"{self._rest}/sim/ledger") as response:
            found: Mapping[str, Any] = await response.json()
            return found

    async def _take(self, ledger: Mapping[str, Any]) -> None:
        look = read_look(ledger, self._market, self._lot, time.monotonic())
        before = self.last
        if self.phase == "dead":
            self._raised_at = None  # what fills then is the guard's, and counts as naked while dead
        elif before is not None and abs(look.held) > abs(before.held):
            self._raised_at = look.at
        if self._raised_at is not None and look.is_covered:
            self.covers_ms.append((look.at - self._raised_at) * 1e3)
            self._raised_at = None
        if not look.is_naked:
            self._naked_since = None
        else:
            self._naked_since = self._naked_since or look.at
            spent_ms = (look.at - self._naked_since) * 1e3
            if spent_ms > max(self.naked_ms.values(), default=0.0):
                self.worst = f"{self.phase}: {look.held} lots held, stops {list(look.stops)}, entries {list(look.entries)}"
            self.naked_ms[self.phase] = max(self.naked_ms.get(self.phase, 0.0), spent_ms)
        async with self._changed:
            self.last = look
            self._changed.notify_all()


def duplicates(ledger: Mapping[str, Any], market: str) -> list[str]:
    """Return the client ids under which the exchange has more than one order."""
    account = ledger["accounts"][0]
    algos = [one["client_id"] for one in account["algos"]]
    names = [one["client_id"] for one in account["orders"] if one["market"] == market and one["client_id"] not in algos] + algos
    return sorted({name for name in names if name.startswith("sm") and names.count(name) > 1})


def orphans(ledger: Mapping[str, Any], market: str, intents: Sequence[str], guard_orders: Sequence[str]) -> list[str]:
    """Return the client ids of ours at the exchange that neither the daemon's journal nor the guard's has."""
    account = ledger["accounts"][0]
    names = {one["client_id"] for one in account["orders"] if one["market"] == market}
    names |= {one["client_id"] for one in account["algos"]} if market == "usdm" else set()
    return sorted(name for name in names - set(intents) - set(guard_orders) if name.startswith("sm"))
