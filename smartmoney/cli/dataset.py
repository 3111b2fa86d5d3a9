"""`smartmoney dataset`: what a dataset holds, what its days are like, whether its files are whole."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from smartmoney.cli.common import AsJson, print_json

if TYPE_CHECKING:
    from smartmoney.adapters.dataset_reader import StoredInstrument
    from smartmoney.learning.dataset_stats import DayStats

app = typer.Typer(help="List, describe and verify datasets: Parquet by venue, market, symbol and day.", no_args_is_help=True)

Root = Annotated[Path, typer.Argument(help="The dataset's folder.")]
OfMarket = Annotated[str | None, typer.Option("--market", help="spot, usdm or coinm alone.")]
OfSymbol = Annotated[str | None, typer.Option("--symbol", help="This symbol alone.")]


@app.command("ls")
def ls(root: Root = Path(), as_json: AsJson = False) -> None:
    """List instruments with their days, rows, size and missing days. Example: smartmoney dataset ls data."""
    import msgspec

    from smartmoney.adapters.dataset_reader import stored_instruments
    from smartmoney.learning.dataset_stats import holding_of

    found = [holding_of(one) for one in stored_instruments(root)]
    if as_json:
        print_json(msgspec.to_builtins(found))
        return
    for one in found:
        rows = "   ".join(f"{name} {count:,}" for name, count in one.rows.items() if count)
        span = one.first_day if one.days == 1 else f"{one.first_day} to {one.last_day}"
        holes = f"   missing {', '.join(one.missing_days)}" if one.missing_days else ""
        print(f"{one.venue}/{one.market}/{one.symbol}   {one.days} days, {span}   {rows}   {one.bytes / 1e6:,.1f} MB{holes}")


@app.command("stats")
def stats(
    root: Root = Path(),
    market: OfMarket = None,
    symbol: OfSymbol = None,
    first: Annotated[str | None, typer.Option("--from", metavar="DAY", help="The first day.")] = None,
    last: Annotated[str | None, typer.Option("--to", metavar="DAY", help="The last day.")] = None,
    as_json: AsJson = False,
) -> None:
    """Describe each day by the engine's own fold: rows, times, gaps, pauses, spread, crossed books, trades, volume, repairs.

    Example: smartmoney dataset stats data --symbol BTCUSDT --from 2025-01-02
    """
    import msgspec

    from smartmoney.learning.dataset_stats import stats_of
    from smartmoney.runtime import kernel_cache, logs
    from smartmoney.runtime.codecs import recorded_binance
    from smartmoney.runtime.compile import compile_offline_kernels

    chosen = [one.between(first, last) for one in _chosen(root, market, symbol)]
    logs.configure("WARNING", to_screen=False)
    compile_offline_kernels(kernel_cache.prepare(), say=lambda text: print(text, file=sys.stderr))
    codec = recorded_binance()
    plain: dict[str, object] = {}
    for one in chosen:
        days = []
        for day in stats_of(one, codec):
            days.append(msgspec.to_builtins(day))
            if not as_json:
                _say(one.key, day)
        plain[one.key] = {"missing_days": one.missing_days(), "days": days}
        if not as_json and one.missing_days():
            print(f"{one.key}   missing {', '.join(one.missing_days())}")
    if as_json:
        print_json(plain)


@app.command("verify")
def verify(root: Root = Path(), market: OfMarket = None, symbol: OfSymbol = None, as_json: AsJson = False) -> None:
    """Read every row; check columns, units, order, repetition; exit 1 if one is wrong. Example: smartmoney dataset verify data."""
    from smartmoney.learning.dataset_stats import problems_of

    found = {one.key: problems_of(one) for one in _chosen(root, market, symbol)}
    is_whole = not any(found.values())
    if as_json:
        print_json({"whole": is_whole, "problems": found})
    else:
        for name, problems in found.items():
            print(f"{name}: {'not as it should be' if problems else 'whole'}")
            for problem in problems:
                print(f"  {problem}")
    raise typer.Exit(0 if is_whole else 1)


def _chosen(root: Path, market: str | None, symbol: str | None) -> "list[StoredInstrument]":
    from smartmoney.adapters.dataset_reader import DatasetRefused, stored_instruments

    every = stored_instruments(root)
    found = [one for one in every if one.is_of(market, symbol)]
    if not found:
        there = ", ".join(one.key for one in every)
        raise DatasetRefused(f"{root}: nothing of {symbol or 'any symbol'} on {market or 'any market'}; there is {there}")
    return found


def _say(key: str, day: "DayStats") -> None:
    from datetime import UTC, datetime

    first, last = (datetime.fromtimestamp(ns / 1e9, UTC).strftime("%H:%M:%S") for ns in (day.first_wall_ns, day.last_wall_ns))
    rows = "   ".join(f"{name} {count:,}" for name, count in day.rows.items())
    spread = "–" if day.spread_bps_mean is None else f"{day.spread_bps_mean:.3f} bps (median {day.spread_ticks_median} ticks)"
    bought = "" if day.buy_share is None else f", {day.buy_share:.0%} bought"
    print(f"{key} {day.day}   {first} to {last}   {rows}   {day.bytes / 1e6:,.1f} MB")
    print(
        f"  book      {day.updates:,} updates, {day.levels:,} levels, {day.snapshots} snapshots, {day.gaps} gaps, "
        f"{day.pauses} pauses (longest {day.longest_pause_s:.1f} s)"
    )
    print(f"  spread    {spread}, crossed {day.crossed}")
    print(f"  trades    {day.trades:,}, ids missing {day.trade_gaps} times, volume {day.volume}, turnover {day.turnover:,.0f}{bought}")
    for line in day.repairs:
        print(f"  repaired  {line}")
