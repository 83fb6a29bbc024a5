"""Searches of a collection that are resolved when they are called."""

from __future__ import annotations

import math
import time
from collections.abc import Hashable, Mapping
from typing import Any

from qadapt.api.prepared_searches import PreparedSearches
from qadapt.errors import InputError
from qadapt.local.rescoring import full_vector
from qadapt.local.settings import read_settings
from qadapt.local.state import VectorSettings
from qadapt.model import Hits, Rescore, RescoreLike, Vector, as_vectors, check_queries
from qadapt.model.arrays import Floats
from qadapt.model.leading_dims import CUT_QUERIES, as_stored
from qadapt.model.option_checks import refuse_pairs
from qadapt.planning.planner import which_vector
from qadapt.search import search
from qadapt.stores.base import SearchRequest, Store, check_k

FRESH = 10.0  # seconds for which the definitions of vectors are cached


class CollectionSearch:
    """Searches of one collection.

    Attributes:
        prepared: searches that were resolved before.
    """

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self._name = name
        # Dimensions, metric and datatype of a collection are immutable, but the name may be an
        # alias that is switched, so the cache expires.
        self._vectors: dict[str, Vector] = {}
        self._asked = -math.inf
        self.prepared = PreparedSearches(store, name)

    def vector(self, name: str | None) -> tuple[str, Vector]:
        """Resolve a vector; definitions are cached for a while."""
        unseen = name is not None and name not in self._vectors
        if unseen or time.monotonic() - self._asked > FRESH:
            info = self._store.info(self._name)
            self._vectors = {key: each.vector for key, each in info.vectors.items()}
            self._asked = time.monotonic()
        found = which_vector(self._name, self._vectors, name)
        return found, self._vectors[found]

    def run(
        self,
        key: Hashable,
        queries: Any,
        k: int,
        *,
        rescore: RescoreLike,
        filter: Any,
        vector: str | None,
        exact: bool,
        ignore_quantization: bool,
        with_payload: bool,
        options: Mapping[str, Any] | None,
    ) -> Hits:
        """Check and run a search; see ``Collection.search``.

        Args:
            key: under which to prepare the search for other queries; None if it is not repeated.
        """
        begun = time.monotonic()
        name, about = self.vector(vector)
        saved = read_settings(self._store, self._name)
        given = as_vectors(queries, what="queries")
        try:
            array = _checked(given, about, saved.of(name))
        except InputError:
            if self._asked >= begun:
                raise
            self._asked = -math.inf  # the collection may have been created again
            name, about = self.vector(vector)
            array = _checked(given, about, saved.of(name))
        wanted = SearchRequest(
            k=check_k(k, self._store.traits.max_k),
            vector=name,
            rescore=Rescore.of(rescore),
            exact=exact,
            filter=filter,
            with_payload=with_payload,
            ignore_quantization=ignore_quantization,
            options=options or {},
        )
        refuse_pairs(
            (exact and wanted.rescore is not None and wanted.rescore.on, "rescore=",
             "with exact=True", "exact search compares original vectors"),
            (ignore_quantization and wanted.rescore is not None and wanted.rescore.on, "rescore=",
             "with ignore_quantization=True", "scores are those of the original vectors"),
        )  # fmt: skip
        full = full_vector(saved.of(name), self._vectors, given)
        found = search(self._store, self._name, array, wanted, about, saved.of(name), full)
        if key is not None:
            self.prepared.add(key, wanted, about, saved, self._asked + FRESH)
        by_all = full is not None and found.how.rescorer == "qadapt"
        if array.shape != given.shape and not by_all:
            found = found.with_note(CUT_QUERIES.format(given.shape[1], about.dim))
        return found.described(found.how, typed_ids=True)


def _checked(queries: Floats, about: Vector, saved: VectorSettings) -> Floats:
    """Queries with the stored dimensions.

    Raises:
        InputError: they cannot be compared with the vector.
    """
    array = as_stored(queries, about, saved.full_dim)
    check_queries(array, about)
    return array
