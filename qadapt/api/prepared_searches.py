"""Searches of a collection that were resolved once and are repeated with other queries."""

from __future__ import annotations

import weakref
from collections.abc import Hashable
from dataclasses import dataclass
from time import monotonic
from typing import Any

from qadapt.errors import QadaptError, UnsupportedError
from qadapt.local import state
from qadapt.local.settings import SettingsWatch
from qadapt.local.state import Settings
from qadapt.model import Hits, Vector
from qadapt.model.query_checks import plain_queries
from qadapt.search import Prepared, prepare
from qadapt.stores import forks
from qadapt.stores.base import SearchRequest, Store

MOST = 64  # searches kept per collection
_changes = state.changes


@dataclass(slots=True)
class _Entry:
    """A resolved search.

    Attributes:
        search: None if this search cannot be prepared.
        settings: watches the saved settings of the collection that it was resolved with.
        until: monotonic time at which the definition of the vector expires.
    """

    search: Prepared | None
    vector: Vector
    settings: SettingsWatch
    until: float


# Cleared in a forked child: only the general search refuses a client of the parent.
_everywhere: weakref.WeakSet[PreparedSearches] = weakref.WeakSet()


def _clear_all() -> None:
    for searches in _everywhere:
        searches.clear()


forks.in_child(_clear_all)


class PreparedSearches:
    """Searches of one collection by their parameters.

    One is used while the saved settings, the definition of the vector and the state that the store
    derived it from are unchanged, and for queries that need neither checks nor scaling.
    """

    def __init__(self, store: Store, collection: str) -> None:
        self._store = store
        self._collection = collection
        self._known: dict[Hashable, _Entry] = {}
        _everywhere.add(self)

    def search(self, key: Hashable, queries: Any) -> Hits | None:
        """Search with a known search; None if it must be resolved.

        Raises:
            IntegrityError: the saved settings are damaged.
            QadaptError: errors of the database.
        """
        # An engine in this process replaces the contents of the processor's caches, so the time of
        # this method is that of the functions it calls: the frequent case calls few.
        known = self._known.get(key)
        if known is None:
            return None
        found, watch = known.search, known.settings
        if found is None or self._store.closed:
            return None
        now = monotonic()
        looked_up = now <= watch.until and watch.changes == _changes.number
        if not looked_up and (now > known.until or not watch.unchanged(now, known.until)):
            return None
        array = plain_queries(queries, known.vector)
        if array is None:
            return None
        try:
            hits = found.run(array)
        except UnsupportedError:
            return None  # the general search ignores a default that is no longer supported
        if hits is None:
            return None
        fields, last = hits.__dict__, found.last
        rows = fields.get("_rows")
        if rows is None or last[0] is not fields["how"]:
            return found.finished(hits)
        # As ``Hits.finish``.
        fields["how"] = last[1]
        rows.typed_ids = True
        if last[2]:
            rows.clip = True
        return hits

    def clear(self) -> None:
        """Resolve each search again."""
        self._known.clear()

    async def awaited(self, key: Hashable, queries: Any) -> Hits | None:
        """As ``search``, awaited by the client; None also if it failed: ``search`` reports why."""
        known = self._valid(key)
        if known is None or known.search is None or not known.search.can_be_awaited:
            return None
        array = plain_queries(queries, known.vector)
        if array is None:
            return None
        try:
            return await known.search.awaited(array)
        except QadaptError:
            return None  # the synchronous search repeats it, and has the retries

    def _valid(self, key: Hashable) -> _Entry | None:
        """The known search, if what it was resolved from is unchanged."""
        known = self._known.get(key)
        if known is None or self._store.closed:
            return None
        now = monotonic()
        if now > known.until or not known.settings.unchanged(now, known.until):
            return None
        return known

    def add(
        self,
        key: Hashable,
        wanted: SearchRequest,
        vector: Vector,
        settings: Settings,
        until: float,
    ) -> None:
        """Resolve a search that just succeeded, for later queries."""
        known = self._known.get(key)
        if known is not None and known.search is None and monotonic() <= known.until:
            return
        store, name = self._store, self._collection
        made = prepare(store, name, wanted, vector, settings.of(wanted.vector))
        if len(self._known) >= MOST:
            self._known.clear()
        watch = SettingsWatch(store, name, settings)
        self._known[key] = _Entry(made, vector, watch, until)
