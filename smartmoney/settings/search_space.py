"""What `smartmoney tune` may vary: settings keys with a range or choices, from a YAML file, checked before anything runs.

Invariant: every value that a space allows for one key alone is one that the settings accept there. What the world is like (fees,
latency, queue, balance, market) is no choice of the strategy's, and cannot be searched: the kindest world would win.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from smartmoney.settings.effective import effective_settings
from smartmoney.settings.errors import ConfigurationError
from smartmoney.settings.load import recorded_settings
from smartmoney.settings.models import Settings
from smartmoney.settings.sources import package_directory, read_yaml

SECTIONS = ("strategy", "advanced_features", "execution", "risk", "regime_overrides")
"""Where a key that is searched may stand."""
BASE_KEYS = tuple(
    f"advanced_features.regime_classification.{name}" for name in ("hmm_components", "feature_window", "gb_n_estimators", "gb_max_depth")
)
"""Keys of what only truth teaches: regimes. A training on recordings stands on a model of the built-in market that has them."""
LEARNED_KEYS = (*BASE_KEYS, "advanced_features.feature_engine.feature_interaction_depth")
"""Keys that shape a model while it is trained, and change nothing in one that is."""
_PRIORS_OWN = "advanced_features.regime_classification.feature_window"
DEFAULT_SPACE = Path("spaces") / "strategy.yaml"
_FIELDS = ("low", "high", "step", "log", "choices")
_KEYS_MAX = 50
_CHOICES_MAX = 100

Value = bool | int | float | str


class Dimension(msgspec.Struct, frozen=True, kw_only=True):
    """Be one key's range, from `low` to `high` in steps or by factors, or its `choices`; `is_whole` keys take whole numbers."""

    key: str
    low: float = 0.0
    high: float = 0.0
    step: float | None = None
    log: bool = False
    choices: tuple[Value, ...] = ()
    is_whole: bool = False


class SearchSpace(msgspec.Struct, frozen=True):
    """Be the dimensions, in the order of the file, and where they came from."""

    dimensions: tuple[Dimension, ...]
    origin: str

    @property
    def hash(self) -> str:
        """Return what tells this space from another, whatever file it stands in."""
        return hashlib.sha256(msgspec.json.encode(self.dimensions)).hexdigest()


def is_trained(space: SearchSpace, settings: Settings) -> bool:
    """Tell whether a space can only be searched by training. The untrained prior has a window of its own."""
    keys = {one.key for one in space.dimensions} & set(LEARNED_KEYS)
    return bool(keys - {_PRIORS_OWN} if settings.model == "prior" else keys)


def load_space(path: Path | None, settings: Settings) -> SearchSpace:
    """Return a file's search space, the package's own without one.

    Raises:
        ConfigurationError: anything is wrong with it, with the key and what to do.
    """
    if path is None:
        folder = package_directory()
        if folder is None:
            raise ConfigurationError("--space", "the package's own search space is not installed", "name a file: --space FILE.yaml")
        path = folder / DEFAULT_SPACE
    values = read_yaml(path, "--space")
    if not 0 < len(values) <= _KEYS_MAX:
        problem = f"{path} names {len(values)} keys" if values else f"{path} names no key"
        raise ConfigurationError("--space", problem, f"name 1 to {_KEYS_MAX} settings keys with low and high, or choices")
    return SearchSpace(tuple(_dimension(str(key), given, settings, path) for key, given in values.items()), str(path))


def with_parameters(settings: Settings, parameters: Mapping[str, Value]) -> Settings:
    """Return settings with single keys changed.

    Raises:
        ConfigurationError: they do not go together.
    """
    directory = None if settings.directory is None else Path(settings.directory)
    return recorded_settings(json.dumps(effective_settings(settings)), parameters, directory)


def current_value(settings: Settings, key: str) -> Any:
    """Return the value that a dotted key has; None where it has none."""
    value: Any = settings
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else getattr(value, part, None)
    return float(value) if isinstance(value, Decimal) else value


