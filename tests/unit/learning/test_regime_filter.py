"""Filters of a law's regimes: fresh worlds to learn from, nothing of the future, and a bound that is neither clipped nor mixed up."""

import itertools
import math

import msgspec
import numpy as np
import pytest

from smartmoney.cli.evaluate_said import _regimes
from smartmoney.core.regime.parameters import RegimeParameters
from smartmoney.learning.boosting.models import MIRRORED
from smartmoney.learning.evaluation import filter_worlds as made
from smartmoney.learning.evaluation.against import Contender, differences
from smartmoney.learning.evaluation.evaluate import Heard, HeldOut, evaluate
from smartmoney.learning.evaluation.filter_score import BOUND, Filtered
from smartmoney.learning.evaluation.misses import misses
from smartmoney.learning.evaluation.regime_filter import (
    columns,
    forward,
    halves,
    is_symmetric,
    law_of_regimes,
    learn_filters,
    learn_stock,
    mirrored,
    regimes_of,
)
from smartmoney.learning.evaluation.regime_labels import macro_f1, scored_labels
from smartmoney.learning.evaluation.said import RegimesSaid
from smartmoney.learning.evaluation.summary import summary_of
from smartmoney.learning.evaluation.worlds import score_regimes
from smartmoney.learning.sets.families import FAMILIES, UNSEEN, held_out_worlds
from smartmoney.learning.sets.synthetic import World

from .made_rows import made_rows
from .test_evaluation import said_of


def worlds_of(seeds, family="one", seconds=1500):
    return [made_rows(seed, family, seconds, dwell=120) for seed in seeds]


def learn(worlds):
    first, second = halves(worlds)
    return learn_filters(worlds, tuple(learn_stock(part) for part in (worlds, first, second)), symmetric=True)


@pytest.fixture(scope="module")
def learned():
    return learn(worlds_of(range(2)))[0]


def f1_of(found, worlds):
    return macro_f1(scored_labels([(one, found.ask(one)) for one in worlds]).counts(len(worlds)).sum(axis=0))


def test_each_law_has_worlds_of_its_own_that_are_never_the_scored_ones():
    scored = held_out_worlds("a" * 64, "standard", 4, 7200)
    found = made.filter_worlds("a" * 64, "standard", scored, 5)
    assert set(found) == {made.law_of(one) for one in scored}
    assert len({one.family for one in found}) == len(FAMILIES) + len(UNSEEN)
    assert len(found) > len(FAMILIES) + len(UNSEEN)
    for law, worlds in found.items():
        assert {msgspec.structs.replace(one, seed=0, seconds=7200) for one in worlds} == {law}
        assert {one.seconds for one in worlds} == {made.LASTS_S}
    seeds = [one.seed for worlds in found.values() for one in worlds]
    assert len(set(seeds)) == len(seeds)
    assert not set(seeds) & {one.seed for one in scored}


def test_a_scored_world_that_the_seeds_would_lead_to_is_passed_over():
    [law] = made.filter_worlds("a" * 64, "s", [World(family="day", scenario=FAMILIES[0].members()[0], seed=1, seconds=900)], 0)
    would = made.filter_worlds("a" * 64, "s", [law], 3)[law]
    scored = [msgspec.structs.replace(law, seed=would[1].seed)]
    [instead] = made.filter_worlds("a" * 64, "s", scored, 3).values()
    assert [one.seed for one in instead[:2]] == [would[0].seed, would[2].seed]
    assert made.filter_worlds("b" * 64, "s", [law], 3)[law] != would
    assert made.filter_worlds("a" * 64, "t", [law], 3)[law] != would


def test_a_filter_knows_its_law_better_than_whoever_says_the_most_frequent_regime(learned):
    tested = worlds_of(range(50, 53))
    always = [(one, said_of(one)) for one in tested]
    assert f1_of(learned, tested) > 0.4 > 4.0 * score_regimes(always).macro_f1
    nothing = [msgspec.structs.replace(one, truth=msgspec.structs.replace(one.truth, regime=np.zeros(1500, np.int8))) for one in tested]
    silent, half = learn(nothing)
    assert silent.forests.own is half.forests.own is None
    assert f1_of(silent, nothing) == 1.0


