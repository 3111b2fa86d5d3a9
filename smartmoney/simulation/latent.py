"""Advance what nobody sees: the efficient price, its volatility, news, and when parents and traps come.

The latent world of a symbol draws from its own random stream on its own fixed grid and hears nothing from any book, so every market of
that symbol, with the same seed, follows the same efficient price, the same parents and the same traps. `known` is what the public has
learned of the efficient price; news (trends, informed drifts, runs) is in `efficient` at once and in `known` only bit by bit.
"""

import math
from typing import Any

from smartmoney.core.book.typed import inner
from smartmoney.simulation.bits import int64
from smartmoney.simulation.ladder import NIL, TRAP, emit
from smartmoney.simulation.random import draw, exponential, normal

GRID_NS = 50_000_000
GRID_S = GRID_NS * 1e-9
NEVER = int64(1 << 62)
PARENTS = 64
NEWS = 64
_DAY_S = 86_400.0
_FAST_S = 6.0
_JUMP_FRIGHT = 3.0

LATENT_FIELDS: list[Any] = [
    ("grid_next", "i8"),
    ("latent_words", "u8", (4,)),
    ("known", "f8"),
    ("hidden", "f8"),
    ("log_vols", "f8", (4,)),
    ("burst_until", "i8"),
    ("burst_at", "i8"),
    ("vol_mult", "f8"),
    ("vol_fast", "f8"),
    ("sigma_60s_ticks", "f8"),
    ("anchor_ticks", "f8"),
    ("efficient", "f8"),
    ("reference", "f8"),
    ("cascade_until", "i8"),
    ("wave_at", "i8"),
    ("trap_at", "i8"),
    ("trap_until", "i8"),
    ("trap_share", "f8"),
    ("trap_seq", "i8"),
    ("news_rate", "f8", (NEWS,)),
    ("news_start", "i8", (NEWS,)),
    ("news_end", "i8", (NEWS,)),
    ("parent_seq", "i8"),
    ("informed_at", "i8"),
    ("splitter_at", "i8"),
    ("last_side", "i8"),
    ("p_kind", "i8", (PARENTS,)),
    ("p_id", "i8", (PARENTS,)),
    ("p_side", "i8", (PARENTS,)),
    ("p_style", "i8", (PARENTS,)),
    ("p_lots", "i8", (PARENTS,)),
    ("p_left", "i8", (PARENTS,)),
    ("p_start", "i8", (PARENTS,)),
    ("p_end", "i8", (PARENTS,)),
]
"""What the efficient price is made of, and the parents. `efficient` and `reference` (what the public has learned of it) are in ticks;
`vol_mult` is the volatility now over the scenario's base; `p_left` is what the parent's own market has not filled yet."""


@inner
def start_latent(b: Any) -> None:
    """Set the latent world to its beginning; parameters and the random stream are set before."""
    words = b.latent_words
    b.known = 0.0
    b.hidden = 0.0
    for j in range(4):
        # From the stationary distribution, so that no market begins calmer or wilder than it goes on.
        b.log_vols[j] = b.price_volatility_sds[j] * normal(words)
    b.vol_fast = 1.0
    b.burst_until = 0
    b.burst_at = wait(b.price_burst_every_s, exponential(words))
    b.wave_at = wait(b.price_wave_every_s, exponential(words))
    b.trap_at = wait(b.traps_every_s, exponential(words))
    if b.traps_first_s > 0.0:
        b.trap_at = int(1e9 * b.traps_first_s)
    b.trap_until = 0
    b.trap_share = 0.0
    b.cascade_until = 0
    b.grid_next = GRID_NS
    b.news_end[:] = 0
    b.p_kind[:] = 0
    _step_volatility(b, NIL)
    _price(b)


@inner
def wait(every_s: float, factor: float) -> Any:
    """Return the ns until something that comes every so often, at a drawn factor of it; 0 s is never."""
    return int(1e9 * every_s * factor) if every_s > 0.0 else NEVER


@inner
def step_latent(b: Any) -> None:
    """Advance the price by one grid step, at `b.grid_next`."""
    now = b.grid_next
    words = b.latent_words
    _step_volatility(b, now)
    shock = normal(words) * b.vol_mult
    b.vol_fast += (shock * shock - b.vol_fast) * GRID_S / _FAST_S
    move = 1e-4 * b.price_bps_per_minute * math.sqrt(GRID_S / 60.0) * shock
    if b.price_jump_every_s > 0.0 and draw(words) * b.price_jump_every_s < GRID_S:
        size = 1e-4 * b.price_jump_bps * _jump_factor(b)
        move += size if draw(words) < 0.5 else -size
        b.vol_fast += _JUMP_FRIGHT
    b.known += move
    _start_wave(b, now)
    _start_trap(b, now)
    _reveal(b, now)
    _price(b)
    b.grid_next = now + GRID_NS


