"""What a run is kept in: the journal and the capture behind the sender's `Ledger`, and the latch file.

Opening a run is recovery: the account is a fold of the journal, working protective orders are given back to the paper venue (a live one
knows them, and is asked), and a latch that stands without a halt in the journal (a halt whose commit failed, or one while no daemon ran)
is handed on, to become one.
"""

import contextlib
import secrets
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path

import msgspec

from smartmoney import __version__
from smartmoney.adapters.capture import CaptureWriter
from smartmoney.adapters.journal import AccountState, Checkpoint, Journal, JournalRecord, RunHeader, record
from smartmoney.adapters.service import clear_latch, is_latched, prepare_latch, read_latch, set_latch
from smartmoney.adapters.state_directory import StateLayout
from smartmoney.core.domain.entries import HaltState, RunStarted
from smartmoney.core.domain.instruments import Instrument
from smartmoney.core.engine.parameters import encode_parameters
from smartmoney.runtime.assembly import engine_parameters
from smartmoney.runtime.capture_care import retain
from smartmoney.runtime.clock import now
from smartmoney.runtime.loop import Batch
from smartmoney.runtime.models import PRIOR_NAME
from smartmoney.runtime.modes import reaches_only_here
from smartmoney.settings.build import paper_parameters
from smartmoney.settings.effective import config_hash
from smartmoney.settings.models import Settings
from smartmoney.simulation.paper import PaperVenue
from smartmoney.simulation.paper_funding import EVERY_NS

_RUN_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


class RunLedger:
    """Commit batches to one run's journal and capture. Used from one thread at a time."""

    def __init__(self, journal: Journal, capture: CaptureWriter) -> None:
        self._journal = journal
        self._capture = capture

    def commit(self, batches: Sequence[Batch]) -> None:
        """Commit all lines and the last checkpoint in one transaction; durable at return.

        Raises:
            JournalFailed: nothing may be counted on.
        """
        records: list[JournalRecord] = []
        for batch in batches:
            records += [kept for line in batch.lines if (kept := record(line.seq, line.wall_ns, line.what)) is not None]
            if batch.checkpoint is not None and batch.lines:
                point = record(batch.checkpoint.seq, batch.lines[-1].wall_ns, Checkpoint(batch.checkpoint.digest))
                assert point is not None
                records.append(point)
        if records:
            self._journal.commit(records)

    def ensure_captured(self, seq: int) -> None:
        """Make the capture durable up to an entry.

        Raises:
            CaptureFailed: it is not.
        """
        self._capture.ensure_durable(seq)


class LatchFile:
    """Keep the halt latch at a path."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def prepare(self) -> None:
        """Lay out what a full disk could not take later."""
        prepare_latch(self._path)

    def set(self, reason: str, epoch: int) -> None:
        """Put it in force, durably."""
        set_latch(self._path, reason, epoch)

    def clear(self) -> None:
        """Take it away, durably."""
        clear_latch(self._path)

    def is_set(self) -> bool:
        """Tell whether it is in force (one `stat`)."""
        return is_latched(self._path)

    def reason(self) -> str:
        """Return why it was set, as far as the file tells."""
        latch = read_latch(self._path)
        return "the latch file" if latch is None else latch.reason


class OpenRun(msgspec.Struct, frozen=True, kw_only=True):
    """Hold what a run writes to, and the entry that opens it."""

    started: RunStarted
    journal: Journal
    capture: CaptureWriter
    ledger: RunLedger
    latch: LatchFile
    latched_for: str | None
    """Why the latch file stands there, where the journal knows of no halt."""
    account: "OpenAccount"


class OpenAccount(msgspec.Struct, frozen=True, kw_only=True):
    """Hold an account's journal and what it proves. `active_wall_ns`: when an earlier run last said something, None where none did."""

    mode: str
    journal: Journal
    state: AccountState
    active_wall_ns: int | None


@contextlib.contextmanager
def open_account(
    settings: Settings, layout: StateLayout, instruments: Sequence[Instrument], mode: str = "", name: str = ""
) -> Iterator[OpenAccount]:
    """Open the account's journal and fold it; close it at the end.

    Raises:
        JournalRefused: the journal is another mode's or account's, or of a newer schema.
        JournalFailed: the disk does not take it.
    """
    mode, name = mode or settings.mode, name or f"{settings.venue}:{settings.market}"
    journal = Journal.open(layout.journal, mode, name, initial_cash=settings.equity_start)
    with contextlib.closing(journal):
        last = journal.reader.last_run()
        point = None if last is None else journal.reader.last_checkpoint(last.run_id)
        active = None if last is None else max(last.started_wall_ns, 0 if point is None else point.wall_ns)
        yield OpenAccount(mode=mode, journal=journal, state=journal.load_account(instruments, now().wall_ns), active_wall_ns=active)


