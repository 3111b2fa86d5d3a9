"""A trained decision as one compiled call: feature row in, regime and forecasts out, for one instrument.

Stages, in this order: observation and hidden Markov filter (once a bar), flow detector, regime classifier, smoothing and debouncing, heads
with calibration and conformal sets. Every forest is asked about the row and about its mirror, and answers for the difference.

Invariants: nothing looks ahead; mirroring buys and sells mirrors every output bit for bit; nothing is allocated and nothing raises; what is
not a number gives forecasts that are none.
"""

import math
from typing import Any

import numpy as np

from smartmoney.core.alpha.calibration import calibrate, normal_quantile, sigmoid
from smartmoney.core.alpha.forest_kernel import add_margins, or_large
from smartmoney.core.book.typed import entry, inner
from smartmoney.core.models.columns import AGE_S_MAX
from smartmoney.core.regime.filter import filter_bar, observe

_NEUTRAL, _VOLATILE = 4, 3
"""Places in `Regime`; 0 and 1 are accumulation and distribution, which the mirror swaps."""
_REGIMES = 5
_CONFIDENCE_MAX = 1.0 - 1e-6
"""Calibrated confidence is kept below 1: the quantile of certainty is infinite."""


@inner
def _swapped(k: int) -> int:
    return 1 - k if k < 2 else k


@inner
def _entropy(p: Any, at: int) -> float:
    """Return the entropy of five probabilities in nats; the mirrored pair is added first, so that the mirror changes nothing."""
    total = 0.0
    for k in range(_REGIMES):
        value = p[at + k]
        term = -value * math.log(value) if value > 0.0 else 0.0
        total = total + term
    return total


@inner
def _likeliest(p: Any) -> int:
    best = 0
    for k in range(1, _REGIMES):
        if p[k] > p[best]:
            best = k
    # Accumulation and distribution level at the top say nothing about direction.
    return _NEUTRAL if best == 0 and p[1] == p[0] else best


@inner
def _fill_row(m: Any, factors: Any, x: Any, row: Any) -> None:
    """Write features and products to the wide row."""
    for k in range(m.features):
        x[k] = row[k]
    for p in range(len(factors)):
        value = 1.0
        for f in range(factors.shape[1]):
            at = factors[p, f]
            if at == -1:
                break
            if at < 0:
                value *= row[-2 - at]
            else:
                value *= math.copysign(math.log1p(abs(row[at])), row[at])
        x[m.products_at + p] = value


@inner
def _complete(mirror: Any, wide: Any, first: int, last: int) -> None:
    """Write columns first..last-1 of the mirrored row, and of both rows the second half, where what is missing is large."""
    width = len(mirror)
    for k in range(first, last):
        wide[1, k] = np.float32(mirror[k, 0]) * wide[0, mirror[k, 1]]
        wide[0, width + k] = or_large(wide[0, k])
        wide[1, width + k] = or_large(wide[1, k])


@inner
def _filter(m: Any, s: Any, x: Any, row: Any, ts_event_ns: int) -> Any:
    """Take a bar, if there is a new one; write the filter's columns. Tell whether there was one."""
    bar = ts_event_ns // m.bar_ns
    is_new = s.bar == 0 or bar > s.bar
    if is_new:
        elapsed_s = 0.0 if s.bar == 0 else (bar - s.bar) * m.bar_ns / 1e9
        keep = math.exp(-2.0 * elapsed_s / (m.window_s + 1.0))
        observe(m, s, row)
        filter_bar(m, s, bar)
        for d in range(m.dimensions):
            if math.isfinite(s.z[d]):
                s.window[d] = keep * s.window[d] + (1.0 - keep) * s.z[d] if math.isfinite(s.window[d]) else s.z[d]
    for d in range(m.dimensions):
        x[m.window_at + d] = s.window[d]
    for k in range(_REGIMES):
        s.posterior_now[k] = 0.0
    for q in range(m.pairs):
        i, j = m.one[q], m.other[q]
        if m.regime[i] == m.regime[j]:
            s.posterior_now[m.regime[i]] += s.posterior[i] + s.posterior[j] if i != j else s.posterior[i]
        else:
            s.posterior_now[m.regime[i]] += s.posterior[i]
            s.posterior_now[m.regime[j]] += s.posterior[j]
    label = _likeliest(s.posterior_now)
    if label != s.hmm_label or s.hmm_since_ns == 0:
        s.hmm_label = label
        s.hmm_since_ns = ts_event_ns
    for k in range(_REGIMES):
        x[m.hmm_at + k] = s.posterior_now[k]
    x[m.hmm_at + _REGIMES] = _entropy(s.posterior_now, 0)
    x[m.hmm_at + _REGIMES + 1] = min((ts_event_ns - s.hmm_since_ns) / 1e9, AGE_S_MAX)
    return is_new


