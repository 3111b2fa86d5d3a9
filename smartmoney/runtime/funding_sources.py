"""Say where the rates of a paper account's funding came from: what the venue said among the frames, or what is assumed."""

from collections.abc import Iterable

import msgspec

from smartmoney.simulation.paper_funding import AS_RECORDED, PAID_ON_PAPER


class FundingSources(msgspec.Struct, frozen=True):
    """Count payments at the venue's own rate, time and mark price, and those at the assumed rate."""

    recorded: int = 0
    assumed: int = 0

    def words(self) -> tuple[str, ...]:
        """Return a line about them, none where nothing was paid."""
        if not self.recorded and not self.assumed:
            return ()
        line = f"funding: as recorded in {self.recorded} of {self.recorded + self.assumed} payments"
        return (f"{line}, at the assumed rate in {self.assumed}" if self.assumed else line,)


def sources_of(references: Iterable[str]) -> FundingSources:
    """Return where payments of these references came from; those of a real account are left out."""
    paper = [one.endswith(AS_RECORDED) for one in references if one.startswith(PAID_ON_PAPER)]
    return FundingSources(sum(paper), len(paper) - sum(paper))


def added(parts: Iterable[FundingSources]) -> FundingSources:
    """Return the sums of parts."""
    total = FundingSources()
    for part in parts:
        total = FundingSources(total.recorded + part.recorded, total.assumed + part.assumed)
    return total
