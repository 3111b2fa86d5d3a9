"""What a run counts."""


class Counters:
    """Count what a run did."""

    __slots__ = ("decisions", "fills", "refusals", "signals")

    def __init__(self) -> None:
        self.decisions = 0
        self.signals = 0
        self.fills = 0
        self.refusals: dict[str, int] = {}
