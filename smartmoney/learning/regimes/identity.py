"""Which fitted state is which regime: names by fixed signatures, and the same states across retrains.

Anchors keep who is who during a fit; this checks that they did. A model whose names are in doubt, or that is not the champion's model any
more, is refused, and the champion stays.
"""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from smartmoney.core.domain.signals import Regime
from smartmoney.learning.regimes.hmm import FitRefused, FittedHmm
from smartmoney.learning.regimes.states import States

Floats = NDArray[np.float64]

MARGIN_MIN = 0.2
COST_MAX = 0.35
_MORE = "give more rows (with --built-in more worlds of each family, or longer ones: --worlds N --hours H)"


class Naming(msgspec.Struct, frozen=True, kw_only=True):
    """Say which regime each state is, and by how much the best assignment beats the second best, in signature units."""

    names: tuple[Regime, ...]
    margin: float


def name_states(means: Floats, expected: States, signatures: Floats) -> Naming:
    """Assign regimes to fitted states by distance of means from signatures.

    The second best is the best assignment that calls at least one state by another regime: exchanging two sub-states of one regime is no
    other naming.
    """
    from scipy.optimize import linear_sum_assignment

    cost = ((means[:, None, :] - signatures[None, :, :]) ** 2).sum(axis=2) ** 0.5
    rows, columns = linear_sum_assignment(cost)
    best = float(cost[rows, columns].sum())
    names = tuple(expected.names[k] for k in columns)
    # A regime and its direction: a state that changes places within them is called the same.
    kind = [(expected.names[k], expected.direction[k]) for k in range(len(columns))]
    second = np.inf
    for row, column in zip(rows, columns, strict=True):
        other = cost.copy()
        other[row, [k for k in range(len(columns)) if kind[k] == kind[column]]] = 1e6
        r, c = linear_sum_assignment(other)
        total = float(other[r, c].sum())
        if total < 1e6:
            second = min(second, total)
    return Naming(names=names, margin=float(second - best))


def check_names(fitted: FittedHmm, signatures: Floats) -> Naming:
    """Return the naming of a fit.

    Raises:
        FitRefused: the names are in doubt, or not those that its anchors meant.
    """
    naming = name_states(fitted.means, fitted.states, signatures)
    if naming.names != fitted.states.names:
        wrong = next(k for k, (a, b) in enumerate(zip(naming.names, fitted.states.names, strict=True)) if a is not b)
        raise FitRefused(
            f"state {wrong} was anchored as {fitted.states.names[wrong].value} and looks like {naming.names[wrong].value}; {_MORE}"
        )
    if not naming.margin >= MARGIN_MIN:
        raise FitRefused(
            f"the names of the states are in doubt: margin {naming.margin:.3f} to the second best, needed {MARGIN_MIN}; {_MORE}"
        )
    return naming


class Match(msgspec.Struct, frozen=True, kw_only=True):
    """Say which of the champion's states each new state is (`of`), and what each match costs, 0 the same, 1 nothing in common."""

    of: tuple[int, ...]
    costs: tuple[float, ...]


def match_states(new: tuple[Floats, Floats], old: tuple[Floats, Floats], new_posterior: Floats, old_posterior: Floats) -> Match:
    """Match states of two models over the same observations.

    Args:
        new: means and variances `(states, dimensions)`, in the same units as `old`.
        old: the champion's.
        new_posterior: `(rows, states)` filtered posterior on a common stretch.
        old_posterior: the champion's on the same rows.

    Cost of a pair: half the Hellinger distance of the emissions and half of one minus the overlap of the posteriors.
    """
    from scipy.optimize import linear_sum_assignment

    count, other = len(new[0]), len(old[0])
    cost = np.empty((count, other))
    for i in range(count):
        for j in range(other):
            apart = _hellinger(new[0][i], new[1][i], old[0][j], old[1][j])
            both = np.minimum(new_posterior[:, i], old_posterior[:, j]).sum()
            either = np.maximum(new_posterior[:, i], old_posterior[:, j]).sum()
            cost[i, j] = 0.5 * apart + 0.5 * (1.0 - (both / either if either > 0.0 else 0.0))
    rows, columns = linear_sum_assignment(cost)
    return Match(of=tuple(int(k) for k in columns), costs=tuple(cost[rows, columns].tolist()))


def check_identity(match: Match, new_names: Sequence[Regime], old_names: Sequence[Regime]) -> None:
    """Refuse a model whose states are not the champion's.

    Raises:
        FitRefused: a matched state costs more than `COST_MAX`, is called otherwise, or the number of states differs.
    """
    if len(new_names) != len(old_names):
        raise FitRefused(f"{len(new_names)} states, and the champion has {len(old_names)}; hmm_components must be the same")
    for k, (place, cost) in enumerate(zip(match.of, match.costs, strict=True)):
        if new_names[k] is not old_names[place]:
            raise FitRefused(
                f"state {k} is called {new_names[k].value}, and the champion's state that it resembles {old_names[place].value}"
            )
        if not cost <= COST_MAX:
            raise FitRefused(f"state {k} ({new_names[k].value}) is not the champion's: cost {cost:.2f}, at most {COST_MAX} is allowed")


def _hellinger(mean: Floats, variance: Floats, other_mean: Floats, other_variance: Floats) -> float:
    total = variance + other_variance
    overlap = np.sqrt(2.0 * np.sqrt(variance * other_variance) / total) * np.exp(-0.25 * (mean - other_mean) ** 2 / total)
    return float(np.sqrt(max(0.0, 1.0 - float(np.prod(overlap)))))
