"""Do the conformal sets hold what they promise? Their coverage in use, and what adapting them would do.

A set holds a side when its calibrated probability is at least 1 - q, q by horizon and regime, so that the side that comes true is in it
nine times in ten as long as tomorrow is like the days of training. Beside the bundle's q runs an adaptive one (Gibbs and Candès 2021,
"Adaptive conformal inference under distribution shift"): after each outcome α += γ (α* - miss). A bundle holds q and not the scores it is
a quantile of, so the step is taken on q itself, q += γ (miss - α*), which has the same guarantee: over T outcomes the share of misses is
within (1 + 2 γ) / (γ T) of α*, whatever comes. Pure; nothing here changes a decision.
"""

import math

import msgspec

GAMMA = 0.005
MISS = 0.1
"""Share of outcomes that a conformal set may miss."""
_ALL = 1.0
"""With this q both sides are in the set: it promises nothing, and is not counted."""


class CoverageReport(msgspec.Struct, frozen=True, kw_only=True):
    """Say how often what came true was in its set: in the bundle's sets, and in adaptive ones. NaN before the first outcome.

    `moved` is how far the adaptive q of some horizon and regime (`where`) has gone from the bundle's, the largest; above 0 it had to widen.
    """

    judged: int
    wanted: float
    share: float
    adaptive_share: float
    moved: float
    where: str


class Coverage:
    """Count outcomes of one model's sets."""

    def __init__(self, gamma: float = GAMMA, miss: float = MISS) -> None:
        """Begin with nothing.

        Raises:
            ValueError: gamma is not above 0, or the wanted share of misses not between 0 and 1.
        """
        if not gamma > 0.0 or not 0.0 < miss < 1.0:
            raise ValueError(f"gamma {gamma!r} must be above 0, and miss {miss!r} between 0 and 1")
        self._gamma, self._miss = gamma, miss
        self._moved: dict[tuple[int, str], float] = {}
        self._judged = self._covered = self._adaptively = 0

    def took(self, horizon_s: int, regime: str, q: float, p_true: float) -> None:
        """Take an outcome: the q that stood, and the probability that had been given to what came true."""
        if not 0.0 <= q < _ALL or not math.isfinite(p_true):
            return
        key = (horizon_s, regime)
        adaptive = q + self._moved.get(key, 0.0)
        is_in = 1.0 - p_true <= adaptive
        self._judged += 1
        self._covered += 1.0 - p_true <= q
        self._adaptively += is_in
        self._moved[key] = adaptive + self._gamma * (float(not is_in) - self._miss) - q

    def report(self) -> CoverageReport:
        """Return what the outcomes so far come to."""
        where = max(self._moved, key=lambda key: abs(self._moved[key]), default=None)
        return CoverageReport(
            judged=self._judged,
            wanted=1.0 - self._miss,
            share=self._covered / self._judged if self._judged else math.nan,
            adaptive_share=self._adaptively / self._judged if self._judged else math.nan,
            moved=0.0 if where is None else self._moved[where],
            where="" if where is None else f"{where[0]} s, {where[1]}",
        )
