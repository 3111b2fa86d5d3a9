"""The model store: every bundle that was trained or used here, in a folder named by its hash, and which of them is the champion.

Invariants: a bundle under its hash never changes, so a run can always be replayed with the model that it had; the champion changes by one
rename; whoever stood before can be put back. What is read to be written anew (who stands, what gates said) is one holder's at a time: of
two judges, or a judge and a person, neither's word is lost.
"""

import shutil
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import NamedTuple

import msgspec

from smartmoney.adapters.model_files import BundleRefused, Manifest, read_bundle, read_manifest, record_gate, replace_durably, write_bundle
from smartmoney.adapters.model_reference import ReferenceKind, read_reference
from smartmoney.adapters.state_directory import alone_in, make_private_folder
from smartmoney.core.models.bundle import Bundle, Gate

CHAMPIONS = "champions.json"
PRIOR, DEFAULT = "prior", "default"
BUNDLED = Path(__file__).resolve().parent.parent / "bundles" / DEFAULT
"""The bundle that ships with the package: trained on the built-in market, a demonstration, refused by live mode."""
HASH_DIGITS_MIN = 6
_NOWHERE = Path("/dev/null/models")
"""A folder that cannot exist."""
_LOG_MAX = 1000


class ModelNotFound(Exception):
    """Report that a model's name, hash or folder leads nowhere, and what would."""

    exit_code = 78


class GateNotPassed(Exception):
    """Report a bundle that its gate did not let pass: which condition, what was measured, what was needed."""

    exit_code = 1


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """Record one change of the champion: `act` is promote or rollback, `at_wall_ns` ours, `reason` the operator's."""

    act: str
    hash: str
    at_wall_ns: int
    reason: str


class Champions(msgspec.Struct, frozen=True, kw_only=True):
    """Be the file `champions.json`: `standing` is a stack of hashes, the champion last; `log` is everything that happened."""

    standing: tuple[str, ...] = ()
    log: tuple[Change, ...] = ()


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """Show one bundle of a list. `origin` is `store` or `package`; `problem` says why it cannot be used, None when its manifest reads."""

    name: str
    hash: str
    origin: str
    is_champion: bool
    gates: tuple[Gate, ...] = ()
    problem: str | None = None


