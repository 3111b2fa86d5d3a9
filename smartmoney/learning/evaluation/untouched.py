"""Challenger and champion on days that neither learned from: the forecast part of the gate's evidence.

Both are asked by the compiled decision of the daemon, about the same rows; a row counts where both say something. Losses of one second are
averaged over the horizons that both have, so that a second is one value of the paired series, whose blocks are twice the longest horizon.
Where there is no champion, its place is a logistic regression of queue imbalance, order-flow and trade-flow imbalance, fitted on the
very days that it is judged on: that favours it, and so does the base rate, which is those days' own.
"""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from smartmoney.core.domain.signals import Regime
from smartmoney.core.models.bundle import Bundle
from smartmoney.core.regime.parameters import RegimeParameters
from smartmoney.learning.calibration import log_loss, reliability, row_losses
from smartmoney.learning.calibration_error import time_blocks
from smartmoney.learning.drift import DriftReport
from smartmoney.learning.drift_monitors import ROW_S, DriftMonitors, Forecast, Reference
from smartmoney.learning.evaluation.baseline import based, direction
from smartmoney.learning.evaluation.said import Said, ask
from smartmoney.learning.fitting.export import learned_span
from smartmoney.learning.regimes.hmm import FitRefused
from smartmoney.learning.regimes.identity import check_identity, match_states
from smartmoney.learning.sets.labels import labels_of
from smartmoney.learning.sets.rows import SECOND_NS, Rows
from smartmoney.learning.staging import posterior
from smartmoney.learning.trainer import data_hash
from smartmoney.learning.validation.gains import Gain, paired_gain

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

EVERY_S = 10
DAY_NS = 86_400 * SECOND_NS
DAY_HOURS_MIN = 12.0
"""A day counts as one from so many judged hours on: minutes of five days are not five days."""
_BLOCKS_OF_HORIZONS = 2
_SEED = 17
_NAN = float("nan")


class DaysTouched(Exception):
    """Report days that a model learned from, or lie before their end: nothing can be judged on them. The process ends with 1."""

    exit_code = 1


class ForecastScore(msgspec.Struct, frozen=True, kw_only=True):
    """Hold what was measured; see `GateEvidence`. `champion_*` are NaN or empty where there is none."""

    gain: Gain
    days: int
    hours: float
    ece: float
    log_loss: float
    base_rate_log_loss: float
    logistic_log_loss: float
    regime_loss: dict[str, float]
    champion_ece: float
    champion_regime_loss: dict[str, float]


class _Judged(msgspec.Struct, frozen=True, kw_only=True):
    """Hold one source's and horizon's labels and what both said of them."""

    second: Integers
    up: Floats
    weight: Floats
    ours: Floats
    theirs: Floats
    base: Floats
    regime: Integers


def check_untouched(sources: Sequence[Rows], models: Sequence[Bundle]) -> None:
    """Refuse days that one of the models learned from, or that are older than what it learned from.

    Raises:
        DaysTouched: which, and from when on days are untouched.
    """
    found = data_hash(sources)
    for model in models:
        trained = model.spec.trained
        if trained.data_hash == found:
            raise DaysTouched(f"{model.name} was trained on exactly these rows; name days after them")
        span = learned_span(model.spec)
        if span is None:
            if trained.venue != "sim":
                raise DaysTouched(f"{model.name} does not say from which days it learned; train it anew with this version")
            continue
        first = min((int(one.times[0]) for one in sources if len(one)), default=span[1] + 1)
        if first <= span[1]:
            ends = np.datetime64(span[1], "ns").astype("datetime64[s]")
            raise DaysTouched(f"{model.name} learned from days until {ends}, and these begin at or before that; name later ones")


