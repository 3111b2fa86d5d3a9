"""OKX v5 swaps on loopback, as its pages document them: real signatures, contracts, sCode in HTTP 200, stops apart as algo orders."""

import base64
import hashlib
import hmac
import json
from datetime import datetime
from decimal import Decimal

from .scripted_venue import KEY, PASSPHRASE, SECRET, Order, ScriptedVenue, now_ms

CONTRACT = Decimal("0.01")
MARKET = {
    "alias": "",
    "baseCcy": "",
    "category": "1",
    "ctMult": "1",
    "ctType": "linear",
    "ctVal": "0.01",
    "ctValCcy": "BTC",
    "expTime": "",
    "instFamily": "BTC-USDT",
    "instId": "BTC-USDT-SWAP",
    "instIdCode": 10459,
    "instType": "SWAP",
    "lever": "100",
    "listTime": "1611916828000",
    "lotSz": "0.1",
    "maxLmtSz": "100000000",
    "maxMktSz": "12000",
    "minSz": "0.1",
    "optType": "",
    "quoteCcy": "",
    "settleCcy": "USDT",
    "state": "live",
    "stk": "",
    "tickSz": "0.1",
    "uly": "BTC-USDT",
}
_LISTS = {"live": "live", "filled": "filled", "canceled": "canceled"}


