"""`smartmoney doctor`: what is wrong, before it costs anything."""

from typing import TYPE_CHECKING, Annotated

import typer

from smartmoney.cli.common import AsJson, ConfigFile, Overrides, Profile, StateDir, layout_of, print_json, settings_of

if TYPE_CHECKING:
    from smartmoney.runtime.doctor_machine import Check


def doctor(
    live: Annotated[bool, typer.Option("--live", help="Ask what the door to live trading asks, the account included.")] = False,
    config: ConfigFile = None,
    profile: Profile = None,
    state_dir: StateDir = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Check machine, settings, venue, key, alerts, guard; exit 1 if something is wrong. Example: smartmoney doctor --live -c live.yaml."""
    import asyncio

    import msgspec

    from smartmoney.runtime import logs
    from smartmoney.settings.errors import ConfigurationError

    logs.configure("ERROR", to_screen=False)
    from smartmoney.runtime.doctor import examine
    from smartmoney.runtime.doctor_machine import Check, machine_checks

    layout = layout_of(state_dir)
    try:
        settings = settings_of(config, profile, "live" if live else "paper", overrides)
    except ConfigurationError as error:
        wrong = Check(name="configuration", ok=False, found=str(error), remedy="smartmoney config check")
        checks = [wrong, *machine_checks(layout, is_live=live)]
    else:
        right = Check(name="configuration", ok=True, found=f"{settings.mode}, {settings.venue}, {', '.join(settings.instruments)}")
        checks = [right, *asyncio.run(examine(settings, layout))]
    is_well = not any(check.ok is False for check in checks)
    if as_json:
        print_json({"ok": is_well, "checks": msgspec.to_builtins(checks)})
    else:
        _show(checks)
    raise typer.Exit(0 if is_well else 1)


def _show(checks: list["Check"]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    for check in checks:
        sign = {True: "[green]ok[/]", False: "[red]WRONG[/]", None: "[yellow]note[/]"}[check.ok]
        table.add_row(sign, check.name, check.found + (f"\n→ {check.remedy}" if check.ok is not True and check.remedy else ""))
    Console().print(table)
