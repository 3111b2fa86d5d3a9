"""Train everything: each fold's stages on its own train part, calibration on what the folds said of rows they had not seen, then the whole.

Nothing is scored on rows that any part of its model was fitted on: the hidden Markov stage, scales, column choice and forests of a fold see
the fold's train rows only.
"""

from collections.abc import Callable, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from smartmoney.core.models.bundle import Calibrator, HiddenMarkov
from smartmoney.learning.boosting.models import FlowDetector, HeadModel, Layout, RegimeClassifier, softmax
from smartmoney.learning.boosting.trees import TrainingRefused
from smartmoney.learning.calibration import Reliability, calibrate, calibrated_apart, fit_temperature, reliability, weighted_auc
from smartmoney.learning.fitting.heads import HeadFacts, HeadRows, fit_facts, head_rows, volatility_of
from smartmoney.learning.fitting.plan import Fold, Recipe, Sample, check_sources, family_folds, sample, walk_forward_folds, whole
from smartmoney.learning.fitting.regime import RegimeFit, fit_on_champion, fit_on_truth
from smartmoney.learning.fitting.stages import TruthRows, fit_classifier, fit_detector, fit_head, layout, truth_rows
from smartmoney.learning.regimes.hmm import FitRefused
from smartmoney.learning.regimes.observations import ObservationRefused
from smartmoney.learning.sets.rows import Rows

Floats = NDArray[np.float64]
Progress = Callable[[str, int, int], None]


