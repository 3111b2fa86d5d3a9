"""Train everything: each fold's stages on its own train part, calibration on what the folds said of rows they had not seen, then the whole.

Nothing is scored on rows that any part of its model was fitted on: the hidden Markov stage, scales, column choice and forests of a fold see
the fold's train rows only. No forest learns from what a detector says of worlds that it has seen (`stacked`).
"""

from collections.abc import Callable, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from smartmoney.core.domain.signals import Regime
from smartmoney.core.models.bundle import Calibrator, HiddenMarkov
from smartmoney.learning.boosting.models import FlowDetector, HeadModel, Layout, RegimeClassifier, softmax
from smartmoney.learning.boosting.trees import Matrix, TrainingRefused, cut
from smartmoney.learning.calibration import (
    Reliability,
    calibrate,
    calibrated_apart,
    fit_temperature,
    reliability,
    reliability_by,
    weighted_auc,
)
from smartmoney.learning.fitting.heads import Calibrating, HeadFacts, HeadRows, by_family, fit_facts, head_rows
from smartmoney.learning.fitting.plan import (
    Fold,
    Recipe,
    Sample,
    check_sources,
    family_folds,
    sample,
    walk_forward_folds,
    whole,
    world_folds,
)
from smartmoney.learning.fitting.regime import RegimeFit, fit_on_champion, fit_on_truth
from smartmoney.learning.fitting.stacked import asked, can_cross, crossed, flow_scores, flow_step, stack, write_flow
from smartmoney.learning.fitting.stages import TruthRows, fit_classifier, fit_detector, fit_head, lacking, layout, truth_rows
from smartmoney.learning.fitting.told import Told, binary_losses, enough, margin_losses, steps_of
from smartmoney.learning.regimes.hmm import FitRefused
from smartmoney.learning.regimes.observations import ObservationRefused
from smartmoney.learning.sets.rows import Rows
from smartmoney.learning.staging import StandingDetector

Floats = NDArray[np.float64]
Progress = Callable[[str, int, int], None]


class HeadResult(msgspec.Struct, frozen=True, kw_only=True):
    """Hold a head, what was fitted on its out-of-fold rows, and how good those were.

    `auc` and `quality` are of families that a fold had not seen, or of later time; `fresh_…` of fresh worlds of families that it had
    seen, None for recordings. `by_regime` is `quality` in each regime that holds enough independent rows. `effective` is independent rows
    that folds foretold, `whole` all of them; `left_out` says why folds of the first kind, by number, could not be fitted.
    """

    model: HeadModel
    facts: HeadFacts
    auc: float
    quality: Reliability
    by_regime: dict[str, Reliability]
    fresh_auc: float | None
    fresh_quality: Reliability | None
    labels: int
    effective: float
    whole: float
    left_out: dict[int, str]


class RegimeResult(msgspec.Struct, frozen=True, kw_only=True):
    """Hold classifier and detector, and how good they were out of fold. F1 in the order of `Regime`."""

    classifier: RegimeClassifier
    detector: FlowDetector
    f1: tuple[float, ...]
    macro_f1: float
    filter_macro_f1: float
    log_loss: float
    base_log_loss: float
    quality: Reliability
    detector_auc: float
    detector_direction: float
    detector_quality: Reliability


class Learned(msgspec.Struct, frozen=True, kw_only=True):
    """Hold everything that a training made. `regime` is None where there was no truth; then the champion's forests stay.

    `stage_kept` says why the champion's hidden Markov stage was kept, None where it was fitted anew. `flow` is what detectors that had not
    seen a row said of it, calibrated, `(rows of a sample, 2)`; None where classifier and heads read no detector that was learned here.
    """

    stage: RegimeFit | None
    stage_kept: str | None
    hmm: HiddenMarkov
    regime: RegimeResult | None
    heads: tuple[HeadResult, ...]
    flow: Matrix | None
    skipped: dict[int, str]
    sources: int
    rows: int
    folds: int
    still: tuple[str, ...] = ()
    """Features that are constant or unknown in every source."""


Published = Callable[[HiddenMarkov], Sequence[NDArray[np.int64]]]


