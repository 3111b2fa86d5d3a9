"""`smartmoney import` and `smartmoney export`: other people's history in, recordings and runs out, as tables and for others' tools."""

import hashlib
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from smartmoney.cli.common import AsJson, ConfigFile, Overrides, StateDir, print_json, settings_of

if TYPE_CHECKING:
    from smartmoney.adapters.dataset_export import Exported
    from smartmoney.adapters.history.events import Events, Repairs
    from smartmoney.adapters.recordings import RecordedFrame
    from smartmoney.settings.caches import CacheSettings

_FORMS = ("tardis", "binance", "bybit", "bitstamp", "hftbacktest")
_MARKETS = ("spot", "usdm", "coinm")


def import_history(
    form: Annotated[str, typer.Argument(help="tardis, binance, bybit, bitstamp or hftbacktest.")],
    files: Annotated[list[Path], typer.Argument(help="Files of one instrument: books and trades together.")],
    out: Annotated[Path, typer.Option(metavar="FILE.gz|DIR", help="The recording to write, or the folder of a dataset to add to.")],
    market: Annotated[str, typer.Option(help="spot, usdm or coinm: whose rules the recording follows.")] = "spot",
    symbol: Annotated[str | None, typer.Option(help="Which instrument, of several; its name, where files tell none.")] = None,
    venue: Annotated[str | None, typer.Option(help="With a dataset: the venue's folder [default: bybit, bitstamp, else binance].")] = None,
    as_json: AsJson = False,
) -> None:
    """Turn history into a recording or a dataset that backtest, replay and features read; what had to be mended is told.

    Examples: smartmoney import tardis book.csv.gz trades.csv.gz --out day.gz; smartmoney import bybit 2024-12-01_XRPUSDT_ob500.data.zip
    --market usdm --out data
    """
    if form not in _FORMS:
        raise typer.BadParameter(f"no form {form!r}; one of {', '.join(_FORMS)}", param_hint="FORM")
    for path in files:
        if not path.is_file():
            raise typer.BadParameter(f"{path} is no file", param_hint="FILES")
    is_dataset = _is_dataset(market, out, ".gz")
    import msgspec

    from smartmoney.adapters.history.assembly import by_trade_id, by_update_id, of_symbol, write_recording
    from smartmoney.adapters.history.binance_funding import beside_the_rest
    from smartmoney.adapters.history.events import Repairs
    from smartmoney.adapters.history.noise import without_noise
    from smartmoney.adapters.history.order import in_order
    from smartmoney.core.domain.instruments import Market

    repairs = Repairs()
    files = _each_once(files, repairs)
    read = _reader(form, symbol, files, market)
    chosen = of_symbol(in_order([_not_empty(read(path, repairs), path, repairs) for path in files], repairs), symbol)
    events = without_noise(by_trade_id(by_update_id(chosen, repairs)), repairs)
    events = beside_the_rest(events, repairs)
    with tempfile.TemporaryDirectory(prefix="smartmoney-import-") as folder:
        recording = Path(folder) / "recording.gz" if is_dataset else out
        found = write_recording(events, Market(market), recording, repairs, trades_follow=form == "binance")
        if is_dataset:
            # The recording is gone after this: its prepared form would serve nobody.
            whose = venue or (form if form in {"bybit", "bitstamp"} else "binance")
            written = _write_dataset([recording], market, None, out, repairs, venue=whose)
            _say_dataset(written, repairs, as_json=as_json)
            return
    if as_json:
        print_json(msgspec.to_builtins(found))
        return
    seconds = (found.last_wall_ns - found.first_wall_ns) / 1e9
    print(f"{found.output}: {found.symbol} {found.market}, {seconds:,.0f} s, {found.updates:,} book updates, {found.trades:,} trades")
    for line in found.repairs:
        print(f"  {line}")


