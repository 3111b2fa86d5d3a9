"""Answer USD-M's private calls about the account: balances, positions, income, and its settings (leverage, margin type, modes)."""

from typing import Any

from smartmoney.adapters import exchange_private_usdm_wire as form
from smartmoney.adapters.exchange_private import Handler, Route
from smartmoney.adapters.exchange_private_spot import within
from smartmoney.adapters.exchange_signing import Parameters
from smartmoney.adapters.exchange_venue import TradingVenue
from smartmoney.simulation.exchange.accounts import Account
from smartmoney.simulation.exchange.events import ConfigEvent
from smartmoney.simulation.exchange.positions import BRACKETS, LEVERAGE_MAX, Position, notional_max
from smartmoney.simulation.exchange.refusals import Refusal, mandatory

_MS = 1_000_000
_SUCCESS = {"code": 200, "msg": "success"}


class UsdmAccountCalls:
    """Hold the handlers of USD-M's account calls."""

    def __init__(self, venue: TradingVenue) -> None:
        self._venue = venue
        self._desk = venue.usdm

    def routes(self) -> dict[tuple[str, ...], Route]:
        """Return the routes by (method, family, call) or (method, family, version, call)."""
        table: tuple[tuple[tuple[str, ...], Handler, str, int], ...] = (
            (("GET", "fapi", "account"), self.account, "USER_DATA", 5),
            (("GET", "fapi", "v3", "account"), self.account_v3, "USER_DATA", 5),
            (("GET", "fapi", "balance"), self.balance, "USER_DATA", 5),
            (("GET", "fapi", "positionRisk"), self.position_risk, "USER_DATA", 5),
            (("GET", "fapi", "v3", "positionRisk"), self.position_risk_v3, "USER_DATA", 5),
            (("GET", "fapi", "income"), self.income, "USER_DATA", 30),
            (("POST", "fapi", "leverage"), self.set_leverage, "TRADE", 1),
            (("POST", "fapi", "marginType"), self.set_margin_type, "TRADE", 1),
            (("GET", "fapi", "positionSide/dual"), self.position_mode, "USER_DATA", 30),
            (("POST", "fapi", "positionSide/dual"), self.set_position_mode, "TRADE", 1),
            (("GET", "fapi", "multiAssetsMargin"), self.assets_mode, "USER_DATA", 30),
            (("POST", "fapi", "multiAssetsMargin"), self.set_assets_mode, "TRADE", 1),
            (("GET", "fapi", "commissionRate"), self.commission, "USER_DATA", 20),
            (("GET", "fapi", "leverageBracket"), self.brackets, "USER_DATA", 1),
            (("GET", "fapi", "symbolConfig"), self.symbol_config, "USER_DATA", 5),
            (("GET", "fapi", "accountConfig"), self.account_config, "USER_DATA", 5),
            (("GET", "fapi", "rateLimit/order"), self.order_rate, "USER_DATA", 1),
        )
        return {key: Route(handler=handler, security=security, weight=weight) for key, handler, security, weight in table}

    def account(self, account: Account, _p: Parameters) -> Any:
        """Return totals, assets and all positions, as v2 does."""
        margin = self._desk.margin(account)
        positions = self._desk.positions[account.owner].items()
        return {
            "feeTier": 0,
            "canTrade": True,
            "canDeposit": True,
            "canWithdraw": True,
            "feeBurn": False,
            "tradeGroupId": -1,
            "updateTime": 0,
            "multiAssetsMargin": False,
            **form.sums(margin),
            "assets": [form.asset(margin, account.updated_ns)],
            "positions": [form.account_position(p, self._desk.part(account, s), is_v3=False) for s, p in positions],
        }

    def account_v3(self, account: Account, _p: Parameters) -> Any:
        """Return totals, assets, and the positions that hold or tie up something."""
        margin = self._desk.margin(account)
        rows = [form.account_position(p, self._desk.part(account, s), is_v3=True) for s, p in self._in_use(account)]
        return {**form.sums(margin), "assets": [form.asset(margin, account.updated_ns)], "positions": rows}

    def balance(self, account: Account, _p: Parameters) -> Any:
        """Return balances."""
        return [form.balance(self._desk.margin(account), account.owner, account.updated_ns)]

    def position_risk(self, account: Account, p: Parameters) -> Any:
        """Return all positions, as v1 and v2 do."""
        return self._risks(account, list(self._chosen(account, p).items()), is_v3=False)

    def position_risk_v3(self, account: Account, p: Parameters) -> Any:
        """Return the positions that hold or tie up something."""
        chosen = self._chosen(account, p)
        return self._risks(account, [(s, x) for s, x in self._in_use(account) if s in chosen], is_v3=True)

    def income(self, account: Account, p: Parameters) -> Any:
        """Return the history of the wallet's movements."""
        symbol, kind = p.text("symbol"), p.text("incomeType")
        rows = [i for i in self._desk.incomes[account.owner] if (not symbol or i.symbol == symbol) and (not kind or i.kind == kind)]
        page = p.whole("page")
        if page is not None and page > 1:
            limit = min(p.whole("limit", 100) or 100, 1000)
            rows = [i for i in rows if i.time_ns // _MS >= (p.whole("startTime") or 0)][limit * (page - 1) :]
        return [form.income(i) for i in within(p, rows, lambda i: i.time_ns, from_start=False, default=100)]

    def set_leverage(self, account: Account, p: Parameters) -> Any:
        """Set a symbol's leverage."""
        symbol = p.needed("symbol")
        self._desk.rules_of(symbol)
        leverage = p.whole("leverage")
        if leverage is None:
            raise mandatory("leverage")
        if not 1 <= leverage <= LEVERAGE_MAX:
            raise Refusal(-4028, f"Leverage {leverage} is not valid")
        position = self._desk.positions[account.owner][symbol]
        if position.is_isolated and position.lots and leverage < position.leverage:
            raise Refusal(-4161, "Leverage reduction is not supported in Isolated Margin Mode with open positions")
        before = position.leverage
        position.leverage = leverage
        if (
            leverage < before
            and self._desk.margin(account).available <= 0
            and (position.lots or self._desk.log.open_of(account.owner, symbol))
        ):
            position.leverage = before
            raise Refusal(-2028, "Leverage is smaller than permitted: insufficient margin balance.")
        if leverage != before:
            self._desk.events.append(ConfigEvent(owner=account.owner, time_ns=self._desk.now_ns(), symbol=symbol, leverage=leverage))
        return {"leverage": leverage, "maxNotionalValue": form.plain(notional_max(leverage)), "symbol": symbol}

    def set_margin_type(self, account: Account, p: Parameters) -> Any:
        """Set a symbol to isolated or cross margin."""
        symbol = p.needed("symbol")
        self._desk.rules_of(symbol)
        kind = p.choice("marginType", ("ISOLATED", "CROSSED", "CROSS"), (-1130, "Data sent for parameter 'marginType' is not valid."))
        position = self._desk.positions[account.owner][symbol]
        if position.is_isolated == (kind == "ISOLATED"):
            raise Refusal(-4046, "No need to change margin type.")
        if self._desk.log.open_of(account.owner, symbol) or self._venue.algos.open_of(account.owner, symbol):
            raise Refusal(-4047, "Margin type cannot be changed if there exists open orders.")
        if position.lots:
            raise Refusal(-4048, "Margin type cannot be changed if there exists position.")
        position.is_isolated = kind == "ISOLATED"
        return _SUCCESS

    def position_mode(self, _account: Account, _p: Parameters) -> Any:
        """Return the position mode: one-way."""
        return {"dualSidePosition": False}

    def set_position_mode(self, _account: Account, p: Parameters) -> Any:
        """Refuse any other position mode."""
        if not p.text("dualSidePosition"):
            raise mandatory("dualSidePosition")
        if p.flag("dualSidePosition"):
            raise Refusal(-4085, "Hedge mode is not supported by this exchange.")
        raise Refusal(-4059, "No need to change position side.")

    def assets_mode(self, _account: Account, _p: Parameters) -> Any:
        """Return the assets mode: single."""
        return {"multiAssetsMargin": False}

    def set_assets_mode(self, _account: Account, p: Parameters) -> Any:
        """Refuse any other assets mode."""
        if not p.text("multiAssetsMargin"):
            raise mandatory("multiAssetsMargin")
        if p.flag("multiAssetsMargin"):
            raise Refusal(-4168, "Unable to adjust to Multi-Assets mode: it is not supported by this exchange.")
        raise Refusal(-4171, "No need to change multi-assets mode.")

    def commission(self, account: Account, p: Parameters) -> Any:
        """Return commission rates."""
        symbol = p.needed("symbol")
        self._desk.rules_of(symbol)
        fees = account.fees
        rates = {"makerCommissionRate": fees.usdm_maker, "takerCommissionRate": fees.usdm_taker}
        return {"symbol": symbol, **{name: f"{rate:.6f}" for name, rate in rates.items()}, "rpiCommissionRate": "0.000000"}

    def brackets(self, account: Account, p: Parameters) -> Any:
        """Return the brackets of leverage and maintenance margin."""
        rows: list[dict[str, Any]] = []
        floor = 0
        for number, b in enumerate(BRACKETS, start=1):
            cap = int(b.cap)
            rows.append(
                {
                    "bracket": number,
                    "initialLeverage": b.leverage,
                    "notionalCap": cap,
                    "notionalFloor": floor,
                    "maintMarginRatio": float(b.ratio),
                    "cum": float(b.cum),
                }
            )
            floor = cap
        found = [{"symbol": symbol, "notionalCoef": 1.0, "brackets": rows} for symbol in self._chosen(account, p)]
        return found[0] if p.text("symbol") else found

    def symbol_config(self, account: Account, p: Parameters) -> Any:
        """Return margin type and leverage of symbols."""
        return [
            {
                "symbol": symbol,
                "marginType": "ISOLATED" if x.is_isolated else "CROSSED",
                "isAutoAddMargin": False,
                "leverage": x.leverage,
                "maxNotionalValue": form.plain(notional_max(x.leverage)),
            }
            for symbol, x in self._chosen(account, p).items()
        ]

    def account_config(self, _account: Account, _p: Parameters) -> Any:
        """Return the account's modes."""
        return {
            "feeTier": 0,
            "canTrade": True,
            "canDeposit": True,
            "canWithdraw": True,
            "dualSidePosition": False,
            "updateTime": 0,
            "multiAssetsMargin": False,
            "tradeGroupId": -1,
        }

    def order_rate(self, account: Account, _p: Parameters) -> Any:
        """Return the limits of new orders."""
        return [
            {"rateLimitType": "ORDERS", "interval": interval, "intervalNum": number, "limit": limit}
            for interval, number, _, limit in account.usdm_rate.windows
        ]

    def _risks(self, account: Account, chosen: list[tuple[str, Position]], *, is_v3: bool) -> list[dict[str, Any]]:
        margin = self._desk.margin(account)
        return [form.risk(x, self._desk.part(account, s), margin, self._desk.mark(s), is_v3=is_v3) for s, x in chosen]

    def _in_use(self, account: Account) -> list[tuple[str, Position]]:
        return [(s, x) for s, x in self._desk.positions[account.owner].items() if x.lots or self._desk.log.open_of(account.owner, s)]

    def _chosen(self, account: Account, p: Parameters) -> dict[str, Position]:
        symbol = p.text("symbol")
        positions = self._desk.positions[account.owner]
        if not symbol:
            return positions
        self._desk.rules_of(symbol)
        return {symbol: positions[symbol]}
