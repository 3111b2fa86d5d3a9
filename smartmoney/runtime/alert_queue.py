"""Which alert goes out when: bounded, paced per subject, the urgent first. Pure: time is what the caller says.

Invariants: at most `size` alerts wait, and the oldest is dropped, and counted, for a newer one; a subject is told at most once in its
interval, with a count of what it stands for, except halts, re-arms, starts and stops, which are always told.
"""

from collections import OrderedDict
from collections.abc import Collection

import msgspec

ALWAYS = frozenset({"halt", "resume", "start", "stop"})
"""Kinds that no interval holds back: they are rare, and each matters."""
_SUBJECTS_REMEMBERED = 1_000


class AlertTerms(msgspec.Struct, frozen=True, kw_only=True):
    """Hold what the configuration says of alerts; `urls` are references to secrets, times in s."""

    urls: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    interval_s: float = 60.0
    timeout_s: float = 10.0
    queue_max: int = 200


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """Be one thing that a person should know. `severity` is info, warning or critical; `more` counts others like it that it stands for."""

    kind: str
    severity: str
    subject: str
    text: str
    more: int = 0


class _Waiting(msgspec.Struct):
    alert: Alert
    due_s: float


class AlertQueue:
    """Hold the alerts that are still to be sent."""

    def __init__(self, kinds: Collection[str], interval_s: float, size: int) -> None:
        self._kinds = frozenset(kinds)
        self._interval_s = interval_s
        self._size = size
        self._waiting: list[_Waiting] = []
        self._told: OrderedDict[tuple[str, str], tuple[float, str]] = OrderedDict()
        self.dropped = 0
        self.repeated = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def offer(self, alert: Alert, now_s: float) -> bool:
        """Take an alert in; tell whether it waits now (it does not when its kind is not wanted or it repeats what was just told)."""
        if alert.kind not in self._kinds:
            return False
        due_s = now_s
        if alert.kind not in ALWAYS:
            key = (alert.kind, alert.subject)
            told_s, text = self._told.get(key, (-self._interval_s, ""))
            if now_s - told_s < self._interval_s and text == alert.text:
                self.repeated += 1
                return False
            due_s = max(now_s, told_s + self._interval_s)
            same = next((one for one in self._waiting if (one.alert.kind, one.alert.subject) == key), None)
            if same is not None:
                same.alert = msgspec.structs.replace(alert, more=same.alert.more + 1)
                return True
        if len(self._waiting) >= self._size:
            del self._waiting[0]
            self.dropped += 1
        self._waiting.append(_Waiting(alert, due_s))
        return True

    def take(self, now_s: float) -> Alert | None:
        """Return the most urgent alert that may go out now, None when there is none."""
        due = [one for one in self._waiting if one.due_s <= now_s]
        if not due:
            return None
        chosen = next((one for one in due if one.alert.severity == "critical"), due[0])
        self._waiting.remove(chosen)
        alert = chosen.alert
        self._told[alert.kind, alert.subject] = (now_s, alert.text)
        self._told.move_to_end((alert.kind, alert.subject))
        if len(self._told) > _SUBJECTS_REMEMBERED:
            self._told.popitem(last=False)
        return alert

    def put_back(self, alert: Alert, now_s: float) -> None:
        """Take an alert back that was taken and did not get out: it is the next one."""
        self._waiting.insert(0, _Waiting(alert, now_s))
        del self._waiting[self._size :]

    def next_due_s(self) -> float | None:
        """Return when the next alert may go out, None when nothing waits."""
        return min((one.due_s for one in self._waiting), default=None)
