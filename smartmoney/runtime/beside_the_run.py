"""Hold the backtest of a captured run beside the run itself: the same waits for its requests, and what of its fills is the same.

In a running daemon an order waits for the disk and for the machine, too, so a backtest with the configured latency fills at other moments.
"""

import json
import math
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from smartmoney.core.domain.entries import Entry, OrderFilled, RunStarted
from smartmoney.core.domain.instruments import Instrument
from smartmoney.runtime.fill_costs import FillCost
from smartmoney.simulation.order_latency import OrderLatency

WITHIN_BPS = 0.2
"""What prices of a run and of its backtest may lie apart and be called the same."""
_JITTER_MS = 0.1
"""Our two clocks are read one after the other: a wait that was measured by one may end so much before the entry at which it ended."""


_NAMED_MAX = 6


class RecordedLatency(OrderLatency, frozen=True):
    """Let each request wait as long as the run's own did, one after the other; those that it had not, or that got no answer, as told."""

    waits_ms: deque[float]

    def delay_ns(self, request: str) -> int:
        """Return what the next request takes, in ns."""
        wait_ms = self.waits_ms.popleft() if self.waits_ms else math.nan
        return super().delay_ns(request) if math.isnan(wait_ms) else max(int((wait_ms - _JITTER_MS) * 1e6), 0)


def recorded_latency(waits_ms: Sequence[float], otherwise: OrderLatency, more_ms: float) -> RecordedLatency:
    """Return a model for one run; every wait is `more_ms` longer."""
    return RecordedLatency(
        median_ms=otherwise.median_ms,
        p99_ms=otherwise.p99_ms,
        samples_ms=otherwise.samples_ms,
        seed=otherwise.seed,
        waits_ms=deque(one + more_ms for one in waits_ms),
    )


def waits_in_words(waits_ms: Sequence[float]) -> str:
    """Say it in a few words."""
    known = sorted(one for one in waits_ms if not math.isnan(one))
    measured = f"{len(known):,} requests, median {known[len(known) // 2]:.1f} ms" if known else "none got an answer"
    return f"as long as each did in the run ({measured})"


def set_otherwise(there: RunStarted, here: RunStarted) -> tuple[str, ...]:
    """Return a line that names what of a run's settings and model is another in its backtest, none where nothing is."""
    was, tested = ({"model": one.model, **_flat(json.loads(one.parameters))} for one in (there, here))
    apart = [name for name in dict.fromkeys((*was, *tested)) if was.get(name) != tested.get(name)]
    if not apart:
        return ()
    told = ", ".join(f"{name} {was.get(name)} there, {tested.get(name)} here" for name in apart[:_NAMED_MAX])
    more = f" and {len(apart) - _NAMED_MAX} more" if len(apart) > _NAMED_MAX else ""
    return (f"set otherwise than in the run itself (-c with its file sets it alike): {told}{more}",)


def _flat(tree: Mapping[str, Any], under: str = "") -> dict[str, Any]:
    """Return the leaves of a tree by their dotted names."""
    leaves: dict[str, Any] = {}
    for name, value in tree.items():
        leaves |= _flat(value, f"{under}{name}.") if isinstance(value, dict) else {f"{under}{name}": value}
    return leaves


class OwnFills:
    """Note the fills of a captured run while its entries go by."""

    def __init__(self, instruments: Sequence[Instrument]) -> None:
        self._instruments = instruments
        self._fills: list[tuple[int, str, Decimal, Decimal]] = []

    def noting(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        """Yield the entries."""
        for entry in entries:
            if isinstance(entry.payload, OrderFilled):
                fill = entry.payload.fill
                grid = self._instruments[fill.instrument]
                self._fills.append((fill.instrument, fill.side.value, grid.quantity(fill.lots), grid.price(fill.price_ticks)))
            yield entry

    def beside(self, tested: Sequence[FillCost], *, is_recorded: bool) -> str:
        """Return in a line what the run's own fills and those of its backtest have in common."""
        ours = [(one.instrument, one.side.value, one.quantity) for one in tested]
        there = [fill[:3] for fill in self._fills]
        if ours != there:
            alike = next((at for at, (one, other) in enumerate(zip(ours, there, strict=False)) if one != other), min(len(ours), len(there)))
            return f"beside the run itself: {len(there):,} fills there, {len(ours):,} here, the first {alike:,} alike by side and quantity"
        apart = [abs(float(one.price / fill[3]) - 1.0) * 1e4 for one, fill in zip(tested, self._fills, strict=True)]
        if not apart:
            return "beside the run itself: no fill there, none here"
        beyond = sum(one > WITHIN_BPS for one in apart)
        why = "" if is_recorded or not beyond else "; its orders waited for disk and machine too, which --latency recorded puts in"
        return (
            f"beside the run itself: the same {len(apart):,} fills by side and quantity, prices at most {max(apart):.2f} bps apart, "
            f"{beyond:,} of them more than {WITHIN_BPS:g}{why}"
        )
