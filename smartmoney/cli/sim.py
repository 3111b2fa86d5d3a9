"""`smartmoney sim`: the built-in exchange alone, on loopback, or its market recorded; `fault`, `scenarios`, `oracle`, `check`."""

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from smartmoney.cli import sim_oracle
from smartmoney.cli.sim_check import sim_check
from smartmoney.cli.sim_fault import fault

if TYPE_CHECKING:
    from smartmoney.adapters.exchange_site import Endpoints
    from smartmoney.core.domain.instruments import Market
    from smartmoney.simulation.exchange.accounts import AccountSpec
    from smartmoney.simulation.faults import Fault, FaultPlan
    from smartmoney.simulation.scenario import Scenario

_EPILOG = "Example: smartmoney sim --seed 7 --port 0 --json"

app = typer.Typer(rich_markup_mode=None)
app.command()(sim_oracle.oracle)
app.command("check")(sim_check)
app.add_typer(fault, name="fault")


@app.callback(invoke_without_command=True, epilog=_EPILOG)
def sim(
    context: typer.Context,
    scenario: Annotated[str, typer.Option(help="Which market: a name of `sim scenarios`, or a file.")] = "first_run",
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same market.")] = 1,
    port: Annotated[int, typer.Option(min=0, max=65534, help="Spot listens here, USD-M one above; 0 takes free ports.")] = 0,
    symbols: Annotated[str, typer.Option(help="Comma-separated symbols; left out, all that the scenario has.")] = "",
    speed: Annotated[float, typer.Option(min=0.01, max=1000.0, help="Simulated seconds per second.")] = 1.0,
    prerun: Annotated[int, typer.Option(min=0, max=86_400, help="Simulate so many seconds before the start; their clock ends now.")] = 0,
    warm_out: Annotated[Path | None, typer.Option(help="Write the pre-run's public feed to FILE.<market>.<symbol>.gz.")] = None,
    record: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Serve nothing: write feed and truth to an empty or new folder, as fast as it goes.")
    ] = None,
    hours: Annotated[float | None, typer.Option(min=1 / 3600, max=24 * 31, help="With --record: simulate so long.")] = None,
    seconds: Annotated[int | None, typer.Option(min=1, max=86_400 * 31, help="With --record: or so long [default: an hour].")] = None,
    origin_ns: Annotated[int | None, typer.Option(min=0, help="With --record: wall time of its beginning [default: 2025-01-01].")] = None,
    truth: Annotated[bool, typer.Option(help="With --record: write the truth too.")] = True,
    faults: Annotated[Path | None, typer.Option(help="Misbehave as this file says (see docs/faults.md, config/faults/).")] = None,
    accounts: Annotated[Path | None, typer.Option(help="Accounts to trade with (docs/exchange.md); without, one called demo.")] = None,
    die_with_parent: Annotated[bool, typer.Option("--die-with-parent", help="Exit when standard input ends.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the endpoints as one JSON line.")] = False,
) -> None:
    """Serve a synthetic market as Binance spot and USD-M until interrupted. Example: smartmoney sim --seed 7 --port 0 --json."""
    if context.invoked_subcommand is not None:
        return
    from smartmoney.runtime.kernel_cache import prepare
    from smartmoney.settings.scenario import load_scenario

    prepare()
    if hours is not None and seconds is not None:
        raise typer.BadParameter("give --hours or --seconds, not both", param_hint="--seconds")
    population = load_scenario(scenario)
    names = tuple(name for name in symbols.upper().split(",") if name) or None
    if record is not None:
        lasts = seconds or round(3600 * (hours or 1.0))
        _record(record, seed, scenario, population, names, lasts, origin_ns, with_truth=truth, as_json=as_json)
        return
    if hours is not None or seconds is not None or origin_ns is not None:
        raise typer.BadParameter("it says how to record; name a folder with --record", param_hint="--hours, --seconds, --origin-ns")
    plan = _fault_plan(faults)
    from smartmoney.runtime.kernel_loading import loading_first

    # For as long as it serves: which kernels an order needs is seen only when it comes.
    with loading_first():
        _serve_market(
            seed, population, port, names, speed, prerun, warm_out, plan, accounts, die_with_parent=die_with_parent, as_json=as_json
        )


def _record(
    directory: Path,
    seed: int,
    name: str,
    population: "Scenario",
    symbols: tuple[str, ...] | None,
    seconds: int,
    origin_ns: int | None,
    *,
    with_truth: bool,
    as_json: bool,
) -> None:
    from smartmoney.cli import sim_record
    from smartmoney.simulation.market import SyntheticMarket

    sys.stderr.write(f"smartmoney sim: {population.banner}\n")
    try:
        market = SyntheticMarket(seed, population, symbols)
    except ValueError as error:
        _fail(str(error), 2)
    sim_record.run(market, directory, Path(name).stem, seconds, origin_ns, with_truth=with_truth, as_json=as_json)


