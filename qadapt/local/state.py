"""What qadapt itself remembers of a collection, in the state folder.

Stores have no place for how a search should rescore, nor for codes that are ours. Both are kept
here, one small JSON file for each collection, under ``QADAPT_STATE_DIR`` or the user's state
folder. No secret is ever written: addresses are kept without keys.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import filelock

from qadapt.durable import mark, sweep_once, sync_folder
from qadapt.errors import BusyError, IntegrityError, SpecError
from qadapt.model import Plain, Quantization, Rescore
from qadapt.model.address import Address


def state_dir() -> Path:
    """The state folder; made when missing."""
    given = os.environ.get("QADAPT_STATE_DIR")
    if given:
        folder = Path(given)
    else:
        import platformdirs

        folder = Path(platformdirs.user_state_dir("qadapt", appauthor=False))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@dataclass(frozen=True)
class VectorSettings(Plain):
    """What is remembered of one vector.

    Attributes:
        rescore: how searches rescore when the call does not say; None for the store's default.
        client: the quantization of our own code index; None when there is none.
    """

    rescore: Rescore | None = None
    client: Quantization | None = None


@dataclass(frozen=True)
class Settings(Plain):
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
    """A file name for one collection of one store."""
    text = f"{address.identity}#{collection}"
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _settings_path(address: Address, collection: str) -> Path:
    return state_dir() / "settings" / f"{collection_key(address, collection)}.json"


def index_dir(address: Address, collection: str, vector: str) -> Path:
    """Where our code index of one vector lies."""
    name = hashlib.sha256(vector.encode()).hexdigest()[:12]
    return state_dir() / "indexes" / collection_key(address, collection) / name


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
        content = path.read_bytes()
    except FileNotFoundError:
        return Settings()
    try:
        return Settings.from_dict(json.loads(content)["settings"])
    except (ValueError, KeyError, TypeError, SpecError) as error:
        raise IntegrityError(
            f"the settings file {path} is damaged: {error}",
            hint="delete it and run `qadapt apply` again",
        ) from error


def write_settings(address: Address, collection: str, settings: Settings) -> None:
    """Remember the settings of a collection; the file appears whole or not at all."""
    path = _settings_path(address, collection)
    if settings == Settings():
        path.unlink(missing_ok=True)
        return
    document = {
        "store": address.identity,
        "collection": collection,
        "settings": settings.to_dict(),
    }
    write_whole(path, json.dumps(document, indent=2, ensure_ascii=False))


def forget(address: Address, collection: str) -> None:
    """Drop all that is remembered of a collection, our code indexes too."""
    import shutil

    _settings_path(address, collection).unlink(missing_ok=True)
    import_note(address, collection).unlink(missing_ok=True)
    folder = state_dir() / "indexes" / collection_key(address, collection)
    if folder.exists():
        shutil.rmtree(folder)


def write_whole(path: Path, text: str) -> None:
    """Write a file whole or not at all, in a folder made for it, for its owner's eyes alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep_once(path.parent, f".{path.name}.")
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.{mark()}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


@contextmanager
def exclusive(address: Address, collection: str) -> Iterator[None]:
    """Only one change of a collection at a time, across processes.

    Raises:
        BusyError: another process is at it.
    """
    folder = state_dir() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(folder / f"{collection_key(address, collection)}.lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise BusyError(
            f"another process is changing the collection {collection!r}",
            hint="wait until it is done; `qadapt history` shows it",
        ) from None
    try:
        yield
    finally:
        lock.release()
