"""From what was learned to the parts of a bundle: specification, forests as arrays, importance."""

from collections.abc import Sequence

import numpy as np

from smartmoney.core.alpha.forest import Forest
from smartmoney.core.features.schema import COLUMNS, SCHEMA_HASH
from smartmoney.core.models.bundle import Bundle, BundleSpec, Classifier, Detector, Head, Trained, head_name
from smartmoney.learning.boosting.models import FlowDetector, HeadModel, RegimeClassifier
from smartmoney.learning.fitting.plan import Recipe
from smartmoney.learning.fitting.run import HeadResult, Learned
from smartmoney.learning.forest_export import export_forest
from smartmoney.learning.sets.labels import TRADABLE_S
from smartmoney.learning.sets.rows import Rows

_OPTIONAL_AFTER_S = 120
"""What is missing later than two minutes after a start was missing in training often enough for the forests to know what to do."""
_OPTIONAL_SHARE = 0.01
LEARNED_FROM, LEARNED_UNTIL = "learned_from_ns", "learned_until_ns"
"""Parameters of a bundle that was trained on recordings: their first and last time."""

Parts = tuple[BundleSpec, dict[str, Forest]]


def parts_of(
    learned: Learned, recipe: Recipe, name: str, trained: Trained, sources: Sequence[Rows], champion: Bundle | None = None
) -> Parts:
    """Return specification and forests. Without truth, classifier and detector are the champion's, as they stand on its stage's columns."""
    forests: dict[str, Forest] = {}
    importance: dict[str, float] = {}
    classifier, detector = None, None
    if learned.regime is not None:
        classifier = Classifier(
            inputs=_take("classifier", learned.regime.classifier, forests, importance), temperature=learned.regime.classifier.temperature
        )
        detector = Detector(
            inputs=_take("detector", learned.regime.detector, forests, importance), calibrator=learned.regime.detector.calibrator
        )
    elif champion is not None:
        classifier, detector = champion.spec.classifier, champion.spec.detector
        forests |= {part: champion.forests[part] for part in ("classifier", "detector") if part in champion.forests}
    heads = tuple(_head(one, forests, importance) for one in learned.heads)
    if not importance and champion is not None:
        importance = dict(champion.spec.importance)
    read = {column for spec in (classifier, detector, *heads) if spec is not None for column in spec.inputs}
    spec = BundleSpec(
        name=name,
        schema_hash=SCHEMA_HASH,
        trained=trained,
        hmm=learned.hmm,
        detector=detector,
        classifier=classifier,
        heads=heads,
        products=tuple(one.name for one in recipe.products() if one.name in read),
        optional=_optional(sources),
        feature_window=recipe.feature_window,
        parameters=_parameters(recipe) | ({} if learned.regime is not None else _span(sources, champion)),
        importance=importance,
    )
    return spec, forests


def _take(
    name: str, model: RegimeClassifier | FlowDetector | HeadModel, forests: dict[str, Forest], importance: dict[str, float]
) -> tuple[str, ...]:
    inputs = tuple(model.layout.names[k] for k in model.grown.columns.tolist())
    forests[name] = export_forest(model.grown.booster)
    for column, gain in zip(inputs, model.grown.gains.tolist(), strict=True):
        if gain > 0.0:
            importance[column] = importance.get(column, 0.0) + gain
    return inputs


def _head(one: HeadResult, forests: dict[str, Forest], importance: dict[str, float]) -> Head:
    a, b, c, d, e = one.facts.conformal
    horizon = one.model.horizon_s
    return Head(
        horizon_s=horizon,
        tradable=horizon in TRADABLE_S,
        inputs=_take(head_name(horizon), one.model, forests, importance),
        calibrator=one.facts.calibrator,
        return_scale=one.facts.return_scale,
        sigma=one.facts.sigma,
        conformal=(a, b, c, d, e),
        terciles_bps=one.facts.terciles_bps,
    )


def _optional(sources: Sequence[Rows]) -> tuple[str, ...]:
    missing = np.zeros(len(COLUMNS))
    rows = 0
    for one in sources:
        later = one.values[_OPTIONAL_AFTER_S:]
        missing += np.isnan(later).sum(axis=0)
        rows += len(later)
    return tuple(name for name, count in zip(COLUMNS, missing.tolist(), strict=True) if rows and count / rows >= _OPTIONAL_SHARE)


def _parameters(recipe: Recipe) -> dict[str, str | int | float | bool]:
    return {
        "hmm_components": recipe.hmm_components,
        "gb_n_estimators": recipe.gb_n_estimators,
        "gb_max_depth": recipe.gb_max_depth,
        "feature_interaction_depth": recipe.interaction_depth,
        "every_s": recipe.every_s,
        "folds": recipe.folds,
        "unseen_share": recipe.unseen_share,
        "flow_parts": recipe.flow_parts,
        "seed": recipe.seed,
    }


def _span(sources: Sequence[Rows], champion: Bundle | None) -> dict[str, str | int | float | bool]:
    """Return which time recordings were learned from, ours and, since its forests stay, the champion's: a gate wants other days."""
    spans = [(int(one.times[0]), int(one.times[-1])) for one in sources if len(one)]
    before = None if champion is None else learned_span(champion.spec)
    spans += [] if before is None else [before]
    return {LEARNED_FROM: min(first for first, _ in spans), LEARNED_UNTIL: max(last for _, last in spans)}


def learned_span(spec: BundleSpec) -> tuple[int, int] | None:
    """Return the first and the last wall time in ns of the recordings that a bundle learned from, None if it does not say."""
    first, last = spec.parameters.get(LEARNED_FROM), spec.parameters.get(LEARNED_UNTIL)
    return (first, last) if isinstance(first, int) and isinstance(last, int) else None
