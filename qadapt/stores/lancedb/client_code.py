"""Code for lancedb that searches as qadapt does."""

from __future__ import annotations

from typing import Any

from qadapt.stores.client_form import ClientCode, ClientForm


def _python(about: ClientCode) -> str | None:
    details = about.search.details
    if not details:
        return None
    place = about.opened or about.address.location
    arguments = [repr(place)]
    if place.startswith("db://"):
        arguments.append(f'api_key=os.environ["{about.key_variable or "LANCEDB_API_KEY"}"]')
    imports = ["import os", ""] if len(arguments) > 1 else []
    lines = [
        *imports,
        "import lancedb",
        "",
        f"table = lancedb.connect({', '.join(arguments)}).open_table({about.collection!r})",
        "",
        "",
        "def search(query):",
        f'    """Ids of the {about.k} best rows."""',
        "    table.checkout_latest()  # rows and indexes of other clients",
        f"    found = table.search(query, vector_column_name={details['column']!r})",
    ]
    calls = [
        f".{name}({'' if value is True else repr(value)})"
        for name, value in about.search.params.items()
    ]
    calls += [f".limit({about.search.limit})", f'.select([{details["key"]!r}, "_distance"])']
    lines += ["    found = (", "        found"]
    lines += [f"        {each}" for each in calls]
    lines += ["    )", f"    return found.to_arrow()[{details['key']!r}].to_pylist()"]
    return "\n".join(lines)


def details(prepared: Any) -> dict[str, Any]:
    """What the code of the form needs."""
    return {"column": prepared.column.name, "key": prepared.table.key}


FORMS = (ClientForm("lancedb", "python", _python),)
