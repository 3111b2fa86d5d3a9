"""An oracle that trades: side, start, size and length of every informed or mistaken parent, from truth, behind the model protocol.

What it knows that nobody outside can: when such a parent starts, at once and without error, and the scenario's law. What it does not
know: which of them are mistaken, what the next one does, how large this drift is beyond its mean, and where the efficient price is. So it
is an upper bound of what a detector of informed flow could be worth, not the public's own posterior; a share of its profit is a share of
more than the public could have made. It is as sure as its forecast is large against the volatility, and goes through the strategy and the
gates of any model.
"""

import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from smartmoney.core.domain.orders import Side
from smartmoney.core.domain.signals import Opportunity, Regime
from smartmoney.core.regime.reading import RegimeReading
from smartmoney.simulation import ladder
from smartmoney.simulation.ladder import BID
from smartmoney.simulation.market import Rows
from smartmoney.simulation.parents import INFORMED, MISTAKEN
from smartmoney.simulation.scenario import Scenario

HORIZONS_S = (30, 60, 120, 180, 240, 300, 600, 900)
LATENCY_S = 0.15
SIGMA_FEATURE = "sigma_bar_bps"
_NORMAL = NormalDist()
_CONFIDENCE_MAX = 1.0 - 1e-6
_SURE = 0.99


class Parent(msgspec.Struct, frozen=True):
    """Be what the oracle knows of a parent: times in ns of the exchange's clock, the drift that is to be expected, signed, in bps."""

    start_ns: int
    drift_ns: int
    ends_ns: int
    bps: float
    planned_end_ns: int


def parents_of(told: Rows, scenario: Scenario, lots_per_unit: float, origin_ns: int) -> tuple[Parent, ...]:
    """Return the informed and mistaken parents among a market's truth rows, in the order of their start."""
    law = scenario.informed
    rows = told[(told[:, ladder.KIND] == ladder.PARENT_STARTED) & np.isin(told[:, ladder.TICK], (INFORMED, MISTAKEN))]
    found = []
    for row in rows.tolist():
        start, planned = row[ladder.TIME], row[ladder.TAKER]
        size = row[ladder.LOTS] / (lots_per_unit * law.size)
        expected = law.right_share * law.drift_bps * size**law.drift_exponent
        drift = start + round(law.drift_start * (planned - start))
        found.append(
            Parent(
                start_ns=origin_ns + start,
                drift_ns=origin_ns + drift,
                ends_ns=origin_ns + drift + round(law.drift_s * 1e9),
                bps=expected if row[ladder.SIDE] == BID else -expected,
                planned_end_ns=origin_ns + planned,
            )
        )
    return tuple(found)


class ParentOracle:
    """Be the oracle as a model. The state is the exchange's time."""

    name = "oracle: parents from truth"
    is_trained = True
    features_required = ("liquidity_score", "liquidity_stress", SIGMA_FEATURE)

    def __init__(self, parents: Sequence[Parent], bar_s: float = 60.0) -> None:
        self._parents, self._bar_s = tuple(parents), bar_s

    def fresh_state(self) -> int:
        """Return the state before the first step."""
        return 0

    def step(self, state: int, row: NDArray[np.float64], features: Mapping[str, float], now_event_ns: int) -> int:
        """Return the time."""
        del row, features
        return max(state, now_event_ns)

    def reading(self, state: int) -> RegimeReading:
        """Return accumulation or distribution while the drifts that are known and to come add up to one, else neutral."""
        ahead = self.foretold(state, HORIZONS_S[-1])
        label = Regime.ACCUMULATION if ahead > 0.0 else Regime.DISTRIBUTION if ahead < 0.0 else Regime.NEUTRAL
        rest = (1.0 - _SURE) / (len(Regime) - 1)
        return RegimeReading(label=label, probability=_SURE, posterior=tuple(_SURE if one is label else rest for one in Regime))

    def foretold(self, now_ns: int, horizon_s: float) -> float:
        """Return the drift in bps that is to be expected from 150 ms after now until the horizon, of the parents that have started."""
        begin, end = now_ns + round(LATENCY_S * 1e9), now_ns + round((LATENCY_S + horizon_s) * 1e9)
        return math.fsum(
            one.bps * max(0, min(end, one.ends_ns) - max(begin, one.drift_ns)) / (one.ends_ns - one.drift_ns)
            for one in self._parents
            if one.start_ns <= now_ns < one.ends_ns
        )

    def opportunities(
        self,
        state: int,
        features: Mapping[str, float],
        regime: RegimeReading,
        *,
        stop_bps: float,
        target_bps: float,
        cost_bps: float,
    ) -> tuple[Opportunity, ...]:
        """Return the forecast of the horizon at which it is worth most for its risk, none where nothing is to come."""
        del regime, stop_bps, target_bps
        best: tuple[float, int, float, float] | None = None
        for horizon in HORIZONS_S:
            drift = self.foretold(state, horizon)
            sigma = features[SIGMA_FEATURE] * math.sqrt(horizon / self._bar_s)
            if drift == 0.0 or not sigma > 0.0:
                continue
            worth = (abs(drift) - cost_bps) / sigma
            if best is None or worth > best[0]:
                best = (worth, horizon, drift, sigma)
        if best is None:
            return ()
        _, horizon, drift, sigma = best
        return (
            Opportunity(
                side=Side.BUY if drift > 0.0 else Side.SELL,
                confidence=min(_NORMAL.cdf(abs(drift) / sigma), _CONFIDENCE_MAX),
                liquidity_score=features["liquidity_score"],
                gross_return_bps=abs(drift),
                expected_return_bps=abs(drift) - cost_bps,
                risk_level="medium",
                horizon_s=float(horizon),
                model=self.name,
            ),
        )

    def ups(self, state: int) -> tuple[tuple[int, float], ...]:
        """Return nothing: its probabilities are not judged."""
        del state
        return ()

    def seen(self, state: int, horizon_s: float) -> Any:
        """Return nothing to explain by."""
        del state, horizon_s

    def importance(self) -> dict[str, float]:
        """Return nothing: it reads truth."""
        return {}
