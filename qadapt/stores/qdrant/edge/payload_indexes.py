"""Payload indexes, and their settings in the server's format.

The engine's classes use the names of the server's fields, and enums whose members are the server's
values in another case (observed on 0.9.0 against the models of qdrant-client).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qadapt.errors import UnsupportedError
from qadapt.stores.base import PAYLOAD_KINDS
from qadapt.stores.qdrant.edge.connection import Shard, client_module


def indexes(shard: Shard) -> dict[str, str]:
    """The kind of each payload index."""
    kinds = {
        getattr(client_module().PayloadSchemaType, kind.title()): kind for kind in PAYLOAD_KINDS
    }
    with shard.use("inspect") as opened:
        schema = opened.info().payload_schema
        return {key: kinds[schema[key].data_type] for key in sorted(schema)}


def read_index_settings(shard: Shard) -> dict[str, Mapping[str, Any]]:
    """The settings besides the kind, such as the tokenizer of a text index, in the server's
    format."""
    with shard.use("inspect") as opened:
        schema = opened.info().payload_schema
        found = {key: schema[key].params for key in sorted(schema)}
        words = {key: to_settings(each) for key, each in found.items() if each is not None}
    return {key: each for key, each in words.items() if each}


def create_index(shard: Shard, key: str, kind: str, asked: Mapping[str, Any]) -> None:
    """Create a payload index, which the engine keeps during rebuilds (observed on 0.9.0)."""
    edge = client_module()
    schema = getattr(edge.PayloadSchemaType, kind.title())
    if asked:
        schema = to_params(kind, asked)
    with shard.change("index the payload of") as opened:
        opened.update(edge.UpdateOperation.create_field_index(key, schema))


_ENUMS = {"tokenizer": "TokenizerType", "memory": "Memory"}


def to_settings(params: Any) -> dict[str, Any]:
    """The settings in the server's format."""
    names = (name for name in dir(params) if not name.startswith("_"))
    found = {name: getattr(params, name) for name in names}
    return {name: _word(value) for name, value in found.items() if value is not None}


def _word(value: Any) -> Any:
    edge = client_module()
    if isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, edge.StopwordsSet):
        found = {"languages": value.languages, "custom": value.custom}
        return {key: sorted(map(_word, each)) for key, each in found.items() if each is not None}
    if isinstance(value, edge.SnowballParams):
        return {"type": "snowball", "language": _word(value.language)}
    if isinstance(value, edge.DisabledStemmer):
        return {"type": "none"}
    if isinstance(value, edge.TextScoringParams):
        return {"type": _word(value.type)}
    return str(value).rpartition(".")[2].lower()


def to_params(kind: str, settings: Mapping[str, Any]) -> Any:
    """The engine's object for settings in the server's format.

    Raises:
        UnsupportedError: a value that this version of the engine does not have.
    """
    cls = getattr(client_module(), f"{kind.title()}IndexParams")
    return cls(**{name: _value(name, value) for name, value in settings.items()})


def unknown(kind: str, settings: Mapping[str, Any]) -> list[str]:
    """Settings that this version of the engine does not have."""
    cls = getattr(client_module(), f"{kind.title()}IndexParams")
    found = []
    for name, value in settings.items():
        try:
            cls(**{name: _value(name, value)})
        except (TypeError, ValueError, OverflowError, UnsupportedError):
            found.append(name)
    return found


def _value(name: str, value: Any) -> Any:
    edge = client_module()
    if name in _ENUMS:
        return _member(_ENUMS[name], value)
    if name == "stopwords":
        if isinstance(value, str):
            return _member("Language", value)
        languages = {_member("Language", each) for each in value.get("languages") or ()}
        return edge.StopwordsSet(languages=languages, custom=set(value.get("custom") or ()))
    if name == "stemmer":
        if value["type"] == "none":
            return edge.DisabledStemmer()
        return edge.SnowballParams(_member("SnowballLanguage", value["language"]))
    if name == "scoring" and not isinstance(value, bool):
        return edge.TextScoringParams(_member("TextScoringType", value["type"]))
    return value


def _member(enum: str, word: str) -> Any:
    found = getattr(getattr(client_module(), enum), str(word).title(), None)
    if found is None:
        raise UnsupportedError(
            f"this version of the engine has no {enum} {word!r}",
            hint="upgrade it: pip install -U 'qdrant-edge-py'",
        )
    return found
