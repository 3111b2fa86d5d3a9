"""Inbox entries: everything that can happen to the engine, in one order, each with the same stamps.

Law 1: an entry carries the venue's clock (`ts_event_ns`, 0 where there is none) and ours (`ts_wall_ns`, `ts_mono_ns`). `step` knows
time from these stamps only. A frame's payload is the raw bytes of the wire; everything else is a tagged struct of the union `Payload`.
"""

from decimal import Decimal
from enum import IntEnum

import msgspec

from smartmoney.core.domain.instruments import BUILT_IN_VENUE, Instrument
from smartmoney.core.domain.orders import Fill, OrderReport, PositionReport


class EntryKind(IntEnum):
    """Tell the engine which of the three forms an entry has."""

    FRAME = 1
    """Raw websocket bytes; `instrument` is -1 (the frame's symbol routes it)."""
    SNAPSHOT = 2
    """Raw body of a depth snapshot; `instrument` says whose (the body does not)."""
    EVENT = 3
    """A tagged struct of `Payload`."""


class HaltState(msgspec.Struct, frozen=True, kw_only=True):
    """Carry the kill switch across a restart. `epoch` counts halts and resumes; `peak` is the equity high-water mark in quote."""

    halted: bool = False
    reason: str = ""
    epoch: int = 0
    peak: Decimal | None = None


class DayState(msgspec.Struct, frozen=True, kw_only=True):
    """Carry the day's loss across a restart: the UTC day (days since 1970) and its first known equity, in quote."""

    day: int = -1
    opening: Decimal | None = None


class ScaleState(msgspec.Struct, frozen=True, kw_only=True):
    """Carry what new entries are scaled by, and why, across a restart. `factor` is a share, 1 is the whole size and 0 none."""

    factor: float = 1.0
    reason: str = ""


