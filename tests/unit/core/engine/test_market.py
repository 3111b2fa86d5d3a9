"""Books from frames: what is kept, when a snapshot is asked for, when a feed is torn down, and how far a book is trusted."""

import msgspec
import pytest

from smartmoney.core.book.codes import FoldCode
from smartmoney.core.book.trust import TrustLimits
from smartmoney.core.domain.commands import ReconnectFeed, RequestSnapshot
from smartmoney.core.domain.entries import EntryKind
from smartmoney.core.domain.instruments import Market as MarketKind
from smartmoney.core.domain.signals import FeedTrust
from smartmoney.core.engine import market as market_module
from smartmoney.core.engine.market import (
    CROSSED_RESYNC_S,
    KEPT_FRAMES_MAX,
    QUIET_PROBE_S,
    SILENCE_RECONNECT_S,
    SNAPSHOT_PATIENCE_S,
    SNAPSHOT_PAUSE_S,
    Market,
    top_of_book,
)
from smartmoney.core.features.parameters import FeatureParameters
from smartmoney.runtime.codecs import binance_codec
from smartmoney.venues.unified import encode_change, encode_shown, grid_of, shown_book

from .bench import Clock, S, depth, instrument, snapshot, trade


class Feed:
    """A market of some instruments, and the clock that the test moves."""

    def __init__(self, *symbols, proves_sequence=True):
        symbols = symbols or ("BTCUSDT",)
        self.clock = Clock()
        self.market = Market(
            binance_codec(proves_sequence=proves_sequence), [instrument(symbol) for symbol in symbols], FeatureParameters(), TrustLimits()
        )

    def frame(self, raw):
        return self.market.on_frame(self.clock.stamp(EntryKind.FRAME, frame=raw))

    def snapshot(self, raw, index=0):
        return self.market.on_snapshot(self.clock.stamp(EntryKind.SNAPSHOT, frame=raw, instrument=index))

    def after(self, seconds):
        """Let time pass and return what the tick asks for."""
        self.clock.mono_ns += round(seconds * S)
        return self.market.on_tick(self.clock.mono_ns)

    def depth(self, first, final, *args, **more):
        return self.frame(depth(first, final, *args, event_ms=self.clock.event_ms(), **more))

    def trust(self, index=0):
        return self.market.trust(index).state

    def phase(self, index=0):
        return int(self.market.states[index]["phase"])

    def synced(self, at=10):
        """Give a book its snapshot, and the frame after it that proves the feed."""
        self.depth(at - 1, at - 1)
        self.snapshot(snapshot(at - 1))
        self.depth(at, at)
        return self


def requests(commands):
    return [command for command in commands if isinstance(command, RequestSnapshot)]


def test_frames_before_the_snapshot_ask_once_and_are_folded_after_it_in_order():
    feed = Feed()
    applied = []
    feed.market.applied_hook = lambda index: applied.append(int(feed.market.states[index]["last_update_id"]))
    assert feed.trust() is FeedTrust.RESYNCING
    assert len(requests(feed.depth(9, 10))) == 1
    assert feed.depth(11, 12, [["100.5", "1"]]) == []
    assert feed.depth(13, 14, [["100.5", "2"]]) == []
    assert feed.snapshot(snapshot(10)) == []
    assert applied == [12, 14]
    assert feed.trust() is FeedTrust.SYNCED
    assert top_of_book(feed.market.states[0]) == (201, 202)
    assert (feed.market.resyncs, feed.market.gaps) == (1, 0)


def test_a_snapshot_older_than_the_kept_frames_is_asked_for_again_with_growing_pauses():
    feed = Feed()
    feed.depth(100, 110)
    waited = []
    for _ in range(len(SNAPSHOT_PAUSE_S) + 1):
        assert requests(feed.snapshot(snapshot(50))) == [], "the pause comes first"
        waited.append(0)
        while not requests(feed.after(0.5)):
            waited[-1] += 0.5
    assert [pause for pause in waited if pause] == pytest.approx(
        [pause - 0.5 for pause in (*SNAPSHOT_PAUSE_S[1:], *SNAPSHOT_PAUSE_S[-1:] * 2)]
    )
    feed.snapshot(snapshot(105))
    assert feed.phase() == 1
    feed.depth(200, 210)
    assert feed.market.gaps == 1


def test_a_failed_snapshot_is_asked_for_again():
    feed = Feed()
    feed.depth(9, 10)
    assert requests(feed.market.on_snapshot_failed(0, feed.clock.mono_ns, "502")) == []
    assert requests(feed.after(0.9)) == []
    (again,) = requests(feed.after(0.2))
    assert again.instrument == 0


