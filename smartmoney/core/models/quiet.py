"""Quiet decisions: rounds of decisions at which every instrument is refused, for a reason that needs nothing but features and model.

A round is quiet when each instrument either lacks a number, or is offered nothing by the model, or nothing that leads to an order
(`core.models.following`), in books that are trusted. Such a round is taken inside a stretch of frames, and what it came to is written to
a log, from which Python draws the consequences. Anything else ends the stretch before its tick, and Python decides; that the models have
taken the row already changes nothing, since a clock that does not move on changes nothing.

Equity is noted on the way, too, by the touches of all instruments.

`SCREEN` (one record) says what a decision is judged by, `WATCHED` (one record an instrument) what is known of each and held of it, `LOG`
(one record a decision) what was decided. Times are ns of our wall clock; NOTHING is "never" or "none".
"""

import math
from typing import Any

import numpy as np

from smartmoney.core.book.stretch import NOTHING
from smartmoney.core.book.typed import inner, int64
from smartmoney.core.features.row import read_row
from smartmoney.core.models.checks import HEADS_MAX
from smartmoney.core.models.following import FOLLOWING, HOLDING, MISSING, NOTHING_OFFERED, TERMS, UNSURE, judge
from smartmoney.core.models.kernel import decide, speaking_head
from smartmoney.core.models.untrained import PRIOR, prior_head, step_prior

SCREEN_FIELDS: list[tuple[str, str]] = [
    ("is_on", "<i8"),  # 1: rounds may be taken here
    ("due_ns", "<i8"),  # the next round; in and out
    ("trusted_ns", "<i8"),  # no book is trusted before
    ("decided", "<i8"),  # decisions in the log; 0 to begin with
    ("asked", "<i8"),  # the instrument whose strategy was asked last; NOTHING to begin with
    ("before_ns", "<i8"),  # the tick before, since the latest round; NOTHING to begin with
    ("value_ns", "<i8"),  # when equity is to be noted next; in and out
    ("cash", "<f8"),
    ("equity", "<f8"),  # at the round that is being taken, NaN where it is not known for sure
    ("slack_ns", "<i8"),  # ticks may be earlier than `due_ns` by so much
    ("interval_ns", "<i8"),  # between rounds
    ("pause_ns", "<i8"),  # between analyses of an instrument
    ("stale_ns", "<i8"),  # depth that is older is not trusted
    ("spread_at", "<i8"),  # column of the spread in bps
]
SCREEN = np.dtype(
    [
        *SCREEN_FIELDS,
        ("tradable", "<i8", HEADS_MAX),  # 1: this head may speak
        ("fees_bps", "<f8"),  # what a round trip costs, with ...
        ("crossed_spreads", "<f8"),  # ... so many spreads
        ("value_every_ns", "<i8"),
        ("least", "<f8"),  # a confidence below it is no offer
        *FOLLOWING,
        *PRIOR,
    ],
    align=True,
)

WATCHED = np.dtype([("is_known", "<i8"), ("analysed_ns", "<i8"), *HOLDING, *TERMS], align=True)
"""Whether there is a reading of the regime, and when the latest analysis was, both in and out; then what is held, and in which terms."""

LOG = np.dtype(
    [
        ("entries", "<i8"),  # frames and ticks of the stretch up to this tick, it included
        ("tick_ns", "<i8"),
        ("before_ns", "<i8"),  # the tick before, if it came after the round before
        ("instrument", "<i8"),
        ("code", "<i8"),  # what the decision came to (`core.models.following`)
        ("missing", "<i8"),  # the input that is missing: 0 bid, 1 ask, 2 cost, 3 + place in `picks`; NOTHING: none is
        ("value", "<f8"),  # what missed ...
        ("limit", "<f8"),  # ... which limit, where there was an offer
        ("sized", "<f8"),  # confidence of the signal that came of the offer; NaN: none did
        ("head", "<i8"),  # that made an offer; NOTHING: none did
        ("sign", "<i8"),  # +1: it was to buy
        ("confidence", "<f8"),  # of the offer
        ("label", "<i8"),  # of the regime
        ("probability", "<f8"),
        ("bid_tick", "<i8"),  # the touch
        ("ask_tick", "<i8"),
        ("bid_before", "<i8"),  # the latest whole one at the ticks since the round before
        ("ask_before", "<i8"),
    ],
    align=True,
)

