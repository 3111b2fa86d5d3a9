"""A test bench for the engine: an exchange of three price levels, whose frames, clocks and answers the test decides one by one."""

import json
from decimal import Decimal

from smartmoney.core.domain.commands import CancelOrder, SubmitOrder
from smartmoney.core.domain.entries import (
    AccountReported,
    Entry,
    EntryKind,
    HaltState,
    OrderAccepted,
    OrderCanceled,
    OrderFilled,
    RunStarted,
    ScaleState,
    Tick,
    WarmUpEnded,
)
from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.core.domain.orders import Fill, Liquidity, PositionReport
from smartmoney.core.engine.engine import Engine
from smartmoney.core.engine.parameters import EngineParameters, encode_parameters
from smartmoney.core.strategy.follower import SmartMoneyFollowerStrategy
from smartmoney.runtime.codecs import binance_codec

MS = 1_000_000
S = 1_000_000_000
WALL = 1_700_000_000 * S


def instrument(symbol="BTCUSDT", market=Market.SPOT):
    base = symbol.removesuffix("USDT")
    return Instrument(
        venue="binance",
        market=market,
        symbol=symbol,
        name=f"{base}/USDT",
        base=base,
        quote="USDT",
        tick_size=Decimal("0.5"),
        lot_size=Decimal("0.001"),
        min_notional=Decimal(5),
    )


def depth(first, final, bids=(), asks=(), symbol="BTCUSDT", event_ms=None):
    body = {"e": "depthUpdate", "E": event_ms or 1, "s": symbol, "U": first, "u": final, "b": list(bids), "a": list(asks)}
    return json.dumps(body, separators=(",", ":")).encode()


def snapshot(last, bids=(("100.0", "5"),), asks=(("101.0", "5"),)):
    return json.dumps({"lastUpdateId": last, "bids": bids, "asks": asks}, separators=(",", ":")).encode()


def trade(number, price="100.5", symbol="BTCUSDT", event_ms=1):
    body = {"e": "trade", "E": event_ms, "T": event_ms, "s": symbol, "t": number, "p": price, "q": "0.002", "m": False}
    return json.dumps(body, separators=(",", ":")).encode()


def long(quantity="1", price="100.5", index=0):
    return PositionReport(instrument=index, quantity=Decimal(quantity), cost=Decimal(quantity) * Decimal(price))


class Clock:
    """Both of our clocks, moved by the test."""

    def __init__(self):
        self.mono_ns = 1_000 * S
        self.seq = 0

    def stamp(self, kind, **fields):
        self.seq += 1
        return Entry(seq=self.seq, kind=kind, ts_wall_ns=WALL + self.mono_ns, ts_mono_ns=self.mono_ns, **fields)

    def event_ms(self):
        return (WALL + self.mono_ns) // MS


class Bench:
    """An engine after `RunStarted`, its commands kept in order."""

    def __init__(
        self,
        *,
        positions=(),
        cash="1000",
        halt=HaltState(),  # noqa: B008 - frozen
        scale=ScaleState(),  # noqa: B008 - frozen
        orders=(),
        parameters=EngineParameters(),  # noqa: B008 - frozen
        instruments=None,
        strategy=None,
        is_live=True,
        mode="paper",
        answers=True,
    ):
        self.answers = answers
        self.clock = Clock()
        self.instruments = tuple(instruments or (instrument(),))
        make = strategy or (lambda _name, config: SmartMoneyFollowerStrategy(config))
        self.engine = Engine(binance_codec(), make)
        self.commands = []
        self.update_id = 0
        self.positions = tuple(positions)
        self.started = RunStarted(
            run_id="1abcdefghjk",
            mode=mode,
            venue="binance",
            build="test",
            config_hash="",
            model="untrained-prior-1",
            seed=1,
            instruments=self.instruments,
            parameters=encode_parameters(parameters),
            cash=Decimal(cash),
            positions=self.positions,
            orders=tuple(orders),
            halt=halt,
            scale=scale,
        )
        self.say(self.started)
        if is_live:
            self.say(WarmUpEnded())

    def enter(self, kind, **fields):
        """Step one entry and return its commands, and those that followed from the venue's answers: orders are taken, cancels done."""
        made = list(self.engine.step(self.clock.stamp(kind, **fields)))
        self.commands += made
        for command in list(made) if self.answers else ():
            if isinstance(command, SubmitOrder):
                made += self.accept(command.approved.intent)
            elif isinstance(command, CancelOrder):
                made += self.say(OrderCanceled(client_order_id=command.client_order_id))
        return made

    def say(self, payload):
        return self.enter(EntryKind.EVENT, payload=payload)

    def frame(self, raw):
        return self.enter(EntryKind.FRAME, frame=raw)

    def snapshot(self, raw, index=0):
        return self.enter(EntryKind.SNAPSHOT, frame=raw, instrument=index)

    def tick(self, seconds=0.1):
        self.clock.mono_ns += round(seconds * S)
        return self.say(Tick())

    def live_for(self, seconds, step=0.1):
        """Tick on while the book lives: a harmless depth update before each tick."""
        made = []
        for _ in range(round(seconds / step)):
            self.touch()
            made += self.tick(step)
        return made

    def sync(self, bid="100.0", ask="101.0"):
        """Give the book of the first instrument a snapshot; it is synced from the next frame on."""
        self.update_id = 10
        self.frame(depth(10, 10, event_ms=self.clock.event_ms()))
        made = self.snapshot(snapshot(10, [[bid, "5"]], [[ask, "5"]]))
        self._shown = (bid, ask)
        return made + self.touch()

    def touch(self, bid=None, ask=None):
        """Send a depth update that moves the touch, or changes nothing."""
        was_bid, was_ask = self._shown
        bid, ask = bid or was_bid, ask or was_ask
        bids = [[was_bid, "0"], [bid, "5"]] if bid != was_bid else [[bid, "5"]]
        asks = [[was_ask, "0"], [ask, "5"]] if ask != was_ask else [[ask, "5"]]
        self.update_id += 1
        self._shown = (bid, ask)
        return self.frame(depth(self.update_id, self.update_id, bids, asks, event_ms=self.clock.event_ms()))

    def reconcile(self, orders=()):
        """Answer the engine's question about the account with what it believes."""
        positions = tuple(
            PositionReport(instrument=index, quantity=position.quantity, cost=position.cost)
            for index in range(len(self.instruments))
            if (position := self.engine.executor.portfolio.position(index)).quantity != 0
        )
        return self.say(AccountReported(orders=tuple(orders), positions=positions))

    def accept(self, intent):
        return self.say(OrderAccepted(client_order_id=intent.client_order_id, venue_order_id=f"v-{intent.client_order_id}"))

    def fill(self, intent, price):
        grid = self.instruments[intent.instrument]
        fill = Fill(
            trade_id=f"t{self.clock.seq}",
            client_order_id=intent.client_order_id,
            instrument=intent.instrument,
            side=intent.side,
            price_ticks=grid.ticks(Decimal(price)),
            lots=intent.lots,
            fee=Decimal("0.01"),
            fee_asset="USDT",
            liquidity=Liquidity.TAKER,
            ts_event_ns=1,
        )
        return self.say(OrderFilled(fill=fill))

    def kinds(self, commands=None):
        return [type(command).__name__ for command in (self.commands if commands is None else commands)]

    def submitted(self, commands=None):
        return [
            command.approved.intent for command in (self.commands if commands is None else commands) if isinstance(command, SubmitOrder)
        ]

    def cancelled(self, commands=None):
        return [
            command.client_order_id for command in (self.commands if commands is None else commands) if isinstance(command, CancelOrder)
        ]
