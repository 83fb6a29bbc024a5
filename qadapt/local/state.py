"""What qadapt itself remembers of a collection, in the state folder.

Stores have no place for how a search should rescore, nor for codes that are ours. Both are kept
here, one small JSON file for each collection, under ``QADAPT_STATE_DIR`` or the user's state
folder. No secret is ever written: addresses are kept without keys.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from qadapt import durable
from qadapt.errors import BusyError, IntegrityError, SpecError, StorageError
from qadapt.locking import Holder, Lock, LockHeldError
from qadapt.model import Quantization, Rescore, Serializable
from qadapt.model.address import Address
from qadapt.model.document_version import UPGRADE, newer_version, of_newer_format
from qadapt.version import __version__

FORMAT = 1

STATE_VARIABLE = "QADAPT_STATE_DIR"


def state_dir() -> Path:
    """The state folder; made when missing, for its owner alone.

    Raises:
        StorageError: it cannot be made.
    """
    given = os.environ.get(STATE_VARIABLE)
    if given:
        folder = Path(given)
    else:
        import platformdirs

        folder = Path(platformdirs.user_state_dir("qadapt", appauthor=False))
    return private_folder(folder)


@contextmanager
def state_access() -> Iterator[None]:
    """Turn errors of the file system in the state folder into qadapt's own.

    Raises:
        StorageError: what the system reported, and how to choose another folder.
    """
    try:
        yield
    except OSError as error:
        raise StorageError.of(
            error,
            "the state folder cannot be used",
            hint=f"set {STATE_VARIABLE} to a folder that can be written",
        ) from error


@dataclass(frozen=True)
class VectorSettings(Serializable):
    """What is remembered of one vector.

    Attributes:
        rescore: how searches rescore when the call does not say; None for the store's default.
        client: the quantization of our own code index; None when there is none.
    """

    rescore: Rescore | None = None
    client: Quantization | None = None


@dataclass(frozen=True)
class Settings(Serializable):
    """What is remembered of one collection: one entry for each vector."""

    vectors: Mapping[str, VectorSettings] = field(default_factory=dict)

    def of(self, vector: str) -> VectorSettings:
        """The settings of one vector; empty when nothing is remembered."""
        return self.vectors.get(vector, VectorSettings())

    def with_vector(self, vector: str, settings: VectorSettings) -> Settings:
        """A copy with one vector's settings changed; an empty entry is left out."""
        rest = {name: old for name, old in self.vectors.items() if name != vector}
        if settings != VectorSettings():
            rest[vector] = settings
        return Settings(rest)


def collection_key(address: Address, collection: str) -> str:
    """A file name for one collection of one store, the same for all spellings of its address."""
    return key_of(address.identity, collection)


def key_of(identity: str, collection: str) -> str:
    """As ``collection_key``, for the identity of an address."""
    text = f"{identity}#{collection}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:24]


def _settings_path(address: Address, collection: str) -> Path:
    return state_dir() / "settings" / f"{collection_key(address, collection)}.json"


def index_dir(address: Address, collection: str, vector: str) -> Path:
    """Where our code index of one vector lies."""
    name = hashlib.sha256(vector.encode()).hexdigest()[:12]
    return state_dir() / "indexes" / collection_key(address, collection) / name


def any_indexes() -> bool:
    """Whether codes of ours are kept for any collection."""
    folder = state_dir() / "indexes"
    return folder.is_dir() and any(folder.iterdir())


def import_note(address: Address, collection: str) -> Path:
    """The file that is there while an import makes a collection (see ``files.half``)."""
    return state_dir() / "imports" / f"{collection_key(address, collection)}.json"


def read_settings(address: Address, collection: str) -> Settings:
    """What is remembered of a collection.

    Raises:
        IntegrityError: the file is damaged.
    """
    path = _settings_path(address, collection)
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError:
        return Settings()
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(path, collection, str(error)) from error
    reported = newer_version(document, FORMAT)
    try:
        if not isinstance(document, dict) or "settings" not in document:
            raise SpecError("no settings in it")
        if reported is not None and of_newer_format(document, FORMAT):
            raise SpecError(reported)
        return Settings.from_dict(document["settings"])
    except SpecError as error:
        if reported is not None:
            raise IntegrityError(
                f"the settings of {collection!r} cannot be read: {reported} ({path})", hint=UPGRADE
            ) from error
        raise _damaged(path, collection, error.message) from error


def _damaged(path: Path, collection: str, problem: str) -> IntegrityError:
    return IntegrityError(
        f"the settings of {collection!r} are damaged: {problem} ({path})",
        hint=f"delete them and apply again what you want: rm -r {shlex.quote(str(path))}",
    )


def write_settings(address: Address, collection: str, settings: Settings) -> None:
    """Remember the settings of a collection; the file appears whole or not at all."""
    path = _settings_path(address, collection)
    if settings == Settings():
        _remove(path)
        return
    document = {
        "format": FORMAT,
        "qadapt": __version__,
        "store": address.identity,
        "collection": collection,
        "settings": settings.to_dict(),
    }
    write_state_file(path, json.dumps(document, indent=2, ensure_ascii=False))


def forget(address: Address, collection: str) -> None:
    """Drop all that is remembered of a collection, our code indexes too."""
    _remove(_settings_path(address, collection))
    _remove(import_note(address, collection))
    _remove(state_dir() / "indexes" / collection_key(address, collection))


def _remove(path: Path) -> None:
    """Delete a file or a folder, whichever is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_state_file(path: Path, text: str) -> None:
    """Write a file whole or not at all, in a folder made for it, for its owner's eyes alone."""
    with state_access():
        durable.private_folder(path.parent)
        durable.atomic_write(path, text)


@contextmanager
def exclusive(address: Address, collection: str) -> Iterator[None]:
    """Only one change of a collection at a time, across processes.

    Raises:
        BusyError: another process changes it; the message names the process.
    """
    with exclusive_key(collection_key(address, collection), f"the collection {collection!r}"):
        yield


def changed_by(address: Address, collection: str) -> Holder | None:
    """The other process that changes a collection just now; None for none, and for this one."""
    path = state_dir() / "locks" / f"{collection_key(address, collection)}.lock"
    holder = Lock(path).holder()
    mine = holder is not None and holder.pid == os.getpid() and holder.here
    return None if mine else holder


@contextmanager
def exclusive_key(key: str, what: str) -> Iterator[None]:
    """As ``exclusive``, for a collection of which only the key is known.

    Args:
        what: names it in the error.
    """
    folder = private_folder(state_dir() / "locks")
    lock = Lock(folder / f"{key}.lock")
    try:
        with state_access():
            lock.acquire()
    except LockHeldError as held:
        raise being_changed(what, held.holder) from None
    try:
        yield
    finally:
        lock.release()


def being_changed(what: str, holder: Holder) -> BusyError:
    """The error for a collection that another process changes."""
    return BusyError(f"{what} is being changed by {holder}", hint=holder.release_hint)


def private_folder(folder: Path) -> Path:
    """A folder in the state folder, for its owner alone; made when missing.

    Raises:
        StorageError: it cannot be made.
    """
    with state_access():
        durable.private_folder(folder)
    return folder
