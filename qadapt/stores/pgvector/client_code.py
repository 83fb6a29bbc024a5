"""SQL and psycopg code that searches as qadapt does."""

from __future__ import annotations

from typing import Any

from qadapt.stores.client_form import ClientCode, ClientForm


def _sql(about: ClientCode) -> str | None:
    details = about.search.details
    if not details:
        return None
    lines = [f"-- $1: the query, {about.vector.dim} numbers such as '[0.1, ...]'"]
    lines += ["BEGIN;"] if details["settings"] else []
    lines += [f"SET LOCAL {name} = {value};" for name, value in details["settings"].items()]
    lines += [f"{details['statement'].format(q='$1')};"]
    lines += ["COMMIT;"] if details["settings"] else []
    return "\n".join(lines)


def _shell(about: ClientCode) -> str | None:
    """A shell function on ``psql``, which prints a JSON list of ids."""
    details = about.search.details
    if not details:
        return None
    statement = details["statement"].format(q=":'query'")
    lines = [
        f"# search '[0.1, ...]': a JSON list of {about.vector.dim} numbers",
        "search() {",
        f"  psql -qAt -v query=\"$1\" {_word(details['url'])} <<'SQL'",
        "BEGIN;",
        *(f"SET LOCAL {name} = {value};" for name, value in details["settings"].items()),
        f"SELECT json_agg(id) FROM ({statement}) AS found;",
        "COMMIT;",
        "SQL",
        "}",
    ]
    return "\n".join(lines)


def _psycopg(about: ClientCode) -> str | None:
    details = about.search.details
    if not details:
        return None
    key = about.key_variable
    lines = ["import os", ""] if key else []
    secret = f", password=os.environ[{key!r}]" if key else ""
    lines += ["import psycopg", "", f"connection = psycopg.connect({details['url']!r}{secret})", ""]
    # A setting is dropped if the library of the extension is not loaded yet.
    lines += [f"connection.execute(\"SELECT '[1]'::{details['type']}\")", "", ""]
    statement = details["statement"].replace("%", "%%").format(q="%(query)s")
    lines += ["def search(query):", f'    """Ids of the {about.k} best rows."""']
    lines += ["    with connection.transaction(), connection.cursor() as cursor:"]
    for name, value in details["settings"].items():
        lines += [f'        cursor.execute("SET LOCAL {name} = {value}")']
    lines += ["        cursor.execute("]
    lines += [f"            {statement!r},"]
    lines += ['            {"query": str(list(map(float, query)))},']
    lines += ["            prepare=False,", "        )"]
    lines += ["        return [row[0] for row in cursor]"]
    return "\n".join(lines)


def _word(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def plain_url(about: Any) -> str:
    """The address of a database for libpq, without its password."""
    text = str(about)
    return text.replace(":***@", "@").partition("#")[0]


FORMS = (
    ClientForm("psycopg", "python", _psycopg),
    ClientForm("psql", "shell", _shell),
    ClientForm("sql", "sql", _sql),
)
