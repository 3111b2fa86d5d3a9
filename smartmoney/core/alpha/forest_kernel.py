"""Trees as a compiled walk. Many small jumps in memory are what a forest costs, so many walks go side by side, none with a branch.

`pack` lays a forest out for that: a node is eight bytes; a leaf leads to itself, so that all walks of a group have the same length; inputs
are columns of the caller's row, so that no forest needs a row of its own. A row of n columns is 2 n + 1 numbers: the columns, the columns
again with infinity where a number is missing, and one that is always missing. "At least the threshold goes right" then sends what is
missing left in the first half and right in the second, and a leaf, which asks the last number, nowhere.
Invariants: margins are summed in float32 in the order of the trees, as the library does that grew them; nothing is allocated.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smartmoney.core.alpha.forest import Forest
from smartmoney.core.book.typed import entry, inlined, inner

GROUP = 8
"""So many trees are walked side by side, each for both rows."""
ROOT, OUTPUT, DEPTH = 0, 1, 2
"""Columns of a packed tree: its first node, the output that it adds to, and how far its group must be walked."""
_ONE, _ASKS, _LEADS = np.uint64(1), np.uint32((1 << 18) - 1), np.uint32(18)
"""A packed node is two words: the threshold (or a leaf's value), and in 18 bits the number that it asks, in the others how far its left
child lies after it (0 in a leaf)."""


def row_length(columns: int) -> int:
    """Return how many numbers a row of so many columns is."""
    return 2 * columns + 1


def pack(forest: Forest, places: Sequence[int], columns: int, first_node: int = 0) -> tuple[NDArray[np.uint32], NDArray[np.int32]]:
    """Return a checked forest as nodes, uint32[2 * nodes], counted from `first_node`, and trees, int32[trees, 3].

    `places` says which of a row's `columns` each input is. Trees of one leaf, 0, are added until their number is a
    multiple of GROUP.
    """
    nodes, trees = forest.nodes, forest.trees
    assert row_length(columns) <= 1 << int(_LEADS), "all products of features are no more"
    leaf = nodes["left"] == -1
    asked = np.asarray(places, np.int64)[nodes["feature"]] + np.where(nodes["default_left"], 0, columns)
    ahead = np.where(leaf, 0, nodes["left"] - np.arange(len(nodes)))
    words = np.zeros((len(nodes) + 1, 2), np.uint32)
    words[:-1, 0] = np.where(leaf, nodes["value"], nodes["threshold"]).view(np.uint32)
    words[:-1, 1] = ahead << int(_LEADS) | np.where(leaf, 2 * columns, asked)
    words[-1, 1] = 2 * columns
    walks = np.zeros((-(-len(trees) // GROUP) * GROUP, 3), np.int32)
    walks[:, ROOT] = first_node + len(nodes)
    grown = walks[: len(trees)]
    grown[:, ROOT], grown[:, OUTPUT] = first_node + trees["root"], trees["output"]
    grown[:, DEPTH] = np.maximum.reduceat(_depths(nodes["left"], trees["root"]), trees["root"])
    walks[:, DEPTH] = np.repeat(walks[:, DEPTH].reshape(-1, GROUP).max(axis=1), GROUP)
    return words.reshape(-1), walks


def _depths(left: NDArray[np.int32], roots: NDArray[np.int32]) -> NDArray[np.int32]:
    depth = np.zeros(len(left), np.int32)
    level = roots
    for below in range(1, len(left) + 1):
        inner_nodes = level[left[level] != -1]
        if len(inner_nodes) == 0:
            break
        level = np.concatenate((left[inner_nodes], left[inner_nodes] + 1))
        depth[level] = below
    return depth


@inlined
def or_large(value: float) -> Any:
    """Return a float32, infinity where it is missing: the second half of a row."""
    return value if value == value else np.float32(np.inf)  # noqa: PLR0124 - NaN differs from itself


@inlined
def _next(nodes: Any, values: Any, x: Any, at: Any) -> Any:
    # Unsigned throughout: of a signed place numba asks first whether it counts from the end.
    link = nodes[at + at + _ONE]
    return at + np.uint64(link >> _LEADS) + np.uint64(x[link & _ASKS] >= values[at + at])


@inner
def add_margins(nodes: Any, walks: Any, first: int, last: int, wide: Any, margins: Any) -> None:
    """Add the trees first..last-1 to margins[0] (of row wide[0]) and margins[1] (of row wide[1]).

    Args:
        nodes: of all forests.
        walks: all trees.
        first: the forest's first tree.
        last: the one after its last, a multiple of GROUP later.
        wide: float32[2, row_length(columns)].
        margins: float32[2, outputs], begun with the base margins. Written.

    Cost: about 15 ns a tree of depth 6, for both rows.
    """
    values, x, y = nodes.view(np.float32), wide[0], wide[1]
    for t in range(first, last, GROUP):
        # Names, not an array: walks that are kept in memory wait for it, and a place in an array is memory.
        a0 = b0 = np.uint64(walks[t + 0, ROOT])
        a1 = b1 = np.uint64(walks[t + 1, ROOT])
        a2 = b2 = np.uint64(walks[t + 2, ROOT])
        a3 = b3 = np.uint64(walks[t + 3, ROOT])
        a4 = b4 = np.uint64(walks[t + 4, ROOT])
        a5 = b5 = np.uint64(walks[t + 5, ROOT])
        a6 = b6 = np.uint64(walks[t + 6, ROOT])
        a7 = b7 = np.uint64(walks[t + 7, ROOT])
        for _ in range(walks[t, DEPTH]):
            a0 = _next(nodes, values, x, a0)
            b0 = _next(nodes, values, y, b0)
            a1 = _next(nodes, values, x, a1)
            b1 = _next(nodes, values, y, b1)
            a2 = _next(nodes, values, x, a2)
            b2 = _next(nodes, values, y, b2)
            a3 = _next(nodes, values, x, a3)
            b3 = _next(nodes, values, y, b3)
            a4 = _next(nodes, values, x, a4)
            b4 = _next(nodes, values, y, b4)
            a5 = _next(nodes, values, x, a5)
            b5 = _next(nodes, values, y, b5)
            a6 = _next(nodes, values, x, a6)
            b6 = _next(nodes, values, y, b6)
            a7 = _next(nodes, values, x, a7)
            b7 = _next(nodes, values, y, b7)
        margins[0, walks[t + 0, OUTPUT]] += values[a0 + a0]
        margins[1, walks[t + 0, OUTPUT]] += values[b0 + b0]
        margins[0, walks[t + 1, OUTPUT]] += values[a1 + a1]
        margins[1, walks[t + 1, OUTPUT]] += values[b1 + b1]
        margins[0, walks[t + 2, OUTPUT]] += values[a2 + a2]
        margins[1, walks[t + 2, OUTPUT]] += values[b2 + b2]
        margins[0, walks[t + 3, OUTPUT]] += values[a3 + a3]
        margins[1, walks[t + 3, OUTPUT]] += values[b3 + b3]
        margins[0, walks[t + 4, OUTPUT]] += values[a4 + a4]
        margins[1, walks[t + 4, OUTPUT]] += values[b4 + b4]
        margins[0, walks[t + 5, OUTPUT]] += values[a5 + a5]
        margins[1, walks[t + 5, OUTPUT]] += values[b5 + b5]
        margins[0, walks[t + 6, OUTPUT]] += values[a6 + a6]
        margins[1, walks[t + 6, OUTPUT]] += values[b6 + b6]
        margins[0, walks[t + 7, OUTPUT]] += values[a7 + a7]
        margins[1, walks[t + 7, OUTPUT]] += values[b7 + b7]


@entry
def row_margins(nodes: Any, walks: Any, base: Any, x: Any, wide: Any, out: Any) -> None:
    """Write the margins of one float32 row of plain columns.

    Args:
        nodes: of the forest.
        walks: its trees.
        base: margins to begin with, float32[outputs].
        x: float32[columns].
        wide: float32[row_length(columns)], scratch whose last number is missing.
        out: float32[outputs]. Written.
    """
    # Value by value: for arrays as a whole numba compiles, besides, what words the error of shapes that differ.
    for k in range(len(x)):
        wide[k] = x[k]
        wide[len(x) + k] = or_large(x[k])
    for k in range(len(out)):
        out[k] = base[k]
    values = nodes.view(np.float32)
    for t in range(0, len(walks), GROUP):
        a0 = np.uint64(walks[t + 0, ROOT])
        a1 = np.uint64(walks[t + 1, ROOT])
        a2 = np.uint64(walks[t + 2, ROOT])
        a3 = np.uint64(walks[t + 3, ROOT])
        a4 = np.uint64(walks[t + 4, ROOT])
        a5 = np.uint64(walks[t + 5, ROOT])
        a6 = np.uint64(walks[t + 6, ROOT])
        a7 = np.uint64(walks[t + 7, ROOT])
        for _ in range(walks[t, DEPTH]):
            a0 = _next(nodes, values, wide, a0)
            a1 = _next(nodes, values, wide, a1)
            a2 = _next(nodes, values, wide, a2)
            a3 = _next(nodes, values, wide, a3)
            a4 = _next(nodes, values, wide, a4)
            a5 = _next(nodes, values, wide, a5)
            a6 = _next(nodes, values, wide, a6)
            a7 = _next(nodes, values, wide, a7)
        out[walks[t + 0, OUTPUT]] += values[a0 + a0]
        out[walks[t + 1, OUTPUT]] += values[a1 + a1]
        out[walks[t + 2, OUTPUT]] += values[a2 + a2]
        out[walks[t + 3, OUTPUT]] += values[a3 + a3]
        out[walks[t + 4, OUTPUT]] += values[a4 + a4]
        out[walks[t + 5, OUTPUT]] += values[a5 + a5]
        out[walks[t + 6, OUTPUT]] += values[a6 + a6]
        out[walks[t + 7, OUTPUT]] += values[a7 + a7]


@entry
def table_margins(nodes: Any, walks: Any, base: Any, x: Any, wide: Any, out: Any) -> None:
    """Do `row_margins` for every row of a float32 table, into float32[rows, outputs]."""
    for r in range(len(x)):
        row_margins(nodes, walks, base, x[r], wide, out[r])
