"""`smartmoney models importance`: which features a model lives by, as training saw it and on rows of your choice."""

import math
from typing import TYPE_CHECKING, Annotated

import typer

from smartmoney.cli.common import AsJson, ConfigFile, Overrides, Profile, StateDir, layout_of, print_json, settings_of
from smartmoney.cli.stretches import Dataset, Days, Files, FirstDay, LastDay, Runs, Stretches, Symbol, TheMarket, prepare_to_run
from smartmoney.cli.train import bars

if TYPE_CHECKING:
    from smartmoney.learning.importance import FeatureWorth
    from smartmoney.learning.sets.rows import Rows

Model = Annotated[str, typer.Argument(metavar="[MODEL]", help="Name, hash (or its beginning), or a bundle's folder.")]
_SHOWN = 25


def importance(
    model: Model = "default",
    files: Files = None,
    market: TheMarket = None,
    run: Runs = None,
    dataset: Dataset = None,
    symbol: Symbol = None,
    first: FirstDay = None,
    last: LastDay = None,
    hours: Annotated[float, typer.Option(min=0.05, max=240, help="Use the newest hours of each source.")] = 2.0,
    config: ConfigFile = None,
    profile: Profile = None,
    overrides: Overrides = None,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Show what each feature is worth to a model: its gain in training, and with rows what its forecasts lose when it is shuffled.

    Example: smartmoney models importance default --run last
    """
    settings = settings_of(config, profile, "paper", overrides)
    days = Days(dataset, symbol, first, last)
    is_asked = bool(files or run or dataset)
    jobs = (
        Stretches(files or [], market, run or [], None, None, None, None, days, each=False).jobs(settings, None, 0.0, state_dir)
        if is_asked
        else []
    )
    prepare_to_run(with_market=False)
    from smartmoney.adapters.model_store import ModelNotFound, ModelStore
    from smartmoney.learning.importance import worth_by_gain, worth_on
    from smartmoney.runtime.gate_jobs import rows_of
    from smartmoney.settings.build import regime_parameters

    bundle = ModelStore(layout_of(state_dir).models).find(model)
    if bundle is None:
        raise ModelNotFound(f"{model} is the untrained prior here: its rules have no trees to weigh")
    with bars() as progress:
        sources = [_newest(rows, hours) for job in jobs for _, rows in rows_of(job)]
        found = worth_on(bundle, sources, regime_parameters(settings), progress) if sources else worth_by_gain(bundle.spec)
    if as_json:
        rows_used = sum(len(rows) for rows in sources)
        print_json({"model": bundle.name, "hash": bundle.hash, "rows": rows_used, "features": [_plain(one) for one in found]})
        return
    _say(bundle.name, found, sum(len(rows) for rows in sources))


def _newest(rows: "Rows", hours: float) -> "Rows":
    from smartmoney.runtime.training_jobs import between

    return between(rows, int(rows.times[-1]) - round(hours * 3600e9), 0) if len(rows) else rows


def _plain(one: "FeatureWorth") -> dict[str, object]:
    numbers = {"gain": one.gain, "loss_more": one.loss_more, "loss_spread": one.loss_spread, "relabelled": one.relabelled}
    return {"feature": one.feature, **{name: number if math.isfinite(number) else None for name, number in numbers.items()}}


def _say(name: str, found: "tuple[FeatureWorth, ...]", rows: int) -> None:
    print(f"{name}: {len(found)} features" + (f", shuffled over {rows} rows" if rows else "; name --run last, or recordings, to shuffle"))
    print(f"  {'feature':32}  gain in training" + ("   log-loss without it      regime changed" if rows else ""))
    for one in found[:_SHOWN]:
        lost = f"{one.loss_more:+.5f} ± {one.loss_spread:.5f}" if math.isfinite(one.loss_more) else "no label moved   "
        print(f"  {one.feature:32}  {one.gain:15.1%}" + (f"    {lost}    {one.relabelled:6.1%} of rows" if rows else ""))
    if len(found) > _SHOWN:
        print(f"  and {len(found) - _SHOWN} more: --json has all")
