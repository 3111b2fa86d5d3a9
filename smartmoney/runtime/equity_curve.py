"""An equity curve of bounded size that keeps its extremes, and the worst drawdown, which is exact whatever was thinned away."""

from collections.abc import Sequence

POINTS_MAX = 1 << 17
"""Two weeks of a point each 10 s: the search for parameters reads returns of equal periods off the curve."""
DRAWN_MAX = 4_096
"""More than a page or a file of results has use for."""

Points = Sequence[tuple[int, float]]


class EquityCurve:
    """Take points in the order of their times; when full, the lowest and the highest of every four stay."""

    def __init__(self, points_max: int = POINTS_MAX) -> None:
        self.points: list[tuple[int, float]] = []
        self.worst_drawdown = 0.0
        """The largest fraction lost from a peak, over all points that were added."""
        self._peak = 0.0
        self._points_max = points_max

    def add(self, at_ns: int, equity: float) -> None:
        """Take a point: time in ns, equity in quote."""
        self._peak = max(self._peak, equity)
        if self._peak > 0:
            self.worst_drawdown = max(self.worst_drawdown, (self._peak - equity) / self._peak)
        self.points.append((at_ns, equity))
        if len(self.points) > self._points_max:
            self._thin()

    def _thin(self) -> None:
        first, *middle, last = self.points
        kept = [first]
        for at in range(0, len(middle), 4):
            four = middle[at : at + 4]
            kept += sorted({min(four, key=lambda point: point[1]), max(four, key=lambda point: point[1])})
        self.points = [*kept, last]


def thinned(points: Points, points_max: int = DRAWN_MAX) -> list[tuple[int, float]]:
    """Return a curve of at most so many points, its extremes among them."""
    curve = EquityCurve(points_max)
    for at_ns, equity in points:
        curve.add(at_ns, equity)
    return curve.points
