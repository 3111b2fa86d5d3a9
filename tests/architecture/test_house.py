"""The rules of the house that a machine can check."""

import ast
import importlib
import pkgutil
import subprocess
from functools import cache
from pathlib import Path

import pytest
import typer

import smartmoney
from smartmoney.cli.main import app

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "smartmoney"
SOURCES = sorted(PACKAGE.rglob("*.py"))
PURE = [path for path in SOURCES if path.relative_to(PACKAGE).parts[0] in {"core", "venues", "simulation"}]
LINES_MAX = 500
FUNCTION_LINES_MAX = 80

IMPURE_MODULES = {
    "asyncio",
    "time",
    "datetime",
    "random",
    "uuid",
    "secrets",
    "socket",
    "os",
    "logging",
    "structlog",
    "threading",
    "subprocess",
}
IMPURE_CALLS = {"open", "print", "input"}
SEEDED_ONLY = {"default_rng", "seed", "RandomState", "Generator"}
BROAD = {"Exception", "BaseException"}
BROAD_ALLOWED = {
    "runtime/supervisor.py",
    "core/strategy/desk.py",
    "compat/user_strategy.py",
    "cli/main.py",
    "core/engine/money.py",
    "runtime/kernel_loading.py",
}
"""The supervisor; the one guard around a user's strategy, and its constructor; the outermost frame, which raises again what it does not know;
the kill switch, which fails closed; the loading of compiled kernels, of which a damaged one may raise anything."""
HOSTS = ("pypi" + ".org", "pythonhosted" + ".org", "/simple" + "/")
LOOKS_FOR_THEM_TOO = {"tests/unit/docs/test_docs.py"}
MACHINE_PATHS = ("/work" + "/", "/root" + "/")


def name_of(path):
    return path.relative_to(PACKAGE).as_posix()


