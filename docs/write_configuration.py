"""Write the tables of docs/configuration.md from the settings' schema: every key, default, range and meaning, in one place.

Use: python docs/write_configuration.py      (a test fails while the file is behind the schema)
"""

# ruff: noqa: INP001  # a script beside the page that it writes

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from smartmoney.settings import json_schema

PAGE = Path(__file__).resolve().parent / "configuration.md"
START = "<!-- generated from the schema by docs/write_configuration.py: edit the settings' docstrings, not this -->"
END = "<!-- end of what is generated -->"
_BOUNDS = (("minimum", "≥ {}"), ("exclusiveMinimum", "> {}"), ("maximum", "≤ {}"), ("exclusiveMaximum", "< {}"), ("pattern", "`{}`"))


def tables(schema: Mapping[str, Any]) -> str:
    """Return the generated part: a heading and a table per section, in the order of the models."""
    return "\n".join(_section(schema, "", schema)).strip()


def with_tables(page: str, generated: str) -> str:
    """Return a page with its generated part replaced.

    Raises:
        ValueError: the page lacks one of the two marks.
    """
    before, _, rest = page.partition(START)
    _, found, after = rest.partition(END)
    if not found:
        raise ValueError(f"no {START!r} … {END!r} in the page")
    return f"{before}{START}\n\n{generated}\n\n{END}{after}"


def _section(schema: Mapping[str, Any], path: str, model: Mapping[str, Any]) -> Iterator[str]:
    inner: list[tuple[str, Mapping[str, Any]]] = []
    yield f"### {f'`{path}:`' if path else 'At the top'}\n"
    if path:
        yield f"{model['description']}\n"
    yield "| key | default | range | meaning |\n|---|---|---|---|"
    for name, field in model["properties"].items():
        under = f"{path}.{name}" if path else name
        per_regime = field.get("additionalProperties")
        if "$ref" in field:
            inner.append((under, _resolved(schema, field)))
        elif isinstance(per_regime, Mapping):
            inner.append((f"{under}.<regime>", _resolved(schema, per_regime)))
        else:
            yield _row(name, field, schema["$defs"]["Strategy"]["properties"].get(name, {}))
    yield ""
    for under, other in inner:
        yield from _section(schema, under, other)


def _resolved(schema: Mapping[str, Any], field: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = schema["$defs"][field["$ref"].rpartition("/")[2]]
    return found


def _row(name: str, field: Mapping[str, Any], namesake: Mapping[str, Any]) -> str:
    # What may be overridden per regime means what it means under `strategy`.
    meaning = (field.get("description") or namesake.get("description", "")).replace("\n", " ").replace("|", "\\|")
    return f"| `{name}` | {_default(field)} | {_range(field)} | {meaning} |"


def _default(field: Mapping[str, Any]) -> str:
    value = field.get("default")
    if value is None or value == {}:
        return "left out"
    return f"`{value}`" if isinstance(value, str) else f"`{json.dumps(value)}`"


def _range(field: Mapping[str, Any]) -> str:
    if "enum" in field:
        return ", ".join(f"`{choice}`" for choice in field["enum"])
    kinds = [field, *field.get("anyOf", ())]
    found = [form.format(_plain(kind[key])) for kind in kinds for key, form in _BOUNDS if key in kind]
    choices = [f"`{choice}`" for kind in field.get("anyOf", ()) for choice in kind.get("enum", ())]
    if choices:
        return ", ".join(choices)
    return ", ".join(found).replace("|", "\\|") or ("`true`, `false`" if field.get("type") == "boolean" else "")


def _plain(bound: Any) -> str:
    return f"{bound:g}" if isinstance(bound, float) or (isinstance(bound, int) and bound < 1_000_000) else str(bound)


def main() -> int:
    """Rewrite the page; say whether anything changed."""
    old = PAGE.read_text(encoding="utf-8")
    new = with_tables(old, tables(json_schema()))
    PAGE.write_text(new, encoding="utf-8")
    sys.stdout.write(f"{PAGE.name}: {'rewritten' if new != old else 'already up to date'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
