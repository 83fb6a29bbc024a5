"""Aliases of one index, which are moved atomically."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from qadapt.errors import AlreadyExistsError, NotFoundError
from qadapt.stores.elastic.connection import Connection
from qadapt.stores.elastic.schema import quoted


def read(connection: Connection) -> dict[str, str]:
    """The index of each alias; an alias of several indexes is omitted."""
    # Indexes of the system are left out: a request for them makes the server log a warning.
    answer = connection.found(
        "/*,-.*/_alias", params={"filter_path": "*.aliases"}, doing="list the aliases"
    )
    found: dict[str, list[str]] = {}
    for index, each in (answer or {}).items():
        for alias in each.get("aliases") or ():
            found.setdefault(alias, []).append(index)
    return {alias: names[0] for alias, names in sorted(found.items()) if len(names) == 1}


def switch(connection: Connection, alias: str, index: str, former: str | None) -> None:
    """Point an alias to an index, in one step.

    Args:
        former: the index that the alias points to; None for a new alias.
    """
    actions: list[Mapping[str, Any]] = []
    if former is not None and former != index:
        actions.append({"remove": {"index": former, "alias": alias, "must_exist": True}})
    actions.append({"add": {"index": index, "alias": alias, "is_write_index": True}})
    _send(connection, actions, alias, index)


def replace_index(
    connection: Connection, name: str, index: str, others: Mapping[str, Mapping[str, Any]]
) -> None:
    """Delete an index and give its name and its aliases to another one, in one step.

    Args:
        others: aliases of the deleted index, with their filters and routing.
    """
    actions: list[Mapping[str, Any]] = [{"remove_index": {"index": name}}]
    actions.append({"add": {"index": index, "alias": name, "is_write_index": True}})
    for alias, settings in others.items():
        actions.append({"add": {"index": index, "alias": alias, **settings}})
    _send(connection, actions, name, index)


def _send(
    connection: Connection, actions: Sequence[Mapping[str, Any]], alias: str, index: str
) -> None:
    doing = f"point the alias {alias!r} to {index!r}"
    connection.ask("POST", "/_aliases", {"actions": actions}, doing=doing)


def check_new(alias: str, known: Mapping[str, str], indexes: list[str]) -> None:
    """Refuse an alias with the name of an index.

    Raises:
        AlreadyExistsError
    """
    if alias in indexes and alias not in known:
        raise AlreadyExistsError(
            f"an index has the name {alias!r}", hint="choose another name for the alias"
        )


def drop(connection: Connection, alias: str, known: Mapping[str, str]) -> None:
    """Delete an alias.

    Raises:
        NotFoundError
    """
    if alias not in known:
        raise NotFoundError.missing("alias", alias, known)
    path = f"/{quoted(known[alias])}/_alias/{quoted(alias)}"
    connection.ask("DELETE", path, doing=f"delete the alias {alias!r}", repeatable=False)