def learn(
    sources: Sequence[Rows],
    recipe: Recipe,
    progress: Progress,
    champion: HiddenMarkov | None = None,
    published: Published | None = None,
    standing: StandingDetector | None = None,
) -> Learned:
    """Train on worlds with truth, or on recordings with the champion's stage and detector to stand on.

    `published` says which regime a champion on another stage publishes at each row of each source: without truth its classifier stays, and
    decisions choose a conformal threshold by what it makes of the stage that is learned here.

    Raises:
        TrainingRefused, FitRefused, ObservationRefused: the rows cannot be learned from; the text says why and what to do.
    """
    has_truth = has_regimes(sources)
    still = check_sources(sources, () if has_truth or champion is None else [one.feature for one in champion.observed])
    folds = folds_of(sources, recipe)
    fresh = world_folds(sources, recipe.world_folds) if has_truth else ()
    told = _OutOfFold(sources, recipe, *((None, None) if has_truth else (published, standing)))
    told.cross((*folds, *fresh))
    count = len(folds) + len(fresh) + 1
    for number, (kind, fold) in enumerate([*((told.unseen, one) for one in folds), *((told.fresh, one) for one in fresh)]):
        progress("folds", number, count)
        told.take(kind, fold, champion, has_truth=has_truth)
    progress("folds", count - 1, count)
    learned = told.finish(whole(sources), champion, has_truth=has_truth, folds=len(folds))
    progress("folds", count, count)
    return msgspec.structs.replace(learned, still=still)


def has_regimes(sources: Sequence[Rows]) -> bool:
    """Tell whether some source knows its regimes."""
    return any(one.truth is not None and bool((one.truth.regime >= 0).any()) for one in sources)


def folds_of(sources: Sequence[Rows], recipe: Recipe) -> tuple[Fold, ...]:
    """Return the folds of a training: by family with truth, forward in time without.

    Raises:
        TrainingRefused: there is only one family.
    """
    if not has_regimes(sources):
        return walk_forward_folds(sources, recipe.folds)
    worlds = family_folds([one for one in sources if "target" not in one.extras], recipe.folds)
    windows = [place for place, one in enumerate(sources) if "target" in one.extras]
    if not windows:
        return worlds
    # Batches of oracle worlds differ by seed within a kind; each fold leaves out some batches.
    made = []
    for number, fold in enumerate(worlds):
        plain = iter(zip(fold.train_until, fold.test_from, fold.test_until, strict=True))
        rows = []
        for place, _ in enumerate(sources):
            is_out = place in windows and windows.index(place) % len(worlds) == number
            template = (0, 0, 2**62) if is_out else (2**62, 2**62, 2**62)
            rows.append(template if place in windows else next(plain))
        train_until, test_from, test_until = zip(*rows, strict=True)
        made.append(Fold(train_until=train_until, test_from=test_from, test_until=test_until))
    return tuple(made)


