"""Quiet decisions between the engine and the compiled rounds that take them (`core.models.quiet`).

Invariants: what follows from a round is what would follow from `StrategyDesk.decide` at its tick, in the same order; rounds are taken only
for the built-in strategy, with a bundle or the prior, whose answers are known beforehand where they lead to no order.
"""

import math
from collections.abc import Iterator
from decimal import Decimal
from struct import Struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smartmoney.core.book.stretch import NEVER, NOTHING
from smartmoney.core.domain.commands import RecordRefusal, encode_command
from smartmoney.core.domain.instruments import Instrument
from smartmoney.core.domain.signals import Refusal, Regime
from smartmoney.core.engine.stretch import Decided, Glance, Offer, Valued
from smartmoney.core.execution.executor import Executor
from smartmoney.core.features.schema import COLUMNS, FEATURE_INDEX
from smartmoney.core.models.following import HOLDING, MISSING, NOTHING_OFFERED, TERMS
from smartmoney.core.models.layout import MIND, forget, nothing_to_decide
from smartmoney.core.models.quiet import LOG, LOG_MAX, SCREEN, SCREEN_FIELDS, VALUED, WATCHED
from smartmoney.core.strategy import following
from smartmoney.core.strategy.desk import StrategyDesk
from smartmoney.core.strategy.feature_row import FeatureRow
from smartmoney.core.strategy.gates import PRICES_AND_COST
from smartmoney.core.strategy.model import PriorModel
from smartmoney.core.strategy.trained import TrainedModel

_REGIMES = tuple(Regime)
_NAMES = [name for name, _ in SCREEN_FIELDS]
_TELL = Struct(f"<{_NAMES.index('cash')}qd")
_HEAR = Struct(f"<{_NAMES.index('cash')}q")
_LOGGED = Struct("<" + "".join({"i": "q", "f": "d"}[LOG[name].kind] for name in LOG.names or ()))
"""A record of the log, all of whose fields are eight bytes wide: to unpack one is four times as fast as numpy's `tolist`."""
_WATCHED = Struct("<2q" + "".join({"<i8": "q", "<f8": "d"}[kind] for _, kind in HOLDING))
_NOTHING_HELD = (False, 0, 0, 0.0)


