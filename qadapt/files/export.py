"""Export of a collection to a file, which appears only when it is complete."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qadapt.durable import mark, remove_leftovers, sync_folder
from qadapt.errors import InputError, SpecError, advice_for
from qadapt.files import arrays, extra_vectors, parquet_writer
from qadapt.files.survey import PAGE
from qadapt.local import client_codes, collection_info
from qadapt.migration.endpoint import Endpoint, open_endpoint
from qadapt.migration.idset import IdSet
from qadapt.migration.row_codec import decode
from qadapt.model import Batch, CollectionInfo, Id, Serializable, State
from qadapt.model.option_checks import refuse_pairs
from qadapt.model.table import FieldTable
from qadapt.stores.base import OnProgress, Progress, ReadRequest, silent
from qadapt.version import __version__

FORMATS = (".parquet", ".npy", ".fvecs")


@dataclass(frozen=True)
class Exported(FieldTable, Serializable):
    """Result of an export.

    Attributes:
        path: the file.
        rows, bytes: its size.
        vectors: names of the vectors.
        missing: number of rows without the vector, which a ``.npy`` or ``.fvecs`` omits.
        hidden: number of rows that the database counts but does not return, because another row has
        the same id.
        hidden_ids: some of these ids.
    """

    path: str
    rows: int
    bytes: int
    vectors: tuple[str, ...]
    missing: int = 0
    hidden: int = 0
    hidden_ids: tuple[Id, ...] = ()


def export_file(
    source: Any,
    path: str | os.PathLike[str],
    *,
    vector: str | None = None,
    overwrite: bool = False,
    progress: OnProgress | None = None,
) -> Exported:
    """Write a collection to ``FILE.parquet``, or one vector to ``.npy`` or ``.fvecs``.

    Ids and payloads that an earlier migration converted are restored.

    Args:
        source: ``"URL#collection"``, a ``Collection``, or ``(Database, name)``.
        vector: name of the vector for ``.npy`` and ``.fvecs``; optional if there is only one. A
        ``.parquet`` contains all vectors.

    Raises:
        InputError: unsupported file type, or the file exists.
        NotFoundError, MissingExtraError
    """
    file = Path(path)
    if file.suffix not in FORMATS:
        raise SpecError.unknown("file type", file.suffix or str(file), FORMATS)
    refuse_pairs(
        (vector is not None and file.suffix == ".parquet", "vector (--vector)",
         "with a .parquet file", "it contains all vectors"),
    )  # fmt: skip
    if file.exists() and not overwrite:
        raise InputError(f"{file} already exists", hint="choose another name, or use --overwrite")
    with open_endpoint(source) as end:
        end.ensure_loaded()
        info = collection_info.info(end.store, end.name)
        _refuse_repeated(end, progress or silent)
        with end.store.consistent_reads(end.name):
            if file.suffix == ".parquet":
                done = _parquet(end, info, file, progress or silent)
            else:
                done = _arrays(end, info, file, vector, progress or silent)
        if end.store.count(end.name) > done.rows + done.missing:
            hidden, ids = end.store.hidden_rows(end.name)
            done = done.replace(hidden=hidden, hidden_ids=tuple(ids))
        return done


def _refuse_repeated(end: Endpoint, progress: OnProgress) -> None:
    """Reject tenants or partitions with common ids: ids must be unique in a file.

    Raises:
        InputError
    """
    if (
        not end.store.collection_schema(end.name).is_partitioned
        or not end.store.ids_unique_per_partition
    ):
        return
    with IdSet() as ids:
        for page in end.store.read(end.name, ReadRequest(vectors=(), payload=False, page=PAGE)):
            ids.add(page.ids)
            progress(Progress("reading the ids", ids.count))
        if ids.duplicates():
            raise InputError(
                f"several {end.store.traits.partition_kind} of {end.name!r} have the same ids, and "
                "ids must be unique in a file",
                hint=f"export them separately: '#{end.name}%40NAME'",
            )


@contextmanager
def whole(*paths: Path) -> Iterator[list[Path]]:
    """Temporary paths that are renamed to ``paths`` at the end, or deleted after an error.

    The first path is renamed last, so a killed process leaves no vector file without its ids or
    with those of an earlier export.
    """
    for path in paths:
        remove_leftovers(path.parent, f".{path.name}.")
    made = [path.with_name(f".{path.name}.{mark()}") for path in paths]
    try:
        yield made
        for temporary in made:
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
        if len(paths) > 1:
            paths[0].unlink(missing_ok=True)
        for temporary, path in reversed(list(zip(made, paths, strict=True))):
            temporary.replace(path)
        sync_folder(paths[0].parent)
    except OSError as error:
        raise InputError(
            f"cannot write {paths[0]}: {error.strerror or error}",
            hint=advice_for(error, "choose a folder that exists and can be written"),
        ) from error
    finally:
        for temporary in made:
            temporary.unlink(missing_ok=True)


def _pages(end: Endpoint, vectors: list[str], progress: OnProgress) -> Iterator[Batch]:
    total, done = end.store.count(end.name), 0
    for page in end.store.read(end.name, ReadRequest(vectors=vectors, page=PAGE)):
        done += len(page)
        progress(Progress("exporting", done, total))
        yield decode(page)


# -- Parquet -------------------------------------------------------------------------------------


def _parquet(end: Endpoint, info: CollectionInfo, file: Path, progress: OnProgress) -> Exported:
    parquet_writer.pyarrow()
    more = extra_vectors.of_source(end)
    head = parquet_writer.Head(
        collection=end.name,
        # Sorted, because engines do not return vectors in a fixed order.
        vectors={
            name: info.vectors[name].vector for name in sorted(info.vectors) if name not in more
        },
        ids=_id_kind(end, progress),
        quantization={name: each.quantization for name, each in info.vectors.items()},
        calibration=_calibration(end, info),
        qadapt=__version__,
        extras=more,
        family=end.store.profile.family,
    )
    rows = 0
    names = (*head.vectors, *more)
    pages = _pages(end, list(names), progress)
    first = next(pages, None)
    with whole(file) as (temporary,):
        with parquet_writer.Writer(temporary, head, first) as writer:
            for page in itertools.chain([] if first is None else [first], pages):
                writer.write(page)
                rows += len(page)
        size = temporary.stat().st_size
    return Exported(str(file), rows, size, names)


def _id_kind(end: Endpoint, progress: OnProgress) -> parquet_writer.IdKind:
    """Determine the types of the ids; reads all ids, without vectors."""
    kinds: set[str] = set()
    count = 0
    for page in end.store.read(end.name, ReadRequest(vectors=(), page=PAGE)):
        for key in decode(page).ids:
            if isinstance(key, str):
                kinds.add("string")
            elif -(2**63) <= key < 2**63:
                kinds.add("int64+" if key >= 0 else "int64")
            else:
                kinds.add("uint64")
        count += len(page)
        progress(Progress("reading the ids", count))
    if kinds <= {"int64+", "int64"}:
        return "int64"
    if kinds <= {"int64+", "uint64"}:
        return "uint64"
    return "string" if kinds == {"string"} else "json"


def _calibration(end: Endpoint, info: CollectionInfo) -> dict[str, Any]:
    """Calibrations of client-side codes that are in use."""
    found = {}
    for name, each in info.vectors.items():
        if each.quantized_by == "qadapt" and each.status.state is not State.IGNORED:
            with client_codes.open_index(end.store, end.name, name) as index:
                if index.calibration is not None:
                    found[name] = json.loads(index.calibration.to_json())
    return found


# -- .npy and .fvecs -----------------------------------------------------------------------------


def _arrays(
    end: Endpoint, info: CollectionInfo, file: Path, vector: str | None, progress: OnProgress
) -> Exported:
    name = _which(info, vector)
    count = info.count
    lacking = count - info.vectors[name].count
    rows = missing = 0
    with whole(file, arrays.ids_of(file)) as (temporary, collection_schema):
        dim = info.vectors[name].dim
        fvecs = file.suffix == ".fvecs"
        with arrays.Writer(
            temporary, collection_schema, count - lacking, dim, fvecs=fvecs
        ) as writer:
            for page in _pages(end, [name], progress):
                array, keys = page.vectors[name], list(page.ids)
                if name in page.missing:
                    there = ~page.missing[name]
                    keys = [key for key, here in zip(keys, there.tolist(), strict=True) if here]
                    array = array[there]
                    missing += len(page) - len(keys)
                writer.write(keys, array)
                rows += len(keys)
        size = temporary.stat().st_size
    return Exported(str(file), rows, size, (name,), missing)


def _which(info: CollectionInfo, vector: str | None) -> str:
    names = list(info.vectors)
    if vector is None and len(names) == 1:
        return names[0]
    if vector is None or vector not in names:
        raise SpecError.unknown("vector", str(vector), names)
    return vector
