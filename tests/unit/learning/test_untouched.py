"""The forecast part of the gate's evidence: untouched days, pairs of the same rows, the drift of them."""

import msgspec
import numpy as np
import pytest

from smartmoney.core.regime.parameters import RegimeParameters
from smartmoney.learning.drift_monitors import DriftMonitors, Forecast, reference_of
from smartmoney.learning.evaluation.untouched import DaysTouched, check_untouched, drift_of, score_forecasts, states_kept
from smartmoney.learning.fitting.export import LEARNED_FROM, LEARNED_UNTIL
from smartmoney.learning.sets.rows import SECOND_NS
from smartmoney.learning.trainer import data_hash

from .made_rows import START_NS, made_rows

DAY_S = 86_400


def _trained(bundle, **changes):
    return type(bundle)(spec=msgspec.structs.replace(bundle.spec, **changes), forests=bundle.forests, card="", hash=bundle.hash)


def _on_recordings(bundle, data_hash_="ab", **parameters):
    trained = msgspec.structs.replace(bundle.spec.trained, venue="binance", data_hash=data_hash_)
    return _trained(bundle, trained=trained, parameters=parameters)


def test_days_that_a_model_learned_from_or_before_them_are_refused(bundles):
    rows = [made_rows(1, seconds=700, truth=False)]
    small = bundles.small_bundle()
    first, last = START_NS, START_NS + 699 * SECOND_NS
    check_untouched(rows, [_on_recordings(small, **{LEARNED_FROM: first - 900 * SECOND_NS, LEARNED_UNTIL: first - 1})])
    for span in ((first - SECOND_NS, first), (first, last), (last + SECOND_NS, last + 2 * SECOND_NS)):
        with pytest.raises(DaysTouched, match="learned from days until"):
            check_untouched(rows, [_on_recordings(small, **dict(zip((LEARNED_FROM, LEARNED_UNTIL), span, strict=True)))])
    with pytest.raises(DaysTouched, match="exactly these rows"):
        check_untouched(rows, [_on_recordings(small, data_hash(rows), **{LEARNED_FROM: 1, LEARNED_UNTIL: 2})])
    with pytest.raises(DaysTouched, match="does not say"):
        check_untouched(rows, [_on_recordings(small)])


def test_a_model_is_no_better_than_itself_and_days_need_hours(bundles):
    rows = made_rows(2, seconds=DAY_S // 2 + 3600, truth=False)
    one = bundles.small_bundle()
    scores = score_forecasts([rows], one, one, RegimeParameters())
    assert scores.gain.mean == 0.0
    assert scores.days == 1
    assert scores.regime_loss == scores.champion_regime_loss != {}
    assert scores.ece == scores.champion_ece
    short = score_forecasts([made_rows(2, seconds=DAY_S // 4, truth=False)], one, one, RegimeParameters())
    assert (short.days, short.hours < 6.0) == (0, True)


def test_a_first_champion_is_held_against_base_rate_and_logistic(bundles):
    rows = made_rows(3, seconds=6 * 3600, truth=False)
    scores = score_forecasts([rows], bundles.small_bundle(), None, RegimeParameters())
    assert np.isfinite([scores.log_loss, scores.base_rate_log_loss, scores.logistic_log_loss]).all()
    # Both were fitted on these very rows: no worse than knowing nothing.
    assert scores.base_rate_log_loss <= np.log(2.0) + 1e-12
    assert scores.logistic_log_loss <= np.log(2.0) + 1e-9
    assert scores.champion_regime_loss == {}
    # The gain is over the logistic, of seconds: of the same sign as the difference of weighted losses where that is large.
    assert np.sign(scores.gain.mean) == np.sign(scores.logistic_log_loss - scores.log_loss)


def test_without_a_common_horizon_nothing_is_measured(bundles):
    one = bundles.small_bundle()
    heads = tuple(msgspec.structs.replace(head, tradable=False) for head in one.spec.heads)
    scores = score_forecasts([made_rows(4, seconds=4000, truth=False)], one, _trained(one, heads=heads), RegimeParameters())
    assert np.isnan([scores.gain.mean, scores.gain.p_value, scores.ece]).all()


def test_states_are_kept_by_the_same_stage_and_not_by_other_names(bundles):
    rows = [made_rows(5, seconds=4000, truth=False)]
    one = bundles.small_bundle()
    hmm = one.spec.hmm
    assert states_kept(rows, one, None)
    assert states_kept(rows, one, one)
    stayed = msgspec.structs.replace(hmm, temper=hmm.temper * 1.0001)
    assert states_kept(rows, _trained(one, hmm=stayed), one)
    called = (*hmm.names[:4], hmm.names[5], hmm.names[4])
    assert not states_kept(rows, _trained(one, hmm=msgspec.structs.replace(hmm, names=called)), one)


def test_drift_is_measured_against_training_and_not_at_all_on_less_than_a_day(bundles):
    one = bundles.small_bundle()
    rows = made_rows(6, seconds=DAY_S, truth=False)
    reference = reference_of(one, [rows.values])
    assert drift_of([rows], one, None, RegimeParameters()) is None
    assert drift_of([made_rows(6, seconds=7200, truth=False)], one, reference, RegimeParameters()) is None
    same = drift_of([rows], one, reference, RegimeParameters())
    assert same.psi < 0.1
    moved = msgspec.structs.replace(rows, values=rows.values * np.float32(3.0) + np.float32(1.0))
    assert drift_of([moved], one, reference, RegimeParameters()).level == "act"


def test_forecasts_that_are_judged_never_overlap_and_lost_ones_are_counted():
    monitors = DriftMonitors(None)
    for second in range(1200):
        now_ns = second * SECOND_NS
        monitors.look({0: 100.0 + second}, now_ns)
        monitors.said(0, [Forecast(300, 0.6), Forecast(60, float("nan"))], 100.0 + second, now_ns)
    assert (monitors.judged, monitors.lost) == (3, 0)
    monitors.look({0: None}, 1300 * SECOND_NS)
    assert (monitors.judged, monitors.lost) == (3, 1)


def test_a_model_that_becomes_wrong_is_noticed_and_one_that_becomes_better_is_not():
    for good_first, expected in ((True, "act"), (False, "ok")):
        monitors, now_ns, mid = DriftMonitors(None), 0, 1000.0
        for number in range(1200):
            is_good = (number < 600) == good_first
            right = number % 10 < (9 if is_good else 1)
            monitors.said(0, [Forecast(60, 0.9)], mid, now_ns)
            now_ns += 60 * SECOND_NS
            mid += 1.0 if right else -1.0
            monitors.look({0: mid}, now_ns)
        found = monitors.report()
        assert (found.cuts > 0) == (expected == "act")
        assert monitors.judged == 1200


def test_a_jump_of_the_log_loss_stands_until_it_is_as_low_as_it_was():
    monitors, now_ns, mid, levels = DriftMonitors(None), 0, 1000.0, []
    for number in range(3000):
        right = number % 10 < (1 if 1000 <= number < 1300 else 9)
        monitors.said(0, [Forecast(60, 0.9)], mid, now_ns)
        now_ns += 60 * SECOND_NS
        mid += 1.0 if right else -1.0
        monitors.look({0: mid}, now_ns)
        levels.append(monitors.report().cuts)
    assert set(levels[:1000]) == {0}
    assert set(levels[1100:1300]) == {1}
    assert levels[-1] == 0
