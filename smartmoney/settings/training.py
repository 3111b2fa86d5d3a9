"""Model of `training:`: whether the daemon trains by itself from what it captures, and what a challenger must prove to decide."""

from typing import Literal

from pydantic import Field

from smartmoney.settings.advanced import Section

GATE_DAYS = 6
"""Days at the end of the past that a gate keeps untouched: five whole ones by UTC, whatever the hour."""
DAY_NS = 86_400_000_000_000


class TrainingSettings(Section):
    """Training by the daemon itself, in a process of its own, from what it captured (docs/training.md). Off as it comes."""

    every_h: float = Field(default=0.0, ge=0, le=8760)
    """Hours from one training to the next; 0: none on schedule."""
    on_drift: bool = False
    """Drift that calls for an act trains at once."""
    promote: Literal["gate", "validated", "never"] = "gate"
    """What makes a challenger decide: the whole gate; on paper, better forecasts on the newest fifth (validated); or only a person."""
    min_hours: float = Field(default=24.0, gt=0, le=8760)
    """Captured hours that a training needs; for the gate before the six days that it keeps untouched."""
    max_hours: float = Field(default=48.0, gt=0, le=8760)
    """Hours that are learned from, the newest; older ones are left out."""
    memory_mb: int = Field(default=1536, ge=256, le=1_048_576)
    """Memory that the process may have; it gives up beyond, and the daemon is untouched."""
    limit_h: float = Field(default=12.0, gt=0, le=168)
    """The process is ended after so many hours."""

    @property
    def is_on(self) -> bool:
        """Tell whether the daemon ever trains."""
        return self.every_h > 0 or self.on_drift

    @property
    def reach_h(self) -> float:
        """Return how old the oldest captures are that the least training needs."""
        return self.min_hours + (24.0 * GATE_DAYS if self.promote == "gate" else 0.0)

    def learned_until(self, now_wall_ns: int) -> int:
        """Return where the past ends that may be learned from: for a gate at the midnight that leaves five whole days by UTC."""
        return now_wall_ns // DAY_NS * DAY_NS - (GATE_DAYS - 1) * DAY_NS if self.promote == "gate" else now_wall_ns
