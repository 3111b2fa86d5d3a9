"""Workers of a pool end with the command that started them, even where it was killed in the middle."""

import ast
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import smartmoney
from tests.waiting import PATIENCE_S

COMMAND = """
import multiprocessing, os, time
from concurrent.futures import ProcessPoolExecutor
from smartmoney.runtime.worker_ends import end_with_the_parent

if __name__ == "__main__":
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=spawn, initializer=end_with_the_parent) as pool:
        print(*{pool.submit(os.getpid).result() for _ in range(2)}, *(one.pid for one in multiprocessing.active_children()), flush=True)
        time.sleep(3600)
"""


def test_workers_of_a_killed_command_are_gone(tmp_path):
    program = tmp_path / "command.py"
    program.write_text(COMMAND)
    command = subprocess.Popen([sys.executable, str(program)], stdout=subprocess.PIPE, text=True, env=dict(os.environ))
    try:
        watched = [os.pidfd_open(int(pid)) for pid in set(command.stdout.readline().split())]
        assert watched
    finally:
        command.send_signal(signal.SIGKILL)
        command.wait(PATIENCE_S)
        command.stdout.close()
    for one in watched:
        # A process's descriptor can be read once it has ended.
        ended, _, _ = select.select([one], [], [], PATIENCE_S)
        os.close(one)
        assert ended


def test_every_pool_of_the_product_has_workers_that_end_with_it():
    """Each initializer is, or calls, `end_with_the_parent`."""
    found = 0
    for path in Path(smartmoney.__file__).parent.rglob("*.py"):
        text = path.read_text()
        for node in ast.walk(ast.parse(text if "ProcessPoolExecutor(" in text else "")):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("ProcessPoolExecutor"):
                found += 1
                given = {one.arg: ast.unparse(one.value) for one in node.keywords}
                assert given.get("initializer") in {"end_with_the_parent", "begin_worker", "_begin", "_be_quiet"}, path
                assert "end_with_the_parent" in text or "begin_worker" in text, path
    assert found >= 6