@cache
def nodes(path):
    """Return the tree of a file and all nodes of it: six laws look at each."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return tree, tuple(ast.walk(tree))


def imported(node):
    if isinstance(node, ast.Import):
        return {alias.name.partition(".")[0] for alias in node.names}
    return {(node.module or "").partition(".")[0]} if isinstance(node, ast.ImportFrom) and node.level == 0 else set()


def dotted(node):
    return f"{dotted(node.value)}.{node.attr}" if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def test_imports_go_down_only():
    result = subprocess.run(["lint-imports", "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False, env=_with_scripts())
    assert result.returncode == 0, result.stdout


def test_the_pure_rooms_have_no_clock_no_chance_and_no_io():
    found = []
    for path in PURE:
        for node in nodes(path)[1]:
            found += [f"{name_of(path)}:{node.lineno} imports {name}" for name in imported(node) & IMPURE_MODULES]
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in IMPURE_CALLS:
                found.append(f"{name_of(path)}:{node.lineno} calls {node.func.id}")
            if isinstance(node, (ast.AsyncFor, ast.AsyncWith)):
                found.append(f"{name_of(path)}:{node.lineno} waits")
    assert found == []


def test_chance_in_the_pure_rooms_is_seeded():
    found = []
    for path in PURE:
        for node in nodes(path)[1]:
            called = dotted(node.func) if isinstance(node, ast.Call) else ""
            if ".random." not in f"{called}.":
                continue
            is_seeded = called.rpartition(".")[2] in SEEDED_ONLY and (node.args or node.keywords)
            if not is_seeded and called.startswith(("np.", "numpy.")):
                found.append(f"{name_of(path)}:{node.lineno} {called}")
    assert found == []


def test_files_and_functions_are_short():
    found = [name_of(path) for path in SOURCES if path.read_text(encoding="utf-8").count("\n") > LINES_MAX]
    found += [
        f"{name_of(path)}:{node.lineno} {node.name}"
        for path in SOURCES
        for node in nodes(path)[1]
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.end_lineno - node.lineno >= FUNCTION_LINES_MAX
    ]
    assert found == []


def test_broad_handlers_stand_where_they_are_documented_only():
    found = []
    for path in SOURCES:
        for node in nodes(path)[1]:
            if not isinstance(node, ast.ExceptHandler):
                continue
            caught = {dotted(item) for item in (node.type.elts if isinstance(node.type, ast.Tuple) else [node.type] if node.type else [])}
            is_broad = node.type is None or caught & BROAD
            passes_on = isinstance(node.body[-1], ast.Raise) and node.body[-1].exc is None
            if is_broad and not passes_on and name_of(path) not in BROAD_ALLOWED:
                found.append(f"{name_of(path)}:{node.lineno}")
    assert found == []


def test_suppressing_everything_happens_in_the_supervisor_only():
    found = [
        f"{name_of(path)}:{node.lineno}"
        for path in SOURCES
        for node in nodes(path)[1]
        if isinstance(node, ast.Call) and dotted(node.func).endswith("suppress") and BROAD & {dotted(word) for word in node.args}
    ]
    assert [where for where in found if not where.startswith("runtime/supervisor.py")] == []


def test_every_module_and_public_name_is_documented():
    missing = []
    for path in SOURCES:
        tree = nodes(path)[0]
        if not ast.get_docstring(tree) and path.name != "__main__.py":
            missing.append(name_of(path))
        missing += [
            f"{name_of(path)}:{node.lineno} {node.name}"
            for node in tree.body
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
            and node.name[0] != "_"
            and not ast.get_docstring(node)
        ]
    assert missing == []


def test_no_file_has_a_name_that_says_nothing():
    hollow = {"utils", "util", "helpers", "helper", "manager", "common_utils", "misc", "data", "info"}
    assert [name_of(path) for path in SOURCES if path.stem in hollow] == []


def commands(command, words=()):
    if isinstance(command, typer.core.TyperGroup):
        for name, inner in command.commands.items():
            yield from commands(inner, (*words, name))
    else:
        yield words, command


@pytest.mark.parametrize(
    ("words", "command"), list(commands(typer.main.get_command(app))), ids=lambda value: "-".join(value) if isinstance(value, tuple) else ""
)
def test_every_command_has_help_with_an_example_and_json(words, command):
    text = f"{command.help or ''} {command.epilog or ''}"
    assert "Example" in text
    assert f"smartmoney {' '.join(words)}" in text
    if not command.hidden:
        assert "--json" in {option for parameter in command.params for option in parameter.opts}
    assert all(getattr(parameter, "help", None) for parameter in command.params if parameter.param_type_name == "option")


def test_every_module_can_be_imported_without_side_effects_on_others():
    for found in pkgutil.walk_packages(smartmoney.__path__, "smartmoney."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)


def test_tests_wait_in_one_place_and_pick_no_port_before_it_is_theirs():
    """A pause is no proof that something has happened, and a port that was let go is anybody's: `tests.waiting` has what to do instead."""
    found = []
    for path in sorted((ROOT / "tests").rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and dotted(node.func) == "time.sleep" and name != "tests/waiting.py":
                found.append(f"{name}:{node.lineno} sleeps")
            if isinstance(node, ast.arg) and node.arg.startswith("unused_") and node.arg.endswith("_port"):
                found.append(f"{name}:{node.lineno} takes {node.arg}")
    assert found == []


def tracked():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_no_tracked_file_names_a_package_registry_or_this_machine():
    found = []
    for path in tracked():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        name = path.relative_to(ROOT).as_posix()
        found += [f"{name}: {word}" for word in (*HOSTS, *MACHINE_PATHS) if word in text and name not in LOOKS_FOR_THEM_TOO]
    assert found == []


def test_the_lock_has_a_hash_for_every_requirement():
    for name in ("requirements.lock", "requirements-research.lock", "requirements-dev.lock", "requirements-peers.lock"):
        lines = (ROOT / "deploy" / name).read_text().splitlines()
        pinned = [number for number, line in enumerate(lines) if "==" in line and not line.startswith(("#", " "))]
        assert pinned
        assert all("--hash=sha256:" in lines[number + 1] for number in pinned)


def _with_scripts():
    import os
    import sys

    return {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"}
