"""`smartmoney diff`: would this build, or other settings, have done what a recorded run did?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from smartmoney.cli.common import AsJson, ConfigFile, Overrides, Profile, StateDir, layout_of, print_json, settings_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from smartmoney.adapters.state_directory import StateLayout
    from smartmoney.runtime.diff import DiffReport
    from smartmoney.settings.models import Settings


def diff(
    run_id: Annotated[str, typer.Argument(help="A run; `last` is the newest.")],
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

    Examples: smartmoney diff last; smartmoney diff last --set strategy.confidence_threshold=0.6 --json
    """
    is_build = build_only or not (config or profile or overrides)
    from smartmoney.runtime import kernel_cache, logs

    logs.configure("WARNING", to_screen=False)
    kernel_cache.prepare()
    import msgspec

    from smartmoney.runtime.diff import diff_build, diff_settings
    from smartmoney.runtime.replay import named_run

    layout = layout_of(state_dir)
    if out is not None:
        out.unlink(missing_ok=True)  # what an earlier call wrote is not this one's
    try:
        name = named_run(layout, run_id)
        if is_build:
            report = diff_build(layout, name, None if config is None else str(config.parent))
        else:
            report = diff_settings(layout, name, _settings(layout, name, config, profile, overrides))
    except Exception as error:
        # Whoever is sent the file learns from it why there is nothing to read.
        if out is not None:
            out.write_text(f"nothing was compared: {str(error) or type(error).__name__}\n", encoding="utf-8")
        raise
    if as_json:
        print_json(msgspec.to_builtins(report))
    else:
        print("\n".join(_lines(report)))
    if out is not None:
        out.write_text("\n".join((*_lines(report), "")), encoding="utf-8")
    raise typer.Exit(0 if report.identical else 1)


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
