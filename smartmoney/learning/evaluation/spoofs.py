"""Do the features see spoofers? Precision and recall of seconds in which a spoofer's wall stands, by each feature and by all together.

The truth is what spoofers have resting in the bar that ends at the row. Features that have a side count by their size. The combined score
is a logistic regression of the same features that is fitted on the other worlds: what they hold together, not a part of the product.
"""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from smartmoney.core.features.schema import FEATURE_INDEX
from smartmoney.learning.sets.rows import Rows

Floats = NDArray[np.float64]

COMBINED = "together"
WATCHED = (
    "spoof_10s",
    "spoof_120s",
    "spoof_traded_10s",
    "spoof_traded_120s",
    "wall_imbalance",
    "depth_imbalance_5bps",
    "depth_imbalance_10bps",
    "add_imbalance_10s",
    "cancel_imbalance_10s",
    "cancel_add_ratio_10s",
    "book_event_rate_10s",
)
_WARM_S = 300
_BLOCK_S = 300
_RESAMPLES = 100


class FoundBy(msgspec.Struct, frozen=True, kw_only=True):
    """Say how well one score finds what is looked for: area under precision over recall, 95 % over blocks of five minutes."""

    name: str
    pr_auc: float
    low: float
    high: float


class SpoofScore(msgspec.Struct, frozen=True, kw_only=True):
    """Score spoofs; `base_rate` is the area that a score without any knowledge has. `found_by`: the combined score, then the best first."""

    worlds: int
    seconds: int
    base_rate: float
    found_by: tuple[FoundBy, ...]

    @property
    def combined(self) -> FoundBy:
        """Return the score of all features together."""
        return self.found_by[0]


def score_spoofs(worlds: Sequence[Rows], seed: int = 13) -> SpoofScore | None:
    """Score every feature of `WATCHED` on worlds with bars; None where no spoofer, or nothing else, was ever there."""
    tables, stood, blocks = [], [], []
    for number, rows in enumerate(worlds):
        lots = rows.extras["spoof_lots"][_WARM_S:]
        known = np.isfinite(lots)
        columns = [np.abs(rows.values[_WARM_S:, FEATURE_INDEX[name]].astype(np.float64)) for name in WATCHED]
        tables.append(np.nan_to_num(np.column_stack(columns)[known], nan=0.0))
        stood.append(lots[known] > 0.0)
        blocks.append(number * 100_000 + np.flatnonzero(known) // _BLOCK_S)
    there, block = np.concatenate(stood), np.concatenate(blocks)
    if not there.any() or there.all():
        return None
    scores = {COMBINED: np.concatenate(_held_out(tables, stood)), **dict(zip(WATCHED, np.concatenate(tables).T, strict=True))}
    picks = _picks(block, np.random.default_rng(seed))
    found = {name: _found_by(name, score, there, picks) for name, score in scores.items()}
    alone = sorted((found[name] for name in WATCHED), key=lambda one: -one.pr_auc)
    return SpoofScore(worlds=len(worlds), seconds=len(there), base_rate=float(there.mean()), found_by=(found[COMBINED], *alone))


def precision_area(score: Floats, there: NDArray[np.bool_]) -> float:
    """Return the area under precision over recall as the mean precision at each true row, equal scores taken together."""
    order = np.argsort(-score, kind="stable")
    ends = np.r_[np.flatnonzero(np.diff(score[order])), len(score) - 1]
    right = np.cumsum(there[order])[ends]
    gained = np.diff(right, prepend=0)
    return float((gained * right / (ends + 1.0)).sum() / max(right[-1], 1))


def _held_out(tables: Sequence[Floats], stood: Sequence[NDArray[np.bool_]]) -> list[Floats]:
    """Return for each world what a logistic regression on the others says; of a single world, what one half says of the other."""
    if len(tables) == 1:
        middle = len(tables[0]) // 2
        halves = _held_out([tables[0][:middle], tables[0][middle:]], [stood[0][:middle], stood[0][middle:]])
        return [np.concatenate(halves)]
    from sklearn.linear_model import LogisticRegression

    found = []
    for out, table in enumerate(tables):
        x = np.concatenate([one for place, one in enumerate(tables) if place != out])
        y = np.concatenate([one for place, one in enumerate(stood) if place != out])
        if y.all() or not y.any():
            found.append(np.zeros(len(table)))
            continue
        middle, scale = np.log1p(x).mean(axis=0), np.maximum(np.log1p(x).std(axis=0), 1e-9)
        model = LogisticRegression(C=1.0, max_iter=400).fit((np.log1p(x) - middle) / scale, y)
        found.append(np.asarray(model.decision_function((np.log1p(table) - middle) / scale), np.float64))
    return found


def _picks(block: NDArray[np.int64], rng: np.random.Generator) -> list[NDArray[np.int64]]:
    named, at = np.unique(block, return_inverse=True)
    rows = [np.flatnonzero(at == k) for k in range(len(named))]
    return [np.concatenate([rows[k] for k in rng.integers(0, len(named), len(named))]) for _ in range(_RESAMPLES)]


def _found_by(name: str, score: Floats, there: NDArray[np.bool_], picks: Sequence[NDArray[np.int64]]) -> FoundBy:
    again = [precision_area(score[one], there[one]) for one in picks if there[one].any()]
    low, high = np.quantile(again, (0.025, 0.975)).tolist() if again else (float("nan"), float("nan"))
    return FoundBy(name=name, pr_auc=precision_area(score, there), low=low, high=high)
