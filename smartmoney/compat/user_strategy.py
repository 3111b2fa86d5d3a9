"""Load a user's strategy, named in the configuration as `module:Class`. Imports the module: the user's code runs from here on."""

import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from smartmoney.core.strategy.base import OrderFlowStrategy
from smartmoney.core.strategy.follower import SmartMoneyFollowerStrategy


class StrategyLoadError(Exception):
    """Report a strategy class that cannot be had, and what to do about it. The process ends with 78: configuration."""

    exit_code = 78


def load_strategy(name: str | None, config: Mapping[str, Any], search: Path | None = None) -> OrderFlowStrategy:
    """Return an instance of the named class, or of the built-in strategy when no name is given.

    `search` is a folder to look for the module in first (the configuration's own).

    Raises:
        StrategyLoadError: the name is malformed, the module or class is missing or broken, or it is no `OrderFlowStrategy`.
    """
    if name is None:
        return SmartMoneyFollowerStrategy(config)
    strategy_class = _class_named(name, search)
    try:
        return strategy_class(config)
    except Exception as error:  # the user's constructor may throw anything; it is reported as what it is, a configuration that cannot start
        problem = f"{type(error).__name__}: {error}"
        raise StrategyLoadError(f"strategy_class: {name} could not be constructed ({problem}); mend its __init__") from error


def _class_named(name: str, search: Path | None) -> type[OrderFlowStrategy]:
    module_name, colon, class_name = name.partition(":")
    if not (colon and module_name and class_name):
        raise StrategyLoadError(f"strategy_class: {name!r} is not of the form module:Class; write for example my_strategy:MyStrategy")
    if search is not None and str(search) not in sys.path:
        sys.path.insert(0, str(search))
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise StrategyLoadError(
            f"strategy_class: module {module_name!r} cannot be imported ({error}); put it beside the configuration file or on PYTHONPATH"
        ) from error
    found = getattr(module, class_name, None)
    if not (isinstance(found, type) and issubclass(found, OrderFlowStrategy)):
        raise StrategyLoadError(f"strategy_class: {name} is not a subclass of smartmoney.OrderFlowStrategy; derive it from that")
    return found
