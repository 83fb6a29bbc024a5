"""Replace the index of a vector in place.

    {"op": "milvus.index", "vector": "", "field": "vector", "load": true,
     "index": {"index_name": "vector_ivf_sq8", "index_type": "IVF_SQ8", "metric_type": "COSINE",
               "params": {"nlist": "128"}},
     "former": {... the current index ...}}

Milvus has one index per field and cannot drop the index of a loaded collection, so a change is
flush, release, drop, create, load. ``run`` reads the current state and does only the missing steps,
so an interrupted operation can be run again. If the server refuses the new index, the former one is
rebuilt and loaded before the error is raised.

Processes with different state folders share no lock, and Milvus has no conditional requests. An
operation therefore drops only the index that it was planned to replace: an index that is neither
the former nor the new one belongs to another client, is kept, and ends the operation.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from qadapt.errors import (
    PlanStaleError,
    QadaptError,
    StoreError,
    StoreTimeoutError,
    TransientError,
    UnsupportedError,
)
from qadapt.model import State, Status
from qadapt.stores.base import OnProgress, Progress
from qadapt.stores.milvus import index_params, schema, vector_layout
from qadapt.stores.milvus import snapshot as milvus_snapshot
from qadapt.stores.milvus.connection import Connection
from qadapt.stores.milvus.status import status_of
from qadapt.stores.operations import Execution, Operation
from qadapt.stores.polling import Deadline, Wait, poll

if TYPE_CHECKING:
    from qadapt.stores.milvus.store import MilvusStore

PLAN_AGAIN = "wait for the other client, then run `qadapt plan` again"

STUCK = (
    "a failed build stays InProgress without an error (milvus#18862): check the server log "
    "for this "
    "collection and for earlier builds, which run one at a time"
)


@dataclass(frozen=True)
class ReplaceIndex(Operation):
    """Replace the index of a field, or drop it.

    Attributes:
        vector: the name of the vector.
        field: the field to index.
        index: the new definition; None to drop the index.
        former: the current definition, which is rebuilt if the server refuses ``index``.
        load: whether to load the collection afterwards; otherwise it is released.
    """

    op: ClassVar[str] = "milvus.index"

    vector: str
    field: str
    index: Mapping[str, Any] | None
    former: Mapping[str, Any] | None
    load: bool

    def run(self, at: Execution[MilvusStore]) -> None:
        replace(at.store.connection, at.collection, self, at.progress, at.deadline)

    def reverse(self, snapshot: milvus_snapshot.Snapshot) -> ReplaceIndex:
        """Restore the former index and the current load state."""
        return ReplaceIndex(self.vector, self.field, self.former, self.index, snapshot.loaded)


def words(index: Mapping[str, Any] | None) -> str:
    """A short description of an index."""
    if index is None:
        return "(none)"
    params = ", ".join(f"{key}={value}" for key, value in sorted(index["params"].items()))
    return f"{index['index_type']}({params})"


def replace(
    connection: Connection,
    name: str,
    wanted: ReplaceIndex,
    progress: OnProgress,
    deadline: Deadline,
) -> None:
    """Do the missing steps of the change and wait until searches use the index.

    Raises:
        StoreError: the server refused; the former index was restored.
        PlanStaleError: another client changed the index; its index is kept.
        StoreTimeoutError: not in use by the deadline.
    """
    client = connection.client
    # Some of these calls do not resolve an alias.
    name = schema.describe(connection, name).real
    progress(Progress("flushing"))
    connection.call(f"flush {name!r}", client.flush, name, within=deadline.seconds)
    there = _index(connection, name, wanted)
    stopped: float | None = None
    if not _same(there, wanted.index):
        _refuse_foreign(there, name, wanted)
        stopped = time.monotonic()
        _replace(connection, name, there, wanted, progress, deadline)
    if wanted.load and (wanted.index is not None or connection.lite):
        _load(connection, name, progress, deadline)
        if stopped is not None:
            seconds = time.monotonic() - stopped
            progress(Progress(f"searches were blocked for {seconds:.1f} s", seconds, None, "s"))
        settle(connection, name, wanted.vector, wanted.field, progress, deadline)
        _refuse_foreign(_index(connection, name, wanted), name, wanted)
    elif not wanted.load:
        _release(connection, name)


def _index(connection: Connection, name: str, wanted: ReplaceIndex) -> index_params.Index | None:
    return index_params.indexes(connection, name).get(wanted.field)


def _replace(
    connection: Connection,
    name: str,
    there: index_params.Index | None,
    wanted: ReplaceIndex,
    progress: OnProgress,
    deadline: Deadline,
) -> None:
    try:
        _note_metric(connection, name, wanted)
        _release(connection, name)
        progress(Progress("dropping the index"))
        _drop(connection, name, there)
        if wanted.index is not None:
            _create(connection, name, wanted, progress, deadline)
    except QadaptError as error:
        now = _index(connection, name, wanted)
        if not _foreign(now, wanted):
            raise
        if wanted.load:  # the collection may have been released above
            _load(connection, name, progress, deadline)
        raise _overtaken(now, name) from error


def _foreign(there: index_params.Index | None, wanted: ReplaceIndex) -> bool:
    """Whether an index is neither the new nor the former one."""
    known = (wanted.index, wanted.former)
    return there is not None and not any(_alike(there, each) for each in known)


def _alike(there: index_params.Index, index: Mapping[str, Any] | None) -> bool:
    """Whether an index matches a definition; servers may add parameters."""
    if index is None or there.type != index["index_type"]:
        return False
    named = {key: str(value) for key, value in index["params"].items()}
    return all(there.params.get(key, value) == value for key, value in named.items())


def _refuse_foreign(there: index_params.Index | None, name: str, wanted: ReplaceIndex) -> None:
    if _foreign(there, wanted):
        raise _overtaken(there, name)


def _overtaken(there: index_params.Index | None, name: str) -> PlanStaleError:
    found = there.definition if there else None
    return PlanStaleError(
        f"another client changed the index of {name!r} to {words(found)} at the same time; that "
        "index was not replaced",
        hint=PLAN_AGAIN,
    )


def _same(there: index_params.Index | None, wanted: Mapping[str, Any] | None) -> bool:
    if there is None or wanted is None:
        return there is None and wanted is None
    message_text = {key: str(value) for key, value in wanted["params"].items()}
    return there.type == wanted["index_type"] and dict(there.params) == message_text


def _note_metric(connection: Connection, name: str, wanted: ReplaceIndex) -> None:
    """Store the metric in a property, so that a change can be planned after an interruption.

    If the server refuses the property, `qadapt undo` can still use the metric in the journal.
    """
    index = wanted.index or wanted.former
    if index is None:
        return
    note = {schema.metric_property(wanted.field): index["metric_type"]}
    client = connection.client
    with contextlib.suppress(StoreError, UnsupportedError):
        connection.call(
            f"store the metric of {name!r}", client.alter_collection_properties, name, note
        )


def _drop(connection: Connection, name: str, there: index_params.Index | None) -> None:
    if there is not None:
        client = connection.client
        connection.call(
            f"drop the index of {name!r}", client.drop_index, name, index_name=there.name
        )


def _release(connection: Connection, name: str) -> None:
    if schema.loaded(connection, name):
        client = connection.client
        connection.call(f"release {name!r}", client.release_collection, name)


def _create(
    connection: Connection,
    name: str,
    wanted: ReplaceIndex,
    progress: OnProgress,
    deadline: Deadline,
) -> None:
    index, former = wanted.index, wanted.former
    if index is None:
        return
    progress(Progress(f"building {words(index)}"))
    try:
        index_params.create_index(connection, name, wanted.field, index, limit=deadline.at_least(1))
    except TransientError as error:
        if isinstance(error, StoreTimeoutError):
            error.hint = f"{STUCK}; run `qadapt apply` again to continue, or `qadapt undo`"
        raise
    except QadaptError as error:
        now = _index(connection, name, wanted)
        if former is None or former == index or _foreign(now, wanted):
            raise
        progress(Progress(f"refused; rebuilding {words(former)}"))
        _drop(connection, name, now)
        index_params.create_index(
            connection, name, wanted.field, former, limit=deadline.at_least(1)
        )
        _load(connection, name, progress, deadline)
        raise StoreError(
            f"{error.message}; the former index {words(former)} was restored",
            hint=error.hint,
        ) from error


def _load(connection: Connection, name: str, progress: OnProgress, deadline: Deadline) -> None:
    if not schema.loaded(connection, name):
        progress(Progress("loading"))
        client = connection.client
        limit = deadline.at_least(1)
        connection.call(f"load {name!r}", client.load_collection, name, within=limit)


def settle(
    connection: Connection,
    name: str,
    vector: str,
    field: str,
    progress: OnProgress,
    deadline: Deadline,
) -> None:
    """Wait until searches use the index; the state ``Finished`` is not sufficient."""

    def look_at() -> Status:
        return status_of(milvus_snapshot.take_snapshot(connection, name).vectors[vector])

    of_bits = field.startswith(vector_layout.CODES)
    poll(
        look_at,
        lambda status: of_bits or status.state is not State.BUILDING,
        lambda status: Progress(
            "waiting until searches use the index", status.progress or 0, 1, "share"
        ),
        lambda status: StoreTimeoutError(
            f"timed out: searches do not use the index of {name!r} yet: {status.reason}", hint=STUCK
        ),
        Wait(progress, deadline),
    )
