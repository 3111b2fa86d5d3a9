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
from smartmoney.simulation import flow, ladder, matching
from smartmoney.simulation.matching import GTC, MARKET_PRICE, MAY_TAKE, NO_PARENT, POST_ONLY
from smartmoney.simulation.random import seed_stream

BANNER = "synthetic market, edge planted: proves nothing about yours"

Rows = npt.NDArray[np.int64]


class SymbolProfile(msgspec.Struct, frozen=True, kw_only=True):
    """Describe a symbol: where its price starts, and how much base counts as one unit of size (about one bitcoin's worth)."""

    base: str
    quote: str
    price: Decimal
    unit: Decimal
    spot_tick: Decimal
    spot_lot: Decimal
    usdm_tick: Decimal
    usdm_lot: Decimal
    usdm_min_notional: Decimal

    @property
    def symbol(self) -> str:
        """Return the venue's spelling."""
        return self.base + self.quote


PROFILES = {
    profile.symbol: profile
    for profile in (
        SymbolProfile(
            base="BTC",
            quote="USDT",
            price=Decimal(60000),
            unit=Decimal(1),
            spot_tick=Decimal("0.01"),
            spot_lot=Decimal("0.00001"),
            usdm_tick=Decimal("0.10"),
            usdm_lot=Decimal("0.001"),
            usdm_min_notional=Decimal(100),
        ),
        SymbolProfile(
            base="ETH",
            quote="USDT",
            price=Decimal(3000),
            unit=Decimal(12),
            spot_tick=Decimal("0.01"),
            spot_lot=Decimal("0.0001"),
            usdm_tick=Decimal("0.01"),
            usdm_lot=Decimal("0.001"),
            usdm_min_notional=Decimal(20),
        ),
    )
}

FIRST_RUN = {
    "vol_bps_min": 3.8,
    "jumps_per_s": 1.0 / 240.0,
    "jump_bps": 3.0,
    "informed_every_s": 100.0,
    "informed_s": 120.0,
    "informed_share": 0.8,
    "informed_rate": 1.7,
    "informed_size": 0.065,
    "informed_passive": 0.15,
    "drift_bps": 10.0,
    "drift_s": 90.0,
    "persistence": 0.6,
    "splitter_every_s": 70.0,
    "splitter_rate": 0.5,
    "splitter_size": 0.03,
    "impact_bps_per_unit": 0.5,
    "crowd_rate": 45.0,
    "crowd_target": 1000,
    "crowd_size": 0.03,
    "noise_base": 0.6,
    "noise_size": 0.013,
    "refresh_rate": 12.0,
    "maker_size": 0.6,
}
"""The population of a first run: rates a second, sizes in units, moves in bps."""

_FIRST_IDS = {Market.SPOT: (35_000_000_000, 3_700_000_000, 1), Market.USDM: (5_123_000_000_000, 5_266_000_000, 24)}
"""First update id, first trade id, stride of update ids (futures symbols share one id space, so a symbol's ids have holes)."""


FIRST_CLIENT = 192
"""Owners from here to 255 are accounts of people outside."""


class NewOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Ask for an order of a client, in ticks and lots. Without a tick it is a market order, which cannot rest."""

    owner: int
    side: int
    lots: int
    tick: int = MARKET_PRICE
    tif: int = GTC
    post_only: bool = False


class Placed(msgspec.Struct, frozen=True):
    """Say what became of an order at once: a status of `matching`, its id in the book, and the lots that traded."""

    status: int
    order_id: int
    filled: int


class Depth(msgspec.Struct, frozen=True):
    """Be a book at one update id: rows of (ticks, lots), best first."""

    update_id: int
    bids: Rows
    asks: Rows


class SimulatedBook:
    """Run one market of one symbol."""

    def __init__(self, instrument: Instrument, profile: SymbolProfile, seed: int) -> None:
        self.instrument = instrument
        self.now_ns = 0
        self.worlds = np.zeros(1, flow.WORLD)
        world = self.worlds[0]
        tick, lot = instrument.tick_size, instrument.lot_size
        world["anchor_ticks"] = float(profile.price / tick)
        world["ticks_per_bp"] = float(profile.price / tick / 10_000)
        world["lots_per_unit"] = float(profile.unit / lot)
        world["basis_sd"] = 0.4 if instrument.market is Market.USDM else 0.0
        for name, value in FIRST_RUN.items():
            world[name] = value
        salt = int.from_bytes(instrument.symbol.encode()[:7], "big")
        seed_stream(world["latent_words"], seed, salt)
        seed_stream(world["words4"], seed, salt + (1 << 60 if instrument.market is Market.SPOT else 1 << 61))
        update_id, trade_id, stride = _FIRST_IDS[instrument.market]
        flow.begin(world, stride, trade_id, update_id)
        self._truth: list[Rows] = []
        self._client_rows: list[Rows] = []
        self._rows_told = 0

    def advance(self, to_ns: int) -> Rows:
        """Run to a time and return the public rows that happened (columns: see `ladder`). Cost: about 1 µs an event."""
        parts = []
        done = False
        while not done:
            done = flow.run(self.worlds, 0, to_ns)
            count = int(self.worlds["out_len"][0])
            self._collect_client_rows()
            self._rows_told = 0
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

    def place(self, new: NewOrder) -> Placed:
        """Submit a client's order at the book's present time (`advance` first); its public rows come with the next `advance`."""
        world = self.worlds[0]
        world["now"] = self.now_ns
        post = POST_ONLY if new.post_only else MAY_TAKE
        status = matching.submit(world, new.side, new.tick, new.lots, new.tif, post, new.owner, NO_PARENT)
        ladder.emit_touch(world)
        return Placed(int(status), int(world["order_id"]), int(world["filled"]))

    def cancel(self, order_id: int) -> int:
        """Withdraw a client's order at the present time and return the lots that were left of it, or UNKNOWN_ORDER."""
        world = self.worlds[0]
        world["now"] = self.now_ns
        lots = int(matching.cancel(world, order_id))
        ladder.emit_touch(world)
        return lots

    def client_rows(self) -> Rows:
        """Return, and forget, the trades since the last call in which a client takes part."""
        self._collect_client_rows()
        found = np.concatenate(self._client_rows) if self._client_rows else np.zeros((0, 12), np.int64)
        self._client_rows.clear()
        return found

    def _collect_client_rows(self) -> None:
        count = int(self.worlds["out_len"][0])
        rows = self.worlds["out"][0, self._rows_told : count]
        is_client = (rows[:, ladder.MAKER_OWNER] >= FIRST_CLIENT) | (rows[:, ladder.TAKER_OWNER] >= FIRST_CLIENT)
        found = rows[(rows[:, ladder.KIND] == ladder.TRADE) & is_client]
        if len(found):
            self._client_rows.append(found.copy())
        self._rows_told = count

    def truth(self) -> Rows:
        """Return, and forget, the parents that started and ended since the last call."""
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
        """Return the latent efficient price, in ticks: truth, or the index that a perpetual's mark price is made of."""
        return float(self.worlds["efficient"][0])

    @property
    def fault(self) -> int:
        """Return 0, or the number of the invariant that is broken (`invariants.VIOLATIONS`)."""
        from smartmoney.simulation.invariants import check

        return int(check(self.worlds[0]))


class SyntheticMarket:
    """Run every symbol's spot and perpetual book on one clock."""

    def __init__(
        self, seed: int, symbols: Sequence[str] = ("BTCUSDT", "ETHUSDT"), markets: Sequence[Market] = (Market.SPOT, Market.USDM)
    ) -> None:
        unknown = [symbol for symbol in symbols if symbol not in PROFILES]
        if unknown:
            raise ValueError(f"no profile for {', '.join(unknown)}; there are {', '.join(PROFILES)}")
        self.seed = seed
        self.books: dict[tuple[Market, str], SimulatedBook] = {}
        for market in markets:
            for symbol in symbols:
                profile = PROFILES[symbol]
                self.books[market, symbol] = SimulatedBook(instrument_of(profile, market), profile, seed)

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
