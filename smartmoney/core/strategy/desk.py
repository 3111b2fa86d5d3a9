"""The desk: one decision per call. It keeps each instrument's regime, shows the strategy its market, and takes its word through the gates.

Works for the built-in strategy and for a user's own alike. Invariants: a decision is an `Accepted` or a `Refusal`, never an exception,
whatever a user's strategy does; the gates run in the documented order; the sliding rate holds over all instruments; a decision that only
lowers risk skips the feed, liquidity, cost and rate gates. Pure: time comes in with the view.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType
from typing import Any, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from smartmoney.core.alpha.prior import PriorParameters
from smartmoney.core.domain.entries import ScaleState
from smartmoney.core.domain.instruments import Instrument
from smartmoney.core.domain.orders import Side
from smartmoney.core.domain.signals import FeedTrust, MarketData, Opportunity, Refusal, RefusalCode, Signal
from smartmoney.core.features.schema import COLUMNS
from smartmoney.core.models.explanation import Seen
from smartmoney.core.regime.parameters import RegimeParameters
from smartmoney.core.regime.reading import RegimeReading
from smartmoney.core.strategy import gates, rules
from smartmoney.core.strategy.analyzer import Evidence, OrderFlowAnalyzer
from smartmoney.core.strategy.base import Declined, OrderFlowStrategy, PortfolioView
from smartmoney.core.strategy.driving import drive
from smartmoney.core.strategy.feature_row import FeatureRow
from smartmoney.core.strategy.follower import SmartMoneyFollowerStrategy
from smartmoney.core.strategy.following import not_warm, nothing_offered
from smartmoney.core.strategy.model import MarketModel, PriorModel
from smartmoney.core.strategy.outlook import Outlook
from smartmoney.core.strategy.parameters import DeskParameters, StrategyParameters
from smartmoney.core.strategy.rate_limit import SlidingRate
from smartmoney.core.strategy.said import strongest
from smartmoney.core.strategy.target import Holding, Plan, is_tradable, plan_order
from smartmoney.core.strategy.trained import TrainedModel

_ANALYSIS_SLACK_NS = 50_000_000
"""Half a tick: decisions a second apart by the clock must not miss an analysis that is due each second."""
_FAULT_TEXT_MAX = 300


class DecisionView(msgspec.Struct, frozen=True, kw_only=True):
    """Show the desk one instrument at one decision.

    Units: lots signed; `equity` in quote, None while it cannot be computed; `cost_bps` of a round trip. `now_mono_ns` is for the rate and
    the analysis interval, `now_event_ns` (the exchange's clock) for the regime; the two are never mixed. `row` holds the market's features
    in schema order, and is read during the decision only; left out, it is made of the mapping.
    """

    instrument: int
    grid: Instrument
    market: MarketData
    warming: bool
    halted: bool
    untrained_in_live: bool
    position_lots: int
    working_lots: int
    equity: Decimal | None
    now_mono_ns: int
    now_event_ns: int
    cost_bps: float
    next_signal_id: str
    row: NDArray[np.float64] | None = None
    order_book: Mapping[str, Any] | None = None
    recent_trades: Sequence[Mapping[str, Any]] = ()


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """Carry a signal that passed every gate of the desk, its target and what to order, in signed lots."""

    signal: Signal
    target_lots: int
    delta_lots: int
    reduces: bool
    outlook: Outlook
    seen: Seen | None = None
    """What a trained model saw when it spoke; for explanations, which are no part of a decision."""


Decision = Accepted | Refusal


class _Fault(msgspec.Struct, frozen=True):
    """Carry what a user's strategy threw."""

    text: str


class _Mind:
    """Keep what is known of one instrument between decisions."""

    __slots__ = ("analysed_mono_ns", "opportunities", "reading", "seen", "state")

    def __init__(self, state: Any) -> None:
        self.state = state
        self.reading: RegimeReading | None = None
        self.opportunities: tuple[Opportunity, ...] = ()
        self.analysed_mono_ns = 0
        self.seen: Seen | None = None


class StrategyDesk:
    """Decide for every instrument of a run, with one strategy and one rate limit. Cost of a decision: about 0.1 ms."""

    def __init__(
        self,
        strategy: OrderFlowStrategy,
        parameters: DeskParameters,
        regime: RegimeParameters | None = None,
        model: MarketModel | None = None,
    ) -> None:
        self.strategy = strategy
        self.parameters = parameters
        self.model: MarketModel = model or prior_model(parameters, regime or RegimeParameters())
        self._importance = self.model.importance()
        self._inputs = gates.Inputs(self.model.features_required)
        self.scale = ScaleState()
        """What new entries are scaled by: the engine sets it."""
        self.keeps_seen = False
        """Whether what a model saw is kept where nothing is offered, too: for explanations only."""
        self.rate = SlidingRate(parameters.signals.max_signals_per_minute)
        self._minds: dict[int, _Mind] = {}
        self.analysis_pause_ns = round(parameters.analysis_interval_s * 1e9) - _ANALYSIS_SLACK_NS
        self._by_regime = {name: parameters.strategy.for_regime(name) for name in parameters.strategy.overrides}

    def initialize(self) -> str:
        """Initialise the strategy and return what it announces; a fault in it is returned as text too."""
        self._bind_analyzers(self._evidence({}, RegimeReading(), ()))

        def prepare() -> str:
            drive(self.strategy.initialize())
            return str(self.strategy.announcement)

        outcome = _guarded(prepare)
        return f"strategy fault: {outcome.text}" if isinstance(outcome, _Fault) else str(outcome)

    def plain_model(self) -> TrainedModel | PriorModel | None:
        """Return the model when what follows from its offers is known beforehand; None with a strategy of a user's own."""
        if type(self.strategy) is SmartMoneyFollowerStrategy and type(self.model) in {TrainedModel, PriorModel}:
            return cast("TrainedModel | PriorModel", self.model)
        return None

    @property
    def inputs(self) -> tuple[str, ...]:
        """Return the features that a decision needs, in the order in which they are looked at."""
        return (*gates.RULE_FEATURES, *self.model.features_required)

    def settle_in(self, states: Sequence[Any]) -> None:
        """Take what the model knows of each instrument from here on; no model has been asked yet."""
        self._minds = {index: _Mind(state) for index, state in enumerate(states)}

    def analysed(self) -> list[tuple[Any, bool, int]]:
        """Return of each instrument that settled in: state, whether its regime is known, when it was analysed last, in monotonic ns."""
        return [(mind.state, mind.reading is not None, mind.analysed_mono_ns) for mind in self._minds.values()]

    def passed_by(
        self,
        said: Sequence[tuple[str, float | None]],
        states: Sequence[Any],
        analysed: Sequence[int | None],
        asked: int | None,
        features: Sequence[FeatureRow],
        costs_bps: Sequence[float],
    ) -> None:
        """Have come to decisions that led to no order.

        Args:
            said: of each at which the strategy was asked, the regime and the confidence of its signal, None where there was none.
            states: of the model, by instrument, after them.
            analysed: when each instrument was analysed last, in monotonic ns; None for never.
            asked: the instrument of which the strategy was asked last.
            features: of each instrument at its latest analysis, NaN before one.
            costs_bps: of a round trip, then.
        """
        assert isinstance(self.strategy, SmartMoneyFollowerStrategy)
        for label, confidence in said:
            self.strategy.pass_by(label, confidence)
        for index, at_ns in enumerate(analysed):
            mind = self._minds[index]
            if at_ns is not None and (mind.reading is None or at_ns != mind.analysed_mono_ns):
                mind.state = states[index]
                self._conclude(mind, features[index], costs_bps[index], at_ns)
        if asked is not None:
            mind = self._minds[asked]
            self._bind_analyzers(self._evidence(features[asked], mind.reading or RegimeReading(), mind.opportunities))

    def activate(self, model: MarketModel) -> None:
        """Switch the model between decisions; regimes start afresh."""
        self.model = model
        self._importance = model.importance()
        self._inputs = gates.Inputs(model.features_required)
        self._minds.clear()

    def decide(self, view: DecisionView) -> Decision:
        """Return the decision on one instrument: what to order, or the one reason why nothing is.

        Call it while warming too: it keeps the regime going. One call per instrument and decision.
        """
        missing = self._inputs.missing(view.market, view.cost_bps)
        mind = self._analysed(view) if missing is None else None
        if view.warming:
            return _refuse(view, RefusalCode.WARMING, "slow features are warming up from recorded data")
        if mind is None or mind.reading is None:
            return not_warm(view.instrument, missing or "regime")
        if view.untrained_in_live:
            return _refuse(view, RefusalCode.MODEL_UNTRAINED, f"live mode refuses {self.model.name}")
        is_synced = view.market.trust is FeedTrust.SYNCED
        if not is_synced and not _is_held(view):
            return _not_synced(view)
        signal = self._ask(view, mind, mind.reading)
        if isinstance(signal, Refusal):
            return signal if is_synced or signal.code is RefusalCode.STRATEGY_FAULT else _not_synced(view)
        chosen = self._by_regime.get(mind.reading.label.value, self.parameters.strategy)
        plan = _plan(view, signal, chosen, self.scale.factor)
        if not is_synced and not plan.reduces:
            return _not_synced(view)
        return self._gated(view, mind, signal, plan, chosen)

    def regime(self, instrument: int) -> RegimeReading | None:
        """Return an instrument's regime; None before its first analysis."""
        mind = self._minds.get(instrument)
        return mind.reading if mind is not None else None

    def gates_at(self, signal: Signal, features: Mapping[str, float], cost_bps: float) -> tuple[gates.Reading, ...]:
        """Return how the gates read a signal that was accepted on these features, for whoever explains it."""
        facts = gates.Facts(
            confidence=signal.confidence,
            liquidity_score=features["liquidity_score"],
            mm_confidence=features["mm_presence"],
            gross_bps=float(signal.metadata["gross_return"]),
            cost_bps=cost_bps,
        )
        chosen = self._by_regime.get(str(signal.metadata["regime"]), self.parameters.strategy)
        return tuple(gates.readings(facts, self._limits(chosen)))

    def opportunities(self, instrument: int) -> tuple[Opportunity, ...]:
        """Return the forecasts of an instrument's latest analysis, the best first."""
        mind = self._minds.get(instrument)
        return mind.opportunities if mind is not None else ()

    def seen(self, instrument: int) -> Seen | None:
        """Return what the model saw at an instrument's latest analysis, for whoever explains it; see `keeps_seen`."""
        mind = self._minds.get(instrument)
        return mind.seen if mind is not None else None

    def ups(self, instrument: int) -> tuple[tuple[int, float], ...]:
        """Return what the model said of every horizon at an instrument's latest analysis: seconds, and the probability of up."""
        mind = self._minds.get(instrument)
        return self.model.ups(mind.state) if mind is not None and mind.reading is not None else ()

    def on_signal_executed(self, signal: Signal, execution_result: Mapping[str, Any]) -> str | None:
        """Tell the strategy that a signal's order was filled; returns the text of a fault in it."""
        return _fault_text(_guarded(lambda: drive(self.strategy.on_signal_executed(signal, dict(execution_result)))))

    def on_trade_closed(self, trade_result: Mapping[str, Any]) -> str | None:
        """Tell the strategy that a trade closed, with its net `profit` in quote; returns the text of a fault in it."""
        return _fault_text(_guarded(lambda: drive(self.strategy.on_trade_closed(dict(trade_result)))))

    def performance(self) -> dict[str, Any]:
        """Return the strategy's summary of itself, a fresh dictionary; {"fault": text} when it cannot give one."""
        outcome = _guarded(lambda: dict(self.strategy.get_performance_summary()))
        return {"fault": outcome.text} if isinstance(outcome, _Fault) else outcome

    def feature_status(self) -> dict[str, bool]:
        """Return which modules speak, as the first analyzer of the strategy sees it."""
        for analyzer in self._analyzers():
            return analyzer.get_feature_status()
        return {}

    def feature_importance(self) -> dict[str, float]:
        """Return the model's shares of each feature, largest first."""
        return self.model.importance()

    def _analysed(self, view: DecisionView) -> _Mind:
        mind = self._minds.get(view.instrument)
        if mind is None:
            mind = self._minds[view.instrument] = _Mind(self.model.fresh_state())
        due_ns = mind.analysed_mono_ns + self.analysis_pause_ns
        # A warm start runs on another stretch of the clock: a stamp in the future is no reason to wait.
        if mind.reading is not None and mind.analysed_mono_ns <= view.now_mono_ns < due_ns:
            return mind
        features = view.market.features
        row = _row_of(features) if view.row is None else view.row
        mind.state = self.model.step(mind.state, row, features, view.now_event_ns)
        self._conclude(mind, features, view.cost_bps, view.now_mono_ns)
        return mind

    def _conclude(self, mind: _Mind, features: Mapping[str, float], cost_bps: float, now_mono_ns: int) -> None:
        """Note what an analysis came to, the state of the model being changed already."""
        mind.reading = self.model.reading(mind.state)
        mind.analysed_mono_ns = now_mono_ns
        mind.opportunities = self._opportunities(mind.state, features, cost_bps, mind.reading)
        mind.seen = self._seen(mind)

    def _seen(self, mind: _Mind) -> Seen | None:
        """Return what the model saw for the horizon that speaks, or, where it is kept in any case, for the one that leans the furthest."""
        if mind.opportunities:
            return self.model.seen(mind.state, mind.opportunities[0].horizon_s)
        if not self.keeps_seen:
            return None
        leans = {horizon_s: abs(up - 0.5) for horizon_s, up in self.model.ups(mind.state) if math.isfinite(up)}
        return self.model.seen(mind.state, max(leans, key=leans.__getitem__)) if leans else None

    def _opportunities(self, state: Any, features: Mapping[str, float], cost_bps: float, reading: RegimeReading) -> tuple[Opportunity, ...]:
        regime = str(reading.label)
        chosen = self._by_regime.get(regime, self.parameters.strategy)
        stop, target = rules.exit_fractions(
            regime,
            features["liquidity_stress"],
            chosen.stop_loss_base,
            chosen.take_profit_base,
            self.parameters.liquidity_stress_threshold,
        )
        found = self.model.opportunities(state, features, reading, stop_bps=1e4 * stop, target_bps=1e4 * target, cost_bps=cost_bps)
        if not found:
            return ()
        least = self.parameters.engine.confidence_threshold
        return tuple(opportunity for opportunity in found if opportunity.confidence >= least)

    def _ask(self, view: DecisionView, mind: _Mind, reading: RegimeReading) -> Signal | Refusal:
        self._bind_analyzers(self._evidence(view.market.features, reading, mind.opportunities))
        if not mind.opportunities and type(self.strategy) is SmartMoneyFollowerStrategy:
            # Most decisions: what it says of nothing is known.
            self.strategy.pass_by(str(reading.label))
            return nothing_offered(view.instrument)
        market = msgspec.structs.replace(view.market, symbol=view.grid.name, features=MappingProxyType(view.market.features))
        portfolio = PortfolioView(
            position=float(view.grid.quantity(view.position_lots)), equity=None if view.equity is None else float(view.equity)
        )

        def speak() -> Signal | Declined | None:
            self.strategy.bind_market(market, portfolio=portfolio, order_book=view.order_book, recent_trades=view.recent_trades)
            signal = strongest(drive(self.strategy.generate_signals()), view.grid)
            return signal or next((reason for reason in self.strategy.declined if isinstance(reason, Declined)), None)

        outcome: Signal | Declined | _Fault | None = _guarded(speak)
        if isinstance(outcome, _Fault):
            return _refuse(view, RefusalCode.STRATEGY_FAULT, outcome.text)
        if isinstance(outcome, Signal):
            return outcome
        if isinstance(outcome, Declined):
            return _refuse(view, outcome.code, outcome.detail, outcome.value, outcome.limit)
        if mind.opportunities:
            return _refuse(view, RefusalCode.NO_OPPORTUNITY, "the strategy gave no signal")
        return nothing_offered(view.instrument)

    def _gated(self, view: DecisionView, mind: _Mind, signal: Signal, plan: Plan, chosen: StrategyParameters) -> Decision:
        opportunity = next((o for o in mind.opportunities if o.side is signal.signal_type.side), None)
        facts = gates.Facts(
            confidence=signal.confidence,
            liquidity_score=view.market.features["liquidity_score"],
            mm_confidence=view.market.features["mm_presence"],
            gross_bps=_bracket_bps(signal) if opportunity is None else opportunity.gross_return_bps,
            cost_bps=view.cost_bps,
        )
        miss = gates.first_miss(facts, self._limits(chosen), reduces=plan.reduces)
        if miss is not None:
            return _refuse(view, miss.code, miss.detail, miss.value, miss.limit)
        if plan.refusal is not None:
            return _refuse(view, plan.refusal, plan.detail, float(plan.delta_lots), float(plan.target_lots))
        if not plan.reduces and not self.rate.allows(view.now_mono_ns):
            most = float(self.rate.per_minute_max)
            return _refuse(view, RefusalCode.RATE_LIMITED, "max_signals_per_minute in 60 s", most, most)
        if view.halted:
            return _refuse(view, RefusalCode.HALTED, "the kill switch is set")
        self.rate.record(view.now_mono_ns)
        horizon_s = self.parameters.horizon_s if opportunity is None else opportunity.horizon_s
        _complete(signal, view, mind.reading or RegimeReading(), self.model.name, facts.gross_bps, horizon_s)
        if self.scale.factor < 1.0 and not plan.reduces:
            signal.metadata["size_factor"] = self.scale.factor
            signal.metadata["explanation"] += f"; size x {self.scale.factor:g}: {self.scale.reason}"
        return Accepted(
            signal=signal,
            target_lots=plan.target_lots,
            delta_lots=plan.delta_lots,
            reduces=plan.reduces,
            outlook=Outlook(gross_bps=facts.gross_bps, horizon_s=horizon_s, sigma_bps=self._sigma_bps(view)),
            seen=mind.seen,
        )

    def _sigma_bps(self, view: DecisionView) -> float:
        """Return the volatility of one second, from that of a bar."""
        return view.market.features.get("sigma_bar_bps", math.nan) / math.sqrt(self.parameters.bar_s)

    def _limits(self, chosen: StrategyParameters) -> gates.Limits:
        return gates.Limits(
            min_liquidity_score=chosen.min_liquidity_score,
            mm_confidence_threshold=self.parameters.mm_confidence_threshold,
            min_confidence=self.parameters.signals.min_confidence,
            risk_adjustment_factor=self.parameters.engine.risk_adjustment_factor,
        )

    def _evidence(self, features: Mapping[str, float], reading: RegimeReading, found: tuple[Opportunity, ...]) -> Evidence:
        return Evidence(
            features=features,
            regime=reading,
            opportunities=found,
            model=self.model.name,
            is_trained=self.model.is_trained,
            liquidity_stress_threshold=self.parameters.liquidity_stress_threshold,
            importance=self._importance,
        )

    def _analyzers(self) -> list[OrderFlowAnalyzer]:
        # A user's strategy may keep its analyzer under any name, or several.
        return [value for value in vars(self.strategy).values() if isinstance(value, OrderFlowAnalyzer)]

    def _bind_analyzers(self, evidence: Evidence) -> None:
        if type(self.strategy) is SmartMoneyFollowerStrategy:
            self.strategy.analyzer.bind(evidence)
            return
        for analyzer in self._analyzers():
            analyzer.bind(evidence)


def prior_model(parameters: DeskParameters, regime: RegimeParameters) -> PriorModel:
    """Return the untrained prior, configured."""
    alpha = PriorParameters(horizon_s=parameters.horizon_s, bar_s=parameters.bar_s, large_order_threshold=parameters.large_order_threshold)
    return PriorModel(regime, alpha)


def _row_of(features: Mapping[str, float]) -> NDArray[np.float64]:
    return np.array([features.get(name, np.nan) for name in COLUMNS])


def _plan(view: DecisionView, signal: Signal, chosen: StrategyParameters, scale: float) -> Plan:
    side = signal.signal_type.side
    holding = Holding(position_lots=view.position_lots, working_lots=view.working_lots, equity=view.equity)
    return plan_order(side, signal.quantity, _touch(view, side), view.grid, holding, chosen.rebalance_band, scale)


def _touch(view: DecisionView, side: Side) -> Decimal:
    # repr of a float is the shortest text that reads back the same: the price as it was quoted.
    return Decimal(repr(float(view.market.ask if side is Side.BUY else view.market.bid)))


def _is_held(view: DecisionView) -> bool:
    side = Side.SELL if view.position_lots > 0 else Side.BUY
    return is_tradable(view.position_lots, _touch(view, side), view.grid)


def _bracket_bps(signal: Signal) -> float:
    """Return what the signal's own bracket pays at its own confidence, for a strategy that has no forecast to show."""
    gain = abs(signal.take_profit - signal.price) / signal.price
    loss = abs(signal.stop_loss - signal.price) / signal.price
    return 1e4 * (signal.confidence * gain - (1.0 - signal.confidence) * loss)


def _complete(signal: Signal, view: DecisionView, reading: RegimeReading, model: str, gross_bps: float, horizon_s: float) -> None:
    features = view.market.features
    imbalance, stress = features["weighted_imbalance"], features["liquidity_stress"]
    signal.signal_id = view.next_signal_id
    signal.metadata.setdefault("strategy", "")
    signal.metadata.setdefault("regime", reading.label.value)
    signal.metadata.update(
        signal_id=view.next_signal_id,
        model=model,
        effective_confidence=signal.confidence,
        regime_probability=reading.probability,
        gross_return=gross_bps,
        horizon_s=horizon_s,
        features_at=f"{view.grid.name}@{view.now_event_ns}",
        explanation=(
            f"{signal.signal_type.value} at confidence {signal.confidence:.3f}: {reading.label.value} {reading.probability:.2f}, "
            f"imbalance {imbalance:+.2f}, stress {stress:.2f}, gross {gross_bps:.1f} bps against cost {view.cost_bps:.1f} bps; {model}"
        ),
    )


def _refuse(view: DecisionView, code: RefusalCode, detail: str, value: float | None = None, limit: float | None = None) -> Refusal:
    return Refusal(code=code, instrument=view.instrument, detail=detail, value=value, limit=limit)


def _not_synced(view: DecisionView) -> Refusal:
    return _refuse(view, RefusalCode.FEED_NOT_SYNCED, f"the feed is {view.market.trust.value}")


def _guarded(call: Callable[[], Any]) -> Any:
    """Run a user's code; what it throws becomes a `_Fault`."""
    try:
        return call()
    except Exception as error:  # noqa: BLE001  # a user's strategy may throw anything, and must not stop the daemon
        return _Fault(f"{type(error).__name__}: {error}"[:_FAULT_TEXT_MAX])


def _fault_text(outcome: Any) -> str | None:
    return outcome.text if isinstance(outcome, _Fault) else None
