"""Decide which faults act on what an exchange does: a plan of faults, each with a scope, a window of time and a count.

A plan does nothing itself. Whoever drives an exchange asks it, at each point where a fault can take hold, what acts there now, and carries
it out. The answer depends on the plan, its seed and the order of questions alone: the same plan and seed act alike in the same time.
Every fault counts what it matched and how often it acted.
"""

import hashlib
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from functools import lru_cache

import msgspec

from smartmoney.simulation.fault_kinds import KINDS, Point, Value

_S = 1_000_000_000
_UNIT = 1.0 / (1 << 64)


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """Describe one fault. Whatever of the scope is left empty is everything.

    Times are seconds of the exchange's clock: it begins `after_s` after the exchange's start (or after it was added, if later), or at
    `at_ms` of the epoch, and lasts `for_s` (None: without end). Of what matches, the first `skip` pass, then each `every`-th meets the
    fault with `probability`, at most `count` times (0: without end). Frames and events are counted for each connection by itself.
    `stream` and `call` are patterns (`*`, `?`, `[...]`), alternatives separated by `|`; `connection` is the n-th of its market, from 1.
    """

    kind: str
    name: str = ""
    market: str = ""
    symbol: str = ""
    connection: int = 0
    stream: str = ""
    call: str = ""
    after_s: float = 0.0
    at_ms: int | None = None
    for_s: float | None = None
    skip: int = 0
    every: int = 1
    count: int | None = None
    probability: float = 1.0
    parameters: dict[str, Value] = {}

    def value(self, name: str) -> Value:
        """Return a parameter, or its default."""
        return self.parameters.get(name, KINDS[self.kind].parameters[name].default)

    def number(self, name: str) -> float:
        """Return a parameter that is a number."""
        return float(self.value(name))

    def nanoseconds(self, name: str) -> int:
        """Return a parameter of seconds in nanoseconds."""
        return round(float(self.value(name)) * _S)


class Where(msgspec.Struct, frozen=True, kw_only=True):
    """Say where in the exchange something happens; what does not apply is empty."""

    market: str
    symbol: str = ""
    connection: int = 0
    stream: str = ""
    call: str = ""


