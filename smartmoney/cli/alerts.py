"""`smartmoney alerts`: does whoever should hear of a halt hear anything at all?"""

from typing import Annotated, Literal

import typer

from smartmoney.cli.common import AsJson, ConfigFile, Overrides, Profile, print_json, settings_of

app = typer.Typer(help="Alerts to people.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keep `alerts test` two words."""


@app.command("test")
def send_test(
    config: ConfigFile = None,
    profile: Profile = None,
    mode: Annotated[Literal["paper", "live"], typer.Option(help="The configuration's mode.")] = "paper",
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Send one test alert to every address; exit 0 only if each took it. Example: smartmoney alerts test -c paper.yaml."""
    import asyncio

    from smartmoney.adapters.alert_channel import AlertChannel, AlertsUnusable
    from smartmoney.settings.errors import ConfigurationError

    settings = settings_of(config, profile, mode, overrides)
    if not settings.alerts.urls:
        raise ConfigurationError("alerts.urls", "no addresses are configured", "put them into a file of mode 0600 and name it here")

    async def send() -> list[bool]:
        channel = AlertChannel(settings.alerts.urls, settings.alerts.timeout_s)
        try:
            return await channel.send(f"smartmoney {settings.mode} {settings.venue}: test", "If you read this, alerts reach you.", "info")
        finally:
            await channel.close()

    taken = asyncio.run(send())
    if as_json:
        print_json({"ok": all(taken), "sent": taken})
    else:
        for number, is_taken in enumerate(taken, start=1):
            print(f"address {number}: {'sent' if is_taken else 'FAILED'}")
    if not all(taken):
        raise AlertsUnusable(f"{taken.count(False)} of {len(taken)} addresses did not take it")
