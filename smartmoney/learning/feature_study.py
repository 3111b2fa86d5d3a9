"""What each feature was worth on a recording: its distribution, its memory, and what it says of the mid, with intervals.

Invariants: a feature's row at t is held against the move over (t - 1 s, t] and over (t, t + h], of mids at those exact times; moves are in
bps; rows and targets overlap, so intervals come from a moving-block bootstrap whose blocks are longer than a target reaches; the seed is
fixed. Nothing here is out of sample, and over a hundred features times four targets some intervals exclude zero by chance.
"""

import math
from collections.abc import Iterable
from time import perf_counter
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from smartmoney.adapters.recording_blocks import Block
from smartmoney.core.domain.instruments import Instrument
from smartmoney.core.features.parameters import FeatureParameters
from smartmoney.core.features.schema import FEATURES, SCHEMA_HASH, FeatureSpec
from smartmoney.learning.feature_table import FEATURE_NAMES, RowBuffer, check_fold
from smartmoney.learning.grid_fold import GridFold
from smartmoney.learning.published import FACTS, published
from smartmoney.learning.recorded import Recorded, RecordedCodec
from smartmoney.learning.resampling import Floats, auc, block_starts, correlations, interval, lagged_correlations
from smartmoney.learning.top_watch import Bars, TopWatch

SECOND_NS = 1_000_000_000
FINE_NS = SECOND_NS // 2
"""Grid of the mids and of the bars: the shortest published horizon."""
QUANTILES = (0.01, 0.25, 0.5, 0.75, 0.99)
LAGS_S = (1, 10, 60)
HORIZONS_S = (1, 5, 30)
RESAMPLES = 500
SEED = 20_140_101
BLOCK_S_MIN = 30
HISTOGRAM_BINS = 40


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """Be a number with its 95 % interval, over `n` rows; None where it, or the interval, cannot be had."""

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0

    @property
    def excludes_zero(self) -> bool:
        """Tell whether the interval lies on one side of zero."""
        return self.low is not None and self.high is not None and (self.low > 0.0 or self.high < 0.0)


class FeatureStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """Describe one feature. `coverage` is the share of rows that were warm; dictionaries are keyed by seconds, as text."""

    name: str
    group: str
    unit: str
    parity: str
    coverage: float
    mean: float | None
    sd: float | None
    quantiles: tuple[float | None, ...]
    autocorrelation: dict[str, float | None]
    same_1s: Estimate
    next_move: dict[str, Estimate]
    auc_next: dict[str, Estimate]
    """Of odd features only: the area under the ROC curve for an upward move against a downward one."""


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """Be one of the published facts, measured here. `published` is None where nothing was published for this market."""

    key: str
    meaning: str
    measured: Estimate
    published: float | None


class FeatureStudy(msgspec.Struct, frozen=True, kw_only=True):
    """Report a whole study. `quantile_levels` and `blocks_s` (seconds per block, by horizon) say how it was made."""

    venue: str
    market: str
    symbol: str
    base: str
    schema_hash: str
    every_ns: int
    rows: int
    first_ts_event_ns: int
    last_ts_event_ns: int
    frames: int
    holes: int
    quantile_levels: tuple[float, ...]
    blocks_s: dict[str, int]
    resamples: int
    seed: int
    facts: tuple[Fact, ...]
    features: tuple[FeatureStatistics, ...]
    problems: tuple[str, ...]
    seconds: float


class StudyRows(msgspec.Struct, frozen=True, kw_only=True):
    """Hold what a study is made of: feature rows `(rows, features)` at `times`, and the bars on the fine grid."""

    times: NDArray[np.int64]
    values: Floats
    bars: Bars
    every_ns: int
    frames: int
    holes: int


class _Held:
    """Keep blocks of rows in memory."""

    def __init__(self) -> None:
        self._times: list[NDArray[np.int64]] = [np.empty(0, np.int64)]
        self._values: list[Floats] = [np.empty((0, len(FEATURE_NAMES)))]

    def write(self, times: NDArray[np.int64], values: Floats) -> None:
        self._times.append(times.copy())
        self._values.append(values.copy())

    def whole(self) -> tuple[NDArray[np.int64], Floats]:
        return np.concatenate(self._times), np.concatenate(self._values)


