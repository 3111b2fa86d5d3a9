"""What the schema says of one feature, and the words that the groups build their entries with."""

import msgspec

from smartmoney.core.features.horizons import WARM_EVENTS

Bounds = tuple[float | None, float | None]

ANY: Bounds = (None, None)
POSITIVE: Bounds = (0.0, None)
SHARE: Bounds = (0.0, 1.0)
SIGNED_SHARE: Bounds = (-1.0, 1.0)
ODD = "odd"
EVEN = "even"
OWN = "own"
STRATEGY = "strategy.md"


class WarmUp(msgspec.Struct, frozen=True, kw_only=True):
    """Say when a feature is warm: seconds of known input (2^(-seconds/H) of the weight), a number of events, and of which."""

    seconds: float
    events: int
    event: str


class FeatureSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Describe one feature.

    `parity` is its behaviour when buys and sells change places: odd, even, or `swap:<partner>`. `half_life_s` is 0 where there is none;
    `bounds` are inclusive, None is unbounded. `resets` tells whether a dropped book empties it. `scale` is the power of quantity that it
    grows with: 1 when all quantities doubled would double it, 0 when they would leave it, None when neither holds.
    """

    name: str
    group: str
    unit: str
    parity: str
    warm_up: WarmUp
    source: str
    description: str
    half_life_s: float = 0.0
    bounds: Bounds = ANY
    resets: bool = False
    scale: int | None = 0


AT_ONCE = WarmUp(seconds=0.0, events=1, event="book frames")


def warm_s(half_life_s: float) -> float:
    """Return the seconds of input that a decayed sum needs: the larger of ten seconds and half its half-life."""
    return max(10.0, half_life_s / 2.0)


def after_frames(half_life_s: float) -> WarmUp:
    """Return the warm-up of what is decayed and derived from the book."""
    return WarmUp(seconds=warm_s(half_life_s), events=WARM_EVENTS, event="book frames")


def after_trades(half_life_s: float) -> WarmUp:
    """Return the warm-up of what is decayed and derived from public trades."""
    return WarmUp(seconds=warm_s(half_life_s), events=WARM_EVENTS, event="trades")


def after_orders(half_life_s: float) -> WarmUp:
    """Return the warm-up of what is decayed and derived from aggressors' orders."""
    return WarmUp(seconds=warm_s(half_life_s), events=WARM_EVENTS, event="aggressor orders")


def swaps(partner: str) -> str:
    """Return the parity of a feature that changes places with another."""
    return f"swap:{partner}"
