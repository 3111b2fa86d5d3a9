"""Strategies of the safety drill: they want what the drill needs, whatever the market does. No use for anything else."""

from smartmoney.core.domain.signals import Signal, SignalType
from smartmoney.core.strategy.base import OrderFlowStrategy

_STOP, _TARGET = 0.02, 0.04
_STEP = 0.005
"""A hundred decisions, fifty seconds, from half to all."""


class Hold(OrderFlowStrategy):
    """Want to be long, always."""

    async def generate_signals(self) -> list[Signal]:
        """Return one wish to buy."""
        return [_wish(self, is_buy=True)]


class Churn(OrderFlowStrategy):
    """Want to be long and flat in turn: an entry, protection and an exit at every other decision."""

    is_buying = False

    async def generate_signals(self) -> list[Signal]:
        """Return the wish whose turn it is."""
        self.is_buying = not self.is_buying
        return [_wish(self, is_buy=self.is_buying)]


class Climb(OrderFlowStrategy):
    """Want half of what is allowed, and a little more at every decision: whenever an entry was filled, another comes to rest."""

    share = 0.5

    async def generate_signals(self) -> list[Signal]:
        """Return the wish to buy a little more than before."""
        self.share = min(1.0, self.share + _STEP)
        return [_wish(self, is_buy=True, share=self.share)]


def _wish(strategy: OrderFlowStrategy, *, is_buy: bool, share: float = 1.0) -> Signal:
    price, sign = strategy.current_price, 1 if is_buy else -1
    return Signal(
        signal_type=SignalType.BUY if is_buy else SignalType.SELL,
        symbol=strategy.symbol,
        price=price,
        quantity=share * float(strategy.config["max_position_size"]),
        confidence=0.9,
        stop_loss=price * (1 - sign * _STOP),
        take_profit=price * (1 + sign * _TARGET),
    )
