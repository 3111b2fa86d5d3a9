"""From pydantic's findings to one line each: the key as it is written, what is wrong, and what to do, with the likely spelling."""

import difflib
import inspect
import typing
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from smartmoney.settings.errors import ConfigurationError
from smartmoney.settings.models import Settings
from smartmoney.settings.sources import Layer

_SECRETS = ("secret", "api_key", "apikey", "password", "passphrase", "token", "private_key")


def configuration_error(error: ValidationError, layers: Sequence[Layer], root: type[BaseModel] = Settings) -> ConfigurationError:
    """Return the first finding as an error, the rest attached to it; `root` is the model that refused."""
    findings = [_finding(finding, layers, root) for finding in error.errors(include_url=False)]
    # A misspelt key comes first: what else is wrong often follows from it.
    findings.sort(key=lambda found: not found.problem.startswith("unknown key"))
    first = findings[0]
    return ConfigurationError(first.key, first.problem, first.remedy, tuple(findings[1:]))


def _finding(finding: Any, layers: Sequence[Layer], root: type[BaseModel]) -> ConfigurationError:
    place = tuple(part for part in finding["loc"] if part != "[key]")
    key = ".".join(str(part) for part in place)
    origin = _origin(place, layers)
    if finding["type"] == "extra_forbidden":
        return ConfigurationError(key, f"unknown key in {origin}", _spelling(place, root))
    said = finding["msg"].removeprefix("Value error, ")
    said = said[0].lower() + said[1:]
    shown = repr(finding["input"])
    shown = shown if len(shown) <= 60 else shown[:57] + "..."
    default = _default(place, root)
    remedy = f"correct it in {origin}" + (f" (the default is {default})" if default is not None else "")
    return ConfigurationError(key, f"{shown} is refused: {said}", remedy)


def _spelling(place: tuple[Any, ...], root: type[BaseModel]) -> str:
    last = str(place[-1])
    if any(word in last.lower() for word in _SECRETS):
        return "remove it: secrets come from the environment, never from a configuration file"
    model = _model_at(place[:-1], root)
    here = sorted(model.model_fields) if model is not None else []
    near = difflib.get_close_matches(last.lower(), here, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]}?"
    homes = sorted(".".join((*path, name)) for path, found in _models(root, ()) for name in found.model_fields if name == last)
    if homes:
        return f"it belongs at {' or '.join(homes)}"
    everywhere = {name: ".".join((*path, name)) for path, found in _models(root, ()) for name in found.model_fields}
    near = difflib.get_close_matches(last.lower(), sorted(everywhere), n=1, cutoff=0.75)
    if near:
        return f"did you mean {everywhere[near[0]]}?"
    return f"remove it; known here: {', '.join(here)}"


def _origin(place: tuple[Any, ...], layers: Sequence[Layer]) -> str:
    return next((layer.origin for layer in reversed(layers) if _is_at(layer.values, place)), "the configuration")


def _is_at(values: Any, place: tuple[Any, ...]) -> bool:
    for part in place:
        if not _holds(values, part):
            return False
        values = values[part]
    return True


def _holds(values: Any, part: Any) -> bool:
    if isinstance(values, dict):
        return part in values
    return isinstance(values, (list, tuple)) and isinstance(part, int) and part < len(values)


def _default(place: tuple[Any, ...], root: type[BaseModel]) -> Any:
    model = _model_at(place[:-1], root)
    field = model.model_fields.get(str(place[-1])) if model is not None and place else None
    if field is None or field.is_required() or isinstance(field.default, (BaseModel, dict)):
        return None
    return field.default if not isinstance(field.default, tuple) else ", ".join(map(str, field.default))


def _model_at(place: tuple[Any, ...], root: type[BaseModel]) -> type[BaseModel] | None:
    model: type[BaseModel] | None = root
    skip = False
    for part in place:
        if skip or isinstance(part, int):
            skip = False
            continue
        field = model.model_fields.get(str(part)) if model is not None else None
        if field is None:
            return None
        model = _nested(field.annotation)
        # The values of a mapping lie one level further down, under a key of the user's.
        skip = typing.get_origin(field.annotation) is dict
    return model


def _nested(annotation: Any) -> type[BaseModel] | None:
    if inspect.isclass(annotation) and typing.get_origin(annotation) is None and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in typing.get_args(annotation) if (found := _nested(part)) is not None), None)


def _models(model: type[BaseModel], path: tuple[str, ...]) -> list[tuple[tuple[str, ...], type[BaseModel]]]:
    found = [(path, model)]
    for name, field in model.model_fields.items():
        nested = _nested(field.annotation)
        if nested is not None and typing.get_origin(field.annotation) is not dict:
            found += _models(nested, (*path, name))
    return found
