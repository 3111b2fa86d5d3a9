"""Hold a whole synthetic venue: every symbol's spot and perpetual market, advanced in simulated time.

Pure and seeded: the same seed, symbols and times give the same rows, bit for bit, however the time is cut into steps. Time is
nanoseconds since the market began; wall clocks belong to whoever drives it. What a venue would publish and what is known of it besides
(owners, parents) come apart here: `advance` returns public rows, `truth` the rest.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.simulation import client_orders, flow, ladder
from smartmoney.simulation.client_orders import STOP_ON_FAILURE, NewOrder, Placed, PlacedList, PlacedPair, Replaced
from smartmoney.simulation.entry import untie
from smartmoney.simulation.fair import memory_of
from smartmoney.simulation.invariants import CLIENT_POSITION, VIOLATIONS, check, check_quickly
from smartmoney.simulation.matching import amend, cancel
from smartmoney.simulation.random import seed_stream
from smartmoney.simulation.scenario import FIRST_RUN, Scenario, SymbolProfile, parameters

Rows = npt.NDArray[np.int64]
Found = TypeVar("Found")
MINUTE_NS = 60_000_000_000

_FIRST_IDS = {Market.SPOT: (35_000_000_000, 3_700_000_000, 1), Market.USDM: (5_123_000_000_000, 5_266_000_000, 24)}
"""First update id, first trade id, stride of update ids (futures symbols share one id space, so a symbol's ids have holes)."""


class Depth(msgspec.Struct, frozen=True):
    """Be a book at one update id: rows of (ticks, lots), best first."""

    update_id: int
    bids: Rows
    asks: Rows


class SimulatedBook:
    """Run one market of one symbol."""

    def __init__(self, instrument: Instrument, profile: SymbolProfile, seed: int, scenario: Scenario = FIRST_RUN) -> None:
        self.instrument = instrument
        self.now_ns = 0
        self.worlds = np.zeros(1, flow.WORLD)
        world = self.worlds[0]
        tick, lot = instrument.tick_size, instrument.lot_size
        world["anchor_ticks"] = float(profile.price / tick)
        world["ticks_per_bp"] = float(profile.price / tick / 10_000)
        world["lots_per_unit"] = float(profile.unit / lot)
        for name, value in parameters(scenario, profile.activity).items():
            if name.startswith("makers_layers"):
                world[name][: len(value)] = value
            else:
                world[name] = value
        world["maker_count"] = len(scenario.makers.layers_bps)
        world["basis_sd"] = scenario.price.basis_sd_bps if instrument.market is Market.USDM else 0.0
        impact = scenario.impact
        world["impact_weights"], world["impact_kept"] = memory_of(impact.memory_exponent, impact.shortest_s, impact.longest_s)
        salt = int.from_bytes(instrument.symbol.encode()[:7], "big")
        seed_stream(world["latent_words"], seed, salt)
        seed_stream(world["words4"], seed, salt + (1 << 60 if instrument.market is Market.SPOT else 1 << 61))
        update_id, trade_id, stride = _FIRST_IDS[instrument.market]
        flow.begin(world, stride, trade_id, update_id)
        self._fresh: list[Rows] = []
        self._truth: list[Rows] = []
        self._client: list[Rows] = []
        self._client_positions = np.zeros(ladder.OWNERS, np.int64)

    def advance(self, to_ns: int) -> Rows:
        """Run to a time and return the public rows that happened since the last call (columns: see `ladder`). Cost: about 1 µs an event.

        Raises:
            AssertionError: an invariant of the book is broken, as checked once each simulated minute.
        """
        done = False
        while not done:
            done = flow.run(self.worlds, 0, to_ns)
            self._drain()
        if self.now_ns // MINUTE_NS != to_ns // MINUTE_NS:
            self._assert_sound()
        self.now_ns = max(self.now_ns, to_ns)
        rows = _joined(self._fresh)
        self._fresh.clear()
        return rows

    def place(self, order: NewOrder) -> Placed:
        """Place a client's order of any kind, now."""
        return self._act(client_orders.place, order)

    def place_oco(self, first: NewOrder, second: NewOrder) -> PlacedPair:
        """Place a pair of which the first that trades or triggers ends the other."""
        return self._act(client_orders.place_pair, first, second)

    def place_otoco(self, working: NewOrder, first: NewOrder, second: NewOrder) -> PlacedList:
        """Place a working limit order and a pair that is placed once the working order has been filled whole."""
        return self._act(client_orders.place_list, working, first, second)

    def untie(self, order_id: int) -> int:
        """Let a working order go on alone, without the pair behind it; return its id, or `matching.UNKNOWN_ORDER` if none waits."""
        return int(self._act(untie, order_id))

    def cancel(self, order_id: int) -> int:
        """Withdraw an order and what is tied to it; return the lots that were left of it, or `matching.UNKNOWN_ORDER`."""
        return int(self._act(cancel, order_id))

    def amend(self, order_id: int, lots_left: int) -> int:
        """Leave a resting order fewer lots and its place in the queue; return them, or a refusal."""
        return int(self._act(amend, order_id, lots_left))

    def replace(self, order_id: int, order: NewOrder, mode: int = STOP_ON_FAILURE) -> Replaced:
        """Cancel an order and place another, with nothing in between; `mode` says whether a failed cancel stops it."""
        return self._act(client_orders.replace, order_id, order, mode)

    def position(self, owner: int) -> int:
        """Return the lots that an owner has bought less those that it has sold in this book."""
        return int(self.worlds["position"][0, owner])

    def tell(self) -> None:
        """Tell everything from now on: a truth bar every second, and whose each event was. Public rows stay the same."""
        self.worlds["tells"] = 1

    def truth(self) -> Rows:
        """Return, and forget, what nobody outside knows: rows of kinds 8 to 15 and, while the book tells, order rows and all trades."""
        found = _joined(self._truth)
        self._truth.clear()
        return found

    def client_rows(self) -> Rows:
        """Return, and forget, the order rows of clients and the trades in which one takes part."""
        found = _joined(self._client)
        self._client.clear()
        return found

    def _act(self, act: Callable[..., Found], *arguments: object) -> Found:
        """Let somebody outside do something at the present time; its rows are published by the next `advance`."""
        world = self.worlds[0]
        world["now"] = self.now_ns
        found = act(world, *arguments)
        done = False
        while not done:
            done = flow.settle_outside(self.worlds, 0)
            self._drain()
        self._assert_sound()
        return found

    def _drain(self) -> None:
        """Empty the book's rows and sort them by who may see them."""
        world = self.worlds[0]
        rows = world["out"][: world["out_len"]].copy()
        world["out_len"] = 0
        world["rows_seen"] = 0
        if not len(rows):
            return
        kinds = rows[:, ladder.KIND]
        is_public = kinds < ladder.PARENT_STARTED
        is_order = kinds >= ladder.ORDER_RESTED
        is_traded_or_order = (kinds == ladder.TRADE) | is_order
        owners = np.maximum(rows[:, ladder.MAKER_OWNER], rows[:, ladder.TAKER_OWNER])
        is_clients = is_traded_or_order & (owners >= ladder.FIRST_CLIENT)
        self._count_positions(rows[is_clients & is_public])
        is_truth = (~is_public & ~is_order) | (is_traded_or_order if world["tells"] else False)
        for is_chosen, kept in ((is_public, self._fresh), (is_clients, self._client), (is_truth, self._truth)):
            if is_chosen.any():
                kept.append(rows[is_chosen])

    def _count_positions(self, trades: Rows) -> None:
        """Sum up clients' trades from the rows alone, to hold against the positions that the engine keeps."""
        bought = np.where(trades[:, ladder.SIDE] == ladder.BID, trades[:, ladder.LOTS], -trades[:, ladder.LOTS])
        np.add.at(self._client_positions, trades[:, ladder.TAKER_OWNER], bought)
        np.subtract.at(self._client_positions, trades[:, ladder.MAKER_OWNER], bought)

    def _assert_sound(self) -> None:
        fault = int(check_quickly(self.worlds[0]))
        if not fault and (self.worlds["position"][0, ladder.FIRST_CLIENT :] != self._client_positions[ladder.FIRST_CLIENT :]).any():
            fault = CLIENT_POSITION
        if fault:
            name = f"{self.instrument.symbol} {self.instrument.market.value}"
            raise AssertionError(f"the book of {name} is broken at {self.now_ns} ns: {VIOLATIONS[fault]}")

    def snapshot(self, limit: int) -> Depth:
        """Return the book now, at most `limit` levels a side."""
        sides = []
        for side in (ladder.BID, ladder.ASK):
            ticks, lots = np.zeros(limit, np.int64), np.zeros(limit, np.int64)
            count = ladder.top(self.worlds[0], side, limit, ticks, lots)
            sides.append(np.column_stack((ticks[:count], lots[:count])))
        return Depth(self.update_id, sides[0], sides[1])

    @property
    def update_id(self) -> int:
        """Return the id of the last level change."""
        return int(self.worlds["update_id"][0])

    @property
    def touch(self) -> tuple[int, int, int, int]:
        """Return bid tick, bid lots, ask tick, ask lots; ticks are -1 where a side is empty."""
        bid, bid_lots, ask, ask_lots = self.worlds["touch"][0].tolist()
        return bid, bid_lots, ask, ask_lots

    @property
    def last_tick(self) -> int:
        """Return the last trade's tick, -1 before the first."""
        return int(self.worlds["last_trade"][0])

    @property
    def efficient_ticks(self) -> float:
        """Return the latent efficient price, in ticks. Truth: it knows the news that the public will learn."""
        return float(self.worlds["efficient"][0])

    @property
    def index_ticks(self) -> float:
        """Return what the public has learned of the efficient price, in ticks: the index that a perpetual's mark price is made of."""
        return float(self.worlds["reference"][0])

    @property
    def fault(self) -> int:
        """Return 0, or the number of the invariant that is broken (`invariants.VIOLATIONS`)."""
        return int(check(self.worlds[0]))


class SyntheticMarket:
    """Run every symbol's spot and perpetual book on one clock."""

    def __init__(
        self,
        seed: int,
        scenario: Scenario = FIRST_RUN,
        symbols: Sequence[str] | None = None,
        markets: Sequence[Market] = (Market.SPOT, Market.USDM),
    ) -> None:
        """Make every book; `symbols` left out means all that the scenario has.

        Raises:
            ValueError: the scenario lacks a symbol.
        """
        chosen = [profile.symbol for profile in scenario.symbols] if symbols is None else symbols
        profiles = [scenario.profile(symbol) for symbol in chosen]
        self.seed = seed
        self.scenario = scenario
        self.books: dict[tuple[Market, str], SimulatedBook] = {}
        for market in markets:
            for profile in profiles:
                self.books[market, profile.symbol] = SimulatedBook(instrument_of(profile, market), profile, seed, scenario)

    def advance(self, to_ns: int) -> dict[tuple[Market, str], Rows]:
        """Run every book to a time and return each one's public rows."""
        return {key: book.advance(to_ns) for key, book in self.books.items()}


def instrument_of(profile: SymbolProfile, market: Market) -> Instrument:
    """Return a profile's instrument on one market."""
    is_spot = market is Market.SPOT
    name = f"{profile.base}/{profile.quote}"
    return Instrument(
        venue="binance",
        market=market,
        symbol=profile.symbol,
        name=name if is_spot else f"{name}:{profile.quote}",
        base=profile.base,
        quote=profile.quote,
        tick_size=profile.spot_tick if is_spot else profile.usdm_tick,
        lot_size=profile.spot_lot if is_spot else profile.usdm_lot,
        max_lots=int((9000 if is_spot else 1000) * profile.unit / (profile.spot_lot if is_spot else profile.usdm_lot)),
        min_notional=Decimal(5) if is_spot else profile.usdm_min_notional,
    )


def _joined(parts: list[Rows]) -> Rows:
    if len(parts) == 1:
        return parts[0]
    return np.concatenate(parts) if parts else np.zeros((0, 12), np.int64)
