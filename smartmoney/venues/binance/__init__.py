"""Binance spot, USD-M and (for replay) COIN-M."""
