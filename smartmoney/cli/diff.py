"""`smartmoney diff`: would this build, or other settings, have done what a recorded run did?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from smartmoney.cli.common import AsJson, ConfigFile, Overrides, Profile, StateDir, layout_of, print_json, settings_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from smartmoney.adapters.state_directory import StateLayout
    from smartmoney.runtime.diff import DiffReport
    from smartmoney.settings.models import Settings

_LAST_DAY = "last-day"


def diff(
    run_id: Annotated[str, typer.Argument(help="A run; `last` is the newest, `last-day` all that reach into its last day.")],
    config: ConfigFile = None,
    profile: Profile = None,
    overrides: Overrides = None,
    build_only: Annotated[bool, typer.Option("--build-only", help="With -c: only find the strategy class beside that file.")] = False,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write here what is printed, or why nothing could be compared.")
    ] = None,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Compare a recorded run with the same inbox today; exit 0 if identical, 1 if not.

    Without settings: the run's journal against a replay by this build. With --set: the captured feed under the run's own settings against
    the same with those keys changed; with -c or --profile against those.

    Examples: smartmoney diff last; smartmoney diff last-day; smartmoney diff last --set strategy.confidence_threshold=0.6 --json
    """
    is_build = build_only or not (config or profile or overrides)
    from smartmoney.runtime import kernel_cache, logs

    logs.configure("WARNING", to_screen=False)
    kernel_cache.prepare()
    from smartmoney.runtime.diff import diff_build, diff_settings

    layout = layout_of(state_dir)

    def compare(name: str) -> "DiffReport":
        if is_build:
            return diff_build(layout, name, None if config is None else str(config.parent))
        return diff_settings(layout, name, _settings(layout, name, config, profile, overrides))

    if out is not None:
        out.unlink(missing_ok=True)  # what an earlier call wrote is not this one's
    try:
        reports, refused, is_whole = _compared(layout, run_id, compare)
    except Exception as error:
        # Whoever is sent the file learns from it why there is nothing to read.
        if out is not None:
            out.write_text(f"nothing was compared: {str(error) or type(error).__name__}\n", encoding="utf-8")
        raise
    lines = [*(f"not compared: {why}" for why in refused), *(line for report in reports for line in _lines(report))]
    if as_json:
        _print_reports(reports, refused, of_day=run_id == _LAST_DAY)
    else:
        print("\n".join(lines))
    if out is not None:
        out.write_text("\n".join((*lines, "")), encoding="utf-8")
    raise typer.Exit(0 if is_whole and all(report.identical for report in reports) else 1)


def _compared(layout: "StateLayout", run_id: str, compare: "Callable[[str], DiffReport]") -> "tuple[list[DiffReport], list[str], bool]":
    """Return what differs in the runs that are meant, those that do first; why others were not compared; whether all that can be were."""
    from smartmoney.runtime.replay import NothingProven, ReplayRefused, named_run, runs_of_last_day

    names = runs_of_last_day(layout) if run_id == _LAST_DAY else [named_run(layout, run_id)]
    reports: list[DiffReport] = []
    refused: list[str] = []
    is_whole = True
    for name in names:
        try:
            reports.append(compare(name))
        except ReplayRefused as why:
            is_whole = is_whole and isinstance(why, NothingProven)
            refused.append(str(why))
    if not reports:
        raise ReplayRefused("; ".join(refused))
    return sorted(reports, key=lambda report: report.identical), refused, is_whole


def _print_reports(reports: "Sequence[DiffReport]", refused: list[str], *, of_day: bool) -> None:
    import msgspec

    found = msgspec.to_builtins(list(reports))
    print_json({"runs": found, "refused": refused} if of_day else found[0])


def _settings(layout: "StateLayout", name: str, config: Path | None, profile: str | None, overrides: list[str] | None) -> "Settings":
    """Return the other settings: of a file or profile, else the run's own with single keys changed."""
    if config is not None or profile is not None:
        return settings_of(config, profile, "paper", overrides)
    from smartmoney.runtime.diff import encoded_settings
    from smartmoney.settings.load import recorded_settings
    from smartmoney.settings.sources import parse_override

    return recorded_settings(encoded_settings(layout, name), dict(parse_override(text) for text in overrides or ()))


def _lines(report: "DiffReport") -> "Iterator[str]":
    yield f"run {report.run_id}: {'identical' if report.identical else 'DIFFERENT'}"
    first = report.first_difference
    if first is not None:
        yield f"first difference, in {first.table} at {first.wall_ns} ns:"
        yield f"  recorded  {first.recorded if first.recorded is not None else 'nothing'}"
        yield f"  today     {first.today if first.today is not None else 'nothing'}"
    yield f"compared: {report.compared}"
    for table, count in report.counts.items():
        yield f"  {table:<9} {count.recorded:>7} recorded {count.today:>7} today {count.different:>7} differ"
    for note in report.notes:
        yield f"  {note}"
