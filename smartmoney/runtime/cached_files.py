"""What is kept in the cache directory beside compiled kernels: all of it can be made again, and each kind stays within a size.

A bound that was lowered holds from the next use on: whoever asks for a kind makes room in it first, once a process.
"""

import functools
from pathlib import Path

import msgspec

from smartmoney.adapters.bounded_folder import BoundedFolder
from smartmoney.adapters.prepared_recordings import PreparedRecordings
from smartmoney.runtime.kernel_cache import cache_root
from smartmoney.settings.caches import CacheSettings

_GB = 1_000_000_000
AS_IT_COMES = CacheSettings()
"""The bounds of a command that reads no configuration."""


class CacheKind(msgspec.Struct, frozen=True, kw_only=True):
    """Say what a folder of the cache directory holds, and which key of `caches:` bounds it, in gigabytes."""

    folder: str
    key: str
    holds: str

    def bound(self, caches: CacheSettings) -> BoundedFolder:
        """Return the folder with its bound."""
        return BoundedFolder(cache_root() / self.folder, bytes_max(caches, self.key))


RECORDINGS = CacheKind(folder="recordings", key="recordings_gb", holds="prepared recordings")
ROWS = CacheKind(folder="training-rows", key="training_rows_gb", holds="worlds and stretches as rows to train on")
MODELS = CacheKind(folder="tuned-models", key="tuned_models_gb", holds="models that searches trained")
KINDS = (RECORDINGS, ROWS, MODELS)


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """Say what one folder holds, and what was cleared just now."""

    cache: str
    holds: str
    entries: int
    bytes: int
    bytes_max: int
    bounded_by: str
    cleared_bytes: int


def held(kind: CacheKind, caches: CacheSettings, *, clear: bool = False) -> Held:
    """Return what a folder holds, cleared before if that is wanted."""
    folder = kind.bound(caches)
    cleared = folder.clear() if clear else 0
    entries, size = folder.held()
    return Held(
        cache=kind.folder,
        holds=kind.holds,
        entries=entries,
        bytes=size,
        bytes_max=folder.bytes_max,
        bounded_by=f"caches.{kind.key}",
        cleared_bytes=cleared,
    )


def bytes_max(caches: CacheSettings, key: str) -> int:
    """Return a bound in bytes."""
    return int(getattr(caches, key) * _GB)


def prepared_recordings(caches: CacheSettings = AS_IT_COMES) -> PreparedRecordings:
    """Return the prepared forms of recordings."""
    folder, most = cache_root() / RECORDINGS.folder, bytes_max(caches, RECORDINGS.key)
    _within(folder, most)
    return PreparedRecordings(folder, most)


def rows_folder() -> Path:
    """Return where rows are kept."""
    return cache_root() / ROWS.folder


def bound_rows(folder: Path, caches: CacheSettings) -> None:
    """Keep the rows' folder within its size."""
    BoundedFolder(folder, bytes_max(caches, ROWS.key)).make_room()


def shelf_folder() -> Path:
    """Return where a search's models are kept. It may be removed at any time."""
    return cache_root() / MODELS.folder


@functools.cache
def _within(folder: Path, most: int) -> None:
    BoundedFolder(folder, most).make_room()
