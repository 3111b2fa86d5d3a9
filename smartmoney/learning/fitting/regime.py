"""Fit the hidden Markov stage of a bundle, anchored on truth or on the champion."""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from smartmoney.core.models.bundle import HiddenMarkov, Observed
from smartmoney.learning.regimes.hmm import FitRefused, FittedHmm, HmmSettings, fit
from smartmoney.learning.regimes.identity import Match, Naming, check_identity, check_names, match_states
from smartmoney.learning.regimes.observations import Z_MAX, fit_scales, observe, parities, stretches
from smartmoney.learning.regimes.states import States, prototypes, states_for, truth_states
from smartmoney.learning.sets.rows import Rows
from smartmoney.learning.staging import posterior

Floats = NDArray[np.float64]

TEMPER = 4.0
"""Bars of one second repeat what features of two minutes say: untempered, the posterior saturates."""
SPREAD_MAX = 6.0
_STRETCH = 150
"""Rows of a piece: pieces of a few minutes, many of them, so that rare states come up."""
_RARE_SHARE = 0.06
_LABELLED_MIN = 50


class RegimeFit(msgspec.Struct, frozen=True, kw_only=True):
    """Hold a fitted stage and what its checks said. `match` is None where there was no champion to compare with."""

    hmm: HiddenMarkov
    fitted: FittedHmm
    naming: Naming
    match: Match | None = None


def fit_on_truth(sources: Sequence[Rows], usable: Sequence[NDArray[np.bool_]], components: int, rows_max: int, seed: int) -> RegimeFit:
    """Fit on synthetic rows, anchored on the means of the states that truth names.

    Raises:
        FitRefused: the fit cannot be used; ObservationRefused: there is nothing to observe.
    """
    states = states_for(components)
    labelled = [
        (one, use) for one, use in zip(sources, usable, strict=True) if one.truth is not None and (one.truth.regime[use] >= 0).any()
    ]
    scales = fit_scales(np.concatenate([one.values[use][::5] for one, use in labelled]))
    parity = parities()
    observed = [observe(one.values, scales) for one, _ in labelled]
    rows, masks = [one for one, _ in labelled], [use for _, use in labelled]
    means, spreads = _labelled_moments(rows, observed, masks, states, parity)
    labels = [_states_of(one, states) for one in rows]
    fitted = fit(_stretches(rows, observed, masks, rows_max, seed, labels), parity, states, means, spreads)
    naming = check_names(fitted, prototypes(states))
    return RegimeFit(hmm=_hidden_markov(fitted, scales), fitted=fitted, naming=naming)


def fit_on_champion(
    sources: Sequence[Rows], usable: Sequence[NDArray[np.bool_]], champion: HiddenMarkov, rows_max: int, seed: int
) -> RegimeFit:
    """Fit on real rows, anchored on the champion's states, and check that the states are still the champion's.

    Both are compared in units of this data's medians and MADs: what is wild for one market is nothing to another.

    Raises:
        FitRefused: no such state in the data, or the states are not the champion's, or their names are in doubt; then the champion's
            stage stays.
    """
    scales = fit_scales(np.concatenate([one.values[use] for one, use in zip(sources, usable, strict=True)]))
    names = [one.feature for one in champion.observed]
    if names != [one.feature for one in scales]:
        raise FitRefused("the champion observes other features; train with the version that made it, or anew with --built-in")
    parity = parities(names)
    states = States(names=champion.names, mirror=champion.mirror, direction=_directions(champion))
    observed = [observe(one.values, scales) for one in sources]
    anchors = np.array(champion.means)
    fitted = fit(
        _stretches(sources, observed, usable, rows_max, seed),
        parity,
        states,
        anchors,
        np.array(champion.variances),
        HmmSettings(occupancy_min=0.005),
    )
    hmm = _hidden_markov(fitted, scales)
    replayed = next(k for k, use in enumerate(usable) if use.any())
    here = msgspec.structs.replace(champion, observed=scales)
    new_posterior, old_posterior = (posterior(sources[replayed], model) for model in (hmm, here))
    champions = (anchors, np.array(champion.variances))
    match = match_states((fitted.means, fitted.variances), champions, new_posterior, old_posterior)
    check_identity(match, fitted.states.names, champion.names)
    # The champion's states, and still what their names say: one may wander far from its signature in small steps.
    return RegimeFit(hmm=hmm, fitted=fitted, naming=check_names(fitted, prototypes(states, names)), match=match)


