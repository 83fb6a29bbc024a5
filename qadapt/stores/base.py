"""The interface of a store, which every database implements.

A store exposes only native features of its engine. Fallbacks, client-side rescoring and plan files
are in the layers above, and are the same for all stores.
"""

from __future__ import annotations

import abc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from qadapt.errors import InputError, UnsupportedError
from qadapt.model import (
    Batch,
    Capabilities,
    CollectionInfo,
    CollectionSchema,
    Finding,
    Hits,
    Id,
    Quantization,
    Rescore,
    Server,
    Vector,
)
from qadapt.model.address import Address
from qadapt.stores import checks
from qadapt.stores.awaited import LoopClients
from qadapt.stores.bulk_copy import BulkCopy
from qadapt.stores.change import ChangePlan, ChangeRequest, Inspection
from qadapt.stores.change_counter import Counted
from qadapt.stores.changeable import Changeable
from qadapt.stores.client_form import ClientSearch
from qadapt.stores.engine_memory import Measured
from qadapt.stores.sampling import Sampled
from qadapt.stores.saved_settings import KeepsSettings
from qadapt.stores.snapshots import SnapshotCache
from qadapt.stores.store_types import (
    ALL_ROWS,
    MAX_K,
    PAGE,
    PAYLOAD_KINDS,
    MappedQuantization,
    OnProgress,
    PayloadFidelity,
    PreparedSearch,
    Progress,
    ReadRequest,
    RowConstraints,
    ScanRange,
    SearchRequest,
    check_k,
    require_supported,
    silent,
    unknown_kind,
    unsupported_error,
)

__all__ = [
    "ALL_ROWS",
    "MAX_K",
    "PAGE",
    "PAYLOAD_KINDS",
    "ChangePlan",
    "ChangeRequest",
    "Inspection",
    "MappedQuantization",
    "OnProgress",
    "PayloadFidelity",
    "PreparedSearch",
    "Progress",
    "ReadRequest",
    "RowConstraints",
    "ScanRange",
    "SearchRequest",
    "Store",
    "check_k",
    "require_supported",
    "silent",
    "unknown_kind",
    "unsupported_error",
]


