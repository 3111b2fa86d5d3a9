"""What a result comes to: the slippage budget, each regime's results, and the verdict in plain words.

Invariants: pure; nothing is concluded from fewer trades than an interval needs; what is unknown is said to be.
"""

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from smartmoney.learning.matched_null import TRADES_MIN, NullTest
from smartmoney.learning.reliability import Reliability, added
from smartmoney.learning.resampling import mean_interval
from smartmoney.reports.entries import EntryRow, entry_rows
from smartmoney.reports.wording import p_is
from smartmoney.runtime.backtest import BacktestResult
from smartmoney.runtime.chronicle import RoundTrip, TripSums, cost_sums, regime_sums
from smartmoney.runtime.fill_costs import summed

_LEVEL = 0.05


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """Say what the direction was worth and what each cost took of it, in bps of a round trip's notional (half the turnover).

    `edge` is what decisions would have made at their own mids, without any cost; edge − delay − spread − impact − fee − funding = net.
    `net_at` is the net in quote if all costs had been 0, 1 and 2 times what they were; `break_even_fee_bps` the fee a fill at which nothing
    would have been left (None: it lost before fees). `is_split` is False where no book told delay, spread and impact: they are in the edge
    then.
    """

    notional: float
    edge: float
    delay: float
    spread: float
    impact: float
    fee: float
    funding: float
    net: float
    net_at: tuple[float, float, float]
    break_even_fee_bps: float | None
    is_split: bool


class RegimeRow(msgspec.Struct, frozen=True, kw_only=True):
    """Be one regime's results: share of time, round trips, share won, mean net in bps with its 95 % interval (None: too few)."""

    regime: str
    time_share: float
    trips: int
    win_rate: float | None
    mean_bps: float | None
    low_bps: float | None
    high_bps: float | None
    net: float


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """Hold everything that a report concludes."""

    verdict: tuple[str, ...]
    budget: Budget | None
    regimes: tuple[RegimeRow, ...]
    all_trades: RegimeRow
    entries: tuple[EntryRow, ...]
    calibration: Reliability
    brier: float | None
    ece: float | None
    ece_of_chance: float | None


def findings(result: BacktestResult) -> Findings:
    """Return what a result comes to."""
    trips = [trip for job in result.jobs for trip in job.chronicle.trips]
    sums = regime_sums([job.chronicle.by_regime for job in result.jobs])
    whole = sum(one.seconds for one in sums.values())
    total = TripSums()
    for one in sums.values():
        total = total.plus(one)
    everything = _row("all", total, trips, total.seconds)
    spent = budget(result)
    calibration = added([job.chronicle.forecasts for job in result.jobs])
    return Findings(
        verdict=tuple(verdict(result, everything, spent)),
        budget=spent,
        regimes=tuple(_row(name, one, [trip for trip in trips if trip.regime == name], whole) for name, one in sums.items()),
        all_trades=everything,
        entries=entry_rows([one for job in result.jobs for one in job.chronicle.entries]),
        calibration=calibration,
        brier=calibration.brier,
        ece=calibration.ece,
        ece_of_chance=calibration.ece_of_chance,
    )


def budget(result: BacktestResult) -> Budget | None:
    """Return the slippage budget; None when nothing was traded."""
    notional = 0.5 * result.turnover
    if not notional > 0:
        return None
    sums = summed(cost_sums(job.chronicle.costs for job in result.jobs).values())
    slipped = sums.delay + sums.spread + sums.impact
    edge = result.net_pnl + result.fees + result.funding + slipped
    scale = 1e4 / notional
    before_fees = result.net_pnl + result.fees
    return Budget(
        notional=notional,
        edge=edge * scale,
        delay=sums.delay * scale,
        spread=sums.spread * scale,
        impact=sums.impact * scale,
        fee=result.fees * scale,
        funding=result.funding * scale,
        net=result.net_pnl * scale,
        net_at=(edge, result.net_pnl, edge - 2.0 * (slipped + result.fees + result.funding)),
        break_even_fee_bps=1e4 * before_fees / result.turnover if before_fees > 0 else None,
        is_split=sums.known > 0,
    )


