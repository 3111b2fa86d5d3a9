"""`smartmoney alerts`: does whoever should hear of a halt hear anything at all, and one alert by hand or from another unit."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from smartmoney.cli.common import AsJson, ConfigFile, Overrides, Profile, print_json, settings_of

if TYPE_CHECKING:
    from smartmoney.settings.models import Settings

TEXT_MAX = 3_000
"""Characters of a text that go into an alert: services refuse longer ones."""
Mode = Annotated[Literal["paper", "live"], typer.Option(help="The configuration's mode.")]

app = typer.Typer(help="Alerts to people.", no_args_is_help=True)


@app.command("test")
def send_test(
    config: ConfigFile = None, profile: Profile = None, mode: Mode = "paper", overrides: Overrides = None, as_json: AsJson = False
) -> None:
    """Send one test alert to every address; exit 0 only if each took it. Example: smartmoney alerts test -c paper.yaml."""
    settings = settings_of(config, profile, mode, overrides)
    _send(settings, "test", "If you read this, alerts reach you.", "info", as_json=as_json)


@app.command("send")
def send(
    subject: Annotated[str, typer.Argument(help="What it is about, in a line.")],
    text: Annotated[str, typer.Argument(help="What there is to say.")] = "",
    text_from: Annotated[Path | None, typer.Option("--text-from", help="A file whose beginning is added to the text.")] = None,
    severity: Annotated[Literal["info", "warning", "critical"], typer.Option(help="How bad it is.")] = "warning",
    config: ConfigFile = None,
    profile: Profile = None,
    mode: Mode = "paper",
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Send one alert to every address, as from another unit's OnFailure=; exit 0 only if each took it.

    Example: smartmoney alerts send "backup failed" "see journalctl -u backup" -c paper.yaml.
    """
    settings = settings_of(config, profile, mode, overrides)
    parts = (text, "" if text_from is None else _beginning_of(text_from))
    _send(settings, subject, "\n".join(part for part in parts if part) or subject, severity, as_json=as_json)


def _beginning_of(path: Path) -> str:
    """Return the beginning of a file; one that is not there is told, and the alert goes out all the same."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            found = file.read(TEXT_MAX + 1)
    except OSError as error:
        return f"({path}: {error.strerror or error})"
    return found.strip() if len(found) <= TEXT_MAX else f"{found[:TEXT_MAX].rstrip()} ..."


def _send(settings: "Settings", subject: str, text: str, severity: str, *, as_json: bool) -> None:
    import asyncio

    from smartmoney.adapters.alert_channel import AlertChannel, AlertsUnusable
    from smartmoney.settings.errors import ConfigurationError

    if not settings.alerts.urls:
        raise ConfigurationError("alerts.urls", "no addresses are configured", "put them into a file of mode 0600 and name it here")

    async def told() -> list[bool]:
        channel = AlertChannel(settings.alerts.urls, settings.alerts.timeout_s)
        try:
            return await channel.send(f"smartmoney {settings.mode} {settings.venue}: {subject}", text, severity)
        finally:
            await channel.close()

    taken = asyncio.run(told())
    if as_json:
        print_json({"ok": all(taken), "sent": taken})
    else:
        for number, is_taken in enumerate(taken, start=1):
            print(f"address {number}: {'sent' if is_taken else 'FAILED'}")
    if not all(taken):
        raise AlertsUnusable(f"{taken.count(False)} of {len(taken)} addresses did not take it")
