"""The peers of the features' measurement do the work that they are said to do."""

import numpy as np

from smartmoney.core.domain.instruments import Market
from smartmoney.core.features.row import read_row
from smartmoney.core.features.schema import COLUMNS
from smartmoney.runtime import bench, bench_features
from smartmoney.venues.binance.kernel import fold


def test_the_same_source_as_scalar_python_gives_the_same_row():
    sample = bench.sample_of(None, Market.USDM)
    frames = sample.depth[:120]
    seconds, row = bench_features.scalar_seconds(sample.instrument, sample.snapshot, frames)
    states = bench._synced(sample, fold)  # the way in which the benchmark makes a book
    for frame in frames:
        fold(frame, states, -1, 1)
    out = np.empty(len(COLUMNS))
    read_row(states, 0, 0, out)
    assert seconds > 0
    assert np.isfinite(out).sum() > 25
    np.testing.assert_allclose(row, out, rtol=1e-9, atol=1e-9)
