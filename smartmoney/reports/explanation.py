"""An explanation of a signal, or of a refusal, as text."""

import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from smartmoney.reports.meanings import DECISIONS
from smartmoney.runtime.explain import Explanation, Known, OrderStory
from smartmoney.runtime.explain_refusal import RefusalStory

_FORECASTS_MAX = 3
_PARTS_MAX = 10


def explanation_lines(told: Explanation) -> Iterator[str]:
    """Yield an explanation as lines of text."""
    when = datetime.fromtimestamp(told.wall_ns / 1e9, UTC)
    yield f"signal     {told.signal_id}: {told.side} {told.instrument} at {when:%Y-%m-%d %H:%M:%S} UTC"
    yield f"run        {told.run_id}, {told.mode}, build {told.build}"
    yield f"said       {told.metadata.get('explanation', 'no explanation was recorded')}"
    yield (
        f"asked for  {_number(told.quantity, '.2%')} of equity at {_number(told.price, ',.10g')}, "
        f"confidence {_number(told.confidence, '.3f')}, stop {_number(told.stop_loss, ',.10g')}, "
        f"target {_number(told.take_profit, ',.10g')}"
    )
    if told.known is not None:
        yield from _known(told.known, lowers_risk=told.lowers_risk)
    yield from _parts(told.parts)
    for order in told.orders:
        yield from _order(order)
    yield f"outcome    {told.outcome}"
    if told.known is not None and told.known.move_bps is not None:
        yield f"forecast   its horizon later the mid had moved {told.known.move_bps:+.2f} bps to its side"
    if told.known is not None:
        yield "features   of that moment"
        yield from _features(told.known)
    for line in told.missing:
        yield f"missing    {line}"


def refusal_lines(told: RefusalStory) -> Iterator[str]:
    """Yield the explanation of a refusal as lines of text."""
    when = datetime.fromtimestamp(told.wall_ns / 1e9, UTC)
    numbers = "" if told.value is None or told.limit is None else f": {told.value:.4g} against {told.limit:.4g}"
    yield f"refused    {told.instrument} at {when:%Y-%m-%d %H:%M:%S} UTC, run {told.run_id}, model {told.model}"
    yield f"because    {told.code}: {told.detail}{numbers}"
    if told.code in DECISIONS:
        yield f"           {DECISIONS[told.code]}"
    yield from _known(told.known, lowers_risk=False)
    ups = ", ".join(f"{horizon} s {up:.3f}" for horizon, up in told.ups.items() if math.isfinite(up))
    if ups:
        yield f"up         probability that the mid is higher then: {ups}"
    if told.horizon_s is not None:
        yield f"leaning    of the horizon of {told.horizon_s:g} s, the one that spoke or leaned the furthest"
    yield from _parts(told.parts)
    yield "features   of that moment"
    yield from _features(told.known)


def _parts(parts: Mapping[str, float]) -> Iterator[str]:
    for name, part in list(parts.items())[:_PARTS_MAX]:
        yield f"leaned     {part:+.4f} by {name}"


def _known(known: Known, *, lowers_risk: bool) -> Iterator[str]:
    yield f"market     {known.bid:,.10g} / {known.ask:,.10g}, feed {known.feed}, a round trip costs {known.cost_bps:.1f} bps"
    posterior = ", ".join(f"{name} {p:.2f}" for name, p in sorted(known.posterior.items(), key=lambda item: -item[1]))
    yield f"regime     {known.regime} {known.regime_probability:.2f} ({posterior})"
    for one in known.forecasts[:_FORECASTS_MAX]:
        yield (
            f"forecast   {one['signal']} within {one['horizon_s']:g} s at {one['confidence']:.3f}: "
            f"gross {one['gross_return']:+.1f} bps, {one['expected_return']:+.1f} after costs; {one['model']}"
        )
    for gate in known.gates:
        skipped = lowers_risk and gate.raising_only
        word = "skipped: it only lowers risk" if skipped else "passed" if gate.passes else "MISSED"
        yield f"gate       {gate.code.value:<22} {gate.value:10.4g} against {gate.limit:10.4g}   {word}"


def _order(order: OrderStory) -> Iterator[str]:
    price = "" if order.average_price is None else f" at {order.average_price:,.10g}"
    fees = "".join(f", fee {fee:.6g} {asset}" for asset, fee in order.fees.items())
    filled = f"{order.filled_lots} of {order.lots} lots{price}{fees}"
    yield f"order      {order.client_order_id}: {order.purpose} {order.side} {order.type}, {filled}; {order.ended or 'working'}"
    if order.why:
        yield f"           {order.why}"
    for event in order.events:
        yield f"           +{event.after_ms:,.0f} ms {event.kind} {event.detail}"


def _features(known: Known) -> Iterator[str]:
    names = list(known.features)
    width = max(map(len, names), default=0)
    for first in range(0, len(names), 3):
        yield "  " + "   ".join(f"{name:<{width}} {known.features[name]:>11.5g}" for name in names[first : first + 3])


def _number(value: float | None, form: str) -> str:
    return "unknown" if value is None else format(value, form)
