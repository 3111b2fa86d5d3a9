"""Views of a market for the desk's tests: calm by default, each number changeable."""

from decimal import Decimal

import msgspec

from smartmoney.core.domain.instruments import Market
from smartmoney.core.domain.signals import FeedTrust, MarketData
from smartmoney.core.strategy.desk import DecisionView
from tests.grids import SPOT_BTC

S = 1_000_000_000
SPOT = msgspec.structs.replace(SPOT_BTC, venue="sim", min_notional=Decimal(5))
USDM = msgspec.structs.replace(SPOT, market=Market.USDM, lot_size=Decimal("0.001"))

CALM = {
    "spread_bps": 0.2,
    "weighted_imbalance": 0.0,
    "imbalance_momentum": 0.0,
    "ofi_l1_10s": 0.0,
    "tfi_10s": 0.0,
    "tfi_120s": 0.0,
    "large_trade_120s": 0.0,
    "large_trade_threshold": 1000.0,
    "efficiency_120s": 0.1,
    "rv_120s": 120.0,
    "rv_600s": 600.0,
    "sigma_bar_bps": 6.0,
    "liquidity_stress": 0.12,
    "liquidity_score": 0.8,
    "mm_presence": 0.7,
}
BUYING = {**CALM, "weighted_imbalance": 0.2, "ofi_l1_10s": 3.0, "tfi_10s": 0.35, "tfi_120s": 0.35, "large_trade_120s": 4000.0}
LEANING = {"tfi_120s": 0.2, "tfi_10s": 0.1, "weighted_imbalance": 0.13, "large_trade_120s": 500.0, "ofi_l1_10s": 0.0}
"""What of a market leans enough to be offered, and too little to be followed."""
ODD = ("weighted_imbalance", "imbalance_momentum", "ofi_l1_10s", "tfi_10s", "tfi_120s", "large_trade_120s")


def mirrored(features):
    """Swap buying with selling."""
    return {name: -value if name in ODD else value for name, value in features.items()}


def view(features=None, *, at_s=1000.0, grid=SPOT, bid=60_000.0, ask=60_000.01, trust=FeedTrust.SYNCED, **changes):
    """Show a market at a second of both clocks."""
    market = MarketData(
        symbol=grid.symbol,
        ts_event_ns=int(at_s * S),
        bid=bid,
        ask=ask,
        bid_quantity=1.0,
        ask_quantity=1.0,
        trust=trust,
        features=dict(BUYING if features is None else features),
    )
    given = {
        "instrument": 0,
        "warming": False,
        "halted": False,
        "untrained_in_live": False,
        "position_lots": 0,
        "working_lots": 0,
        "equity": Decimal(10_000),
        "cost_bps": 20.2,
        "next_signal_id": f"s-{at_s}",
        **changes,
    }
    return DecisionView(grid=grid, market=market, now_mono_ns=int(at_s * S), now_event_ns=int(at_s * S), **given)