@contextlib.contextmanager
def open_run(
    settings: Settings,
    layout: StateLayout,
    instruments: Sequence[Instrument],
    model: str = PRIOR_NAME,
    opened: OpenAccount | None = None,
) -> Iterator[OpenRun]:
    """Open the capture of a new run over the recovered account (of paper, where none is given); close everything, however it ends.

    `model` is the hash of the bundle that decides, or the prior's name.

    Raises:
        JournalRefused, JournalFailed, CaptureFailed: see `open_account`; the disk does not take it.
    """
    with contextlib.ExitStack() as stack:
        if opened is None:
            opened = stack.enter_context(open_account(settings, layout, instruments))
        journal, account = opened.journal, opened.state
        run_id = new_run_id(now().wall_ns)
        started = _started(settings, run_id, instruments, opened, model)
        # What is too much goes before anything is written; what a kill left open is closed once the run is up (`capture_care`).
        retain(layout.captures, settings.capture)
        header = RunHeader(
            run_id=run_id,
            mode=started.mode,
            venue=started.venue,
            market=settings.market,
            build=started.build,
            config_hash=started.config_hash,
            config=settings.model_dump_json(),
            model=started.model,
            seed=started.seed,
            started_wall_ns=now().wall_ns,
        )
        journal.begin_run(header, instruments)
        latch = LatchFile(layout.latch)
        latch.prepare()
        with CaptureWriter(layout.capture(run_id)) as capture:
            ledger = RunLedger(journal, capture)
            yield OpenRun(
                started=started,
                journal=journal,
                capture=capture,
                ledger=ledger,
                latch=latch,
                latched_for=_latched_for(account.halt, layout.latch),
                account=opened,
            )


def paper_venue(settings: Settings, run: OpenRun) -> PaperVenue:
    """Return the paper venue of a run, with the working orders of the one before."""
    account = run.account.state
    return PaperVenue(
        run.started.instruments,
        paper_parameters(settings),
        run_id=run.started.run_id,
        cash=account.cash,
        positions=account.positions,
        orders=[order for order in account.orders if order.venue_order_id],
        fundings=account.fundings,
        funded_wall_ns=_funded_until(run.account),
        traded=account.traded,
        trade_count=account.fill_count,
    )


def _funded_until(account: OpenAccount) -> int | None:
    """Return until when an account has paid its funding; None for one that begins.

    A run that saw no book paid nothing, and one that was killed between a time and its settlement did not pay that: so it is not when one
    was last heard of. What is booked is known by its reference, and what was held at a time by the fills since, so that all is looked at
    from the last payment before on, and no further back: that a rate is new must not charge a position for all its past.
    """
    if account.active_wall_ns is None:
        return None
    newest_ns = max([account.active_wall_ns, *(one.wall_ns for one in account.state.traded)])
    since_ns = newest_ns - EVERY_NS
    traded = [one for one in account.state.traded if one.wall_ns > since_ns]
    held = {one.instrument: one.quantity for one in account.state.positions}
    for one in traded:
        held[one.instrument] = held.get(one.instrument, Decimal(0)) - one.quantity
    was_flat = not any(held.values())
    return traded[0].wall_ns if traded and was_flat else since_ns


def new_run_id(wall_ns: int) -> str:
    """Return a name that sorts by time and never repeats: seconds since 1970 and twenty random bits, in Crockford's base 32."""
    return _base32(wall_ns // 1_000_000_000, 7) + _base32(secrets.randbits(20), 4)


def _base32(number: int, digits: int) -> str:
    return "".join(_RUN_ALPHABET[number >> shift & 31] for shift in range(5 * (digits - 1), -1, -5))


def _started(settings: Settings, run_id: str, instruments: Sequence[Instrument], opened: OpenAccount, model: str) -> RunStarted:
    account = opened.state
    return RunStarted(
        run_id=run_id,
        mode=opened.mode,
        venue=settings.venue,
        build=__version__,
        config_hash=config_hash(settings),
        model=model,
        seed=settings.sim.seed,
        instruments=tuple(instruments),
        parameters=encode_parameters(engine_parameters(settings)),
        cash=account.cash,
        positions=account.positions,
        orders=account.orders,
        halt=account.halt,
        day=account.day,
        fundings=account.fundings,
        order_count=account.order_count,
        scale=account.scale,
        is_made_here=reaches_only_here(settings),
    )


def _latched_for(journaled: HaltState, latch_path: Path) -> str | None:
    latch = read_latch(latch_path)
    return None if latch is None or journaled.halted else latch.reason
