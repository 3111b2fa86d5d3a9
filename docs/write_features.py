"""Write the entries of docs/features.md from the feature schema: what every feature is, exactly, in one place.

Use: python docs/write_features.py      (a test fails while the file is behind the schema)
"""

# ruff: noqa: INP001  # a script beside the page that it writes

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from smartmoney.core.features.schema import FEATURES, SCHEMA_HASH, VERSION, FeatureSpec

PAGE = Path(__file__).resolve().parent / "features.md"
START = "<!-- generated from the schema by docs/write_features.py: edit the descriptions of the features, not this -->"
END = "<!-- end of what is generated -->"
_MEANT_LITERALLY = re.compile(r"([\\*|\[\]~#`]|(?<!\w)_|_(?!\w))")
"""What Markdown would take for markup: formulas are full of it. Underscores inside a name are none."""


def entries(features: Sequence[FeatureSpec]) -> str:
    """Return the generated part: the schema's identity, a list of groups, and a heading per group with an entry per feature."""
    groups: dict[str, list[FeatureSpec]] = {}
    for feature in features:
        groups.setdefault(feature.group, []).append(feature)
    lines = [f"Schema version {VERSION}, {len(features)} features, hash `{SCHEMA_HASH[:16]}…`.\n"]
    lines += [
        f"* [{group}](#{group.replace(' ', '-')}): {', '.join(f'`{one.name}`' for one in members)}" for group, members in groups.items()
    ]
    for group, members in groups.items():
        lines += [f"\n### {group}\n", *_group(members)]
    return "\n".join(lines).strip()


def with_entries(page: str, generated: str) -> str:
    """Return a page with its generated part replaced.

    Raises:
        ValueError: the page lacks one of the two marks.
    """
    before, _, rest = page.partition(START)
    _, found, after = rest.partition(END)
    if not found:
        raise ValueError(f"no {START!r} … {END!r} in the page")
    return f"{before}{START}\n\n{generated}\n\n{END}{after}"


def _group(members: Sequence[FeatureSpec]) -> Iterator[str]:
    for feature in members:
        yield f"#### `{feature.name}`\n"
        yield "| unit | parity | half-life | warm after | bounds | a dropped book | source |\n|---|---|---|---|---|---|---|"
        warm = f"{feature.warm_up.seconds:g} s and {feature.warm_up.events} {feature.warm_up.event}"
        half_life = f"{feature.half_life_s:g} s" if feature.half_life_s else "none"
        reset = "empties it" if feature.resets else "leaves it"
        cells = (feature.unit, feature.parity, half_life, warm, _bounds(feature), reset, feature.source)
        yield f"| {' | '.join(map(_plain, cells))} |\n"
        yield f"{_plain(feature.description)}\n"


def _bounds(feature: FeatureSpec) -> str:
    low, high = feature.bounds
    if low is None and high is None:
        return "none"
    return f"{'−∞' if low is None else f'{low:g}'} … {'∞' if high is None else f'{high:g}'}"


def _plain(text: str) -> str:
    """Return text that Markdown shows as it stands, on one line."""
    escaped = _MEANT_LITERALLY.sub(r"\\\1", " ".join(text.split()))
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def main() -> int:
    """Rewrite the page; say whether anything changed."""
    old = PAGE.read_text(encoding="utf-8")
    new = with_entries(old, entries(FEATURES))
    PAGE.write_text(new, encoding="utf-8")
    sys.stdout.write(f"{PAGE.name}: {'rewritten' if new != old else 'already up to date'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