def test_an_unanswered_snapshot_is_asked_for_again_after_its_patience():
    feed = Feed()
    feed.depth(9, 10)
    assert requests(feed.after(SNAPSHOT_PATIENCE_S)) == []
    assert len(requests(feed.after(0.1))) == 1
    assert requests(feed.after(SNAPSHOT_PATIENCE_S - 1)) == []


def test_a_second_answer_to_the_same_question_changes_nothing_and_asks_for_nothing():
    feed = Feed()
    feed.depth(9, 10)
    feed.market.on_snapshot_failed(0, feed.clock.mono_ns, "late")
    feed.snapshot(snapshot(10))
    assert requests(feed.after(30)) == []
    feed.depth(11, 12, [["100.5", "1"]])
    feed.snapshot(snapshot(11))
    assert top_of_book(feed.market.states[0])[0] == 201


def test_a_gap_drops_the_book_keeps_what_follows_and_recovers():
    feed = Feed().synced()
    feed.depth(11, 11)
    assert feed.trust() is FeedTrust.SYNCED
    assert len(requests(feed.depth(13, 13))) == 1
    assert (feed.trust(), feed.market.gaps) == (FeedTrust.RESYNCING, 1)
    assert top_of_book(feed.market.states[0]) == (-1, -1)
    feed.depth(14, 14, [["100.5", "3"]])
    feed.snapshot(snapshot(13))
    assert feed.trust() is FeedTrust.SYNCED
    assert int(feed.market.states[0]["last_update_id"]) == 14
    assert feed.market.resyncs == 2


def test_a_gap_among_the_kept_frames_asks_again_and_keeps_the_rest():
    feed = Feed()
    feed.depth(9, 10)
    feed.depth(11, 11)
    feed.depth(15, 15)
    feed.depth(16, 16)
    commands = feed.snapshot(snapshot(10))
    assert len(requests(commands)) == 1
    assert feed.market.gaps == 1
    feed.snapshot(snapshot(15))
    assert int(feed.market.states[0]["last_update_id"]) == 16
    assert feed.trust() is FeedTrust.SYNCED


def test_overflow_drops_every_book_and_asks_for_each():
    feed = Feed("BTCUSDT", "ETHUSDT")
    for index, symbol in enumerate(("BTCUSDT", "ETHUSDT")):
        feed.depth(9, 10, symbol=symbol)
        feed.snapshot(snapshot(10), index)
    commands = feed.market.on_overflow(feed.clock.mono_ns)
    assert [command.instrument for command in requests(commands)] == [0, 1]
    assert [feed.trust(0), feed.trust(1)] == [FeedTrust.RESYNCING] * 2
    assert feed.market.gaps == 2


def test_a_lost_feed_drops_its_books_only_and_the_next_frame_asks():
    feed = Feed("BTCUSDT", "ETHUSDT")
    for index, symbol in enumerate(("BTCUSDT", "ETHUSDT")):
        feed.depth(9, 10, symbol=symbol)
        feed.snapshot(snapshot(10), index)
    feed.market.on_feed_lost((1,), feed.clock.mono_ns)
    assert [feed.phase(0), feed.phase(1)] == [1, 0]
    (asked,) = requests(feed.depth(30, 31, symbol="ETHUSDT"))
    assert asked.instrument == 1


def test_a_silent_feed_is_rebuilt_each_time_its_patience_ends():
    feed = Feed()
    assert feed.after(100) == [], "it has never spoken: that is the transport's business"
    feed.synced()
    assert not [c for c in feed.after(SILENCE_RECONNECT_S) if isinstance(c, ReconnectFeed)]
    assert [c.instrument for c in feed.after(0.1) if isinstance(c, ReconnectFeed)] == [0]
    assert not [c for c in feed.after(SILENCE_RECONNECT_S) if isinstance(c, ReconnectFeed)]
    assert [c.instrument for c in feed.after(0.1) if isinstance(c, ReconnectFeed)] == [0]


def test_trades_keep_a_feed_from_being_silent_but_not_its_book_from_being_stale():
    feed = Feed().synced()
    for number in range(40):
        assert not [c for c in feed.after(0.5) if isinstance(c, ReconnectFeed)]
        feed.frame(trade(number, event_ms=feed.clock.event_ms()))
    assert feed.trust() is FeedTrust.STALE