def test_what_comes_later_changes_nothing_and_the_same_worlds_give_the_same_forest(learned):
    whole = made_rows(60, "one", 1200, dwell=150)
    cut = {name: getattr(whole, name)[:700] for name in ("times", "values", "mid_after")}
    early, late = learned.ask(msgspec.structs.replace(whole, **cut)), learned.ask(whole)
    assert np.array_equal(early.label, late.label[:700])
    assert np.array_equal(early.posterior, late.posterior[:700])
    again, _ = learn(worlds_of(range(2)))
    assert again.decision == learned.decision
    assert np.array_equal(again.ask(whole).posterior, late.posterior)


def test_a_symmetric_filter_says_of_the_mirror_what_it_says_of_the_market(learned):
    rows = made_rows(61, "one", 600, dwell=150)
    x = columns(rows)
    assert np.array_equal(np.nan_to_num(mirrored(mirrored(x))), np.nan_to_num(x))
    other = msgspec.structs.replace(rows, values=mirrored(x)[:, : rows.values.shape[1]])
    said, reflected = learned.ask(rows), learned.ask(other)
    # The law's own frequencies are not quite those of its mirror.
    assert (MIRRORED[said.label] == reflected.label).mean() > 0.95
    sides = {one.name: [is_symmetric(each) for each in one.members()] for one in (*FAMILIES, *UNSEEN)}
    assert sides.pop("one_sided") == [False, False]
    assert all(itertools.chain(*sides.values()))


def test_means_trail_and_leave_out_what_is_not_known():
    rows = made_rows(1, "one", 200)
    values = rows.values.copy()
    values[150, 0] = np.nan
    table = columns(msgspec.structs.replace(rows, values=values))
    minute = table[:, values.shape[1]]
    assert minute[99] == pytest.approx(values[40:100, 0].mean(), rel=1e-5)
    assert minute[160] == pytest.approx(np.nanmean(values[101:161, 0]), rel=1e-5)
    assert minute[0] == values[0, 0]


def test_the_forward_filter_is_bayes_rule_step_by_step():
    law = law_of_regimes(worlds_of(range(2)))
    assert law.transition.sum(axis=1) == pytest.approx(np.ones(5))
    told = np.log(np.random.default_rng(3).uniform(0.1, 1.0, (3, 5)))
    belief = law.share
    for row, found in zip(told, forward(told, law), strict=True):
        belief = np.array([sum(belief[before] * law.transition[before, now] for before in range(5)) for now in range(5)]) * np.exp(row)
        belief /= belief.sum()
        assert found == pytest.approx(belief)


def said_right(rows, share, seed):
    right = np.random.default_rng(seed).random(len(rows)) < share
    return np.where(right, regimes_of(rows), 4)


def scored(shares, filter_shares):
    """Return worlds, what a bundle said of them right so often, and what filters did; a share of None is a world without one."""
    worlds = [made_rows(seed, f"f{seed}", 1500) for seed in range(len(shares))]
    heard = [(one, said_of(one, said_right(one, share, 1))) for one, share in zip(worlds, shares, strict=True)]
    said = [
        None if share is None else RegimesSaid(label=said_right(one, share, 2), posterior=np.full((len(one), 5), 0.2))
        for one, share in zip(worlds, filter_shares, strict=True)
    ]
    return worlds, heard, Filtered(per_law=8, said=said, half=said)


