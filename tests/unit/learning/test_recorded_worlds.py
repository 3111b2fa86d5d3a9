"""Recorded worlds as rows: from their prepared form the same as from the text, and that prepared once."""

import pickle

from smartmoney.adapters.market_recorder import record
from smartmoney.adapters.prepared_recordings import PreparedRecordings
from smartmoney.core.domain.instruments import Market
from smartmoney.core.features.parameters import FeatureParameters
from smartmoney.learning.sets.recorded_worlds import read_world, world_folders
from smartmoney.runtime.codecs import recorded_binance
from smartmoney.simulation.market import SyntheticMarket
from smartmoney.simulation.scenario import FIRST_RUN


def told(rows):
    return rows.name, rows.times.size, pickle.dumps(rows)


def test_prepared_worlds_give_the_same_rows_bit_for_bit(tmp_path):
    record(SyntheticMarket(3, FIRST_RUN, ("BTCUSDT", "ETHUSDT"), (Market.USDM,)), tmp_path / "world", 90, scenario="first_run")
    [folder] = world_folders(tmp_path / "world")
    store = PreparedRecordings(tmp_path / "prepared")
    found = [[told(rows) for rows in read_world(folder, recorded_binance(), FeatureParameters(), kept)] for kept in (None, store, store)]
    assert [name for name, _, _ in found[0]] == ["world-BTCUSDT.usdm", "world-ETHUSDT.usdm"]
    assert found[0] == found[1] == found[2]
    assert len(list((tmp_path / "prepared").iterdir())) == 2
