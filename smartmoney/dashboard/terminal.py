"""The terminal view: one compact picture of a running daemon. It reads frozen views and decides nothing."""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from smartmoney.core.domain.signals import FeedTrust
from smartmoney.core.engine.view import AccountView, EngineView, FundingView, InstrumentView
from smartmoney.core.strategy.rules import is_stable

_TRUST_STYLE = {
    FeedTrust.SYNCED: "bold green",
    FeedTrust.SUSPECT: "bold yellow",
    FeedTrust.STALE: "bold red",
    FeedTrust.RESYNCING: "yellow",
}
_REGIME_STYLE = {"accumulation": "green", "distribution": "red", "trending": "cyan", "volatile": "magenta", "neutral": "white"}
_LOG_LINES = 6
_BAR = 12


def render(view: EngineView, max_drawdown: float, simulated: str, log_lines: Sequence[str]) -> RenderableType:
    """Return the whole picture. `simulated` says in words what is not real."""
    parts: list[RenderableType] = [_header(view)]
    parts += [_instrument(item, view.now_mono_ns) for item in view.instruments]
    parts.append(_account(view.account, view, max_drawdown))
    parts.append(Text(f" Simulated: {simulated}", style="italic yellow"))
    if log_lines:
        body = Text("\n".join(log_lines[-_LOG_LINES:]), style="dim", no_wrap=True, overflow="ellipsis")
        parts.append(Panel(body, title="log", title_align="left", border_style="dim"))
    return Group(*parts)


def _header(view: EngineView) -> Text:
    up_s = max(0, view.now_mono_ns - view.started_mono_ns) // 1_000_000_000
    text = Text(" smartmoney ", style="bold reverse")
    text.append(f" {view.build} ", style="dim")
    text.append(f" {view.mode.upper()} ", style="bold black on yellow" if view.mode == "paper" else "bold white on red")
    text.append(f"  {view.venue}   run {view.run_id}   up {up_s // 3600:d}:{up_s // 60 % 60:02d}:{up_s % 60:02d}   model {view.model}")
    if view.is_warming:
        text.append("   warming", style="yellow")
    return text


def _instrument(item: InstrumentView, now_mono_ns: int) -> Panel:
    features = item.features
    grid = Table.grid(padding=(0, 1))
    grid.add_column(style="dim", width=9, no_wrap=True)
    grid.add_column()
    grid.add_row("book", _book(item))
    grid.add_row("feed", Text.assemble((item.trust.state.value.upper(), _TRUST_STYLE[item.trust.state]), f"  {item.trust.reason}"))
    grid.add_row("imbalance", _signed(features, {"now": "weighted_imbalance", "momentum": "imbalance_momentum", "OFI 10 s": "ofi_l1_10s"}))
    large = _money(features, "large_trade_120s", "large trades")
    grid.add_row("flow", _signed(features, {"10 s": "tfi_10s", "120 s": "tfi_120s"}, extra=large))
    grid.add_row("liquidity", _plain(features, {"score": "liquidity_score", "stress": "liquidity_stress", "makers": "mm_presence"}))
    grid.add_row("regime", _regime(item))
    grid.add_row("decision", _decision(item, now_mono_ns))
    grid.add_row("position", _position(item))
    if item.funding is not None:
        grid.add_row("funding", _funding(item.funding))
    return Panel(grid, title=f"[bold]{item.name}[/bold]", title_align="left", border_style=_TRUST_STYLE[item.trust.state].split()[-1])


def _book(item: InstrumentView) -> Text:
    if item.bid is None or item.ask is None:
        return Text("waiting for a book", style="yellow")
    rate = item.features.get("trade_rate_10s", math.nan)
    text = Text.assemble((f"{item.bid:,f}", "bold green"), "  /  ", (f"{item.ask:,f}", "bold red"))
    text.append(f"   {item.bid_quantity.normalize():f} × {item.ask_quantity.normalize():f}")
    text.append(f"   spread {_number(item.features.get('spread_bps', math.nan), '.3f')} bps   {_number(rate, '.1f')} trades/s")
    return text


def _signed(features: Mapping[str, float], names: Mapping[str, str], extra: str = "") -> Text:
    text = Text()
    for label, name in names.items():
        value = features.get(name, math.nan)
        style = "dim" if math.isnan(value) else "green" if value > 0 else "red"
        text.append(f"{label} ")
        text.append(f"{_number(value, '+.3f'):>7}", style=style)
        text.append("   ")
    text.append(extra)
    return text