def test_the_ratio_is_of_the_same_worlds_and_seconds_and_one_without_a_filter_is_left_out():
    _, heard, filtered = scored((0.9, 0.9, 0.9, 0.0), (0.9, 0.9, 0.9, None))
    found = score_regimes(heard, filtered)
    assert found.filter is not None
    assert (found.filter.worlds, found.filter.left_out) == (3, 1)
    assert set(found.filter.by_family) == {"f0", "f1", "f2"}
    alone = score_regimes(heard[:3])
    assert found.filter.macro_f1_model == alone.macro_f1 > found.macro_f1
    assert found.filter.ratio == pytest.approx(alone.macro_f1 / found.filter.macro_f1)
    assert found.filter.ratio_low < 1.0 < found.filter.ratio_high
    assert found.macro_f1_filter == found.filter.macro_f1 == found.filter.macro_f1_half
    none = Filtered(per_law=8, said=[None] * 4, half=[None] * 4)
    assert score_regimes(heard, none).filter is None
    assert math.isnan(score_regimes(heard, none).macro_f1_filter)


def test_a_bundle_above_the_filter_is_told_and_not_clipped():
    _, heard, filtered = scored((1.0, 0.5), (0.6, 0.9))
    found = score_regimes(heard, filtered).filter
    assert found.by_family["f0"].ratio > 1.0
    assert found.by_family["f1"].ratio < 1.0
    assert found.loose == ("f0",)
    lines = list(_regimes(score_regimes(heard, filtered)))
    assert any("a lower bound of the exact public filter's" in one and "an upper bound of its share" in one for one in lines)
    assert lines[-1].strip() == "the model is above the filter in f0: there the bound is loose"


def test_two_bundles_are_held_against_the_same_filters(bundles):
    bundle = bundles.small_bundle()
    contenders, heads = [], len(bundle.spec.heads)
    for shares in ((0.9, 0.9, 0.9, 0.1), (0.6, 0.6, 0.6, 0.9)):
        worlds, heard, filtered = scored(shares, (0.9, 0.9, 0.9, None))
        heard = [(one, msgspec.structs.replace(said, up=np.full((len(one), heads), 0.5))) for one, said in heard]
        silent = Heard(worlds=heard, windows={}, quiet=[], targets=[], traps=[], nulls=[], planted=[])
        contenders.append((Contender(bundle=bundle, held=HeldOut(worlds=worlds, filtered=filtered), heard=silent), heard, filtered))
    found = {one.name: one for one in differences(contenders[0][0], contenders[1][0], 40)}
    one = found["share of the filter's macro F1, at most"]
    for side, (_, heard, filtered) in zip((one.first, one.other), contenders, strict=True):
        assert side.value == pytest.approx(score_regimes(heard, filtered).filter.ratio)
    assert one.difference.low > 0.0


@pytest.mark.parametrize(
    ("share", "others", "says"),
    [
        (0.5, 1.0, "goal 0.90 (better 0.95)"),
        (0.91, 1.0, "above 0.90, but not the better 0.95"),
        (1.0, 1.0, None),
        (1.0, 0.7, "neither met nor missed"),
    ],
)
def test_what_is_missed_of_the_filters_is_named(bundles, share, others, says):
    worlds, heard, filtered = scored((share, share), (others, others))
    found = evaluate(bundles.small_bundle(), RegimeParameters(), HeldOut(worlds=worlds, filtered=filtered), suite="s", holdout_runs=1)
    found = msgspec.structs.replace(found, regimes=score_regimes(heard, filtered))
    said = [one for one in misses(found) if one.startswith("regimes: macro-F1")]
    assert (said == []) if says is None else (says in said[0])
    told = msgspec.json.decode(msgspec.json.encode(summary_of(found)))["regime"]
    assert told["macro_f1_filter"] == found.regimes.filter.macro_f1
    assert told["filter"]["ratio"] == pytest.approx(found.regimes.macro_f1 / told["macro_f1_filter"])
    assert told["filter"]["note"] == BOUND
    assert "lower bound" in BOUND
    without = msgspec.structs.replace(found, regimes=score_regimes(heard))
    assert summary_of(without)["regime"]["macro_f1_filter"] is None
    assert any("absolute only" in one for one in misses(without))
