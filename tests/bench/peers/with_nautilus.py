"""Replay a dataset through nautilus_trader's BacktestEngine: a strategy that counts and reads the best bid, data objects built beforehand.

Use: python with_nautilus.py DATASET SECONDS MODE, where MODE is `batches` (a message's levels as one OrderBookDeltas) or `single` (each
level an event of its own). Prints one JSON object; the time is that of the engine's run alone.
"""

import json
import sys
import time
from importlib.metadata import version
from pathlib import Path

from messages import Messages, read_messages
from nautilus_trader.backtest.config import BacktestEngineConfig
from nautilus_trader.backtest.engine import BacktestEngine
from nautilus_trader.config import LoggingConfig
from nautilus_trader.model.currencies import USDT
from nautilus_trader.model.data import BookOrder, OrderBookDelta, OrderBookDeltas, TradeTick
from nautilus_trader.model.enums import AccountType, AggressorSide, BookAction, BookType, OmsType, OrderSide, RecordFlag
from nautilus_trader.model.identifiers import TradeId, Venue
from nautilus_trader.model.objects import Money, Price, Quantity
from nautilus_trader.test_kit.providers import TestInstrumentProvider
from nautilus_trader.trading.strategy import Strategy

_LAST = RecordFlag.F_LAST.value


class Reader(Strategy):
    """Count what comes and read the best bid."""

    def __init__(self, instrument) -> None:
        super().__init__()
        self.instrument = instrument
        self.calls = 0
        self.seen = 0.0

    def on_start(self) -> None:
        self.subscribe_order_book_deltas(self.instrument.id, book_type=BookType.L2_MBP)
        self.subscribe_trade_ticks(self.instrument.id)

    def on_order_book_deltas(self, _deltas) -> None:
        self.calls += 1
        best = self.cache.order_book(self.instrument.id).best_bid_price()
        self.seen += float(best) if best is not None else 0.0

    def on_trade_tick(self, _tick) -> None:
        self.calls += 1


def data_of(found: Messages, instrument, *, batches: bool) -> list:
    """Return the messages as nautilus' own objects, ordered by receive time."""
    price_unit, size_unit = 10.0**-found.price_decimals, 10.0**-found.lot_decimals
    depth = {name: values.tolist() for name, values in found.depth.items()}
    data: list = []
    for begin, end in zip(found.starts[:-1].tolist(), found.starts[1:].tolist(), strict=True):
        deltas = []
        event, wall, last_id = depth["ts_event_ns"][begin], depth["ts_wall_ns"][begin], depth["update_id"][begin]
        if depth["is_snapshot"][begin]:
            deltas.append(OrderBookDelta.clear(instrument.id, last_id, event, wall))
        for row in range(begin, end):
            lots = depth["lots"][row]
            order = BookOrder(
                OrderSide.SELL if depth["side"][row] else OrderSide.BUY,
                Price(depth["price_ticks"][row] * price_unit, instrument.price_precision),
                Quantity(lots * size_unit, instrument.size_precision),
                0,
            )
            flags = _LAST if row == end - 1 else 0
            deltas.append(
                OrderBookDelta(instrument.id, BookAction.UPDATE if lots else BookAction.DELETE, order, flags, last_id, event, wall)
            )
        data.extend([OrderBookDeltas(instrument.id, deltas)] if batches else deltas)
    trades = {name: values.tolist() for name, values in found.trades.items()}
    for row in range(len(trades["trade_id"])):
        data.append(
            TradeTick(
                instrument.id,
                Price(trades["price_ticks"][row] * price_unit, instrument.price_precision),
                Quantity(trades["lots"][row] * size_unit, instrument.size_precision),
                AggressorSide.SELLER if trades["aggressor_side"][row] else AggressorSide.BUYER,
                TradeId(str(trades["trade_id"][row])),
                trades["ts_event_ns"][row],
                trades["ts_wall_ns"][row],
            )
        )
    data.sort(key=lambda one: one.ts_init)
    return data


def main() -> None:
    """Run until the time is up, and print what was measured."""
    root, seconds, mode = Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
    found = read_messages(root)
    instrument = TestInstrumentProvider.btcusdt_perp_binance()
    if (instrument.price_precision, instrument.size_precision) != (found.price_decimals, found.lot_decimals):
        raise SystemExit(f"this instrument has {instrument.price_precision} and {instrument.size_precision} decimals; take USD-M BTCUSDT")
    engine = BacktestEngine(BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True), run_analysis=False))
    engine.add_venue(
        venue=Venue("BINANCE"),
        oms_type=OmsType.NETTING,
        account_type=AccountType.MARGIN,
        starting_balances=[Money(1_000_000, USDT)],
        book_type=BookType.L2_MBP,
    )
    engine.add_instrument(instrument)
    started = time.perf_counter()
    engine.add_data(data_of(found, instrument, batches=mode == "batches"))
    built_s = time.perf_counter() - started
    strategy = Reader(instrument)
    engine.add_strategy(strategy)
    took = runs = 0
    while took < seconds:
        started = time.process_time()
        engine.run()
        took += time.process_time() - started
        runs += 1
        if strategy.calls == 0 or strategy.seen == 0.0:
            raise SystemExit("the strategy saw nothing")
        engine.reset()
    print(
        json.dumps(
            {
                "engine": f"nautilus_trader {version('nautilus_trader')}, OrderBookDelta{'s batches' if mode == 'batches' else ', single'}; "
                "from objects in memory",
                "messages": found.counted * runs,
                "levels": found.levels * runs,
                "seconds": took,
                "building_s": built_s,
            }
        )
    )


if __name__ == "__main__":
    main()
