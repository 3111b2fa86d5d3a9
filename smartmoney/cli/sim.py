"""`smartmoney sim`: the built-in exchange alone, on loopback."""

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from smartmoney.adapters.exchange_site import Endpoints
    from smartmoney.core.domain.instruments import Market
    from smartmoney.simulation.exchange.accounts import AccountSpec
    from smartmoney.simulation.faults import Fault, FaultPlan

_EPILOG = "Example: smartmoney sim --seed 7 --port 0 --json"

app = typer.Typer(add_completion=False)


@app.command(epilog=_EPILOG)
def sim(
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same market.")] = 1,
    port: Annotated[int, typer.Option(min=0, max=65534, help="Spot listens here, USD-M one above; 0 takes free ports.")] = 0,
    symbols: Annotated[str, typer.Option(help="Comma-separated symbols.")] = "BTCUSDT,ETHUSDT",
    speed: Annotated[float, typer.Option(min=0.01, max=1000.0, help="Simulated seconds per second.")] = 1.0,
    prerun: Annotated[int, typer.Option(min=0, max=86_400, help="Simulate so many seconds before the start; their clock ends now.")] = 0,
    warm_out: Annotated[Path | None, typer.Option(help="Write the pre-run's public feed to FILE.<market>.<symbol>.gz.")] = None,
    faults: Annotated[Path | None, typer.Option(help="Misbehave as this file says (see docs/faults.md, config/faults/).")] = None,
    accounts: Annotated[Path | None, typer.Option(help="Accounts to trade with (docs/exchange.md); without, one called demo.")] = None,
    die_with_parent: Annotated[bool, typer.Option("--die-with-parent", help="Exit when standard input ends.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the endpoints as one JSON line.")] = False,
) -> None:
    """Serve a synthetic market as Binance spot and USD-M until interrupted. Example: smartmoney sim --seed 7 --port 0 --json."""
    from smartmoney.runtime.kernel_cache import prepare

    prepare()
    from smartmoney.simulation.market import BANNER, SyntheticMarket

    sys.stderr.write(f"smartmoney sim: {BANNER}\n")
    plan = _fault_plan(faults)
    specs = _accounts(accounts, seed)
    try:
        market = SyntheticMarket(seed, tuple(name for name in symbols.upper().split(",") if name))
    except ValueError as error:
        _fail(str(error), 2)
    from smartmoney.adapters.exchange_warm import capture_path
    from smartmoney.adapters.exchange_warm import prerun as simulate_before

    # Kernels are compiled (or loaded) before the clock is read: a first start may take half a minute for it.
    SyntheticMarket(seed, ("BTCUSDT",)).advance(1_000_000_000)
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
