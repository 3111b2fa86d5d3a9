"""A past that a daemon could have captured, made without a market: quick, and its direction can be known from its trades, but not surely."""

import numpy as np

from smartmoney.core.domain.entries import Entry, EntryKind, WarmUpEnded
from smartmoney.runtime.storage import open_run
from smartmoney.venues.binance import wire
from tests.grids import SPOT_BTC as INSTRUMENT

SECOND_NS = 1_000_000_000
_LEVELS = 12
_DWELL_S = 900
_DRIFT_BPS, _NOISE_BPS = 0.22, 0.8
_WITH_FLOW = 0.64


def capture_past(layout, settings, seconds, ends_wall_ns, seed=3, said=()):
    """Write the capture of a run whose market drifts for some minutes in the direction of most of its trades; return the run's id.

    `layout` is a state directory's; the run is journaled as any other. `said` are (second, payload) of events among the frames.
    """
    begins_ns = (ends_wall_ns // SECOND_NS - seconds) * SECOND_NS
    with open_run(settings, layout, (INSTRUMENT,)) as run:
        payloads = [(EntryKind.EVENT, run.started, b""), (EntryKind.EVENT, WarmUpEnded(), b"")]
        seq = 0
        for kind, payload, frame in payloads:
            seq += 1
            run.capture.append(Entry(seq=seq, kind=kind, ts_wall_ns=begins_ns, ts_mono_ns=seq, payload=payload, frame=frame))
        events = [(begins_ns + second * SECOND_NS, payload) for second, payload in said]
        for kind, at_ns, frame in market_frames(seconds, begins_ns, seed):
            while events and events[0][0] <= at_ns:
                seq += 1
                event_ns, payload = events.pop(0)
                run.capture.append(Entry(seq=seq, kind=EntryKind.EVENT, ts_wall_ns=event_ns, ts_mono_ns=event_ns, payload=payload))
            seq += 1
            index = 0 if kind is EntryKind.SNAPSHOT else -1
            run.capture.append(Entry(seq=seq, kind=kind, ts_wall_ns=at_ns, ts_mono_ns=at_ns, instrument=index, frame=frame.encode()))
        run.capture.ensure_durable(seq)
        run.journal.end_run(begins_ns + seconds * SECOND_NS, seq, "")
        return run.started.run_id


def market_frames(seconds, begins_ns, seed, *, with_flow=_WITH_FLOW, drift_bps=_DRIFT_BPS, every_s=1, count=0):
    """Yield (kind, wall ns, text) of a market that speaks each `every_s` seconds, its numbers going on from `count`.

    `with_flow` is the share of trades in the direction of the drift: at one half nobody can know it.
    """
    rng = np.random.default_rng(seed)
    grid = wire.grid_of(INSTRUMENT)
    # Stretches of one direction, a little shorter or longer than usual, so that their end cannot be known.
    lengths = (_DWELL_S * rng.uniform(0.7, 1.3, seconds // 100 + 8)).astype(int)
    signs = np.where(np.arange(len(lengths)) % 2, 1, -1)
    direction = np.repeat(signs, lengths)[:seconds]
    bps = np.cumsum(drift_bps * direction + _NOISE_BPS * rng.standard_normal(seconds))
    mids = (6_000_000 * np.exp(bps * 1e-4)).astype(np.int64)
    buys = rng.random(seconds) < np.where(direction > 0, with_flow, 1.0 - with_flow)
    sizes = rng.integers(200, 20_000, seconds)
    shown = rng.integers(500, 60_000, (seconds, 2, _LEVELS))
    steps = np.arange(_LEVELS)
    old_bids, old_asks = mids[0] - 1 - steps, mids[0] + steps
    at_ns = begins_ns
    body = wire.depth_snapshot(grid, count + 1, np.stack([old_bids, shown[0, 0]], 1), np.stack([old_asks, shown[0, 1]], 1))
    yield EntryKind.SNAPSHOT, at_ns, body
    said = 0
    for second in range(every_s, seconds, every_s):
        at_ns = begins_ns + second * SECOND_NS - 400_000_000
        bids, asks = mids[second] - 1 - steps, mids[second] + steps
        changed = [_changed(old, new, shown[second, side]) for side, (old, new) in enumerate(((old_bids, bids), (old_asks, asks)))]
        old_bids, old_asks = bids, asks
        yield (
            EntryKind.FRAME,
            at_ns,
            wire.depth_update(
                grid,
                event_ns=at_ns,
                transaction_ns=at_ns,
                first_id=count + said + 2,
                last_id=count + second + 1,
                previous_id=count + said + 1,
                bids=changed[0][::-1],
                asks=changed[1],
            ),
        )
        said = second
        is_buy = bool(buys[second])
        ticks = int(asks[0] if is_buy else bids[0])
        at_ns += 100_000_000
        yield (
            EntryKind.FRAME,
            at_ns,
            wire.trade(
                grid,
                event_ns=at_ns,
                time_ns=at_ns,
                trade_id=count + second,
                ticks=ticks,
                lots=int(sizes[second]),
                buyer_is_maker=not is_buy,
            ),
        )


def _changed(old, new, lots):
    """Return the levels of a side that take it from one set of prices to another, by price."""
    levels = {int(price): 0 for price in old} | dict(zip(new.tolist(), lots.tolist(), strict=True))
    return np.array(sorted(levels.items()), np.int64)
