"""`smartmoney status`, `halt`, `resume`, `flatten`, `transfer`: operate a running daemon through its control socket."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from smartmoney.cli.common import AsJson, StateDir, layout_of, print_json

_SHOWN = (
    *("run_id", "mode", "venue", "model", "uptime_s", "feed_trust", "frames", "trades", "gaps", "decisions", "signals", "orders", "fills"),
    *("positions", "equity", "high_water_mark", "drawdown", "halted", "halt_reason", "size_factor", "size_reason", "refusals"),
    *("rss_mb", "loop_lag_p99_ms"),
)

FROZEN_S = 1.0
"""A daemon that has not answered after so long is taken for frozen, and the guard is asked."""

Reason = Annotated[str, typer.Option("--reason", help="Why; it is journaled.")]


def status(
    state_dir: StateDir = None,
    check: Annotated[bool, typer.Option("--check", help="Say nothing; exit 0 only if the daemon answers and is not halted.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show what the daemon is doing. Example: smartmoney status --json."""
    result = _ask(state_dir, "status", "")
    if check:
        raise typer.Exit(1 if result["halted"] else 0)
    if as_json:
        print_json(result)
        return
    from rich.console import Console
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    for key in _SHOWN:
        table.add_row(key, str(result[key]))
    if note := result.get("model_note"):  # a daemon of an older build has none
        table.add_row("model_note", note)
    for name, seen in result["instruments"].items():
        table.add_row(name, f"{seen['bid']} / {seen['ask']}  {seen['trust']}  regime {_regime(seen)}  last: {seen['last_decision']}")
        if seen.get("funding"):
            table.add_row("  funding", _funding(seen["funding"]))
    top = result.get("performance", {}).get("top_features", {})
    table.add_row("top_features", ", ".join(f"{name} {share:.0%}" for name, share in top.items()) or "the prior has none")
    table.add_row("training", ", ".join(f"{key} {value}" for key, value in result["training"].items()))
    table.add_row("drift", ", ".join(f"{key} {value}" for key, value in result["drift"].items()))
    Console().print(table)


def _regime(seen: dict[str, Any]) -> str:
    """Return an instrument's regime in words: label, probability, age, whether it is stable, and how undecided the posterior is."""
    if seen["regime"] is None:
        return "warming"
    known = f"{seen['regime']} {seen['regime_probability']:.2f}"
    if seen.get("regime_age_s") is None:  # a daemon of an older build answers, which tells no more
        return known
    known += f" for {seen['regime_age_s']:.0f} s"
    steady = "stable" if seen["regime_stable"] else "unstable"
    return f"{known}, {steady}, entropy {seen['regime_entropy']:.2f}"


def halt(reason: Reason = "operator", state_dir: StateDir = None, as_json: AsJson = False) -> None:
    """Stop taking risk: entries are withdrawn, protection stays. Sticky. Example: smartmoney halt --reason "news"."""
    from smartmoney.adapters.control import DaemonNotRunning, DaemonSilent
    from smartmoney.adapters.service import LatchFailed, set_latch

    # The latch works even when the daemon does not answer: it looks at this file before every send.
    failure: LatchFailed | None = None
    try:
        set_latch(layout_of(state_dir).latch, "operator" if reason == "operator" else f"operator: {reason}", -1)
    except LatchFailed as error:
        failure = error
    silence: DaemonNotRunning | DaemonSilent
    try:
        answer = _ask(state_dir, "halt", reason, patience_s=FROZEN_S)
    except (DaemonNotRunning, DaemonSilent) as error:
        silence = error
    else:
        _report("halted", answer, as_json=as_json)
        return
    done = _ask_guard(state_dir, "halt", reason)
    if done is not None:
        _report("the daemon does not answer; the guard has halted, withdrawn entries and seen to the stops", done, as_json=as_json)
    elif isinstance(silence, DaemonSilent):
        _report("halted", _ask(state_dir, "halt", reason), as_json=as_json)
    elif failure is not None:
        raise failure
    else:
        _report("no daemon is running; the next one starts halted", {"halted": True, "halt_reason": reason}, as_json=as_json)


def resume(reason: Reason, state_dir: StateDir = None, as_json: AsJson = False) -> None:
    """Re-arm after a halt; starts a new drawdown epoch. Example: smartmoney resume --reason "checked the positions"."""
    _report("resumed", _ask(state_dir, "resume", reason), as_json=as_json)


def flatten(reason: Reason = "operator", state_dir: StateDir = None, as_json: AsJson = False) -> None:
    """Cancel everything, close every position at market, and stay halted. Example: smartmoney flatten --reason "end of the week"."""
    from smartmoney.adapters.control import DaemonNotRunning, DaemonSilent

    try:
        _ask(state_dir, "status", "", patience_s=FROZEN_S)
    except (DaemonNotRunning, DaemonSilent):
        answer = _ask_guard(state_dir, "flatten", reason)
        if answer is not None:
            _report("the daemon does not answer; the guard has closed everything and halted", answer, as_json=as_json)
            return
    _report("flat and halted", _ask(state_dir, "flatten", reason), as_json=as_json)


def transfer(
    amount: Annotated[str, typer.Argument(help="Quote currency; what was taken out is negative (write it after --).")],
    reason: Reason,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Book money paid in or taken out; the peak moves with it. Example: smartmoney transfer --reason "rent" -- -500."""
    _report("booked", _ask(state_dir, "transfer", reason, amount=amount), as_json=as_json)


def _funding(told: dict[str, Any]) -> str:
    """Return in words what the next payment of funding goes by, and how old what the venue told is."""
    known = f"next payment: {told['next_payment']}"
    if told["told_age_s"] is None:
        return f"{known}; the venue told nothing"
    at = datetime.fromtimestamp(told["next_ms"] / 1000, UTC)
    mark = "no mark price" if told["mark_price"] is None else f"mark price {told['mark_price']:.12g}"
    return f"{known}; {told['rate'] * 1e4:+.4g} bps at {at:%d %H:%M} UTC, {mark}, told {told['told_age_s']:.0f} s ago"


def _ask(state_dir: Path | None, command: Any, reason: str, *, patience_s: float | None = None, **arguments: str) -> dict[str, Any]:
    from smartmoney.adapters.control import ANSWER_S_MAX, ControlRequest, request

    asked = ControlRequest(command=command, reason=reason, arguments=arguments)
    return request(layout_of(state_dir).control_socket, asked, patience_s or ANSWER_S_MAX)


def _ask_guard(state_dir: Path | None, command: Any, reason: str) -> dict[str, Any] | None:
    """Ask the guard instead; None where none is running."""
    from smartmoney.adapters.control import ControlRequest, DaemonNotRunning, request

    try:
        return request(layout_of(state_dir).guard_socket, ControlRequest(command=command, reason=reason))
    except DaemonNotRunning:
        return None


def _report(what: str, result: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(result)
    else:
        known = "".join(f", {key} {result[key]}" for key in ("positions", "equity", "high_water_mark") if key in result)
        print(f"{what}{known}")
