"""What is kept in the cache directory beside compiled kernels: all of it can be made again, and each kind stays within a size."""

from pathlib import Path

from smartmoney.adapters.bounded_folder import BoundedFolder
from smartmoney.adapters.prepared_recordings import PreparedRecordings
from smartmoney.runtime.kernel_cache import cache_root

ROWS_BYTES_MAX = 8 << 30
"""Size at most of the rows that trainings and evaluations are made of; an hour of a market takes 2 MB."""
MODELS_BYTES_MAX = 1 << 30
"""Size at most of the models that searches trained; one takes 1 to 10 MB."""


def prepared_recordings() -> PreparedRecordings:
    """Return the prepared forms of recordings."""
    return PreparedRecordings(cache_root() / "recordings")


def rows_folder() -> Path:
    """Return where rows are kept."""
    return cache_root() / "training-rows"


def bound_rows(folder: Path) -> None:
    """Keep the rows' folder within its size."""
    BoundedFolder(folder, ROWS_BYTES_MAX).make_room()


def shelf_folder() -> Path:
    """Return where a search's models are kept. It may be removed at any time."""
    return cache_root() / "tuned-models"
