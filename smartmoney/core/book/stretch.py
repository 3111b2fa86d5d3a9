"""Layout of what a fold of many frames is told, and what it tells: records that compiled kernels read and write in place.

A stretch is a row of frames between two moments at which Python has to look. `CONTROL` (one record) says where it ends and what was passed,
`FEED` (one record an instrument) what is known of each feed, `WATCH` (one record each) at which prices orders wait. Times are ns of our
wall clock; NOTHING is "never". Every field is eight bytes wide.
"""

NEVER = 2**62
NOTHING = -1
"""No time, no price; no code, where a stretch ended without a frame that needs a look."""

CONTROL_FIELDS: list[tuple[str, str]] = [
    ("at", "i8"),  # the next frame; in and out
    ("end", "i8"),  # one past the last frame that may be folded
    ("each", "i8"),  # 1: every frame needs a look
    ("watched", "i8"),  # 1: some feed is watched
    ("act_ns", "i8"),  # the first frame at or after it that moves a market needs a look
    ("tick_ns", "i8"),  # the next tick of the timers; in and out
    ("tick_step_ns", "i8"),
    ("tick_due_ns", "i8"),  # a tick at or after it has to be run; earlier ones may be passed over
    ("hole_ns", "i8"),  # a pause as long as this is no pause but a hole
    ("quiet_ns", "i8"),  # depth that is quiet for longer asks for a tick to be run
    ("silence_ns", "i8"),  # so does a feed that says nothing at all
    ("fresh_ns", "i8"),  # a watched book whose depth is older needs a look
    # What was passed over, the last frame left out when it needs a look.
    ("folded", "i8"),  # what the fold of the frame that needs a look returned, else NOTHING
    ("ticks", "i8"),
    ("applied", "i8"),
    ("trades", "i8"),
    ("ignored", "i8"),
    ("last_ns", "i8"),  # time of the last frame passed
    ("moved_ns", "i8"),  # of the last one that moved a market
    ("lag_max", "f8"),  # beyond these a book that is watched is not trusted
    ("outside_max", "f8"),
]

FEED_FIELDS: list[tuple[str, str]] = [
    ("frame_ns", "i8"),  # of the latest frame
    ("depth_ns", "i8"),  # of the latest depth
    ("is_probed", "i8"),  # 1: depth that goes quiet asks for a tick to be run
    ("is_watched", "i8"),
    ("bid_tick", "i8"),  # the touch after the last frame passed over
    ("ask_tick", "i8"),
    ("mark_side", "i8"),  # of the book, whose touch prices what is held; NOTHING where nothing is
    ("mark_min", "i8"),  # beyond these a new touch there needs a look
    ("mark_max", "i8"),
    ("chase_side", "i8"),  # of the book, whose touch an entry follows
    ("chase_tick", "i8"),  # where it rests; a touch that is better has left it behind
    ("chase_ns", "i8"),  # ticks at or after it, with such a touch, have to be run; NEVER: none
    ("trade_id", "i8"),  # of the last trade passed over
    ("tick_bid", "i8"),  # the latest whole touch at a tick that was passed over, -1 none
    ("tick_ask", "i8"),
]

WATCH_FIELDS: list[tuple[str, str]] = [
    ("instrument", "i8"),
    ("direction", "i8"),  # +1: trades, and touches, at or above the price touch it; -1: at or below
    ("touch_side", "i8"),  # of the book, whose touch counts
    ("tick", "i8"),
    ("side", "i8"),  # of the book, whose queue it rests in
    ("shown", "i8"),  # lots that its level showed last; -1: it rests in no queue, and any trade at the price touches it; in and out
    ("ahead", "i8"),  # lots ahead of it, beyond which a trade at the price touches it; in and out
    ("traded", "i8"),  # lots that traded there and are not taken off `shown` (`core.book.queue`); in and out
    ("is_even", "i8"),
]
