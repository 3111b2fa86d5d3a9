"""A stretch of the built-in market with two instruments, and a slow obvious reader of its frames."""

import json
from decimal import Decimal

from smartmoney.adapters.exchange_warm import capture_path, prerun
from smartmoney.core.domain.instruments import Market
from smartmoney.simulation.market import SyntheticMarket

S = 1_000_000_000
ORIGIN_NS = 1_700_000_000_250_000_000
"""Not a whole second: grids must begin at one all the same."""


def record(folder, seconds, symbols=("BTCUSDT", "ETHUSDT"), market=Market.USDM, seed=11):
    """Record the built-in market; return the file of each symbol."""
    prerun(SyntheticMarket(seed, symbols=symbols, markets=(market,)), ORIGIN_NS, seconds, folder / "built-in")
    return {symbol: capture_path(folder / "built-in", market, symbol) for symbol in symbols}


def messages(recorded):
    """Yield `(event_ns, message)` of depth, trades and snapshots, decoded by the standard library."""
    for one in recorded:
        message = json.loads(one.frame)
        message = message.get("data", message)
        yield message.get("T", message.get("E", 0)) * 1_000_000, message


class ObviousBook:
    """Keep a book in two dictionaries of decimals, and sum what a bar sums."""

    def __init__(self, instrument):
        self.tick, self.lot = instrument.tick_size, instrument.lot_size
        self.sides = ({}, {})
        self.last_id = None
        self.order_flow = self.trade_flow = 0

    def lots(self, text):
        return int(Decimal(text) / self.lot)

    def top(self):
        bid, ask = max(self.sides[0]), min(self.sides[1])
        return bid, self.sides[0][bid], ask, self.sides[1][ask]

    def take(self, message):
        if "lastUpdateId" in message:
            self.last_id = message["lastUpdateId"]
            self._change(message["bids"], message["asks"])
        elif message["e"] == "trade":
            self.trade_flow += self.lots(message["q"]) * (-1 if message["m"] else 1)
        elif self.last_id is not None and message["u"] > self.last_id:
            before = self.top()
            self._change(message["b"], message["a"])
            self.order_flow += self._event(before, self.top())

    def _change(self, *sides):
        for side, levels in zip(self.sides, sides, strict=True):
            for price, quantity in levels:
                side[Decimal(price)] = self.lots(quantity)
                if side[Decimal(price)] == 0:
                    del side[Decimal(price)]

    @staticmethod
    def _event(old, new):
        e = 0
        if new[0] >= old[0]:
            e += new[1]
        if new[0] <= old[0]:
            e -= old[1]
        if new[2] <= old[2]:
            e -= new[3]
        if new[2] >= old[2]:
            e += old[3]
        return e
