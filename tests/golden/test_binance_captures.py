"""Real Binance recordings: no gap, no unreadable frame, and a book that agrees with the independent bookTicker stream."""

from collections import Counter
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from smartmoney.adapters.recording_blocks import blocks_of
from smartmoney.adapters.recordings import RecordedFrame, read_session
from smartmoney.core.book.codes import CODE_MASK, INDEX_SHIFT, FoldCode
from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.core.features.parameters import FeatureParameters
from smartmoney.venues.binance.codec import fold_frame, fold_slow, new_states
from smartmoney.venues.binance.grid_inference import infer_grid
from smartmoney.venues.binance.kernel import fold, fold_many
from smartmoney.venues.binance.oracle import BookTickerOracle
from smartmoney.venues.recorded_lines import WALLS

# name: (files, market, disagreements with the bookTicker that the recording itself holds)
ORACLES = {
    "spot-btc": (("spot/btcusdt_20240808.gz", "spot/btcusdt_20240809.gz"), Market.SPOT, 2),
    "spot-eth": (("spot/ethusdt_20240808.gz", "spot/ethusdt_20240809.gz"), Market.SPOT, 0),
    "usdm-btc": (("usdm/btcusdt_20240808.gz",), Market.USDM, 0),
    "usdm-eth": (("usdm/ethusdt_20240808.gz",), Market.USDM, 0),
    "usdm-btc-2023": (("usdm/btcusdt_20230404.dat.gz", "usdm/btcusdt_20230405.dat.gz"), Market.USDM, 0),
    "coinm-btc": (("cm/btcusd_perp_20240808.gz", "cm/btcusd_perp_20240809.gz"), Market.COINM, 0),
}
COUNTS = {
    "spot-btc": (6_495, 19_904, 73_174),
    "spot-eth": (6_470, 14_515, 58_758),
    "usdm-btc": (6_551, 21_313, 66_089),
    "usdm-eth": (6_586, 14_076, 53_992),
    "usdm-btc-2023": (16_110, 12_935, 44_205),
    "coinm-btc": (44_795, 5_235, 48_355),
}
MARKETS = {"BINANCE": Market.SPOT, "BINANCE_US": Market.SPOT, "BINANCE_FUTURES": Market.USDM, "BINANCE_DELIVERY": Market.COINM}
CRYPTOFEED = (
    "v2_jsonl/BINANCE.jsonl.gz",
    "v2_jsonl/BINANCE_US.jsonl.gz",
    "v2_jsonl/BINANCE_FUTURES.jsonl.gz",
    "v2_jsonl/BINANCE_DELIVERY.jsonl.gz",
    "v1_text/2021-04-04_BINANCE",
    "v1_text/2021-04-05_BINANCE_US",
    "v1_text/2021-04-17_BINANCE",
    "v1_text/2021-04-17_BINANCE_FUTURES",
    "v1_text/2021-04-17_BINANCE_DELIVERY",
)


class Session:
    """Fold a recording as the engine does: what awaits a snapshot is kept and folded again after it."""

    def __init__(self, frames: list[RecordedFrame], market: Market) -> None:
        self.frames = frames
        self.instruments: tuple[Instrument, ...] = infer_grid(((one.frame, one.symbol) for one in frames), market)
        self.states = new_states(self.instruments, FeatureParameters())
        self.oracle = BookTickerOracle(self.instruments)
        self.codes: Counter[FoldCode] = Counter()
        self.replayed: Counter[FoldCode] = Counter()
        self._index = {one.symbol: k for k, one in enumerate(self.instruments)}

    def hint(self, one: RecordedFrame) -> int:
        if not one.is_snapshot:
            return -1
        return self._index[one.symbol] if one.symbol else 0

    def run(self) -> "Session":
        kept: dict[int, list[RecordedFrame]] = {}
        for one in self.frames:
            folded = fold_frame(one.frame, self.states, self.hint(one), one.ts_wall_ns)
            code, index = FoldCode(folded & CODE_MASK), folded >> INDEX_SHIFT
            self.codes[code] += 1
            self.oracle.observe(one.frame, folded, self.states)
            if code is FoldCode.BUFFER:
                kept.setdefault(index, []).append(one)
            elif code is FoldCode.SNAPSHOT:
                for earlier in kept.pop(index, []):
                    again = fold_frame(earlier.frame, self.states, -1, earlier.ts_wall_ns)
                    self.replayed[FoldCode(again & CODE_MASK)] += 1
                    self.oracle.observe(earlier.frame, again, self.states)
        return self


