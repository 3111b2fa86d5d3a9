"""What the small venues show to everybody: books, trades, and funding as their pages document it, by socket and by request.

Nothing moves by itself: a test says what the book, the mark price and the rate are, and `telling` repeats it as the venue does.
"""

import asyncio
import json
from contextlib import asynccontextmanager

from .bybit_venue import BybitVenue
from .okx_venue import OkxVenue

LEVELS = 30
TICK, MID = 0.1, 60_000.0


def _levels(step, moved):
    """Return levels of one side; `moved` changes the size at the touch, so that every book differs from the one before."""
    return [(f"{MID + step * (0.5 + n) * TICK:.1f}", f"{1 + (moved % 7 if n == 0 else n % 3)}") for n in range(LEVELS)]


class _Market:
    """What both have: `rate`, `mark` and `at_ms` are told until they are changed. `refused`: channels that a subscription is refused for."""

    def open_market(self, at_ms, rate="0.0001", mark="60000.5"):
        self.at_ms, self.rate, self.mark = at_ms, rate, mark
        self.refused = set()
        self.silent = set()
        self.refusals = 0
        self.moved = 0

    async def tell_book(self):
        self.moved += 1
        for topic, frame in self.book_frames():
            await self.push(topic, frame)

    @asynccontextmanager
    async def telling(self, every_s=0.1):
        """Push book, trade and funding all the time."""

        async def goes_on():
            while True:
                await self.tell_book()
                await self.tell_funding()
                await asyncio.sleep(every_s)

        task = asyncio.create_task(goes_on())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


class BybitMarket(_Market, BybitVenue):
    """Linear perpetuals: all of funding is in the ticker, whole once and then what has changed."""

    name = "BTC/USDT:USDT"

    def urls(self):
        rest = dict.fromkeys(("spot", "futures", "v2", "public", "private"), self.rest)
        return {"api": {**rest, "ws": {"public": {"linear": f"{self.ws}/v5/public/linear"}}}}

    def _market_instruments_info(self, params):
        rows = [self.market] if params["category"] == "linear" else []
        return self._ok({"category": params["category"], "list": rows, "nextPageCursor": ""})

    def _market_tickers(self, _params):
        return self._ok({"category": "linear", "list": [self.ticker()]})

    def ticker(self):
        return {
            "symbol": "BTCUSDT",
            "tickDirection": "PlusTick",
            "price24hPcnt": "0.017103",
            "lastPrice": "60000.10",
            "prevPrice24h": "59000.50",
            "highPrice24h": "60500.50",
            "lowPrice24h": "58900.00",
            "prevPrice1h": "59990.00",
            "markPrice": self.mark,
            "indexPrice": "60001.36",
            "openInterest": "68744.761",
            "openInterestValue": "1183601235.91",
            "turnover24h": "1570383121.943499",
            "volume24h": "91705.276",
            "nextFundingTime": str(self.at_ms),
            "fundingRate": self.rate,
            "bid1Price": "59999.95",
            "bid1Size": "84.489",
            "ask1Price": "60000.05",
            "ask1Size": "83.020",
        }

    def ticker_frame(self, kind, data):
        return {"topic": "tickers.BTCUSDT", "type": kind, "data": data, "cs": self.number(), "ts": self.clock_ms()}

    async def tell_funding(self):
        data = {"symbol": "BTCUSDT", "markPrice": self.mark, "fundingRate": self.rate, "nextFundingTime": str(self.at_ms)}
        if "tickers.BTCUSDT" not in self.silent:
            await self.push("tickers.BTCUSDT", self.ticker_frame("delta", data))

    def book(self, kind, levels=LEVELS):
        bids, asks = _levels(-1, self.moved)[:levels], _levels(1, self.moved)[:levels]
        data = {"s": "BTCUSDT", "b": bids, "a": asks, "u": 100 + self.moved, "seq": self.number()}
        return {"topic": "orderbook.50.BTCUSDT", "type": kind, "ts": self.clock_ms(), "data": data, "cts": self.clock_ms()}

    def book_frames(self):
        trade = {"T": self.clock_ms(), "s": "BTCUSDT", "S": "Buy", "v": "0.001", "p": "60000.10", "L": "PlusTick", "i": str(self.number())}
        row = {"topic": "publicTrade.BTCUSDT", "type": "snapshot", "ts": self.clock_ms(), "data": [{**trade, "BT": False}]}
        return [("orderbook.50.BTCUSDT", self.book("delta", 1)), ("publicTrade.BTCUSDT", row)]

    async def told(self, socket, text):
        said = json.loads(text)
        if said["op"] != "subscribe":
            await super().told(socket, text)
            return
        topics = set(said["args"])
        is_good = not topics & self.refused
        said = {"success": is_good, "ret_msg": "" if is_good else f"error:handler not found,topic:{min(topics)}", "op": "subscribe"}
        await socket.send_str(json.dumps({**said, "conn_id": "c-1", "req_id": "1"}))
        if not is_good:
            self.refusals += 1
            return
        socket.topics |= topics
        if "tickers.BTCUSDT" in topics - self.silent:
            await socket.send_str(json.dumps(self.ticker_frame("snapshot", self.ticker())))
        if "orderbook.50.BTCUSDT" in topics:
            await socket.send_str(json.dumps(self.book("snapshot")))


