"""The market as the engine sees it: one compiled state per instrument, fed by raw frames, and the trust each deserves.

Invariants: a frame is folded at most once; depth that arrives while a book waits for its snapshot is kept raw, in order and bounded, and
folded after it; a book is synced only after a snapshot that bridges to the kept frames; nothing here reads a clock.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from smartmoney.core.book.codes import NO_INSTRUMENT, FoldCode
from smartmoney.core.book.stretch import NEVER, NOTHING
from smartmoney.core.book.trust import FeedEvidence, Trust, TrustLimits, assess
from smartmoney.core.domain.commands import Command, ReconnectFeed, RequestSnapshot
from smartmoney.core.domain.entries import Entry
from smartmoney.core.domain.instruments import Instrument
from smartmoney.core.domain.signals import FeedTrust
from smartmoney.core.engine.quiet import QuietDesk
from smartmoney.core.engine.stretch import EACH_TICK, FeedStamps, Fold, Frames, Limits, Passed, StretchFold, Timer, Until
from smartmoney.core.features.parameters import FeatureParameters

_S = 1_000_000_000
_APPLIED = int(FoldCode.APPLIED)
_TRADE = int(FoldCode.TRADE)
_IGNORED = int(FoldCode.IGNORED)
_MOVES = frozenset({_APPLIED, _TRADE})

KEPT_FRAMES_MAX = 6000
"""Depth frames kept per instrument while a snapshot is awaited: ten minutes at ten a second."""
KEPT_BYTES_MAX = 32 << 20
SNAPSHOT_PATIENCE_S = 10
"""After so long without an answer a snapshot is asked for again."""
SNAPSHOT_PAUSE_S = (0, 1, 2, 4, 8, 15, 30, 60)
"""Pause before the n-th request in a row; the last one repeats."""
CROSSED_RESYNC_S = 10
"""A book that stays crossed or locked for so long is not what the venue has: it is dropped and fetched anew."""
QUIET_PROBE_S = 4
"""Depth that is quiet for so long, just before its book counts as stale, is compared with a fresh snapshot."""
SILENCE_RECONNECT_S = 15
"""A feed that said nothing for so long is torn down and built again."""

States = NDArray[np.void]


class VenueCodec(msgspec.Struct, frozen=True, kw_only=True):
    """Hold what the engine needs of a venue: pure functions of `venues/<name>`.

    `fold(frame, states, instrument, ts_wall_ns)` returns code | index << 8 and takes the slow path by itself where needed; `fold_stretch`
    does the same with many frames (`core.engine.stretch`).
    """

    name: str
    new_states: Callable[[Sequence[Instrument], FeatureParameters], States]
    fold: Callable[[bytes, States, int, int], int]
    fold_stretch: Fold
    drop_book: Callable[[States, int], None]
    proves_sequence: bool


class Bookless(msgspec.Struct, frozen=True):
    """Count what a feed said while there was no book to apply it to: updates, and for how long they came, in ns.

    `is_for_good` says that no book was ever made of a snapshot.
    """

    updates: int = 0
    lasted_ns: int = 0
    is_for_good: bool = True


class _Feed:
    """Hold what is known of one instrument's feed beside its compiled state."""

    __slots__ = (
        "attempts",
        "bookless",
        "bookless_from_ns",
        "crossed_since",
        "depth_mono",
        "frame_mono",
        "is_probing",
        "kept",
        "kept_bytes",
        "request_due",
        "requested_at",
    )

    def __init__(self) -> None:
        self.kept: list[tuple[bytes, int]] = []
        self.kept_bytes = 0
        self.requested_at: int | None = None
        self.request_due: int | None = None
        self.attempts = 0
        self.frame_mono: int | None = None
        self.depth_mono: int | None = None
        self.is_probing = False
        self.crossed_since: int | None = None
        self.bookless = Bookless()
        self.bookless_from_ns = 0
        """When an update last found no book, our wall clock; 0 while there is one."""

    def forget_kept(self) -> None:
        """Drop the kept frames."""
        self.kept.clear()
        self.kept_bytes = 0


