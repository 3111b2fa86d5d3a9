"""The guard's process: started by `smartmoney guard` in its own place, so that nothing of the settings' libraries stays in memory.

Use: python -m smartmoney.runtime.guard_process JSON      (the JSON is `runtime.terms.GuardOptions`; it holds no secret)
"""

import asyncio
import contextlib
import fcntl
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import structlog

from smartmoney.adapters.control import ControlServer
from smartmoney.adapters.credentials import CredentialsError, read_credentials
from smartmoney.adapters.guard_account import GuardAccount, Wire
from smartmoney.adapters.guard_binance import BinanceGuard
from smartmoney.adapters.guard_bybit_spot import BybitSpotGuard
from smartmoney.adapters.guard_journal import GuardJournal
from smartmoney.adapters.guard_perpetuals import BybitGuard, OkxGuard
from smartmoney.adapters.guard_venue import GuardVenue, Timer
from smartmoney.adapters.guard_wires import BinanceWire, BybitWire, OkxWire
from smartmoney.adapters.service import ServiceNotifier
from smartmoney.adapters.state_directory import StateLayout
from smartmoney.core.domain.instruments import Market
from smartmoney.runtime import logs
from smartmoney.runtime.alerts import AlertDesk
from smartmoney.runtime.guard import Guard
from smartmoney.runtime.guard_hands import Hands
from smartmoney.runtime.guard_options import GuardAccess, GuardOptions

log = structlog.get_logger("guard")


class GuardTaken(Exception):
    """Report that another guard watches this state directory."""

    exit_code = 78


@contextlib.contextmanager
def _alone(layout: StateLayout) -> Iterator[None]:
    """Hold the guard's lock for the life of the process."""
    layout.root.mkdir(mode=0o700, parents=True, exist_ok=True)
    fd = os.open(layout.guard_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        raise GuardTaken(f"another guard watches {layout.root}; one is enough") from None
    try:
        yield
    finally:
        os.close(fd)


def open_guard_account(access: GuardAccess) -> GuardAccount:
    """Return the guard's own connection; nothing is sent.

    Raises:
        CredentialsError: there is no key that it can use.
    """
    credentials = read_credentials(access.key_file, access.secret_file, os.environ, access.passphrase_file)
    if access.venue == "okx" and not credentials.passphrase:
        raise CredentialsError("OKX wants a passphrase beside the key; name its file in guard.passphrase_file, or give exchange.passphrase")
    wires: dict[str, Wire] = {"binance": BinanceWire(access.market), "bybit": BybitWire(), "okx": OkxWire()}
    return GuardAccount(wires[access.venue], access.rest, credentials)


def guard_venue(access: GuardAccess, account: GuardAccount) -> GuardVenue:
    """Return what the guard can do there."""
    if access.venue == "binance":
        return BinanceGuard(account, access.market)
    if access.venue == "okx":
        return OkxGuard(account)
    return BybitSpotGuard(account) if access.market is Market.SPOT else BybitGuard(account)


async def serve(options: GuardOptions) -> None:
    """Guard until SIGTERM or SIGINT.

    Raises:
        GuardTaken: another guard is there.
        CredentialsError: there is no key that it can use.
    """
    layout = StateLayout(Path(options.state_path))
    with _alone(layout), contextlib.ExitStack() as stack:
        journal = GuardJournal(layout.guard_journal)
        stack.callback(journal.close)
        hands: Hands | None = None
        timer: Timer = ""
        if options.access is not None:
            account = open_guard_account(options.access)
            stack.callback(account.close)
            venue = guard_venue(options.access, account)
            hands, timer = Hands(venue, journal, options.stop_fraction), venue.timer
        alerts = AlertDesk(options.alerts, options.source)
        notifier = ServiceNotifier()
        stack.callback(notifier.close)
        guard = Guard(options.terms, layout, hands, journal, alerts.tell, timer=timer)
        server = await ControlServer.listen(layout.guard_socket, guard.handle)
        log.info("guard watches", state=str(layout.root), venue=hands is not None, rss_mb=rss_mb(), lease_s=options.terms.lease_s)
        tasks = [asyncio.create_task(guard.run(notifier)), asyncio.create_task(alerts.run(lambda: None))]
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, tasks[0].cancel)
        try:
            await tasks[0]
        except asyncio.CancelledError:
            log.info("guard ends")
        finally:
            tasks[1].cancel()
            await asyncio.gather(tasks[1], return_exceptions=True)
            await alerts.close()
            await server.close()


def rss_mb() -> float:
    """Return the resident memory of this process in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20), 1)


def main() -> None:
    """Serve what the one argument says."""
    options = msgspec.json.decode(sys.argv[1], type=GuardOptions)
    logs.configure(options.log_level, to_screen=False)
    try:
        asyncio.run(serve(options))
    except (GuardTaken, CredentialsError) as error:
        print(f"smartmoney: {error}", file=sys.stderr)  # noqa: T201 - what the command line would say
        raise SystemExit(error.exit_code) from None


if __name__ == "__main__":
    main()
