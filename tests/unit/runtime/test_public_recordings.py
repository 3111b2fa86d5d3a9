"""The public recordings: what is there is used, the sixteen hours of Bitstamp among them, and what is missing is said."""

import pytest

from smartmoney.learning.recorded import RecordingRefused
from smartmoney.runtime.public_recordings import public_rows
from smartmoney.settings.models import Settings


def nothing(_what, _done, _of):
    """Take progress."""


def test_an_empty_folder_is_refused_after_everything_missing_was_said(tmp_path):
    said = []
    with pytest.raises(RecordingRefused, match="none of the public recordings"):
        public_rows(tmp_path, Settings(), nothing, said.append)
    assert len(said) == 7
    assert "bitstamp_btcusd" in said[-1]


@pytest.mark.slow
def test_sixteen_hours_of_bitstamp_are_among_them(captures, tmp_path):
    (tmp_path / "ob-analytics").symlink_to(captures / "ob-analytics")
    said = []
    (rows,) = public_rows(tmp_path, Settings(), nothing, said.append)
    assert rows.name == "bitstamp spot BTCUSD 2015-05-01"
    assert len(rows) > 57_000
    assert (rows.mid_after > 0).all()
    assert len(said) == 6
