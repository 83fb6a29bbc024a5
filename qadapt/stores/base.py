"""What a store is: the one interface that every database is put behind.

A store does what its engine can do and nothing else: no fallback, no rescoring of ours, no
plan files. Those live one floor up and are the same for all stores.
"""

from __future__ import annotations

import abc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
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
from qadapt.stores import sampling
from qadapt.stores.bulk_copy import BulkCopy
from qadapt.stores.change import ChangePlan, ChangeRequest, Inspection
from qadapt.stores.change_counter import Counted
from qadapt.stores.changeable import Changeable
from qadapt.stores.snapshots import SnapshotCache
from qadapt.stores.store_types import (
    ALL_ROWS,
    MAX_K,
    PAGE,
    PAYLOAD_KINDS,
    MappedQuantization,
    OnProgress,
    PayloadFidelity,
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


class Store(BulkCopy, Changeable, Counted):
    """A database of collections.

    Subclasses open with ``Store.open(address)``; those whose client a user may already have
    also give ``Store.wrap(client)``. Every method raises only errors of ``qadapt.errors``. What
    concerns copies alone is in ``BulkCopy``, changes of a vector in ``Changeable``, and change
    counters in ``Counted``.

    Attributes:
        profile: what is known of the store without opening it; its entry point names the same
            object.
        address: where it is; shown only through ``str()``, which masks keys.
        snapshots: what was last read of each collection.
    """

    def __init__(self, address: Address, *, disabled: Sequence[str] = ()) -> None:
        self.address = address
        self.disabled = tuple(disabled)
        self.snapshots: SnapshotCache[Any] = SnapshotCache()

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
        """Whether ``client`` is one of this store's client library; imports nothing."""
        return False

    @classmethod
    def wrap(cls, client: object, *, disabled: Sequence[str] = ()) -> Store:
        """The store on a client that the user brought, which is never closed.

        Raises:
            UnsupportedError: this store has no client to wrap, or not of this kind.
        """
        raise UnsupportedError(
            f"the store {cls.profile.name!r} wraps no client", hint="open it by its address"
        )

    @abc.abstractmethod
    def close(self) -> None:
        """Give back what was opened; a client that the user brought is never closed."""

    @abc.abstractmethod
    def server(self) -> Server:
        """Which engine answers, at which version, deployed how."""

    @abc.abstractmethod
    def capabilities(self) -> Capabilities:
        """What this server can do, with what the user switched off."""

    # -- collections -------------------------------------------------------------------------

    @abc.abstractmethod
    def collections(self) -> list[str]:
        """Names, sorted."""

    def has(self, collection: str) -> bool:
        """Whether there is a collection, or an alias, of this name.

        Of ``NAME@PART``, a partition or a tenant, ``NAME`` is looked for; the part itself when it
        is first used.
        """
        known = {*self.collections(), *self.aliases()}
        return collection in known or self.collection_of(collection) in known

    def collection_of(self, collection: str) -> str:
        """The collection that a name means, which may be ``NAME@PART``: one partition or tenant."""
        return collection

    @abc.abstractmethod
    def create(
        self,
        collection: str,
        vectors: Mapping[str, Vector],
        quantization: Mapping[str, Quantization],
        collection_schema: CollectionSchema | None = None,
    ) -> None:
        """Create a collection; vectors that ``quantization`` does not name have none.

        Args:
            collection_schema: what else to make; given only where ``unsupported_schema`` refuses
            nothing of it.

        Raises:
            AlreadyExistsError, UnsupportedError
        """

    @abc.abstractmethod
    def drop(self, collection: str) -> None:
        """Delete a collection and all it holds.

        Raises:
            NotFoundError
        """

    @contextmanager
    def survey(self) -> Iterator[None]:
        """While many collections are looked at: what one answer of the server tells of all of
        them is asked once, at the beginning."""
        yield

    # -- rows --------------------------------------------------------------------------------

    @abc.abstractmethod
    def write(self, collection: str, batch: Batch) -> None:
        """Upsert rows. Everything is checked before anything is sent: ``batch.ready`` does so for
        vectors, and gives the rows to send.

        Raises:
            DimensionError, NonFiniteError, ZeroVectorError, SpecError, NotFoundError
            InputError: values that the datatype of a vector cannot hold.
        """

    @abc.abstractmethod
    def delete(self, collection: str, ids: Sequence[Id]) -> None:
        """Delete rows; unknown ids are left alone."""

    @abc.abstractmethod
    def count(self, collection: str, filter: Any = None) -> int:
        """Rows, exactly; with a filter those that match."""

    @abc.abstractmethod
    def fetch(
        self,
        collection: str,
        ids: Sequence[Id],
        *,
        vectors: Sequence[str] | None = None,
        payload: bool = True,
    ) -> Batch:
        """Rows by id, in the order asked for; ids that are not there are left out.

        Args:
            vectors: names to bring, sparse vectors and multivectors too; None for all that
                are dense, ``()`` for none.
        """

    @abc.abstractmethod
    def read(
        self,
        collection: str,
        request: ReadRequest = ALL_ROWS,
    ) -> Iterator[Batch]:
        """All rows, or those of ``request``, in pages, in the order of their ids in this store.

        Raises:
            InputError: a page of no rows, or an ``after`` that is no id of this store.
            NotFoundError
        """

    def scan_ranges(self, collection: str, n: int) -> list[ScanRange]:
        """Parts that can be read side by side: together all rows, none twice; ``n`` or so.

        A part is plain data for a journal; it means the same in another process, and while rows
        are written.
        """
        return [{}]

    def sample(
        self, collection: str, n: int, *, seed: int = 0, vectors: Sequence[str] | None = None
    ) -> Batch:
        """``n`` rows drawn evenly without replacement (all, when there are fewer)."""
        if n < 1:
            raise InputError(f"a sample has at least 1 row; got {n}")
        pages = self.read(collection, ReadRequest(vectors=(), payload=False, page=10_000))
        sampled = sampling.sample_ids((batch.ids for batch in pages), n, seed)
        return self.fetch(collection, sampled, vectors=vectors)

    # -- searching ---------------------------------------------------------------------------

    @abc.abstractmethod
    def search(self, collection: str, queries: Any, request: SearchRequest) -> Hits:
        """The store's own search of float32 queries ``(nq, d)``, already checked.

        Raises:
            UnsupportedError: something in ``request`` that the store does not have.
        """

    def default_rescore(self, collection: str, vector: str) -> Rescore | None:
        """What a search gets that says nothing of rescoring; as in ``info``, perhaps cheaper."""
        return self.info(collection).vectors[vector].default_rescore

    def limit_rescore(self, collection: str, rescore: Rescore) -> Rescore:
        """``rescore`` with no more candidates than limits of the collection allow, for searches
        whose rescoring was chosen before (a remembered setting) or by qadapt itself."""
        return rescore

    def max_results(self, collection: str) -> int:
        """Most results of one search of a collection, within limits that were set for it."""
        return self.traits.max_k

    def rescores_natively(self, collection: str, vector: str) -> bool:
        """Whether the store scores candidates of this vector again by the originals; where it
        does not, we do."""
        return self.capabilities().native("native-rescore")

    # -- quantization ------------------------------------------------------------------------

    @abc.abstractmethod
    def map(self, quantization: Quantization, vector: Vector) -> MappedQuantization:
        """A quantization in this store's words; no I/O but the server's version."""

    # -- aliases -----------------------------------------------------------------------------

    def aliases(self) -> Mapping[str, str]:
        """The collection behind each alias; empty where the store has none."""
        return {}

    def switch_alias(self, alias: str, collection: str) -> None:
        """Make an alias, or move it in one action, so that no search finds nothing meanwhile.

        Raises:
            UnsupportedError: the store has no aliases.
            NotFoundError: no such collection.
            AlreadyExistsError: a collection has that name.
        """
        raise UnsupportedError(f"{self.name} has no aliases")

    def drop_alias(self, alias: str) -> None:
        """Delete an alias; the collection stays.

        Raises:
            UnsupportedError: the store has no aliases.
            NotFoundError: no such alias.
        """
        raise UnsupportedError(f"{self.name} has no aliases")

    # -- doctor ------------------------------------------------------------------------------

    def findings(
        self, info: CollectionInfo, options: Mapping[str, Any] | None = None
    ) -> list[Finding]:
        """What only this store knows to have no effect or to hurt; ``qadapt doctor`` adds the
        checks that all stores share.

        Args:
            info: the collection as it was just seen.
            options: search parameters in the store's own words, as the user's program sends them.
        """
        return []

    # -- settings ----------------------------------------------------------------------------

    def load_settings(self, collection: str) -> Mapping[str, Any] | None:
        """What ``save_settings`` kept with the collection; None where a store has no place."""
        return None

    def save_settings(self, collection: str, settings: Mapping[str, Any]) -> bool:
        """Keep settings of qadapt with the collection; False where a store has no place."""
        return False
