"""What each style of entry costs: one market, entered at the same moments by crossing, by waiting, and by the choice between them.

A coin says which side, so that nothing is known of what comes: what an entry costs against the mid of its decision is the style's own. What
was not filled in the end is priced as if it had crossed then. The paper venue fills, by the careful queue: on a venue the figures are those
of `backtest --fills`, and `execution.passive_*` should be set by them.

Invariants: the same seed gives the same figures; the coin depends on the market's time alone, so that every style meets the same moments.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import msgspec

from smartmoney.core.domain.commands import Command, SubmitOrder
from smartmoney.core.domain.entries import OrderFilled
from smartmoney.core.domain.orders import Purpose
from smartmoney.core.domain.signals import Signal, SignalType
from smartmoney.core.engine.engine import Engine
from smartmoney.core.execution.parameters import EntryStyle
from smartmoney.core.strategy.base import OrderFlowStrategy
from smartmoney.runtime.backtest import BacktestJob, Recordings, run_job
from smartmoney.runtime.backtest_sources import record_built_in
from smartmoney.settings.load import load_settings
from smartmoney.settings.models import Settings
from smartmoney.simulation.order_latency import OrderLatency

_S = 1_000_000_000
_BPS = 1e4
_EVERY_NS = 45 * _S
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


class _Entry(msgspec.Struct):
    """Follow the entry of one signal. Prices in ticks, `fills` as lots, price, monotonic ns, fee in bps."""

    sign: int
    lots: int
    mid: float
    mono_ns: int
    fills: list[tuple[int, float, int, float]] = []
    cross: float | None = None


class EntryWatch:
    """Watch an engine's executor for entries: what was decided, what was filled, what crossing would have cost in the end."""

    def __init__(self, engine: Engine) -> None:
        """Look at every call of the engine's executor from here on."""
        self.entries: dict[str, _Entry] = {}
        self._executor = cast(Any, engine.executor)
        self._open, self._on_reply, self._on_tick = self._executor.open, self._executor.on_reply, self._executor.on_tick
        self._executor.open, self._executor.on_reply, self._executor.on_tick = self._opened, self._replied, self._ticked

    def _opened(self, signal: Signal, index: int, target: int, delta: int, view: Any, *more: Any) -> list[Command]:
        commands: list[Command] = self._open(signal, index, target, delta, view, *more)
        for command in commands:
            if isinstance(command, SubmitOrder) and command.approved.intent.purpose is Purpose.ENTRY:
                intent, quote = command.approved.intent, view.quotes[index]
                mid = (quote.best_bid_ticks + quote.best_ask_ticks) / 2
                self.entries[signal.signal_id] = _Entry(intent.side.sign, intent.lots, mid, view.now_mono_ns)
        return commands

    def _replied(self, reply: Any, view: Any) -> list[Command]:
        commands: list[Command] = self._on_reply(reply, view)
        if isinstance(reply, OrderFilled):
            fill, record = reply.fill, self._executor.ledger.get(reply.fill.client_order_id)
            entry = None if record is None else self.entries.get(record.intent.signal_id or "")
            if entry is not None and record.intent.purpose is Purpose.ENTRY:
                grid = self._executor.portfolio.instruments[fill.instrument]
                fee = float(fill.fee / grid.notional(fill.price_ticks, fill.lots)) * _BPS
                entry.fills.append((fill.lots, fill.price_ticks, view.now_mono_ns, fee))
        return commands

    def _ticked(self, view: Any) -> list[Command]:
        commands: list[Command] = self._on_tick(view)
        latest = next(reversed(self.entries.values()), None)
        if latest is not None and latest.cross is None and not self._executor.is_entering(0):
            quote = view.quotes[0]
            latest.cross = quote.best_ask_ticks if latest.sign > 0 else quote.best_bid_ticks
        return commands

    def costs(self, style: str, taker_bps: float) -> EntryCosts:
        """Return what the entries so far cost; one that goes on still is left out."""
        over = [entry for entry in self.entries.values() if entry.cross is not None]
        lots = sum(entry.lots for entry in over)
        filled, waited, price, missed, fees = 0, 0.0, 0.0, 0.0, 0.0
        for entry in over:
            got = sum(fill[0] for fill in entry.fills)
            filled += got
            waited += sum(one * (mono_ns - entry.mono_ns) / _S for one, _, mono_ns, _ in entry.fills)
            price += sum(one * entry.sign * (ticks - entry.mid) / entry.mid * _BPS for one, ticks, _, _ in entry.fills)
            fees += sum(one * fee for one, _, _, fee in entry.fills) + (entry.lots - got) * taker_bps
            assert entry.cross is not None
            missed += (entry.lots - got) * entry.sign * (entry.cross - entry.mid) / entry.mid * _BPS
        shortfall, fee_bps = (price + missed) / max(lots, 1), fees / max(lots, 1)
        return EntryCosts(
            style=style,
            entries=len(over),
            filled=filled / max(lots, 1),
            wait_s=waited / max(filled, 1),
            price_bps=price / max(filled, 1),
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
        watches: list[EntryWatch] = []
        job = BacktestJob(
            name=style.value,
            source=Recordings(tuple(files), market),
            settings=settings,
            latency=OrderLatency(median_ms=settings.paper.latency_ms),
        )
        run_job(job, lambda engine, seen=watches: seen.append(EntryWatch(engine)))  # type: ignore[misc]
        found.append(watches[0].costs(style.value, float(job.paper().taker_bps)))
    return found


def simulated_costs(scenario: str, seed: int, seconds: int, market: str) -> list[EntryCosts]:
    """Return what each style costs in a built-in market."""
    with tempfile.TemporaryDirectory(prefix="smartmoney-bench-") as folder:
        return entry_costs(record_built_in(scenario, seed, seconds, market, (), Path(folder)), market)
