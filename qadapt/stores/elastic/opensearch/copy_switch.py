"""The copy of ``stores.elastic.copy_switch`` with a comparison of rows and a cheap undo.

A collection that is addressed by the name of its index becomes an alias of the copy. Before the
index is deleted, it is cloned by hard links, with its codes, and an undo moves the alias to the
clone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from qadapt.errors import PlanStaleError, StoreError, StoreTimeoutError
from qadapt.model import Estimate, Step, Symbol
from qadapt.stores.copy_switch import STOP_WRITING
from qadapt.stores.elastic import copy_switch, payload, rows
from qadapt.stores.elastic.connection import Connection
from qadapt.stores.elastic.schema import OWN, Index, quoted
from qadapt.stores.operations import Execution
from qadapt.stores.polling import Wait, poll
from qadapt.stores.store_types import Progress
from qadapt.stores.versioned_names import next_version

if TYPE_CHECKING:
    from qadapt.stores.elastic.store import ElasticStore

COMPARED = 10  # rows of each page that are compared
SPEED = 200_000  # values copied per second on 2 busy cores


@dataclass(frozen=True)
class Switch(copy_switch.Switch):
    """Moves an alias."""

    op: ClassVar[str] = "opensearch.switch"


@dataclass(frozen=True)
class Copy(copy_switch.Rebuild):
    """Creates a copy in which some fields have another definition.

    Attributes:
        kept: name of the clone of an index that the copy replaces; None if the source is behind an
            alias and stays.
    """

    op: ClassVar[str] = "opensearch.copy"

    kept: str | None = None

    def compare(self, at: Execution[ElasticStore[Any]]) -> None:
        super().compare(at)
        _compare_rows(at.store, self)

    def switch(self, at: Execution[ElasticStore[Any]]) -> None:
        if self.kept is not None:
            clone(at.store.connection, self.source, self.kept, at.wait)
        super().switch(at)

    def reverse(self, snapshot: Any) -> Switch:
        """The switch back to the former index, or to its clone."""
        return Switch(self.alias, self.kept or self.source)


def planned(
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
    return Copy(index.name, index.real, target, fields, dims, kept)


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
        f"{why}; about {seconds:,} s (on 2 busy cores); {kept}; writes are refused during the copy",
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


def _compare_rows(store: ElasticStore[Any], operation: Copy) -> None:
    """Compare some rows of each page.

    Raises:
        StoreError: they differ.
    """
    source, target = store.index(operation.alias), store.index(operation.target)
    dims = operation.dims or {}
    for page in copy_switch.documents(store, source, dims):
        wanted = {each["action"]["_id"]: each["source"] for each in page[:COMPARED]}
        found = dict(_documents(store.connection, target, list(wanted)))
        for key, document in wanted.items():
            if not _equal(document, found.get(key), list(dims)):
                raise StoreError(
                    f"the row {key!r:.60} differs between {operation.target!r} and "
                    f"{operation.source!r}: the alias was not switched",
                    hint=STOP_WRITING,
                )


def _equal(sent: Mapping[str, Any], stored: Mapping[str, Any] | None, paths: list[str]) -> bool:
    """Whether documents are equal; numbers of shortened vectors have other digits in JSON."""
    if stored is None:
        return False
    for path in paths:
        ours, theirs = ({"_source": each} for each in (sent, stored))
        pair = [rows.value_of(each, path) for each in (ours, theirs)]
        if None in pair:
            if pair != [None, None]:
                return False
        elif np.any(np.float32(pair[0]) != np.float32(pair[1])):
            return False
    cut = set(paths)
    return payload.without_vectors(sent, cut) == payload.without_vectors(stored, cut)


def _documents(
    connection: Connection, index: Index, ids: list[str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    body = {"query": {"ids": {"values": ids}}, "size": len(ids)}
    doing = f"read rows of {index.name!r}"
    answer = connection.ask("POST", f"/{quoted(index.real)}/_search", body, doing=doing)
    for hit in answer["hits"]["hits"]:
        yield hit["_id"], hit["_source"]


def clone(connection: Connection, source: str, kept: str, wait: Wait) -> None:
    """Clone an index that refuses writes, and wait until the clone can be searched.

    A clone of an interrupted change may lack later rows, so it is made again.

    Raises:
        PlanStaleError: another index has the name of the clone.
    """
    doing = f"clone {source!r}"
    path = f"/{quoted(kept)}"
    former = connection.found(path, doing=f"look up {kept!r}")
    if former is not None:
        if _settings(former, kept).get("resize", {}).get("source", {}).get("name") != source:
            raise PlanStaleError(
                f"the index {kept!r} exists, and is not a clone of {source!r}",
                hint="plan again: the next plan uses a free name",
            )
        connection.ask("DELETE", path, doing=f"delete {kept!r}", repeatable=False)
    body = {"settings": {"index.blocks.write": None}}
    to = f"/{quoted(source)}/_clone{path}"
    connection.ask("PUT", to, body, doing=doing, repeatable=False)

    def ready() -> bool:
        health = f"/_cluster/health{path}"
        answer = connection.ask("GET", health, params={"filter_path": "status"}, doing=doing)
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
    answer = connection.ask("GET", f"{path}/_mapping", doing=doing)
    meta = answer[kept]["mappings"].get("_meta") or {}
    own = {**(meta.get(OWN) or {}), "replaces": source}  # so that the alias can be dropped
    changed: dict[str, Any] = {"_meta": {**meta, OWN: own}}
    connection.ask("PUT", f"{path}/_mapping", changed, doing=doing)


def _settings(answer: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The settings of an index in the answer of a GET; empty for an alias."""
    found: Mapping[str, Any] = (answer.get(name) or {}).get("settings") or {}
    return found.get("index") or {}
