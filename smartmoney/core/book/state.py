"""Layout of one instrument's book state: a flat record that compiled kernels read and write in place.

One record per instrument in one array. Levels near the touch live in a dense window of `WINDOW` ticks per side, found through a bitmap of
64-tick words; levels outside it live in a tail per side, sorted best price first, exact up to `TAIL` levels, from where the worst price is
evicted and counted. Prices are integer ticks (>= 1), quantities integer lots (>= 0); -1 is "no price". Every field is eight bytes wide or
a multiple of it, so that the record stays aligned. About 2.1 MiB per instrument.

The routing table and the `scan_*` fields are used in record 0 only: they belong to the frame, not to an instrument.
"""

WINDOW = 65_536
WORDS = WINDOW // 64
TAIL = 16_384
SCAN_LEVELS = 8_192
"""Levels per side that one frame may hold (a venue's largest snapshot has 5,000)."""
ROUTES = 512
"""Slots of the symbol routing table: a power of two above twice the largest number of instruments."""
INSTRUMENTS_MAX = 200

BID = 0
ASK = 1

SPOT = 0
USDM = 1
COINM = 2

PHASE_EMPTY = 0
PHASE_SYNCED = 1

BOOK_FIELDS: list[tuple[str, str] | tuple[str, str, tuple[int, ...]]] = [
    # The instrument's grid. `price_step` is the tick as an integer at `price_decimals` decimals; likewise the lot.
    ("symbol_hash", "u8"),
    ("tick_size", "f8"),
    ("lot_size", "f8"),
    ("price_decimals", "i8"),
    ("price_step", "i8"),
    ("lot_decimals", "i8"),
    ("lot_step", "i8"),
    ("market", "i8"),
    # The book: where the window begins, the touch (-1 none), the sequence.
    ("base_tick", "i8"),
    ("best_bid_tick", "i8"),
    ("best_ask_tick", "i8"),
    ("last_update_id", "i8"),
    ("phase", "i8"),
    ("first_pending", "i8"),  # 1 from the snapshot to the first depth frame that bridges it
    ("buffered_first_id", "i8"),  # U and pu of the first frame that was answered BUFFER since the drop; -1 none
    ("buffered_previous_id", "i8"),
    ("crossed_now", "i8"),  # 1 while best bid >= best ask after the latest applied frame
    # Counters since the record was made. A frame that names no followed instrument is counted in record 0.
    ("frames", "i8"),
    ("depth", "i8"),  # well-formed depth frames, applied or not
    ("trades", "i8"),
    ("levels", "i8"),
    ("snapshots", "i8"),
    ("buffered", "i8"),
    ("ignored", "i8"),
    ("slow", "i8"),  # frames that the fast scanner handed to the slow path
    ("unknown", "i8"),  # of those, valid JSON of no known form
    ("malformed", "i8"),
    ("off_grid", "i8"),
    ("gaps", "i8"),
    ("trade_gaps", "i8"),  # jumps in the ids of the `trade` stream
    ("crossed", "i8"),
    ("rebases", "i8"),
    ("tail_evicted", "i8"),
    # Clocks. Event times are the venue's (`T`, else `E`); wall times are ours.
    ("last_event_ns", "i8"),  # largest seen
    ("last_depth_event_ns", "i8"),
    ("last_wall_ns", "i8"),  # of the latest depth, trade or snapshot frame
    ("last_depth_wall_ns", "i8"),  # of the latest depth frame, applied or buffered
    ("lag_ns", "i8"),  # wall - event - age_offset of the latest depth or trade frame
    ("age_offset_ns", "i8"),  # smallest wall - event of the last five to ten minutes; valid when age_bucket_start_ns > 0
    ("age_bucket_start_ns", "i8"),
    ("age_bucket_min_ns", "i8"),
    ("age_previous_min_ns", "i8"),
    # The last public trade. `trade_stream`: 0 none yet, 1 `trade`, 2 `aggTrade`; the first kind seen is the one that counts.
    ("trade_stream", "i8"),
    ("last_trade_id", "i8"),  # of `trade`, or `a` of `aggTrade`; -1 none
    ("last_trade_tick", "i8"),
    ("last_trade_lots", "i8"),
    ("last_trade_sign", "i8"),  # +1: the buyer was the aggressor
    ("last_trade_event_ns", "i8"),
    # What the venue says of a perpetual's funding: numbers are digits without the point, and decimals. `settled_…` is what was said last
    # of the latest time of payment that the venue's clock has passed. 0 where nothing was said.
    ("funding_turns", "i8"),  # record 0 only: how often another time was said than before, of any instrument
    ("mark_event_ns", "i8"),  # of the latest of these frames
    ("mark", "i8"),
    ("mark_decimals", "i8"),
    ("funding_rate", "i8"),  # positive: longs pay
    ("funding_rate_decimals", "i8"),
    ("funding_next_ns", "i8"),  # the next time of payment
    ("funding_since_ns", "i8"),  # event time of the first frame that said so
    ("settled_ns", "i8"),
    ("settled_mark", "i8"),
    ("settled_mark_decimals", "i8"),
    ("settled_rate", "i8"),
    ("settled_rate_decimals", "i8"),
    # Do trades print where the book is? Trades between two depth frames are judged one frame later, against the touches of the frame
    # before them and the two after: a sweep between two frames is no disagreement, a book that is elsewhere is. -1 where there is none.
    ("trade_outside", "f8"),  # share of recent depth intervals with trades (weight 1/64 each) that printed over two ticks outside
    ("trade_low", "i8"),  # lowest and highest trade since the latest depth frame
    ("trade_high", "i8"),
    ("judged_low", "i8"),  # and between the latest frame and the one before it
    ("judged_high", "i8"),
    ("touch_bids", "i8", (2,)),  # best ticks after the two frames before the latest
    ("touch_asks", "i8", (2,)),
    # One scanned frame (record 0 only). `scan_seen` has a bit per field that was found with the right type.
    ("scan_seen", "i8"),
    ("scan_event", "u8"),
    ("scan_symbol", "u8"),
    ("scan_first_id", "i8"),
    ("scan_final_id", "i8"),
    ("scan_previous_id", "i8"),
    ("scan_event_time", "i8"),
    ("scan_transaction_time", "i8"),
    ("scan_snapshot_id", "i8"),
    ("scan_trade_id", "i8"),
    ("scan_aggregate_id", "i8"),
    ("scan_maker", "i8"),
    ("scan_trade_price", "i8"),
    ("scan_trade_price_decimals", "i8"),
    ("scan_trade_quantity", "i8"),
    ("scan_trade_quantity_decimals", "i8"),
    ("scan_mark", "i8"),
    ("scan_mark_decimals", "i8"),
    ("scan_rate", "i8"),
    ("scan_rate_decimals", "i8"),
    ("scan_count", "i8", (2,)),
    # Arrays, the hot ones first.
    ("tail_count", "i8", (2,)),
    ("occupied", "u8", (2, WORDS)),
    ("window_lots", "i8", (2, WINDOW)),
    ("tail_keys", "i8", (2, TAIL)),  # -tick for bids, tick for asks: ascending is best first on both sides
    ("tail_lots", "i8", (2, TAIL)),
    ("route_hash", "u8", (ROUTES,)),
    ("route_index", "i8", (ROUTES,)),  # -1 free
    ("scan_prices", "i8", (2, SCAN_LEVELS)),  # digits without the point, then ticks
    ("scan_quantities", "i8", (2, SCAN_LEVELS)),  # digits without the point, then lots
    ("scan_price_decimals", "i1", (2, SCAN_LEVELS)),
    ("scan_quantity_decimals", "i1", (2, SCAN_LEVELS)),
]
"""Field list of a numpy structured dtype; `core.features.state.STATE` appends the feature fields to it."""
