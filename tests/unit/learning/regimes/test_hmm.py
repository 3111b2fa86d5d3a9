"""Every failure of the library that the wrapped fit has to survive, provoked; names and identity of states across retrains."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smartmoney.core.domain.signals import Regime
from smartmoney.learning.regimes import hmm
from smartmoney.learning.regimes.hmm import FitRefused, HmmSettings, fit
from smartmoney.learning.regimes.identity import check_identity, check_names, match_states, name_states
from smartmoney.learning.regimes.observations import OBSERVED, parities, stretches
from smartmoney.learning.regimes.states import prototypes, states_for

PARITY = parities()
STATES = states_for(5)
SECOND = 1_000_000_000


def path(rng, rows, states=STATES, spread=0.6, leave_out=(), dwell=120):
    """Return rows that dwell in each state's prototype in turn, in random order, and the states."""
    centres = prototypes(states) * 1.5
    allowed = [k for k in range(len(centres)) if k not in leave_out]
    where = np.repeat(rng.choice(allowed, -(-rows // dwell)), dwell)[:rows]
    return centres[where] + spread * rng.standard_normal((rows, len(PARITY))), where


def anchors(states=STATES):
    return prototypes(states) * 1.5, np.full((len(states.names), len(PARITY)), 0.5)


@pytest.fixture(scope="module")
def fitted():
    return fit([path(np.random.default_rng(1), 6000)[0]], PARITY, STATES, *anchors())


def test_six_states_stand_for_the_five_names_and_mirrored_pairs_are_mirrors():
    assert len(STATES.names) == 6
    assert set(STATES.names) == set(Regime)
    assert all(STATES.mirror[STATES.mirror[k]] == k for k in range(6))
    assert STATES.names.count(Regime.TRENDING) == 2


@given(st.integers(2, 20))
@settings(max_examples=19, deadline=None)
def test_any_number_of_components_gives_states_that_are_closed_under_the_mirror(components):
    states = states_for(components)
    assert len(states.names) == components + (components >= 5)
    for k, other in enumerate(states.mirror):
        assert states.mirror[other] == k
        assert states.direction[other] == -states.direction[k]


def test_anchored_states_keep_their_identity_whatever_the_data_order(fitted):
    for seed in (2, 3, 4):
        again = fit([path(np.random.default_rng(seed), 6000)[0]], PARITY, STATES, *anchors())
        assert np.abs(again.means - fitted.means).max() < 0.35
        assert check_names(again, prototypes(STATES)).names == STATES.names


def test_the_fit_is_its_own_mirror_bit_for_bit(fitted):
    swapped = list(STATES.mirror)
    assert (fitted.means[swapped] * PARITY == fitted.means).all()
    assert (fitted.variances[swapped] == fitted.variances).all()
    assert (fitted.transitions[np.ix_(swapped, swapped)] == fitted.transitions).all()
    assert (fitted.start[swapped] == fitted.start).all()


def test_a_mirrored_recording_gives_the_same_fit():
    rows = path(np.random.default_rng(5), 5000)[0]
    one, other = (fit([each], PARITY, STATES, *anchors()) for each in (rows, rows * PARITY))
    assert np.allclose(one.means, other.means, atol=1e-9)


def test_states_dwell_at_least_as_long_as_told_and_no_transition_is_zero(fitted):
    stay = np.diag(fitted.transitions)
    assert (1.0 / (1.0 - stay) >= hmm.DWELL_S_MIN - 1e-6).all()
    assert fitted.transitions.min() > 0.0
    assert np.allclose(fitted.transitions.sum(axis=1), 1.0, atol=1e-12)


def test_a_feed_that_stands_still_is_left_out_and_would_have_made_a_state_of_no_variance():
    rows, _ = path(np.random.default_rng(6), 4000)
    rows[1000:1500] = rows[1000]
    times = np.arange(len(rows)) * SECOND
    kept = stretches(rows, times)
    assert all(not (piece.start < 1500 and piece.stop > 1001) for piece in kept)
    assert sum(piece.stop - piece.start for piece in kept) >= 3400
    fed = fit([rows], PARITY, STATES, *anchors())
    assert fed.variances.min() >= hmm.VARIANCE_FLOOR


def test_holes_and_unknown_dimensions_cut_stretches():
    rows, _ = path(np.random.default_rng(7), 1000)
    rows[300:310, 2] = np.nan
    times = np.arange(1000) * SECOND
    times[600:] += 90 * SECOND
    assert [(piece.start, piece.stop) for piece in stretches(rows, times)] == [(0, 300), (310, 600), (600, 1000)]


def test_a_state_that_never_happens_is_refused_and_named():
    volatile = STATES.names.index(Regime.VOLATILE)
    rows = path(np.random.default_rng(8), 6000, leave_out=(volatile,), spread=0.3)[0]
    with pytest.raises(FitRefused, match=r"volatile\) holds .*at least 2%"):
        fit([rows], PARITY, STATES, *anchors())


def test_numbers_that_are_not_finite_are_refused_before_and_after():
    rows = path(np.random.default_rng(9), 4000)[0]
    rows[5, 0] = np.nan
    with pytest.raises(FitRefused, match="not finite"):
        fit([rows], PARITY, STATES, *anchors())
    means, spreads = anchors()
    means[0, 0] = np.inf
    with pytest.raises(FitRefused, match="anchors"):
        fit([path(np.random.default_rng(9), 4000)[0]], PARITY, STATES, means, spreads)


def test_too_few_bars_are_refused_with_what_is_needed():
    with pytest.raises(FitRefused, match="1200"):
        fit([path(np.random.default_rng(10), 500)[0]], PARITY, STATES, *anchors())


def test_no_convergence_is_noticed_though_the_library_calls_it_converged():
    rows = path(np.random.default_rng(11), 4000, spread=1.5)[0]
    with pytest.raises(FitRefused, match="no convergence after 1 iteration"):
        fit([rows], PARITY, STATES, *anchors(), HmmSettings(iterations=2, attempts=1))


def test_a_model_whose_names_are_in_doubt_is_refused(fitted):
    import msgspec

    one, other = 0, 2
    middle = 0.5 * (fitted.means[one] + fitted.means[other])
    means = fitted.means.copy()
    for k in (one, other):
        means[k] = middle
        means[STATES.mirror[k]] = middle * PARITY
    with pytest.raises(FitRefused, match=r"(doubt|looks like).*--worlds N --hours H"):
        check_names(msgspec.structs.replace(fitted, means=means), prototypes(STATES))


def test_exchanged_states_are_noticed_by_name(fitted):
    import msgspec

    order = [1, 0, *range(2, 6)]
    with pytest.raises(FitRefused, match="anchored as accumulation and looks like distribution"):
        check_names(msgspec.structs.replace(fitted, means=fitted.means[order]), prototypes(STATES))


def test_naming_has_a_margin_over_every_other_naming(fitted):
    naming = name_states(fitted.means, STATES, prototypes(STATES))
    assert naming.names == STATES.names
    assert naming.margin > 0.2


def test_fifty_retrains_relabel_nothing(fitted):
    rng = np.random.default_rng(12)
    posterior = rng.dirichlet(np.ones(6), 300)
    for _ in range(50):
        moved = fitted.means + 0.1 * rng.standard_normal(fitted.means.shape)
        match = match_states((moved, fitted.variances), (fitted.means, fitted.variances), posterior, posterior)
        check_identity(match, STATES.names, STATES.names)
        assert match.of == tuple(range(6))


@pytest.mark.slow
def test_fifty_real_refits_on_other_data_keep_every_state_and_its_name(fitted):
    """Each is fitted on rows of its own, anchored on the one before, and matched with it by what both say of a common stretch."""
    common = path(np.random.default_rng(99), 900)[0]
    champion = fitted
    for seed in range(100, 150):
        again = fit([path(np.random.default_rng(seed), 3000)[0]], PARITY, STATES, champion.means, champion.variances)
        said = [gaussian_posterior(one, common) for one in (again, champion)]
        match = match_states((again.means, again.variances), (champion.means, champion.variances), *said)
        check_identity(match, check_names(again, prototypes(STATES)).names, STATES.names)
        assert match.of == tuple(range(6))
        champion = again


def gaussian_posterior(model, rows):
    """Return each row's posterior over states without a past: enough to tell which state is which."""
    log = -0.5 * ((rows[:, None, :] - model.means) ** 2 / model.variances + np.log(model.variances)).sum(axis=2)
    p = np.exp(log - log.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


def test_a_retrain_that_is_another_model_is_refused(fitted):
    posterior = np.eye(6)[np.arange(600) % 6]
    elsewhere = fitted.means + 6.0
    match = match_states((elsewhere, fitted.variances), (fitted.means, fitted.variances), np.roll(posterior, 1, axis=1), posterior)
    with pytest.raises(FitRefused, match=r"not the champion's|is called"):
        check_identity(match, STATES.names, STATES.names)
    with pytest.raises(FitRefused, match="5 states, and the champion has 6"):
        check_identity(match, STATES.names[:5], STATES.names)


def test_observed_features_are_few_and_have_a_parity():
    assert len(OBSERVED) <= 8
    assert (np.abs(PARITY) == 1.0).all()
    assert (PARITY < 0).sum() == 4
