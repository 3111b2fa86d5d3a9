"""What a backtest can be fed with: a run's own capture without what the venue answered to its orders, or a synthetic market's feed.

Ticks, frames, snapshots and the feed's events keep the stamps that they had in the run; what an operator did is left out, and so is the
end of the run: a backtest asks what the strategy would have done.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from smartmoney.adapters.capture_segment import last_wall_ns
from smartmoney.adapters.exchange_warm import capture_path, prerun
from smartmoney.adapters.market_recorder import ORIGIN_NS
from smartmoney.core.domain.entries import (
    Entry,
    EntryKind,
    FeedConnected,
    FeedDisconnected,
    FeedOverflowed,
    ModelActivated,
    RunStarted,
    SnapshotFailed,
    Tick,
    WarmUpEnded,
)
from smartmoney.core.domain.instruments import Market
from smartmoney.runtime.clock import Stamp
from smartmoney.runtime.inbox import Item
from smartmoney.settings.scenario import load_scenario
from smartmoney.simulation.market import SyntheticMarket

WARM_NS = 1_800_000_000_000
"""What a stretch from the middle of a run is warmed with: thirty minutes, as a start is."""
FROM_OUTSIDE = (Tick, WarmUpEnded, FeedConnected, FeedDisconnected, FeedOverflowed, SnapshotFailed)
"""Events that did not depend on what the run did."""


def end_of(folder: Path) -> int:
    """Return the wall time of a capture's last entry, in ns; 0 where that cannot be told."""
    try:
        return last_wall_ns(folder)
    except (OSError, msgspec.MsgspecError):
        return 0


def captured_items(entries: Iterable[Entry], also: tuple[type, ...] = ()) -> Iterator[Item]:
    """Yield the items that a run was fed with, and events of the kinds `also`."""
    for entry in entries:
        stamp = Stamp(entry.ts_wall_ns, entry.ts_mono_ns)
        if entry.kind is EntryKind.EVENT:
            if isinstance(entry.payload, (*FROM_OUTSIDE, *also)):
                yield Item(EntryKind.EVENT, stamp, payload=entry.payload)
        else:
            yield Item(entry.kind, stamp, connection=entry.connection, instrument=entry.instrument, frame=entry.frame)


def stretch_of(items: Iterable[Item], since_ns: int, until_ns: int) -> Iterator[Item]:
    """Yield what lies between two wall times (0: no bound); half an hour before `since_ns` warms, and entries are off until then."""
    begun = not since_ns
    for item in items:
        wall_ns = item.stamp.wall_ns
        if until_ns and wall_ns >= until_ns:
            return
        if not begun:
            if wall_ns < since_ns - WARM_NS or isinstance(item.payload, WarmUpEnded):
                continue
            if wall_ns >= since_ns:
                begun = True
                yield Item(EntryKind.EVENT, item.stamp, payload=WarmUpEnded())
        yield item


def by_turns(items: Iterable[Item], turns: Sequence[tuple[int, str]]) -> Iterator[Item]:
    """Yield items; before the first one at or after each turn's wall time the model of that hash is activated."""
    waiting = list(turns)
    for item in items:
        while waiting and item.stamp.wall_ns >= waiting[0][0]:
            yield Item(EntryKind.EVENT, item.stamp, payload=ModelActivated(model=waiting.pop(0)[1]))
        yield item


def split_start(entries: Iterable[Entry]) -> tuple[RunStarted | None, Iterator[Entry]]:
    """Return how a captured run began, None if its first entry does not say, and the entries that follow."""
    rest = iter(entries)
    first = next(rest, None)
    if first is None or not isinstance(first.payload, RunStarted):
        return None, rest
    return first.payload, rest


def record_built_in(scenario: str, seed: int, seconds: int, market: str, symbols: Sequence[str], folder: Path) -> tuple[str, ...]:
    """Let a synthetic market live and record its public feed; return the recordings.

    Raises:
        ConfigurationError: there is no such scenario.
        ValueError: it lacks a symbol.
    """
    population = load_scenario(scenario)
    chosen = tuple(symbols) or (population.symbols[0].symbol,)
    kind = Market(market)
    prerun(SyntheticMarket(seed, population, symbols=chosen, markets=(kind,)), ORIGIN_NS, seconds, folder / "feed")
    return tuple(str(capture_path(folder / "feed", kind, symbol)) for symbol in chosen)