class QuietDesk:
    """Own the records through which compiled rounds decide, for one model; a `desk` that has none to offer gets no rounds."""

    def __init__(
        self,
        desk: StrategyDesk,
        instruments: tuple[Instrument, ...],
        *,
        round_trip: tuple[float, float],
        interval_ns: int,
        slack_ns: int,
        value_every_ns: int,
    ) -> None:
        """Take over the desk's states of its model, which has not decided yet; `round_trip` is its cost: fees in bps, spreads crossed.

        Rounds are due every `interval_ns`, by `slack_ns` early at most; equity is noted every `value_every_ns`.
        """
        count = len(instruments)
        self._desk = desk
        self._model = desk.plain_model()
        self._screen = np.zeros(1, SCREEN)
        self._watched = np.zeros(count, WATCHED)
        self._log = np.zeros(LOG_MAX * count, LOG)
        self._rows = np.full((1 + count, len(COLUMNS)), np.nan)
        self._told: Any = self._screen.view(np.uint8)
        self._known: Any = self._watched.view(np.uint8)
        self._logged: Any = self._log.view(np.uint8)
        self._commands: dict[tuple[int, int], tuple[Refusal, bytes]] = {}
        self._stale_ns = -1
        self._fees_bps, self._crossed_spreads = round_trip
        self._inputs = (*PRICES_AND_COST, *desk.inputs)
        self._held: list[tuple[bool, int, int, float]] = [_NOTHING_HELD] * count
        self._quantities: list[Decimal | None] = [None] * count
        self._cash: tuple[Decimal | None, float] = (None, 0.0)
        self._value_ns = NEVER
        self.model = nothing_to_decide()
        minds, wides, picks = np.zeros(count, MIND), np.zeros((count, 2, 0), np.float32), np.zeros(0, np.int64)
        forget(minds)
        self._states: list[Any] = [None] * count
        """Of the model, by instrument; the prior's are as of the latest time that they were saved to, or loaded from, their records."""
        if self._model is not None:
            if isinstance(self._model, TrainedModel):
                self._states, wides = self._model.fresh_states(minds)
            desk.settle_in([self._model.fresh_state() if state is None else state for state in self._states])
            picks = np.array([FEATURE_INDEX[name] for name in desk.inputs], np.int64)
            screen = self._screen[0]
            screen["slack_ns"], screen["interval_ns"], screen["pause_ns"] = slack_ns, interval_ns, desk.analysis_pause_ns
            screen["value_every_ns"] = value_every_ns
            screen["spread_at"] = FEATURE_INDEX["spread_bps"]
            screen["fees_bps"], screen["crossed_spreads"] = round_trip
            if isinstance(self._model, TrainedModel):
                self.model, screen["tradable"] = self._model.arguments, self._model.tradable
            screen["least"] = desk.parameters.engine.confidence_threshold
            for name, value in following.numbers(desk).items():
                screen[name] = value
        self._watched[[name for name, _ in TERMS]] = [following.terms(one) for one in instruments]
        self._minds = minds
        self.records: tuple[NDArray[Any], ...] = (self._screen, self._watched, self._log, picks, self._rows, minds, wides)
        """What `take_round` calls the desk."""

    @property
    def is_on(self) -> bool:
        """Tell whether the desk still decides as it did when this was made."""
        return self._model is not None and self._desk.model is self._model

    @property
    def due_ns(self) -> int:
        """Return when the next round is due, on our wall clock."""
        return int(_HEAR.unpack_from(self._told)[1])

    def hold(self, executor: Executor, *, may_follow: bool, value_ns: int) -> None:
        """Say what is held, and what works.

        `may_follow`: equity is known, and entries have their full size; `value_ns`: when it is to be noted next, monotonic.
        """
        self._value_ns = value_ns
        portfolio = executor.portfolio
        if portfolio.cash is not self._cash[0]:
            self._cash = portfolio.cash, float(portfolio.cash)
        for index, was in enumerate(self._held):
            quantity, lots = portfolio.position(index).quantity, portfolio.position_lots(index)
            base = was[-1] if quantity is self._quantities[index] else float(quantity)
            self._quantities[index] = quantity
            self._held[index] = may_follow, lots, executor.working_lots(index), base

    def tell(self, due_ns: int | None, trusted_ns: int, stale_ns: int, origin_ns: int) -> None:
        """Prepare the records for a stretch. Times are monotonic; `due_ns` None: no rounds."""
        is_on = due_ns is not None and self.is_on
        times = (due_ns or 0) + origin_ns, trusted_ns + origin_ns
        value_ns = self._value_ns + origin_ns if is_on else NEVER
        _TELL.pack_into(self._told, 0, is_on, *times, 0, NOTHING, NOTHING, value_ns, self._cash[1])
        if not is_on:
            return
        if stale_ns != self._stale_ns:
            self._stale_ns = stale_ns
            self._screen["stale_ns"] = stale_ns
        for index, (state, is_known, analysed_ns) in enumerate(self._desk.analysed()):
            if isinstance(self._model, PriorModel) and state is not self._states[index]:
                self._model.save(state, self._minds[index : index + 1])
                self._states[index] = state
            _WATCHED.pack_into(self._known, index * WATCHED.itemsize, is_known, analysed_ns + origin_ns, *self._held[index])

    def hear(self, origin_ns: int) -> tuple[Decided | Valued, ...]:
        """Return what came of the ticks of the latest stretch, and let the desk have come to its decisions."""
        _, _, _, count, asked, *_ = _HEAR.unpack_from(self._told)
        if not count:
            return ()
        decided = tuple(self._read(_LOGGED.iter_unpack(self._logged[: count * _LOGGED.size])))
        analysed = [ns - origin_ns if known else None for known, ns, *_ in self._watched.tolist()]
        rows = [FeatureRow(row) for row in self._rows[1:].tolist()]
        costs = [self._fees_bps + self._crossed_spreads * row["spread_bps"] for row in rows]
        said = [(str(one.label), one.signalled) for one in decided if type(one) is Decided and one.is_asked and one.label is not None]
        if isinstance(self._model, PriorModel):
            self._states = [self._model.load(self._minds[index : index + 1]) for index in range(len(self._minds))]
        self._desk.passed_by(said, self._states, analysed, asked if asked != NOTHING else None, rows, costs)
        return decided

    def _read(self, rows: Iterator[tuple[Any, ...]]) -> Iterator[Decided | Valued]:
        glances: list[Glance] = []
        for row in rows:
            entries, tick_ns, before_ns, instrument, code, missing, value, limit, sized, head, sign, confidence, label, *rest = row
            probability, bid, ask, bid_before, ask_before = rest
            before = None if before_ns == NOTHING else before_ns
            if code == VALUED:
                glances.append(Glance(bid, ask, bid_before, ask_before))
                if len(glances) == len(self._held):
                    yield Valued(entries=entries, wall_ns=tick_ns, before_ns=before, glances=tuple(glances))
                    glances.clear()
                continue
            if code in {MISSING, NOTHING_OFFERED}:
                refusal, body = self._plain(instrument, missing)
            else:
                refusal = following.refusal(code, instrument, value, limit)
                body = encode_command(RecordRefusal(refusal=refusal))
            is_offer = code != MISSING and head != NOTHING
            yield Decided(
                entries=entries,
                wall_ns=tick_ns,
                refusal=refusal,
                body=body,
                is_asked=code != MISSING,
                offer=Offer(horizon_s=self._horizon_s(head), sign=sign, confidence=confidence) if is_offer else None,
                signalled=sized if is_offer and not math.isnan(sized) else None,
                label=None if label == NOTHING else _REGIMES[label],
                probability=probability,
                bid_ticks=bid,
                ask_ticks=ask,
                before_ns=before,
                bid_before=bid_before,
                ask_before=ask_before,
            )

    def _horizon_s(self, head: int) -> float:
        assert self._model is not None
        return self._model.horizons_s[head]

    def _plain(self, instrument: int, missing: int) -> tuple[Refusal, bytes]:
        """Return a refusal without numbers, of which a run has few kinds, and its command."""
        known = self._commands.get((instrument, missing))
        if known is None:
            given = following.nothing_offered(instrument) if missing == NOTHING else following.not_warm(instrument, self._inputs[missing])
            known = self._commands[instrument, missing] = given, encode_command(RecordRefusal(refusal=given))
        return known
