"""Folding many frames up to a limit of exchange time: where it stops, what has changed by then, and through which path."""

import json
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartmoney.adapters.recording_blocks import blocks_of
from smartmoney.adapters.recordings import RecordedFrame
from smartmoney.core.book.codes import CODE_MASK, IGNORED, INDEX_SHIFT, NO_INSTRUMENT, FoldCode
from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.core.features.parameters import FeatureParameters
from smartmoney.core.features.row import read_row
from smartmoney.core.features.schema import FEATURES
from smartmoney.venues.binance.codec import fold_batch, fold_frame, new_states
from smartmoney.venues.binance.kernel import fold_many
from smartmoney.venues.binance.routing import scanned_event_ns

MS = 1_000_000
T0 = 1_700_000_000_000
FOREVER = 2**62
STOPPED = IGNORED | (NO_INSTRUMENT << INDEX_SHIFT)


def states_of(market=Market.SPOT):
    one = Instrument(
        venue="binance", market=market, symbol="BTCUSDT", name="", base="B", quote="Q", tick_size=Decimal("0.5"), lot_size=Decimal("0.001")
    )
    return new_states([one], FeatureParameters())


def encode(body, *, is_slow=False):
    # The fast scanner reads compact frames; a space before each colon is for the slow path.
    return json.dumps(body, separators=(", ", " : ") if is_slow else (",", ":")).encode()


def depth(number, at_ms, symbol="BTCUSDT", **more):
    return {"e": "depthUpdate", "E": at_ms, "s": symbol, "U": number, "u": number, "b": [["100.0", str(number)]], "a": [], **more}


def trade(number, at_ms):
    return {"e": "trade", "E": at_ms + 900, "T": at_ms, "s": "BTCUSDT", "t": number, "p": "100.5", "q": "0.002", "m": False}


SNAPSHOT = {"lastUpdateId": 1, "bids": [["100.0", "1"]], "asks": [["101.0", "1"]]}


def fold_until(batch, frames, states, start, limit_ns):
    [block] = blocks_of(RecordedFrame(ts_wall_ns=1, frame=frame, is_snapshot=False, symbol=None) for frame in frames)
    hints = np.array([0 if b"lastUpdateId" in frame else -1 for frame in frames], np.int64)
    return batch(block.buffer, block.rows, hints, states, start, FOREVER, limit_ns)


def counters(states):
    return {
        name: int(states[0][name]) for name in ("frames", "depth", "trades", "levels", "ignored", "slow", "malformed", "last_update_id")
    }


@pytest.mark.parametrize("is_slow", [False, True])
def test_it_stops_before_the_first_followed_frame_beyond_the_limit(is_slow):
    bodies = [SNAPSHOT, depth(2, T0), trade(1, T0 + 10), depth(3, T0 + 11), trade(2, T0 + 5)]
    frames = [encode(body, is_slow=is_slow and "e" in body) for body in bodies]
    states, expected = states_of(), states_of()
    at, folded = fold_until(fold_batch, frames, states, 0, (T0 + 10) * MS)
    assert (at, folded & CODE_MASK) == (1, FoldCode.SNAPSHOT)
    at, folded = fold_until(fold_batch, frames, states, at, (T0 + 10) * MS)
    assert (at, folded) == (3, STOPPED)
    assert scanned_event_ns(states, -1) == (T0 + 11) * MS
    for frame in frames[:3]:
        fold_frame(frame, expected, 0, 1)
    assert counters(states) == counters(expected)
    # Asked again it stands still; with a later limit it goes on, and an earlier stamp behind the stop counts when it comes.
    assert fold_until(fold_batch, frames, states, at, (T0 + 10) * MS) == (3, STOPPED)
    assert counters(states) == counters(expected)
    assert fold_until(fold_batch, frames, states, at, (T0 + 11) * MS) == (5, STOPPED)
    for frame in frames[3:]:
        fold_frame(frame, expected, 0, 1)
    assert counters(states) == counters(expected)


