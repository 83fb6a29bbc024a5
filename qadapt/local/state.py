"""State folder: settings and client-side codes of collections.

There is one small JSON file per collection, in ``QADAPT_STATE_DIR`` or the user's state folder.
Secrets are never written: addresses are stored without keys.
"""

from __future__ import annotations

import functools
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
from qadapt.model.encoder_choice import EncoderChoice
from qadapt.version import __version__

FORMAT = 1

STATE_VARIABLE = "QADAPT_STATE_DIR"

SETTINGS_CACHED = 1024
FileVersion = tuple[int, int, int]
# Settings by file, with the version of the file that they were read from.
_settings_cache: dict[Path, tuple[FileVersion, Settings]] = {}


class Changes:
    """Counts the changes of settings by this process.

    Attributes:
        number: increased after each change; read without a lock.
    """

    number = 0


changes = Changes()


def state_dir() -> Path:
    """Return the state folder, which does not exist before something is written to it."""
    return _state_folder(os.environ.get(STATE_VARIABLE))


@functools.lru_cache(maxsize=16)
def _state_folder(given: str | None) -> Path:
    if given:
        return Path(given)
    import platformdirs

    return Path(platformdirs.user_state_dir("qadapt", appauthor=False))


@contextmanager
def state_access() -> Iterator[None]:
    """Convert file system errors in the state folder to ``StorageError``.

    Raises:
        StorageError: the error of the system, with a hint to choose another folder.
    """
    try:
        yield
    except OSError as error:
        raise StorageError.of(
            error,
            f"the state folder {state_dir()} cannot be used",
            hint=f"set {STATE_VARIABLE} to a writable folder",
        ) from error


@dataclass(frozen=True)
class VectorSettings(Serializable):
    """Settings of a vector.

    Attributes:
        rescore: default rescoring of searches; None for the default of the database.
        client: quantization of the client-side codes; None if there are none.
        full_dim: dimensions of the model if the collection holds the first of them; None if it
            holds all.
        full_vector: name of the vector of the same rows that holds all dimensions; None if the
            collection has none.
        encoder: the model that encoded the texts of the collection; None if unknown.
    """

    rescore: Rescore | None = None
    client: Quantization | None = None
    full_dim: int | None = None
    full_vector: str | None = None
    encoder: EncoderChoice | None = None

    @property
    def shared(self) -> VectorSettings:
        """The settings that are the same on every machine: all but client-side codes."""
        return self.replace(client=None)


@dataclass(frozen=True)
class Settings(Serializable):
    """Settings of a collection by vector name."""

    vectors: Mapping[str, VectorSettings] = field(default_factory=dict)

    def of(self, vector: str) -> VectorSettings:
        """Settings of a vector; empty if nothing is saved."""
        return self.vectors.get(vector, VectorSettings())

    def with_vector(self, vector: str, settings: VectorSettings) -> Settings:
        """Copy with changed settings of a vector; empty settings are removed."""
        rest = {name: old for name, old in self.vectors.items() if name != vector}
        if settings != VectorSettings():
            rest[vector] = settings
        return Settings(rest)


_NONE = Settings()


def collection_key(address: Address, collection: str) -> str:
    """File name for a collection, the same for all spellings of the address."""
    return key_of(address.identity, collection)


def key_of(identity: str, collection: str) -> str:
    """Same as ``collection_key`` for a canonical address."""
    text = f"{identity}#{collection}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:24]


def _settings_path(address: Address, collection: str) -> Path:
    return _settings_file(os.environ.get(STATE_VARIABLE), address.identity, collection)


@functools.lru_cache(maxsize=1024)
def _settings_file(folder: str | None, identity: str, collection: str) -> Path:
    return _state_folder(folder) / "settings" / f"{key_of(identity, collection)}.json"


def index_dir(address: Address, collection: str, vector: str) -> Path:
    """Folder of the client-side codes of a vector."""
    name = hashlib.sha256(vector.encode()).hexdigest()[:12]
    return state_dir() / "indexes" / collection_key(address, collection) / name


def any_indexes() -> bool:
    """Whether client-side codes exist for any collection."""
    folder = state_dir() / "indexes"
    return folder.is_dir() and any(folder.iterdir())


