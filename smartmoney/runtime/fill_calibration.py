"""How one's own fills compare with the paper venue's model, with error bars, and the model that fits them.

A captured run is folded again, and each of its orders is put into a paper venue at the moment when the venue took it: once with careful
queues, once with even ones. What the order really got stands beside what the model gives it:

* acknowledgement: from the decision to the venue's acceptance;
* resting orders: lots filled over lots predicted. A withdrawn order counts until its withdrawal on both sides; one that filled is followed
  in the model for as long as it might have rested. Reached is an order at or through whose price the market traded or quoted;
* marketable orders: the average price over the model's, in bps, above 0 is worse.

Intervals are 95 % ranges of a moving-block bootstrap over orders in time. Invariants: below `FILLS_MIN` a part is not fitted; a difference
is applied only if its interval excludes none, and only to the worse side.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from functools import partial

import msgspec
import numpy as np
from numpy.typing import NDArray

from smartmoney.adapters.capture import CaptureDamaged, read_capture
from smartmoney.adapters.journal import JournalReader
from smartmoney.adapters.state_directory import StateLayout
from smartmoney.core.domain.entries import (
    Entry,
    EntryKind,
    FeedDisconnected,
    FeedOverflowed,
    OrderAccepted,
    OrderCanceled,
    OrderExpired,
    OrderFilled,
    RunStarted,
    Tick,
    WarmUpEnded,
)
from smartmoney.core.domain.instruments import Market as MarketKind
from smartmoney.core.domain.orders import OrderIntent, OrderType, PositionReport, Purpose, TimeInForce
from smartmoney.core.engine.market import Market, VenueCodec
from smartmoney.core.engine.parameters import decode_parameters
from smartmoney.learning.resampling import block_starts, interval, resampled_sums
from smartmoney.runtime.backtest_sources import split_start
from smartmoney.runtime.codecs import codec_of
from smartmoney.runtime.replay import ReplayRefused, named_run
from smartmoney.simulation.kernel_depth import KernelDepth
from smartmoney.simulation.order_latency import OrderLatency, measured_latency
from smartmoney.simulation.paper import PaperVenue
from smartmoney.simulation.paper_depth import LastTrade
from smartmoney.simulation.paper_parameters import QUEUES, PaperParameters

FILLS_MIN = 30
_RESAMPLES = 1000
_RICH = Decimal(10) ** 12
_HELD_LOTS = 10**12
_PROTECTION_NS = 600_000_000_000
_S = 1_000_000_000

Floats = NDArray[np.float64]


class Sent(msgspec.Struct, frozen=True):
    """Be an order as it was decided: when, on our wall clock."""

    intent: OrderIntent
    decided_wall_ns: int


class CapturedOrders(msgspec.Struct, frozen=True, kw_only=True):
    """Be one captured run: how it began, its entries, its orders by client id."""

    start: RunStarted
    entries: Iterable[Entry]
    sent: Mapping[str, Sent]


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """Be a figure with its 95 % interval and the number of orders behind it."""

    value: float
    low: float
    high: float
    n: int

    def words(self, digits: int = 2) -> str:
        """Say it."""
        return f"{self.value:.{digits}f} (95 % {self.low:.{digits}f} to {self.high:.{digits}f}, {self.n} orders)"

    def excludes(self, value: float) -> bool:
        """Tell whether a value lies outside of the interval; an unknown interval excludes nothing."""
        return value < self.low or value > self.high


class FillModel(msgspec.Struct, frozen=True, kw_only=True):
    """Say what was fitted, in numbers and words. None: not enough to tell."""

    words: tuple[str, ...]
    delays_ms: tuple[float, ...] = ()
    acknowledgement_ms: Estimate | None = None
    queue: str | None = None
    fill_ratio: Estimate | None = None
    filled_if_reached: Estimate | None = None
    slippage_bps: Estimate | None = None
    passive_share: float = 1.0
    taker_extra_bps: float = 0.0

    def latency(self, otherwise: OrderLatency) -> OrderLatency:
        """Return the latency that was measured, or another."""
        return measured_latency(self.delays_ms, otherwise.seed) if self.delays_ms else otherwise

    def paper(self, given: PaperParameters) -> PaperParameters:
        """Return the paper venue's parameters with what was fitted; what takers lost beyond the depth shown is added to their fee."""
        return msgspec.structs.replace(
            given,
            queue=self.queue or given.queue,
            passive_share=self.passive_share,
            taker_bps=given.taker_bps + Decimal(f"{self.taker_extra_bps:.4f}"),
        )


