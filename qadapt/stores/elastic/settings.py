"""Settings of qadapt in ``_meta`` of a mapping, which a request replaces as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qadapt.stores.elastic.connection import Connection
from qadapt.stores.elastic.schema import OWN, Index, quoted

SEARCH_KEY = "search"


def write(connection: Connection, index: Index, key: str, value: Any) -> None:
    """Replace one setting; an empty value deletes it. Other programs' ``_meta`` stays."""
    own = {**index.meta, key: value}
    if not value:
        del own[key]
    meta: dict[str, Any] = {**(index.mappings.get("_meta") or {}), OWN: own}
    if not own:
        del meta[OWN]
    doing = f"write settings of {index.name!r}"
    connection.ask("PUT", f"/{quoted(index.real)}/_mapping", {"_meta": meta}, doing=doing)


def read(index: Index) -> Mapping[str, Any]:
    """The search settings."""
    found = index.meta.get(SEARCH_KEY)
    return found if isinstance(found, Mapping) else {}
