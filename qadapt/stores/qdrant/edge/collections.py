"""Creation of a shard's folder, and configuration changes that require editing its file."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qadapt.durable import mark, remove_leftovers, sync_folder
from qadapt.errors import (
    AlreadyExistsError,
    InputError,
    IntegrityError,
    QadaptError,
    StoreError,
    UnsupportedError,
)
from qadapt.model import ExtraVector, Metric, Vector
from qadapt.stores.qdrant.edge import disk_space, extra_vectors, schema
from qadapt.stores.qdrant.edge.connection import client_module
from qadapt.stores.qdrant.edge.errors import translated
from qadapt.stores.qdrant.mapping import same_config

# Leaves space for the names of temporary siblings.
MAX_NAME = 200

# Names during creation and deletion start with a dot, so they are never listed.
MAKING, DROPPED = ".making-", ".dropped-"

_DISTANCES = {Metric.COSINE: "Cosine", Metric.DOT: "Dot", Metric.EUCLIDEAN: "Euclid"}


def check_name(name: str) -> str:
    """Check a collection name, which is also the name of its folder.

    Raises:
        InputError
    """
    problem = None
    if not isinstance(name, str) or not name:
        problem = "it is empty" if name == "" else "it is not text"
    elif name.startswith("."):
        problem = "it starts with a dot"
    elif set(name) & {"/", "\\", ":"} or not name.isprintable():
        problem = "it contains a slash, a backslash, a colon or an unprintable character"
    elif len(name.encode("utf-8")) > MAX_NAME:
        problem = f"it is longer than {MAX_NAME} bytes"
    if problem:
        raise InputError(
            f"{name!r} is not a valid collection name: {problem}",
            hint="each collection is a folder; choose a name such as 'articles'",
        )
    return name


def check_folder(folder: Path) -> None:
    """Check that an existing folder is a collection.

    Raises:
        IntegrityError
    """
    if not (folder / schema.FILE).is_file():
        raise IntegrityError(
            f"{folder} is not a collection: {schema.FILE} is missing",
            hint="each folder in the DIR of edge:DIR must be a collection created by `create`",
        )


def foreign_leftovers(root: Path) -> None:
    """Remove collections that a killed process was creating or dropping."""
    for prefix in (MAKING, DROPPED):
        remove_leftovers(root, prefix)


def create(
    folder: Path,
    vectors: Mapping[str, Vector],
    natives: Mapping[str, Mapping[str, Any]],
    more: Mapping[str, ExtraVector] | None = None,
) -> None:
    """Create a shard atomically.

    Args:
        folder: must not exist.
        vectors: by name.
        natives: each vector's part of the configuration, see ``qdrant.mapping``.
        more: sparse vectors and multivectors.

    Raises:
        AlreadyExistsError
        StoreError: the engine rejected the configuration.
    """
    if not vectors and not more:
        raise InputError(
            "a collection needs at least one vector",
            hint="for example dim=384",
        )
    doing = f"create {folder.name!r}"
    with translated(doing):
        folder.parent.mkdir(parents=True, exist_ok=True)
        if folder.exists():
            raise AlreadyExistsError(
                f"{folder} already exists",
                hint="choose another name, or move the folder",
            )
        disk_space.check_create(folder.parent, folder.name, len(vectors) + len(more or {}))
        foreign_leftovers(folder.parent)
        making = folder.parent / f"{MAKING}{mark()}"
        making.mkdir()
    try:
        with translated(doing):
            edge = client_module()
            params = {name: vector_params(edge, item) for name, item in vectors.items()}
            for name, item in extra_vectors.multi(more or {}).items():
                params[name] = vector_params(edge, item, extra_vectors.many(edge))
            made = edge.EdgeConfig(params, extra_vectors.sparse(edge, more or {}))
            edge.EdgeShard.create(str(making), made).close()
        before = schema.read(making)
        wanted = before
        for name, native in natives.items():
            wanted = schema.configured(wanted, {"vector": name, **_changeable(native)})
        wanted = extra_vectors.configured(wanted, more or {})
        if wanted != before:
            configure(making, before, wanted)
        extra_vectors.check_kept(schema.read(making), more or {})
        with translated(doing):
            # An empty folder of that name would be replaced silently.
            if folder.exists():
                raise AlreadyExistsError(
                    f"{folder} already exists",
                    hint="choose another name, or move the folder",
                )
            making.rename(folder)
            sync_folder(folder.parent)
    finally:
        shutil.rmtree(making, ignore_errors=True)


def vector_params(edge: Any, vector: Vector, many: Any = None) -> Any:
    """The engine's parameters of a vector.

    Raises:
        UnsupportedError: a datatype that the engine lacks.
    """
    datatype = getattr(edge.VectorStorageDatatype, vector.datatype.capitalize(), None)
    if datatype is None:
        raise UnsupportedError(
            f"edge does not support the datatype {vector.datatype}", hint="float32, float16, uint8"
        )
    return edge.EdgeVectorParams(
        size=vector.dim,
        distance=getattr(edge.Distance, _DISTANCES[vector.metric]),
        multivector_config=many,
        datatype=None if vector.datatype == "float32" else datatype,
    )


def _changeable(native: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in native.items() if key != "datatype"}


def configure(folder: Path, before: schema.Config, wanted: schema.Config) -> None:
    """Write a configuration if the engine accepts and stores it; otherwise restore the former one.

    The engine rejects unknown values and drops unknown fields, so it loads the shard and the file
    is read again.

    Args:
        folder: a shard that no process has open.

    Raises:
        StoreError: the engine's message, or the dropped fields.
    """
    disk_space.check_open(folder)
    schema.write(folder, wanted)
    try:
        with translated(f"configure {folder.name!r}"):
            client_module().EdgeShard.load(str(folder)).close()
        kept = schema.read(folder)
        for name in wanted["vectors"]:
            asked = schema.quantization_config(wanted, name)
            if not same_config(asked, schema.quantization_config(kept, name)):
                raise StoreError(
                    f"Qdrant's engine did not store {asked} as it was sent; it stored "
                    f"{schema.quantization_config(kept, name)}",
                    hint="remove from `native` the fields that the engine does not know",
                )
    except QadaptError as error:
        schema.write(folder, before)
        raise StoreError(error.message, hint=error.hint) from error
