"""Fit the regime model's hidden Markov model: hmmlearn's EM with anchors, wrapped against everything it does not check itself.

What hmmlearn 0.3.3 does, and what is done about it here:
* its random start makes other states with each seed, and re-fits forget who is who: MAP-EM with `means_prior` (labelled states' means, or
  the last champion's), own start, `init_params=""`;
* `min_covar` acts at the start only, so a stretch that stands still makes a state of no variance: stale stretches are left out
  (`observations.stretches`), `covars_prior`, and a floor after the fit;
* an empty state becomes NaN: `means_weight` above 0, a least occupancy, a check of every number;
* zero transitions absorb: a prior on every transition, and a floor on staying;
* `monitor_.converged` is true at the last iteration and when the likelihood falls, and with priors the likelihood is not the objective:
  `tol=-inf`, and an own test of the last gains per row;
* accumulation and distribution drift apart: the fit is on X and its mirror together, and the result is averaged over both, bit for bit.

Diagonal variances only: with full ones hmmlearn adds its default prior to every entry and so makes a singular matrix.
"""

import logging
import warnings
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from smartmoney.learning.regimes.states import States

Floats = NDArray[np.float64]

VARIANCE_FLOOR = 0.02
OCCUPANCY_MIN = 0.02
DWELL_S_MIN = 60.0
GAIN_MAX = 1e-3
"""Nats per row: a fit whose last iteration still gained more has not converged."""
_ANCHOR_ROWS = 0.5
"""Weight of an anchor, as a share of the rows: heavy enough to keep who is who, light enough to follow what is there."""
_STAY = 50.0
_MOVE = 1.1


class FitRefused(Exception):
    """Say why a fitted model cannot be used; the champion stays."""

    exit_code = 1


class HmmSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Configure the fit: EM iterations per attempt and attempts, seconds of least mean dwell, least share of rows of a state."""

    iterations: int = 15
    attempts: int = 3
    dwell_s: float = DWELL_S_MIN
    occupancy_min: float = OCCUPANCY_MIN


class FittedHmm(msgspec.Struct, frozen=True, kw_only=True):
    """Hold a fitted model: `(states, dimensions)` means and variances, transitions, start; what the fit was like.

    `occupancy` is each state's share of the rows; `gain` the last iteration's gain in nats per row; `rows` those that were fitted on.
    """

    states: States
    means: Floats
    variances: Floats
    transitions: Floats
    start: Floats
    occupancy: Floats
    gain: float
    rows: int
    iterations: int


def fit(
    stretches: Sequence[Floats], parity: Floats, states: States, anchors: Floats, spreads: Floats, settings: HmmSettings | None = None
) -> FittedHmm:
    """Fit on stretches of `(rows, dimensions)` observations (finite), each taken with its mirror.

    Args:
        stretches: consecutive bars of one second; different stretches are independent.
        parity: `(dimensions,)`, −1 where the mirror negates.
        states: what the states are called, and which are mirrors.
        anchors: `(states, dimensions)`, where each state is expected to lie.
        spreads: `(states, dimensions)`, the variance that each is expected to have.
        settings: iterations and refusals.

    Raises:
        FitRefused: too little data, no convergence, an empty state, a number that is not finite.
    """
    told = settings or HmmSettings()
    rows = sum(len(one) for one in stretches)
    count = len(states.names)
    if rows < 200 * count:
        raise FitRefused(f"{rows} usable bars for {count} states; give {200 * count} or more (a longer recording)")
    for array in (anchors, spreads):
        if not np.isfinite(array).all() or array.shape != (count, len(parity)):
            raise FitRefused("the anchors of the states are not finite, or not one per state and dimension")
    swapped = list(states.mirror)
    spreads = np.maximum(0.5 * (spreads + spreads[swapped]), VARIANCE_FLOOR)
    x = np.concatenate([*stretches, *(one * parity for one in stretches)])
    if not np.isfinite(x).all():
        raise FitRefused("an observation is not finite; stretches hold known rows only")
    lengths = [len(one) for one in stretches] * 2
    model, gains = _run(x, lengths, states, _symmetric_means(anchors, states, parity), spreads, told)
    occupancy = _occupancy(model, x, lengths)
    means, variances, transitions, start = _averaged(model, states, parity)
    for name, array in (("means", means), ("variances", variances), ("transitions", transitions), ("start", start)):
        if not np.isfinite(array).all():
            raise FitRefused(f"the fitted {name} are not finite: a state has no rows; give more data, or fewer hmm_components")
    if not np.isfinite(gains[-1]) or abs(gains[-1]) > GAIN_MAX:
        raise FitRefused(f"no convergence after {len(gains)} iterations: the last changed {gains[-1]:.2g} nats a row")
    occupancy = 0.5 * (occupancy + occupancy[list(states.mirror)])
    if occupancy.min() < told.occupancy_min:
        place = int(occupancy.argmin())
        raise FitRefused(
            f"state {place} ({states.names[place].value}) holds {occupancy[place]:.1%} of the rows, at least "
            f"{told.occupancy_min:.0%} are needed: the data has no such stretch"
        )
    return FittedHmm(
        states=states,
        means=means,
        variances=np.maximum(variances, VARIANCE_FLOOR),
        transitions=_mirrored_moves(_sticky(transitions, told.dwell_s), states),
        start=start,
        occupancy=occupancy,
        gain=float(gains[-1]),
        rows=rows,
        iterations=len(gains),
    )


def _run(
    x: Floats, lengths: Sequence[int], states: States, anchors: Floats, spreads: Floats, told: HmmSettings
) -> tuple[object, list[float]]:
    """Return hmmlearn's model after EM, and the gain per row of each iteration."""
    from hmmlearn.hmm import GaussianHMM

    count, weight = len(states.names), _ANCHOR_ROWS * len(x)
    model = GaussianHMM(
        n_components=count,
        covariance_type="diag",
        init_params="",
        params="tmc",
        n_iter=told.iterations,
        tol=-np.inf,
        implementation="log",
        min_covar=VARIANCE_FLOOR,
        means_prior=anchors,
        means_weight=np.full((count, 1), weight / count),
        covars_prior=spreads * weight / count,
        covars_weight=weight / count,
        transmat_prior=_MOVE + _STAY * np.eye(count),
        random_state=0,
    )
    model.startprob_ = np.full(count, 1.0 / count)
    model.transmat_ = _sticky(np.full((count, count), 1.0 / count), 100.0)
    model.means_ = anchors.copy()
    model.covars_ = spreads.copy()
    quiet = logging.getLogger("hmmlearn.base")
    level, quiet.level = quiet.level, logging.ERROR
    gains: list[float] = []
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            for _ in range(told.attempts):
                model.fit(x, lengths)
                history = np.array(model.monitor_.history)
                gains += (np.diff(history) / len(x)).tolist()
                if gains and np.isfinite(gains[-1]) and abs(gains[-1]) <= GAIN_MAX:
                    break
    except ValueError as error:
        # hmmlearn says so of parameters that are not finite, in words of its own.
        raise FitRefused(f"the fit broke down: {error}") from None
    finally:
        quiet.level = level
    return model, gains or [float("nan")]


