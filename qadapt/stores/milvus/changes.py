"""From what a vector's index is to what was asked for, in place.

    {"op": "milvus.index", "vector": "", "field": "vector", "load": true,
     "index": {"index_name": "vector_ivf_sq8", "index_type": "IVF_SQ8", "metric_type": "COSINE",
               "params": {"nlist": "128"}},
     "former": {... the index that is there ...}}

Milvus has one index for each field and drops none of a loaded collection, so a change is flush,
release, drop, create, load. ``run`` reads what is and does only what is missing, so that a request
that was cut off anywhere is finished by carrying it out again; where the engine refuses the new
index, the former one is built again and loaded before the error is told.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from typing import Any

from qadapt.errors import (
    QadaptError,
    SpecError,
    StoreError,
    StoreTimeoutError,
    TransientError,
    UnsupportedError,
)
from qadapt.model import Estimate, Kind, State, Step, Symbol
from qadapt.stores.base import Mapped, OnProgress, Progress
from qadapt.stores.milvus import bits, forms, look, mapping, schema
from qadapt.stores.milvus.connection import Connection
from qadapt.stores.milvus.look import Look
from qadapt.stores.milvus.status import SMALLEST, judge

INDEX = "milvus.index"
_KEYS = {"op", "vector", "field", "index", "former", "load"}
PAUSE = 0.5  # seconds between two looks

WHY = (
    "Milvus has one index for each field and changes none of a loaded collection: release, drop, "
    "create, load; searches fail from release to load, which is the time of the build and about "
    "3 to 5 seconds"
)
EMBEDDED = (
    "careful with a server of the PyPI package `milvus` whose data folder is an absolute path: "
    "release deletes the floats of segments that were read while their index held codes alone (as "
    "seen on 2.3.5; with a localStorage.path relative to its working folder nothing is lost)"
)
STUCK = (
    "a build that fails stays InProgress for ever and tells no reason (milvus#18862): look at the "
    "server's log for this collection, and at builds before it, since they run one at a time"
)


def check_request(request: Mapping[str, Any]) -> None:
    """Refuse a request that is not one of ours.

    Raises:
        SpecError
    """
    if request.get("op") == bits.BITS:
        return bits.check_request(request)
    if request.get("op") != INDEX:
        known = (INDEX, bits.BITS)
        raise SpecError.unknown("request", str(request.get("op")), known, where="milvus")
    for key in sorted(_KEYS.symmetric_difference(request)):
        raise SpecError.unknown("key", str(key), sorted(_KEYS), where=INDEX)
    return None


# -- planning ------------------------------------------------------------------------------------


def steps(looked: Look, vector: str, mapped: Mapped, asked: Mapping[str, Any]) -> list[Step]:
    """Steps to an index that was mapped; empty when it is there and in use.

    Args:
        mapped: not unsupported.
        asked: native fields that were asked for by name.

    Raises:
        UnsupportedError: nothing says the metric, or nothing would ever be indexed.
    """
    native = mapped.native
    if native is None:
        return []
    if native["index_type"] == mapping.BITS:
        return _bits_steps(looked, vector)
    if looked.layout.field(vector).form == forms.ARRAY:
        raise UnsupportedError(
            f"the floats of {vector!r} are an ARRAY, which Milvus searches by no index",
            hint="strategy='alias' (--strategy alias): a copy whose floats are a vector",
        )
    off = [_bits_off(looked, vector)] if vector in looked.bits else []
    return off + _index_steps(looked, vector, mapped, native, asked)


def _bits_steps(looked: Look, vector: str) -> list[Step]:
    field = looked.layout.field(vector)
    there = vector in looked.bits
    if there and looked.status(vector).state is State.ACTIVE:
        return []
    size = looked.count * forms.code_bytes(field.vector.dim)
    if field.form == forms.BESIDE and not there:
        return [_bits_on(looked, vector)]
    if field.form != forms.FLOAT:
        return _unfinished(looked, vector)
    return [
        Step(
            Symbol.CLIENT,
            "write sign bits to a second collection",
            looked.status(vector).reason
            if there
            else "this server has no 1-bit codes of a float vector; searches go on meanwhile, and "
            "what others write meanwhile is not in the bits",
            bits.request(vector, field.field, on=True),
            bits.request(vector, field.field, on=there),
            Estimate(
                codes_ram=size,
                codes_disk=size,
                originals_ram=4 * looked.count * field.vector.dim,
                originals_disk=4 * looked.count * field.vector.dim,
            ),
        )
    ]


def _bits_on(looked: Look, vector: str) -> Step:
    field = looked.layout.field(vector)
    return Step(
        Symbol.CLIENT,
        "search the sign bits beside",
        "they are in a field of their own, written with each row",
        bits.request(vector, field.field, on=True),
        bits.request(vector, field.field, on=False),
    )


def _bits_off(looked: Look, vector: str) -> Step:
    field = looked.layout.field(vector)
    return Step(
        Symbol.CLIENT,
        "search the sign bits no more" if field.form == forms.BESIDE else "drop the sign bits",
        "searches use the float index of the collection itself again",
        bits.request(vector, field.field, on=False),
        bits.request(vector, field.field, on=True),
    )


def rebuilds(looked: Look, vector: str, mapped: Mapped, asked: Mapping[str, Any]) -> bool:
    """Whether an index that was mapped is another one than that which is there."""
    native = mapped.native
    if native is None:
        return False
    field = looked.layout.field(vector)
    there = vector in looked.bits
    if native["index_type"] == mapping.BITS:
        return field.form == forms.FLOAT and not there
    if field.form == forms.ARRAY:
        return True
    now = field.index.native if field.index else None
    kind = looked.vectors[vector].quantization.kind
    same = _floats_both(kind, mapped.target.kind) and now is not None and not asked
    return not (same or mapping.satisfies(now, native, asked))


def _index_steps(
    looked: Look,
    vector: str,
    mapped: Mapped,
    native: Mapping[str, Any],
    asked: Mapping[str, Any],
) -> list[Step]:
    field = looked.layout.field(vector)
    kind = looked.vectors[vector].quantization.kind
    now = field.index.native if field.index else None
    if mapping.satisfies(now, native, asked):
        return _unfinished(looked, vector)
    if _floats_both(kind, mapped.target.kind) and now is not None and not asked:
        return _unfinished(looked, vector)
    if not field.metric_known:
        raise UnsupportedError(
            f"the vector {vector!r} has no index, and Milvus keeps the metric with the index",
            hint="`qadapt undo` if a change of qadapt was cut off; else create any index first",
        )
    wanted = {
        "index_name": f"{field.field}_{native['index_type'].lower()}",
        "index_type": native["index_type"],
        "metric_type": schema.METRICS[field.vector.metric],
        "params": dict(native["params"]),
    }
    former = field.index.definition if field.index else None
    reason = WHY
    if looked.embedded:
        reason += f"; {EMBEDDED}"
    if looked.count < SMALLEST and not looked.vectors[vector].lite:
        reason += f"; under {SMALLEST:,} rows nothing is indexed and searches compare floats"
    codes = mapping.code_bytes(native, field.vector, looked.count)
    originals = 4 * looked.count * field.vector.dim
    held = mapped.target.kind is Kind.NONE
    return [
        Step(
            Symbol.BLOCKING,
            f"replace the index {words(former)} by {words(wanted)}",
            reason,
            request(vector, field.field, wanted, former, load=True),
            request(vector, field.field, former, wanted, load=looked.loaded),
            Estimate(
                codes_ram=codes,
                codes_disk=codes,
                originals_ram=originals if held else 0,
                originals_disk=originals,
                temporary_disk=originals,
                stops="searches",
            ),
        )
    ]


def request(
    vector: str,
    field: str,
    index: Mapping[str, Any] | None,
    former: Mapping[str, Any] | None,
    *,
    load: bool,
) -> dict[str, Any]:
    """The request for one index."""
    return {
        "op": INDEX,
        "vector": vector,
        "field": field,
        "index": dict(index) if index else None,
        "former": dict(former) if former else None,
        "load": load,
    }


def _floats_both(now: Kind, wanted: Kind) -> bool:
    return now is Kind.NONE and wanted is Kind.NONE


def words(index: Mapping[str, Any] | None) -> str:
    """An index in a few words."""
    if index is None:
        return "(none)"
    params = ", ".join(f"{key}={value}" for key, value in sorted(index["params"].items()))
    return f"{index['index_type']}({params})"


def _unfinished(looked: Look, vector: str) -> list[Step]:
    field = looked.layout.field(vector)
    index, name, status = field.index, field.field, judge(looked.vectors[vector])
    if field.coded:
        index, name = field.codes, forms.codes_field(field.field)
        status = looked.status(vector)
    unloaded = not looked.loaded and index is not None
    if not unloaded and status.state is not State.BUILDING:
        return []
    now = index.definition if index else None
    again = request(vector, name, now, now, load=True)
    return [
        Step(
            Symbol.BACKGROUND,
            f"flush, and wait until {words(now)} is in use",
            status.reason or "the collection is not loaded: no search runs",
            again,
            # It does what is configured already: there is no other state to go back to.
            again,
        )
    ]


# -- carrying out --------------------------------------------------------------------------------


def run(
    connection: Connection,
    name: str,
    request: Mapping[str, Any],
    progress: OnProgress,
    timeout: float,
) -> None:
    """Carry out a request: read what is, do what is missing, wait until it is in use.

    Raises:
        StoreError: the engine refused; the former index is there again.
        StoreTimeoutError: not in use after ``timeout`` seconds.
    """
    check_request(request)
    if request["op"] == bits.BITS:
        return bits.run(connection, name, request, progress, timeout)
    end = time.monotonic() + timeout
    client = connection.client
    # Some of these calls do not follow an alias.
    name = schema.describe(connection, name).real
    wanted = request["index"]
    progress(Progress("flushing"))
    connection.call(f"flush {name!r}", client.flush, name, within=timeout)
    there = schema.indexes(connection, name).get(request["field"])
    stopped: float | None = None
    if not _same(there, wanted):
        stopped = time.monotonic()
        _note_metric(connection, name, request)
        _release(connection, name)
        progress(Progress("dropping the index"))
        _drop(connection, name, there)
        if wanted is not None:
            _create(connection, name, request, progress, end)
    if request["load"] and (wanted is not None or connection.lite):
        _load(connection, name, progress, end)
        if stopped is not None:
            seconds = time.monotonic() - stopped
            progress(Progress(f"searches stopped for {seconds:.1f} seconds", seconds, None, "s"))
        settle(connection, name, request, progress, end)
    elif not request["load"]:
        _release(connection, name)
    return None


def _same(there: schema.Index | None, wanted: Mapping[str, Any] | None) -> bool:
    if there is None or wanted is None:
        return there is None and wanted is None
    said = {key: str(value) for key, value in wanted["params"].items()}
    return there.type == wanted["index_type"] and dict(there.params) == said


def _note_metric(connection: Connection, name: str, request: Mapping[str, Any]) -> None:
    """Keep the metric where an interrupted change can be planned from.

    A server that takes no such property loses only that: the journal knows the metric too.
    """
    index = request["index"] or request["former"]
    if index is None:
        return
    note = {schema.metric_property(request["field"]): index["metric_type"]}
    client = connection.client
    with contextlib.suppress(StoreError, UnsupportedError):
        connection.call(
            f"note the metric of {name!r}", client.alter_collection_properties, name, note
        )


def _drop(connection: Connection, name: str, there: schema.Index | None) -> None:
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
    request: Mapping[str, Any],
    progress: OnProgress,
    end: float,
) -> None:
    wanted = request["index"]
    progress(Progress(f"building {words(wanted)}"))
    try:
        create_index(connection, name, request["field"], wanted, limit=left(end))
    except TransientError as error:
        if isinstance(error, StoreTimeoutError):
            error.hint = f"{STUCK}; apply again goes on, `qadapt undo` takes it back"
        raise
    except QadaptError as error:
        former = request["former"]
        if former is None or former == wanted:
            raise
        progress(Progress(f"refused; building {words(former)} again"))
        _drop(connection, name, schema.indexes(connection, name).get(request["field"]))
        create_index(connection, name, request["field"], former, limit=left(end))
        _load(connection, name, progress, end)
        raise StoreError(
            f"{error.message}; the former index {words(former)} is there again",
            hint=error.hint,
        ) from error


def create_index(
    connection: Connection, name: str, field: str, index: Mapping[str, Any], *, limit: float
) -> None:
    """Create an index and wait until it is built; one of a scalar field has no metric.

    Parameters go nested: that way Lite obeys them too, which ignores the flat form.
    """
    client = connection.client
    params = client.prepare_index_params()
    named: dict[str, Any] = {"index_name": index["index_name"]}
    if index.get("metric_type"):
        named["metric_type"] = index["metric_type"]
        named["params"] = {"params": dict(index["params"])}
    elif index["params"]:
        named["params"] = dict(index["params"])
    params.add_index(field, index_type=index["index_type"], **named)
    connection.call(
        f"build {index['index_type']} of {name!r}", client.create_index, name, params, within=limit
    )


def _load(connection: Connection, name: str, progress: OnProgress, end: float) -> None:
    if not schema.loaded(connection, name):
        progress(Progress("loading"))
        client = connection.client
        connection.call(f"load {name!r}", client.load_collection, name, within=left(end))


def left(end: float) -> float:
    """Seconds until then, at least one."""
    return max(1.0, end - time.monotonic())


def settle(
    connection: Connection,
    name: str,
    request: Mapping[str, Any],
    progress: OnProgress,
    end: float,
) -> None:
    """Wait until searches use the index: ``Finished`` is not enough."""
    while True:
        looked = look.look(connection, name)
        status = judge(looked.vectors[request["vector"]])
        of_bits = request["field"].startswith(forms.CODES)
        if of_bits or status.state is not State.BUILDING:
            return
        if time.monotonic() >= end:
            raise StoreTimeoutError(
                f"the index of {name!r} is not in use in time: {status.reason}",
                hint=STUCK,
            )
        progress(Progress("waiting until searches use the index", status.progress or 0, 1, "share"))
        time.sleep(PAUSE)
