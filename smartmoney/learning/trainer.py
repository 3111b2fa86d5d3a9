"""One training, whole: learn, look for leaks, put together a bundle with its card, and the report of how good it was out of fold.

The bundle is made in memory and checked; who calls writes it, by one rename. A training that is killed or refused leaves nothing behind.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import msgspec
import numpy as np
from numpy.typing import NDArray

from smartmoney.adapters.model_files import assemble
from smartmoney.core.domain.signals import Regime
from smartmoney.core.models.bundle import Bundle, HiddenMarkov, Trained, head_name
from smartmoney.core.models.columns import FROM_DETECTOR
from smartmoney.core.regime.parameters import RegimeParameters
from smartmoney.learning.boosting.models import HeadModel, RegimeClassifier
from smartmoney.learning.boosting.trees import TrainingRefused
from smartmoney.learning.calibration import Reliability
from smartmoney.learning.drift_monitors import Reference, reference_of
from smartmoney.learning.evaluation.said import ask
from smartmoney.learning.fitting.canaries import Canaries, canaries, canary_fold
from smartmoney.learning.fitting.export import parts_of
from smartmoney.learning.fitting.heads import head_rows
from smartmoney.learning.fitting.paths import Paths, combinatorial_paths
from smartmoney.learning.fitting.plan import Recipe, sample
from smartmoney.learning.fitting.run import Learned, Progress, Published, learn
from smartmoney.learning.fitting.stages import layout
from smartmoney.learning.model_card import card_of
from smartmoney.learning.sets.rows import Rows, check_rows
from smartmoney.learning.staging import StandingDetector, standing_of

CANARY_HORIZON_S = 300
_REGIME_NAMES = tuple(one.value for one in Regime)


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Say where the rows come from: venue (`sim` for the built-in market), market, instruments."""

    venue: str
    market: str
    instruments: tuple[str, ...]


class RegimeCalibration(msgspec.Struct, frozen=True, kw_only=True):
    """Say how true a head's probabilities were in the rows of one regime, out of fold."""

    effective: float
    ece: float
    brier: float
    skill: float
    slope: float
    intercept: float


class HeadReport(msgspec.Struct, frozen=True, kw_only=True):
    """Say how good a head was out of fold: of families, or times, that folds had not seen; `fresh_…` of fresh worlds of known families.

    The latter are None for recordings. Calibration was fitted on both, `unseen_share` of the weight on these.
    """

    horizon_s: int
    auc: float
    effective: float
    labels: int
    ece: float
    ece_low: float
    ece_high: float
    slope: float
    skill: float
    log_loss: float
    return_scale: float
    calibration: str
    columns: int
    fresh_auc: float | None
    fresh_ece: float | None
    fresh_slope: float | None
    brier: float
    by_regime: dict[str, RegimeCalibration]
    whole: float
    """Independent labels that there are; `effective` of them are out of fold."""
    left_out: dict[str, str]
    """Folds that were too small to be fitted for this head, by number from 1, and why."""


class TrainingReport(msgspec.Struct, frozen=True, kw_only=True):
    """Say how good a training was, out of fold; what could not be had is NaN or empty."""

    hash: str
    name: str
    sources: int
    rows: int
    folds: int
    unseen_share: float
    has_truth: bool
    stage: str
    naming_margin: float
    occupancy: dict[str, float]
    regime_f1: dict[str, float]
    macro_f1: float
    filter_macro_f1: float
    regime_log_loss: float
    base_log_loss: float
    regime_ece: float
    detector_auc: float
    detector_direction: float
    detector_ece: float
    heads: tuple[HeadReport, ...]
    skipped: dict[str, str]
    still: tuple[str, ...]
    """Features that are constant or unknown in all rows: no forest can learn from them."""
    canaries: Canaries | None
    paths: Paths | None
    """Histories of combinatorial purged cross-validation; None for worlds, which are no one past, and where there is no head."""
    importance: dict[str, float]
    flow_gain: dict[str, float]
    """By forest that was grown here, the share of its gain that the detector's two columns have; empty where none reads them."""
    trees: dict[str, int]
    note: str = ""
    """What of the configuration was not followed, and why."""


class Training(msgspec.Struct, frozen=True, kw_only=True):
    """Hold a bundle, its report, and how its features were distributed in training."""

    bundle: Bundle
    report: TrainingReport
    reference: Reference


