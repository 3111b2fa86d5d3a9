import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from subprocess import PIPE

import msgspec
import numpy as np
import pytest

from smartmoney.adapters import file_times
from smartmoney.adapters.model_files import BundleRefused, assemble, read_bundle, record_gate, write_bundle
from smartmoney.adapters.model_store import ModelNotFound, ModelStore
from smartmoney.adapters.state_directory import StateDirectory
from smartmoney.core.models.bundle import Gate
from smartmoney.core.models.checks import bundle_problem


@pytest.fixture
def folder(tmp_path, bundles):
    write_bundle(tmp_path / "b", bundles.small_bundle())
    return tmp_path / "b"


os.umask(UMASK := os.umask(0o022))
"""It can only be read by setting it."""


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_bundle_is_read_as_it_was_written(folder, bundles):
    written, read = bundles.small_bundle(), read_bundle(folder)
    assert read.spec == written.spec
    assert (read.hash, read.card) == (written.hash, written.card)
    for name, forest in written.forests.items():
        assert np.array_equal(read.forests[name].nodes, forest.nodes)
        assert np.array_equal(read.forests[name].trees, forest.trees)
        assert read.forests[name].base == forest.base
    assert not (folder.parent / ".making").exists()


def test_a_bundle_is_read_once_a_process_as_long_as_its_files_are_what_they_were(folder, monkeypatch):
    monkeypatch.setattr(file_times, "SETTLED_NS", 1 << 62)
    assert read_bundle(folder) is not read_bundle(folder), "what was written a moment ago may be written again within a tick of the clock"
    monkeypatch.setattr(file_times, "SETTLED_NS", -1)
    first = read_bundle(folder)
    assert read_bundle(folder) is first
    gate = Gate(passed=True, at="2026-01-01", venue="binance", market="spot", instruments=("BTC/USDT",), text="")
    record_gate(folder, gate)
    told = read_bundle(folder)
    assert told.gates == (gate,)
    rights = {path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert rights == {0o666 & ~UMASK}, "a person's model is read by the daemon's user, where its folder lets it"
    assert told.spec is first.spec
    path = folder / "head-900.nodes.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(BundleRefused):
        read_bundle(folder)
    path.unlink()
    with pytest.raises(BundleRefused, match="missing"):
        read_bundle(folder)


def test_the_same_content_has_the_same_hash_and_another_threshold_another(bundles):
    small = bundles.small_bundle()
    assert assemble(small.spec, small.forests, "another card").hash == small.hash
    forests = dict(small.forests)
    nodes = forests["head-900"].nodes.copy()
    nodes["threshold"][0] += np.float32(1e-3)
    forests["head-900"] = type(forests["head-900"])(nodes=nodes, trees=forests["head-900"].trees, base=forests["head-900"].base)
    assert assemble(small.spec, forests, small.card).hash != small.hash


def test_every_file_is_missed_when_it_is_gone_cut_short_or_changed(folder, tmp_path):
    for name in files(folder):
        for hurt in ("gone", "cut", "changed"):
            copy = tmp_path / f"{name}-{hurt}"
            shutil.copytree(folder, copy)
            path = copy / name
            content = bytearray(path.read_bytes())
            if hurt == "gone":
                path.unlink()
            elif hurt == "cut":
                path.write_bytes(content[: len(content) // 2])
            else:
                content[len(content) // 2] ^= 1
                path.write_bytes(content)
            with pytest.raises(BundleRefused) as refused:
                read_bundle(copy)
            assert refused.value.path == path, (name, hurt)
            assert refused.value.remedy


def test_a_bundle_of_another_schema_is_refused_by_name(bundles):
    small = bundles.small_bundle()
    with pytest.raises(BundleRefused, match=r"bundle\.json: made for the feature schema 00000000"):
        assemble(msgspec.structs.replace(small.spec, schema_hash="0" * 64), small.forests, "")


def changed(forest, **fields):
    nodes = forest.nodes.copy()
    for name, value in fields.items():
        nodes[name][0] = value
    return type(forest)(nodes=nodes, trees=forest.trees, base=forest.base)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"left": 10**6}, "outside its tree"),
        ({"left": 0}, "before its parent"),
        ({"feature": 99}, "outside 0.."),
        ({"threshold": np.nan}, "not finite"),
    ],
)
def test_indices_out_of_bounds_and_numbers_that_are_none_are_found(bundles, fields, says):
    small = bundles.small_bundle()
    with pytest.raises(BundleRefused, match=says):
        assemble(small.spec, {**small.forests, "head-900": changed(small.forests["head-900"], **fields)}, "")


