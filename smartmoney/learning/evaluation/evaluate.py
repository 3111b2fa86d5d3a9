"""The whole evaluation of a bundle as one report, and what it misses of the skill goals."""

from collections.abc import Sequence

import msgspec

from smartmoney.core.models.bundle import Bundle
from smartmoney.core.regime.parameters import RegimeParameters
from smartmoney.learning.evaluation.baseline import BaselineScore, score_baseline
from smartmoney.learning.evaluation.curve import CurvePoint
from smartmoney.learning.evaluation.delay import POOLED, DelayScore, score_delays
from smartmoney.learning.evaluation.filter_score import Filtered
from smartmoney.learning.evaluation.flow import FlowScore, score_flow
from smartmoney.learning.evaluation.importance import Worth, permutation_importance
from smartmoney.learning.evaluation.nulls import NullScore, score_nulls
from smartmoney.learning.evaluation.planted import PlantedScore, score_planted
from smartmoney.learning.evaluation.ribbons import Ribbon, ribbons
from smartmoney.learning.evaluation.said import Said, ask
from smartmoney.learning.evaluation.spoofs import SpoofScore, score_spoofs
from smartmoney.learning.evaluation.trades import WorldTraded
from smartmoney.learning.evaluation.traps import TrapScore, score_traps
from smartmoney.learning.evaluation.worlds import HeadScore, RegimeScore, score_heads, score_regimes
from smartmoney.learning.sets.rows import Rows

HeardRows = tuple[Rows, Said]


class HeldOut(msgspec.Struct, frozen=True, kw_only=True):
    """Hold what a bundle is scored on; what is empty is not scored.

    `worlds` are full markets; `windows`, `quiet` and `targets` oracle worlds; `spoofs` and `traps` worlds with all bars; `nulls` and
    `planted` worlds of which there are rows and, in the same order, trades. `filtered` is what filters of their laws say of `worlds`,
    in their order.
    """

    worlds: Sequence[Rows] = ()
    filtered: Filtered | None = None
    windows: Sequence[Rows] = ()
    quiet: Sequence[Rows] = ()
    targets: Sequence[Rows] = ()
    spoofs: Sequence[Rows] = ()
    traps: Sequence[Rows] = ()
    nulls: Sequence[Rows] = ()
    null_trades: Sequence[WorldTraded] = ()
    planted: Sequence[Rows] = ()
    planted_trades: Sequence[WorldTraded] = ()
    recordings: Sequence[Rows] = ()
    curve: tuple[CurvePoint, ...] = ()


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """Hold every score of a bundle; a part that was not asked for is empty or None. `holdout_runs` counts how often it was held out."""

    hash: str
    name: str
    suite: str
    holdout_runs: int
    flow: tuple[FlowScore, ...]
    delays: tuple[DelayScore, ...]
    spoofs: SpoofScore | None
    traps: TrapScore | None
    regimes: RegimeScore | None
    ribbons: tuple[Ribbon, ...]
    heads: tuple[HeadScore, ...]
    importance: tuple[Worth, ...]
    curve: tuple[CurvePoint, ...]
    baseline: tuple[BaselineScore, ...]
    nulls: NullScore | None
    planted: PlantedScore | None

    @property
    def delay(self) -> DelayScore | None:
        """Return the delay of all kinds together; of the only one, if there is one."""
        return next((one for one in self.delays if one.kind == POOLED), self.delays[0] if len(self.delays) == 1 else None)


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """Hold what a bundle says of held-out rows: of full markets, of windows by kind, of everything else that it is asked about."""

    worlds: list[HeardRows]
    windows: dict[str, list[HeardRows]]
    quiet: list[HeardRows]
    targets: list[HeardRows]
    traps: list[HeardRows]
    nulls: list[HeardRows]
    planted: list[HeardRows]


def listen(bundle: Bundle, parameters: RegimeParameters, held: HeldOut) -> Heard:
    """Ask a bundle about everything. Cost: some 20 µs a row."""

    def heard(sources: Sequence[Rows]) -> list[HeardRows]:
        return [(one, ask(bundle, one, parameters)) for one in sources]

    by_kind: dict[str, list[Rows]] = {}
    for one in held.windows:
        by_kind.setdefault(one.family.removeprefix("oracle_"), []).append(one)
    return Heard(
        worlds=heard(held.worlds),
        windows={kind: heard(rows) for kind, rows in by_kind.items()},
        quiet=heard(held.quiet),
        targets=heard(held.targets),
        traps=heard([*held.traps, *_with_bars(held)]),
        nulls=heard(held.nulls) if held.null_trades else [],
        planted=heard(held.planted) if held.planted_trades else [],
    )


def evaluate(
    bundle: Bundle,
    parameters: RegimeParameters,
    held: HeldOut,
    *,
    suite: str,
    holdout_runs: int,
    permute: bool = False,
    heard: Heard | None = None,
) -> Evaluation:
    """Score a bundle on whatever is given, by what it says of it, if that is known already.

    `permute` also measures what each feature is worth, which takes the longest.
    """
    heard = heard or listen(bundle, parameters, held)
    has_heads = bool(bundle.spec.heads)
    spoofed = [*held.spoofs, *_with_bars(held)]
    return Evaluation(
        hash=bundle.hash,
        name=bundle.name,
        suite=suite,
        holdout_runs=holdout_runs,
        flow=tuple(score_flow(kind, rows) for kind, rows in heard.windows.items()),
        delays=score_delays([one for rows in heard.windows.values() for one in rows], heard.quiet, heard.targets),
        spoofs=score_spoofs(spoofed) if spoofed else None,
        traps=score_traps(heard.traps) if heard.traps else None,
        regimes=score_regimes(heard.worlds, held.filtered) if heard.worlds else None,
        ribbons=ribbons(heard.worlds),
        heads=score_heads(bundle, heard.worlds) if heard.worlds and has_heads else (),
        importance=permutation_importance(bundle, held.worlds, parameters) if permute else (),
        curve=held.curve,
        baseline=score_baseline(held.recordings),
        nulls=score_nulls(bundle, heard.nulls, held.null_trades) if held.null_trades and has_heads else None,
        planted=score_planted(bundle, heard.planted, held.planted_trades) if held.planted_trades and has_heads else None,
    )


def _with_bars(held: HeldOut) -> list[Rows]:
    """Return the full markets that have bars: worlds that somebody else made have theirs."""
    return [one for one in held.worlds if "spoof_lots" in one.extras]
