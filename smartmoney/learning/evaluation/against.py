"""Every part of the skill table that a bundle has to do with, as contests of two bundles on the same worlds (`paired`).

Spoofs by features, recordings and the learning curve are learned anew whatever the bundle, so there is nothing to compare in them.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from smartmoney.core.domain.signals import Regime
from smartmoney.core.models.bundle import Bundle
from smartmoney.core.regime.parameters import RegimeParameters
from smartmoney.learning.calibration import Reliability
from smartmoney.learning.calibration_error import rooted
from smartmoney.learning.evaluation.delay import Rehearsed, alarms_of, everything, ratio_of, rehearsals
from smartmoney.learning.evaluation.evaluate import Evaluation, Heard, HeldOut, evaluate, listen
from smartmoney.learning.evaluation.filter_score import paired_counts, share_of
from smartmoney.learning.evaluation.flow import Windows, efficiency, is_scored, windows_of
from smartmoney.learning.evaluation.nulls import pbos
from smartmoney.learning.evaluation.paired import RESAMPLES, Contest, Difference, counts_of, judge
from smartmoney.learning.evaluation.regime_labels import f1_of, macro_f1, scored_labels
from smartmoney.learning.evaluation.trades import DAY_S, Traded
from smartmoney.learning.evaluation.traps import LABEL, OF_A_MODEL, score_traps
from smartmoney.learning.evaluation.worlds import Forecasts, forecasts_of
from smartmoney.learning.sets.families import is_unseen
from smartmoney.simulation.oracle_report import auc

Floats = NDArray[np.float64]
Picks = tuple[NDArray[np.int64], NDArray[np.int64]]
Hours = tuple[Sequence[int], Sequence[int]]


class Contender(msgspec.Struct, frozen=True, kw_only=True):
    """Be one of the two: a bundle, the held-out worlds with what it traded on them, and what it says of them."""

    bundle: Bundle
    held: HeldOut
    heard: Heard


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """Hold both evaluations on the same worlds, and how much each number of the first differs from the other's."""

    first: Evaluation
    other: Evaluation
    differences: tuple[Difference, ...]


def compare(
    bundles: tuple[Bundle, Bundle],
    held: tuple[HeldOut, HeldOut],
    parameters: RegimeParameters,
    *,
    suite: str,
    holdout_runs: tuple[int, int],
    permute: bool = False,
    resamples: int = RESAMPLES,
) -> Compared:
    """Score two bundles on the same worlds; `permute` also measures what each feature is worth to the first."""
    first, other = (
        Contender(bundle=bundle, held=worlds, heard=listen(bundle, parameters, worlds))
        for bundle, worlds in zip(bundles, held, strict=True)
    )
    scores = [
        evaluate(one.bundle, parameters, one.held, suite=suite, holdout_runs=runs, permute=permute and one is first, heard=one.heard)
        for one, runs in zip((first, other), holdout_runs, strict=True)
    ]
    return Compared(first=scores[0], other=scores[1], differences=differences(first, other, resamples))


def differences(first: Contender, other: Contender, resamples: int = RESAMPLES) -> tuple[Difference, ...]:
    """Return how much each number differs. Both must have been given the same worlds. Cost: a few seconds for each hour of ten worlds."""
    return tuple(one for contest in _contests(first, other) for one in judge(contest, resamples))


def _contests(first: Contender, other: Contender) -> Iterator[Contest[Any]]:
    if first.heard.windows:
        yield _flow(first.heard, other.heard)
    watches = [_watches(one.heard) for one in (first, other)]
    # A detector that says nothing has no watch: then there is nothing to compare.
    if watches[0] and [one.kind for one in watches[0]] == [one.kind for one in watches[1]]:
        yield _delays(watches[0], watches[1])
    if first.heard.traps:
        yield _traps(first.heard, other.heard)
    if first.heard.worlds:
        yield _regimes(first, other)
        yield from _heads(first, other)
    if first.held.null_trades and other.held.null_trades:
        yield _nulls(first, other)
        yield overfittings(_NOTHING, *(np.array(pbos(one.bundle, one.heard.nulls)) for one in (first, other)))
    if first.held.planted_trades and other.held.planted_trades:
        yield _planted(first, other)
        yield overfittings(_PLANTED, *(np.array(pbos(one.bundle, one.heard.planted)) for one in (first, other)))


