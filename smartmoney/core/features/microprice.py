"""Microprice: the mid corrected by what queues and spread say of the moves to come (Stoikov 2018), from a table that is learned on the way.

States are (spread: 1, 2, 3 or more ticks) x (imbalance: 11 bins about 0). Each transition between two frames with a valid top is counted
as it is and as its mirror image, so that the table is odd in the imbalance by construction. G, the expected move of the mid in the long
run, solves G = r + P G (r the mean move per transition, P the transition matrix); being odd it is known from its 15 bins on the bid-heavy
side. Counts and table survive a dropped book.
"""

from typing import Any

from smartmoney.core.book.typed import inner
from smartmoney.core.features.basis import bps_base
from smartmoney.core.features.spec import ANY, ODD, FeatureSpec, WarmUp

GROUP = "microprice"
SPREADS = 3
SIDE_BINS = 5
BINS = 2 * SIDE_BINS + 1
STATES = SPREADS * BINS
HALF = SPREADS * SIDE_BINS
MOVE_MAX = 2
"""Half ticks: a move of the mid counts as one tick at most."""
MOVES_FIRST = 200
MOVES_STEP_MAX = 20_000
COUNT_MAX = 10_000_000
_PIVOT_MIN = 1e-9

FIELDS: list[tuple[str, str] | tuple[str, str, tuple[int, ...]]] = [
    ("f_micro_counts", "i8", (STATES, STATES)),
    ("f_micro_moves", "i8", (STATES,)),  # half ticks
    ("f_micro_rows", "i8", (STATES,)),
    ("f_micro_total", "i8"),
    ("f_micro_moved", "i8"),  # transitions that moved the mid
    ("f_micro_fit_at", "i8"),
    ("f_micro_fitted", "i8"),
    ("f_micro_table", "f8", (SPREADS, SIDE_BINS + 1)),  # ticks, by |imbalance|; bin 0 is 0
    ("f_micro_system", "f8", (HALF, HALF + 1)),  # scratch
]

FEATURES: tuple[FeatureSpec, ...] = (
    FeatureSpec(
        name="microprice_bps",
        group=GROUP,
        unit="bps",
        parity=ODD,
        warm_up=WarmUp(seconds=0.0, events=MOVES_FIRST, event="moves of the mid"),
        bounds=ANY,
        resets=True,
        source="Stoikov 2018",
        description=(
            "G(m, k) in bps of the mid: m = spread in ticks, at most 3; k = sign(d) floor((11 |d| + 1) / 2) clipped to -5..5, d = "
            "queue_imbalance. Counted at each frame with a valid top before and after: from state x to state y and the move of the mid in "
            "ticks, clipped to -1..1; and the mirror image (k and move negated). P = shares of y among the transitions from x, r = mean "
            "move from x. G solves G = r + P G with G odd in k (states never left: 0), is made nondecreasing in k and at least 0 from k = "
            "1 up (running maximum), and is clipped to the present spread. This is the limit of Stoikov's sum of B^i g1. Fitted when 200 "
            "transitions moved the mid, and again after as many more as then, 20,000 at most; counts are halved (rounded down) at 10^7 "
            "transitions. NaN before."
        ),
    ),
)
COUNT = len(FEATURES)


@inner
def _bin(bid_lots: int, ask_lots: int) -> Any:
    """Return the imbalance bin, -5 to 5; exactly odd when bids and asks change places."""
    heavier = abs(bid_lots - ask_lots) / (bid_lots + ask_lots)
    k = min(SIDE_BINS, int(0.5 * (BINS * heavier + 1.0)))
    return k if bid_lots >= ask_lots else -k


@inner
def _count(s: Any, before: int, after: int, move: int) -> None:
    s.f_micro_counts[before, after] += 1
    s.f_micro_rows[before] += 1
    s.f_micro_moves[before] += move