class _Life:
    """Follow one order: what it got, and what each model gave it. Lots and lots times ticks."""

    def __init__(self, sent: Sent, taken_wall_ns: int, until_mono_ns: int) -> None:
        self.intent = sent.intent
        self.waited_ms = max(taken_wall_ns - sent.decided_wall_ns, 0) / 1e6
        self.until_mono_ns = until_mono_ns
        self.is_over = False
        self.is_reached = False
        self.got = [0, 0]
        self.given = {queue: [0, 0] for queue in QUEUES}

    @property
    def is_passive(self) -> bool:
        """Tell whether it was meant to rest."""
        return self.intent.type is OrderType.LIMIT and self.intent.time_in_force is TimeInForce.GTC

    @property
    def is_marketable(self) -> bool:
        """Tell whether it was meant to take."""
        intent = self.intent
        return intent.type is OrderType.MARKET or (intent.type is OrderType.LIMIT and intent.time_in_force is not TimeInForce.GTC)

    def slippage_bps(self) -> float | None:
        """Return how much worse than the careful model's its price was, None where one of them has none."""
        got, given = self.got, self.given["careful"]
        if not got[0] or not given[0]:
            return None
        model = given[1] / given[0]
        return self.intent.side.sign * (got[1] / got[0] - model) / model * 1e4


def calibrate(runs: Sequence[CapturedOrders], codec: Callable[[str], VenueCodec], seed: int = 0) -> FillModel:
    """Fit the paper venue's model to the fills of captured runs. Cost: some 20 µs a captured frame, more while orders rest."""
    lives = [life for run in runs for life in _Shadow(run, codec(run.start.venue)).lives()]
    names = ", ".join(run.start.run_id for run in runs)
    fills = sum(1 for life in lives if life.got[0])
    only_paper = all(run.start.mode == "paper" for run in runs)
    note = ("those are fills of the paper venue itself: they measure the model, not an exchange",) if only_paper else ()
    if fills < FILLS_MIN:
        return FillModel(
            words=(f"fills not calibrated: {fills} filled orders in {names or 'no run'}, {FILLS_MIN} are wanted; the default stands",)
        )
    model = FillModel(words=(f"fill model calibrated on {fills} filled orders of {names}", *note))
    for part in (_acknowledgements, _resting, _taking):
        model = part(model, lives, seed)
    return model


def captured_orders(layout: StateLayout, run_id: str) -> CapturedOrders:
    """Return one captured run of a state directory.

    Raises:
        ReplayRefused: nothing of it was captured, or not its beginning.
        JournalRefused: there is no journal.
    """
    try:
        start, entries = split_start(read_capture(layout.capture(run_id)))
    except CaptureDamaged as damage:
        raise ReplayRefused(f"run {run_id!r} cannot be calibrated on: {damage}") from None
    if start is None:
        raise ReplayRefused(f"the capture of run {run_id!r} does not begin with its start: retention has taken its first segment")
    with JournalReader.open(layout.journal) as journal:
        rows = journal.orders(run_id)
    sent = {row.client_order_id: Sent(msgspec.msgpack.decode(row.encoded, type=OrderIntent), row.wall_ns) for row in rows}
    return CapturedOrders(start=start, entries=entries, sent=sent)


def calibrate_on(layout: StateLayout, run_ids: Sequence[str]) -> FillModel:
    """Fit to the runs of a state directory; without names to every run that is captured from its beginning.

    Raises:
        ReplayRefused: a run that is named cannot be used.
        JournalRefused: there is no journal.
    """
    names = [named_run(layout, name) for name in run_ids]
    if not names:
        with JournalReader.open(layout.journal) as journal:
            names = [run.run_id for run in reversed(journal.runs()) if layout.capture(run.run_id).is_dir() and journal.fills(run.run_id)]
    found = []
    for name in dict.fromkeys(names):
        try:
            found.append(captured_orders(layout, name))
        except ReplayRefused:
            if run_ids:
                raise
    return calibrate(found, codec_of)


def _with(model: FillModel, line: str, **found: object) -> FillModel:
    return msgspec.structs.replace(model, words=(*model.words, line), **found)


def _acknowledgements(model: FillModel, lives: Sequence[_Life], seed: int) -> FillModel:
    waited = np.array([life.waited_ms for life in lives])
    rng, length = np.random.default_rng(seed), _length(len(waited))
    medians = [np.median(waited[rows]) for rows in _drawn(len(waited), length, rng)]
    low, high = (float(value) for value in np.quantile(medians, (0.025, 0.975)))
    found = Estimate(value=float(np.median(waited)), low=low, high=high, n=len(waited))
    p99 = float(np.quantile(waited, 0.99))
    return _with(
        model,
        f"acknowledgement: median {found.words(1)} ms, 1 % above {p99:.1f} ms; orders wait as long",
        acknowledgement_ms=found,
        delays_ms=tuple(waited.tolist()),
    )


