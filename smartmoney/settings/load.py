"""Load the configuration: layers in order, each stronger than the one before, then one strict check of the whole.

The order: built-in defaults, the advanced features' file, a profile that the file names, the file, a profile asked for on the command line,
overrides. So what is said closer to the run wins.
"""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from pydantic import ValidationError

from smartmoney.core.strategy.parameters import WEIGHT_KEYS, StrategyParameters, balanced_weights
from smartmoney.settings.advanced import Section
from smartmoney.settings.errors import ConfigurationError
from smartmoney.settings.models import Mode, Settings
from smartmoney.settings.sources import Layer, advanced_layer, override_layer, package_directory, profile_layer, read_yaml

_SECTIONS = frozenset(name for name, field in Settings.model_fields.items() if isinstance(field.default, Section)) | {"regime_overrides"}


def load_settings(
    path: Path | str | None = None,
    profile: str | None = None,
    mode: Mode | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Settings:
    """Return the effective settings.

    Args:
        path: the configuration file; None is the package's own paper.yaml.
        profile: a profile's name, stronger than the file.
        mode: what the command line asks for; None takes the file's word (to check or show it). A file for the other mode is refused.
        overrides: single keys, dotted or nested, stronger than everything.

    Raises:
        ConfigurationError: anything at all is wrong, with the key and what to do.
    """
    base, directory = _base_layer(path, mode)
    return _settings_of(base, directory, profile, mode, overrides)


def recorded_settings(encoded: str, overrides: Mapping[str, Any] | None = None, directory: Path | None = None) -> Settings:
    """Return the settings that a run journaled, with single keys overridden; `directory` is where its strategy class is looked for.

    Raises:
        ConfigurationError: this build cannot use them.
    """
    try:
        values = msgspec.json.decode(encoded, type=dict[str, Any])
    except msgspec.MsgspecError as problem:
        raise ConfigurationError("the run's settings", f"cannot be read: {problem}", "give -c FILE") from None
    # What the named files said is in the other keys.
    values.pop("advanced_features_config_path", None)
    values.pop("profile", None)
    return _settings_of(Layer("the run's own settings", values), directory, None, None, overrides)


def _settings_of(
    base: Layer, directory: Path | None, profile: str | None, mode: Mode | None, overrides: Mapping[str, Any] | None
) -> Settings:
    stronger = [override_layer(overrides)] if overrides else []
    file_profile = _text(base, "profile")
    layers = [profile_layer(file_profile, directory)] if file_profile and profile is None else []
    layers.append(base)
    if profile is not None:
        layers.append(profile_layer(profile, directory))
    layers = [_canonical(layer) for layer in (*layers, *stronger)]
    named = next((found for layer in reversed(layers) if (found := _text(layer, "advanced_features_config_path"))), None)
    advanced = advanced_layer(named, directory)
    layers = [advanced, *layers] if advanced is not None else layers
    merged = _merged(layers)
    if profile is not None:
        merged["profile"] = profile
    try:
        settings = Settings.model_validate(merged)
    except ValidationError as error:
        from smartmoney.settings.explain import configuration_error

        raise configuration_error(error, layers) from None
    _check_mode(settings, mode, layers)
    _check_money(settings)
    _check_training(settings)
    settings._sources = ("built-in defaults", *(layer.origin for layer in layers))  # noqa: SLF001  # private to users of settings
    settings._directory = None if directory is None else str(directory)  # noqa: SLF001
    if settings.venue == "sim":
        from smartmoney.settings.scenario import scenario_of

        scenario_of(settings)
    return settings


def _base_layer(path: Path | str | None, mode: Mode | None) -> tuple[Layer, Path | None]:
    if path is not None:
        return Layer(str(path), read_yaml(Path(path))), Path(path).resolve().parent
    if mode == "live":
        raise ConfigurationError("mode", "live needs a configuration file with `mode: live`", "give it: -c config/live.yaml")
    folder = package_directory()
    if folder is None:
        return Layer("built-in defaults", {}), None
    return Layer(str(folder / "paper.yaml"), read_yaml(folder / "paper.yaml")), folder


def _text(layer: Layer, key: str) -> str | None:
    value = layer.values.get(key)
    return value if isinstance(value, str) else None


def _canonical(layer: Layer) -> Layer:
    """Return a layer with the other names of a key put in their place; the other name stays where the two contradict."""
    values = copy.deepcopy(layer.values)
    strategy = values.get("strategy")
    aliases: list[tuple[Any, str, tuple[str, ...]]] = [(values, "symbol", ("instruments",))]
    if isinstance(strategy, dict):
        aliases += [
            (strategy, "symbol", ("instruments",)),
            (strategy, "signal_decay_time", ("advanced_features", "signal_generation", "signal_decay_time")),
            (strategy, "advanced_features_config_path", ("advanced_features_config_path",)),
        ]
    for holder, name, home in aliases:
        if holder.get(name) is None:
            continue
        value = [holder[name]] if home == ("instruments",) else holder[name]
        place: Any = values
        for part in home[:-1]:
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                raise ConfigurationError(part, "holds no keys", f"write keys under it, in {layer.origin}")
        if place.get(home[-1], value) != value:
            raise ConfigurationError(
                f"strategy.{name}" if holder is strategy else name,
                f"contradicts {'.'.join(home)} in {layer.origin}",
                "keep one of the two",
            )
        place[home[-1]] = value
        del holder[name]
    return Layer(layer.origin, values)


def _merged(layers: list[Layer]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    standing = StrategyParameters()
    for layer in layers:
        _merge(merged, copy.deepcopy(layer.values))
        given = layer.values.get("strategy")
        if not isinstance(given, dict):
            continue
        weights = _weights(given, standing, f"in {layer.origin}")
        if weights:
            merged["strategy"].update(weights)
            standing = msgspec.structs.replace(standing, **weights)
    overrides = merged.get("regime_overrides")
    for regime, given in overrides.items() if isinstance(overrides, dict) else ():
        if isinstance(given, dict):
            given.update(_weights(given, standing, f"in regime_overrides.{regime}"))
    return merged


def _weights(given: Mapping[str, Any], standing: StrategyParameters, where: str) -> dict[str, float]:
    chosen = {key: given[key] for key in WEIGHT_KEYS if key in given}
    # What is no number at all is left to the models, which name it.
    if any(isinstance(value, bool) or not isinstance(value, (int, float)) for value in chosen.values()):
        return {}
    try:
        return balanced_weights(chosen, standing)
    except ValueError as error:
        negative = next((name for name, value in chosen.items() if not value >= 0), None)
        key = f"strategy.{negative or next(iter(chosen))}"
        raise ConfigurationError(key, f"{error}, {where}", "give weights of at least 0 that sum to 1, or fewer of them") from None


def _merge(target: dict[str, Any], values: dict[str, Any]) -> None:
    for key, value in values.items():
        standing = target.get(key)
        if isinstance(standing, dict) and isinstance(value, dict):
            _merge(standing, value)
        elif isinstance(standing, dict) and value is None:
            # `strategy:` with every line under it commented out says nothing.
            continue
        else:
            target[key] = {} if value is None and key in _SECTIONS else value


def _check_mode(settings: Settings, asked: Mode | None, layers: list[Layer]) -> None:
    if asked == "live" and settings.mode != "live":
        raise ConfigurationError(
            "mode",
            "--live was asked for, but the file says paper",
            "use a file with `mode: live`, such as config/live.yaml, or leave --live out",
        )
    if asked == "paper" and settings.mode == "live":
        raise ConfigurationError(
            "mode", "the file is for live trading, but --live was not given", "add --live, or use a paper file such as config/paper.yaml"
        )
    if settings.mode != "live":
        return
    for key in ("paper_balance", "paper"):
        origin = next((layer.origin for layer in layers if layer.values.get(key) is not None), None)
        if origin is not None:
            raise ConfigurationError(key, f"belongs to paper trading, but the mode is live, in {origin}", "remove it, or set `mode: paper`")


def _check_money(settings: Settings) -> None:
    if settings.mode == "live" and settings.capital is None:
        raise ConfigurationError(
            "capital", "is missing, and live trading must know what it may use", "set it to an amount of quote currency"
        )
    if settings.market == "spot" and settings.leverage != 1:
        raise ConfigurationError("leverage", f"is {settings.leverage}, but spot has none", "remove it, or set `market: usdm`")
    if settings.mode == "live" and settings.leverage % 1:
        raise ConfigurationError("leverage", f"is {settings.leverage}, and exchanges take whole numbers", "round it down")
    if settings.risk.reserved_orders_per_minute >= settings.risk.max_orders_per_minute:
        raise ConfigurationError("risk.reserved_orders_per_minute", "leaves nothing for entries", "set it below risk.max_orders_per_minute")
    quotes = {name.split(":")[0].split("/")[1] for name in settings.instruments}
    if len(quotes) > 1:
        raise ConfigurationError("instruments", f"have several quote currencies ({', '.join(sorted(quotes))})", "use one daemon for each")


def _check_training(settings: Settings) -> None:
    training = settings.training
    if not training.is_on:
        return
    if training.promote == "validated" and settings.mode == "live":
        raise ConfigurationError("training.promote", "is validated, which is for paper: real money needs the gate", "set gate, or never")
    if training.promote != "never" and settings.model not in {"default", "prior"}:
        remedy = "set model: default (or prior), or training.promote: never"
        raise ConfigurationError("model", f"names {settings.model!r:.60}, so that a restart would undo what training promotes", remedy)
    if training.min_hours > training.max_hours:
        problem = f"is {training.min_hours:g}, but no more than max_hours = {training.max_hours:g} are learned from"
        raise ConfigurationError("training.min_hours", problem, "lower it, or raise training.max_hours")
    kept_h = 24.0 * settings.capture.retention_days
    if kept_h < training.reach_h:
        problem = f"is {settings.capture.retention_days:g}, and a training needs {training.reach_h / 24.0:.1f} days of captures"
        raise ConfigurationError("capture.retention_days", problem, "raise it, or lower training.min_hours")
