"""Partitions, and scan ranges: key ranges of one partition that can be read in parallel.

    {"above": "#00000000000000000499", "upto": "#00000000000000000999", "partition": "red"}

A range excludes its lower and includes its upper bound. None means no bound, so rows written later
belong to exactly one range. Milvus keeps keys unique only within a partition: if a collection has
several, each range names one, and rows with equal keys in two partitions are both read.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any

from qadapt.errors import InputError, SpecError, UnsupportedError
from qadapt.model import CollectionSchema, Id
from qadapt.stores.base import ScanRange
from qadapt.stores.milvus import filters, rows, schema
from qadapt.stores.milvus.connection import Connection
from qadapt.stores.milvus.schema import Layout
from qadapt.stores.milvus.version import ServerVersion

_KEYS = ("above", "upto", "partition")
# A server accepts only these names; Lite accepts any name (run on 2.3.5).
_NAME = re.compile(r"[A-Za-z0-9_]{1,255}")


def scan_ranges(connection: Connection, layout: Layout, n: int) -> list[ScanRange]:
    """About ``n`` scan ranges with similar numbers of rows; all keys are read once.

    Raises:
        InputError: ``n`` is less than 1.
    """
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise InputError(
            f"the number of scan ranges must be at least 1, not {n!r}",
            hint="for example scan_ranges(8)",
        )
    found: list[ScanRange] = []
    inside = partition_layouts(connection, layout)
    for each in inside:
        bounds = [None, *_cuts(connection, each, -(-n // len(inside))), None]
        for low, high in itertools.pairwise(bounds):
            part: dict[str, Any] = {"above": low, "upto": high}
            found.append({**part, "partition": each.partition} if each.partition else part)
    return found


def partition_layouts(connection: Connection, layout: Layout) -> list[Layout]:
    """The layout of each partition; the layout itself if there is only one."""
    if layout.partition is not None or layout.partition_key is not None:
        return [layout]
    names = schema.partitions(connection, layout.base)
    if len(names) < 2:
        return [layout]
    return [dataclasses.replace(layout, partition=name) for name in names]


def _cuts(connection: Connection, layout: Layout, n: int) -> list[Any]:
    """The upper bounds of ``n`` ranges with similar numbers of rows, without the last one."""
    if n == 1:
        return []
    each = -(-rows.count(connection, layout, "") // n)
    cuts, seen = [], 0
    key = layout.keys.field
    for page in rows.pages(connection, layout, [key], "", rows.WINDOW):
        # The keys at positions each, 2 * each, ...
        first = -(seen + 1) % each if each else 0
        cuts += [row[key] for row in page[first::each]]
        seen += len(page)
    return cuts[: n - 1]


def range_expression(
    layout: Layout, part: ScanRange | None, after: Id | None
) -> tuple[Layout, str]:
    """The layout and the key expression that limit a read.

    Raises:
        SpecError: not a scan range of this collection.
        InputError: ``after`` is not an id of this collection.
    """
    given: Mapping[str, Any] = part or {}
    for name in given:
        if name not in _KEYS:
            raise SpecError.unknown("key", str(name), _KEYS, where="a scan range of Milvus")
    partition = given.get("partition")
    if partition is not None and layout.partition not in (None, partition):
        raise SpecError(
            f"{layout.name!r} is not the partition of the scan range: {partition}",
            hint="use the ranges that scan_ranges() of this collection returned",
        )
    chosen = dataclasses.replace(layout, partition=partition) if partition else layout
    key = layout.keys.field
    expression = filters.span(key, given.get("above"), given.get("upto"))
    if after is not None:
        behind = filters.span(key, layout.keys.to_native(after), None)
        expression = filters.joined(expression, behind)
    return chosen, expression


# -- partitions ----------------------------------------------------------------------------------


def partition_schema(connection: Connection, layout: Layout) -> CollectionSchema:
    """The partitions of a collection, if it has more than the default partition."""
    if layout.partition is not None:
        return CollectionSchema()
    if layout.partition_key is not None:
        return CollectionSchema(is_partitioned=True, partition_key=layout.partition_key)
    names = schema.partitions(connection, layout.base)
    return (
        CollectionSchema(partitions=tuple(names), is_partitioned=True)
        if len(names) > 1
        else CollectionSchema()
    )


def unsupported(
    collection_schema: CollectionSchema, server_version: ServerVersion
) -> Mapping[str, str]:
    """Why a collection cannot have these partitions; empty if it can."""
    if not collection_schema.is_partitioned:
        return {}
    if collection_schema.partition_key is not None:
        if any(each.get("is_partition_key") for each in collection_schema.schema.get("fields", ())):
            return {}
        return {
            "partitions": "the partition key is not copied; "
            f"{collection_schema.partition_key!r} becomes an ordinary payload key"
        }
    if server_version.old_lite:
        return {"partitions": f"{server_version.words} supports only one partition"}
    odd = [name for name in collection_schema.partitions if not _NAME.fullmatch(name)]
    if odd:
        return {
            "partitions": f"invalid partition name {odd[0]!r}: use up to 255 letters, digits and _"
        }
    return {}


def create(connection: Connection, layout: Layout, names: Sequence[str]) -> None:
    """Create partitions; those of a loaded collection are loaded automatically (run on 2.3.5).

    Raises:
        UnsupportedError: the collection has a partition key.
    """
    if layout.partition_key is not None:
        raise UnsupportedError(
            f"cannot create partitions of {layout.base!r}: its partition key "
            f"{layout.partition_key!r} assigns rows to partitions",
            hint=f"write rows with a value of {layout.partition_key!r}",
        )
    known = schema.partitions(connection, layout.base)
    make = connection.client.create_partition
    for name in names:
        if name not in known:
            connection.call(
                f"create the partition {name!r} of {layout.base!r}", make, layout.base, name
            )
