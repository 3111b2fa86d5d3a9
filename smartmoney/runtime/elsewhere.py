"""The half of an order gateway that a venue outside this process needs: it tells its news itself, and the market here is nothing to it."""

from collections.abc import Sequence

from smartmoney.core.domain.entries import Entry, Payload
from smartmoney.core.engine.stretch import Passed, Waits

_NOTHING = Waits()


class Elsewhere:
    """Answer nothing as of an entry, and wait for nothing in the market."""

    def advance(self, entry: Entry) -> Sequence[Payload]:
        """Answer nothing: the venue answers when it does."""
        del entry
        return ()

    def waits(self) -> Waits:
        """Wait for nothing."""
        return _NOTHING

    def pass_over(self, passed: Passed) -> None:
        """Note nothing."""
