"""Model of `drift:`: what the daemon does when the market is no longer what its model was trained on."""

from typing import Literal, Self

from pydantic import Field, model_validator

from smartmoney.settings.advanced import Section


class DriftSettings(Section):
    """What drift that calls for an act leads to (docs/training.md)."""

    action: Literal["halt", "flat", "rollback", "shrink", "warn"] | None = None
    """halt: entries are off until a person resumes; flat: everything is closed, too; rollback: the champion before decides, halt without
    one; shrink: new entries are smaller while it lasts; warn: people are told. Left out: halt with real money, warn on paper."""
    watch_size: float = Field(default=0.5, ge=0, le=1)
    """With shrink: the share of its size that a new entry keeps while the monitors say watch."""
    act_size: float = Field(default=0.0, ge=0, le=1)
    """With shrink: the same while they say act; 0 enters nothing. At most watch_size."""
    recover_h: float = Field(default=1.0, ge=0, le=720)
    """With shrink: hours for which the monitors must be calmer before entries grow again."""

    @model_validator(mode="after")
    def _act_is_the_smaller(self) -> Self:
        if self.act_size > self.watch_size:
            raise ValueError(f"act_size {self.act_size:g} is above watch_size {self.watch_size:g}; act is the worse drift: give it less")
        return self
