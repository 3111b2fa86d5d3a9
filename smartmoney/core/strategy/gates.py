"""The gates between what a strategy says and an order's size, in their order. Each is written so that NaN refuses.

Invariants: a gate compares one number with one limit and names both; gates marked `raising_only` let an order pass that only lowers risk.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from operator import itemgetter

import msgspec

from smartmoney.core.domain.signals import MarketData, RefusalCode
from smartmoney.core.features.schema import FEATURE_INDEX
from smartmoney.core.strategy.feature_row import FeatureRow

RULE_FEATURES = ("weighted_imbalance", "liquidity_stress", "liquidity_score", "mm_presence")
"""What the rules themselves read, whatever the model."""


PRICES_AND_COST = ("bid", "ask", "cost_bps")
"""What is looked at before features."""


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """Hold the numbers of one decision that gates compare. Returns and cost in bps."""

    confidence: float
    liquidity_score: float
    mm_confidence: float
    gross_bps: float
    cost_bps: float


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Hold the limits that they are compared with."""

    min_liquidity_score: float
    mm_confidence_threshold: float
    min_confidence: float
    risk_adjustment_factor: float


class Gate(msgspec.Struct, frozen=True):
    """Be one gate: the code of its refusal, the words, and how to get the number and its limit."""

    code: RefusalCode
    detail: str
    value: Callable[[Facts], float]
    limit: Callable[[Facts, Limits], float]
    raising_only: bool


GATES = (
    Gate(
        RefusalCode.LOW_LIQUIDITY,
        "liquidity score below min_liquidity_score",
        lambda facts: facts.liquidity_score,
        lambda _facts, limits: limits.min_liquidity_score,
        raising_only=True,
    ),
    Gate(
        RefusalCode.MAKERS_ABSENT,
        "market makers absent: mm_confidence below mm_confidence_threshold",
        lambda facts: facts.mm_confidence,
        lambda _facts, limits: limits.mm_confidence_threshold,
        raising_only=True,
    ),
    Gate(
        RefusalCode.BELOW_MIN_CONFIDENCE,
        "confidence below signal_generation.min_confidence",
        lambda facts: facts.confidence,
        lambda _facts, limits: limits.min_confidence,
        raising_only=False,
    ),
    Gate(
        RefusalCode.EDGE_TOO_SMALL,
        "gross return in bps below cost x risk_adjustment_factor",
        lambda facts: facts.gross_bps,
        lambda facts, limits: facts.cost_bps * limits.risk_adjustment_factor,
        raising_only=True,
    ),
)


class Reading(msgspec.Struct, frozen=True):
    """Show one gate as it stood: both numbers, whether it lets pass, and whether a decision that only lowers risk skips it."""

    code: RefusalCode
    detail: str
    value: float
    limit: float
    passes: bool
    raising_only: bool


class Miss(msgspec.Struct, frozen=True):
    """Name the gate that was missed, with both numbers."""

    code: RefusalCode
    detail: str
    value: float
    limit: float


def first_miss(facts: Facts, limits: Limits, *, reduces: bool) -> Miss | None:
    """Return the first gate that is missed; None when all are passed."""
    for one in readings(facts, limits):
        if not one.passes and not (reduces and one.raising_only):
            return Miss(one.code, one.detail, one.value, one.limit)
    return None


def readings(facts: Facts, limits: Limits) -> Iterator[Reading]:
    """Yield every gate as these numbers read it, in order."""
    for gate in GATES:
        value, limit = gate.value(facts), gate.limit(facts, limits)
        yield Reading(gate.code, gate.detail, value, limit, value >= limit, gate.raising_only)


class Inputs:
    """Name the features that a decision needs, and find the first input that is missing."""

    __slots__ = ("_pick", "_required")

    def __init__(self, features_required: tuple[str, ...]) -> None:
        self._required = features_required
        places = [FEATURE_INDEX.get(name) for name in (*RULE_FEATURES, *features_required)]
        self._pick = None if None in places else itemgetter(*places)

    def missing(self, market: MarketData, cost_bps: float) -> str | None:
        """Return what `not_finite` does, of a row at once: a sum is finite only where all of its terms are."""
        features = market.features
        if self._pick is not None and isinstance(features, FeatureRow) and market.bid > 0 and market.ask > 0:
            total = sum(self._pick(features.numbers), market.bid + market.ask + cost_bps)
            if math.isfinite(total):
                return None
        return not_finite(market, cost_bps, self._required)


def not_finite(market: MarketData, cost_bps: float, features_required: tuple[str, ...]) -> str | None:
    """Return the name of the first input that is missing, not finite, or (prices) not positive; None when a decision can be made."""
    for name in ("bid", "ask"):
        price = getattr(market, name)
        if not (math.isfinite(price) and price > 0):
            return name
    if not math.isfinite(cost_bps):
        return "cost_bps"
    features: Mapping[str, float] = market.features
    for name in (*RULE_FEATURES, *features_required):
        if not math.isfinite(features.get(name, math.nan)):
            return name
    return None
