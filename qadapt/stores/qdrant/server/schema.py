"""The response of ``GET /collections/NAME`` as raw JSON, and its comparison with a PATCH.

The read-back shows the *configured* state; it does not prove that codes are built. The effective
setting of a vector is its own ``quantization_config``, otherwise the collection's. The server
silently drops unknown fields (docs/engines/qdrant.md#dropped-fields), so every request is compared
with the read-back: ``differences``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from qadapt.errors import NotFoundError, UnsupportedError
from qadapt.model import ExtraVector, Metric, Vector
from qadapt.stores.qdrant import extra_vectors as qdrant_extra_vectors
from qadapt.stores.qdrant.mapping import from_native, same_config, same_value, without_nulls

Info = Mapping[str, Any]

DISTANCES = {Metric.COSINE: "Cosine", Metric.DOT: "Dot", Metric.EUCLIDEAN: "Euclid"}
METRICS = {word: metric for metric, word in DISTANCES.items()}
DISABLED = "Disabled"
# KB from which a segment is indexed by default (since 1.15).
THRESHOLD = 10_000


def params(info: Info) -> dict[str, Mapping[str, Any]]:
    """The parameters of each dense vector, including multivectors; ``""`` is the unnamed vector."""
    vectors = info["config"]["params"].get("vectors") or {}
    if isinstance(vectors.get("size"), int):
        return {"": vectors}
    return dict(vectors)


def sparse(info: Info) -> list[str]:
    """The names of sparse vectors, which are never quantized."""
    return sorted(info["config"]["params"].get("sparse_vectors") or {})


def is_multivector(params: Mapping[str, Any]) -> bool:
    """Whether the vector is a multivector."""
    return bool(params.get("multivector_config"))


def described(info: Info) -> dict[str, Vector]:
    """The vectors whose quantization qadapt can describe: dense, with a supported metric."""
    return {
        name: Vector(each["size"], METRICS[each["distance"]], each.get("datatype") or "float32")
        for name, each in params(info).items()
        if each["distance"] in METRICS
    }


def movable(info: Info) -> dict[str, Vector]:
    """The vectors that ``Batch`` can hold: one vector per row."""
    there = params(info)
    return {
        name: vector for name, vector in described(info).items() if not is_multivector(there[name])
    }


def extra_vectors(info: Info) -> dict[str, ExtraVector]:
    """Sparse vectors and multivectors."""
    there = info["config"]["params"].get("sparse_vectors") or {}
    return qdrant_extra_vectors.read_extra_vectors(params(info), there, common(info))


def uncopied(info: Info) -> dict[str, str]:
    """The schema besides dense vectors and payloads."""
    found = {
        "other-metrics": ", ".join(name for name in params(info) if name not in described(info)),
        "shard-keys": str(info["config"]["params"].get("sharding_method") or ""),
    }
    if found["shard-keys"] != "custom":
        found["shard-keys"] = ""
    return {name: words for name, words in found.items() if words}


def vector(info: Info, name: str, *, moved: bool = False) -> Vector:
    """Look up one vector.

    Args:
        moved: its rows are read, written or searched, so it must not be a multivector.

    Raises:
        NotFoundError: the vector does not exist.
        UnsupportedError: qadapt does not support the vector.
    """
    there = params(info)
    if name in sparse(info):
        raise UnsupportedError(
            f"the vector {name!r} is sparse; sparse vectors are never quantized",
            hint="name a dense vector: vector= or --vector",
        )
    if name not in there:
        raise NotFoundError.missing("vector", name, there)
    if there[name]["distance"] not in METRICS:
        raise UnsupportedError(
            f"the vector {name!r} has the metric {there[name]['distance']}; qadapt supports "
            "cosine, dot and euclidean",
            hint="qadapt does not support this vector",
        )
    if moved and is_multivector(there[name]):
        raise UnsupportedError(
            f"the vector {name!r} is a multivector",
            hint="qadapt can change its quantization; read, write and search it with qdrant-client",
        )
    return described(info)[name]


def requested(raw: Info, names: Sequence[str] | None) -> dict[str, Vector | ExtraVector]:
    """The vectors of these names; None for all dense vectors.

    Raises:
        NotFoundError: a vector does not exist.
        UnsupportedError: qadapt does not support a vector.
    """
    if names is None:
        return dict(movable(raw))
    more = extra_vectors(raw)
    return {name: more.get(name) or vector(raw, name, moved=True) for name in names}


def own(info: Info, name: str) -> dict[str, Any] | None:
    """The vector's own quantization."""
    return params(info)[name].get("quantization_config") or None


def common(info: Info) -> dict[str, Any] | None:
    """The collection's quantization, for vectors without their own."""
    return info["config"].get("quantization_config") or None


def in_force(info: Info, name: str) -> dict[str, Any] | None:
    """The effective quantization of a vector."""
    return own(info, name) or common(info)


def native(info: Info, name: str) -> dict[str, Any]:
    """A vector's part of the configuration, as ``mapping.from_native`` reads it.

    ``on_disk: false`` is the default, written explicitly by many clients and by the undo of a
    change (a PATCH cannot restore null), so it does not imply a placement.
    """
    each = params(info)[name]
    found = {key: each.get(key) for key in ("memory", "on_disk", "datatype")}
    found["on_disk"] = found["on_disk"] or None
    return {**found, "quantization_config": in_force(info, name)}


