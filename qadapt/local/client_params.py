"""What clients without qadapt must send for the results of qadapt's own search."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from qadapt.errors import UnsupportedError
from qadapt.local.settings import kept_in, read_settings
from qadapt.model import Quantization, Rescore, Vector, VectorInfo
from qadapt.model.client_params import ClientParams, KeptIn
from qadapt.stores.base import SearchRequest, Store
from qadapt.stores.client_form import CUTS, ClientCode, ClientSearch

BY_FULL_VECTOR = "the original vectors for the scores are those of {}"
CUT = "query: the first {:,} dimensions, scaled to length 1 under cosine"
RESCORE = "; request more than {} results, and score them again with {}"


def client_params(
    store: Store, collection: str, info: VectorInfo, k: int, *, code: bool = False
) -> ClientParams:
    """The parameters of the current settings; those that do not apply are ignored with a note.

    Args:
        info: the vector, with the settings of ``local.collection_info``.
        k: number of results.
        code: also write the code of each form of the store.
    """
    settings = read_settings(store, collection).of(info.name)
    rescore = settings.rescore
    notes: tuple[str, ...] = ()
    full = settings.full_vector
    if rescore is not None and rescore.on and info.is_plain and full is None:
        rescore = None  # reported in the notes of the vector
        notes = info.notes
    kept: KeptIn = "nowhere" if rescore is None else kept_in(store, collection)
    if settings.client is not None:
        found = ClientParams(
            collection, info.name, k, False, rescore, k, reachable=False, kept_in=kept, notes=notes
        )
        search = ClientSearch(k)
    elif full is not None and rescore is not None and rescore.on:
        count = min(rescore.count(k), store.traits.max_k)
        search = _search(store, collection, info.name, count, None)
        found = _params(collection, info.name, k, rescore, search, kept).replace(
            needed=True, rescores=True, notes=(BY_FULL_VECTOR.format(_label(full)),)
        )
    else:
        limited = None if rescore is None else store.limit_rescore(collection, rescore, k)
        try:
            search = _search(store, collection, info.name, k, limited)
        except UnsupportedError as error:
            option = "" if rescore is None else rescore.option
            notes = (
                *notes,
                f"the default search parameter {option} is ignored: {error.message}",
            )
            search = _search(store, collection, info.name, k, None)
        found = _params(collection, info.name, k, rescore, search, kept).replace(
            notes=notes, statement=_statement(store, collection, info.name, info.vector, k, search)
        )
    if settings.full_dim is not None and settings.full_dim > info.dim:
        found = found.replace(dims=info.dim)
    if not code:
        return found
    about = ClientCode(store.address, collection, info.name, info.vector, k, search)
    if found.rescores and full is not None:
        about = dataclasses.replace(about, full_vector=full)
    code_of_forms = write_code(store, about)
    if found.dims is not None:
        code_of_forms = _with_dims(store, code_of_forms, about)
    return found.replace(code=code_of_forms)


def planned_params(
    store: Store,
    collection: str,
    name: str,
    vector: Vector,
    target: Quantization,
    k: int = 10,
) -> ClientParams | None:
    """The parameters after a change to ``target`` in the database; None if none must be sent."""
    kept = "nowhere" if target.rescore is None else kept_in(store, collection)
    limited = None if target.rescore is None else store.limit_rescore(collection, target.rescore, k)
    shortens = store.traits.shortens_codes
    bare = target.replace(rescore=None, dims=target.dims if shortens else None)
    try:
        search = _search(store, collection, name, k, limited, bare)
    except UnsupportedError:  # searches ignore the setting with a note
        return None
    found = _params(collection, name, k, target.rescore, search, kept)
    found = found.replace(statement=_statement(store, collection, name, vector, k, search))
    if not shortens:
        found = found.replace(dims=target.dims)
    return found if found.needed or found.dims is not None else None


def write_code(store: Store, about: ClientCode) -> dict[str, str]:
    """The code of all forms that can be used."""
    written = {form.name: form.write(about) for form in store.profile.client_forms}
    return {name: code for name, code in written.items() if code is not None}


def _with_dims(store: Store, code: Mapping[str, str], about: ClientCode) -> dict[str, str]:
    """Code with a comment about its queries, unless the code cuts and rescores them itself."""
    words = CUT.format(about.vector.dim)
    if about.full_vector is not None:
        words += RESCORE.format(about.k, _label(about.full_vector))
    sign = {
        form.name: "--" if form.language == "sql" else "#" for form in store.profile.client_forms
    }
    return {
        name: text if CUTS in text else f"{sign[name]} {words}\n{text}"
        for name, text in code.items()
    }


def _label(vector: str) -> str:
    return f"the vector {vector!r}" if vector else "the unnamed vector"


def _statement(
    store: Store, collection: str, name: str, vector: Vector, k: int, search: ClientSearch
) -> str:
    """The SQL of a search; empty if it does not matter."""
    if not search.sql:
        return ""
    about = ClientCode(store.address, collection, name, vector, k, search)
    forms = (form for form in store.profile.client_forms if form.language == "sql")
    return next((text for form in forms if (text := form.write(about))), "")


def _params(
    collection: str,
    name: str,
    k: int,
    rescore: Rescore | None,
    search: ClientSearch,
    kept: KeptIn,
) -> ClientParams:
    needed = bool(search.params) or search.limit != k or search.rescores or search.sql
    return ClientParams(
        collection,
        name,
        k,
        needed,
        rescore,
        search.limit,
        search.params,
        search.rescores,
        kept_in=kept,
    )


def _search(
    store: Store,
    collection: str,
    name: str,
    k: int,
    rescore: Rescore | None,
    target: Quantization | None = None,
) -> ClientSearch:
    """The request of a client, for native search with rescoring by the database or the client."""
    can = store.capabilities()
    request = SearchRequest(k, name, rescore)
    if not can.native("native-quantization"):
        return store.client_search(collection, dataclasses.replace(request, rescore=None), target)
    if rescore is None and not can.native("native-rescore") and target is None:
        rescore = store.default_rescore(collection, name)
        request = dataclasses.replace(request, rescore=rescore)
    by_client = (
        rescore is not None
        and rescore.source == "originals"
        and not store.rescores_natively(collection, name)
    )
    if rescore is None or not by_client:
        return store.client_search(collection, request, target)
    count = min(rescore.count(k), store.traits.max_k)
    off = dataclasses.replace(request, k=count, rescore=Rescore(source="off"))
    return dataclasses.replace(store.client_search(collection, off, target), rescores=True)
