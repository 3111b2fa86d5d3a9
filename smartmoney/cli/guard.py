"""`smartmoney guard`: the process beside the daemon that acts when the daemon does not."""

from typing import Annotated

import typer

from smartmoney.cli.common import ConfigFile, Overrides, Profile, StateDir, layout_of, settings_of


def guard(
    paper: Annotated[bool, typer.Option("--paper", help="Watch a daemon on paper (the default): it latches and tells, no more.")] = False,
    live: Annotated[bool, typer.Option("--live", help="Watch a live daemon, with a connection of its own to the exchange.")] = False,
    config: ConfigFile = None,
    profile: Profile = None,
    state_dir: StateDir = None,
    overrides: Overrides = None,
    as_json: Annotated[bool, typer.Option("--json", help="Accepted; log lines are JSON in any case.")] = False,
) -> None:
    """Watch the daemon's heartbeat; halt, cancel and protect when it stops. Example: smartmoney guard --live -c live.yaml."""
    import os
    import sys

    import msgspec

    from smartmoney.runtime.terms import guard_options
    from smartmoney.settings.errors import ConfigurationError

    del as_json
    if paper and live:
        raise ConfigurationError("--paper, --live", "both were given", "choose one")
    settings = settings_of(config, profile, "live" if live else "paper", overrides)
    options = guard_options(settings, layout_of(state_dir).root)
    # In its own place, without what was needed to read the settings: a process that waits all day should be small.
    os.execv(  # noqa: S606
        sys.executable, (sys.executable, "-m", "smartmoney.runtime.guard_process", msgspec.json.encode(options, enc_hook=str).decode())
    )