class ModelStore:
    """Keep bundles in a folder. Reading makes nothing; the folder appears with the first bundle."""

    def __init__(self, folder: Path | None, bundled: Path = BUNDLED) -> None:
        """Take a store's folder; None is a store that holds nothing and can keep nothing."""
        self.folder = _NOWHERE if folder is None else folder
        self._bundled = bundled

    def add(self, bundle: Bundle) -> Path:
        """Keep a bundle and return its folder; one that is there already stays as it is.

        Raises:
            OSError: it cannot be written.
            BundleRefused: what stands under its hash is damaged.
        """
        folder = self.folder / bundle.hash
        if not folder.exists():
            make_private_folder(self.folder)
            with self._alone():
                if not folder.exists():
                    write_bundle(folder, bundle)
                    return folder
        read_bundle(folder)
        return folder

    def forget(self, hash_: str) -> bool:
        """Remove a bundle that was never a champion; tell whether it was there and is gone.

        Raises:
            BundleRefused: nobody knows who stood.
            OSError: it cannot be removed.
        """
        folder = self.folder / hash_
        if not folder.is_dir():
            return False
        with self._alone():
            champions = self.champions()
            if hash_ in {*champions.standing, *(one.hash for one in champions.log)} or not folder.is_dir():
                return False
            # By its name at once: half a bundle is never found under a hash.
            gone = folder.with_name(f".gone-{hash_}")
            folder.rename(gone)
        shutil.rmtree(gone)
        return True

    def load(self, asked: str) -> Bundle:
        """Return a bundle by hash, the beginning of a hash, or name (the newest of that name), of the store or the package.

        Raises:
            ModelNotFound: there is none, or the beginning fits several.
            BundleRefused: it is damaged or of another schema.
        """
        return self._read(self._folder_of(asked))

    def champion(self) -> str | None:
        """Return the champion's hash, None while nothing was promoted.

        Raises:
            BundleRefused: the file that says so is damaged.
        """
        standing = self.champions().standing
        return standing[-1] if standing else None

    def champions(self) -> Champions:
        """Return who stands and what happened.

        Raises:
            BundleRefused: the file is damaged.
        """
        path = self.folder / CHAMPIONS
        try:
            return msgspec.json.decode(path.read_bytes(), type=Champions)
        except (FileNotFoundError, NotADirectoryError):
            return Champions()
        except (OSError, msgspec.MsgspecError) as error:
            raise BundleRefused(path, str(error), "remove it and promote a model again") from None

    def promote(self, asked: str, reason: str, at_wall_ns: int, place: "Place | None" = None) -> Bundle:
        """Make a bundle the champion and return it; whatever it is, it is read and checked first.

        Raises:
            GateNotPassed: the newest gate on it where it is to decide failed, see `check_gate`.
            ModelNotFound, BundleRefused: it cannot be had.
            OSError: the change cannot be written.
        """
        bundle = self.load(asked)
        check_gate(bundle, place)
        self.add(bundle)
        with self._alone():
            # Once more: a gate may have failed it a moment ago.
            bundle = self.load(bundle.hash)
            check_gate(bundle, place)
            before = self.champions()
            standing = before.standing if before.standing[-1:] == (bundle.hash,) else (*before.standing, bundle.hash)
            change = Change(act="promote", hash=bundle.hash, at_wall_ns=at_wall_ns, reason=reason)
            self._write(Champions(standing=standing, log=before.log), change)
        return bundle

    def rollback(self, reason: str, at_wall_ns: int) -> Bundle:
        """Put back the champion before this one and return it.

        Raises:
            ModelNotFound: none stood before.
            BundleRefused: it is damaged.
            OSError: the change cannot be written.
        """
        with self._alone():
            before = self.champions()
            if len(before.standing) < 2:
                raise ModelNotFound(self.none_before())
            bundle = self.load(before.standing[-2])
            change = Change(act="rollback", hash=bundle.hash, at_wall_ns=at_wall_ns, reason=reason)
            self._write(Champions(standing=before.standing[:-1], log=before.log), change)
        return bundle

    def none_before(self) -> str:
        """Say that there is nobody to roll back to, and what puts another there: whoever trains by himself goes back to no prior."""
        own = read_bundle(self._bundled).name if self._bundled.is_dir() else "MODEL"
        return f"no champion stood before this one; `smartmoney models promote {own} --ungated` puts that one there, on paper"

    def listed(self) -> tuple[Listed, ...]:
        """Return what there is, the package's own first, then the store's by age; damaged ones say what is wrong."""
        champion = self.champion()
        shown: list[Listed] = []
        for folder in self._folders():
            try:
                manifest: Manifest | None = read_manifest(folder)
                problem = None
            except BundleRefused as refused:
                manifest, problem = None, str(refused)
            hash_ = folder.name if manifest is None else manifest.hash
            if any(one.hash == hash_ for one in shown):
                # A run that used the package's own kept a copy, and what gates said is noted there.
                gates = () if manifest is None else manifest.gates
                shown = [msgspec.structs.replace(one, gates=gates) if one.hash == hash_ else one for one in shown]
                continue
            shown.append(
                Listed(
                    name="" if manifest is None else manifest.name,
                    hash=hash_,
                    origin="package" if folder == self._bundled else "store",
                    is_champion=hash_ == champion,
                    gates=() if manifest is None else manifest.gates,
                    problem=problem,
                )
            )
        return tuple(shown)

    def is_bundled(self, hash_: str) -> bool:
        """Tell whether this is the package's own bundle."""
        return self._bundled.is_dir() and read_manifest(self._bundled).hash == hash_

    def record_gate(self, hash_: str, gate: Gate) -> None:
        """Note what a gate said of a bundle of the store.

        Raises:
            BundleRefused: there is no such bundle.
            OSError: it cannot be written.
        """
        with self._alone():
            record_gate(self.folder / hash_, gate)

    def reference(self, hash_: str, kind: type[ReferenceKind]) -> ReferenceKind | None:
        """Return what is known of a bundle's features in training, of the store or the package; None where there is nothing.

        Raises:
            BundleRefused: it is damaged, or another bundle's.
        """
        folders = [self.folder / hash_] if "/" not in hash_ else []
        if self.is_bundled(hash_):
            folders.append(self._bundled)
        return next((found for folder in folders if (found := read_reference(folder, hash_, kind)) is not None), None)

    def find(self, asked: str, relative_to: Path | None = None) -> Bundle | None:
        """Return the model that the key `model` names; None is the untrained prior.

        Args:
            asked: `prior`; `default` (the champion, else the package's own, else the prior); a folder; a name or hash in the store.
            relative_to: where a relative folder starts.

        Raises:
            ModelNotFound: it leads nowhere.
            BundleRefused: it is damaged, or of another schema.
        """
        if asked == PRIOR:
            return None
        if asked == DEFAULT:
            champion = self.champion()
            if champion is not None:
                return self.load(champion)
            return read_bundle(self._bundled) if self._bundled.is_dir() else None
        if "/" in asked:
            folder = (relative_to or Path()) / Path(asked).expanduser()
            if not folder.is_dir():
                raise ModelNotFound(f"model: {folder} is no folder; name a bundle's folder, its name or hash, `{DEFAULT}` or `{PRIOR}`")
            return read_bundle(folder)
        return self.load(asked)

    def _folders(self) -> list[Path]:
        own = (
            [entry for entry in self.folder.iterdir() if entry.is_dir() and not entry.name.startswith(".")] if self.folder.is_dir() else []
        )
        own.sort(key=lambda entry: (entry.stat().st_mtime_ns, entry.name))
        return [*([self._bundled] if self._bundled.is_dir() else []), *own]

    def _folder_of(self, asked: str) -> Path:
        if (self.folder / asked).is_dir() and asked and not asked.startswith("."):
            return self.folder / asked
        fitting: dict[str, Path] = {}
        named: Path | None = None
        for folder in self._folders():
            try:
                manifest = read_manifest(folder)
            except BundleRefused:
                continue
            # Status, journal and messages write the name and the head of the hash.
            digits = asked.removeprefix(f"{manifest.name}-")
            if len(digits) >= HASH_DIGITS_MIN and manifest.hash.startswith(digits):
                fitting[manifest.hash] = folder
            if manifest.name == asked:
                named = folder
        if len(fitting) > 1:
            raise ModelNotFound(f"model {asked!r}: the hashes of {len(fitting)} bundles begin so; give more of it")
        if fitting:
            return next(iter(fitting.values()))
        if named is None:
            raise ModelNotFound(f"no model {asked!r} in {self.folder}; `smartmoney models list` shows what there is")
        return named

    def _read(self, folder: Path) -> Bundle:
        bundle = read_bundle(folder)
        if folder != self._bundled and folder.name != bundle.hash:
            raise BundleRefused(folder, f"holds the bundle {bundle.hash}, not the one that its name says", "restore the folder from a copy")
        return bundle

    def _alone(self) -> AbstractContextManager[None]:
        """Return what holds the store for its `with` block; a store that is not there has nothing to lose."""
        return alone_in(self.folder) if self.folder.is_dir() else nullcontext()

    def _write(self, champions: Champions, change: Change) -> None:
        content = msgspec.structs.replace(champions, log=(*champions.log, change)[-_LOG_MAX:])
        replace_durably(self.folder / CHAMPIONS, msgspec.json.format(msgspec.json.encode(content), indent=1))


