"""From settings to the objects of a run: engine parameters, strategy factory, and the words that say what is simulated."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from smartmoney.compat import load_strategy
from smartmoney.core.engine.brain import StrategyFactory
from smartmoney.core.engine.parameters import EngineParameters
from smartmoney.core.strategy.base import OrderFlowStrategy
from smartmoney.runtime.modes import is_rehearsal
from smartmoney.settings.build import build_parameters, fees_bps, strategy_config
from smartmoney.settings.models import Settings
from smartmoney.settings.scenario import scenario_of
from smartmoney.venues.unified import addresses


def engine_parameters(settings: Settings) -> EngineParameters:
    """Return everything that shapes `step`."""
    built = build_parameters(settings)
    return EngineParameters(
        features=built.features,
        regime=built.regime,
        desk=built.desk,
        limits=built.risk,
        execution=built.execution,
        strategy_class=settings.strategy_class or "",
        strategy_config=strategy_config(settings),
    )


def strategy_factory(search: str | None) -> StrategyFactory:
    """Return the maker of strategies; a user's module is looked for in `search` first.

    Raises (when called): StrategyLoadError: the class cannot be loaded or made.
    """
    folder = None if search is None else Path(search)

    def make(name: str, config: Mapping[str, Any]) -> OrderFlowStrategy:
        return load_strategy(name or None, config, folder)

    return make


def simulated_words(settings: Settings) -> str:
    """Say in one line what is not real."""
    if settings.mode == "live":
        if not is_rehearsal(settings):
            return "nothing: orders are real"
        given = settings.endpoints
        where = urlsplit(given.rest or next(iter(addresses(given.ccxt_urls)), ""))
        return f"a rehearsal: orders go to the exchange at {where.netloc} on this machine"
    maker, taker = fees_bps(settings)
    orders = f"orders, fills and the account (latency {settings.paper.latency_ms:g} ms, fees {maker:f}/{taker:f} bps)"
    if settings.venue == "sim":
        kind, _, said = scenario_of(settings).banner.partition(" market")
        return f"the market ({kind}{said}), {orders}"
    return f"{orders}; the market is {settings.venue}'s own"
