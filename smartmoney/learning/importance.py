"""What each feature is worth to a bundle: the gain of its trees in training, and what is lost on given rows when it is shuffled.

Shuffling (Breiman 2001, "Random forests", section 10) asks the compiled decision again with one feature's rows permuted, so that whatever
is made of it (filter, window means, products, detector) is shuffled too. Two features that say the same cover for each other: both look
small. Invariant: a feature that no part of the decision reads loses exactly nothing.
"""

from collections.abc import Callable, Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from smartmoney.core.features.schema import FEATURE_INDEX
from smartmoney.core.models.bundle import Bundle, BundleSpec
from smartmoney.core.models.columns import products_of
from smartmoney.core.regime.parameters import RegimeParameters
from smartmoney.learning.calibration import log_loss
from smartmoney.learning.drift_monitors import features_of
from smartmoney.learning.evaluation.said import ask
from smartmoney.learning.sets.labels import labels_of
from smartmoney.learning.sets.rows import Rows

REPEATS = 3
_EVERY_S = 10
_SEED = 29
_NAN = float("nan")


class FeatureWorth(msgspec.Struct, frozen=True, kw_only=True):
    """Say what a feature is worth. `gain` is its share; losses are nats of the tradable heads' mean log-loss, NaN without labels.

    `loss_more` is the mean over repeats, `loss_spread` their standard deviation; `relabelled` the share of rows whose regime changes. NaN
    where no rows were given.
    """

    feature: str
    gain: float
    loss_more: float = _NAN
    loss_spread: float = _NAN
    relabelled: float = _NAN


def gain_shares(spec: BundleSpec) -> dict[str, float]:
    """Return each feature's share of all gain, the largest first. A product's gain goes to its factors in equal parts.

    What earlier stages said (`hmm:`, `flow:`, `regime:`) stays under its own name.
    """
    products = products_of(spec.products)
    found: dict[str, float] = {}
    for column, gain in spec.importance.items():
        plain = column.removeprefix("window:")
        factors = products[plain][0] if plain in products else (plain,)
        for factor in factors:
            found[factor] = found.get(factor, 0.0) + gain / len(factors)
    total = sum(found.values()) or 1.0
    return {name: gain / total for name, gain in sorted(found.items(), key=lambda item: (-item[1], item[0]))}


def worth_by_gain(spec: BundleSpec) -> tuple[FeatureWorth, ...]:
    """Return what training said, without any rows."""
    return tuple(FeatureWorth(feature=name, gain=share) for name, share in gain_shares(spec).items())


def worth_on(
    bundle: Bundle,
    sources: Sequence[Rows],
    parameters: RegimeParameters,
    progress: Callable[[str, int, int], None],
    repeats: int = REPEATS,
) -> tuple[FeatureWorth, ...]:
    """Return what each feature is worth on some rows, what costs most to lose first.

    Cost: `repeats` decisions per row and feature, some 40 µs each.
    """
    gains = gain_shares(bundle.spec)
    names = features_of(bundle.spec)
    judged = [_Judged(bundle, rows, parameters) for rows in sources]
    base = _mean_loss(judged, [one.whole for one in judged])
    found = []
    for number, name in enumerate(names):
        progress("features", number, len(names))
        rng = np.random.default_rng((_SEED, FEATURE_INDEX[name]))
        losses, changed = [], []
        for _ in range(repeats):
            shuffled = [one.without(name, rng) for one in judged]
            losses.append(_mean_loss(judged, [up for up, _ in shuffled]) - base)
            changed.append(float(np.mean(np.concatenate([is_other for _, is_other in shuffled]))))
        found.append(
            FeatureWorth(
                feature=name,
                gain=gains.get(name, 0.0),
                loss_more=float(np.mean(losses)),
                loss_spread=float(np.std(losses)),
                relabelled=float(np.mean(changed)),
            )
        )
    progress("features", len(names), len(names))
    return tuple(sorted(found, key=lambda one: (-np.nan_to_num(one.loss_more), -one.relabelled, one.feature)))


class _Judged:
    """Hold one source, what the bundle says of it, and the labels of its tradable heads by the heads' places."""

    def __init__(self, bundle: Bundle, rows: Rows, parameters: RegimeParameters) -> None:
        self._bundle, self._rows, self._parameters = bundle, rows, parameters
        said = ask(bundle, rows, parameters)
        self.whole, self._label = said.up, said.label
        self.labels = {place: labels_of(rows, head.horizon_s, _EVERY_S) for place, head in enumerate(bundle.spec.heads) if head.tradable}

    def without(self, feature: str, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Return what is said with a feature's rows permuted, and at which rows the regime is another."""
        values = self._rows.values.copy()
        column = FEATURE_INDEX[feature]
        values[:, column] = rng.permutation(values[:, column])
        said = ask(self._bundle, msgspec.structs.replace(self._rows, values=values), self._parameters)
        return said.up, said.label != self._label


def _mean_loss(judged: Sequence[_Judged], ups: Sequence[NDArray[np.float64]]) -> float:
    """Return the log-loss averaged over heads; rows count that had a forecast with every feature in its place."""
    losses = []
    places: Mapping[int, object] = judged[0].labels if judged else {}
    for place in places:
        p, outcome, weight = [], [], []
        for one, up in zip(judged, ups, strict=True):
            labels = one.labels[place]
            known = np.isfinite(one.whole[labels.rows, place])
            # A permuted gap may take a forecast away: saying nothing is as good as a coin.
            p.append(np.nan_to_num(up[labels.rows, place][known], nan=0.5))
            outcome.append((labels.sign > 0).astype(np.float64)[known])
            weight.append(labels.uniqueness[known])
        weights = np.concatenate(weight)
        if weights.sum() > 0.0:
            losses.append(log_loss(np.concatenate(p), np.concatenate(outcome), weights))
    return float(np.mean(losses)) if losses else _NAN
