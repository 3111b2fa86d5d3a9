"""Decisions about past rows, a block at a time: what is said does not depend on how long a block is."""

import numpy as np
import pytest

from smartmoney.core.models.layout import lay_out
from smartmoney.core.regime.parameters import RegimeParameters
from smartmoney.learning import staging
from smartmoney.learning.evaluation.said import Said, ask
from smartmoney.learning.sets.rows import Rows
from smartmoney.learning.staging import decided, stage, stage_spec

from .made_rows import made_rows


@pytest.mark.parametrize("block", [1, 7, 500, 10_000])
def test_blocks_change_nothing(bundles, block):
    small, rows = bundles.small_bundle(), made_rows(3, "real", 1000, truth=False)
    layout = lay_out(small, RegimeParameters())
    whole = [(table.copy(), told.copy()) for *_, table, told in decided(rows, layout, 1000)]
    cut = [(table.copy(), told.copy()) for *_, table, told in decided(rows, layout, block)]
    assert len(whole) == 1
    assert np.concatenate([table for table, _ in cut]).tobytes() == whole[0][0].tobytes()
    assert np.concatenate([told for _, told in cut]).tobytes() == whole[0][1].tobytes()


def test_chosen_rows_are_the_same_however_they_fall_into_blocks(bundles, monkeypatch):
    rows, spec = made_rows(3, "real", 1000, truth=False), stage_spec(bundles.small_bundle().spec.hmm, 100)
    chosen = np.array([0, 1, 99, 100, 101, 640, 999])
    [whole] = stage([rows], spec, [chosen])
    monkeypatch.setattr(staging.decided, "__defaults__", (100,))
    [cut] = stage([rows], spec, [chosen])
    assert cut.x.tobytes() == whole.x.tobytes()
    assert cut.states.tobytes() == whole.states.tobytes()
    assert whole.x.shape[0] == len(chosen)


def test_of_no_rows_nothing_is_said(bundles):
    rows = made_rows(3, "real", 100, truth=False)
    none = Rows(name="x", family="x", times=rows.times[:0], values=rows.values[:0], mid_after=rows.mid_after[:0], truth=None)
    said = ask(bundles.small_bundle(), none, RegimeParameters())
    assert all(len(getattr(said, name)) == 0 for name in Said.__struct_fields__)
