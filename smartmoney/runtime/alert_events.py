"""What of a run a person is told.

Halts, fills and whatever the engine says aloud come from committed batches; lost feeds and naked positions from the engine's view. Pure:
nothing here sends.
"""

from collections.abc import Iterator, Sequence

from smartmoney.core.domain.commands import Notify, RecordHalt, RecordResume
from smartmoney.core.domain.entries import OrderFilled
from smartmoney.core.domain.instruments import Instrument
from smartmoney.core.domain.signals import FeedTrust
from smartmoney.core.engine.view import EngineView
from smartmoney.runtime.alert_queue import Alert
from smartmoney.runtime.loop import Batch

NAKED_AFTER_S = 10.0
"""A position may be without a stop for so long: its stop is being placed or replaced."""
FUNDING_AFTER_S = 60.0
"""Beyond the ten minutes after which what a venue told of funding is no rate any more."""

_KIND_OF_SUBJECT = {
    "default protection": "naked",
    "halted": "halt",
    "halt requested": "reconciliation",
    "late fill": "reconciliation",
    "late order": "reconciliation",
    "money moved": "transfer",
    "order adopted": "reconciliation",
    "order missing": "reconciliation",
    "order refused": "order",
    "report of an unknown order": "reconciliation",
    "resume refused": "resume",
    "size": "drift",
    "somebody else's order": "reconciliation",
    "stop moved by somebody": "reconciliation",
    "stop refused by the risk gate": "naked",
    "transfer refused": "transfer",
}
"""What the engine says under these subjects; all else is a `notice`."""


def of_batch(batch: Batch, instruments: Sequence[Instrument]) -> Iterator[Alert]:
    """Yield what a committed batch holds that a person should know."""
    for line in batch.lines:
        match line.what:
            case OrderFilled(fill=fill):
                grid = instruments[fill.instrument]
                price, quantity = grid.price(fill.price_ticks), grid.quantity(fill.lots)
                text = f"{fill.side.value} {quantity} {grid.base} at {price} ({fill.liquidity.value}, fee {fill.fee} {fill.fee_asset})"
                yield Alert(kind="fill", severity="info", subject=f"fill {grid.name}", text=text)
            case Notify() as said if not (said.subject == "halted" and said.severity == "critical"):
                kind = _KIND_OF_SUBJECT.get(said.subject, "notice")
                yield Alert(kind=kind, severity=said.severity, subject=said.subject, text=said.text)
            case RecordHalt(reason=reason):
                yield Alert(kind="halt", severity="critical", subject="HALTED", text=reason)
            case RecordResume(reason=reason, new_peak=peak):
                yield Alert(kind="resume", severity="warning", subject="resumed", text=f"{reason}; the new peak is {peak}")


class AlertWatch:
    """Notice what lasts too long: a feed that cannot be vouched for, a position without a stop, or without word of its funding."""

    def __init__(self, feed_loss_s: float, naked_after_s: float = NAKED_AFTER_S) -> None:
        self._limits = {"feed": feed_loss_s, "naked": naked_after_s, "funding": FUNDING_AFTER_S}
        self._since: dict[tuple[str, str], float] = {}
        self._told: set[tuple[str, str]] = set()

    def look(self, view: EngineView, now_s: float) -> Iterator[Alert]:
        """Yield what has just become worth telling, and what has mended since."""
        for item in view.instruments:
            is_lost = item.trust.state is not FeedTrust.SYNCED
            yield from self._judge("feed", item.name, is_lost, f"{item.trust.state.value}: {item.trust.reason}", now_s)
            yield from self._judge("naked", item.name, not item.is_protected, f"{item.position} held and no stop is working", now_s)
            if view.mode != "live" and (told := item.funding) is not None and told.age_s is not None:
                is_silent = not told.is_told and item.position != 0
                text = f"the venue told nothing of it for {told.age_s:.0f} s; the next payment would be at the assumed rate"
                yield from self._judge("funding", item.name, is_silent, text, now_s)

    def _judge(self, kind: str, name: str, is_bad: bool, text: str, now_s: float) -> Iterator[Alert]:
        key = (kind, name)
        if not is_bad:
            since = self._since.pop(key, now_s)
            if key in self._told:
                self._told.discard(key)
                yield Alert(kind=kind, severity="info", subject=f"{_WORDS[kind]} {name}", text=f"over, after {now_s - since:.0f} s")
            return
        since = self._since.setdefault(key, now_s)
        if key not in self._told and now_s - since >= self._limits[kind]:
            self._told.add(key)
            severity = "critical" if kind == "naked" else "warning"
            yield Alert(kind=kind, severity=severity, subject=f"{_WORDS[kind]} {name}", text=f"for {now_s - since:.0f} s: {text}")


_WORDS = {"feed": "feed lost", "naked": "NO STOP", "funding": "funding not told"}
