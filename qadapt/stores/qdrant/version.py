"""The first server version of each field: fields that an older server would drop are not sent.

Unknown fields are dropped with status 200 at every level (docs/engines/qdrant.md#dropped-fields),
so ``memory`` before 1.19 or ``encoding`` before 1.15 would have no effect without an error. The
table covers versions up to 1.20; unknown fields are sent to newer servers and verified in the
read-back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from qadapt.model import Match, Vector
from qadapt.model.capabilities import older
from qadapt.stores.base import MappedQuantization
from qadapt.stores.engine_version import EngineVersion

NEWEST = "1.20"

FIELDS: Mapping[tuple[str, str], str] = {
    ("scalar", "type"): "1.1",
    ("scalar", "quantile"): "1.1",
    ("scalar", "always_ram"): "1.1",
    ("scalar", "memory"): "1.19",
    ("product", "compression"): "1.2",
    ("product", "always_ram"): "1.2",
    ("product", "memory"): "1.19",
    ("binary", "always_ram"): "1.5",
    ("binary", "encoding"): "1.15",
    ("binary", "query_encoding"): "1.15",
    ("binary", "memory"): "1.19",
    ("turbo", "bits"): "1.18",
    ("turbo", "always_ram"): "1.18",
    ("turbo", "memory"): "1.19",
}
KINDS = {"scalar": "1.1", "product": "1.2", "binary": "1.5", "turbo": "1.18"}
DATATYPES = {
    "float32": "1.0",
    "uint8": "1.9",
    "float16": "1.10",
    "turbo4": "1.19",
    "turbo8": "1.20",
    "turbo16": "1.20",
}
METADATA_SINCE = "1.16"
HAS_VECTOR_SINCE = "1.13"


def check_version(mapped: MappedQuantization, version: str | None) -> MappedQuantization:
    """The mapping, or why this server would drop parts of it."""
    problems = list(_problems((mapped.native or {}).get("quantization_config") or {}, version))
    if not problems:
        return mapped
    return MappedQuantization(
        None,
        mapped.target,
        Match.unsupported("; ".join(problems), "remove these fields from `native`"),
    )


def _problems(config: Mapping[str, Any], version: str | None) -> Iterator[str]:
    for kind, fields in config.items():
        since = KINDS.get(kind)
        problem = QdrantVersion(version).lacks(f"{kind} needs", since)
        if problem:
            yield problem
        for name in fields:
            known = FIELDS.get((kind, name))
            if is_older(version, known):
                yield (
                    f"{kind}.{name} requires Qdrant {known}; the server has {version}, which would "
                    "silently drop it"
                )
            elif known is None and (version is None or not is_untested(version)):
                yield f"{kind} has no field {name!r}: the server would silently drop it"


class QdrantVersion(EngineVersion):
    """The version of a Qdrant server."""

    product = "Qdrant"


def is_older(version: str | None, since: str | None) -> bool:
    """Whether a server is too old for a feature; an unknown version is the newest."""
    return not QdrantVersion(version).has(since)


def is_untested(version: str) -> bool:
    """Whether a server is newer than this table."""
    major, minor = (int(part) for part in NEWEST.split("."))
    return not older(version, f"{major}.{minor + 1}")


def datatype(vector: Vector, version: str | None) -> str | None:
    """Why a vector's datatype is not supported; None if it is."""
    since = DATATYPES.get(vector.datatype)
    if since is None:
        return (
            f"Qdrant does not support the datatype {vector.datatype}; it has {', '.join(DATATYPES)}"
        )
    return QdrantVersion(version).lacks(f"the datatype {vector.datatype} needs", since)