class Place(NamedTuple):
    """Say where a model is to decide: venue, market and instruments (BASE/QUOTE), as gates are recorded."""

    venue: str
    market: str
    instruments: tuple[str, ...]

    @property
    def text(self) -> str:
        """Return it in words."""
        return f"{self.venue} {self.market} {', '.join(self.instruments)}"


def check_gate(bundle: Bundle, place: Place | None = None) -> tuple[Gate, ...]:
    """Return the newest gates on a bundle where it is to decide, none of which failed.

    They are of the place's instruments; where it is not known, of every venue, market and instrument that a gate was on, of which one that
    passed is enough. None at all: no gate has judged it there; it may stand on paper, and live mode refuses it by itself.

    Raises:
        GateNotPassed: one failed; the text names which, and each condition with its number.
    """
    everywhere = {(gate.venue, gate.market, name): gate for gate in bundle.gates for name in gate.instruments}
    if place is None:
        newest = tuple(dict.fromkeys(everywhere.values()))
        passed = tuple(gate for gate in newest if gate.passed)
        if newest and not passed:
            raise GateNotPassed(_failed(bundle, newest[-1]))
        return passed
    asked = (everywhere.get((place.venue, place.market, name)) for name in place.instruments)
    here = tuple(dict.fromkeys(gate for gate in asked if gate is not None))
    for gate in here:
        if not gate.passed:
            raise GateNotPassed(_failed(bundle, gate))
    return here


def _failed(bundle: Bundle, gate: Gate) -> str:
    where = Place(gate.venue, gate.market, gate.instruments).text
    return f"{bundle.name} did not pass its gate of {gate.at} on {where}: {gate.text}; the champion stays"