class Market:
    """Fold frames of every instrument of a run; `states` is the array of compiled states, read-only to others."""

    def __init__(self, codec: VenueCodec, instruments: Sequence[Instrument], parameters: FeatureParameters, limits: TrustLimits) -> None:
        self.codec = codec
        self.instruments = tuple(instruments)
        self.states = codec.new_states(instruments, parameters)
        self._bid_ticks, self._ask_ticks = self.states["best_bid_tick"], self.states["best_ask_tick"]
        self._phases, self._lags, self._outside = self.states["phase"], self.states["lag_ns"], self.states["trade_outside"]
        self._crossed, self._event_ns = self.states["crossed_now"], self.states["last_event_ns"]
        self.frames = 0
        self.trades = 0
        self.gaps = 0
        self.resyncs = 0
        self.codes = dict.fromkeys(FoldCode, 0)
        self.is_moved = False
        """Whether the last frame changed a book or was a trade: what resting paper orders react to."""
        self.applied_hook: Callable[[int], None] | None = None
        """Called after each applied depth update, for tools that watch the book; it must not write."""
        self._fold = codec.fold
        self._limits = limits
        self._feeds = [_Feed() for _ in self.instruments]
        self._malformed_mono: int | None = None
        self._now = 0
        self._reconnect_mono = 0
        self._lag_max_ns = limits.lag_s_max * _S
        self._fresh_ns = int((limits.stale_after_s if codec.proves_sequence else limits.unproven_stale_after_s) * _S)
        """A book whose depth is older is not trusted."""
        self._stretch = StretchFold(
            codec.fold_stretch,
            self.states,
            Limits(QUIET_PROBE_S * _S, SILENCE_RECONNECT_S * _S, self._fresh_ns, limits.lag_s_max * _S, limits.trade_outside_max),
        )

    def on_frame(self, entry: Entry) -> list[Command]:
        """Fold one websocket frame."""
        return self.on_folded(entry, self._fold(entry.frame, self.states, entry.instrument, entry.ts_wall_ns))

    def pass_frames(self, frames: Frames, at: int, end: int, timer: Timer, until: Until, quiet: QuietDesk) -> Passed:
        """Fold frames from `at` on in one call, until one needs a look (`core.engine.stretch`); that one is left to `on_folded`.

        `end` is one past the last frame that may be folded; `timer` is moved over the ticks that were passed; `quiet` takes the decisions
        that need no look.
        """
        origin_ns = frames.origin_ns
        is_each = until.each or self.applied_hook is not None
        tick_ns = min(until.tick_mono_ns, self._tick_due())
        if is_each != until.each or tick_ns != until.tick_mono_ns:
            until = Until(
                each=is_each,
                watched=until.watched,
                prices=until.prices,
                marks=until.marks,
                chases=until.chases,
                act_mono_ns=until.act_mono_ns,
                tick_mono_ns=tick_ns,
                round_mono_ns=until.round_mono_ns,
            )
        quiet.tell(until.round_mono_ns, self._trusted_from(), self._fresh_ns, origin_ns)
        passed = self._stretch.run(frames, at, end, timer, until, [self._stamps(feed, origin_ns) for feed in self._feeds], quiet)
        if frames_passed := passed.frames:
            self._note_passed(passed, frames_passed, origin_ns)
        return passed

    def on_folded(self, entry: Entry, result: int) -> list[Command]:
        """Draw the consequences of one frame, of which `result` is what its fold returned."""
        self._now = entry.ts_mono_ns
        self.frames += 1
        code = result & 0xFF
        self.codes[code] += 1  # type: ignore[index]  # an IntEnum member hashes and compares as its integer
        self.is_moved = code in _MOVES
        if code == _APPLIED:
            feed = self._feeds[result >> 8]
            feed.frame_mono = feed.depth_mono = entry.ts_mono_ns
            if self.applied_hook is not None:
                self.applied_hook(result >> 8)
            return []
        if code == _TRADE:
            self.trades += 1
            self._feeds[result >> 8].frame_mono = entry.ts_mono_ns
            return []
        return self._on_code(FoldCode(code), result >> 8, entry)

    def on_snapshot(self, entry: Entry) -> list[Command]:
        """Fold a depth snapshot and the frames kept for it; ask again when it does not reach them."""
        self._now = entry.ts_mono_ns
        self.frames += 1
        index = entry.instrument
        if not 0 <= index < len(self._feeds):
            self.codes[FoldCode.IGNORED] += 1
            return []
        feed = self._feeds[index]
        feed.requested_at = None
        before_id = int(self.states[index]["last_update_id"])
        code = FoldCode(self._fold(entry.frame, self.states, index, entry.ts_wall_ns) & 0xFF)
        self.codes[code] += 1
        if feed.is_probing and code in {FoldCode.IGNORED, FoldCode.SNAPSHOT}:
            return self._judge_probe(index, code, before_id)
        if code is FoldCode.IGNORED and self.states[index]["phase"] == 1:
            return []  # the book is further already
        if code is not FoldCode.SNAPSHOT:
            if code is not FoldCode.SNAPSHOT_TOO_OLD:
                self._malformed_mono = self._now
            return self._ask_later(index, f"the answer was {code.name.lower()}")
        feed.attempts = 0
        feed.request_due = None
        feed.frame_mono = self._now
        if not self.codec.proves_sequence:
            feed.depth_mono = self._now  # there each book is whole; elsewhere a snapshot alone proves no feed
        self.is_moved = True
        self.resyncs += 1
        commands = self._fold_kept(index)
        if self._phases.item(index) == 1:
            self._note_book(index, entry.ts_wall_ns)
        return commands

    def on_feed_lost(self, instruments: Sequence[int], mono_ns: int) -> None:
        """Drop the books of a feed that may have missed frames."""
        self._now = mono_ns
        for index in instruments:
            self._drop(index)

    def on_overflow(self, mono_ns: int) -> list[Command]:
        """Drop every book: frames were lost before they could be folded. Counts as one gap an instrument."""
        self._now = mono_ns
        commands: list[Command] = []
        for index in range(len(self._feeds)):
            self.gaps += 1
            self._drop(index)
            commands += self._ask_later(index, "frames were dropped on overflow")
        return commands

    def on_snapshot_failed(self, index: int, mono_ns: int, reason: str) -> list[Command]:
        """Plan another request."""
        self._now = mono_ns
        self._feeds[index].is_probing = False
        self._feeds[index].requested_at = None
        return self._ask_later(index, reason)

    def on_tick(self, mono_ns: int) -> list[Command]:
        """Ask for overdue snapshots, note crossed books, and have silent feeds rebuilt."""
        self._now = mono_ns
        commands: list[Command] = []
        for index, feed in enumerate(self._feeds):
            if feed.requested_at is not None and mono_ns - feed.requested_at > SNAPSHOT_PATIENCE_S * _S:
                feed.requested_at = None
                feed.request_due = mono_ns
            if feed.request_due is not None and mono_ns >= feed.request_due and feed.requested_at is None:
                commands.append(self._request(index, "overdue"))
            is_crossed = self._crossed.item(index) != 0
            feed.crossed_since = None if not is_crossed else mono_ns if feed.crossed_since is None else feed.crossed_since
            if feed.crossed_since is not None and mono_ns - feed.crossed_since > CROSSED_RESYNC_S * _S and self.codec.proves_sequence:
                self.gaps += 1
                self._drop(index)
                commands += self._ask_later(index, f"crossed or locked for {CROSSED_RESYNC_S} s")
            commands += self._probe_quiet(index, feed)
        return commands + self._reconnect_silent()

    def touch(self, index: int) -> tuple[int, int]:
        """Return best bid and best ask of an instrument in ticks, -1 where a side is empty."""
        return self._bid_ticks.item(index), self._ask_ticks.item(index)

    def event_ns(self, index: int) -> int:
        """Return the venue's clock as an instrument last showed it."""
        return int(self._event_ns.item(index))

    def trust_state(self, index: int) -> FeedTrust:
        """Return how far one book can be vouched for, without the words: nearly always it is synced, which is quick to tell."""
        feed = self._feeds[index]
        heard = feed.depth_mono
        is_plain = heard is not None and self._now - heard <= self._fresh_ns and feed.crossed_since is None and self._malformed_mono is None
        is_synced = is_plain and self._phases.item(index) == 1 and self._lags.item(index) <= self._lag_max_ns
        if is_synced and self._outside.item(index) <= self._limits.trade_outside_max:
            return FeedTrust.SYNCED
        return self.trust(index).state

    def trust(self, index: int) -> Trust:
        """Judge one instrument's feed as of the last entry. Cost: about 2 µs."""
        feed = self._feeds[index]
        evidence = FeedEvidence(
            is_synced=self._phases.item(index) == 1 and feed.depth_mono is not None,
            proves_sequence=self.codec.proves_sequence,
            # By depth alone: trades that still come must not hide a book that stopped.
            age_ns=None if feed.depth_mono is None else self._now - feed.depth_mono,
            lag_ns=self._lags.item(index),
            crossed_for_ns=None if feed.crossed_since is None else self._now - feed.crossed_since,
            malformed_ago_ns=None if self._malformed_mono is None else self._now - self._malformed_mono,
            trade_outside=self._outside.item(index),
        )
        return assess(evidence, self._limits)

    def forget_counters(self) -> None:
        """Start counting afresh: what the warm start folded, and asked for, is not this run's traffic."""
        self.frames = self.trades = self.gaps = self.resyncs = 0
        self.codes = dict.fromkeys(FoldCode, 0)
        for feed in self._feeds:
            feed.attempts = feed.bookless_from_ns = 0
            feed.bookless = Bookless()

    def bookless(self, index: int) -> Bookless:
        """Return what came of one instrument's updates while it had no book, as of the last of them."""
        return self._feeds[index].bookless

    def is_synced(self, index: int) -> bool:
        """Tell whether a book may be traded on."""
        return self.trust_state(index) is FeedTrust.SYNCED

    def is_probing(self, index: int) -> bool:
        """Tell whether a snapshot was asked for because a book's depth was quiet: the next one is judged as the answer."""
        return self._feeds[index].is_probing

    def is_crossing(self, index: int) -> bool:
        """Tell whether a book was crossed or locked at the last tick: its trust may then end at any time."""
        return self._feeds[index].crossed_since is not None

    def _stamps(self, feed: _Feed, origin_ns: int) -> FeedStamps:
        is_probed = self.codec.proves_sequence and feed.requested_at is None and feed.request_due is None
        return FeedStamps(
            NOTHING if feed.frame_mono is None else feed.frame_mono + origin_ns,
            NOTHING if feed.depth_mono is None else feed.depth_mono + origin_ns,
            is_probed,
        )

    def _tick_due(self) -> int:
        """Return the monotonic time at which a tick has something to do here; what the frames themselves bring about is left out."""
        due = NEVER
        for feed in self._feeds:
            if feed.crossed_since is not None:
                return EACH_TICK
            if feed.requested_at is not None:
                due = min(due, feed.requested_at + SNAPSHOT_PATIENCE_S * _S)
            elif feed.request_due is not None:
                due = min(due, feed.request_due)
        return due

    def _trusted_from(self) -> int:
        """Return the monotonic time from which what was malformed is forgotten."""
        return 0 if self._malformed_mono is None else self._malformed_mono + math.ceil(self._limits.malformed_quiet_s * _S)

    def _note_passed(self, passed: Passed, frames: int, origin_ns: int) -> None:
        self._now = passed.last_wall_ns - origin_ns
        self.frames += frames
        self.trades += passed.trades
        codes: dict[Any, int] = self.codes  # an IntEnum member hashes and compares as its integer
        codes[_APPLIED] += passed.applied
        codes[_TRADE] += passed.trades
        codes[_IGNORED] += passed.ignored
        for feed, (frame_ns, depth_ns) in zip(self._feeds, passed.heard, strict=True):
            feed.frame_mono = None if frame_ns == NOTHING else frame_ns - origin_ns
            feed.depth_mono = None if depth_ns == NOTHING else depth_ns - origin_ns

    def _on_code(self, code: FoldCode, index: int, entry: Entry) -> list[Command]:
        if code is FoldCode.IGNORED:
            if index != NO_INSTRUMENT and index < len(self._feeds):
                self._feeds[index].frame_mono = entry.ts_mono_ns
            return []
        if code is FoldCode.SNAPSHOT:
            self.resyncs += 1
            self._note_book(index, entry.ts_wall_ns)
            return []
        if code in {FoldCode.MALFORMED, FoldCode.OFF_GRID, FoldCode.UNKNOWN}:
            self._malformed_mono = entry.ts_mono_ns
            return []
        if code is FoldCode.GAP:
            self.gaps += 1
            self._feeds[index].forget_kept()
        self._note_bookless(index, entry.ts_wall_ns)
        return self._keep(index, entry.frame, entry.ts_wall_ns, "sequence gap" if code is FoldCode.GAP else "first frames")

    def _note_bookless(self, index: int, wall_ns: int) -> None:
        feed, said = self._feeds[index], self._feeds[index].bookless
        since_ns = feed.bookless_from_ns or wall_ns
        feed.bookless_from_ns = wall_ns
        feed.bookless = Bookless(said.updates + 1, said.lasted_ns + wall_ns - since_ns, said.is_for_good)

    def _note_book(self, index: int, wall_ns: int) -> None:
        feed, said = self._feeds[index], self._feeds[index].bookless
        lasted_ns = wall_ns - feed.bookless_from_ns if feed.bookless_from_ns else 0
        feed.bookless_from_ns = 0
        feed.bookless = Bookless(said.updates, said.lasted_ns + lasted_ns, is_for_good=False)

    def _keep(self, index: int, frame: bytes, ts_wall_ns: int, reason: str) -> list[Command]:
        feed = self._feeds[index]
        feed.frame_mono = self._now
        if len(feed.kept) >= KEPT_FRAMES_MAX or feed.kept_bytes + len(frame) > KEPT_BYTES_MAX:
            feed.forget_kept()
            self.gaps += 1
        feed.kept.append((frame, ts_wall_ns))
        feed.kept_bytes += len(frame)
        if feed.requested_at is None and feed.request_due is None:
            return self._ask_later(index, reason)
        return []

    def _fold_kept(self, index: int) -> list[Command]:
        feed = self._feeds[index]
        kept = feed.kept
        feed.kept = []
        feed.forget_kept()
        for position, (frame, ts_wall_ns) in enumerate(kept):
            code = FoldCode(self._fold(frame, self.states, index, ts_wall_ns) & 0xFF)
            if code is FoldCode.APPLIED:
                feed.depth_mono = self._now
                if self.applied_hook is not None:
                    self.applied_hook(index)
            if code is FoldCode.GAP:
                self.gaps += 1
                commands: list[Command] = []
                for later, wall in kept[position:]:
                    commands += self._keep(index, later, wall, "sequence gap after the snapshot")
                return commands
        return []

    def _ask_later(self, index: int, reason: str) -> list[Command]:
        feed = self._feeds[index]
        pause_s = SNAPSHOT_PAUSE_S[min(feed.attempts, len(SNAPSHOT_PAUSE_S) - 1)]
        if pause_s == 0:
            return [self._request(index, reason)]
        feed.request_due = self._now + pause_s * _S
        return []

    def _request(self, index: int, reason: str) -> Command:
        feed = self._feeds[index]
        feed.attempts += 1
        feed.requested_at = self._now
        feed.request_due = None
        return RequestSnapshot(instrument=index, reason=reason)

    def _reconnect_silent(self) -> list[Command]:
        """Rebuild the feeds when none of them says anything; one quiet instrument among lively ones is no silence."""
        heard = [feed.frame_mono for feed in self._feeds if feed.frame_mono is not None]
        if not heard or self._now - max(*heard, self._reconnect_mono) <= SILENCE_RECONNECT_S * _S:
            return []
        self._reconnect_mono = self._now
        reason = f"silent for {SILENCE_RECONNECT_S} s"
        return [ReconnectFeed(instrument=index, reason=reason) for index, feed in enumerate(self._feeds) if feed.frame_mono is not None]

    def _probe_quiet(self, index: int, feed: _Feed) -> list[Command]:
        """Ask for a snapshot when a book's depth is quiet: it tells an idle market from a stream that died."""
        is_quiet = feed.depth_mono is not None and self._now - feed.depth_mono > QUIET_PROBE_S * _S
        if not is_quiet or feed.requested_at is not None or feed.request_due is not None or not self.codec.proves_sequence:
            return []
        feed.is_probing = True
        return [self._request(index, f"no depth for {QUIET_PROBE_S} s")]

    def _judge_probe(self, index: int, code: FoldCode, before_id: int) -> list[Command]:
        feed = self._feeds[index]
        feed.is_probing = False
        feed.attempts = 0
        if code is FoldCode.IGNORED or int(self.states[index]["last_update_id"]) == before_id:
            feed.depth_mono = self._now  # nothing happened: the book is the venue's, as of now
            return []
        self.gaps += 1
        self._drop(index)
        return [ReconnectFeed(instrument=index, reason="the book moved on and its depth stream did not")]

    def _drop(self, index: int) -> None:
        feed = self._feeds[index]
        self.codec.drop_book(self.states, index)
        feed.forget_kept()
        feed.requested_at = None
        feed.request_due = None
        feed.crossed_since = None
        feed.depth_mono = None
        feed.frame_mono = None
        feed.is_probing = False


def top_of_book(state: Any) -> tuple[int, int]:
    """Return best bid and best ask in ticks, -1 where a side is empty."""
    return int(state["best_bid_tick"]), int(state["best_ask_tick"])
