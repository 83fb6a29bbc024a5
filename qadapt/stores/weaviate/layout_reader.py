"""Read and cache the schemas of collections, with the dimensions of their vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from qadapt.errors import NotFoundError
from qadapt.stores.base import OnProgress, silent
from qadapt.stores.snapshots import SnapshotCache
from qadapt.stores.weaviate import dimensions, partitions, schema
from qadapt.stores.weaviate.connection import Connection
from qadapt.stores.weaviate.dimensions import Dimensions
from qadapt.stores.weaviate.schema import Layout

FRESH = 10.0  # seconds that searches use a cached schema


@dataclass(frozen=True)
class _Read:
    """A schema, and the number of rows read for dimensions that it does not contain."""

    layout: Layout
    most: int


class LayoutReader:
    """The schemas of one database.

    Args:
        dimensions: cached dimensions.
        collections: returns the names of all collections, for messages.

    Attributes:
        cache: schemas with their age, by name.
    """

    def __init__(
        self,
        connection: Connection,
        dimensions: Dimensions,
        collections: Callable[[], Iterable[str]],
    ) -> None:
        self.cache: SnapshotCache[_Read] = SnapshotCache()
        self._connection = connection
        self._dimensions = dimensions
        self._collections = collections

    def read(
        self, collection: str, *, fresh: bool = True, vectors: Sequence[str] | None = ()
    ) -> Layout:
        """The schema; with ``fresh=False``, for searches, possibly a few seconds old.

        Args:
            vectors: vectors whose dimensions are needed, for which more rows are read; None for
                all.

        Raises:
            NotFoundError
        """
        name, tenant = partitions.split(collection)
        known = self.cache.get(collection, FRESH)
        if known is not None and not fresh:
            enough = known.most == dimensions.SOME or not _lacking(known.layout, vectors)
            if enough:
                return known.layout
        try:
            layout = schema.describe(self._connection, name)
        except NotFoundError:
            raise NotFoundError.missing("collection", name, self._collections()) from None
        most = dimensions.FEW
        if layout.unknown_dimensions:
            places = partitions.to_read(self._connection, layout, tenant)
            layout, _ = self._dimensions.complete(self._connection, layout, places, most)
            if _lacking(layout, vectors):
                most = dimensions.SOME
                layout, _ = self._dimensions.complete(self._connection, layout, places, most)
        self.cache.put(collection, _Read(layout, most))
        return layout

    def measure_dimensions(
        self, collection: str, progress: OnProgress = silent
    ) -> Mapping[str, int]:
        """Read rows until the dimension of each vector is known; the rows read, by vector."""
        name, tenant = partitions.split(collection)
        layout = schema.describe(self._connection, name)
        if not layout.unknown_dimensions:
            return {}
        known = partitions.to_read(self._connection, layout, tenant)
        layout, seen = self._dimensions.complete(self._connection, layout, known, None, progress)
        return {
            name: seen.rows_read for name in layout.vectors if name in layout.unknown_dimensions
        }


def _lacking(layout: Layout, vectors: Sequence[str] | None) -> bool:
    """Whether the dimension of any of these vectors is unknown; None for all vectors."""
    unknown = layout.unknown_dimensions
    return bool(unknown) if vectors is None else any(name in unknown for name in vectors)
