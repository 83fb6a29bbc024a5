"""``sqlite-vec:FILE.db``: tables of vec0 in a file of SQLite."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from qadapt.errors import NotFoundError
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
from qadapt.stores import checks, key_ids
from qadapt.stores.base import (
    ALL_ROWS,
    MappedQuantization,
    PreparedSearch,
    ReadRequest,
    ScanRange,
    SearchRequest,
)
from qadapt.stores.change import ChangePlan, ChangeRequest, Inspection
from qadapt.stores.client_form import ClientSearch
from qadapt.stores.sqlite_vec import (
    changes,
    client_code,
    code_tables,
    collections,
    diagnostics,
    mapping,
    prepared_search,
    rows,
    search,
    settings,
    snapshot,
)
from qadapt.stores.sqlite_vec.connection import (
    CACHE_MB,
    Connection,
    address_of,
    is_client,
    open_file,
    wrapped,
)
from qadapt.stores.sqlite_vec.profile import PROFILE
from qadapt.stores.sqlite_vec.schema import METRICS, Codes, Column, Table, quoted, sql_name
from qadapt.stores.sqlite_vec.search import Prepared
from qadapt.stores.sqlite_vec.snapshot import KnownTable
from qadapt.stores.sqlite_vec.version import ExtensionVersion
from qadapt.stores.table_store import SETTINGS_KEY, TableStore

# Seconds for which searches use the settings that were read last.
SETTINGS_AGE = 5.0


class SqliteVecStore(TableStore[Connection, Table]):
    """Tables of vec0 in one file.

    A collection is a table of vec0. Float columns are named vectors (``embedding`` is the unnamed
    one), the primary key is the id; metadata, auxiliary columns and partition keys are payload.
    Thread-safe: one statement runs at a time.
    """

    profile = PROFILE
    operations = changes.OPERATIONS

    def __init__(
        self, address: Address, connection: Connection, *, disabled: Sequence[str] = ()
    ) -> None:
        super().__init__(address, connection, disabled=disabled)
        # Codes that a comparison of all rows found outdated, which a sample may not see.
        self._outdated: set[tuple[str, str]] = set()

    @classmethod
    def open(cls, address: Address, *, disabled: Sequence[str] = ()) -> SqliteVecStore:
        """Open a file.

        Raises:
            MissingExtraError, AddressError, StorageError, IntegrityError
            UnsupportedError: an old version of sqlite-vec.
        """
        store = cls(address, open_file(address), disabled=disabled)
        try:
            ExtensionVersion(store.connection.version).require_oldest()
        except BaseException:
            store.close()
            raise
        return store

    @classmethod
    def wraps(cls, client: object) -> bool:
        return is_client(client)

    @classmethod
    def wrap(cls, client: object, *, disabled: Sequence[str] = ()) -> SqliteVecStore:
        """A store on a ``sqlite3.Connection`` with the extension, which qadapt never closes.

        Raises:
            UnsupportedError: another type, no extension, or ``autocommit=False``.
        """
        connection = wrapped(client)
        return cls(address_of(connection), connection, disabled=disabled)

    # -- collections -------------------------------------------------------------------------

    def collections(self) -> list[str]:
        with self.connection.session("list the tables") as at:
            return sorted(collections.read_tables(at))

    def has(self, collection: str) -> bool:
        return collection in self.collections()

    def create(
        self,
        collection: str,
        vectors: Mapping[str, Vector],
        quantization: Mapping[str, Quantization],
        collection_schema: CollectionSchema | None = None,
    ) -> None:
        collections.check_name(collection)
        mapped = self.map_all(quantization, vectors, limits="docs/sqlite-vec.md")
        key = collection_schema.partition_key if collection_schema is not None else None
        collections.create(self.connection, collection, vectors, key)
        for name, each in mapped.items():
            if each.native:
                request = changes.BuildCodes(name, each.native["codes"]).to_request()
                self.run(collection, request, lambda _: None, 60)

    def drop(self, collection: str) -> None:
        collections.drop(self.connection, self.table(collection))
        self.forget(collection)

    def inspect(self, collection: str) -> Inspection:
        taken = self._snapshot(collection)
        return Inspection(snapshot.collection_info(self.server(), taken), taken)

    def _snapshot(self, collection: str) -> snapshot.Snapshot:
        with self.connection.session(f"inspect {collection!r}") as at:
            known = self._read(at, collection)
            taken = snapshot.take_snapshot(at, known.table)
        for name, column in known.table.vectors.items():
            observation = taken.observations[name]
            if observation.codes is not None and observation.agreement is not None:
                self._note(known, column, observation.agreement.in_step)
        return taken

    def _note(self, known: KnownTable, column: Column, in_step: bool) -> None:
        """Record the result of a comparison of all codes."""
        known.in_step[known.table.name, column.name] = in_step
        change = self._outdated.discard if in_step else self._outdated.add
        change((known.table.name, column.name))

    def _read(self, at: Any, collection: str) -> KnownTable:
        """The table of a collection, read again if the file has changed.

        Raises:
            NotFoundError, StoreError, UnsupportedError
        """
        known: KnownTable | None = self.snapshots.get(collection)
        key = self.connection.change_key(at)
        if known is not None and known.key == key:
            self.snapshots.put(collection, known)
            return known
        found = collections.read_tables(at)
        if collection not in found:
            raise NotFoundError.missing("collection", collection, sorted(found))
        table = collections.require_readable(found[collection])
        known = KnownTable(table, key)
        self.snapshots.put(collection, known)
        return known

    def table(self, collection: str) -> Table:
        with self.connection.session(f"read the definition of {collection!r}") as at:
            return self._read(at, collection).table

    # -- rows --------------------------------------------------------------------------------

    def write(self, collection: str, batch: Batch) -> None:
        table = self.table(collection)
        wanted = {name: table.vector(name) for name in table.vectors}
        batch = batch.ready(wanted, {}, normalizes_cosine=self.traits.normalizes_cosine)
        key_ids.are_integers(batch.ids)
        if collections.choose_key(self.connection, table, batch):
            self.forget(collection)
        with self.connection.transaction(f"write to {collection!r}") as at:
            known = self._read(at, collection)
            known.table = code_tables.widen(at, known.table, batch)
            rows.write(at, known.table, batch)
            self._changed_by_us(at, collection, known)

    def delete(self, collection: str, ids: Sequence[Id]) -> None:
        with self.connection.transaction(f"delete rows of {collection!r}") as at:
            known = self._read(at, collection)
            rows.delete(at, known.table, ids)
            self._changed_by_us(at, collection, known)

    def _changed_by_us(self, at: Any, collection: str, known: KnownTable) -> None:
        """Keep what is known of a table after rows and codes were written together."""
        key = self.connection.change_key(at)
        self.snapshots.put(collection, KnownTable(known.table, key, known.in_step))

    def count(self, collection: str, filter: Any = None) -> int:
        return rows.count(self.connection, self.table(collection), filter)

    def fetch(
        self,
        collection: str,
        ids: Sequence[Id],
        *,
        vectors: Sequence[str] | None = None,
        payload: bool = True,
    ) -> Batch:
        table = self.table(collection)
        return rows.fetch(self.connection, table, ids, self.vector_names(table, vectors), payload)

    def read(self, collection: str, request: ReadRequest = ALL_ROWS) -> Iterator[Batch]:
        checks.page(request.page)
        table = self.table(collection)
        if request.after is not None:
            rows.check_ids(table, [request.after])
        names = self.vector_names(table, request.vectors)
        return rows.pages(self.connection, table, names, request)

    def scan_ranges(self, collection: str, n: int) -> list[ScanRange]:
        return [dict(e) for e in rows.ranges(self.connection, self.table(collection), n)]

    def unsupported_vectors(self, vectors: Mapping[str, Vector]) -> str | None:
        return collections.unsupported(vectors)

    def collection_schema(self, collection: str) -> CollectionSchema:
        return collections.partition_schema(self.table(collection))

    def unsupported_schema(self, collection_schema: CollectionSchema) -> Mapping[str, str]:
        rest = collection_schema.replace(is_partitioned=False)
        partitions = collections.unsupported_partitions(collection_schema)
        return {**super().unsupported_schema(rest), **partitions}

    # -- searching ---------------------------------------------------------------------------

    def search(self, collection: str, queries: Any, request: SearchRequest) -> Hits:
        array = np.atleast_2d(np.asarray(queries, dtype=np.float32))
        with self.connection.session(f"search {collection!r}") as at:
            prepared = self._prepared(at, self._read(at, collection), request)
            return search.run(at, prepared, array, request.k)

    def prepare_search(self, collection: str, request: SearchRequest) -> PreparedSearch | None:
        if request.filter is not None:
            return None
        with self.connection.session(f"search {collection!r}") as at:
            known = self._read(at, collection)
            prepared = self._prepared(at, known, request)
        return prepared_search.searcher(self, known.key, prepared, request.k)

    def _prepared(self, at: Any, known: KnownTable, request: SearchRequest) -> Prepared:
        table = known.table
        column = table.column_of(request.vector)
        codes = table.chosen(column)
        if codes is None or not (codes.exists and codes.ready):
            return search.prepare(table, column, None, request)
        plain = request.exact or request.ignore_quantization or request.no_params
        if not plain and not self._in_step(at, known, column, codes):
            return search.prepare(table, column, None, request, search.OUT_OF_STEP)
        return search.prepare(table, column, codes, request)

    def _in_step(self, at: Any, known: KnownTable, column: Column, codes: Codes) -> bool:
        """Whether codes are in step with the rows; compared once for each change of the file."""
        key = (known.table.name, column.name)
        if key in self._outdated:
            return False
        if key not in known.in_step:
            found = code_tables.agreement(at, known.table, codes, whole=False)
            known.in_step[key] = found.in_step
        return known.in_step[key]

    def limit_rescore(self, collection: str, rescore: Rescore, k: int = 10) -> Rescore:
        if not rescore.on or rescore.count(k) <= search.MAX_K:
            return rescore
        if rescore.candidates is not None:
            return Rescore(source=rescore.source, candidates=search.MAX_K)
        return Rescore(max(1.0, search.MAX_K / k), rescore.source)

    def client_search(
        self, collection: str, request: SearchRequest, target: Quantization | None = None
    ) -> ClientSearch:
        table = self.table(collection)
        column = table.column_of(request.vector)
        codes = table.chosen(column)
        if target is not None:
            codes = self._planned(table, column, target)
        prepared = search.prepare(table, column, codes, request)
        insert = delete = kind = ""
        if codes is not None and codes.separate:
            key = table.key.name if table.of("key") else "rowid"
            insert, kind = changes.writing_sql(table, codes), codes.kind
            delete = f"DELETE FROM {quoted(codes.table)} WHERE {sql_name(key)} = ?"
        cache = checks.number(self.address, "cache_mb", CACHE_MB)
        details = client_code.details(prepared, kind, insert, delete, cache)
        return ClientSearch(request.k, {}, details=details, sql=codes is not None)

    def _planned(self, table: Table, column: Column, target: Quantization) -> Codes | None:
        """The codes that a search uses after a change."""
        vector = Vector(column.dim, METRICS[column.metric])
        native = self.map(target, vector).native
        if not native:
            return None
        kind = native["codes"]
        for each in table.codes_of(column):
            if each.kind == kind and each.exists:
                return each
        scale = None
        if kind == "int8" and column.metric == "l2":
            with self.connection.session(f"read {table.name!r}") as at:
                scale = code_tables.scale_now(at, table, column)
        return Codes(column.name, code_tables.name_of(table, column, kind), "codes", kind, scale)

    # -- quantization ------------------------------------------------------------------------

    def map(self, quantization: Quantization, vector: Vector) -> MappedQuantization:
        return mapping.to_native(quantization, vector)

    def plan_change(self, request: ChangeRequest) -> ChangePlan:
        taken: snapshot.Snapshot = request.inspection.native
        vector = request.target_vector or taken.table.vector(request.vector)
        return changes.plan_change(request, self.mapped_change(request, vector))

    def forget(self, collection: str) -> None:
        super().forget(collection)
        self._outdated = {each for each in self._outdated if each[0] != collection}

    # -- settings ----------------------------------------------------------------------------

    def known_table(self, collection: str) -> Table:
        """The table as it was at most ``SETTINGS_AGE`` seconds ago; its settings alone are used."""
        known: KnownTable | None = self.snapshots.get(collection, SETTINGS_AGE)
        return self.table(collection) if known is None else known.table

    def write_settings(self, collection: str, settings_: Mapping[str, Any]) -> None:
        with self.connection.transaction(f"write settings of {collection!r}") as at:
            table = self._read(at, collection).table
            own = settings.read_all(at).get(table.name, {})
            settings.write(at, table.name, {**own, SETTINGS_KEY: dict(settings_)})

    # -- doctor ------------------------------------------------------------------------------

    def findings(
        self, info: CollectionInfo, options: Mapping[str, Any] | None = None
    ) -> list[Finding]:
        taken = self._snapshot(info.name)
        with self.connection.session(f"read statistics of {info.name!r}") as at:
            return diagnostics.findings(at, taken)
