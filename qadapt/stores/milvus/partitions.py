"""Parts of a collection that can be read side by side: ranges of keys, of a partition each.

    {"above": "#00000000000000000499", "upto": "#00000000000000000999", "partition": "red"}

A range is open below and closed above; None is no bound, so that rows which are written after the
parts were made belong to exactly one of them. Milvus keeps a key unique inside one partition alone:
where a collection has several, each part names one, and rows of equal keys are read once each.
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
# Lite takes any name; a server these alone (run on 2.3.5).
_NAME = re.compile(r"[A-Za-z0-9_]{1,255}")


def scan_ranges(connection: Connection, layout: Layout, n: int) -> list[ScanRange]:
    """``n`` parts or so. All keys are read once to cut between them, and none is kept.

    Raises:
        InputError: ``n`` is less than 1.
    """
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise InputError(f"a collection has at least 1 part; got {n!r}")
    found: list[ScanRange] = []
    inside = partition_layouts(connection, layout)
    for each in inside:
        bounds = [None, *_cuts(connection, each, -(-n // len(inside))), None]
        for low, high in itertools.pairwise(bounds):
            part: dict[str, Any] = {"above": low, "upto": high}
            found.append({**part, "partition": each.partition} if each.partition else part)
    return found


def partition_layouts(connection: Connection, layout: Layout) -> list[Layout]:
    """The layout for each partition that rows can be written to; itself where there is one."""
    if layout.partition is not None or layout.partition_key is not None:
        return [layout]
    names = schema.partitions(connection, layout.base)
    if len(names) < 2:
        return [layout]
    return [dataclasses.replace(layout, partition=name) for name in names]


def _cuts(connection: Connection, layout: Layout, n: int) -> list[Any]:
    """Keys that ``n`` ranges of about as many rows end with, the last one's left out."""
    if n == 1:
        return []
    each = -(-rows.count(connection, layout, "") // n)
    cuts, seen = [], 0
    key = layout.keys.field
    for page in rows.pages(connection, layout, [key], "", rows.WINDOW):
        # The rows at each, 2 * each, ... of all.
        first = -(seen + 1) % each if each else 0
        cuts += [row[key] for row in page[first::each]]
        seen += len(page)
    return cuts[: n - 1]


def range_expression(
    layout: Layout, part: ScanRange | None, after: Id | None
) -> tuple[Layout, str]:
    """Where a read is limited to: a layout, and an expression over its keys.

    Raises:
        SpecError: not a part.
        InputError: ``after`` is not an id of this collection.
    """
    given: Mapping[str, Any] = part or {}
    for name in given:
        if name not in _KEYS:
            raise SpecError.unknown("key", str(name), _KEYS, where="a part of Milvus")
    partition = given.get("partition")
    if partition is not None and layout.partition not in (None, partition):
        raise SpecError(f"{layout.name!r} is another partition than that of the part: {partition}")
    chosen = dataclasses.replace(layout, partition=partition) if partition else layout
    key = layout.keys.field
    expression = rows.span(key, given.get("above"), given.get("upto"))
    if after is not None:
        behind = rows.span(key, layout.keys.to_native(after), None)
        expression = filters.joined(expression, behind)
    return chosen, expression


# -- partitions ----------------------------------------------------------------------------------


def partition_schema(connection: Connection, layout: Layout) -> CollectionSchema:
    """The partitions, where there is more than the one that is always there; none of one alone."""
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
    """Why a collection cannot have such partitions; empty where it can."""
    if not collection_schema.is_partitioned:
        return {}
    if collection_schema.partition_key is not None:
        if any(each.get("is_partition_key") for each in collection_schema.schema.get("fields", ())):
            return {}
        return {
            "partitions": f"no partition key is made; {collection_schema.partition_key!r} "
            "stays an entry of the payload"
        }
    if server_version.old_lite:
        return {"partitions": f"{server_version.words} has one partition"}
    odd = [name for name in collection_schema.partitions if not _NAME.fullmatch(name)]
    if odd:
        return {
            "partitions": f"a partition's name has letters, digits and _, at most 255: {odd[0]!r}"
        }
    return {}


def create(connection: Connection, layout: Layout, names: Sequence[str]) -> None:
    """Make partitions; a collection that is loaded loads them by itself (run on 2.3.5).

    Raises:
        UnsupportedError: the collection has a partition key, by which Milvus divides it.
    """
    if layout.partition_key is not None:
        raise UnsupportedError(
            f"{layout.base!r} is divided by its partition key {layout.partition_key!r}"
        )
    known = schema.partitions(connection, layout.base)
    make = connection.client.create_partition
    for name in names:
        if name not in known:
            connection.call(
                f"make the partition {name!r} of {layout.base!r}", make, layout.base, name
            )
