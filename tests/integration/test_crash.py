"""What was acknowledged survives: `kill -9` of real processes, failing disks, and power cuts at every write."""

import os
import random
import signal
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import apsw
import pytest

from smartmoney.adapters.capture import read_capture
from smartmoney.adapters.journal import Journal, JournalFailed, JournalRefused, RunHeader, record
from smartmoney.core.domain.commands import RecordEquity, SubmitOrder
from smartmoney.core.domain.entries import OrderAccepted, OrderFilled
from smartmoney.core.domain.orders import Approved, Fill, Liquidity, OrderIntent, OrderType, Purpose, Side
from tests.examples import examples
from tests.grids import SPOT_BTC as BTC

WRITER = """
import os, sys
sys.path.insert(0, sys.argv[4])
from test_crash import *
from smartmoney.adapters.capture import CaptureWriter
from smartmoney.core.domain.entries import Entry, EntryKind

root, run_id, start = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
journal = opened(root / "journal.db", run_id)
capture = CaptureWriter(root / run_id)
for number in range(start, start + 1_000_000):
    for seq in range(number * 3, number * 3 + 3):
        capture.append(Entry(seq=seq, kind=EntryKind.FRAME, ts_wall_ns=seq, ts_mono_ns=seq, frame=os.urandom(300)))
    capture.ensure_durable(number * 3 + 2)
    journal.commit(batch_of(number))
    os.write(1, b"%d\\n" % number)
"""


def opened(path, run_id, vfs=None):
    journal = Journal.open(path, "paper", "binance:spot:paper", initial_cash=Decimal(10_000), vfs=vfs)
    run = RunHeader(
        run_id=run_id,
        mode="paper",
        venue="binance",
        market="spot",
        build="",
        config_hash="",
        config="{}",
        model="",
        seed=1,
        started_wall_ns=1,
    )
    try:
        journal.begin_run(run, [BTC])
    except JournalFailed:
        journal.close()
        raise
    return journal


def batch_of(number):
    """Return one order, its acceptance, its fill and the equity: four tables in one transaction."""
    name = f"o{number}"
    intent = OrderIntent(client_order_id=name, instrument=0, side=Side.BUY, type=OrderType.MARKET, lots=1, purpose=Purpose.ENTRY)
    fill = Fill(
        trade_id=str(number),
        client_order_id=name,
        instrument=0,
        side=Side.BUY,
        price_ticks=100,
        lots=1,
        fee=Decimal("0.001"),
        fee_asset="USDT",
        liquidity=Liquidity.TAKER,
        ts_event_ns=1,
    )
    items = (
        SubmitOrder(approved=Approved(intent=intent, valid_until_mono_ns=0, halt_epoch=0)),
        OrderAccepted(client_order_id=name, venue_order_id=name),
        OrderFilled(fill=fill),
        RecordEquity(equity=Decimal(number), peak=Decimal(number)),
    )
    return [record(number, number, item) for item in items]


def transactions_in(path):
    """Return how many whole batches a journal holds, after checking that it holds no part of one."""
    journal = Journal.open(path, "paper", "binance:spot:paper", initial_cash=Decimal(10_000))
    try:
        assert journal._connection.pragma("integrity_check") == "ok"
        count = journal._connection.execute("SELECT count(*) FROM intents").get
        state = journal.load_account([BTC])
        assert (state.order_count, state.fill_count, state.orders) == (count, count, ())
        assert sum(position.quantity for position in state.positions) == count * BTC.lot_size
        assert journal._connection.execute("SELECT count(*) FROM equity").get == count
        return count
    finally:
        journal.close()


def kill_once(root, run_id, start, acknowledgements):
    """Run a writer, kill it right after its n-th acknowledgement, return the last one it gave."""
    arguments = [sys.executable, "-c", WRITER, str(root), run_id, str(start), str(Path(__file__).parent)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE) as child:
        for _ in range(acknowledgements):
            assert child.stdout.readline()
        child.send_signal(signal.SIGKILL)
        rest = child.stdout.read().split()
    return int(rest[-1]) if rest else start + acknowledgements - 1


def kill_campaign(root, kills, seed):
    rng = random.Random(seed)
    start = 0
    for number in range(kills):
        last = kill_once(root, f"run-{number}", start, rng.randint(1, 60))
        count = transactions_in(root / "journal.db")
        assert count > last, f"kill {number}: {last} was acknowledged, {count} transactions survive"
        captured = [entry.seq for entry in read_capture(root / f"run-{number}")]
        assert captured[: last * 3 + 3 - captured[0]] == list(range(start * 3, last * 3 + 3))
        start = count


def test_killed_writer_keeps_every_acknowledged_commit_and_its_inputs(tmp_path):
    kill_campaign(tmp_path, 5, seed=1)


@pytest.mark.slow
def test_killed_writer_keeps_every_acknowledged_commit_and_its_inputs_many_times(tmp_path):
    kill_campaign(tmp_path, examples(30), seed=2)


# A disk that fails, and a power cut, by a VFS in Python that stands before the real one.


