"""The account as the journal proves it: cash, positions, working orders, kill switch.

The fold is the portfolio's own (`core.portfolio`), over fills as exact decimals, so that a restart and a running daemon cannot disagree.
Instruments are matched by name: their order and their grid may differ between runs. Only what is still open must fit the present grid.

Invariants: reads only; nothing is dropped in silence: what the given instruments cannot express is refused, with its remedy.
"""

from collections.abc import Sequence
from decimal import Decimal

import apsw
import msgspec

from smartmoney.adapters.journal_reader import CashRow, FillRow, JournalReader, JournalRefused
from smartmoney.core.domain.entries import DayState, HaltState, ScaleState
from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.core.domain.orders import Fill, Liquidity, OrderIntent, OrderReport, PositionReport, Side
from smartmoney.core.portfolio.portfolio import FUNDINGS_REMEMBERED, Portfolio
from smartmoney.simulation.paper_funding import EVERY_NS, Traded


class AccountState(msgspec.Struct, frozen=True, kw_only=True):
    """Hold what a run starts from.

    Units: `cash` in quote currency. `orders` are the intents without a known end, in journal order; an empty `venue_order_id` means that no
    acceptance was journaled, so that the order may or may not exist. `fill_count` and `order_count` are over all runs. `booked_until_ns`
    is the venue's time of the latest payment that was booked, by its kind in the venue's words (what its reference begins with);
    `traded` are the fills of the eight hours up to the latest one.
    """

    cash: Decimal
    positions: tuple[PositionReport, ...]
    orders: tuple[OrderReport, ...]
    halt: HaltState
    day: DayState
    scale: ScaleState
    fundings: tuple[str, ...]
    booked_until_ns: dict[str, int]
    traded: tuple[Traded, ...]
    created_wall_ns: int
    fill_count: int
    order_count: int
    realised: Decimal
    fees_other: dict[str, Decimal]


def load_account(connection: apsw.Connection, initial_cash: Decimal, instruments: Sequence[Instrument], wall_ns: int) -> AccountState:
    """Fold the journal into the state of the account, in terms of `instruments`, as of a time of the wall clock.

    Raises:
        JournalRefused: an open position or a working order is of an instrument that is not among them, or whose grid has changed.
    """
    reader = JournalReader(connection)
    fills = reader.fills()
    known = _all_instruments(reader, instruments)
    moved = reader.cash_movements()
    portfolio = _fold(known, initial_cash + sum((row.amount for row in moved), Decimal(0)), fills)
    _require_expressible(portfolio, known, instruments, fills, _grids(connection))
    order_count: int = connection.execute("SELECT count(*) FROM intents").get
    return AccountState(
        cash=portfolio.cash,
        positions=tuple(report for report in portfolio.reports() if report.instrument < len(instruments)),
        orders=_working_orders(connection, instruments, wall_ns),
        halt=reader.halt_state(),
        day=reader.day_state(),
        scale=reader.scale_state(),
        fundings=tuple(row.reference for row in moved if row.reference)[-FUNDINGS_REMEMBERED:],
        booked_until_ns=_latest(moved),
        traded=_lately(fills, instruments),
        created_wall_ns=connection.execute("SELECT created_wall_ns FROM account").get,
        fill_count=len(fills),
        order_count=order_count,
        realised=portfolio.realised,
        fees_other=dict(portfolio.fees_other),
    )


def _lately(fills: Sequence[FillRow], instruments: Sequence[Instrument]) -> tuple[Traded, ...]:
    since_ns = max((row.wall_ns for row in fills), default=0) - EVERY_NS
    index = {instrument.name: position for position, instrument in enumerate(instruments)}
    return tuple(
        Traded(row.wall_ns, index[row.instrument], row.quantity * Side(row.side).sign)
        for row in fills
        if row.wall_ns > since_ns and row.instrument in index
    )


def _latest(moved: Sequence[CashRow]) -> dict[str, int]:
    latest: dict[str, int] = {}
    for row in moved:
        kind = row.reference.partition("-")[0]
        if kind:
            latest[kind] = max(latest.get(kind, 0), row.ts_event_ns)
    return latest


def fills_on_one_grid(known: Sequence[Instrument], fills: Sequence[FillRow]) -> tuple[list[Instrument], list[Fill]]:
    """Return the instruments, and journaled fills in their order, on a grid fine enough for every price and quantity there ever was.

    The instruments' own grids may have changed meanwhile. Raises KeyError for a fill of an instrument that is not among them.
    """
    unit = Decimal(1).scaleb(min((_exponent(row) for row in fills), default=0))
    index = {instrument.name: position for position, instrument in enumerate(known)}
    on_grid = [
        Fill(
            trade_id=row.trade_id,
            client_order_id=row.client_order_id,
            instrument=index[row.instrument],
            side=Side(row.side),
            price_ticks=int(row.price / unit),
            lots=int(row.quantity / unit),
            fee=row.fee,
            fee_asset=row.fee_asset,
            liquidity=Liquidity(row.liquidity),
            ts_event_ns=row.ts_event_ns,
        )
        for row in fills
    ]
    return [_on_unit_grid(instrument, unit) for instrument in known], on_grid


