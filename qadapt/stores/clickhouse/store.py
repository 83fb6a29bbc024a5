"""``clickhouse:DIR`` and ``clickhouse+http://HOST:8123``: tables with vectors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from qadapt.model import Batch, Finding, Hits, Id, Metric, Quantization, Rescore, Vector
from qadapt.model.address import Address
from qadapt.stores import checks
from qadapt.stores.base import (
    ALL_ROWS,
    MappedQuantization,
    PreparedSearch,
    ReadRequest,
    ScanRange,
    SearchRequest,
)
from qadapt.stores.change import ChangePlan, ChangeRequest, Inspection
from qadapt.stores.clickhouse import (
    changes,
    client_code,
    collections,
    diagnostics,
    ids,
    mapping,
    rows,
    search,
    snapshot,
)
from qadapt.stores.clickhouse.connection import (
    Connection,
    address_of,
    is_client,
    open_address,
    wrapped,
)
from qadapt.stores.clickhouse.filters import to_condition
from qadapt.stores.clickhouse.profile import PROFILE
from qadapt.stores.clickhouse.schema import Table
from qadapt.stores.clickhouse.search import Prepared
from qadapt.stores.client_form import ClientSearch
from qadapt.stores.table_store import SETTINGS_KEY, CatalogStore


class ClickHouseStore(CatalogStore[Connection, Table]):
    """Tables of MergeTree engines with vectors, in one database.

    A collection is a table with a column of the type ``Array(Float32)``. These columns are named
    vectors (``embedding`` is the unnamed one), the sorting key or ``id`` is the id, and other
    columns are payload. Thread-safe: one statement runs at a time.
    """

    profile = PROFILE
    operations = changes.OPERATIONS

    def __init__(
        self, address: Address, connection: Connection, *, disabled: Sequence[str] = ()
    ) -> None:
        super().__init__(address, connection, disabled=disabled)
        self._assumed = Metric.of(address.options.get("metric", "cosine"))
        self._key = address.options.get("id", "")

    @classmethod
    def open(cls, address: Address, *, disabled: Sequence[str] = ()) -> ClickHouseStore:
        """Open a folder or connect to a server.

        Raises:
            MissingExtraError, AddressError, StorageError, AuthError, UnreachableError
            StoreError: this process has another folder open.
            UnsupportedError: an old version.
        """
        return cls(address, open_address(address), disabled=disabled)

    @classmethod
    def wraps(cls, client: object) -> bool:
        return is_client(client)

    @classmethod
    def wrap(cls, client: object, *, disabled: Sequence[str] = ()) -> ClickHouseStore:
        """A store on ``chdb.connect(DIR)`` or a client of ``clickhouse_connect``, which qadapt
        never closes.

        Raises:
            UnsupportedError: another type.
        """
        connection = wrapped(client)
        return cls(address_of(connection, client), connection, disabled=disabled)

    @property
    def in_process(self) -> bool:
        return self.connection.deployment == "embedded"

    # -- collections -------------------------------------------------------------------------

    def collections(self) -> list[str]:
        return collections.names(self.connection)

    def create(
        self,
        collection: str,
        vectors: Mapping[str, Vector],
        quantization: Mapping[str, Quantization],
        collection_schema: Any = None,
    ) -> None:
        collections.check_name(collection)
        mapped = self.map_all(quantization, vectors, limits="docs/clickhouse.md")
        indexes, codecs, precision = [], {}, {}
        for name, each in mapped.items():
            native, column = dict(each.native or {}), collections.column_of(name)
            if native.get("using") == mapping.INDEX:
                index = f"{column}_{native['quantization']}"
                indexes.append(mapping.index_for(native, column, vectors[name], index))
            elif native.get("using") == mapping.QBIT:
                precision[column] = native["bits"]
            elif native:
                codecs[column] = mapping.codec_of(native, vectors[name].dim)
        collections.create(self.connection, collection, vectors, indexes, codecs, precision)
        self.forget(collection)

    def drop(self, collection: str) -> None:
        collections.drop(self.connection, self.table(collection))
        self.forget(collection)

    def inspect(self, collection: str) -> Inspection:
        taken = self._snapshot(collection)
        return Inspection(snapshot.collection_info(self.server(), taken), taken)

    def _snapshot(self, collection: str) -> snapshot.Snapshot:
        return snapshot.take_snapshot(self.connection, self.table(collection), self._assumed)

    def read_table(self, collection: str) -> Table | None:
        return collections.read_table(self.connection, collection, self._key)

    # -- rows --------------------------------------------------------------------------------

    def write(self, collection: str, batch: Batch) -> None:
        table = self.known_table(collection)
        wanted = {name: table.vector(name, self._assumed) for name in table.vectors}
        # A table without rows has no dimensions yet.
        open_ = [name for name, each in table.vectors.items() if not table.dim_of(each)]
        for name in open_:
            if name in batch.vectors and batch.vectors[name].shape[1]:
                wanted[name] = replace(wanted[name], dim=batch.vectors[name].shape[1])
        batch = batch.ready(wanted, {}, normalizes_cosine=self.traits.normalizes_cosine)
        collections.kind_of_ids(batch.ids)
        if collections.choose_key(self.connection, table, batch.ids):
            table = self.table(collection)
        rows.write(self.connection, table, batch)
        if open_:
            self.forget(collection)

    def delete(self, collection: str, ids: Sequence[Id]) -> None:
        rows.delete(self.connection, self.known_table(collection), ids)

    def count(self, collection: str, filter: Any = None) -> int:
        table = self.known_table(collection)
        return rows.count(self.connection, table, to_condition(filter, table))

    def fetch(
        self,
        collection: str,
        ids: Sequence[Id],
        *,
        vectors: Sequence[str] | None = None,
        payload: bool = True,
    ) -> Batch:
        table = self.known_table(collection)
        return rows.fetch(self.connection, table, ids, self.vector_names(table, vectors), payload)

    def read(self, collection: str, request: ReadRequest = ALL_ROWS) -> Iterator[Batch]:
        checks.page(request.page)
        table = self.known_table(collection)
        if request.after is not None:
            ids.check_ids(table, [request.after])
        names = self.vector_names(table, request.vectors)
        condition = to_condition(request.filter, table)
        return rows.pages(self.connection, table, names, request, condition)

    def scan_ranges(self, collection: str, n: int) -> list[ScanRange]:
        found = rows.ranges(self.connection, self.known_table(collection), n)
        return [dict(each) for each in found]

    def hidden_rows(self, collection: str) -> tuple[int, Sequence[Id]]:
        return rows.duplicates(self.connection, self.table(collection))

    def unsupported_vectors(self, vectors: Mapping[str, Vector]) -> str | None:
        return collections.unsupported(vectors)

    # -- searching ---------------------------------------------------------------------------

    def search(self, collection: str, queries: Any, request: SearchRequest) -> Hits:
        prepared = self._prepare(self.known_table(collection), request)
        array = np.atleast_2d(np.asarray(queries, dtype=np.float32))
        return search.run(self.connection, prepared, array, request.k)

    def prepare_search(self, collection: str, request: SearchRequest) -> PreparedSearch | None:
        if request.filter is not None:
            return None
        table = self.known_table(collection)
        prepared = self._prepare(table, request)

        def run(queries: Any) -> Hits | None:
            if self.snapshots.get(collection, self.table_age) is not table:
                return None
            return search.run(self.connection, prepared, queries, request.k)

        return run

    def _prepare(self, table: Table, request: SearchRequest) -> Prepared:
        column = table.column_of(request.vector)
        metric = table.vector(request.vector, self._assumed).metric
        condition = to_condition(request.filter, table)
        return search.prepare(table, column, metric, request, condition)

    def default_rescore(self, collection: str, vector: str) -> Rescore | None:
        table = self.known_table(collection)
        return snapshot.default_rescore(table, table.column_of(vector))

    def limit_rescore(self, collection: str, rescore: Rescore, k: int = 10) -> Rescore:
        if not rescore.on or rescore.factor(k) <= search.MAX_FACTOR:
            return rescore
        return Rescore(float(search.MAX_FACTOR), rescore.source)

    def client_search(
        self, collection: str, request: SearchRequest, target: Quantization | None = None
    ) -> ClientSearch:
        table = self.known_table(collection)
        if target is not None:
            vector = table.vector(request.vector, self._assumed)
            native = dict(self.map(target.replace(rescore=None), vector).native or {})
            table = snapshot.with_target(table, table.column_of(request.vector), vector, native)
        column = table.column_of(request.vector)
        prepared = self._prepare(table, request)
        details = client_code.details(prepared, self.connection.database)
        coded = snapshot.quantization(table, column) != mapping.NONE
        return ClientSearch(request.k, {}, details=details, sql=coded)

    # -- quantization ------------------------------------------------------------------------

    def map(self, quantization: Quantization, vector: Vector) -> MappedQuantization:
        return mapping.to_native(quantization, vector, self.connection.version)

    def plan_change(self, request: ChangeRequest) -> ChangePlan:
        taken: snapshot.Snapshot = request.inspection.native
        vector = taken.table.vector(request.vector, taken.assumed)
        mapped = self.mapped_change(request, vector, dims=request.shortened)
        return changes.plan_change(request, mapped)

    # -- settings ----------------------------------------------------------------------------

    def write_settings(self, collection: str, settings: Mapping[str, Any]) -> None:
        table = self.table(collection)
        merged = {**table.settings, SETTINGS_KEY: dict(settings)}
        collections.set_comment(self.connection, table, merged)

    # -- doctor ------------------------------------------------------------------------------

    def findings(self, info: Any, options: Mapping[str, Any] | None = None) -> list[Finding]:
        return diagnostics.findings(self.connection, self._snapshot(info.name))