class RunStarted(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Open a run: everything that `step` needs to know that is not in later entries."""

    run_id: str
    mode: str
    venue: str
    build: str
    config_hash: str
    model: str
    seed: int
    instruments: tuple[Instrument, ...]
    parameters: bytes
    """The engine's parameters, as `core.engine` encodes them."""
    cash: Decimal
    positions: tuple[PositionReport, ...] = ()
    orders: tuple[OrderReport, ...] = ()
    halt: HaltState = HaltState()
    order_count: int = 0
    day: DayState = DayState()
    fundings: tuple[str, ...] = ()
    """References of the latest funding payments that the cash holds already."""
    scale: ScaleState = ScaleState()
    is_made_here: bool = False
    """The exchange was on this machine, whatever venue it speaks as."""

    @property
    def whose_market(self) -> str:
        """Return the venue of which this run's market tells something; that of an exchange on this machine is made up."""
        return BUILT_IN_VENUE if self.is_made_here else self.venue


class Tick(msgspec.Struct, frozen=True, tag=True):
    """Drive timers, each 100 ms."""


class WarmUpEnded(msgspec.Struct, frozen=True, tag=True):
    """End the warm start: entries may be taken from here, after a resync."""


class FeedConnected(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Report that a connection carries the streams of `instruments`. `planned`: it overlaps the old one, so nothing was missed."""

    connection: int
    instruments: tuple[int, ...]
    planned: bool = False


class FeedDisconnected(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Report that a connection is gone and frames of `instruments` may be missing."""

    connection: int
    instruments: tuple[int, ...]
    reason: str


class FeedOverflowed(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Report that the inbox was full and `dropped` frames were not taken: every book must be dropped."""

    dropped: int


class SnapshotFailed(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Report that a requested snapshot could not be had."""

    instrument: int
    reason: str


class OrderAccepted(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Report that the venue took an order."""

    client_order_id: str
    venue_order_id: str


class OrderRejected(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Report that the venue refused an order."""

    client_order_id: str
    reason: str


class OrderFilled(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Report an execution of one of our orders."""

    fill: Fill


class OrderCanceled(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Report that an order was cancelled."""

    client_order_id: str
    reason: str = ""


class OrderExpired(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Report that an order's unfilled rest expired (IOC, FOK)."""

    client_order_id: str
    reason: str = ""


class CancelRejected(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Report that the venue refused a cancel: the order is unknown there."""

    client_order_id: str
    reason: str


class SendRefused(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Report that the sender did not send an approved order: too late, or halted meanwhile."""

    client_order_id: str
    reason: str


class OutcomeUnknown(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Report that a request got no answer that proves an outcome."""

    client_order_id: str
    reason: str


class AccountReported(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Answer `RequestAccount`: what the venue says is working and held.

    `strangers` describes orders that are not ours and were not told before; unset, it is left out of what is encoded.
    """

    orders: tuple[OrderReport, ...]
    positions: tuple[PositionReport, ...]
    strangers: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET


class HaltRequested(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Carry an operator's halt (or the runtime's: a failed commit is a halt)."""

    reason: str


class ResumeRequested(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Carry an operator's re-arm; the reason is mandatory."""

    reason: str


class FlattenRequested(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Carry an operator's order to close every position."""

    reason: str


class ScaleRequested(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Ask that new entries be so large a share of their size (0 to 1; anything else is 0): drift is why they shrink, and grow again."""

    factor: float
    reason: str


class TransferRequested(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Carry an operator's word that money was paid in (positive) or taken out (negative), in quote: neither profit nor loss."""

    amount: Decimal
    reason: str


class FundingPaid(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Report a funding payment, in quote: positive was received, negative was paid. `reference` is the venue's own, unique for ever.

    What a liquidation cost beside its trade comes the same way.
    """

    instrument: int
    amount: Decimal
    reference: str
    ts_event_ns: int


class MoneyMoved(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Report money that came to the account or left it, and that no order or funding of ours explains. Nothing is booked by it.

    `amount` is in `asset`: positive came, negative left. `reference` is the venue's own, empty where it has none; `reason` is in its words.
    """

    asset: str
    amount: Decimal
    reason: str
    reference: str
    ts_event_ns: int


class ModelActivated(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Switch the model bundle between decisions."""

    model: str


class RunStopping(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Announce an orderly end: entry orders are withdrawn, protection stays."""

    reason: str


Payload = (
    RunStarted
    | Tick
    | WarmUpEnded
    | FeedConnected
    | FeedDisconnected
    | FeedOverflowed
    | SnapshotFailed
    | OrderAccepted
    | OrderRejected
    | OrderFilled
    | OrderCanceled
    | OrderExpired
    | CancelRejected
    | SendRefused
    | OutcomeUnknown
    | AccountReported
    | HaltRequested
    | ResumeRequested
    | FlattenRequested
    | ScaleRequested
    | TransferRequested
    | FundingPaid
    | MoneyMoved
    | ModelActivated
    | RunStopping
)

OrderReply = OrderAccepted | OrderRejected | OrderFilled | OrderCanceled | OrderExpired | CancelRejected | SendRefused | OutcomeUnknown
"""What a venue (or the sender) can say about one of our orders."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """Be one line of the inbox. Exactly one of `frame` (FRAME, SNAPSHOT) and `payload` (EVENT) is meaningful."""

    seq: int
    kind: EntryKind
    ts_wall_ns: int
    ts_mono_ns: int
    ts_event_ns: int = 0
    connection: int = 0
    instrument: int = -1
    frame: bytes = b""
    payload: Payload | None = None


_encoder = msgspec.msgpack.Encoder(decimal_format="string")
_decoder = msgspec.msgpack.Decoder(Payload)


def encode_payload(payload: Payload) -> bytes:
    """Return the bytes of an event payload, for the capture."""
    return _encoder.encode(payload)


def decode_payload(raw: bytes) -> Payload:
    """Return the event payload of bytes written by `encode_payload`.

    Raises:
        msgspec.DecodeError, msgspec.ValidationError: the bytes are not one.
    """
    payload: Payload = _decoder.decode(raw)
    return payload