def _published_by(champion: Bundle | None, sources: Sequence[Rows]) -> Published | None:
    """Return what says which regimes a champion's classifier publishes on another stage."""
    if champion is None:
        return None
    spec = champion.spec

    def published(hmm: HiddenMarkov) -> list[NDArray[np.int64]]:
        staged = replace(champion, spec=msgspec.structs.replace(spec, hmm=hmm))
        return [ask(staged, one, RegimeParameters()).label for one in sources]

    return published


def train(
    sources: Sequence[Rows], recipe: Recipe, name: str, origin: Origin, progress: Progress, champion: Bundle | None = None
) -> Training:
    """Train a bundle.

    Raises:
        RowsRefused, TrainingRefused, FitRefused, ObservationRefused: the rows cannot be learned from; the text says why and what to do.
    """
    for one in sources:
        check_rows(one)
    note = "" if champion is None else _window_kept(recipe, champion)
    if champion is not None:
        # Its classifier and detector stay, and read means over the window that they learned with.
        recipe = msgspec.structs.replace(recipe, feature_window=champion.spec.feature_window)
    standing = standing_of(champion)
    learned = learn(sources, recipe, progress, None if champion is None else champion.spec.hmm, _published_by(champion, sources), standing)
    if recipe.horizons_s and not learned.heads:
        raise TrainingRefused(f"no horizon could be learned, and a model without any never says anything: {_why_none(learned)}")
    progress("canaries", 0, 1)
    found = _canaries(sources, recipe, learned, standing)
    progress("canaries", 1, 1)
    if found is not None and found.problems:
        raise TrainingRefused(f"leakage: {'; '.join(found.problems)}; nothing was kept")
    paths = None if champion is None else _paths(sources, recipe, learned, champion.spec.hmm, standing, progress)
    trained = Trained(venue=origin.venue, market=origin.market, instruments=origin.instruments, data_hash=data_hash(sources))
    spec, forests = parts_of(learned, recipe, name, trained, sources, champion)
    draft = assemble(spec, forests, "")
    report = msgspec.structs.replace(_report(draft, learned, found, paths, recipe.unseen_share), note=note)
    # Oracle windows come from another generator, with one instrument's flow alone.
    tables = [one.values for one in sources if "target" not in one.extras]
    bundle = assemble(spec, forests, card_of(draft, report))
    return Training(bundle=bundle, report=report, reference=reference_of(bundle, tables))


def _window_kept(recipe: Recipe, champion: Bundle) -> str:
    """Return that a configuration's window was not used, empty where it is the champion's."""
    asked, learned = recipe.feature_window, champion.spec.feature_window
    if asked == learned:
        return ""
    return (
        f"feature_window is {learned} as in {champion.name}, not {asked} as configured: its classifier and detector stay, and learned with "
        f"that; `smartmoney train --built-in` makes one that learns with {asked}"
    )


def _why_none(learned: Learned) -> str:
    # The shortest horizon needs least: what it lacks, all lack.
    return learned.skipped[min(learned.skipped)]


def data_hash(sources: Sequence[Rows]) -> str:
    """Return the SHA-256 of all rows, in hexadecimal."""
    digest = hashlib.sha256()
    for one in sources:
        for array in (one.times, one.values, one.mid_after):
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _canaries(sources: Sequence[Rows], recipe: Recipe, learned: Learned, standing: StandingDetector | None) -> Canaries | None:
    horizon = _canary_horizon(learned)
    if not horizon:
        return None
    made, shape = sample(sources, learned.hmm, recipe, None if learned.regime is not None else standing), layout(learned.hmm, recipe)
    if learned.flow is not None:
        made.x[:, shape.columns(("flow:",), features=False)] = learned.flow
    horizons = [one.model.horizon_s for one in learned.heads]
    asked = {h: head_rows(sources, made, h, recipe.every_s, recipe.half_life_s) for h in horizons}
    fold = canary_fold(sources, made, asked[horizon], recipe, horizon)
    return canaries(sources, made, asked, fold, shape, recipe, horizon)


