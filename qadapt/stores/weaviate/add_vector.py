"""Another kind beside what is there: a new named vector of the same floats, filled row by row.

    {"op": "weaviate.add", "from": "title", "to": "title_rq8",
     "index": {"vectorIndexType": "hnsw", "vectorIndexConfig": {... all of it ...}}}
    {"op": "weaviate.fill", "from": "title", "to": "title_rq8"}

The server fills a new vector with nothing, and finds nothing by it without a word
(docs/engines/weaviate.md#new-named-vectors). Rows get it by PATCH, which leaves properties and
other vectors as they are at that moment: a batch would put back what was read, over what another
writer wrote meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote

from qadapt.errors import NotFoundError, StoreError, StoreTimeoutError, UnsupportedError
from qadapt.model import Estimate, Step, Symbol, Vector
from qadapt.stores.base import OnProgress, Progress
from qadapt.stores.operations import Execution, Operation
from qadapt.stores.polling import Deadline
from qadapt.stores.weaviate import (
    collections,
    copy_switch,
    index_config,
    mapping,
    partitions,
    schema,
)
from qadapt.stores.weaviate.connection import Connection
from qadapt.stores.weaviate.schema import Field, Layout
from qadapt.stores.weaviate.schema_claim import claimed
from qadapt.stores.weaviate.schema_update import Put
from qadapt.stores.weaviate.snapshot import Snapshot
from qadapt.stores.weaviate.version import SINCE_ADD_VECTOR, ServerVersion

if TYPE_CHECKING:
    from qadapt.stores.weaviate.store import WeaviateStore

OFFER = "or a new vector beside it, which searches name: strategy='vector' (--strategy vector)"
ROWS = 400  # rows patched in a second: 2.3 ms each
PASSES = 3  # over all rows; the last one must find nothing left to write


@dataclass(frozen=True)
class Add(Operation):
    """Makes a new vector beside ``source``; no way back, since a server drops no vector."""

    op: ClassVar[str] = "weaviate.add"
    keys: ClassVar[Mapping[str, str]] = {"source": "from", "target": "to"}

    source: str
    target: str
    index: Mapping[str, Any]

    def run(self, at: Execution[WeaviateStore]) -> None:
        add(at.store.connection, partitions.split(at.collection)[0], self, at.progress)


@dataclass(frozen=True)
class Fill(Operation):
    """Writes the floats of one vector to another."""

    op: ClassVar[str] = "weaviate.fill"
    keys: ClassVar[Mapping[str, str]] = {"source": "from", "target": "to"}

    source: str
    target: str

    def run(self, at: Execution[WeaviateStore]) -> None:
        name = partitions.split(at.collection)[0]
        fill(at.store.connection, name, self, at.progress, at.deadline)


# -- planning ------------------------------------------------------------------------------------


def strategy_hint(server_version: ServerVersion) -> str:
    """What a refusal says of this way; empty where the server does not have it."""
    return OFFER if server_version.has(SINCE_ADD_VECTOR) else ""


def steps(
    snapshot: Snapshot,
    vector: str,
    wanted: Mapping[str, Any],
    words: str,
    server_version: ServerVersion,
) -> tuple[str, list[Step]]:
    """The name of the new vector, and the steps that make and fill it.

    Args:
        wanted: its index, as ``mapping`` has it.
        words: what it will be.

    Raises:
        UnsupportedError: an older server, or tenants that would be left behind.
    """
    layout = snapshot.layout
    if not server_version.has(SINCE_ADD_VECTOR):
        raise UnsupportedError(
            f"a new vector of a collection that is there needs Weaviate {SINCE_ADD_VECTOR}; this "
            f"is {server_version.words}",
            hint="create a collection with that setting, and copy to it with `qadapt migrate`",
        )
    if snapshot.cold:
        raise UnsupportedError(
            f"{len(snapshot.cold)} tenants of {layout.name!r} are not active, and their rows would "
            f"not get the vector: {', '.join(snapshot.cold[:5])}",
            hint="activate them first",
        )
    field = layout.field(vector)
    name = _free_name(layout, vector, wanted)
    index = copy_switch.index(field, wanted, Vector(1, field.metric), snapshot.count)
    copy_switch.settle(index, server_version)
    made = [_add_step(snapshot, field, name, index, words), _fill_step(snapshot, field, name)]
    if index_config.quantizer(index) is not None:
        made.append(_codes_step(snapshot, field, name, index, words))
    return name, made


def _free_name(layout: Layout, vector: str, wanted: Mapping[str, Any]) -> str:
    kind, block = index_config.quantizer(wanted) or ("none", {})
    short = f"rq{block.get('bits', 8)}" if kind == "rq" else kind
    base = name = f"{vector or 'default'}_{short}"
    number = 2
    while name in layout.vectors or name in layout.others:
        name = f"{base}_{number}"
        number += 1
    schema.check_vector_name(name)
    return name


def _add_step(
    snapshot: Snapshot, field: Field, name: str, index: Mapping[str, Any], words: str
) -> Step:
    alone = (
        field.target is not None and len(snapshot.layout.vectors) + len(snapshot.layout.others) == 1
    )
    without = (
        "; a search that names no vector fails from then on, since there are two" if alone else ""
    )
    return Step(
        Symbol.BACKGROUND,
        f"add the vector {name!r} with {words}",
        f"{_old(field)} stays as it is, and is searched as before{without}; no way back: a server "
        "drops no vector by default",
        Add(field.name, name, dict(index)).to_request(),
    )


def _old(field: Field) -> str:
    return repr(field.name) if field.name else "the unnamed vector"


def _fill_step(snapshot: Snapshot, field: Field, name: str) -> Step:
    own = 4 * snapshot.count * (field.dim or 0)
    every = 4 * snapshot.count * sum(each.dim or 0 for each in snapshot.layout.vectors.values())
    seconds = max(1, round(snapshot.count / ROWS))
    return Step(
        Symbol.BACKGROUND,
        f"write the floats of {_old(field)} to {name!r}, row by row",
        f"a new vector is empty: about {seconds:,} s; the floats are on disk twice from then on; "
        "a row that is written later has what its writer sends, so send both vectors",
        Fill(field.name, name).to_request(),
        None,
        Estimate(originals_disk=every + own),
    )


def _codes_step(
    snapshot: Snapshot, field: Field, name: str, index: Mapping[str, Any], words: str
) -> Step:
    kind, _ = index_config.quantizer(index) or ("", {})
    codes = snapshot.count * mapping.code_bytes(index, field.vector)
    trains = "it trains once rows are there; " if kind in ("pq", "sq") else ""
    return Step(
        Symbol.BLOCKING if kind == "pq" else Symbol.BACKGROUND,
        f"wait until {name!r} has {words}",
        f"{trains}what the shards say is believed, not the schema",
        Put(name, {}, codes=True).to_request(),
        None,
        Estimate(
            codes_ram=codes,
            codes_disk=codes,
            stops={"pq": "searches and writes", "sq": "writes"}.get(kind, "nothing"),  # type: ignore[arg-type]
        ),
    )


# -- carrying it out -----------------------------------------------------------------------------


def add(connection: Connection, name: str, wanted: Add, progress: OnProgress) -> None:
    """Make the vector, unless it is there.

    Raises:
        StoreError: another one of its name is there, or the server kept something else.
    """
    target, index = wanted.target, wanted.index
    with claimed(connection, schema.describe(connection, name).real, progress):
        layout = schema.describe(connection, name)
        if target not in layout.raw.get("vectorConfig", {}):
            source = layout.field(wanted.source)
            changed = schema.with_vector(layout.raw, target, index, source.dim)
            path = f"/v1/schema/{quote(layout.real)}"
            connection.rest("PUT", path, changed, doing=f"add the vector {target!r} to {name!r}")
            layout = schema.describe(connection, name)
    there = collections.configs(layout.raw).get(target, {})
    lost = index_config.differences(there, index["vectorIndexConfig"])
    lost.pop(index_config.SKIP, None)
    if lost:
        raise StoreError(
            f"the vector {target!r} of {name!r} is not what was to be made: "
            + ", ".join(f"{key} is {now!r} and not {want!r}" for key, (now, want) in lost.items()),
            hint="if it is somebody else's, plan again: another name is taken",
        )


def fill(
    connection: Connection,
    name: str,
    wanted: Fill,
    progress: OnProgress,
    deadline: Deadline,
) -> None:
    """Write the floats of one vector to another in all rows that do not have them; then read all
    rows again, until none is left.

    Rows without the source vector stay without.

    Raises:
        StoreError: others go on to write rows without the new vector.
        StoreTimeoutError
    """
    layout = schema.describe(connection, name)
    source, target = layout.field(wanted.source).target, wanted.target
    for _ in range(PASSES):
        written = sum(
            _pass(connection, layout, (source, target), tenant, progress, deadline)
            for tenant in copy_switch.tenants_of(connection, layout)
        )
        if not written:
            return
    raise StoreError(
        f"rows of {name!r} are written without the vector {target!r} meanwhile: the last of "
        f"{PASSES} passes still found {written:,}",
        hint="let writers send both vectors, then apply again",
    )


def _pass(
    connection: Connection,
    layout: Layout,
    which: tuple[str | None, str],
    tenant: str,
    progress: OnProgress,
    deadline: Deadline,
) -> int:
    """One pass over all rows; how many were written."""
    source, target = which
    total = copy_switch.count(connection, layout.real, tenant)
    done = written = 0
    for page in copy_switch.pages(connection, layout, tenant):
        for row in page:
            floats = _floats(row, source)
            if floats is not None and floats != _floats(row, target):
                if deadline.passed:
                    raise StoreTimeoutError(
                        f"{done:,} of {total:,} rows have the vector {target!r}",
                        hint="apply again goes on",
                    )
                written += _patch(connection, layout.real, row["id"], target, floats, tenant)
            done += 1
        progress(Progress(f"filling {target!r}", done, total))
    return written


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
        return 0  # deleted since it was read
    return 1
