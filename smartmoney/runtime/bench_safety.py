"""Measure what stands between a decision and the wire, and between a breach and a halt on disk; each with this disk's floor beside it.

The order goes the whole way: gate's approval, journal, sender's last look, signature, and a real connection on loopback, where the time of
its first byte is taken. The floor is a write of 512 bytes and an fsync between two orders, so that both meet the same disk.
"""

import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from time import perf_counter

import msgspec

from smartmoney.adapters.binance_account import BinanceAccount
from smartmoney.adapters.capture import CaptureWriter
from smartmoney.adapters.clock import SystemClock
from smartmoney.adapters.credentials import Credentials
from smartmoney.adapters.journal import Journal, JournalReader, JournalRecord, RunHeader, record
from smartmoney.core.domain.commands import Command, RecordHalt, SubmitOrder
from smartmoney.core.domain.entries import Entry, EntryKind, OrderAccepted, OrderFilled, OrderReply, Tick
from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.core.domain.orders import Approved, Fill, Liquidity, OrderIntent, OrderType, Purpose, Side, TimeInForce
from smartmoney.core.domain.signals import FeedTrust
from smartmoney.core.risk.gate import GateContext, approve
from smartmoney.core.risk.parameters import RiskLimits
from smartmoney.runtime.clock import now
from smartmoney.runtime.gateway import NoGateway
from smartmoney.runtime.loop import Batch, Line
from smartmoney.runtime.sender import Sender
from smartmoney.runtime.storage import LatchFile, RunLedger, new_run_id
from smartmoney.venues.binance import order_calls as calls
from smartmoney.venues.binance.protocol import Endpoints

ORDERS = 200
EVENTS = 10_000
"""Events of a journal that a restart folds."""
_OPENING = 10
"""Orders that are not counted: they open the connection."""
_LATER_NS = 10**19
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
_XY = Instrument(
    venue="none",
    market=Market.SPOT,
    symbol="XYUSDT",
    name="XY/USDT",
    base="XY",
    quote="USDT",
    tick_size=Decimal("0.01"),
    lot_size=Decimal("0.001"),
)


_CONTEXT = GateContext(
    instrument=_XY,
    now_mono_ns=0,
    valid_ns=_LATER_NS,
    halted=False,
    halt_epoch=0,
    trust=FeedTrust.SYNCED,
    best_bid_ticks=10_000,
    best_ask_ticks=10_001,
    position_lots=0,
    working_buy_lots=0,
    working_sell_lots=0,
    reducing_lots=0,
    equity=Decimal(10_000),
    gross_other=Decimal(0),
    open_orders=0,
    orders_last_minute=0,
    daily_loss=Decimal(0),
)


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """Be one row: median and 99th percentile in ms, and the same of the floor where there is one."""

    name: str
    p50_ms: float
    p99_ms: float
    floor_p50_ms: float | None = None
    floor_p99_ms: float | None = None


def measure(folder: Path) -> list[Timing]:
    """Return every measurement; `folder` lies on the disk that is meant."""
    return [*asyncio.run(_orders(folder)), *asyncio.run(_halts(folder)), _recovery(folder)]


class _Wire(NoGateway):
    """Sign and send each order to a server on loopback."""

    def __init__(self, account: BinanceAccount) -> None:
        self._account = account
        self.asked: asyncio.Task[object] | None = None

    def submit(self, approved: Approved, now_mono_ns: int) -> None:
        """Send an order."""
        del now_mono_ns
        self.asked = asyncio.ensure_future(self._account.ask(calls.place(_XY, approved.intent)))


class _Server:
    """Note when the first byte of a request arrives, and answer."""

    def __init__(self) -> None:
        self.arrived_ns = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        while await reader.read(1 << 16):
            self.arrived_ns = now().mono_ns
            writer.write(_ANSWER)
            await writer.drain()
        writer.close()


