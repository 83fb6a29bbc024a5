"""Aliases of one index, which are moved atomically."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qadapt.errors import AlreadyExistsError, NotFoundError
from qadapt.stores.elastic.connection import Connection
from qadapt.stores.elastic.schema import quoted


def read(connection: Connection) -> dict[str, str]:
    """The index of each alias; an alias of several indexes is omitted."""
    answer = connection.found(
        "/_alias", params={"filter_path": "*.aliases"}, doing="list the aliases"
    )
    found: dict[str, list[str]] = {}
    for index, each in (answer or {}).items():
        for alias in each.get("aliases") or ():
            found.setdefault(alias, []).append(index)
    return {alias: names[0] for alias, names in sorted(found.items()) if len(names) == 1}


def switch(
    connection: Connection, alias: str, index: str, former: str | None, *, replace_index: bool
) -> None:
    """Point an alias to an index, in one step.

    Args:
        former: the index that the alias points to; None for a new alias.
        replace_index: ``alias`` is the name of an index, which is deleted in the same step.
    """
    actions: list[Mapping[str, Any]] = []
    if replace_index:
        actions.append({"remove_index": {"index": alias}})
    elif former is not None and former != index:
        actions.append({"remove": {"index": former, "alias": alias, "must_exist": True}})
    actions.append({"add": {"index": index, "alias": alias, "is_write_index": True}})
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
