"""The statistics of realism on real recordings: published figures, and the table that `sim check` prints beside its own."""

import math
from statistics import median

import numpy as np
import pytest

from smartmoney.adapters.prepared_recordings import PreparedRecordings
from smartmoney.core.features.parameters import FeatureParameters
from smartmoney.learning.feature_study import collect_rows, study_features
from smartmoney.learning.realism_bands import BANDS
from smartmoney.learning.realism_check import fast_statistics
from smartmoney.learning.realism_likeness import real_against_real, second_rows, without_scale
from smartmoney.learning.realism_recorded import FOLDER, SESSIONS, observe_captures
from smartmoney.learning.recorded import find_instruments, read_files
from smartmoney.runtime.codecs import RECORDED_CODECS

ONE_TICK = {"usdm BTC 2024": 0.942, "usdm ETH": 0.953, "coinm BTC": 0.950, "spot BTC": 0.893, "spot ETH": 0.882}


FEW = ("usdm BTC 2023", "spot ETH")
"""The shortest recording of each kind of market: read every time. All six take a quarter of a minute."""


def observed(captures, names, store=None):
    chosen = [session for session in SESSIONS if session.name in names]
    found = observe_captures(captures, RECORDED_CODECS["binance"](), chosen, store)
    assert [one.name for one in found] == [session.name for session in chosen]
    return {one.name: one for one in found}


@pytest.fixture(scope="module")
def few(captures, tmp_path_factory):
    """Take grids from prepared forms, which must be those of the text."""
    return observed(captures, FEW, PreparedRecordings(tmp_path_factory.mktemp("prepared")))


@pytest.fixture(scope="module")
def recorded(captures):
    return observed(captures, [session.name for session in SESSIONS])


@pytest.fixture(scope="module")
def measured(few):
    return {name: fast_statistics(one) for name, one in few.items()}


def printed(key):
    """Return a band, and what the table says of it by the recording's name."""
    [band] = [band for band in BANDS if band.key == key]
    return band, dict(zip([session.name for session in SESSIONS], band.real, strict=True))


def assert_table(statistics):
    for key in [band.key for band in BANDS if len(band.real) == len(SESSIONS)]:
        _, table = printed(key)
        assert {name: one[key] for name, one in statistics.items()} == pytest.approx({name: table[name] for name in statistics}, abs=0.0006)


def test_the_table_holds_what_two_recordings_give(measured):
    assert_table(measured)


@pytest.mark.slow
def test_the_table_holds_what_every_recording_gives(recorded):
    assert_table({name: fast_statistics(one) for name, one in recorded.items()})


def test_one_tick_spreads_are_as_published():
    _, found = printed("one_tick_share")
    assert {name: found[name] for name in ONE_TICK} == ONE_TICK
    assert all(0.88 <= found[name] <= 0.955 for name in ONE_TICK)  # published: .88 to .95


def test_order_flow_and_queues_are_those_of_the_feature_study(captures, measured):
    [session] = [session for session in SESSIONS if session.name == FEW[1]]
    paths = [captures / FOLDER / one for one in session.files]
    codec = RECORDED_CODECS["binance"]()
    [instrument] = find_instruments(paths, codec, session.market)
    rows = collect_rows(read_files(paths), codec, instrument, FeatureParameters(), 1_000_000_000, [])
    facts = {fact.key: fact.measured.value for fact in study_features(rows, instrument, "binance").facts}
    mine = measured[session.name]
    assert mine["ofi_r2_same"] == pytest.approx(facts["r2_same_ofi"], abs=1e-9)
    assert mine["ofi_r2_next"] == pytest.approx(facts["r2_next_ofi"], abs=1e-9)
    assert mine["qi_auc_1s"] == pytest.approx(facts["auc_1s_qi"], abs=1e-9)
    assert mine["qi_auc_5s"] == pytest.approx(facts["auc_5s_qi"], abs=1e-9)


@pytest.mark.parametrize(
    "key",
    [
        "sign_acf_1",
        "sign_decay",
        "arrival_cv",
        "branching",
        "cancelled_share",
        "qi_auc_1s",
        "qi_auc_5s",
        "ofi_r2_same",
        "ofi_r2_next",
        "volume_volatility",
        "one_tick_share",
        "return_acf_1",
    ],
)
def test_the_usual_recording_lies_inside_the_band(key):
    band, found = printed(key)
    assert sum(band.contains(one) for one in found.values()) >= 4
    assert band.contains(median(found.values()))


def test_two_recordings_are_told_apart_but_not_always(few):
    [area] = real_against_real([without_scale(second_rows(one)) for one in few.values()])
    assert 0.6 < area < 0.87


@pytest.mark.slow
def test_recordings_are_as_strange_to_each_other_as_the_band_says(recorded):
    areas = real_against_real([without_scale(second_rows(one)) for one in recorded.values()])
    [band] = [band for band in BANDS if band.key == "likeness"]
    assert median(areas) == pytest.approx(band.real[0], abs=0.01)
    assert band.high == pytest.approx(band.real[0] + 0.05, abs=0.005)
    assert all(math.isfinite(area) for area in areas)
    square = np.full((6, 6), np.nan)
    square[np.triu_indices(6, 1)] = areas
    medians = np.nanmedian(np.fmax(square, square.T), axis=1)
    assert 0.6 < medians.min()
    assert medians.max() < 0.87