def _flow(first: Heard, other: Heard) -> Contest[list[Picks]]:
    """Windows with a target and without are drawn apart, so that both are always there."""
    kinds = list(first.windows)
    mine, others = ([windows_of(each.windows[kind]) for kind in kinds] for each in (first, other))
    places = [(np.flatnonzero(one.has_target), np.flatnonzero(~one.has_target)) for one in mine]
    scored = [is_scored(auc(one.oracle[empty], one.oracle[there])) for one, (there, empty) in zip(mine, places, strict=True)]

    def draw(rng: np.random.Generator) -> list[Picks]:
        return [(rng.choice(there, len(there)), rng.choice(empty, len(empty))) for there, empty in places]

    def values(windows: Sequence[Windows]) -> Callable[[list[Picks]], list[float]]:
        def of(picks: list[Picks]) -> list[float]:
            areas, shares = [], []
            for one, is_so, (there, empty) in zip(windows, scored, picks, strict=True):
                areas.append(auc(one.model[empty], one.model[there]))
                best = auc(one.oracle[empty], one.oracle[there])
                shares.append(efficiency(areas[-1], best) if is_so else math.nan)
            return [*areas, *shares, _mean(areas), _mean([share for share, is_so in zip(shares, scored, strict=True) if is_so])]

        return of

    areas_of = [f"{kind}: AUC" for kind in kinds]
    return Contest(
        part="planted flow",
        names=(*areas_of, *(f"{kind}: efficiency" for kind in kinds), "all kinds: AUC", "all kinds: efficiency"),
        first=values(mine),
        other=values(others),
        whole=places,
        draw=draw,
        units=sum(len(one.model) for one in mine),
        shares=(*areas_of, "all kinds: AUC"),
    )


def _watches(heard: Heard) -> list[Rehearsed]:
    return rehearsals([one for rows in heard.windows.values() for one in rows], heard.quiet, heard.targets)


def _delays(first: Sequence[Rehearsed], other: Sequence[Rehearsed]) -> Contest[list[Hours]]:
    def draw(rng: np.random.Generator) -> list[Hours]:
        return [
            (rng.integers(0, len(hours), len(hours)).tolist(), rng.integers(0, len(targets), len(targets)).tolist())
            for hours, targets in map(everything, first)
        ]

    def values(kinds: Sequence[Rehearsed]) -> Callable[[list[Hours]], list[float]]:
        def of(picks: list[Hours]) -> list[float]:
            alarms = [alarms_of(one, *pick) for one, pick in zip(kinds, picks, strict=True)]
            caught = [np.isfinite(one[0]) for one in alarms]
            ratios = [ratio_of([one]) for one in alarms]
            return [*ratios, *(float(one.mean()) for one in caught), ratio_of(alarms), float(np.concatenate(caught).mean())]

        return of

    names = [one.kind for one in first]
    noticed = [f"{kind}: noticed" for kind in names]
    return Contest(
        part="alarm",
        names=(*(f"{kind}: times the oracle's delay" for kind in names), *noticed,
               "all kinds: times the oracle's delay", "all kinds: noticed"),
        first=values(first),
        other=values(other),
        whole=[everything(one) for one in first],
        draw=draw,
        units=sum(len(one.sides) for one in first),
        shares=(*noticed, "all kinds: noticed"),
    )  # fmt: skip


