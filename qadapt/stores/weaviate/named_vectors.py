"""Change a quantization by adding a named vector with the same values, filled row by row.

    {"op": "weaviate.add", "from": "title", "to": "title_rq8",
     "index": {"vectorIndexType": "hnsw", "vectorIndexConfig": {... complete ...}}}
    {"op": "weaviate.fill", "from": "title", "to": "title_rq8"}

The server leaves a new vector empty, and searches of it return nothing and report no error
(docs/engines/weaviate.md#new-named-vectors). Rows are filled by PATCH, which does not change their
properties and other vectors. A batch would overwrite concurrent changes with values read before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote

import numpy as np

from qadapt.errors import NotFoundError, StoreError, StoreTimeoutError, UnsupportedError
from qadapt.model import Estimate, Step, Symbol, Vector
from qadapt.model.leading_dims import leading
from qadapt.stores.base import OnProgress, Progress
from qadapt.stores.operations import Execution, Operation
from qadapt.stores.polling import Deadline
from qadapt.stores.weaviate import (
    collections,
    copy_rows,
    copy_switch,
    mapping,
    partitions,
    schema,
    vector_index_config,
)
from qadapt.stores.weaviate.aliases import claimed
from qadapt.stores.weaviate.connection import Connection
from qadapt.stores.weaviate.schema import Field, Layout
from qadapt.stores.weaviate.schema_update import Put
from qadapt.stores.weaviate.snapshot import Snapshot
from qadapt.stores.weaviate.version import SINCE_ADD_VECTOR, ServerVersion

if TYPE_CHECKING:
    from qadapt.stores.weaviate.store import WeaviateStore

OFFER = "or add a new named vector, which searches must name: strategy='vector' (--strategy vector)"
ROWS = 400  # rows patched per second: 2.3 ms each
PASSES = 3  # over all rows; the last one must have nothing left to write


@dataclass(frozen=True)
class _FromTo(Operation):
    """Concerns an existing vector and a new one."""

    keys: ClassVar[Mapping[str, str]] = {"source": "from", "target": "to"}

    source: str
    target: str


@dataclass(frozen=True)
class Add(_FromTo):
    """Adds a named vector next to ``source``; cannot be undone, as servers cannot drop a vector.

    Attributes:
        dims: number of first dimensions of the new vector; None for all.
    """

    op: ClassVar[str] = "weaviate.add"

    index: Mapping[str, Any]
    dims: int | None = None

    def run(self, at: Execution[WeaviateStore]) -> None:
        add(at.store.connection, partitions.split(at.collection)[0], self, at.progress)


@dataclass(frozen=True)
class Fill(_FromTo):
    """Copies the values of one vector to another.

    Attributes:
        dims: number of first dimensions to copy, scaled to length 1 under cosine; None for all.
    """

    op: ClassVar[str] = "weaviate.fill"

    dims: int | None = None

    def run(self, at: Execution[WeaviateStore]) -> None:
        name = partitions.split(at.collection)[0]
        fill(at.store.connection, name, self, at.progress, at.deadline)


# -- planning ------------------------------------------------------------------------------------


def strategy_hint(server_version: ServerVersion) -> str:
    """The hint about this strategy for an error; empty if the server does not support it."""
    return OFFER if server_version.has(SINCE_ADD_VECTOR) else ""


def steps(
    snapshot: Snapshot,
    vector: str,
    wanted: Mapping[str, Any],
    words: str,
    server_version: ServerVersion,
    dims: int | None = None,
) -> tuple[str, list[Step]]:
    """The name of the new vector, and the steps that create and fill it.

    Args:
        wanted: its index, in the form of ``mapping``.
        words: a description of its quantization.
        dims: number of first dimensions that it holds; None for all.

    Raises:
        UnsupportedError: the server is too old, or some tenants are not active.
    """
    layout = snapshot.layout
    if not server_version.has(SINCE_ADD_VECTOR):
        raise UnsupportedError(
            f"adding a vector to an existing collection needs Weaviate {SINCE_ADD_VECTOR}; this "
            f"is {server_version.words}",
            hint="create a collection with that quantization, and copy it with `qadapt migrate`",
        )
    if snapshot.cold:
        raise UnsupportedError(
            f"{len(snapshot.cold)} tenants of {layout.name!r} are not active, so their rows would "
            f"not get the vector: {', '.join(snapshot.cold[:5])}",
            hint="activate them first",
        )
    field = layout.field(vector)
    name = _free_name(layout, vector, wanted, dims)
    index = copy_switch.index(field, wanted, Vector(1, field.metric), snapshot.count)
    copy_switch.settle(index, server_version)
    made = [
        _add_step(snapshot, field, Add(field.name, name, dict(index), dims), words),
        _fill_step(snapshot, field, Fill(field.name, name, dims)),
    ]
    if vector_index_config.quantizer(index) is not None:
        made.append(_codes_step(snapshot, field, name, index, words))
    return name, made


def _free_name(layout: Layout, vector: str, wanted: Mapping[str, Any], dims: int | None) -> str:
    kind, block = vector_index_config.quantizer(wanted) or ("none", {})
    short = f"rq{block.get('bits', 8)}" if kind == "rq" else kind
    base = name = f"{vector or 'default'}_{short}" + ("" if dims is None else f"_{dims}")
    number = 2
    while name in layout.vectors or name in layout.others:
        name = f"{base}_{number}"
        number += 1
    schema.check_vector_name(name)
    return name


def _add_step(snapshot: Snapshot, field: Field, operation: Add, words: str) -> Step:
    alone = (
        field.target is not None and len(snapshot.layout.vectors) + len(snapshot.layout.others) == 1
    )
    without = "; searches must name a vector from then on, since there are two" if alone else ""
    return Step(
        Symbol.BACKGROUND,
        f"add the vector {operation.target!r} with {words}",
        f"{_old(field)} does not change{without}; cannot be undone: by default, a server cannot "
        "drop a vector",
        operation.to_request(),
    )


def _old(field: Field) -> str:
    return repr(field.name) if field.name else "the unnamed vector"


def _fill_step(snapshot: Snapshot, field: Field, operation: Fill) -> Step:
    own = 4 * snapshot.count * (operation.dims or field.dim or 0)
    every = 4 * snapshot.count * sum(each.dim or 0 for each in snapshot.layout.vectors.values())
    seconds = max(1, round(snapshot.count / ROWS))
    return Step(
        Symbol.BACKGROUND,
        f"copy the values of {_old(field)} to {operation.target!r}, row by row",
        f"a new vector is empty: about {seconds:,} s; the values are then on disk twice; "
        "rows written later only have the vectors that their writer sends, so send both",
        operation.to_request(),
        None,
        Estimate(originals_disk=every + own),
    )


def _codes_step(
    snapshot: Snapshot, field: Field, name: str, index: Mapping[str, Any], words: str
) -> Step:
    kind, _ = vector_index_config.quantizer(index) or ("", {})
    codes = snapshot.count * mapping.code_bytes(index, field.vector)
    trains = "it trains once there are rows; " if kind in ("pq", "sq") else ""
    return Step(
        Symbol.BLOCKING if kind == "pq" else Symbol.BACKGROUND,
        f"wait until {name!r} has {words}",
        f"{trains}verified by the state of the shards, not by the schema",
        Put(name, {}, codes=True).to_request(),
        None,
        Estimate(
            codes_ram=codes,
            codes_disk=codes,
            stops={"pq": "searches and writes", "sq": "writes"}.get(kind, "nothing"),  # type: ignore[arg-type]
        ),
    )


# -- execution -----------------------------------------------------------------------------------


def add(connection: Connection, name: str, wanted: Add, progress: OnProgress) -> None:
    """Create the vector, unless it exists.

    Raises:
        StoreError: the existing vector of that name, or the stored configuration, differs.
    """
    target, index = wanted.target, wanted.index
    with claimed(connection, schema.describe(connection, name).real, progress):
        layout = schema.describe(connection, name)
        if target not in layout.raw.get("vectorConfig", {}):
            source = layout.field(wanted.source)
            changed = schema.with_vector(layout.raw, target, index, wanted.dims or source.dim)
            path = f"/v1/schema/{quote(layout.real)}"
            connection.rest("PUT", path, changed, doing=f"add the vector {target!r} to {name!r}")
            layout = schema.describe(connection, name)
    there = collections.configs(layout.raw).get(target, {})
    lost = vector_index_config.differences(there, index["vectorIndexConfig"])
    lost.pop(vector_index_config.SKIP, None)
    if lost:
        raise StoreError(
            f"the vector {target!r} of {name!r} has a configuration that differs from the plan: "
            + ", ".join(
                f"{key} is {now!r}, expected {want!r}" for key, (now, want) in lost.items()
            ),
            hint="if another client created it, plan again: the next plan uses a free name",
        )


def fill(
    connection: Connection,
    name: str,
    wanted: Fill,
    progress: OnProgress,
    deadline: Deadline,
) -> None:
    """Copy the values of one vector to another in all rows that lack them, and repeat until no
    row is left.

    Rows without the source vector are skipped.

    Raises:
        StoreError: other clients keep writing rows without the new vector.
        StoreTimeoutError
    """
    layout = schema.describe(connection, name)
    source, target = layout.field(wanted.source), wanted.target
    for _ in range(PASSES):
        written = sum(
            _pass(connection, layout, (source, target), wanted, tenant, progress, deadline)
            for tenant in copy_rows.tenants_of(connection, layout)
        )
        if not written:
            return
    raise StoreError(
        f"other clients write rows of {name!r} without the vector {target!r}: the last of "
        f"{PASSES} passes still found {written:,}",
        hint="change the writers so that they send both vectors, then apply again",
    )


def _pass(
    connection: Connection,
    layout: Layout,
    which: tuple[Field, str],
    wanted: Fill,
    tenant: str,
    progress: OnProgress,
    deadline: Deadline,
) -> int:
    """Run one pass over all rows, and return the number of rows written."""
    source, target = which
    total = copy_rows.count(connection, layout.real, tenant)
    done = written = 0
    for page in copy_rows.pages(connection, layout, tenant):
        values = _values(page, source, wanted.dims)
        for row, floats in zip(page, values, strict=True):
            if floats is not None and not _equal(floats, _floats(row, target), wanted.dims):
                if deadline.passed:
                    raise StoreTimeoutError(
                        f"{done:,} of {total:,} rows have the vector {target!r}",
                        hint="apply again to continue",
                    )
                written += _patch(connection, layout.real, row["id"], target, floats, tenant)
            done += 1
        progress(Progress(f"filling {target!r}", done, total))
    return written


def _values(
    page: Sequence[Mapping[str, Any]], source: Field, dims: int | None
) -> list[list[float] | None]:
    """The values to copy of each row; None for a row without the source vector."""
    found = [_floats(row, source.target) for row in page]
    there = [each for each in found if each is not None]
    if dims is None or not there:
        return found
    cut = iter(leading(np.asarray(there, dtype=np.float32), dims, source.metric).tolist())
    return [None if each is None else next(cut) for each in found]


def _equal(wanted: list[float], there: list[float] | None, dims: int | None) -> bool:
    """Whether a row has the values; scaled ones may differ by the rounding of the server."""
    if dims is None or there is None or len(there) != len(wanted):
        return wanted == there
    return bool(np.allclose(wanted, there, rtol=1e-5, atol=1e-6))


def _floats(row: Mapping[str, Any], target: str | None) -> list[float] | None:
    found = row.get("vector") if target is None else (row.get("vectors") or {}).get(target)
    return found or None


def _patch(
    connection: Connection, real: str, key: str, target: str, floats: list[float], tenant: str
) -> int:
    body = {
        "class": real,
        "vectors": {target: floats},
        **({"tenant": tenant} if tenant else {}),
    }
    path = f"/v1/objects/{quote(real)}/{key}"
    try:
        connection.rest("PATCH", path, body, doing=f"write to {real!r}", repeatable=True)
    except NotFoundError:
        return 0  # deleted after it was read
    return 1
