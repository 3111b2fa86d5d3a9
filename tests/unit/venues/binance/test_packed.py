"""A packed frame does what its text does: the same code, book and features; and whatever bytes come, nothing else happens."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartmoney.adapters.recording_blocks import blocks_of
from smartmoney.adapters.recordings import RecordedFrame
from smartmoney.core.book.codes import APPLIED, CODE_MASK, UNKNOWN, FoldCode
from smartmoney.core.domain.instruments import Market
from smartmoney.core.features.parameters import FeatureParameters
from smartmoney.venues.binance.codec import fold_frame, fold_recorded, new_states
from smartmoney.venues.binance.grid_inference import infer_grid
from smartmoney.venues.binance.packed import MARK, event_of, is_packed, unpack_one
from smartmoney.venues.binance.packer import Packer
from smartmoney.venues.recorded_lines import PACKED, WALLS

SNAPSHOT = b'{"lastUpdateId":10,"E":1700000000000,"T":1700000000000,"bids":[["100.0","5.000"]],"asks":[["100.5","5.000"]]}'
S = 1_000_000_000


def depth(first, last, bids, asks, **more):
    levels = [[[price, lots] for price, lots in side] for side in (bids, asks)]
    inner = {"e": "depthUpdate", "E": 1_700_000_000_000 + last, "T": 1_700_000_000_000 + last, "s": "BTCUSDT", "U": first, "u": last}
    return json.dumps({**inner, "pu": first - 1, "b": levels[0], "a": levels[1], **more}, separators=(",", ":")).encode()


def trade(number, price, lots, **more):
    inner = {"e": "trade", "E": 1_700_000_000_100 + number, "T": 1_700_000_000_100 + number, "s": "BTCUSDT", "t": number}
    return json.dumps({**inner, "p": price, "q": lots, "m": bool(number % 2), **more}, separators=(",", ":")).encode()


def recorded(frames):
    return [
        RecordedFrame((number + 1_700_000_000) * S, one, one is SNAPSHOT, "BTCUSDT" if one is SNAPSHOT else None)
        for number, one in enumerate(frames)
    ]


def packed(frames, words=1 << 12):
    """Return the frames as a packer leaves them, with 1 for those that are packed, and the packer."""
    packer, found = Packer(words), []
    for block in blocks_of(recorded(frames)):
        for buffer, rows, first in packer.pack(block.buffer, block.rows, block.symbols):
            assert first == len(found)
            assert (rows[WALLS] == block.rows[WALLS, first : first + rows.shape[1]]).all()
            found += [(buffer[begin:end], bool(row)) for begin, end, row in zip(rows[0], rows[1], rows[PACKED], strict=True)]
    return found, packer


def states_after(frames, grid, fold):
    states = new_states(grid, FeatureParameters())
    codes = [fold(frame, states, 0 if b"lastUpdateId" in frame[:20] else -1, (k + 1_700_000_000) * S) for k, frame in enumerate(frames)]
    return codes, {name: states[name].tobytes() for name in states.dtype.names if not name.startswith("scan_")}


def assert_same(frames):
    """Assert that the frames and their packed form come to the same; return which are packed."""
    grid = infer_grid([(one.frame, one.symbol) for one in recorded(frames)], Market.USDM)
    found, packer = packed(frames)
    assert packer.inference.instruments(Market.USDM, "binance") == grid
    text, words = states_after(frames, grid, fold_frame), states_after([frame for frame, _ in found], grid, fold_recorded)
    assert text[0] == words[0]
    for name, value in text[1].items():
        assert words[1][name] == value, name
    for original, (frame, is_one) in zip(frames, found, strict=True):
        assert is_packed(frame) or not is_one
        assert is_one or frame == original
    return [is_one for _, is_one in found]


price = st.integers(900, 1_100).map(lambda tick: f"{tick / 10:.1f}") | st.integers(9_000, 11_000).map(lambda tick: f"{tick / 100:.4f}")
lots = st.integers(0, 10**7).map(lambda unit: f"{unit / 1000:.3f}") | st.sampled_from(["0", "0.00000", "98765432109.123", "5"])
side = st.lists(st.tuples(price, lots), max_size=9)


@given(st.lists(st.tuples(side, side, price, lots), max_size=12))
def test_any_frames_fold_as_their_text_does(rows):
    frames = [SNAPSHOT]
    for number, (bids, asks, at, size) in enumerate(rows):
        frames += [depth(11 + number, 11 + number, bids, asks), trade(number + 1, at, size)]
    is_one = assert_same(frames)
    assert not any(is_one[:2])  # a snapshot, and the first frame of a symbol, are looked at
    assert all(is_one[2:])


@pytest.mark.parametrize(
    "odd",
    [
        b"",
        b"garbage",
        b"\xff\x01 garbage",
        depth(12, 12, [("100.0", "1")], [], e="outboundAccountPosition"),
        depth(12, 12, [("100.0", "1")], [], e="unheardOf"),
        depth(12, 12, [("-100.0", "1")], []),
        depth(12, 12, [("1" * 30, "1")], []),
        depth(14, 13, [("100.0", "1")], []),
        depth(12, 12, [("100.0", "1")], [], e="depth\\u0055pdate"),
        json.dumps(json.loads(depth(12, 12, [("100.0", "1")], [])), indent=1).encode(),
        b'{"pad":"' + b"x" * 200 + b'",' + depth(12, 12, [("100.0", "1")], [])[1:],
        b'{"stream":"btcusdt@depth5","data":' + depth(12, 12, [("100.0", "1")], []) + b"}",
        b'{"stream":"btcusdt@depth","data":' + depth(12, 12, [("100.0", "1")], []) + b"}",
        trade(3, "100.0", "1", X="INSURANCE_FUND", m="no"),
        trade(3, "0", "0"),
        trade(3, "100.0", "1").replace(b'"t":3', b'"t":3.5'),
        b'{"e":"bookTicker","u":1,"s":"BTCUSDT","b":"100.0","B":"1","a":"100.5","A":"1","T":1,"E":1}',
        b'{"u":1,"s":"BTCUSDT","b":"100.0","B":"1","a":"100.5","A":"1"}',
        b'{"result":null,"id":1}',
        depth(12, 12, [("100.0", "1")], []).replace(b"BTCUSDT", b"ETHUSDT"),
    ],
)
def test_odd_frames_fold_as_their_text_does(odd):
    assert_same(
        [SNAPSHOT, depth(11, 11, [("100.0", "2")], [("100.5", "1")]), odd, depth(12, 12, [("99.5", "2")], []), trade(4, "100", "1")]
    )


def test_a_large_book_and_large_numbers_pass_from_block_to_block():
    many = [(f"{tick / 10:.1f}", f"{tick}.001") for tick in range(500, 900)]
    huge = [(f"{tick}.5", "99999999999.999") for tick in range(100)]
    frames = [SNAPSHOT, depth(11, 11, many, []), depth(12, 12, huge, many), *(depth(n, n, many[:n], huge[:n]) for n in range(13, 40))]
    assert sum(assert_same(frames)) == len(frames) - 2
    found, _ = packed(frames, words=64)  # less than a frame: blocks of one
    assert [is_one for _, is_one in found] == [is_one for _, is_one in packed(frames)[0]]


def test_kinds_are_told_as_those_of_text_are():
    frames = [SNAPSHOT, depth(11, 11, [], []), depth(12, 12, [], []), trade(3, "1", "1")]
    found, _ = packed(frames)
    assert [event_of(frame) for frame, is_one in found if is_one] == ["depthUpdate", "trade"]


@given(st.binary(max_size=400), st.booleans())
def test_no_bytes_are_read_beyond_what_is_there(raw, is_marked):
    grid = infer_grid([(SNAPSHOT, "BTCUSDT")], Market.USDM)
    states = new_states(grid, FeatureParameters())
    frame = MARK.to_bytes(2, "little") + raw if is_marked else raw
    assert unpack_one(frame, states) in {APPLIED, UNKNOWN}
    assert fold_recorded(frame, states, -1, 1) & CODE_MASK in set(FoldCode)


@given(st.data())
def test_a_frame_that_was_cut_or_bent_is_refused_or_judged_like_any_other(data):
    found, _ = packed([SNAPSHOT, depth(11, 11, [("100.0", "2")], []), depth(12, 12, [("99.5", "2"), ("99.0", "1")], [("100.5", "9")])])
    frame = bytearray(found[-1][0])
    words = np.frombuffer(bytes(frame), np.uint64)
    assert len(words) * 8 == len(frame)
    frame = frame[: data.draw(st.integers(0, len(frame)))]
    for place in data.draw(st.lists(st.integers(0, max(len(frame) - 1, 0)), max_size=4)):
        if frame:
            frame[place] ^= data.draw(st.integers(1, 255))
    states = new_states(infer_grid([(SNAPSHOT, "BTCUSDT")], Market.USDM), FeatureParameters())
    assert fold_recorded(bytes(frame), states, -1, 1) & CODE_MASK in set(FoldCode)