class OkxVenue(ScriptedVenue):
    """An account in net mode."""

    def __init__(self):
        super().__init__()
        self.config = {
            "uid": "43812",
            "mainUid": "43812",
            "acctLv": "2",
            "posMode": "net_mode",
            "perm": "read_only,trade",
            "ip": "127.0.0.1",
        }
        self.timers = []
        self.bills = []
        self.market = MARKET
        self.margin_mode = "isolated"

    # ---- REST

    def why_unsigned(self, request, text):
        if request.path.startswith("/api/v5/public/"):
            return None
        said = request.headers
        stamp = said.get("OK-ACCESS-TIMESTAMP", "2000-01-01T00:00:00.000Z")
        payload = stamp + request.method + request.path_qs + (text if request.method == "POST" else "")
        signature = base64.b64encode(hmac.new(SECRET.encode(), payload.encode(), hashlib.sha256).digest()).decode()
        if said.get("OK-ACCESS-PASSPHRASE") != PASSPHRASE:
            return self._no(50105, "Request header OK-ACCESS-PASSPHRASE incorrect.")
        if said.get("OK-ACCESS-KEY") != KEY or said.get("OK-ACCESS-SIGN") != signature:
            return self._no(50113, "Invalid Sign")
        at_ms = datetime.fromisoformat(stamp).timestamp() * 1000
        if abs(at_ms - self.clock_ms()) > 30_000 or float(said.get("expTime", 1e15)) < self.clock_ms():
            return self._no(50102, "Timestamp request expired")
        return None

    def fault(self, path, script):
        if path.startswith("api/v5/trade/") and script.code and script.code >= 51000:
            row = {"clOrdId": "", "ordId": "", "sCode": str(script.code), "sMsg": script.message, "tag": ""}
            return {"code": "1", "msg": "All operations failed", "data": [row]}
        return self._no(script.code, script.message)

    def answer(self, path, params):
        return getattr(self, "_" + path.removeprefix("api/v5/").replace("/", "_").replace("-", "_"))(params)

    def _ok(self, data):
        return {"code": "0", "msg": "", "data": data}

    def _no(self, code, message):
        return {"code": str(code), "msg": message, "data": []}

    def _each(self, code, message, **row):
        """Refuse in the documented way: HTTP 200, code 1, the reason in the order's own row."""
        return {"code": "1", "msg": "All operations failed", "data": [{**row, "sCode": str(code), "sMsg": message}]}

    def _public_time(self, _params):
        return self._ok([{"ts": str(self.clock_ms())}])

    def _public_instruments(self, _params):
        return self._ok([self.market])

    def _account_config(self, _params):
        return self._ok([self.config])

    def _account_balance(self, _params):
        detail = {"ccy": "USDT", "eq": "10000", "cashBal": "10000", "availBal": "10000", "availEq": "10000", "frozenBal": "0"}
        return self._ok([{"totalEq": "10000", "uTime": str(now_ms()), "details": [detail]}])

    def _account_leverage_info(self, params):
        return self._ok([{"instId": params["instId"], "mgnMode": params["mgnMode"], "posSide": "net", "lever": self.leverage}])

    def _account_set_leverage(self, params):
        self.leverage = str(params["lever"])
        return self._ok([params])

    def _account_bills(self, params):
        rows = [row for row in reversed(self.bills) if row["type"] == params["type"]]
        return self._ok([row for row in rows if int(params["begin"]) <= int(row["ts"]) <= int(params["end"])][: int(params["limit"])])

    _account_bills_archive = _account_bills

    def _account_positions(self, _params):
        if not self.position:
            return self._ok([])
        row = {
            "instId": "BTC-USDT-SWAP",
            "instType": "SWAP",
            "mgnMode": self.margin_mode,
            "posSide": "net",
            "pos": f"{self.position:f}",
            "avgPx": "60000",
            "lever": self.leverage,
            "markPx": "60000",
            "upl": "0",
            "notionalUsd": "",
            "liqPx": "",
            "margin": "",
            "imr": "",
            "mmr": "",
            "mgnRatio": "",
            "cTime": str(now_ms()),
            "uTime": str(now_ms()),
            "posId": "1",
        }
        return self._ok([row])

    def _trade_order(self, params):
        if "ordId" not in params and "sz" not in params:
            found = next((o for o in self.orders.values() if not o.is_algo and o.client_id == params.get("clOrdId")), None)
            return self._ok([self.row(found)]) if found else self._no(51603, "Order does not exist")
        if "sz" not in params:
            found = next((o for o in self.orders.values() if not o.is_algo and o.number == params["ordId"]), None)
            return self._ok([self.row(found)]) if found else self._no(51603, "Order does not exist")
        name = params["clOrdId"]
        if not name.isalnum() or len(name) > 32:
            return self._each(51000, "Parameter clOrdId error", clOrdId=name, ordId="")
        if any(not o.is_algo and o.client_id == name for o in self.orders.values()):
            return self._each(51016, "Client order ID already exists.", clOrdId=name, ordId="")
        order = self._new(name, params, is_algo=False, price=params.get("px", ""), trigger="", kind=params["ordType"])
        order.carried = next(iter(params.get("attachAlgoOrds", [])), None)
        if self.fills_markets and params["ordType"] == "market":
            self.execute(order, params["sz"], "60000")
        return self._ok([{"clOrdId": name, "ordId": order.number, "tag": "", "ts": str(now_ms()), "sCode": "0", "sMsg": ""}])

    def _trade_order_algo(self, params):
        if "sz" not in params:
            found = next((o for o in self.orders.values() if o.is_algo and o.client_id == params.get("algoClOrdId")), None)
            return self._ok([self.row(found)]) if found else self._no(51603, "Order does not exist")
        name = params["algoClOrdId"]
        if any(o.is_algo and o.client_id == name for o in self.orders.values()):
            return self._each(51065, "algoClOrdId already exists", algoClOrdId=name, algoId="")
        order = self._new(name, params, is_algo=True, price="", trigger=params["slTriggerPx"], kind=params["ordType"])
        return self._ok([{"algoId": order.number, "algoClOrdId": name, "clOrdId": "", "sCode": "0", "sMsg": "", "tag": ""}])

    def _new(self, name, params, **more):
        number = str(7_000_000_000_000_000_000 + self.number())
        self.orders[number] = Order(
            name,
            number=number,
            side=params["side"],
            quantity=Decimal(params["sz"]),
            reduces=str(params.get("reduceOnly", "false")).lower() == "true",
            state="live",
            sent="",
            **more,
        )
        return self.orders[number]

    def _trade_cancel_order(self, params):
        found = self._named_by(params, is_algo=False)
        if found is None or not found.is_live:
            return self._each(51400, "Cancellation failed as the order has been filled, canceled or does not exist.", ordId="")
        self.end(found)
        return self._ok([{"clOrdId": found.client_id, "ordId": found.number, "sCode": "0", "sMsg": "", "ts": str(now_ms())}])

    def _trade_cancel_algos(self, params):
        found = self._named_by(params[0], is_algo=True)
        if found is None or not found.is_live:
            return self._each(51400, "Cancellation failed as the order does not exist.", algoId="")
        found.is_live, found.state = False, "canceled"
        return self._ok([{"algoId": found.number, "algoClOrdId": found.client_id, "sCode": "0", "sMsg": ""}])

    def _named_by(self, params, *, is_algo):
        number, name = ("algoId", "algoClOrdId") if is_algo else ("ordId", "clOrdId")
        said = (params.get(number), params.get(name))
        found = (
            o
            for o in self.orders.values()
            if o.is_algo is is_algo and (o.number == said[0] or (said[0] is None and o.client_id == said[1]))
        )
        return next(found, None)

    def _trade_cancel_all_after(self, params):
        self.timers.append(params["timeOut"])
        return self._ok([{"triggerTime": "0" if params["timeOut"] == "0" else str(now_ms()), "tag": "", "ts": str(now_ms())}])

    def _trade_orders_pending(self, params):
        return self._page([self.row(o) for o in self.orders.values() if o.is_live and not o.is_algo], params, "ordId")

    def _trade_orders_algo_pending(self, params):
        return self._page([self.row(o) for o in self.orders.values() if o.is_live and o.is_algo], params, "algoId")

    def _page(self, rows, params, number):
        """Return a page of what is older than `after`, newest first."""
        rows = sorted((row for row in rows if int(row[number]) < int(params.get("after", 10**20))), key=lambda row: -int(row[number]))
        return self._ok(rows[: min(100, int(params.get("limit", 100)))])

    def _trade_fills_history(self, params):
        rows = [
            trade
            for trade in reversed(self.trades)
            if params.get("ordId") in {None, trade["ordId"]}
            and int(params.get("begin", 0)) <= int(trade["ts"]) <= int(params.get("end", 10**15))
        ]
        return self._page(rows, params, "billId")

    def row(self, order):
        common = {
            "instId": "BTC-USDT-SWAP",
            "instType": "SWAP",
            "side": order.side,
            "posSide": "net",
            "tdMode": "isolated",
            "ordType": order.kind,
            "state": order.state,
            "sz": f"{order.quantity:f}",
            "reduceOnly": "true" if order.reduces else "false",
            "cTime": str(order.made_ms),
            "uTime": str(now_ms()),
            "tag": "",
        }
        if order.is_algo:
            return {
                **common,
                "algoId": order.number,
                "algoClOrdId": order.client_id,
                "clOrdId": "",
                "ordId": order.sent,
                "slTriggerPx": order.trigger,
                "slOrdPx": "-1",
                "slTriggerPxType": "last",
                "tpTriggerPx": "",
                "tpOrdPx": "",
                "failCode": "0",
            }
        return {
            **common,
            "ordId": order.number,
            "clOrdId": "" if order.parent else order.client_id,
            "algoId": order.parent.number if order.parent else "",
            "algoClOrdId": order.parent.client_id if order.parent else "",
            "px": order.price,
            "avgPx": "" if not order.filled else f"{order.value / order.filled:f}",
            "accFillSz": f"{order.filled:f}",
            "fillSz": "0",
            "fillPx": "",
            "tradeId": "",
            "fee": "0",
            "feeCcy": "USDT",
            "cancelSource": order.reason,
            "attachAlgoOrds": [order.carried] if order.carried else [],
        }

    # ---- what happens at the venue

    def base(self, quantity):
        return quantity * CONTRACT

    def end(self, order, state="canceled"):
        """End a plain order; only then is the stop made that it carries, for what it filled."""
        order.is_live, order.state = False, state
        if self.attaches and order.carried and order.filled:
            self.attach(order)

    def attach(self, order):
        """Make the stop that an order carried."""
        side = "sell" if order.side == "buy" else "buy"
        params = {"side": side, "sz": order.filled, "reduceOnly": "true" if self.attached_reduce else "false"}
        name, trigger = order.carried["attachAlgoClOrdId"], order.carried["slTriggerPx"]
        return self._new(name, params, is_algo=True, price="", trigger=trigger, kind="conditional")

    def trigger(self, name):
        """Let a stop send its market order, which is another order with a number of its own."""
        algo = next(o for o in self.orders.values() if o.is_algo and o.client_id == name)
        child = self._new(
            "", {"side": algo.side, "sz": algo.quantity, "reduceOnly": "true"}, is_algo=False, price="", trigger="", kind="market"
        )
        child.parent = algo
        algo.is_live, algo.state, algo.sent = False, "effective", child.number
        return algo, child

    def execute(self, order, contracts, price, *, is_cut=False):
        """Trade a part of an order, and end it there if it `is_cut`; return (the fill as listed, the order as pushed)."""
        contracts, price = Decimal(contracts), Decimal(price)
        order.filled += contracts
        order.value += contracts * price
        self.position += contracts if order.side == "buy" else -contracts
        order.state = "partially_filled"
        if order.filled == order.quantity:
            self.end(order, "filled")
        elif is_cut:
            self.end(order)
        self.note_cover(order)
        fee = f"{-contracts * CONTRACT * price * Decimal('0.0005'):f}"
        number = str(self.number())
        trade = {
            "instType": "SWAP",
            "instId": "BTC-USDT-SWAP",
            "tradeId": number,
            "ordId": order.number,
            "clOrdId": "" if order.parent else order.client_id,
            "billId": number,
            "tag": "",
            "fillPx": f"{price:f}",
            "fillSz": f"{contracts:f}",
            "side": order.side,
            "posSide": "net",
            "execType": "T",
            "feeCcy": "USDT",
            "fee": fee,
            "ts": str(self.clock_ms()),
            "fillTime": str(self.clock_ms()),
        }
        self.trades.append(trade)
        pushed = {
            **self.row(order),
            "tradeId": number,
            "fillPx": f"{price:f}",
            "fillSz": f"{contracts:f}",
            "fillTime": str(self.clock_ms()),
            "fillFee": fee,
            "fillFeeCcy": "USDT",
            "fee": fee,
            "execType": "T",
        }
        return trade, pushed

    def frame(self, *rows, channel="orders"):
        return {"arg": {"channel": channel, "instType": "ANY", "uid": "43812"}, "data": list(rows)}

    async def tell_order(self, order, *, times=1):
        channel = "orders-algo" if order.is_algo else "orders"
        await self.push(channel, self.frame(self.row(order), channel=channel), times=times)

    async def fill(self, order, contracts, price="60000", *, times=1):
        _, pushed = self.execute(order, contracts, price)
        await self.push("orders", self.frame(pushed), times=times)
        await self.tell_stops()

    async def charge(self, amount, *, kind="FUNDING"):
        """Let an isolated position pay its funding, or money be moved; the orders' stream says nothing of it."""
        number = str(9_000_000_000_000_000_000 + self.number())
        is_funding = kind == "FUNDING"
        said = {"balChg": "0", "posBalChg": amount, "pnl": amount} if is_funding else {"balChg": amount, "posBalChg": "0", "pnl": "0"}
        row = {
            "billId": number,
            "type": "8" if is_funding else "1",
            "subType": "173" if is_funding else "11",
            "ccy": "USDT",
            "ts": str(self.clock_ms()),
        }
        self.bills.append({**row, "instId": "BTC-USDT-SWAP" if is_funding else "", "instType": "SWAP" if is_funding else "", **said})
        return f"{kind}-{number}"

    async def tell_stops(self):
        stops = [self.row(order) for order in self.orders.values() if order.is_algo]
        if stops:
            await self.push("orders-algo", self.frame(*stops, channel="orders-algo"))

    # ---- the private sockets

    async def told(self, socket, text):
        if text == "ping":
            await socket.send_str("pong")
            return
        said = json.loads(text)
        if said["op"] == "login":
            asked = said["args"][0]
            payload = asked["timestamp"] + "GET/users/self/verify"
            expected = base64.b64encode(hmac.new(SECRET.encode(), payload.encode(), hashlib.sha256).digest()).decode()
            is_good = (asked["apiKey"], asked["passphrase"], asked["sign"]) == (KEY, PASSPHRASE, expected)
            bad = {"event": "error", "code": "60009", "msg": "Login failed.", "connId": "a4d3ae55"}
            await socket.send_str(json.dumps({"event": "login", "code": "0", "msg": "", "connId": "a4d3ae55"} if is_good else bad))
        elif said["op"] == "subscribe":
            for asked in said["args"]:
                socket.topics.add(asked["channel"])
                await socket.send_str(json.dumps({"event": "subscribe", "arg": asked, "connId": "a4d3ae55"}))
