"""Commands: everything that `step` may ask the world to do, in the order it must be done.

`Record*` commands and the intent inside a `SubmitOrder` are durable before anything that follows them leaves the process.
"""

from decimal import Decimal

import msgspec

from smartmoney.core.domain.orders import Approved
from smartmoney.core.domain.signals import Refusal, Signal


class SubmitOrder(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Send an approved order, its intent durable first."""

    approved: Approved


class CancelOrder(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Cancel one of our orders."""

    client_order_id: str
    instrument: int
    reason: str


class RequestSnapshot(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Fetch a depth snapshot; the body comes back as a SNAPSHOT entry or a `SnapshotFailed`."""

    instrument: int
    reason: str


class RequestAccount(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Ask the venue for working orders and positions; answered by `AccountReported`."""

    reason: str


class ReconnectFeed(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Tear a silent or implausible feed down and build it again."""

    instrument: int
    reason: str


class RecordSignal(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Journal a signal."""

    instrument: int
    signal: Signal


class RecordRefusal(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Journal a refusal."""

    refusal: Refusal


class RecordEquity(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Journal equity and the high-water mark, in quote currency."""

    equity: Decimal
    peak: Decimal


class RecordDay(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Journal the day (days since 1970, UTC) and the equity that its loss is measured from, in quote."""

    day: int
    opening: Decimal


class RecordCash(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Journal money that moved without a trade, in quote, and the peak after it. `kind` is transfer or funding.

    `reference` is the venue's own (empty for a transfer): what was journaled under it once is not journaled again. `ts_event_ns` is when
    the venue says that it happened, 0 where no venue does.
    """

    kind: str
    amount: Decimal
    reason: str
    reference: str
    peak: Decimal | None
    ts_event_ns: int = 0


class RecordHalt(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Journal a halt and set the latch file, before any order that follows it."""

    reason: str
    epoch: int
    equity: Decimal | None
    peak: Decimal | None


class RecordOrderClosed(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Journal the end of an order that the venue proved not to have: no report of it will ever come."""

    client_order_id: str
    reason: str


class RecordResume(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Journal an operator's re-arm: the old peak, the new one, the reason."""

    reason: str
    epoch: int
    old_peak: Decimal | None
    new_peak: Decimal | None


class RecordScale(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Journal what new entries are scaled by from here on, and why."""

    factor: float
    reason: str


class Notify(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Tell the operator. `severity` is info, warning or critical."""

    severity: str
    subject: str
    text: str


Command = (
    SubmitOrder
    | CancelOrder
    | RequestSnapshot
    | RequestAccount
    | ReconnectFeed
    | RecordSignal
    | RecordRefusal
    | RecordEquity
    | RecordDay
    | RecordCash
    | RecordHalt
    | RecordOrderClosed
    | RecordResume
    | RecordScale
    | Notify
)

_encoder = msgspec.msgpack.Encoder(decimal_format="string", order="sorted")


def encode_command(command: Command) -> bytes:
    """Return the canonical bytes of a command: equal commands give equal bytes, in any process."""
    return _encoder.encode(command)
