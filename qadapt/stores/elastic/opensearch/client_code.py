"""Code of the Python client and of curl that searches as qadapt does."""

from __future__ import annotations

import json
from typing import Any

from qadapt.stores.client_form import ClientCode, ClientForm

# Replaces the mark of the query vector in a body.
_MARK = "\x00query\x00"


def _python(about: ClientCode) -> str | None:
    details = about.search.details
    if not details:
        return None
    key = about.key_variable
    lines = ["import os", ""] if key else []
    lines += ["from opensearchpy import OpenSearch", ""]
    user = about.address.options.get("user", "admin")
    secret = f", http_auth=({user!r}, os.environ[{key!r}])" if key else ""
    if "ca_certs" in about.address.options:
        secret += f", ca_certs={about.address.options['ca_certs']!r}"
    lines += [f"client = OpenSearch({_url(about)!r}{secret})", "", ""]
    body = _python_body(details["body"], about.k)
    lines += [
        "def search(query):",
        f'    """Ids of the {about.k} best rows."""',
        f"    body = {body}",
        f"    found = client.search(index={about.collection!r}, body=body)",
        '    ids = [hit["_id"] for hit in found["hits"]["hits"]]',
    ]
    if details["integers"]:
        lines += [
            "    return [int(each) if each.lstrip('-').isdecimal() else each for each in ids]"
        ]
    else:
        lines += ["    return ids"]
    return "\n".join(lines)


def _python_body(body: Any, k: int) -> str:
    shown = {**body, "size": k, "_source": False}
    text = repr(shown)
    return text.replace(repr(_MARK), "[float(each) for each in query]")


def _rest(about: ClientCode) -> str | None:
    """A shell function on ``curl``, which prints a JSON list of ids."""
    details = about.search.details
    if not details:
        return None
    key = about.key_variable
    user = about.address.options.get("user", "admin")
    secret = f' --user "{user}:${key}"' if key else ""
    if "ca_certs" in about.address.options:
        secret += f" --cacert {_word(about.address.options['ca_certs'])}"
    shown = {**details["body"], "size": about.k, "_source": False}
    body = json.dumps(shown).replace(json.dumps(_MARK), "'\"$1\"'")
    url = f"{_url(about)}/{about.collection}/_search"
    ids = '[int(h["_id"]) if h["_id"].lstrip("-").isdecimal() else h["_id"] for h in found]'
    if not details["integers"]:
        ids = '[h["_id"] for h in found]'
    script = (
        f'import json, sys; found = json.load(sys.stdin)["hits"]["hits"]; print(json.dumps({ids}))'
    )
    return "\n".join(
        [
            f"# search '[0.1, ...]': a JSON list of {about.vector.dim} numbers",
            "search() {",
            f"  curl -sS --fail-with-body{secret} -H 'content-type: application/json' \\",
            f"    {_word(url)} -d '{body}' |",
            f"    python3 -c {_word(script)}",
            "}",
        ]
    )


def _url(about: ClientCode) -> str:
    return f"{about.address.transport}://{about.address.location}"


def _word(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


FORMS = (
    ClientForm("opensearch-py", "python", _python),
    ClientForm("rest", "shell", _rest),
)