def _traps(first: Heard, other: Heard) -> Contest[Sequence[int]]:
    worlds = len(first.traps)

    def values(heard: Heard) -> Callable[[Sequence[int]], list[float]]:
        def of(pick: Sequence[int]) -> list[float]:
            found = score_traps([heard.traps[place] for place in pick], (OF_A_MODEL,))
            shares = {} if found is None else {one.name: one.share for one in found.warned_by}
            return [shares.get(name, math.nan) for name in (OF_A_MODEL, LABEL)]

        return of

    names = (f"warned of in time by {OF_A_MODEL}", f"warned of in time by {LABEL}")
    return Contest(
        part="traps",
        names=names,
        shares=names,
        first=values(first),
        other=values(other),
        whole=range(worlds),
        draw=lambda rng: rng.integers(0, worlds, worlds).tolist(),
        units=worlds,
    )


def _regimes(first: Contender, other: Contender) -> Contest[Floats]:
    """Both are held against the same filters, where worlds have one."""
    worlds = len(first.heard.worlds)
    whole, draw = counts_of(worlds)
    filtered = first.held.filtered
    said = filtered.said if filtered is not None else ()
    has_filter = np.array([one is not None for one in said], np.bool_)

    def values(one: Contender) -> Callable[[Floats], list[float]]:
        labels = scored_labels(one.heard.worlds)
        counts = labels.counts(worlds)
        beside = paired_counts(one.heard.worlds, said)

        def of(times: Floats) -> list[float]:
            drawn = np.tensordot(times, counts, axes=1)
            share = [share_of(*(np.tensordot(times[has_filter], each, axes=1) for each in beside))] if has_filter.any() else []
            return [macro_f1(drawn), *f1_of(drawn).tolist(), _error(labels.quality(times), times), *share]

        return of

    names = ("macro F1", *(f"F1 {one.value}" for one in Regime), "calibration error")
    return Contest(
        part="regimes",
        names=(*names, *(["share of the filter's macro F1, at most"] if has_filter.any() else [])),
        shares=names,
        first=values(first),
        other=values(other),
        whole=whole,
        draw=draw,
        units=worlds,
    )


def _heads(first: Contender, other: Contender) -> Iterator[Contest[Floats]]:
    """Forecasts at the horizons that both have: of all worlds, then of families that no training had."""
    unseen = np.array([is_unseen(rows.family) for rows, _ in first.heard.worlds])
    theirs = {head.horizon_s for head in other.bundle.spec.heads}
    for horizon in (head.horizon_s for head in first.bundle.spec.heads if head.horizon_s in theirs):
        mine, others = (forecasts_of(one.bundle, one.heard.worlds, horizon) for one in (first, other))
        yield _forecasts(f"{horizon} s", mine, others, len(unseen))
        if unseen.any():
            # Worlds are numbered anew, so that only these are drawn.
            number = np.cumsum(unseen) - 1
            few = [one.of(unseen[one.world]) for one in (mine, others)]
            few = [msgspec.structs.replace(one, world=number[one.world]) for one in few]
            yield _forecasts(f"{horizon} s, unseen families", few[0], few[1], int(unseen.sum()))


def _forecasts(part: str, first: Forecasts, other: Forecasts, worlds: int) -> Contest[Floats]:
    whole, draw = counts_of(worlds)

    def values(one: Forecasts) -> Callable[[Floats], list[float]]:
        def of(times: Floats) -> list[float]:
            drawn = one.drawn(times)
            quality = drawn.quality()
            return [drawn.auc, _error(quality, times), quality.slope, quality.intercept, quality.skill, quality.log_loss]

        return of

    return Contest(
        part=part,
        names=("AUC", "calibration error", "slope", "intercept", "Brier skill", "log-loss"),
        shares=("AUC", "calibration error"),
        first=values(first),
        other=values(other),
        whole=whole,
        draw=draw,
        units=worlds,
    )


