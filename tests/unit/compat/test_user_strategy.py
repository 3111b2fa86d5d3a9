import pytest

import smartmoney
from smartmoney.compat import StrategyLoadError, StrategySuspendedError, drive, load_strategy

SOURCE = """
from smartmoney import OrderFlowStrategy

class Mine(OrderFlowStrategy):
    async def generate_signals(self):
        return []

class Broken(Mine):
    def __init__(self, config):
        raise KeyError("missing")

class Foreign:
    pass
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    import sys

    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "a_users_module.py").write_text(SOURCE)
    yield tmp_path
    sys.modules.pop("a_users_module", None)


def test_built_in_strategy_is_the_default():
    assert isinstance(load_strategy(None, {}), smartmoney.SmartMoneyFollowerStrategy)


def test_a_users_class_is_found_beside_the_configuration(module):
    strategy = load_strategy("a_users_module:Mine", {"symbol": "ETH/USDT"}, module)
    assert type(strategy).__name__ == "Mine"
    assert strategy.symbol == "ETH/USDT"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Mine", "module:Class"),
        ("a_users_module:", "module:Class"),
        ("no_such_module_here:Mine", "cannot be imported"),
        ("a_users_module:Absent", "not a subclass"),
        ("a_users_module:Foreign", "not a subclass"),
        ("a_users_module:Broken", "could not be constructed"),
    ],
)
def test_a_class_that_cannot_be_had_is_one_clear_line(module, name, words):
    with pytest.raises(StrategyLoadError, match=words) as caught:
        load_strategy(name, {}, module)
    assert caught.value.exit_code == 78
    assert "\n" not in str(caught.value)


def test_drive_returns_results_and_plain_values():
    async def seven():
        return 7

    assert drive(seven()) == 7
    assert drive([1]) == [1]


def test_drive_refuses_a_coroutine_that_waits_and_closes_it():
    import asyncio

    closed = []

    async def waits():
        try:
            await asyncio.sleep(0)
        finally:
            closed.append(True)

    with pytest.raises(StrategySuspendedError, match="waits"):
        drive(waits())
    assert closed == [True]


def test_public_names_are_there_and_nothing_else_is():
    from smartmoney import MarketData, OrderFlowAnalyzer, OrderFlowStrategy, Signal, SignalType, SmartMoneyFollowerStrategy

    assert issubclass(SmartMoneyFollowerStrategy, OrderFlowStrategy)
    assert {MarketData, OrderFlowAnalyzer, Signal, SignalType}
    assert set(smartmoney.__all__) <= set(dir(smartmoney))
    with pytest.raises(AttributeError, match="nonsense"):
        smartmoney.nonsense  # noqa: B018
