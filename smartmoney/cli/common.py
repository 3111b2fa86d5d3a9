"""What the command groups share: options with one meaning everywhere, and how settings and state are found."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from smartmoney.adapters.state_directory import StateLayout
    from smartmoney.settings.models import Settings

StateDir = Annotated[
    Path | None,
    typer.Option("--state-dir", help="Where state lives [default: SMARTMONEY_STATE_DIR, STATE_DIRECTORY, or the XDG state folder]."),
]
ConfigFile = Annotated[Path | None, typer.Option("--config", "-c", help="Configuration file [default: the package's paper.yaml].")]
Profile = Annotated[str | None, typer.Option(help="conservative, aggressive, high_frequency, or one of your own.")]
Overrides = Annotated[list[str] | None, typer.Option("--set", help="Override one key, as in --set strategy.max_drawdown=0.03. Repeatable.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def layout_of(state_dir: Path | None) -> "StateLayout":
    """Return the files of the state directory that is meant."""
    from smartmoney.adapters.state_directory import StateLayout, resolve_state_directory

    return StateLayout(resolve_state_directory(state_dir, os.environ))


def settings_of(config: Path | None, profile: str | None, mode: Any, overrides: list[str] | None) -> "Settings":
    """Return the effective settings.

    Raises:
        ConfigurationError: anything is wrong with them.
    """
    from smartmoney.settings.load import load_settings
    from smartmoney.settings.sources import parse_override

    return load_settings(config, profile, mode, dict(parse_override(text) for text in overrides or ()))


def print_json(value: Any) -> None:
    """Print one JSON object."""
    print(json.dumps(value, default=str))
