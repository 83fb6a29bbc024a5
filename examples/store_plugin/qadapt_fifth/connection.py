"""SQL on a collection: SQLite files in a folder, or a server by HTTP."""

from __future__ import annotations

import json
import sqlite3
from base64 import b64decode, b64encode
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import Request, urlopen

from qadapt import errors
from qadapt.model.address import Address
from qadapt.stores.error_table import ErrorRule, translated

ERRORS = (
    ErrorRule(sqlite3.OperationalError, errors.BusyError, "locked", "try again"),
    ErrorRule(sqlite3.DatabaseError, errors.IntegrityError, hint="restore the file from a backup"),
    ErrorRule(HTTPError, errors.AuthError, "401", "export FIFTH_API_KEY=..."),
    ErrorRule(HTTPError, errors.StoreError),
    ErrorRule(URLError, errors.UnreachableError, hint="start the server"),
    ErrorRule(OSError, errors.StorageError),
)


class Files:
    """A folder. ``run`` executes a statement for each of ``many`` in one transaction, and gives the
    rows of all."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collections(self) -> list[str]:
        return sorted(file.stem for file in self._folder.glob("*.db"))

    def drop(self, collection: str) -> None:
        (self._folder / f"{collection}.db").unlink()

    def run(self, collection: str, sql: str, many: Sequence[Any] = ((),)) -> list[list[Any]]:
        file = self._folder / f"{collection}.db"
        with translated(ERRORS, f"use {file}"):
            self._folder.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(file)) as db, db:
                return [list(row) for each in many for row in db.execute(sql, each)]


class Http:
    """The same on a server: ``POST /COLLECTION`` with ``{"sql", "many"}``."""

    def __init__(self, address: Address) -> None:
        self._url, self._key = address.url, address.secret()

    def collections(self) -> list[str]:
        return list(self._ask("GET", ""))

    def drop(self, collection: str) -> None:
        self._ask("DELETE", collection)

    def run(self, collection: str, sql: str, many: Sequence[Any] = ((),)) -> list[list[Any]]:
        return list(self._ask("POST", collection, {"sql": sql, "many": list(map(list, many))}))

    def _ask(self, verb: str, collection: str, body: Any = None) -> Any:
        data = json.dumps(body, default=lambda blob: {"b64": b64encode(blob).decode()}).encode()
        url = f"{self._url}/{quote(collection)}"
        request = Request(url, data, method=verb)
        if self._key:  # not sent to redirect targets
            request.add_unredirected_header("Authorization", f"Bearer {self._key}")
        with translated(ERRORS, f"use {self._url}"), urlopen(request, timeout=60) as answer:
            return json.load(answer, object_hook=lambda found: b64decode(found["b64"]))
