"""The state directory: where it is, that it is private, that it is one daemon's."""

import os
import resource
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from smartmoney.adapters.state_directory import (
    StateDirectory,
    StateDirectoryError,
    StateDirectoryLocked,
    StateLayout,
    fits_socket,
    lock_holder,
    resolve_state_directory,
    write_durably,
)

HOLD = """
import sys
from pathlib import Path
from smartmoney.adapters.state_directory import StateDirectory
with StateDirectory.open(Path(sys.argv[1])):
    print("ready", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize(
    ("flag", "environ", "expected"),
    [
        (Path("/a"), {"SMARTMONEY_STATE_DIR": "/b", "STATE_DIRECTORY": "/c", "HOME": "/h"}, "/a"),
        (None, {"SMARTMONEY_STATE_DIR": "/b", "STATE_DIRECTORY": "/c", "HOME": "/h"}, "/b"),
        (None, {"STATE_DIRECTORY": "/c:/d", "XDG_STATE_HOME": "/x", "HOME": "/h"}, "/c"),
        (None, {"SMARTMONEY_STATE_DIR": "", "STATE_DIRECTORY": "", "XDG_STATE_HOME": "/x", "HOME": "/h"}, "/x/smartmoney"),
        (None, {"XDG_STATE_HOME": "relative", "HOME": "/h"}, "/h/.local/state/smartmoney"),
        (None, {"HOME": "/h"}, "/h/.local/state/smartmoney"),
    ],
)
def test_first_of_flag_variable_systemd_xdg_wins(flag, environ, expected):
    assert resolve_state_directory(flag, environ) == Path(expected)


def test_opening_makes_a_private_directory_with_its_folders(tmp_path):
    with StateDirectory.open(tmp_path / "deep" / "state") as state:
        assert state.layout.root.stat().st_mode & 0o777 == 0o700
        assert state.layout.captures.is_dir()
        assert state.layout.cache.is_dir()
        assert state.layout.capture("run-1") == state.layout.captures / "run-1"
        assert int(state.layout.lock.read_text()) == os.getpid()


def test_opening_takes_rights_away_from_an_empty_directory(tmp_path):
    tmp_path.chmod(0o755)
    with StateDirectory.open(tmp_path):
        assert tmp_path.stat().st_mode & 0o777 == 0o700


def test_a_folder_with_somebodys_files_is_left_alone(tmp_path):
    home = tmp_path / "home"
    home.mkdir(mode=0o755)
    (home / "letters.txt").write_text("dear")
    with pytest.raises(StateDirectoryError, match="not smartmoney's; name an empty directory"):
        StateDirectory.open(home)
    assert home.stat().st_mode & 0o777 == 0o755
    assert [entry.name for entry in home.iterdir()] == ["letters.txt"]


def test_a_file_in_place_of_the_directory_is_refused(tmp_path):
    (tmp_path / "state").write_text("")
    with pytest.raises(StateDirectoryError, match="is not a directory"):
        StateDirectory.open(tmp_path / "state")
    with pytest.raises(StateDirectoryError, match="cannot be used"):
        StateDirectory.open(tmp_path / "state" / "below")


def test_an_unwritable_place_is_refused_with_a_remedy():
    with pytest.raises(StateDirectoryError, match=r"cannot be used: .*; name a directory that this user may write"):
        StateDirectory.open(Path("/proc/smartmoney-state"))


@pytest.mark.parametrize("run_id", ["", ".", "..", "a/b", "a\0b"])
def test_a_run_id_that_is_no_file_name_is_refused(run_id):
    with pytest.raises(ValueError, match="is not a file name"):
        StateLayout(Path("/s")).capture(run_id)


def test_a_second_instance_is_told_the_pid_of_the_first_and_may_follow_its_kill(tmp_path):
    layout = StateLayout(tmp_path / "state")
    assert lock_holder(layout) is None
    with subprocess.Popen([sys.executable, "-c", HOLD, str(layout.root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout.readline() == b"ready\n"
        assert lock_holder(layout) == child.pid
        with pytest.raises(StateDirectoryLocked, match=f"in use by process {child.pid}; stop that daemon"):
            StateDirectory.open(layout.root)
        child.kill()
        child.wait()
    assert lock_holder(layout) is None
    with StateDirectory.open(layout.root):
        assert lock_holder(layout) == os.getpid()


def test_a_second_opening_in_the_same_process_is_refused_too(tmp_path):
    with StateDirectory.open(tmp_path / "state") as state, pytest.raises(StateDirectoryLocked):
        StateDirectory.open(state.layout.root)
    assert not state.is_locked


def test_a_full_disk_is_refused_in_plain_words_and_the_lock_is_free_again(tmp_path):
    # A limit of the process stands for the full disk: the kernel refuses the write the same way (EFBIG for ENOSPC).
    code = "import sys\nfrom pathlib import Path\nfrom smartmoney.adapters.state_directory import *\ntry: StateDirectory.open(Path(sys.argv[1]))\nexcept StateDirectoryError as e: print(e)"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "state")],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),
    )
    assert f"the disk of {tmp_path / 'state'} is full; free space there" in done.stdout
    assert not [entry.name for entry in (tmp_path / "state").iterdir() if entry.name.startswith(".probe")]
    StateDirectory.open(tmp_path / "state").close()


def test_a_long_path_gets_a_short_socket_that_readers_find(tmp_path, monkeypatch):
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    root = tmp_path / ("x" * 100) / "state"
    with StateDirectory.open(root) as state:
        short = state.layout.control_socket
        assert fits_socket(short)
        assert short.parent.stat().st_mode & 0o777 == 0o700
    with StateDirectory.open(root) as again:
        assert again.layout.control_socket == short
    assert StateLayout(root).control_socket == short
    short.parent.rmdir()


def test_a_long_path_uses_a_private_runtime_directory_and_no_other(tmp_path, monkeypatch):
    runtime = Path("/tmp") / f"sm-rt-{os.getpid()}"
    runtime.mkdir(mode=0o700)
    try:
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
        with StateDirectory.open(tmp_path / ("x" * 100)) as state:
            assert state.layout.control_socket.parent == runtime
        runtime.chmod(0o777)
        with StateDirectory.open(tmp_path / ("y" * 100)) as state:
            assert state.layout.control_socket.parent != runtime
            state.layout.control_socket.parent.rmdir()
    finally:
        runtime.rmdir()


def test_a_small_file_is_replaced_whole(tmp_path):
    write_durably(tmp_path / "f", b"one")
    write_durably(tmp_path / "f", b"two")
    assert (tmp_path / "f").read_bytes() == b"two"
    assert [entry.name for entry in tmp_path.iterdir()] == ["f"]
    assert (tmp_path / "f").stat().st_mode & 0o777 == 0o600


def test_several_who_replace_a_file_at_once_do_not_meet(tmp_path):
    """Daemon, guard and a person may set the latch in the same moment: none may fail, and what is there is one's word, whole."""
    path, start = tmp_path / "HALT", threading.Barrier(4)
    words = [bytes([number]) * 500 for number in range(4)]

    def replace(word):
        start.wait()
        for _ in range(40):
            write_durably(path, word)
            assert path.read_bytes() in words

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(replace, words))
    assert [entry.name for entry in tmp_path.iterdir()] == ["HALT"]
