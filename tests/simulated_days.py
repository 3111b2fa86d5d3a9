"""Days of a daemon on paper, lived through in simulated time: each a run of its own, journaled, captured and watched as a real one is.

The loop, the engine, the paper venue, the journal, the capture and the drift watch are the daemon's; what is made up is the market, and
the clock. A day takes seconds, and it replays to its digest. `python -m tests.live_days` makes them.
"""

import asyncio
from typing import NamedTuple

from smartmoney.core.domain.commands import CancelOrder, RequestAccount, SubmitOrder
from smartmoney.core.domain.entries import EntryKind, RunStopping, Tick, WarmUpEnded
from smartmoney.core.engine.engine import Engine
from smartmoney.runtime import storage
from smartmoney.runtime.assembly import strategy_factory
from smartmoney.runtime.clock import Stamp
from smartmoney.runtime.codecs import codec_of
from smartmoney.runtime.drift_watch import DriftWatch
from smartmoney.runtime.gateway import NoGateway, PaperGateway
from smartmoney.runtime.inbox import Inbox, Item
from smartmoney.runtime.loop import Loop
from smartmoney.runtime.models import PRIOR_NAME, Models, drift_action
from tests.captured_past import INSTRUMENT, SECOND_NS, market_frames

DAY_S = 86_400
DAY_NS = DAY_S * SECOND_NS
FIRST_DAY_NS = 20_500 * DAY_NS
"""A midnight by UTC, some day of 2026."""
TICK_NS = 2 * SECOND_NS
_DURABLE_EVERY = 20_000
"""Entries after which journal and capture are waited for: they are written slower than a day goes by here."""


class Market(NamedTuple):
    """Be the law of a made-up market: how much of the flow goes with the drift (one half: nobody can know it), and how large that is.

    `drift_bps` is a second's; it speaks each `every_s` seconds.
    """

    with_flow: float = 0.7
    drift_bps: float = 0.22
    every_s: int = 2


PLANTED = Market()
NOTHING = Market(with_flow=0.5, drift_bps=0.0)


def live_day(layout, settings, day, market=PLANTED, *, model=PRIOR_NAME, seconds=DAY_S):
    """Live through a day (0 is the first), deciding by a model; return the run's id."""
    models = Models(layout.models)
    with storage.open_run(settings, layout, (INSTRUMENT,), model) as run:
        return _Day(settings, run, models).live(day, market, seconds)


class _Day:
    def __init__(self, settings, run, models):
        self._run, self._models = run, models
        self._engine = Engine(codec_of("binance"), strategy_factory(None), models.bundle)
        self._loop = Loop(self._engine, Inbox(), run.capture, NoGateway(), asyncio.Queue())
        self._settings = settings
        self._wall_ns = self._mono_ns = self._durable = 0
        self._batches = []

    def live(self, day, market, seconds):
        begins_ns = FIRST_DAY_NS + day * DAY_NS
        self._wall_ns, self._mono_ns = begins_ns, SECOND_NS
        self._loop.process(Item(EntryKind.EVENT, Stamp(self._wall_ns, self._mono_ns), payload=self._run.started))
        # The first entry makes the books, which the paper venue must be able to see.
        self._gateway = PaperGateway(storage.paper_venue(self._settings, self._run), self._engine.market, self._engine.executor.portfolio)
        self._loop.use_gateway(self._gateway)
        watch = self._watch()
        watch.remember(self._run.journal.reader, self._run.started.venue, self._settings.market)
        self._step(begins_ns, EntryKind.EVENT, payload=WarmUpEnded())
        ticked_ns = begins_ns
        for kind, wall_ns, text in market_frames(seconds, begins_ns, seed=day, count=day * DAY_S, **market._asdict()):
            while ticked_ns + TICK_NS <= wall_ns:
                ticked_ns += TICK_NS
                stamp = self._step(ticked_ns, EntryKind.EVENT, payload=Tick())
                if (noted := watch.look(stamp)) is not None:
                    self._batches.append(noted)
            self._step(wall_ns, kind, frame=text.encode())
        self._step(begins_ns + seconds * SECOND_NS, EntryKind.EVENT, payload=RunStopping(reason="midnight"))
        self._keep()
        self._run.journal.end_run(begins_ns + seconds * SECOND_NS, self._loop.seq, self._engine.digest)
        return self._run.started.run_id

    def _watch(self):
        return DriftWatch(
            self._engine,
            self._models.reference,
            lambda: self._loop.seq,
            lambda payload: self._step(self._wall_ns, EntryKind.EVENT, payload=payload),
            lambda _alerts: None,
            action=drift_action(self._settings),
        )

    def _step(self, wall_ns, kind, *, payload=None, frame=b""):
        """Step an item, carry out what comes of it, and journal it."""
        self._mono_ns += max(wall_ns - self._wall_ns, 0)
        self._wall_ns = wall_ns
        stamp = Stamp(wall_ns, self._mono_ns)
        self._loop.process(Item(kind, stamp, instrument=0 if kind is EntryKind.SNAPSHOT else -1, frame=frame, payload=payload))
        if (batch := self._loop.take()) is not None:
            self._batches.append(batch)
            for command in batch.commands:
                match command:
                    case SubmitOrder():
                        self._gateway.submit(command.approved, stamp.mono_ns)
                    case CancelOrder():
                        self._gateway.cancel(command.client_order_id, stamp.mono_ns)
                    case RequestAccount():
                        self._gateway.request_account(stamp.mono_ns)
        if self._loop.seq - self._durable > _DURABLE_EVERY:
            self._keep()
        return stamp

    def _keep(self):
        self._run.ledger.commit(self._batches)
        self._batches.clear()
        self._durable = self._loop.seq
        self._run.capture.ensure_durable(self._durable)