class OkxMarket(_Market, OkxVenue):
    """Swaps: the mark price on one channel, often; the rate on another, seldom, with the rate of the settlement before."""

    name = "BTC/USDT:USDT"

    def open_market(self, at_ms, rate="0.0001", mark="60000.5", settled="0.0000145824401745"):
        super().open_market(at_ms, rate, mark)
        self.settled = settled
        self.sequence = -1

    def urls(self):
        return {"api": {"rest": self.rest, "ws": f"{self.ws}/ws/v5"}}

    def _public_instruments(self, params):
        return self._ok([self.market] if params["instType"] == "SWAP" else [])

    def _public_funding_rate(self, _params):
        return self._ok([self.funding()])

    def _public_mark_price(self, _params):
        return self._ok([self.mark_price()])

    def funding(self):
        return {
            "formulaType": "noRate",
            "fundingRate": self.rate,
            "fundingTime": str(self.at_ms),
            "impactValue": "",
            "instId": "BTC-USDT-SWAP",
            "instType": "SWAP",
            "interestRate": "",
            "maxFundingRate": "0.00375",
            "method": "current_period",
            "minFundingRate": "-0.00375",
            "nextFundingRate": "",
            "nextFundingTime": str(self.at_ms + 28_800_000),
            "premium": "0.0000910113652644",
            "settFundingRate": self.settled,
            "settState": "settled",
            "ts": str(self.clock_ms()),
        }

    def mark_price(self):
        return {"instType": "SWAP", "instId": "BTC-USDT-SWAP", "markPx": self.mark, "ts": str(self.clock_ms())}

    def channel(self, name, row, **more):
        return {"arg": {"channel": name, "instId": "BTC-USDT-SWAP"}, **more, "data": [row]}

    async def tell_rate(self):
        await self.push("funding-rate", self.channel("funding-rate", self.funding()))

    async def tell_funding(self):
        if "mark-price" not in self.silent:
            await self.push("mark-price", self.channel("mark-price", self.mark_price()))

    def book(self, action, levels=LEVELS):
        sides = ([[price, size, "0", "4"] for price, size in _levels(step, self.moved)[:levels]] for step in (-1, 1))
        bids, asks = sides
        before, self.sequence = (-1 if action == "snapshot" else self.sequence), self.number()
        row = {"asks": asks, "bids": bids, "ts": str(self.clock_ms()), "checksum": 0, "prevSeqId": before, "seqId": self.sequence}
        return self.channel("books", row, action=action)

    def book_frames(self):
        trade = {"instId": "BTC-USDT-SWAP", "tradeId": str(self.number()), "px": "60000.1", "sz": "0.1", "side": "buy", "count": "1"}
        row = self.channel("trades", {**trade, "ts": str(self.clock_ms())})
        return [("books", self.book("update", 1)), ("trades", row)]

    async def told(self, socket, text):
        if text == "ping" or json.loads(text)["op"] != "subscribe":
            await super().told(socket, text)
            return
        for asked in json.loads(text)["args"]:
            channel = asked["channel"]
            if channel in self.refused:
                self.refusals += 1
                wrong = {
                    "event": "error",
                    "code": "60018",
                    "msg": f"channel:{channel},instId:BTC-USDT-SWAP doesn't exist",
                    "connId": "a4d3ae55",
                }
                await socket.send_str(json.dumps(wrong))
                continue
            socket.topics.add(channel)
            await socket.send_str(json.dumps({"event": "subscribe", "arg": asked, "connId": "a4d3ae55"}))
            if channel == "funding-rate" and channel not in self.silent:
                await socket.send_str(json.dumps(self.channel(channel, self.funding())))
            elif channel == "books":
                await socket.send_str(json.dumps(self.book("snapshot")))
