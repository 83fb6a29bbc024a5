"""Changing what is fixed at creation: a new collection, a copy, and the alias moved to it.

    {"op": "qdrant.recreate", "alias": "articles", "from": "articles_v1", "to": "articles_v2",
     "vectors": {"": {"datatype": "float16"}}}
    {"op": "qdrant.switch", "alias": "articles", "to": "articles_v1"}

Rows are copied as raw JSON, so that multivectors, sparse vectors and payloads come along. The
former collection stays, which is what makes the way back cheap. Facts section 9: creating an
alias that exists moves it, in one action; a list of actions is not atomic when one fails; so the
target is checked first and a single action is sent.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from qadapt.errors import NotFoundError, SpecError, StoreError, StoreTimeoutError, UnsupportedError
from qadapt.model import Estimate, Step, Symbol, Vector, VectorInfo
from qadapt.stores import checks
from qadapt.stores.base import OnProgress, Progress
from qadapt.stores.qdrant.server import payload_indexes, strict_mode
from qadapt.stores.qdrant.server import schema as qdrant_schema
from qadapt.stores.qdrant.server.connection import Connection
from qadapt.stores.qdrant.server.errors import first_of_its_step
from qadapt.stores.qdrant.server.snapshot import Snapshot, aliases
from qadapt.stores.versioned_names import next_version

RECREATE = "qdrant.recreate"
SWITCH = "qdrant.switch"
_KEYS = {RECREATE: {"op", "alias", "from", "to", "vectors"}, SWITCH: {"op", "alias", "to"}}
PAGE = 500

# Of the collection's parameters in the read-back: what CreateCollection has, and what can be set by
# a PATCH alone. The server drops any other field of a creation without a word.
_CREATED = (
    "shard_number",
    "sharding_method",
    "replication_factor",
    "write_consistency_factor",
    "on_disk_payload",
    "sparse_vectors",
)
_PATCHED = ("read_fan_out_factor", "read_fan_out_delay_ms")
# What a new collection takes over, by its names in the read-back and in the creation.
_TAKEN_OVER = {
    "hnsw_config": "hnsw_config",
    "optimizer_config": "optimizers_config",
    "wal_config": "wal_config",
    "quantization_config": "quantization_config",
    "strict_mode_config": "strict_mode_config",
    "metadata": "metadata",
}


def check_request(request: Mapping[str, Any]) -> None:
    """Refuse a request that is not one of ours.

    Raises:
        SpecError
    """
    checks.request(request, _KEYS, "qdrant")


def steps(
    snapshot: Snapshot, now: VectorInfo, wanted: Vector, taken: Mapping[str, str]
) -> list[Step]:
    """The step to a vector of another datatype or metric.

    Args:
        taken: all names of collections and aliases, to find a free one.

    Raises:
        UnsupportedError: the name is a collection's own and not an alias, or rows cannot be copied.
    """
    if snapshot.info["config"]["params"].get("sharding_method") == "custom":
        raise UnsupportedError(
            f"{snapshot.name!r} has custom sharding: a copy would lose which shard a row is in",
            hint="copy it with `qadapt migrate`, one shard key at a time",
        )
    if snapshot.real == snapshot.name:
        raise UnsupportedError(
            f"a datatype or metric is fixed at creation, and {snapshot.name!r} is a "
            "collection's own "
            "name: no alias of that name can be switched to a copy",
            hint=f"create an alias for {snapshot.name!r}, let readers and writers use it, and plan "
            "on the alias",
        )
    change = _change(now.vector, wanted)
    target = next_version(snapshot.real, taken)
    lost = "" if now.metric == wanted.metric else "; cosine vectors are stored at length 1"
    size = 4 * now.count * now.dim
    return [
        Step(
            Symbol.RECREATE,
            f"copy to {target!r} with {_words(change)}, then switch the alias {snapshot.name!r}",
            f"a datatype or metric is fixed at creation{lost}; {snapshot.real!r} stays, "
            "for the way "
            "back; what is written meanwhile, or before an undo, is only in one of the two",
            {
                "op": RECREATE,
                "alias": snapshot.name,
                "from": snapshot.real,
                "to": target,
                "vectors": {now.name: change},
            },
            {"op": SWITCH, "alias": snapshot.name, "to": snapshot.real},
            Estimate(originals_ram=size, originals_disk=2 * size, stops="writes"),
        )
    ]


def _change(now: Vector, wanted: Vector) -> dict[str, str]:
    change: dict[str, str] = {}
    if wanted.datatype != now.datatype:
        change["datatype"] = wanted.datatype
    if wanted.metric != now.metric:
        change["distance"] = qdrant_schema.DISTANCES[wanted.metric]
    if not change:
        raise SpecError("a recreation changes the datatype or the metric; nothing differs")
    return change


def _words(change: Mapping[str, str]) -> str:
    return ", ".join(f"{key} {value}" for key, value in change.items())


# -- carrying it out -----------------------------------------------------------------------------


def run(
    connection: Connection, request: Mapping[str, Any], progress: OnProgress, timeout: float
) -> None:
    """Carry out a request; what an interrupted one did is found and finished.

    Raises:
        StoreError: the copy is not what the original is.
        StoreTimeoutError
    """
    alias, target = request["alias"], request["to"]
    if request["op"] == RECREATE and aliases(connection).get(alias) != target:
        end = time.monotonic() + timeout
        _make(connection, request)
        _copy(connection, request["from"], target, progress, end)
        _compare(connection, request["from"], target)
    switch(connection, alias, target)


def switch(connection: Connection, alias: str, target: str) -> None:
    """Move an alias in one action, after a check that the target is there; then look.

    Raises:
        NotFoundError: no such target; nothing was sent.
        StoreError: the alias does not stand where it was sent.
    """
    if aliases(connection).get(alias) == target:
        return
    if not _exists(connection, target):
        raise NotFoundError(
            f"the alias {alias!r} was not switched: there is no collection {target!r}",
            hint="it may have been dropped; the alias stands where it stood",
        )
    action = {"create_alias": {"collection_name": target, "alias_name": alias}}
    doing = f"switch the alias {alias!r}"
    connection.ask("POST", "/collections/aliases", {"actions": [action]}, doing=doing)
    found = aliases(connection).get(alias)
    if found != target:
        raise StoreError(f"the alias {alias!r} stands at {found!r} and not at {target!r}")


def drop_alias(connection: Connection, alias: str) -> None:
    """Delete an alias that is there."""
    action = {"delete_alias": {"alias_name": alias}}
    doing = f"drop the alias {alias!r}"
    connection.ask("POST", "/collections/aliases", {"actions": [action]}, doing=doing)


def _exists(connection: Connection, name: str) -> bool:
    path = "/collections/{collection_name}/exists"
    names = {"collection_name": name}
    found = connection.ask("GET", path, doing=f"look for {name!r}", names=names)
    return bool(found["exists"])


def _info(connection: Connection, name: str) -> dict[str, Any]:
    names = {"collection_name": name}
    found: dict[str, Any] = connection.ask(
        "GET", "/collections/{collection_name}", doing=f"read {name!r}", names=names
    )
    return found


def _make(connection: Connection, request: Mapping[str, Any]) -> None:
    source, target = _info(connection, request["from"]), request["to"]
    body = creation(source, request["vectors"])
    names = {"collection_name": target}
    path = "/collections/{collection_name}"
    if not _exists(connection, target):
        with first_of_its_step():
            connection.ask("PUT", path, body, doing=f"create {target!r}", names=names)
    made = _info(connection, target)
    params = qdrant_schema.settings(source)["params"]
    later = {key: params[key] for key in _PATCHED if key in params}
    if qdrant_schema.param_differences(later, made):
        connection.ask("PATCH", path, {"params": later}, doing=f"change {target!r}", names=names)
        made = _info(connection, target)
    dropped = [
        *qdrant_schema.differences({"vectors": _by_name(body["vectors"])}, made),
        *qdrant_schema.param_differences(params, made),
    ]
    if dropped:
        raise StoreError(
            f"{target!r} is not what was to be made: {'; '.join(dropped)}",
            hint=f"if {target!r} is somebody else's, plan again: another name is taken",
        )
    known = made.get("payload_schema") or {}
    for field, schema in (source.get("payload_schema") or {}).items():
        if field not in known:
            payload_indexes.create_index(
                connection, target, field, schema.get("params") or schema["data_type"]
            )


def creation(
    source: qdrant_schema.Info, changes: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """The body that creates a collection like ``source``, with some vectors changed."""
    kept = qdrant_schema.settings(source)
    vectors = {
        name: {**each, **changes.get(name, {})}
        for name, each in qdrant_schema.params({"config": kept}).items()
    }
    params = kept["params"]
    body: dict[str, Any] = {key: params[key] for key in _CREATED if key in params}
    body["vectors"] = vectors[""] if set(vectors) == {""} else vectors
    with_metadata = {**kept, "metadata": qdrant_schema.metadata(source)}
    for key, name in _TAKEN_OVER.items():
        if with_metadata.get(key):
            body[name] = with_metadata[key]
    return body


def _by_name(vectors: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"": vectors} if isinstance(vectors.get("size"), int) else vectors


def _pages(
    connection: Connection, name: str, most: int, *, rows: bool = True
) -> Iterator[list[dict[str, Any]]]:
    """Points, in pages.

    Args:
        most: in a page, within the limits of strict mode.
        rows: with vectors and payloads.
    """
    offset = None
    names = {"collection_name": name}
    while True:
        body: dict[str, Any] = {"limit": most, "with_vector": rows, "with_payload": rows}
        if offset is not None:
            body["offset"] = offset
        path = "/collections/{collection_name}/points/scroll"
        found = connection.ask(
            "POST", path, body, doing=f"read {name!r}", names=names, repeatable=True
        )
        if found["points"]:
            yield found["points"]
        offset = found.get("next_page_offset")
        if offset is None:
            return


def _copy(
    connection: Connection, source: str, target: str, progress: OnProgress, end: float
) -> None:
    total, done = count(connection, source), 0
    path = "/collections/{collection_name}/points?wait=true"
    names = {"collection_name": target}
    most = strict_mode.cap(_limits(connection, target), "upsert_max_batchsize", PAGE)
    for page in _pages(connection, source, _page(_limits(connection, source))):
        if time.monotonic() >= end:
            raise StoreTimeoutError(
                f"{done:,} of {total:,} rows are copied to {target!r}", hint="apply again goes on"
            )
        points = [
            {"id": each["id"], "vector": each.get("vector"), "payload": each.get("payload")}
            for each in page
        ]
        doing = f"copy to {target!r}"
        for start in range(0, len(points), most):
            body = {"points": points[start : start + most]}
            connection.ask("PUT", path, body, doing=doing, names=names, repeatable=True)
        done += len(page)
        progress(Progress(f"copying to {target!r}", done, total))


def _limits(connection: Connection, name: str) -> strict_mode.Limits:
    return strict_mode.limits(_info(connection, name))


def _page(limits: strict_mode.Limits) -> int:
    return strict_mode.cap(limits, "max_query_limit", PAGE)


def _compare(connection: Connection, source: str, target: str) -> None:
    """Count both, and compare one row of each page."""
    ours, theirs = count(connection, target), count(connection, source)
    if ours != theirs:
        raise StoreError(
            f"the copy {target!r} has {ours:,} rows and {source!r} {theirs:,}: the alias was not "
            "switched",
            hint="stop writing to it, then apply again",
        )
    path = "/collections/{collection_name}/points"
    for page in _pages(connection, source, _page(_limits(connection, source))):
        wanted = page[0]
        body = {"ids": [wanted["id"]], "with_payload": True}
        names = {"collection_name": target}
        found = connection.ask(
            "POST", path, body, doing=f"read {target!r}", names=names, repeatable=True
        )
        if not found or (found[0].get("payload") or {}) != (wanted.get("payload") or {}):
            raise StoreError(
                f"the row {wanted['id']!r} of {target!r} is not that of {source!r}: the alias was "
                "not switched",
                hint="stop writing to it, then apply again",
            )


def count(connection: Connection, name: str) -> int:
    """Rows, exactly; counted by reading ids where strict mode forbids exact counts."""
    limits = _limits(connection, name)
    if not strict_mode.allows_exact(limits):
        return sum(map(len, _pages(connection, name, _page(limits), rows=False)))
    path = "/collections/{collection_name}/points/count"
    names = {"collection_name": name}
    found = connection.ask(
        "POST", path, {"exact": True}, doing=f"count {name!r}", names=names, repeatable=True
    )
    return int(found["count"])