def hmm_changes(hmm):
    means = [list(row) for row in hmm.means]
    means[0][0] += 0.5
    yield {"means": tuple(map(tuple, means))}, "not the mirror of state"
    yield {"start": (0.5,) * 6}, "does not sum to 1"
    yield {"variances": ((0.0,) * 4,) * 6}, "not above 0"
    yield {"mirror": (0, 0, 0, 0, 0, 0)}, "not a mirror"
    yield {"observed": hmm.observed[:3]}, "rows of 3"


def test_a_hidden_markov_model_that_cannot_be_one_is_refused(bundles):
    small = bundles.small_bundle()
    for changes, says in hmm_changes(small.spec.hmm):
        spec = msgspec.structs.replace(small.spec, hmm=msgspec.structs.replace(small.spec.hmm, **changes))
        with pytest.raises(BundleRefused, match=says):
            assemble(spec, small.forests, "")


def test_a_stage_cannot_read_what_comes_after_it(bundles):
    small = bundles.small_bundle()
    detector = msgspec.structs.replace(small.spec.detector, inputs=("regime:neutral", *small.spec.detector.inputs[1:]))
    with pytest.raises(BundleRefused, match="detector: input 'regime:neutral' is not a column that it can read"):
        assemble(msgspec.structs.replace(small.spec, detector=detector), small.forests, "")
    assert bundle_problem(small) is None


def test_promote_and_rollback_move_the_champion(tmp_path, bundles):
    store = ModelStore(tmp_path / "models", bundled=tmp_path / "none")
    assert store.find("default") is None
    first, second = bundles.small_bundle(), bundles.small_bundle(name="second")
    for bundle in (first, second):
        store.add(bundle)
    store.promote("small", "first", 1)
    store.promote(second.hash[:8], "better", 2)
    assert store.champion() == second.hash
    assert store.find("default").hash == second.hash
    store.rollback("worse after all", 3)
    assert store.champion() == first.hash
    assert [(change.act, change.hash) for change in store.champions().log] == [
        ("promote", first.hash),
        ("promote", second.hash),
        ("rollback", first.hash),
    ]
    with pytest.raises(ModelNotFound, match="no champion stood before"):
        store.rollback("again", 4)
    assert [(one.name, one.is_champion) for one in store.listed()] == [("small", True), ("second", False)]


def test_a_model_is_found_by_folder_name_and_hash_and_told_when_not(tmp_path, bundles):
    small = bundles.small_bundle()
    store = ModelStore(tmp_path / "models", bundled=tmp_path / "none")
    folder = store.add(small)
    assert store.add(small) == folder
    assert (
        store.find(str(folder)).hash
        == store.find("small").hash
        == store.find(small.hash).hash
        == store.find(small.hash[:6]).hash
        == store.find(small.name).hash
        == small.hash
    )
    assert store.find("prior") is None
    assert store.find(f"./models/{small.hash}", relative_to=tmp_path).hash == small.hash
    for asked in ("other", "abcdef", "./nowhere", "", "small-", f"other-{small.hash[:12]}"):
        with pytest.raises(ModelNotFound):
            store.find(asked)
    folder.rename(tmp_path / "models" / ("0" * 64))
    with pytest.raises(BundleRefused, match="not the one that its name says"):
        store.load("0" * 64)


def test_the_bundle_of_the_package_is_the_default_until_one_is_promoted(tmp_path, bundles):
    write_bundle(tmp_path / "bundled", bundles.small_bundle())
    store = ModelStore(tmp_path / "models", bundled=tmp_path / "bundled")
    assert store.find("default").hash == bundles.small_bundle().hash
    assert store.is_bundled(bundles.small_bundle().hash)
    store.add(bundles.small_bundle(name="second"))
    store.promote("second", "", 1)
    assert store.find("default").spec.name == "second"
    assert [one.origin for one in store.listed()] == ["package", "store"]