class _OutOfFold:
    """Collect what each fold says of its test rows. Row numbers are those of a sample, the same for every fold.

    `unseen` are the folds that leave out families, or walk forward: skill is told by them. `fresh` leave out worlds of every family.
    Classifier and detector are calibrated on those, for the bundle itself has learned from every family; heads, which money follows, on
    both, for the market that they will be asked about is none of them.
    """

    def __init__(
        self, sources: Sequence[Rows], recipe: Recipe, published: Published | None = None, standing: StandingDetector | None = None
    ) -> None:
        self._sources, self._recipe, self._publish, self._standing = sources, recipe, published, standing
        self._crossed: dict[Fold, tuple[Fold, ...]] = {}
        self._is_stacked: bool | None = None
        self._published: Sequence[NDArray[np.int64]] | None = None
        self.unseen, self.fresh = Told(), Told()
        self._head_rows: dict[int, HeadRows] = {}
        self._truth: TruthRows | None = None

    def cross(self, folds: Sequence[Fold]) -> None:
        """Divide what each fold learns from into the parts of which each other's detectors speak."""
        self._crossed = {one: crossed(self._sources, one, self._recipe.flow_parts) for one in folds}

    def take(self, told: Told, fold: Fold, champion: HiddenMarkov | None, *, has_truth: bool) -> None:
        """Fit on a fold's train part and note what it says of the test part; a head whose part of it is too small is left out of it."""
        told.folds += 1
        made, hmm, _ = self._staged(fold, champion, has_truth=has_truth)
        shape, test = layout(hmm, self._recipe), made.test(fold)
        if not test.any():
            return
        regimes = made.x[:, shape.columns(("hmm:",), features=False)][:, :5].astype(np.float64)
        told.take_filter(test, regimes[test])
        if has_truth:
            self._take_regime(told, made, fold, shape, test)
        settings = self._recipe.head_trees()
        for horizon in self._recipe.horizons_s:
            rows = self._rows_of(made, horizon)
            usable = made.train(fold, horizon)
            try:
                head = fit_head(made, rows, usable, shape, settings, horizon)
            except TrainingRefused as refused:
                chosen = usable[rows.at]
                told.left_out.setdefault(horizon, {})[told.folds] = lacking(rows.up[chosen], rows.weight[chosen]) or str(refused)
                continue
            sizes = [msgspec.structs.replace(head, grown=cut(head.grown, n)) for n in steps_of(settings.rounds)]
            told.take_up(horizon, test, np.stack([one.raw(made.x[test]) for one in sizes]))

    def finish(self, fold: Fold, champion: HiddenMarkov | None, *, has_truth: bool, folds: int) -> Learned:
        """Fit on everything, with what the folds said as calibration."""
        made, hmm, stage = self._staged(fold, champion, has_truth=has_truth)
        self._published = None if self._publish is None else self._publish(hmm)
        shape = layout(hmm, self._recipe)
        everything = np.ones(len(made.row), np.bool_)
        regime = self._regime(made, everything, shape) if has_truth else None
        lacks = {horizon: self._lacking(self._rows_of(made, horizon), horizon) for horizon in self._recipe.horizons_s}
        heads = [self._head(made, everything, shape, horizon) for horizon, lack in lacks.items() if not lack]
        return Learned(
            stage=stage[0],
            stage_kept=stage[1],
            hmm=hmm,
            regime=regime,
            heads=tuple(heads),
            flow=made.x[:, shape.columns(("flow:",), features=False)] if regime is not None and self._stacks(made) else None,
            skipped={horizon: f"{horizon} s ahead: {lack}; give a longer recording" for horizon, lack in lacks.items() if lack},
            sources=len(self._sources),
            rows=sum(len(one) for one in self._sources),
            folds=folds,
        )

    @property
    def _told(self) -> tuple[Told, ...]:
        return (self.unseen,) if self.fresh.is_empty else (self.unseen, self.fresh)

    @property
    def _known(self) -> Told:
        """Return the folds that knew the families which they were tested on, where there are some."""
        return self._told[-1]

    @property
    def _calibrating(self) -> tuple[tuple[Told, float], ...]:
        """Return the kinds of folds that calibrate heads, each with its share of the weight."""
        share = self._recipe.unseen_share
        return ((self.unseen, 1.0),) if self.fresh.is_empty else ((self.unseen, share), (self.fresh, 1.0 - share))

    def _staged(
        self, fold: Fold, champion: HiddenMarkov | None, *, has_truth: bool
    ) -> tuple[Sample, HiddenMarkov, tuple[RegimeFit | None, str | None]]:
        staged = [
            0 if one.family in self._recipe.stage_without else until for one, until in zip(self._sources, fold.train_until, strict=True)
        ]
        usable = [one.times < until for one, until in zip(self._sources, staged, strict=True)]
        fitted, kept = fit_stage(self._sources, usable, self._recipe, champion, has_truth=has_truth)
        hmm = fitted.hmm if fitted is not None else champion
        assert hmm is not None
        made = sample(self._sources, hmm, self._recipe, self._standing)
        return made, hmm, (fitted, kept)

    def _stacks(self, made: Sample) -> bool:
        """Tell whether classifier and heads read the detector: in all folds and in the bundle, or nowhere."""
        if self._is_stacked is None:
            rows = self._truth_of(made)
            self._is_stacked = all(can_cross(made, rows, inner) for inner in self._crossed.values())
        return self._is_stacked

    def _rows_of(self, made: Sample, horizon: int) -> HeadRows:
        if horizon not in self._head_rows:
            self._head_rows[horizon] = head_rows(self._sources, made, horizon, self._recipe.every_s, self._recipe.half_life_s)
        return self._head_rows[horizon]

    def _lacking(self, rows: HeadRows, horizon: int) -> str:
        """Say what a head lacks: labels in all, or labels that the folds which could be fitted foretold, on which it is calibrated."""
        if lack := lacking(rows.up, rows.weight):
            return lack
        for told in self._told:
            known = np.isfinite(told.up[horizon][-1, rows.at]) if horizon in told.up else np.zeros(len(rows.at), np.bool_)
            if lack := lacking(rows.up[known], rows.weight[known]):
                return f"{lack} among those that folds foretold, to be calibrated on; there are {rows.effective:.1f} in all"
        return ""

    def _family_of(self, made: Sample) -> NDArray[np.int64]:
        """Return each row's family by number. Recordings are of one: they are the market that is asked about, in whatever pieces."""
        if self.fresh.is_empty:
            return np.zeros(len(made.source), np.int64)
        names = list(dict.fromkeys(one.family for one in self._sources))
        return np.array([names.index(one.family) for one in self._sources])[made.source]

    def _truth_of(self, made: Sample) -> TruthRows:
        if self._truth is None:
            self._truth = truth_rows(self._sources, made, self._recipe.every_s)
        return self._truth

    def _take_regime(self, told: Told, made: Sample, fold: Fold, shape: Layout, test: NDArray[np.bool_]) -> None:
        rows, usable = self._truth_of(made), made.train(fold, 0.0)
        settings = self._recipe.detector_trees()
        flow = asked(fit_detector(made, rows, usable, shape, settings), made.x[test], settings.rounds)
        told.take_flow(test, flow)
        if self._stacks(made):
            stack(made, rows, self._crossed[fold], shape, self._recipe, test, flow)
        settings = self._recipe.classifier_trees()
        classifier = fit_classifier(made, rows, usable, shape, settings)
        x = made.x[test]
        sizes = [msgspec.structs.replace(classifier, grown=cut(classifier.grown, n)) for n in steps_of(settings.rounds)]
        told.take_margins(test, np.stack([one.margins(x) for one in sizes]))

    def _regime(self, made: Sample, everything: NDArray[np.bool_], shape: Layout) -> RegimeResult:
        rows = self._truth_of(made)
        step, rounds = self._classifier_size(rows)
        at, p, y, weight = self._classified(rows, step, self.unseen)
        scores = f1_scores(p.argmax(axis=1), y, weight)
        top = p.argmax(axis=1)
        share = np.bincount(y, weight, 5) / weight.sum()
        size, flow_rounds = self._detector_size(rows)
        calibrator, auc, direction, flow_quality = self._flow_facts(made, rows, size)
        if self._stacks(made):
            assert self._known.flow is not None
            write_flow(made, shape, calibrator, self._known.flow[size])
        classifier = fit_classifier(made, rows, everything, shape, self._recipe.classifier_trees(), rounds)
        detector = fit_detector(made, rows, everything, shape, self._recipe.detector_trees(), flow_rounds)
        assert self.unseen.filtered is not None
        return RegimeResult(
            classifier=msgspec.structs.replace(classifier, temperature=self._temperature(rows, step)),
            detector=msgspec.structs.replace(detector, calibrator=calibrator),
            f1=tuple(scores.tolist()),
            macro_f1=float(scores.mean()),
            filter_macro_f1=float(f1_scores(self.unseen.filtered[at].argmax(axis=1), y, weight).mean()),
            log_loss=float(np.average(-np.log(np.maximum(p[np.arange(len(y)), y], 1e-9)), weights=weight)),
            base_log_loss=float(-(share[share > 0] * np.log(share[share > 0])).sum()),
            quality=reliability(p.max(axis=1), (top == y).astype(np.float64), weight, made.blocks(at, 0.0)),
            detector_auc=auc,
            detector_direction=direction,
            detector_quality=flow_quality,
        )

    def _classifier_size(self, rows: TruthRows) -> tuple[int, int]:
        """Return the step and the rounds of the classifier that are enough."""
        known = rows.regime >= 0
        losses = []
        for told in self._told:
            assert told.margins is not None
            losses.append(margin_losses(told.margins[:, rows.at[known]], rows.regime[known], rows.weight[known]))
        step = enough(losses, float(rows.weight[known].sum()))
        return step, steps_of(self._recipe.classifier_trees().rounds)[step]

    def _detector_size(self, rows: TruthRows) -> tuple[int, int]:
        step = flow_step(rows, [told.flow for told in self._told if told.flow is not None])
        return step, steps_of(self._recipe.detector_trees().rounds)[step]

    def _temperature(self, rows: TruthRows, step: int) -> float:
        margins = self._known.margins
        assert margins is not None
        known = (rows.regime >= 0) & np.isfinite(margins[step, rows.at, 0])
        return fit_temperature(margins[step, rows.at[known]], rows.regime[known], rows.weight[known])

    def _classified(self, rows: TruthRows, step: int, told: Told) -> tuple[NDArray[np.int64], Floats, NDArray[np.int64], Floats]:
        """Return rows of the sample that folds classified, their probabilities with the bundle's temperature, regimes and weights."""
        assert told.margins is not None
        known = (rows.regime >= 0) & np.isfinite(told.margins[step, rows.at, 0])
        at = rows.at[known]
        p = softmax(told.margins[step, at] / self._temperature(rows, step))
        return at, p, rows.regime[known], rows.weight[known]

    def _flow_facts(self, made: Sample, rows: TruthRows, step: int) -> tuple[Calibrator, float, float, Reliability]:
        """Return the detector's calibrator, AUC, share of right sides where it is surest, and reliability, on full markets only."""
        fitted_on, *fitted = self._flow_scores(rows, step, self._known)
        calibrator = calibrate(*fitted)
        chosen, score, came, weight = self._flow_scores(rows, step, self.unseen)
        count = len(score) // 2
        flow, at = np.column_stack((score[:count], score[count:])), rows.at[chosen]
        buying, selling = rows.buying[chosen], rows.selling[chosen]
        sure = np.argsort(-np.abs(flow[:, 0] - flow[:, 1]))[: max(1, int(0.05 * count))]
        one_sided = sure[buying[sure] != selling[sure]]
        right = (flow[:, 0] > flow[:, 1])[one_sided] == buying[one_sided]
        groups = np.tile(made.group[at], 2)
        # The same rows, as the folds that calibrate scored them; a row that they did not score teaches nothing.
        apart = np.full((2, len(rows.at)), np.nan)
        apart[:, fitted_on] = fitted[0].reshape(2, -1)
        p = calibrated_apart(apart[:, chosen].ravel(), came, weight, groups, judged=score)
        quality = reliability(p, came, weight, np.tile(made.blocks(at, 0.0), 2))
        return calibrator, weighted_auc(score, came, weight), float(right.mean()) if len(right) else float("nan"), quality

    def _flow_scores(self, rows: TruthRows, step: int, told: Told) -> tuple[NDArray[np.bool_], Floats, Floats, Floats]:
        assert told.flow is not None
        return flow_scores(rows, told.flow[step])

    def _head(self, made: Sample, everything: NDArray[np.bool_], shape: Layout, horizon: int) -> HeadResult:
        rows = self._rows_of(made, horizon)
        losses = [binary_losses(told.up[horizon][:, rows.at], rows.up, rows.weight) for told in self._told]
        unseen_at = np.isfinite(self.unseen.up[horizon][-1, rows.at])
        step = enough(losses, float(rows.weight[unseen_at].sum()))
        settings = self._recipe.head_trees()
        family, groups = self._family_of(made)[rows.at], made.group[rows.at]
        told = Calibrating(
            raw_up=tuple(one.up[horizon][step, rows.at] for one, _ in self._calibrating),
            regime=tuple(self._regimes(made, one)[rows.at] for one, _ in self._calibrating),
            share=tuple(share for _, share in self._calibrating),
        )
        blocks = made.blocks(rows.at, horizon)
        facts = fit_facts(told, rows, made, family)
        model = fit_head(made, rows, everything, shape, settings, horizon, steps_of(settings.rounds)[step])
        unseen = self.unseen.up[horizon][step, rows.at]
        known = np.isfinite(unseen)
        # Of a family that no fold of theirs has seen calibrators must not know either.
        judged = _judged(told, unseen, rows, family, groups if self.fresh.is_empty else family)
        fresh = None if self.fresh.is_empty else self.fresh.up.get(horizon)
        return HeadResult(
            model=msgspec.structs.replace(model, calibrator=facts.calibrator),
            facts=facts,
            auc=weighted_auc(unseen, rows.up, rows.weight),
            quality=reliability(*judged, blocks),
            by_regime=reliability_by(*judged, blocks, told.regime[0], [one.value for one in Regime]),
            fresh_auc=None if fresh is None else weighted_auc(fresh[step, rows.at], rows.up, rows.weight),
            fresh_quality=None if fresh is None else reliability(*_judged(told, fresh[step, rows.at], rows, family, groups), blocks),
            labels=int(known.sum()),
            effective=float(rows.weight[known].sum()),
            whole=rows.effective,
            left_out=self.unseen.left_out.get(horizon, {}),
        )

    def _regimes(self, made: Sample, told: Told) -> NDArray[np.int64]:
        """Return the regime of each row of the sample: the published one where it is known, else the likeliest that folds said."""
        if self._published is None:
            return told.regimes(-1)
        return np.concatenate([one[made.row[made.source == place]] for place, one in enumerate(self._published)])


