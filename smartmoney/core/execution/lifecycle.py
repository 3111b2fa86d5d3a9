"""The life of an order as a table: what a report does to a status.

Invariants: a pair that is not in the table changes nothing; a terminal status stays terminal (a fill that arrives after the end is booked
as a correction, `is_correction`); UNKNOWN ends only by proof: an ack, a fill, an end, or the venue's own list of working orders.
"""

from enum import StrEnum

from smartmoney.core.domain.orders import OrderStatus


class ReportKind(StrEnum):
    """Name what can be learnt of an order."""

    SUBMIT = "submit"
    DENY = "deny"
    SEND_REFUSED = "send_refused"
    ACCEPT = "accept"
    PARTIAL_FILL = "partial_fill"
    FILL = "fill"
    REJECT = "reject"
    CANCEL_REQUEST = "cancel_request"
    CANCEL_REJECT = "cancel_reject"
    CANCEL = "cancel"
    EXPIRE = "expire"
    LOSE = "lose"
    """No answer proves an outcome."""
    FIND = "find"
    """The venue lists it as working."""
    MISS = "miss"
    """The venue's list of working orders, asked for after it was acknowledged, does not have it."""


TERMINAL = frozenset({OrderStatus.DENIED, OrderStatus.CANCELED, OrderStatus.FILLED, OrderStatus.EXPIRED, OrderStatus.REJECTED})
"""States that end an order's life."""

_S = OrderStatus
_K = ReportKind

_ENDS = {_K.FILL: _S.FILLED, _K.CANCEL: _S.CANCELED, _K.EXPIRE: _S.EXPIRED, _K.REJECT: _S.REJECTED}
_LATE = {_K.ACCEPT, _K.CANCEL_REJECT, _K.CANCEL, _K.EXPIRE, _K.LOSE}

_ROWS: dict[OrderStatus, dict[ReportKind, OrderStatus]] = {
    _S.INITIALIZED: {_K.SUBMIT: _S.SUBMITTED, _K.DENY: _S.DENIED},
    _S.SUBMITTED: {
        **_ENDS,
        _K.ACCEPT: _S.ACCEPTED,
        _K.PARTIAL_FILL: _S.PARTIALLY_FILLED,
        _K.CANCEL_REQUEST: _S.PENDING_CANCEL,
        _K.LOSE: _S.UNKNOWN,
        _K.FIND: _S.ACCEPTED,
        _K.SEND_REFUSED: _S.DENIED,
    },
    _S.UNKNOWN: {
        **_ENDS,
        _K.ACCEPT: _S.ACCEPTED,
        _K.PARTIAL_FILL: _S.PARTIALLY_FILLED,
        _K.CANCEL_REQUEST: _S.PENDING_CANCEL,
        _K.CANCEL_REJECT: _S.UNKNOWN,
        _K.LOSE: _S.UNKNOWN,
        _K.FIND: _S.ACCEPTED,
        _K.MISS: _S.CANCELED,
        _K.SEND_REFUSED: _S.DENIED,
    },
    _S.ACCEPTED: {
        **_ENDS,
        _K.ACCEPT: _S.ACCEPTED,
        _K.PARTIAL_FILL: _S.PARTIALLY_FILLED,
        _K.CANCEL_REQUEST: _S.PENDING_CANCEL,
        _K.CANCEL_REJECT: _S.ACCEPTED,
        _K.LOSE: _S.ACCEPTED,
        _K.FIND: _S.ACCEPTED,
        _K.MISS: _S.CANCELED,
    },
    _S.PARTIALLY_FILLED: {
        **_ENDS,
        _K.ACCEPT: _S.PARTIALLY_FILLED,
        _K.PARTIAL_FILL: _S.PARTIALLY_FILLED,
        _K.CANCEL_REQUEST: _S.PENDING_CANCEL,
        _K.CANCEL_REJECT: _S.PARTIALLY_FILLED,
        _K.LOSE: _S.PARTIALLY_FILLED,
        _K.FIND: _S.PARTIALLY_FILLED,
        _K.MISS: _S.CANCELED,
    },
    _S.PENDING_CANCEL: {
        **_ENDS,
        _K.ACCEPT: _S.PENDING_CANCEL,
        _K.PARTIAL_FILL: _S.PENDING_CANCEL,
        _K.CANCEL_REQUEST: _S.PENDING_CANCEL,
        _K.CANCEL_REJECT: _S.UNKNOWN,
        _K.LOSE: _S.UNKNOWN,
        _K.FIND: _S.PENDING_CANCEL,
        _K.MISS: _S.CANCELED,
        _K.SEND_REFUSED: _S.DENIED,
    },
    _S.CANCELED: {_K.PARTIAL_FILL: _S.CANCELED, _K.FILL: _S.FILLED, **dict.fromkeys(_LATE, _S.CANCELED)},
    _S.EXPIRED: {_K.PARTIAL_FILL: _S.EXPIRED, _K.FILL: _S.FILLED, **dict.fromkeys(_LATE, _S.EXPIRED)},
    _S.REJECTED: {_K.PARTIAL_FILL: _S.REJECTED, _K.FILL: _S.FILLED, **dict.fromkeys(_LATE, _S.REJECTED)},
    _S.DENIED: {_K.PARTIAL_FILL: _S.DENIED, _K.FILL: _S.FILLED},
    _S.FILLED: dict.fromkeys(_LATE, _S.FILLED),
}

TABLE: dict[tuple[OrderStatus, ReportKind], OrderStatus] = {
    (status, kind): after for status, row in _ROWS.items() for kind, after in row.items()
}
"""Every legal step."""


def next_status(status: OrderStatus, kind: ReportKind) -> OrderStatus | None:
    """Return the status after a report, or None when the report is illegal there and must change nothing."""
    return TABLE.get((status, kind))


def is_correction(status: OrderStatus, kind: ReportKind) -> bool:
    """Tell whether a report is a fill of an order that had ended: it is booked, and said aloud."""
    return status in TERMINAL and kind in {ReportKind.PARTIAL_FILL, ReportKind.FILL}
