"""`smartmoney tune`: search parameters by walking forward, and say whether an edge was found."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from smartmoney.cli.common import AsJson, ConfigFile, Overrides, Profile, StateDir, layout_of, settings_of
from smartmoney.cli.stretches import (
    RECORDED,
    Dataset,
    Days,
    Each,
    FeedLatency,
    Files,
    FirstDay,
    Hours,
    LastDay,
    Latency,
    Processes,
    Runs,
    ScenarioName,
    Seeds,
    Stretches,
    Symbol,
    TheMarket,
    prepare_to_run,
)

if TYPE_CHECKING:
    from smartmoney.runtime.tuned_models import TrainingTerms
    from smartmoney.runtime.tuning import TunePlan, TuneResult
    from smartmoney.settings.models import Settings


def tune(
    files: Files = None,
    market: TheMarket = None,
    run: Runs = None,
    scenario: ScenarioName = None,
    seeds: Seeds = None,
    hours: Hours = None,
    dataset: Dataset = None,
    symbol: Symbol = None,
    first: FirstDay = None,
    last: LastDay = None,
    each: Each = False,
    trials: Annotated[int, typer.Option(min=1, max=100_000, help="How many the study has in the end; a second call adds what lacks.")] = 60,
    folds: Annotated[int, typer.Option(min=2, max=50, help="Test parts, each after the past that chose for it.")] = 4,
    batch: Annotated[
        int, typer.Option(min=1, max=1000, help="Trials that each fold asks for at once; raise it for a cluster. Part of the study.")
    ] = 4,
    space: Annotated[Path | None, typer.Option(metavar="FILE", help="What to search [default: config/spaces/strategy.yaml].")] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**31, help="Of the search; with --scenario also of the first market.")] = 1,
    study: Annotated[str | None, typer.Option(metavar="NAME", help="Go on with, or begin [default: named after what is searched].")] = None,
    storage: Annotated[str | None, typer.Option(metavar="URL", help="Studies, as a SQLAlchemy URL [default: beside the journal].")] = None,
    train: Annotated[
        bool, typer.Option("--train", help="Train models for each part, even if the space names no key that shapes them.")
    ] = False,
    worlds: Annotated[
        int, typer.Option(min=1, max=100, help="Where regimes are searched: worlds of each family that teach them.", show_default=True)
    ] = 1,
    world_hours: Annotated[float, typer.Option(min=0.5, max=48, help="Where regimes are searched: hours of each of those worlds.")] = 1.0,
    scheduler: Annotated[str | None, typer.Option(metavar="ADDRESS", help="A Dask scheduler, as tcp://HOST:PORT.")] = None,
    latency: Latency = None,
    feed_latency: FeedLatency = 0.0,
    processes: Processes = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Also write tune.html and tune.json here.")] = None,
    config: ConfigFile = None,
    profile: Profile = None,
    overrides: Overrides = None,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Search strategy and model parameters, choose by each fold's past alone, and say whether what was chosen made money afterwards.

    Examples: smartmoney tune mon.gz tue.gz wed.gz --each --market usdm --trials 100;
    smartmoney tune --scenario first_run --seeds 4 --hours 2 --out report; smartmoney tune --run last --scheduler tcp://10.0.0.1:8786;
    smartmoney tune days/*.gz --each --market usdm --space config/spaces/models.yaml
    """
    if scheduler is not None and processes is not None:
        raise typer.BadParameter("a scheduler has its own workers; give one of the two", param_hint="--processes, --scheduler")
    if out is not None and out.exists() and not out.is_dir():
        raise typer.BadParameter(f"{out} is no folder; name one, it is made if need be", param_hint="--out")
    if latency == RECORDED:
        raise typer.BadParameter("`recorded` is one run's, under its own settings; take `measured`", param_hint="--latency")
    settings = settings_of(config, profile, "paper", overrides)
    days = Days(dataset, symbol, first, last)
    stretches = Stretches(files or [], market, run or [], scenario, seeds, None if scenario is None else seed, hours, days, each=each)
    jobs = stretches.jobs(settings, latency, feed_latency, state_dir)
    from smartmoney.runtime.tuning import TunePlan
    from smartmoney.settings.search_space import is_trained, load_space

    layout = layout_of(state_dir)
    searched = load_space(space, settings)
    plan = TunePlan(
        jobs=tuple(jobs),
        space=searched,
        trials=trials,
        folds=folds,
        batch=batch,
        seed=seed,
        storage=storage or f"sqlite:///{layout.studies}",
        name=study,
        training=_terms(layout.models, worlds, world_hours, settings) if train or is_trained(searched, settings) else None,
    )
    prepare_to_run(with_market=scenario is not None)
    result = _search(plan, layout.trials, scheduler, processes)
    if out is not None:
        from smartmoney.reports.tuning import write_tuning

        for path in write_tuning(result, out):
            print(f"wrote {path}", file=sys.stderr)
    _say(result, as_json=as_json)


def _terms(store: Path, worlds: int, hours: float, settings: "Settings") -> "TrainingTerms":
    from smartmoney.runtime.cached_files import shelf_folder
    from smartmoney.runtime.tuned_models import TrainingTerms

    return TrainingTerms(store=str(store), shelf=str(shelf_folder()), worlds=worlds, hours=hours, caches=settings.caches)


def _search(plan: "TunePlan", trial_log: Path, scheduler: str | None, processes: int | None) -> "TuneResult":
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from smartmoney.adapters.trial_log import TrialLog
    from smartmoney.runtime.feature_jobs import worker_count
    from smartmoney.runtime.tuning import tune as search
    from smartmoney.runtime.workers import cluster_workers, local_workers

    parts = len(plan.jobs) if plan.training is None else max(len(plan.jobs), plan.folds + 1)
    count = processes or worker_count(plan.batch * (plan.folds + 1) * parts, parallel=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    bar = Progress(*columns, console=Console(stderr=True))
    with TrialLog.open(trial_log) as log, cluster_workers(scheduler) if scheduler else local_workers(count) as workers, bar:
        task = bar.add_task("trials", total=plan.trials)
        below = bar.add_task("training", total=None, visible=False)
        return search(
            plan,
            log,
            workers,
            lambda done, of: bar.update(task, completed=done, total=of),
            lambda what, done, of: bar.update(below, description=what, completed=done, total=of, visible=done < of),
            lambda words: print(words, file=sys.stderr),
        )


def _say(result: "TuneResult", *, as_json: bool) -> None:
    if as_json:
        import msgspec

        print(msgspec.json.encode(result).decode())
        return
    from smartmoney.reports.tuning import result_lines

    for line in result_lines(result):
        print(line)
