"""SQL and Python code that searches as qadapt does."""

from __future__ import annotations

from typing import Any

from qadapt.stores.client_form import ClientCode, ClientForm


def details(prepared: Any, database: str) -> dict[str, Any]:
    """What the code of the forms needs."""
    return {"statement": prepared.text, "database": database}


def _sql(about: ClientCode) -> str | None:
    found = about.search.details
    if not found:
        return None
    return (
        f"-- parameter q: the query, {about.vector.dim} numbers such as [0.1, ...]\n"
        f"{found['statement']};"
    )


def _chdb(about: ClientCode) -> str | None:
    found = about.search.details
    if not found or about.opened is None:
        return None
    lines = [
        "import json",
        "",
        "import chdb",
        "",
        f"connection = chdb.connect({about.opened!r})",
        "",
        "",
        "def search(query):",
        f'    """Ids of the {about.k} best rows."""',
        '    numbers = "[" + ", ".join(repr(float(each)) for each in query) + "]"',
        "    found = connection.query(",
        f"        {found['statement']!r},",
        '        "JSONCompact",',
        '        params={"q": numbers},',
        "    )",
        '    return [row[0] for row in json.loads(found.bytes())["data"]]',
    ]
    return "\n".join(lines)


def _connect(about: ClientCode) -> str | None:
    found = about.search.details
    address = about.address
    if not found or not address.transport:
        return None
    user = address.options.get("user", "default")
    key = about.key_variable
    lines = ["import os", ""] if key else []
    password = f", password=os.environ[{key!r}]" if key else ""
    lines += [
        "import clickhouse_connect",
        "",
        "client = clickhouse_connect.get_client(",
        f"    host={address.host!r}, port={address.port}, secure={address.transport == 'https'},",
        f"    username={user!r}, database={found['database']!r}{password},",
        ")",
        "",
        "",
        "def search(query):",
        f'    """Ids of the {about.k} best rows."""',
        "    found = client.query(",
        f"        {found['statement']!r},",
        '        parameters={"q": [float(each) for each in query]},',
        "    )",
        "    return [row[0] for row in found.result_rows]",
    ]
    return "\n".join(lines)


FORMS = (
    ClientForm("clickhouse-connect", "python", _connect),
    ClientForm("chdb", "python", _chdb),
    ClientForm("sql", "sql", _sql),
)
