"""A bundle as a folder of plain files: written whole or not at all, and read with every byte and number checked.

`bundle.json`; `<forest>.nodes.npy`, `<forest>.trees.npy` and `<forest>.base.npy` for each forest; `CARD.md`; `manifest.json`, which names
every other file with its SHA-256 and length, the bundle's identity, and what gates said.
Invariants: nothing of a folder is used before its files match its manifest, or are the very files that did; no pickle is ever read; a
folder appears under its name by one rename, after everything in it is on the disk.
"""

import dataclasses
import hashlib
import io
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from smartmoney.adapters.file_times import Stamp, stamp
from smartmoney.adapters.state_directory import make_private_folder, sync_folder, write_durably, write_whole
from smartmoney.core.alpha.forest import NODE, TREE, Forest
from smartmoney.core.models.bundle import Bundle, BundleSpec, Gate, identity
from smartmoney.core.models.checks import bundle_problem

MANIFEST, SPEC, CARD = "manifest.json", "bundle.json", "CARD.md"
FILE_BYTES_MAX = 256 << 20
_RESTORE = "restore the folder from a copy, or train the model anew"
_PARTS = ("nodes", "trees", "base")
_SHARED = 0o666
"""The rights of a bundle's files, less the umask: their folder says who may look."""


class BundleRefused(Exception):
    """Report a bundle that cannot be used: which file, what is wrong with it, and what to do."""

    exit_code = 78

    def __init__(self, path: Path, problem: str, remedy: str) -> None:
        """Build the one-line message."""
        super().__init__(f"{path}: {problem}; {remedy}")
        self.path = path
        self.problem = problem
        self.remedy = remedy


class FileRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Record a file's SHA-256 in hexadecimal, and its length."""

    sha256: str
    bytes: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Be the file `manifest.json`. `seal` is the SHA-256 of everything else in it."""

    hash: str
    name: str
    files: dict[str, FileRecord]
    gates: tuple[Gate, ...] = ()
    seal: str = ""


_decode_manifest = msgspec.json.Decoder(Manifest).decode
_decode_spec = msgspec.json.Decoder(BundleSpec).decode


def assemble(spec: BundleSpec, forests: Mapping[str, Forest], card: str) -> Bundle:
    """Return a bundle with its identity, checked.

    Raises:
        BundleRefused: something in it does not hold; the path is the file that it would be in.
    """
    files = _contents(spec, forests, card)
    bundle = Bundle(spec=spec, forests=dict(forests), card=card, hash=_identity(_records(files)))
    _check(Path(), bundle)
    return bundle


def write_bundle(folder: Path, bundle: Bundle) -> None:
    """Write a bundle as a new folder, durably, by one rename.

    Raises:
        FileExistsError: there is something under that name.
        OSError: it cannot be written.
    """
    if folder.exists():
        raise FileExistsError(f"{folder} exists")
    files = _contents(bundle.spec, bundle.forests, bundle.card)
    records = _records(files)
    manifest = Manifest(hash=_identity(records), name=bundle.spec.name, files=records, gates=bundle.gates)
    files[MANIFEST] = _sealed(manifest)
    make_private_folder(folder.parent)
    making = Path(tempfile.mkdtemp(prefix=".making-", dir=folder.parent))
    try:
        for name, content in files.items():
            write_whole(making / name, content, _SHARED)
        sync_folder(making)
        making.rename(folder)
    except BaseException:
        shutil.rmtree(making, ignore_errors=True)
        raise
    sync_folder(folder.parent)


def read_bundle(folder: Path) -> Bundle:
    """Return the bundle of a folder.

    Raises:
        BundleRefused: a file is missing, changed, cut short, of another format or schema, or holds something impossible.
    """
    manifest = read_manifest(folder)
    stamps = _stamps(folder, manifest)
    known = _known.get(folder)
    if known is not None and stamps is not None and known.files == manifest.files and known.stamps == stamps:
        return _with_gates(known.bundle, manifest.gates)
    files = {name: _read(folder / name, record) for name, record in manifest.files.items()}
    if manifest.hash != _identity(manifest.files):
        raise BundleRefused(folder / MANIFEST, "the bundle's hash is not that of its files", _RESTORE)
    if SPEC not in files or CARD not in files:
        raise BundleRefused(folder / MANIFEST, f"does not list {SPEC} and {CARD}", _RESTORE)
    bundle = _with_gates(_decoded(folder, manifest.hash, files), manifest.gates)
    if stamps is not None:
        _known.pop(folder, None)
        _known[folder] = _Known(manifest.files, stamps, bundle)
        for old in list(_known)[:-_KNOWN_MAX]:
            _known.pop(old, None)  # another thread may have let it go already
    return bundle


def _with_gates(bundle: Bundle, gates: tuple[Gate, ...]) -> Bundle:
    """Return a bundle with what its manifest says of gates: the same one, where that is what it says."""
    return bundle if bundle.gates == gates else dataclasses.replace(bundle, gates=gates)


class _Known(NamedTuple):
    """Be a bundle that was read and checked: what its manifest listed, and by what its files are told; its gates may be others by now."""

    files: dict[str, FileRecord]
    stamps: tuple[Stamp, ...]
    bundle: Bundle


_KNOWN_MAX = 2
_known: dict[Path, _Known] = {}
"""Several runs of one process read the same bundle: as long as its files are what they were, it is read and checked once."""


def _stamps(folder: Path, manifest: Manifest) -> tuple[Stamp, ...] | None:
    """Return by what the files are told, before they are read; None where one is missing or too new to be told."""
    stamps = []
    for name in manifest.files:
        try:
            one = stamp(os.stat(f"{folder}/{name}"))  # noqa: PTH116  # a path for each of two dozen files costs more than asking
        except OSError:
            return None
        if one is None:
            return None
        stamps.append(one)
    return tuple(stamps)


def _decoded(folder: Path, hash_: str, files: Mapping[str, bytes]) -> Bundle:
    """Return the bundle that files hold, but for its gates."""
    try:
        spec = _decode_spec(files[SPEC])
    except msgspec.MsgspecError as error:
        raise BundleRefused(folder / SPEC, str(error), "it was made by another version: train the model anew") from None
    names = spec.forest_names()
    expected = {SPEC, CARD, *(f"{name}.{part}.npy" for name in names for part in _PARTS)}
    for name in sorted(expected ^ set(files)):
        raise BundleRefused(folder / name, "missing" if name in expected else "belongs to no part of the bundle", _RESTORE)
    forests = {name: _forest(folder, name, files) for name in names}
    bundle = Bundle(spec=spec, forests=forests, card=files[CARD].decode(), hash=hash_)
    _check(folder, bundle)
    return bundle


def read_manifest(folder: Path) -> Manifest:
    """Return a folder's manifest; the files that it lists are not looked at.

    Raises:
        BundleRefused: there is none, or it was changed.
    """
    path = folder / MANIFEST
    try:
        raw = path.read_bytes()
        manifest = _decode_manifest(raw)
    except FileNotFoundError:
        raise BundleRefused(path, "missing", "name a folder that holds a bundle") from None
    except (OSError, msgspec.MsgspecError) as error:
        raise BundleRefused(path, str(error), _RESTORE) from None
    if _seal(manifest) != manifest.seal:
        raise BundleRefused(path, "was changed after it was written", _RESTORE)
    if any("/" in name or name.startswith(".") for name in manifest.files):
        raise BundleRefused(path, "lists a file outside the folder", _RESTORE)
    return manifest


def record_gate(folder: Path, gate: Gate) -> None:
    """Add what a gate said to a bundle's manifest; its identity stays. Of two that do so at once one is lost: `ModelStore` takes turns.

    Raises:
        BundleRefused: there is no such bundle.
        OSError: it cannot be written.
    """
    manifest = read_manifest(folder)
    replace_durably(folder / MANIFEST, _sealed(msgspec.structs.replace(manifest, gates=(*manifest.gates, gate))))


def replace_durably(path: Path, content: bytes) -> None:
    """Replace a file of a model or of its store, which whoever may look into the folder reads: a person's and the daemon's user differ.

    Raises:
        OSError: it cannot be written.
    """
    write_durably(path, content, _SHARED)


def _contents(spec: BundleSpec, forests: Mapping[str, Forest], card: str) -> dict[str, bytes]:
    files = {SPEC: msgspec.json.format(msgspec.json.encode(spec, order="sorted"), indent=1), CARD: card.encode()}
    for name, forest in forests.items():
        for part, array in (("nodes", forest.nodes), ("trees", forest.trees), ("base", np.array(forest.base, "<f8"))):
            out = io.BytesIO()
            np.lib.format.write_array(out, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
            files[f"{name}.{part}.npy"] = out.getvalue()
    return files


def _records(files: Mapping[str, bytes]) -> dict[str, FileRecord]:
    return {name: FileRecord(sha256=hashlib.sha256(content).hexdigest(), bytes=len(content)) for name, content in sorted(files.items())}


def _identity(records: Mapping[str, FileRecord]) -> str:
    return identity({name: record.sha256 for name, record in records.items() if name != CARD})


def _seal(manifest: Manifest) -> str:
    return hashlib.sha256(msgspec.json.encode(msgspec.structs.replace(manifest, seal=""), order="sorted")).hexdigest()


def _sealed(manifest: Manifest) -> bytes:
    sealed = msgspec.structs.replace(manifest, seal=_seal(manifest))
    return msgspec.json.format(msgspec.json.encode(sealed, order="sorted"), indent=1)


def _read(path: Path, record: FileRecord) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise BundleRefused(path, "missing" if isinstance(error, FileNotFoundError) else str(error), _RESTORE) from None
    if len(content) != record.bytes:
        raise BundleRefused(path, f"{len(content)} bytes, and the manifest says {record.bytes}", _RESTORE)
    if hashlib.sha256(content).hexdigest() != record.sha256:
        raise BundleRefused(path, "its content is not what was written", _RESTORE)
    return content


def _forest(folder: Path, name: str, files: Mapping[str, bytes]) -> Forest:
    arrays = []
    for part, dtype in zip(_PARTS, (NODE, TREE, np.dtype("<f8")), strict=True):
        file = f"{name}.{part}.npy"
        try:
            array = np.lib.format.read_array(io.BytesIO(files[file]), allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise BundleRefused(folder / file, f"not an array: {error}", _RESTORE) from None
        if array.dtype != dtype or array.ndim != 1:
            raise BundleRefused(folder / file, f"an array of {array.dtype}, {array.ndim} dimensions, not a list of {dtype}", _RESTORE)
        array.flags.writeable = False
        arrays.append(array)
    nodes, trees, base = arrays
    return Forest(nodes=nodes, trees=trees, base=tuple(base.tolist()))


def _check(folder: Path, bundle: Bundle) -> None:
    found = bundle_problem(bundle)
    if found is not None:
        file, problem = found
        raise BundleRefused(folder / file, problem, "train the model anew with this version")
