"""An evaluation in the documented form of `--json`, in which what is not a number is None."""

import math
from collections.abc import Sequence
from typing import Any

import msgspec

from smartmoney.learning.evaluation.against import Compared
from smartmoney.learning.evaluation.evaluate import Evaluation
from smartmoney.learning.evaluation.filter_score import BOUND
from smartmoney.learning.evaluation.flow import with_efficiency
from smartmoney.learning.evaluation.misses import misses
from smartmoney.learning.evaluation.nulls import NullScore
from smartmoney.learning.evaluation.planted import PlantedScore
from smartmoney.learning.evaluation.trades import TradeSums
from smartmoney.learning.evaluation.worlds import HeadScore, RegimeScore

COSTS_TIMES = (0, 1, 2)


def summary_of(found: Evaluation) -> dict[str, object]:
    """Return the skill table; what was not measured is None."""
    middle = min(found.baseline, key=lambda one: abs(one.horizon_s - 5), default=None)
    return {
        "bundle": found.hash,
        "holdout_runs": found.holdout_runs,
        "planted_flow": _flow(found),
        "spoofs": _plain(found.spoofs),
        "traps": _plain(found.traps),
        "regime": None if found.regimes is None else _regime(found.regimes),
        "calibration": _calibration(found.heads),
        "baseline": None
        if middle is None
        else {"auc": middle.auc, "auc_logistic": middle.auc_logistic, "horizons": [_plain(one) for one in found.baseline]},
        "null_worlds": None if found.nulls is None else _nulls(found.nulls),
        "planted_worlds": None if found.planted is None else _planted(found.planted),
        "importance": [_plain(one) for one in found.importance],
        "learning_curve": [_plain(one) for one in found.curve],
        "missed": list(misses(found)),
    }


def summary_of_both(found: Compared) -> dict[str, object]:
    """Return the first bundle's skill table, the other's, and what they differ by."""
    return summary_of(found.first) | {
        "against": summary_of(found.other),
        "differences": [_fields(one) | {"is_told_apart": one.is_told_apart} for one in found.differences],
    }


def _flow(found: Evaluation) -> dict[str, object]:
    efficient = with_efficiency(found.flow)
    return {
        "efficiency": _mean([one.efficiency for one in efficient]),
        "efficiency_of": [one.kind for one in efficient],
        "auc": _mean([one.auc for one in found.flow]),
        "auc_oracle": _mean([one.auc_oracle for one in found.flow]),
        "auc_of": [one.kind for one in found.flow],
        "delay_ratio": None if found.delay is None else _number(found.delay.ratio),
        "kinds": [_plain(one) for one in found.flow],
        "delays": [_plain(one) for one in found.delays],
    }


def _regime(found: RegimeScore) -> dict[str, object]:
    return {
        "macro_f1": found.macro_f1,
        "macro_f1_ci": [found.macro_f1_low, found.macro_f1_high],
        "macro_f1_filter": _number(found.macro_f1_filter),
        "filter": None if found.filter is None else _fields(found.filter) | {"note": BOUND, "loose_in": list(found.filter.loose)},
        "f1": found.f1,
        "by_family": found.by_family,
        "scored_share": found.scored_share,
        "ece": _number(found.quality.ece),
    }


def _calibration(heads: Sequence[HeadScore]) -> dict[str, object] | None:
    head = max(heads, key=lambda one: one.effective, default=None)
    if head is None:
        return None
    return {
        "horizon_s": head.horizon_s,
        "ece": _number(head.quality.ece),
        "ece_ci": [_number(head.quality.ece_low), _number(head.quality.ece_high)],
        "slope": _number(head.quality.slope),
        "intercept": _number(head.quality.intercept),
        "heads": [_plain(one) for one in heads],
    }


def _nulls(found: NullScore) -> dict[str, object]:
    opened = found.opened
    return {
        "worlds": found.worlds,
        "trades": opened.trades,
        "gross": _number(opened.gross),
        "gross_ci_low": _number(opened.gross_low),
        "gross_ci_high": _number(opened.gross_high),
        "net": _number(opened.net),
        "cost": _number(opened.cost),
        "net_plus_cost_bps": _number(opened.net_plus_cost),
        "unexplained_bps": _number(opened.unexplained),
        "opened": _sums(opened),
        "normal": _sums(found.normal),
        "pbo_mean": _number(found.pbo_mean),
        "pbo_worlds": found.pbo_worlds,
    }


def _planted(found: PlantedScore) -> dict[str, object]:
    return {
        "worlds": found.worlds,
        "net_model": found.net_model,
        "net_oracle": found.net_oracle,
        "share": _number(found.share),
        "share_ci": [_number(found.share_low), _number(found.share_high)],
        "model": _sums(found.model),
        "oracle": _sums(found.oracle),
        "opened": _sums(found.opened),
        "pbo_mean": _number(found.pbo_mean),
        "pbo_worlds": found.pbo_worlds,
        "size": _number(found.size),
        "share_at_size": _number(found.share_at_size),
        "share_at_size_ci": [_number(found.share_at_size_low), _number(found.share_at_size_high)],
        "oracle_trades": [_plain(one) for one in found.ways],
        "beside_them": dict(zip(("net_model", "net_oracle"), found.beside, strict=True)),
    }


def _sums(found: TradeSums) -> dict[str, object]:
    return {
        **_fields(found),
        "break_even_fee_bps": _number(found.break_even_fee),
        "net_at_costs": {f"x{times}": _number(found.net_at(times)) for times in COSTS_TIMES},
    }


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _plain(one: msgspec.Struct | None) -> dict[str, object] | None:
    return None if one is None else _fields(one)


def _fields(one: msgspec.Struct) -> dict[str, Any]:
    return {name: _finite(value) for name, value in msgspec.to_builtins(one).items()}


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    return [_finite(one) for one in value] if isinstance(value, list | tuple) else value
