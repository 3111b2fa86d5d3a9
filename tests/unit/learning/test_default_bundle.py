"""The model that ships with the package: whole, small, honest in its card, of this build's features."""

import numpy as np
import pytest

from smartmoney.adapters.model_files import read_bundle
from smartmoney.adapters.model_store import BUNDLED
from smartmoney.core.features.schema import READABLE_HASHES
from smartmoney.core.regime.parameters import RegimeParameters
from smartmoney.learning.evaluation.said import ask

from .made_rows import made_rows

BYTES_MAX = 1_500_000


@pytest.fixture(scope="module")
def bundle():
    return read_bundle(BUNDLED)


def test_it_is_whole_of_this_schema_and_small(bundle):
    assert bundle.spec.schema_hash in READABLE_HASHES
    assert sum(path.stat().st_size for path in BUNDLED.iterdir()) < BYTES_MAX
    assert bundle.spec.detector is not None
    assert bundle.spec.classifier is not None
    assert [head.horizon_s for head in bundle.spec.heads if head.tradable] == [300, 900, 1800, 3600]


def test_it_passed_no_gate_and_says_what_it_is(bundle):
    assert bundle.gates == ()
    assert bundle.spec.trained.venue == "sim"
    assert "proves nothing about a real market" in bundle.card
    assert not bundle.passed_for("binance", "usdm", "BTC/USDT")


def test_it_answers_every_row_and_its_mirror(bundle):
    import msgspec

    from smartmoney.learning.sets.mirror import mirror

    rows = made_rows(3, seconds=900)
    said = ask(bundle, rows, RegimeParameters())
    assert np.isfinite(said.posterior).all()
    assert ((said.buying[10:] >= 0) & (said.buying[10:] <= 1)).all()
    flipped = ask(bundle, msgspec.structs.replace(rows, values=mirror(rows.values)), RegimeParameters())
    assert np.array_equal(said.buying, flipped.selling, equal_nan=True)
