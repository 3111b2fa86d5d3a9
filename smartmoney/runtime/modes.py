"""What a run calls itself: paper, live, or a rehearsal, which is live against an exchange on this machine and nothing else."""

from urllib.parse import urlsplit

from smartmoney.adapters.websocket_transport import LOOPBACK
from smartmoney.settings.models import Settings
from smartmoney.venues.unified import addresses


def is_rehearsal(settings: Settings) -> bool:
    """Tell whether a live run would reach nothing but this machine."""
    given = settings.endpoints
    if settings.venue.startswith("ccxt:"):
        # What they leave out is forgotten in a rehearsal, so that nothing else can be reached.
        named = tuple(addresses(given.ccxt_urls))
        return settings.mode == "live" and bool(named) and all(urlsplit(address).hostname in LOOPBACK for address in named)
    native = (given.rest, given.ws, given.ws_api, given.sapi)
    is_whole = settings.mode == "live" and settings.venue == "binance" and given.rest is not None and given.ws is not None
    return is_whole and all(address is None or urlsplit(address).hostname in LOOPBACK for address in native)


def run_mode(settings: Settings) -> str:
    """Return what a run calls itself: paper, rehearsal or live."""
    return "rehearsal" if is_rehearsal(settings) else settings.mode
