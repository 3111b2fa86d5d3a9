"""How kernels are declared to numba: a few decorators, and constants to pass as arguments.

numba compiles each kernel into a library of its own that holds its callees as well, optimises it, and emits machine code for it: time to
compile is the sum of the sizes of these libraries. So the decorators leave out what nothing calls (the wrappers of a small kernel cost more
than the kernel), and the constants keep a kernel from being compiled again for each literal number or truth value that it is called with:
numba types a plain `0` in a call as that literal, and a numpy scalar by its width alone. Python code uses `BID` and `ASK` of `state`.

Kernels own nothing: arrays are those of the caller, who holds them for as long as the call lasts. So references are not counted; numba
would do it for each array that a kernel hands to another, by instructions that lock the bus.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit

F = TypeVar("F", bound=Callable[..., Any])

# numba's own types do not know the options that leave out wrappers and references.
_COMMON: dict[str, Any] = {"nogil": True, "error_model": "numpy", "_nrt": False}
_ENTRY: dict[str, Any] = {**_COMMON, "cache": True, "no_cfunc_wrapper": True}
_INNER: dict[str, Any] = {**_COMMON, "no_cfunc_wrapper": True, "no_cpython_wrapper": True}
_SPLICED: dict[str, Any] = {**_INNER, "forceinline": True}
_INLINED: dict[str, Any] = {**_COMMON, "cache": True, "inline": "always"}


def entry(function: F) -> F:
    """Declare a kernel that Python calls, too. Its machine code is kept in the cache, with all that it calls."""
    return cast("F", njit(**_ENTRY)(function))


def allocating(function: F) -> F:
    """Declare an entry that makes arrays of its own, for as long as it runs: references are counted."""
    return cast("F", njit(**{**_ENTRY, "_nrt": True})(function))


def inner(function: F) -> F:
    """Declare a kernel that only kernels call. Called from Python it would crash the interpreter: it has no way in."""
    return cast("F", njit(**_INNER)(function))


def spliced(function: F) -> F:
    """Declare an inner kernel whose machine code is copied into its callers: for what is called for each few bytes of a frame."""
    return cast("F", njit(**_SPLICED)(function))


def inlined(function: F) -> F:
    """Declare a kernel that is copied into its callers before types are found; called from Python it is compiled by itself.

    Only for a single caller or a body of a line or two: it saves a level of libraries, but numba is slow at copying bodies with many calls.
    """
    return cast("F", njit(**_INLINED)(function))


def int64(value: int) -> int:
    """Return a number that numba types as a 64-bit integer, not as a literal.

    A kernel must not index a tuple of numbers by it: numba cannot look that up at once, remembers so, and takes it for the answer about the
    plain number that is equal, wherever else in the same compilation a tuple of that type is taken apart.
    """
    return cast("int", np.int64(value))


def boolean(value: int) -> bool:
    """Return a truth value that numba types as a boolean, not as a literal."""
    return cast("bool", np.bool_(value))


BID_SIDE = int64(0)
ASK_SIDE = int64(1)
NO = boolean(0)
YES = boolean(1)