def test_quiet_depth_is_compared_with_a_snapshot_and_an_idle_market_stays_trusted():
    feed = Feed().synced()
    (probe,) = requests(feed.after(QUIET_PROBE_S + 0.1))
    assert probe.instrument == 0
    assert requests(feed.after(0.5)) == [], "one question at a time"
    assert feed.snapshot(snapshot(10)) == []
    assert feed.trust() is FeedTrust.SYNCED
    assert (feed.market.gaps, feed.phase()) == (0, 1)


def test_quiet_depth_whose_snapshot_moved_on_is_a_dead_stream():
    feed = Feed().synced()
    feed.after(QUIET_PROBE_S + 0.1)
    (rebuild,) = feed.snapshot(snapshot(25))
    assert isinstance(rebuild, ReconnectFeed)
    assert feed.trust() is FeedTrust.RESYNCING
    assert feed.market.gaps == 1


def test_one_quiet_instrument_among_lively_ones_is_no_silence():
    feed = Feed("BTCUSDT", "ETHUSDT")
    for index, symbol in enumerate(("BTCUSDT", "ETHUSDT")):
        feed.depth(9, 10, symbol=symbol)
        feed.snapshot(snapshot(10), index)
    for number in range(11, 80):
        feed.depth(number, number)
        assert not [c for c in feed.after(0.5) if isinstance(c, ReconnectFeed)]


def test_a_snapshot_alone_proves_no_feed():
    feed = Feed()
    feed.snapshot(snapshot(10))
    assert feed.phase() == 1
    assert feed.trust() is FeedTrust.RESYNCING
    feed.depth(11, 11)
    assert feed.trust() is FeedTrust.SYNCED


def test_kept_frames_are_bounded_in_number(monkeypatch):
    monkeypatch.setattr(market_module, "KEPT_FRAMES_MAX", 50)
    feed = Feed()
    for number in range(1, 500):
        feed.depth(number, number)
        assert len(feed.market._feeds[0].kept) <= 50
    assert feed.market.gaps == 9
    assert KEPT_FRAMES_MAX <= 10_000


def test_kept_frames_are_bounded_in_bytes(monkeypatch):
    monkeypatch.setattr(market_module, "KEPT_BYTES_MAX", 10_000)
    feed = Feed()
    for number in range(1, 300):
        feed.depth(number, number)
        assert sum(len(frame) for frame, _ in feed.market._feeds[0].kept) <= 10_000


GARBAGE = (
    b"",
    b"\x00\xff\xfe binary",
    b"{" * 100_000,
    b'{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":11,"u":11,"b":[["1e30","1"]],"a":[]}',
    b'{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":11,"u":11,"b":[["NaN","1"]],"a":[]}',
    b'{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":11,"u":11,"b":[["-1.0","1"]],"a":[]}',
    b'{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":11,"u":11,"b":[["100.3","1"]],"a":[]}',
    b'{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":11,"u"',
    b"9" * (8 * 1024 * 1024 + 1),
)


@pytest.mark.parametrize("garbage", GARBAGE, ids=lambda raw: f"{raw[:24]!r}-{len(raw)}")
def test_an_unreadable_frame_is_dropped_counted_and_makes_the_feed_suspect_for_a_while(garbage):
    feed = Feed().synced()
    before = feed.market.states.tobytes()
    assert feed.frame(garbage) == []
    counted = sum(feed.market.codes[code] for code in (FoldCode.MALFORMED, FoldCode.UNKNOWN, FoldCode.OFF_GRID))
    assert counted == 1
    assert feed.trust() is FeedTrust.SUSPECT
    assert top_of_book(feed.market.states[0]) == (200, 202)
    assert len(before) == len(feed.market.states.tobytes())
    for number in range(11, 17):
        feed.after(1)
        feed.depth(number, number)
    assert feed.trust() is FeedTrust.SYNCED


def test_garbage_in_place_of_a_snapshot_is_asked_for_again():
    feed = Feed()
    feed.depth(9, 10)
    assert feed.snapshot(b'{"code":-1121,"msg":"Invalid symbol."}') == []
    assert feed.phase() == 0
    assert len(requests(feed.after(1.1))) == 1


@pytest.mark.parametrize("index", [-1, 1, 99])
def test_a_snapshot_of_nobody_is_ignored(index):
    feed = Feed()
    assert feed.snapshot(snapshot(10), index) == []
    assert feed.market.codes[FoldCode.IGNORED] == 1


def test_frames_of_symbols_that_are_not_followed_change_nothing():
    feed = Feed().synced()
    assert feed.depth(1, 2, symbol="DOGEUSDT") == []
    assert feed.frame(b'{"result":null,"id":1}') == []
    assert feed.trust() is FeedTrust.SYNCED


