"""``postgresql://USER@HOST/DATABASE``: tables with columns of pgvector."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from qadapt.model import (
    Batch,
    CollectionInfo,
    Finding,
    Hits,
    Id,
    Metric,
    Quantization,
    Vector,
)
from qadapt.model.address import Address
from qadapt.stores import checks
from qadapt.stores.base import (
    ALL_ROWS,
    MappedQuantization,
    PayloadFidelity,
    ReadRequest,
    ScanRange,
    SearchRequest,
)
from qadapt.stores.change import ChangePlan, ChangeRequest, Inspection
from qadapt.stores.client_form import ClientSearch
from qadapt.stores.pgvector import (
    catalogs,
    changes,
    client_code,
    collections,
    diagnostics,
    mapping,
    payload,
    rows,
    search,
    snapshot,
)
from qadapt.stores.pgvector.awaited_sessions import loop_clients
from qadapt.stores.pgvector.connection import (
    Connection,
    address_of,
    arguments,
    client_module,
    wrapped,
)
from qadapt.stores.pgvector.filters import to_condition
from qadapt.stores.pgvector.ids import check_ids
from qadapt.stores.pgvector.index_operations import OPERATIONS
from qadapt.stores.pgvector.prepared_search import prepare_search
from qadapt.stores.pgvector.profile import PROFILE
from qadapt.stores.pgvector.schema import Table
from qadapt.stores.pgvector.search import Prepared
from qadapt.stores.pgvector.session_settings import SearchSessions
from qadapt.stores.pgvector.statements import Source, Statement, relation
from qadapt.stores.pgvector.version import ExtensionVersion
from qadapt.stores.table_store import SETTINGS_KEY, CatalogStore


class PgvectorStore(CatalogStore[Connection, Table]):
    """Tables with vectors in one database.

    A collection is a table with a column of the type ``vector`` or ``halfvec``; ``schema.table``
    names a table outside of the current schema. Vector columns are named vectors (``embedding`` is
    the unnamed one), the primary key is the id, and other columns are payload. Thread-safe.
    """

    profile = PROFILE
    operations = OPERATIONS

    def __init__(
        self, address: Address, connection: Connection, *, disabled: Sequence[str] = ()
    ) -> None:
        super().__init__(address, connection, disabled=disabled)
        self._searches = search.PreparedSearches(self._prepare)
        self.sessions = SearchSessions(connection)
        self.loop_clients = loop_clients(self.sessions)
        self.awaits_searches = self.loop_clients is not None
        self._assumed = Metric.of(address.options.get("metric", "cosine"))

    @classmethod
    def open(cls, address: Address, *, disabled: Sequence[str] = ()) -> PgvectorStore:
        """Connect to a database.

        Raises:
            MissingExtraError, AddressError, UnreachableError, AuthError
            UnsupportedError: the database does not have the extension, or an old version of it.
        """
        client_module()
        store = cls(address, Connection(arguments(address)), disabled=disabled)
        try:
            store._version.require_oldest()
        except BaseException:
            store.close()
            raise
        return store

    @classmethod
    def wrap(cls, client: object, *, disabled: Sequence[str] = ()) -> PgvectorStore:
        """A store on a ``psycopg.Connection`` in autocommit mode, which qadapt never closes.

        Raises:
            UnsupportedError: another type, or a connection that is not in autocommit mode.
        """
        connection = wrapped(client)
        return cls(address_of(client), connection, disabled=disabled)

    def close(self) -> None:
        self.sessions.close()
        super().close()

    @property
    def _version(self) -> ExtensionVersion:
        return ExtensionVersion(self.connection.version)

    # -- collections -------------------------------------------------------------------------

    def collections(self) -> list[str]:
        extension = self.connection.extension
        with self.connection.session("list the tables") as at:
            return catalogs.collections(at, extension)

    def create(
        self,
        collection: str,
        vectors: Mapping[str, Vector],
        quantization: Mapping[str, Quantization],
        collection_schema: Any = None,
    ) -> None:
        collections.check_name(collection)
        mapped = self.map_all(quantization, vectors, limits="docs/pgvector.md")
        with self.connection.session(f"create {collection!r}") as at:
            collections.create(at, self.connection.extension, collection, vectors)
        for name, each in mapped.items():
            if each.native:
                build = changes.build_index(self.table(collection), name, each.native)
                self.run(collection, build.to_request(), lambda _: None, 60)

    def drop(self, collection: str) -> None:
        table = self.table(collection)
        with self.connection.session(f"drop {collection!r}") as at:
            collections.drop(at, table)
        self.forget(collection)

    def inspect(self, collection: str) -> Inspection:
        taken = self._snapshot(collection)
        return Inspection(snapshot.collection_info(collection, self.server(), taken), taken)

    def _snapshot(self, collection: str) -> snapshot.Snapshot:
        table = self.table(collection)
        with self.connection.session(f"inspect {collection!r}") as at:
            return snapshot.take_snapshot(at, table, self.connection.extension, self._assumed)

    def read_table(self, collection: str) -> Table | None:
        extension = self.connection.extension
        with self.connection.session(f"read the definition of {collection!r}") as at:
            return catalogs.read_table(at, extension, collection)

    # -- rows --------------------------------------------------------------------------------

    def write(self, collection: str, batch: Batch) -> None:
        table = self.known_table(collection)
        wanted = {name: table.vector(name, self._assumed) for name in table.vectors}
        batch = batch.ready(wanted, {}, normalizes_cosine=self.traits.normalizes_cosine)
        if collections.choose_key(self.connection, table, batch.ids):
            table = self.table(collection)
        rows.write(self.connection, table, batch)

    def delete(self, collection: str, ids: Sequence[Id]) -> None:
        rows.delete(self.connection, self.known_table(collection), ids)

    def count(self, collection: str, filter: Any = None) -> int:
        from psycopg import sql

        table = self.known_table(collection)
        condition = self._condition(filter, table)
        query = sql.SQL("SELECT count(*) FROM {}").format(relation(table))
        if condition is not None:
            query += sql.SQL(" WHERE ") + condition.text
        with self.connection.session(f"count the rows of {collection!r}") as at:
            values = list(condition.values) if condition else []
            return int(at.execute(query, values).fetchone()[0])

    def _condition(self, filter: Any, table: Table) -> Statement | None:
        if filter is None:
            return None
        number = int(self.connection.server_version.split(".")[0]) * 10_000
        return to_condition(filter, table, number)

    def sample_ids(self, collection: str, n: int, *, seed: int = 0, filter: Any = None) -> list[Id]:
        table = self.known_table(collection)
        return rows.sample(self.connection, table, n, seed, self._condition(filter, table))

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
            check_ids(table.require_key(), [request.after])
        names = self.vector_names(table, request.vectors)
        condition = self._condition(request.filter, table)
        return rows.pages(self.connection, table, names, request, condition)

    def consistent_reads(
        self, collection: str, snapshot: str | None = None
    ) -> AbstractContextManager[str | None]:
        return self.connection.consistent_reads(snapshot)

    def scan_ranges(self, collection: str, n: int) -> list[ScanRange]:
        return [
            dict(each) for each in rows.ranges(self.connection, self.known_table(collection), n)
        ]

    def payload_fidelity(self, key: str, value: Any) -> PayloadFidelity:
        return "exact" if payload.is_exact(value) else "lossy"

    def unsupported_vectors(self, vectors: Mapping[str, Vector]) -> str | None:
        return collections.unsupported(vectors)

    # -- searching ---------------------------------------------------------------------------

    def search(self, collection: str, queries: Any, request: SearchRequest) -> Hits:
        source, prepared = self._searches.get(self.known_table(collection), request)
        array = np.atleast_2d(np.asarray(queries, dtype=np.float32))
        return search.run(self.connection, source, prepared, array, request)

    prepare_search = prepare_search

    def _prepare(
        self, table: Table, request: SearchRequest, target: Quantization | None = None
    ) -> tuple[Source, Prepared]:
        vector = table.vector(request.vector, self._assumed)
        column = table.vectors[request.vector]
        source = Source(table, column, vector, self.connection.extension.schema)
        index = snapshot.chosen_index(table, request.vector, column)
        if target is not None:
            index = changes.planned_index(table, column, vector, target, self._version)
        if index is not None and not index.valid:
            index = None
        condition = self._condition(request.filter, table)
        prepared = search.prepare(source, index, request, condition, self._version)
        return source, prepared

    def client_search(
        self, collection: str, request: SearchRequest, target: Quantization | None = None
    ) -> ClientSearch:
        table = self.known_table(collection)
        source, prepared = self._prepare(table, request, target)
        details = {
            "statement": search.as_text(prepared),
            "settings": dict(prepared.settings),
            "url": client_code.plain_url(self.address),
            "type": f"{source.extension}.vector",
        }
        settings = dict(prepared.settings)
        return ClientSearch(request.k, settings, details=details, sql=bool(settings))

    # -- quantization ------------------------------------------------------------------------

    def map(self, quantization: Quantization, vector: Vector) -> MappedQuantization:
        return mapping.to_native(quantization, vector, self._version)

    def plan_change(self, request: ChangeRequest) -> ChangePlan:
        taken: snapshot.Snapshot = request.inspection.native
        vector = taken.source(request.vector).vector
        # The column keeps all dimensions, so `dims` is a property of the codes.
        mapped = self.mapped_change(request, vector, dims=request.shortened)
        return changes.plan_change(request, mapped)

    # -- settings ----------------------------------------------------------------------------

    def save_codes(self, collection: str, vector: str, codes: str | None) -> None:
        """Record which index a search uses; None for the smallest."""
        table = self.table(collection)
        column = table.vectors[vector].name
        saved = {**(table.settings.get("codes") or {}), column: codes}
        kept = {name: each for name, each in saved.items() if each}
        metric = table.metric_of(vector, table.vectors[vector])[0]
        settings = {**table.settings, "codes": kept}
        if metric is not None:
            # The operator class of an index on bits has no metric.
            settings |= {"metrics": {**(settings.get("metrics") or {}), column: metric.value}}
        with self.connection.session(f"comment on {collection!r}") as at:
            collections.comment(at, table, settings)
        self.forget(collection)

    def save_metric(self, collection: str, vector: str, metric: str | None) -> None:
        """Record the metric of a vector; None removes it."""
        table = self.table(collection)
        saved = {**(table.settings.get("metrics") or {}), table.vectors[vector].name: metric}
        kept = {name: each for name, each in saved.items() if each}
        with self.connection.session(f"comment on {collection!r}") as at:
            collections.comment(at, table, {**table.settings, "metrics": kept})
        self.forget(collection)

    def save_settings(self, collection: str, settings: Mapping[str, Any]) -> bool:
        table = self.table(collection)
        if not table.owned:
            return False
        if dict(settings) != (table.settings.get(SETTINGS_KEY) or {}):
            with self.connection.session(f"comment on {collection!r}") as at:
                collections.comment(at, table, {**table.settings, SETTINGS_KEY: dict(settings)})
            self.forget(collection)
        return True

    # -- doctor ------------------------------------------------------------------------------

    def findings(
        self, info: CollectionInfo, options: Mapping[str, Any] | None = None
    ) -> list[Finding]:
        taken = self._snapshot(info.name)
        with self.connection.session(f"read statistics of {info.name!r}") as at:
            row = at.execute(diagnostics.DEAD_ROWS, [taken.table.oid]).fetchone()
        return diagnostics.findings(taken, row)
