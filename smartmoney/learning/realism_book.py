"""What the book says: how wide the touch is, what order flow and queues know of the mid, and how much of what rests is withdrawn.

The measures are those of the feature study (`feature_study`, `resampling`), on the same bars, without its intervals.
"""

import numpy as np

from smartmoney.learning.feature_study import SECOND_NS, bar_sums, moves_bps
from smartmoney.learning.realism_series import Observed
from smartmoney.learning.resampling import Floats, auc, correlations

_NO_RESAMPLES = np.empty((0, 0), np.int64)


def touch(observed: Observed) -> dict[str, float]:
    """Return the share of best-quote changes that left the touch one tick wide."""
    valid = int(observed.spreads[1:].sum())
    return {"one_tick_share": float(observed.spreads[1] / valid) if valid else float("nan")}


def flow_and_queue(observed: Observed) -> dict[str, float]:
    """Return R² of OFI with the same and with the next second's move, and the AUC of the queue imbalance for the next second and 5 s."""
    bars = observed.bars
    whole = bars.times[bars.times % SECOND_NS == 0]
    flow = bar_sums(bars, bars.order_flow, whole, SECOND_NS)
    queue = bars.queue_imbalance[np.searchsorted(bars.times, whole)]
    return {
        "ofi_r2_same": _r2(flow, moves_bps(bars, whole - SECOND_NS, whole)),
        "ofi_r2_next": _r2(flow, moves_bps(bars, whole, whole + SECOND_NS)),
        "qi_auc_1s": _auc(queue, moves_bps(bars, whole, whole + SECOND_NS)),
        "qi_auc_5s": _auc(queue, moves_bps(bars, whole, whole + 5 * SECOND_NS)),
    }


def cancelled(observed: Observed) -> dict[str, float]:
    """Return the share of lots that left the book by being withdrawn, not traded.

    By lots, because recordings do not show orders; what comes and goes between two depth frames is not seen in them: the share is larger.
    """
    left = observed.removed_lots
    return {"cancelled_share": 1.0 - observed.traded_lots / left if left > 0 else float("nan")}


def _r2(x: Floats, y: Floats) -> float:
    value, _, _ = correlations(x[:, None], y, _NO_RESAMPLES, 1)
    return float(value[0] ** 2)


def _auc(queue: Floats, move: Floats) -> float:
    area, _, _ = auc(queue, move, _NO_RESAMPLES, 1)
    return area
