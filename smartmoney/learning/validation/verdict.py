"""Was an edge found? Only if every check says so, and each says its number, its limit and what it means.

Invariants: what cannot be computed is a check that was not met; a market that holds too little to judge is said to, and is never an edge.
"""

from math import isfinite

import msgspec
import numpy as np
from numpy.typing import NDArray

from smartmoney.learning.resampling import BLOCKS_MIN
from smartmoney.learning.validation.gains import Gain, mean_gain
from smartmoney.learning.validation.overfitting import BLOCKS, overfitting
from smartmoney.learning.validation.sharpe import deflated_sharpe, estimate_sharpe, luckiest_sharpe, sharpe_ratios

Floats = NDArray[np.float64]

DEFLATED_MIN = 0.95
OVERFITTING_MAX = 0.5
FILLS_MIN = 30
"""With fewer fills out of sample a mean is a handful of anecdotes."""


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """Be one condition: its value (None if there is none) and how to show it, the limit in words, and what was seen."""

    name: str
    value: float | None
    shown: str
    needed: str
    is_met: bool
    words: str


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Say whether there is an edge. Returns are fractions of equity a period; `trials` counts all that were ever made on this past."""

    is_edge: bool
    headline: str
    checks: tuple[Check, ...]
    lacking: tuple[str, ...]
    out_of_sample: Gain
    net: float
    sharpe: float
    luckiest: float
    trials: int
    periods: int
    period_s: float


def judge(
    chosen: Floats, rows: NDArray[np.int64], trials: Floats, *, count: int, block_rows: int, period_s: float, fills: int, seed: int
) -> Verdict:
    """Return the verdict.

    Args:
        chosen: `(out-of-sample periods,)` net returns of what each fold chose from its own past.
        rows: `(out-of-sample periods,)` which of all periods those are.
        trials: `(periods, trials)` net returns of the trials made on this past.
        count: how many were ever made on it, those included whose returns are not at hand.
        block_rows: periods of a bootstrap block; at least the longest holding.
        period_s: seconds of a period.
        fills: fills out of sample.
        seed: of the bootstrap.
    """
    periods, shown = trials.shape
    gain = mean_gain(chosen, block_rows, seed)
    estimate = estimate_sharpe(chosen)
    ratios = sharpe_ratios(trials[rows]) if len(rows) > 1 else np.zeros(shown)
    variance = float(ratios.var(ddof=1)) if shown > 1 else 0.0
    deflated = deflated_sharpe(estimate, count, variance)
    luckiest = luckiest_sharpe(count, variance)
    pbo = overfitting(trials).pbo if shown > 1 and periods >= 2 * BLOCKS else None
    checks = (
        _net_check(gain),
        Check(
            name="deflated Sharpe ratio",
            value=deflated if isfinite(deflated) else None,
            shown=f"{deflated:.3f}",
            needed=f"at least {DEFLATED_MIN}",
            is_met=deflated >= DEFLATED_MIN,
            words=f"a Sharpe ratio of {estimate.ratio:+.4f} a period against {luckiest:+.4f}, which the luckiest of "
            f"{count:,} trials would show without any skill",
        ),
        _overfitting_check(pbo),
    )
    lacking = tuple(_lacking(gain, block_rows, period_s, periods, shown, fills))
    is_edge = not lacking and all(check.is_met for check in checks)
    return Verdict(
        is_edge=is_edge,
        headline=_headline(is_edge, checks, lacking),
        checks=checks,
        lacking=lacking,
        out_of_sample=gain,
        net=float(np.prod(1.0 + chosen) - 1.0),
        sharpe=estimate.ratio,
        luckiest=luckiest,
        trials=count,
        periods=len(chosen),
        period_s=period_s,
    )


def _net_check(gain: Gain) -> Check:
    if isfinite(gain.low):
        words = f"{1e4 * gain.mean:+.3f} bps of equity a period, 95 % interval {1e4 * gain.low:+.3f} to {1e4 * gain.high:+.3f}"
    else:
        words = f"{1e4 * gain.mean:+.3f} bps of equity a period, and too few blocks for an interval"
    value = gain.low if isfinite(gain.low) else None
    shown = f"lower bound {1e4 * gain.low:+.3f} bps" if isfinite(gain.low) else "lower bound unknown"
    return Check(name="net out of sample", value=value, shown=shown, needed="above 0", is_met=gain.low > 0.0, words=words)


def _overfitting_check(pbo: float | None) -> Check:
    words = "cannot be computed" if pbo is None else "how often the best of one half of the past was in the lower half of the other"
    return Check(
        name="probability of overfitting",
        value=pbo,
        shown="unknown" if pbo is None else f"{pbo:.3f}",
        needed=f"below {OVERFITTING_MAX}",
        is_met=pbo is not None and pbo < OVERFITTING_MAX,
        words=words,
    )


def _lacking(gain: Gain, block_rows: int, period_s: float, periods: int, trials: int, fills: int) -> list[str]:
    found = []
    if gain.blocks < BLOCKS_MIN:
        needed = BLOCKS_MIN * block_rows * period_s / 60.0
        found.append(
            f"{gain.rows * period_s / 60.0:.0f} min out of sample; the interval needs {needed:.0f} (ten times the longest holding)"
        )
    if periods < 2 * BLOCKS:
        found.append(f"{periods} periods; the probability of overfitting needs {2 * BLOCKS}")
    if trials < 2:
        found.append("one trial; a choice needs two")
    if fills < FILLS_MIN:
        found.append(f"{fills} fills out of sample; at least {FILLS_MIN} are needed")
    return found


def _headline(is_edge: bool, checks: tuple[Check, ...], lacking: tuple[str, ...]) -> str:
    if is_edge:
        return "edge found, out of sample, in this data"
    if lacking:
        return f"no edge found: too little data to find one ({'; '.join(lacking)})"
    failed = ", ".join(f"{check.name} {check.shown} (needs {check.needed})" for check in checks if not check.is_met)
    return f"no edge found: {failed}"
