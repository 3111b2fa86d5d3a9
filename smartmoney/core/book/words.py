"""Text as a bare pointer, eight bytes at a time: what makes a scanner fast, and numba has no words for.

A `bytes` object that is handed from kernel to kernel is counted, atomically, at each call: that costs more than reading the frame does. A
pointer is not counted. Invariants: whoever takes a `pointer_of` bytes holds them until the kernel returns; `word_at(text, i)` reads the
bytes `i` to `i + 7`, and its caller has checked that they are there; everything else is arithmetic on unsigned 64-bit words whose lowest
byte is the first character. After Lemire and Mula on parsing numbers by words.
"""

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]  # it has no types
from numba import types
from numba.extending import intrinsic

from smartmoney.core.book.typed import spliced

WORD_BYTES = 8
_ONE = np.uint64(1)
_ONES = np.uint64(0x0101010101010101)
_HIGH = np.uint64(0x8080808080808080)
_LOW = np.uint64(0x7F7F7F7F7F7F7F7F)
_ZEROS = np.uint64(0x3030303030303030)
_BEYOND_NINE = np.uint64(0x7676767676767676)
_QUOTES = np.uint64(0x2222222222222222)
_ESCAPES = np.uint64(0x5C5C5C5C5C5C5C5C)
_LINE_ENDS = np.uint64(0x0A0A0A0A0A0A0A0A)
_SPACES = np.uint64(0x2020202020202020)
_PAIRS = np.uint64(1 + (10 << 8))
_FOURS = np.uint64(1 + (100 << 16))
_EIGHTS = np.uint64(1 + (10_000 << 32))
_PAIR_MASK = np.uint64(0x00FF00FF00FF00FF)
_FOUR_MASK = np.uint64(0x0000FFFF0000FFFF)
_U8 = np.uint64(8)
_U16 = np.uint64(16)
_U32 = np.uint64(32)
_U3 = np.uint64(3)
_WORD_BITS = np.uint64(64)
POWERS = np.array([10**k for k in range(9)], np.int64)
"""Powers of ten up to eight decimals."""


def _pointer_of(_typing: Any, buffer: Any) -> Any:
    """Return the address of a buffer's first byte; `pointer[i]` is its byte `i`, unchecked and uncounted."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, value=arguments[0])
        return builder.bitcast(array.data, ir.IntType(8).as_pointer())

    pointer: Any = types.CPointer(types.uint8)  # type: ignore[no-untyped-call]  # it has no types
    return pointer(buffer), generate


def _word_at(_typing: Any, text: Any, i: Any) -> Any:
    """Return the eight bytes of a text from `i` on as one little-endian word, unchecked. Source: LLVM's unaligned load."""
    del i

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        place = builder.gep(arguments[0], [arguments[1]])
        return builder.load(builder.bitcast(place, ir.IntType(64).as_pointer()), align=1)

    return types.uint64(text, types.int64), generate


def _zeros_below(_typing: Any, word: Any) -> Any:
    """Return the number of zero bits below the lowest bit that is set, 64 for zero."""
    del word

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.uint64(types.uint64), generate


def _prefetch_at(_typing: Any, array: Any, i: Any) -> Any:
    """Ask for an array's element `i` to be in the cache soon. Source: LLVM's prefetch."""
    del i

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, value=arguments[0]).data
        place = builder.bitcast(builder.gep(data, [arguments[1]]), ir.IntType(8).as_pointer())
        flag = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [place.type, flag, flag, flag])
        ask = builder.module.declare_intrinsic("llvm.prefetch", [place.type], kind)
        builder.call(ask, [place, ir.Constant(flag, 0), ir.Constant(flag, 3), ir.Constant(flag, 1)])
        return context.get_dummy_value()

    return types.void(array, types.int64), generate


pointer_of = cast("Callable[[Any], Any]", intrinsic(_pointer_of))
word_at = cast("Callable[[Any, int], Any]", intrinsic(_word_at))
prefetch_at = cast("Callable[[Any, int], None]", intrinsic(_prefetch_at))
"""`prefetch_at(array, i)`: a contiguous array of one dimension; what is beyond it may be named, and is not read."""
trailing_zeros = cast("Callable[[Any], Any]", intrinsic(_zeros_below))


@spliced
def digits_in(word: Any) -> Any:
    """Return how many of a word's first bytes are decimal digits, 0 to 8."""
    digits = word ^ _ZEROS
    other = (((digits & _LOW) + _BEYOND_NINE) | digits) & _HIGH
    return np.int64(trailing_zeros(other) >> _U3)


@spliced
def two_stops_in(word: Any) -> tuple[Any, Any]:
    """Return where a word's first and second byte that is no decimal digit are, 0 to 8; 8 for none."""
    digits = word ^ _ZEROS
    other = (((digits & _LOW) + _BEYOND_NINE) | digits) & _HIGH
    return np.int64(trailing_zeros(other) >> _U3), np.int64(trailing_zeros(other & (other - _ONE)) >> _U3)


@spliced
def without_byte(word: Any, at: int) -> Any:
    """Return a word with its byte `at`, 0 to 6, taken out and those after it moved up."""
    first = (_ONE << (np.uint64(at) << _U3)) - _ONE
    return (word & first) | ((word >> _U8) & ~first)


@spliced
def number_of(word: Any, digits: int) -> Any:
    """Return the number that a word's first 1 to 8 bytes spell."""
    value = (word ^ _ZEROS) << (_WORD_BITS - (np.uint64(digits) << _U3))
    value = ((value * _PAIRS) >> _U8) & _PAIR_MASK
    value = ((value * _FOURS) >> _U16) & _FOUR_MASK
    return np.int64((value * _EIGHTS) >> _U32)


@spliced
def plain_in(word: Any) -> Any:
    """Return how many of a word's first bytes are printable ASCII and neither a quote nor a backslash, 0 to 8."""
    quotes = word ^ _QUOTES
    escapes = word ^ _ESCAPES
    deletes = word ^ _LOW
    found = (
        ((quotes - _ONES) & ~quotes) | ((escapes - _ONES) & ~escapes) | ((deletes - _ONES) & ~deletes) | ((word - _SPACES) & ~word) | word
    )
    return np.int64(trailing_zeros(found & _HIGH) >> _U3)


@spliced
def line_end_in(word: Any) -> Any:
    """Return how many of a word's first bytes are no line end, 0 to 8."""
    ends = word ^ _LINE_ENDS
    return np.int64(trailing_zeros((ends - _ONES) & ~ends & _HIGH) >> _U3)
