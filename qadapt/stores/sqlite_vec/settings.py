"""Settings of qadapt, in a table of the same file: vec0 has no place for comments."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from qadapt.stores.sqlite_vec.schema import Table

TABLE = "qadapt_settings"


def read_all(at: Any) -> dict[str, dict[str, Any]]:
    """The settings of each table; empty if the file has none."""
    found = at.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (TABLE,)).fetchone()
    if found is None:
        return {}
    rows = at.execute(f"SELECT name, settings FROM {TABLE}").fetchall()
    return {name: json.loads(text) for name, text in rows}


def write(at: Any, name: str, settings: Mapping[str, Any]) -> None:
    """Replace the settings of a table, in the transaction of the caller."""
    at.execute(
        f"CREATE TABLE IF NOT EXISTS {TABLE} (name TEXT PRIMARY KEY, settings TEXT NOT NULL)"
    )
    kept = {key: value for key, value in settings.items() if value}
    text = json.dumps(kept, sort_keys=True, ensure_ascii=False)
    at.execute(f"INSERT OR REPLACE INTO {TABLE} VALUES (?, ?)", (name, text))


def remove(at: Any, name: str) -> None:
    """Delete the settings of a table."""
    if read_all(at):
        at.execute(f"DELETE FROM {TABLE} WHERE name = ?", (name,))


def put_codes(at: Any, table: Table, column: str, entry: Mapping[str, Any]) -> None:
    """Write the description of the codes of a kind; a new one becomes the last."""
    own = read_all(at).get(table.name, {})
    kinds = list((own.get("codes") or {}).get(column, []))
    places = [place for place, each in enumerate(kinds) if each["kind"] == entry["kind"]]
    if places:
        kinds[places[0]] = dict(entry)
    else:
        kinds.append(dict(entry))
    write(at, table.name, {**own, "codes": {**(own.get("codes") or {}), column: kinds}})


def forget_codes(at: Any, table: Table, column: str, kind: str) -> None:
    """Delete the description of the codes of a kind."""
    own = read_all(at).get(table.name, {})
    codes = dict(own.get("codes") or {})
    kinds = [each for each in codes.pop(column, []) if each["kind"] != kind]
    write(at, table.name, {**own, "codes": {**codes, **({column: kinds} if kinds else {})}})


def use(at: Any, table: Table, column: str, word: str | None) -> None:
    """Record that searches of a vector use no codes (``none``), or the newest ones (None)."""
    own = read_all(at).get(table.name, {})
    kept = {**(own.get("use") or {}), column: word}
    found = {name: each for name, each in kept.items() if each}
    if found != (own.get("use") or {}):
        write(at, table.name, {**own, "use": found})
