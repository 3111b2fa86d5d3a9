"""`smartmoney import` and `smartmoney export`: other people's history in, recordings out to other people's tools."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from smartmoney.cli.common import AsJson, print_json

if TYPE_CHECKING:
    from smartmoney.adapters.history.events import Events, Repairs

_FORMS = ("tardis", "binance", "bybit", "hftbacktest")


def import_history(
    form: Annotated[str, typer.Argument(help="tardis, binance, bybit or hftbacktest.")],
    files: Annotated[list[Path], typer.Argument(help="Files of one instrument: books and trades together.")],
    out: Annotated[Path, typer.Option(metavar="FILE.gz", help="The recording to write.")],
    market: Annotated[str, typer.Option(help="spot, usdm or coinm: whose rules the recording follows.")] = "spot",
    symbol: Annotated[str | None, typer.Option(help="Which instrument, where the files hold several.")] = None,
    as_json: AsJson = False,
) -> None:
    """Turn history into a recording that backtest, replay and features read; what had to be mended is told.

    Examples: smartmoney import tardis book.csv.gz trades.csv.gz --out day.gz; smartmoney import bybit 2024-12-01_XRPUSDT_ob500.data.zip
    --market usdm --out xrp.gz
    """
    if form not in _FORMS:
        raise typer.BadParameter(f"no form {form!r}; one of {', '.join(_FORMS)}", param_hint="FORM")
    if out.suffix != ".gz":
        raise typer.BadParameter(f"{out} does not end in .gz, as a compressed recording must", param_hint="--out")
    _check(files, market, out)
    import msgspec

    from smartmoney.adapters.history.assembly import in_order, of_symbol, write_recording
    from smartmoney.adapters.history.events import Repairs
    from smartmoney.core.domain.instruments import Market

    repairs = Repairs()
    read = _reader(form)
    events = of_symbol(in_order([read(path, repairs) for path in files], repairs), symbol)
    found = write_recording(events, Market(market), out, repairs)
    if as_json:
        print_json(msgspec.to_builtins(found))
        return
    seconds = (found.last_wall_ns - found.first_wall_ns) / 1e9
    print(f"{found.output}: {found.symbol} {found.market}, {seconds:,.0f} s, {found.updates:,} book updates, {found.trades:,} trades")
    for line in found.repairs:
        print(f"  {line}")


def export_history(
    files: Annotated[list[Path], typer.Argument(help="Recordings of one instrument.")],
    out: Annotated[Path, typer.Option(metavar="FILE.npz", help="The file to write, in hftbacktest's form.")],
    symbol: Annotated[str | None, typer.Option(help="Which instrument, where the recordings hold several.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write recordings as events for hftbacktest. For tables as Parquet see `features compute` and `sim --record`.

    Example: smartmoney export day.gz --out day.npz
    """
    if out.suffix != ".npz":
        raise typer.BadParameter(f"{out} does not end in .npz", param_hint="--out")
    _check(files, "spot", out)
    from smartmoney.adapters.history.assembly import of_symbol
    from smartmoney.adapters.history.binance_frames import events_of
    from smartmoney.adapters.history.events import Repairs
    from smartmoney.adapters.history.hftbacktest import write_hftbacktest
    from smartmoney.adapters.recordings import read_session

    repairs = Repairs()
    rows = write_hftbacktest(of_symbol(events_of(read_session(files), repairs, symbol), symbol), out)
    if as_json:
        print_json({"output": str(out), "rows": rows, "repairs": repairs.lines()})
        return
    print(f"{out}: {rows:,} rows")
    for line in repairs.lines():
        print(f"  {line}", file=sys.stderr)


def _check(files: list[Path], market: str, out: Path) -> None:
    for path in files:
        if not path.is_file():
            raise typer.BadParameter(f"{path} is no file", param_hint="FILES")
    if market not in {"spot", "usdm", "coinm"}:
        raise typer.BadParameter(f"no market {market!r}; one of spot, usdm, coinm", param_hint="--market")
    if out.exists():
        raise typer.BadParameter(f"{out} is there already; choose another name", param_hint="--out")


def _reader(form: str) -> "Callable[[Path, Repairs], Events]":
    if form == "tardis":
        from smartmoney.adapters.history.tardis import read_tardis

        return read_tardis
    if form == "binance":
        from smartmoney.adapters.history.binance_public import read_binance_public

        return read_binance_public
    if form == "bybit":
        from smartmoney.adapters.history.bybit import read_bybit

        return read_bybit
    from smartmoney.adapters.history.hftbacktest import read_hftbacktest

    return read_hftbacktest