def _paths(
    sources: Sequence[Rows],
    recipe: Recipe,
    learned: Learned,
    stage: HiddenMarkov,
    standing: StandingDetector | None,
    progress: Progress,
) -> Paths | None:
    horizon = _canary_horizon(learned)
    if not horizon or learned.regime is not None:
        return None
    progress("histories", 0, 1)
    found = combinatorial_paths(sources, stage, recipe, horizon, standing)
    progress("histories", 1, 1)
    return found


def _flow_gain(learned: Learned) -> dict[str, float]:
    grown: dict[str, RegimeClassifier | HeadModel] = {} if learned.regime is None else {"classifier": learned.regime.classifier}
    grown |= {head_name(one.model.horizon_s): one.model for one in learned.heads}
    shares = {
        name: sum(
            gain
            for column, gain in zip(one.grown.columns.tolist(), one.grown.gains.tolist(), strict=True)
            if one.layout.names[column] in FROM_DETECTOR
        )
        for name, one in grown.items()
    }
    return shares if any(share > 0.0 for share in shares.values()) else {}


def _in_regime(quality: Reliability) -> RegimeCalibration:
    return RegimeCalibration(**{name: getattr(quality, name) for name in RegimeCalibration.__struct_fields__})


def _canary_horizon(learned: Learned) -> int:
    return min((one.model.horizon_s for one in learned.heads), key=lambda h: abs(h - CANARY_HORIZON_S), default=0)


def _report(bundle: Bundle, learned: Learned, found: Canaries | None, paths: Paths | None, unseen_share: float) -> TrainingReport:
    nan = float("nan")
    regime, stage = learned.regime, learned.stage
    total = sum(bundle.spec.importance.values()) or 1.0
    names = [one.value for one in bundle.spec.hmm.names]
    occupancy: dict[str, float] = {}
    for name, share in zip(names, [] if stage is None else stage.fitted.occupancy.tolist(), strict=False):
        occupancy[name] = occupancy.get(name, 0.0) + share
    return TrainingReport(
        hash=bundle.hash,
        name=bundle.name,
        sources=learned.sources,
        rows=learned.rows,
        folds=learned.folds,
        unseen_share=unseen_share,
        has_truth=regime is not None,
        stage="fitted anew" if learned.stage_kept is None else f"the champion's was kept: {learned.stage_kept}",
        naming_margin=nan if stage is None else stage.naming.margin,
        occupancy=occupancy,
        regime_f1={} if regime is None else dict(zip(_REGIME_NAMES, regime.f1, strict=True)),
        macro_f1=nan if regime is None else regime.macro_f1,
        filter_macro_f1=nan if regime is None else regime.filter_macro_f1,
        regime_log_loss=nan if regime is None else regime.log_loss,
        base_log_loss=nan if regime is None else regime.base_log_loss,
        regime_ece=nan if regime is None else regime.quality.ece,
        detector_auc=nan if regime is None else regime.detector_auc,
        detector_direction=nan if regime is None else regime.detector_direction,
        detector_ece=nan if regime is None else regime.detector_quality.ece,
        heads=tuple(
            HeadReport(
                horizon_s=one.model.horizon_s,
                auc=one.auc,
                effective=one.effective,
                labels=one.labels,
                ece=one.quality.ece,
                ece_low=one.quality.ece_low,
                ece_high=one.quality.ece_high,
                slope=one.quality.slope,
                skill=one.quality.skill,
                log_loss=one.quality.log_loss,
                return_scale=one.facts.return_scale,
                calibration=one.facts.calibrator.kind,
                columns=len(one.model.grown.columns),
                fresh_auc=one.fresh_auc,
                fresh_ece=None if one.fresh_quality is None else one.fresh_quality.ece,
                fresh_slope=None if one.fresh_quality is None else one.fresh_quality.slope,
                brier=one.quality.brier,
                by_regime={name: _in_regime(quality) for name, quality in one.by_regime.items()},
                whole=one.whole,
                left_out={str(number): why for number, why in one.left_out.items()},
            )
            for one in learned.heads
        ),
        skipped={str(horizon): why for horizon, why in learned.skipped.items()},
        still=learned.still,
        canaries=found,
        paths=paths,
        importance={name: gain / total for name, gain in sorted(bundle.spec.importance.items(), key=lambda item: -item[1])},
        flow_gain=_flow_gain(learned),
        trees={name: len(forest.trees) for name, forest in bundle.forests.items()},
    )
