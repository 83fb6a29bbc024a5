"""``chroma:DIR`` and ``chroma+http://...``: collections of Chroma."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from qadapt.errors import InputError, NotFoundError, UnsupportedError
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
    PreparedSearch,
    ReadRequest,
    ScanRange,
    SearchRequest,
)
from qadapt.stores.change import ChangePlan, ChangeRequest, Inspection
from qadapt.stores.change_counter import ChangeCounter
from qadapt.stores.chroma import (
    change_counter,
    changes,
    diagnostics,
    ids,
    mapping,
    prepared_search,
    rows,
    schema,
    search,
    settings,
    snapshot,
)
from qadapt.stores.chroma.connection import EMBEDDED, Connection, address_of, connect
from qadapt.stores.chroma.profile import PROFILE
from qadapt.stores.chroma.schema import Layout
from qadapt.stores.client import ClientStore
from qadapt.stores.client_form import ClientSearch

# Seconds for which reads and searches use the description of a collection that was read last.
FRESH = 5.0
LISTED = 1_000
T = TypeVar("T")


class ChromaStore(ClientStore[Connection]):
    """Collections of one database of Chroma; each has one vector."""

    profile = PROFILE

    def __init__(
        self, address: Address, connection: Connection, *, disabled: Sequence[str] = ()
    ) -> None:
        super().__init__(address, connection, disabled=disabled)
        self._foreign = change_counter.ForeignWrites(connection.folder)

    @classmethod
    def open(cls, address: Address, *, disabled: Sequence[str] = ()) -> ChromaStore:
        """Open a folder, or connect to a server.

        Raises:
            MissingExtraError, AddressError, UnreachableError, AuthError, StoreError
        """
        return cls(address, connect(address), disabled=disabled)

    @classmethod
    def wrap(cls, client: object, *, disabled: Sequence[str] = ()) -> ChromaStore:
        """A store on a client of chromadb, which qadapt never closes.

        Raises:
            UnsupportedError: an asynchronous client, or a collection.
        """
        return cls(address_of(client), Connection(client, owned=False), disabled=disabled)

    @property
    def in_process(self) -> bool:
        return self._connection.deployment == EMBEDDED

    # -- collections -------------------------------------------------------------------------

    def collections(self) -> list[str]:
        names: list[str] = []
        client = self.connection.client
        while True:
            page = self.connection.call(
                "list the collections", client.list_collections, LISTED, len(names)
            )
            names += [each.name for each in page]
            if len(page) < LISTED:
                return sorted(names)

    def create(
        self,
        collection: str,
        vectors: Mapping[str, Vector],
        quantization: Mapping[str, Quantization],
        collection_schema: Any = None,
    ) -> None:
        schema.check_name(collection)
        self.map_all(quantization, vectors, limits="docs/chroma.md")
        vector = vectors[""]
        self.connection.call(
            f"create {collection!r}",
            self.connection.client.create_collection,
            collection,
            metadata={schema.KEY: schema.settings_text({"dim": vector.dim})},
            configuration={"hnsw": {"space": schema.OF_METRIC[vector.metric]}},
            embedding_function=None,
        )
        self.forget(collection)

    def drop(self, collection: str) -> None:
        self._read(collection)
        client = self.connection.client
        self.connection.call(f"drop {collection!r}", client.delete_collection, collection)
        self.forget(collection)

    def inspect(self, collection: str) -> Inspection:
        taken = snapshot.take_snapshot(self.connection, self._read(collection))
        return Inspection(snapshot.collection_info(self.server(), taken), taken)

    def unsupported_vectors(self, vectors: Mapping[str, Vector]) -> str | None:
        return schema.unsupported(vectors)

    def _read(self, collection: str) -> Layout:
        """The description of a collection, read now.

        Raises:
            NotFoundError
        """
        self.forget(collection)
        try:
            native = self.connection.call(
                f"read {collection!r}",
                self.connection.client.get_collection,
                collection,
                embedding_function=None,
            )
        except (NotFoundError, InputError) as error:  # an invalid name is an invalid argument
            raise NotFoundError.missing("collection", collection, self.collections()) from error
        found = schema.layout(native)
        self.snapshots.put(collection, found)
        return found

    def _with(self, collection: str, run: Callable[[Layout], T]) -> T:
        """Run a call with the description of a collection, and once more if the collection was
        created again since it was read."""
        known: Layout | None = self.snapshots.get(collection, FRESH)
        if known is None:
            return run(self._read(collection))
        try:
            return run(known)
        except NotFoundError:
            return run(self._read(collection))

    def _names(self, layout: Layout, names: Sequence[str] | None) -> bool:
        """Whether vectors are requested.

        Raises:
            NotFoundError: an unknown name.
        """
        for name in names or ():
            checks.vector(name, {"": layout.vector}, {})
        return names is None or bool(names)

    # -- rows --------------------------------------------------------------------------------

    def write(self, collection: str, batch: Batch) -> None:
        ids.check(batch.ids)
        layout = self._read(collection)
        vector = layout.vector or _vector_of(layout, batch)
        batch = batch.ready({"": vector}, normalizes_cosine=False)
        stored = rows.stored_payloads(batch)
        if not len(batch):
            return
        batch = self._complete(layout, batch)
        layout = self._recorded(layout, batch, frozenset().union(*(e.unfiltered for e in stored)))
        with self._foreign.writing(layout.uuid):
            rows.write(self.connection, layout, batch, stored)
        if layout.native._model.dimension is None:
            self.forget(collection)  # Chroma knows the dimensions now

    def _complete(self, layout: Layout, batch: Batch) -> Batch:
        """The batch with a vector in each row.

        Raises:
            InputError
        """
        if "" not in batch.vectors:
            vectors = rows.stored_vectors(self.connection, layout, batch)
            return Batch(batch.ids, {"": vectors}, batch.payloads)
        lacking = batch.missing.get("")
        if lacking is not None and lacking.any():
            key = batch.ids[int(np.flatnonzero(lacking)[0])]
            raise InputError(
                f"the row {key!r} has no vector, and Chroma requires one in each row",
                hint="write the row with its vector, or omit it",
            )
        return batch

    def _recorded(self, layout: Layout, batch: Batch, unfiltered: frozenset[str]) -> Layout:
        """Record what readers must know of rows before they are written.

        Raises:
            InputError: an integer and a text with the same digits.
        """
        entries: dict[str, Any] = {}
        if any(isinstance(key, int) for key in batch.ids) and not layout.integers:
            integers = not rows.has_numbers(self.connection, layout)
            ids.check_kind(batch.ids, integers=integers)
            entries["ids"] = "integers"
        else:
            ids.check_kind(batch.ids, integers=layout.integers)
        if not unfiltered <= layout.unfiltered:
            entries["unfiltered"] = sorted(unfiltered | layout.unfiltered)
        if not entries:
            return layout
        if not settings.writable(layout):
            raise UnsupportedError(
                f"the rows need a setting in the metadata of {layout.name!r}, and Chroma refuses "
                "changes of metadata with 'hnsw:space'",
                hint="use texts as ids, and payloads without lists of numbers or of several types; "
                "or copy the rows to another collection",
            )
        settings.update(self.connection, layout, **entries)
        return self._read(layout.name)

    def delete(self, collection: str, ids: Sequence[Id]) -> None:
        def run(layout: Layout) -> None:
            with self._foreign.writing(layout.uuid):
                rows.delete(self.connection, layout, ids)

        self._with(collection, run)

    def count(self, collection: str, filter: Any = None) -> int:
        return self._with(collection, lambda layout: rows.count(self.connection, layout, filter))

    def change_counter(self, collection: str) -> ChangeCounter | None:
        folder = self.connection.folder
        return self._with(collection, lambda layout: change_counter.read(folder, layout.uuid))

    def fetch(
        self,
        collection: str,
        ids: Sequence[Id],
        *,
        vectors: Sequence[str] | None = None,
        payload: bool = True,
    ) -> Batch:
        def run(layout: Layout) -> Batch:
            wanted = self._names(layout, vectors)
            return rows.fetch(self.connection, layout, ids, vectors=wanted, payloads=payload)

        return self._with(collection, run)

    def read(self, collection: str, request: ReadRequest = ALL_ROWS) -> Iterator[Batch]:
        checks.page(request.page)
        if request.after is not None:
            ids.check([request.after])
        layout = self._read(collection)
        wanted = self._names(layout, request.vectors)
        return rows.pages(self.connection, layout, request, vectors=wanted)

    def scan_ranges(self, collection: str, n: int) -> list[ScanRange]:
        return self._with(collection, lambda found: rows.scan_ranges(self.connection, found, n))

    # -- searching ---------------------------------------------------------------------------

    def search(self, collection: str, queries: Any, request: SearchRequest) -> Hits:
        array = np.atleast_2d(np.asarray(queries, dtype=np.float32))
        return self._with(
            collection,
            lambda layout: search.run(self.connection, layout, array, request, self._foreign),
        )

    def prepare_search(self, collection: str, request: SearchRequest) -> PreparedSearch | None:
        if request.filter is not None or request.exact:
            return None
        search.check(request)
        layout = self._with(collection, lambda found: found)
        run = search.IndexSearch(self.connection, layout, request, foreign=self._foreign)
        searched = prepared_search.searcher(run) or run

        def prepared(queries: Any) -> Hits | None:
            if self.snapshots.get(collection, FRESH) is not layout:
                return None
            return searched(queries)

        return prepared

    def client_search(
        self, collection: str, request: SearchRequest, target: Quantization | None = None
    ) -> ClientSearch:
        return self._with(
            collection, lambda layout: ClientSearch(request.k, {}, details={"uuid": layout.uuid})
        )

    # -- quantization ------------------------------------------------------------------------

    def map(self, quantization: Quantization, vector: Vector) -> MappedQuantization:
        return mapping.to_native(quantization, vector)

    def plan_change(self, request: ChangeRequest) -> ChangePlan:
        return changes.plan_change(request)

    # -- settings ----------------------------------------------------------------------------

    def load_settings(self, collection: str) -> Mapping[str, Any] | None:
        return self._with(collection, settings.load)

    def write_settings(self, collection: str, settings_: Mapping[str, Any]) -> None:
        entries = {settings.SEARCH: dict(settings_)}
        settings.update(self.connection, self._read(collection), **entries)

    # -- doctor ------------------------------------------------------------------------------

    def findings(
        self, info: CollectionInfo, options: Mapping[str, Any] | None = None
    ) -> list[Finding]:
        return diagnostics.findings(snapshot.take_snapshot(self.connection, self._read(info.name)))


def _vector_of(layout: Layout, batch: Batch) -> Vector:
    """The vector of a collection of another program without rows: its dimensions are those of the
    first row.

    Raises:
        InputError: no vectors.
    """
    if "" not in batch.vectors:
        raise InputError(
            f"the collection {layout.name!r} has no rows, and the batch has no vectors",
            hint="write rows with their vectors",
        )
    metric: Metric = schema.SPACES[layout.space]
    return Vector(batch.vectors[""].shape[1], metric)