@inner
def _ask(m: Any, s: Any, nodes: Any, walks: Any, forest: int, outputs: int, wide: Any) -> None:
    """Write the margins of the row and of its mirror to s.margins."""
    for k in range(outputs):
        s.margins[0, k] = m.base[forest, k]
        s.margins[1, k] = m.base[forest, k]
    add_margins(nodes, walks, m.first[forest], m.last[forest], wide, s.margins)


@inner
def _classify(m: Any, s: Any) -> None:
    """Write the calibrated posterior from the margins of both rows."""
    top = -math.inf
    for k in range(_REGIMES):
        s.posterior_now[k] = 0.5 * (float(s.margins[0, k]) + float(s.margins[1, _swapped(k)])) / m.temperature
        top = max(top, s.posterior_now[k])
    total = 0.0
    for k in range(_REGIMES):
        s.posterior_now[k] = math.exp(s.posterior_now[k] - top)
        total += s.posterior_now[k]
    for k in range(_REGIMES):
        s.posterior_now[k] /= total


@inner
def _publish(m: Any, s: Any, ts_event_ns: int, is_first: bool, is_bar: bool) -> None:
    """Smooth the posterior and debounce the label."""
    keep = 0.0 if is_first else m.smoothing
    for k in range(_REGIMES):
        s.smoothed[k] = keep * s.smoothed[k] + (1.0 - keep) * s.posterior_now[k]
    best = _likeliest(s.smoothed)
    if is_first:
        s.label = best
        s.label_since_ns = ts_event_ns
    if best == s.label or not s.smoothed[best] - s.smoothed[s.label] > m.switch_margin:
        s.candidate = s.label
        s.candidate_bars = 0
        return
    if best != s.candidate:
        s.candidate = best
        s.candidate_bars = 0
    if is_bar:
        s.candidate_bars += 1
    is_due = s.candidate_bars >= m.switch_bars and ts_event_ns - s.label_since_ns >= m.duration_ns
    # Danger is believed at once.
    if best == _VOLATILE or is_due:
        s.label = best
        s.label_since_ns = ts_event_ns
        s.candidate_bars = 0


@inner
def _forecast(m: Any, s: Any, h: int, row: Any) -> None:
    """Write head h's lean (its sign is the side), confidence, sigma, gross return, and whether one side alone is in its conformal set."""
    lean = 0.5 * (sigmoid(float(s.margins[0, 0])) - sigmoid(float(s.margins[1, 0])))
    raw = 0.5 + abs(lean)
    calibrated = calibrate(raw, m.kind[1 + h], m.parameters[1 + h], m.knots[1 + h], m.x[1 + h], m.y[1 + h])
    confidence = min(max(calibrated, 0.5), _CONFIDENCE_MAX)
    value = row[m.sigma_column[h]]
    sigma = m.sigma_scale[h] * value ** m.sigma_power[h]
    if not sigma >= m.sigma_floor[h]:
        sigma = m.sigma_floor[h] if math.isfinite(sigma) else math.nan
    q = m.conformal[h, s.label]
    s.lean[h] = lean
    s.confidence[h] = confidence
    s.sigma[h] = sigma
    s.gross[h] = m.return_scale[h] * sigma * normal_quantile(confidence)
    s.single[h] = 1 if confidence >= 1.0 - q and not 1.0 - confidence >= 1.0 - q else 0


