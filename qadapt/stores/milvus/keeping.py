"""What a collection made by qadapt keeps as it is, and what a copy of one leaves behind."""

from __future__ import annotations

import json
from collections.abc import Mapping

from qadapt.errors import InputError
from qadapt.model import Extra, Id
from qadapt.stores.base import Kept
from qadapt.stores.milvus import schema, sparse
from qadapt.stores.milvus.connection import Connection
from qadapt.stores.milvus.engine import Engine
from qadapt.stores.milvus.keys import Keys

_OURS = Keys(schema.KEY, tagged=True)
_DEFAULT = "_default"


def takes_id(key: Id) -> bool:
    """Whether the VARCHAR key has room for an id."""
    return bool(_OURS.possible([key]))


def keeps(key: str) -> Kept:
    """Whether the dynamic field gives an entry back."""
    reserved = key in (schema.KEY, "$meta", schema.UNNAMED) or key.startswith(schema.PREFIX)
    return "not" if reserved else "as it is"


def beyond_rows(connection: Connection, layout: schema.Layout) -> dict[str, str]:
    """What is there beyond rows of dense vectors and payloads."""
    client = connection.client
    left = {name: why for name, why in layout.others.items() if name not in layout.sparse}
    words = {
        name: [f"{each} {why}" for each, why in left.items() if (sparse.TYPE in why) is ours]
        for name, ours in (("sparse-vectors", True), ("other-vectors", False))
    }
    found = {name: ", ".join(each) for name, each in words.items()}
    if not connection.lite:
        doing = f"list the partitions of {layout.name!r}"
        names = connection.call(doing, client.list_partitions, layout.name)
        found["partitions"] = ", ".join(sorted(name for name in names if name != _DEFAULT))
    typed = {name: kind for name, kind in layout.fields.types.items() if name != layout.keys.field}
    found["typed-fields"] = json.dumps(typed) if typed else ""
    return {name: words for name, words in found.items() if words}


def refuses_extras(extras: Mapping[str, Extra], engine: Engine) -> dict[str, str]:
    """Extra vectors that a new collection would not have, and why."""
    found = sparse.refused(extras, engine)
    for name in extras:
        try:
            schema.field_of(name)
        except InputError as error:
            found[f"extras.{name}"] = error.message
    return found
