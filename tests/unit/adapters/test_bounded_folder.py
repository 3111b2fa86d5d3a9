"""A bounded folder loses what was not used for the longest, whole, and nothing that is in use."""

import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartmoney.adapters.bounded_folder import USED_NS, BoundedFolder, note_use

A, B = "a" * 64, "past-" + "b" * 24


def named(number):
    return f"{number:040x}.frames"


def put(path, size, hours):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    at = time.time_ns() - int(hours * USED_NS)
    os.utime(path, ns=(at, at))


def names(folder):
    return {path.name for path in folder.iterdir()}


@given(st.lists(st.tuples(st.integers(1, 50), st.sampled_from([0.1, *range(2, 40)])), max_size=12), st.integers(0, 200))
def test_the_longest_unused_goes_first_and_no_more_than_must(tmp_path_factory, files, bytes_max):
    folder = tmp_path_factory.mktemp("bounded")
    for number, (size, hours) in enumerate(files):
        put(folder / named(number), size, hours)
    BoundedFolder(folder, bytes_max).make_room()
    left = {int(name.partition(".")[0], 16) for name in names(folder)}
    total = sum(size for size, _ in files)
    gone = [number for number in range(len(files)) if number not in left]
    assert all(files[number][1] > 1 for number in gone)
    over = [number for number in left if files[number][1] > 1]
    rest = total - sum(files[number][0] for number in gone)
    assert rest <= bytes_max or not over
    if gone:
        newest_gone = min(files[number][1] for number in gone)
        assert all(files[number][1] <= newest_gone for number in over)
        assert rest + max(files[number][0] for number in gone if files[number][1] == newest_gone) > bytes_max


def test_what_belongs_together_goes_together(tmp_path):
    put(tmp_path / A / "nodes", 100, 5)
    put(tmp_path / f"{A}.json", 1, 5)
    os.utime(tmp_path / A, ns=(0, 0))
    put(tmp_path / f"{B}.0-of-2.npz", 60, 9)
    put(tmp_path / f"{B}.1-of-2.npz", 60, 2)
    bound = BoundedFolder(tmp_path, 150)
    bound.make_room()
    assert names(tmp_path) == {f"{B}.0-of-2.npz", f"{B}.1-of-2.npz"}, "used when the newest of its files was"


def test_the_newest_goes_only_where_it_is_named(tmp_path):
    for number in range(3):
        put(tmp_path / named(number), 10, 0.1)
    bound = BoundedFolder(tmp_path, 25)
    bound.make_room()
    assert names(tmp_path) == {named(0), named(1), named(2)}
    bound.make_room(named(1).removesuffix(".frames"))
    assert names(tmp_path) == {named(0), named(2)}


@pytest.mark.parametrize("name", [".b3_x9a0z.part", ".making-b", f".{B}.0-of-1.npz.77.part", f".{A}.json.7-8.new"])
def test_what_somebody_is_writing_stays_for_a_day(tmp_path, name):
    put(tmp_path / name, 100, 20)
    bound = BoundedFolder(tmp_path, 10)
    bound.make_room()
    assert names(tmp_path) == {name}
    put(tmp_path / name, 100, 25)
    bound.make_room()
    assert names(tmp_path) == set()


OURS = [named(1), f"{'a' * 24}.npz", f"{B}.1-of-2.npz", A, f"{A}.json"]
THEIRS = [
    "BTCUSDT.2024-08-08.jsonl.gz",
    "notes",
    ".git",
    "20240808.frames",
    "own.part",
    ".own.part",
    "0" * 40,
    f"{'a' * 24}.gz",
    f"{'a' * 24}.npz.old",
]
THEIRS += [f"{'a' * 40}.npz", f"{'a' * 64}.gz", f"{B}.npz", f"{'a' * 26}.npz", f"{A}.frames", f"mine-{'b' * 24}.0-of-1.npz"]


def test_what_is_not_named_as_the_caches_name_it_is_somebodys_and_stays(tmp_path):
    for name in (*OURS, *THEIRS):
        put(tmp_path / name, 100, 50)
    bound = BoundedFolder(tmp_path, 10)
    assert bound.held() == (4, 500), "a model and what it took are one"
    bound.make_room()
    assert names(tmp_path) == set(THEIRS)
    put(tmp_path / OURS[0], 100, 0)
    assert bound.clear() == 100
    assert names(tmp_path) == set(THEIRS)


def test_a_link_goes_and_what_it_leads_to_stays_and_is_not_counted(tmp_path):
    put(tmp_path / "elsewhere" / "nodes", 5_000, 50)
    kept = tmp_path / "kept"
    put(kept / f"{B}.0-of-1.npz", 100, 3)
    (kept / A).symlink_to(tmp_path / "elsewhere")
    BoundedFolder(kept, 1_000).make_room()
    assert names(kept) == {A, f"{B}.0-of-1.npz"}
    os.utime(kept / A, ns=(0, 0), follow_symlinks=False)
    BoundedFolder(kept, 100).make_room()
    assert names(kept) == {f"{B}.0-of-1.npz"}
    assert names(tmp_path / "elsewhere") == {"nodes"}


def test_what_cannot_be_removed_makes_no_room(tmp_path, monkeypatch):
    put(tmp_path / named(1), 100, 9)
    put(tmp_path / named(2), 100, 5)
    put(tmp_path / named(3), 100, 3)
    unlink = Path.unlink

    def refused(path, *more, **named_more):
        if path.name == named(1):
            raise PermissionError
        unlink(path, *more, **named_more)

    monkeypatch.setattr(Path, "unlink", refused)
    BoundedFolder(tmp_path, 200).make_room()
    assert names(tmp_path) == {named(1), named(3)}


def test_what_was_used_within_the_hour_stays_however_long_ago_it_was_made(tmp_path):
    put(tmp_path / named(1), 100, 0.95)
    note_use(tmp_path / named(1))
    assert time.time_ns() - (tmp_path / named(1)).stat().st_mtime_ns < USED_NS / 2, "in a few minutes it was used within the hour"
    put(tmp_path / named(2), 100, 1.05)
    BoundedFolder(tmp_path, 10).make_room()
    assert names(tmp_path) == {named(1), named(2)}, "it may have been used since, and not been noted"


def test_use_is_noted_and_a_folder_that_is_not_there_is_no_problem(tmp_path):
    put(tmp_path / "a", 1, 5)
    note_use(tmp_path / "a")
    assert time.time_ns() - (tmp_path / "a").stat().st_mtime_ns < USED_NS
    note_use(tmp_path / "none")
    BoundedFolder(tmp_path / "none", 1).make_room()