def _dimension(key: str, given: Any, settings: Settings, path: Path) -> Dimension:
    section, _, rest = key.partition(".")
    if section not in SECTIONS or not rest:
        remedy = f"name a key under {', '.join(SECTIONS)}, dotted, such as strategy.confidence_threshold"
        raise ConfigurationError(key, f"cannot be searched, in {path}", remedy)
    if not isinstance(given, dict):
        raise ConfigurationError(key, f"{given!r:.60} is no range, in {path}", "write {low: 0.5, high: 0.9} or {choices: [1, 2]}")
    for field in given:
        if field not in _FIELDS:
            raise ConfigurationError(f"{key}.{field}", f"is unknown in {path}", f"use {', '.join(_FIELDS)}")
    if "choices" in given:
        return _choices(key, given, settings, path)
    return _range(key, given, settings, path)


def _choices(key: str, given: Mapping[str, Any], settings: Settings, path: Path) -> Dimension:
    if len(given) > 1:
        raise ConfigurationError(key, f"has choices and a range, in {path}", "keep one of the two")
    choices = given["choices"]
    are_plain = isinstance(choices, list) and all(isinstance(one, bool | int | float | str) for one in choices)
    if not are_plain or not 2 <= len(choices) <= _CHOICES_MAX or len({json.dumps(one) for one in choices}) != len(choices):
        remedy = f"list 2 to {_CHOICES_MAX} different numbers, words or booleans"
        raise ConfigurationError(f"{key}.choices", f"{choices!r:.60} are no choices, in {path}", remedy)
    for choice in choices:
        _accepted(key, "choices", choice, settings, path)
    return Dimension(key=key, choices=tuple(choices))


def _range(key: str, given: Mapping[str, Any], settings: Settings, path: Path) -> Dimension:
    for field in ("low", "high"):
        if field not in given:
            raise ConfigurationError(f"{key}.{field}", f"is missing in {path}", "give low and high, or choices")
    for field in ("low", "high", "step"):
        value = given.get(field, 0)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ConfigurationError(f"{key}.{field}", f"{value!r:.60} is no number, in {path}", "write a plain number")
    low, high, step, log = given["low"], given["high"], given.get("step"), given.get("log", False)
    if not low < high:
        raise ConfigurationError(f"{key}.low", f"{low} is not below high ({high}), in {path}", "put the smaller number first")
    if not isinstance(log, bool):
        raise ConfigurationError(f"{key}.log", f"{log!r:.60} is neither true nor false, in {path}", "write true or leave it out")
    if log and (step is not None or not low > 0):
        raise ConfigurationError(f"{key}.log", f"needs low above 0 and no step, in {path}", "raise low, or leave out step or log")
    if step is not None and not 0 < step <= high - low:
        raise ConfigurationError(f"{key}.step", f"{step} does not fit between {low} and {high}, in {path}", "choose a smaller step above 0")
    kinds = [type(_accepted(key, field, given[field], settings, path)) for field in ("low", "high")]
    is_whole = kinds == [int, int]
    if is_whole and step is not None and step != int(step):
        raise ConfigurationError(f"{key}.step", f"{step} is no whole number, in {path}", "this key takes whole numbers")
    return Dimension(key=key, low=low, high=_last_step(low, high, step), step=step, log=log, is_whole=is_whole)


def _last_step(low: float, high: float, step: float | None) -> float:
    """Return the last value that steps from `low` reach."""
    if step is None:
        return high
    first, width = Decimal(str(low)), Decimal(str(step))
    reached = first + (Decimal(str(high)) - first) // width * width
    return int(reached) if isinstance(low, int) and isinstance(step, int) else float(reached)


def _accepted(key: str, field: str, value: Any, settings: Settings, path: Path) -> Any:
    """Return the value as the settings take it."""
    try:
        changed = with_parameters(settings, {key: value})
    except ConfigurationError as refused:
        where = key if refused.problem.startswith("unknown key") else f"{key}.{field}"
        raise ConfigurationError(
            where, f"{refused.problem.replace(' in overrides', '')}, in {path}", refused.remedy.replace("overrides", str(path))
        ) from None
    found = current_value(changed, key)
    if isinstance(value, bool) != isinstance(found, bool) or (isinstance(found, str) and field != "choices"):
        raise ConfigurationError(f"{key}.{field}", f"{value!r:.60} is no number here, in {path}", "give choices instead")
    return found