class HeadResult(msgspec.Struct, frozen=True, kw_only=True):
    """Hold a head, what was fitted on its out-of-fold rows, and how good those were."""

    model: HeadModel
    facts: HeadFacts
    auc: float
    quality: Reliability
    labels: int
    effective: float


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

    `stage_kept` says why the champion's hidden Markov stage was kept, None where it was fitted anew.
    """

    stage: RegimeFit | None
    stage_kept: str | None
    hmm: HiddenMarkov
    regime: RegimeResult | None
    heads: tuple[HeadResult, ...]
    skipped: dict[int, str]
    sources: int
    rows: int
    folds: int


def learn(sources: Sequence[Rows], recipe: Recipe, progress: Progress, champion: HiddenMarkov | None = None) -> Learned:
    """Train on worlds with truth, or on recordings with the champion's stage to stand on.

    Raises:
        TrainingRefused, FitRefused, ObservationRefused: the rows cannot be learned from; the text says why and what to do.
    """
    check_sources(sources)
    has_truth = has_regimes(sources)
    folds = folds_of(sources, recipe)
    told = _OutOfFold(sources, recipe)
    for number, fold in enumerate(folds):
        progress("folds", number, len(folds) + 1)
        told.take(fold, champion, has_truth=has_truth)
    progress("folds", len(folds), len(folds) + 1)
    learned = told.finish(whole(sources), champion, has_truth=has_truth, folds=len(folds))
    progress("folds", len(folds) + 1, len(folds) + 1)
    return learned


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
    """Collect what each fold says of its test rows. Row numbers are those of a sample, the same for every fold."""

    def __init__(self, sources: Sequence[Rows], recipe: Recipe) -> None:
        self._sources, self._recipe = sources, recipe
        self._margins: Floats | None = None
        self._filtered: Floats | None = None
        self._flow: Floats | None = None
        self._up: dict[int, Floats] = {}
        self._regime_of: NDArray[np.int64] | None = None
        self._head_rows: dict[int, HeadRows] = {}
        self._truth: TruthRows | None = None
        self.skipped: dict[int, str] = {}

    def take(self, fold: Fold, champion: HiddenMarkov | None, *, has_truth: bool) -> None:
        """Fit on a fold's train part and note what it says of the test part."""
        made, hmm, _ = self._staged(fold, champion, has_truth=has_truth)
        shape, test = layout(hmm, self._recipe), made.test(fold)
        if not test.any():
            return
        regimes = made.x[:, shape.columns(("hmm:",), features=False)][:, :5].astype(np.float64)
        if self._filtered is None:
            self._filtered = np.full(regimes.shape, np.nan)
        self._filtered[test] = regimes[test]
        if has_truth:
            self._take_regime(made, fold, shape, test)
        if self._regime_of is None:
            self._regime_of = np.full(len(made.row), 4)
        best = regimes.argmax(axis=1) if self._margins is None else np.nan_to_num(self._margins, nan=-9.0).argmax(axis=1)
        self._regime_of[test] = best[test]
        for horizon in self._recipe.horizons_s:
            rows = self._rows_of(made, horizon)
            usable = made.train(fold, horizon)
            if horizon in self.skipped:
                continue
            try:
                head = fit_head(made, rows, usable, shape, self._recipe.head_trees(), horizon)
            except TrainingRefused as refused:
                self.skipped[horizon] = str(refused)
                continue
            found = self._up.setdefault(horizon, np.full(len(made.row), np.nan))
            found[test] = head.raw(made.x[test])

    def finish(self, fold: Fold, champion: HiddenMarkov | None, *, has_truth: bool, folds: int) -> Learned:
        """Fit on everything, with what the folds said as calibration."""
        made, hmm, stage = self._staged(fold, champion, has_truth=has_truth)
        shape = layout(hmm, self._recipe)
        everything = np.ones(len(made.row), np.bool_)
        regime = self._regime(made, everything, shape) if has_truth else None
        heads = []
        for horizon in self._recipe.horizons_s:
            if horizon in self.skipped or horizon not in self._up:
                self.skipped.setdefault(horizon, "no fold had rows to test on; give a longer recording")
                continue
            heads.append(self._head(made, everything, shape, horizon))
        return Learned(
            stage=stage[0],
            stage_kept=stage[1],
            hmm=hmm,
            regime=regime,
            heads=tuple(heads),
            skipped=self.skipped,
            sources=len(self._sources),
            rows=sum(len(one) for one in self._sources),
            folds=folds,
        )

    def _staged(
        self, fold: Fold, champion: HiddenMarkov | None, *, has_truth: bool
    ) -> tuple[Sample, HiddenMarkov, tuple[RegimeFit | None, str | None]]:
        usable = [one.times < until for one, until in zip(self._sources, fold.train_until, strict=True)]
        fitted, kept = fit_stage(self._sources, usable, self._recipe, champion, has_truth=has_truth)
        hmm = fitted.hmm if fitted is not None else champion
        assert hmm is not None
        made = sample(self._sources, hmm, self._recipe)
        return made, hmm, (fitted, kept)

    def _rows_of(self, made: Sample, horizon: int) -> HeadRows:
        if horizon not in self._head_rows:
            self._head_rows[horizon] = head_rows(self._sources, made, horizon, self._recipe.every_s, self._recipe.half_life_s)
        return self._head_rows[horizon]

    def _truth_of(self, made: Sample) -> TruthRows:
        if self._truth is None:
            self._truth = truth_rows(self._sources, made, self._recipe.every_s)
        return self._truth

    def _take_regime(self, made: Sample, fold: Fold, shape: Layout, test: NDArray[np.bool_]) -> None:
        rows, usable = self._truth_of(made), made.train(fold, 0.0)
        classifier = fit_classifier(made, rows, usable, shape, self._recipe.classifier_trees())
        if self._margins is None:
            self._margins = np.full((len(made.row), 5), np.nan)
        self._margins[test] = classifier.margins(made.x[test])
        detector = fit_detector(made, rows, usable, shape, self._recipe.detector_trees())
        flow = np.column_stack(detector.raw(made.x[test]))
        if self._flow is None:
            self._flow = np.full((len(made.row), 2), np.nan)
        self._flow[test] = flow

    def _regime(self, made: Sample, everything: NDArray[np.bool_], shape: Layout) -> RegimeResult:
        rows = self._truth_of(made)
        assert self._margins is not None
        assert self._flow is not None
        assert self._filtered is not None
        known = (rows.regime >= 0) & np.isfinite(self._margins[rows.at, 0])
        at, y, weight = rows.at[known], rows.regime[known], rows.weight[known]
        temperature = fit_temperature(self._margins[at], y, weight)
        p = softmax(self._margins[at] / temperature)
        scores = f1_scores(p.argmax(axis=1), y, weight)
        top = p.argmax(axis=1)
        share = np.bincount(y, weight, 5) / weight.sum()
        calibrator, auc, direction, flow_quality = self._flow_facts(made, rows)
        classifier = fit_classifier(made, rows, everything, shape, self._recipe.classifier_trees())
        detector = fit_detector(made, rows, everything, shape, self._recipe.detector_trees())
        return RegimeResult(
            classifier=msgspec.structs.replace(classifier, temperature=temperature),
            detector=msgspec.structs.replace(detector, calibrator=calibrator),
            f1=tuple(scores.tolist()),
            macro_f1=float(scores.mean()),
            filter_macro_f1=float(f1_scores(self._filtered[at].argmax(axis=1), y, weight).mean()),
            log_loss=float(np.average(-np.log(np.maximum(p[np.arange(len(y)), y], 1e-9)), weights=weight)),
            base_log_loss=float(-(share[share > 0] * np.log(share[share > 0])).sum()),
            quality=reliability(p.max(axis=1), (top == y).astype(np.float64), weight, made.group[at]),
            detector_auc=auc,
            detector_direction=direction,
            detector_quality=flow_quality,
        )

    def _flow_facts(self, made: Sample, rows: TruthRows) -> tuple[Calibrator, float, float, Reliability]:
        """Return the detector's calibrator, AUC, share of right sides where it is surest, and reliability, on full markets only."""
        assert self._flow is not None
        flow = self._flow[rows.at]
        chosen = (rows.weight > 0.0) & np.isfinite(flow[:, 0]) & ~rows.is_window
        if not chosen.any():
            chosen = (rows.weight > 0.0) & np.isfinite(flow[:, 0])
        buying, selling = rows.buying[chosen], rows.selling[chosen]
        score = np.concatenate((flow[chosen, 0], flow[chosen, 1]))
        came = np.concatenate((buying, selling)).astype(np.float64)
        weight = np.concatenate((rows.weight[chosen], rows.weight[chosen])) / 2.0
        calibrator = calibrate(score, came, weight)
        sure = np.argsort(-np.abs(flow[chosen, 0] - flow[chosen, 1]))[: max(1, int(0.05 * chosen.sum()))]
        one_sided = sure[buying[sure] != selling[sure]]
        right = (flow[chosen, 0] > flow[chosen, 1])[one_sided] == buying[one_sided]
        groups = np.tile(made.group[rows.at[chosen]], 2)
        quality = reliability(calibrated_apart(score, came, weight, groups), came, weight, groups)
        return calibrator, weighted_auc(score, came, weight), float(right.mean()) if len(right) else float("nan"), quality

    def _head(self, made: Sample, everything: NDArray[np.bool_], shape: Layout, horizon: int) -> HeadResult:
        rows = self._rows_of(made, horizon)
        raw = self._up[horizon][rows.at]
        assert self._regime_of is not None
        facts = fit_facts(raw, rows, volatility_of(made, rows.at), self._regime_of[rows.at])
        model = fit_head(made, rows, everything, shape, self._recipe.head_trees(), horizon)
        groups = made.group[rows.at]
        right = np.where(raw >= 0.5, rows.up, 1.0 - rows.up)
        sure = np.clip(calibrated_apart(np.maximum(raw, 1.0 - raw), right, rows.weight, groups), 0.5, 1.0)
        p = np.where(raw >= 0.5, sure, 1.0 - sure)
        known = np.isfinite(raw)
        return HeadResult(
            model=msgspec.structs.replace(model, calibrator=facts.calibrator),
            facts=facts,
            auc=weighted_auc(raw, rows.up, rows.weight),
            quality=reliability(p[known], rows.up[known], rows.weight[known], groups[known]),
            labels=int(known.sum()),
            effective=float(rows.weight[known].sum()),
        )


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
