"""The compiled features on real recordings, from raw bytes, against the slow reference fed by a decoder of its own."""

import json
import math
from decimal import Decimal
from itertools import takewhile

import pytest

from smartmoney.adapters.recordings import read_session
from smartmoney.core.book.codes import CODE_MASK, FoldCode
from smartmoney.core.domain.instruments import Market
from smartmoney.core.features.schema import FEATURES, as_mapping
from smartmoney.venues.binance.codec import fold_frame, new_states
from smartmoney.venues.binance.grid_inference import infer_grid

from .history import FRAME, LEVEL, TRADE
from .references import disagreements, new_history, reference_row
from .streams import PARAMETERS, row_of

RECORDINGS = {
    "usdm-eth": (("usdm/ethusdt_20240808.gz",), Market.USDM),
    "usdm-btc": (("usdm/btcusdt_20240808.gz",), Market.USDM),
    "usdm-btc-2023": (("usdm/btcusdt_20230404.dat.gz",), Market.USDM),
    "spot-btc": (("spot/btcusdt_20240808.gz",), Market.SPOT),
    "spot-eth": (("spot/ethusdt_20240808.gz",), Market.SPOT),
    "coinm-btc": (("cm/btcusd_perp_20240808.gz",), Market.COINM),
}
NS_PER_MS = 1_000_000


class Decoder:
    """Turn frames into rows of a stream, with `json` and `Decimal` alone. Quantities finer than a lot are cut, as the venue's book does."""

    def __init__(self, instrument):
        self.tick, self.lot = instrument.tick_size, instrument.lot_size
        self.latest = 0

    def grid(self, price, quantity):
        return int(Decimal(price) / self.tick), int(Decimal(quantity) // self.lot)

    def rows(self, frame):
        body = json.loads(frame)
        data = body.get("data", body)
        if "lastUpdateId" in data:
            time = max(self.latest, data.get("T", data.get("E", 0)) * NS_PER_MS)
            return self.book(time, data["bids"], data["asks"])
        if data["e"] == "depthUpdate":
            self.latest = max(self.latest, data.get("T", data["E"]) * NS_PER_MS)
            return self.book(data.get("T", data["E"]) * NS_PER_MS, data["b"], data["a"])
        tick, lots = self.grid(data["p"], data["q"])
        self.latest = max(self.latest, data["T"] * NS_PER_MS)
        return [(TRADE, data["T"] * NS_PER_MS, -1 if data["m"] else 1, tick, lots)] if lots and tick else []

    def book(self, time, bids, asks):
        rows = [(LEVEL, time, side, *self.grid(*level[:2])) for side, levels in ((0, bids), (1, asks)) for level in levels]
        # A snapshot that comes before anything has a time is in the book and moves no clock.
        return [*rows, (FRAME, time, 0, 0, 0)] if time else rows


def beginning(captures, name, seconds):
    files, market = RECORDINGS[name]
    frames = read_session([captures / "hftbacktest" / one for one in files])
    first = next(frames)
    rest = takewhile(lambda one: one.ts_wall_ns < first.ts_wall_ns + seconds * 10**9, frames)
    kept = [one for one in (first, *rest) if one.is_snapshot or b'"depthUpdate"' in one.frame or b'"e":"trade"' in one.frame]
    return kept, market


def replay(captures, name, seconds, moments):
    """Yield (states, history) after the frames up to each of so many moments, evenly spread and the last one at the end."""
    frames, market = beginning(captures, name, seconds)
    (instrument,) = infer_grid(((one.frame, one.symbol) for one in frames), market)
    states, decoder = new_states([instrument], PARAMETERS), Decoder(instrument)
    history = new_history(PARAMETERS, lot=float(instrument.lot_size), tick=float(instrument.tick_size), is_inverse=market is Market.COINM)
    waiting = []
    for k, one in enumerate(frames, 1):
        code = fold_frame(one.frame, states, 0 if one.is_snapshot else -1, 1) & CODE_MASK
        assert code in (FoldCode.APPLIED, FoldCode.TRADE, FoldCode.BUFFER, FoldCode.SNAPSHOT, FoldCode.IGNORED), code
        if code == FoldCode.BUFFER:
            waiting.append(one.frame)
        elif code in (FoldCode.APPLIED, FoldCode.TRADE, FoldCode.SNAPSHOT):
            history.feed_all(decoder.rows(one.frame))
        if code == FoldCode.SNAPSHOT:
            for frame in waiting:
                if fold_frame(frame, states, -1, 1) & CODE_MASK == FoldCode.APPLIED:
                    history.feed_all(decoder.rows(frame))
        if k % (len(frames) // moments) == 0 or k == len(frames):
            yield states, history


def compare(captures, name, seconds, moments):
    for states, history in replay(captures, name, seconds, moments):
        ours, theirs = as_mapping(row_of(states)), reference_row(history, history.now)
        assert not disagreements(ours, theirs)
    return ours


@pytest.mark.parametrize("name", [pytest.param("usdm-eth", marks=pytest.mark.slow), "spot-btc"])
def test_every_feature_equals_its_reference_on_the_beginning_of_a_real_stream(captures, name):
    last = compare(captures, name, 25, 3)
    known = {feature.name for feature in FEATURES if feature.warm_up.seconds <= 10 and feature.warm_up.event in ("book frames", "trades")}
    assert not [feature for feature in known if math.isnan(last[feature])]


@pytest.mark.slow
@pytest.mark.parametrize("name", RECORDINGS)
def test_every_feature_equals_its_reference_on_a_while_of_every_real_stream(captures, name):
    compare(captures, name, 40, 2)


@pytest.mark.campaign
@pytest.mark.parametrize("name", RECORDINGS)
def test_every_feature_equals_its_reference_on_minutes_of_every_real_stream(captures, name):
    compare(captures, name, 130, 4)
