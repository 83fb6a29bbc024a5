"""Copying an index with changed vector fields, and giving its name to the copy.

What a mapping cannot change in place needs a copy. If the collection is an alias, it is moved to
the copy, and the former index is kept. If it is an index, the copy gets an alias with its name in
the same step that deletes the index, so that no search fails
(docs/engines/elasticsearch.md#aliases). Writes are blocked while rows are copied, because they
would be lost.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from qadapt.errors import AlreadyExistsError, PlanStaleError, UnsupportedError
from qadapt.model import Vector
from qadapt.stores import copy_switch
from qadapt.stores.elastic import (
    aliases,
    collections,
    refreshes,
    rows,
    scan_ranges,
    schema,
    settings,
)
from qadapt.stores.elastic.schema import OWN, Index, VectorField, left_out, quoted
from qadapt.stores.operations import Execution, Operation
from qadapt.stores.store_types import ReadRequest

if TYPE_CHECKING:
    from qadapt.stores.elastic.store import ElasticStore

PAGE = 1_000
BLOCKED = "blocked"
# Settings that a server sets itself.
_OF_THE_SERVER = ("provided_name", "creation_date", "uuid", "version", "resize", "blocks",
                  "history", "routing_path", "verified_before_close")  # fmt: skip


@dataclass(frozen=True)
class Rebuild(copy_switch.CopyAndSwitch):
    """Copies an index with changed definitions of vector fields.

    A subclass of each store sets ``op``.

    Attributes:
        fields: definitions of the changed fields by path.
        dims: first dimensions that the copy keeps, by path; None for all.
    """

    op: ClassVar[str] = ""

    fields: Mapping[str, Any]
    dims: Mapping[str, Any] | None = None

    def run(self, at: Execution[ElasticStore[Any]]) -> None:
        source = at.store.index(self.alias)
        if source.real == self.target:
            allow_writes(at.store, self.source)  # a killed process left them blocked
            return
        _refuse_second_copy(at.store, source, self.target)
        # Only one process creates the target: the name is a claim. The writes of its source stay
        # blocked, because no other process gets as far as to allow them.
        self.create(at)
        with writes_blocked(at.store, source, self.target):
            self.load(at)
            self.compare(at)
            self.switch(at)

    def current(self, at: Execution[ElasticStore[Any]]) -> str | None:
        """The index of the collection."""
        return at.store.index(self.alias).real

    @property
    def _digest(self) -> str:
        """What the copy was made for, to recognize it when an interrupted change continues."""
        text = json.dumps([self.alias, dict(self.fields), dict(self.dims or {})], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def create(self, at: Execution[ElasticStore[Any]]) -> None:
        if self._exists(at):
            return
        source = at.store.index(self.alias)
        meta = {"copy": self._digest} | ({} if source.is_alias else {"replaces": self.alias})
        body = mappings_of(source, self.fields, meta)
        made = settings_of(source)
        if source.managed:
            made |= at.store.product.new_settings(self._vectors(at, source))
        try:
            collections.put(at.store.connection, self.target, at.store.product.recorded(body), made)
        except AlreadyExistsError:  # by another process, a moment ago
            self._exists(at)

    def _exists(self, at: Execution[ElasticStore[Any]]) -> bool:
        """Whether the copy exists.

        Raises:
            PlanStaleError: another index has its name.
        """
        found = schema.read(at.store.connection, self.target, at.store.product)
        if found is None or found.meta.get("copy") == self._digest:
            return found is not None
        raise PlanStaleError(
            f"an index {self.target!r} exists, and it is not a copy of this change: another client "
            f"may be changing {self.alias!r}",
            hint="if it does, wait until it has finished; then plan again: `qadapt plan`",
        )

    def _vectors(self, at: Execution[ElasticStore[Any]], source: Index) -> dict[str, Vector]:
        """The vectors of the copy."""
        found = source.vectors_wanted()
        for name, each in source.vectors.items():
            if each.path in self.fields:
                parsed = at.store.product.parse_vector(self.fields[each.path]).vector
                found[name] = parsed or each.vector
        return found

    def load(self, at: Execution[ElasticStore[Any]]) -> None:
        source, target = at.store.index(self.alias), at.store.index(self.target)
        refreshes.refresh(at.store.connection, source)
        total = rows.count(at.store.connection, source, None)
        pages = documents(at.store, source, self.dims or {})

        def send(page: Sequence[Mapping[str, Any]]) -> int:
            rows.write_documents(at.store.connection, target, page)
            return len(page)

        copy_switch.copy_pages(pages, send, total, self.target, at.wait)

    def compare(self, at: Execution[ElasticStore[Any]]) -> None:
        source, target = at.store.index(self.alias), at.store.index(self.target)
        refreshes.refresh(at.store.connection, target)
        copy_switch.compare_counts(
            rows.count(at.store.connection, target, None),
            rows.count(at.store.connection, source, None),
            self.target,
            source.real,
        )

    def switch(self, at: Execution[ElasticStore[Any]]) -> None:
        source = at.store.index(self.alias)
        if source.is_alias:
            aliases.switch(at.store.connection, self.alias, self.target, source.real)
        else:
            others = source.aliases
            aliases.replace_index(at.store.connection, self.alias, self.target, others)
        at.store.forget(self.alias)


@dataclass(frozen=True)
class Switch(Operation):
    """Moves an alias to an index that exists; undoes a copy whose source was kept.

    Attributes:
        alias: the collection.
        target: the index.
    """

    op: ClassVar[str] = "elastic.switch"
    keys: ClassVar[Mapping[str, str]] = {"target": "to"}

    alias: str
    target: str

    def run(self, at: Execution[ElasticStore[Any]]) -> None:
        former = at.store.index(self.alias).real
        if former != self.target:
            aliases.switch(at.store.connection, self.alias, self.target, former)
            at.store.forget(self.alias)
        release(at.store, at.store.index(self.alias))


def _refuse_second_copy(store: ElasticStore[Any], index: Index, target: str) -> None:
    """Refuse to copy an index while a client with another state folder copies it.

    Raises:
        PlanStaleError
    """
    other = index.meta.get(BLOCKED)
    if not isinstance(other, str) or other == target:
        return
    if schema.read(store.connection, other, store.product) is not None:
        raise PlanStaleError(
            f"another client is changing {index.name!r}: it copies the index to {other!r}",
            hint="wait until it has finished, then plan again: `qadapt plan`; if it was killed, "
            f"run `qadapt undo` there, or delete the index {other!r}",
        )


@contextmanager
def writes_blocked(store: ElasticStore[Any], index: Index, target: str) -> Iterator[None]:
    """Block writes to an index, unless another program blocks them already.

    The mapping records that the block is one of qadapt, which a killed process leaves behind, and
    the name of the copy.
    """
    if index.setting("blocks.write") == "true" and not index.meta.get(BLOCKED):
        yield
        return
    settings.write(store.connection, index, BLOCKED, target)
    _block(store, index.real, blocked=True)
    try:
        yield
    finally:
        allow_writes(store, index.real)


def allow_writes(store: ElasticStore[Any], real: str) -> None:
    """Allow writes to an index again, if it exists and was not replaced by an alias."""
    found = schema.read(store.connection, real, store.product)
    if found is not None and found.real == real:
        release(store, found)


def release(store: ElasticStore[Any], index: Index) -> None:
    """Allow writes again if qadapt blocked them."""
    if index.meta.get(BLOCKED):
        _block(store, index.real, blocked=False)
        settings.write(store.connection, index, BLOCKED, None)
        store.forget(index.name)


def check_documents(index: Index) -> None:
    """Check that an index can be copied by its documents.

    Raises:
        UnsupportedError: they do not hold all fields, or would be changed again.
    """
    if why := left_out(index.mappings):
        raise _not_copied(index, f"`_source` {why}")
    if index.setting("final_pipeline"):
        raise _not_copied(index, "its final_pipeline would change the documents again")


def check_fields(index: Index) -> None:
    """Check that an index can be copied by its documents and the vectors that qadapt reads.

    Raises:
        UnsupportedError
    """
    check_documents(index)
    for path, why in index.others.items():
        raise _not_copied(index, f"the field {path!r} {why}")


def _not_copied(index: Index, why: str) -> UnsupportedError:
    return UnsupportedError(
        f"this change needs a copy of {index.real!r}, which is not possible: {why}",
        hint="create an index with these settings, and write the rows to it",
    )


def _block(store: ElasticStore[Any], real: str, *, blocked: bool) -> None:
    doing = f"{'block' if blocked else 'allow'} writes to {real!r}"
    body = {"index.blocks.write": True if blocked else None}
    store.connection.ask("PUT", f"/{quoted(real)}/_settings", body, doing=doing)


def mappings_of(
    source: Index, fields: Mapping[str, Any], meta: Mapping[str, Any]
) -> dict[str, Any]:
    """The mapping of a copy: that of the source with other definitions of some fields."""
    body: dict[str, Any] = json.loads(json.dumps(source.mappings))
    for path, definition in fields.items():
        place = body
        for part in path.split(".")[:-1]:
            place = place["properties"][part]
        place["properties"][path.split(".")[-1]] = dict(definition)
    own = {key: value for key, value in source.meta.items() if key not in ("copy", BLOCKED)}
    body["_meta"] = {**(body.get("_meta") or {}), OWN: {**own, **meta}}
    return body


def settings_of(source: Index) -> dict[str, Any]:
    """The settings of a copy."""
    found = json.loads(json.dumps(source.settings.get("index") or {}))
    for name in _OF_THE_SERVER:
        found.pop(name, None)
    (found.get("routing") or {}).pop("allocation", None)
    return {f"index.{key}": value for key, value in found.items() if value not in ({}, None)}


def documents(
    store: ElasticStore[Any], source: Index, dims: Mapping[str, Any]
) -> Iterator[list[dict[str, Any]]]:
    """All documents with their vectors as the server returned them, as lines of a bulk request."""
    product = store.product
    fields = list(source.vectors.values())
    body = rows.body_of(product, source, fields, with_payload=True)
    by_values = product.reads_doc_values(source)
    body["_source"] = {"excludes": [each.path for each in fields]} if by_values else True
    hits = scan_ranges.hit_pages(store.connection, product, source, body, ReadRequest(page=PAGE))
    for page in hits:
        yield [_document(hit, fields, dims, store) for hit in page]


def _document(
    hit: Mapping[str, Any],
    fields: Sequence[VectorField],
    dims: Mapping[str, Any],
    store: ElasticStore[Any],
) -> dict[str, Any]:
    source = dict(hit.get("_source") or {})
    for field in fields:
        value = rows.value_of(hit, field.path)
        if value is None:
            continue
        if field.path in dims:
            whole = store.product.decoded(value, field.vector.dim)
            value = whole[: int(dims[field.path])].tolist()
        _put(source, field.path, value)
    action = {"_id": hit["_id"]}
    if "_routing" in hit:
        action["routing"] = hit["_routing"]
    return {"action": action, "source": source}


def _put(source: dict[str, Any], path: str, value: Any) -> None:
    """Set a field by its path, where the document has it."""
    parts = path.split(".")
    place = source
    for part in parts[:-1]:
        inner = place.get(part)
        place[part] = dict(inner) if isinstance(inner, Mapping) else {}
        place = place[part]
    place[parts[-1]] = value
