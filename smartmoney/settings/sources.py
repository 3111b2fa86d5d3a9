"""Where configuration comes from: files found and read, profiles, dotted overrides. Everything ends as plain mappings, origin beside it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

import smartmoney
from smartmoney.settings.errors import ConfigurationError

ADVANCED_FILE = Path("ml") / "advanced_features_config.yaml"
_BYTES_MAX = 1 << 20


class Layer(NamedTuple):
    """Be one source's values: nested mappings, as written, and what to call the source in a message."""

    origin: str
    values: dict[str, Any]


class _StrictLoader(yaml.SafeLoader):
    """Load plain YAML and refuse a key that is written twice, of which only the last would count."""


def _unique_mapping(loader: _StrictLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, (str, int, float, bool, type(None))) or key in seen:
            raise yaml.constructor.ConstructorError(None, None, f"key {key!r} is written twice or is no plain key", key_node.start_mark)
        seen.add(key)
    return loader.construct_mapping(node, deep=True)


_StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _unique_mapping)


def package_directory() -> Path | None:
    """Return the folder of the configuration that came with the package: inside it when installed, beside it in a checkout."""
    home = Path(smartmoney.__file__).resolve().parent
    for folder in (home / "config", home.parent / "config"):
        if (folder / "paper.yaml").is_file():
            return folder
    return None


def read_yaml(path: Path, key: str = "config") -> dict[str, Any]:
    """Return the mapping in a YAML file; an empty file is an empty mapping.

    Raises:
        ConfigurationError: the file is missing, unreadable, too large, no YAML, or no mapping.
    """
    try:
        if path.stat().st_size > _BYTES_MAX:
            raise ConfigurationError(key, f"{path} is larger than 1 MiB", "name a configuration file")
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigurationError(key, f"file {path} does not exist", "check the path, or leave it out to use the package's own") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(key, f"file {path} cannot be read ({error})", "make it a readable UTF-8 text file") from None
    try:
        values = yaml.load(text, Loader=_StrictLoader)  # noqa: S506  # a subclass of SafeLoader
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        problem = " ".join(str(error).split())[:200] if not isinstance(error, RecursionError) else "nested too deeply"
        raise ConfigurationError(key, f"{path} is not valid YAML ({problem})", "correct the file at that line") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigurationError(key, f"{path} holds a {type(values).__name__}, not keys", "write it as `key: value` lines")
    return values


def advanced_layer(named: str | None, directory: Path | None) -> Layer | None:
    """Return the advanced features of a file: the named one, else the one beside the configuration, else the package's, else None.

    A named path is looked for from the configuration's folder, from the folder above (`config/ml/...` as seen from a project), and from
    where the process runs.

    Raises:
        ConfigurationError: a named file is nowhere, or a file is not usable.
    """
    if named is not None:
        tried = [folder / named for folder in (directory, directory.parent if directory else None, Path.cwd()) if folder is not None]
        path = next((candidate for candidate in tried if candidate.is_file()), None)
        if path is None:
            raise ConfigurationError(
                "advanced_features_config_path",
                f"file {named} does not exist (looked at {', '.join(str(candidate) for candidate in dict.fromkeys(tried))})",
                "correct the path, or leave the key out to use the package's own",
            )
    else:
        beside = [folder / ADVANCED_FILE for folder in (directory, package_directory()) if folder is not None]
        path = next((candidate for candidate in beside if candidate.is_file()), None)
        if path is None:
            return None
    values = read_yaml(path, "advanced_features_config_path")
    stray = [str(key) for key in values if key != "advanced_features"]
    if stray:
        raise ConfigurationError(stray[0], f"unknown key in {path}", "everything in that file stands under `advanced_features:`")
    return Layer(str(path), values)


def profile_layer(name: str, directory: Path | None) -> Layer:
    """Return a profile: `profiles/NAME.yaml` beside the configuration, else the package's.

    Raises:
        ConfigurationError: there is no such profile.
    """
    folders = [folder / "profiles" for folder in (directory, package_directory()) if folder is not None]
    for folder in folders:
        if (folder / f"{name}.yaml").is_file():
            return Layer(f"profile {name} ({folder / f'{name}.yaml'})", read_yaml(folder / f"{name}.yaml", "profile"))
    known = sorted({path.stem for folder in folders for path in folder.glob("*.yaml")})
    raise ConfigurationError("profile", f"there is no profile {name!r}", f"choose one of: {', '.join(known) or 'none found'}")


def override_layer(overrides: Mapping[str, Any]) -> Layer:
    """Return overrides as a layer: keys may be dotted (`strategy.max_position_size`) or nested mappings."""
    values: dict[str, Any] = {}
    for dotted, value in overrides.items():
        *parents, last = dotted.split(".")
        place = values
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    return Layer("overrides", values)


def parse_override(text: str) -> tuple[str, Any]:
    """Return key and value of `key=value`, the value read as YAML.

    Raises:
        ConfigurationError: there is no equals sign, or the value is no YAML.
    """
    key, equals, value = text.partition("=")
    if not (key.strip() and equals):
        raise ConfigurationError(text, "is not of the form key=value", "write for example strategy.max_position_size=0.05")
    try:
        return key.strip(), yaml.load(value, Loader=_StrictLoader)  # noqa: S506  # a subclass of SafeLoader
    except (yaml.YAMLError, RecursionError, ValueError):
        raise ConfigurationError(key.strip(), f"{value!r:.60} is not a value", "quote it as YAML asks") from None