class Disk(apsw.VFS):
    """Pass everything on, note every write and sync in `log`, and fail the operation number `fails_at`."""

    def __init__(self, name, fails_at=None, error=apsw.IOError):
        self.log = []
        self.fails_at = fails_at
        self.error = error
        super().__init__(name, "")

    def xOpen(self, name, flags):
        return DiskFile(self, name, flags)

    def xDelete(self, name, sync):
        self.note("delete", name, None, None)
        super().xDelete(name, sync)

    def note(self, operation, name, data, offset):
        self.log.append((operation, name and os.path.basename(name), data, offset))
        if self.fails_at is not None and len(self.log) > self.fails_at:
            raise self.error("the disk failed")


class DiskFile(apsw.VFSFile):
    def __init__(self, disk, name, flags):
        self.disk = disk
        self.name = name.filename() if isinstance(name, apsw.URIFilename) else name
        super().__init__("", name, flags)

    def xWrite(self, data, offset):
        self.disk.note("write", self.name, bytes(data), offset)
        super().xWrite(data, offset)

    def xTruncate(self, size):
        self.disk.note("truncate", self.name, None, size)
        super().xTruncate(size)

    def xSync(self, flags):
        self.disk.note("sync", self.name, None, None)
        super().xSync(flags)


def work(path, disk, transactions):
    """Open a journal on a disk and commit until it fails; note each acknowledgement in the disk's log; return how many there were."""
    done = 0
    journal = None
    try:
        journal = opened(path, "run", vfs=disk.vfs_name)
        for number in range(transactions):
            journal.commit(batch_of(number))
            disk.log.append(("acknowledged", None, None, None))
            done += 1
    except (JournalFailed, JournalRefused):
        if journal is not None and journal.failure is not None:
            with pytest.raises(JournalFailed):
                journal.commit(batch_of(transactions))
    if journal is not None:
        journal.close()
    return done


@pytest.fixture
def disk_of():
    disks = []

    def make(**options):
        name = f"disk-{os.getpid()}-{len(disks)}-{random.getrandbits(32)}"
        disk = Disk(name, **options)
        disk.vfs_name = name
        disks.append(disk)
        return disk

    yield make
    for disk in disks:
        disk.unregister()


@pytest.mark.parametrize("error", [apsw.IOError, apsw.FullError])
def test_whichever_disk_operation_fails_acknowledged_commits_stay(tmp_path, disk_of, error):
    disk = disk_of()
    assert work(tmp_path / "whole", disk, 6) == 6
    operations = len([entry for entry in disk.log if entry[0] != "acknowledged"])
    step = max(1, operations // 20)
    failed = 0
    for fails_at in range(0, operations, step):
        path = tmp_path / f"j{fails_at}"
        done = work(path, disk_of(fails_at=fails_at, error=error), 6)
        failed += done < 6
        assert transactions_in(path) >= done
    assert failed > 10


def image_after(log, point, folder, rng):
    """Write what a disk may hold if power goes after `log[:point]`: all that was synced, and any part of what was not."""
    files = {}
    waiting = {}
    for operation, name, data, offset in log[:point]:
        if operation == "sync":
            for done in waiting.pop(name, ()):
                apply(files.setdefault(name, bytearray()), *done)
        elif operation == "delete":
            files.pop(name, None)
            waiting.pop(name, None)
        elif operation in {"write", "truncate"}:
            waiting.setdefault(name, []).append((operation, data, offset))
    for name, operations in waiting.items():
        for operation, data, offset in operations:
            fate = rng.random()
            if fate < 0.4:
                continue
            torn = data if data is None or fate > 0.6 else data[: rng.randrange(0, len(data) + 1, 512) if len(data) >= 512 else 0]
            apply(files.setdefault(name, bytearray()), operation, torn, offset)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def apply(content, operation, data, offset):
    if operation == "truncate":
        del content[offset:]
        return
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data


def lost_in_power_cuts(tmp_path, log, points, images, seed):
    rng = random.Random(seed)
    lost = 0
    for point in points:
        acknowledged = sum(1 for entry in log[:point] if entry[0] == "acknowledged")
        for number in range(images):
            folder = tmp_path / f"image-{point}-{number}"
            folder.mkdir()
            image_after(log, point, folder, rng)
            lost += transactions_in(folder / "j") < acknowledged
    return lost


def test_power_cut_at_any_write_loses_nothing_acknowledged(tmp_path, disk_of):
    disk = disk_of()
    (tmp_path / "real").mkdir()
    assert work(tmp_path / "real" / "j", disk, 12) == 12
    points = range(1, len(disk.log) + 1, max(1, len(disk.log) // 40))
    assert lost_in_power_cuts(tmp_path, disk.log, points, 2, seed=3) == 0


def test_the_power_cut_test_would_notice_a_journal_that_does_not_sync(tmp_path, disk_of, monkeypatch):
    """Oracle: with `synchronous=NORMAL` in the place of FULL the same cuts do lose acknowledged commits."""
    from smartmoney.adapters import journal as journal_module

    original = journal_module._prepare

    def careless(connection, *arguments):
        original(connection, *arguments)
        connection.pragma("synchronous", "normal")

    monkeypatch.setattr(journal_module, "_prepare", careless)
    disk = disk_of()
    (tmp_path / "real").mkdir()
    work(tmp_path / "real" / "j", disk, 12)
    monkeypatch.setattr(journal_module, "_prepare", original)
    first = next(index for index, entry in enumerate(disk.log) if entry[0] == "acknowledged")
    assert lost_in_power_cuts(tmp_path, disk.log, range(first + 1, len(disk.log), 5), 1, seed=4) > 0