def test_a_crossed_book_is_suspect_and_after_a_while_fetched_anew():
    feed = Feed().synced()
    number = 11
    feed.depth(number, number, [["102.0", "1"]])
    feed.after(0.1)
    assert feed.trust() is FeedTrust.SYNCED, "within its grace"
    asked = []
    for _ in range(round(CROSSED_RESYNC_S / 0.5) + 1):
        number += 1
        feed.depth(number, number)
        asked += requests(feed.after(0.5))
        if not asked:
            assert feed.trust() is not FeedTrust.SYNCED
    assert len(asked) == 1
    assert "crossed" in asked[0].reason
    feed.snapshot(snapshot(number))
    feed.depth(number + 1, number + 1)
    feed.after(0.1)
    assert feed.trust() is FeedTrust.SYNCED


def test_a_feed_that_proves_no_sequence_goes_stale_sooner_and_says_so():
    feed = Feed(proves_sequence=False)
    feed.snapshot(snapshot(10))
    assert feed.trust() is FeedTrust.SYNCED
    assert "no sequence" in feed.market.trust(0).reason
    feed.after(3.1)
    assert feed.trust() is FeedTrust.STALE


@pytest.mark.parametrize("kind", [MarketKind.SPOT, MarketKind.USDM])
def test_whole_books_told_as_changes_keep_the_sequence_and_warm_the_features(kind):
    feed = Feed(proves_sequence=False)
    feed.market = Market(binance_codec(proves_sequence=False), [instrument("BTCUSDT", kind)], FeatureParameters(), TrustLimits())
    grid, before = grid_of(instrument("BTCUSDT", kind)), None
    for number in range(1, 202):
        bid = 100.0 + 0.5 * (number % 3)
        book = shown_book(grid, [[bid, 1.0], [99.0, 2.0 + number % 2]], [[bid + 0.5, 3.0]], number=10 * number)
        if number == 50:
            book = msgspec.structs.replace(before, number=10 * number)  # nothing has changed
        event_ms = feed.clock.event_ms()
        if before is None:
            feed.snapshot(encode_shown(book, ts_event_ms=event_ms))
        else:
            feed.frame(encode_change(grid, kind, before, book, ts_event_ms=event_ms))
        before = book
        feed.after(0.1)
    assert (feed.market.gaps, feed.market.resyncs, feed.trust()) == (0, 1, FeedTrust.SYNCED)
    assert top_of_book(feed.market.states[0]) == (200 + 201 % 3, 201 + 201 % 3)
    assert int(feed.market.states[0]["f_imbalance_count"]) > 10
    assert int(feed.market.states[0]["f_book_events"]) >= 190, "a snapshot each time would begin them anew"


def test_counters_start_afresh_after_the_warm_start():
    feed = Feed().synced()
    feed.frame(trade(1))
    feed.frame(b"junk")
    feed.market.forget_counters()
    market = feed.market
    assert (market.frames, market.trades, market.gaps, market.resyncs, sum(market.codes.values())) == (0, 0, 0, 0, 0)


def quiet(feed):
    """Let depth be quiet until the feed is probed."""
    for _ in range(50):
        if asked := requests(feed.after(0.1)):
            return asked
    raise AssertionError("nobody asked")


def test_quiet_depth_is_compared_with_a_snapshot_and_an_idle_market_stays_synced_with_all_it_had():
    feed = Feed().synced()
    feed.depth(11, 11, [["99.0", "1"], ["50.0", "7"]])
    for _ in range(3):
        (asked,) = quiet(feed)
        assert "no depth" in asked.reason
        assert feed.trust() is FeedTrust.SYNCED
        before = feed.market.states.copy()
        assert feed.snapshot(snapshot(11)) == []
        assert (feed.market.states["window_lots"] == before["window_lots"]).all()
    assert feed.trust() is FeedTrust.SYNCED
    assert (feed.market.gaps, feed.market.resyncs) == (0, 1)


def test_depth_that_died_while_the_market_moved_on_is_found_out():
    feed = Feed().synced()
    quiet(feed)
    (command,) = feed.snapshot(snapshot(500))
    assert isinstance(command, ReconnectFeed)
    assert feed.trust() is FeedTrust.RESYNCING
    assert feed.market.gaps == 1


def test_a_probe_that_fails_leaves_the_book_to_grow_stale():
    feed = Feed().synced()
    quiet(feed)
    feed.market.on_snapshot_failed(0, feed.clock.mono_ns, "502")
    feed.after(2)
    assert feed.trust() is FeedTrust.STALE
