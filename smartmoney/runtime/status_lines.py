"""What a daemon says of itself now and then: a line for the log, and one for the service manager."""

import math
from collections.abc import Mapping

from smartmoney.core.engine.view import EngineView


def log_line(view: EngineView) -> dict[str, object]:
    """Return the fields of a line of the log."""
    first = view.instruments[0]
    decision = first.last_decision
    return {
        "mode": view.mode,
        "instrument": first.name,
        "bid": first.bid,
        "ask": first.ask,
        "trust": first.trust.state.value,
        "trades_per_s": _known(first.features, "trade_rate_10s", 1),
        "imbalance": _known(first.features, "weighted_imbalance", 3),
        "tfi_120s": _known(first.features, "tfi_120s", 3),
        "stress": _known(first.features, "liquidity_stress", 2),
        "regime": None if first.regime is None else f"{first.regime.label.value} {first.regime.probability:.2f}",
        "decision": None if decision is None else f"{decision.code}: {decision.text}",
        "position": first.position,
        "equity": view.account.equity,
        "drawdown": view.account.drawdown,
        "decisions": view.decisions,
        "signals": view.signals,
        "orders": view.orders,
        "fills": view.fills,
        "halted": view.account.halted,
        "simulated": view.mode != "live",
    }


def _known(features: Mapping[str, float], name: str, digits: int) -> float | None:
    """Return a feature for a log line, None while it warms up: JSON has no word for NaN."""
    value = features.get(name, math.nan)
    return None if math.isnan(value) else round(value, digits)


def service_line(view: EngineView) -> str:
    """Return the line that a service manager shows."""
    account, first = view.account, view.instruments[0]
    state = f"HALTED: {account.halt_reason}" if account.halted else f"{first.name} {first.trust.state.value}"
    counts = f"{view.decisions} decisions, {view.signals} signals, {view.fills} fills"
    return f"{view.mode}: {state}; equity {account.equity}, {counts}"
