"""Indexes as their mappings describe them.

A collection is an index, or an alias of one index. Fields that hold vectors are named vectors
(``embedding`` is the unnamed one). In an index that qadapt created, the object ``payload`` holds
the payload, and the object ``qadapt`` holds the id and the terms of filters. In another index, all
other fields of a document are the payload.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any

from qadapt.errors import NotFoundError, UnsupportedError
from qadapt.model import Vector
from qadapt.stores.elastic.connection import Connection
from qadapt.stores.elastic.product import Product

UNNAMED_FIELD, PAYLOAD, OWN = "embedding", "payload", "qadapt"
ID_FIELD, TERMS_FIELD = f"{OWN}.id", f"{OWN}.terms"
FORMAT = 1
# Fields of other mechanisms, which fill vectors themselves.
_FOREIGN = {
    "semantic_text": "is a semantic_text field, whose vectors the server computes",
    "sparse_vector": "is a sparse_vector field, which qadapt does not support",
    "rank_features": "is a rank_features field, which qadapt does not support",
}


@dataclass(frozen=True)
class VectorField:
    """A vector field of an index.

    Attributes:
        name: of the vector; ``""`` for the unnamed one.
        path: of the field, such as ``embedding`` or ``title.vector``.
        vector: dimensions, metric and datatype.
        definition: the field in the mapping, as the server returns it.
    """

    name: str
    path: str
    vector: Vector
    definition: Mapping[str, Any] = field(hash=False)


@dataclass(frozen=True)
class Index:
    """An index.

    Attributes:
        name: of the collection: the index, or an alias of it.
        real: name of the index.
        aliases: all aliases of the index, with their filters and routing.
        mappings, settings: as the server returns them.
        vectors: by name.
        others: paths of fields with vectors that qadapt does not support, with reasons.
    """

    name: str
    real: str
    aliases: Mapping[str, Any]
    mappings: Mapping[str, Any]
    settings: Mapping[str, Any]
    vectors: Mapping[str, VectorField]
    others: Mapping[str, str]

    @property
    def is_alias(self) -> bool:
        """Whether the collection is an alias of the index."""
        return self.name != self.real

    @cached_property
    def meta(self) -> Mapping[str, Any]:
        """The settings of qadapt in the mapping."""
        found = (self.mappings.get("_meta") or {}).get(OWN)
        return found if isinstance(found, Mapping) else {}

    @cached_property
    def managed(self) -> bool:
        """Whether qadapt created the index."""
        return "format" in self.meta

    @cached_property
    def properties(self) -> Mapping[str, Any]:
        """The fields of the mapping."""
        found: Mapping[str, Any] = self.mappings.get("properties") or {}
        return found

    @property
    def shards(self) -> int:
        """Number of primary shards; 1 where the server does not tell it."""
        return int(self.settings.get("index", {}).get("number_of_shards", 1))

    def setting(self, path: str) -> Any:
        """A setting of the index, such as ``mapping.exclude_source_vectors``; None without it."""
        found: Any = self.settings.get("index") or {}
        for part in path.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
        return found

    def field_of(self, name: str) -> VectorField:
        """The field of a vector.

        Raises:
            NotFoundError: the vector does not exist.
            UnsupportedError: qadapt does not support it.
        """
        if name in self.vectors:
            return self.vectors[name]
        path = name or UNNAMED_FIELD
        if path in self.others:
            raise UnsupportedError(
                f"the field {path!r} of {self.name!r} {self.others[path]}",
                hint="use a field with float vectors",
            )
        raise NotFoundError.missing("vector", name, self.vectors)

    def vectors_wanted(self) -> dict[str, Vector]:
        """Dimensions, metric and datatype of each vector."""
        return {name: each.vector for name, each in self.vectors.items()}


def leaves(properties: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Fields with a type, by their path; those of nested documents are omitted."""
    for name, each in properties.items():
        path = f"{prefix}{name}"
        if "properties" in each and each.get("type", "object") == "object":
            yield from leaves(each["properties"], f"{path}.")
        else:
            yield path, each


