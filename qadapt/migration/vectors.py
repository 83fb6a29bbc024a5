"""Planning the dense vectors of a target: datatype, quantization and missing vectors."""

from __future__ import annotations

from collections.abc import Mapping

from qadapt.errors import UnsupportedError
from qadapt.local import client_codes
from qadapt.local.settings import read_settings
from qadapt.migration.endpoint import Endpoint
from qadapt.migration.nearest import NONE, map_quantization
from qadapt.migration.options import Options
from qadapt.migration.plan import Comparison, VectorPlan, vector_label
from qadapt.model import (
    CollectionInfo,
    ExtraVector,
    Kind,
    Match,
    Metric,
    Quantization,
    Vector,
    VectorInfo,
)
from qadapt.stores.base import Store, require_supported

LOSSY: Mapping[str, Comparison] = {"turbo4": "turbo4", "turbo8": "turbo8", "turbo16": "turbo16"}


def plan_vectors(
    source: Endpoint, target: Endpoint, info: CollectionInfo, options: Options
) -> dict[str, VectorPlan]:
    """The dense vectors of the target.

    Raises:
        UnsupportedError: the source has no vector that can be copied, or the target cannot store
            its vectors.
    """
    uncopied = non_dense_vectors(source)
    copied = {name: each for name, each in info.vectors.items() if name not in uncopied}
    if not copied and not source.schema().extras:
        empty = ", ".join(map(repr, info.unknown_dimensions))
        raise UnsupportedError(
            f"{source.name!r} has no vector that qadapt can copy"
            + (f"; no row has {empty}" if empty else ""),
            hint=f"list its vectors: qadapt inspect '{source}'",
        )
    made = {name: _target_vector(target.store, each, options) for name, each in copied.items()}
    problem = target.store.unsupported_vectors(made)
    if problem is not None:
        what = ", ".join(map(vector_label, made)) or "a collection without a dense vector"
        raise UnsupportedError(
            f"the target cannot store {what}: {problem}",
            hint=_through_a_file(source, target)
            if takes_unnamed_only(target.store, made)
            else "choose another target, or upgrade its server",
        )
    return {
        name: _plan_vector(source, target.store, each, made[name], options)
        for name, each in copied.items()
    }


def takes_unnamed_only(store: Store, vectors: Mapping[str, Vector]) -> bool:
    """Whether the store rejects these vectors for their names alone, and would take each of them
    as the only vector of a collection."""
    return all(name and not store.unsupported_vectors({"": each}) for name, each in vectors.items())


def _through_a_file(source: Endpoint, target: Endpoint) -> str:
    return (
        f"copy each vector through a file: qadapt export '{source}' FILE.parquet, then "
        f"qadapt import FILE.parquet '{target}' --vectors '=vector:NAME'"
    )


def _target_vector(store: Store, now: VectorInfo, options: Options) -> Vector:
    """The target's vector: with the source's datatype if supported, else float32."""
    asked = options.quantization_of(now.name)
    if asked is not None:
        if asked.dims is not None and asked.dims > now.dim:
            raise UnsupportedError(
                f"dims={asked.dims} keeps more dimensions than {vector_label(now.name)} has "
                f"({now.dim})",
                hint=f"use dims of at most {now.dim}",
            )
        now = now.replace(dim=asked.kept_dims(now.dim))
        if asked.originals == "none":
            mapped = require_supported(store.map(asked, now.vector), asked, store.name)
            return now.vector.replace(datatype=mapped.datatype or now.datatype)
    wanted = options.datatype
    if wanted is None and now.datatype in ("float16", "uint8", "bit"):
        same = Vector(now.dim, now.metric, now.datatype)
        return (
            same
            if store.unsupported_vectors({now.name: same}) is None
            else same.replace(datatype="float32")
        )
    return Vector(now.dim, now.metric, wanted or "float32")


def _plan_vector(
    source: Endpoint, store: Store, now: VectorInfo, made: Vector, options: Options
) -> VectorPlan:
    current = now.quantization.replace(rescore=None, dims=None)
    requested = options.quantization_of(now.name)
    if requested is None and source.store.name != store.name:
        # The source's native fields have no meaning in another store.
        current = current.replace(native={})
    asked, becomes, match = _quantization(
        store, current if requested is None else requested, made, now, requested is not None
    )
    settings = read_settings(source.store, source.name).of(now.name)
    return VectorPlan(
        source=now.vector,
        target=made,
        count=now.count,
        source_quantization=now.quantization,
        requested_quantization=asked,
        target_quantization=becomes,
        match=match,
        comparison=comparison_of(store, made),
        quantized_by=now.quantized_by if requested is None else "store",
        rescore=settings.rescore if requested is None else requested.rescore,
        full_dim=settings.full_dim or (now.dim if made.dim < now.dim else None),
    )


def comparison_of(store: Store, vector: Vector | ExtraVector) -> Comparison:
    """How values of a dense vector or a multivector are compared with the source's."""
    if vector.datatype == "float16":
        return "float16"
    if vector.datatype == "bfloat16":
        return "bfloat16"
    if vector.datatype == "uint8":
        return "uint8"
    lossy = LOSSY.get(vector.datatype)
    if lossy is not None:
        return lossy
    if store.traits.normalizes_cosine and vector.metric is Metric.COSINE:
        return "normalized"
    if store.traits.rounds_cosine and vector.metric is Metric.COSINE:
        return "rounded"
    return "exact"


# -- quantization --------------------------------------------------------------------------------


def _quantization(
    store: Store, wanted: Quantization, made: Vector, now: VectorInfo, requested: bool
) -> tuple[Quantization, Quantization, Match]:
    bare = wanted.replace(rescore=None, dims=None)
    if bare.kind is Kind.FLOAT16 and now.datatype == "float16":
        # The datatype of the source's vector, which is copied as a datatype.
        return NONE, NONE, Match.of()
    if bare.kind is Kind.NONE or bare.originals == "none":  # the datatype holds the codes
        return NONE, NONE, Match.of()
    if now.quantized_by == "qadapt":
        return bare, bare, client_codes.match(bare)
    return map_quantization(store, bare, made, requested=requested)


# -- vectors that rows lack ----------------------------------------------------------------------


def non_dense_vectors(source: Endpoint) -> set[str]:
    """Names of the source's vectors that are not dense, or that qadapt does not copy."""
    multivectors = source.store.uncopied(source.name).get("multivectors", "")
    return {name for name in multivectors.split(", ") if name} | set(source.schema().extras)


def refuse_unmeasured(source: Endpoint, info: CollectionInfo, empty: Mapping[str, int]) -> None:
    """Refuse to copy while it is unknown whether rows have a vector of the schema.

    Args:
        empty: vectors that no row has, as returned by ``Store.measure_dimensions`` just before.

    Raises:
        UnsupportedError
    """
    unknown = [name for name in info.unknown_dimensions if name not in empty]
    if unknown:
        names = ", ".join(map(repr, unknown))
        raise UnsupportedError(
            f"the dimension of {names} of {source.name!r} is unknown, because not all rows were "
            "read: a copy would lose the vector of rows that have it",
            hint="plan again; rows may have been deleted while they were read",
        )


def empty_vector_notes(empty: Mapping[str, int]) -> list[str]:
    """Notes on vectors that no row has."""
    return [
        f"{vector_label(name)} is empty (none of {rows:,} rows has it) and is not created in the "
        "target"
        for name, rows in empty.items()
    ]