@inner
def decide_one(s: Any, row: Any, ts_event_ns: int, m: Any, nodes: Any, walks: Any, factors: Any, mirror: Any, wide: Any) -> None:
    """Do `decide` for one record."""
    x = wide[0]
    is_first = s.ts_event_ns == 0
    _fill_row(m, factors, x, row)
    is_bar = _filter(m, s, x, row, ts_event_ns)
    s.ts_event_ns = ts_event_ns
    _complete(mirror, wide, 0, m.flow_at)
    s.flow[0] = s.flow[1] = math.nan
    if m.last[0] > m.first[0]:
        _ask(m, s, nodes, walks, 0, 1, wide)
        for side in range(2):
            raw = sigmoid(float(s.margins[side, 0]))
            s.flow[side] = calibrate(raw, m.kind[0], m.parameters[0], m.knots[0], m.x[0], m.y[0])
    x[m.flow_at], x[m.flow_at + 1] = s.flow[0], s.flow[1]
    _complete(mirror, wide, m.flow_at, m.regime_at)
    if m.last[1] > m.first[1]:
        _ask(m, s, nodes, walks, 1, _REGIMES, wide)
        _classify(m, s)
    for k in range(_REGIMES):
        x[m.regime_at + k] = s.posterior_now[k]
    x[m.regime_at + _REGIMES] = _entropy(s.posterior_now, 0)
    _complete(mirror, wide, m.regime_at, m.width)
    _publish(m, s, ts_event_ns, is_first, is_bar)
    for h in range(m.heads):
        _ask(m, s, nodes, walks, 2 + h, 1, wide)
        _forecast(m, s, h, row)


@inner
def speaking_head(mind: Any, tradable: Any, cost_bps: float) -> int:
    """Return the head with the largest expected return for its risk among those that may speak and are sure of one side; -1 for none."""
    best = -1
    most = 0.0
    for h in range(len(tradable)):
        if tradable[h] != 0 and mind.single[h] != 0 and mind.lean[h] != 0.0:
            worth = (mind.gross[h] - cost_bps) / mind.sigma[h]
            if math.isfinite(worth) and (best < 0 or worth > most):
                best = h
                most = worth
    return best


@entry
def who_speaks(minds: Any, i: int, tradable: Any, cost_bps: float) -> int:
    """Do `speaking_head` for one record of an array."""
    return speaking_head(minds[i], tradable, cost_bps)


@entry
def decide(minds: Any, i: int, row: Any, ts_event_ns: int, m: Any, nodes: Any, walks: Any, factors: Any, mirror: Any, wide: Any) -> None:
    """Take one row of features and write the regime and the forecasts of an instrument.

    Args:
        minds: MIND array.
        i: the instrument's place in it. Mutated.
        row: float64 features in schema order.
        ts_event_ns: exchange time of the row, after the record's own (the caller sees to it).
        m: MODEL array of one, as all that follow from a `Layout`.
        nodes: nodes.
        walks: trees.
        factors: of products.
        mirror: of columns.
        wide: float32[2, row_length(columns)], the instrument's own, NaN at first. Written: wide[0] begins with all columns, wide[1] with
            those of the mirrored market.

    Cost: about 15 ns a tree of depth 6, and 5 µs.
    """
    decide_one(minds[i], row, ts_event_ns, m[0], nodes, walks, factors, mirror, wide)


@entry
def decide_table(
    minds: Any, rows: Any, times: Any, table: Any, told: Any, m: Any, nodes: Any, walks: Any, factors: Any, mirror: Any, wide: Any
) -> None:
    """Do `decide` for rows of one instrument in the order of time, the same calls that a live run would make.

    Args:
        minds: MIND array of one. Mutated.
        rows: float64[n, features].
        times: int64[n], exchange time, rising.
        table: float32[n, columns], the wide rows. Written.
        told: MIND array of n, the record after each row. Written.
        m: MODEL array of one, as all that follow from a `Layout`.
        nodes: nodes.
        walks: trees.
        factors: of products.
        mirror: of columns.
        wide: scratch.
    """
    for r in range(len(rows)):
        decide_one(minds[0], rows[r], times[r], m[0], nodes, walks, factors, mirror, wide)
        # Value by value: for rows as a whole numba compiles, besides, what words the error of shapes that differ.
        for column in range(table.shape[1]):
            table[r, column] = wide[0, column]
        told[r] = minds[0]
