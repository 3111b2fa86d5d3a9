"""Answer `/sim/…` about accounts on a market's port, for tests: the venue's own books, deposits, a shock to the price, a revoked key.

`GET /sim/ledger` is the judge: every holder's balances, every order, fill, position and conditional order, as the venue knows them.
`POST /sim/deposit` and `/sim/withdraw` take {account, wallet: spot|usdm, asset, amount}; `/sim/shock` {market, symbol, bps};
`/sim/revoke` {key}.
Only this machine is answered, and no web page.
"""

from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec
from aiohttp import web

from smartmoney.adapters.exchange_fault_control import answered, foreign, problem
from smartmoney.adapters.exchange_venue import TradingVenue
from smartmoney.simulation.exchange.accounts import Account
from smartmoney.simulation.exchange.orders import Fill, Order
from smartmoney.simulation.exchange.refusals import Refusal

_BODY_MAX = 64 << 10
_BPS = 10_000.0
_SHOCK_BPS_MAX = 5_000.0


class AccountControl:
    """Serve the control endpoints of a venue's accounts; `act` runs a change at the market's present time and publishes it."""

    def __init__(self, venue: TradingVenue, act: Callable[[Callable[[], Any]], Any]) -> None:
        self._venue = venue
        self._act = act
        self._posts: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "/sim/deposit": lambda asked: self._transfer(asked, 1),
            "/sim/withdraw": lambda asked: self._transfer(asked, -1),
            "/sim/shock": self._shock,
            "/sim/revoke": self._revoke,
        }

    async def handle(self, request: web.Request) -> web.Response:
        """Answer a request under `/sim/`."""
        refusal = foreign(request)
        if refusal:
            return problem(403, refusal)
        if request.path == "/sim/ledger" and request.method == "GET":
            return answered(200, self._act(self.ledger))
        post = self._posts.get(request.path)
        if post is None or request.method != "POST":
            return problem(404, f"there is /sim/faults, GET /sim/ledger, and POST {', '.join(self._posts)}")
        if request.content_type != "application/json":
            return problem(415, "send Content-Type: application/json")
        if (request.content_length or 0) > _BODY_MAX:
            return problem(413, f"at most {_BODY_MAX} bytes")
        try:
            asked = msgspec.json.decode(await request.read(), type=dict[str, Any])
            return answered(200, self._act(lambda: post(asked)))
        except msgspec.MsgspecError:
            return problem(400, "the body is no JSON object")
        except (ValueError, Refusal) as error:
            return problem(400, str(error))

    def ledger(self) -> dict[str, Any]:
        """Return everything that the venue knows of its accounts."""
        venue = self._venue
        return {
            "now_ns": venue.now_ns(),
            "totals": {asset: str(total) for asset, total in venue.ledger.totals().items()},
            "balances": {h: {a: str(x) for a, x in held.items()} for h, held in venue.ledger.balances().items()},
            "accounts": [self._account(account) for account in venue.accounts.all],
        }

    def _account(self, account: Account) -> dict[str, Any]:
        venue, owner = self._venue, account.owner
        logs = (("spot", venue.spot), ("usdm", venue.usdm))
        return {
            "name": account.spec.name,
            "owner": owner,
            "locked": {asset: str(amount) for asset, amount in account.locked.items()},
            "orders": [{"market": market, **_order(o)} for market, desk in logs for o in desk.log.all_of(owner)],
            "fills": [{"market": market, **_fill(f)} for market, desk in logs for f in desk.fills[owner]],
            "positions": [
                {
                    "symbol": symbol,
                    "lots": p.lots,
                    "book_lots": int(venue.usdm.port.books[symbol].worlds["position"][0][owner]),
                    "cost": str(p.cost),
                    "realised": str(p.realised),
                    "leverage": p.leverage,
                    "isolated": p.is_isolated,
                }
                for symbol, p in venue.usdm.positions[owner].items()
            ],
            "algos": [
                {
                    "id": a.id,
                    "client_id": a.client_id,
                    "symbol": a.asked.symbol,
                    "side": a.asked.side,
                    "kind": a.asked.kind,
                    "status": a.status,
                    "trigger_tick": a.asked.stop_tick,
                    "lots": a.asked.lots,
                    "close_position": a.asked.close_position,
                    "order_id": a.actual_id,
                }
                for a in venue.algos.all_of(owner)
            ],
            "income": [
                {"kind": i.kind, "symbol": i.symbol, "amount": str(i.amount), "number": i.number, "time_ns": i.time_ns}
                for i in venue.usdm.incomes[owner]
            ],
        }

    def _transfer(self, asked: dict[str, Any], sign: int) -> dict[str, Any]:
        account = self._venue.accounts.named(str(asked.get("account", "")))
        if account is None:
            raise ValueError(f"account: there is none named {asked.get('account')!r}")
        wallet, asset = asked.get("wallet"), str(asked.get("asset", ""))
        if wallet not in {"spot", "usdm"}:
            raise ValueError("wallet: spot or usdm")
        try:
            amount = Decimal(str(asked.get("amount")))
        except InvalidOperation:
            raise ValueError("amount: is no number") from None
        if not asset or not amount.is_finite() or amount <= 0:
            raise ValueError("asset and amount: name an asset and a positive amount")
        desk = self._venue.spot if wallet == "spot" else self._venue.usdm
        desk.transfer(account, asset, sign * amount)
        return {"account": account.spec.name, "asset": asset, "amount": str(sign * amount)}

    def _shock(self, asked: dict[str, Any]) -> dict[str, Any]:
        market, bps = asked.get("market"), asked.get("bps")
        if not isinstance(bps, (int, float)) or not abs(bps) <= _SHOCK_BPS_MAX:
            raise ValueError(f"bps: a number between {-_SHOCK_BPS_MAX:.0f} and {_SHOCK_BPS_MAX:.0f}")
        moved = []
        for (which, symbol), desk in self._venue.desks.items():
            if market in (None, which.value) and asked.get("symbol") in (None, symbol):
                # The level that the efficient price is made on: it moves at once and stays moved.
                desk.book.worlds["anchor_ticks"][0] *= 1.0 + bps / _BPS
                moved.append(f"{which.value} {symbol}")
        if not moved:
            raise ValueError("market and symbol: there is no such book")
        return {"moved": moved}

    def _revoke(self, asked: dict[str, Any]) -> dict[str, Any]:
        if not self._venue.accounts.revoke(str(asked.get("key", ""))):
            raise ValueError("key: there is no such key in force")
        return {"revoked": True}


def _order(o: Order) -> dict[str, Any]:
    return {
        "id": o.id,
        "client_id": o.client_id,
        "symbol": o.asked.symbol,
        "side": o.asked.side,
        "kind": o.kind,
        "status": o.status,
        "lots": o.lots,
        "filled_lots": o.filled_lots,
        "tick": o.asked.tick,
        "stop_tick": o.asked.stop_tick,
        "reduce_only": o.reduce_only,
        "list_id": o.list_id,
        "time_ns": o.time_ns,
    }


def _fill(f: Fill) -> dict[str, Any]:
    return {
        "trade_id": f.trade_id,
        "order_id": f.order_id,
        "symbol": f.symbol,
        "side": f.side,
        "tick": f.tick,
        "lots": f.lots,
        "is_maker": f.is_maker,
        "commission": str(f.commission),
        "commission_asset": f.commission_asset,
        "realised": str(f.realised),
        "time_ns": f.time_ns,
    }
