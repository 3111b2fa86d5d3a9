"""Load compiled kernels from numba's cache without waking its compiler.

Before it looks into its cache, numba imports and registers everything that it could compile with: some 300 modules, scipy among them. A
daemon whose kernels are all compiled needs none of that, and it was a third of its start. So the look into the cache comes first here; a
kernel that is not there is compiled as ever, because numba's compiler prepares itself before it works. So is one that cannot be read: numba
would raise, and a daemon whose machine lost its power over a kernel being written would never start again.

Invariants: whoever leaves the context finds numba as it was; what lies in the cache costs a compilation at worst.
"""

import contextlib
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def loading_first() -> Iterator[None]:
    """Look for kernels in the cache before anything is prepared for compiling them, within this context."""
    from numba.core import caching, runtime

    cache_class: Any = caching.Cache
    system: Any = runtime.rtsys  # type: ignore[attr-defined]  # numba does not say that it exports it
    as_it_was = cache_class.load_overload

    def load_overload(cache: Any, signature: Any, target_context: Any) -> Any:
        # What a loaded kernel links against; the only part of the preparation that running one takes.
        system.initialize(target_context)
        try:
            return cache._load_overload(signature, target_context)  # noqa: SLF001  # numba has no public way
        except Exception:  # noqa: BLE001  # what reading a damaged pickle or object file raises is anything
            # Forgotten, or it would be read again before the new one is written.
            cache.flush()
            return None

    cache_class.load_overload = load_overload
    try:
        yield
    finally:
        cache_class.load_overload = as_it_was
