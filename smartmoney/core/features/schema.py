"""The feature schema as data: what each column of a row is, in which unit, when it is warm, and how it behaves under the mirror.

Invariants: `FEATURES[i]` describes column `i` of `read_features`; `SCHEMA_HASH` changes whenever any of this does, so that a model can
refuse a row that it was not made for. Common to all: exchange time only; NaN where not warm; `2^(-t/H)` is the weight of what is `t`
seconds old; "cover" is the weight of the time in which a feature's input was known, 1 after an uninterrupted long time, by which decayed
sums are divided, so that they are unbiased from the start; a book with a side missing, or crossed or locked, is no book.
"""

import hashlib
from collections.abc import Sequence

import msgspec

from smartmoney.core.features import row
from smartmoney.core.features.spec import FeatureSpec, WarmUp

__all__ = ["COLUMNS", "FEATURES", "FEATURE_INDEX", "READABLE_HASHES", "SCHEMA_HASH", "VERSION", "FeatureSpec", "WarmUp", "as_mapping"]

VERSION = 3
"""Raise it when a formula changes and its description does not."""

FEATURES: tuple[FeatureSpec, ...] = tuple(feature for group in row.GROUPS for feature in group.FEATURES)
"""Every feature, in the order of a row."""

COLUMNS: tuple[str, ...] = tuple(feature.name for feature in FEATURES)
"""Names, in the order of a row."""

FEATURE_INDEX: dict[str, int] = {name: index for index, name in enumerate(COLUMNS)}
"""Column of each feature."""


def _hash_of(features: tuple[FeatureSpec, ...]) -> str:
    return hashlib.sha256(msgspec.json.encode((VERSION, features))).hexdigest()


SCHEMA_HASH: str = _hash_of(FEATURES)
"""Identity of the schema, in hexadecimal."""

_ENDS = tuple(sum(len(group.FEATURES) for group in row.GROUPS[: k + 1]) for k in range(len(row.GROUPS)))

READABLE_HASHES: frozenset[str] = frozenset(_hash_of(FEATURES[:end]) for end in _ENDS)
"""Schemas whose every column is a column of this one, same formula and place: this one, and it before its last groups were appended.

What names its columns, as a model does, and was made for one of these may be used with rows of this schema; rows of those may not, for they
lack columns. A changed formula changes all of them, by its description or by `VERSION`.
"""


def as_mapping(values: Sequence[float]) -> dict[str, float]:
    """Return a row of plain floats as a dictionary by name.

    Raises:
        ValueError: the row has not one value per feature.
    """
    return dict(zip(COLUMNS, values, strict=True))
