"""What numba does not check: who calls kernels that have no way in from Python (that ends the interpreter), and what it remembers wrongly."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROOMS = [path for room in ("core", "simulation", "venues") for path in sorted((ROOT / "smartmoney" / room).rglob("*.py"))]
TREES = {".".join(path.relative_to(ROOT).with_suffix("").parts): ast.parse(path.read_text(encoding="utf-8")) for path in ROOMS}
WITHOUT_JIT = "smartmoney.runtime.bench_features"
"""Times kernels as plain Python, in a process where nothing is compiled."""


def decorators(node):
    return {one.id for one in node.decorator_list if isinstance(one, ast.Name)} if isinstance(node, ast.FunctionDef) else set()


CLOSED = {(module, node.name) for module, tree in TREES.items() for node in tree.body if decorators(node) & {"inner", "spliced"}}
KERNELS = {"entry", "allocating", "inner", "inlined", "spliced"}
IMPORTS = {
    module: {
        alias.asname or alias.name: (node.module, alias.name)
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    for module, tree in TREES.items()
}


def origin(module, name):
    """Follow a name to where it is defined, through modules that import it."""
    while (module, name) not in CLOSED and name in IMPORTS.get(module, {}):
        module, name = IMPORTS[module][name]
    return module, name


def called_from_python(module, tree):
    found, names = [], {name: (module, name) for of, name in CLOSED if of == module}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("smartmoney"):
            names |= {alias.asname or alias.name: (node.module, alias.name) for alias in node.names}

    def look(node):
        if decorators(node) & KERNELS:
            return
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in names:
            meant = origin(".".join(names[node.value.id]), node.attr)
        else:
            meant = origin(*names[node.id]) if isinstance(node, ast.Name) and node.id in names else None
        if meant in CLOSED:
            found.append(f"{module}:{node.lineno} {meant[1]}")
        for child in ast.iter_child_nodes(node):
            look(child)

    look(tree)
    return found


def test_kernels_without_a_way_in_are_called_by_kernels_only():
    assert len(CLOSED) > 300
    found = []
    for path in (*sorted((ROOT / "smartmoney").rglob("*.py")), *sorted((ROOT / "tests").rglob("*.py"))):
        module, text = ".".join(path.relative_to(ROOT).with_suffix("").parts), path.read_text(encoding="utf-8")
        if module != WITHOUT_JIT and any(room in text for room in ("smartmoney.core", "smartmoney.simulation", "smartmoney.venues")):
            found += called_from_python(module, TREES.get(module) or ast.parse(text))
    assert found == []


def constants(tree, is_meant):
    return {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign) and is_meant(node.value)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def made_by(name):
    return lambda value: isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == name


TUPLES = {(module, name) for module, tree in TREES.items() for name in constants(tree, lambda value: isinstance(value, ast.Tuple))}
NUMBERS = {(module, name) for module, tree in TREES.items() for name in constants(tree, made_by("int64"))}


def is_one_of(known, module, node):
    if not isinstance(node, ast.Name):
        return False
    name = node.id
    while (module, name) not in known and name in IMPORTS.get(module, {}):
        module, name = IMPORTS[module][name]
    return (module, name) in known


def test_no_kernel_indexes_a_tuple_by_a_typed_constant():
    """See `typed.int64`: whether another kernel compiles would depend on what was compiled before it in the same process."""
    assert ("smartmoney.core.features.horizons", "HALF_LIVES_S") in TUPLES
    assert ("smartmoney.core.features.horizons", "H10") in NUMBERS
    found = [
        f"{module}:{node.lineno}"
        for module, tree in TREES.items()
        for kernel in ast.walk(tree)
        if decorators(kernel) & KERNELS
        for node in ast.walk(kernel)
        if isinstance(node, ast.Subscript) and is_one_of(TUPLES, module, node.value) and is_one_of(NUMBERS, module, node.slice)
    ]
    assert found == []