LOG_MAX = 256
"""Records that a log takes of each instrument; what comes after them is Python's."""
VALUED = int64(-1)
"""Code of a record that is no decision: the touch of an instrument by which equity is to be noted. Those of a tick follow each other."""

_NOTHING = int64(NOTHING)
_LATEST = int64(0)
_BID, _ASK, _COST, _PICKED = int64(0), int64(1), int64(2), int64(3)
_CLOCK_RESTART_NS = int64(60_000_000_000)


@inner
def is_round_due(q: Any, now_ns: int) -> bool:
    """Tell whether a round of decisions is due at a tick."""
    return bool(q.is_on != 0 and now_ns >= q.due_ns - q.slack_ns)


@inner
def _note_touch(q: Any, c: Any, feed: Any, s: Any, one: Any) -> None:
    """Write to the log what is known at a tick beside a decision."""
    one.entries = c.applied + c.trades + c.ignored + c.ticks + 1
    one.tick_ns = c.tick_ns
    one.before_ns = q.before_ns
    one.bid_tick, one.ask_tick = s.best_bid_tick, s.best_ask_tick
    one.bid_before, one.ask_before = feed.tick_bid, feed.tick_ask


@inner
def _missing(s: Any, picks: Any, row: Any, cost_bps: float) -> int:
    """Return which input is missing or not finite, NOTHING when a decision can be made."""
    if s.best_bid_tick <= 0:
        return _BID
    if s.best_ask_tick <= 0:
        return _ASK
    if not math.isfinite(cost_bps):
        return _COST
    for k in range(len(picks)):
        if not math.isfinite(row[picks[k]]):
            return _PICKED + k
    return _NOTHING


@inner
def _is_trusted(q: Any, c: Any, feed: Any, s: Any, now_ns: int) -> bool:
    is_fresh = s.phase == 1 and feed.depth_ns >= 0 and now_ns - feed.depth_ns <= q.stale_ns
    is_plain = s.crossed_now == 0 and now_ns >= q.trusted_ns
    return bool(is_fresh and is_plain and s.lag_ns <= c.lag_max and s.trade_outside <= c.outside_max)


@inner
def _equity(q: Any, c: Any, feeds: Any, states: Any, watched: Any) -> float:
    """Return equity by the touches of now; NaN if something is held in a book that cannot be relied on."""
    total = q.cash
    for i in range(len(states)):
        s, w = states[i], watched[i]
        if w.quantity != 0.0:
            if not 0 < s.best_bid_tick < s.best_ask_tick or not _is_trusted(q, c, feeds[i], s, c.tick_ns):
                return math.nan
            mark = s.best_bid_tick if w.quantity > 0.0 else s.best_ask_tick
            total += w.quantity * (mark * w.tick)
    return float(total)


@inner
def _is_refused(q: Any, w: Any, s: Any, mind: Any, cost_bps: float, row: Any, one: Any) -> bool:
    """Tell whether the horizon that speaks offers nothing, or nothing that leads to an order; note its offer."""
    one.head = _NOTHING
    one.code = NOTHING_OFFERED
    one.sized = math.nan
    best = prior_head(q, mind, row) if q.is_prior != 0 else speaking_head(mind, q.tradable, cost_bps)
    if best < 0 or not mind.confidence[best] >= q.least:
        return True
    one.head = best
    one.sign = 1 if mind.lean[best] > 0.0 else -1
    one.confidence = mind.confidence[best]
    one.code = judge(q, w, s, mind, best, cost_bps, row, one)
    return bool(one.code != UNSURE)


@inner
def _analyse(q: Any, w: Any, now_ns: int, i: int, event_ns: int, minds: Any, row: Any, model: Any, wides: Any) -> bool:
    """Let an instrument's model take the row; False where that is not plain, or nothing is to be analysed yet."""
    last_ns = minds[i].ts_event_ns
    if w.is_known != 0 and w.analysed_ns <= now_ns < w.analysed_ns + q.pause_ns:
        return False
    if event_ns < last_ns - _CLOCK_RESTART_NS:
        return False
    if event_ns > last_ns and q.is_prior != 0:
        step_prior(q, minds[i], row, event_ns)
    elif event_ns > last_ns:
        m, nodes, walks, factors, mirror = model
        decide(minds, i, row, event_ns, m, nodes, walks, factors, mirror, wides[i])
    return True