def collect_rows(
    recorded: Iterable[Recorded | Block],
    codec: RecordedCodec,
    instrument: Instrument,
    parameters: FeatureParameters,
    every_ns: int,
    problems: list[str],
) -> StudyRows:
    """Fold a recording into feature rows and bars. Memory: 8 bytes a feature and row (a day of seconds and 110 features: 76 MB).

    Raises:
        RecordingRefused: there is nothing to study.
    """
    held, watch = _Held(), TopWatch()
    rows = RowBuffer(held)

    def on_row(ts_ns: int) -> None:
        if ts_ns % every_ns == 0:
            rows.take(fold.states, ts_ns)
        if ts_ns % FINE_NS == 0:
            watch.sample(ts_ns)

    fold = GridFold(codec, instrument, parameters, math.gcd(every_ns, FINE_NS), on_row, watch)
    fold.run(recorded)
    check_fold(fold, instrument.symbol, rows.rows, problems)
    rows.flush()
    times, values = held.whole()
    return StudyRows(times=times, values=values, bars=watch.bars(), every_ns=every_ns, frames=fold.frames, holes=fold.holes)


def study_features(rows: StudyRows, instrument: Instrument, venue: str, problems: Iterable[str] = ()) -> FeatureStudy:
    """Return the study of some rows. Cost: a second for ten minutes, a minute for a day of seconds."""
    started = perf_counter()
    return FeatureStudy(
        venue=venue,
        market=instrument.market.value,
        symbol=instrument.symbol,
        base=instrument.base,
        schema_hash=SCHEMA_HASH,
        every_ns=rows.every_ns,
        rows=len(rows.times),
        first_ts_event_ns=int(rows.times[0]),
        last_ts_event_ns=int(rows.times[-1]),
        frames=rows.frames,
        holes=rows.holes,
        quantile_levels=QUANTILES,
        blocks_s={str(horizon): block_s(horizon) for horizon in HORIZONS_S},
        resamples=RESAMPLES,
        seed=SEED,
        facts=_facts(rows.bars, instrument),
        features=_statistics(rows),
        problems=tuple(problems),
        seconds=round(perf_counter() - started, 3),
    )


def block_s(horizon_s: float) -> int:
    """Return the seconds of a block for a target of this horizon: twice as long as the target reaches, and half a minute at least."""
    return int(max(BLOCK_S_MIN, 2 * horizon_s))


def moves_bps(bars: Bars, from_ns: NDArray[np.int64], to_ns: NDArray[np.int64]) -> Floats:
    """Return the change of the mid between pairs of times, in bps of the first; NaN where either is not on the grid or had no mid."""
    before, after = _mids_at(bars, from_ns), _mids_at(bars, to_ns)
    moved: Floats = (after - before) / before * 1e4
    return moved


def bar_sums(bars: Bars, values: Floats, ends_ns: NDArray[np.int64], span_ns: int) -> Floats:
    """Return sums of a bar column over (end - span, end]; NaN where a part of it is not on the grid."""
    position = _positions(bars, ends_ns)
    count = span_ns // FINE_NS
    begins = position - (count - 1)
    usable = (position >= 0) & (begins >= 0)
    begins = np.where(usable, begins, 0)
    usable &= bars.times[position] - bars.times[begins] == span_ns - FINE_NS
    totals = np.concatenate(([0.0], np.cumsum(values)))
    return np.where(usable, totals[position + 1] - totals[begins], np.nan)