def score_forecasts(sources: Sequence[Rows], challenger: Bundle, champion: Bundle | None, parameters: RegimeParameters) -> ForecastScore:
    """Score both on the same rows. Cost: some 40 µs a row."""
    pairs = [(rows, ask(challenger, rows, parameters), None if champion is None else ask(champion, rows, parameters)) for rows in sources]
    asked = {h: _judged(pairs, h, challenger, champion) for h in _horizons(challenger, champion)}
    by_horizon = {h: parts for h, parts in asked.items() if any(len(one.up) for one in parts)}
    every = [one for parts in by_horizon.values() for one in parts]
    if not every:
        nothing = Gain(_NAN, _NAN, _NAN, _NAN, 0, 0)
        return ForecastScore(
            gain=nothing, days=0, hours=0.0, ece=_NAN, log_loss=_NAN, base_rate_log_loss=_NAN, logistic_log_loss=_NAN, regime_loss={},
            champion_ece=_NAN, champion_regime_loss={},
        )  # fmt: skip
    series = [_series([parts[k] for parts in by_horizon.values()]) for k in range(len(sources))]
    ours, theirs = (np.concatenate([one[k] for one in series]) for k in (1, 2))
    seconds = np.unique(np.concatenate([one[0] for one in series]))
    up, weight, p, q, base, regime = (
        np.concatenate([getattr(one, name) for one in every]) for name in ("up", "weight", "ours", "theirs", "base", "regime")
    )
    block = time_blocks(np.concatenate([one.second for one in every]) * SECOND_NS, max(by_horizon))
    is_first = champion is None
    return ForecastScore(
        gain=paired_gain(-ours, -theirs, _BLOCKS_OF_HORIZONS * max(by_horizon) // EVERY_S, _SEED),
        days=_days(seconds),
        hours=len(seconds) * EVERY_S / 3600.0,
        ece=reliability(p, up, weight, block).ece,
        log_loss=log_loss(p, up, weight),
        base_rate_log_loss=log_loss(base, up, weight),
        logistic_log_loss=log_loss(q, up, weight) if is_first else _NAN,
        regime_loss={} if is_first else _by_regime(p, up, weight, regime),
        champion_ece=_NAN if is_first else reliability(q, up, weight, block).ece,
        champion_regime_loss={} if is_first else _by_regime(q, up, weight, regime),
    )


def states_kept(sources: Sequence[Rows], challenger: Bundle, champion: Bundle | None) -> bool:
    """Tell whether the challenger's states are still the champion's; a first champion has nobody's states to keep."""
    if champion is None or challenger.spec.hmm == champion.spec.hmm:
        return True
    new, old = challenger.spec.hmm, champion.spec.hmm
    observed = [(one.feature, one.signed_log) for one in old.observed]
    longest = max(sources, key=len, default=None)
    if longest is None or observed != [(one.feature, one.signed_log) for one in new.observed]:
        return False
    # Each in units of its own data's medians and MADs, as training compares them: what is wild for one market is nothing to another.
    of_new, of_old = ((np.array(one.means), np.array(one.variances)) for one in (new, old))
    replayed = posterior(longest, new), posterior(longest, msgspec.structs.replace(old, observed=new.observed))
    try:
        check_identity(match_states(of_new, of_old, *replayed), new.names, old.names)
    except FitRefused:
        return False
    return True


def drift_of(sources: Sequence[Rows], bundle: Bundle, reference: Reference | None, parameters: RegimeParameters) -> DriftReport | None:
    """Run the daemon's monitors over the days; None where features cannot be compared with training."""
    if reference is None:
        return None
    monitors = DriftMonitors(reference)
    for number, rows in enumerate(sources):
        said = ask(bundle, rows, parameters)
        for at in range(0, len(rows), EVERY_S):
            now_ns, mid = int(rows.times[at]), float(rows.mid_after[at])
            known = mid if np.isfinite(mid) else None
            monitors.look({number: known}, now_ns)
            forecasts = [Forecast(head.horizon_s, float(said.up[at, k])) for k, head in enumerate(bundle.spec.heads)]
            monitors.said(number, forecasts, known, now_ns)
            if at % ROW_S == 0 and known is not None:
                monitors.row(number, rows.values[at].astype(np.float64))
    return monitors.report() if monitors.is_full else None


def _horizons(challenger: Bundle, champion: Bundle | None) -> tuple[int, ...]:
    """Return the tradable horizons that both forecast."""
    ours = [head.horizon_s for head in challenger.spec.heads if head.tradable]
    theirs = ours if champion is None else [head.horizon_s for head in champion.spec.heads if head.tradable]
    return tuple(sorted(set(ours) & set(theirs)))


def _judged(pairs: Sequence[tuple[Rows, Said, Said | None]], horizon: int, challenger: Bundle, champion: Bundle | None) -> list[_Judged]:
    found = []
    place = [head.horizon_s for head in challenger.spec.heads].index(horizon)
    other = 0 if champion is None else [head.horizon_s for head in champion.spec.heads].index(horizon)
    labelled = [(rows, ours, theirs, labels_of(rows, horizon, EVERY_S)) for rows, ours, theirs in pairs]
    ups = [(labels.sign > 0).astype(np.float64) for *_, labels in labelled]
    weights = [labels.uniqueness for *_, labels in labelled]
    total = float(sum(one.sum() for one in weights))
    rate = float(sum((up * weight).sum() for up, weight in zip(ups, weights, strict=True))) / max(total, 1e-12)
    if not total:
        return []
    together = based(np.concatenate([rows.values[labels.rows] for rows, *_, labels in labelled]))
    columns = np.split(together, np.cumsum([len(up) for up in ups])[:-1])
    beta = direction(together, np.concatenate(ups), np.concatenate(weights))
    for (rows, ours, theirs, labels), up, weight, x in zip(labelled, ups, weights, columns, strict=True):
        p = ours.up[labels.rows, place]
        q = 1.0 / (1.0 + np.exp(-x @ beta)) if theirs is None else theirs.up[labels.rows, other]
        both = np.isfinite(p) & np.isfinite(q)
        found.append(
            _Judged(
                second=rows.times[labels.rows][both] // SECOND_NS,
                up=up[both],
                weight=weight[both],
                ours=p[both],
                theirs=q[both],
                base=np.full(int(both.sum()), rate),
                regime=(ours if theirs is None else theirs).label[labels.rows][both],
            )
        )
    return found


def _series(parts: Sequence[_Judged]) -> tuple[Integers, Floats, Floats]:
    """Return seconds and both models' losses, averaged over horizons."""
    second = np.concatenate([one.second for one in parts])
    named, place = np.unique(second, return_inverse=True)
    count = np.maximum(np.bincount(place, minlength=len(named)), 1)
    ours, theirs = (
        np.bincount(place, np.concatenate([row_losses(getattr(one, name), one.up) for one in parts]), len(named)) / count
        for name in ("ours", "theirs")
    )
    return named, ours, theirs


def _days(seconds: Integers) -> int:
    """Return how many UTC days have enough judged seconds."""
    _, count = np.unique(seconds * SECOND_NS // DAY_NS, return_counts=True)
    return int((count * EVERY_S >= DAY_HOURS_MIN * 3600.0).sum())


def _by_regime(p: Floats, up: Floats, weight: Floats, regime: Integers) -> dict[str, float]:
    """Return the log-loss within each regime that occurs, by its name; regimes are the champion's for both."""
    return {one.value: log_loss(p[inside], up[inside], weight[inside]) for k, one in enumerate(Regime) if (inside := regime == k).any()}
