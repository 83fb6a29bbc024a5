"""Code for weaviate-client and REST that searches as qadapt does.

A query of Weaviate has no parameter for rescoring: more results are requested, and the first ones
are kept (docs/engines/weaviate.md#rescoring).
"""

from __future__ import annotations

import json

from qadapt.model import Kind, Quantization
from qadapt.stores.base import SearchRequest
from qadapt.stores.client_form import ClientCode, ClientForm, ClientSearch
from qadapt.stores.weaviate import partitions, search
from qadapt.stores.weaviate.schema import Layout

GRPC_PORT = "50051"


def client_search(
    layout: Layout, collection: str, request: SearchRequest, target: Quantization | None
) -> ClientSearch:
    """The number of results to request, and the names of the class, tenant and vector."""
    field = layout.field(request.vector)
    count, _ = search.limit(request, field)
    rescore = request.rescore
    if target is not None:
        rescored = rescore is not None and rescore.on and target.kind is not Kind.NONE
        wanted = rescore.count(request.k) if rescored and rescore is not None else request.k
        count = min(wanted, search.MOST)
    tenant = partitions.split(collection)[1]
    details = {"class": layout.real, "tenant": tenant, "target": field.target}
    return ClientSearch(count, details=details)


def _python(about: ClientCode) -> str:
    details, sent = about.search.details, about.search
    lines = ["import os", ""] if about.key_variable else []
    lines += ["import weaviate", "", "client = weaviate.connect_to_custom("]
    lines += [f"    {word}," for word in _opened(about)] + [")"]
    tenant = f".with_tenant({details['tenant']!r})" if details["tenant"] else ""
    lines += [f"collection = client.collections.get({details['class']!r}){tenant}", "", ""]
    lines += ["def search(query):", f'    """Ids of the {about.k} best rows."""']
    lines += ["    found = collection.query.near_vector(", "        near_vector=query,"]
    lines += [f"        limit={sent.limit},"]
    lines += [f"        target_vector={details['target']!r},"] if details["target"] else []
    lines += ["    )", f"    return [str(row.uuid) for row in found.objects[:{about.k}]]"]
    return "\n".join(lines)


def _opened(about: ClientCode) -> list[str]:
    """The arguments of ``connect_to_custom``."""
    address = about.address
    secure = address.transport == "https"
    default = "443" if secure else GRPC_PORT
    words = [f"http_host={address.host!r}", f"http_port={address.port}", f"http_secure={secure}"]
    words += [f"grpc_host={address.host!r}"]
    words += [f"grpc_port={address.options.get('grpc', default)}", f"grpc_secure={secure}"]
    if about.key_variable:
        words.append(
            f"auth_credentials=weaviate.auth.Auth.api_key(os.environ[{about.key_variable!r}])"
        )
    return words


def _rest(about: ClientCode) -> str:
    details, sent = about.search.details, about.search
    near = "vector: QUERY"
    if details["target"]:
        near += f", targetVectors: [{json.dumps(details['target'])}]"
    tenant = f", tenant: {json.dumps(details['tenant'])}" if details["tenant"] else ""
    asked = f"nearVector: {{{near}}}, limit: {sent.limit}{tenant}"
    body = json.dumps(
        {"query": f"{{ Get {{ {details['class']}({asked}) {{ _additional {{ id }} }} }} }}"}
    )
    head, tail = body.replace("'", "'\\''").split("QUERY", 1)
    header = f' -H "Authorization: Bearer ${about.key_variable}"' if about.key_variable else ""
    kept = f"; keep the first {about.k} results" if sent.limit != about.k else ""
    return "\n".join(
        [
            f"# search '[0.1, ...]': a JSON list of {about.vector.dim} numbers{kept}",
            "search() {",
            f"  curl -sS -X POST '{about.address.url}/v1/graphql' \\",
            f"    -H 'Content-Type: application/json'{header} \\",
            f"    -d '{head}'\"$1\"'{tail}'",
            "}",
        ]
    )


FORMS = (
    ClientForm("weaviate-client", "python", _python),
    ClientForm("rest", "shell", _rest),
)