def _serve_market(
    seed: int,
    population: "Scenario",
    port: int,
    symbols: tuple[str, ...] | None,
    speed: float,
    prerun: int,
    warm_out: Path | None,
    plan: "FaultPlan",
    accounts: Path | None,
    *,
    die_with_parent: bool,
    as_json: bool,
) -> None:
    from smartmoney.simulation.market import SyntheticMarket

    specs = _accounts(accounts, seed)
    sys.stderr.write(f"smartmoney sim: {population.banner}\n")
    try:
        market = SyntheticMarket(seed, population, symbols)
    except ValueError as error:
        _fail(str(error), 2)
    from smartmoney.adapters.exchange_warm import capture_path
    from smartmoney.adapters.exchange_warm import prerun as simulate_before

    # Kernels are compiled (or loaded) before the clock is read: a first start may take half a minute for it.
    SyntheticMarket(seed, population, tuple(symbol for _, symbol in market.books)[:1]).advance(1_000_000_000)
    origin_ns = time.time_ns() - prerun * 1_000_000_000
    try:
        desks = simulate_before(market, origin_ns, prerun, warm_out, now_ns=time.time_ns)
    except OSError as error:
        _fail(f"cannot write {warm_out}: {error.strerror}", 1)
    from smartmoney.adapters.exchange_server import ExchangeServer

    warm = {key: str(capture_path(warm_out, *key)) for key in market.books} if warm_out is not None else {}
    server = ExchangeServer(market, origin_ns, speed=speed, desks=desks, faults=plan, read_fault=_read_fault, accounts=specs)
    # The demo account's secret is for everybody; what a file says stays in it.
    keys = [{"name": s.name, "key": s.keys[0].key, "secret": s.keys[0].secret} for s in specs if accounts is None]
    told = keys or [{"name": s.name} for s in specs]
    _serve(server, port, lambda endpoints: _announce(endpoints, warm, told, as_json=as_json), die_with_parent=die_with_parent)


def _accounts(path: Path | None, seed: int) -> "tuple[AccountSpec, ...]":
    from smartmoney.settings.accounts import demo_account, load_accounts
    from smartmoney.settings.errors import ConfigurationError

    if path is None:
        return (demo_account(seed),)
    try:
        return load_accounts(path)
    except ConfigurationError as error:
        _fail(str(error), error.exit_code)


@app.command(epilog="Example: smartmoney sim scenarios --json")
def scenarios(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False) -> None:
    """List the markets that come with the package: name, what it is, whether an edge is planted. Example: smartmoney sim scenarios."""
    from smartmoney.settings.scenario import named_scenarios

    found = named_scenarios()
    if as_json:
        listing = [{"name": s.name, "title": s.title, "edge_planted": s.is_planted, "file": str(s.path)} for s in found]
        print(json.dumps({"scenarios": listing}))
        return
    for s in found:
        print(f"{s.name:16} {'edge planted' if s.is_planted else 'no edge':13} {s.title}")


def _fault_plan(path: Path | None) -> "FaultPlan":
    from smartmoney.settings.errors import ConfigurationError
    from smartmoney.settings.faults import load_faults
    from smartmoney.simulation.faults import FaultPlan

    if path is None:
        return FaultPlan()
    try:
        return load_faults(path)
    except ConfigurationError as error:
        _fail(str(error), error.exit_code)


def _read_fault(entry: object) -> "Fault":
    from smartmoney.settings.errors import ConfigurationError
    from smartmoney.settings.faults import read_fault

    try:
        return read_fault(entry)
    except ConfigurationError as error:
        raise ValueError(str(error)) from None


def _announce(
    endpoints: "dict[Market, Endpoints]", warm: "dict[tuple[Market, str], str]", accounts: list[dict[str, str]], *, as_json: bool
) -> None:
    if as_json:
        places = {market.value: {"rest": e.rest, "ws": e.ws, "ws_api": e.ws_api} for market, e in endpoints.items()}
        line: dict[str, object] = {"binance": places, "accounts": accounts}
        if warm:
            files: dict[str, dict[str, str]] = {}
            for (market, symbol), path in warm.items():
                files.setdefault(market.value, {})[symbol] = path
            line["warm"] = files
        print(json.dumps(line), flush=True)
        return
    listing = ", ".join(f"{market.value} {e.rest} {e.ws}" for market, e in endpoints.items())
    print(f"exchange ready: {listing}; Ctrl-C ends it", flush=True)
    for account in accounts:
        keys = f" key {account['key']} secret {account['secret']}" if "key" in account else ""
        print(f"account {account['name']}{keys}", flush=True)


def _serve(server: object, port: int, announce: object, *, die_with_parent: bool) -> None:
    import asyncio

    import uvloop

    from smartmoney.adapters.exchange_process import serve_until_told

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            runner.run(serve_until_told(server, port, announce, die_with_parent=die_with_parent))  # type: ignore[arg-type]
        except OSError as error:
            _fail(f"cannot listen on 127.0.0.1:{port} or :{port + 1}: {error.strerror}. Choose another --port, or 0 for free ones.", 1)


def _fail(message: str, code: int) -> NoReturn:
    sys.stderr.write(f"smartmoney sim: {message}\n")
    raise typer.Exit(code)
