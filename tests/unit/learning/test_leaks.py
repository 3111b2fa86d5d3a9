"""A column of the future is named at whichever horizon it knows, on however few independent labels; what is only slow, or rises, is not."""

import numpy as np
import pytest

from smartmoney.learning.fitting.heads import head_rows
from smartmoney.learning.fitting.leaks import LEAK_FROM, find_leaks, level_limit
from smartmoney.learning.fitting.plan import Sample
from smartmoney.learning.sets.rows import SECOND_NS, Rows

EVERY_S, HOURS = 5, 6
LEARNED = (60, 300, 900, 3600)


def walk(seed, drift=0.0):
    """Return rows of a mid that walks at random, and drifts."""
    rng = np.random.default_rng(seed)
    seconds = HOURS * 3600
    mid = 60_000.0 + np.cumsum(rng.standard_normal(seconds) + drift)
    times = 1_700_000_000 * SECOND_NS + SECOND_NS * np.arange(seconds, dtype=np.int64)
    return Rows(name="x", family="x", times=times, values=np.zeros((seconds, 1), np.float32), mid_after=mid, truth=None)


def named(rows, columns):
    """Return which columns are named at which horizons."""
    at = np.arange(0, len(rows), EVERY_S)
    x = np.column_stack([column[at] for column in columns.values()]).astype(np.float32)
    made = Sample(
        x=x, source=np.zeros(len(at), np.int64), row=at, times=rows.times[at], group=at // 360, is_world=np.zeros(len(at), np.bool_)
    )
    found = {}
    for horizon in LEARNED:
        labelled = head_rows([rows], made, horizon, EVERY_S, float("inf"))
        for one in find_leaks([rows], made, labelled, tuple(columns), horizon):
            found.setdefault(one.column, []).append(one.horizon_s)
    return found


def ahead(rows, horizon_s, noise=0.0):
    """Return the move of the mid over the next seconds, NaN at the end."""
    move = np.full(len(rows), np.nan)
    move[:-horizon_s] = rows.mid_after[horizon_s:] - rows.mid_after[:-horizon_s]
    return move + noise * np.random.default_rng(1).standard_normal(len(rows))


@pytest.mark.parametrize("horizon_s", LEARNED)
def test_a_future_is_named_at_its_horizon(horizon_s):
    rows = walk(horizon_s)
    assert named(rows, {"leak": ahead(rows, horizon_s), "turned": -ahead(rows, horizon_s)}) == {"leak": [horizon_s], "turned": [horizon_s]}


def test_a_noisy_future_is_named_by_its_level_where_labels_are_many():
    rows = walk(1)
    assert named(rows, {"leak": ahead(rows, 60, noise=2.0)}) == {"leak": [60]}


@pytest.mark.parametrize("drift", [0.0, 0.3])
def test_what_is_slow_or_rises_or_knows_the_past_is_not_named(drift):
    """Six hours hold six independent hours: a slow column tells their directions apart by chance."""
    rng = np.random.default_rng(7)
    rows = walk(2, drift)
    past = np.concatenate((np.zeros(300), rows.mid_after[300:] - rows.mid_after[:-300]))
    columns = {f"slow{k}": np.cumsum(rng.standard_normal(len(rows))) for k in range(60)}
    columns |= {"rises": np.arange(len(rows)), "past": past, "mid": rows.mid_after, "stands": np.ones(len(rows))}
    assert named(rows, columns) == {}


def test_by_level_alone_chance_would_name_some_of_them():
    assert level_limit(6.0) > 1.0
    assert level_limit(50.0) == LEAK_FROM
