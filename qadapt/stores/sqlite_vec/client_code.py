"""SQL and Python code that searches as qadapt does."""

from __future__ import annotations

from typing import Any

from qadapt.stores.client_form import ClientCode, ClientForm


def _sql(about: ClientCode) -> str | None:
    details = about.search.details
    if not details:
        return None
    lines = []
    for number, each in enumerate(details["inputs"], start=1):
        lines.append(f"-- parameter {number}: {_described(about, each)}")
    lines.append(f"{details['statement']};")
    if details["insert"]:
        word = "the vector" if details["kind"] == "bit" else "its int8 codes"
        lines += [
            "",
            f"-- with each row that is written, in the same transaction: id, {word}",
            f"{details['delete']};",
            f"{details['insert']};",
        ]
    return "\n".join(lines)


def _described(about: ClientCode, form: str) -> str:
    if form == "floats":
        return f"the query, {about.vector.dim} float32 numbers (little-endian)"
    step = about.search.details["scale"]
    by = "its largest absolute value / 127" if step is None else f"{step!r}"
    return f"the query divided by {by}, rounded, {about.vector.dim} signed bytes"


def _python(about: ClientCode) -> str | None:
    details = about.search.details
    if not details or about.opened is None:
        return None
    lines = [
        "import sqlite3",
        "",
        "import numpy as np",
        "import sqlite_vec",
        "",
        'if not hasattr(sqlite3.Connection, "enable_load_extension"):',
        "    import pysqlite3 as sqlite3",
        "",
        f"connection = sqlite3.connect({about.opened!r})",
        "connection.enable_load_extension(True)",
        "sqlite_vec.load(connection)",
        "connection.enable_load_extension(False)",
        f'connection.execute("PRAGMA cache_size = -{details["cache_mb"] * 1024}")',
        "",
        "",
        "def search(query):",
        f'    """Ids of the {about.k} best rows."""',
        '    query = np.asarray(query, dtype="<f4")',
    ]
    if "int8" in details["inputs"]:
        step = "np.abs(query).max() / np.float32(127)"
        if details["scale"] is not None:
            step = f"np.float32({details['scale']!r})"
        lines += [
            f"    codes = np.clip(np.rint(query / ({step} or 1)), -127, 127).astype(np.int8)",
        ]
    names = {"floats": "query.tobytes()", "int8": "codes.tobytes()"}
    parameters = ", ".join(names[each] for each in details["inputs"])
    lines += [
        "    rows = connection.execute(",
        f"        {details['statement']!r},",
        f"        [{parameters}],",
        "    )",
        "    return [row[0] for row in rows]",
    ]
    return "\n".join(lines)


def details(prepared: Any, kind: str, insert: str, delete: str, cache_mb: int) -> dict[str, Any]:
    """What the code of the forms needs."""
    return {
        "statement": prepared.text,
        "inputs": list(prepared.inputs),
        "scale": prepared.scale,
        "kind": kind,
        "insert": insert,
        "delete": delete,
        "cache_mb": cache_mb,
    }


FORMS = (ClientForm("sqlite3", "python", _python), ClientForm("sql", "sql", _sql))
