"""What a collection made by qadapt keeps as it is, and what a copy of one leaves behind."""

from __future__ import annotations

import json

from qadapt.model import Id
from qadapt.stores.base import Kept
from qadapt.stores.milvus import schema
from qadapt.stores.milvus.connection import Connection
from qadapt.stores.milvus.keys import Keys

_OURS = Keys(schema.KEY, tagged=True)


def takes_id(key: Id) -> bool:
    """Whether the VARCHAR key has room for an id."""
    return bool(_OURS.possible([key]))


def keeps(key: str) -> Kept:
    """Whether the dynamic field gives an entry back."""
    reserved = key in (schema.KEY, "$meta", schema.UNNAMED) or key.startswith(schema.PREFIX)
    return "not" if reserved else "as it is"


def beyond_rows(connection: Connection, layout: schema.Layout) -> dict[str, str]:
    """What is there beyond rows of dense vectors and payloads."""
    found = {"other-vectors": ", ".join(f"{k} {why}" for k, why in layout.others.items())}
    typed = {name: kind for name, kind in layout.fields.types.items() if name != layout.keys.field}
    found["typed-fields"] = json.dumps(typed) if typed else ""
    return {name: words for name, words in found.items() if words}
