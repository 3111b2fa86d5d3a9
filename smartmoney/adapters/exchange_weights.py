"""Count request weights a minute at a time, as the venue does, and carry answers with the headers that tell them."""

import json
from collections.abc import Callable

import msgspec

from smartmoney.simulation.tape import MINUTE_NS
from smartmoney.venues.binance import wire

_S = 1_000_000_000


class Answer(msgspec.Struct, frozen=True):
    """Be a response: HTTP status, JSON text, extra headers."""

    status: int
    body: str
    headers: dict[str, str]

    @property
    def retry_after_s(self) -> int:
        """Return for how long the answer asks for quiet, 0 when it does not."""
        return int(self.headers.get("Retry-After", "0"))


class Weights:
    """Count one market's request weight."""

    def __init__(self, limit: int, now_ns: Callable[[], int]) -> None:
        self.limit = limit
        self._now_ns = now_ns
        self._minute = 0
        self._used = 0

    def charge(self, weight: int) -> Answer | None:
        """Count a request's weight; return the refusal if that is too much."""
        now_ns = self._now_ns()
        minute = now_ns // MINUTE_NS
        if minute != self._minute:
            self._minute, self._used = minute, 0
        self._used += weight
        if self._used <= self.limit:
            return None
        message = f"Too many requests; current limit is {self.limit} request weight per 1 MINUTE."
        headers = {**self.used(), "Retry-After": str(60 - now_ns // _S % 60)}
        return Answer(429, json.dumps(wire.error(-1003, message)), headers)

    def give_back(self, weight: int) -> None:
        """Take back the weight of a request that turned out to weigh nothing."""
        self._used = max(self._used - weight, 0)

    def used(self) -> dict[str, str]:
        """Return the headers that say what weight was used in the minute."""
        used = str(self._used)
        return {"X-MBX-USED-WEIGHT": used, "X-MBX-USED-WEIGHT-1M": used}
