"""What each key means: the docstring under its field, read from the sources when somebody asks for it.

pydantic can collect these while a class is made, but looks through every loaded module for each class: it was half of what settings cost at
each start, for a text that only `config schema` and the documentation show.
"""

import ast
import inspect
import sys
from collections.abc import Iterator
from functools import cache
from typing import Any, get_args

from pydantic import BaseModel


def meanings(model: type[BaseModel]) -> dict[str, str]:
    """Return the meaning of each field of a model that has one: its description, or the docstring under it."""
    found: dict[str, str] = {}
    for owner in reversed(model.__mro__):
        if issubclass(owner, BaseModel) and owner is not BaseModel:
            found |= _docstrings(owner.__module__).get(owner.__qualname__, {})
    return found | {name: field.description for name, field in model.model_fields.items() if field.description}


def described_schema(root: type[BaseModel]) -> dict[str, Any]:
    """Return a model's JSON schema, with the meaning of every key in it."""
    schema = root.model_json_schema()
    known = {model.__name__: model for model in _models(root)}
    _describe(schema, root)
    for name, part in schema.get("$defs", {}).items():
        if name in known:
            _describe(part, known[name])
    return schema


def _describe(schema: dict[str, Any], model: type[BaseModel]) -> None:
    for name, meaning in meanings(model).items():
        if name in schema["properties"]:
            schema["properties"][name].setdefault("description", meaning)


def _models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """Yield a model and those that its fields hold."""
    yield model
    for field in model.model_fields.values():
        for nested in _nested(field.annotation):
            yield from _models(nested)


def _nested(annotation: Any) -> Iterator[type[BaseModel]]:
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _nested(part)


@cache
def _docstrings(module: str) -> dict[str, dict[str, str]]:
    """Return the docstrings under the fields of each class of a module."""
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    return {node.name: dict(_under_fields(node)) for node in tree.body if isinstance(node, ast.ClassDef)}


def _under_fields(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for field, text in zip(node.body, node.body[1:], strict=False):
        if not (isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)):
            continue
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and isinstance(text.value.value, str):
            yield field.target.id, inspect.cleandoc(text.value.value)