def test_what_a_gate_said_is_kept_and_does_not_change_the_identity(tmp_path, bundles):
    store = ModelStore(tmp_path / "models", bundled=tmp_path / "none")
    small = bundles.small_bundle()
    folder = store.add(small)
    gate = {"venue": "binance", "market": "spot", "instruments": ("BTC/USDT",), "at": "2026-01-01", "text": "all held"}
    assert not store.load(small.hash).passed_for("binance", "spot", "BTC/USDT")
    store.record_gate(small.hash, Gate(passed=True, **gate))
    read = store.load(small.hash)
    assert read.hash == small.hash
    assert read.passed_for("binance", "spot", "BTC/USDT")
    assert not read.passed_for("binance", "usdm", "BTC/USDT")
    assert not read.passed_for("binance", "spot", "ETH/USDT")
    store.record_gate(small.hash, Gate(passed=False, **gate))
    assert not store.load(small.hash).passed_for("binance", "spot", "BTC/USDT")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["gates"][-1]["passed"] = True
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleRefused, match="was changed after it was written"):
        store.load(small.hash)


JUDGE = """
import sys
from pathlib import Path
from smartmoney.adapters.model_store import ModelStore
from smartmoney.core.models.bundle import Gate
store, hash_, name = ModelStore(Path(sys.argv[1]), bundled=Path("/nowhere")), sys.argv[2], sys.argv[3]
print("ready", flush=True)
sys.stdin.readline()
for turn in range(6):
    store.record_gate(hash_, Gate(passed=True, venue=name, market="spot", instruments=(), at=str(turn), text=""))
    store.promote(hash_, name, turn)
"""


def test_two_judges_and_promoters_at_once_lose_no_word_of_one_another(tmp_path, bundles):
    store = ModelStore(tmp_path / "models", bundled=tmp_path / "none")
    small = bundles.small_bundle()
    store.add(small)
    command = [sys.executable, "-c", JUDGE, str(store.folder), small.hash]
    judges = [subprocess.Popen([*command, name], stdin=PIPE, stdout=PIPE, text=True) for name in ("one", "other")]
    for judge in judges:
        assert judge.stdout.readline() == "ready\n"
    for judge in judges:
        judge.stdin.write("\n")
        judge.stdin.flush()
    for judge in judges:
        judge.communicate()
    assert [judge.returncode for judge in judges] == [0, 0]
    every = {(name, turn) for name in ("one", "other") for turn in range(6)}
    assert {(gate.venue, int(gate.at)) for gate in store.load(small.hash).gates} == every
    assert {(change.reason, change.at_wall_ns) for change in store.champions().log} == every


def test_a_bundle_that_several_keep_at_once_is_kept_once(tmp_path, bundles):
    small = bundles.small_bundle()
    with ThreadPoolExecutor(8) as pool:
        turns = [pool.submit(ModelStore(tmp_path / f"{turn}" / "models").add, small) for turn in range(2) for _ in range(4)]
    for turn in turns:
        assert read_bundle(turn.result()).hash == small.hash


def test_no_store_at_all_knows_the_package_alone(tmp_path, bundles):
    assert ModelStore(None, bundled=tmp_path / "none").find("default") is None
    assert ModelStore(None, bundled=tmp_path / "none").listed() == ()
    with pytest.raises(ModelNotFound):
        ModelStore(None, bundled=tmp_path / "none").load("small")
    with pytest.raises(OSError, match="models"):
        ModelStore(None).add(bundles.small_bundle())
    write_bundle(tmp_path / "bundled", bundles.small_bundle())
    assert ModelStore(None, bundled=tmp_path / "bundled").find("default").hash == bundles.small_bundle().hash


def test_a_state_directory_may_begin_with_a_model(tmp_path, bundles):
    """Promoting before the first start must not leave a folder that the daemon refuses."""
    root = tmp_path / "deep" / "state"
    ModelStore(root / "models").add(bundles.small_bundle())
    with StateDirectory.open(root) as state:
        assert state.layout.models.is_dir()
    assert root.stat().st_mode & 0o777 == 0o700
