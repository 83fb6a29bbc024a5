"""The Milvus store: ``milvus+http://...`` and ``milvus:FILE.db``."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

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
    PayloadFidelity,
    PreparedSearch,
    ReadRequest,
    RowConstraints,
    ScanRange,
    SearchRequest,
)
from qadapt.stores.change import ChangePlan, ChangeRequest, Inspection, check_strategy
from qadapt.stores.change_counter import ChangeCounter
from qadapt.stores.client import ClientStore, prepared_search
from qadapt.stores.error_table import TooLargeError
from qadapt.stores.milvus import (
    aliases,
    binary_sidecar,
    changes,
    client_code,
    collections,
    copy_schema,
    diagnostics,
    duplicate_ids,
    lite,
    mapping,
    partitions,
    payload_indexes,
    payload_schema,
    rows,
    schema,
    search_params,
    settings,
)
from qadapt.stores.milvus import payload as milvus_payload
from qadapt.stores.milvus import search as milvus_search
from qadapt.stores.milvus import snapshot as milvus_snapshot
from qadapt.stores.milvus.connection import Connection, connect, wrapped
from qadapt.stores.milvus.filters import joined
from qadapt.stores.milvus.json_existence import compiled
from qadapt.stores.milvus.loading import wait_while_loading
from qadapt.stores.milvus.profile import OLD_LITE_TRAITS, PROFILE
from qadapt.stores.milvus.snapshot import CollectionReader
from qadapt.stores.milvus.version import BITS, ServerVersion
from qadapt.stores.profile import Traits
from qadapt.stores.snapshots import SnapshotCache

T = TypeVar("T")


class MilvusStore(ClientStore[Connection]):
    """A Milvus server, or Milvus Lite in this process.

    Collections created by qadapt have a VARCHAR key for integers and strings (see ``ids``), and the
    payload in the dynamic field. Vectors are read back unchanged, also with cosine. Searches and
    reads by id use the consistency level Session (they see writes of this client; 5 ms on 2.3.5),
    counts and full reads use Strong (writes of all clients; 260 ms). On a server, only a change
    loads or releases a collection. Milvus Lite does not store which collections were loaded, so a
    collection of Lite is loaded on its first read or search.
    """

    profile = PROFILE
    operations = changes.OPERATIONS
    awaits_searches = True

    def __init__(
        self, address: Address, connection: Connection, *, disabled: Sequence[str] = ()
    ) -> None:
        super().__init__(address, connection, disabled=disabled)
        self.reader = CollectionReader(lambda: self.connection)
        self.snapshots: SnapshotCache[schema.Layout] = self.reader.layouts

    @classmethod
    def open(cls, address: Address, *, disabled: Sequence[str] = ()) -> MilvusStore:
        return cls(address, connect(address), disabled=disabled)

    @classmethod
    def wrap(cls, client: object, *, disabled: Sequence[str] = ()) -> MilvusStore:
        """A store on a ``MilvusClient`` of the user, which qadapt never closes.

        Raises:
            UnsupportedError: an asynchronous client, or another type.
        """
        address, connection = wrapped(client)
        return cls(address, connection, disabled=disabled)

    @property
    def in_process(self) -> bool:
        return self.connection.lite and not self.connection.old_lite

    @property
    def traits(self) -> Traits:
        return OLD_LITE_TRAITS if self._server_version.old_lite else self.profile.traits

    @property
    def _server_version(self) -> ServerVersion:
        return ServerVersion(self.connection.version, self.connection.deployment)

    # -- collections -------------------------------------------------------------------------

    def collections(self) -> list[str]:
        """Names of collections and of aliases, sorted."""
        return collections.names(self.connection)

    def collection_of(self, collection: str) -> str:
        return schema.split(collection)[0]

    def create(
        self,
        collection: str,
        vectors: Mapping[str, Vector],
        quantization: Mapping[str, Quantization],
        collection_schema: CollectionSchema | None = None,
    ) -> None:
        schema.check_name(collection)
        collections.unsupported_vectors(vectors, self._server_version)
        wanted = checks.quantizations(quantization, vectors)
        mapped = {
            name: mapping.require_native(each, vectors[name], self._server_version)
            for name, each in wanted.items()
        }
        # A server reports no error for an existing collection with the same schema.
        checks.new_name(collection, self.collections())
        self.forget(collection)
        arrays = [
            name for name, each in quantization.items() if each.native.get("index_type") == BITS
        ]
        collections.create(
            self.connection,
            collection,
            vectors,
            mapped,
            self._server_version,
            arrays,
            collection_schema,
        )
        if collection_schema is not None and collection_schema.partitions:
            self.create_partitions(collection, collection_schema.partitions)

    def drop(self, collection: str) -> None:
        self.forget(collection)
        collections.drop(self.connection, collection)
        self.forget(collection)

    def inspect(self, collection: str) -> Inspection:
        snapshot = self.reader.snapshot(collection)
        return Inspection(
            milvus_snapshot.collection_info(collection, self.server(), snapshot), snapshot
        )

    def forget(self, collection: str) -> None:
        self.reader.forget(collection)

    # -- rows --------------------------------------------------------------------------------

    def write(self, collection: str, batch: Batch) -> None:
        layout = self.reader.read_again(collection)
        for name in batch.vectors:
            if name in layout.others:
                layout.field(name)
        checked, native = rows.ready(layout, batch)
        rows.write(self.connection, layout, checked, native)
        binary_sidecar.write(self.connection, layout, checked)

    def delete(self, collection: str, ids: Sequence[Id]) -> None:
        layout = self.reader.read_again(collection)
        self.reader.load_in_lite(collection)
        keys = rows.delete(self.connection, layout, ids)
        binary_sidecar.delete(self.connection, layout, keys)

    def change_counter(self, collection: str) -> ChangeCounter | None:
        # A server has no counter that changes with each write to growing segments (run on 2.3.5).
        if not self.connection.lite or self.connection.old_lite:
            return None
        return lite.change_counter(self.connection.path, self.reader.layout(collection))

    def count(self, collection: str, filter: Any = None) -> int:
        layout = self.reader.layout(collection)
        self.reader.load_in_lite(collection)
        expression = compiled(self.connection, layout, filter)
        return self.reader.loaded(
            collection, lambda: rows.count(self.connection, layout, expression)
        )

    def fetch(
        self,
        collection: str,
        ids: Sequence[Id],
        *,
        vectors: Sequence[str] | None = None,
        payload: bool = True,
    ) -> Batch:
        layout = self.reader.layout(collection)
        wanted = rows.vectors_of(layout, vectors)
        return self.reader.loaded(
            collection, lambda: rows.fetch(self.connection, layout, ids, wanted, payload)
        )

    def read(
        self,
        collection: str,
        request: ReadRequest = ALL_ROWS,
    ) -> Iterator[Batch]:
        checks.page(request.page)
        layout, within = partitions.range_expression(
            self.reader.layout(collection), request.scan_range, request.after
        )
        self.reader.load_in_lite(collection)
        expression = joined(compiled(self.connection, layout, request.filter), within)
        wanted = rows.vectors_of(layout, request.vectors)
        native = dataclasses.replace(request, filter=expression)
        return rows.read(self.connection, layout, wanted, native)

    def payload_fidelity(self, key: str, value: Any) -> PayloadFidelity:
        return milvus_payload.payload_fidelity(key)

    def unsupported_vectors(self, vectors: Mapping[str, Vector]) -> str | None:
        return checks.problem(
            lambda: collections.unsupported_vectors(vectors, self._server_version)
        )

    def ensure_loaded(self, collection: str) -> None:
        if self.connection.lite:
            self.reader.load_in_lite(collection)
        else:
            wait_while_loading(self.connection, self.reader.layout(collection).name)

    def hidden_rows(self, collection: str) -> tuple[int, Sequence[Id]]:
        self.reader.load_in_lite(collection)
        found = duplicate_ids.find(self.connection, self.reader.layout(collection))
        return found.hidden, found.ids

    def uncopied(self, collection: str) -> Mapping[str, str]:
        return milvus_payload.uncopied(self.connection, self.reader.read_again(collection))

    def collection_schema(self, collection: str) -> CollectionSchema:
        return copy_schema.collection_schema(self.connection, self.reader.read_again(collection))

    def unsupported_schema(self, collection_schema: CollectionSchema) -> Mapping[str, str]:
        problem = payload_schema.unsupported_fields(collection_schema.schema, self._server_version)
        return {
            **milvus_payload.unsupported_extras(collection_schema.extras, self._server_version),
            **({"schema": problem} if problem else {}),
            **partitions.unsupported(collection_schema, self._server_version),
        }

    @property
    def ids_unique_per_partition(self) -> bool:
        # Lite stores a key once, in the partition of the last write (run on 3.2.2).
        return not self.connection.lite

    def create_partitions(self, collection: str, names: Sequence[str]) -> None:
        partitions.create(self.connection, self.reader.read_again(collection), names)

    def row_constraints(
        self, vectors: Collection[str], collection_schema: CollectionSchema
    ) -> RowConstraints:
        if not collection_schema.schema:
            return super().row_constraints(vectors, collection_schema)
        return milvus_payload.row_constraints(
            collection_schema.schema, [*vectors, *collection_schema.extras], self._server_version
        )

    # -- indexes on the payload --------------------------------------------------------------

    def payload_indexes(self, collection: str) -> Mapping[str, str]:
        found = payload_indexes.indexes(self.connection, self.reader.read_again(collection))
        return {key: each.kind for key, each in found.items()}

    def payload_index_settings(self, collection: str) -> Mapping[str, Mapping[str, Any]]:
        found = payload_indexes.indexes(self.connection, self.reader.read_again(collection))
        return {key: each.settings for key, each in found.items()}

    def unsupported_payload_index(self, kind: str) -> str | None:
        return payload_indexes.unsupported_path(kind, self._server_version)

    def adapt_payload_index(
        self, key: str, kind: str, settings: Mapping[str, Any], collection_schema: CollectionSchema
    ) -> tuple[Mapping[str, Any], str | None]:
        types = {each["name"]: each for each in collection_schema.schema.get("fields", ())}
        dynamic = collection_schema.schema.get("dynamic", True)
        return payload_indexes.adapt(key, kind, settings, types, dynamic, self._server_version)

    def create_payload_index(
        self, collection: str, key: str, kind: str, settings: Mapping[str, Any] | None = None
    ) -> None:
        layout = self.reader.read_again(collection)
        payload_indexes.create(
            self.connection, layout, key, kind, settings or {}, self._server_version
        )
        self.forget(collection)

    def scan_ranges(self, collection: str, n: int) -> list[ScanRange]:
        self.reader.load_in_lite(collection)
        return partitions.scan_ranges(self.connection, self.reader.layout(collection), n)

    # -- searching ---------------------------------------------------------------------------

    def search(self, collection: str, queries: Any, search: SearchRequest) -> Hits:
        search_params.check(search)
        return self.reader.loaded(collection, lambda: self._search(collection, queries, search))

    def _search(self, collection: str, queries: Any, search: SearchRequest) -> Hits:
        layout = self.reader.layout(collection)
        return milvus_search.run(
            self.connection,
            layout,
            queries,
            search,
            lambda: self.reader.row_count(layout),
            lambda hits: self.with_payloads(collection, hits),
        )

    def prepare_search(self, collection: str, request: SearchRequest) -> PreparedSearch | None:
        search_params.check(request)
        layout = self.reader.layout(collection)
        run = milvus_search.prepare(
            self.connection, layout, request, lambda: self.reader.row_count(layout)
        )
        if run is None:
            return None
        unchanged = partial(self._cached, collection, layout)
        return prepared_search(
            milvus_search.LoadedSearch(self.reader, collection, run), unchanged, TooLargeError
        )

    def _cached(self, collection: str, layout: object) -> bool:
        return not self._forked and self.reader.layouts.get(collection) is layout

    def default_rescore(self, collection: str, vector: str) -> Rescore | None:
        """The default of ``info``, from the cached layout because each search reads it."""
        layout = self.reader.layout(collection)
        return milvus_snapshot.default_rescore(layout, vector, self._server_version)

    client_search = client_code.client_search

    # -- quantization ------------------------------------------------------------------------

    def map(self, quantization: Quantization, vector: Vector) -> MappedQuantization:
        return mapping.to_native(quantization, vector, self._server_version)

    def plan_change(self, request: ChangeRequest) -> ChangePlan:
        check_strategy(self.name, request, "alias")
        return changes.plan(self.connection, request, self._server_version)

    # -- aliases -----------------------------------------------------------------------------

    def aliases(self) -> Mapping[str, str]:
        return aliases.aliases(self.connection)

    def switch_alias(self, alias: str, collection: str) -> None:
        schema.check_name(alias)
        self.forget(alias)
        aliases.switch(self.connection, alias, collection)

    def drop_alias(self, alias: str) -> None:
        self.forget(alias)
        aliases.drop(self.connection, alias)

    # -- settings ----------------------------------------------------------------------------

    load_settings = settings.load_settings
    write_settings = settings.write_settings

    # -- doctor ------------------------------------------------------------------------------

    def findings(
        self, info: CollectionInfo, options: Mapping[str, Any] | None = None
    ) -> list[Finding]:
        reported = diagnostics.findings(self.address, info, options or {})
        if self.connection.lite or not info.count:
            return reported
        found = duplicate_ids.find(
            self.connection, self.reader.layout(info.name), diagnostics.ROWS_CHECKED
        )
        return reported + diagnostics.duplicate_ids(info, found)
