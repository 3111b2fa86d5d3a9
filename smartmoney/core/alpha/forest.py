"""A boosted forest as arrays: the form in which a bundle keeps it.

Invariants: a node's children come after it, so that every walk ends; leaves have no children; thresholds and leaves are float32, and an
input is rounded to float32 before it is compared, as the library that grew the trees does: less than the threshold goes left, a missing
value goes where the node says.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NODE = np.dtype(
    [
        ("feature", "<i4"),
        ("threshold", "<f4"),
        ("left", "<i4"),
        ("default_left", "?"),
        ("value", "<f4"),
        ("cover", "<f4"),
    ]
)
"""`feature` counts the forest's own inputs; `left` counts all nodes of the forest and is -1 in a leaf, the right child comes after it;
`cover` is the training rows' weight (sum of second derivatives) that passed the node."""
APART_MAX = (1 << 14) - 1
"""A child comes at most so many nodes after its parent: what a packed node has room for."""
TREE = np.dtype([("root", "<i4"), ("output", "<i4")])
"""A tree's first node, and which output its leaves add to."""


@dataclass(frozen=True, slots=True, eq=False)
class Forest:
    """Hold the trees: NODE array, TREE array in the order in which the library adds them up, one margin per output to begin with."""

    nodes: NDArray[np.void]
    trees: NDArray[np.void]
    base: tuple[float, ...]


def forest_problem(forest: Forest, inputs: int) -> str | None:
    """Return what is wrong with a forest of so many inputs, None when nothing is."""
    nodes, trees = forest.nodes, forest.trees
    for given, wanted, name in ((nodes, NODE, "nodes"), (trees, TREE, "trees")):
        if given.dtype != wanted or given.ndim != 1:
            return f"{name}: not a list of {wanted.names}"
    if len(trees) == 0 or not forest.base or not np.isfinite(forest.base).all():
        return "no trees, or a base margin that is not finite"
    roots, outputs = trees["root"], trees["output"]
    if roots[0] != 0 or np.any(np.diff(roots) <= 0) or roots[-1] >= len(nodes):
        return "tree roots out of range or out of order"
    if outputs.min() < 0 or outputs.max() >= len(forest.base):
        return f"a tree adds to output {outputs.max()}, and there are {len(forest.base)}"
    return _node_problem(nodes, np.repeat(np.append(roots[1:], len(nodes)), np.diff(np.append(roots, len(nodes)))), inputs)


def _node_problem(nodes: NDArray[np.void], ends: NDArray[np.int32], inputs: int) -> str | None:
    left, at = nodes["left"], np.arange(len(nodes))
    leaf = left == -1
    inner = ~leaf
    if np.any(((left <= at) | (left + 1 >= ends)) & inner):
        return "a child outside its tree or before its parent"
    if np.any(inner & ((nodes["feature"] < 0) | (nodes["feature"] >= inputs))):
        return f"a node compares an input outside 0..{inputs - 1}"
    if np.any((left - at)[inner] > APART_MAX):
        return f"a child more than {APART_MAX:,} nodes after its parent; train smaller trees (max_depth, max_leaves)"
    for name, where in (("threshold", inner), ("value", leaf), ("cover", np.ones(len(nodes), np.bool_))):
        if not np.isfinite(nodes[name][where]).all():
            return f"a {name} that is not finite"
    return None
