"""The part of the engine that decides: reads features, asks the desk, and remembers what it said for whoever looks.

Invariants: decisions are due every `update_frequency` seconds of the monotonic clock; features are read as of the last event of their
instrument; nothing here sends anything.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from smartmoney.core.book.kernel import shown_lots
from smartmoney.core.book.state import ASK, BID
from smartmoney.core.book.stretch import NEVER
from smartmoney.core.domain.entries import Entry, RunStarted
from smartmoney.core.domain.signals import MarketData, Refusal, Signal
from smartmoney.core.engine.market import States
from smartmoney.core.engine.parameters import EngineParameters
from smartmoney.core.engine.quiet import QuietDesk
from smartmoney.core.engine.stretch import EACH_TICK, Decided, Valued
from smartmoney.core.engine.view import DecisionView as LastDecision
from smartmoney.core.engine.view import RegimeView
from smartmoney.core.execution.parameters import round_trip
from smartmoney.core.execution.view import Quote
from smartmoney.core.features.row import read_row
from smartmoney.core.features.schema import FEATURES, as_mapping
from smartmoney.core.models.bundle import Bundle
from smartmoney.core.models.explanation import Seen
from smartmoney.core.portfolio.portfolio import ClosedTrade
from smartmoney.core.strategy.base import OrderFlowStrategy
from smartmoney.core.strategy.desk import Accepted, Decision, DecisionView, StrategyDesk, prior_model
from smartmoney.core.strategy.feature_row import FeatureRow
from smartmoney.core.strategy.model import MarketModel, PriorModel
from smartmoney.core.strategy.trained import TrainedModel

if TYPE_CHECKING:
    from smartmoney.core.engine.engine import Engine

StrategyFactory = Callable[[str, Mapping[str, Any]], OrderFlowStrategy]
"""Makes the strategy of a run from its `module:Class` (empty for the built-in one) and its configuration."""

BundleSource = Callable[[str], Bundle]
"""Returns the trained bundle of a hash. It may read a disk, except on the loop of a running daemon, where what is activated is at hand."""

_S = 1_000_000_000
EQUITY_EVERY_NS = 10 * _S
"""Equity is recorded this often when its peak stands still."""
_SLACK_NS = 5_000_000
"""Timers may be a little early against the interval they add up to."""
SIGNALS_REMEMBERED = 256
SEEN_KEPT = 64
_NAN = float("nan")


class Brain:
    """Decide for every instrument of a run."""

    def __init__(self, started: RunStarted, parameters: EngineParameters, make_strategy: StrategyFactory, bundles: BundleSource) -> None:
        strategy = make_strategy(parameters.strategy_class, parameters.strategy_config)
        self._parameters = parameters
        self._bundles = bundles
        self.model_hash = started.model
        self.desk = StrategyDesk(strategy, parameters.desk, parameters.regime, self._model(started.model))
        self.announcement = self.desk.initialize()
        self._mode = started.mode
        self._run_id = started.run_id
        self._fees_bps, self._crossed_spreads = round_trip(parameters.execution)
        self._instruments = started.instruments
        self._grids = [(one.tick_size.as_integer_ratio(), one.lot_size.as_integer_ratio()) for one in started.instruments]
        self._interval_ns = round(parameters.desk.strategy.update_frequency * _S)
        self._due_ns: int | None = None
        self.quiet = self._quiet()
        """Takes decisions that lead to no order, inside a stretch of frames."""
        self._values = np.full(len(FEATURES), np.nan)
        self._last: dict[int, LastDecision] = {}
        self._signals: dict[str, Signal] = {}
        self._seen: deque[tuple[str, Seen]] = deque(maxlen=SEEN_KEPT)

    @property
    def model_name(self) -> str:
        """Return the name of the model that speaks."""
        return self.desk.model.name

    @property
    def round_ns(self) -> int | None:
        """Return when the next round of decisions is due that may be quiet; None where none may be."""
        return self._due_ns if self.quiet.is_on else None

    @property
    def values_equity(self) -> bool:
        """Tell whether equity is noted on the way through a stretch."""
        return self._due_ns is not None and self.quiet.is_on

    @property
    def due_ns(self) -> int:
        """Return the monotonic time from which a tick has to be run for a round of decisions: never, where it may be quiet."""
        if self._due_ns is None:
            return EACH_TICK
        return NEVER if self.quiet.is_on else self._due_ns - _SLACK_NS

    def activate(self, model: str) -> None:
        """Switch to another model between decisions; regimes start afresh."""
        self.desk.activate(self._model(model))
        self.model_hash = model
        self.quiet = self._quiet()

    def is_due(self, now_mono_ns: int) -> bool:
        """Tell whether a round of decisions is due, and plan the next one."""
        due_ns = now_mono_ns if self._due_ns is None else self._due_ns
        if now_mono_ns < due_ns - _SLACK_NS:
            return False
        self._due_ns = max(due_ns + self._interval_ns, now_mono_ns + self._interval_ns // 2)
        return True

    def pass_rounds(self, decided: Sequence[Decided | Valued], origin_ns: int) -> None:
        """Take note of quiet decisions; the desk has come to them."""
        self._due_ns = self.quiet.due_ns - origin_ns
        for one in {one.refusal.instrument: one for one in decided if type(one) is Decided}.values():
            self.note_refusal(one.refusal, one.wall_ns - origin_ns)

    def restart_clock(self) -> None:
        """Make the next round due at once: the warm start ran on another stretch of the clock."""
        self._due_ns = None

    def decide(self, engine: "Engine", index: int, quote: Quote, entry: Entry) -> Decision:
        """Return the decision on one instrument. Cost: about 0.1 ms."""
        states, executor = engine.market.states, engine.executor
        grid = engine.market.instruments[index]
        read_row(states, index, 0, self._values)
        features = FeatureRow(self._values.tolist())
        event_ns = engine.market.event_ns(index)
        tick, lot = self._grids[index]
        market = MarketData(
            symbol=grid.name,
            ts_event_ns=event_ns,
            bid=_times(tick, quote.best_bid_ticks) if quote.best_bid_ticks > 0 else _NAN,
            ask=_times(tick, quote.best_ask_ticks) if quote.best_ask_ticks > 0 else _NAN,
            bid_quantity=_times(lot, _shown(states, index, BID, quote.best_bid_ticks)),
            ask_quantity=_times(lot, _shown(states, index, ASK, quote.best_ask_ticks)),
            trust=quote.trust,
            features=features,
        )
        view = DecisionView(
            instrument=index,
            grid=grid,
            market=market,
            warming=engine.is_warming,
            halted=engine.money.state.halted,
            untrained_in_live=self._mode == "live" and not self.desk.model.is_trained,
            position_lots=executor.portfolio.position_lots(index),
            working_lots=executor.working_lots(index),
            equity=engine.money.equity,
            now_mono_ns=entry.ts_mono_ns,
            now_event_ns=event_ns,
            cost_bps=self._fees_bps + self._crossed_spreads * features["spread_bps"],
            next_signal_id=f"{self._run_id}-{entry.seq}-{index}",
            row=self._values,
        )
        decision = self.desk.decide(view)
        if isinstance(decision, Accepted):
            self._note_signal(index, decision.signal, entry.ts_mono_ns)
            if decision.seen is not None:
                self._seen.append((decision.signal.signal_id, decision.seen))
        return decision

    def take_seen(self) -> list[tuple[str, Seen]]:
        """Return what trained models saw when they gave the newest signals, by signal id, and forget it."""
        taken = list(self._seen)
        self._seen.clear()
        return taken

    def note_refusal(self, refusal: Refusal, now_mono_ns: int) -> None:
        """Remember a refusal as an instrument's latest decision."""
        numbers = "" if refusal.value is None or refusal.limit is None else f" ({refusal.value:.3g} against {refusal.limit:.3g})"
        self._last[refusal.instrument] = LastDecision(code=refusal.code.value, text=f"{refusal.detail}{numbers}", mono_ns=now_mono_ns)

    def on_executed(self, signal_id: str) -> None:
        """Tell the strategy that a signal's order had its first fill."""
        signal = self._signals.get(signal_id)
        if signal is not None:
            self.desk.on_signal_executed(signal, {"price": signal.price, "quantity": signal.quantity})

    def on_closed(self, trade: ClosedTrade) -> None:
        """Tell the strategy that a round trip closed."""
        self.desk.on_trade_closed(
            {
                "profit": float(trade.net_profit),
                "side": trade.side.value,
                "entry_price": float(trade.entry_price),
                "exit_price": float(trade.exit_price),
                "quantity": float(trade.quantity),
                "fees": float(trade.fees),
            }
        )

    def features(self, states: States, index: int) -> dict[str, float]:
        """Return an instrument's features by schema name, NaN where not warm."""
        read_row(states, index, 0, self._values)
        return as_mapping(self._values.tolist())

    def regime(self, index: int) -> RegimeView | None:
        """Return an instrument's regime, None before its first analysis."""
        reading = self.desk.regime(index)
        if reading is None:
            return None
        return RegimeView(
            label=reading.label,
            probability=reading.probability,
            age_s=reading.age_s,
            posterior=reading.probabilities(),
            entropy=reading.entropy,
        )

    def last_decision(self, index: int) -> LastDecision | None:
        """Return an instrument's latest decision."""
        return self._last.get(index)

    def performance(self) -> dict[str, Any]:
        """Return the strategy's summary of itself, the state of its modules and the weightiest features."""
        importance = list(self.desk.feature_importance().items())[:5]
        return {**self.desk.performance(), "modules": self.desk.feature_status(), "top_features": dict(importance)}

    def _quiet(self) -> QuietDesk:
        return QuietDesk(
            self.desk,
            self._instruments,
            round_trip=(self._fees_bps, self._crossed_spreads),
            interval_ns=self._interval_ns,
            slack_ns=_SLACK_NS,
            value_every_ns=EQUITY_EVERY_NS,
        )

    def _model(self, model: str) -> MarketModel:
        """Return a model by hash; the prior by its name, or by none."""
        if model in {"", PriorModel.name}:
            return prior_model(self._parameters.desk, self._parameters.regime)
        return TrainedModel(self._bundles(model), self._parameters.regime)

    def _note_signal(self, index: int, signal: Signal, now_mono_ns: int) -> None:
        self._signals[signal.signal_id] = signal
        if len(self._signals) > SIGNALS_REMEMBERED:
            del self._signals[next(iter(self._signals))]
        regime = signal.metadata.get("regime", "")
        text = f"{signal.signal_type.value} {signal.quantity:.2%} of equity at confidence {signal.confidence:.2f} ({regime})"
        self._last[index] = LastDecision(code="signal", text=text, mono_ns=now_mono_ns)


def _shown(states: States, index: int, side: int, ticks: int) -> int:
    return int(shown_lots(states, index, side, ticks)) if ticks > 0 else 0


def _times(step: tuple[int, int], count: int) -> float:
    """Return so many steps of a grid as the float nearest to them: division of integers rounds once, as Decimal's way through text does."""
    return step[0] * count / step[1]