def _all_instruments(reader: JournalReader, instruments: Sequence[Instrument]) -> list[Instrument]:
    """Return the given instruments, then those that only the journal knows."""
    names = {instrument.name for instrument in instruments}
    return [*instruments, *(instrument for instrument in reader.instruments() if instrument.name not in names)]


def _fold(known: Sequence[Instrument], initial_cash: Decimal, fills: Sequence[FillRow]) -> Portfolio:
    instruments, on_grid = fills_on_one_grid(known, fills)
    portfolio = Portfolio(instruments, initial_cash)
    for fill in on_grid:
        portfolio.apply(fill)
    return portfolio


def _on_unit_grid(instrument: Instrument, unit: Decimal) -> Instrument:
    smallest = -int(-instrument.quantity(instrument.min_lots) // unit)
    return msgspec.structs.replace(instrument, tick_size=unit, lot_size=unit, min_lots=max(smallest, 1))


def _exponent(row: FillRow) -> int:
    exponents = (row.price.as_tuple().exponent, row.quantity.as_tuple().exponent)
    return min(exponent for exponent in exponents if isinstance(exponent, int))


def _grids(connection: apsw.Connection) -> dict[str, tuple[Decimal, Decimal]]:
    """Return tick and lot size of each instrument's latest fill."""
    latest = "SELECT max(id) FROM fills GROUP BY instrument"
    rows = connection.execute(f"SELECT instrument, tick_size, lot_size FROM fills WHERE id IN ({latest})")  # noqa: S608
    return {name: (Decimal(tick), Decimal(lot)) for name, tick, lot in rows}


def _require_expressible(
    portfolio: Portfolio,
    known: Sequence[Instrument],
    instruments: Sequence[Instrument],
    fills: Sequence[FillRow],
    grids: dict[str, tuple[Decimal, Decimal]],
) -> None:
    last_price = {row.instrument: row.price for row in fills}
    for index, instrument in enumerate(known):
        quantity = portfolio.position(index).quantity
        if portfolio.position_lots(index) == 0 or _is_dust(instrument, quantity, last_price[instrument.name]):
            continue
        if index >= len(instruments):
            remedy = f"put {instrument.name} back into `instruments` until it is closed"
            raise JournalRefused(f"the account holds {quantity} {instrument.base} of {instrument.name}, which is not configured", remedy)
        _require_same_grid(instrument, grids[instrument.name], "an open position")


def _is_dust(instrument: Instrument, quantity: Decimal, price: Decimal) -> bool:
    return instrument.market is Market.SPOT and abs(quantity) * price < instrument.min_notional


def _require_same_grid(instrument: Instrument, grid: tuple[Decimal, Decimal], what: str) -> None:
    if grid != (instrument.tick_size, instrument.lot_size):
        problem = (
            f"{instrument.name} has {what} on a grid of tick {grid[0]}, lot {grid[1]}, and the venue's is now "
            f"tick {instrument.tick_size}, lot {instrument.lot_size}"
        )
        raise JournalRefused(problem, "close it by hand at the venue, then start with a fresh --state-dir")


def _working_orders(connection: apsw.Connection, instruments: Sequence[Instrument], wall_ns: int) -> tuple[OrderReport, ...]:
    index = {instrument.name: position for position, instrument in enumerate(instruments)}
    reports = []
    columns = "wall_ns, instrument, tick_size, lot_size, encoded, venue_order_id, filled_lots"
    rows = connection.execute(f"SELECT {columns} FROM intents WHERE closed IS NULL ORDER BY rowid")  # noqa: S608
    for made_wall_ns, name, tick_size, lot_size, encoded, venue_order_id, filled_lots in rows:
        intent = msgspec.msgpack.decode(encoded, type=OrderIntent)
        if name not in index:
            problem = f"order {intent.client_order_id} of {name} may still work, and {name} is not configured"
            raise JournalRefused(problem, f"put {name} back into `instruments` until it is done")
        _require_same_grid(instruments[index[name]], (Decimal(tick_size), Decimal(lot_size)), f"a working order ({intent.client_order_id})")
        intent = msgspec.structs.replace(intent, instrument=index[name])
        reports.append(
            OrderReport(intent=intent, venue_order_id=venue_order_id, filled_lots=filled_lots, age_ns=max(0, wall_ns - made_wall_ns))
        )
    return tuple(reports)
