"""Code that searches as qadapt does, for REST, qdrant-client and the embedded engine.

docs/engines/qdrant.md#search-parameters
"""

from __future__ import annotations

import os
from typing import Any

from qadapt.model import Quantization
from qadapt.stores.base import SearchRequest, Store
from qadapt.stores.client_form import CUTS, ClientCode, ClientForm, ClientSearch, literal


def client_search(
    store: Store, collection: str, request: SearchRequest, target: Quantization | None = None
) -> ClientSearch:
    """The search parameters of a request; a method of both stores.

    They depend neither on the collection nor on its codes.
    """
    params: dict[str, Any] = {}
    if "hnsw_ef" in request.options:
        params["hnsw_ef"] = request.options["hnsw_ef"]
    if request.options.get("indexed_only"):
        params["indexed_only"] = True
    rescore = request.rescore
    if rescore is None:
        return ClientSearch(request.k, params)
    quantization: dict[str, Any] = {"rescore": rescore.on}
    if rescore.on and rescore.count(request.k) > request.k:
        quantization["oversampling"] = rescore.engine_factor(request.k)
    return ClientSearch(request.k, {**params, "quantization": quantization})


def _rest(about: ClientCode) -> str | None:
    address = about.address
    key = about.key_variable
    header = f' -H "api-key: ${key}"' if key else ""
    body: dict[str, Any] = {"query": "QUERY", "limit": about.k}
    if about.name:
        body["using"] = about.name
    if about.search.params:
        body["params"] = dict(about.search.params)
    head, tail = _quoted(literal(body)).split('"QUERY"')
    if not address.transport:
        return None  # the local mode has no server
    return "\n".join(
        [
            f"# search '[0.1, ...]': a JSON list of {about.vector.dim} numbers",
            "search() {",
            f"  curl -sS -X POST {_quoted(_rest_url(about))} \\",
            f"    -H 'Content-Type: application/json'{header} \\",
            f"    -d {head}'\"$1\"'{tail}",
            "}",
        ]
    )


def _rest_url(about: ClientCode) -> str:
    from urllib.parse import quote

    return f"{_server_url(about)}/collections/{quote(about.collection, safe='')}/points/query"


def _server_url(about: ClientCode) -> str:
    """The REST address; a gRPC address names its REST port as an option."""
    address = about.address
    if address.transport != "grpc":
        return address.url
    host = f"[{address.host}]" if ":" in address.host else address.host
    return f"http://{host}:{address.options.get('rest', '6333')}"


def _quoted(text: str) -> str:
    """A word of a shell."""
    return "'" + text.replace("'", "'\\''") + "'"


def _client(about: ClientCode) -> str:
    lines = ["import os", ""] if about.key_variable else []
    lines += ["from qdrant_client import QdrantClient, models", ""]
    lines += [f"client = {_opened(about)}", "", ""]
    lines += ["def search(query):", f'    """Ids of the {about.k} best rows."""']
    lines += ["    found = client.query_points("]
    lines += [f"        {about.collection!r},", "        query=query,"]
    lines += [f"        using={about.name!r},"] if about.name else []
    lines += [f"        limit={about.k},"]
    lines += [f"        search_params=models.SearchParams({_arguments(about, 'models.')}),"]
    lines += ["    )", "    return [point.id for point in found.points]"]
    return "\n".join(lines)


def _opened(about: ClientCode) -> str:
    if about.opened is not None:
        return f"QdrantClient(path={about.opened!r})"
    if not about.address.transport:
        return "QdrantClient(':memory:')  # the client that holds the collection"
    key = about.key_variable
    secret = f", api_key=os.environ[{key!r}]" if key else ""
    grpc = (
        f", grpc_port={about.address.port}, prefer_grpc=True"
        if (about.address.transport == "grpc")
        else ""
    )
    return f"QdrantClient(url={_server_url(about)!r}{grpc}{secret})"


def _edge(about: ClientCode) -> str:
    folder = os.path.join(about.opened or "", about.collection)
    lines = ["import qdrant_edge", ""]
    lines += [f"shard = qdrant_edge.EdgeShard.load({folder!r})", "", ""]
    if about.full_vector is not None:
        return "\n".join([*lines, *_edge_rescored(about, about.full_vector)])
    lines += ["def search(query):", f'    """Ids of the {about.k} best rows."""']
    lines += ["    request = qdrant_edge.QueryRequest("]
    lines += [f"        query=qdrant_edge.Query.Nearest(query, using={about.name or None!r}),"]
    lines += [f"        limit={about.k},"]
    lines += [f"        params=qdrant_edge.SearchParams({_arguments(about, 'qdrant_edge.')}),"]
    lines += ["    )", "    return [point.id for point in shard.query(request)]"]
    return "\n".join(lines)


def _edge_rescored(about: ClientCode, full: str) -> list[str]:
    """Candidates by the first dimensions, scored by the engine with another vector of the row."""
    vector = about.vector
    return [
        f"def search(query):  {CUTS}",
        f'    """Ids of the {about.k} best rows."""',
        "    candidates = qdrant_edge.Prefetch(",
        f"        query=qdrant_edge.Query.Nearest(query[:{vector.dim}], using={about.name!r}),",
        f"        limit={about.search.limit},",
        f"        params=qdrant_edge.SearchParams({_arguments(about, 'qdrant_edge.')}),",
        "    )",
        "    request = qdrant_edge.QueryRequest(",
        f"        query=qdrant_edge.Query.Nearest(query, using={full or None!r}),",
        "        prefetches=[candidates],",
        f"        limit={about.k},",
        "    )",
        "    return [point.id for point in shard.query(request)]",
    ]


def _arguments(about: ClientCode, module: str) -> str:
    """Arguments of SearchParams."""
    words = []
    for name, value in about.search.params.items():
        if name == "quantization":
            inner = ", ".join(f"{key}={each!r}" for key, each in value.items())
            words.append(f"quantization={module}QuantizationSearchParams({inner})")
        else:
            words.append(f"{name}={value!r}")
    return ", ".join(words)


SERVER_FORMS = (
    ClientForm("qdrant-client", "python", _client),
    ClientForm("rest", "shell", _rest),
)
EDGE_FORMS = (ClientForm("qdrant-edge", "python", _edge),)