def _plain(features: Mapping[str, float], names: Mapping[str, str]) -> Text:
    return Text("   ".join(f"{label} {_number(features.get(name, math.nan), '.2f')}" for label, name in names.items()))


def _money(features: Mapping[str, float], name: str, label: str) -> str:
    value = features.get(name, math.nan)
    return f"{label} {'warming' if math.isnan(value) else f'{value:+,.0f}'}"


def _regime(item: InstrumentView) -> Text:
    if item.regime is None:
        return Text("warming", style="yellow")
    regime = item.regime
    filled = round(regime.probability * _BAR)
    text = Text(f"{regime.label.value:12} ", style=f"bold {_REGIME_STYLE[regime.label.value]}")
    text.append("█" * filled + "░" * (_BAR - filled), style=_REGIME_STYLE[regime.label.value])
    text.append(f" {regime.probability:.2f}   for {regime.age_s:.0f} s  {'stable' if is_stable(regime.probability) else 'unstable'}")
    return text


def _decision(item: InstrumentView, now_mono_ns: int) -> Text:
    decision = item.last_decision
    if decision is None:
        return Text("none yet", style="dim")
    ago_s = max(0.0, (now_mono_ns - decision.mono_ns) / 1e9)
    is_signal = decision.code == "signal"
    text = Text("SIGNAL " if is_signal else "refused ", style="bold green" if is_signal else "yellow")
    if not is_signal:
        text.append(f"{decision.code}: ", style="bold")
    text.append(f"{decision.text}   ({ago_s:.0f} s ago)")
    return text


def _position(item: InstrumentView) -> Text:
    if not item.position:
        return Text("flat", style="dim")
    text = Text(f"{item.position.normalize():+f}", style="bold")
    if item.entry_price is not None:
        text.append(f" @ {item.entry_price:,.2f}")
    text.append(f"   stop {item.stop:,f}" if item.stop is not None else "   no stop yet", style="red")
    text.append(f"   target {item.target:,f}" if item.target is not None else "", style="green")
    return text


def _funding(told: FundingView) -> Text:
    if told.age_s is None or told.at_ns is None or told.rate is None:
        return Text("the venue told nothing", style="dim")
    mark = "no mark price" if told.mark is None else f"mark price {told.mark:,f}"
    text = Text(f"{float(told.rate) * 1e4:+.4g} bps at {datetime.fromtimestamp(told.at_ns / 1e9, UTC):%d %H:%M} UTC   {mark}")
    text.append(f"   told {told.age_s:.0f} s ago", style="" if told.is_told else "bold yellow")
    return text


def _account(account: AccountView, view: EngineView, max_drawdown: float) -> Panel:
    grid = Table.grid(padding=(0, 1))
    grid.add_column(style="dim", width=9, no_wrap=True)
    grid.add_column()
    if account.halted:
        grid.add_row("HALTED", Text(account.halt_reason + "   (smartmoney resume --reason …)", style="bold white on red"))
    if account.size_factor < 1.0:
        grid.add_row("size", Text(f"new entries are {account.size_factor:.0%} of their size: {account.size_reason}", style="bold yellow"))
    equity = "cannot be computed" if account.equity is None else f"{account.equity:,.2f}"
    peak = "" if account.high_water_mark is None else f"   high-water mark {account.high_water_mark:,.2f}"
    drawdown = "unknown" if account.drawdown is None else f"{account.drawdown:.3%}"
    grid.add_row("equity", Text.assemble((equity, "bold"), f"{peak}   drawdown {drawdown} of {max_drawdown:.1%} allowed"))
    funding = f"   funding {account.funding:,.2f}" if account.funding else ""
    grid.add_row("money", f"cash {account.cash:,.2f}   realised {account.realised:+,.2f}   fees {account.fees:,.2f}{funding}")
    refusals = sorted(view.refusals.items(), key=lambda pair: -pair[1])[:4]
    words = "   ".join(f"{code} {count}" for code, count in refusals) or "none"
    grid.add_row("decisions", f"{view.decisions}   signals {view.signals}   orders {view.orders}   fills {view.fills}   refused: {words}")
    grid.add_row("feed", f"{view.frames:,} frames   {view.trades:,} trades   {view.gaps} gaps   {view.resyncs} syncs")
    return Panel(grid, title="[bold]account[/bold]", title_align="left", border_style="red" if account.halted else "blue")


def _number(value: float, form: str) -> str:
    return "warming" if math.isnan(value) else format(value, form)
