"""From a trained xgboost Booster to the arrays that the daemon computes with. Runs where models are trained, never in the daemon.

The result is equal to the Booster's own predictions within the rounding of a float32 (tests: a million rows, missing values included).
Source: the Booster's JSON (https://xgboost.readthedocs.io/en/stable/tutorials/saving_model.html, read 2026-11-26); 3.x writes `base_score`
as a list in brackets, one number per output.
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from smartmoney.core.alpha.forest import NODE, TREE, Forest, forest_problem

OBJECTIVES = ("binary:logistic", "multi:softprob")
_NO_CHILD = -1


class ForestNotExportable(ValueError):
    """Report a Booster whose trees the daemon cannot compute, and what to train instead."""


def export_forest(booster: Any) -> Forest:
    """Return a Booster's trees as arrays.

    Inputs are counted in the order of the Booster's features; outputs are margins: one for `binary:logistic`, one per class for
    `multi:softprob`. All trees count: slice the Booster first when it stopped early (`booster[:best_iteration + 1]`).

    Raises:
        ForestNotExportable: another objective or booster, categorical splits, several outputs in a leaf, or trees that don't hold together.
    """
    document = json.loads(bytes(booster.save_raw("json")))
    learner = document["learner"]
    objective = learner["objective"]["name"]
    if objective not in OBJECTIVES:
        raise ForestNotExportable(f"objective {objective!r}; train with one of {', '.join(OBJECTIVES)}")
    if learner["gradient_booster"]["name"] != "gbtree":
        raise ForestNotExportable(f"booster {learner['gradient_booster']['name']!r}; train with gbtree")
    model = learner["gradient_booster"]["model"]
    outputs = max(1, int(learner["learner_model_param"]["num_class"]))
    tables = [_tree(tree) for tree in model["trees"]]
    if not tables:
        raise ForestNotExportable("it has no trees; train at least one round")
    roots = np.cumsum([0, *(len(table) for table in tables[:-1])])
    trees = np.empty(len(tables), TREE)
    trees["root"], trees["output"] = roots, model["tree_info"]
    for table, root in zip(tables, roots, strict=True):
        inner = table["left"] != _NO_CHILD
        table["left"][inner] += root
    forest = Forest(nodes=np.concatenate(tables), trees=trees, base=_base(learner, objective, outputs))
    problem = forest_problem(forest, int(learner["learner_model_param"]["num_feature"]))
    if problem is not None:
        raise ForestNotExportable(f"the exported trees do not hold together: {problem}")
    return forest


def gains(booster: Any, inputs: Sequence[str]) -> dict[str, float]:
    """Return the total gain of each input that some tree splits on, by its name."""
    return gains_of(booster.get_score(importance_type="total_gain"), booster.feature_names, inputs)


def gains_of(score: Mapping[str, float], names: Sequence[str] | None, inputs: Sequence[str]) -> dict[str, float]:
    """Return scores by input name; a Booster without names calls its features f0, f1, and so on."""
    own = names or [f"f{k}" for k in range(len(inputs))]
    return {given: float(score[name]) for name, given in zip(own, inputs, strict=True) if name in score}


def _tree(tree: Mapping[str, Any]) -> np.ndarray[Any, np.dtype[np.void]]:
    if int(tree["tree_param"].get("size_leaf_vector", 1)) > 1:
        raise ForestNotExportable("leaves with several outputs; train with multi_strategy=one_output_per_tree")
    if any(tree.get("split_type", ())) or tree.get("categories_nodes"):
        raise ForestNotExportable("categorical splits; give categories as numbers")
    left, right = tree["left_children"], tree["right_children"]
    # Breadth first from the root: pruned nodes fall out, children come after their parents, the right one after the left.
    order = [0]
    for node in order:
        if left[node] != _NO_CHILD:
            order += (left[node], right[node])
    place = {node: k for k, node in enumerate(order)}
    table = np.zeros(len(order), NODE)
    for k, node in enumerate(order):
        is_leaf = left[node] == _NO_CHILD
        condition = tree["split_conditions"][node]
        table[k] = (
            0 if is_leaf else tree["split_indices"][node],
            0.0 if is_leaf else condition,
            _NO_CHILD if is_leaf else place[left[node]],
            False if is_leaf else bool(tree["default_left"][node]),
            condition if is_leaf else 0.0,
            tree["sum_hessian"][node],
        )
    return table


def _base(learner: Mapping[str, Any], objective: str, outputs: int) -> tuple[float, ...]:
    raw = json.loads(learner["learner_model_param"]["base_score"])
    scores = [float(value) for value in (raw if isinstance(raw, list) else [raw])]
    if len(scores) == 1:
        scores *= outputs
    if len(scores) != outputs:
        raise ForestNotExportable(f"{len(scores)} base scores for {outputs} outputs")
    # The file keeps the score as a probability for logistic objectives, and trees add to its logit; multi-class scores are margins already.
    if objective == "binary:logistic":
        scores = [math.log(score / (1.0 - score)) for score in scores]
    return tuple(float(np.float32(score)) for score in scores)