def import_note(address: Address, collection: str) -> Path:
    """File that exists while an import creates a collection (see ``files.unfinished_imports``)."""
    return state_dir() / "imports" / f"{collection_key(address, collection)}.json"


def read_settings(address: Address, collection: str) -> Settings:
    """Read the settings of a collection; the file is parsed again only if it changed.

    Raises:
        IntegrityError: the file is damaged.
        StorageError: the state folder cannot be used.
    """
    path = _settings_path(address, collection)
    try:
        version = file_version(str(path))
    except OSError as error:
        with state_access():
            raise error
    if version is None:
        return _NONE
    known = _settings_cache.get(path)
    if known is None or known[0] != version:
        known = _settings_cache[path] = (version, _parse_settings(path, collection))
        if len(_settings_cache) > SETTINGS_CACHED:
            del _settings_cache[next(iter(_settings_cache))]
    return known[1]


def settings_file(address: Address, collection: str) -> str:
    """The file of ``read_settings``, which may not exist."""
    return str(_settings_path(address, collection))


def file_version(path: str) -> FileVersion | None:
    """Numbers that change when a file is replaced; None if there is none."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    # Each write replaces the file, so that its number changes too.
    return (found.st_mtime_ns, found.st_ino, found.st_size)


def _parse_settings(path: Path, collection: str) -> Settings:
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError:
        return Settings()
    except PermissionError as error:
        with state_access():
            raise error
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(path, collection, str(error)) from error
    reported = newer_version(document, FORMAT)
    try:
        if not isinstance(document, dict) or "settings" not in document:
            raise SpecError("it contains no settings", hint=UPGRADE)
        if reported is not None and of_newer_format(document, FORMAT):
            raise SpecError(reported, hint=UPGRADE)
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
        hint=f"delete them, then apply the quantization again: rm -r {shlex.quote(str(path))}",
    )


def write_settings(address: Address, collection: str, settings: Settings) -> None:
    """Save the settings of a collection atomically."""
    path = _settings_path(address, collection)
    if settings == Settings():
        _remove(path)
    else:
        document = {
            "format": FORMAT,
            "qadapt": __version__,
            "store": address.identity,
            "collection": collection,
            "settings": settings.to_dict(),
        }
        write_state_file(path, json.dumps(document, indent=2, ensure_ascii=False))
    changes.number += 1


def forget(address: Address, collection: str) -> None:
    """Delete the settings and client-side codes of a collection."""
    _remove(_settings_path(address, collection))
    changes.number += 1
    _remove(import_note(address, collection))
    _remove(state_dir() / "indexes" / collection_key(address, collection))


def _remove(path: Path) -> None:
    """Delete a file or folder if it exists."""
    with state_access():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def write_state_file(path: Path, text: str) -> None:
    """Write a file atomically with owner-only access; its folder is created."""
    with state_access():
        durable.private_folder(path.parent)
        durable.atomic_write(path, text)


@contextmanager
def exclusive(address: Address, collection: str) -> Iterator[None]:
    """Lock a collection for a change, across processes.

    Raises:
        BusyError: another process changes it; the message names the process.
    """
    with exclusive_key(collection_key(address, collection), f"the collection {collection!r}"):
        yield


def changed_by(address: Address, collection: str) -> Holder | None:
    """Other process that is changing a collection; None if there is none."""
    path = state_dir() / "locks" / f"{collection_key(address, collection)}.lock"
    holder = Lock(path).holder()
    mine = holder is not None and holder.pid == os.getpid() and holder.here
    return None if mine else holder


@contextmanager
def exclusive_key(key: str, what: str) -> Iterator[None]:
    """Same as ``exclusive`` for the key of a collection.

    Args:
        what: name in the error message.
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
    """Create the error for a collection that another process is changing."""
    return BusyError(f"{what} is being changed by {holder}", hint=holder.release_hint)


def private_folder(folder: Path) -> Path:
    """Return a folder in the state folder; created with owner-only access.

    Raises:
        StorageError: the folder cannot be created.
    """
    with state_access():
        durable.private_folder(folder)
    return folder
