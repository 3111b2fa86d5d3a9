"""`smartmoney config`: check, show and describe the configuration. Reads files, changes none."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

EXIT_CONFIGURATION = 78

app = typer.Typer(help="Check, show and describe the configuration.", no_args_is_help=True, rich_markup_mode=None)

File = Annotated[
    Path | None, typer.Option("--config", "-c", metavar="FILE", help="Configuration file; the package's paper.yaml if left out.")
]
Profile = Annotated[str | None, typer.Option("--profile", metavar="NAME", help="conservative, aggressive or high_frequency.")]
Override = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="One key, such as strategy.max_position_size=0.05.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.command()
def check(config: File = None, profile: Profile = None, override: Override = None, as_json: Json = False) -> None:
    """Check a configuration: exit code 0 when it can be used, 78 with one line (key and remedy) when not.

    Example: smartmoney config check -c config/paper.yaml --profile conservative
    """
    from smartmoney.settings import config_hash

    with _reported(as_json):
        settings = _load(config, profile, override)
        found = {
            "ok": True,
            "mode": settings.mode,
            "venue": settings.venue,
            "config_hash": config_hash(settings),
            "sources": list(settings.sources),
        }
    print(json.dumps(found) if as_json else f"ok: {settings.mode} on {settings.venue}, from {settings.sources[-1]}")


@app.command()
def show(config: File = None, profile: Profile = None, override: Override = None, as_json: Json = False) -> None:
    """Show what a configuration comes to: every key with its effective value, and the thresholds that follow from it.

    Example: smartmoney config show --profile aggressive
    """
    import yaml

    from smartmoney.settings import config_hash, effective_settings, effective_thresholds

    with _reported(as_json):
        settings = _load(config, profile, override)
        effective, thresholds = effective_settings(settings), effective_thresholds(settings)
    if as_json:
        print(
            json.dumps(
                {
                    "settings": effective,
                    "effective_thresholds": thresholds,
                    "config_hash": config_hash(settings),
                    "sources": list(settings.sources),
                }
            )
        )
        return
    print(yaml.safe_dump(effective, sort_keys=False, allow_unicode=True), end="")
    print("\n".join(_in_words(thresholds)))
    print(f"# from {'; '.join(settings.sources)}")
    print(f"# config_hash {config_hash(settings)}")


@app.command()
def schema(as_json: Json = False) -> None:
    """Print the JSON schema of a configuration file: every key, its range, its default, what it does.

    Example: smartmoney config schema > smartmoney.schema.json
    """
    from smartmoney.settings import json_schema

    print(json.dumps(json_schema(), indent=None if as_json else 2))


def _load(config: Path | None, profile: str | None, override: list[str] | None) -> Any:
    from smartmoney.settings import load_settings, parse_override

    return load_settings(config, profile=profile, overrides=dict(parse_override(text) for text in override or ()))


def _in_words(thresholds: Mapping[str, float]) -> Iterator[str]:
    yield "# effective thresholds"
    yield (
        f"#   stable regime:   confidence {thresholds['confidence_stable']:.4g}, "
        f"and a signal at that threshold lives {thresholds['signal_life_stable_s']:.0f} s"
    )
    yield (
        f"#   unstable regime: confidence {thresholds['confidence_unstable']:.4g} (discounted by 0.8), "
        f"and a signal at that threshold lives {thresholds['signal_life_unstable_s']:.0f} s"
    )
    yield (
        f"#   weights: regime {thresholds['regime_weight']:.4g}, imbalance {thresholds['imbalance_weight']:.4g}, "
        f"liquidity {thresholds['liquidity_weight']:.4g}"
    )


@contextmanager
def _reported(as_json: bool) -> Iterator[None]:
    """Turn a configuration error into one line on standard error (one JSON object with `--json`) and exit code 78."""
    from smartmoney.settings import ConfigurationError

    try:
        yield
    except ConfigurationError as error:
        if as_json:
            problems = [{"key": each.key, "problem": each.problem, "remedy": each.remedy} for each in (error, *error.others)]
            print(json.dumps({"ok": False, "error": "ConfigurationError", "message": str(error), "problems": problems}))
        typer.echo(f"smartmoney: {error}", err=True)
        raise typer.Exit(EXIT_CONFIGURATION) from None
