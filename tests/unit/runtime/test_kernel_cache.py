"""The kernel cache: a name that changes with whatever changes compiled code, few generations, and read-only images."""

import ast
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import smartmoney
from smartmoney.runtime import kernel_cache
from tests.waiting import PATIENCE_S


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    monkeypatch.delenv("CACHE_DIRECTORY", raising=False)
    monkeypatch.setenv("SMARTMONEY_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Give a copy of the package's sources to change."""
    copy = tmp_path / "package"
    shutil.copytree(Path(smartmoney.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(kernel_cache, "_PACKAGE", copy)
    return copy


@pytest.mark.parametrize(
    "source", ["core/book/kernel.py", "core/book/codes.py", "core/features/kernel.py", "venues/binance/kernel.py", "core/domain/signals.py"]
)
def test_the_name_changes_with_every_source_that_a_kernel_may_bake_in(package, source):
    before = kernel_cache.fingerprint()
    assert kernel_cache.fingerprint() == before
    path = package / source
    if not path.exists():
        pytest.skip(f"{source} is elsewhere now")
    path.write_text(path.read_text() + "\n# changed\n")
    assert kernel_cache.fingerprint() != before


def _imported(source, package):
    """Yield the package's modules that a source imports, the packages around them among them."""
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("smartmoney"):
            base = package.parent / node.module.replace(".", "/")
            found = [base, *(base / name.name for name in node.names)]
            yield from (path for one in found for path in (one.with_suffix(".py"), one / "__init__.py") if path.is_file())


def test_the_name_changes_with_everything_that_a_kernel_imports_however_far_away():
    package = Path(smartmoney.__file__).parent
    hashed = set(kernel_cache.sources())
    # What is only measured is compiled by who measures it.
    known = {one for one in hashed if "smartmoney.core.book.typed import" in one.read_text() or "njit" in one.read_text()}
    assert len(known) > 50
    ahead = list(known)
    while ahead:
        for one in _imported(ahead.pop(), package):
            if one not in known:
                known.add(one)
                ahead.append(one)
    assert known <= hashed
    assert package / "core/domain/signals.py" in known


def test_the_name_does_not_change_with_the_rest_and_changes_with_the_processor(package, monkeypatch):
    before = kernel_cache.fingerprint()
    (package / "cli" / "main.py").write_text("")
    assert kernel_cache.fingerprint() == before
    monkeypatch.setenv("NUMBA_CPU_NAME", "another")
    assert kernel_cache.fingerprint() != before


def test_prepare_makes_a_private_directory_and_points_numba_at_it(cache):
    directory = kernel_cache.prepare()
    assert directory == cache / "kernels" / kernel_cache.fingerprint()
    assert os.environ["NUMBA_CACHE_DIR"] == str(directory)
    assert directory.stat().st_mode & 0o777 == 0o700
    assert not kernel_cache.is_warm(directory)
    kernel_cache.mark_warm(directory)
    assert kernel_cache.is_warm(directory)


def test_a_directory_that_somebody_chose_wins(cache, tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "chosen"))
    assert kernel_cache.prepare() == tmp_path / "chosen"
    assert not cache.exists()


def test_old_generations_are_forgotten_and_the_newest_are_kept(cache):
    for age, name in enumerate(("newest", "new", "old", "older", "oldest")):
        folder = cache / "kernels" / name
        folder.mkdir(parents=True)
        os.utime(folder, (1_000_000 - age, 1_000_000 - age))
    directory = kernel_cache.prepare()
    assert {entry.name for entry in (cache / "kernels").iterdir()} == {"newest", "new", directory.name}
    kernel_cache.prepare()
    assert len(list((cache / "kernels").iterdir())) == 3


def test_a_place_where_nothing_can_be_made_is_replaced_by_a_temporary_one(cache):
    cache.parent.mkdir(exist_ok=True)
    cache.write_text("a file where the directory should be")
    directory = kernel_cache.prepare()
    assert directory.is_dir()
    assert not directory.is_relative_to(cache)
    assert os.environ["NUMBA_CACHE_DIR"] == str(directory)


READ_ONLY = """
import os, sys
from smartmoney.runtime import kernel_cache
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
directory = kernel_cache.prepare()
print(directory)
(directory / "room_abc" / "new.nbc").write_bytes(b"x")
print((directory / "room_abc" / "old.nbc").read_bytes() == b"compiled", kernel_cache.is_warm(directory))
"""


def test_a_read_only_cache_is_copied_to_where_it_can_be_written_and_the_copy_goes_with_the_process():
    with tempfile.TemporaryDirectory() as place:
        image = Path(place) / "image"
        (image / "room_abc").mkdir(parents=True)
        (image / "room_abc" / "old.nbc").write_bytes(b"compiled")
        (image / "complete").touch()
        for path, rights in ((image / "room_abc", 0o555), (image, 0o555), (Path(place), 0o755)):
            path.chmod(rights)
        result = subprocess.run(
            [sys.executable, "-c", READ_ONLY],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "NUMBA_CACHE_DIR": str(image)},
        )
        for path in (image, image / "room_abc"):
            path.chmod(0o755)
        assert result.returncode == 0, result.stderr
        directory, verdict = result.stdout.splitlines()
        assert directory != str(image)
        assert verdict == "True True"
        assert not Path(directory).exists()
        assert not (image / "room_abc" / "new.nbc").exists()


STOP_AT_PREPARE = """
import sys
from smartmoney.runtime import kernel_cache

def stop():
    print("numba" in sys.modules)
    sys.stdout.flush()
    raise KeyboardInterrupt

kernel_cache.prepare = stop
from smartmoney.cli.main import main
main()
"""


@pytest.mark.parametrize(
    "words",
    [
        ("features",),
        ("features", "compute", __file__, "--market", "usdm", "--out", "x.parquet"),
        ("features", "study", __file__, "--market", "usdm"),
        ("replay", "--frames", __file__),
        ("bench", "decode"),
        ("sim",),
        ("run", "--paper"),
        ("kernels",),
    ],
    ids=" ".join,
)
def test_no_command_imports_numba_before_it_is_told_where_its_cache_is(words, tmp_path):
    # An import before that keeps the cache beside the sources, where a kernel whose callee changed is taken for fresh.
    command = [sys.executable, "-c", STOP_AT_PREPARE, *words]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert said.stdout == "False\n", said.stderr


def test_a_command_that_imports_kernels_without_a_word_finds_the_cache_prepared(cache, tmp_path):
    said = subprocess.run(
        [sys.executable, "-m", "smartmoney", "dataset", "ls", str(tmp_path / "nothing")],
        env={**os.environ, "SMARTMONEY_CACHE_DIR": str(cache)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert "Traceback" not in said.stderr
    assert (cache / "kernels" / kernel_cache.fingerprint()).is_dir()
