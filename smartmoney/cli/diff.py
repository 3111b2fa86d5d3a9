"""`smartmoney diff`: would this build, or other settings, have done what a recorded run did?"""

from typing import TYPE_CHECKING, Annotated

import typer

from smartmoney.cli.common import AsJson, ConfigFile, Overrides, Profile, StateDir, layout_of, print_json, settings_of

if TYPE_CHECKING:
    from smartmoney.runtime.diff import DiffReport


def diff(
    run_id: Annotated[str, typer.Argument(help="A run; `last` is the newest.")],
    config: ConfigFile = None,
    profile: Profile = None,
    overrides: Overrides = None,
    build_only: Annotated[bool, typer.Option("--build-only", help="With -c: only find the strategy class beside that file.")] = False,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Compare a recorded run with the same inbox today; exit 0 if identical, 1 if not.

    Without settings: the run's journal against a replay by this build. With -c, --profile or --set: the captured feed under the run's own
    parameters against the same feed under these.

    Examples: smartmoney diff last; smartmoney diff last --set strategy.confidence_threshold=0.6 --json
    """
    is_build = build_only or not (config or profile or overrides)
    settings = None if is_build else settings_of(config, profile, "paper", overrides)
    from smartmoney.runtime import kernel_cache, logs

    logs.configure("WARNING", to_screen=False)
    kernel_cache.prepare()
    import msgspec

    from smartmoney.runtime.diff import diff_run
    from smartmoney.runtime.replay import named_run

    layout = layout_of(state_dir)
    report = diff_run(layout, named_run(layout, run_id), settings, None if config is None else str(config.parent))
    if as_json:
        print_json(msgspec.to_builtins(report))
    else:
        _say(report)
    raise typer.Exit(0 if report.identical else 1)


def _say(report: "DiffReport") -> None:
    print(f"run {report.run_id}: {'identical' if report.identical else 'DIFFERENT'}")
    print(f"compared: {report.compared}")
    for table, count in report.counts.items():
        print(f"  {table:<9} {count.recorded:>7} recorded {count.today:>7} today {count.different:>7} differ")
    first = report.first_difference
    if first is not None:
        print(f"first difference, in {first.table} at {first.wall_ns} ns:")
        print(f"  recorded  {first.recorded if first.recorded is not None else 'nothing'}")
        print(f"  today     {first.today if first.today is not None else 'nothing'}")
