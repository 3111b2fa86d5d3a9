"""The internal states of the regime model: which regime each is called, which state is its mirror, where each is expected to lie.

Five names need six states: a trend goes up or down, and the two are mirrors, while direction is not part of the name. Fewer components drop
trends, then volatility; more give the neutral regime further levels of activity.
"""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from smartmoney.core.domain.signals import Regime
from smartmoney.learning.regimes.observations import OBSERVED
from smartmoney.simulation import truth

Floats = NDArray[np.float64]


class States(msgspec.Struct, frozen=True, kw_only=True):
    """Hold the states' regimes and, for each, the number of its mirror."""

    names: tuple[Regime, ...]
    mirror: tuple[int, ...]
    direction: tuple[int, ...]
    """1 for a buyers' state, −1 for its mirror, 0 for one that is its own."""


def states_for(components: int) -> States:
    """Return the states that `hmm_components` names stand for: 5 (the names) are 6 states.

    Raises:
        ValueError: fewer than 2.
    """
    if components < 2:
        raise ValueError(f"regime_classification.hmm_components is {components}; give 2 or more")
    names = [Regime.NEUTRAL, Regime.VOLATILE]
    pairs: list[Regime] = []
    if components >= 3:
        names = [Regime.NEUTRAL]
        pairs = [Regime.ACCUMULATION]
    if components >= 4:
        names.append(Regime.VOLATILE)
    if components >= 5:
        pairs.append(Regime.TRENDING)
        names += [Regime.NEUTRAL] * (components - 5)
    all_names: list[Regime] = []
    mirror: list[int] = []
    direction: list[int] = []
    for one in pairs:
        place = len(all_names)
        all_names += [one, Regime.DISTRIBUTION if one is Regime.ACCUMULATION else one]
        mirror += [place + 1, place]
        direction += [1, -1]
    for one in names:
        mirror.append(len(all_names))
        all_names.append(one)
        direction.append(0)
    return States(names=tuple(all_names), mirror=tuple(mirror), direction=tuple(direction))


PROTOTYPES: dict[Regime, dict[str, float]] = {
    Regime.ACCUMULATION: {"tfi_120s": 1.6, "ofi_decayed_120s": 0.7, "refill_imbalance_120s": -1.6, "efficiency_120s": 1.0},
    Regime.TRENDING: {
        "tfi_120s": -0.5,
        "ofi_decayed_120s": 0.5,
        "impact_residual_120s": 1.0,
        "refill_imbalance_120s": 0.6,
        "efficiency_120s": 0.3,
    },
    Regime.VOLATILE: {"rv_120s": 2.2, "trade_rate_120s": 1.6, "liquidity_stress": 0.9},
    Regime.NEUTRAL: {},
}
"""Fixed signatures in units of the scaled observations, of the buyers' state of each pair. They name states; they are not fitted.

Accumulation: takers buy, and asks are filled up again. A trend: the price goes further than the flow explains, or against
it, carried by resting orders."""


def prototypes(states: States, names: Sequence[str] = OBSERVED, parity: Floats | None = None) -> Floats:
    """Return `(states, dimensions)` signatures; the mirror of a state has the mirrored one."""
    from smartmoney.learning.regimes.observations import parities

    signs = parities(names) if parity is None else parity
    out = np.zeros((len(states.names), len(names)))
    for k, (name, direction) in enumerate(zip(states.names, states.direction, strict=True)):
        base = Regime.ACCUMULATION if name is Regime.DISTRIBUTION else name
        row = np.array([PROTOTYPES[base].get(one, 0.0) for one in names])
        out[k] = row if direction >= 0 else row * signs
    return out


def truth_states(regime: NDArray[np.int8], is_up: NDArray[np.bool_], states: States) -> NDArray[np.int64]:
    """Return each row's internal state by a synthetic market's truth; −1 where it is not known or the model has no such state.

    `is_up` tells whether the efficient price is above the mid: the direction of a trend.
    """
    wanted = {
        truth.ACCUMULATION: (Regime.ACCUMULATION, 1),
        truth.DISTRIBUTION: (Regime.DISTRIBUTION, -1),
        truth.VOLATILE: (Regime.VOLATILE, 0),
        truth.NEUTRAL: (Regime.NEUTRAL, 0),
    }
    out = np.full(len(regime), -1, np.int64)
    for code, (name, direction) in wanted.items():
        places = [k for k in range(len(states.names)) if states.names[k] is name and states.direction[k] == direction]
        if places:
            out[regime == code] = places[0]
    for direction, chosen in ((1, is_up), (-1, ~is_up)):
        places = [k for k in range(len(states.names)) if states.names[k] is Regime.TRENDING and states.direction[k] == direction]
        if places:
            out[(regime == truth.TRENDING) & chosen] = places[0]
    return out
