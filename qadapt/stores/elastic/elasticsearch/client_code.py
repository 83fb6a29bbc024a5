"""Code that searches as qadapt does, for elasticsearch-py and REST.

Both return ``_id``, which is a text, also for ids that qadapt reads as integers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from qadapt.stores.client_form import ClientCode, ClientForm, ClientSearch, literal
from qadapt.stores.elastic.search import QUERY, Prepared, as_text


def client_search(search: Prepared) -> ClientSearch:
    """The request of a search with one body."""
    (body,) = map(as_text, search.bodies)
    knn = body["knn"]
    shown = ("num_candidates", "rescore_vector", "similarity")
    params = {name: knn[name] for name in shown if name in knn}
    return ClientSearch(search.k, params, details={"knn": knn})


def _python(about: ClientCode) -> str | None:
    knn = about.search.details.get("knn")
    if not knn:
        return None
    lines = ["import os", ""] if about.key_variable else []
    lines += ["from elasticsearch import Elasticsearch", ""]
    lines += [f"client = Elasticsearch({_arguments(about)})", "", ""]
    lines += ["def search(query):", f'    """Ids of the {about.k} best rows, as texts."""']
    lines += ["    found = client.search(", f"        index={about.collection!r},"]
    lines += ["        knn={"]
    for name, value in knn.items():
        word = "list(map(float, query))" if value == QUERY else repr(value)
        lines += [f"            {name!r}: {word},"]
    lines += ["        },", f"        size={about.k},", "        source=False,", "    )"]
    lines += ['    return [hit["_id"] for hit in found["hits"]["hits"]]']
    return "\n".join(lines)


def _arguments(about: ClientCode) -> str:
    options: Mapping[str, str] = about.address.options
    where = f"cloud_id={options['cloud_id']!r}" if "cloud_id" in options else repr(_url(about))
    key = about.key_variable
    words = [where]
    if key and "user" in options:
        words += [f"basic_auth=({options['user']!r}, os.environ[{key!r}])"]
    elif key:
        words += [f"api_key=os.environ[{key!r}]"]
    if "ca_certs" in options:
        words += [f"ca_certs={options['ca_certs']!r}"]
    if "fingerprint" in options:
        words += [f"ssl_assert_fingerprint={options['fingerprint']!r}"]
    return ", ".join(words)


def _url(about: ClientCode) -> str:
    return about.address.url


def _rest(about: ClientCode) -> str | None:
    knn = about.search.details.get("knn")
    options = about.address.options
    if not knn or "cloud_id" in options:
        return None
    body: dict[str, Any] = {"knn": knn, "size": about.k, "_source": False}
    head, tail = _quoted(literal(body)).split(literal(QUERY))
    key = about.key_variable
    access = ""
    if key and "user" in options:
        access = f' -u "{options["user"]}:${key}"'
    elif key:
        access = f' -H "Authorization: ApiKey ${key}"'
    if "ca_certs" in options:
        access += f" --cacert {_quoted(options['ca_certs'])}"
    path = f"{_url(about)}/{quote(about.collection, safe='')}/_search"
    return "\n".join(
        [
            f"# search '[0.1, ...]': a JSON list of {about.vector.dim} numbers",
            "search() {",
            f"  curl -sS -X POST {_quoted(path)} \\",
            f"    -H 'Content-Type: application/json'{access} \\",
            f"    -d {head}'\"$1\"'{tail}",
            "}",
        ]
    )


def _quoted(text: str) -> str:
    """A word of a shell."""
    return "'" + text.replace("'", "'\\''") + "'"


FORMS = (
    ClientForm("elasticsearch-py", "python", _python),
    ClientForm("rest", "shell", _rest),
)
