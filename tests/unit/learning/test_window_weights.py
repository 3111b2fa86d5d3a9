"""Rows of oracle worlds: which count, and how much, for the detector."""

import msgspec
import numpy as np
import pytest

from smartmoney.learning.fitting.plan import WINDOW_EVERY_S
from smartmoney.learning.fitting.stages import truth_rows
from smartmoney.learning.sets.rows import SECOND_NS

from .made_rows import made_rows

WARM, WINDOW, AFTER = 300, 45, 2


def windows(worlds):
    """Return rows of so many worlds in a row, every second one with a buyer in its window."""
    each = WARM + WINDOW + AFTER
    rows = made_rows(1, "oracle_twap", each * worlds)
    second = np.tile(np.arange(each), worlds)
    inside = (second >= WARM) & (second < WARM + WINDOW)
    has_target = np.repeat(np.arange(worlds) % 2 == 1, each)
    assert rows.truth is not None
    truth = msgspec.structs.replace(
        rows.truth,
        regime=np.full(len(rows), -1, np.int8),
        informed_buying=inside & has_target,
        informed_selling=np.zeros(len(rows), np.bool_),
    )
    ends = np.arange(worlds) * each + WARM + WINDOW - 1
    extras = {"end": ends.astype(float), "target": (np.arange(worlds) % 2).astype(float), "side": np.zeros(worlds)}
    return msgspec.structs.replace(rows, truth=truth, extras=extras), second


class Chosen(msgspec.Struct):
    """Hold what `truth_rows` reads of a sample."""

    source: np.ndarray
    row: np.ndarray


def test_every_window_is_worth_one_row_and_late_rows_count_more_with_a_target_or_without():
    rows, second = windows(6)
    at = np.flatnonzero((rows.times - rows.times[0]) // SECOND_NS % WINDOW_EVERY_S == 0)
    found = truth_rows([rows], Chosen(np.zeros(len(at), np.int64), at), 20)
    assert found.is_window.all()
    world = at // (WARM + WINDOW + AFTER)
    assert np.bincount(world, found.weight) == pytest.approx(np.ones(6))
    counted = found.weight > 0
    assert set(second[at][counted]) <= set(range(WARM + 15, WARM + WINDOW))
    assert found.buying[counted].tolist() == (world[counted] % 2 == 1).tolist()
    for one in range(6):
        mine = found.weight[(world == one) & counted]
        assert len(mine) >= 5
        assert (np.diff(mine) > 0).all()
    assert (found.regime == -1).all()