def test_others_and_what_has_no_time_do_not_stop_it():
    late = T0 + 10_000
    bodies = [
        depth(9, late, symbol="ETHUSDT"),
        {"e": "bookTicker", "E": late, "T": late, "s": "BTCUSDT", "u": 1, "b": "1", "B": "1", "a": "2", "A": "1"},
        {"stream": "btcusdt@depth5", "data": depth(9, late)},
        {"result": None, "id": 1},
        SNAPSHOT,
    ]
    frames = [encode(body) for body in bodies]
    states = states_of()
    at, folded = fold_until(fold_many, frames, states, 0, T0 * MS)
    assert (at, folded & CODE_MASK) == (5, FoldCode.SNAPSHOT)
    assert fold_until(fold_many, [encode(SNAPSHOT | {"T": late})], states_of(), 0, T0 * MS) == (0, STOPPED)


@pytest.mark.parametrize("limit_ns", [0, -1])
def test_without_a_limit_it_goes_to_the_end(limit_ns):
    frames = [encode(body) for body in (trade(1, T0), trade(2, T0 + 10**9))]
    assert fold_until(fold_many, frames, states_of(), 0, limit_ns) == (2, STOPPED)


def test_depth_that_awaits_a_snapshot_stops_it_too():
    states = states_of()
    assert fold_until(fold_many, [encode(depth(2, T0 + 1))], states, 0, T0 * MS) == (0, STOPPED)
    assert int(states[0]["buffered"]) == 0


@given(st.lists(st.integers(0, 3000), min_size=1, max_size=30), st.integers(1, 700))
def test_any_grid_gives_the_state_of_one_by_one(offsets_ms, step_ms):
    bodies = [trade(k + 1, T0 + at) if k % 3 else depth(k + 2, T0 + at, U=2) for k, at in enumerate(offsets_ms)]
    frames = [encode(SNAPSHOT), *(encode(body, is_slow=k % 5 == 4) for k, body in enumerate(bodies))]
    stepped, whole = states_of(), states_of()
    at, limit_ms = 0, T0
    while at < len(frames):
        at, folded = fold_until(fold_batch, frames, stepped, at, limit_ms * MS)
        if folded == STOPPED and at < len(frames):
            limit_ms += step_ms
    for frame in frames:
        fold_frame(frame, whole, 0, 1)
    # Scratch may differ (a frame that was stopped before was scanned twice); what is remembered may not.
    size = stepped.dtype.fields["scan_seen"][1]
    left, right = (one.view(np.uint8).reshape(1, -1)[:, :size].tobytes() for one in (stepped, whole))
    assert left == right
    rows = np.empty((2, len(FEATURES)))
    for row, states in zip(rows, (stepped, whole), strict=True):
        read_row(states, 0, 0, row)
    assert rows[0].tobytes() == rows[1].tobytes()


def test_a_row_as_of_a_time_is_decayed_to_it_and_never_back():
    states = states_of()
    frames = [encode(SNAPSHOT)]
    frames += [encode(depth(k + 2, T0 + 200 * k)) for k in range(100)]
    frames += [encode(trade(k + 1, T0 + 200 * k)) for k in range(100)]
    for frame in frames:
        fold_frame(frame, states, 0, 1)
    latest_ns = (T0 + 200 * 99) * MS
    names = [feature.name for feature in FEATURES]
    rate = names.index("trade_rate_10s")
    now, same, before, later = np.empty((4, len(FEATURES)))
    for at_ns, row in ((0, now), (latest_ns, same), (latest_ns - 10**9, before), (latest_ns + 10 * 10**9, later)):
        read_row(states, 0, at_ns, row)
    assert now.tobytes() == same.tobytes() == before.tobytes()
    # One half-life later half is left, over a cover of which half is older: 0.5 c / (0.5 c + 0.5), c = 1 - 2^(-19.8 / 10).
    cover = 1 - 2 ** (-19.8 / 10)
    assert later[rate] / now[rate] == pytest.approx(0.5 * cover / (0.5 * cover + 0.5), rel=1e-6)
    again = np.empty(len(FEATURES))
    read_row(states, 0, 0, again)
    assert again.tobytes() == now.tobytes()
