"""How long an order or a cancel takes to act at the venue: constant, lognormal, or drawn from what was measured.

Invariant: a delay is a function of model, seed and request alone, so that a backtest does not depend on how it is cut into processes.
"""

import hashlib
import math
from collections.abc import Sequence
from statistics import NormalDist

import msgspec

SAMPLES_MAX = 100_000
_NS_PER_MS = 1e6
_P99 = NormalDist().inv_cdf(0.99)
_UNIT = 1.0 / (1 << 64)


class OrderLatency(msgspec.Struct, frozen=True, kw_only=True):
    """Delay requests: by `median_ms`, spread so that one in a hundred takes longer than `p99_ms`, or as one of `samples_ms` did.

    `p99_ms` 0 means no spread; with samples the other two are not used.
    """

    median_ms: float = 50.0
    p99_ms: float = 0.0
    samples_ms: tuple[float, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            ValueError: one is not finite, negative, or the 99th percentile lies below the median.
        """
        for name, value in (("median_ms", self.median_ms), ("p99_ms", self.p99_ms), *(("samples_ms", one) for one in self.samples_ms)):
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"order latency: {name} must be finite and not negative, not {value}")
        if self.p99_ms and (self.p99_ms < self.median_ms or self.median_ms <= 0):
            raise ValueError(
                f"order latency: p99_ms ({self.p99_ms:g}) must not lie below median_ms ({self.median_ms:g}), which must be above 0"
            )
        if len(self.samples_ms) > SAMPLES_MAX:
            raise ValueError(f"order latency: {len(self.samples_ms)} samples, {SAMPLES_MAX} are enough")

    def delay_ns(self, request: str) -> int:
        """Return what a request of this name takes, in ns. Cost: about 1 µs."""
        if self.samples_ms:
            return int(self.samples_ms[int(self._uniform(request) * len(self.samples_ms))] * _NS_PER_MS)
        if not self.p99_ms:
            return int(self.median_ms * _NS_PER_MS)
        sigma = math.log(self.p99_ms / self.median_ms) / _P99
        at = min(max(self._uniform(request), 1e-12), 1.0 - 1e-12)
        return int(self.median_ms * math.exp(sigma * NormalDist().inv_cdf(at)) * _NS_PER_MS)

    def words(self) -> str:
        """Say it in a few words."""
        if self.samples_ms:
            ordered = sorted(self.samples_ms)
            return f"as measured in {len(ordered)} acknowledgements, median {ordered[len(ordered) // 2]:.1f} ms"
        spread = f", 1 % above {self.p99_ms:g} ms" if self.p99_ms else ""
        return f"{self.median_ms:g} ms{spread}"

    def _uniform(self, request: str) -> float:
        return uniform(f"{self.seed}:{request}")


def uniform(text: str) -> float:
    """Return a number in [0, 1) that depends on a text alone."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") * _UNIT


def parse_latency(text: str, seed: int = 0) -> OrderLatency:
    """Return the model that words name: `50` or `50ms`; `50,200` is the median and the 99th percentile in ms.

    Raises:
        ValueError: it is neither.
    """
    parts = [part.strip().removesuffix("ms") for part in text.split(",")]
    try:
        values = [float(part) for part in parts]
    except ValueError:
        values = []
    if not 1 <= len(values) <= 2:
        raise ValueError(f"{text!r} is no latency: give milliseconds, as 50, or median and 99th percentile, as 50,200")
    return OrderLatency(median_ms=values[0], p99_ms=values[1] if len(values) > 1 else 0.0, seed=seed)


def measured_latency(delays_ms: Sequence[float], seed: int = 0) -> OrderLatency:
    """Return a model that draws from measured delays; the newest count when there are too many.

    Raises:
        ValueError: there are none.
    """
    if not delays_ms:
        raise ValueError("no acknowledgement was measured: trade first, or give a latency")
    return OrderLatency(samples_ms=tuple(delays_ms[-SAMPLES_MAX:]), seed=seed)
