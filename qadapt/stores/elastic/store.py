"""The base of both stores: everything that does not depend on the product."""

from __future__ import annotations

import abc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, Generic, TypeVar

import numpy as np

from qadapt.errors import NotFoundError, UnsupportedError
from qadapt.model import Batch, Hits, Id, Quantization, Vector
from qadapt.model.address import Address
from qadapt.stores import checks
from qadapt.stores.awaited import AwaitedSearch
from qadapt.stores.base import ALL_ROWS, PreparedSearch, ReadRequest, ScanRange, SearchRequest
from qadapt.stores.change import Inspection
from qadapt.stores.client import ClientStore
from qadapt.stores.elastic import (
    aliases,
    collections,
    refreshes,
    rows,
    scan_ranges,
    schema,
    search,
    settings,
)
from qadapt.stores.elastic.connection import ClientWire, Connection
from qadapt.stores.elastic.filters import to_query
from qadapt.stores.elastic.product import Product
from qadapt.stores.elastic.schema import Index, VectorField
from qadapt.stores.elastic.search import Prepared
from qadapt.stores.elastic.snapshot import Snapshot

# Seconds for which searches and reads use the description of an index.
SCHEMA_AGE = 10.0
P = TypeVar("P", bound=Product)


class ElasticStore(ClientStore[Connection], Generic[P]):
    """Indexes with vector fields on a server of Elasticsearch or OpenSearch.

    A collection is an index, or an alias of one index. Writes of this object are visible to its
    reads and searches, because it refreshes an index that it has written to; other clients see
    them after the refresh interval (one second by default). Counts and reads of all rows refresh
    the index first, so that they include the writes of other clients. Thread-safe.

    Attributes:
        limits: the page with the limits.
        wire: the client.
        product_type: the product at a version.
    """

    limits: str
    wire: type[ClientWire]
    product_type: type[P]

    def __init__(
        self, address: Address, connection: Connection, *, disabled: Sequence[str] = ()
    ) -> None:
        super().__init__(address, connection, disabled=disabled)
        self.loop_clients = connection.wire.loop_clients
        self.awaits_searches = self.loop_clients is not None
        self._product: P | None = None
        # Indexes with writes that no refresh followed.
        self._unrefreshed: set[str] = set()
        self._points: dict[str, str] = {}

    @classmethod
    def open(cls, address: Address, *, disabled: Sequence[str] = ()) -> ElasticStore[P]:
        """Connect to a server.

        Raises:
            MissingExtraError, AddressError, UnreachableError, AuthError
            StoreError: the server is another product.
            UnsupportedError: an older version.
        """
        return cls(address, cls.wire.connect(address), disabled=disabled)._checked()

    @classmethod
    def wrap(cls, client: object, *, disabled: Sequence[str] = ()) -> ElasticStore[P]:
        """A store on a client of the user, which qadapt never closes.

        Raises:
            StoreError: the server is another product.
            UnsupportedError: an asynchronous client, or an older version of the server.
        """
        address, connection = cls.wire.wrapped(client)
        return cls(address, connection, disabled=disabled)._checked()

    def _checked(self) -> ElasticStore[P]:
        lacking = self.product.server_version.lacks("qadapt needs", self.product.oldest)
        if lacking:
            self.close()
            raise UnsupportedError(lacking, hint="upgrade the server")
        return self

    @abc.abstractmethod
    def take_snapshot(self, index: Index) -> Snapshot[Any]:
        """Read the evidence of an index."""

    @abc.abstractmethod
    def prepare(
        self, index: Index, request: SearchRequest, target: Quantization | None = None
    ) -> Prepared:
        """The bodies of a search, and how it searches.

        Args:
            target: the quantization that the vector will have; None for the current one.

        Raises:
            UnsupportedError, InputError
        """

    @property
    def product(self) -> P:
        """The product and its version."""
        if self._product is None:
            self._product = self.product_type(self.connection.version)
        return self._product

    # -- collections -------------------------------------------------------------------------

    def collections(self) -> list[str]:
        """Names of indexes with vectors, and of their aliases, sorted."""
        indexes = collections.names(self.connection, self.product)
        known = set(indexes)
        found = [alias for alias, index in self.aliases().items() if index in known]
        return sorted([*indexes, *found])

    def has(self, collection: str) -> bool:
        return schema.read(self.connection, collection, self.product) is not None

    def index(self, collection: str) -> Index:
        """The index of a collection, read again.

        Raises:
            NotFoundError
            UnsupportedError: a data stream, or an alias of several indexes.
        """
        found = schema.read(self.connection, collection, self.product)
        if found is None:
            raise NotFoundError.missing("collection", collection, self.collections())
        return self.snapshots.put(collection, found)  # type: ignore[no-any-return]

    def inspect(self, collection: str) -> Inspection:
        index = self.index(collection)
        self._refresh(index)
        taken = self.take_snapshot(index)
        return Inspection(taken.info(self.server()), taken)

    def known_index(self, collection: str) -> Index:
        """The index as it was at most ``SCHEMA_AGE`` seconds ago, with own writes visible."""
        found = self._recent_index(collection)
        self._refresh(found)
        return found

    def complete_index(self, collection: str) -> Index:
        """The index as it was at most ``SCHEMA_AGE`` seconds ago, with all writes visible.

        Raises:
            AuthError: the key may not refresh the index, and automatic refreshes are turned off.
        """
        found = self._recent_index(collection)
        if found.real not in self._points:  # a point in time shows no later writes
            with self._refreshing(found):
                refreshes.show_all(self.connection, self.product, found)
        return found

    def _recent_index(self, collection: str) -> Index:
        found: Index | None = self.snapshots.get(collection, SCHEMA_AGE)
        return found or self.index(collection)

    def _refresh(self, index: Index) -> None:
        """Make the writes of this object visible."""
        if index.real in self._unrefreshed:
            with self._refreshing(index):
                refreshes.refresh(self.connection, index)

    @contextmanager
    def _refreshing(self, index: Index) -> Iterator[None]:
        """Writes until now are visible at the end, and are still noted if the refresh failed."""
        noted = index.real in self._unrefreshed
        self._unrefreshed.discard(index.real)
        try:
            yield
        except BaseException:
            if noted:
                self._unrefreshed.add(index.real)
            raise

    def create(
        self,
        collection: str,
        vectors: Mapping[str, Vector],
        quantization: Mapping[str, Quantization],
        collection_schema: Any = None,
    ) -> None:
        collections.check_name(collection)
        mapped = self.map_all(quantization, vectors, limits=self.limits)
        if self.has(collection):
            checks.new_name(collection, [collection])
        native = {name: each.native or {} for name, each in mapped.items()}
        collections.create(self.connection, self.product, collection, vectors, native)
        self.forget(collection)

    def drop(self, collection: str) -> None:
        """Delete an index; an alias is refused, unless it replaced the index of this name."""
        index = self.index(collection)
        if index.is_alias and index.meta.get("replaces") != collection:
            raise UnsupportedError(
                f"{collection!r} is an alias of the index {index.real!r}",
                hint=f"delete the alias (drop_alias), or the collection {index.real!r}",
            )
        collections.drop(self.connection, index.real)
        self._unrefreshed.discard(index.real)
        self.forget(collection)

    def forget(self, collection: str) -> None:
        """Discard all descriptions, because a name may be an alias."""
        self.snapshots.forget()

    # -- rows --------------------------------------------------------------------------------

    def write(self, collection: str, batch: Batch) -> None:
        # Read each time, because the server would create a missing index.
        index = self.index(collection)
        batch = batch.ready(
            index.vectors_wanted(), {}, normalizes_cosine=self.traits.normalizes_cosine
        )
        if not len(batch):
            return
        self._unrefreshed.add(index.real)
        rows.write(self.connection, self.product, index, batch)

    def delete(self, collection: str, ids: Sequence[Id]) -> None:
        index = self.index(collection)
        self._unrefreshed.add(index.real)
        rows.delete(self.connection, index, ids)

    def count(self, collection: str, filter: Any = None) -> int:
        index = self.complete_index(collection)
        return rows.count(self.connection, index, to_query(filter, index))

    def fetch(
        self,
        collection: str,
        ids: Sequence[Id],
        *,
        vectors: Sequence[str] | None = None,
        payload: bool = True,
    ) -> Batch:
        index = self.known_index(collection)
        fields = _fields(index, vectors)
        return rows.fetch(self.connection, self.product, index, ids, fields, payload)

    def read(self, collection: str, request: ReadRequest = ALL_ROWS) -> Iterator[Batch]:
        checks.page(request.page)
        index = self.complete_index(collection)
        fields = _fields(index, request.vectors)
        query = to_query(request.filter, index)
        pit = self._points.get(index.real)
        return scan_ranges.pages(self.connection, self.product, index, fields, request, query, pit)

    @contextmanager
    def consistent_reads(
        self, collection: str, snapshot: str | None = None
    ) -> Iterator[str | None]:
        """Reads of all threads use one point in time, which other processes can use, too."""
        index = self.complete_index(collection)
        opened = scan_ranges.point_in_time(self.connection, self.product, index)
        with opened if snapshot is None else nullcontext(snapshot) as pit:
            self._points[index.real] = pit
            try:
                yield pit
            finally:
                del self._points[index.real]

    def scan_ranges(self, collection: str, n: int) -> list[ScanRange]:
        self.complete_index(collection)
        return scan_ranges.scan_ranges(n if self.product.slices_by_id else 1)

    def unsupported_vectors(self, vectors: Mapping[str, Vector]) -> str | None:
        def check() -> None:
            for name, vector in vectors.items():
                collections.path_of(name)
                self.product.new_field(vector, {})

        return checks.problem(check)

    def uncopied(self, collection: str) -> Mapping[str, str]:
        index = self.known_index(collection)
        return {path: f"a field that {why}" for path, why in index.others.items()}

    def indexes_payload_automatically(self, key: str, kind: str) -> bool:
        """Terms serve equality and ranges of all values in an index that qadapt creates."""
        return kind in ("keyword", "integer", "float", "bool", "datetime", "uuid")

    # -- searching ---------------------------------------------------------------------------

    def search(self, collection: str, queries: Any, request: SearchRequest) -> Hits:
        index = self.known_index(collection)
        array = np.atleast_2d(np.asarray(queries, dtype=np.float32))
        return search.run(self.connection, self.product, self.prepare(index, request), array)

    def prepare_search(self, collection: str, request: SearchRequest) -> PreparedSearch | None:
        if request.exact or request.ignore_quantization:  # depends on the number of rows
            return None
        index = self.known_index(collection)
        return _PreparedSearch(self, collection, self.prepare(index, request))

    def unchanged(self, collection: str, index: Index) -> bool:
        """Whether an index is known to be as it was, with all writes visible."""
        known = self.snapshots.get(collection, SCHEMA_AGE) is index
        return known and index.real not in self._unrefreshed

    # -- aliases -----------------------------------------------------------------------------

    def aliases(self) -> Mapping[str, str]:
        return aliases.read(self.connection)

    def switch_alias(self, alias: str, collection: str) -> None:
        collections.check_name(alias)
        index = self.index(collection)
        known = self.aliases()
        aliases.check_new(alias, known, collections.names(self.connection, self.product))
        aliases.switch(self.connection, alias, index.real, known.get(alias))
        self.forget(alias)

    def drop_alias(self, alias: str) -> None:
        aliases.drop(self.connection, alias, self.aliases())
        self.forget(alias)

    # -- settings ----------------------------------------------------------------------------

    def load_settings(self, collection: str) -> Mapping[str, Any] | None:
        found: Index | None = self.snapshots.get(collection, SCHEMA_AGE)
        return settings.read(found or self.index(collection))

    def write_settings(self, collection: str, settings_: Mapping[str, Any]) -> None:
        index = self.index(collection)
        settings.write(self.connection, index, settings.SEARCH_KEY, dict(settings_))
        self.forget(collection)


def _fields(index: Index, names: Sequence[str] | None) -> list[VectorField]:
    if names is None:
        return list(index.vectors.values())
    return [index.field_of(name) for name in names]


class _PreparedSearch(AwaitedSearch):
    """A search whose bodies were made before; None once the index may have changed."""

    def __init__(self, store: ElasticStore[Any], collection: str, found: Prepared) -> None:
        self._store = store
        self._collection = collection
        self._found = found

    def __call__(self, queries: Any) -> Hits | None:
        store = self._store
        if not store.unchanged(self._collection, self._found.index):
            return None
        return search.run(store.connection, store.product, self._found, queries)

    async def awaited(self, queries: Any) -> Hits | None:
        store = self._store
        if not store.awaits_searches or not store.unchanged(self._collection, self._found.index):
            return None
        return await search.awaited(store.connection, store.product, self._found, queries)