class Acting(msgspec.Struct, frozen=True):
    """Be one fault acting: when its window began, and what tells this act from every other of the fault."""

    fault: Fault
    start_ns: int
    salt: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Tell how a fault has done: what it matched, how often it acted, and whether its window is open."""

    fault: Fault
    matched: int
    acted: int
    is_active: bool


class _Standing:
    __slots__ = ("acted", "calls", "end_ns", "fault", "is_total", "limit", "matched", "seen", "start_ns", "streams")

    def __init__(self, fault: Fault, begin_ns: int) -> None:
        kind = KINDS[fault.kind]
        self.fault = fault
        self.start_ns = begin_ns + round(fault.after_s * _S) if fault.at_ms is None else fault.at_ms * 1_000_000
        self.end_ns = None if fault.for_s is None else self.start_ns + round(fault.for_s * _S)
        self.limit = kind.count if fault.count is None else fault.count
        self.streams = tuple((fault.stream or kind.stream).split("|"))
        self.calls = tuple((fault.call or kind.call).split("|"))
        self.matched = 0
        self.acted = 0
        self.is_total = not {Point.FRAME, Point.EVENT} & set(kind.points)
        # For each connection: how much matched, and how often the fault acted.
        self.seen: dict[tuple[str, int], tuple[int, int]] = {}

    def is_open(self, now_ns: int) -> bool:
        return self.start_ns <= now_ns and (self.end_ns is None or now_ns < self.end_ns)

    @property
    def is_spent(self) -> bool:
        return bool(self.limit) and self.is_total and self.acted >= self.limit

    def concerns(self, where: Where) -> bool:
        fault = self.fault
        return (
            fault.market in {"", where.market}
            and (not fault.symbol or not where.symbol or fault.symbol == where.symbol)
            and fault.connection in {0, where.connection}
            and (not where.stream or _matches(where.stream, self.streams))
            and (not where.call or _matches(where.call, self.calls))
        )


@lru_cache(maxsize=4096)
def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


class FaultPlan:
    """Hold the faults that stand, and answer what acts. `begin` once, when the exchange's clock starts."""

    def __init__(self, faults: Iterable[Fault] = (), seed: int = 1) -> None:
        self.seed = seed
        self._standing: dict[str, _Standing] = {}
        self._at: dict[Point, list[_Standing]] = {point: [] for point in Point}
        self._names = 0
        for fault in faults:
            self.add(fault, 0)

    def begin(self, now_ns: int) -> None:
        """Set the time from which `after_s` counts, for the faults that are there already."""
        for standing in self._standing.values():
            fresh = _Standing(standing.fault, now_ns)
            standing.start_ns, standing.end_ns = fresh.start_ns, fresh.end_ns

    def add(self, fault: Fault, now_ns: int) -> Fault:
        """Let a fault stand from now on; return it with its name.

        Raises:
            ValueError: the name is taken.
        """
        if not fault.name:
            self._names += 1
            fault = msgspec.structs.replace(fault, name=f"{fault.kind}-{self._names}")
        if fault.name in self._standing:
            raise ValueError(f"there is a fault named {fault.name!r} already")
        standing = self._standing[fault.name] = _Standing(fault, now_ns)
        for point in KINDS[fault.kind].points:
            self._at[point].append(standing)
        return fault

    def remove(self, name: str) -> bool:
        """Take a fault away; False when there is none of that name."""
        standing = self._standing.pop(name, None)
        if standing is None:
            return False
        for there in self._at.values():
            if standing in there:
                there.remove(standing)
        return True

    def stands(self, point: Point) -> bool:
        """Tell whether any fault could take hold at a point, now or later. Cost: a look-up."""
        return bool(self._at[point])

    def acting(self, point: Point, now_ns: int, where: Where, only: Callable[[Fault], bool] | None = None) -> list[Acting]:
        """Return what acts on this, in the order in which the faults were added, and count it. What `only` refuses is no match."""
        return [
            Acting(standing.fault, standing.start_ns, f"{where.market}:{where.connection}:{standing.seen[where.market, where.connection]}")
            for standing in self._at[point]
            if standing.is_open(now_ns)
            and standing.concerns(where)
            and (only is None or only(standing.fault))
            and self._falls_to(standing, where)
        ]

    def meets(self, name: str, where: Where) -> bool:
        """Tell whether something that `open` returned a fault for meets it, and count that."""
        standing = self._standing.get(name)
        return standing is not None and self._falls_to(standing, where)

    def open(self, point: Point, now_ns: int, where: Where) -> list[Fault]:
        """Return the faults whose scope and window hold here, without counting: for states such as a wrong clock."""
        return [s.fault for s in self._at[point] if s.is_open(now_ns) and s.concerns(where)]

    def is_open(self, name: str, now_ns: int) -> bool:
        """Tell whether a fault stands and its window is open."""
        standing = self._standing.get(name)
        return standing is not None and standing.is_open(now_ns)

    def window(self, name: str) -> tuple[int, int | None]:
        """Return when a fault begins and ends, in ns of the exchange's clock; (0, None) when it does not stand."""
        standing = self._standing.get(name)
        return (0, None) if standing is None else (standing.start_ns, standing.end_ns)

    def note(self, name: str) -> None:
        """Count an act of a state."""
        standing = self._standing.get(name)
        if standing is not None:
            standing.matched += 1
            standing.acted += 1

    def forget_connection(self, market: str, connection: int) -> None:
        """Drop what is kept for a connection that is gone."""
        for standing in self._standing.values():
            standing.seen.pop((market, connection), None)

    def reports(self, now_ns: int) -> list[Report]:
        """Return every fault that stands and how it has done."""
        return [
            Report(fault=s.fault, matched=s.matched, acted=s.acted, is_active=s.is_open(now_ns) and not s.is_spent)
            for s in self._standing.values()
        ]

    def draw(self, name: str, *salt: int | str) -> float:
        """Return a number in [0, 1) that depends on the seed, a fault's name and the salt alone."""
        words = ":".join(map(str, (self.seed, name, *salt)))
        return int.from_bytes(hashlib.blake2b(words.encode(), digest_size=8).digest(), "big") * _UNIT

    def noise(self, acting: Acting, size: int) -> bytes:
        """Return bytes that look random and depend on the seed, a fault's name and its act alone."""
        return hashlib.shake_128(f"{self.seed}:{acting.fault.name}:{acting.salt}".encode()).digest(size)

    def _falls_to(self, standing: _Standing, where: Where) -> bool:
        # Counted for each connection by itself, so that another client's presence moves nothing.
        fault, key = standing.fault, (where.market, where.connection)
        number, acted = standing.seen.get(key, (0, 0))
        standing.seen[key] = (number + 1, acted)
        standing.matched += 1
        if standing.limit and (standing.acted if standing.is_total else acted) >= standing.limit:
            return False
        if number < fault.skip or (number - fault.skip) % fault.every:
            return False
        if fault.probability < 1.0 and self.draw(fault.name, *key, number) >= fault.probability:
            return False
        standing.seen[key] = (number + 1, acted + 1)
        standing.acted += 1
        return True
