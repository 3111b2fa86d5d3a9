"""The event types of Binance's streams, told apart by the hash of their name."""

import numpy as np
from numba import njit

FNV_BASIS = np.uint64(0xCBF29CE484222325)
FNV_PRIME = np.uint64(0x100000001B3)


def fnv(text: str) -> int:
    """Return the 64-bit FNV-1a hash of a text's UTF-8 bytes, as the compiled scanner computes it."""
    value = int(FNV_BASIS)
    for byte in text.encode():
        value = ((value ^ byte) * int(FNV_PRIME)) & 0xFFFF_FFFF_FFFF_FFFF
    return value


EVENT_DEPTH = np.uint64(fnv("depthUpdate"))
EVENT_TRADE = np.uint64(fnv("trade"))
EVENT_AGGREGATE = np.uint64(fnv("aggTrade"))
EVENT_MARK = np.uint64(fnv("markPriceUpdate"))

KNOWN_EVENTS = (
    "24hrTicker",
    "24hrMiniTicker",
    "1hTicker",
    "4hTicker",
    "1dTicker",
    "avgPrice",
    "bookTicker",
    "markPriceUpdate",
    "indexPriceUpdate",
    "kline",
    "continuous_kline",
    "indexPrice_kline",
    "markPrice_kline",
    "index_kline",
    "forceOrder",
    "contractInfo",
    "compositeIndex",
    "assetIndexUpdate",
    "openInterest",
    "tradingSession",
    "serverShutdown",
    "executionReport",
    "outboundAccountPosition",
    "balanceUpdate",
    "listStatus",
    "listenKeyExpired",
    "externalLockUpdate",
    "eventStreamTerminated",
    "ORDER_TRADE_UPDATE",
    "ACCOUNT_UPDATE",
    "ACCOUNT_CONFIG_UPDATE",
    "ALGO_UPDATE",
    "CONDITIONAL_ORDER_TRIGGER_REJECT",
    "MARGIN_CALL",
    "TRADE_LITE",
    "STRATEGY_UPDATE",
    "GRID_UPDATE",
)
"""Event types that are known and say nothing about book or trades. Of them `markPriceUpdate` is read, for the funding that it tells."""
_KNOWN = np.array(sorted(fnv(name) for name in KNOWN_EVENTS), dtype=np.uint64)


@njit(cache=True, nogil=True)
def is_known(event: int) -> bool:
    """Tell whether an event type's hash is one of `KNOWN_EVENTS`."""
    for k in range(len(_KNOWN)):  # noqa: SIM110 - numba has no any() over a generator
        if _KNOWN[k] == event:
            return True
    return False
