"""The file `reference.json` beside a bundle's own: how its features were distributed in training, for the drift monitors.

It is no part of the bundle: no decision reads it, the manifest does not list it, and a bundle without one is whole. Invariant: what is read
names the bundle's hash, so that no other bundle's distributions are ever taken for its own.
"""

from pathlib import Path
from typing import TypeVar

import msgspec

from smartmoney.adapters.model_files import BundleRefused, replace_durably

REFERENCE = "reference.json"
_T = TypeVar("_T")


def write_reference(folder: Path, reference: msgspec.Struct) -> None:
    """Write a reference into a bundle's folder.

    Raises:
        OSError: it cannot be written.
    """
    replace_durably(folder / REFERENCE, msgspec.json.encode(reference))


def read_reference(folder: Path, kind: type[_T]) -> _T | None:
    """Return the reference in a bundle's folder, None where there is none.

    Raises:
        BundleRefused: it is damaged.
    """
    path = folder / REFERENCE
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise BundleRefused(path, str(error), "remove it: the bundle works without, and drift of features is then not measured") from None