@inner
def top_microprice(s: Any, bid_tick: int, bid_lots: int, ask_tick: int, ask_lots: int) -> None:
    """Take in the new top against the one before, both valid."""
    before = min(SPREADS, s.f_ask_tick - s.f_bid_tick) - 1
    after = min(SPREADS, ask_tick - bid_tick) - 1
    was = _bin(s.f_bid_lots, s.f_ask_lots)
    now = _bin(bid_lots, ask_lots)
    move = max(-MOVE_MAX, min(MOVE_MAX, bid_tick + ask_tick - s.f_bid_tick - s.f_ask_tick))
    _count(s, before * BINS + SIDE_BINS + was, after * BINS + SIDE_BINS + now, move)
    _count(s, before * BINS + SIDE_BINS - was, after * BINS + SIDE_BINS - now, -move)
    s.f_micro_total += 1
    if move != 0:
        s.f_micro_moved += 1
        if s.f_micro_moved >= max(MOVES_FIRST, s.f_micro_fit_at):
            s.f_micro_fit_at = s.f_micro_moved + min(s.f_micro_moved, MOVES_STEP_MAX)
            _fit(s)
    if s.f_micro_total >= COUNT_MAX:
        _halve(s)


@inner
def _halve(s: Any) -> None:
    s.f_micro_total //= 2
    for x in range(STATES):
        total = 0
        for y in range(STATES):
            s.f_micro_counts[x, y] //= 2
            total += s.f_micro_counts[x, y]
        s.f_micro_rows[x] = total
        # Towards zero, so that mirror images stay mirror images.
        moves = s.f_micro_moves[x]
        s.f_micro_moves[x] = moves // 2 if moves >= 0 else -(-moves // 2)


@inner
def _fill_system(s: Any) -> None:
    """Write (I - P) G = r for odd G: the 15 states with more lots on the bid side, the moves beside them."""
    system = s.f_micro_system
    for i in range(HALF):
        for j in range(HALF + 1):
            system[i, j] = 0.0
        system[i, i] = 1.0
        x = (i // SIDE_BINS) * BINS + SIDE_BINS + 1 + i % SIDE_BINS
        rows = s.f_micro_rows[x]
        if rows == 0:
            continue
        system[i, HALF] = 0.5 * s.f_micro_moves[x] / rows
        for j in range(HALF):
            centre = (j // SIDE_BINS) * BINS + SIDE_BINS
            away = 1 + j % SIDE_BINS
            system[i, j] -= (s.f_micro_counts[x, centre + away] - s.f_micro_counts[x, centre - away]) / rows


@inner
def _solve(s: Any) -> bool:
    """Solve the system in place by elimination with partial pivoting; tell whether it has a solution."""
    a = s.f_micro_system
    for k in range(HALF):
        pivot = k
        for i in range(k + 1, HALF):
            if abs(a[i, k]) > abs(a[pivot, k]):
                pivot = i
        if abs(a[pivot, k]) < _PIVOT_MIN:
            return False
        for j in range(HALF + 1):
            a[k, j], a[pivot, j] = a[pivot, j], a[k, j]
        for i in range(HALF):
            if i != k:
                factor = a[i, k] / a[k, k]
                for j in range(k, HALF + 1):
                    a[i, j] -= factor * a[k, j]
    for k in range(HALF):
        a[k, HALF] /= a[k, k]
    return True


@inner
def _fit(s: Any) -> None:
    _fill_system(s)
    if not _solve(s):
        return
    for m in range(SPREADS):
        largest = 0.0
        for k in range(SIDE_BINS):
            largest = max(largest, s.f_micro_system[m * SIDE_BINS + k, HALF])
            s.f_micro_table[m, k + 1] = largest
    s.f_micro_fitted = 1


@inner
def read_microprice(s: Any, out: Any, has_top: bool) -> None:
    """Write the group's feature."""
    if not has_top or s.f_micro_fitted == 0:
        return
    spread = s.f_ask_tick - s.f_bid_tick
    k = _bin(s.f_bid_lots, s.f_ask_lots)
    move = min(float(spread), s.f_micro_table[min(SPREADS, spread) - 1, abs(k)])
    out[0] = (move if k >= 0 else -move) / bps_base(s, s.f_mid) * 1e4
