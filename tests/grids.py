"""Instruments that many tests trade: Bitcoin as Binance lists it."""

from decimal import Decimal

from smartmoney.core.domain.instruments import Instrument, Market

SPOT_BTC = Instrument(
    venue="binance",
    market=Market.SPOT,
    symbol="BTCUSDT",
    name="BTC/USDT",
    base="BTC",
    quote="USDT",
    tick_size=Decimal("0.01"),
    lot_size=Decimal("0.00001"),
)
USDM_BTC = Instrument(
    venue="binance",
    market=Market.USDM,
    symbol="BTCUSDT",
    name="BTC/USDT",
    base="BTC",
    quote="USDT",
    tick_size=Decimal("0.1"),
    lot_size=Decimal("0.001"),
)
