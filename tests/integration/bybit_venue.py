"""Bybit v5 linear on loopback, as its pages document it: real signatures, asynchronous acknowledgements, order and execution topics."""

import hashlib
import hmac
import json
import uuid
from decimal import Decimal
from urllib.parse import quote

from .scripted_venue import KEY, SECRET, Order, ScriptedVenue, now_ms

MARKET = {
    "symbol": "BTCUSDT",
    "contractType": "LinearPerpetual",
    "status": "Trading",
    "baseCoin": "BTC",
    "quoteCoin": "USDT",
    "settleCoin": "USDT",
    "launchTime": "1585526400000",
    "deliveryTime": "0",
    "deliveryFeeRate": "",
    "priceScale": "2",
    "leverageFilter": {"minLeverage": "1", "maxLeverage": "100.00", "leverageStep": "0.01"},
    "priceFilter": {"minPrice": "0.10", "maxPrice": "1999999.80", "tickSize": "0.10"},
    "lotSizeFilter": {
        "maxOrderQty": "1190.000",
        "minOrderQty": "0.001",
        "qtyStep": "0.001",
        "postOnlyMaxOrderQty": "1190.000",
        "maxMktOrderQty": "500.000",
        "minNotionalValue": "5",
    },
    "unifiedMarginTrade": True,
    "fundingInterval": 480,
}