def paths_of(captures: Path, name: str) -> list[Path]:
    if name in ORACLES:
        return [captures / "hftbacktest" / one for one in ORACLES[name][0]]
    path = captures / "cryptofeed" / name
    return sorted(path.iterdir()) if path.is_dir() else [path]


def market_of(name: str) -> Market:
    if name in ORACLES:
        return ORACLES[name][1]
    last = name.rsplit("/", 1)[-1].removesuffix(".jsonl.gz")
    return MARKETS[last.partition("_")[2] if last[0].isdigit() else last]


def load(captures: Path, name: str, first: int | None = None) -> Session:
    return Session(list(islice(read_session(paths_of(captures, name)), first)), market_of(name))


def assert_clean(session: Session) -> None:
    for counts in (session.codes, session.replayed):
        for code in (FoldCode.GAP, FoldCode.MALFORMED, FoldCode.UNKNOWN, FoldCode.OFF_GRID, FoldCode.SNAPSHOT_TOO_OLD):
            assert counts[code] == 0, code
    for field in ("gaps", "malformed", "unknown", "off_grid", "slow", "crossed", "tail_evicted"):
        assert int(session.states[field].sum()) == 0, field
    assert (session.states["phase"] == 1).all()
    assert (session.states["snapshots"] == 1).all()


LONGEST = ("coinm-btc", "usdm-btc", "usdm-btc-2023", "spot-eth", "usdm-eth")
"""All but one, which has the fewest depth updates; the coin-margined market is also in the public sessions below."""


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in LONGEST)) for name in ORACLES])
def test_book_agrees_with_the_book_ticker_at_every_depth_update(captures: Path, name: str) -> None:
    session = load(captures, name).run()
    assert_clean(session)
    depth, trades, _ = COUNTS[name]
    kept = session.codes[FoldCode.BUFFER]
    assert session.codes[FoldCode.APPLIED] + kept == depth
    assert session.codes[FoldCode.TRADE] == int(session.states["trades"].sum()) == trades
    assert int(session.states["trade_gaps"].sum()) == 0
    assert session.oracle.checks >= session.codes[FoldCode.APPLIED] - 2
    assert session.oracle.failed == ORACLES[name][2], session.oracle.disagreements
    assert session.oracle.failed_exact == 0
    # Trades of a true book print where it is.
    assert 0.0 <= float(session.states["trade_outside"][0]) < 0.3


@pytest.mark.parametrize("name", CRYPTOFEED)
def test_public_sessions_sync_without_gap(captures: Path, name: str) -> None:
    session = load(captures, name).run()
    assert_clean(session)
    assert session.codes[FoldCode.SNAPSHOT] == len(session.instruments)
    assert session.codes[FoldCode.APPLIED] > 0
    assert all(one.provisional for one in session.instruments)
    if session.instruments[0].market is not Market.COINM:  # two delivery snapshots of 2021 contradict the bookTicker beside them
        assert session.oracle.failed == 0


def assert_paths_agree(session: Session, frames: list[RecordedFrame]) -> None:
    fast = session.states
    slow = new_states(session.instruments, FeatureParameters())
    head = fast.dtype.fields["scan_seen"][1]
    again: dict[int, list[RecordedFrame]] = {}
    for number, one in enumerate(frames):
        batch = [(one, session.hint(one))]
        while batch:
            frame, hint = batch.pop(0)
            left = fold(frame.frame, fast, hint, frame.ts_wall_ns)
            right = fold_slow(frame.frame, slow, hint, frame.ts_wall_ns)
            assert left == right, frame.frame[:200]
            if left & CODE_MASK == FoldCode.BUFFER:
                again.setdefault(left >> INDEX_SHIFT, []).append(frame)
            elif left & CODE_MASK == FoldCode.SNAPSHOT:
                batch += [(kept, -1) for kept in again.pop(left >> INDEX_SHIFT, [])]
        if number % 16 == 0:
            assert heads(fast, head) == heads(slow, head), one.frame[:200]
    assert fast.tobytes() == slow.tobytes()


