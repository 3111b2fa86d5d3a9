"""smartmoney: recognises accumulation and distribution by informed money in order flow, and follows it under strict risk limits.

The public names of a strategy are here; they are imported when first used, so that `import smartmoney` costs nothing.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from smartmoney.core.domain.signals import MarketData, Signal, SignalType
    from smartmoney.core.strategy.analyzer import OrderFlowAnalyzer
    from smartmoney.core.strategy.base import OrderFlowStrategy
    from smartmoney.core.strategy.follower import SmartMoneyFollowerStrategy

__version__ = "0.1.0"

__all__ = [
    "MarketData",
    "OrderFlowAnalyzer",
    "OrderFlowStrategy",
    "Signal",
    "SignalType",
    "SmartMoneyFollowerStrategy",
    "__version__",
]

_HOMES = {
    "MarketData": "smartmoney.core.domain.signals",
    "OrderFlowAnalyzer": "smartmoney.core.strategy.analyzer",
    "OrderFlowStrategy": "smartmoney.core.strategy.base",
    "Signal": "smartmoney.core.domain.signals",
    "SignalType": "smartmoney.core.domain.signals",
    "SmartMoneyFollowerStrategy": "smartmoney.core.strategy.follower",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'smartmoney' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
