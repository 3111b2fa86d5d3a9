"""What a run calls itself: paper, live, or a rehearsal, which is live against an exchange on this machine and nothing else."""

from urllib.parse import urlsplit

from smartmoney.adapters.websocket_transport import LOOPBACK
from smartmoney.core.domain.instruments import BUILT_IN_VENUE
from smartmoney.settings.models import Settings
from smartmoney.venues.unified import addresses


def reaches_only_here(settings: Settings) -> bool:
    """Tell whether every address of an exchange is this machine's, given by the configuration: what answers is no venue's own market."""
    given = settings.endpoints
    if settings.venue.startswith("ccxt:"):
        # What they leave out is forgotten in a rehearsal, so that nothing else can be reached.
        named = tuple(addresses(given.ccxt_urls))
        return bool(named) and all(urlsplit(address).hostname in LOOPBACK for address in named)
    native = (given.rest, given.ws, given.ws_api, given.sapi)
    is_whole = settings.venue == "binance" and given.rest is not None and given.ws is not None
    return is_whole and all(address is None or urlsplit(address).hostname in LOOPBACK for address in native)


def whose_market(settings: Settings) -> str:
    """Return the venue of whose market a run of this configuration tells (`RunStarted.whose_market`)."""
    return BUILT_IN_VENUE if reaches_only_here(settings) else settings.venue


def is_rehearsal(settings: Settings) -> bool:
    """Tell whether a live run would reach nothing but this machine."""
    return settings.mode == "live" and reaches_only_here(settings)


def run_mode(settings: Settings) -> str:
    """Return what a run calls itself: paper, rehearsal or live."""
    return "rehearsal" if is_rehearsal(settings) else settings.mode
