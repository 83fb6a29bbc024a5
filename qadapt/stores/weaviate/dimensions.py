"""The dimension of each vector, read from rows, because a schema of Weaviate does not contain it.

A row may lack any vector, and no request selects rows that have one without a query of its length
(docs/engines/weaviate.md#vectors). So rows are read with only these vectors, at 90,000 rows a
second if they have none. A write reads a few rows, an inspection some, a copy all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qadapt.stores.base import OnProgress, Progress, silent
from qadapt.stores.weaviate import cursor, ids, rows, schema
from qadapt.stores.weaviate.connection import Connection
from qadapt.stores.weaviate.schema import Field, Layout

FEW = 16  # rows read for a write or a read
SOME = 20_000  # rows read for an inspection
PAGE = 2_000
RANGES = 16  # of ids, from which the second half of SOME is read
TENANTS = 200  # whose rows an inspection reads


@dataclass(frozen=True)
class DimensionSource:
    """A row that has a vector.

    Attributes:
        dim: dimensions of its vector.
        tenant: its tenant; ``""`` without tenants.
        key: its id.
    """

    dim: int
    tenant: str
    key: str


@dataclass(frozen=True)
class MeasuredDimensions:
    """The result of reading rows.

    Attributes:
        found: one row with each vector that was found.
        rows_read: number of rows read.
        complete: whether all rows were read.
    """

    found: Mapping[str, DimensionSource]
    rows_read: int
    complete: bool


class Dimensions:
    """Finds dimensions, and caches the row in which each was found.

    A cached row is read again before its dimension is used: the collection may have been dropped
    and created again.
    """

    def __init__(self) -> None:
        self._places: dict[str, dict[str, DimensionSource]] = {}

    def complete(
        self,
        connection: Connection,
        layout: Layout,
        tenants: Sequence[str],
        most: int | None = FEW,
        progress: OnProgress = silent,
    ) -> tuple[Layout, MeasuredDimensions]:
        """Complete a layout with the dimensions found in rows, and return the rows read as well.

        Args:
            tenants: the tenants to read; ``[""]`` without tenants.
            most: most rows to read; None for all.
        """
        if not layout.unknown_dimensions:
            return layout, MeasuredDimensions({}, 0, complete=True)
        found = dict(_first(connection, layout, tenants))
        left = [name for name in layout.unknown_dimensions if name not in found]
        found |= self._remembered(connection, layout, tenants, left)
        layout = _with(layout, found)
        measured = MeasuredDimensions(found, len(tenants), complete=False)
        if layout.unknown_dimensions and most != FEW:
            measured = measure_dimensions(connection, layout, tenants, most, progress)
            found |= measured.found
            layout = _with(layout, measured.found)
        self._places.setdefault(layout.real, {}).update(found)
        return layout, measured

    def _remembered(
        self, connection: Connection, layout: Layout, tenants: Sequence[str], names: Sequence[str]
    ) -> dict[str, DimensionSource]:
        known = self._places.get(layout.real, {})
        found = {}
        for name in names:
            place = known.get(name)
            if place is None or place.tenant not in tenants:
                continue
            field = layout.unknown_dimensions[name]
            dim = cursor.dim_of(connection, layout, place.tenant, place.key, field)
            if dim:
                found[name] = DimensionSource(dim, place.tenant, place.key)
            else:
                del known[name]
        return found


def _with(layout: Layout, found: Mapping[str, DimensionSource]) -> Layout:
    known = {**layout.vectors, **layout.multis}
    dims = {name: field.dim for name, field in known.items() if field.dim is not None}
    dims |= {name: place.dim for name, place in found.items()}
    return schema.layout(layout.raw, layout.name, dims)


def _first(
    connection: Connection, layout: Layout, tenants: Sequence[str]
) -> Iterator[tuple[str, DimensionSource]]:
    """Read the first rows of the first tenants."""
    left = dict(layout.unknown_dimensions)
    each = max(1, FEW // max(1, len(tenants)))
    for tenant in tenants[:FEW]:
        page = cursor.first(connection, layout, tenant, left, each)
        for name, place in _observation(page, left, tenant).items():
            del left[name]
            yield name, place
        if not left:
            return


def measure_dimensions(
    connection: Connection,
    layout: Layout,
    tenants: Sequence[str],
    most: int | None,
    progress: OnProgress = silent,
) -> MeasuredDimensions:
    """Read rows until each vector of unknown dimension was found, or about ``most`` were read.

    For one tenant, or without tenants, half of the rows are the first by id, the others are spread
    over the range of ids.

    Args:
        most: most rows to read; None for all.
    """
    reader = _Reader(connection, layout, progress)
    if most is None:
        for tenant in tenants:
            reader.read(tenant)
        return reader.measured(complete=True)
    step = -(-len(tenants) // TENANTS) or 1
    chosen = tenants[::step]
    complete = step == 1
    share = max(1, most // max(2, len(chosen)))
    for tenant in chosen:
        complete &= reader.read(tenant, most=share)
    if not complete and len(tenants) == 1:
        ends = cursor.ends(connection, layout, tenants[0])
        for behind, _ in ids.split(*ends, RANGES) if ends else ():
            reader.read(tenants[0], behind, max(1, share // RANGES))
    return reader.measured(complete=complete)


class _Reader:
    """Reads vectors of unknown dimension until one of each was found."""

    def __init__(self, connection: Connection, layout: Layout, progress: OnProgress) -> None:
        self._connection = connection
        self._layout = layout
        self._progress = progress
        self._left = dict(layout.unknown_dimensions)
        self._found: dict[str, DimensionSource] = {}
        self._count = 0

    def read(self, tenant: str, behind: str | None = None, most: int | None = None) -> bool:
        """Read rows of a tenant, and return whether all were read."""
        size = PAGE if most is None else min(PAGE, most)
        inside = 0
        selection = rows.Selection(self._layout, tenant, self._left)
        pages = cursor.raw_pages(self._connection, selection, size, behind)
        while self._left:
            page = next(pages, None)
            if page is None:
                return True
            for name, place in _observation(page, self._left, tenant).items():
                del self._left[name]
                self._found[name] = place
            inside += len(page)
            self._count += len(page)
            self._progress(Progress("searching for a row with each vector", self._count))
            if most is not None and inside >= most:
                return False
        return False

    def measured(self, *, complete: bool) -> MeasuredDimensions:
        """The result so far."""
        return MeasuredDimensions(self._found, self._count, complete)


def _observation(
    page: Sequence[Any], left: Mapping[str, Field], tenant: str
) -> dict[str, DimensionSource]:
    found = {}
    for name, field in left.items():
        for row in page:
            dim = cursor.dim_in(row, field)
            if dim:
                found[name] = DimensionSource(dim, tenant, row.metadata.id)
                break
    return found