def _occupancy(model: object, x: Floats, lengths: Sequence[int]) -> Floats:
    with np.errstate(all="ignore"):
        try:
            posterior = model.predict_proba(x, lengths)  # type: ignore[attr-defined]
        except ValueError as error:
            raise FitRefused(f"the fit broke down: {error}") from None
    return np.asarray(posterior.mean(axis=0), np.float64)


def _symmetric_means(means: Floats, states: States, parity: Floats) -> Floats:
    swapped = list(states.mirror)
    return np.asarray(0.5 * (means + means[swapped] * parity), np.float64)


def _averaged(model: object, states: States, parity: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Return parameters averaged with those of the mirrored states, so that the mirror is exact."""
    swapped = list(states.mirror)
    means = np.asarray(model.means_)  # type: ignore[attr-defined]
    variances = np.asarray([np.diag(one) for one in model.covars_])  # type: ignore[attr-defined]
    moves = np.asarray(model.transmat_)  # type: ignore[attr-defined]
    first = np.asarray(model.startprob_)  # type: ignore[attr-defined]
    return (
        _symmetric_means(means, states, parity),
        0.5 * (variances + variances[swapped]),
        _mirrored_moves(moves, states),
        0.5 * (first + first[swapped]),
    )


def _mirrored_moves(moves: Floats, states: States) -> Floats:
    """Return transitions averaged with their mirror: sums in another order leave the mirror inexact by a bit."""
    swapped = list(states.mirror)
    return np.asarray(0.5 * (moves + moves[np.ix_(swapped, swapped)]), np.float64)


def _sticky(transitions: Floats, dwell_s: float) -> Floats:
    """Return transitions whose mean dwell, 1/(1−a), is at least `dwell_s` in every state, none of them zero."""
    count = len(transitions)
    if count == 1:
        return np.ones((1, 1))
    stay = np.maximum(np.diag(transitions), 1.0 - 1.0 / dwell_s)
    leave = np.maximum(transitions - np.diag(np.diag(transitions)), 1e-6)
    np.fill_diagonal(leave, 0.0)
    made = leave / leave.sum(axis=1, keepdims=True) * (1.0 - stay)[:, None]
    return np.asarray(made + np.diag(stay), np.float64)
