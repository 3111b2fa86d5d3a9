"""A bounded folder loses what was not used for the longest, whole, and nothing that is in use."""

import os
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartmoney.adapters.bounded_folder import USED_NS, BoundedFolder, note_use


def put(path, size, hours):
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(bytes(size))
    at = time.time_ns() - int(hours * USED_NS)
    os.utime(path, ns=(at, at))


def names(folder):
    return {path.name for path in folder.iterdir()}


@given(st.lists(st.tuples(st.integers(1, 50), st.sampled_from([0.1, *range(2, 40)])), max_size=12), st.integers(0, 200))
def test_the_longest_unused_goes_first_and_no_more_than_must(tmp_path_factory, files, bytes_max):
    folder = tmp_path_factory.mktemp("bounded")
    for number, (size, hours) in enumerate(files):
        put(folder / f"{number}.x", size, hours)
    BoundedFolder(folder, bytes_max).make_room()
    left = {int(name.partition(".")[0]) for name in names(folder)}
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
    (tmp_path / "a").mkdir()
    put(tmp_path / "a" / "nodes", 100, 5)
    put(tmp_path / "a.json", 1, 5)
    os.utime(tmp_path / "a", ns=(0, 0))
    put(tmp_path / "b.0-of-2.npz", 60, 9)
    put(tmp_path / "b.1-of-2.npz", 60, 2)
    bound = BoundedFolder(tmp_path, 150)
    bound.make_room()
    assert names(tmp_path) == {"b.0-of-2.npz", "b.1-of-2.npz"}, "used when the newest of its files was"


def test_the_newest_goes_only_where_it_is_named(tmp_path):
    for number in range(3):
        put(tmp_path / f"{number}.x", 10, 0.1)
    bound = BoundedFolder(tmp_path, 25)
    bound.make_room()
    assert names(tmp_path) == {"0.x", "1.x", "2.x"}
    bound.make_room("1")
    assert names(tmp_path) == {"0.x", "2.x"}


@pytest.mark.parametrize("name", ["b.part", ".making-b", ".b.npz.77.part"])
def test_what_somebody_is_writing_stays_for_a_day(tmp_path, name):
    put(tmp_path / name, 100, 20)
    bound = BoundedFolder(tmp_path, 10)
    bound.make_room()
    assert names(tmp_path) == {name}
    put(tmp_path / name, 100, 25)
    bound.make_room()
    assert names(tmp_path) == set()


def test_use_is_noted_and_a_folder_that_is_not_there_is_no_problem(tmp_path):
    put(tmp_path / "a", 1, 5)
    note_use(tmp_path / "a")
    assert time.time_ns() - (tmp_path / "a").stat().st_mtime_ns < USED_NS
    note_use(tmp_path / "none")
    BoundedFolder(tmp_path / "none", 1).make_room()
