"""Watch a run and keep what a report of it needs: prices, regimes, round trips, decisions, forecasts, costs.

Round trips are booked by a portfolio of its own from the fills alone, so a run, its replay and a backtest are told by the same code.
Invariants: it changes nothing; its memory does not grow with the length of the run, but for a few thousand trades; what it tells depends
on the entries and commands alone.
"""

import hashlib
import itertools
from collections.abc import Sequence
from decimal import Decimal

import msgspec
import numpy as np

from smartmoney.core.domain.commands import Command, RecordEquity, RecordRefusal, RecordSignal, SubmitOrder
from smartmoney.core.domain.entries import Entry, FundingPaid, OrderFilled, OrderReply, RunStarted, Tick, WarmUpEnded
from smartmoney.core.domain.instruments import Instrument
from smartmoney.core.domain.orders import Fill, OrderIntent, Purpose
from smartmoney.core.domain.signals import Regime
from smartmoney.core.engine.engine import Engine
from smartmoney.core.engine.stretch import Decided, Glance, Passed, Valued
from smartmoney.core.portfolio.portfolio import ClosedTrade, Portfolio
from smartmoney.learning.evaluation.passed_by import Moments
from smartmoney.learning.matched_null import NullDraws, Stretch, Trade, draw_null
from smartmoney.learning.price_path import PricePath
from smartmoney.runtime.chronicle import (
    PATH_POINTS,
    REGIME_CHANGES_MAX,
    TRIPS_MAX,
    UNKNOWN,
    Chronicle,
    InstrumentChronicle,
    RegimeChange,
    RoundTrip,
    TripSums,
)
from smartmoney.runtime.entry_costs import EntryCosts
from smartmoney.runtime.equity_curve import EquityCurve
from smartmoney.runtime.fill_costs import FillCosts
from smartmoney.runtime.forecast_watch import ForecastWatch
from smartmoney.runtime.funding_sources import FundingSources, added, sources_of

ORDERS_REMEMBERED = 4_096
SIGNAL = "signal"
_STANDING_NS_MAX = 5_000_000_000
"""A regime is taken to stand from one decision to the next, but not over a hole."""


class _Asked(msgspec.Struct, frozen=True):
    """Remember why an order was sent: for an entry its signal, for an exit its reason."""

    signal_id: str = ""
    confidence: float | None = None
    regime: str = UNKNOWN
    reason: str = ""


class _Opened(msgspec.Struct):
    """Follow an open position: when and why it was opened, and its fills as (time, signed lots)."""

    wall_ns: int = 0
    asked: _Asked = _Asked()
    legs: list[tuple[int, int]] = []


class TripBook:
    """Book fills into round trips. `trips` are the first ones, `by_regime` sums all."""

    def __init__(self) -> None:
        self.trips: list[RoundTrip] = []
        self.trades: list[Trade] = []
        """The same as the matched-null test wants them, but for those of which an earlier run made the first fill."""
        self.by_regime: dict[str, TripSums] = {}
        self.exits: dict[str, int] = {}
        self._asked: dict[str, _Asked] = {}
        self._opened: dict[int, _Opened] = {}
        self._instruments: tuple[Instrument, ...] = ()
        self._portfolio: Portfolio

    def start(self, started: RunStarted) -> None:
        """Begin with what the run held."""
        self._instruments = started.instruments
        self._portfolio = Portfolio(started.instruments, started.cash, started.positions)

    def start_with(self, instruments: Sequence[Instrument]) -> None:
        """Begin with nothing held: every fill there ever was will come."""
        self._instruments = tuple(instruments)
        self._portfolio = Portfolio(instruments, Decimal(0))

    def forget_closed(self) -> None:
        """Forget the round trips so far; what is held stays."""
        self.trips.clear()
        self.trades.clear()
        self.by_regime.clear()
        self.exits.clear()

    def asked(self, intent: OrderIntent, *, confidence: float | None, regime: str, reason: str) -> None:
        """Remember why an order is sent."""
        self._asked[intent.client_order_id] = _Asked(intent.signal_id or "", confidence, regime, reason)
        if len(self._asked) > ORDERS_REMEMBERED:
            del self._asked[next(iter(self._asked))]

    def fill(self, fill: Fill, wall_ns: int) -> None:
        """Book a fill."""
        if not 0 <= fill.instrument < len(self._instruments):
            return
        before = self._portfolio.position_lots(fill.instrument)
        closed = self._portfolio.apply(fill)
        after = self._portfolio.position_lots(fill.instrument)
        if closed is not None and before != 0:  # else only dust was closed
            self._close(closed, self._opened.pop(fill.instrument, _Opened()), wall_ns)
        elif fill.instrument in self._opened:
            self._opened[fill.instrument].legs.append((wall_ns, after - before))
        if after != 0 and (before == 0 or before * after < 0):
            self._opened[fill.instrument] = _Opened(wall_ns, self._asked.get(fill.client_order_id, _Asked()), [(wall_ns, after)])

    def _close(self, closed: ClosedTrade, opened: _Opened, wall_ns: int) -> None:
        reason = self._asked.get(closed.closed_by, _Asked()).reason or UNKNOWN
        trip = RoundTrip(
            instrument=self._instruments[closed.instrument].name,
            side=closed.side,
            quantity=float(closed.quantity),
            entry_ns=opened.wall_ns,
            exit_ns=wall_ns,
            entry_price=float(closed.entry_price),
            exit_price=float(closed.exit_price),
            gross=float(closed.gross_profit),
            fees=float(closed.fees),
            net=float(closed.net_profit),
            regime=opened.asked.regime,
            confidence=opened.asked.confidence,
            exit=reason,
            signal_id=opened.asked.signal_id,
        )
        if len(self.trips) < TRIPS_MAX:
            self.trips.append(trip)
            if opened.legs:
                self.trades.append(self._trade(closed, opened, wall_ns))
        self.exits[reason] = self.exits.get(reason, 0) + 1
        sums = TripSums(trips=1, wins=int(trip.net > 0), notional=trip.notional, gross=trip.gross, fees=trip.fees, net=trip.net)
        self.by_regime[trip.regime] = self.by_regime.get(trip.regime, TripSums()).plus(sums)

    def _trade(self, closed: ClosedTrade, opened: _Opened, wall_ns: int) -> Trade:
        # What is left by the last fill is what it closed: fees in base leave dust that was never traded.
        legs = [*opened.legs, (wall_ns, -sum(lots for _, lots in opened.legs))]
        of_a_lot = float(closed.entry_price * self._instruments[closed.instrument].lot_size)
        return Trade(instrument=closed.instrument, legs=tuple((at, lots * of_a_lot) for at, lots in legs))


