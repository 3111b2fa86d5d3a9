"""Check a scenario's realism: one seed's day to findings, many seeds' findings to verdicts.

A finding holds small arrays only, so that many days fit in memory; it depends on the seed, the scenario and the hours alone. Band 9 counts
uninformed parents of all seeds; band 13 needs recordings; band 14 needs worlds of its own.
"""

import hashlib
from collections.abc import Callable, Sequence
from time import process_time

import msgspec

from smartmoney.learning.realism_bands import Verdict, judge_all
from smartmoney.learning.realism_book import cancelled, flow_and_queue, touch
from smartmoney.learning.realism_curves import Curves, curves_of
from smartmoney.learning.realism_impact import ORDERS_MIN, Impacts, impact_statistics, impacts_of
from smartmoney.learning.realism_leak import Lives, detector_auc
from smartmoney.learning.realism_likeness import stretches_of
from smartmoney.learning.realism_orders import clustering, sign_memory
from smartmoney.learning.realism_returns import Slow, return_memory, slow_part, slow_statistics, volume_volatility
from smartmoney.learning.realism_series import Observed
from smartmoney.learning.realism_simulated import observe_book
from smartmoney.learning.resampling import Floats
from smartmoney.simulation.market import SimulatedBook
from smartmoney.simulation.scenario import Scenario

LEAK_EVERY_S = 60.0
LEAK_MOST_S = 120.0
"""Seconds between the informed in worlds for band 14, and the longest that one of common size takes there."""
ORDERS_PER_SEED = 500
"""Uninformed parents from which a seed gets a value of its own, to show; the verdict is on all seeds together."""
_FAST: tuple[Callable[[Observed], dict[str, float]], ...] = (return_memory, volume_volatility, touch, flow_and_queue, cancelled)


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Hold what one seed's stretch gave: values by key, what is pooled, rows to compare with recordings, curves, CPU seconds."""

    seed: int
    values: dict[str, float]
    slow: Slow
    impacts: Impacts
    stretches: list[Floats]
    curves: Curves
    cpu_s: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Report a check. `seeds` counts them; `cpu_s_per_day` is the mean CPU time of a simulated day, statistics included."""

    scenario: str
    seeds: int
    base: int
    hours: float
    seed_values: tuple[int, ...]
    passes: bool
    cpu_s_per_day: float
    bands: tuple[Verdict, ...]
    leak_auc: tuple[float | None, float | None, float | None]


def derived_seeds(base: int, scenario: str, count: int) -> tuple[int, ...]:
    """Return seeds that follow from a base: nobody chose them, and the same base gives them again."""
    digests = (hashlib.sha256(f"sim check|{scenario}|{base}|{i}".encode()).digest() for i in range(count))
    return tuple(int.from_bytes(digest[:6], "big") for digest in digests)


def without_leak(scenario: Scenario) -> Scenario:
    """Return the same market with half of its informed mistaken, and no drift after any: who is called informed is so in name only.

    They come a few at a time whatever the scenario says, so that there are enough of them in hours.
    """
    informed = msgspec.structs.replace(
        scenario.informed, every_s=LEAK_EVERY_S, right_share=0.5, drift_bps=0.0, duration_s=min(scenario.informed.duration_s, LEAK_MOST_S)
    )
    return msgspec.structs.replace(scenario, informed=informed)


def fast_statistics(observed: Observed) -> dict[str, float]:
    """Return every statistic that one stretch can tell by itself."""
    found: dict[str, float] = {}
    for statistic in _FAST:
        found |= statistic(observed)
    return found | sign_memory(observed.fills) | clustering(observed.fills)


def find(book: SimulatedBook, seed: int, seconds: int) -> Finding:
    """Run one book and return what it was like."""
    started = process_time()
    observed = observe_book(book, str(seed), seconds)
    slow, impacts = slow_part(observed), impacts_of(observed)
    return Finding(
        seed=seed,
        values=fast_statistics(observed) | slow_statistics([slow]) | impact_statistics([impacts], ORDERS_PER_SEED),
        slow=slow,
        impacts=impacts,
        stretches=stretches_of(observed),
        curves=curves_of(observed),
        cpu_s=process_time() - started,
    )


def pooled_statistics(findings: Sequence[Finding]) -> dict[str, float]:
    """Return the slow statistics, and those of impact, over all seeds."""
    return slow_statistics([one.slow for one in findings]) | impact_statistics([one.impacts for one in findings])


def report_on(
    scenario: str, base: int, hours: float, findings: Sequence[Finding], likenesses: Sequence[float], leaks: Sequence[Lives]
) -> Report:
    """Return the verdicts. `likenesses` is empty where there are no recordings, `leaks` where there are no worlds for band 14."""
    pooled = pooled_statistics(findings)
    values = [dict(one.values) for one in findings]
    unmeasured = _unmeasured(findings, likenesses, leaks)
    for value, likeness in zip(values, likenesses, strict=False):
        value["likeness"] = likeness
    area, low, high = detector_auc(leaks)
    if low == low:  # noqa: PLR0124 - NaN is not itself
        pooled["leak"] = max(0.0, low - 0.5, 0.5 - high)
    bands = judge_all(values, pooled, unmeasured)
    return Report(
        scenario=scenario,
        seeds=len(findings),
        base=base,
        hours=hours,
        seed_values=tuple(one.seed for one in findings),
        passes=all(band.passes for band in bands),
        cpu_s_per_day=round(sum(one.cpu_s for one in findings) / max(1, len(findings)) * 24.0 / hours, 2),
        bands=bands,
        leak_auc=tuple(None if number != number else number for number in (area, low, high)),  # type: ignore[arg-type] # noqa: PLR0124
    )


def _unmeasured(findings: Sequence[Finding], likenesses: Sequence[float], leaks: Sequence[Lives]) -> dict[str, str]:
    reasons: dict[str, str] = {}
    orders = sum(len(one.impacts.sizes) for one in findings)
    if orders < ORDERS_MIN:
        text = f"{orders} uninformed parents in all; {ORDERS_MIN} are needed: more seeds or hours"
        reasons |= dict.fromkeys(("impact_exponent", "impact_prefactor", "impact_decades", "impact_left"), text)
    if not likenesses:
        reasons["likeness"] = "no recordings to compare with: set SMARTMONEY_CAPTURES to the folder that holds them"
    if not leaks:
        reasons["leak"] = "no worlds with identical schedules and zero drift were run"
    return reasons
