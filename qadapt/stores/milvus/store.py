"""``milvus+http://...`` and ``milvus:FILE.db``: Milvus behind the interface of all stores."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from qadapt.errors import (
    AlreadyExistsError,
    InputError,
    NotFoundError,
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
    Metric,
    Quantization,
    Rescore,
    Step,
    Vector,
    vector_norms,
)
from qadapt.model.address import Address
from qadapt.stores import checks
from qadapt.stores.base import (
    ALL_ROWS,
    MappedQuantization,
    PayloadFidelity,
    ReadRequest,
    RowConstraints,
    ScanRange,
    SearchRequest,
    require_supported,
)
from qadapt.stores.change import ChangePlan, ChangeRequest, Inspection, check_strategy
from qadapt.stores.change_counter import ChangeCounter
from qadapt.stores.client import ClientStore
from qadapt.stores.milvus import (
    aliases,
    binary_sidecar,
    changes,
    clone_schema,
    collections,
    copy_switch,
    diagnostics,
    duplicate_ids,
    fidelity,
    lite,
    mapping,
    partitions,
    payload_indexes,
    payload_schema,
    rows,
    schema,
    vector_layout,
)
from qadapt.stores.milvus import search as milvus_search
from qadapt.stores.milvus import snapshot as milvus_snapshot
from qadapt.stores.milvus.connection import (
    Connection,
    connect,
    wrapped,
)
from qadapt.stores.milvus.errors import NotLoadedError
from qadapt.stores.milvus.filters import joined, to_expression
from qadapt.stores.milvus.loading import load_in_lite, wait_while_loading
from qadapt.stores.milvus.profile import PROFILE
from qadapt.stores.milvus.version import ServerVersion
from qadapt.stores.snapshots import SnapshotCache

T = TypeVar("T")


class MilvusStore(ClientStore[Connection]):
    """A Milvus server, or Milvus Lite in this process.

    Collections made here have a VARCHAR key that holds numbers and text (see ``keys``); payloads
    lie in the dynamic field. Vectors come back bit for bit, cosine ones too. Searches and reads by
    id run at consistency level Session (own writes are seen, 5 ms on 2.3.5); counts and whole
    reads at Strong (everybody's writes, 260 ms). On a server nothing is loaded or released but by
    a change. Lite forgets at the end of a process which collections were loaded, so there a
    collection is loaded when it is first read or searched.
    """

    profile = PROFILE
    operations = changes.OPERATIONS

    def __init__(
        self, address: Address, connection: Connection, *, disabled: Sequence[str] = ()
    ) -> None:
        super().__init__(address, connection, disabled=disabled)
        self.snapshots: SnapshotCache[schema.Layout] = SnapshotCache()
        self._counts: SnapshotCache[int] = SnapshotCache()

    @classmethod
    def open(cls, address: Address, *, disabled: Sequence[str] = ()) -> MilvusStore:
        return cls(address, connect(address), disabled=disabled)

    @classmethod
    def wrap(cls, client: object, *, disabled: Sequence[str] = ()) -> MilvusStore:
        """A store on a ``MilvusClient`` of the user's, which is never closed by us.

        Raises:
            UnsupportedError: an asynchronous client.
        """
        address, connection = wrapped(client)
        return cls(address, connection, disabled=disabled)

    @property
    def _server_version(self) -> ServerVersion:
        return ServerVersion(self.connection.version, self.connection.deployment)

    # -- collections -------------------------------------------------------------------------

    def collections(self) -> list[str]:
        """Names of collections and of aliases, sorted."""
        found = [*aliases.collections(self.connection), *aliases.aliases(self.connection)]
        return sorted(name for name in found if binary_sidecar.MARK not in name)

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
        mapped = {name: self._mapped(each, vectors[name]) for name, each in wanted.items()}
        # A server makes one with the same schema again without a word.
        if collection in self.collections():
            raise AlreadyExistsError(f"there is a collection {collection!r} already")
        self.forget(collection)
        arrays = [
            name
            for name, each in quantization.items()
            if each.native.get("index_type") == mapping.BITS
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
        base, partition = schema.split(collection)
        if partition is not None:
            raise UnsupportedError(
                f"qadapt drops whole collections, and {collection!r} is one partition",
                hint=f"client.drop_partition({base!r}, {partition!r})",
            )
        # A server drops one that is not there without a word; 2.3.5 leaves its aliases behind,
        # which then point at nothing, Lite drops them with it, and newer servers refuse.
        names = self.collections()
        if collection not in names:
            raise NotFoundError.missing("collection", collection, names)
        known = self.aliases()
        if collection in known:
            raise UnsupportedError(
                f"{collection!r} is an alias of {known[collection]!r}, and not a collection",
                hint=f"drop_alias({collection!r}), or drop {known[collection]!r}",
            )
        pointing = aliases.of(self.connection, collection)
        if pointing:
            raise UnsupportedError(
                f"{collection!r} is not dropped: the alias {pointing[0]!r} stands at it",
                hint=f"switch_alias or drop_alias {pointing[0]!r} first",
            )
        binary_sidecar.drop_all(self.connection, self._fresh(collection))
        self.forget(collection)
        client = self.connection.client
        self.connection.call(f"drop {collection!r}", client.drop_collection, collection)

    def info(self, collection: str) -> CollectionInfo:
        return self.inspect(collection).info

    def inspect(self, collection: str) -> Inspection:
        snapshot = self._snapshot(collection)
        return Inspection(
            milvus_snapshot.collection_info(collection, self.server(), snapshot), snapshot
        )

    def _snapshot(self, collection: str) -> milvus_snapshot.Snapshot:
        self.forget(collection)
        if schema.split(collection)[1] is not None:
            # Rows of a partition are counted by reading their keys.
            self._load_in_lite(collection)
        try:
            found = milvus_snapshot.take_snapshot(self.connection, collection)
        except NotFoundError as error:
            raise self._missing(collection, error) from None
        self.snapshots.put(collection, found.layout)
        self._counts.put(collection, found.count)
        return found

    def _layout(self, collection: str) -> schema.Layout:
        """The schema, which never changes, and the index as it was last read."""
        known = self.snapshots.get(collection)
        if known is not None:
            return known
        try:
            return self.snapshots.put(collection, schema.describe(self.connection, collection))
        except NotFoundError as error:
            raise self._missing(collection, error) from None

    def _missing(self, collection: str, error: NotFoundError) -> NotFoundError:
        """The nearest name, unless it is the partition that is not there."""
        base, _ = schema.split(collection)
        names = self.collections()
        return error if base in names else NotFoundError.missing("collection", base, names)

    def _fresh(self, collection: str) -> schema.Layout:
        """Read again: another process may have put bits beside, which writes keep in step."""
        self.forget(collection)
        return self._layout(collection)

    def forget(self, collection: str) -> None:
        super().forget(collection)
        self._counts.forget(collection)

    # -- rows --------------------------------------------------------------------------------

    def write(self, collection: str, batch: Batch) -> None:
        layout = self._fresh(collection)
        for name in batch.vectors:
            if name in layout.others:
                layout.field(name)
        checked, native = rows.ready(layout, batch)
        rows.write(self.connection, layout, checked, native)
        binary_sidecar.write(self.connection, layout, checked)

    def delete(self, collection: str, ids: Sequence[Id]) -> None:
        layout = self._fresh(collection)
        self._load_in_lite(collection)
        keys = rows.delete(self.connection, layout, ids)
        binary_sidecar.delete(self.connection, layout, keys)

    def change_counter(self, collection: str) -> ChangeCounter | None:
        # A server shows no number that moves with writes to its growing segments (run on 2.3.5).
        if not self.connection.lite or self.connection.old_lite:
            return None
        return lite.change_counter(self.connection.path, self._layout(collection))

    def count(self, collection: str, filter: Any = None) -> int:
        layout = self._layout(collection)
        expression = to_expression(filter, layout.fields)
        return self._loaded(collection, lambda: rows.count(self.connection, layout, expression))

    def fetch(
        self,
        collection: str,
        ids: Sequence[Id],
        *,
        vectors: Sequence[str] | None = None,
        payload: bool = True,
    ) -> Batch:
        layout = self._layout(collection)
        wanted = _wanted(layout, vectors)
        return self._loaded(
            collection, lambda: rows.fetch(self.connection, layout, ids, wanted, payload)
        )

    def read(
        self,
        collection: str,
        request: ReadRequest = ALL_ROWS,
    ) -> Iterator[Batch]:
        checks.page(request.page)
        layout, within = partitions.range_expression(
            self._layout(collection), request.scan_range, request.after
        )
        self._load_in_lite(collection)
        expression = joined(to_expression(request.filter, layout.fields), within)
        wanted = _wanted(layout, request.vectors)
        native = dataclasses.replace(request, filter=expression)
        return rows.read(self.connection, layout, wanted, native)

    def payload_fidelity(self, key: str, value: Any) -> PayloadFidelity:
        return fidelity.payload_fidelity(key)

    def unsupported_vectors(self, vectors: Mapping[str, Vector]) -> str | None:
        try:
            collections.unsupported_vectors(vectors, self._server_version)
        except (InputError, UnsupportedError) as error:
            return error.message
        return None

    def ensure_loaded(self, collection: str) -> None:
        if self.connection.lite:
            self._load_in_lite(collection)
        else:
            wait_while_loading(self.connection, self._layout(collection).name)

    def _loaded(self, collection: str, ask: Callable[[], T]) -> T:
        """The answer; where Lite says that the collection is not loaded, after loading it.

        To ask for the state before each search would take as long as a search does.
        """
        try:
            return ask()
        except NotLoadedError:
            if not self.connection.lite:
                raise
            self._load_in_lite(collection)
            return ask()

    def _load_in_lite(self, collection: str) -> None:
        """Load a collection of Lite; a server's collection is left as it is."""
        if self.connection.lite:
            load_in_lite(self.connection, self._layout(collection).real)

    def hidden_rows(self, collection: str) -> tuple[int, Sequence[Id]]:
        self._load_in_lite(collection)
        found = duplicate_ids.find(self.connection, self._layout(collection))
        return found.hidden, found.ids

    def uncopied(self, collection: str) -> Mapping[str, str]:
        return fidelity.uncopied(self.connection, self._fresh(collection))

    def collection_schema(self, collection: str) -> CollectionSchema:
        layout = self._fresh(collection)
        raw = clone_schema.describe(self.connection, layout.base)
        extras = {name: each.extra for name, each in layout.sparse.items()}
        found = partitions.partition_schema(self.connection, layout)
        return found.replace(extras=extras, schema=payload_schema.payload_schema_of(raw, layout))

    def unsupported_schema(self, collection_schema: CollectionSchema) -> Mapping[str, str]:
        problem = payload_schema.unsupported_fields(collection_schema.schema, self._server_version)
        return {
            **fidelity.unsupported_extras(collection_schema.extras, self._server_version),
            **({"schema": problem} if problem else {}),
            **partitions.unsupported(collection_schema, self._server_version),
        }

    @property
    def ids_unique_per_partition(self) -> bool:
        # Lite keeps a key once, in the partition that it was last written to (run on 3.2.2).
        return not self.connection.lite

    def create_partitions(self, collection: str, names: Sequence[str]) -> None:
        partitions.create(self.connection, self._fresh(collection), names)

    def row_constraints(
        self, vectors: Collection[str], collection_schema: CollectionSchema
    ) -> RowConstraints:
        if not collection_schema.schema:
            return super().row_constraints(vectors, collection_schema)
        return fidelity.row_constraints(
            collection_schema.schema, [*vectors, *collection_schema.extras], self._server_version
        )

    # -- indexes on the payload --------------------------------------------------------------

    def payload_indexes(self, collection: str) -> Mapping[str, str]:
        found = payload_indexes.indexes(self.connection, self._fresh(collection))
        return {key: each.kind for key, each in found.items()}

    def payload_index_settings(self, collection: str) -> Mapping[str, Mapping[str, Any]]:
        found = payload_indexes.indexes(self.connection, self._fresh(collection))
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
        layout = self._fresh(collection)
        payload_indexes.create(
            self.connection, layout, key, kind, settings or {}, self._server_version
        )
        self.forget(collection)

    def scan_ranges(self, collection: str, n: int) -> list[ScanRange]:
        self._load_in_lite(collection)
        return partitions.scan_ranges(self.connection, self._layout(collection), n)

    # -- searching ---------------------------------------------------------------------------

    def search(self, collection: str, queries: Any, search: SearchRequest) -> Hits:
        milvus_search.check(search)
        return self._loaded(collection, lambda: self._search(collection, queries, search))

    def _search(self, collection: str, queries: Any, search: SearchRequest) -> Hits:
        layout = self._layout(collection)
        field = layout.field(search.vector)
        expression = to_expression(search.filter, layout.fields)
        array = np.atleast_2d(np.asarray(queries, dtype=np.float32))
        collection_schema = layout.bits.get(field.field) == binary_sidecar.ON
        limited = bool(expression or layout.partition or "partition_names" in search.options)
        unused = search.exact or search.ignore_quantization
        if unused or (collection_schema and limited):
            request = ReadRequest(payload=False, filter=expression)
            wanted, level = {search.vector: field.vector}, milvus_search.level(search, layout)
            pages = rows.read(self.connection, layout, wanted, request, level)
            hits = milvus_search.exact(pages, search.vector, field.vector, array, search.k)
        elif collection_schema or field.coded:
            milvus_search.check_rescore(search.rescore, None)
            hits = binary_sidecar.search(self.connection, layout, field, array, search, expression)
        else:
            hits = self._native(layout, field, expression, array, search)
        if not search.with_payload:
            return hits
        found = list(dict.fromkeys(key for key in hits.ids.ravel().tolist() if key is not None))
        batch = self.fetch(collection, found, vectors=(), payload=True)
        return Hits(hits.ids, hits.scores, hits.how, milvus_search.payloads(hits.ids, batch))

    def _native(
        self,
        layout: schema.Layout,
        field: schema.Field,
        expression: str,
        queries: np.ndarray[Any, np.dtype[np.float32]],
        search: SearchRequest,
    ) -> Hits:
        index = field.index
        milvus_search.check_rescore(search.rescore, index)
        native = index.native if index else None
        quantization = mapping.from_native(native, field.vector, self._server_version)
        metric = field.vector.metric
        params = {
            "metric_type": schema.METRICS[metric],
            "params": milvus_search.params(index, search, self._rows(layout)),
        }
        extra: dict[str, Any] = dict(layout.where)
        if "partition_names" in search.options:
            extra["partition_names"] = list(search.options["partition_names"])
        found = []
        datatype, cosine = field.vector.datatype, metric is Metric.COSINE
        queries = vector_norms.prepared_queries(
            queries, datatype, cosine=cosine, normalizes_cosine=False
        )
        for block in milvus_search.blocks(queries, search.k):
            answer = self.connection.call(
                f"search {layout.name!r}",
                self.connection.client.search,
                layout.base,
                data=list(vector_layout.stored(block, field.vector)),
                anns_field=field.field,
                filter=expression,
                limit=search.k,
                output_fields=[layout.keys.field],
                search_params=params,
                consistency_level=milvus_search.level(search, layout),
                **extra,
            )
            found += milvus_search.rows_of(answer, layout.keys.field, metric)
        reported = milvus_search.how(search, layout, index, quantization)
        ids = [[(layout.keys.from_native(key), score) for key, score in row] for row in found]
        return Hits.from_rows(ids, search.k, reported)

    def default_rescore(self, collection: str, vector: str) -> Rescore | None:
        """As in ``info``, from what was last read: a search asks for it each time."""
        layout = self._layout(collection)
        field = layout.field(vector)
        if field.coded or layout.bits.get(field.field) == binary_sidecar.ON:
            return binary_sidecar.RESCORE
        native = field.index.native if field.index else None
        found = mapping.from_native(native, field.vector, self._server_version)
        return mapping.default_rescore(found)

    def _rows(self, layout: schema.Layout) -> int:
        """Rows, about: how many lists of an index hold enough of them."""
        known = self._counts.get(layout.name)
        if known is None:
            known = self._counts.put(layout.name, rows.count(self.connection, layout, ""))
        return known

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
        check_strategy(self.name, request, "alias")
        snapshot: milvus_snapshot.Snapshot = request.inspection.native
        base, partition = schema.split(request.collection)
        if partition is not None:
            raise UnsupportedError(
                f"{request.collection!r} is one partition, and its index is that of the whole "
                "collection",
                hint=f"plan on {base!r}",
            )
        steps = () if request.codes is None else self._steps(snapshot, request, request.codes)
        if request.target_vector is None:
            return ChangePlan(steps)
        collections.unsupported_vectors(
            {request.vector: request.target_vector}, self._server_version
        )
        target_vector = copy_switch.target_definitions(
            snapshot, request.vector, request.target_vector, self._server_version
        )
        return ChangePlan(steps, (self._recreation(snapshot, request.vector, target_vector),))

    def _steps(
        self, snapshot: milvus_snapshot.Snapshot, request: ChangeRequest, quantization: Quantization
    ) -> tuple[Step, ...]:
        vector, asked = request.vector, quantization.native
        field = snapshot.layout.field(vector)
        current = field.index.native if field.index else None
        mapped = self._mapped(quantization, field.vector, current)
        by_copy = request.strategy == "alias"
        if by_copy and changes.rebuilds(snapshot, vector, mapped, asked):
            wanted = copy_switch.wanted(
                snapshot, vector, field.vector, mapped, self._server_version
            )
            return (self._recreation(snapshot, vector, wanted),)
        return tuple(changes.steps(snapshot, vector, mapped, asked))

    def _recreation(
        self, snapshot: milvus_snapshot.Snapshot, vector: str, target_vector: Mapping[str, Any]
    ) -> Step:
        """The step to a copy, and the alias moved to it.

        Raises:
            UnsupportedError: the name is a collection's own, or its rows cannot be copied.
        """
        return copy_switch.step(self.connection, snapshot, vector, target_vector)

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

    # -- doctor ------------------------------------------------------------------------------

    def findings(
        self, info: CollectionInfo, options: Mapping[str, Any] | None = None
    ) -> list[Finding]:
        reported = diagnostics.findings(self.address, info, options or {})
        if self.connection.lite or not info.count:
            return reported
        found = duplicate_ids.find(self.connection, self._layout(info.name), diagnostics.LOOKED)
        return reported + diagnostics.duplicate_ids(info, found)


def _wanted(layout: schema.Layout, names: Sequence[str] | None) -> dict[str, Vector | ExtraVector]:
    if names is None:
        return dict(layout.wanted)
    return {
        name: layout.sparse[name].extra if name in layout.sparse else layout.field(name).vector
        for name in names
    }
