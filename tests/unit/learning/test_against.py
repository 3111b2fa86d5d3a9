"""Two bundles on the same worlds: the values of the table, differences whose answer is known, and draws that both share."""

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smartmoney.adapters.model_store import ModelStore
from smartmoney.core.regime.parameters import RegimeParameters
from smartmoney.learning.evaluation.against import Contender, compare, differences, overfittings
from smartmoney.learning.evaluation.evaluate import Heard, HeldOut, evaluate
from smartmoney.learning.evaluation.paired import Contest, counts_of, judge
from smartmoney.learning.evaluation.summary import summary_of, summary_of_both
from smartmoney.learning.sets.families import held_out_worlds
from smartmoney.learning.sets.labels import labels_of
from smartmoney.runtime.evaluation_jobs import seed_of

from .made_rows import made_rows
from .test_alarm_delay import case
from .test_evaluation import said_of, windows
from .test_evaluation_trades import traded, worlds
from .test_spoofs_and_traps import trapped

PARAMETERS = RegimeParameters()
RESAMPLES = 60


def contest(mine, others):
    """Return the contest of two bundles' mean score over worlds."""
    whole, draw = counts_of(len(mine))
    first, other = (lambda times, x=x: [float(np.average(np.array(x), weights=times))] for x in (mine, others))
    return Contest(part="p", names=("mean",), first=first, other=other, whole=whole, draw=draw, units=len(mine))


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=12), st.floats(-5, 5), st.integers(0, 3))
@settings(max_examples=25, deadline=None)
def test_what_is_the_same_in_every_world_is_known_exactly_however_wild_the_worlds_are(scores, more, seed):
    (one,) = judge(contest([score + more for score in scores], scores), seed=seed)
    assert one.difference.value == pytest.approx(more, abs=1e-9)
    assert one.difference.low == pytest.approx(more, abs=1e-9)
    assert one.difference.high == pytest.approx(more, abs=1e-9)
    assert one.first.low <= one.first.high
    (turned,) = judge(contest(scores, [score + more for score in scores]), seed=seed)
    assert turned.difference.value == pytest.approx(-more, abs=1e-9)


@pytest.mark.parametrize("worlds", [2, 3, 4, 12])
def test_of_twenty_numbers_without_a_difference_about_one_is_told_apart_however_few_the_worlds_are(worlds):
    rng = np.random.default_rng(1)
    contests = (contest(rng.standard_normal(worlds), rng.standard_normal(worlds)) for _ in range(120))
    apart = [next(judge(one, 100)).is_told_apart for one in contests]
    assert sum(apart) <= 13


def test_one_world_has_no_interval():
    (one,) = judge(contest([1.0], [0.0]))
    assert one.difference.value == 1.0
    assert math.isnan(one.difference.low)
    assert not one.is_told_apart


def test_endless_against_endless_is_not_known_and_what_neither_has_is_left_out():
    later = msgspec.structs.replace(contest([1.0, 1.0], [1.0, 1.0]), first=lambda times: [math.inf], other=lambda times: [math.inf])
    (one,) = judge(later)
    assert math.isinf(one.first.value)
    assert math.isnan(one.difference.value)
    assert list(judge(contest([math.nan], [math.nan]))) == []


def full(bundle, strength):
    """Return a contender that knows the side of every move with some strength, and whose alarms and trades are as good."""
    heads = len(bundle.spec.heads)
    sources = [made_rows(seed, "day" if seed < 3 else "unseen_thin", 2400) for seed in range(6)]
    heard = []
    for number, rows in enumerate(sources):
        rng = np.random.default_rng(number)
        up = np.full((len(rows), heads), 0.5)
        for k, head in enumerate(bundle.spec.heads):
            labels = labels_of(rows, head.horizon_s, 1)
            up[labels.rows, k] = 0.5 + 0.2 * np.where(rng.random(len(labels.rows)) < strength, labels.sign > 0, labels.sign < 0) - 0.1
        truth = np.array([4, 0, 1, 2, 3])[rows.truth.regime]
        label = np.where(np.random.default_rng(number).random(len(rows)) < strength, truth, 4)
        heard.append((rows, said_of(rows, label=label, up=up, heads=heads)))
    watched = case(3.0 * strength)
    traps = [trapped(1, 3, 1)]
    normal = [traded(seed, count=5, net=20.0 * strength) for seed in range(4)]
    trades = [msgspec.structs.replace(one, normal=own) for one, own in zip(worlds(4), normal, strict=True)]
    held = HeldOut(worlds=sources, null_trades=worlds(4), planted_trades=trades)
    return Contender(
        bundle=bundle,
        held=held,
        heard=Heard(
            worlds=heard, windows={"poisson": [windows(1, strength)]}, quiet=watched[1], targets=watched[2],
            traps=[(one, said_of(one)) for one in traps], nulls=heard[:4], planted=heard[:4],
        ),
    )  # fmt: skip


@pytest.fixture(scope="module")
def compared(bundles):
    bundle = bundles.small_bundle()
    better, worse = full(bundle, 0.9), full(bundle, 0.6)
    return better, worse, {f"{one.part}, {one.name}": one for one in differences(better, worse, RESAMPLES)}


