"""What an answer to a private request proves, told by the venue's code and not by anybody's exception class.

Invariants: UNKNOWN is the answer to every doubt, so an order is never thought dead (or alive) without proof; every pair of status and code
has exactly one outcome. Sources: binance-spot-api-docs errors.md and rest-api.md (2026-07), USD-M error codes (2026-07): any 5xx, -1006 and
-1007 "could have been a success".
"""

from smartmoney.venues.outcomes import Outcome

_DOUBTFUL = frozenset({-1000, -1001, -1006, -1007, -1008, -1016})
_LIMITED = frozenset({-1003, -1015})
_KEY = frozenset({-1002, -1022, -2014, -2015})
_NOT_FOUND = frozenset({-2011, -2013})
_FUNDS = frozenset({-2018, -2019, -4050, -4051})
_ANSWERED = frozenset({200, 201})
_FORBIDDEN = 403
"""A firewall in front of the venue answered: what became of the request behind it is not said."""


def classify(status: int, code: int, message: str) -> Outcome:
    """Return what an answer proves.

    Args:
        status: of HTTP; 0 where no answer came.
        code: the venue's own, negative; 0 where it gave none.
        message: the venue's own words: spot tells several refusals apart by them only (-2010).
    """
    if status in _ANSWERED and code >= 0:
        return Outcome.DONE
    if status in {418, 429} or code in _LIMITED:
        return Outcome.LIMITED
    if status == 0 or status >= 500 or status == _FORBIDDEN or code in _DOUBTFUL:
        return Outcome.UNKNOWN
    if status == 401 or code in _KEY:
        return Outcome.KEY
    if code == -1021:
        return Outcome.CLOCK
    if code in _NOT_FOUND:
        return Outcome.NOT_FOUND
    if code == -4116 or (code == -2010 and message.startswith("Duplicate order")):
        return Outcome.DUPLICATE
    if code in _FUNDS or (code == -2010 and "insufficient balance" in message):
        return Outcome.FUNDS
    return Outcome.REFUSED if code < 0 else Outcome.UNKNOWN
