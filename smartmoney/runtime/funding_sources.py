"""Say where the rates of a paper account's funding came from: what the venue said among the frames, or what is assumed."""

from collections.abc import Iterable

import msgspec

from smartmoney.simulation.paper_funding import AS_RECORDED, AT_MID, PAID_ON_PAPER


class FundingSources(msgspec.Struct, frozen=True):
    """Count payments at the venue's own rate and time, on its mark price (`at_mid` of them on the mid), and those at the assumed rate."""

    recorded: int = 0
    assumed: int = 0
    at_mid: int = 0

    def words(self) -> tuple[str, ...]:
        """Return a line about them, none where nothing was paid."""
        if not self.recorded and not self.assumed:
            return ()
        line = f"funding: as recorded in {self.recorded} of {self.recorded + self.assumed} payments"
        line = f"{line} ({self.at_mid} of them on the mid: no mark price was told)" if self.at_mid else line
        return (f"{line}, at the assumed rate in {self.assumed}" if self.assumed else line,)


def sources_of(references: Iterable[str]) -> FundingSources:
    """Return where payments of these references came from; those of a real account are left out."""
    paper = [one for one in references if one.startswith(PAID_ON_PAPER)]
    at_mid = sum(one.endswith(AT_MID) for one in paper)
    recorded = at_mid + sum(one.endswith(AS_RECORDED) for one in paper)
    return FundingSources(recorded, len(paper) - recorded, at_mid)


def added(parts: Iterable[FundingSources]) -> FundingSources:
    """Return the sums of parts."""
    total = FundingSources()
    for part in parts:
        total = FundingSources(total.recorded + part.recorded, total.assumed + part.assumed, total.at_mid + part.at_mid)
    return total
