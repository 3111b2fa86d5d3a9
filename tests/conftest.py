"""Shared fixtures: where the captured market data is, and one kernel cache for the whole run."""

import gc
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import structlog
from hypothesis import settings

from smartmoney.runtime import kernel_cache

# Before anything imports numba, which reads then where its kernels are: beside the sources they would outlive a changed callee.
assert "numba" not in sys.modules, "numba was imported before the tests said where its kernels are"
kernel_cache.prepare()
# Three workers share two cores: threads of linear algebra would wait for each other in circles. Before numpy is imported, which reads it then.
assert "numpy" not in sys.modules, "numpy was imported before the tests said how many threads it may have"
for _library in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_library, "1")
# What collection imports never goes: looking for garbage among it costs a sixth of collecting, and then a third of a second each time.
gc.disable()

# No test asserts wall time, and continuous integration tries the same examples each time.
# A test that says no number of its own tries fifty; `make test-all` tries as many again, and twice that.
settings.register_profile("house", deadline=None, derandomize=bool(os.environ.get("CI")), print_blob=True, max_examples=50)
settings.register_profile("thorough", settings.get_profile("house"), max_examples=150)
settings.load_profile(os.environ.get("SMARTMONEY_EXAMPLES", "house"))

_LONG = ("integration", "simulation", "golden", "replay", "features", "property")
"""Folders of long tests, the longest first."""
_ROOT = Path(__file__).resolve().parent.parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with what takes long: a file is one worker's, and a long one at the end leaves the other worker without work."""
    rank = {folder: number for number, folder in enumerate(_LONG)}
    items.sort(key=lambda item: min((rank[part] for part in item.nodeid.split("/") if part in rank), default=len(rank)))


def pytest_collection_finish() -> None:
    """Look for garbage from now on, among what the tests make."""
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True)
def _own_log() -> Iterator[None]:
    """Undo what a command did to logging: its lines went to one test's standard error, which is closed when that test ends."""
    yield
    structlog.reset_defaults()
    logging.getLogger().handlers.clear()


def _beside_the_checkout(variable: str, folder: str) -> Path | None:
    for candidate in (os.environ.get(variable), _ROOT.parent / "shared" / folder):
        if candidate and Path(candidate).is_dir():
            return Path(candidate)
    return None


@pytest.fixture(scope="session")
def captures() -> Path:
    """Give the folder of recorded exchange data, or skip with the reason."""
    found = _beside_the_checkout("SMARTMONEY_CAPTURES", "captures")
    if found is None:
        pytest.skip("no recorded market data here: set SMARTMONEY_CAPTURES to the folder that holds INDEX.md")
    return found


@pytest.fixture(scope="session")
def seed_document() -> Path:
    """Give the document that the product grew from, or skip with the reason."""
    found = _beside_the_checkout("SMARTMONEY_SEED", "seed")
    documents = sorted(found.glob("*.md")) if found else []
    if not documents:
        pytest.skip("no seed document here: set SMARTMONEY_SEED to its folder")
    return documents[0]


@pytest.fixture(scope="session")
def bundles() -> ModuleType:
    """Give the maker of small trained bundles."""
    from . import model_bundles

    return model_bundles
