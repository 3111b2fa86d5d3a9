"""Model of `drift:`: what the daemon does when the market is no longer what its model was trained on."""

from typing import Literal

from smartmoney.settings.advanced import Section


class DriftSettings(Section):
    """What drift that calls for an act leads to (docs/training.md)."""

    action: Literal["halt", "flat", "rollback", "warn"] | None = None
    """halt: entries are off until a person resumes; flat: everything is closed, too; rollback: the champion before decides, halt without
    one; warn: people are told. Left out: halt with real money, warn on paper."""
