"""Code that searches as qadapt does, for chromadb and for its REST API."""

from __future__ import annotations

from urllib.parse import quote

from qadapt.stores.chroma.connection import DATABASE, TENANT
from qadapt.stores.client_form import ClientCode, ClientForm, literal


def _client(about: ClientCode) -> str:
    key = about.key_variable
    lines = ["import os", ""] if key else []
    lines += [
        "import chromadb",
        "",
        f"client = {_opened(about)}",
        f"collection = client.get_collection({about.collection!r}, embedding_function=None)",
        "",
        "",
        "def search(query):",
        f'    """Ids of the {about.k} best rows."""',
        f"    found = collection.query(query_embeddings=[query], n_results={about.search.limit})",
        '    return found["ids"][0]',
    ]
    return "\n".join(lines)


def _opened(about: ClientCode) -> str:
    address = about.address
    tenant, database = _place(about)
    more = "" if (tenant, database) == (TENANT, DATABASE) else (
        f", tenant={tenant!r}, database={database!r}"
    )  # fmt: skip
    if about.opened is not None:
        return f"chromadb.PersistentClient({about.opened!r}{more})"
    if not address.transport:
        return "chromadb.EphemeralClient()  # the client that holds the collection"
    if address.transport == "https":
        more = f", ssl=True{more}"
    if about.key_variable:
        more += f', headers={{"x-chroma-token": os.environ[{about.key_variable!r}]}}'
    return f"chromadb.HttpClient({address.host!r}, {address.port}{more})"


def _place(about: ClientCode) -> tuple[str, str]:
    options = about.address.options
    return options.get("tenant", TENANT), options.get("database", DATABASE)


def _rest(about: ClientCode) -> str | None:
    if not about.address.transport:
        return None  # a folder has no server
    tenant, database = (quote(each, safe="") for each in _place(about))
    path = f"/api/v2/tenants/{tenant}/databases/{database}/collections"
    url = f"{about.address.url}{path}/{about.search.details['uuid']}/query"
    key = about.key_variable
    header = f' -H "x-chroma-token: ${key}"' if key else ""
    body = {
        "query_embeddings": ["QUERY"],
        "n_results": about.search.limit,
        "include": ["distances"],
    }
    head, tail = literal(body).split('"QUERY"')
    return "\n".join(
        [
            f"# search '[0.1, ...]': a JSON list of {about.vector.dim} numbers",
            "search() {",
            f"  curl -sS -X POST '{url}' \\",
            f"    -H 'Content-Type: application/json'{header} \\",
            f"    -d '{head}'\"$1\"'{tail}'",
            "}",
        ]
    )


FORMS = (ClientForm("chromadb", "python", _client), ClientForm("rest", "shell", _rest))
