"""A filter of one law's regimes, learned from samples of that very law: a lower bound of what the public could know of them.

The exact public filter, which knows the generator but not the hidden state, is out of reach in a full market. The generator can be sampled
without limit, though, so its posterior can be learned from samples. A forest of all laws' samples, the stock, says what regimes look like
anywhere; a forest of the law's own goes on from it, with the regimes that the law has, and no others; then, optionally, a forward filter of
the law's own transitions, and a lean towards rare regimes. What it lacks, the exact filter has: enough samples, and everything that the
features do not tell.

Invariants: how it decides is chosen by cross-validation on the worlds that it learns from, by the very score of an evaluation, and never on
others; the same worlds give the same filter, on any machine; what it says of a second depends on nothing later.
"""

import itertools
from collections.abc import Collection, Iterable, Sequence
from typing import TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from smartmoney.core.domain.signals import Regime
from smartmoney.learning.boosting.models import MIRRORED, softmax
from smartmoney.learning.boosting.trees import Grown, Matrix, TreeSettings, cut, grow, margins
from smartmoney.learning.evaluation.regime_labels import WARM_S, macro_f1, scored_labels
from smartmoney.learning.evaluation.said import RegimesSaid
from smartmoney.learning.fitting.stages import TRUTH_TO_REGIME
from smartmoney.learning.sets.mirror import mirror_plan
from smartmoney.learning.sets.rows import Rows
from smartmoney.simulation.scenario import Scenario

Floats = NDArray[np.float64]
One = TypeVar("One")

MEANS_S = (60, 300, 1200)
"""Trailing means of every feature that forests may read beside the features themselves."""
EVERY_S = 10
"""Of a law's own worlds each so manieth second is learned from."""
STOCK_EVERY_S = 20
"""The same of all laws' worlds together."""
_ALIKE_S = 60
"""Truth of neighbouring seconds is the same for about this long; a row is worth its share of that."""
_STOCK = TreeSettings(rounds=120, depth=6, rate=0.1, leaf_rows_min=8.0, columns_max=96, gain_share_min=0.0005)
_OWN = TreeSettings(rounds=60, depth=4, rate=0.1, leaf_rows_min=8.0, columns_max=64, gain_share_min=0.001)
_REGIMES = len(Regime)
_NEVER = 30.0
"""What a regime's margin loses that the law does not have."""


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """Say how a label comes of what the forests say.

    `rounds` of the law's own trees count, after all of the stock; `evidence` is the power of a second's likelihood in the forward filter, 0
    for none (the forests alone); `lean` the power of a regime's frequency that its probability is divided by.
    """

    rounds: int = 30
    evidence: float = 0.0
    lean: float = 0.3


DECISIONS = tuple(
    Decision(rounds=rounds, evidence=evidence, lean=lean)
    for rounds, lean, evidence in itertools.product((30, 60, 15, 0), (0.3, 0.0, 0.6), (0.0, 0.03, 0.1))
)
"""What cross-validation chooses from; of equals the first."""


class Law(msgspec.Struct, frozen=True, kw_only=True):
    """Hold how often each regime holds, how one second's follows from the last one's, `(from, to)`, and which there are at all."""

    share: Floats
    transition: Floats
    has: NDArray[np.bool_]


class Forests(msgspec.Struct, frozen=True, kw_only=True):
    """Hold what was learned of a law: the stock, what goes on from it, the law; a forest is None where there was one regime only."""

    stock: Grown | None
    own: Grown | None
    is_symmetric: bool
    law: Law

    def log_p(self, x: Matrix, rounds: Collection[int]) -> dict[int, Floats]:
        """Return the log of the regimes' probabilities of rows, `(rows, regimes)`, by each of those numbers of the law's own rounds."""
        raised = stock_margins(self.stock, x)
        reflected = mirrored(x) if self.is_symmetric and self.own is not None else x

        def by(own: Grown) -> Floats:
            said = margins(own, x, raised)
            if self.is_symmetric:
                said = 0.5 * (said + margins(own, reflected, raised[:, MIRRORED])[:, MIRRORED])
            return said

        said = {count: raised if self.own is None or not count else by(cut(self.own, count)) for count in rounds}
        return {
            count: np.asarray(np.log(np.maximum(softmax(one - _NEVER * ~self.law.has), 1e-9)), np.float64) for count, one in said.items()
        }


class RegimeFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Say which regime of a law holds, by forests and a way to decide."""

    forests: Forests
    decision: Decision

    def ask(self, rows: Rows) -> RegimesSaid:
        """Return the label of every row, and the regimes' probabilities."""
        rounds, law = self.decision.rounds, self.forests.law
        log_p = self.forests.log_p(columns(rows), (rounds,))[rounds]
        return _said(_posterior(log_p, law, self.decision.evidence), law, self.decision.lean)


def is_symmetric(scenario: Scenario) -> bool:
    """Tell whether a scenario's market is as likely as its mirror, so that a row's mirror teaches as much as the row."""
    return scenario.informed.buy_share == 0.5 and scenario.traps.up_share == 0.5


def learn_stock(worlds: Iterable[Rows]) -> Grown | None:
    """Return the forest of all laws' worlds and their mirrors; None where all are of one regime. Cost: some 0.1 s of a core a world."""
    return _grown(((columns(one), one) for one in worlds), _STOCK, STOCK_EVERY_S, symmetric=True)


def stock_margins(stock: Grown | None, x: Matrix) -> Floats:
    """Return the stock's margins of rows, the same of the mirror with sides changed; zeros without a stock."""
    if stock is None:
        return np.zeros((len(x), _REGIMES))
    return 0.5 * (margins(stock, x) + margins(stock, mirrored(x))[:, MIRRORED])


def learn_filters(
    worlds: Sequence[Rows], stocks: tuple[Grown | None, Grown | None, Grown | None], *, symmetric: bool
) -> tuple[RegimeFilter, RegimeFilter | None]:
    """Learn a law's filter from worlds of it, and one of the first half of them, which decides alike; of a single world there is no half.

    `stocks` are those of all worlds, of each law's first half and of its second (`halves`). How to decide is chosen on what forests of
    either half say of the other. Cost: some 5 s of a core for eight worlds of an hour.
    """
    tables = [(columns(one), one) for one in worlds]
    first, second = halves(tables)
    whole = _forests(tables, stocks[0], symmetric)
    if not first:
        return RegimeFilter(forests=whole, decision=Decision()), None
    parts = (_forests(first, stocks[1], symmetric), _forests(second, stocks[2], symmetric))
    decision = _chosen([(parts[1], *one) for one in first] + [(parts[0], *one) for one in second])
    return RegimeFilter(forests=whole, decision=decision), RegimeFilter(forests=parts[0], decision=decision)


def halves(worlds: Sequence[One]) -> tuple[Sequence[One], Sequence[One]]:
    """Return the first half of a law's worlds and the second, which has one more of an odd number."""
    middle = len(worlds) // 2
    return worlds[:middle], worlds[middle:]


def columns(rows: Rows) -> Matrix:
    """Return the features of each row and their trailing means, NaN left out, `(rows, features * 4)`. Memory: 2.2 kB a row."""
    count, features = rows.values.shape
    found = np.empty((count, features * (1 + len(MEANS_S))), np.float32)
    found[:, :features] = rows.values
    ends = np.arange(1, count + 1)
    begins = [np.maximum(ends - seconds, 0) for seconds in MEANS_S]
    for column in range(features):
        values = rows.values[:, column].astype(np.float64)
        known = np.isfinite(values)
        sums = np.r_[0.0, np.cumsum(np.where(known, values, 0.0))]
        counts = np.r_[0, np.cumsum(known)]
        for place, begin in enumerate(begins, 1):
            there = counts[ends] - counts[begin]
            mean = (sums[ends] - sums[begin]) / np.maximum(there, 1)
            found[:, place * features + column] = np.where(there > 0, mean, np.nan)
    return found


def mirrored(x: Matrix) -> Matrix:
    """Return the columns of rows as they would be if buys were sells."""
    source, sign = mirror_plan()
    parts = [x[:, first : first + len(source)][:, source] * sign for first in range(0, x.shape[1], len(source))]
    return np.concatenate(parts, axis=1)


