"""Trees as a compiled walk. Many small jumps in memory are what a forest costs, so several walks go side by side, none with a branch.

`pack` lays a forest out for that: a leaf points to itself, so that every walk of a tree has the same length; inputs are columns of the
caller's row, so that no forest needs a row of its own.
Invariants: margins are summed in float32 in the order of the trees, as the library does that grew them; nothing is allocated.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smartmoney.core.alpha.forest import Forest
from smartmoney.core.book.typed import entry, inlined, inner

LINK = np.dtype([("feature", "<i4"), ("value", "<f4"), ("left", "<i4"), ("flags", "<i4")], align=True)
"""`value` is the threshold, or a leaf's value. Flags: 1 in an inner node, 2 where a missing value goes right."""
WALK = np.dtype([("root", "<i4"), ("output", "<i4"), ("depth", "<i4")], align=True)
GROUP = 8
"""So many walks go side by side."""
_HALF = GROUP // 2
_INNER, _MISSING_RIGHT = 1, 2


def pack(forest: Forest, columns: Sequence[int], first_node: int = 0) -> tuple[NDArray[np.void], NDArray[np.void]]:
    """Return a checked forest as LINK and WALK arrays, its nodes counted from `first_node`; `columns` are where its inputs stand.

    Trees of one leaf, 0, are added until their number is a multiple of GROUP.
    """
    nodes, trees = forest.nodes, forest.trees
    leaf = nodes["left"] == -1
    links = np.zeros(len(nodes) + 1, LINK)
    links["left"][-1] = first_node + len(nodes)
    own = links[:-1]
    own["feature"] = np.where(leaf, 0, np.asarray(columns, np.int32)[nodes["feature"]])
    own["value"] = np.where(leaf, nodes["value"], nodes["threshold"])
    own["left"] = first_node + np.where(leaf, np.arange(len(nodes)), nodes["left"])
    own["flags"] = np.where(leaf, 0, _INNER | np.where(nodes["default_left"], 0, _MISSING_RIGHT))
    walks = np.zeros(-(-len(trees) // GROUP) * GROUP, WALK)
    walks["root"] = first_node + len(nodes)
    grown = walks[: len(trees)]
    grown["root"], grown["output"] = first_node + trees["root"], trees["output"]
    grown["depth"] = np.maximum.reduceat(_depths(nodes["left"], trees["root"]), trees["root"])
    return links, walks


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


@inner
def add_margins(links: Any, walks: Any, first: int, last: int, wide: Any, at: Any, margins: Any) -> None:
    """Add the trees first..last-1 to margins[0] (of row wide[0]) and margins[1] (of row wide[1]).

    Args:
        links: all nodes.
        walks: all trees.
        first: the forest's first tree.
        last: the one after its last, a multiple of GROUP later.
        wide: float32[2, columns].
        at: int64[GROUP], scratch.
        margins: float32[2, outputs], begun with the base margins. Written.

    Cost: about 30 ns a tree of depth 6, for both rows.
    """
    x, other = wide[0], wide[1]
    for t in range(first, last, _HALF):
        depth = np.int64(0)
        for k in range(_HALF):
            at[k] = at[_HALF + k] = walks[t + k].root
            depth = max(depth, walks[t + k].depth)
        for _ in range(depth):
            for k in range(_HALF):
                at[k] = _next(links, x, at[k])
                at[_HALF + k] = _next(links, other, at[_HALF + k])
        for k in range(_HALF):
            margins[0, walks[t + k].output] += links[at[k]].value
            margins[1, walks[t + k].output] += links[at[_HALF + k]].value


@inlined
def _next(links: Any, x: Any, at: int) -> Any:
    link = links[at]
    value = x[link.feature]
    # Truth values become integers at once: `and` and `or` would be branches, and a wrong guess costs more than the whole step.
    right = np.int32(value >= link.value) | (np.int32(value != value) & (link.flags >> 1))  # noqa: PLR0124 - NaN differs from itself
    return link.left + (right & link.flags & 1)


@entry
def row_margins(links: Any, walks: Any, base: Any, x: Any, at: Any, out: Any) -> None:
    """Write the margins of one float32 row, float32[outputs]; `base` are the margins to begin with, `at` is int64[GROUP], scratch."""
    # Value by value: for arrays as a whole numba compiles, besides, what words the error of shapes that differ.
    for k in range(len(out)):
        out[k] = base[k]
    for t in range(0, len(walks), GROUP):
        depth = np.int64(0)
        for k in range(GROUP):
            at[k] = walks[t + k].root
            depth = max(depth, walks[t + k].depth)
        for _ in range(depth):
            for k in range(GROUP):
                at[k] = _next(links, x, at[k])
        for k in range(GROUP):
            out[walks[t + k].output] += links[at[k]].value


@entry
def table_margins(links: Any, walks: Any, base: Any, x: Any, at: Any, out: Any) -> None:
    """Do `row_margins` for every row of a float32 table, into float32[rows, outputs]."""
    for r in range(len(x)):
        row_margins(links, walks, base, x[r], at, out[r])
