"""Hold one oracle world as a market: its public rows, its truth, and the reader that gets the oracle's events back out of public rows."""

from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt

from smartmoney.core.domain.instruments import Market
from smartmoney.simulation import flow, ladder, oracle_flow
from smartmoney.simulation.market import Rows, SimulatedBook, instrument_of
from smartmoney.simulation.oracle_world import ASK_LEFT, ASK_REFILLED, BID_LEFT, BID_REFILLED, OracleWorld
from smartmoney.simulation.scenario import FIRST_RUN

PUBLIC_KINDS = (ladder.TRADE, ladder.LEVEL, ladder.TOUCH)
_FIRST_UPDATE, _FIRST_TRADE = 1_000_000, 1_000_000
_ONE_BP = Decimal("0.0001")


class OracleBook(SimulatedBook):
    """Run one oracle world on one perpetual market; public rows, snapshots and touch are those of any simulated book."""

    def __init__(self, world: OracleWorld, seed: int, *, under_h1: bool, side: int = 0, symbol: str = "BTCUSDT") -> None:
        profile = FIRST_RUN.profile(symbol)
        self.instrument = instrument_of(profile, Market.USDM)
        self.now_ns = 0
        self.worlds = np.zeros(1, flow.WORLD)
        starts_ns = round(world.warm_s * 1e9)
        ends_ns = starts_ns + round(world.window_s * 1e9)
        self.flows = oracle_flow.open_flow(world, seed, under_h1=under_h1, side=side, starts_ns=starts_ns, ends_ns=ends_ns)
        self.flows["lots_per_unit"] = float(profile.unit / self.instrument.lot_size)
        self.flows["ticks_per_bp"] = float(profile.price * _ONE_BP / self.instrument.tick_size)
        anchor = int(profile.price / self.instrument.tick_size)
        oracle_flow.open_book(self.worlds[0], self.flows, anchor, 1)
        self.worlds["update_id"], self.worlds["trade_id"] = _FIRST_UPDATE, _FIRST_TRADE
        self.worlds["efficient"] = self.worlds["reference"] = float(anchor)
        # No latent world and no clients here: `truth` and `client_rows` have nothing to tell, `events` does.
        self._truth: list[Rows] = []
        self._client: list[Rows] = []
        self._buffer = np.zeros((oracle_flow.EVENT_ROWS, 4), np.int64)
        self._events: list[Rows] = []

    def advance(self, to_ns: int) -> Rows:
        """Run to a time and return the public rows that happened (their owner columns are for `events`, not for readers).

        Raises:
            AssertionError: a taker found no book, or more refills were due than the world has room for.
        """
        parts = []
        done = False
        while not done:
            done = oracle_flow.run(self.worlds[0], self.flows, to_ns, self._buffer)
            parts.append(self.worlds["out"][0, : int(self.worlds["out_len"][0])].copy())
            self._events.append(self._buffer[: int(self.flows["len"][0])].copy())
            self.worlds["out_len"] = 0
            self.flows["len"] = 0
        if self.flows["fault"][0]:
            raise AssertionError(f"oracle world broken: fault {int(self.flows['fault'][0])} at {to_ns} ns")
        self.now_ns = max(self.now_ns, to_ns)
        rows = np.concatenate(parts)
        return np.asarray(rows[np.isin(rows[:, ladder.KIND], PUBLIC_KINDS)], np.int64)

    def events(self) -> Rows:
        """Return, and forget, the events as the generator made them: time, kind, owner, parent. Owner and parent are truth."""
        found = np.concatenate(self._events) if self._events else np.zeros((0, 4), np.int64)
        self._events.clear()
        return found


def events_of_flow(flows: npt.NDArray[Any], to_ns: int, buffer: Rows) -> Rows:
    """Run a generator without a book to a time and return its events."""
    nowhere = _no_book()
    parts = []
    done = False
    while not done:
        done = oracle_flow.run(nowhere, flows, to_ns, buffer)
        parts.append(buffer[: int(flows["len"][0])].copy())
        flows["len"] = 0
    if flows["fault"][0]:
        raise AssertionError(f"oracle world broken: fault {int(flows['fault'][0])}")
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


_NOWHERE: list[npt.NDArray[Any]] = []


def _no_book() -> Any:
    # The kernel's signature has a book in it; one that is never touched serves every generator without one.
    if not _NOWHERE:
        _NOWHERE.append(np.zeros(1, flow.WORLD))
    return _NOWHERE[0][0]


def public_events(rows: Rows, world: OracleWorld, until_ns: int) -> Rows:
    """Return the oracle's events up to a time, as rows of (time, kind), from what was public until then.

    A taker's order is the prints that share its id. In an iceberg world a fixed time after it either a level of the eaten side grows,
    in that very nanosecond, or nothing does.
    """
    trades = rows[rows[:, ladder.KIND] == ladder.TRADE]
    first = np.flatnonzero(np.r_[True, trades[1:, ladder.TAKER] != trades[:-1, ladder.TAKER]]) if len(trades) else np.zeros(0, np.int64)
    orders = trades[first][:, [ladder.TIME, ladder.SIDE]]
    if world.kind != "iceberg":
        return np.asarray(orders, np.int64)
    due = orders[:, 0] + round(world.refill_after_ms * 1e6)
    known = due <= until_ns
    levels = rows[rows[:, ladder.KIND] == ladder.LEVEL]
    eaten = 1 - orders[:, 1]
    # Time and side in one number: a refill is a level change of the eaten side at exactly the due time.
    filled = np.isin(due * 2 + eaten, levels[:, ladder.TIME] * 2 + levels[:, ladder.SIDE])
    kinds = np.where(eaten == 0, np.where(filled, BID_REFILLED, BID_LEFT), np.where(filled, ASK_REFILLED, ASK_LEFT))
    events = np.concatenate([orders, np.column_stack([due, kinds])[known]])
    return np.asarray(events[np.argsort(events[:, 0], kind="stable")], np.int64)
