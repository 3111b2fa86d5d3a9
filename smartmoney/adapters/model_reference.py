"""The file `reference.json` beside a bundle's own: how its features were distributed in training, for the drift monitors.

It is no part of the bundle: no decision reads it, the manifest does not list it, and a bundle without one is whole. Invariant: what is read
names the bundle's hash, so that no other bundle's distributions are ever taken for its own.
"""

from pathlib import Path
from typing import Protocol, TypeVar

import msgspec

from smartmoney.adapters.model_files import BundleRefused, replace_durably

REFERENCE = "reference.json"
_REMEDY = "remove it: the bundle works without, and drift of features is then not measured"


class OfBundle(Protocol):
    """Be what names the bundle that it belongs to."""

    @property
    def bundle(self) -> str:
        """Return the bundle's hash."""
        ...


ReferenceKind = TypeVar("ReferenceKind", bound=OfBundle)


def write_reference(folder: Path, reference: OfBundle) -> None:
    """Write a reference into a bundle's folder.

    Raises:
        OSError: it cannot be written.
    """
    replace_durably(folder / REFERENCE, msgspec.json.encode(reference))


def read_reference(folder: Path, hash_: str, kind: type[ReferenceKind]) -> ReferenceKind | None:
    """Return the reference of a bundle in its folder, None where there is none.

    Raises:
        BundleRefused: it is damaged, or another bundle's.
    """
    path = folder / REFERENCE
    try:
        found = msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise BundleRefused(path, str(error), _REMEDY) from None
    if found.bundle != hash_:
        raise BundleRefused(path, f"belongs to the bundle {found.bundle[:12]}, not to {hash_[:12]}", _REMEDY)
    return found
