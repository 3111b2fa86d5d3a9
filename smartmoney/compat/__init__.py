"""Programs and strategies written for others: load a user's class, drive its coroutines."""

from smartmoney.compat.user_strategy import StrategyLoadError, load_strategy
from smartmoney.core.strategy.driving import StrategySuspendedError, drive

__all__ = ["StrategyLoadError", "StrategySuspendedError", "drive", "load_strategy"]