def config_conflict(info: Info, name: str) -> str:
    """Why a vector is rebuilt endlessly; empty if it is not.

    Observed on 1.19.0: the indexing optimizer reads only ``on_disk``, whereas ``memory`` takes
    precedence when a segment is built, so each reverts the other.
    """
    each = params(info)[name]
    if each.get("on_disk") is not True or each.get("memory") in (None, "cold"):
        return ""
    return (
        f"on_disk: true and memory: {each['memory']} contradict each other, and the server "
        "rebuilds the segments endlessly"
    )


def maps_large_segments(info: Info) -> bool:
    """Whether ``memmap_threshold`` puts the original vectors of large segments on disk."""
    found = (info["config"].get("optimizer_config") or {}).get("memmap_threshold")
    return bool(found)


def threshold(info: Info) -> int:
    """KB of vectors from which a segment is indexed; 0 disables indexing."""
    found = (info["config"].get("optimizer_config") or {}).get("indexing_threshold")
    return THRESHOLD if found is None else int(found)


def metadata(info: Info) -> dict[str, Any]:
    """The collection's metadata (since 1.16)."""
    return dict(info["config"].get("metadata") or {})


def settings(info: Info) -> dict[str, Any]:
    """The configuration that a plan is based on: without nulls and without metadata."""
    kept = {key: value for key, value in info["config"].items() if key != "metadata"}
    found: dict[str, Any] = without_nulls(kept)
    return found


def differences(body: Mapping[str, Any], info: Info) -> list[str]:
    """The differences between the collection and the ``body`` of a PATCH or a creation.

    Each line names the field. Empty if nothing differs, so that nothing needs to be sent.
    """
    return list(_differences(body, info))


def _differences(body: Mapping[str, Any], info: Info) -> Iterator[str]:
    for key, wanted in body.items():
        if key == "quantization_config":
            yield from _codes(key, wanted, common(info))
        elif key == "vectors":
            there = params(info)
            for name, part in wanted.items():
                yield from _vector(name, part, there.get(name, {}))
        elif key == "sparse_vectors":
            kept = info["config"]["params"].get(key) or {}
            for name, part in wanted.items():
                yield from _sparse(name, part, kept.get(name))
        elif key == "optimizers_config":
            yield from _fields(key, wanted, info["config"].get("optimizer_config") or {})
        elif key == "hnsw_config":
            yield from _fields(key, wanted, info["config"].get("hnsw_config") or {})
        else:
            yield from _fields(key, {key: wanted}, {key: info["config"].get(key)})


def param_differences(wanted: Mapping[str, Any], info: Info) -> list[str]:
    """The differences of the collection parameters other than vectors."""
    kept = info["config"]["params"]
    rest = {key: each for key, each in wanted.items() if key not in ("vectors", "sparse_vectors")}
    return list(_fields("params", rest, kept))


def _vector(name: str, part: Mapping[str, Any], there: Mapping[str, Any]) -> Iterator[str]:
    for key, wanted in part.items():
        field = f"vectors.{name}.{key}" if name else f"vectors.{key}"
        if key == "quantization_config":
            yield from _codes(field, wanted, there.get(key) or None)
        elif wanted == "float32" and there.get(key) is None:
            continue
        elif not same_value(wanted, there.get(key)):
            yield f"{field}: sent {wanted!r}, stored {there.get(key)!r}"


def _sparse(name: str, part: Mapping[str, Any], kept: Mapping[str, Any] | None) -> Iterator[str]:
    if kept is None:
        yield f"sparse_vectors.{name}: sent, not stored"
        return
    flat, there = ({**(each.get("index") or {}), **each} for each in (part, kept))
    sent = {key: value for key, value in flat.items() if key != "index"}
    yield from _fields(f"sparse_vectors.{name}", sent, there)


def _codes(field: str, wanted: Any, kept: Mapping[str, Any] | None) -> Iterator[str]:
    if wanted == DISABLED or not wanted:
        if kept:
            yield f"{field}: sent {wanted!r}, stored {dict(kept)!r}"
        return
    if same_config(wanted, kept):
        return
    if kept and set(kept) == set(wanted) and _alike(wanted, kept):
        return  # a server that writes its defaults explicitly
    lines = []
    for kind, fields in wanted.items():
        there = (kept or {}).get(kind)
        if there is None:
            lines.append(f"{field}.{kind}: sent, stored {kept!r}")
        else:
            lines += _fields(f"{field}.{kind}", fields or {}, there)
    yield from lines or [f"{field}: sent {wanted!r}, stored{kept!r}"]


def _alike(wanted: Mapping[str, Any], kept: Mapping[str, Any]) -> bool:
    left, right = ({"quantization_config": each} for each in (wanted, kept))
    return from_native(left) == from_native(right)


def _fields(where: str, wanted: Mapping[str, Any], kept: Mapping[str, Any]) -> Iterator[str]:
    for key, value in wanted.items():
        if value is not None and not same_value(value, kept.get(key)):
            yield f"{where}.{key}: sent {value!r}, stored{kept.get(key)!r}"
