"""Walks of packed trees: against a plain walk of the nodes, whatever the trees' shapes, and what a packed node has no room for."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from smartmoney.core.alpha.forest import APART_MAX, NODE, TREE, Forest, forest_problem
from smartmoney.core.alpha.forest_kernel import pack, row_length, table_margins

INPUTS, COLUMNS = 4, 7
PLACES = (5, 0, 6, 2)
VALUES = st.sampled_from([-np.inf, -1.0, -0.0, 0.0, 0.5, 1.0, np.inf, np.nan])


@st.composite
def forests(draw):
    """Draw a few trees of any shape, among them leaves alone."""
    nodes, roots, outputs = [], [], draw(st.integers(1, 3))
    for _ in range(draw(st.integers(1, 19))):
        roots.append(len(nodes))
        nodes.append({})
        waiting = [len(nodes) - 1]
        while waiting and draw(st.integers(0, 3)):
            at = waiting.pop(draw(st.integers(0, len(waiting) - 1)))
            nodes[at] = {
                "feature": draw(st.integers(0, INPUTS - 1)),
                "threshold": draw(st.sampled_from([-1.0, 0.0, 0.5])),
                "left": len(nodes),
                "default_left": draw(st.booleans()),
            }
            waiting += [len(nodes), len(nodes) + 1]
            nodes += [{}, {}]
    table = np.zeros(len(nodes), NODE)
    for k, node in enumerate(nodes):
        told = node or {"left": -1, "value": (k + 1) / 7, "default_left": draw(st.booleans())}
        for name, value in told.items():
            table[k][name] = value
    trees = np.array([(root, draw(st.integers(0, outputs - 1))) for root in roots], TREE)
    return Forest(nodes=table, trees=trees, base=tuple(0.25 * k for k in range(outputs)))


def plainly(forest, row):
    margins = np.array(forest.base, np.float32)
    for root, output in forest.trees.tolist():
        at = root
        while (left := int(forest.nodes[at]["left"])) != -1:
            node, value = forest.nodes[at], row[PLACES[forest.nodes[at]["feature"]]]
            goes_left = bool(node["default_left"]) if np.isnan(value) else value < node["threshold"]
            at = left if goes_left else left + 1
        margins[output] += forest.nodes[at]["value"]
    return margins


@given(forest=forests(), rows=st.lists(st.lists(VALUES, min_size=COLUMNS, max_size=COLUMNS), min_size=1, max_size=6))
def test_packed_trees_say_what_their_nodes_say_bit_for_bit(forest, rows):
    assert forest_problem(forest, INPUTS) is None
    x = np.array(rows, np.float32)
    out = np.empty((len(x), len(forest.base)), np.float32)
    for first_node in (0, 3):
        nodes, walks = pack(forest, PLACES, COLUMNS, first_node)
        nodes = np.concatenate((np.zeros(2 * first_node, np.uint32), nodes))
        table_margins(nodes, walks, np.array(forest.base, np.float32), x, np.full(row_length(COLUMNS), np.nan, np.float32), out)
        assert out.tobytes() == np.array([plainly(forest, row) for row in x]).tobytes()


def test_a_tree_of_which_a_packed_node_could_not_tell_where_it_goes_on_is_refused():
    nodes = np.zeros(APART_MAX + 4, NODE)
    nodes["left"] = -1
    for left, problem in ((APART_MAX, None), (APART_MAX + 1, "train smaller trees")):
        nodes["left"][0] = left
        found = forest_problem(Forest(nodes=nodes, trees=np.zeros(1, TREE), base=(0.0,)), INPUTS)
        assert found is None if problem is None else problem in found