class Store(BulkCopy, Changeable, Counted, Measured, Sampled, KeepsSettings):
    """A database of collections.

    Subclasses open with ``Store.open(address)``; those whose client can be wrapped also implement
    ``Store.wrap(client)``. Every method raises only errors of ``qadapt.errors``. ``BulkCopy`` has
    the methods for copies, ``Changeable`` those for changes of a vector, ``Counted`` those for
    change counters, ``Measured`` those for memory, ``Sampled`` those for random samples, and
    ``KeepsSettings`` those for settings that are saved with a collection.

    Attributes:
        profile: describes the store without opening it; the entry point names the same object.
        address: the address; print it only with ``str()``, which masks keys.
        snapshots: the last snapshot of each collection.
    """

    def __init__(self, address: Address, *, disabled: Sequence[str] = ()) -> None:
        self.address = address
        self.disabled = tuple(disabled)
        self.snapshots: SnapshotCache[Any] = SnapshotCache()
        # Settings of each collection with the local and the stored ones that they were made from.
        self.merged_settings: dict[str, tuple[Any, Any, Any]] = {}

    # -- opening and closing -----------------------------------------------------------------

    @classmethod
    @abc.abstractmethod
    def open(cls, address: Address, *, disabled: Sequence[str] = ()) -> Store:
        """Open the store at an address.

        Raises:
            MissingExtraError, UnreachableError, AuthError, NotFoundError
        """

    @classmethod
    def wraps(cls, client: object) -> bool:
        """Whether ``client`` is of this store's client library; imports nothing."""
        return False

    @classmethod
    def wrap(cls, client: object, *, disabled: Sequence[str] = ()) -> Store:
        """Return a store on a client that the user opened; the store never closes it.

        Raises:
            UnsupportedError: the store cannot wrap a client, or not one of this kind.
        """
        raise UnsupportedError(
            f"the store {cls.profile.name!r} cannot wrap a client", hint="open it by its address"
        )

    # Whether an event loop can await prepared searches of one query (``stores.awaited``); otherwise
    # each search waits in a thread.
    awaits_searches: bool = False
    # Asynchronous clients, which an ``AsyncDatabase`` closes; None if awaited searches need none.
    loop_clients: LoopClients[Any] | None = None

    # Set by the database object; stores that open files on demand would otherwise open them again.
    closed: bool = False

    @abc.abstractmethod
    def close(self) -> None:
        """Close what was opened; a client that the user opened stays open."""

    @abc.abstractmethod
    def server(self) -> Server:
        """The engine, its version and its deployment."""

    @abc.abstractmethod
    def capabilities(self) -> Capabilities:
        """The features that this server supports, except those that the user disabled."""

    # -- collections -------------------------------------------------------------------------

    @abc.abstractmethod
    def collections(self) -> list[str]:
        """The names of all collections, sorted."""

    def has(self, collection: str) -> bool:
        """Whether a collection or an alias of this name exists.

        For ``NAME@PARTITION``, only ``NAME`` is looked up; the partition is checked at its first
        use.
        """
        known = {*self.collections(), *self.aliases()}
        return collection in known or self.collection_of(collection) in known

    def collection_of(self, collection: str) -> str:
        """The collection of a name, which may be ``NAME@PARTITION``."""
        return collection

    @abc.abstractmethod
    def create(
        self,
        collection: str,
        vectors: Mapping[str, Vector],
        quantization: Mapping[str, Quantization],
        collection_schema: CollectionSchema | None = None,
    ) -> None:
        """Create a collection; vectors that ``quantization`` does not name are not quantized.

        Args:
            collection_schema: additional schema; contains only what ``unsupported_schema`` accepts.

        Raises:
            AlreadyExistsError, UnsupportedError
        """

    @abc.abstractmethod
    def drop(self, collection: str) -> None:
        """Delete a collection and all its rows.

        Raises:
            NotFoundError
        """

    @contextmanager
    def survey(self) -> Iterator[None]:
        """Share one server response while many collections are inspected."""
        yield

    # -- rows --------------------------------------------------------------------------------

    @abc.abstractmethod
    def write(self, collection: str, batch: Batch) -> None:
        """Upsert rows. All rows are validated (``batch.ready``) before any are sent.

        Raises:
            DimensionError, NonFiniteError, ZeroVectorError, SpecError, NotFoundError
            InputError: values that the datatype of a vector cannot represent.
        """

    @abc.abstractmethod
    def delete(self, collection: str, ids: Sequence[Id]) -> None:
        """Delete rows; unknown ids are ignored."""

    @abc.abstractmethod
    def count(self, collection: str, filter: Any = None) -> int:
        """The exact number of rows; with a filter, of the matching rows."""

    @abc.abstractmethod
    def fetch(
        self,
        collection: str,
        ids: Sequence[Id],
        *,
        vectors: Sequence[str] | None = None,
        payload: bool = True,
    ) -> Batch:
        """Return rows by id, in the requested order; missing ids are omitted.

        Args:
            vectors: names of the vectors to return, including sparse vectors and multivectors; None
                for all dense vectors, ``()`` for none.
        """

    @abc.abstractmethod
    def read(
        self,
        collection: str,
        request: ReadRequest = ALL_ROWS,
    ) -> Iterator[Batch]:
        """Read all rows, or those of ``request``, in pages, in the store's order of ids.

        Raises:
            InputError: the page size is 0, or ``after`` is not a valid id of this store.
            NotFoundError
        """

    def consistent_reads(
        self, collection: str, snapshot: str | None = None
    ) -> AbstractContextManager[str | None]:
        """Within the context, all threads that ``read`` see the rows as they were at its begin.

        Args:
            snapshot: what the context of another process gave: the reads see the same rows, as long
                as that context is open.

        Returns:
            The snapshot for other processes. None for a store without snapshots, which reads the
            current state of each row.
        """
        return nullcontext()

    def scan_ranges(self, collection: str, n: int) -> list[ScanRange]:
        """Divide a collection into about ``n`` disjoint ranges that can be read in parallel.

        A range is plain data that can be saved to a journal. It is valid in other processes and
        while rows are written.
        """
        return [{}]

    # -- searching ---------------------------------------------------------------------------

    @abc.abstractmethod
    def search(self, collection: str, queries: Any, request: SearchRequest) -> Hits:
        """Run a native search of float32 queries ``(nq, d)``, which are already validated.

        Raises:
            UnsupportedError: ``request`` uses a feature that the store does not have.
        """

    def prepare_search(self, collection: str, request: SearchRequest) -> PreparedSearch | None:
        """A search with everything resolved but the queries; None if the store has none.

        It is called with float32 queries ``(nq, d)`` of the right dimension, with norms from 0.02
        to 10,000, and returns what ``search`` returns; None after a change of anything that it, or
        another method with an answer that searches depend on, was derived from.
        """
        return None

    def default_rescore(self, collection: str, vector: str) -> Rescore | None:
        """The rescoring of a search that does not specify any; as in ``info``, but may be
        cheaper."""
        return self.info(collection).vectors[vector].default_rescore

    def limit_rescore(self, collection: str, rescore: Rescore, k: int = 10) -> Rescore:
        """Limit a default rescoring to the number of candidates that the collection allows."""
        return rescore

    def max_results(self, collection: str) -> int:
        """The largest number of results of one search, within the limits of the collection."""
        return self.traits.max_k

    def rescores_natively(self, collection: str, vector: str) -> bool:
        """Whether the store rescores candidates with the original vectors; otherwise qadapt
        does."""
        return self.capabilities().native("native-rescore")

    def client_search(
        self, collection: str, request: SearchRequest, target: Quantization | None = None
    ) -> ClientSearch:
        """What a client without qadapt sends for the results of ``search`` with this request.

        Args:
            request: queries are searched with ``rescore`` and ``options`` of it.
            target: the quantization that the vector will have; None for the current one.

        Raises:
            UnsupportedError: as ``search``.
        """
        return ClientSearch(request.k)

    # -- quantization ------------------------------------------------------------------------

    def map_all(
        self, given: Mapping[str, Quantization], vectors: Mapping[str, Vector], *, limits: str
    ) -> dict[str, MappedQuantization]:
        """Map the quantization of each vector of a new collection.

        Args:
            limits: the page that lists the limits of the store.

        Raises:
            InputError: there is no vector.
            NotFoundError: a quantization for an unknown vector.
            UnsupportedError: the store does not support a vector or a quantization.
        """
        if not vectors:
            raise InputError("a collection needs at least one vector", hint="for example dim=384")
        if problem := self.unsupported_vectors(vectors):
            raise UnsupportedError(problem, hint=f"{limits} lists the limits")
        return {
            name: require_supported(self.map(each, vectors[name]), each, self.name)
            for name, each in checks.quantizations(given, vectors).items()
        }

    # -- aliases -----------------------------------------------------------------------------

    def aliases(self) -> Mapping[str, str]:
        """The collection of each alias; empty if the store has no aliases."""
        return {}

    def switch_alias(self, alias: str, collection: str) -> None:
        """Create an alias, or move it atomically.

        Raises:
            UnsupportedError: the store has no aliases.
            NotFoundError: the collection does not exist.
            AlreadyExistsError: a collection has this name.
        """
        raise UnsupportedError(
            f"{self.name} has no aliases",
            hint="open the collection by its name",
        )

    def drop_alias(self, alias: str) -> None:
        """Delete an alias; the collection is kept.

        Raises:
            UnsupportedError: the store has no aliases.
            NotFoundError: the alias does not exist.
        """
        raise UnsupportedError(
            f"{self.name} has no aliases",
            hint="open the collection by its name",
        )

    # -- doctor ------------------------------------------------------------------------------

    def findings(
        self, info: CollectionInfo, options: Mapping[str, Any] | None = None
    ) -> list[Finding]:
        """Store-specific findings of ``qadapt doctor``, which adds the checks that all stores
        share.

        Args:
            info: the collection, as just inspected.
            options: native search parameters, as the user's program sends them.
        """
        return []
