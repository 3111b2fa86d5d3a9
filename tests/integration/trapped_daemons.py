"""Daemons that can be killed at every `await` of the order path, started by a fork of one process that has imported and compiled everything.

A start costs what a daemon does at a start, and not what Python does before it, so that hundreds of kills fit into minutes. Each is a real
process, killed for real; the product's sources are read as they are, with a trap put around each `await` while they are compiled.

Run as a module it is the process that forks: requests and answers are lines of JSON on its standard input and output.
"""

import ast
import importlib.abc
import importlib.machinery
import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

PATH = (
    "smartmoney.adapters.binance_account",
    "smartmoney.adapters.private_stream",
    "smartmoney.runtime.live_account",
    "smartmoney.runtime.live_again",
    "smartmoney.runtime.live_gateway",
    "smartmoney.runtime.live_money",
    "smartmoney.runtime.loop",
    "smartmoney.runtime.sender",
)
"""Where orders, answers, events and commits pass."""
COUNTED_PER_WRITE = 50


class Traps:
    """Count the visits of points; kill this process at the n-th visit of one, once the file that arms it is there."""

    def __init__(self):
        self.visits = {}
        self.point, self.left, self.armed, self.census = "", 0, "", ""
        self._count = 0

    def configure(self, environment):
        self.visits.clear()
        self.point = environment.get("TRAP_POINT", "")
        self.left = int(environment.get("TRAP_NTH", "1"))
        self.armed = environment.get("TRAP_ARMED", "")
        self.census = environment.get("TRAP_CENSUS", "")

    def visit(self, point):
        if self.census:
            self.visits[point] = self.visits.get(point, 0) + 1
            self._count += 1
            if self._count % COUNTED_PER_WRITE == 0:
                self.write()
        elif point == self.point and os.path.exists(self.armed):
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def write(self):
        with open(self.census + ".new", "w") as file:
            json.dump(self.visits, file)
        os.replace(self.census + ".new", self.census)

    async def around(self, name, awaited):
        self.visit(f"before {name}")
        found = await awaited
        self.visit(f"after {name}")
        return found


TRAPS = Traps()


class _Around(ast.NodeTransformer):
    """Put the trap around every `await`, named after its function and its text."""

    def __init__(self, module):
        self._names = [module.rpartition(".")[2]]
        self.points = []

    def visit_ClassDef(self, node):
        return self._inside(node)

    def visit_FunctionDef(self, node):
        return self._inside(node)

    def visit_AsyncFunctionDef(self, node):
        return self._inside(node)

    def _inside(self, node):
        self._names.append(node.name)
        self.generic_visit(node)
        self._names.pop()
        return node

    def visit_Await(self, node):
        name = f"{'.'.join(self._names)}:{node.lineno} {ast.unparse(node.value)[:60]}"
        self.generic_visit(node)
        self.points.append(name)
        call = ast.Call(ast.Name("__around__", ast.Load()), [ast.Constant(name), node.value], [])
        return ast.copy_location(ast.Await(ast.copy_location(call, node.value)), node)


class _Loader(importlib.machinery.SourceFileLoader):
    def get_code(self, fullname):
        tree = _Around(fullname).visit(ast.parse(self.get_data(self.path)))
        return compile(ast.fix_missing_locations(tree), self.path, "exec", dont_inherit=True)

    def exec_module(self, module):
        module.__dict__["__around__"] = TRAPS.around
        super().exec_module(module)


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, fullname, path, target=None):
        if fullname not in PATH:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        spec.loader = _Loader(fullname, spec.origin)
        return spec


def every_point():
    """Return the names of all awaits of the order path, as the sources have them."""
    found = []
    for name in PATH:
        spec = importlib.machinery.PathFinder.find_spec(name, [_folder_of(name)])
        around = _Around(name)
        around.visit(ast.parse(Path(spec.origin).read_text()))
        found += around.points
    return found


def _folder_of(name):
    import smartmoney

    return os.path.join(os.path.dirname(smartmoney.__file__), *name.split(".")[1:-1])


def _prepare():
    """Import and compile everything that a live daemon uses."""
    sys.meta_path.insert(0, _Finder())
    import ccxt.async_support  # noqa: F401
    import uvloop  # noqa: F401

    import smartmoney.cli.main
    import smartmoney.cli.run
    import smartmoney.runtime.daemon
    from smartmoney.runtime import kernel_cache
    from smartmoney.runtime.compile import compile_kernels

    compile_kernels(kernel_cache.prepare(), say=lambda _: None, with_market=False)
    return smartmoney.cli.main.main


def _live(main, asked):
    """Be the daemon, in a process that was just forked; never return."""
    code = 1
    try:
        log = os.open(asked["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        null = os.open(os.devnull, os.O_RDONLY)
        for number, descriptor in enumerate((null, log, log)):
            os.dup2(descriptor, number)
        os.environ.update(asked["environment"])
        sys.path[:0] = asked["paths"]
        TRAPS.configure(asked["environment"])
        sys.argv = ["smartmoney", *asked["arguments"]]
        main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001 - the log must have it
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _serve():
    main = _prepare()
    print(json.dumps({"ready": True}), flush=True)
    while True:
        if select.select([sys.stdin], [], [], 0.02)[0]:
            line = sys.stdin.readline()
            if not line:
                return
            pid = os.fork()
            if pid == 0:
                _live(main, json.loads(line))
            print(json.dumps({"pid": pid}), flush=True)
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            continue
        if pid:
            print(json.dumps({"ended": pid, "code": os.waitstatus_to_exitcode(status)}), flush=True)


class Nursery:
    """Start daemons by fork. One at a time lives; use it as a context: nothing is left behind."""

    def __init__(self, environment):
        self._process = subprocess.Popen(
            (sys.executable, "-m", "tests.integration.trapped_daemons"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self._buffer = ""
        self.pid = 0
        self._code = None
        os.set_blocking(self._process.stdout.fileno(), False)
        assert "ready" in self._answer(600)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.pid and self._code is None:
            os.kill(self.pid, signal.SIGKILL)
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()

    def start(self, arguments, log, *, paths=(), **environment):
        """Start a daemon; its log goes to a file."""
        self._code = None
        asked = {"arguments": [str(word) for word in arguments], "log": str(log), "paths": [str(path) for path in paths]}
        self._process.stdin.write(json.dumps({**asked, "environment": environment}) + "\n")
        self._process.stdin.flush()
        self.pid = self._answer(60)["pid"]

    def code(self, patience_s):
        """Return the exit code of the daemon once it has ended, None when it has not within a patience."""
        if self._code is None:
            answer = self._answer(patience_s)
            self._code = None if answer is None else answer["code"]
        return self._code

    def _answer(self, patience_s):
        end = time.monotonic() + patience_s
        while "\n" not in self._buffer:
            if not select.select([self._process.stdout], [], [], max(0.0, end - time.monotonic()))[0]:
                return None
            text = self._process.stdout.read()
            assert text, "the process that forks has ended"
            self._buffer += text
        line, _, self._buffer = self._buffer.partition("\n")
        return json.loads(line)


if __name__ == "__main__":
    from tests.integration.trapped_daemons import _serve as serve

    serve()
