"""The whole evaluation of a bundle as one report, and what it misses of the skill goals."""

from collections.abc import Sequence

import msgspec

from smartmoney.core.models.bundle import Bundle
from smartmoney.core.regime.parameters import RegimeParameters
from smartmoney.learning.evaluation.baseline import BaselineScore, score_baseline
from smartmoney.learning.evaluation.curve import CurvePoint
from smartmoney.learning.evaluation.delay import POOLED, DelayScore, score_delays
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


class HeldOut(msgspec.Struct, frozen=True, kw_only=True):
    """Hold what a bundle is scored on; what is empty is not scored.

    `worlds` are full markets; `windows`, `quiet` and `targets` oracle worlds; `spoofs` and `traps` worlds with all bars; `nulls` and
    `planted` worlds of which there are rows and, in the same order, trades.
    """

    worlds: Sequence[Rows] = ()
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


def evaluate(
    bundle: Bundle, parameters: RegimeParameters, held: HeldOut, *, suite: str, holdout_runs: int, permute: bool = False
) -> Evaluation:
    """Score a bundle on whatever is given; `permute` also measures what each feature is worth, which takes the longest."""
    by_kind: dict[str, list[Rows]] = {}
    for one in held.windows:
        by_kind.setdefault(one.family.removeprefix("oracle_"), []).append(one)

    def heard(sources: Sequence[Rows]) -> list[tuple[Rows, Said]]:
        return [(one, ask(bundle, one, parameters)) for one in sources]

    said, windows = heard(held.worlds), {kind: heard(rows) for kind, rows in by_kind.items()}
    has_heads = bool(bundle.spec.heads)
    # Worlds that somebody else made have their bars, too.
    told = [one for one in held.worlds if "spoof_lots" in one.extras]
    spoofed, trapped = [*held.spoofs, *told], heard([*held.traps, *told])
    return Evaluation(
        hash=bundle.hash,
        name=bundle.name,
        suite=suite,
        holdout_runs=holdout_runs,
        flow=tuple(score_flow(kind, rows) for kind, rows in windows.items()),
        delays=score_delays([one for rows in windows.values() for one in rows], heard(held.quiet), heard(held.targets)),
        spoofs=score_spoofs(spoofed) if spoofed else None,
        traps=score_traps(trapped) if trapped else None,
        regimes=score_regimes(said) if said else None,
        ribbons=ribbons(said),
        heads=score_heads(bundle, said) if said and has_heads else (),
        importance=permutation_importance(bundle, held.worlds, parameters) if permute else (),
        curve=held.curve,
        baseline=score_baseline(held.recordings),
        nulls=score_nulls(bundle, heard(held.nulls), held.null_trades) if held.null_trades and has_heads else None,
        planted=score_planted(bundle, heard(held.planted), held.planted_trades) if held.planted_trades and has_heads else None,
    )