def _directions(champion: HiddenMarkov) -> tuple[int, ...]:
    """Return 1 for the first of each pair of mirrored states, −1 for the second."""
    return tuple(0 if k == other else 1 if k < other else -1 for k, other in enumerate(champion.mirror))


def _labelled_moments(
    sources: Sequence[Rows], observed: Sequence[Floats], usable: Sequence[NDArray[np.bool_]], states: States, parity: Floats
) -> tuple[Floats, Floats]:
    """Return each state's mean and variance over rows that truth gives it and, mirrored, over those of its mirror state."""
    count, total, squares = np.zeros(len(states.names)), *np.zeros((2, len(states.names), len(parity)))
    for one, z, use in zip(sources, observed, usable, strict=True):
        state = _states_of(one, states)
        known = use & np.isfinite(z).all(axis=1)
        for k, other in enumerate(states.mirror):
            for rows, place in ((z[known & (state == k)], k), (z[known & (state == k)] * parity, other)):
                count[place] += len(rows)
                total[place] += rows.sum(axis=0)
                squares[place] += (rows**2).sum(axis=0)
    held = np.maximum(count, 1.0)[:, None]
    means = total / held
    variances = np.maximum(squares / held - means**2, 0.0)
    signatures, activity = prototypes(states), prototypes(states_for(4))[-1]
    for k in np.flatnonzero(count < _LABELLED_MIN).tolist():
        # Truth has no such state (a further level of neutral): spread these out along activity.
        same = [j for j in range(len(count)) if states.names[j] is states.names[k]]
        means[k] = signatures[k] + 0.7 * (same.index(k) - 0.5 * len(same)) * activity
        variances[k] = 1.0
    return means, variances


def _states_of(one: Rows, states: States) -> NDArray[np.int64]:
    assert one.truth is not None
    with np.errstate(invalid="ignore"):
        return truth_states(one.truth.regime, one.truth.efficient > one.mid_after, states)


def _stretches(
    sources: Sequence[Rows],
    observed: Sequence[Floats],
    usable: Sequence[NDArray[np.bool_]],
    rows_max: int,
    seed: int,
    labels: Sequence[NDArray[np.int64]] = (),
) -> list[Floats]:
    """Return pieces drawn over all sources until there are `rows_max` bars; with labels, first a few percent of each rare state's."""
    pieces: list[Floats] = []
    mostly: list[int] = []
    for place, (one, z, use) in enumerate(zip(sources, observed, usable, strict=True)):
        shown = np.where(use[:, None], z, np.nan)
        for found in stretches(shown, one.times):
            for at in range(found.start, found.stop - 59, _STRETCH):
                piece = slice(at, min(at + _STRETCH, found.stop))
                pieces.append(shown[piece])
                mostly.append(int(np.bincount(labels[place][piece] + 1).argmax()) - 1 if labels else -1)
    order = np.random.default_rng(seed).permutation(len(pieces)).tolist()
    rare = [
        place
        for label in sorted(set(mostly) - {-1})
        for place in [k for k in order if mostly[k] == label][: int(_RARE_SHARE * rows_max / _STRETCH)]
    ]
    chosen, rows = [], 0
    for place in dict.fromkeys((*rare, *order)):
        if rows >= rows_max:
            break
        chosen.append(pieces[place][np.isfinite(pieces[place]).all(axis=1)])
        rows += len(chosen[-1])
    return chosen


def _hidden_markov(fitted: FittedHmm, scales: Sequence[Observed]) -> HiddenMarkov:
    def table(array: Floats) -> tuple[tuple[float, ...], ...]:
        return tuple(tuple(row) for row in array.tolist())

    return HiddenMarkov(
        observed=tuple(scales),
        z_max=Z_MAX,
        means=table(fitted.means + 0.0),
        variances=table(fitted.variances),
        transitions=table(fitted.transitions),
        start=tuple(fitted.start.tolist()),
        names=fitted.states.names,
        mirror=fitted.states.mirror,
        temper=TEMPER,
        spread_max=SPREAD_MAX,
    )
