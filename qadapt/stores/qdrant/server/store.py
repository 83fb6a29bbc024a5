"""``qdrant+http://...``: a Qdrant server, or the client's local mode."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from qadapt.errors import NotFoundError, UnsupportedError
from qadapt.model import (
    Batch,
    CollectionInfo,
    CollectionSchema,
    Finding,
    Hits,
    Id,
    Kind,
    Match,
    Quantization,
    Rescore,
    Vector,
)
from qadapt.model.address import Address
from qadapt.model.engine_memory import EngineMemory
from qadapt.stores import checks
from qadapt.stores.base import (
    ALL_ROWS,
    MappedQuantization,
    OnProgress,
    PayloadFidelity,
    ReadRequest,
    ScanRange,
    SearchRequest,
    require_supported,
    unknown_kind,
)
from qadapt.stores.change import ChangePlan, ChangeRequest, Inspection, check_strategy
from qadapt.stores.change_counter import ChangeCounter
from qadapt.stores.client import ClientStore
from qadapt.stores.qdrant import client_code, extra_vectors, mapping, payload, scan_ranges
from qadapt.stores.qdrant import version as qdrant_version
from qadapt.stores.qdrant.date_ranges import resolved
from qadapt.stores.qdrant.server import (
    aliases,
    bulk_load,
    change_counter,
    changes,
    collections,
    diagnostics,
    local_mode,
    metadata,
    payload_indexes,
    schema,
    strict_mode,
    telemetry,
)
from qadapt.stores.qdrant.server import rows as qdrant_rows
from qadapt.stores.qdrant.server import search as qdrant_search
from qadapt.stores.qdrant.server import snapshot as qdrant_snapshot
from qadapt.stores.qdrant.server.connection import Connection, address_of, connect
from qadapt.stores.qdrant.server.filters import to_models
from qadapt.stores.qdrant.server.profile import PROFILE

# Maximum age in seconds of a snapshot that searches use. Changes by this store take effect at once,
# those of other clients after this time.
SNAPSHOT_SECONDS = 10.0


class QdrantStore(ClientStore[Connection]):
    """A Qdrant server over REST or gRPC, or the local mode of its Python client.

    It is as thread-safe as its client. The server normalizes cosine vectors when they are written
    (except those with a squared norm below 1.2e-7, or within 5e-7 of 1); dot and euclidean float32
    vectors are stored bit for bit. An alias can be used in place of a collection name, except in
    ``drop``.
    """

    profile = PROFILE
    operations = changes.OPERATIONS

    def __init__(
        self, address: Address, connection: Connection, *, disabled: Sequence[str] = ()
    ) -> None:
        super().__init__(address, connection, disabled=disabled)
        self.loop_clients = connection.loop_clients
        self.awaits_searches = connection.loop_clients is not None
        # The time when all dates of a field were last found to be readable by the engine.
        self.dated_at: dict[tuple[str, str], float] = {}
        self._shown: telemetry.Shown | None = None

    @classmethod
    def open(cls, address: Address, *, disabled: Sequence[str] = ()) -> QdrantStore:
        return cls(address, connect(address), disabled=disabled)

    @classmethod
    def wrap(cls, client: object, *, disabled: Sequence[str] = ()) -> QdrantStore:
        """Return a store on a ``QdrantClient`` of the user, which the store never closes.

        Raises:
            UnsupportedError: an asynchronous client.
        """
        address = address_of(client)
        return cls(address, Connection(client, owned=False), disabled=disabled)

    def survives_fork(self, connection: Connection) -> bool:
        """Only local mode in memory survives a fork: it has no socket, thread or file."""
        return connection.local and connection.in_memory

    @property
    def in_process(self) -> bool:
        return self.connection.local

    def engine_memory(self) -> EngineMemory | None:
        if self.connection.local:
            return super().engine_memory()
        return qdrant_snapshot.engine_memory(self.connection) or super().engine_memory()

    # -- collections -------------------------------------------------------------------------

    def collections(self) -> list[str]:
        """The names of collections and aliases, sorted."""
        if self.connection.local:
            return local_mode.names(self.connection)
        found = self.connection.ask("GET", "/collections", doing="list collections")
        real = [each["name"] for each in found["collections"]]
        return sorted([*real, *qdrant_snapshot.visible_aliases(self.connection)])

    def create(
        self,
        collection: str,
        vectors: Mapping[str, Vector],
        quantization: Mapping[str, Quantization],
        collection_schema: CollectionSchema | None = None,
    ) -> None:
        made, natives = mapping.made(quantization, vectors, self.require_mapped)
        more = collection_schema.extras if collection_schema else {}
        collections.create(self.connection, collection, made, natives, more)

    def drop(self, collection: str) -> None:
        self.forget(collection)
        collections.drop(self.connection, collection, self.collections)

    def inspect(self, collection: str) -> Inspection:
        return collections.inspect(self, collection)

    @contextmanager
    def survey(self) -> Iterator[None]:
        if self.connection.local:
            yield
            return
        self._shown = qdrant_snapshot.telemetry_of_all(self.connection)
        try:
            yield
        finally:
            self._shown = None

    def configuration(self, collection: str) -> schema.Info:
        """The configuration, at most ``SNAPSHOT_SECONDS`` old."""
        if self.connection.local:
            return local_mode.info(self.connection, collection)
        return self.snapshot(collection).info

    def snapshot(self, collection: str, *, fresh: bool = False) -> qdrant_snapshot.Snapshot:
        known: qdrant_snapshot.Snapshot | None = self.snapshots.get(collection, SNAPSHOT_SECONDS)
        if known is not None and not fresh:
            return known
        try:
            found = qdrant_snapshot.take_snapshot(self.connection, collection, self._shown)
        except NotFoundError:
            self.forget(collection)
            raise NotFoundError.missing("collection", collection, self.collections()) from None
        self.snapshots.put(collection, found)
        return found

    # -- rows --------------------------------------------------------------------------------

    def write(self, collection: str, batch: Batch) -> None:
        raw = self.configuration(collection)
        for name in batch.vectors:
            if name in schema.params(raw):
                schema.vector(raw, name, moved=True)
        batch, ids = qdrant_rows.ready(batch, schema.movable(raw), schema.extra_vectors(raw))
        most = strict_mode.cap(
            strict_mode.limits(raw), "upsert_max_batchsize", qdrant_rows.CHUNK_ROWS
        )
        self.dated_at.clear()
        qdrant_rows.write(self.connection, collection, batch, ids, most)

    def delete(self, collection: str, ids: Sequence[Id]) -> None:
        qdrant_rows.delete(self.connection, collection, ids)

    def change_counter(self, collection: str) -> ChangeCounter | None:
        # Since 1.19 the telemetry includes an operation number (`update_queue.op_num`), which has
        # not been verified to change with each write.
        if not self.connection.local:
            return None
        return change_counter.read(self.connection, collection)

    def count(self, collection: str, filter: Any = None) -> int:
        raw = self.configuration(collection)
        condition = to_models(self.with_unread_dates(collection, raw, filter))
        return collections.count(self, collection, raw, condition)

    def fetch(
        self,
        collection: str,
        ids: Sequence[Id],
        *,
        vectors: Sequence[str] | None = None,
        payload: bool = True,
    ) -> Batch:
        wanted = schema.requested(self.configuration(collection), vectors)
        return qdrant_rows.fetch(self.connection, collection, ids, wanted, payload)

    def read(
        self,
        collection: str,
        request: ReadRequest = ALL_ROWS,
    ) -> Iterator[Batch]:
        within = scan_ranges.range_of(request.scan_range, request.after)
        raw = self.configuration(collection)
        size = strict_mode.cap(
            strict_mode.limits(raw), "max_query_limit", checks.page(request.page)
        )
        wanted = schema.requested(raw, request.vectors)
        condition = to_models(self.with_unread_dates(collection, raw, request.filter))
        native = dataclasses.replace(request, vectors=list(wanted), filter=condition, page=size)

        def smaller(refused: int) -> int:
            """The page size that the current limit allows."""
            now = strict_mode.limits(self.snapshot(collection, fresh=True).info)
            return strict_mode.cap(now, "max_query_limit", refused)

        return qdrant_rows.read(self.connection, collection, wanted, native, within, smaller)

    def with_unread_dates(self, collection: str, raw: schema.Info, filter: Any) -> Any:
        """The filter, extended by rows whose dates the engine cannot read.

        The absence of unreadable dates in a field is cached for ``SNAPSHOT_SECONDS``, like the
        configuration.
        """
        return resolved(
            filter, qdrant_rows.unread_dates_of(self, collection, raw, SNAPSHOT_SECONDS)
        )

    def scan_ranges(self, collection: str, n: int) -> list[ScanRange]:
        raw = self.configuration(collection)
        return scan_ranges.split(qdrant_rows.some_ids(self.connection, collection, n, raw), n)

    def payload_fidelity(self, key: str, value: Any) -> PayloadFidelity:
        # A server is assumed to store payloads like the engine (not tested); local mode uses
        # Python's JSON.
        exact = self.connection.local or payload.is_exact(value)
        return "exact" if exact else "lossy"

    def unsupported_vectors(self, vectors: Mapping[str, Vector]) -> str | None:
        problems = (
            qdrant_version.datatype(each, self.connection.version) for each in vectors.values()
        )
        return next((problem for problem in problems if problem), None)

    def uncopied(self, collection: str) -> Mapping[str, str]:
        raw = self.configuration(collection)
        indexes = payload_indexes.unsupported_indexes(raw)
        return {**schema.uncopied(raw), **({"payload-indexes": indexes} if indexes else {})}

    def collection_schema(self, collection: str) -> CollectionSchema:
        return CollectionSchema(extras=schema.extra_vectors(self.configuration(collection)))

    def unsupported_schema(self, collection_schema: CollectionSchema) -> Mapping[str, str]:
        reported = super().unsupported_schema(collection_schema.replace(extras={}))
        version, local = self.connection.version, self.connection.local
        return {
            **reported,
            **extra_vectors.unsupported(collection_schema.extras, version, local=local),
        }

    def payload_indexes(self, collection: str) -> Mapping[str, str]:
        if self.connection.local:
            return {}
        return payload_indexes.indexes(self.snapshot(collection, fresh=True).info)

    def unsupported_payload_index(self, kind: str) -> str | None:
        if self.connection.local:
            return "payload indexes have no effect in the client's local mode"
        return unknown_kind(kind)

    def payload_index_settings(self, collection: str) -> Mapping[str, Mapping[str, Any]]:
        if self.connection.local:
            return {}
        return payload_indexes.read_index_settings(self.snapshot(collection, fresh=True).info)

    def create_payload_index(
        self, collection: str, key: str, kind: str, settings: Mapping[str, Any] | None = None
    ) -> None:
        payload.check_index(key, self.unsupported_payload_index(kind))
        asked = {"type": kind, **settings} if settings else kind
        payload_indexes.create_index(self.connection, collection, key, asked)
        self.forget(collection)

    # -- many rows at once -------------------------------------------------------------------

    def bulk_load_settings(self, collection: str) -> Mapping[str, Any]:
        return {} if self.connection.local else bulk_load.former(self.connection, collection)

    def begin_bulk_load(self, collection: str) -> None:
        bulk_load.begin(self.connection, collection)
        self.forget(collection)

    def end_bulk_load(self, collection: str, former: Mapping[str, Any]) -> None:
        bulk_load.end(self.connection, collection, former)
        self.forget(collection)

    def settle(self, collection: str, progress: OnProgress, timeout: float) -> None:
        if not self.connection.local:
            bulk_load.settle(self.connection, collection, progress, timeout)

    # -- searching ---------------------------------------------------------------------------

    def search(self, collection: str, queries: Any, search: SearchRequest) -> Hits:
        return qdrant_search.run(self, collection, queries, search)

    prepare_search = qdrant_search.prepare

    def search_state(self, collection: str) -> Any:
        """What searches are derived from, the same object until it changes; None if not cached."""
        if self.connection.local:
            return local_mode.state(self.connection, collection)
        return self.snapshots.get(collection, SNAPSHOT_SECONDS)

    def limit_rescore(self, collection: str, rescore: Rescore, k: int = 10) -> Rescore:
        return strict_mode.allowed(strict_mode.limits(self.configuration(collection)), rescore, k)

    @property
    def search_alters_vectors(self) -> bool:
        # The client's local mode normalizes the stored vectors in place with each search
        # (qdrant_client/local/distances.py, cosine_similarity).
        return self.connection.local

    def max_results(self, collection: str) -> int:
        limits = strict_mode.limits(self.configuration(collection))
        return strict_mode.cap(limits, "max_query_limit", self.traits.max_k)

    client_search = client_code.client_search

    # -- quantization ------------------------------------------------------------------------

    def map(self, quantization: Quantization, vector: Vector) -> MappedQuantization:
        version = self.connection.version
        if quantization.kind is Kind.FLOAT16 and vector.datatype == "float32":
            wanted = vector.replace(datatype="float16")
            problem = qdrant_version.datatype(wanted, version)
            if problem:
                return MappedQuantization(None, quantization, Match.unsupported(problem, "scalar"))
            return mapping.to_native(quantization, wanted, version)
        return qdrant_version.check_version(
            mapping.to_native(quantization, vector, version), version
        )

    def require_mapped(self, quantization: Quantization, vector: Vector) -> MappedQuantization:
        if quantization.kind is not Kind.NONE and self.connection.local:
            raise UnsupportedError(
                f"{quantization} is not supported: {local_mode.RULE}", hint=local_mode.ADVICE
            )
        return require_supported(self.map(quantization, vector), quantization, self.name)

    def plan_change(self, request: ChangeRequest) -> ChangePlan:
        check_strategy(self.name, request)
        return changes.plan_change(self, request)

    # -- aliases -----------------------------------------------------------------------------

    def aliases(self) -> Mapping[str, str]:
        if self.connection.local:
            return local_mode.aliases(self.connection)
        return qdrant_snapshot.visible_aliases(self.connection)

    def switch_alias(self, alias: str, collection: str) -> None:
        aliases.switch_alias(self, alias, collection)

    def drop_alias(self, alias: str) -> None:
        aliases.drop_alias(self, alias)

    # -- doctor ------------------------------------------------------------------------------

    def findings(
        self, info: CollectionInfo, options: Mapping[str, Any] | None = None
    ) -> list[Finding]:
        if self.connection.local:
            return diagnostics.local_findings(self.address, info, options or {})
        return diagnostics.findings(self, info, self.snapshot(info.name), options or {})

    # -- settings ----------------------------------------------------------------------------

    def load_settings(self, collection: str) -> Mapping[str, Any] | None:
        return metadata.load_settings(self, collection)

    def write_settings(self, collection: str, settings: Mapping[str, Any]) -> None:
        metadata.write_settings(self, collection, settings)