class BybitVenue(ScriptedVenue):
    """A unified account in one-way mode. `restrict` changes what the key may do."""

    def __init__(self):
        super().__init__()
        self.key = {
            "userID": 24617703,
            "readOnly": 0,
            "ips": ["127.0.0.1"],
            "uta": 1,
            "permissions": {"ContractTrade": ["Order", "Position"], "Spot": [], "Wallet": [], "Options": []},
        }
        self.margin_mode = "ISOLATED_MARGIN"
        self.position_index = 0
        self.limit_reset_ms = None
        self.login_fault = ""
        self.names_parents = True
        self.log = []
        self.market = MARKET
        self.unified_status = 6
        self.logins_refused = 0
        self.page_max = 100
        """Pages hold no more, whatever was asked for."""

    # ---- REST

    def why_unsigned(self, request, text):
        if request.path.startswith("/v5/market/"):
            return None
        said = request.headers
        stamp, window = said.get("X-BAPI-TIMESTAMP", "0"), said.get("X-BAPI-RECV-WINDOW", "0")
        payload = stamp + KEY + window + (text if request.method == "POST" else request.raw_path.partition("?")[2])
        if hmac.new(SECRET.encode(), payload.encode(), hashlib.sha256).hexdigest() != said.get("X-BAPI-SIGN"):
            return self._no(10004, "error sign! origin_string[…]")
        server = self.clock_ms()
        if not server - int(window) <= int(stamp) < server + 1000:
            return self._no(10002, "invalid request, please check your server timestamp or recv_window param")
        return None

    def headers(self):
        reset_ms = self.limit_reset_ms or self.clock_ms()
        return {"X-Bapi-Limit": "10", "X-Bapi-Limit-Status": "9", "X-Bapi-Limit-Reset-Timestamp": str(reset_ms)}

    def fault(self, path, script):
        del path
        return self._no(script.code or 0, script.message)

    def answer(self, path, params):
        return getattr(self, "_" + path.removeprefix("v5/").replace("/", "_").replace("-", "_"))(params)

    def _ok(self, result):
        return {"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": self.clock_ms()}

    def _no(self, code, message):
        return {"retCode": code, "retMsg": message, "result": {}, "retExtInfo": {}, "time": self.clock_ms()}

    def _market_time(self, _params):
        ms = self.clock_ms()
        return {**self._ok({"timeSecond": str(ms // 1000), "timeNano": str(ms * 1_000_000)}), "time": ms}

    def _market_instruments_info(self, _params):
        return self._ok({"category": "linear", "list": [self.market], "nextPageCursor": ""})

    def _user_query_api(self, _params):
        return self._ok(self.key)

    def _account_info(self, _params):
        return self._ok(
            {"unifiedMarginStatus": self.unified_status, "marginMode": self.margin_mode, "dcpStatus": "OFF", "timeWindow": 0, "smpGroup": 0}
        )

    def _account_wallet_balance(self, _params):
        coin = {"coin": "USDT", "walletBalance": "10000", "equity": "10000", "locked": "0", "totalOrderIM": "0", "availableToWithdraw": ""}
        return self._ok({"list": [{"accountType": "UNIFIED", "totalEquity": "10000", "coin": [coin]}]})

    def _account_transaction_log(self, params):
        rows = [row for row in reversed(self.log) if row["type"] == params["type"]]
        rows = [row for row in rows if int(params["startTime"]) <= int(row["transactionTime"]) <= int(params["endTime"])]
        return self._ok({"list": rows[: int(params["limit"])], "nextPageCursor": ""})

    def _position_set_leverage(self, params):
        if params["buyLeverage"] == self.leverage:
            return self._no(110043, "Set leverage not modified")
        self.leverage = params["buyLeverage"]
        return self._ok({})

    def _position_list(self, params):
        side = "" if not self.position else "Buy" if self.position > 0 else "Sell"
        row = {
            "positionIdx": self.position_index,
            "symbol": params.get("symbol", "BTCUSDT"),
            "side": side,
            "size": f"{abs(self.position):f}",
            "avgPrice": "60000" if side else "",
            "positionValue": "",
            "tradeMode": 0,
            "leverage": self.leverage,
            "markPrice": "60000",
            "liqPrice": "",
            "positionIM": "",
            "positionMM": "",
            "unrealisedPnl": "0",
            "createdTime": "1676538056258",
            "updatedTime": "1697673600012",
            "positionStatus": "Normal",
        }
        return self._ok({"category": "linear", "list": [row], "nextPageCursor": ""})

    def _order_create(self, params):
        if any(order.client_id == params["orderLinkId"] for order in self.orders.values()):
            return self._no(110072, "OrderLinkedID is duplicate")
        number = str(uuid.uuid4())
        self.orders[number] = Order(
            params["orderLinkId"],
            number=number,
            side=params["side"],
            kind=params["orderType"],
            quantity=Decimal(params["qty"]),
            price=params.get("price", ""),
            trigger=params.get("triggerPrice", ""),
            force=params.get("timeInForce", "IOC" if params["orderType"] == "Market" else "GTC"),
            reduces=bool(params.get("reduceOnly", False)),
            status="Untriggered" if params.get("triggerPrice") else "New",
            carried=params.get("stopLoss"),
        )
        if self.fills_markets and self.orders[number].status == "New" and params["orderType"] == "Market":
            self.execute(self.orders[number], params["qty"], "60000")
        return self._ok({"orderId": number, "orderLinkId": params["orderLinkId"]})

    def _order_cancel(self, params):
        order = next(iter(self._chosen(params)), None)
        if order is None or not order.is_live:
            return self._no(110001, "order not exists or too late to cancel")
        order.is_live, order.status = False, "Deactivated" if order.status == "Untriggered" else "Cancelled"
        return self._ok({"orderId": order.number, "orderLinkId": order.client_id})

    def _order_realtime(self, params):
        named = "orderLinkId" in params or "orderId" in params
        return self._page([self.row(o) for o in reversed(self._chosen(params)) if named or o.is_live], params, "orderId")

    def _page(self, rows, params, number):
        """Return a page, newest first; its cursor comes ready for a query, even where nothing follows."""
        words = dict(part.split("=", 1) for part in params["cursor"].strip("&").split("&")) if "cursor" in params else {}
        # What the cursor names may be gone by now: nothing follows it then.
        begin = next((at + 1 for at, row in enumerate(rows) if row[number] == words["page_args"]), len(rows)) if words else 0
        page = rows[begin : begin + min(self.page_max, int(params.get("limit", 20)))]
        cursor = quote(f"page_args={page[-1][number]}&symbol=6&", safe="") if page else ""
        return self._ok({"category": "linear", "list": page, "nextPageCursor": cursor})

    def _order_history(self, params):
        return self._ok({"category": "linear", "list": [self.row(o) for o in self._chosen(params) if not o.is_live], "nextPageCursor": ""})

    def _execution_list(self, params):
        rows = [
            trade
            for trade in reversed(self.trades)
            if trade["execType"] == params.get("execType", "Trade")
            and params.get("orderId") in {None, trade["orderId"]}
            and params.get("orderLinkId") in {None, trade["orderLinkId"]}
            and int(params.get("startTime", 0)) <= int(trade["execTime"]) <= int(params.get("endTime", 10**15))
        ]
        return self._page(rows, {"limit": 50, **params}, "execId")

    def _chosen(self, params):
        return [
            order
            for order in self.orders.values()
            if params.get("orderLinkId") in {None, order.client_id} and params.get("orderId") in {None, order.number}
        ]

    def row(self, order):
        average = order.value / order.filled if order.filled else None
        return {
            "category": "linear",
            "symbol": "BTCUSDT",
            "orderId": order.number,
            "orderLinkId": order.client_id,
            "side": order.side,
            "orderType": order.kind,
            "price": order.price or "0",
            "qty": f"{order.quantity:f}",
            "timeInForce": order.force,
            "orderStatus": order.status,
            "cancelType": "UNKNOWN",
            "rejectReason": order.reason or "EC_NoError",
            "avgPrice": "" if average is None else f"{average:f}",
            "leavesQty": f"{order.quantity - order.filled if order.is_live else 0:f}",
            "cumExecQty": f"{order.filled:f}",
            "cumExecValue": f"{order.value:f}",
            "cumExecFee": "0",
            "stopOrderType": "StopLoss" if order.parent else "Stop" if order.trigger else "",
            "parentOrderLinkId": order.parent.client_id if order.parent and self.names_parents else "",
            "createType": "CreateByStopLoss" if order.parent else "CreateByUser",
            "stopLoss": order.carried or "",
            "triggerPrice": order.trigger,
            "triggerDirection": 0,
            "reduceOnly": order.reduces,
            "closeOnTrigger": False,
            "positionIdx": 0,
            "tpslMode": "Full" if order.parent or order.carried else "",
            "createdTime": str(order.made_ms),
            "updatedTime": str(now_ms()),
        }

    # ---- what happens at the venue

    def execute(self, order, quantity, price, kind="Trade"):
        """Trade a part of an order; return the execution as the venue lists it."""
        quantity, price = Decimal(quantity), Decimal(price)
        order.filled += quantity
        order.value += quantity * price
        self.position += quantity if order.side == "Buy" else -quantity
        if order.filled == order.quantity:
            order.is_live, order.status = False, "Filled"
        else:
            order.status = "PartiallyFilled"
        self._keep_position_stop(order)
        self.note_cover(order)
        trade = {
            "category": "linear",
            "symbol": "BTCUSDT",
            "orderId": order.number,
            "orderLinkId": order.client_id,
            "side": order.side,
            "orderPrice": order.price,
            "orderQty": f"{order.quantity:f}",
            "leavesQty": f"{order.quantity - order.filled:f}",
            "orderType": order.kind,
            "stopOrderType": "UNKNOWN",
            "execFee": f"{quantity * price * Decimal('0.00055'):f}",
            "feeCurrency": "",
            "execId": str(uuid.uuid4()),
            "execPrice": f"{price:f}",
            "execQty": f"{quantity:f}",
            "execType": kind,
            "execValue": f"{quantity * price:f}",
            "execTime": str(self.clock_ms()),
            "isMaker": order.force == "GTC",
            "feeRate": "0.00055",
            "seq": self.number(),
            "createType": "CreateByUser",
        }
        self.trades.append(trade)
        return trade

    def _keep_position_stop(self, order):
        """Make the position's stop out of the entry that carries it, and give it the position's size from then on."""
        stop = next((o for o in self.stops() if o.parent is not None and o is not order), None)
        if stop is not None:
            stop.quantity = abs(self.position)
            if not self.position:
                stop.is_live, stop.status = False, "Deactivated"
        elif self.attaches and order.carried and self.position:
            number = str(uuid.uuid4())
            self.orders[number] = Order(
                "",
                number=number,
                side="Sell" if order.side == "Buy" else "Buy",
                kind="Market",
                quantity=abs(self.position),
                price="",
                trigger=order.carried,
                force="IOC",
                reduces=True,
                status="Untriggered",
                parent=order,
            )

    def order_frame(self, *orders):
        return {"id": str(uuid.uuid4()), "topic": "order", "creationTime": now_ms(), "data": [self.row(order) for order in orders]}

    def execution_frame(self, *trades):
        return {"id": str(uuid.uuid4()), "topic": "execution", "creationTime": now_ms(), "data": list(trades)}

    async def tell_order(self, name, *, times=1):
        await self.push("order", self.order_frame(self.named(name)), times=times)

    async def fill(self, name, quantity, price="60000", *, times=1):
        """Trade, and push execution and order as the venue does."""
        trade = self.execute(self.named(name), quantity, price)
        await self.push("execution", self.execution_frame(trade), times=times)
        await self.tell_order(name, times=times)
        await self.push("order", self.order_frame(*self.position_stops()))
        return trade

    async def charge(self, amount, *, kind="SETTLEMENT"):
        """Let funding be paid (or, of another kind, money be moved); funding is told on the stream as an execution."""
        number, at_ms = self.number(), self.clock_ms()
        funding = amount if kind == "SETTLEMENT" else ""
        row = {"id": f"592324_BTCUSDT_{number}", "type": kind, "symbol": "BTCUSDT" if funding else "", "side": "Buy", "funding": funding}
        self.log.append({**row, "change": amount, "cashFlow": "0", "fee": "0", "currency": "USDT", "transactionTime": str(at_ms)})
        if funding:
            paid = {"execType": "Funding", "execId": f"f{number}", "orderId": f"{at_ms}-8", "orderLinkId": "", "side": "Buy"}
            said = {"execPrice": "60000", "execQty": "0.012", "execFee": amount, "execTime": str(at_ms), "isMaker": False}
            frame = self.execution_frame({"category": "linear", "symbol": "BTCUSDT", "createType": "", **paid, **said})
            await self.push("execution", frame)
        return f"{kind}-592324_BTCUSDT_{number}-{at_ms}"

    def position_stops(self):
        """Return the stops that were made out of entries, gone or not."""
        return [order for order in self.orders.values() if order.parent is not None]

    async def trigger(self, stop, price):
        """Let a stop act: the same order goes on, and trades."""
        stop.status = "Triggered"
        trade = self.execute(stop, stop.quantity, price)
        await self.push("execution", self.execution_frame(trade))
        await self.push("order", self.order_frame(stop))

    # ---- the private socket

    async def told(self, socket, text):
        said = json.loads(text)
        if said["op"] == "auth":
            key, expires, signature = said["args"]
            expected = hmac.new(SECRET.encode(), f"GET/realtime{expires}".encode(), hashlib.sha256).hexdigest()
            is_good = key == KEY and signature == expected
            is_good = is_good and not self.login_fault
            self.logins_refused += not is_good
            message = {"success": is_good, "ret_msg": "" if is_good else self.login_fault or "error:sign", "op": "auth", "conn_id": "c-1"}
            await socket.send_str(json.dumps(message if is_good else {**message, "request": {"op": "auth", "args": []}}))
        elif said["op"] == "subscribe":
            socket.topics.update(said["args"])
            await socket.send_str(json.dumps({"success": True, "ret_msg": "", "op": "subscribe", "conn_id": "c-1"}))
        elif said["op"] == "ping":
            await socket.send_str(json.dumps({"req_id": "p", "op": "pong", "args": [str(now_ms())], "conn_id": "c-1"}))
