"""Hold a whole synthetic venue: every symbol's spot and perpetual market, advanced in simulated time.

Pure and seeded: the same seed, symbols and times give the same rows, bit for bit, however the time is cut into steps. Time is
nanoseconds since the market began; wall clocks belong to whoever drives it. What a venue would publish and what is known of it besides
(owners, parents) come apart here: `advance` returns public rows, `truth` the rest.
"""

from collections.abc import Sequence
from decimal import Decimal

import msgspec
import numpy as np
import numpy.typing as npt

from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.simulation import flow, ladder
from smartmoney.simulation.fair import memory_of
from smartmoney.simulation.random import seed_stream
from smartmoney.simulation.scenario import FIRST_RUN, Scenario, SymbolProfile, parameters

Rows = npt.NDArray[np.int64]

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
        self._truth: list[Rows] = []

    def advance(self, to_ns: int) -> Rows:
        """Run to a time and return the public rows that happened (columns: see `ladder`). Cost: about 1 µs an event."""
        parts = []
        done = False
        while not done:
            done = flow.run(self.worlds, 0, to_ns)
            count = int(self.worlds["out_len"][0])
            if count:
                parts.append(self.worlds["out"][0, :count].copy())
            self.worlds["out_len"] = 0
            self.worlds["rows_seen"] = 0
        self.now_ns = max(self.now_ns, to_ns)
        if not parts:
            return np.zeros((0, 12), np.int64)
        rows = parts[0] if len(parts) == 1 else np.concatenate(parts)
        hidden = rows[:, ladder.KIND] >= ladder.PARENT_STARTED
        if hidden.any():
            self._truth.append(rows[hidden])
            rows = rows[~hidden]
        return rows

    def truth(self) -> Rows:
        """Return, and forget, what began and ended behind the scenes since the last call: parents, cascades, traps, walls."""
        found = np.concatenate(self._truth) if self._truth else np.zeros((0, 12), np.int64)
        self._truth.clear()
        return found

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
        from smartmoney.simulation.invariants import check

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
