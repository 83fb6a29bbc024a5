"""``weaviate+http://...``: Weaviate behind the interface of all stores."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import numpy as np

from qadapt.errors import AlreadyExistsError, InputError, NotFoundError, UnsupportedError
from qadapt.model import (
    Batch,
    Beside,
    CollectionInfo,
    Finding,
    Hits,
    Id,
    Metric,
    Quantization,
    Rescore,
    Step,
    Vector,
    direction,
)
from qadapt.model.address import Address
from qadapt.stores import checks
from qadapt.stores.base import (
    PAGE,
    Kept,
    Mapped,
    OnProgress,
    Part,
    Room,
    Search,
    accepted,
    silent,
)
from qadapt.stores.change_counter import ChangeCounter
from qadapt.stores.client import ClientStore
from qadapt.stores.weaviate import (
    aliases,
    changes,
    counting,
    creation,
    declared,
    fields,
    findings,
    ids,
    look,
    mapping,
    measuring,
    multi,
    payloads,
    rescoring,
    rows,
    schema,
    searching,
    tenants,
    update_times,
    writing,
)
from qadapt.stores.weaviate.connection import (
    Connection,
    connect,
    wrapped,
)
from qadapt.stores.weaviate.engine import Engine
from qadapt.stores.weaviate.filters import to_message
from qadapt.stores.weaviate.measuring import Dimensions
from qadapt.stores.weaviate.profile import PROFILE
from qadapt.stores.weaviate.schema import Field, Layout

FRESH = 10.0  # seconds that a search believes a schema which others may change


@dataclass(frozen=True)
class _Read:
    """A schema that was read: when, and how many rows for the dimensions it does not hold."""

    at: float
    layout: Layout
    most: int


class WeaviateStore(ClientStore[Connection]):
    """A Weaviate server.

    ``Articles@red`` is the tenant ``red`` of ``Articles``. Without a tenant, reads and counts go
    over all active ones, and writes and searches are refused. Ids are UUIDs. Vectors come back bit
    for bit, cosine ones too. Payloads: see ``payloads``.
    """

    profile = PROFILE

    def __init__(
        self, address: Address, connection: Connection, *, disabled: Sequence[str] = ()
    ) -> None:
        super().__init__(address, connection, disabled=disabled)
        self._layouts: dict[str, _Read] = {}
        self._dimensions = Dimensions()

    @classmethod
    def open(cls, address: Address, *, disabled: Sequence[str] = ()) -> WeaviateStore:
        return cls(address, connect(address), disabled=disabled)

    @classmethod
    def wrap(cls, client: object, *, disabled: Sequence[str] = ()) -> WeaviateStore:
        """A store on a ``WeaviateClient`` of the user's, which is never closed by us.

        Raises:
            UnsupportedError: an asynchronous client, or one that is not connected.
        """
        address, connection = wrapped(client)
        return cls(address, connection, disabled=disabled)

    @property
    def _engine(self) -> Engine:
        return Engine(self.connection.version)

    # -- collections -------------------------------------------------------------------------

    def collections(self) -> list[str]:
        """Names of collections and of aliases, sorted."""
        found = self.connection.rest("GET", "/v1/schema", doing="list collections")
        real = [str(each["class"]) for each in found.get("classes") or ()]
        return sorted([*real, *self.aliases()])

    def has(self, collection: str) -> bool:
        """Whether there is a collection, an alias, or a tenant ``NAME@TENANT``."""
        name, tenant = tenants.split(collection)
        if tenant is None:
            return super().has(name)
        if not super().has(name):
            return False
        layout = schema.describe(self.connection, name)
        return layout.multi_tenant and tenant in tenants.states(self.connection, layout)

    def whole(self, collection: str) -> str:
        return tenants.split(collection)[0]

    def create(
        self,
        collection: str,
        vectors: Mapping[str, Vector],
        quantization: Mapping[str, Quantization],
        beside: Beside | None = None,
    ) -> None:
        schema.check_name(collection)
        more = beside.extras if beside else {}
        creation.refuse({**vectors, **multi.vectors_of(more)}, self._engine)
        wanted = checks.quantizations(quantization, vectors)
        mapped = {name: self._mapped(each, vectors[name]) for name, each in wanted.items()}
        if collection in self.collections():
            raise AlreadyExistsError(f"there is a collection or alias {collection!r} already")
        self._forget()
        creation.create(self.connection, collection, vectors, mapped, self._engine, beside)
        if beside is not None and beside.parts:
            self.add_parts(collection, beside.parts)

    def drop(self, collection: str) -> None:
        """Delete a collection, or one tenant of it."""
        name, tenant = tenants.split(collection)
        self._forget()
        layout = self._layout(collection)
        if tenant is None:
            creation.drop(self.connection, name)
        else:
            known = tenants.states(self.connection, layout) if layout.multi_tenant else {}
            if tenant not in known:
                raise NotFoundError.missing("tenant", tenant, known)
            path = f"/v1/schema/{quote(layout.real)}/tenants"
            doing = f"delete the tenant {tenant!r} of {name!r}"
            self.connection.rest("DELETE", path, [tenant], doing=doing)
        self._forget()

    def info(self, collection: str) -> CollectionInfo:
        return look.collection_info(collection, self.server(), self._look(collection))

    def _look(self, collection: str) -> look.Look:
        name, tenant = tenants.split(collection)
        self._forget()
        self._layout(collection)
        return look.look(self.connection, name, tenant, dimensions=self._dimensions)

    def _layout(
        self, collection: str, *, fresh: bool = True, vectors: Sequence[str] | None = ()
    ) -> Layout:
        """The schema; for a search (``fresh=False``) as it was a few seconds ago, perhaps.

        Args:
            vectors: those whose dimensions matter, for which more rows are read; None for all.
        """
        name, tenant = tenants.split(collection)
        known = self._layouts.get(collection)
        if known is not None and not fresh and time.monotonic() - known.at < FRESH:
            enough = known.most == measuring.SOME or not _lacking(known.layout, vectors)
            if enough:
                return known.layout
        try:
            layout = schema.describe(self.connection, name)
        except NotFoundError:
            raise NotFoundError.missing("collection", name, self.collections()) from None
        most = measuring.FEW
        if layout.unmeasured:
            places = tenants.to_read(self.connection, layout, tenant)
            layout, _ = self._dimensions.complete(self.connection, layout, places, most)
            if _lacking(layout, vectors):
                most = measuring.SOME
                layout, _ = self._dimensions.complete(self.connection, layout, places, most)
        self._layouts[collection] = _Read(time.monotonic(), layout, most)
        return layout

    def measure(self, collection: str, progress: OnProgress = silent) -> Mapping[str, int]:
        name, tenant = tenants.split(collection)
        layout = schema.describe(self.connection, name)
        if not layout.unmeasured:
            return {}
        known = tenants.to_read(self.connection, layout, tenant)
        layout, seen = self._dimensions.complete(self.connection, layout, known, None, progress)
        return {name: seen.read for name in layout.vectors if name in layout.unmeasured}

    def _forget(self) -> None:
        self._layouts.clear()

    # -- rows --------------------------------------------------------------------------------

    def write(self, collection: str, batch: Batch) -> None:
        """Upsert rows: whole ones, so a row that is written without a named vector loses it.

        Raises:
            DimensionError, NonFiniteError, ZeroVectorError, SpecError, InputError, NotFoundError
            BusyError: a shard builds its codes; says how many rows were written.
            StoreError: rows were refused; says which, why, and how many were written.
        """
        # Read again each time: the server would make a collection that is not there.
        layout = self._layout(collection)
        tenant = tenants.to_change(layout, tenants.split(collection)[1], "write to")
        batch, keys = writing.ready(layout, batch)
        if writing.add_properties(self.connection, layout, batch):
            layout = self._layout(collection)
        writing.write(self.connection, layout, tenant, batch, keys)

    def delete(self, collection: str, ids: Sequence[Id]) -> None:
        layout = self._layout(collection)
        tenant = tenants.to_change(layout, tenants.split(collection)[1], "delete from")
        writing.delete(self.connection, layout, tenant, ids)

    def change_counter(self, collection: str) -> ChangeCounter | None:
        layout = self._layout(collection)
        return None if layout.multi_tenant else update_times.counter(self.connection, layout)

    def changed_since(
        self, collection: str, counter: ChangeCounter
    ) -> Iterator[Sequence[Id]] | None:
        return update_times.changed_since(self.connection, self._layout(collection), counter)

    def count(self, collection: str, filter: Any = None) -> int:
        layout = self._layout(collection)
        message = to_message(filter, layout, self.connection.version)
        return counting.count(self.connection, layout, self._read(collection, layout), message)

    def fetch(
        self,
        collection: str,
        ids: Sequence[Id],
        *,
        vectors: Sequence[str] | None = None,
        payload: bool = True,
    ) -> Batch:
        layout = self._layout(collection, fresh=False, vectors=vectors)
        wanted = _wanted(layout, vectors)
        places = self._read(collection, layout)
        return rows.fetch(self.connection, layout, places, ids, wanted, payload)

    def read(
        self,
        collection: str,
        *,
        vectors: Sequence[str] | None = None,
        payload: bool = True,
        filter: Any = None,
        page: int = PAGE,
        part: Part | None = None,
        after: Id | None = None,
    ) -> Iterator[Batch]:
        size = checks.page(page)
        layout = self._layout(collection, vectors=vectors)
        message = to_message(filter, layout, self.connection.version)
        wanted = _wanted(layout, vectors)
        part = part or {}
        behind, last = part.get("behind"), part.get("last")
        places = [part["tenant"]] if "tenant" in part else self._read(collection, layout)
        if after is not None:
            key = ids.canonical(after)
            if key is None:
                raise InputError(f"the id {after!r} is no UUID, so no row of Weaviate's has it")
            if layout.multi_tenant and "tenant" not in part and "@" not in collection:
                raise InputError(
                    f"{collection!r} has tenants, each with ids in their own order",
                    hint="go on in one of `partitions()`, or in NAME@TENANT",
                )
            behind = key if behind is None else max(behind, key)
        for tenant in places:
            yield from rows.read(
                *(self.connection, layout, tenant, wanted, payload, message, size),
                behind=behind,
                last=last,
            )

    def parts(self, collection: str, n: int) -> list[Part]:
        """Ranges of ids, or tenants where none is named: ``{"behind": ID, "last": ID}``,
        ``{"tenant": NAME}``."""
        layout = self._layout(collection)
        places = self._read(collection, layout)
        if layout.multi_tenant and "@" not in collection:
            return [{"tenant": tenant} for tenant in places]
        ends = rows.ends(self.connection, layout, places[0])
        if ends is None:
            return [{}]
        found: list[Part] = []
        for behind, last in ids.split(*ends, n):
            bounds = {"behind": behind, "last": last}
            found.append({name: key for name, key in bounds.items() if key is not None})
        return found

    def keeps(self, key: str, value: Any) -> Kept:
        return "not" if key == payloads.REST else "as it is"

    def refuses(self, vectors: Mapping[str, Vector]) -> str | None:
        try:
            creation.refuse(vectors, self._engine)
        except (InputError, UnsupportedError) as error:
            return error.message
        return None

    def beyond_rows(self, collection: str) -> Mapping[str, str]:
        layout = self._layout(collection)
        others = [name for name in layout.others if name not in layout.multis]
        found = {
            "other-vectors": ", ".join(others),
            "references": ", ".join(declared.references(layout)),
        }
        return {name: words for name, words in found.items() if words}

    def beside(self, collection: str) -> Beside:
        layout = self._layout(collection, vectors=None)
        found = tenants.beside(self.connection, layout, tenants.split(collection)[1])
        return found.replace(extras=multi.found(layout), schema=declared.declared(layout))

    def refuses_beside(self, beside: Beside) -> Mapping[str, str]:
        return {
            **multi.refused(beside.extras, self._engine),
            **tenants.refused(beside, self._engine),
        }

    def add_parts(self, collection: str, names: Sequence[str]) -> None:
        tenants.add(self.connection, self._layout(collection), names)
        self._forget()

    def room(self, vectors: Collection[str], beside: Beside) -> Room:
        if not beside.schema or declared.ours(beside.schema):
            return super().room(vectors, beside)
        return Room(self.takes_id, declared.keeper(beside.schema))

    def indexes_itself(self, key: str, kind: str) -> bool:
        return payloads.indexes_itself(key, kind)

    def _read(self, collection: str, layout: Layout) -> Sequence[str]:
        return tenants.to_read(self.connection, layout, tenants.split(collection)[1])

    # -- searching ---------------------------------------------------------------------------

    def search(self, collection: str, queries: Any, search: Search) -> Hits:
        layout = self._layout(collection, fresh=False, vectors=[search.vector])
        tenant = tenants.to_change(layout, tenants.split(collection)[1], "search")
        field = layout.field(search.vector)
        array = np.atleast_2d(np.asarray(queries, dtype=np.float32))
        searching.check(search, field, array, self.connection.version)
        cosine = field.metric is Metric.COSINE
        array = direction.asked(array, "float32", cosine=cosine, normalises=False)
        message = to_message(search.filter, layout, self.connection.version)
        if search.exact or search.options.get("ignore_quantization"):
            wanted = {search.vector: field}
            pages = rows.read(self.connection, layout, tenant, wanted, False, message, PAGE)
            vector = Vector(array.shape[1], field.metric)
            hits = searching.exact(pages, search.vector, vector, array, search.k)
        else:
            hits = searching.run(self.connection, layout, tenant, field, array, search, message)
        if not search.with_payload:
            return hits
        found = list(dict.fromkeys(key for key in hits.ids.ravel().tolist() if key is not None))
        batch = self.fetch(collection, found, vectors=(), payload=True)
        return Hits(hits.ids, hits.scores, hits.how, searching.payloads(hits.ids, batch))

    def default_rescore(self, collection: str, vector: str) -> Rescore | None:
        return rescoring.default_rescore(self._layout(collection, fresh=False).field(vector).native)

    def rescores_itself(self, collection: str, vector: str) -> bool:
        """Not where the collection switched it off: ``rescoreLimit`` 0 on hnsw with SQ or RQ."""
        if not super().rescores_itself(collection, vector):
            return False
        native = self._layout(collection, fresh=False).field(vector).native
        return fields.quantizer(native) is None or not rescoring.of(native).off

    # -- quantization ------------------------------------------------------------------------

    def map(self, quantization: Quantization, vector: Vector) -> Mapped:
        return mapping.to_native(quantization, vector, self._engine)

    def _mapped(
        self,
        quantization: Quantization,
        vector: Vector,
        current: Mapping[str, Any] | None = None,
    ) -> Mapped:
        mapped = mapping.to_native(quantization, vector, self._engine, current)
        return accepted(mapped, quantization, self.name)

    def steps(self, info: CollectionInfo, vector: str, quantization: Quantization) -> list[Step]:
        looked = self._look(info.name)
        field = looked.layout.field(vector)
        mapped = self._mapped(quantization, field.vector, field.native)
        return changes.steps(looked, vector, mapped, quantization, self._engine, self._taken())

    def alias_steps(
        self, info: CollectionInfo, vector: str, quantization: Quantization
    ) -> list[Step]:
        looked = self._look(info.name)
        field = looked.layout.field(vector)
        mapped = self._mapped(quantization, field.vector, field.native)
        return changes.alias_steps(
            looked, vector, mapped, quantization, self._engine, self._taken()
        )

    def vector_steps(
        self, info: CollectionInfo, vector: str, quantization: Quantization
    ) -> tuple[str, list[Step]]:
        looked = self._look(info.name)
        field = looked.layout.field(vector)
        mapped = self._mapped(quantization, field.vector, field.native)
        return changes.vector_steps(looked, vector, mapped, quantization, self._engine)

    def recreate_steps(self, info: CollectionInfo, vector: str, wanted: Vector) -> list[Step]:
        looked = self._look(info.name)
        return changes.recreate_steps(looked, vector, wanted, self._engine, self._taken())

    def notes(self, info: CollectionInfo, vector: str, quantization: Quantization) -> Sequence[str]:
        looked = self._look(info.name)
        field = looked.layout.field(vector)
        mapped = self._mapped(quantization, field.vector, field.native)
        return changes.notes(looked, vector, mapped, quantization)

    def _taken(self) -> list[str]:
        """Names that a copy cannot have."""
        return self.collections()

    def run(
        self, collection: str, request: Mapping[str, Any], progress: OnProgress, timeout: float
    ) -> None:
        self._forget()
        try:
            name = tenants.split(collection)[0]
            changes.run(self.connection, name, request, progress, timeout, self._dimensions)
        finally:
            self._forget()

    # -- aliases -----------------------------------------------------------------------------

    def aliases(self) -> Mapping[str, str]:
        return aliases.every(self.connection)

    def switch_alias(self, alias: str, collection: str) -> None:
        aliases.switch(self.connection, alias, collection)
        self._forget()

    def drop_alias(self, alias: str) -> None:
        aliases.drop(self.connection, alias)
        self._forget()

    # -- doctor ------------------------------------------------------------------------------

    def findings(
        self, info: CollectionInfo, options: Mapping[str, Any] | None = None
    ) -> list[Finding]:
        return findings.findings(self.address, info)


def _lacking(layout: Layout, vectors: Sequence[str] | None) -> bool:
    """Whether the dimension of one of these vectors is unknown; None for all."""
    unknown = layout.unmeasured
    return bool(unknown) if vectors is None else any(name in unknown for name in vectors)


def _wanted(layout: Layout, names: Sequence[str] | None) -> dict[str, Field]:
    if names is None:
        return dict(layout.vectors)
    return {name: layout.multis.get(name) or layout.field(name) for name in names}
