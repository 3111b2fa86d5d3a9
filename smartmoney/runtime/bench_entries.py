"""What each style of entry costs: one market, entered at the same moments by crossing, by waiting, and by the choice between them.

A coin says which side, so that nothing is known of what comes: what an entry costs against the mid of its decision is the style's own. What
was not filled in the end is priced as if it had crossed then. The paper venue fills, by the careful queue: on a venue the figures are those
of `backtest --fills`, and `execution.passive_*` should be set by them.

Invariants: the same seed gives the same figures; the coin depends on the market's time alone, so that every style meets the same moments.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from smartmoney.core.domain.signals import Signal, SignalType
from smartmoney.core.execution.parameters import EntryStyle
from smartmoney.core.strategy.base import OrderFlowStrategy
from smartmoney.runtime.backtest import BacktestJob, Recordings, run_job
from smartmoney.runtime.backtest_sources import record_built_in
from smartmoney.runtime.entry_costs import EntryCost
from smartmoney.settings.load import load_settings
from smartmoney.settings.models import Settings
from smartmoney.simulation.order_latency import OrderLatency

_EVERY_NS = 45_000_000_000
_HOLDS_S = 10
_STOP, _TARGET = 0.02, 0.00316
"""A bracket that the prior's arithmetic takes for a forecast of 20 bps: patient."""
_SIZE = 0.02
_MIX = 0x9E3779B97F4A7C15


class Coin(OrderFlowStrategy):
    """Enter every 45 s of the market's time, while flat, on the side that a hash of it says."""

    turn = 0

    async def generate_signals(self) -> list[Signal]:
        """Return the entry of this moment, if it is one."""
        assert self.market_data is not None
        turn = self.market_data.ts_event_ns // _EVERY_NS
        is_flat = self.portfolio is None or self.portfolio.position == 0
        if turn == self.turn or not is_flat:
            return []
        self.turn = turn
        is_buy = bool((turn * _MIX >> 40) & 1)
        price, sign = self.current_price, 1 if is_buy else -1
        return [
            Signal(
                signal_type=SignalType.BUY if is_buy else SignalType.SELL,
                symbol=self.symbol,
                price=price,
                quantity=_SIZE,
                confidence=0.95,
                stop_loss=price * (1 - sign * _STOP),
                take_profit=price * (1 + sign * _TARGET),
            )
        ]


class EntryCosts(msgspec.Struct, frozen=True, kw_only=True):
    """Be what entries of one style cost. bps against the mid of the decision, fees apart in `fee_bps`, means over lots.

    `filled` is the share of the lots, `wait_s` from the decision to a fill; `price_bps` of what was filled, `shortfall_bps` of everything,
    what was not filled at the price of crossing at its end, and `total_bps` with the fees of both.
    """

    style: str
    entries: int
    filled: float
    wait_s: float
    price_bps: float
    shortfall_bps: float
    fee_bps: float
    total_bps: float


def costs_of(style: str, entries: Sequence[EntryCost]) -> EntryCosts:
    """Return what entries cost, each by its lots."""
    lots = max(sum(one.lots for one in entries), 1)
    filled = sum(one.lots * one.filled for one in entries)
    shortfall = sum(one.lots * one.shortfall_bps for one in entries) / lots
    fee_bps = sum(one.lots * one.fee_bps for one in entries) / lots
    return EntryCosts(
        style=style,
        entries=len(entries),
        filled=filled / lots,
        wait_s=sum(one.lots * one.filled * one.wait_s for one in entries) / max(filled, 1),
        price_bps=sum(one.lots * one.filled * one.price_bps for one in entries) / max(filled, 1),
        shortfall_bps=shortfall,
        fee_bps=fee_bps,
        total_bps=shortfall + fee_bps,
    )


def coin_settings(style: EntryStyle, market: str) -> Settings:
    """Return the settings of a run that enters by a coin."""
    return load_settings(
        overrides={
            "market": market,
            "strategy_class": f"{__name__}:Coin",
            "execution.entry": style.value,
            "execution.max_holding_s": _HOLDS_S,
            "strategy.max_position_size": _SIZE,
            "strategy.min_liquidity_score": 0.0,
            "advanced_features.feature_engine.risk_adjustment_factor": 0.0,
            "advanced_features.liquidity_patterns.mm_confidence_threshold": 0.0,
        }
    )


def entry_costs(files: Sequence[str], market: str) -> list[EntryCosts]:
    """Return what each style costs on recordings of one instrument. Cost: three backtests."""
    found = []
    for style in EntryStyle:
        settings = coin_settings(style, market)
        job = BacktestJob(
            name=style.value,
            source=Recordings(tuple(files), market),
            settings=settings,
            latency=OrderLatency(median_ms=settings.paper.latency_ms),
        )
        found.append(costs_of(style.value, run_job(job).chronicle.entries))
    return found


def simulated_costs(scenario: str, seed: int, seconds: int, market: str) -> list[EntryCosts]:
    """Return what each style costs in a built-in market."""
    with tempfile.TemporaryDirectory(prefix="smartmoney-bench-") as folder:
        return entry_costs(record_built_in(scenario, seed, seconds, market, (), Path(folder)), market)