@inner
def add_news(b: Any, bps: float, start: int, seconds: float) -> None:
    """Let the efficient price move at once by so many bps, and the public learn it evenly between two times."""
    for n in range(NEWS):
        if b.news_end[n] <= b.grid_next:
            b.news_rate[n] = 1e-4 * bps / max(seconds, GRID_S)
            b.news_start[n] = start
            b.news_end[n] = start + max(int(1e9 * seconds), GRID_NS)
            return


@inner
def _jump_factor(b: Any) -> Any:
    u = 1.0 - draw(b.latent_words)
    if b.price_jump_tail <= 1.0:
        return -math.log(u)
    # Pareto of mean 1, bounded at a hundred times its least.
    least = (b.price_jump_tail - 1.0) / b.price_jump_tail
    return least * min(math.pow(u, -1.0 / b.price_jump_tail), 100.0)


@inner
def _step_volatility(b: Any, now: int) -> None:
    words = b.latent_words
    total = 0.0
    for j in range(4):
        sd = b.price_volatility_sds[j]
        if sd > 0.0:
            pull = GRID_S / b.price_volatility_times_s[j]
            b.log_vols[j] += -b.log_vols[j] * pull + sd * math.sqrt(2.0 * pull) * normal(words)
            total += b.log_vols[j]
    if b.price_daily_swing > 0.0:
        total += b.price_daily_swing * math.sin(6.283185307179586 * now * 1e-9 / _DAY_S)
    if now >= b.burst_at:
        b.burst_until = now + int(1e9 * b.price_burst_s * (0.5 + exponential(words) * 0.5))
        b.burst_at = b.burst_until + wait(b.price_burst_every_s, exponential(words))
    b.vol_mult = math.exp(total) * (b.price_burst_factor if now < b.burst_until else 1.0)


@inner
def _start_wave(b: Any, now: int) -> None:
    if now < b.wave_at:
        return
    words = b.latent_words
    b.wave_at = now + wait(b.price_wave_every_s, exponential(words))
    bps = b.price_wave_bps * (0.5 + draw(words))
    if draw(words) >= b.price_wave_up_share:
        bps = -bps
    add_news(b, bps, now, b.price_wave_s * (0.5 + draw(words)))


@inner
def _start_trap(b: Any, now: int) -> None:
    if now < b.trap_at:
        return
    words = b.latent_words
    b.trap_at = now + wait(b.traps_every_s, 0.2 + 0.8 * exponential(words)) if b.traps_every_s > 0.0 else NEVER
    b.trap_share = b.traps_pull_least + (b.traps_pull_most - b.traps_pull_least) * draw(words)
    b.trap_until = now + int(1e9 * b.traps_hold_s * (0.7 + 0.6 * draw(words)))
    bps = b.traps_run_bps * (0.6 + 0.8 * draw(words))
    is_up = draw(words) < b.traps_up_share
    is_run = draw(words) < b.traps_run_share
    begins = now + int(1e6 * b.traps_pull_ms) + int(1e9 * (0.5 + draw(words)))
    signed = bps if is_up else -bps
    add_news(b, signed, begins, b.traps_run_s)
    back = b.traps_recovery_share if is_run else 1.0
    if back > 0.0:
        add_news(b, -back * signed, begins + int(1e9 * b.traps_run_s), b.traps_recovery_s)
    b.trap_seq += 1
    emit(
        b, TRAP, b.trap_seq, NIL if is_up else NIL + 1, NIL + 1 if is_run else NIL, int(100.0 * b.trap_share), NIL, NIL, NIL, NIL, NIL, NIL
    )


@inner
def _reveal(b: Any, now: int) -> None:
    hidden = 0.0
    for n in range(NEWS):
        if b.news_end[n] < now:
            continue
        done = min(max(now - b.news_start[n], 0), b.news_end[n] - b.news_start[n])
        before = min(max(now - GRID_NS - b.news_start[n], 0), b.news_end[n] - b.news_start[n])
        b.known += b.news_rate[n] * (done - before) * 1e-9
        hidden += b.news_rate[n] * (b.news_end[n] - b.news_start[n] - done) * 1e-9
    b.hidden = hidden


@inner
def _price(b: Any) -> None:
    b.reference = b.anchor_ticks * math.exp(b.known)
    b.efficient = b.anchor_ticks * math.exp(b.known + b.hidden)
    b.sigma_60s_ticks = 1e-4 * b.price_bps_per_minute * b.vol_mult * b.reference