def _judged(
    told: Calibrating, raw: Floats, rows: HeadRows, family: NDArray[np.int64], apart: NDArray[np.int64]
) -> tuple[Floats, Floats, Floats]:
    """Return raw probabilities calibrated as the head is, but without anything of the row's part of `apart`, what came, and weights."""
    kinds = len(told.share)
    judged = np.tile(np.maximum(raw, 1.0 - raw), kinds)
    weights = told.weights(rows.weight, family)
    found = calibrated_apart(told.confidence, told.right(rows.up), weights, np.tile(apart, kinds), judged=judged)[: len(raw)]
    sure = np.clip(found, 0.5, 1.0)
    p = np.where(raw >= 0.5, sure, 1.0 - sure)
    return p, rows.up, by_family(np.where(np.isfinite(raw), rows.weight, 0.0), family)


def fit_stage(
    sources: Sequence[Rows], usable: Sequence[NDArray[np.bool_]], recipe: Recipe, champion: HiddenMarkov | None, *, has_truth: bool
) -> tuple[RegimeFit | None, str | None]:
    """Fit the hidden Markov stage; without truth on the champion's, which stays where the fit is refused (second value: why).

    Raises:
        FitRefused: there is neither truth nor a champion, or a fit on truth failed.
    """
    if has_truth:
        return fit_on_truth(sources, usable, recipe.hmm_components, recipe.hmm_rows, recipe.seed), None
    if champion is None:
        raise FitRefused("without a synthetic market's truth the regime part needs a champion to stand on; train with --built-in first")
    try:
        return fit_on_champion(sources, usable, champion, recipe.hmm_rows, recipe.seed), None
    except (FitRefused, ObservationRefused) as refused:
        return None, str(refused)


def f1_scores(said: NDArray[np.int64], truth: NDArray[np.int64], weight: Floats, classes: int = 5) -> Floats:
    """Return each class's F1, weighted; 0 where it is never said right."""
    found = np.zeros(classes)
    for k in range(classes):
        right = weight[(said == k) & (truth == k)].sum()
        total = weight[said == k].sum() + weight[truth == k].sum()
        found[k] = 2.0 * right / total if total > 0.0 else 0.0
    return found
