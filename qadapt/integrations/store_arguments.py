"""Search parameters of a collection as the arguments of a framework's own vector store.

For users of ``langchain_qdrant.QdrantVectorStore`` and others, who keep their store class and let
qadapt choose and verify the quantization. The forms follow the sources of the packages:
langchain-elasticsearch 1.0.0, langchain-qdrant 1.1.0, langchain-milvus 0.4.0, langchain-weaviate
0.0.8, langchain-postgres 0.0.19,
llama-index-vector-stores-qdrant 0.10.4, -milvus 1.2.0, -weaviate 1.7.1, -postgres 0.9.0,
weaviate-haystack 8.0.0, pgvector-haystack 8.1.2, milvus-haystack 0.1.0.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from qadapt.api.collection import Collection
from qadapt.errors import InputError, SpecError, UnsupportedError
from qadapt.integrations.opening import open_collection
from qadapt.model import Metric
from qadapt.model.client_params import ClientParams

OWN_STORE = "search with the store classes of qadapt.integrations, which send all parameters"
_METRICS = {Metric.COSINE: "COSINE", Metric.DOT: "IP", Metric.EUCLIDEAN: "L2"}
_SETTINGS = "settings of PostgreSQL that this store cannot send: {}"


@dataclass(frozen=True)
class Made:
    """A value that is made by a class of another package.

    Attributes:
        module, name: the class or function.
        arguments: keyword arguments.
    """

    module: str
    name: str
    arguments: Mapping[str, Any]

    def value(self) -> Any:
        """Import the class and make the value.

        Raises:
            InputError: the package is not installed.
        """
        try:
            module = importlib.import_module(self.module)
        except ImportError as error:
            package = str(error.name or self.module).partition(".")[0]
            raise InputError(
                f"the arguments of this store need the package {package!r}, not installed here",
                hint="call client_params where the framework is installed",
            ) from error
        return getattr(module, self.name)(**self.arguments)

    @property
    def code(self) -> str:
        """The value as a Python expression; its import is in ``imports``."""
        return f"{self.name}(**{dict(self.arguments)!r})"

    @property
    def imports(self) -> str:
        """The statement that imports the class."""
        return f"from {self.module} import {self.name}"


@dataclass(frozen=True)
class StoreArguments:
    """Arguments for a framework's own store.

    Attributes:
        form: name of the framework and database, such as ``langchain-qdrant``.
        collection, vector, k: what they are for.
        search: keyword arguments of each search; ``call`` shows where they belong.
        store: keyword arguments of the store's constructor.
        call: a search with them.
        keep: the number of results to keep, if more must be requested; else None.
        notes: what this store cannot send.
        code: Python code that defines ``search`` and ``store``.
    """

    form: str
    collection: str
    vector: str
    k: int
    search: Mapping[str, Any] = field(hash=False)
    store: Mapping[str, Any] = field(hash=False)
    call: str = ""
    keep: int | None = None
    notes: tuple[str, ...] = ()
    code: str = ""


@dataclass(frozen=True)
class Parts:
    """What a form makes of search parameters; values can be ``Made``."""

    search: Mapping[str, Any] = field(default_factory=dict)
    store: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Form:
    """A framework's own store of one database.

    Attributes:
        name: as in ``for_`` and ``--for``.
        database: name of the database's profile.
        call: a search with ``search``; ``store`` belongs to its constructor.
        convert: the arguments for search parameters.
    """

    name: str
    database: str
    call: str
    convert: Callable[[ClientParams, Metric], Parts]


# -- forms ---------------------------------------------------------------------------------------


def _langchain_qdrant(found: ClientParams, metric: Metric) -> Parts:
    sent = Made("qdrant_client.models", "SearchParams", found.params)
    return Parts({"k": found.limit, **({"search_params": sent} if found.params else {})})


def _llama_qdrant(found: ClientParams, metric: Metric) -> Parts:
    sent = {"search_params": dict(found.params)} if found.params else {}
    return Parts({"similarity_top_k": found.limit, "vector_store_kwargs": sent})


def _milvus(found: ClientParams, metric: Metric) -> dict[str, Any]:
    return {"metric_type": _METRICS[metric], "params": dict(found.params)}


def _langchain_milvus(found: ClientParams, metric: Metric) -> Parts:
    return Parts({"k": found.limit, "param": _milvus(found, metric)})


def _llama_milvus(found: ClientParams, metric: Metric) -> Parts:
    sent = {"milvus_search_config": _milvus(found, metric)}
    return Parts({"similarity_top_k": found.limit, "vector_store_kwargs": sent})


def _haystack_milvus(found: ClientParams, metric: Metric) -> Parts:
    return Parts({"top_k": found.limit}, {"search_params": _milvus(found, metric)})


def _langchain_weaviate(found: ClientParams, metric: Metric) -> Parts:
    # This store sends hybrid searches; alpha=1 is a search by vectors only.
    return Parts({"k": found.limit, "alpha": 1, **_target(found)})


def _llama_weaviate(found: ClientParams, metric: Metric) -> Parts:
    return Parts({"similarity_top_k": found.limit, "vector_store_kwargs": _target(found)})


def _haystack_weaviate(found: ClientParams, metric: Metric) -> Parts:
    return Parts({"top_k": found.limit})


def _target(found: ClientParams) -> dict[str, str]:
    tenant = found.collection.partition("@")[2]
    target = {"target_vector": found.vector} if found.vector else {}
    return {**target, **({"tenant": tenant} if tenant else {})}


def _langchain_postgres(found: ClientParams, metric: Metric) -> Parts:
    sent = Made("qadapt.integrations.postgres_settings", "query_options", found.params)
    return Parts({"k": found.limit}, {"index_query_options": sent} if found.params else {})


def _llama_postgres(found: ClientParams, metric: Metric) -> Parts:
    sent, notes = _numbers(
        found, {"hnsw.ef_search": "hnsw_ef_search", "ivfflat.probes": "ivfflat_probes"}
    )
    return Parts(
        {"similarity_top_k": found.limit, "vector_store_kwargs": sent},
        # The store sends ef_search only if this argument is set.
        {"hnsw_kwargs": dict(sent)} if "hnsw_ef_search" in sent else {},
        notes,
    )


def _langchain_elasticsearch(found: ClientParams, metric: Metric) -> Parts:
    sent = Made(
        "qadapt.integrations.elasticsearch_query", "KnnOptions", {"options": dict(found.params)}
    )
    return Parts({"k": found.limit, **({"custom_query": sent} if found.params else {})})


def _haystack_postgres(found: ClientParams, metric: Metric) -> Parts:
    sent, notes = _numbers(found, {"hnsw.ef_search": "hnsw_ef_search"})
    return Parts({"top_k": found.limit}, {"search_strategy": "hnsw", **sent} if sent else {}, notes)


def _numbers(
    found: ClientParams, known: Mapping[str, str]
) -> tuple[dict[str, int], tuple[str, ...]]:
    """The settings that a store can send, and a note with the others."""
    sent = {known[name]: int(value) for name, value in found.params.items() if name in known}
    others = [f"{name} = {value}" for name, value in found.params.items() if name not in known]
    return sent, (_SETTINGS.format(", ".join(others)),) if others else ()


_LANGCHAIN = "store.similarity_search(text, **search)"
_LLAMA = "index.as_retriever(**search).retrieve(text)"
_HAYSTACK = "Retriever(document_store=store, **search).run(query_embedding=vector)"

FORMS: Mapping[str, Form] = {
    form.name: form
    for form in (
        Form("langchain-qdrant", "qdrant", _LANGCHAIN, _langchain_qdrant),
        Form("langchain-milvus", "milvus", _LANGCHAIN, _langchain_milvus),
        Form("langchain-weaviate", "weaviate", _LANGCHAIN, _langchain_weaviate),
        Form("langchain-postgres", "pgvector", _LANGCHAIN, _langchain_postgres),
        Form("langchain-elasticsearch", "elasticsearch", _LANGCHAIN, _langchain_elasticsearch),
        Form("llama-index-qdrant", "qdrant", _LLAMA, _llama_qdrant),
        Form("llama-index-milvus", "milvus", _LLAMA, _llama_milvus),
        Form("llama-index-weaviate", "weaviate", _LLAMA, _llama_weaviate),
        Form("llama-index-postgres", "pgvector", _LLAMA, _llama_postgres),
        Form("haystack-milvus", "milvus", _HAYSTACK, _haystack_milvus),
        Form("haystack-weaviate", "weaviate", _HAYSTACK, _haystack_weaviate),
        Form("haystack-pgvector", "pgvector", _HAYSTACK, _haystack_postgres),
    )
}


# -- public --------------------------------------------------------------------------------------


def client_params(
    collection: Collection | str,
    *,
    for_: str | None = None,
    vector: str | None = None,
    k: int = 10,
) -> ClientParams | StoreArguments:
    """What clients without qadapt must send to get the results of qadapt's own search.

        found = qa.client_params("qdrant+http://localhost:6333#articles", for_="langchain-qdrant")
        documents = store.similarity_search("memory", **found.search)

    Args:
        collection: a collection, or its address ``URL#COLLECTION``.
        for_: a framework's own store, such as ``langchain-qdrant``; docs/client-params.md lists
            them. None for the parameters and code without a framework.
        vector: name of the vector; optional if there is only one.
        k: number of results.

    Raises:
        SpecError: ``for_`` is unknown, or is of another database.
        UnsupportedError: this store cannot send what the setting requires.
    """
    if isinstance(collection, str):
        database, found = open_collection(collection)
        with database:
            return client_params(found, for_=for_, vector=vector, k=k)
    params = collection.client_params(vector=vector, k=k)
    if for_ is None:
        return params
    return store_arguments(collection, params, for_)


def forms_of(database: str) -> list[str]:
    """Names of the forms of a database."""
    return [form.name for form in FORMS.values() if form.database == database]


def store_arguments(collection: Collection, params: ClientParams, for_: str) -> StoreArguments:
    """The arguments of a framework's own store.

    Raises:
        InputError: the package of an argument is not installed.
        SpecError, UnsupportedError: see ``client_params``.
    """
    parts = _parts(collection, params, for_)
    return StoreArguments(
        form=for_,
        collection=params.collection,
        vector=params.vector,
        k=params.k,
        search=_values(parts.search),
        store=_values(parts.store),
        call=FORMS[for_].call,
        keep=params.k if params.limit > params.k else None,
        notes=parts.notes,
        code=_code(parts, FORMS[for_]),
    )


def store_code(collection: Collection, params: ClientParams, for_: str) -> str:
    """Python code of these arguments; no framework is imported.

    Raises:
        SpecError, UnsupportedError: see ``client_params``.
    """
    return _code(_parts(collection, params, for_), FORMS[for_])


def _parts(collection: Collection, params: ClientParams, for_: str) -> Parts:
    info = collection.info()
    known = forms_of(info.server.store)
    if for_ not in known:
        raise SpecError.unknown("form", for_, [*params.code, *known], where=info.server.store)
    about = info.vectors[params.vector]
    if problem := _problem(params, by_statement=bool(params.statement) and not about.is_plain):
        raise UnsupportedError(f"the store of {for_} {problem}", hint=OWN_STORE)
    parts = FORMS[for_].convert(params, about.metric)
    notes = params.notes + parts.notes
    if params.limit > params.k:
        notes += (f"rescoring needs more results than {params.k:,}: keep the first {params.k:,}",)
    return Parts(parts.search, parts.store, notes)


def _problem(params: ClientParams, *, by_statement: bool) -> str | None:
    """Why a framework's own store cannot search as qadapt does; None if it can."""
    if not params.reachable:
        return "cannot search client-side codes, which only qadapt can"
    if params.rescores:
        return "cannot score candidates again with the original vectors, which this setting needs"
    if by_statement:
        return (
            "sends its own SQL, which does not use the codes: they are an index over an expression"
        )
    if params.dims is not None:
        return f"sends whole queries, but this collection has the first {params.dims:,} dimensions"
    return None


def _values(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: each.value() if isinstance(each, Made) else each for name, each in given.items()}


def _code(parts: Parts, form: Form) -> str:
    made = [
        each for each in (*parts.search.values(), *parts.store.values()) if isinstance(each, Made)
    ]
    lines = [each.imports for each in made]
    lines += [""] if made else []
    lines += [f"# {note}" for note in parts.notes]
    if parts.store:
        lines += [
            "# arguments of the constructor of your store",
            f"store_arguments = {_text(parts.store)}",
        ]
    lines += [f"search = {_text(parts.search)}", f"# {form.call}"]
    return "\n".join(lines)


def _text(given: Mapping[str, Any]) -> str:
    inner = (
        f"    {name!r}: {each.code if isinstance(each, Made) else repr(each)},"
        for name, each in given.items()
    )
    return "\n".join(["{", *inner, "}"])
