"""What a collection made by qadapt keeps as it is, and what a copy of one leaves behind."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from qadapt.errors import InputError
from qadapt.model import ExtraVector, Id
from qadapt.stores.base import PayloadFidelity, RowConstraints
from qadapt.stores.milvus import clone_schema, payload_schema, payload_validation, schema, sparse
from qadapt.stores.milvus.connection import Connection
from qadapt.stores.milvus.ids import MAX_LENGTH, PrimaryKey
from qadapt.stores.milvus.version import ServerVersion

_OURS = PrimaryKey(schema.KEY, tagged=True)


def accepts_id(key: Id) -> bool:
    """Whether the VARCHAR key has room for an id."""
    return bool(_OURS.possible([key]))


def payload_fidelity(key: str) -> PayloadFidelity:
    """Whether the dynamic field gives an entry back."""
    reserved = key in (schema.KEY, "$meta", schema.UNNAMED) or key.startswith(schema.PREFIX)
    return "dropped" if reserved else "exact"


def row_constraints(
    wanted: Mapping[str, Any], vectors: Collection[str], server_version: ServerVersion
) -> RowConstraints:
    """What a collection of this schema keeps.

    Args:
        wanted: as ``typed`` has it.
        vectors: names of the collection's vectors.
    """
    key = wanted.get("key")
    keys = _OURS if key is None else keys_of(key, server_version)
    names = {"$meta", keys.field, *vectors} if key is not None else set[str]()
    fields = {each["name"]: each for each in wanted["fields"]}

    def kept(name: str, value: Any) -> PayloadFidelity:
        if name in fields:
            return payload_validation.payload_fidelity(value, fields[name], server_version)
        if name in names or not wanted["dynamic"]:
            return "dropped"
        return payload_fidelity(name) if key is None else "exact"

    return RowConstraints(lambda each: bool(keys.possible([each])), kept)


def keys_of(key: Mapping[str, Any], server_version: ServerVersion) -> PrimaryKey:
    """The primary key of a schema."""
    length = int((key.get("params") or {}).get("max_length") or MAX_LENGTH)
    return PrimaryKey(
        key["name"], number=key["type"] == "INT64", length=length, chars=server_version.lite
    )


def uncopied(connection: Connection, layout: schema.Layout) -> dict[str, str]:
    """What is there beyond rows of dense vectors and payloads."""
    left = {name: why for name, why in layout.others.items() if name not in layout.sparse}
    words = {
        name: [f"{each} {why}" for each, why in left.items() if (sparse.TYPE in why) is ours]
        for name, ours in (("sparse-vectors", True), ("other-vectors", False))
    }
    found = {name: ", ".join(each) for name, each in words.items()}
    found["typed-fields"] = payload_schema.undeclarable(
        clone_schema.describe(connection, layout.base)
    )
    return {name: words for name, words in found.items() if words}


def unsupported_extras(
    extras: Mapping[str, ExtraVector], server_version: ServerVersion
) -> dict[str, str]:
    """Extra vectors that a new collection would not have, and why."""
    found = sparse.unsupported(extras, server_version)
    for name in extras:
        try:
            schema.field_of(name)
        except InputError as error:
            found[f"extras.{name}"] = error.message
    return found