def _positions(bars: Bars, at_ns: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where times stand in the grid of bars, -1 where they do not."""
    found = np.searchsorted(bars.times, at_ns)
    inside = np.minimum(found, len(bars.times) - 1)
    return np.where(bars.times[inside] == at_ns, inside, -1)


def _mids_at(bars: Bars, at_ns: NDArray[np.int64]) -> Floats:
    position = _positions(bars, at_ns)
    return np.where(position >= 0, bars.mid[position], np.nan)


def _statistics(rows: StudyRows) -> tuple[FeatureStatistics, ...]:
    x, times = rows.values, rows.times
    every_s = rows.every_ns / SECOND_NS
    same = moves_bps(rows.bars, times - SECOND_NS, times)
    nexts = {str(h): moves_bps(rows.bars, times, times + h * SECOND_NS) for h in HORIZONS_S}
    lengths = {str(h): max(1, round(block_s(h) / every_s)) for h in HORIZONS_S}
    starts = {key: block_starts(len(times), length, RESAMPLES, SEED) for key, length in lengths.items()}
    same_1s = _correlation_estimates(x, same, starts["1"], lengths["1"])
    next_moves = {key: _correlation_estimates(x, move, starts[key], lengths[key]) for key, move in nexts.items()}
    memory = {str(lag): _autocorrelation(rows, lag) for lag in LAGS_S}
    found = []
    for k, spec in enumerate(FEATURES):
        is_odd = spec.parity == "odd"
        areas = {key: _auc_estimate(x[:, k], move, starts[key], lengths[key]) for key, move in nexts.items()} if is_odd else {}
        found.append(
            _described(
                spec,
                x[:, k],
                autocorrelation={key: _number(values[k]) for key, values in memory.items()},
                same_1s=same_1s[k],
                next_move={key: estimates[k] for key, estimates in next_moves.items()},
                auc_next=areas,
            )
        )
    return tuple(found)


def _described(spec: FeatureSpec, column: Floats, **relations: Any) -> FeatureStatistics:
    known = column[np.isfinite(column)]
    quantiles = np.quantile(known, QUANTILES).tolist() if len(known) else [math.nan] * len(QUANTILES)
    return FeatureStatistics(
        name=spec.name,
        group=spec.group,
        unit=spec.unit,
        parity=spec.parity,
        coverage=len(known) / len(column),
        mean=_number(known.mean()) if len(known) else None,
        sd=_number(known.std(ddof=1)) if len(known) > 1 else None,
        quantiles=tuple(_number(value) for value in quantiles),
        **relations,
    )


def _autocorrelation(rows: StudyRows, lag_s: int) -> Floats:
    lag_ns = lag_s * SECOND_NS
    lag_rows = lag_ns // rows.every_ns if lag_ns % rows.every_ns == 0 else 0
    return lagged_correlations(rows.values, rows.times, lag_rows, lag_ns)


def _correlation_estimates(x: Floats, y: Floats, starts: NDArray[np.int64], length: int) -> list[Estimate]:
    values, samples, count = correlations(x, y, starts, length)
    low, high = interval(samples)
    return [_estimate(*numbers) for numbers in zip(values, low, high, count, strict=True)]


def _auc_estimate(x: Floats, y: Floats, starts: NDArray[np.int64], length: int) -> Estimate:
    area, samples, count = auc(x, y, starts, length)
    low, high = interval(samples)
    return _estimate(area, low, high, count)


def _r2_estimate(x: Floats, y: Floats, starts: NDArray[np.int64], length: int) -> Estimate:
    values, samples, count = correlations(x[:, None], y, starts, length)
    low, high = interval(samples**2)
    has_interval = low.size == 1
    return _estimate(values[0] ** 2, low[0] if has_interval else math.nan, high[0] if has_interval else math.nan, count[0])


def _facts(bars: Bars, instrument: Instrument) -> tuple[Fact, ...]:
    whole = bars.times[bars.times % SECOND_NS == 0]
    length = block_s(1)
    starts = block_starts(len(whole), length, RESAMPLES, SEED)
    ofi, tfi = (bar_sums(bars, column, whole, SECOND_NS) for column in (bars.order_flow, bars.trade_flow))
    same = moves_bps(bars, whole - SECOND_NS, whole)
    following = moves_bps(bars, whole, whole + SECOND_NS)
    moved = np.abs(same[np.isfinite(same) & (same != 0.0)])
    measured = {
        "r2_same_ofi": _r2_estimate(ofi, same, starts, length),
        "r2_same_tfi": _r2_estimate(tfi, same, starts, length),
        "r2_next_ofi": _r2_estimate(ofi, following, starts, length),
        "mean_move_bps": Estimate(value=_number(moved.mean()) if len(moved) else None, n=len(moved)),
    }
    for name, at_ns, horizon_ns in (("500ms", bars.times, FINE_NS), ("1s", whole, SECOND_NS), ("5s", whole, 5 * SECOND_NS)):
        length = round(block_s(horizon_ns / SECOND_NS) * SECOND_NS / (FINE_NS if horizon_ns == FINE_NS else SECOND_NS))
        starts = block_starts(len(at_ns), length, RESAMPLES, SEED)
        move = moves_bps(bars, at_ns, at_ns + horizon_ns)
        queue = bars.queue_imbalance[_positions(bars, at_ns)]
        measured[f"auc_{name}_qi"] = _auc_estimate(queue, move, starts, length)
        # The flow of a bar as long as what it is to foretell.
        measured[f"auc_{name}_ofi"] = _auc_estimate(bar_sums(bars, bars.order_flow, at_ns, horizon_ns), move, starts, length)
    known = published(instrument.market.value, instrument.base)
    return tuple(Fact(key=key, meaning=meaning, measured=measured[key], published=known.get(key)) for key, meaning in FACTS)


def _estimate(value: Any, low: Any, high: Any, count: Any) -> Estimate:
    return Estimate(value=_number(value), low=_number(low), high=_number(high), n=int(count))


def _number(value: Any) -> float | None:
    """Return a plain float, None for what is no number: JSON has none for it."""
    number = float(value)
    return number if math.isfinite(number) else None
