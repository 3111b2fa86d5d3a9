"""`smartmoney report` and `smartmoney explain`: what happened in a run, and why a signal was said."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from smartmoney.cli.common import AsJson, ConfigFile, StateDir, layout_of, print_json


def report(
    run_id: Annotated[str, typer.Argument(help="A run; `last` is the newest.")],
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Also write report.html, report.json and pictures here.")] = None,
    config: ConfigFile = None,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Tell what happened in a run: money, trades, refusals, costs, regimes, calibration, and random trades beside it.

    The run's capture is replayed for it; where that is gone, the journal tells what it can. `-c` only says beside which file the run's own
    strategy class lies.

    Examples: smartmoney report last; smartmoney report last --out report; smartmoney report 1ng6v4trs6k --json
    """
    if out is not None and out.exists() and not out.is_dir():
        raise typer.BadParameter(f"{out} is no folder; name one, it is made if need be", param_hint="--out")
    _prepare()
    from smartmoney.reports.backtest import plain, report_lines, write_report
    from smartmoney.runtime.replay import named_run
    from smartmoney.runtime.run_report import told_run

    layout = layout_of(state_dir)
    name = named_run(layout, run_id)
    result = told_run(layout, name, _search(config))
    if out is not None:
        for path in write_report(result, out, "report", f"Run {name}"):
            print(f"wrote {path}", file=sys.stderr)
    if as_json:
        print_json(plain(result))
        return
    for line in report_lines(result):
        print(line)


def explain(
    signal_id: Annotated[
        str | None, typer.Argument(help="A signal's id, as the journal, the log and the JSON of a report have it.")
    ] = None,
    refused: Annotated[
        str | None, typer.Option(metavar="RUN", help="Explain a refusal of this run instead; `last` is the newest run.")
    ] = None,
    at: Annotated[
        str | None, typer.Option(metavar="TIME", help="With --refused: the first one from here on, UTC [default: the newest].")
    ] = None,
    symbol: Annotated[str | None, typer.Option(help="With --refused: which instrument, as in BTC/USDT.")] = None,
    config: ConfigFile = None,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Tell why a signal was said: what was known, the gates it passed, its orders and fills, and what came of it. Or why none was said.

    Examples: smartmoney explain 1ng6v4trs6k-20377-0; smartmoney explain --refused last --at "2026-03-01 12:30:00"
    """
    if (signal_id is None) == (refused is None):
        raise typer.BadParameter("give either a signal's id, or --refused RUN", param_hint="SIGNAL_ID")
    if refused is None and (at is not None or symbol is not None):
        raise typer.BadParameter("belong to --refused RUN", param_hint="--at, --symbol")
    if signal_id is None:
        _explain_refusal(str(refused), _instant(at), symbol, config, state_dir, as_json=as_json)
        return
    _prepare()
    from smartmoney.runtime.explain import explain_signal

    told = explain_signal(layout_of(state_dir), signal_id, _search(config))
    if as_json:
        import msgspec

        print_json(msgspec.json.decode(msgspec.json.encode(told)))
        return
    from smartmoney.reports.explanation import explanation_lines

    for line in explanation_lines(told):
        print(line)


def _explain_refusal(
    run: str, at_ns: int | None, symbol: str | None, config: Path | None, state_dir: Path | None, *, as_json: bool
) -> None:
    _prepare()
    from smartmoney.runtime.explain_refusal import explain_refusal

    told = explain_refusal(layout_of(state_dir), run, symbol, at_ns, _search(config))
    if as_json:
        import msgspec

        print_json(msgspec.json.decode(msgspec.json.encode(told)))
        return
    from smartmoney.reports.explanation import refusal_lines

    for line in refusal_lines(told):
        print(line)


def _instant(text: str | None) -> int | None:
    """Return a UTC time in ns; one with an offset keeps it."""
    if text is None:
        return None
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f'{text!r} is no time; write it as "2026-03-01 12:30:00", UTC', param_hint="--at") from None
    return round((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1e9)


def _prepare() -> None:
    from smartmoney.runtime import kernel_cache, logs

    logs.configure("WARNING", to_screen=False)
    kernel_cache.prepare()


def _search(config: Path | None) -> str | None:
    return None if config is None else str(config.parent)
