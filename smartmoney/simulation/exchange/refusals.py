"""Refuse as the venue refuses: Binance's error codes and messages, word for word.

Sources: binance-spot-api-docs, errors.md and filters.md (2026-07); USD-M error codes page (2026-07). A refusal changes nothing.
"""


class Refusal(Exception):
    """Carry an error code, its message, and the HTTP status that goes with it."""

    def __init__(self, code: int, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


def filter_failure(name: str) -> Refusal:
    """Return the refusal of a spot order that breaks a filter."""
    return Refusal(-1013, f"Filter failure: {name}")


def mandatory(name: str) -> Refusal:
    """Return the refusal of a request without a parameter that it needs."""
    return Refusal(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


def not_required(name: str) -> Refusal:
    """Return the refusal of a parameter that does not go with the rest."""
    return Refusal(-1106, f"Parameter '{name}' sent when not required.")


def too_precise(name: str, *, is_spot: bool) -> Refusal:
    """Return the refusal of a number with more decimals than the venue keeps."""
    spot = f"Parameter '{name}' has too much precision."
    return Refusal(-1111, spot if is_spot else "Precision is over the maximum defined for this asset.")


def illegal_characters(name: str, pattern: str) -> Refusal:
    """Return the refusal of text outside a pattern."""
    return Refusal(-1100, f"Illegal characters found in parameter '{name}'; legal range is '{pattern}'.")


def rejected(message: str) -> Refusal:
    """Return spot's refusal by the matching engine (-2010)."""
    return Refusal(-2010, message)


INVALID_SYMBOL = (-1121, "Invalid symbol.")
INSUFFICIENT_BALANCE = "Account has insufficient balance for requested action."
DUPLICATE_ORDER = "Duplicate order sent."
WOULD_TAKE = "Order would immediately match and take."
WOULD_TRIGGER = "Order would trigger immediately."
BAD_PRICES = "The relationship of the prices for the orders is not correct."
UNKNOWN_ORDER = (-2011, "Unknown order sent.")
NO_SUCH_ORDER = (-2013, "Order does not exist.")
CANCEL_RESTRICTED = (-2011, "Order was not canceled due to cancel restrictions.")
MARGIN_INSUFFICIENT = (-2019, "Margin is insufficient.")
WOULD_TRIGGER_USDM = (-2021, "Order would immediately trigger.")
REDUCE_ONLY_REJECTED = (-2022, "ReduceOnly Order is rejected.")
POSITION_TOO_LARGE = (-2027, "Exceeded the maximum allowable position at current leverage.")
DUPLICATE_CLIENT_ID = (-4116, "ClientOrderId is duplicated.")
USE_ALGO_ENDPOINT = (-4120, "Order type not supported for this endpoint. Please use the Algo Order API endpoints instead.")
_NOT_RECORDED = "The order will not be recorded in the order history"
FOK_REJECTED = (-5021, f"Due to the order could not be filled immediately, the FOK order has been rejected. {_NOT_RECORDED}")
POST_ONLY_REJECTED = (-5022, f"Due to the order could not be executed as maker, the Post Only order will be rejected. {_NOT_RECORDED}")
