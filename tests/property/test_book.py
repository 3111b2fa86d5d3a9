"""The book is a fold of its changes: kernels against a dictionary, through window, tail and re-basing; bytes never break it."""

import json
from decimal import Decimal

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from smartmoney.core.book.codes import CODE_MASK, FoldCode
from smartmoney.core.book.kernel import clear, follow_touch, level_count, level_lots, lots_within, rebase, set_level, top_levels
from smartmoney.core.book.state import WINDOW
from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.core.features.parameters import FeatureParameters
from smartmoney.venues.binance.codec import fold_frame, new_states
from smartmoney.venues.binance.kernel import fold
from tests.examples import examples

INSTRUMENT = Instrument(
    venue="binance", market=Market.SPOT, symbol="BTCUSDT", name="BTC/USDT", base="BTC", quote="USDT",
    tick_size=Decimal("0.01"), lot_size=Decimal("0.001"),
)  # fmt: skip
STATES = new_states([INSTRUMENT], FeatureParameters())
PRISTINE = STATES.copy()

near = st.integers(3 * WINDOW - 40, 3 * WINDOW + 40)
far = st.integers(1, 8 * WINDOW)
edges = st.sampled_from([k * WINDOW // 2 + d for k in range(1, 12) for d in (-1, 0, 1)])
ticks = st.one_of(near, far, edges)
lots = st.one_of(st.just(0), st.integers(1, 10**6))
changes = st.lists(st.one_of(st.tuples(st.integers(0, 1), ticks, lots), st.tuples(st.just(2), ticks, st.just(0))), max_size=60)


def best_first(levels: dict[int, int], side: int) -> list[tuple[int, int]]:
    return sorted(levels.items(), reverse=side == 0)


def assert_equal(s: np.void, model: list[dict[int, int]], n: int) -> None:
    out_ticks, out_lots = np.zeros(128, np.int64), np.zeros(128, np.int64)
    for side in (0, 1):
        expected = best_first(model[side], side)
        assert level_count(s, side) == len(expected)
        best = int(s["best_bid_tick"] if side == 0 else s["best_ask_tick"])
        assert best == (expected[0][0] if expected else -1)
        for wanted in (n, 128):
            count = top_levels(s, side, wanted, out_ticks, out_lots)
            assert list(zip(out_ticks[:count].tolist(), out_lots[:count].tolist(), strict=True)) == expected[:wanted]


@settings(max_examples=examples(200), deadline=None)
@given(base=ticks, steps=changes, limits=st.lists(ticks, max_size=5), n=st.integers(0, 8))
def test_kernels_match_a_dictionary_through_window_tail_and_rebase(base, steps, limits, n):
    s = STATES[0]
    clear(s)
    rebase(s, base)
    model: list[dict[int, int]] = [{}, {}]
    for side, tick, quantity in steps:
        if side == 2:
            rebase(s, tick)
            continue
        before = model[side].get(tick, 0)
        assert level_lots(s, side, tick) == before
        set_level(s, side, tick, quantity)
        if quantity:
            model[side][tick] = quantity
        else:
            model[side].pop(tick, None)
        assert level_lots(s, side, tick) == quantity
        best = best_first(model[side], side)
        assert int(s["best_bid_tick"] if side == 0 else s["best_ask_tick"]) == (best[0][0] if best else -1)
    assert_equal(s, model, n)
    for limit in limits:
        assert lots_within(s, 0, limit) == sum(q for t, q in model[0].items() if t >= limit)
        assert lots_within(s, 1, limit) == sum(q for t, q in model[1].items() if t <= limit)
    follow_touch(s)
    assert_equal(s, model, n)


@settings(max_examples=examples(60), deadline=None)
@given(walk=st.lists(st.integers(-40_000, 40_000), min_size=1, max_size=25))
def test_a_touch_that_wanders_far_keeps_every_level(walk):
    s = STATES[0]
    clear(s)
    model: list[dict[int, int]] = [{}, {}]
    centre = 500_000
    for k, step in enumerate(walk):
        centre = max(100_000, centre + step)
        for side, tick in ((0, centre - 1 - k), (1, centre + 1 + k)):
            other = model[1 - side]
            for crossing in [t for t in other if (t <= tick if side == 0 else t >= tick)]:
                set_level(s, 1 - side, crossing, 0)
                del other[crossing]
            set_level(s, side, tick, k + 1)
            model[side][tick] = k + 1
        follow_touch(s)
        assert 0 <= int(s["best_bid_tick"]) - int(s["base_tick"]) < WINDOW
    assert_equal(s, model, 5)


def snapshot(last_id: int, bids: dict[int, int], asks: dict[int, int]) -> bytes:
    return json.dumps({"lastUpdateId": last_id, "bids": rows(bids), "asks": rows(asks)}).encode()


def depth(first: int, final: int, bids: dict[int, int], asks: dict[int, int]) -> bytes:
    inner = {"e": "depthUpdate", "E": 1_700_000_000_000 + final, "s": "BTCUSDT", "U": first, "u": final, "b": rows(bids), "a": rows(asks)}
    return json.dumps({"stream": "btcusdt@depth@100ms", "data": inner}, separators=(",", ":")).encode()


def rows(side: dict[int, int]) -> list[list[str]]:
    return [[f"{Decimal(t) / 100:.8f}", f"{Decimal(q) / 1000:.8f}"] for t, q in side.items()]


sides = st.dictionaries(ticks, lots, max_size=12)


@settings(max_examples=examples(60), deadline=None)
@given(start=st.tuples(sides, sides), frames=st.lists(st.tuples(st.integers(1, 5), sides, sides), max_size=12))
def test_snapshot_and_frames_fold_to_the_dictionary_book(start, frames):
    states = fresh()
    assert fold_frame(snapshot(100, *start), states, 0, 1) & CODE_MASK == FoldCode.SNAPSHOT
    model = [{t: q for t, q in one.items() if q} for one in start]
    last = 100
    for span, *both in frames:
        assert fold(depth(last + 1, last + span, *both), states, -1, 1) == FoldCode.APPLIED
        last += span
        for side in (0, 1):
            model[side].update(both[side])
            model[side] = {t: q for t, q in model[side].items() if q}
    assert_equal(states[0], model, 10)
    bid, ask = int(states[0]["best_bid_tick"]), int(states[0]["best_ask_tick"])
    assert bool(states[0]["crossed_now"]) == (bool(frames or 1) and 0 <= ask <= bid and bid >= 0)


def fresh() -> np.ndarray:
    STATES[:] = PRISTINE
    return STATES


def book_of(states: np.ndarray) -> tuple[list[int], bytes, bytes]:
    s = states[0]
    names = ("best_bid_tick", "best_ask_tick", "base_tick", "last_update_id", "phase", "levels", "trades")
    out_ticks, out_lots = np.zeros(256, np.int64), np.zeros(256, np.int64)
    for side in (0, 1):
        top_levels(s, side, 128, out_ticks[side * 128 :], out_lots[side * 128 :])
    return [int(s[name]) for name in names], out_ticks.tobytes(), out_lots.tobytes()


GOOD = depth(101, 103, {3 * WINDOW: 5, 17: 9}, {3 * WINDOW + 4: 7})
REFUSED = {FoldCode.MALFORMED, FoldCode.UNKNOWN, FoldCode.IGNORED, FoldCode.OFF_GRID}


def synced() -> np.ndarray:
    states = fresh()
    fold_frame(snapshot(100, {3 * WINDOW - 1: 4}, {3 * WINDOW + 9: 2}), states, 0, 1)
    return states


@settings(max_examples=examples(300), deadline=None)
@given(raw=st.binary(max_size=300))
@example(raw=b"[" * 100_000)
@example(raw=b'{"a":' * 100_000)
@example(raw=b'{"e":"depthUpdate","b":' + b"[" * 70_000)
@example(raw=b"NaN")
@example(raw=b"\x00\xff\xfe")
@example(raw=b"")
def test_garbage_changes_no_book(raw):
    states = synced()
    before = book_of(states)
    assert fold_frame(raw, states, -1, 2) & CODE_MASK in REFUSED
    assert book_of(states) == before


@settings(max_examples=examples(200), deadline=None)
@given(cut=st.integers(0, len(GOOD) - 1))
def test_a_truncated_frame_changes_no_book(cut):
    states = synced()
    before = book_of(states)
    assert fold_frame(GOOD[:cut], states, -1, 2) & CODE_MASK == FoldCode.MALFORMED
    assert book_of(states) == before


@settings(max_examples=examples(400), deadline=None)
@given(at=st.integers(0, len(GOOD) - 1), byte=st.integers(0, 255))
def test_a_changed_byte_never_crashes_and_is_applied_whole_or_not_at_all(at, byte):
    states = synced()
    before = book_of(states)
    code = FoldCode(fold_frame(GOOD[:at] + bytes([byte]) + GOOD[at + 1 :], states, -1, 2) & CODE_MASK)
    if code in REFUSED:
        assert book_of(states) == before
    elif code is FoldCode.APPLIED:
        assert int(states[0]["last_update_id"]) >= 101
    else:
        assert code is FoldCode.GAP
        assert int(states[0]["phase"]) == 0
        assert (int(states[0]["best_bid_tick"]), int(states[0]["best_ask_tick"])) == (-1, -1)