@inner
def _is_quiet(c: Any, feeds: Any, states: Any, i: int, desk: Any, model: Any, one: Any) -> bool:
    """Tell whether an instrument is refused for nothing but features and model; write what for to its place in the log."""
    screen, watched, _, picks, rows, minds, wides = desk
    q, s, w, row = screen[0], states[i], watched[i], rows[0]
    read_row(states, i, _LATEST, row)
    cost_bps = q.fees_bps + q.crossed_spreads * row[q.spread_at]
    one.instrument = i
    one.missing = _missing(s, picks, row, cost_bps)
    one.code = MISSING
    one.label = _NOTHING
    _note_touch(q, c, feeds[i], s, one)
    if one.missing == _NOTHING:
        is_trusted = _is_trusted(q, c, feeds[i], s, c.tick_ns)
        if not is_trusted or not _analyse(q, w, c.tick_ns, i, s.last_event_ns, minds, row, model, wides):
            return False
        if not _is_refused(q, w, s, minds[i], cost_bps, row, one):
            return False
        for column in range(len(row)):
            rows[1 + i, column] = row[column]
    if one.missing == _NOTHING or w.is_known != 0:
        one.label = minds[i].label
        one.probability = minds[i].smoothed[minds[i].label]
    return True


@inner
def take_round(c: Any, feeds: Any, states: Any, desk: Any, model: Any) -> bool:
    """Decide on every instrument at the tick `c.tick_ns`; False if Python has to, and then nothing is logged."""
    screen, watched, log, _, _, _, _ = desk
    q = screen[0]
    first = q.decided
    if first + len(states) > len(log):
        return False
    q.equity = _equity(q, c, feeds, states, watched)
    for i in range(len(states)):
        if not _is_quiet(c, feeds, states, i, desk, model, log[first + i]):
            return False
    for i in range(len(states)):
        if log[first + i].missing == _NOTHING:
            watched[i].is_known = 1
            watched[i].analysed_ns = c.tick_ns
            q.asked = i
    q.decided = first + len(states)
    q.due_ns = max(q.due_ns + q.interval_ns, c.tick_ns + q.interval_ns // 2)
    return True


@inner
def take_tick(c: Any, feeds: Any, states: Any, desk: Any, model: Any) -> bool:
    """Do what is due at the tick `c.tick_ns`: note equity, take a round; False if Python has to, and then nothing is logged.

    Args:
        c: the stretch's control record.
        feeds: FEED array. Mutated.
        states: of the instruments.
        desk: SCREEN array of one; WATCHED array; LOG array; int64, the columns that must be finite, in the order in which they are looked
            at; float64[1 + instruments, features], the row being read and the latest of each of which a strategy was asked; MIND array;
            float32[instruments, 2, columns], what a trained model saw. All but the columns mutated.
        model: what `decide` takes, from `m` to `mirror`.
    """
    screen, _, log, _, _, _, _ = desk
    q = screen[0]
    first = q.decided
    is_valued = c.tick_ns >= q.value_ns
    is_round = is_round_due(q, c.tick_ns)
    if is_valued:
        if first + len(states) > len(log):
            return False
        for i in range(len(states)):
            _note_touch(q, c, feeds[i], states[i], log[first + i])
            log[first + i].code = VALUED
        q.decided += len(states)
    if is_round and not take_round(c, feeds, states, desk, model):
        q.decided = first
        return False
    if is_valued:
        q.value_ns = c.tick_ns + q.value_every_ns
    q.before_ns = _NOTHING if is_valued or is_round else c.tick_ns
    for i in range(len(feeds)):
        if is_valued or is_round:
            feeds[i].tick_bid = _NOTHING
            feeds[i].tick_ask = _NOTHING
        elif 0 < states[i].best_bid_tick <= states[i].best_ask_tick:
            feeds[i].tick_bid = states[i].best_bid_tick
            feeds[i].tick_ask = states[i].best_ask_tick
    return True