def heads(states: np.ndarray, size: int) -> bytes:
    return states.view(np.uint8).reshape(len(states), -1)[:, :size].tobytes()


@pytest.mark.parametrize("name", CRYPTOFEED)
def test_fast_and_slow_path_agree_on_every_frame_of_the_public_sessions(captures: Path, name: str) -> None:
    session = load(captures, name)
    assert_paths_agree(session, session.frames)


@pytest.mark.parametrize("name", ORACLES)
def test_fast_and_slow_path_agree_on_the_first_frames(captures: Path, name: str) -> None:
    session = load(captures, name, first=4_000)
    assert len(session.frames) == 4_000
    assert_paths_agree(session, session.frames)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in {"spot-btc", "usdm-btc"} else pytest.mark.campaign) for name in ORACLES]
)
def test_fast_and_slow_path_agree_on_every_frame(captures: Path, name: str) -> None:
    session = load(captures, name)
    assert_paths_agree(session, session.frames)


@pytest.mark.parametrize("name", ["spot-btc", "usdm-eth", "v2_jsonl/BINANCE_DELIVERY.jsonl.gz"])
def test_many_frames_at_once_give_the_state_of_one_by_one(captures: Path, name: str) -> None:
    one_by_one = load(captures, name)
    frames = one_by_one.frames
    batch = new_states(one_by_one.instruments, FeatureParameters())
    singles = [fold(one.frame, one_by_one.states, one_by_one.hint(one), one.ts_wall_ns) for one in frames]

    hints = [one_by_one.hint(one) for one in frames]
    returned = []
    for block in blocks_of(frames):
        at, ours = 0, np.array(hints[: len(block)], np.int64)
        del hints[: len(block)]
        while at < len(block):
            at, folded = fold_many(block.buffer, block.rows, ours, batch, at, 2**62, 0)
            returned.append(folded)

    everyday = {FoldCode.APPLIED, FoldCode.TRADE, FoldCode.IGNORED}
    stops = [one for one in singles if one & CODE_MASK not in everyday]
    assert [one for one in returned if one & CODE_MASK not in everyday] == stops
    assert batch.tobytes() == one_by_one.states.tobytes()


def test_many_frames_stop_before_the_time_limit(captures: Path) -> None:
    session = load(captures, "v2_jsonl/BINANCE.jsonl.gz")
    [block] = blocks_of(session.frames[4:])
    block.rows[WALLS] = np.arange(len(block))
    hints = np.full(len(block), -1, np.int64)
    for one in session.frames[:4]:
        fold(one.frame, session.states, session.hint(one), one.ts_wall_ns)
    at, folded = fold_many(block.buffer, block.rows, hints, session.states, 0, 50, 0)
    assert (at, folded & CODE_MASK) == (50, FoldCode.IGNORED)


def test_nautilus_documents_are_read_through_the_slow_path(captures: Path) -> None:
    folder = captures / "nautilus_trader" / "adapters" / "binance"
    for market, path in ((Market.USDM, folder / "futures" / "market_data_json"), (Market.SPOT, folder / "spot" / "http_json")):
        files = sorted(path.glob("*stream*.json")) + sorted(path.glob("depth_response.json"))
        assert files
        for file in files:
            frames = list(read_session([file]))
            assert len(frames) == 1
            instruments = infer_grid(((frames[0].frame, "BTCUSDT" if frames[0].is_snapshot else None),), market)
            states = new_states(instruments or infer_grid(((b"{}", "BTCUSDT"),), market), FeatureParameters())
            code = fold_frame(frames[0].frame, states, 0 if frames[0].is_snapshot else -1, 1) & CODE_MASK
            expected = {"depth_update_stream": FoldCode.BUFFER, "trade_stream": FoldCode.TRADE, "agg_trade_stream": FoldCode.TRADE}
            assert code == (FoldCode.SNAPSHOT if frames[0].is_snapshot else expected.get(file.stem, FoldCode.IGNORED)), file
