"""The one summary of a run: what `run --json`, `status --json` and `replay --json` print."""

import resource
from collections.abc import Mapping
from pathlib import Path

import msgspec

from smartmoney.core.domain.signals import FeedTrust
from smartmoney.core.engine.view import EngineView, FundingView, InstrumentView
from smartmoney.core.strategy.rules import is_stable
from smartmoney.runtime.latency import Percentiles

_WORST_FIRST = (FeedTrust.RESYNCING, FeedTrust.STALE, FeedTrust.SUSPECT, FeedTrust.SYNCED)


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """Sum a run up.

    Units: `*_s` seconds, `*_ms` milliseconds, `equity`, `high_water_mark` in quote, `drawdown` a fraction. `position` is the signed base
    quantity of the only instrument, None with several; `positions` has each. `feed_trust` is the worst of all instruments. `funding` is
    what was paid, in quote; negative was received. `size_factor` is what new entries are scaled by. `model_note` says what of the
    configuration the model does not follow.
    """

    run_id: str
    mode: str
    venue: str
    build: str
    config_hash: str
    model: str
    uptime_s: float
    synced_after_s: float | None
    frames: int
    trades: int
    gaps: int
    resyncs: int
    feed_trust: str
    decisions: int
    signals: int
    refusals: Mapping[str, int]
    orders: int
    fills: int
    position: float | None
    positions: Mapping[str, float]
    equity: float | None
    high_water_mark: float | None
    drawdown: float | None
    halted: bool
    halt_reason: str
    size_factor: float
    size_reason: str
    fees: float
    funding: float
    digest: str
    rss_mb: float
    loop_lag_p99_ms: float | None
    latency: Mapping[str, Percentiles] = {}
    instruments: Mapping[str, Mapping[str, object]] = {}
    performance: Mapping[str, object] = {}
    alerts: Mapping[str, int] = {}
    drift: Mapping[str, object] = {}
    training: Mapping[str, object] = {}
    model_note: str = ""
    market: str = ""
    """Spot or usdm, of a running daemon."""


def summarise(
    view: EngineView,
    *,
    loop_lag: Percentiles | None = None,
    latency: Mapping[str, Percentiles] | None = None,
    alerts: Mapping[str, int] | None = None,
    drift: Mapping[str, object] | None = None,
    training: Mapping[str, object] | None = None,
    model_note: str = "",
    market: str = "",
) -> Summary:
    """Sum up what an engine shows and what the runtime measured."""
    account = view.account
    positions = {item.name: float(item.position) for item in view.instruments}
    states = {item.trust.state for item in view.instruments}
    return Summary(
        run_id=view.run_id,
        mode=view.mode,
        venue=view.venue,
        build=view.build,
        config_hash=view.config_hash,
        model=view.model,
        uptime_s=round((view.now_mono_ns - view.started_mono_ns) / 1e9, 3),
        synced_after_s=None if view.synced_after_ns is None else round(view.synced_after_ns / 1e9, 3),
        frames=view.frames,
        trades=view.trades,
        gaps=view.gaps,
        resyncs=view.resyncs,
        feed_trust=next((state.value for state in _WORST_FIRST if state in states), FeedTrust.RESYNCING.value),
        decisions=view.decisions,
        signals=view.signals,
        refusals=dict(sorted(view.refusals.items())),
        orders=view.orders,
        fills=view.fills,
        position=next(iter(positions.values())) if len(positions) == 1 else None,
        positions=positions,
        equity=_float(account.equity),
        high_water_mark=_float(account.high_water_mark),
        drawdown=account.drawdown,
        halted=account.halted,
        halt_reason=account.halt_reason,
        size_factor=account.size_factor,
        size_reason=account.size_reason,
        fees=float(account.fees),
        funding=float(account.funding),
        digest=view.digest,
        rss_mb=round(rss_mb(), 1),
        loop_lag_p99_ms=None if loop_lag is None else loop_lag.p99_ms,
        latency=latency or {},
        instruments={item.name: _instrument(item, view.mode) for item in view.instruments},
        performance=view.performance,
        alerts=alerts or {},
        drift=drift or {},
        training=training or {},
        model_note=model_note,
        market=market,
    )


def rss_mb() -> float:
    """Return the resident memory of this process in MiB."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return pages * resource.getpagesize() / (1 << 20)


def _instrument(item: InstrumentView, mode: str) -> Mapping[str, object]:
    return {
        "trust": item.trust.state.value,
        "trust_reason": item.trust.reason,
        "bid": _float(item.bid),
        "ask": _float(item.ask),
        "position": float(item.position),
        "stop": _float(item.stop),
        "target": _float(item.target),
        "regime": None if item.regime is None else item.regime.label.value,
        "regime_probability": None if item.regime is None else item.regime.probability,
        "regime_posterior": None if item.regime is None else item.regime.posterior,
        "regime_age_s": None if item.regime is None else item.regime.age_s,
        "regime_entropy": None if item.regime is None else item.regime.entropy,
        "regime_stable": None if item.regime is None else is_stable(item.regime.probability),
        "features": {name: value for name, value in item.features.items() if value == value},  # noqa: PLR0124 - leaves NaN out
        "funding": None if item.funding is None else _funding(item.funding, mode),
        "last_decision": None if item.last_decision is None else f"{item.last_decision.code}: {item.last_decision.text}",
    }


def _funding(told: FundingView, mode: str) -> Mapping[str, object]:
    basis = "told" if told.is_told else "assumed"
    return {
        "next_payment": "listed by the exchange" if mode == "live" else basis,
        "told_age_s": None if told.age_s is None else round(told.age_s, 1),
        "next_ms": None if told.at_ns is None else told.at_ns // 1_000_000,
        "rate": _float(told.rate),
        "mark_price": _float(told.mark),
    }


def _float(value: object) -> float | None:
    return None if value is None else float(value)  # type: ignore[arg-type]