async def _orders(folder: Path) -> list[Timing]:
    server = _Server()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    where = Endpoints(rest=f"http://127.0.0.1:{port}", stream=f"ws://127.0.0.1:{port}")
    account = BinanceAccount(Market.SPOT, where, Credentials("bench", "bench"), clock=SystemClock())
    wire = _Wire(account)
    commits: list[float] = []
    totals: list[float] = []
    beyond: list[float] = []
    without: list[float] = []
    floors: list[float] = []
    try:
        with _run(folder, "orders") as (journal, capture), (folder / "floor").open("wb", buffering=0) as floor:
            ledger = _TimedLedger(journal, capture)
            sender, _ = _sender(ledger, folder, wire)
            for number in range(ORDERS + _OPENING):
                floors.append(_floor(floor.fileno()))
                capture.append(_tick(number + 1))
                batch = _batch(_order(number), number + 1)
                await sender.send([batch], is_queued=False)
                assert wire.asked is not None
                await wire.asked
                if number >= _OPENING:
                    commits.append(ledger.spent_ms)
                    totals.append((server.arrived_ns - batch.decided_mono_ns) / 1e6)
                    beyond.append(totals[-1] - commits[-1])
                    without.append(totals[-1] - floors[-1])
    finally:
        await account.close()
        listening.close()
    fp50, fp99 = _p50(floors), _p99(floors)
    return [
        _timing("intent commit", commits, fp50, fp99),
        _timing("decision to request on the wire", totals, fp50, fp99),
        _timing("decision to request on the wire, without the floor", without),
        _timing("decision to request on the wire, beyond the commit", beyond),
    ]


class _TimedLedger(RunLedger):
    """Be the daemon's own ledger, and keep how long the last batch took: the capture's inputs and the journal's lines, each durable."""

    spent_ms = 0.0

    def ensure_captured(self, seq: int) -> None:
        """Make the capture durable up to an entry."""
        began = perf_counter()
        super().ensure_captured(seq)
        self.spent_ms = (perf_counter() - began) * 1e3

    def commit(self, batches: Sequence[Batch]) -> None:
        """Commit all lines in one transaction."""
        began = perf_counter()
        super().commit(batches)
        self.spent_ms += (perf_counter() - began) * 1e3


async def _halts(folder: Path) -> list[Timing]:
    spent, floors = [], []
    with _run(folder, "halts") as (journal, capture), (folder / "floor").open("wb", buffering=0) as floor:
        sender, latch = _sender(RunLedger(journal, capture), folder, NoGateway())
        for number in range(ORDERS):
            floors.append(_floor(floor.fileno()))
            halt = RecordHalt(reason="drawdown: bench", epoch=number, equity=Decimal(1), peak=Decimal(2))
            began = perf_counter()
            await sender.send([_batch(halt, number + 1)], is_queued=False)
            spent.append((perf_counter() - began) * 1e3)
            latch.clear()
    return [_timing("breach found to halt in journal and latch", spent, _p50(floors), _p99(floors))]


def lengthen(path: Path) -> None:
    """Journal `EVENTS` events more, as an earlier run that ended where it began. There is a run in the journal already."""
    with JournalReader.open(path) as reader:
        mode, account = reader.owner()
        instruments, last = reader.instruments(), reader.last_run()
    assert last is not None
    journal = Journal.open(path, mode, account, initial_cash=Decimal(0))
    try:
        run_id = new_run_id(time.time_ns())
        journal.begin_run(msgspec.structs.replace(last, run_id=run_id, started_wall_ns=time.time_ns()), instruments)
        write_round_trips(journal, EVENTS, run_id)
    finally:
        journal.close()


