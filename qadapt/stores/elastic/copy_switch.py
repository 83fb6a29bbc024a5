"""Changes that are not possible in place: copy to a new index, then switch an alias to it.

    {"op": "opensearch.copy", "alias": "articles", "from": "articles_v1", "to": "articles_v2",
     "fields": {"embedding": {"type": "knn_vector", ...}}}
    {"op": "opensearch.switch", "alias": "articles", "to": "articles_v1"}

Writes to the source are blocked before the first row is read, so that no row is lost. Documents
are copied as they are, with fields that qadapt does not manage. The alias is moved in one request.
A collection that is addressed by the name of its index becomes an alias of the copy: the index is
first cloned, by hard links and with its codes, and the clone is kept for an undo.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from qadapt.errors import NotFoundError, PlanStaleError, StoreError, StoreTimeoutError
from qadapt.model import Estimate, Step, Symbol
from qadapt.stores.copy_switch import CopyAndSwitch, compare_counts, copy_pages
from qadapt.stores.elastic import aliases, collections, payload, rows, scan_ranges, settings
from qadapt.stores.elastic.connection import Connection, check_shards
from qadapt.stores.elastic.schema import OWN, Index, quoted
from qadapt.stores.operations import Execution, Operation
from qadapt.stores.polling import Wait, poll
from qadapt.stores.store_types import Progress
from qadapt.stores.versioned_names import next_version

if TYPE_CHECKING:
    from qadapt.stores.elastic.store import ElasticStore

PAGE = 1_000
COMPARED = 100
# Settings of an index that a server makes itself.
_OF_THE_SERVER = (
    "creation_date",
    "uuid",
    "version",
    "provided_name",
    "blocks",
    "resize",
    "history",
)
SPEED = 200_000  # values copied per second on 2 busy cores


@dataclass(frozen=True)
class Switch(Operation):
    """Moves an alias to an index that exists, and lets clients write to it."""

    op: ClassVar[str] = "elastic.switch"
    keys: ClassVar[Mapping[str, str]] = {"target": "to"}

    alias: str
    target: str

    def run(self, at: Execution[ElasticStore]) -> None:
        connection = at.store.connection
        found = at.store.aliases().get(self.alias)
        if found is None and at.store.has(self.alias):
            return  # the index was never replaced
        block(connection, self.target, blocked=False)
        if found != self.target:
            aliases.switch(connection, self.alias, self.target, found, replace_index=False)


@dataclass(frozen=True)
class Copy(CopyAndSwitch):
    """Creates a copy in which some fields with vectors have another definition.

    Attributes:
        fields: the complete definition of each field that changes, by path.
        kept: name of the clone of the source that is kept; None if the source has another name
            than the alias and stays.
        dims: the number of first dimensions that are copied of a field, by path.
    """

    op: ClassVar[str] = "elastic.copy"
    undo: ClassVar[type[Switch]] = Switch
    # `_source` of a search that returns whole documents.
    whole: ClassVar[Any] = True

    fields: Mapping[str, Mapping[str, Any]]
    kept: str | None = None
    dims: Mapping[str, int] | None = None

    def current(self, at: Execution[ElasticStore]) -> str | None:
        return at.store.aliases().get(self.alias)

    def create(self, at: Execution[ElasticStore]) -> None:
        _make(at.store, self)

    def load(self, at: Execution[ElasticStore]) -> None:
        block(at.store.connection, self.source, blocked=True)
        _copy(at.store, self, at.wait)

    def compare(self, at: Execution[ElasticStore]) -> None:
        _compare(at.store, self)

    def switch(self, at: Execution[ElasticStore]) -> None:
        connection = at.store.connection
        if self.current(at) == self.target:
            return
        if self.kept is None:
            former = self.current(at)
            aliases.switch(connection, self.alias, self.target, former, replace_index=False)
            block(connection, self.source, blocked=False)
            return
        _clone(at.store, self.source, self.kept, at.wait)
        aliases.switch(connection, self.alias, self.target, None, replace_index=True)

    def reverse(self, snapshot: Any) -> Switch:
        """The switch back to the former index, or to its clone."""
        return self.undo(self.alias, self.kept or self.source)


# -- planning ------------------------------------------------------------------------------------


def planned(
    operation: type[Copy],
    index: Index,
    fields: Mapping[str, Mapping[str, Any]],
    taken: Collection[str],
    dims: Mapping[str, int] | None = None,
) -> Copy:
    """The operation that copies with other definitions of some fields.

    Args:
        taken: the names of all indexes and aliases, to find free ones.
    """
    target = next_version(index.real, taken)
    kept = None if index.is_alias else next_version(index.real, {*taken, target})
    return operation(index.name, index.real, target, fields, kept, dims)


def step(operation: Copy, action: str, why: str, count: int, code_bytes: int, width: int) -> Step:
    """The step that copies and switches.

    Args:
        action: the change in a few words.
        count: number of rows.
        code_bytes: bytes of the codes of all rows after the change.
        width: numbers in all vectors of a row.
    """
    size = 4 * count * width
    seconds = max(1, round(count * width / SPEED))
    if operation.kept is None:
        words = f"switch the alias {operation.alias!r}"
        kept = f"{operation.source!r} is kept for an undo"
    else:
        words = f"replace the index {operation.alias!r} by an alias"
        kept = f"a clone of the index is kept as {operation.kept!r} for an undo"
    return Step(
        Symbol.RECREATE,
        f"copy to {operation.target!r} with {action}, then {words}",
        f"{why}; about {seconds:,} s (on 2 busy cores); {kept}; writes are refused meanwhile",
        operation.to_request(),
        operation.reverse(None).to_request(),
        Estimate(
            codes_ram=code_bytes,
            codes_disk=code_bytes,
            originals_ram=0 if code_bytes else size,
            originals_disk=2 * size,
            stops="writes",
        ),
    )


# -- execution -----------------------------------------------------------------------------------


def block(connection: Connection, index: str, *, blocked: bool) -> None:
    """Refuse or allow writes to an index."""
    connection.ask(
        "PUT",
        f"/{quoted(index)}/_settings",
        {"index.blocks.write": True if blocked else None},
        doing=f"{'block' if blocked else 'allow'} writes to {index!r}",
    )


def _make(store: ElasticStore, operation: Copy) -> None:
    """Create the copy unless it exists.

    Raises:
        PlanStaleError: another index has its name.
        NotFoundError: the source does not exist.
    """
    source = store.index(operation.source)
    if source.real != operation.source:
        raise NotFoundError(
            f"{operation.source!r} is an alias now, and no index",
            hint="create a new plan with `qadapt plan`",
        )
    if not store.has(operation.target):
        mappings = mappings_of(source, operation)
        collections.put(store.connection, operation.target, mappings, settings_of(source))
        return
    made = store.index(operation.target)
    wanted = store.product
    for path, definition in operation.fields.items():
        field = next((each for each in made.vectors.values() if each.path == path), None)
        if made.meta.get("copy_of") != operation.source or field is None or (
            wanted.parse_vector(field.definition) != wanted.parse_vector(definition)
        ):  # fmt: skip
            raise PlanStaleError(
                f"the index {operation.target!r} exists, and is not the planned copy",
                hint="if another client created it, plan again: the next plan uses a free name",
            )


def mappings_of(source: Index, operation: Copy) -> dict[str, Any]:
    """The mapping of the copy: that of the source with some fields changed."""
    made: dict[str, Any] = copy.deepcopy(dict(source.mappings))
    for path, definition in operation.fields.items():
        place = made["properties"]
        *parents, last = path.split(".")
        for each in parents:
            place = place[each]["properties"]
        place[last] = dict(definition)
    own = {**source.meta, "copy_of": source.real, "replaces": operation.alias}
    made["_meta"] = {**(made.get("_meta") or {}), OWN: own}
    return made


def settings_of(source: Index) -> dict[str, Any]:
    """The settings of the copy: those of the source without what the server makes."""
    found = {
        name: value
        for name, value in (source.settings.get("index") or {}).items()
        if name not in _OF_THE_SERVER
    }
    routing = copy.deepcopy(found.get("routing") or {})
    routing.get("allocation", {}).pop("initial_recovery", None)
    if "routing" in found:
        found["routing"] = routing
    return {"index": found}


def _copy(store: ElasticStore, operation: Copy, wait: Wait) -> None:
    connection = store.connection
    source, target = store.index(operation.source), store.index(operation.target)
    rows.refresh(connection, source)

    def send(page: list[Any]) -> int:
        documents = ((hit["_id"], _lines(hit, operation)) for hit in page)
        rows.send(connection, target, documents, "copy to")
        return len(page)

    pages = _pages(store, source, operation.whole)
    total = rows.count(connection, source, None)
    copy_pages(pages, send, total, operation.target, wait)


def _pages(store: ElasticStore, source: Index, whole: Any) -> Iterator[list[Any]]:
    """All documents as search hits, in pages."""
    doing = f"read {source.name!r}"
    with scan_ranges.point_in_time(store.connection, store.product, source) as pit:
        body: dict[str, Any] = {
            "pit": {"id": pit, "keep_alive": scan_ranges.KEEP_ALIVE},
            "sort": ["_shard_doc"],
            "size": PAGE,
            "_source": whole,
            "track_total_hits": False,
        }
        while True:
            answer = store.connection.ask("POST", "/_search", body, doing=doing)
            check_shards(answer, doing)
            hits = answer["hits"]["hits"]
            if not hits:
                return
            yield hits
            body["search_after"] = hits[-1]["sort"]


def _lines(hit: Mapping[str, Any], operation: Copy) -> tuple[bytes, ...]:
    """The action and the document of a bulk request."""
    action = {"_id": hit["_id"]}
    if hit.get("_routing") is not None:
        action["routing"] = hit["_routing"]
    document = hit["_source"]
    for path, count in (operation.dims or {}).items():
        _shorten(document, path, count)
    return payload.as_json({"index": action}).encode(), payload.as_json(document).encode()


def _shorten(document: Any, path: str, count: int) -> None:
    """Keep the first dimensions of a vector."""
    if path in document:
        if document[path] is not None:
            document[path] = document[path][:count]
        return
    first, _, rest = path.partition(".")
    if rest and isinstance(document.get(first), dict):
        _shorten(document[first], rest, count)


def _compare(store: ElasticStore, operation: Copy) -> None:
    """Compare the row counts and some rows.

    Raises:
        StoreError: they differ.
    """
    connection = store.connection
    source, target = store.index(operation.source), store.index(operation.target)
    rows.refresh(connection, target)
    theirs, ours = (rows.count(connection, each, None) for each in (source, target))
    compare_counts(ours, theirs, operation.target, operation.source)
    changed = set(operation.dims or {})
    for page in _pages(store, source, operation.whole):
        wanted = {hit["_id"]: hit["_source"] for hit in page[: COMPARED // 10]}
        found = _documents(store, target, list(wanted), operation.whole)
        for key, document in wanted.items():
            if _without(document, changed) != _without(found.get(key), changed):
                raise StoreError(
                    f"the row {key!r:.60} differs between {operation.target!r} and "
                    f"{operation.source!r}: the alias was not switched",
                    hint="stop writes to the source, then run `qadapt apply` again",
                )


def _documents(store: ElasticStore, index: Index, ids: list[str], whole: Any) -> dict[str, Any]:
    body = {"query": {"ids": {"values": ids}}, "size": len(ids), "_source": whole}
    doing = f"read rows of {index.name!r}"
    answer = store.connection.ask("POST", f"/{quoted(index.real)}/_search", body, doing=doing)
    check_shards(answer, doing)
    return {hit["_id"]: hit["_source"] for hit in answer["hits"]["hits"]}


def _without(document: Any, paths: set[str]) -> Any:
    if document is None or not paths:
        return document
    return payload.without_vectors(document, paths)


def _clone(store: ElasticStore, source: str, kept: str, wait: Wait) -> None:
    """Clone an index, with its codes, and wait until the clone can be searched."""
    connection = store.connection
    block(connection, source, blocked=True)
    if not store.has(kept):
        body = {"settings": {"index.blocks.write": None}}
        path = f"/{quoted(source)}/_clone/{quoted(kept)}"
        connection.ask("PUT", path, body, doing=f"clone {source!r}", repeatable=False)

    def ready() -> bool:
        answer = connection.ask(
            "GET",
            f"/_cluster/health/{quoted(kept)}",
            params={"filter_path": "status"},
            doing=f"read the state of {kept!r}",
        )
        return str(answer["status"]) in ("green", "yellow")

    poll(
        ready,
        bool,
        lambda _: Progress(f"cloning {source!r}"),
        lambda _: StoreTimeoutError(
            f"the clone {kept!r} of {source!r} is not ready", hint="run `qadapt apply` again"
        ),
        wait,
    )
    clone = store.index(kept)
    settings.write(connection, clone, "replaces", source)
