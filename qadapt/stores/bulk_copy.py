"""The part of a store that copies use: what a collection contains and what can be recreated."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar

from qadapt.errors import UnsupportedError
from qadapt.model import CollectionSchema, Id, Vector
from qadapt.stores.profile import StoreProfile, Traits
from qadapt.stores.store_types import OnProgress, PayloadFidelity, RowConstraints, silent


class BulkCopy:
    """The part of a store that migrations use; the defaults promise nothing.

    Attributes:
        profile: describes the store without opening it.
    """

    profile: ClassVar[StoreProfile]

    @property
    def name(self) -> str:
        """The store's name in addresses and tables."""
        return self.profile.name

    @property
    def traits(self) -> Traits:
        """Properties of all collections of the store."""
        return self.profile.traits

    @property
    def search_alters_vectors(self) -> bool:
        """Whether a search may change the last digits of stored vectors under cosine."""
        return self.traits.rounds_in_searches

    # -- conversion by the database ---------------------------------------------

    def accepts_id(self, key: Id) -> bool:
        """Whether a collection created by ``create`` can store this id unchanged."""
        accepts = self.traits.accepts_id
        return accepts is None or accepts(key)

    def payload_fidelity(self, key: str, value: Any) -> PayloadFidelity:
        """Whether a collection created by ``create`` stores a payload field exactly, lossily
        (filters still match), or not at all.
        """
        return "exact"

    def row_constraints(
        self, vectors: Collection[str], collection_schema: CollectionSchema
    ) -> RowConstraints:
        """The constraints of a collection that ``create`` makes with ``collection_schema``.

        Args:
            vectors: names of its vectors.
        """
        return RowConstraints(
            self.accepts_id, None if self.traits.keeps_payload else self.payload_fidelity
        )

    def collection_schema(self, collection: str) -> CollectionSchema:
        """The schema besides the vectors, for ``create`` of this or another store."""
        return CollectionSchema()

    def unsupported_schema(self, collection_schema: CollectionSchema) -> Mapping[str, str]:
        """The parts of the schema that ``create`` cannot make, with reasons: ``{"extras.title":
        "..."}``, ``"schema"``, ``"partitions"``.
        """
        why = f"{self.name} does not support this"
        found = {f"extras.{name}": why for name in collection_schema.extras}
        if collection_schema.schema:
            found["schema"] = why
        if collection_schema.is_partitioned:
            found["partitions"] = why
        return found

    @property
    def ids_unique_per_partition(self) -> bool:
        """Whether two partitions of a collection may have rows with the same id."""
        return True

    def create_partitions(self, collection: str, names: Sequence[str]) -> None:
        """Create partitions (tenants) of a collection; existing ones are kept.

        Raises:
            UnsupportedError: the store or this collection has no partitions.
        """
        raise UnsupportedError(
            f"{self.name} has no partitions",
            hint="write to the collection itself, without @PARTITION",
        )

    def unsupported_vectors(self, vectors: Mapping[str, Vector]) -> str | None:
        """Why ``create`` would reject these vectors; None if it accepts them."""
        known = self.profile.datatypes
        for name, each in vectors.items():
            if each.datatype not in known:
                return f"{self.name} stores {', '.join(known)}, not {each.datatype} ({name!r})"
        return None

    def ensure_loaded(self, collection: str) -> None:
        """Make unreadable rows readable, if this has no effect on other clients."""
        return

    def uncopied(self, collection: str) -> Mapping[str, str]:
        """Data of a collection that ``read`` does not return or ``create`` cannot make:
        ``{"sparse-vectors": "title_sparse"}``. A copy omits it and must report it.
        """
        return {}

    def hidden_rows(self, collection: str) -> tuple[int, Sequence[Id]]:
        """Rows that ``count`` includes but ``read`` does not return, because another row has the
        same id: their number and some of their ids. A copy would lose them.
        """
        return 0, ()

    def measure_dimensions(
        self, collection: str, progress: OnProgress = silent
    ) -> Mapping[str, int]:
        """Read rows until the dimension of each dense vector is known, for stores whose schema does
        not contain it; ``info`` shows the result.

        Returns:
            The vectors that no row has, and the number of rows read (all of them).
        """
        return {}

    # -- indexes on the payload --------------------------------------------------------------

    def payload_indexes(self, collection: str) -> Mapping[str, str]:
        """Payload fields with an index, and its kind, one of ``PAYLOAD_KINDS``: ``{"city":
        "keyword"}``.
        """
        return {}

    def payload_index_settings(self, collection: str) -> Mapping[str, Mapping[str, Any]]:
        """Native settings of payload indexes besides the kind: ``{"body": {"tokenizer":
        "word"}}``."""
        return {}

    def indexes_payload_automatically(self, key: str, kind: str) -> bool:
        """Whether a payload field automatically gets an index that serves filters like one of
        ``kind``.
        """
        return False

    def unsupported_payload_index(self, kind: str) -> str | None:
        """Why ``create_payload_index`` would reject this kind; None if it accepts it."""
        return f"qadapt does not create payload indexes in {self.name}"

    def adapt_payload_index(
        self, key: str, kind: str, settings: Mapping[str, Any], collection_schema: CollectionSchema
    ) -> tuple[Mapping[str, Any], str | None]:
        """The index settings for a collection created with ``collection_schema``, and why there
        can be no index.

        Args:
            settings: as requested; empty if they are of another family.
        """
        return settings, self.unsupported_payload_index(kind)

    def create_payload_index(
        self, collection: str, key: str, kind: str, settings: Mapping[str, Any] | None = None
    ) -> None:
        """Index a payload field, including existing rows; idempotent.

        Args:
            key: the native path of the field, such as ``city`` or ``address.city``.
            kind: one of ``PAYLOAD_KINDS``.
            settings: as returned by ``adapt_payload_index``.

        Raises:
            UnsupportedError: the store has no payload indexes, or none of this kind.
        """
        raise UnsupportedError(
            f"cannot index {key!r}: {self.unsupported_payload_index(kind)}",
            hint="filters on the field work without an index",
        )

    # -- many rows at once -------------------------------------------------------------------

    def bulk_load_settings(self, collection: str) -> Mapping[str, Any]:
        """The settings that ``begin_bulk_load`` would change, as JSON, for ``end_bulk_load``.

        Empty if the engine builds no index during writes, has no setting for it, or if measurements
        showed no benefit.
        """
        return {}

    def begin_bulk_load(self, collection: str) -> None:
        """Disable index builds until ``end_bulk_load``; idempotent."""
        return

    def end_bulk_load(self, collection: str, former: Mapping[str, Any]) -> None:
        """Restore the settings returned by ``bulk_load_settings`` and start index builds;
        idempotent."""
        return

    def settle(self, collection: str, progress: OnProgress, timeout: float) -> None:
        """Wait until the engine has finished the builds that it starts after a load.

        Raises:
            StoreTimeoutError: not finished after ``timeout`` seconds.
        """
        return
