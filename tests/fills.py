"""Fills of our orders, and fills with what they cost: many tests need one or two of them, and care about a part of each."""

from decimal import Decimal

from smartmoney.core.domain.orders import Fill, Liquidity, Purpose
from smartmoney.runtime.fill_costs import FillCost


def fill_of(side, lots, ticks, order="o", fee="0", **more):
    """Return a taker's fill at a price in ticks; `more` are other fields of it."""
    usual = {"trade_id": f"{order}-{ticks}-{lots}", "instrument": 0, "fee_asset": "USDT", "liquidity": Liquidity.TAKER, "ts_event_ns": 1}
    return Fill(client_order_id=order, side=side, price_ticks=ticks, lots=lots, fee=Decimal(fee), **{**usual, **more})


def cost_of(side, price, quantity, **more):
    """Return what a taker's fill of an entry cost: nothing, but for what `more` says."""
    price, quantity = Decimal(str(price)), Decimal(str(quantity))
    usual = {
        "ts_event_ns": 0,
        "wall_ns": 0,
        "client_order_id": "o",
        "instrument": 0,
        "purpose": Purpose.ENTRY,
        "liquidity": Liquidity.TAKER,
    }
    costs = {"notional": float(price * quantity), "delay_bps": 0.0, "spread_bps": 0.0, "impact_bps": 0.0, "fee_bps": 0.0}
    return FillCost(side=side, price=price, quantity=quantity, **{**usual, **costs, **more})