def test_values_are_those_of_the_table(compared):
    for contender, side in zip(compared[:2], ("first", "other"), strict=True):
        table = evaluate(contender.bundle, PARAMETERS, contender.held, suite="s", holdout_runs=1, heard=contender.heard)
        of = {name: getattr(one, side).value for name, one in compared[2].items()}
        head = table.heads[0]
        expected = {
            "planted flow, poisson: AUC": table.flow[0].auc,
            "planted flow, poisson: efficiency": table.flow[0].efficiency,
            "traps, warned of in time by regime volatile": table.traps.warned_by[-1].share,
            "regimes, macro F1": table.regimes.macro_f1,
            "regimes, F1 volatile": table.regimes.f1["volatile"],
            "regimes, calibration error": table.regimes.quality.ece,
            f"{head.horizon_s} s, AUC": head.auc,
            f"{head.horizon_s} s, slope": head.quality.slope,
            f"{head.horizon_s} s, calibration error": head.quality.ece,
            f"{head.horizon_s} s, unseen families, slope": head.unseen.quality.slope,
            f"{head.horizon_s} s, unseen families, Brier skill": head.unseen.quality.skill,
            "nothing to find, gates forced open: net a trade, bps": table.nulls.opened.net,
            "nothing to find, trades a day": table.nulls.normal.per_day,
            "edge planted, share of the oracle's net": table.planted.share,
            "edge planted, net of the account": table.planted.net_model,
            "edge planted, net a trade, bps": table.planted.model.net,
        }
        if table.delays:
            expected["alarm, poisson: times the oracle's delay"] = table.delays[0].ratio
        for name, value in expected.items():
            assert of.get(name, math.nan) == pytest.approx(value, nan_ok=True), name


def test_who_knows_more_is_told_apart_where_it_does(compared):
    found = compared[2]
    horizon = compared[0].bundle.spec.heads[0].horizon_s
    for name in (f"{horizon} s, AUC", f"{horizon} s, unseen families, AUC", "regimes, macro F1", "planted flow, all kinds: AUC"):
        assert found[name].difference.low > 0.0, name
        assert found[name].is_told_apart
    assert found["edge planted, share of the oracle's net"].difference.value == pytest.approx(80 * 0.3 / 200)
    assert found[f"{horizon} s, unseen families, AUC"].units == 3
    assert found["traps, warned of in time by regime volatile"].units == 1
    assert not found["nothing to find, gates forced open: gross a trade, bps"].is_told_apart


@pytest.mark.parametrize(
    ("first", "other", "units", "known"),
    [
        ((0.9, 0.1), (0.2, 0.8), 2, True),
        ((0.9, 0.1, 0.4), (0.1, 0.9, 0.5), 3, True),
        # Only one world tells both: however many there are, that is a single unit.
        ((0.9, math.nan, 0.2, math.nan), (0.2, 0.4, math.nan, math.nan), 1, False),
    ],
)
def test_probabilities_of_overfitting_differ_by_no_more_than_probabilities_can(first, other, units, known):
    (found,) = judge(overfittings("nothing to find", np.array(first), np.array(other)))
    assert found.units == units
    assert found.difference.value == pytest.approx(np.nanmean(first) - np.nanmean(other))
    if known:
        # Two or three worlds tell nothing: the interval is as wide as a difference can be, and no wider.
        assert -1.0 <= found.difference.low < -0.5
        assert 0.5 < found.difference.high <= 1.0
    else:
        assert math.isnan(found.difference.low)
    assert not found.is_told_apart


def test_no_share_differs_by_more_than_one(compared):
    shares = [one for name, one in compared[2].items() if name.endswith(("AUC", "calibration error", "overfitting", "macro F1", "noticed"))]
    assert len(shares) >= 8
    assert all(math.isnan(one.difference.low) or -1.0 <= one.difference.low <= one.difference.high <= 1.0 for one in shares)


def test_a_bundle_against_itself_differs_in_nothing(bundles):
    one = full(bundles.small_bundle(), 0.7)
    for found in differences(one, one, 4):
        assert math.isnan(found.difference.value) or found.difference.value == 0.0
        assert not found.is_told_apart


def test_both_skill_tables_and_the_differences_are_told(bundles):
    bundle = bundles.small_bundle()
    rows = [made_rows(seed, f"f{seed}", 1500) for seed in range(2)]
    held = HeldOut(worlds=rows, planted=rows, planted_trades=worlds(2))
    found = compare((bundle, bundle), (held, held), PARAMETERS, suite="s", holdout_runs=(7, 8), resamples=4)
    told = msgspec.json.decode(msgspec.json.encode(summary_of_both(found)))
    assert told["against"] == msgspec.json.decode(msgspec.json.encode(summary_of(found.other)))
    assert (told["holdout_runs"], told["against"]["holdout_runs"]) == (7, 8)
    names = {(one["part"], one["name"]) for one in told["differences"]}
    assert ("regimes", "macro F1") in names
    assert {"first", "other", "difference", "units", "is_told_apart"} <= set(told["differences"][0])


def test_the_worlds_of_two_follow_from_both_in_whatever_order(bundles):
    one, other = bundles.small_bundle(), ModelStore(None).load("default")
    assert seed_of([one]) == one.hash
    both = seed_of([one, other])
    assert both == seed_of([other, one])
    seeds = [{world.seed for world in held_out_worlds(seed, "s", 1, 600)} for seed in (both, one.hash, other.hash)]
    assert not seeds[0] & (seeds[1] | seeds[2])