def regimes_of(rows: Rows) -> NDArray[np.int64]:
    """Return each row's true regime (index of `Regime`), −1 where nobody knows."""
    assert rows.truth is not None
    regime = rows.truth.regime
    return np.asarray(np.where(regime >= 0, TRUTH_TO_REGIME[np.maximum(regime, 0)], -1), np.int64)


def law_of_regimes(worlds: Sequence[Rows]) -> Law:
    """Return how often regimes hold and how they follow each other; what never happened may happen once in a long while."""
    steps, counts = 10.0 * np.eye(_REGIMES) + 0.1, np.zeros(_REGIMES)
    for one in worlds:
        regime = regimes_of(one)
        both = (regime[:-1] >= 0) & (regime[1:] >= 0)
        np.add.at(steps, (regime[:-1][both], regime[1:][both]), 1.0)
        counts += np.bincount(regime[regime >= 0], minlength=_REGIMES)
    share = (counts + 1.0) / (counts + 1.0).sum()
    return Law(share=share, transition=steps / steps.sum(axis=1, keepdims=True), has=counts > 0.0)


def forward(log_likelihood: Floats, law: Law) -> Floats:
    """Return the filtered posterior of every second, `(rows, regimes)`, from the law's frequencies on."""
    likelihood: Floats = np.exp(log_likelihood - log_likelihood.max(axis=1, keepdims=True))
    found = np.empty_like(likelihood)
    belief = law.share
    for row, one in enumerate(likelihood):
        belief = (belief @ law.transition) * one
        belief = belief / belief.sum()
        found[row] = belief
    return found


def _posterior(log_p: Floats, law: Law, evidence: float) -> Floats:
    return forward(evidence * (log_p - np.log(law.share)), law) if evidence > 0.0 else np.asarray(np.exp(log_p), np.float64)


def _said(posterior: Floats, law: Law, lean: float) -> RegimesSaid:
    leaning = np.log(np.maximum(posterior, 1e-12)) - lean * np.log(law.share)
    return RegimesSaid(label=np.where(law.has, leaning, -np.inf).argmax(axis=1), posterior=posterior)


def _forests(tables: Sequence[tuple[Matrix, Rows]], stock: Grown | None, symmetric: bool) -> Forests:
    own = _grown(tables, _OWN, EVERY_S, symmetric=symmetric, stock=stock)
    return Forests(stock=stock, own=own, is_symmetric=symmetric, law=law_of_regimes([rows for _, rows in tables]))


def _grown(
    tables: Iterable[tuple[Matrix, Rows]], settings: TreeSettings, every_s: int, *, symmetric: bool, stock: Grown | None = None
) -> Grown | None:
    """Return a forest of each so manieth second, on from a stock if there is one; None where all are of one regime."""
    parts, labels = [], []
    for table, rows in tables:
        regime = regimes_of(rows)
        at = np.arange(WARM_S, len(rows), every_s)
        at = at[regime[at] >= 0]
        parts.append(table[at])
        labels.append(regime[at])
    x, y = np.concatenate(parts), np.concatenate(labels)
    if len(np.unique(y)) < 2:
        return None
    if symmetric:
        x, y = np.concatenate((x, mirrored(x))), np.concatenate((y, MIRRORED[y]))
    weights = np.full(len(y), every_s / _ALIKE_S / (1 + symmetric))
    return grow(x, y, weights, settings, classes=_REGIMES, base=None if stock is None else stock_margins(stock, x))


def _chosen(asked: Sequence[tuple[Forests, Matrix, Rows]]) -> Decision:
    """Return the decision that scores best on worlds, each asked of forests that have not learned from it."""
    counts = {one.rounds for one in DECISIONS}
    told = [(rows, forests.law, forests.log_p(table, counts)) for forests, table, rows in asked]
    # The forward filter takes the longest, and does not depend on the lean.
    heard = {
        (rounds, evidence): [(rows, law, _posterior(log_p[rounds], law, evidence)) for rows, law, log_p in told]
        for rounds, evidence in {(one.rounds, one.evidence) for one in DECISIONS}
    }

    def score(decision: Decision) -> float:
        worlds = heard[decision.rounds, decision.evidence]
        scored = scored_labels([(rows, _said(posterior, law, decision.lean)) for rows, law, posterior in worlds])
        return macro_f1(scored.counts(len(worlds)).sum(axis=0))

    return max(DECISIONS, key=score)