def _resting(model: FillModel, lives: Sequence[_Life], seed: int) -> FillModel:
    resting = [life for life in lives if life.is_passive]
    filled = sum(1 for life in resting if life.got[0])
    if filled < FILLS_MIN:
        return _with(model, f"resting orders: {filled} filled, fewer than {FILLS_MIN}: not fitted, queues as set")
    lots = np.array([life.intent.lots for life in resting], np.float64)
    got = np.array([life.got[0] for life in resting]) / lots
    given = {queue: np.array([life.given[queue][0] for life in resting]) / lots for queue in QUEUES}
    queue = min(QUEUES, key=lambda one: _misfit(got, given[one]))
    ratio = _ratio(got, given[queue], seed)
    reached = np.array([life.is_reached for life in resting], np.float64)
    chance = _ratio(got * reached, reached, seed)
    share = min(1.0, ratio.value) if ratio.excludes(1.0) else 1.0
    predicted = ", ".join(f"{one} {values.mean():.0%}" for one, values in given.items())
    model = _with(
        model,
        f"queue: {queue} fits best (of resting lots {got.mean():.0%} filled; the model says {predicted})",
        queue=queue,
        fill_ratio=ratio,
        filled_if_reached=chance,
        passive_share=share,
    )
    says = f"so {share:.0%} of resting orders are filled where it fills them" if share < 1.0 else "nothing is changed"
    return _with(model, f"resting orders filled {ratio.words()} times what the model says: {says}; {chance.words()} of what was reached")


def _misfit(got: Floats, given: Floats) -> float:
    """Return the squares that a model leaves when it may be thinned: which orders fill tells queues apart, how many are missed does not."""
    square = float(given @ given)
    share = min(1.0, float(got @ given) / square) if square else 0.0
    return float(((got - share * given) ** 2).sum())


def _taking(model: FillModel, lives: Sequence[_Life], seed: int) -> FillModel:
    slips = np.array([slip for life in lives if life.is_marketable and (slip := life.slippage_bps()) is not None])
    if len(slips) < FILLS_MIN:
        return _with(model, f"marketable orders: {len(slips)} filled, fewer than {FILLS_MIN}: not fitted, takers pay what is shown")
    found = _ratio(slips, np.ones(len(slips)), seed)
    extra = found.value if found.low > 0.0 else 0.0
    says = "added to the taker's fee" if extra else "nothing is added"
    return _with(
        model, f"marketable orders paid {found.words(3)} bps beyond what was shown: {says}", slippage_bps=found, taker_extra_bps=extra
    )


def _ratio(above: Floats, below: Floats, seed: int) -> Estimate:
    """Return the ratio of two sums over orders with its interval."""
    length = _length(len(above))
    starts = block_starts(len(above), length, _RESAMPLES, seed)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = float(np.float64(above.sum()) / np.float64(below.sum()))
        sums = resampled_sums(np.stack([above, below], axis=1), starts, length)
        low, high = interval(sums[:, 0] / sums[:, 1])
    return Estimate(value=value, low=float(low), high=float(high), n=len(above))


