"""What a store tells those who copy to it and from it: what it keeps, and what it makes again."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar

from qadapt.errors import UnsupportedError
from qadapt.model import CollectionSchema, Id, Vector
from qadapt.stores.profile import StoreProfile, Traits
from qadapt.stores.store_types import OnProgress, PayloadFidelity, RowConstraints, silent


class BulkCopy:
    """The part of a store that a migration asks; each method has a default that promises nothing.

    Attributes:
        profile: what is known of the store without opening it.
    """

    profile: ClassVar[StoreProfile]

    @property
    def name(self) -> str:
        """The store's name in addresses and tables."""
        return self.profile.name

    @property
    def traits(self) -> Traits:
        """What holds for every collection of the store."""
        return self.profile.traits

    @property
    def search_alters_vectors(self) -> bool:
        """Whether a search may change the last digits of stored vectors under cosine."""
        return self.traits.rounds_in_searches

    # -- what is kept as it is: for those who copy -------------------------------------------

    def accepts_id(self, key: Id) -> bool:
        """Whether a collection that ``create`` makes has room for this id, and gives it back."""
        accepts = self.traits.accepts_id
        return accepts is None or accepts(key)

    def payload_fidelity(self, key: str, value: Any) -> PayloadFidelity:
        """How one entry of a payload comes back from a collection made by ``create``: as it is,
        nearly (so that filters still find it), or not at all."""
        return "exact"

    def row_constraints(
        self, vectors: Collection[str], collection_schema: CollectionSchema
    ) -> RowConstraints:
        """The same of a collection that ``create`` makes with ``collection_schema``.

        Args:
            vectors: names of its vectors.
        """
        return RowConstraints(
            self.accepts_id, None if self.traits.keeps_payload else self.payload_fidelity
        )

    def collection_schema(self, collection: str) -> CollectionSchema:
        """What the collection has beside its vectors, for ``create`` of this or another store."""
        return CollectionSchema()

    def unsupported_schema(self, collection_schema: CollectionSchema) -> Mapping[str, str]:
        """What ``create`` would not make of it, and why: ``{"extras.title": "..."}``,
        ``"schema"``, ``"partitions"``; the schema is in words of this store's family."""
        why = f"{self.name} has none"
        found = {f"extras.{name}": why for name in collection_schema.extras}
        if collection_schema.schema:
            found["schema"] = why
        if collection_schema.is_partitioned:
            found["partitions"] = why
        return found

    @property
    def ids_unique_per_partition(self) -> bool:
        """Whether two parts of a collection may have rows of the same id, and both stay."""
        return True

    def create_partitions(self, collection: str, names: Sequence[str]) -> None:
        """Make parts (tenants, partitions) of a collection; those that are there stay.

        Raises:
            UnsupportedError: the store or this collection has none.
        """
        raise UnsupportedError(f"{self.name} has no parts that rows are in")

    def unsupported_vectors(self, vectors: Mapping[str, Vector]) -> str | None:
        """Why ``create`` would refuse these vectors; None when it would not."""
        return None

    def ensure_loaded(self, collection: str) -> None:
        """Make rows readable that are not yet, where that changes nothing for anybody else."""
        return

    def uncopied(self, collection: str) -> Mapping[str, str]:
        """What a collection holds that ``read`` does not give, or ``create`` does not make:
        ``{"sparse-vectors": "title_sparse"}``. A copy leaves it behind, and has to say so.
        """
        return {}

    def hidden_rows(self, collection: str) -> tuple[int, Sequence[Id]]:
        """Rows that ``count`` counts and ``read`` does not give, because another row of the same id
        is given instead: how many, and some of their ids. A copy would lose them.
        """
        return 0, ()

    def measure_dimensions(
        self, collection: str, progress: OnProgress = silent
    ) -> Mapping[str, int]:
        """Read rows until the dimension of each dense vector of the schema is known: for a store
        whose schema does not hold it. ``info`` shows those that were found.

        Returns:
            The vectors that no row has, and how many rows were read: all of them.
        """
        return {}

    # -- indexes on the payload --------------------------------------------------------------

    def payload_indexes(self, collection: str) -> Mapping[str, str]:
        """Entries of the payload that somebody indexed for filters, and as what:
        ``{"city": "keyword"}``, each one of ``PAYLOAD_KINDS``."""
        return {}

    def payload_index_settings(self, collection: str) -> Mapping[str, Mapping[str, Any]]:
        """What else than its kind such an index was told, by key, in the words of the store's
        family: ``{"body": {"tokenizer": "word"}}``."""
        return {}

    def indexes_payload_automatically(self, key: str, kind: str) -> bool:
        """Whether this entry of a payload gets an index that serves filters like one of ``kind``
        as it is written, without being asked."""
        return False

    def unsupported_payload_index(self, kind: str) -> str | None:
        """Why ``create_payload_index`` would refuse; None when it would not."""
        return f"qadapt makes no indexes on payloads in {self.name}"

    def adapt_payload_index(
        self, key: str, kind: str, settings: Mapping[str, Any], collection_schema: CollectionSchema
    ) -> tuple[Mapping[str, Any], str | None]:
        """The settings that an index would have in a collection made with ``collection_schema``,
        and why
        there would be none.

        Args:
            settings: asked for; empty where they are of another family.
        """
        return settings, self.unsupported_payload_index(kind)

    def create_payload_index(
        self, collection: str, key: str, kind: str, settings: Mapping[str, Any] | None = None
    ) -> None:
        """Index an entry of the payload, rows that are there included; twice is the same as once.

        Args:
            key: a path in the store's own words, such as ``city`` or ``address.city``.
            kind: one of ``PAYLOAD_KINDS``.
            settings: as ``adapt_payload_index`` gave them.

        Raises:
            UnsupportedError: the store makes none, or not of this kind.
        """
        raise UnsupportedError(f"cannot index {key!r}: {self.unsupported_payload_index(kind)}")

    # -- many rows at once -------------------------------------------------------------------

    def bulk_load_settings(self, collection: str) -> Mapping[str, Any]:
        """What ``begin_bulk_load`` would switch off, as it is now, in JSON: for ``end_bulk_load``.

        Empty where the engine builds no index while rows come in, has no switch for it, or where
        switching it was measured to be of no use.
        """
        return {}

    def begin_bulk_load(self, collection: str) -> None:
        """Build no index until ``end_bulk_load``; twice is the same as once."""
        return

    def end_bulk_load(self, collection: str, former: Mapping[str, Any]) -> None:
        """Give back what ``bulk_load_settings`` said, and begin to build; twice is the same as
        once.
        """
        return

    def settle(self, collection: str, progress: OnProgress, timeout: float) -> None:
        """Wait until the engine has built what it builds by itself after a load.

        Raises:
            StoreTimeoutError: not done after ``timeout`` seconds.
        """
        return
