"""``qdrant+http://...``: a Qdrant server, or the client's local mode."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from qadapt.errors import (
    AlreadyExistsError,
    NotFoundError,
    StoreError,
    UnsupportedError,
)
from qadapt.model import (
    Batch,
    CollectionInfo,
    CollectionSchema,
    ExtraVector,
    Finding,
    Hits,
    Id,
    Kind,
    Match,
    Metric,
    Quantization,
    Rescore,
    Step,
    Vector,
    VectorInfo,
    filters,
    vector_norms,
)
from qadapt.model.address import Address
from qadapt.stores import checks
from qadapt.stores.base import (
    ALL_ROWS,
    PAGE,
    MappedQuantization,
    OnProgress,
    PayloadFidelity,
    ReadRequest,
    ScanRange,
    SearchRequest,
    require_supported,
    unknown_kind,
)
from qadapt.stores.change import (
    ChangePlan,
    ChangeRequest,
    Inspection,
    check_strategy,
    no_recreation,
)
from qadapt.stores.change_counter import ChangeCounter
from qadapt.stores.client import ClientStore
from qadapt.stores.qdrant import (
    diagnostics,
    extra_vectors,
    float_fidelity,
    mapping,
    scan_ranges,
    search_provenance,
)
from qadapt.stores.qdrant import version as qdrant_version
from qadapt.stores.qdrant.date_ranges import resolved
from qadapt.stores.qdrant.filters import has_vector, to_models, unread_dates
from qadapt.stores.qdrant.server import (
    bulk_load,
    changes,
    collections,
    copy_switch,
    errors,
    local_counter,
    local_mode,
    memory,
    payload_indexes,
    schema,
    strict_mode,
    telemetry,
)
from qadapt.stores.qdrant.server import rows as qdrant_rows
from qadapt.stores.qdrant.server import search as qdrant_search
from qadapt.stores.qdrant.server import snapshot as qdrant_snapshot
from qadapt.stores.qdrant.server.connection import Connection, address_of, check_name, connect
from qadapt.stores.qdrant.server.profile import PROFILE

# Maximum number of queries in one request.
QUERIES = 100
# Maximum age in seconds of a snapshot that searches use. Changes by this store take effect at once,
# those of other clients after this time.
SNAPSHOT_SECONDS = 10.0
METADATA = "qadapt"


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
        # The time when all dates of a field were last found to be readable by the engine.
        self._dated_at: dict[tuple[str, str], float] = {}
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
        made, natives = mapping.made(quantization, vectors, self._mapped)
        more = collection_schema.extras if collection_schema else {}
        collections.create(self.connection, collection, made, natives, more)

    def drop(self, collection: str) -> None:
        self.forget(collection)
        collections.drop(self.connection, collection, self.collections)

    def info(self, collection: str) -> CollectionInfo:
        return self.inspect(collection).info

    def inspect(self, collection: str) -> Inspection:
        if self.connection.local:
            raw = local_mode.info(self.connection, collection)
            counts = self._counts(collection, raw)
            whole = qdrant_rows.count(self.connection, collection, None, {})
            return Inspection(
                local_mode.collection_info(collection, raw, self.server(), whole, counts)
            )
        snapshot = self._snapshot(collection, fresh=True)
        counts = self._counts(collection, snapshot.info)
        whole = self._count(collection, snapshot.info, None)
        sizes = memory.codes(self.connection, collection)
        info = qdrant_snapshot.collection_info(snapshot, self.server(), whole, counts, sizes)
        return Inspection(info, snapshot)

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

    def _counts(self, collection: str, raw: schema.Info) -> dict[str, int]:
        """The number of rows with each vector."""
        names = list(schema.described(raw))
        if len(names) == 1 or qdrant_version.is_older(
            self.connection.version, qdrant_version.HAS_VECTOR_SINCE
        ):
            whole = self._count(collection, raw, None)
            return dict.fromkeys(names, whole)
        return {name: self._count(collection, raw, has_vector(name)) for name in names}

    def _count(self, collection: str, raw: schema.Info, condition: Any) -> int:
        return qdrant_rows.count(self.connection, collection, condition, strict_mode.limits(raw))

    def _raw(self, collection: str) -> schema.Info:
        """The configuration, at most ``SNAPSHOT_SECONDS`` old."""
        if self.connection.local:
            return local_mode.info(self.connection, collection)
        return self._snapshot(collection).info

    def _snapshot(self, collection: str, *, fresh: bool = False) -> qdrant_snapshot.Snapshot:
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
        raw = self._raw(collection)
        for name in batch.vectors:
            if name in schema.params(raw):
                schema.vector(raw, name, moved=True)
        batch, ids = qdrant_rows.ready(batch, schema.movable(raw), schema.extra_vectors(raw))
        most = strict_mode.cap(
            strict_mode.limits(raw), "upsert_max_batchsize", qdrant_rows.CHUNK_ROWS
        )
        self._dated_at.clear()
        qdrant_rows.write(self.connection, collection, batch, ids, most)

    def delete(self, collection: str, ids: Sequence[Id]) -> None:
        qdrant_rows.delete(self.connection, collection, ids)

    def change_counter(self, collection: str) -> ChangeCounter | None:
        # Since 1.19 the telemetry includes an operation number (`update_queue.op_num`), which has
        # not been verified to change with each write.
        if not self.connection.local:
            return None
        return local_counter.read(self.connection, collection)

    def count(self, collection: str, filter: Any = None) -> int:
        raw = self._raw(collection)
        return self._count(collection, raw, to_models(self._dated(collection, raw, filter)))

    def fetch(
        self,
        collection: str,
        ids: Sequence[Id],
        *,
        vectors: Sequence[str] | None = None,
        payload: bool = True,
    ) -> Batch:
        wanted = self._wanted(self._raw(collection), vectors)
        return qdrant_rows.fetch(self.connection, collection, ids, wanted, payload)

    def read(
        self,
        collection: str,
        request: ReadRequest = ALL_ROWS,
    ) -> Iterator[Batch]:
        within = scan_ranges.range_of(request.scan_range, request.after)
        raw = self._raw(collection)
        size = strict_mode.cap(
            strict_mode.limits(raw), "max_query_limit", checks.page(request.page)
        )
        wanted = self._wanted(raw, request.vectors)
        condition = to_models(self._dated(collection, raw, request.filter))
        native = dataclasses.replace(request, vectors=list(wanted), filter=condition, page=size)

        def smaller(refused: int) -> int:
            """The page size that the current limit allows."""
            now = strict_mode.limits(self._snapshot(collection, fresh=True).info)
            return strict_mode.cap(now, "max_query_limit", refused)

        return qdrant_rows.read(self.connection, collection, wanted, native, within, smaller)

    def _dated(self, collection: str, raw: schema.Info, filter: Any) -> Any:
        """The filter, extended by rows whose dates the engine cannot read.

        The absence of unreadable dates in a field is cached for ``SNAPSHOT_SECONDS``, like the
        configuration.
        """
        size = strict_mode.cap(strict_mode.limits(raw), "max_query_limit", PAGE)
        connection = self.connection

        def rows(condition: Any, payload: bool, page: int) -> Iterator[Sequence[Any]]:
            request = ReadRequest((), payload=payload, filter=condition, page=page)
            return qdrant_rows.scroll(connection, collection, request)

        def suspects(node: filters.Range) -> Iterator[tuple[Any, Mapping[str, Any]]]:
            key, now = (collection, node.field), time.monotonic()
            if not connection.local and now - self._dated_at.get(key, -math.inf) < SNAPSHOT_SECONDS:
                return
            if next(rows(unread_dates(node.field), False, 1), None) is None:
                self._dated_at[key] = now
                return
            for page in rows(unread_dates(node.field, node), True, size):
                yield from ((record.id, record.payload or {}) for record in page)

        return resolved(filter, suspects)

    def scan_ranges(self, collection: str, n: int) -> list[ScanRange]:
        raw = self._raw(collection)
        return scan_ranges.split(qdrant_rows.some_ids(self.connection, collection, n, raw), n)

    def _wanted(
        self, raw: schema.Info, names: Sequence[str] | None
    ) -> dict[str, Vector | ExtraVector]:
        if names is None:
            return dict(schema.movable(raw))
        more = schema.extra_vectors(raw)
        return {name: more.get(name) or schema.vector(raw, name, moved=True) for name in names}

    def payload_fidelity(self, key: str, value: Any) -> PayloadFidelity:
        # A server is assumed to store payloads like the engine (not tested); local mode uses
        # Python's JSON.
        exact = self.connection.local or float_fidelity.is_exact(value)
        return "exact" if exact else "lossy"

    def unsupported_vectors(self, vectors: Mapping[str, Vector]) -> str | None:
        problems = (
            qdrant_version.datatype(each, self.connection.version) for each in vectors.values()
        )
        return next((problem for problem in problems if problem), None)

    def uncopied(self, collection: str) -> Mapping[str, str]:
        raw = self._raw(collection)
        indexes = payload_indexes.unsupported_indexes(raw)
        return {**schema.uncopied(raw), **({"payload-indexes": indexes} if indexes else {})}

    def collection_schema(self, collection: str) -> CollectionSchema:
        return CollectionSchema(extras=schema.extra_vectors(self._raw(collection)))

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
        return payload_indexes.indexes(self._snapshot(collection, fresh=True).info)

    def unsupported_payload_index(self, kind: str) -> str | None:
        if self.connection.local:
            return "payload indexes have no effect in the client's local mode"
        return unknown_kind(kind)

    def payload_index_settings(self, collection: str) -> Mapping[str, Mapping[str, Any]]:
        if self.connection.local:
            return {}
        return payload_indexes.read_index_settings(self._snapshot(collection, fresh=True).info)

    def create_payload_index(
        self, collection: str, key: str, kind: str, settings: Mapping[str, Any] | None = None
    ) -> None:
        if problem := self.unsupported_payload_index(kind):
            raise UnsupportedError(f"cannot index {key!r}: {problem}")
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
        qdrant_search.check(search)
        local = self.connection.local
        raw = self._raw(collection)
        vector = schema.vector(raw, search.vector, moved=True)
        limits = strict_mode.limits(raw)
        strict_mode.check_search(limits, search)
        snapshot = None if local else self._snapshot(collection)
        codes = qdrant_search.NO_CODES if snapshot is None else snapshot.codes(search.vector)
        search = dataclasses.replace(search, filter=self._dated(collection, raw, search.filter))
        common = qdrant_search.template(search, codes, limits, local=local)
        array = np.atleast_2d(np.asarray(queries, dtype=np.float32))
        cosine = vector.metric is Metric.COSINE
        array = vector_norms.prepared_queries(
            array, vector.datatype, cosine=cosine, normalizes_cosine=True
        )
        size = strict_mode.cap(limits, "search_max_batchsize", QUERIES)
        found = []
        for start in range(0, len(array), size):
            scan_range = array[start : start + size]
            found += qdrant_rows.query(self.connection, collection, scan_range, common)
        if snapshot is not None and qdrant_search.depends_on_snapshot(search, codes):
            codes = self._codes_now(collection, search.vector, snapshot)
        version = self.connection.version
        reported = qdrant_search.how(search, codes, version, vector.metric, local=local)
        return qdrant_search.hits(found, search, vector, reported)

    def limit_rescore(self, collection: str, rescore: Rescore) -> Rescore:
        return strict_mode.allowed(strict_mode.limits(self._raw(collection)), rescore)

    @property
    def search_alters_vectors(self) -> bool:
        # The client's local mode normalizes the stored vectors in place with each search
        # (qdrant_client/local/distances.py, cosine_similarity).
        return self.connection.local

    def max_results(self, collection: str) -> int:
        limits = strict_mode.limits(self._raw(collection))
        return strict_mode.cap(limits, "max_query_limit", self.traits.max_k)

    def _codes_now(
        self, collection: str, vector: str, snapshot: qdrant_snapshot.Snapshot
    ) -> search_provenance.Codes:
        """The codes of the segments during a search: from the snapshot, unless the configuration
        changed.

        Codes change only with the configuration, so only the configuration is read again if the
        segments were settled.
        """
        if snapshot.settled(vector):
            names = {"collection_name": collection}
            doing = f"read {collection!r}"
            info = self.connection.ask("GET", collections.PATH, doing=doing, names=names)
            if vector in schema.params(info) and (
                schema.in_force(info, vector) == schema.in_force(snapshot.info, vector)
            ):
                return snapshot.codes(vector)
        return self._snapshot(collection, fresh=True).codes(vector)

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

    def _mapped(self, quantization: Quantization, vector: Vector) -> MappedQuantization:
        if quantization.kind is not Kind.NONE and self.connection.local:
            raise UnsupportedError(
                f"{quantization} is not supported: {local_mode.RULE}", hint=local_mode.ADVICE
            )
        return require_supported(self.map(quantization, vector), quantization, self.name)

    def plan_change(self, request: ChangeRequest) -> ChangePlan:
        check_strategy(self.name, request)
        if self.connection.local:
            return self._local_plan(request)
        snapshot: qdrant_snapshot.Snapshot = request.inspection.native
        schema.vector(snapshot.info, request.vector)
        now = request.inspection.info.vectors[request.vector]
        recreation: tuple[Step, ...] = ()
        if request.target_vector is not None:
            recreation = (self._recreation(snapshot, now, request.target_vector),)
        if request.codes is None:
            return ChangePlan(recreation=recreation)
        return ChangePlan(self._steps(snapshot, now, request.codes), recreation)

    def _steps(
        self, snapshot: qdrant_snapshot.Snapshot, now: VectorInfo, quantization: Quantization
    ) -> tuple[Step, ...]:
        about = schema.vector(snapshot.info, now.name)
        mapped = self._mapped(quantization, about)
        if mapped.target.kind is Kind.FLOAT16 and about.datatype == "float32":
            if schema.in_force(snapshot.info, now.name):
                raise UnsupportedError(
                    f"the vector {now.name!r} has codes, and float16 would also replace its "
                    "original vectors",
                    hint="change the quantization to `none` first, then to float16",
                )
            return (self._recreation(snapshot, now, about.replace(datatype="float16")),)
        if mapped.target.kind is Kind.NONE and about.datatype == "float16":
            mapped = MappedQuantization(
                mapped.native, quantization.replace(kind=Kind.FLOAT16), mapped.match
            )
        seen = snapshot.observation(now.name, now.count)
        return tuple(changes.steps(now, snapshot.info, seen, mapped, self.connection.version))

    def _recreation(
        self, snapshot: qdrant_snapshot.Snapshot, now: VectorInfo, wanted: Vector
    ) -> Step:
        """The step to another datatype or metric: recreate, copy, switch the alias.

        Raises:
            UnsupportedError: the name is not an alias, or the server does not support the datatype.
        """
        problem = qdrant_version.datatype(wanted, self.connection.version)
        if problem:
            raise UnsupportedError(problem, hint="choose another datatype")
        schema.vector(snapshot.info, now.name, moved=True)
        taken = dict.fromkeys(self.collections(), "")
        return copy_switch.step(snapshot, now, wanted, taken)

    def _local_plan(self, request: ChangeRequest) -> ChangePlan:
        wanted = request.codes
        now = request.inspection.info.vectors[request.vector].quantization
        if request.target_vector is not None:
            raise no_recreation(self.name)
        if wanted is None or (wanted.kind is Kind.NONE and now.kind is Kind.NONE):
            return ChangePlan()
        raise UnsupportedError(
            f"{wanted} is not supported: {local_mode.RULE}", hint=local_mode.ADVICE
        )

    # -- aliases -----------------------------------------------------------------------------

    def aliases(self) -> Mapping[str, str]:
        if self.connection.local:
            return local_mode.aliases(self.connection)
        return qdrant_snapshot.visible_aliases(self.connection)

    def switch_alias(self, alias: str, collection: str) -> None:
        known = self.aliases()
        real = [name for name in self.collections() if name not in known]
        if collection not in real:
            raise NotFoundError.missing("collection", collection, real)
        if alias in real:
            raise AlreadyExistsError(
                f"{alias!r} is the name of a collection and cannot be used for an alias",
                hint="choose another alias, or drop that collection first",
            )
        if self.connection.local:
            local_mode.switch_alias(self.connection, alias, collection)
        else:
            copy_switch.switch(self.connection, check_name(alias), collection)
        self.forget(alias)

    def drop_alias(self, alias: str) -> None:
        known = self.aliases()
        if alias not in known:
            raise NotFoundError.missing("alias", alias, known)
        if self.connection.local:
            local_mode.drop_alias(self.connection, alias)
        else:
            copy_switch.drop_alias(self.connection, alias)
        self.forget(alias)

    # -- doctor ------------------------------------------------------------------------------

    def findings(
        self, info: CollectionInfo, options: Mapping[str, Any] | None = None
    ) -> list[Finding]:
        found = diagnostics.common(self.address, info, options or {})
        if self.connection.local:
            return found + diagnostics.green_without_codes(self.address, info, "green")
        snapshot = self._snapshot(info.name)
        for vector in info.vectors.values():
            seen = snapshot.observation(vector.name, vector.count)
            if vector.quantized_by != "store":
                continue
            if seen.target and not seen.codes_while_growing:
                rows = sum(each.present for each in seen.growing)
                found += diagnostics.small_segments(
                    self.address, info, vector, rows, seen.threshold
                )
            rows = sum(each.present for each in seen.unmeasured)
            found += diagnostics.one_bit(self.address, info, vector, rows)
            if vector.quantization.rescore is not None:
                allowed = self.limit_rescore(info.name, vector.quantization.rescore)
                found += diagnostics.over_the_limit(self.address, info, vector, allowed)
        return found + diagnostics.green_without_codes(self.address, info, snapshot.colour)

    # -- settings ----------------------------------------------------------------------------

    def load_settings(self, collection: str) -> Mapping[str, Any] | None:
        if not self._has_metadata:
            return None
        found = schema.metadata(self._snapshot(collection).info).get(METADATA)
        return found if isinstance(found, Mapping) else {}

    def save_settings(self, collection: str, settings: Mapping[str, Any]) -> bool:
        if not self._has_metadata:
            return False
        if self.load_settings(collection) == dict(settings):
            return True
        self.forget(collection)
        # The server merges metadata by key, and null removes a key.
        body = {"metadata": {METADATA: dict(settings) or None}}
        names = {"collection_name": collection}
        doing = f"save the settings of {collection!r}"
        path = "/collections/{collection_name}"
        with errors.first_of_its_step():
            self.connection.ask("PATCH", path, body, doing=doing, names=names)
        kept = schema.metadata(self._snapshot(collection, fresh=True).info).get(METADATA) or {}
        if kept != dict(settings):
            raise StoreError(
                f"the server did not store metadata.{METADATA} as it was sent: sent "
                f"{dict(settings)!r}, stored {kept!r}"
            )
        return True

    @property
    def _has_metadata(self) -> bool:
        local, version = self.connection.local, self.connection.version
        return not local and not qdrant_version.is_older(version, qdrant_version.METADATA_SINCE)