def _length(rows: int) -> int:
    """Return a block's length: the cube root of the rows, and short enough for ten blocks."""
    root = round(np.cbrt(rows))
    return max(1, min(int(root), rows // 10))


def _drawn(rows: int, length: int, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    for _ in range(_RESAMPLES):
        starts = rng.integers(0, rows - length + 1, max(1, round(rows / length)))
        yield (starts[:, None] + np.arange(length)).ravel()


class _Shadow:
    """Fold a run's market again, and let each of its orders meet both models of the queue."""

    def __init__(self, run: CapturedOrders, codec: VenueCodec) -> None:
        start = run.start
        parameters = decode_parameters(start.parameters)
        self._run = run
        self._market = Market(codec, start.instruments, parameters.features, parameters.trust)
        self._views = [KernelDepth(self._market.states, i, partial(self._market.is_synced, i)) for i in range(len(start.instruments))]
        self._entry_ns = int(parameters.execution.entry_timeout_s * _S)
        # Rich enough that no order of the run could be refused for want of money or of what it sells.
        held = tuple(
            PositionReport(instrument=index, quantity=one.quantity(_HELD_LOTS), cost=Decimal(1))
            for index, one in enumerate(start.instruments)
            if one.market is MarketKind.SPOT
        )
        self._venues = {
            queue: PaperVenue(
                start.instruments,
                PaperParameters(latency_ms=0.0, queue=queue, maker_bps=Decimal(0), taker_bps=Decimal(0), leverage=_RICH),
                run_id=queue,
                cash=_RICH,
                positions=held,
            )
            for queue in QUEUES
        }
        self._lives: dict[str, _Life] = {}
        self._open: dict[str, _Life] = {}
        self._trades = [-1] * len(start.instruments)

    def lives(self) -> list[_Life]:
        """Go through the run; return its orders in the order in which the venue took them."""
        for entry in self._run.entries:
            is_moved = self._fold(entry)
            self._reply(entry)
            if self._open and is_moved:
                self._advance(entry)
        return list(self._lives.values())

    def _fold(self, entry: Entry) -> bool:
        market, payload = self._market, entry.payload
        if entry.kind is EntryKind.FRAME:
            market.on_frame(entry)
            return market.is_moved
        if entry.kind is EntryKind.SNAPSHOT:
            market.on_snapshot(entry)
        elif isinstance(payload, Tick):
            market.on_tick(entry.ts_mono_ns)
        elif isinstance(payload, FeedDisconnected):
            market.on_feed_lost(payload.instruments, entry.ts_mono_ns)
        elif isinstance(payload, WarmUpEnded):
            market.on_feed_lost(range(len(market.instruments)), entry.ts_mono_ns)
        elif isinstance(payload, FeedOverflowed):
            market.on_overflow(entry.ts_mono_ns)
        return True

    def _reply(self, entry: Entry) -> None:
        payload = entry.payload
        if isinstance(payload, OrderAccepted):
            self._take(payload.client_order_id, entry)
        elif isinstance(payload, OrderFilled):
            fill = payload.fill
            life = self._take(fill.client_order_id, entry)
            if life is not None:
                life.got[0] += fill.lots
                life.got[1] += fill.lots * fill.price_ticks
        elif isinstance(payload, OrderCanceled | OrderExpired):
            self._end(payload.client_order_id, entry)

    def _take(self, client_order_id: str, entry: Entry) -> _Life | None:
        sent = self._run.sent.get(client_order_id)
        if client_order_id in self._lives or sent is None:
            return self._lives.get(client_order_id)
        rests_ns = self._entry_ns if sent.intent.purpose is Purpose.ENTRY else _PROTECTION_NS
        life = self._lives[client_order_id] = _Life(sent, entry.ts_wall_ns, entry.ts_mono_ns + rests_ns)
        if life.is_passive or life.is_marketable:
            self._open[client_order_id] = life
            for venue in self._venues.values():
                venue.submit(msgspec.structs.replace(sent.intent, reduce_only=False, oco_group=None), entry.ts_mono_ns)
            self._advance(entry)
        return life

    def _end(self, client_order_id: str, entry: Entry) -> None:
        if self._open.pop(client_order_id, None) is not None:
            for venue in self._venues.values():
                venue.cancel(client_order_id, entry.ts_mono_ns)
            self._advance(entry)

    def _advance(self, entry: Entry) -> None:
        event_ns = max(view.last_event_ns for view in self._views)
        for queue, venue in self._venues.items():
            for reply in venue.advance(entry.ts_mono_ns, event_ns, self._views):
                if isinstance(reply, OrderFilled):
                    life = self._lives[reply.fill.client_order_id]
                    life.given[queue][0] += reply.fill.lots
                    life.given[queue][1] += reply.fill.lots * reply.fill.price_ticks
        trades = [view.last_trade() for view in self._views]
        printed = [trade if trade.trade_id != seen else None for trade, seen in zip(trades, self._trades, strict=True)]
        self._trades = [trade.trade_id for trade in trades]
        for client_order_id, life in tuple(self._open.items()):
            life.is_reached = life.is_reached or self._is_reached(life.intent, printed[life.intent.instrument])
            if entry.ts_mono_ns >= life.until_mono_ns and life.got[0] >= life.intent.lots:
                self._end(client_order_id, entry)

    def _is_reached(self, intent: OrderIntent, printed: LastTrade | None) -> bool:
        if intent.price_ticks is None:
            return False
        view, sign = self._views[intent.instrument], intent.side.sign
        touch = view.best_ask_ticks if sign > 0 else view.best_bid_ticks
        seen = [touch] if touch > 0 else []
        if printed is not None and printed.lots > 0:
            seen.append(printed.ticks)
        return any((ticks - intent.price_ticks) * sign <= 0 for ticks in seen)
