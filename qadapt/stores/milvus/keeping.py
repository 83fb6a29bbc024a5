"""What a collection made by qadapt keeps as it is, and what a copy of one leaves behind."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from qadapt.errors import InputError
from qadapt.model import Extra, Id
from qadapt.stores.base import Kept, Room
from qadapt.stores.milvus import fitting, like, schema, sparse, typed
from qadapt.stores.milvus.connection import Connection
from qadapt.stores.milvus.engine import Engine
from qadapt.stores.milvus.keys import MAX_LENGTH, Keys

_OURS = Keys(schema.KEY, tagged=True)


def takes_id(key: Id) -> bool:
    """Whether the VARCHAR key has room for an id."""
    return bool(_OURS.possible([key]))


def keeps(key: str) -> Kept:
    """Whether the dynamic field gives an entry back."""
    reserved = key in (schema.KEY, "$meta", schema.UNNAMED) or key.startswith(schema.PREFIX)
    return "not" if reserved else "as it is"


def room(wanted: Mapping[str, Any], vectors: Collection[str], engine: Engine) -> Room:
    """What a collection of this schema keeps.

    Args:
        wanted: as ``typed`` has it.
        vectors: names of the collection's vectors.
    """
    key = wanted.get("key")
    keys = _OURS if key is None else keys_of(key, engine)
    names = {"$meta", keys.field, *vectors} if key is not None else set[str]()
    fields = {each["name"]: each for each in wanted["fields"]}

    def kept(name: str, value: Any) -> Kept:
        if name in fields:
            return fitting.fits(value, fields[name], engine)
        if name in names or not wanted["dynamic"]:
            return "not"
        return keeps(name) if key is None else "as it is"

    return Room(lambda each: bool(keys.possible([each])), kept)


def keys_of(key: Mapping[str, Any], engine: Engine) -> Keys:
    """The primary key of a schema."""
    length = int((key.get("params") or {}).get("max_length") or MAX_LENGTH)
    return Keys(key["name"], number=key["type"] == "INT64", length=length, chars=engine.lite)


def beyond_rows(connection: Connection, layout: schema.Layout) -> dict[str, str]:
    """What is there beyond rows of dense vectors and payloads."""
    left = {name: why for name, why in layout.others.items() if name not in layout.sparse}
    words = {
        name: [f"{each} {why}" for each, why in left.items() if (sparse.TYPE in why) is ours]
        for name, ours in (("sparse-vectors", True), ("other-vectors", False))
    }
    found = {name: ", ".join(each) for name, each in words.items()}
    found["typed-fields"] = typed.beyond(like.describe(connection, layout.base))
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
