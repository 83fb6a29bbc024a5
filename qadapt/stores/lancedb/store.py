"""``lancedb:FOLDER``: tables of LanceDB."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import numpy as np

from qadapt.errors import NotFoundError, StoreError
from qadapt.model import Batch, CollectionInfo, Finding, Hits, Id, Quantization, Vector
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
from qadapt.stores.client_form import ClientSearch
from qadapt.stores.lancedb import (
    changes,
    client_code,
    collections,
    diagnostics,
    filters,
    mapping,
    rows,
    scan_ranges,
    schema,
    search,
    settings,
    snapshot,
)
from qadapt.stores.lancedb import ids as row_ids
from qadapt.stores.lancedb.connection import (
    EMBEDDED,
    Connection,
    address_of,
    connect,
    is_client,
    manifest,
    retried,
    wrapped,
)
from qadapt.stores.lancedb.errors import translated
from qadapt.stores.lancedb.prepared_search import SEARCH_AGE, RepeatedSearch
from qadapt.stores.lancedb.profile import PROFILE
from qadapt.stores.lancedb.rows import Written
from qadapt.stores.lancedb.schema import Table
from qadapt.stores.lancedb.search import Prepared
from qadapt.stores.lancedb.snapshot import Layout
from qadapt.stores.lancedb.status import VectorIndex
from qadapt.stores.table_store import TableStore

SETTINGS_AGE = 5.0


class LanceDbStore(TableStore[Connection, Table]):
    """Tables of LanceDB in a folder, an object store or LanceDB Cloud.

    A collection is a table. Columns of vectors are named vectors (``vector`` is the unnamed one),
    one column is the id, the others are payload.
    """

    awaits_searches = True
    profile = PROFILE
    operations = changes.OPERATIONS

    def __init__(
        self, address: Address, connection: Connection, *, disabled: Sequence[str] = ()
    ) -> None:
        super().__init__(address, connection, disabled=disabled)
        self._options = {
            name: address.options[name] for name in ("id", "metric") if name in address.options
        }
        self._written: dict[str, Written] = {}
        # The version of a table whose rows are in the order of their ids.
        self._ordered: dict[str, int] = {}
        # The settings of a table, and when they were read.
        self._settings: dict[str, tuple[float, Mapping[str, Any]]] = {}
        self._pinned: dict[str, int] = {}
        self._writing = threading.Lock()

    @classmethod
    def open(cls, address: Address, *, disabled: Sequence[str] = ()) -> LanceDbStore:
        """Open a database.

        Raises:
            MissingExtraError, AddressError, StorageError
            UnsupportedError: an old version of lancedb.
        """
        return cls(address, connect(address), disabled=disabled)

    @classmethod
    def wraps(cls, client: object) -> bool:
        return is_client(client)

    @classmethod
    def wrap(cls, client: object, *, disabled: Sequence[str] = ()) -> LanceDbStore:
        """A store on a connection of ``lancedb.connect``.

        Raises:
            UnsupportedError: another type, such as an asynchronous connection.
        """
        connection = wrapped(client)
        return cls(address_of(connection), connection, disabled=disabled)

    @property
    def in_process(self) -> bool:
        return self.connection.deployment == EMBEDDED

    # -- collections -------------------------------------------------------------------------

    def collections(self) -> list[str]:
        return self.connection.names()

    def has(self, collection: str) -> bool:
        return collection in self.collections()

    def create(
        self,
        collection: str,
        vectors: Mapping[str, Vector],
        quantization: Mapping[str, Quantization],
        collection_schema: Any = None,
    ) -> None:
        schema.check_name(collection)
        checks.new_name(collection, self.collections())
        mapped = self.map_all(quantization, vectors, limits="docs/lancedb.md")
        collections.create(self.connection, collection, vectors)
        self.forget(collection)
        for name, each in mapped.items():
            if each.native:
                request = changes.BuildIndex(name, dict(each.native)).to_request()
                self.run(collection, request, lambda _: None, 60)

    def drop(self, collection: str) -> None:
        self.layout(collection)
        with translated(f"drop {collection!r}"):
            self.connection.client.drop_table(collection)
        self.forget(collection)

    def inspect(self, collection: str) -> Inspection:
        taken = snapshot.take_snapshot(self.layout(collection), self._options)
        return Inspection(snapshot.collection_info(self.server(), taken), taken)

    def layout(self, collection: str, max_age: float = 0.0) -> Layout:
        """The columns and indexes of a table at its latest version.

        A layout is the same object until the table has another version.

        Args:
            max_age: seconds for which a layout is used without a look at the table.

        Raises:
            NotFoundError, InputError
        """
        known: Layout | None = self.snapshots.get(collection)
        if known is None or self.snapshots.get(collection, max_age) is None:
            known = self._latest(collection, known)
            self.snapshots.put(collection, known)
            self._settings[collection] = (time.monotonic(), known.table.settings)
        return known

    def _latest(self, collection: str, known: Layout | None) -> Layout:
        """The layout of the latest version: ``known`` if it still is."""
        stamp = known and manifest(self.connection, collection, known.version)
        if known is not None and stamp is not None and known.manifest is not None:
            if stamp == known.manifest:
                return known
            known = None  # a table of the same name and version
        try:
            handle = self.connection.open_table(collection)
        except NotFoundError:
            self.forget(collection)
            raise NotFoundError.missing("collection", collection, self.collections()) from None
        with translated(f"open the table {collection!r}"):
            same = known is not None and rows.shown(handle) == (known.version, known.table.arrow)
        if known is not None and same:
            return known
        return snapshot.read_layout(self.connection, collection, handle, self._options)

    def forget(self, collection: str) -> None:
        super().forget(collection)
        self._settings.pop(collection, None)
        self._written.pop(collection, None)

    def table(self, collection: str) -> Table:
        return self.layout(collection).table

    # -- rows --------------------------------------------------------------------------------

    def write(self, collection: str, batch: Batch) -> None:
        def write() -> Written | None:
            table, handle, version = self._writer(collection)
            ready = batch.ready(table.wanted, {}, normalizes_cosine=self.traits.normalizes_cosine)
            if not len(ready):
                return None
            if collections.choose_key(self.connection, table, ready.ids):
                self.forget(collection)
                table, handle, version = self._writer(collection)
            return rows.write(handle, version, table, ready, self._written.get(collection))

        with self._writing:
            done = retried(f"write to {collection!r}", write, time.sleep)
            if done is not None:
                stamp = manifest(self.connection, collection, done.version)
                self._written[collection] = replace(done, manifest=stamp)
        self.snapshots.forget(collection)  # the settings are the same

    def _writer(self, collection: str) -> tuple[Table, Any, int]:
        """The columns, a handle and the latest version: those of the last write, if no other client
        changed the table since, because opening a table takes as long as writing 1,000 rows."""
        known = self._written.get(collection)
        if known is not None:
            stamp = manifest(self.connection, collection, known.version)
            if stamp is not None and known.manifest is not None:
                if stamp == known.manifest:
                    return known.table, known.handle, known.version
                self.forget(collection)  # a table of the same name and version
                return self._writer(collection)
            # If the table was dropped, opening it has the error.
            with suppress(StoreError), translated(f"open the table {collection!r}"):
                if rows.shown(known.handle, latest=True) == (known.version, known.table.arrow):
                    return known.table, known.handle, known.version
        table = self.layout(collection).table
        handle = self.connection.open_table(collection)
        return table, handle, handle.version

    def delete(self, collection: str, ids: Sequence[Id]) -> None:
        table = self.table(collection)
        possible = [each for each in ids if row_ids.accepts(table, each)]

        def delete() -> None:
            handle = self.connection.open_table(collection)
            for start in range(0, len(possible), rows.FETCHED):
                handle.delete(schema.sql_ids(table.key, possible[start : start + rows.FETCHED]))

        retried(f"delete rows of {collection!r}", delete, time.sleep)
        self.forget(collection)

    def count(self, collection: str, filter: Any = None) -> int:
        layout = self.layout(collection)
        condition = self._condition(layout, filter)
        with translated(f"count the rows of {collection!r}"):
            return int(layout.handle.count_rows(condition))

    def _condition(self, layout: Layout, filter: Any) -> str | None:
        with translated(f"read {layout.table.name!r}"):
            read = rows.reader(layout.handle, layout.table)
            return filters.to_condition(filter, layout.table, read)

    def fetch(
        self,
        collection: str,
        ids: Sequence[Id],
        *,
        vectors: Sequence[str] | None = None,
        payload: bool = True,
    ) -> Batch:
        layout = self.layout(collection)
        names = self.vector_names(layout.table, vectors)
        with translated(f"read rows of {collection!r}"):
            return rows.fetch(layout.handle, layout.table, ids, names, payload)

    def read(self, collection: str, request: ReadRequest = ALL_ROWS) -> Iterator[Batch]:
        checks.page(request.page)
        layout = self.layout(collection)
        handle, version = layout.handle, layout.version
        if self._pinned.get(collection, version) != version:
            version = self._pinned[collection]
            handle = self.connection.open_table(collection)
            with translated(f"read {collection!r}"):
                handle.checkout(version)
        if request.after is not None:
            row_ids.check_ids(layout.table, [request.after])
        names = self.vector_names(layout.table, request.vectors)
        condition = self._condition(layout, request.filter)
        whole = condition is None and not request.scan_range and request.after is None
        ordered = self._ordered.get(collection) == version
        if not ordered:
            ordered = rows.are_in_order(handle, layout.table, request, condition)
            if ordered and whole:
                self._ordered[collection] = version
        return rows.pages(handle, layout.table, names, request, condition, ordered=ordered)

    @contextmanager
    def consistent_reads(
        self, collection: str, snapshot: str | None = None
    ) -> Iterator[str | None]:
        """All reads within the context show one version of the table, also in other processes."""
        version = int(snapshot) if snapshot is not None else self.layout(collection).version
        self._pinned[collection] = version
        try:
            yield str(version)
        finally:
            self._pinned.pop(collection, None)

    def scan_ranges(self, collection: str, n: int) -> list[ScanRange]:
        layout = self.layout(collection)
        with translated(f"divide {collection!r} into ranges"):
            return [dict(each) for each in scan_ranges.ranges(layout.handle, layout.table, n)]

    def hidden_rows(self, collection: str) -> tuple[int, Sequence[Id]]:
        layout = self.layout(collection)
        with translated(f"read the ids of {collection!r}"):
            return scan_ranges.hidden(layout.handle, layout.table)

    def unsupported_vectors(self, vectors: Mapping[str, Vector]) -> str | None:
        return schema.unsupported(vectors)

    # -- searching ---------------------------------------------------------------------------

    def search(self, collection: str, queries: Any, request: SearchRequest) -> Hits:
        array = np.atleast_2d(np.asarray(queries, dtype=np.float32))
        prepared = self._prepared(self.layout(collection), request)
        with translated(f"search {collection!r}"):
            return search.run(prepared, array)

    def prepare_search(self, collection: str, request: SearchRequest) -> PreparedSearch | None:
        if request.filter is not None:
            return None
        layout = self.layout(collection, SEARCH_AGE)
        prepared = self._prepared(layout, request)
        return RepeatedSearch(self, collection, layout, prepared)

    def _prepared(
        self, layout: Layout, request: SearchRequest, index: VectorIndex | None = None
    ) -> Prepared:
        column = layout.table.column_of(request.vector)
        condition = self._condition(layout, request.filter)
        index = index or layout.index_of(column)
        return search.prepare(layout, column, request, condition, index)

    def client_search(
        self, collection: str, request: SearchRequest, target: Quantization | None = None
    ) -> ClientSearch:
        layout = self.layout(collection)
        column = layout.table.column_of(request.vector)
        index = None
        if target is not None:
            native = self.map(target, column.vector).native
            if native:
                metric = mapping.WORDS[column.vector.metric]
                index = VectorIndex("", metric, native, indexed=1)
        prepared = self._prepared(layout, request, index)
        return ClientSearch(request.k, prepared.params, details=client_code.details(prepared))

    # -- quantization ------------------------------------------------------------------------

    def map(self, quantization: Quantization, vector: Vector) -> MappedQuantization:
        return mapping.to_native(quantization, vector)

    def plan_change(self, request: ChangeRequest) -> ChangePlan:
        taken: snapshot.Snapshot = request.inspection.native
        vector = request.target_vector or taken.table.column_of(request.vector).vector
        return changes.plan_change(request, self.mapped_change(request, vector))

    # -- settings ----------------------------------------------------------------------------

    def load_settings(self, collection: str) -> Mapping[str, Any] | None:
        read_at, found = self._settings.get(collection, (-math.inf, {}))
        if time.monotonic() - read_at > SETTINGS_AGE:
            found = self.layout(collection).table.settings
        return dict(found)

    def write_settings(self, collection: str, settings_: Mapping[str, Any]) -> None:
        settings.write(self, collection, settings_)

    # -- doctor ------------------------------------------------------------------------------

    def findings(
        self, info: CollectionInfo, options: Mapping[str, Any] | None = None
    ) -> list[Finding]:
        taken = snapshot.take_snapshot(self.layout(info.name), self._options)
        with translated(f"read the ids of {info.name!r}"):
            return diagnostics.findings(taken, options)