def _nulls(first: Contender, other: Contender) -> Contest[Floats]:
    whole, draw = counts_of(len(first.held.null_trades))

    def values(one: Contender) -> Callable[[Floats], list[float]]:
        opened, normal = (_Sums([getattr(world, name) for world in one.held.null_trades]) for name in ("opened", "normal"))

        def of(times: Floats) -> list[float]:
            return [*opened.a_trade(times), *normal.in_all(times), *normal.a_trade(times)]

        return of

    return Contest(
        part=_NOTHING,
        names=(*_OPENED, *_IN_ALL, *_A_TRADE),
        first=values(first),
        other=values(other),
        whole=whole,
        draw=draw,
        units=len(first.held.null_trades),
    )


def _planted(first: Contender, other: Contender) -> Contest[Floats]:
    whole, draw = counts_of(len(first.held.planted_trades))

    def values(one: Contender) -> Callable[[Floats], list[float]]:
        traded = one.held.planted_trades
        opened, normal = (_Sums([getattr(world, name) for world in traded]) for name in ("opened", "normal"))
        best = np.array([world.oracle.net if world.oracle is not None else math.nan for world in traded])

        def of(times: Floats) -> list[float]:
            oracles = float(times @ best)
            share = float(times @ normal.net) / oracles if oracles > 0.0 else math.nan
            return [share, *opened.a_trade(times), *normal.in_all(times), *normal.a_trade(times)]

        return of

    return Contest(
        part=_PLANTED,
        names=("share of the oracle's net", *_OPENED, *_IN_ALL, *_A_TRADE),
        first=values(first),
        other=values(other),
        whole=whole,
        draw=draw,
        units=len(first.held.planted_trades),
    )


def overfittings(part: str, first: Floats, other: Floats) -> Contest[Floats]:
    """Compare the probabilities of overfitting of worlds, NaN where there is nothing to choose among.

    Worlds in which one of the two has nothing to choose among say nothing of the difference: they are no units of it.
    """
    whole, draw = counts_of(len(first))
    return Contest(
        part=part,
        names=(_OVERFITTING,),
        first=lambda times: [_weighted(first, times)],
        other=lambda times: [_weighted(other, times)],
        whole=whole,
        draw=draw,
        units=int((np.isfinite(first) & np.isfinite(other)).sum()),
        shares=(_OVERFITTING,),
    )


_NOTHING, _PLANTED, _OVERFITTING = "nothing to find", "edge planted", "overfitting"
_OPENED = ("gates forced open: gross a trade, bps", "gates forced open: net a trade, bps")
_IN_ALL = ("net of the account", "trades a day")
_A_TRADE = ("gross a trade, bps", "net a trade, bps")


class _Sums:
    """Hold what each world's trades come to, so that a draw of worlds is a product."""

    def __init__(self, worlds: Sequence[Traded]) -> None:
        self.net = np.array([world.net for world in worlds])
        self._days = np.array([world.seconds for world in worlds]) / DAY_S
        self._trades = np.array([len(world.trades) for world in worlds], np.float64)
        self._gross = np.array([math.fsum(one.gross for one in world.trades) for world in worlds])
        self._earned = np.array([math.fsum(one.net for one in world.trades) for world in worlds])

    def a_trade(self, times: Floats) -> tuple[float, float]:
        """Return gross and net of a trade; NaN where there is none."""
        trades = float(times @ self._trades)
        return (float(times @ self._gross) / trades, float(times @ self._earned) / trades) if trades else (math.nan, math.nan)

    def in_all(self, times: Floats) -> tuple[float, float]:
        """Return the accounts' net, and trades a day."""
        return float(times @ self.net), float(times @ self._trades) / float(times @ self._days)


def _error(quality: Reliability, times: Floats) -> float:
    """Return the error of all worlds as the tables have it; that of a draw has its sign and any number of worlds."""
    return quality.ece if (times == 1.0).all() else rooted(quality.ece_squared)


def _weighted(values: Floats, times: Floats) -> float:
    known = np.isfinite(values) & (times > 0.0)
    return float(np.average(values[known], weights=times[known])) if known.any() else math.nan


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else math.nan
