"""Bounds of the caches on disk: as configured, effective with the next use, and cleared on request."""

import json
import os
import time

import pytest

from smartmoney.adapters.bounded_folder import USED_NS
from smartmoney.runtime import cached_files
from smartmoney.runtime.cached_files import AS_IT_COMES, KINDS, MODELS, RECORDINGS, ROWS, bound_rows, bytes_max, held, prepared_recordings
from smartmoney.runtime.tuned_models import Shelf
from smartmoney.settings.caches import CacheSettings

GB = 1_000_000_000
NAMES = {RECORDINGS.folder: "{:040x}.frames", ROWS.folder: "{:024x}.npz", MODELS.folder: "{:064x}.json"}


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SMARTMONEY_CACHE_DIR", str(tmp_path))
    return tmp_path


def put(folder, number, size, hours):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / NAMES[folder.name].format(number)
    path.write_bytes(bytes(size))
    at = time.time_ns() - int(hours * USED_NS)
    os.utime(path, ns=(at, at))
    return path


def use(kind, caches):
    if kind is RECORDINGS:
        prepared_recordings(caches)
    elif kind is ROWS:
        bound_rows(cached_files.rows_folder(), caches)
    else:
        Shelf(cached_files.shelf_folder(), bytes_max(caches, MODELS.key))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.folder)
def test_a_bound_that_is_lowered_holds_from_the_next_use_on(cache, kind):
    old, new = put(cache / kind.folder, 1, 600, 9), put(cache / kind.folder, 2, 600, 5)
    use(kind, AS_IT_COMES)
    assert old.exists()
    use(kind, CacheSettings(**{kind.key: 1000 / GB}))
    assert not old.exists()
    assert new.exists()
    use(kind, CacheSettings(**{one.key: 0.0 for one in KINDS if one is not kind}))
    assert new.exists(), "each has a bound of its own"


def test_nothing_is_prepared_where_nothing_may_be_kept(cache, tmp_path):
    recording = tmp_path / "day.gz"
    recording.write_bytes(b"1700000000000000000 {}\n")
    assert prepared_recordings(CacheSettings(recordings_gb=0.0)).open(recording) is None


def test_caches_are_shown_and_cleared_and_what_is_somebody_elses_stays(cache, call):
    for kind in KINDS:
        put(cache / kind.folder, 1, 100, 0)
    (cache / "recordings" / "mine.txt").write_text("x")
    code, out, _ = call("caches", "--clear", "recordings", "--set", "caches.training_rows_gb=2", "--json")
    assert code == 0
    found = {one["cache"]: one for one in json.loads(out)["caches"]}
    assert [(one["entries"], one["bytes"], one["cleared_bytes"]) for one in found.values()] == [(0, 0, 100), (1, 100, 0), (1, 100, 0)]
    assert found["training-rows"]["bytes_max"] == 2 * GB
    assert (cache / "recordings" / "mine.txt").exists()
    code, out, _ = call("caches", "--clear", "all")
    assert (code, [held(kind, AS_IT_COMES).entries for kind in KINDS]) == (0, [0, 0, 0])
    code, _, err = call("caches", "--clear", "kernels")
    assert code == 2
    assert "tuned-models" in err
    code, _, err = call("caches", "--set", "caches.recordings_gb=-1")
    assert code == 78
    assert "caches.recordings_gb" in err
    assert "default is 8.0" in err