class Chronicler:
    """Be the watcher of an offline run or of a replay."""

    def __init__(self, moments: Moments | None = None) -> None:
        """Begin; `moments`, if given, are told each decision of the first instrument, and grow with the run."""
        self._moments = moments
        self.costs = FillCosts()
        self._entries = EntryCosts()
        self.equity = EquityCurve()
        self.fundings = FundingSources()
        self._payments: list[tuple[int, float]] = []
        self.first_wall = self.last_wall = 0
        self._trips = TripBook()
        self._forecasts = ForecastWatch()
        self._decisions: dict[str, dict[str, int]] = {}
        self._signals: dict[str, tuple[float, str]] = {}
        self._paths: list[PricePath] = []
        self._mids: list[float | None] = []
        self._passed: list[tuple[int, float]] = []
        self._passed_ns = 0
        self._regimes: list[list[RegimeChange]] = []
        self._decided_ns: list[int] = []
        self._stood_s: dict[str, float] = {}
        self._instruments: tuple[Instrument, ...] = ()
        self._tick_sizes: list[float] = []
        self._engine: Engine

    def use(self, engine: Engine) -> None:
        """Say whose book, regimes and orders are meant."""
        self._engine = engine
        self.costs.use(engine)
        self._entries.use(engine)

    def append(self, entry: Entry) -> None:
        """See an entry before the engine does."""
        payload = entry.payload
        if type(payload) is Tick:
            if not self._engine.is_warming:
                self.last_wall = entry.ts_wall_ns
                self._keep_passed()
                self._look(entry.ts_wall_ns)
            return
        if isinstance(payload, RunStarted):
            self._start(payload)
        if isinstance(payload, (RunStarted, WarmUpEnded)):
            self.first_wall = self.last_wall = entry.ts_wall_ns
        elif self._engine.is_warming and not isinstance(payload, OrderReply):
            return  # the past before the run: nothing was decided in it, and only the account's own news are of now
        self.last_wall = entry.ts_wall_ns
        self.costs.append(entry)
        self._entries.append(entry)
        if isinstance(payload, OrderFilled):
            self._trips.fill(payload.fill, entry.ts_wall_ns)
        elif isinstance(payload, FundingPaid):
            self.fundings = added((self.fundings, sources_of((payload.reference,))))
            if len(self._payments) < TRIPS_MAX:
                self._payments.append((entry.ts_wall_ns, float(payload.amount)))

    def pass_over(self, passed: Passed) -> None:
        """See that frames and ticks went by of which nothing came but refusals.

        Those ticks are looked at, the one before each round of them, and the last.
        """
        decided = passed.decided
        first, count = 0, len(decided)
        while first < count:
            round_ns, end = decided[first].wall_ns, first + 1
            while end < count and decided[end].wall_ns == round_ns:
                end += 1
            self._see_round(round_ns, decided[first:end])
            first = end
        for index in {one.refusal.instrument for one in decided if type(one) is Decided and one.offer is not None}:
            self._forecasts.heard(index, self._engine.brain.desk.opportunities(index))
        if passed.frames:
            self.last_wall = max(self.last_wall, passed.last_wall_ns)
        ticked_ns = passed.ticked_wall_ns
        if ticked_ns is not None:
            self.last_wall = max(self.last_wall, ticked_ns)
            mids = [(one.instrument, self._mid(one.instrument, one.bid_ticks, one.ask_ticks)) for one in passed.ticked]
            self._passed = [(index, mid) for index, mid in mids if mid is not None]
            self._passed_ns = ticked_ns
            self._forecasts.look(self._mids, ticked_ns)

    def _see_round(self, now_ns: int, passed: Sequence[Decided | Valued]) -> None:
        """Look at what was seen of all instruments at a tick, and the one before it; then take what came of it."""
        one, forecasts, mids = passed[0], self._forecasts, self._mids
        self._keep_passed(is_before=one.before_ns is None)
        # Where equity is noted, that comes first.
        glances: Sequence[Glance | Decided] = one.glances if type(one) is Valued else passed  # type: ignore[assignment]
        if one.before_ns is not None:
            for index, at in enumerate(glances):
                if at.bid_before > 0:
                    self._see(index, at.bid_before, at.ask_before, one.before_ns)
            forecasts.look(mids, one.before_ns)
        self.last_wall = now_ns
        for index, at in enumerate(glances):
            self._see(index, at.bid_ticks, at.ask_ticks, now_ns)
        forecasts.look(mids, now_ns)
        for each in passed:
            if type(each) is Decided:
                index, offer = each.refusal.instrument, each.offer
                if offer is not None:
                    forecasts.offered(index, offer.horizon_s, offer.sign, offer.confidence, mids[index], now_ns)
                self._note_decision(index, each.refusal.code.value, each.label, each.probability)
                self._tell_moment(index, each.refusal.code.value, 0 if offer is None else offer.sign)
            elif type(each) is Valued and each.equity is not None:
                self.equity.add(now_ns, float(each.equity))

    def settled(self) -> None:
        """See which entries have ended with a step: later their market has moved on, inside a stretch by far."""
        self._entries.look()

    def asked(self, command: Command, mono_ns: int) -> None:
        """See a command, after the step that gave it."""
        if isinstance(command, RecordRefusal):
            self._decided(command.refusal.instrument, str(command.refusal.code))
            return
        self.costs.asked(command, mono_ns)
        self._entries.asked(command, mono_ns)
        if isinstance(command, RecordEquity):
            self.equity.add(self.last_wall, float(command.equity))
        elif isinstance(command, RecordSignal):
            regime = self._decided(command.instrument, SIGNAL)
            self._signals[command.signal.signal_id] = (command.signal.confidence, regime)
            if len(self._signals) > ORDERS_REMEMBERED:
                del self._signals[next(iter(self._signals))]
        elif isinstance(command, SubmitOrder):
            self._ordered(command.approved.intent)

    def told(self, name: str) -> Chronicle:
        """Return what there is to tell; `name` seeds the random trades of the matched-null test, so that stretches differ."""
        self._keep_passed()
        return Chronicle(
            start_ns=self.first_wall,
            end_ns=self.last_wall,
            quote=self._instruments[0].quote if self._instruments else "",
            instruments=tuple(
                InstrumentChronicle(name=instrument.name, path=tuple(path.thinned(PATH_POINTS)), regimes=tuple(regimes))
                for instrument, path, regimes in zip(self._instruments, self._paths, self._regimes, strict=True)
            ),
            trips=tuple(self._trips.trips),
            by_regime=self._by_regime(),
            exits=dict(sorted(self._trips.exits.items())),
            decisions={code: dict(sorted(by.items())) for code, by in sorted(self._decisions.items())},
            costs=dict(sorted(self.costs.sums.items())),
            entries=self._entries.told(),
            forecasts=self._forecasts.told(),
            null=self._null(name),
            payments=tuple(self._payments),
        )

    def _by_regime(self) -> dict[str, TripSums]:
        trips = self._trips.by_regime
        return {
            regime: msgspec.structs.replace(trips.get(regime, TripSums()), seconds=self._stood_s.get(regime, 0.0))
            for regime in sorted({*trips, *self._stood_s})
        }

    def _start(self, started: RunStarted) -> None:
        self._instruments = started.instruments
        self._tick_sizes = [float(one.tick_size) for one in started.instruments]
        self._trips.start(started)
        count = len(started.instruments)
        self._paths = [PricePath() for _ in range(count)]
        self._mids = [None] * count
        self._regimes = [[] for _ in range(count)]
        self._decided_ns = [0] * count

    def _look(self, now_ns: int) -> None:
        market = self._engine.market
        for index in range(len(self._instruments)):
            self._see(index, *market.touch(index), now_ns)
        self._forecasts.look(self._mids, now_ns)

    def _see(self, index: int, bid: int, ask: int, now_ns: int) -> None:
        if (mid := self._mid(index, bid, ask)) is not None:
            self._paths[index].add(now_ns, mid)

    def _mid(self, index: int, bid: int, ask: int) -> float | None:
        if not 0 < bid <= ask:
            self._mids[index] = None
            return None
        middle = 0.5 * (bid + ask)
        self.costs.note_mid(index, middle)
        mid = self._mids[index] = middle * self._tick_sizes[index]
        return mid

    def _keep_passed(self, *, is_before: bool = True) -> None:
        """Take the last tick of the latest stretch into the paths where it is the one before a tick that is looked at.

        Elsewhere it is the last one by chance: paths would tell where blocks of frames end.
        """
        for index, mid in self._passed if is_before else ():
            self._paths[index].add(self._passed_ns, mid)
        self._passed = []

    def _decided(self, index: int, code: str) -> str:
        """Take a decision and its forecasts; return the regime in which it was taken."""
        desk = self._engine.brain.desk
        reading, offers = desk.regime(index), desk.opportunities(index)
        self._forecasts.said(index, offers, self._mids[index], self.last_wall)
        self._tell_moment(index, code, offers[0].side.sign if offers else 0)
        if reading is None:
            return self._note_decision(index, code, None, 0.0)
        return self._note_decision(index, code, reading.label, reading.probability)

    def _tell_moment(self, index: int, code: str, sign: int) -> None:
        if self._moments is not None and index == 0:
            self._moments.note(self.last_wall, code, sign)

    def _note_decision(self, index: int, code: str, label: Regime | None, probability: float) -> str:
        """Count a decision and note the regime in which it was taken."""
        regime = UNKNOWN if label is None else label.value
        by = self._decisions.setdefault(code, {})
        by[regime] = by.get(regime, 0) + 1
        changes = self._regimes[index]
        elapsed = self.last_wall - self._decided_ns[index]
        if changes and elapsed > 0:
            stood = changes[-1].label
            self._stood_s[stood] = self._stood_s.get(stood, 0.0) + min(elapsed, _STANDING_NS_MAX) / 1e9
        self._decided_ns[index] = self.last_wall
        if label is not None and (not changes or changes[-1].label != regime):
            changes.append(RegimeChange(self.last_wall, regime, probability))
            if len(changes) > REGIME_CHANGES_MAX:
                self._regimes[index] = without_shortest(changes)
        return regime

    def _ordered(self, intent: OrderIntent) -> None:
        confidence, regime = self._signals.get(intent.signal_id or "", (None, UNKNOWN))
        reason = intent.purpose.value
        exit_plan = self._engine.executor.plan(intent.instrument).exit
        if exit_plan is not None and intent.purpose is Purpose.EXIT:
            reason = exit_plan.reason
        self._trips.asked(intent, confidence=confidence, regime=regime, reason=reason)

    def _null(self, name: str) -> NullDraws:
        known = [path for path in self._paths if len(path)]
        if not known or not self._trips.trades:
            return NullDraws()
        step_ns = max(path.step_ns for path in known)
        for path in known:
            path.coarsen(step_ns)
        origin_ns = min(path.origin_ns for path in known)
        ends = [(path.origin_ns - origin_ns) // step_ns + len(path) for path in known]
        mids = np.full((len(self._paths), max(ends)), np.nan)
        for row, path in zip(mids, self._paths, strict=True):
            first = (path.origin_ns - origin_ns) // step_ns if len(path) else 0
            row[first : first + len(path)] = path.mids
        seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
        return draw_null(Stretch(origin_ns=origin_ns, step_ns=step_ns, mids=mids), self._trips.trades, seed=seed)


def without_shortest(changes: list[RegimeChange]) -> list[RegimeChange]:
    """Return about half of the changes: spells no longer than the median are taken to be a part of what stood before them."""
    lengths = [later.at_ns - one.at_ns for one, later in itertools.pairwise(changes)]
    median = sorted(lengths)[len(lengths) // 2]
    kept = [changes[0]]
    for one, length in zip(changes[1:-1], lengths[1:], strict=True):
        if length > median and one.label != kept[-1].label:
            kept.append(one)
    return kept if changes[-1].label == kept[-1].label else [*kept, changes[-1]]
