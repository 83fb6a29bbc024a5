"""The store of ``weaviate+http://...``."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from qadapt.model import (
    Batch,
    CollectionInfo,
    CollectionSchema,
    Finding,
    Hits,
    Id,
    Quantization,
    Rescore,
    Vector,
)
from qadapt.model.address import Address
from qadapt.stores import checks
from qadapt.stores.base import (
    ALL_ROWS,
    MappedQuantization,
    OnProgress,
    PayloadFidelity,
    PreparedSearch,
    ReadRequest,
    RowConstraints,
    ScanRange,
    SearchRequest,
    require_supported,
    silent,
)
from qadapt.stores.change import ChangePlan, ChangeRequest, Inspection, check_strategy
from qadapt.stores.change_counter import ChangeCounter
from qadapt.stores.client import ClientStore, prepared_search
from qadapt.stores.client_form import ClientSearch
from qadapt.stores.error_table import TooLargeError
from qadapt.stores.weaviate import (
    aliases,
    change_counter,
    changes,
    client_code,
    collections,
    diagnostics,
    mapping,
    multivectors,
    native_rescore,
    partitions,
    payload_schema,
    row_counts,
    rows,
    scan_ranges,
    schema,
    settings,
    vector_index_config,
)
from qadapt.stores.weaviate import payload as weaviate_payload
from qadapt.stores.weaviate import search as weaviate_search
from qadapt.stores.weaviate import snapshot as weaviate_snapshot
from qadapt.stores.weaviate.connection import Connection, connect, wrapped
from qadapt.stores.weaviate.dimensions import Dimensions
from qadapt.stores.weaviate.filters import to_message
from qadapt.stores.weaviate.layout_reader import FRESH, LayoutReader
from qadapt.stores.weaviate.profile import PROFILE
from qadapt.stores.weaviate.schema import Layout
from qadapt.stores.weaviate.version import ServerVersion


class WeaviateStore(ClientStore[Connection]):
    """A Weaviate server.

    ``Articles@red`` is the tenant ``red`` of ``Articles``. Without a tenant, reads and counts cover
    all active tenants, and writes and searches are refused. Ids are UUIDs. Vectors are returned bit
    for bit, with cosine too. Payloads: see ``payload``.
    """

    profile = PROFILE
    operations = changes.OPERATIONS
    awaits_searches = True

    def __init__(
        self, address: Address, connection: Connection, *, disabled: Sequence[str] = ()
    ) -> None:
        super().__init__(address, connection, disabled=disabled)
        self.dimensions = Dimensions()
        self.layouts = LayoutReader(connection, self.dimensions, self.collections)
        self.snapshots = self.layouts.cache

    @classmethod
    def open(cls, address: Address, *, disabled: Sequence[str] = ()) -> WeaviateStore:
        return cls(address, connect(address), disabled=disabled)

    @classmethod
    def wrap(cls, client: object, *, disabled: Sequence[str] = ()) -> WeaviateStore:
        """Wrap a user's ``WeaviateClient``, which is never closed.

        Raises:
            UnsupportedError: the client is asynchronous or not connected.
        """
        address, connection = wrapped(client)
        return cls(address, connection, disabled=disabled)

    @property
    def _server_version(self) -> ServerVersion:
        return ServerVersion(self.connection.version)

    # -- collections -------------------------------------------------------------------------

    def collections(self) -> list[str]:
        """Names of collections and aliases, sorted."""
        found = self.connection.rest("GET", "/v1/schema", doing="list collections")
        real = [str(each["class"]) for each in found.get("classes") or ()]
        return sorted([*real, *self.aliases()])

    def has(self, collection: str) -> bool:
        """Whether a collection, an alias or a tenant ``NAME@TENANT`` exists."""
        name, tenant = partitions.split(collection)
        if tenant is None:
            return super().has(name)
        if not super().has(name):
            return False
        layout = schema.describe(self.connection, name)
        return layout.multi_tenant and tenant in partitions.states(self.connection, layout)

    def collection_of(self, collection: str) -> str:
        return partitions.split(collection)[0]

    def create(
        self,
        collection: str,
        vectors: Mapping[str, Vector],
        quantization: Mapping[str, Quantization],
        collection_schema: CollectionSchema | None = None,
    ) -> None:
        schema.check_name(collection)
        more = collection_schema.extras if collection_schema else {}
        collections.unsupported_vectors(
            {**vectors, **multivectors.vectors_of(more)}, self._server_version
        )
        wanted = checks.quantizations(quantization, vectors)
        mapped = {name: self._mapped(each, vectors[name]) for name, each in wanted.items()}
        checks.new_name(collection, self.collections())
        self.snapshots.forget()
        collections.create(
            self.connection, collection, vectors, mapped, self._server_version, collection_schema
        )
        if collection_schema is not None and collection_schema.partitions:
            self.create_partitions(collection, collection_schema.partitions)

    def drop(self, collection: str) -> None:
        """Delete a collection, or one tenant of it."""
        name, tenant = partitions.split(collection)
        self.snapshots.forget()
        layout = self._layout(collection)
        if tenant is None:
            collections.drop(self.connection, name)
        else:
            partitions.drop(self.connection, layout, tenant)
        self.snapshots.forget()

    def inspect(self, collection: str) -> Inspection:
        snapshot = self._snapshot(collection)
        return Inspection(
            weaviate_snapshot.collection_info(collection, self.server(), snapshot), snapshot
        )

    def _snapshot(self, collection: str) -> weaviate_snapshot.Snapshot:
        name, tenant = partitions.split(collection)
        self.snapshots.forget()
        self._layout(collection)
        return weaviate_snapshot.take_snapshot(
            self.connection, name, tenant, dimensions=self.dimensions
        )

    def _layout(
        self, collection: str, *, fresh: bool = True, vectors: Sequence[str] | None = ()
    ) -> Layout:
        return self.layouts.read(collection, fresh=fresh, vectors=vectors)

    def measure_dimensions(
        self, collection: str, progress: OnProgress = silent
    ) -> Mapping[str, int]:
        return self.layouts.measure_dimensions(collection, progress)

    def forget(self, collection: str) -> None:
        """Clear the cache of all collections, since a name may be an alias or a tenant."""
        self.snapshots.forget()

    # -- rows --------------------------------------------------------------------------------

    def write(self, collection: str, batch: Batch) -> None:
        """Upsert complete rows: a row written without a named vector loses that vector.

        Raises:
            DimensionError, NonFiniteError, ZeroVectorError, SpecError, InputError, NotFoundError
            BusyError: a shard is building codes; the message has the number of rows written.
            StoreError: rows were refused; the message names them, the reason, and the number of
                rows written.
        """
        # Read each time, because the server would create a missing collection.
        layout = self._layout(collection)
        tenant = partitions.to_change(layout, partitions.split(collection)[1], "write to")
        batch, keys = rows.ready(layout, batch)
        if rows.add_properties(self.connection, layout, batch):
            layout = self._layout(collection)
        rows.write(self.connection, layout, tenant, batch, keys)

    def delete(self, collection: str, ids: Sequence[Id]) -> None:
        layout = self._layout(collection)
        tenant = partitions.to_change(layout, partitions.split(collection)[1], "delete from")
        rows.delete(self.connection, layout, tenant, ids)

    def change_counter(self, collection: str) -> ChangeCounter | None:
        layout = self._layout(collection)
        return None if layout.multi_tenant else change_counter.counter(self.connection, layout)

    def changed_since(
        self, collection: str, counter: ChangeCounter
    ) -> Iterator[Sequence[Id]] | None:
        return change_counter.changed_since(self.connection, self._layout(collection), counter)

    def count(self, collection: str, filter: Any = None) -> int:
        layout = self._layout(collection)
        message = to_message(filter, layout, self.connection.version)
        return row_counts.count(self.connection, layout, self._read(collection, layout), message)

    def fetch(
        self,
        collection: str,
        ids: Sequence[Id],
        *,
        vectors: Sequence[str] | None = None,
        payload: bool = True,
    ) -> Batch:
        layout = self._layout(collection, fresh=False, vectors=vectors)
        wanted = layout.fields(vectors)
        places = self._read(collection, layout)
        return rows.fetch(self.connection, layout, places, ids, wanted, payload)

    def read(
        self,
        collection: str,
        request: ReadRequest = ALL_ROWS,
    ) -> Iterator[Batch]:
        checks.page(request.page)
        layout = self._layout(collection, vectors=request.vectors)
        yield from scan_ranges.read(self.connection, layout, collection, request)

    def scan_ranges(self, collection: str, n: int) -> list[ScanRange]:
        """Ranges of ids, ``{"behind": ID, "last": ID}``; ``{"tenant": NAME}`` per tenant if the
        collection is multi-tenant and the name addresses no tenant."""
        return scan_ranges.scan_ranges(self.connection, self._layout(collection), collection, n)

    def payload_fidelity(self, key: str, value: Any) -> PayloadFidelity:
        return "dropped" if key == weaviate_payload.REST else "exact"

    def unsupported_vectors(self, vectors: Mapping[str, Vector]) -> str | None:
        return checks.problem(
            lambda: collections.unsupported_vectors(vectors, self._server_version)
        )

    def uncopied(self, collection: str) -> Mapping[str, str]:
        return payload_schema.uncopied(self._layout(collection))

    def collection_schema(self, collection: str) -> CollectionSchema:
        layout = self._layout(collection, vectors=None)
        found = partitions.partition_schema(
            self.connection, layout, partitions.split(collection)[1]
        )
        return found.replace(
            extras=multivectors.multivectors_of(layout),
            schema=payload_schema.payload_schema_of(layout),
        )

    def unsupported_schema(self, collection_schema: CollectionSchema) -> Mapping[str, str]:
        return {
            **multivectors.unsupported(collection_schema.extras, self._server_version),
            **partitions.unsupported(collection_schema, self._server_version),
        }

    def create_partitions(self, collection: str, names: Sequence[str]) -> None:
        partitions.create(self.connection, self._layout(collection), names)
        self.snapshots.forget()

    def row_constraints(
        self, vectors: Collection[str], collection_schema: CollectionSchema
    ) -> RowConstraints:
        if not collection_schema.schema or payload_schema.is_own_schema(collection_schema.schema):
            return super().row_constraints(vectors, collection_schema)
        return RowConstraints(
            self.accepts_id, payload_schema.payload_fidelity_of(collection_schema.schema)
        )

    def indexes_payload_automatically(self, key: str, kind: str) -> bool:
        return weaviate_payload.indexes_payload_automatically(key, kind)

    def _read(self, collection: str, layout: Layout) -> Sequence[str]:
        return partitions.to_read(self.connection, layout, partitions.split(collection)[1])

    # -- searching ---------------------------------------------------------------------------

    def search(self, collection: str, queries: Any, search: SearchRequest) -> Hits:
        layout = self._layout(collection, fresh=False, vectors=[search.vector])
        tenant = partitions.to_change(layout, partitions.split(collection)[1], "search")
        hits = weaviate_search.search(self.connection, layout, tenant, queries, search)
        if not search.with_payload or hits.payloads is not None:
            return hits
        return self.with_payloads(collection, hits)

    def prepare_search(self, collection: str, request: SearchRequest) -> PreparedSearch | None:
        layout = self._layout(collection, fresh=False, vectors=[request.vector])
        read = self.snapshots.get(collection, FRESH)
        tenant = partitions.to_change(layout, partitions.split(collection)[1], "search")
        made = weaviate_search.prepare(self.connection, layout, tenant, request)
        if made is None or read is None:
            return None
        unchanged = partial(self._cached, collection, read)
        return prepared_search(made, unchanged, TooLargeError)

    def _cached(self, collection: str, layout: object) -> bool:
        return not self._forked and self.snapshots.get(collection, FRESH) is layout

    def default_rescore(self, collection: str, vector: str) -> Rescore | None:
        return native_rescore.default_rescore(
            self._layout(collection, fresh=False).field(vector).native
        )

    def rescores_natively(self, collection: str, vector: str) -> bool:
        """True unless the collection disables it: ``rescoreLimit`` 0 on hnsw with SQ or RQ."""
        if not super().rescores_natively(collection, vector):
            return False
        native = self._layout(collection, fresh=False).field(vector).native
        return vector_index_config.quantizer(native) is None or not native_rescore.of(native).off

    def client_search(
        self, collection: str, request: SearchRequest, target: Quantization | None = None
    ) -> ClientSearch:
        layout = self._layout(collection, fresh=False)
        return client_code.client_search(layout, collection, request, target)

    # -- quantization ------------------------------------------------------------------------

    def map(self, quantization: Quantization, vector: Vector) -> MappedQuantization:
        return mapping.to_native(quantization, vector, self._server_version)

    def _mapped(
        self,
        quantization: Quantization,
        vector: Vector,
        current: Mapping[str, Any] | None = None,
    ) -> MappedQuantization:
        mapped = mapping.to_native(quantization, vector, self._server_version, current)
        return require_supported(mapped, quantization, self.name)

    def plan_change(self, request: ChangeRequest) -> ChangePlan:
        check_strategy(self.name, request, "alias", "vector")
        snapshot: weaviate_snapshot.Snapshot = request.inspection.native
        taken = self.collections()
        if request.codes is None:
            return changes.plan_change(snapshot, request, None, self._server_version, taken)
        request, mapped, was, notes = changes.rescored_request(request, self._mapped)
        plan = changes.plan_change(snapshot, request, mapped, self._server_version, taken)
        if was is not None:
            plan = changes.with_former_limit(plan, request.vector, was)
        return dataclasses.replace(plan, notes=(*plan.notes, *notes))

    # -- aliases -----------------------------------------------------------------------------

    def aliases(self) -> Mapping[str, str]:
        return aliases.aliases(self.connection)

    def switch_alias(self, alias: str, collection: str) -> None:
        aliases.switch(self.connection, alias, collection)
        self.snapshots.forget()

    def drop_alias(self, alias: str) -> None:
        aliases.drop(self.connection, alias)
        self.snapshots.forget()

    # -- settings ----------------------------------------------------------------------------

    def load_settings(self, collection: str) -> Mapping[str, Any]:
        return settings.load_settings(self._layout(collection, fresh=False))

    def write_settings(self, collection: str, wanted: Mapping[str, Any]) -> None:
        settings.write_settings(self.connection, self._layout(collection).real, wanted)

    # -- doctor ------------------------------------------------------------------------------

    def findings(
        self, info: CollectionInfo, options: Mapping[str, Any] | None = None
    ) -> list[Finding]:
        return diagnostics.findings(self.address, info)