def write_round_trips(journal: Journal, events: int, name: str) -> None:
    """Journal so many events of instrument 0 that end where they began: orders, acceptances and fills, at no cost."""
    orders = 2 * -(-events // 6)
    for first in range(0, orders, 100):
        records: list[JournalRecord] = []
        for number in range(first, min(first + 100, orders)):
            order = _order(number)
            client_id = f"sm{name}-{number}-0"
            intent = msgspec.structs.replace(order.approved.intent, client_order_id=client_id)
            fill = Fill(
                trade_id=f"{name}{number}",
                client_order_id=client_id,
                instrument=0,
                side=intent.side,
                price_ticks=10_000,
                lots=10,
                fee=Decimal(0),
                fee_asset="USDT",
                liquidity=Liquidity.TAKER,
                ts_event_ns=time.time_ns(),
            )
            sent = SubmitOrder(approved=msgspec.structs.replace(order.approved, intent=intent))
            accepted = OrderAccepted(client_order_id=client_id, venue_order_id=client_id)
            said: Sequence[Command | OrderReply] = (sent, accepted, OrderFilled(fill=fill))
            records += [kept for what in said if (kept := record(number + 1, time.time_ns(), what)) is not None]
        journal.commit(records)


def _recovery(folder: Path) -> Timing:
    """Time opening and folding a journal of ten thousand events: what a restart does before it asks the venue."""
    path = folder / "long" / "journal.db"
    path.parent.mkdir()
    with_events = Journal.open(path, "paper", "bench", initial_cash=Decimal(10_000))
    with_events.begin_run(_header("long"), [_XY])
    write_round_trips(with_events, EVENTS, "XY")
    with_events.close()
    spent = []
    for _ in range(5):
        began = perf_counter()
        journal = Journal.open(path, "paper", "bench", initial_cash=Decimal(10_000))
        journal.load_account([_XY])
        spent.append((perf_counter() - began) * 1e3)
        journal.close()
    return _timing(f"journal of {EVENTS:,} events opened and folded", spent)


def _sender(ledger: RunLedger, folder: Path, gateway: NoGateway) -> tuple[Sender, LatchFile]:
    latch = LatchFile(folder / "HALT")
    nothing: Callable[..., None] = lambda *_: None  # noqa: E731 - nobody listens
    return Sender(asyncio.Queue(), ledger, latch, gateway, _Nowhere(), nothing, 0), latch


class _Nowhere:
    """Carry nothing out."""

    def request_snapshot(self, instrument: int, reason: str) -> None:
        """Fetch nothing."""

    def reconnect(self, instrument: int, reason: str) -> None:
        """Rebuild nothing."""


class _run:  # noqa: N801 - used like a function
    """Open a journal and a capture for the time of a measurement."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=folder))
        self._name = name

    def __enter__(self) -> tuple[Journal, CaptureWriter]:
        self._journal = Journal.open(self._folder / "journal.db", "paper", "bench", initial_cash=Decimal(1))
        self._journal.begin_run(_header(self._name), [_XY])
        self._capture = CaptureWriter(self._folder / "capture")
        self._capture.__enter__()
        return self._journal, self._capture

    def __exit__(self, *_: object) -> None:
        self._capture.__exit__(None, None, None)
        self._journal.close()


def _header(run_id: str) -> RunHeader:
    return RunHeader(
        run_id=run_id, mode="paper", venue="none", market="spot", build="", config_hash="", config="", model="", seed=0, started_wall_ns=0
    )


def _order(number: int) -> SubmitOrder:
    intent = OrderIntent(
        client_order_id=f"smbench-{number}-0",
        instrument=0,
        side=Side.BUY if number % 2 == 0 else Side.SELL,
        type=OrderType.LIMIT,
        lots=10,
        # One that reduces: of the venue's limits of orders in time, those of a burst of entries would be held back.
        purpose=Purpose.EXIT,
        time_in_force=TimeInForce.IOC,
        price_ticks=10_000,
        reduce_only=True,
    )
    verdict = approve(intent, msgspec.structs.replace(_CONTEXT, position_lots=-1_000 * intent.side.sign), RiskLimits())
    assert isinstance(verdict, Approved)
    return SubmitOrder(approved=verdict)


def _batch(command: Command, seq: int) -> Batch:
    return Batch(
        lines=(Line(seq, time.time_ns(), command),),
        commands=(command,),
        checkpoint=None,
        last_seq=seq,
        decided_mono_ns=now().mono_ns,
        has_orders=isinstance(command, SubmitOrder),
    )


def _tick(seq: int) -> Entry:
    stamp = now()
    return Entry(seq=seq, kind=EntryKind.EVENT, ts_wall_ns=stamp.wall_ns, ts_mono_ns=stamp.mono_ns, payload=Tick())


def _floor(descriptor: int) -> float:
    began = perf_counter()
    os.write(descriptor, b"x" * 512)
    os.fsync(descriptor)
    return (perf_counter() - began) * 1e3


def _timing(name: str, spent: Sequence[float], floor_p50: float | None = None, floor_p99: float | None = None) -> Timing:
    return Timing(name=name, p50_ms=_p50(spent), p99_ms=_p99(spent), floor_p50_ms=floor_p50, floor_p99_ms=floor_p99)


def _p50(values: Sequence[float]) -> float:
    return round(statistics.median(values), 3)


def _p99(values: Sequence[float]) -> float:
    return round(sorted(values)[min(len(values) - 1, int(0.99 * len(values)))], 3)
