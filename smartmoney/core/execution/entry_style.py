"""Whether to enter at once or to wait in the queue: what either is expected to cost, against what waiting lets pass.

Both are costs of the entry alone, in bps, against having it at the mid of the decision for nothing. A taker pays its fee and half the
spread. A resting order is filled when the mid has come to it: the first passage of a Brownian motion whose drift, away from it, is the
forecast's return spread over its horizon (the urgency), and whose volatility is the market's. Filled, it pays the maker's fee and what
drifted by until then: the half-spread that it seems to earn is what the mid has lost. What is not filled by the time-out crosses after all,
a wait's drift later, or lets the forecast go, if that is cheaper. By optional stopping this is the expected shortfall against the price at
the decision. First passage and its mean time: the inverse Gaussian law, stopped at the time-out (Borodin and Salminen, Handbook of Brownian
Motion, 2002, part II, 2.0.2). What a walk does not know is measured (`smartmoney bench entries`): the time in the queue, the share that it
never fills, and what is lost to following the touch and to those who know more.

Invariants: pure; a number that is missing chooses the taker, which is what the decision was reckoned with.
"""

import math
import re

import msgspec

from smartmoney.core.execution.parameters import EntryStyle, ExecutionParameters
from smartmoney.core.strategy.outlook import Outlook

_NAN = float("nan")
_EXPONENT_MAX = 700.0
_EXPECTED = re.compile(r"(taker|maker): waiting is expected to cost (-?[\d.]+) bps \(filled \d+%\), crossing (-?[\d.]+)")


class Waiting(msgspec.Struct, frozen=True):
    """Be what comes of waiting: the chance that the market comes to the order in time, and the mean time until it does (s)."""

    chance: float
    mean_s: float


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """Be how to enter, with what either way is expected to cost in bps (NaN: unknown) and the chance that a resting order is filled."""

    style: EntryStyle
    taker_bps: float = _NAN
    maker_bps: float = _NAN
    fill_chance: float = _NAN

    @property
    def words(self) -> str:
        """Say why."""
        if math.isnan(self.maker_bps):
            return f"{self.style.value}: what waiting costs is not known"
        costs = f"waiting is expected to cost {self.maker_bps:.2f} bps (filled {self.fill_chance:.0%}), crossing {self.taker_bps:.2f}"
        return f"{self.style.value}: {costs}"


def expected_in(words: str) -> float | None:
    """Return what the way that was taken was expected to cost (bps, to two digits), from the words of a choice; None: it is not told."""
    found = _EXPECTED.fullmatch(words)
    return None if found is None else float(found[2] if found[1] == EntryStyle.MAKER else found[3])


def choose(outlook: Outlook, spread_bps: float, tick_bps: float, parameters: ExecutionParameters) -> Choice:
    """Return how to enter: as configured, or the cheaper of both. Cost: a few µs."""
    if parameters.entry is not EntryStyle.AUTO:
        return Choice(style=parameters.entry)
    if not outlook.is_known or not (math.isfinite(spread_bps) and spread_bps >= 0.0):
        return Choice(style=EntryStyle.TAKER)
    half_bps = spread_bps / 2.0
    taker_bps = float(parameters.taker_bps) + half_bps
    wait_s = min(parameters.entry_timeout_s, outlook.horizon_s)
    # The level at the touch has to give way: the mid comes to it, and a tick beyond.
    waiting = wait_for(half_bps + tick_bps, outlook.drift_bps, outlook.sigma_bps, wait_s)
    filled = waiting.chance * parameters.passive_fill_share
    queued_s = min(wait_s, waiting.mean_s + parameters.passive_wait_s)
    filled_bps = float(parameters.maker_bps) + parameters.passive_loss_bps + outlook.drift_bps * queued_s
    unfilled_bps = min(outlook.gross_bps, taker_bps + outlook.drift_bps * wait_s)
    maker_bps = filled * filled_bps + (1.0 - filled) * unfilled_bps
    style = EntryStyle.MAKER if maker_bps < taker_bps else EntryStyle.TAKER
    return Choice(style=style, taker_bps=taker_bps, maker_bps=maker_bps, fill_chance=filled)


def wait_for(distance_bps: float, drift_bps: float, sigma_bps: float, wait_s: float) -> Waiting:
    """Return what comes of waiting at a distance that the drift leads away from. All are positive."""
    spread = sigma_bps * math.sqrt(wait_s)
    drifted = drift_bps * wait_s
    # exp(-2 mu b / sigma^2) of the reflected path; far out it is nothing.
    exponent = 2.0 * drift_bps * distance_bps / sigma_bps**2
    mirrored = math.exp(-exponent) * _normal((drifted - distance_bps) / spread) if exponent < _EXPONENT_MAX else 0.0
    plain = _normal((-drifted - distance_bps) / spread)
    chance = min(1.0, plain + mirrored)
    until_s = min(wait_s * chance, max(0.0, distance_bps / drift_bps * (mirrored - plain)))
    mean_s = until_s / chance if chance > 0.0 else wait_s
    return Waiting(chance, mean_s)


def _normal(x: float) -> float:
    return 0.5 * math.erfc(-x / math.sqrt(2.0))
