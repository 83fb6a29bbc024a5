"""Searches: native, native with client-side rescoring, or with client-side codes.

native search and rescoring                           if the database supports it
native search of more rows, rescored by qadapt        if the database cannot rescore
client-side codes, original vectors from the database if the codes are client-side
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qadapt.errors import UnsupportedError
from qadapt.local import client_codes, code_marks
from qadapt.local.client_search import ClientSearch, OutdatedError
from qadapt.local.rescoring import FullVector, rescored
from qadapt.local.state import VectorSettings
from qadapt.model import Hits, Metric, Rescore, SearchProvenance, Vector
from qadapt.model.query_checks import scaled_queries
from qadapt.stores.awaited import AwaitedSearch
from qadapt.stores.base import PreparedSearch, SearchRequest, Store

Floats = npt.NDArray[np.float32]

WITHOUT_CODES = (
    "the default search parameter {} is ignored: the vector has no quantization; the next "
    "`qadapt apply` resets it"
)


def search(
    store: Store,
    collection: str,
    queries: Floats,
    wanted: SearchRequest,
    vector: Vector,
    settings: VectorSettings,
    full: FullVector | None = None,
) -> Hits:
    """Search a batch of checked queries.

    Settings that no longer apply to the collection are ignored and reported in a note.

    Args:
        queries: float32 ``(nq, d)``, as ``check_queries`` accepts them.
        wanted: the request; ``wanted.rescore`` is None if the call does not set it.
        vector: definition of ``wanted.vector``.
        settings: saved settings of that vector.
        full: the same queries for the vector with all dimensions, if ``wanted.vector`` holds the
            first of them; rescoring then compares all.

    Returns:
        Hits of shape ``(nq, k)``. Exact cosines are clipped to -1 and 1. Scores are approximate
        if the database stores vectors with less precision than float32.
    """
    queries = scaled_queries(queries, vector)
    rescore = wanted.rescore or settings.rescore
    plain = wanted.exact or wanted.ignore_quantization
    if full is not None and not plain and rescore is not None and rescore.source == "originals":
        hits = rescored(store, collection, queries, wanted, rescore, vector, full=full)
        by = _chosen_by(wanted, settings)
        return _annotated(_with_how(hits, rescore_from=by), full.vector)
    hits = _dispatch(store, collection, queries, wanted, vector, settings)
    return _annotated(hits, vector)


def search_without_params(
    store: Store, collection: str, queries: Floats, wanted: SearchRequest, vector: Vector
) -> Hits:
    """Search as a client that sends no search parameters and does not use qadapt.

    Args:
        queries: see ``search``.
        wanted: ``k`` and the vector; its rescoring and options are not sent.
    """
    request = _changed(wanted, rescore=None, options={}, no_params=True)
    return store.search(collection, scaled_queries(queries, vector), request)


def prepare(
    store: Store,
    collection: str,
    wanted: SearchRequest,
    vector: Vector,
    settings: VectorSettings,
) -> Prepared | None:
    """Resolve a search once, for many queries.

    Args:
        wanted, vector, settings: see ``search``.

    Returns:
        None if each search must be resolved: qadapt rescores or searches client-side codes, or the
        store cannot prepare searches.
    """
    if settings.client is not None:
        return None
    remembered = None if wanted.rescore is not None else settings.rescore
    plain = wanted.exact or wanted.ignore_quantization
    allowed = None
    if plain:
        rescore = wanted.rescore if wanted.exact else None
        native: _Native | None = _Native(_changed(wanted, rescore=rescore), None)
    else:
        if remembered is not None:
            allowed = store.limit_rescore(collection, remembered, wanted.k)
        native = _native_search(store, collection, wanted, allowed)
    if native is None:
        return None
    run = store.prepare_search(collection, native.request)
    if run is None:
        return None

    def described(how: SearchProvenance) -> tuple[SearchProvenance, bool]:
        if not plain:
            how = native.described(how)
            how = how if allowed is None else _with_default(how, remembered, allowed)
        return _annotated_how(how, vector)

    return Prepared(run, described)


_NO_HOW = SearchProvenance("", "", 0, 0, "", "approximate")


class Prepared:
    """A search by the store alone that was resolved for one state of the collection.

    Args:
        run: searches float32 ``(nq, d)`` with ordinary norms; None if the state has changed.
        described: converts the provenance that the store reports; also whether to clip scores.

    Attributes:
        last: the last provenance of the store, what it became, and whether to clip scores;
            replaced together.
    """

    def __init__(
        self,
        run: PreparedSearch,
        described: Callable[[SearchProvenance], tuple[SearchProvenance, bool]],
    ) -> None:
        self.run = run
        self._described = described
        self.last: tuple[SearchProvenance | None, SearchProvenance, bool] = (None, _NO_HOW, False)

    def __call__(self, queries: Floats) -> Hits | None:
        """Search; None if the search must be resolved again."""
        hits = self.run(queries)
        return None if hits is None else self.finished(hits)

    @property
    def can_be_awaited(self) -> bool:
        """Whether ``awaited`` can search."""
        return isinstance(self.run, AwaitedSearch)

    async def awaited(self, queries: Floats) -> Hits | None:
        """As a call, without a thread that waits; None also if only a thread can search."""
        if not isinstance(self.run, AwaitedSearch):
            return None
        hits = await self.run.awaited(queries)
        return None if hits is None else self.finished(hits)

    def finished(self, hits: Hits) -> Hits:
        """The hits of ``run`` with their provenance."""
        last = self.last
        if last[0] is not hits.how:
            last = self.last = (hits.how, *self._described(hits.how))
        return hits.finish(last[1], last[2])


def _annotated(hits: Hits, vector: Vector) -> Hits:
    how, clip = _annotated_how(hits.how, vector)
    return hits if how is hits.how and not clip else hits.described(how, clip=clip)


def _annotated_how(how: SearchProvenance, vector: Vector) -> tuple[SearchProvenance, bool]:
    """Mark scores according to the stored precision; also whether cosines must be clipped."""
    if how.scores != "exact":
        return how, False
    if vector.datatype != "float32":
        note = f"scores are computed from the stored vectors ({vector.datatype}), not from float32"
        how = how.replace(scores="approximate", notes=(*how.notes, note))
    return how, vector.metric is Metric.COSINE


def _dispatch(
    store: Store,
    collection: str,
    queries: Floats,
    wanted: SearchRequest,
    vector: Vector,
    settings: VectorSettings,
) -> Hits:
    """Select the kind of search from capabilities and settings."""
    if wanted.exact:
        return store.search(collection, queries, wanted)
    if wanted.ignore_quantization:  # the originals are compared: nothing is left to rescore
        return store.search(collection, queries, _changed(wanted, rescore=None))
    notes: tuple[str, ...] = ()
    if settings.client is not None:
        chosen = wanted.rescore or settings.rescore
        by = _chosen_by(wanted, settings)
        ours = ClientSearch(store, collection, wanted.vector, vector, settings.client)
        try:
            rescore = chosen or client_codes.default_rescore(settings.client)
            return _with_how(ours.search(queries, wanted, rescore), rescore_from=by)
        except OutdatedError as outdated:
            notes = (f"client-side codes are not used: {outdated}; {code_marks.REPAIR}",)
        if wanted.rescore is not None and wanted.rescore.by_codes:
            wanted = _changed(wanted, rescore=None)
            notes += ("rescoring with codes is ignored, because it requires the client-side codes",)
        settings = VectorSettings()
    hits = _default_rescore(store, collection, queries, wanted, vector, settings)
    return _with_how(hits, notes=(*notes, *hits.how.notes)) if notes else hits


def _default_rescore(
    store: Store,
    collection: str,
    queries: Floats,
    wanted: SearchRequest,
    vector: Vector,
    settings: VectorSettings,
) -> Hits:
    """Native search, with the saved rescoring if it applies."""
    remembered = settings.rescore
    if wanted.rescore is not None or remembered is None:
        return _by_store(store, collection, queries, wanted, vector, None)
    allowed = store.limit_rescore(collection, remembered, wanted.k)
    try:
        hits = _by_store(store, collection, queries, wanted, vector, allowed)
    except UnsupportedError as error:
        # The index was built differently; a setting of the call itself fails again here.
        hits = _by_store(store, collection, queries, wanted, vector, None)
        why = f"the default search parameter {remembered.option} is ignored: {error.message}"
        return _with_how(hits, notes=(*hits.how.notes, why))
    return hits.described(_with_default(hits.how, remembered, allowed))


def _with_default(
    how: SearchProvenance, remembered: Rescore | None, allowed: Rescore
) -> SearchProvenance:
    """Add notes if the saved rescoring was reduced or has no effect."""
    if remembered is None:
        return how
    notes = how.notes
    if allowed != remembered:
        notes += (
            f"the default {remembered.option} of this collection exceeds its limits, which "
            f"allow {allowed.option}",
        )
    if remembered.on and how.rescorer == "none" and how.scores == "exact":
        note = WITHOUT_CODES.format(remembered.option)
        return how.replace(rescore_from="store default", notes=(*notes, note))
    return how if notes is how.notes else how.replace(notes=notes)


@dataclass(frozen=True)
class _Native:
    """A search that the store executes alone.

    Attributes:
        request: the request to the store.
        rescore_from: origin of the rescoring; None if the store reports it.
    """

    request: SearchRequest
    rescore_from: str | None

    def described(self, how: SearchProvenance) -> SearchProvenance:
        """The provenance that the store reports, with the origin of the rescoring."""
        same = self.rescore_from in (None, how.rescore_from)
        return how if same else how.replace(rescore_from=self.rescore_from)


def _native_search(
    store: Store, collection: str, wanted: SearchRequest, remembered: Rescore | None
) -> _Native | None:
    """The search by the store alone; None if qadapt must rescore."""
    rescore, chosen_by = _rescore_of(store, collection, wanted, remembered)
    can = store.capabilities()
    if not can.native("native-quantization"):
        return _Native(_changed(wanted, rescore=None, ignore_quantization=True), None)
    if rescore is None or not rescore.on or _native(store, collection, wanted, rescore):
        return _Native(_changed(wanted, rescore=rescore), chosen_by)
    return None


def _rescore_of(
    store: Store, collection: str, wanted: SearchRequest, remembered: Rescore | None
) -> tuple[Rescore | None, str]:
    """The rescoring of a search and its origin; None lets the database decide."""
    if wanted.rescore is not None:
        return wanted.rescore, "call"
    if remembered is not None:
        return remembered, "collection"
    can = store.capabilities()
    if can.native("native-quantization") and not can.native("native-rescore"):
        return store.default_rescore(collection, wanted.vector), "store default"
    return None, "store default"


def _by_store(
    store: Store,
    collection: str,
    queries: Floats,
    wanted: SearchRequest,
    vector: Vector,
    remembered: Rescore | None,
) -> Hits:
    native = _native_search(store, collection, wanted, remembered)
    if native is not None:
        hits = store.search(collection, queries, native.request)
        return hits.described(native.described(hits.how))
    rescore, chosen_by = _rescore_of(store, collection, wanted, remembered)
    assert rescore is not None
    asked = wanted.rescore is not None
    hits = rescored(store, collection, queries, wanted, rescore, vector, asked=asked)
    return _with_how(hits, rescore_from=chosen_by)


def _chosen_by(wanted: SearchRequest, settings: VectorSettings) -> str:
    if wanted.rescore is not None:
        return "call"
    return "store default" if settings.rescore is None else "collection"


def _native(store: Store, collection: str, wanted: SearchRequest, rescore: Rescore) -> bool:
    """Whether the database does this rescoring; it raises an error for unsupported sources."""
    return rescore.source != "originals" or store.rescores_natively(collection, wanted.vector)


def _changed(search: SearchRequest, **changes: Any) -> SearchRequest:
    return dataclasses.replace(search, **changes)


def _with_how(hits: Hits, **changes: Any) -> Hits:
    return hits.described(hits.how.replace(**changes))