def verdict(result: BacktestResult, trades: RegimeRow, spent: Budget | None) -> list[str]:
    """Return the result in sentences."""
    if not trades.trips:
        return [_why_nothing(result)]
    told = [_money(result, trades)]
    if spent is not None:
        told.append(_costs(spent))
    return [*told, _skill(result.null_test)]


def _why_nothing(result: BacktestResult) -> str:
    refused = sorted(result.refusals.items(), key=lambda item: (-item[1], item[0]))
    most = f" Of {result.decisions:,} decisions {refused[0][1]:,} were refused as {refused[0][0]}." if refused else ""
    held = " A position was still open at the end." if result.fills else ""
    return f"No round trip was closed, so nothing can be said about skill.{held}{most}"


def _money(result: BacktestResult, trades: RegimeRow) -> str:
    made = f"{'Made' if result.net_pnl > 0 else 'Lost'} {abs(result.net_return):.3%} net"
    mean = f"a round trip came to {trades.mean_bps:+.2f} bps on average over {trades.trips:,}"
    if trades.low_bps is None or trades.high_bps is None:
        return f"{made}; {mean}: too few to tell a gain or a loss from luck."
    interval = f"95 % interval {trades.low_bps:+.2f} to {trades.high_bps:+.2f}"
    if trades.low_bps > 0:
        judged = "more than luck, if trades do not depend on each other"
    elif trades.high_bps < 0:
        judged = "a loss that luck does not explain"
    else:
        judged = "not to be told from zero"
    return f"{made}; {mean} ({interval}): {judged}."


def _paid(spent: Budget) -> str:
    return f", funding {spent.funding:.2f}" if spent.funding else ""


def _costs(spent: Budget) -> str:
    cost = spent.edge - spent.net
    if not spent.is_split:
        return f"Before fees a round trip came to {spent.edge:+.2f} bps; fees took {spent.fee:.2f}{_paid(spent)}."
    if spent.edge <= 0:
        return f"The direction itself was worth nothing: {spent.edge:+.2f} bps a round trip before any cost; costs took another {cost:.2f}."
    of_it = f"fees {spent.fee:.2f}{_paid(spent)}"
    took = f"The direction was worth {spent.edge:+.2f} bps a round trip before any cost; costs took {cost:.2f} ({of_it})"
    return f"{took}: {'something is left' if spent.net > 0 else 'nothing is left'}."


def _skill(test: NullTest | None) -> str:
    if test is None or test.p is None:
        return "Against random trades nothing could be tested: there is no price path for these trades."
    if not test.is_enough:
        apart = f"{test.groups} trades apart in time are fewer than the {TRADES_MIN} that a conclusion needs"
        return f"Whether it beat random trades of the same size, holding time and volatility cannot be said: {apart} ({p_is(test.p)})."
    if test.p < _LEVEL:
        return f"Before costs it beat random trades of the same size, holding time and volatility ({p_is(test.p)})."
    return f"It did no better than random trades of the same size, holding time and volatility would have ({p_is(test.p)})."


def _row(name: str, sums: TripSums, trips: Sequence[RoundTrip], whole_s: float) -> RegimeRow:
    interval = mean_interval([trip.net_bps for trip in trips])
    low, high = interval if interval is not None else (None, None)
    mean = float(np.mean([trip.net_bps for trip in trips])) if trips else None
    return RegimeRow(
        regime=name,
        time_share=sums.seconds / whole_s if whole_s > 0 else 0.0,
        trips=sums.trips,
        win_rate=sums.wins / sums.trips if sums.trips else None,
        mean_bps=mean,
        low_bps=low,
        high_bps=high,
        net=sums.net,
    )


def most(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """Return counts, largest first, equals by name."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))