def export_history(
    sources: Annotated[
        list[str], typer.Argument(metavar="FILES|RUN", help="Recordings of one session, or a captured run; `last` is the newest.")
    ],
    out: Annotated[Path, typer.Option(metavar="DIR|FILE.npz", help="The folder of a dataset to add to, or a file in hftbacktest's form.")],
    market: Annotated[str | None, typer.Option(help="Whose recordings: spot, usdm or coinm [default: spot, or the run's].")] = None,
    symbol: Annotated[str | None, typer.Option(help="Which instrument; a dataset takes all unless told.")] = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Write recordings or a captured run as a dataset (Parquet by venue, market, symbol and day), or as events for hftbacktest.

    Examples: smartmoney export day.gz --market usdm --out data; smartmoney export last --out data; smartmoney export day.gz --out day.npz
    """
    is_dataset = _is_dataset(market or "spot", out, ".npz")
    files = [_named(name, state_dir) for name in sources]
    from smartmoney.adapters.history.events import Repairs

    repairs = Repairs()
    if is_dataset:
        caches = settings_of(config, None, None, overrides).caches
        _say_dataset(_write_dataset(files, market, symbol, out, repairs, caches=caches), repairs, as_json=as_json)
        return
    from smartmoney.adapters.history.assembly import of_symbol
    from smartmoney.adapters.history.binance_frames import events_of
    from smartmoney.adapters.history.hftbacktest import write_hftbacktest

    rows = write_hftbacktest(of_symbol(events_of(_frames(files, repairs), repairs, symbol), symbol), out)
    if as_json:
        print_json({"output": str(out), "rows": rows, "repairs": repairs.lines()})
        return
    print(f"{out}: {rows:,} rows")
    for line in repairs.lines():
        print(f"  {line}", file=sys.stderr)


def _is_dataset(market: str, out: Path, suffix: str) -> bool:
    """Tell whether a dataset is to be written, whose folder has no suffix; else a file."""
    if market not in _MARKETS:
        raise typer.BadParameter(f"no market {market!r}; one of {', '.join(_MARKETS)}", param_hint="--market")
    if out.is_dir() or not out.suffix:
        return True
    if out.suffix != suffix:
        raise typer.BadParameter(f"{out} neither ends in {suffix} nor is a folder", param_hint="--out")
    if out.exists():
        raise typer.BadParameter(f"{out} is there already; choose another name", param_hint="--out")
    return False


def _named(name: str, state_dir: Path | None) -> Path:
    """Return the recording or the folder of the run that is meant."""
    path = Path(name)
    if path.exists():
        return path
    from smartmoney.cli.record import capture_folder

    folder = None if path.suffix else capture_folder(name, state_dir)
    if folder is None or not folder.is_dir():
        raise typer.BadParameter(f"{name} is no file, and no run of that name was captured", param_hint="FILES|RUN")
    return folder


def _frames(files: list[Path], repairs: "Repairs") -> "Iterator[RecordedFrame]":
    """Yield what is whole of some files; what is not is told."""
    from smartmoney.learning.recorded import Interruption, read_frames

    problems: list[str] = []
    for one in read_frames(files, problems):
        if isinstance(one, Interruption):
            repairs.note("places where the run may have missed frames")
        else:
            yield one
    for problem in problems:
        repairs.note(f"damaged, and used until there: {problem}")


def _write_dataset(
    files: list[Path],
    market: str | None,
    symbol: str | None,
    out: Path,
    repairs: "Repairs",
    *,
    venue: str | None = None,
    caches: "CacheSettings | None" = None,
) -> "list[Exported]":
    """Add some recordings to a dataset, as of `venue`. With `caches` their grid is taken from their prepared form, made if need be."""
    import msgspec

    from smartmoney.adapters.dataset_export import export_frames
    from smartmoney.adapters.history.events import HistoryRefused
    from smartmoney.core.domain.instruments import Market
    from smartmoney.learning.recorded import find_instruments, market_of
    from smartmoney.runtime import kernel_cache, logs
    from smartmoney.runtime.cached_files import prepared_recordings
    from smartmoney.runtime.codecs import recorded_binance

    logs.configure("WARNING", to_screen=False)
    kernel_cache.prepare()
    store = None if caches is None else prepared_recordings(caches)
    found = find_instruments(files, recorded_binance(), Market(market) if market else market_of(files) or Market.SPOT, store)
    chosen = [one for one in found if symbol is None or one.symbol.upper() == symbol.upper()]
    if not chosen:
        raise HistoryRefused(f"nothing of {symbol}; there is {', '.join(one.symbol for one in found)}")
    if venue is not None:
        chosen = [msgspec.structs.replace(one, venue=venue) for one in chosen]
    return export_frames(_frames(files, repairs), chosen, out, repairs)


def _say_dataset(written: "list[Exported]", repairs: "Repairs", *, as_json: bool) -> None:
    import msgspec

    if as_json:
        print_json({"instruments": msgspec.to_builtins(written), "repairs": repairs.lines()})
        return
    for one in written:
        rows = ", ".join(f"{name} {count:,}" for name, count in one.rows.items())
        seconds = (one.last_wall_ns - one.first_wall_ns) / 1e9
        guessed = "; tick and lot size inferred from the frames" if one.provisional_grid else ""
        print(f"{one.folder}: {', '.join(one.days)}, {seconds:,.0f} s, rows: {rows}{guessed}")
    for line in repairs.lines():
        print(f"  {line}")


def _each_once(files: list[Path], repairs: "Repairs") -> list[Path]:
    """Return files without those whose bytes are those of one before them, which are told."""
    kept: dict[tuple[int, str], Path] = {}
    for path in files:
        with path.open("rb") as opened:
            content = (path.stat().st_size, hashlib.file_digest(opened, "sha256").hexdigest())
        if content in kept:
            repairs.note(f"files given twice, left out, such as {path.name}, which is {kept[content].name}")
        kept.setdefault(content, path)
    return list(kept.values())


def _not_empty(events: "Events", path: Path, repairs: "Repairs") -> "Events":
    """Yield a file's events; one that has none is told."""
    is_empty = True
    for event in events:
        is_empty = False
        yield event
    if is_empty:
        repairs.note(f"files without a row, such as {path.name}")


def _reader(form: str, symbol: str | None, files: list[Path], market: str) -> "Callable[[Path, Repairs], Events]":
    """Return what reads a file. Where files tell no symbol theirs is the chosen one; if one of them is called so, each has its own name."""
    if form == "tardis":
        from smartmoney.adapters.history.tardis import read_tardis

        return lambda path, repairs: read_tardis(path, repairs, market)
    if form == "binance":
        from smartmoney.adapters.history.binance_public import plain_name, read_binance_public

        given = None if symbol and symbol.upper() in map(plain_name, files) else symbol
        return lambda path, repairs: read_binance_public(path, repairs, given)
    if form == "bybit":
        from smartmoney.adapters.history.bybit import read_bybit

        return read_bybit
    if form == "bitstamp":
        from smartmoney.adapters.history.bitstamp import read_bitstamp

        return read_bitstamp
    from smartmoney.adapters.history.hftbacktest import name_of, read_hftbacktest

    given = None if symbol and symbol.upper() in map(name_of, files) else symbol
    return lambda path, repairs: read_hftbacktest(path, repairs, given)
