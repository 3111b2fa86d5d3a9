"""Answer the public REST calls of Binance spot and USD-M from a synthetic market.

`Rest.answer` is a pure lookup into the desks: (call, query) to (status, body). Request weights are counted a minute at a time, as the
venue does, and announced in the headers it uses.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from smartmoney.adapters.exchange_feed import FUNDING_RATE, Desk
from smartmoney.adapters.exchange_weights import Answer, Weights
from smartmoney.simulation.exchange.refusals import Refusal
from smartmoney.simulation.tape import MINUTE_NS, Candle
from smartmoney.venues.binance import wire

_MS = 1_000_000
_WEIGHT_LIMIT = {True: 6000, False: 2400}
_WEIGHTS = {"exchangeInfo": (20, 1), "trades": (25, 5), "historicalTrades": (25, 20), "aggTrades": (4, 20), "ticker/24hr": (2, 1)}
"""Request weights on (spot, USD-M); depth has its own rule, everything else weighs 1."""
_FUTURES_DEPTHS = (5, 10, 20, 50, 100, 500, 1000)
_MINUTE_BARS = {f"{n}m": n for n in (1, 3, 5, 15, 30)}
_INTERVAL_MINUTES = _MINUTE_BARS | {f"{n}h": 60 * n for n in (1, 2, 4, 6, 8, 12)} | {"1d": 1440}


class Rest:
    """Answer one market's REST calls."""

    def __init__(self, desks: Mapping[str, Desk], *, is_spot: bool, now_ns: Callable[[], int]) -> None:
        self._desks = desks
        self._is_spot = is_spot
        self._now_ns = now_ns
        self.weights = Weights(_WEIGHT_LIMIT[is_spot], now_ns)
        self._calls: dict[str, Callable[[Mapping[str, str]], str]] = {
            "ping": lambda _query: "{}",
            "time": lambda _query: f'{{"serverTime":{self._now_ns() // _MS}}}',
            "exchangeInfo": self._exchange_info,
            "depth": self._depth,
            "trades": self._trades,
            "historicalTrades": self._trades,
            "aggTrades": self._aggregates,
            "klines": self._klines,
            "ticker/24hr": lambda query: self._each(query, self._day),
            "ticker/price": lambda query: self._each(query, self._price),
            "ticker/bookTicker": lambda query: self._each(query, self._touch),
        }
        if not is_spot:
            self._calls["premiumIndex"] = lambda query: self._each(query, self._premium)
            self._calls["fundingInfo"] = lambda _query: "[]"

    def answer(self, family: str, call: str, query: Mapping[str, str]) -> Answer:
        """Return the response to a GET."""
        own_family = "api" if self._is_spot else "fapi"
        handler = self._calls.get(call)
        if family in {"dapi", "eapi"} and call == "exchangeInfo":
            # Clients that load every kind of market ask here too: there are none.
            empty = {"timezone": "UTC", "serverTime": self._now_ns() // _MS, "rateLimits": [], "exchangeFilters": [], "symbols": []}
            return Answer(200, json.dumps(empty), {})
        if handler is None or family not in {own_family, ""}:
            return Answer(404, json.dumps(wire.error(-5000, f"Path /{call} is invalid")), {})
        refusal = self.weights.charge(weight_of(call, query, is_spot=self._is_spot))
        if refusal is not None:
            return refusal
        try:
            return Answer(200, handler(query), self.weights.used())
        except Refusal as refused:
            return Answer(refused.status, json.dumps(wire.error(refused.code, refused.message)), self.weights.used())

    def _desk(self, query: Mapping[str, str]) -> Desk:
        symbol = query.get("symbol", "")
        if not symbol:
            raise Refusal(-1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed.")
        desk = self._desks.get(symbol)
        if desk is None:
            raise Refusal(-1121, "Invalid symbol.")
        return desk

    def _each(self, query: Mapping[str, str], write: Callable[[Desk], dict[str, Any]]) -> str:
        if "symbol" in query:
            return json.dumps(write(self._desk(query)))
        if "symbols" in query:
            try:
                symbols = msgspec.json.decode(query["symbols"], type=list[str])
            except msgspec.MsgspecError as error:
                raise Refusal(-1100, "Illegal characters found in parameter 'symbols'.") from error
            return json.dumps([write(self._desk({"symbol": symbol})) for symbol in symbols])
        return json.dumps([write(desk) for desk in self._desks.values()])

    def _exchange_info(self, query: Mapping[str, str]) -> str:
        desks = [self._desk(query)] if "symbol" in query else self._desks.values()
        return json.dumps(wire.exchange_info([desk.book.instrument for desk in desks], self._now_ns()))

    def _depth(self, query: Mapping[str, str]) -> str:
        desk = self._desk(query)
        limit = _whole(query, "limit", 100 if self._is_spot else 500, most=5000 if self._is_spot else 1000)
        if not self._is_spot and limit not in _FUTURES_DEPTHS:
            limit = next(depth for depth in _FUTURES_DEPTHS if depth >= limit)
        return desk.snapshot(limit)

    def _trades(self, query: Mapping[str, str]) -> str:
        desk = self._desk(query)
        limit = _whole(query, "limit", 500, most=1000)
        return json.dumps(
            [
                {
                    "id": p.trade_id,
                    "price": desk.grid.price(p.ticks),
                    "qty": desk.grid.quantity(p.lots),
                    "quoteQty": desk.grid.turnover(p.ticks * p.lots),
                    "time": p.time_ns // _MS,
                    "isBuyerMaker": p.buyer_is_maker,
                    **({"isBestMatch": True} if self._is_spot else {}),
                }
                for p in list(desk.tape.prints)[-limit:]
            ]
        )

    def _aggregates(self, query: Mapping[str, str]) -> str:
        desk = self._desk(query)
        limit = _whole(query, "limit", 500, most=1000)
        start_ms, end_ms = _whole(query, "startTime", 0, least=0), _whole(query, "endTime", 1 << 60, least=0)
        from_id = _whole(query, "fromId", 0, least=0)
        found = [a for a in desk.tape.aggregates if a.aggregate_id >= from_id and start_ms <= a.time_ns // _MS <= end_ms]
        chosen = found[:limit] if from_id or start_ms else found[-limit:]
        return json.dumps(
            [
                {
                    "a": a.aggregate_id,
                    "p": desk.grid.price(a.ticks),
                    "q": desk.grid.quantity(a.lots),
                    "f": a.first_id,
                    "l": a.last_id,
                    "T": a.time_ns // _MS,
                    "m": a.buyer_is_maker,
                    **({"M": True} if self._is_spot else {}),
                }
                for a in chosen
            ]
        )

    def _klines(self, query: Mapping[str, str]) -> str:
        desk = self._desk(query)
        minutes = _INTERVAL_MINUTES.get(query.get("interval", ""))
        if minutes is None:
            raise Refusal(-1120, "Invalid interval.")
        limit = _whole(query, "limit", 500, most=1000)
        start_ms, end_ms = _whole(query, "startTime", 0, least=0), _whole(query, "endTime", 1 << 60, least=0)
        bars = [bar for bar in _merged(desk.tape.candles, minutes) if start_ms <= bar.start_ns // _MS <= end_ms]
        chosen = bars[:limit] if start_ms else bars[-limit:]
        return json.dumps([_kline(desk, bar, minutes) for bar in chosen])

    def _price(self, desk: Desk) -> dict[str, Any]:
        body: dict[str, Any] = {"symbol": desk.grid.symbol, "price": desk.grid.price(_last_ticks(desk))}
        return body if self._is_spot else {**body, "time": self._now_ns() // _MS}

    def _touch(self, desk: Desk) -> dict[str, Any]:
        bid, bid_lots, ask, ask_lots = desk.book.touch
        body: dict[str, Any] = {
            "symbol": desk.grid.symbol,
            "bidPrice": desk.grid.price(max(bid, 0)),
            "bidQty": desk.grid.quantity(bid_lots),
            "askPrice": desk.grid.price(max(ask, 0)),
            "askQty": desk.grid.quantity(ask_lots),
        }
        return body if self._is_spot else {**body, "time": self._now_ns() // _MS, "lastUpdateId": desk.book.update_id}

    def _premium(self, desk: Desk) -> dict[str, Any]:
        mark, index = desk.mark_price()
        return {
            "symbol": desk.grid.symbol,
            "markPrice": f"{mark:.8f}",
            "indexPrice": f"{index:.8f}",
            "estimatedSettlePrice": f"{index:.8f}",
            "lastFundingRate": f"{FUNDING_RATE:.8f}",
            "interestRate": "0.00010000",
            "nextFundingTime": desk.next_funding_ns() // _MS,
            "time": self._now_ns() // _MS,
        }

    def _day(self, desk: Desk) -> dict[str, Any]:
        grid, tape = desk.grid, desk.tape
        day = _merged(list(tape.candles)[-1440:], 1 << 40)
        last = _last_ticks(desk)
        bar = day[0] if day else Candle(0, last, last, last, last, 0, 0, 0, 0, 0, 0)
        latest = tape.prints[-1] if tape.prints else None
        change = bar.close - bar.open
        body: dict[str, Any] = {
            "symbol": grid.symbol,
            "priceChange": ("-" if change < 0 else "") + grid.price(abs(change)),
            "priceChangePercent": f"{100.0 * change / bar.open:.3f}",
            "weightedAvgPrice": grid.price(bar.tick_lots // bar.lots if bar.lots else last),
            "lastPrice": grid.price(bar.close),
            "lastQty": grid.quantity(latest.lots if latest else 0),
            "openPrice": grid.price(bar.open),
            "highPrice": grid.price(bar.high),
            "lowPrice": grid.price(bar.low),
            "volume": grid.quantity(bar.lots),
            "quoteVolume": grid.turnover(bar.tick_lots),
            "openTime": self._now_ns() // _MS - 86_400_000,
            "closeTime": self._now_ns() // _MS,
            "firstId": bar.first_id,
            "lastId": latest.trade_id if latest else 0,
            "count": bar.trades,
        }
        if not self._is_spot:
            return body
        touch = self._touch(desk)
        return {**body, "prevClosePrice": grid.price(bar.open), **{key: touch[key] for key in ("bidPrice", "bidQty", "askPrice", "askQty")}}


def weight_of(call: str, query: Mapping[str, str], *, is_spot: bool) -> int:
    """Return a call's request weight."""
    if call == "depth":
        limit = query.get("limit", "")
        depth = int(limit) if limit.isdigit() else 100
        steps = ((100, 5), (500, 25), (1000, 50), (5000, 250)) if is_spot else ((50, 2), (100, 5), (500, 10), (1000, 20))
        return next((weight for most, weight in steps if depth <= most), steps[-1][1])
    spot, usdm = _WEIGHTS.get(call, (1, 1))
    if call == "ticker/24hr" and "symbol" not in query:
        spot, usdm = 80, 40
    return spot if is_spot else usdm


def _whole(query: Mapping[str, str], name: str, default: int, *, least: int = 1, most: int = 1 << 62) -> int:
    text = query.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or int(text) < least:
        raise Refusal(-1130, f"Data sent for parameter '{name}' is not valid.")
    return min(int(text), most)


def _last_ticks(desk: Desk) -> int:
    return desk.tape.prints[-1].ticks if desk.tape.prints else max(desk.book.touch[0], 0)


def _merged(candles: Any, minutes: int) -> list[Candle]:
    bars: list[Candle] = []
    width_ns = minutes * MINUTE_NS
    for c in candles:
        start = c.start_ns // width_ns * width_ns
        if not bars or bars[-1].start_ns != start:
            bars.append(msgspec.structs.replace(c, start_ns=start))
            continue
        bar = bars[-1]
        bar.high, bar.low, bar.close = max(bar.high, c.high), min(bar.low, c.low), c.close
        bar.lots += c.lots
        bar.tick_lots += c.tick_lots
        bar.trades += c.trades
        bar.bought_lots += c.bought_lots
        bar.bought_tick_lots += c.bought_tick_lots
    return bars


def _kline(desk: Desk, bar: Candle, minutes: int) -> list[Any]:
    grid = desk.grid
    prices = [grid.price(ticks) for ticks in (bar.open, bar.high, bar.low, bar.close)]
    start_ms = bar.start_ns // _MS
    ends_ms = start_ms + minutes * 60_000 - 1
    bought = [grid.quantity(bar.bought_lots), grid.turnover(bar.bought_tick_lots)]
    return [start_ms, *prices, grid.quantity(bar.lots), ends_ms, grid.turnover(bar.tick_lots), bar.trades, *bought, "0"]
