"""Build the pictures of `core.engine.view` from a running engine. Read-only."""

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from smartmoney.core.book.kernel import shown_lots
from smartmoney.core.book.state import ASK, BID
from smartmoney.core.domain.entries import Entry
from smartmoney.core.domain.instruments import Market
from smartmoney.core.engine.market import top_of_book
from smartmoney.core.engine.view import AccountView, EngineView, FundingView, InstrumentView

if TYPE_CHECKING:
    from smartmoney.core.engine.engine import Engine

FUNDING_HEARD_S = 600.0
"""What a venue told longer ago says nothing of the next payment: `simulation.paper_funding` pays by the same bound."""
_OVER_NS = 60_000_000_000
"""A time that is over may still be named for so long."""


def build_view(engine: "Engine", entry: Entry) -> EngineView:
    """Return everything that is to be shown as of an entry. Cost: about 0.2 ms an instrument."""
    run, market, counters = engine.run, engine.market, engine.counters
    return EngineView(
        run_id=run.run_id,
        mode=run.mode,
        venue=run.venue,
        build=run.build,
        config_hash=run.config_hash,
        model=engine.brain.model_name,
        model_hash=engine.brain.model_hash,
        is_warming=engine.is_warming,
        is_reconciled=engine.is_reconciled,
        is_flat=engine.executor.is_flat,
        instruments=tuple(_instrument(engine, index) for index in range(len(market.instruments))),
        account=_account(engine),
        frames=market.frames,
        trades=market.trades,
        gaps=market.gaps,
        resyncs=market.resyncs,
        synced_after_ns=engine.synced_after_ns,
        started_mono_ns=engine.started_mono_ns,
        now_mono_ns=entry.ts_mono_ns,
        decisions=counters.decisions,
        signals=counters.signals,
        refusals=dict(counters.refusals),
        orders=engine.executor.order_count,
        fills=counters.fills,
        performance=engine.brain.performance(),
        digest=engine.digest,
    )


def _instrument(engine: "Engine", index: int) -> InstrumentView:
    market, instrument, state = engine.market, engine.market.instruments[index], engine.market.states[index]
    bid, ask = top_of_book(state)
    position, plan = engine.executor.portfolio.position(index), engine.executor.plan(index)
    reading = engine.brain.regime(index)
    return InstrumentView(
        name=instrument.name,
        trust=market.trust(index),
        bid=instrument.price(bid) if bid > 0 else None,
        ask=instrument.price(ask) if ask > 0 else None,
        bid_quantity=instrument.quantity(int(shown_lots(market.states, index, BID, bid)) if bid > 0 else 0),
        ask_quantity=instrument.quantity(int(shown_lots(market.states, index, ASK, ask)) if ask > 0 else 0),
        position=position.quantity,
        entry_price=position.average_price,
        stop=None if plan.stop_ticks is None else instrument.price(plan.stop_ticks),
        target=None if plan.target_ticks is None else instrument.price(plan.target_ticks),
        is_protected=engine.executor.is_protected(index),
        features=engine.brain.features(market.states, index),
        regime=reading,
        last_decision=engine.brain.last_decision(index),
        funding=None if instrument.market is Market.SPOT else _funding(state),
    )


def _funding(state: Any) -> FundingView:
    heard_ns, at_ns = int(state["mark_event_ns"]), int(state["funding_next_ns"])
    if at_ns == 0:
        return FundingView(is_told=False, age_s=None, at_ns=None, rate=None, mark=None)
    now_ns = max(heard_ns, int(state["last_event_ns"]))
    age_s = (now_ns - heard_ns) / 1e9
    return FundingView(
        is_told=age_s <= FUNDING_HEARD_S and now_ns <= at_ns + _OVER_NS,
        age_s=age_s,
        at_ns=at_ns,
        rate=_number(state, "funding_rate"),
        mark=_number(state, "mark") or None,
    )


def _number(state: Any, name: str) -> Decimal:
    return Decimal(int(state[name])).scaleb(-int(state[f"{name}_decimals"]))


def _account(engine: "Engine") -> AccountView:
    money, portfolio = engine.money, engine.executor.portfolio
    drawdown = money.drawdown
    return AccountView(
        equity=money.equity,
        high_water_mark=money.state.peak,
        drawdown=None if drawdown is None else float(drawdown),
        cash=portfolio.cash,
        fees=portfolio.fees_paid,
        realised=portfolio.realised,
        funding=portfolio.funding_paid,
        transferred=portfolio.transferred,
        halted=money.state.halted,
        halt_reason=money.state.reason,
        size_factor=engine.brain.desk.scale.factor,
        size_reason=engine.brain.desk.scale.reason,
    )