def parse(name: str, answer: Mapping[str, Any], product: Product) -> Index:
    """The index of the answer of ``GET /NAME``.

    Raises:
        UnsupportedError: a data stream, or an alias of several indexes.
    """
    if len(answer) != 1:
        raise UnsupportedError(
            f"{name!r} is an alias of {len(answer)} indexes: {', '.join(sorted(answer)[:5])}",
            hint="use the name of one index, or an alias of one",
        )
    ((real, found),) = answer.items()
    if name != real and (found.get("aliases") or {}).get(name, {}).get("filter"):
        raise UnsupportedError(
            f"{name!r} is an alias with a filter, so that it does not show all rows of {real!r}",
            hint=f"open {real!r}, and pass the filter to searches and reads",
        )
    if found.get("data_stream"):
        raise UnsupportedError(
            f"{name!r} is a data stream, whose documents cannot be replaced",
            hint="write the vectors to an index",
        )
    vectors, others = {}, {}
    mappings = found.get("mappings") or {}
    if why := left_out(mappings):
        others["_source"] = why
    for path, definition in leaves(mappings.get("properties") or {}):
        kind = definition.get("type")
        if kind in _FOREIGN:
            others[path] = _FOREIGN[kind]
        if kind == "nested" and _has_vectors(definition, product):
            others[path] = "has vectors in nested documents, which qadapt does not support"
        if kind not in product.vector_types:
            continue
        parsed = product.parse_vector(definition)
        if parsed.vector is None:
            others[path] = parsed.problem
        else:
            vector = "" if path == UNNAMED_FIELD else path
            vectors[vector] = VectorField(vector, path, parsed.vector, definition)
    return Index(
        name, real, found.get("aliases") or {}, mappings,
        found.get("settings") or {}, vectors, others,
    )  # fmt: skip


_OFF = "is turned off, so that the index does not store documents"


def left_out(mappings: Mapping[str, Any]) -> str:
    """Why the documents of an index do not hold all fields; empty if they do."""
    source = mappings.get("_source") or {}
    if source.get("enabled") is False or source.get("mode") == "disabled":
        return _OFF
    words = [*(f"all but {each}" for each in source.get("includes") or ())]
    words += source.get("excludes") or ()
    return f"leaves fields out of the documents: {', '.join(words)}" if words else ""


def unreadable(mappings: Mapping[str, Any], path: str, *, doc_values: bool) -> str:
    """Why a vector cannot be read; empty if it can.

    Args:
        doc_values: whether vectors are read from their own storage.
    """
    why = left_out(mappings)
    if not why or why == _OFF or doc_values:
        return why if why == _OFF else ""
    kept, dropped = (mappings["_source"].get(each) or () for each in ("includes", "excludes"))
    held = not kept or any(_matches(path, each) for each in kept)
    return "" if held and not any(_matches(path, each) for each in dropped) else why


def _matches(path: str, pattern: str) -> bool:
    """Whether a pattern of ``_source`` names a field or an object that holds it."""
    parts = path.split(".")
    wholes = (".".join(parts[: at + 1]) for at in range(len(parts)))
    return any(fnmatchcase(each, pattern) for each in wholes)


def _has_vectors(definition: Mapping[str, Any], product: Product) -> bool:
    inner = leaves(definition.get("properties") or {})
    return any(each.get("type") in product.vector_types for _, each in inner)


def read(connection: Connection, name: str, product: Product) -> Index | None:
    """An index or an alias of one; None if it does not exist.

    Raises:
        UnsupportedError
    """
    if not is_valid_name(name):
        return None
    answer = connection.found(f"/{quoted(name)}", doing=f"read the mapping of {name!r}")
    return None if not answer else parse(name, answer, product)


def is_valid_name(name: str) -> bool:
    """Whether an index can have a name; others, such as ``a*``, would address several indexes."""
    forbidden = set('\\/*?"<>| ,#:')
    return (
        bool(name)
        and len(name.encode()) <= 255
        and name == name.lower()
        and name[0] not in "-_+"
        and name not in (".", "..")
        and not forbidden & set(name)
    )


def quoted(name: str) -> str:
    """A name as a part of a path."""
    from urllib.parse import quote

    return quote(name, safe="")
