"""The strategy that wants nothing: a run that only records has it."""

from smartmoney.core.domain.signals import Signal
from smartmoney.core.strategy.base import OrderFlowStrategy


class WatchOnly(OrderFlowStrategy):
    """Look on and never signal, so that no order is ever sent."""

    async def generate_signals(self) -> list[Signal]:
        """Want nothing."""
        return []
