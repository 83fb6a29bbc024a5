"""Plans that keep the first dimensions of vectors (``dims=``)."""

from __future__ import annotations

from qadapt.errors import UnsupportedError
from qadapt.local.client_operations import RememberDims
from qadapt.local.settings import read_settings
from qadapt.model import Kind, Quantization, Step, Strategy, Symbol, Vector, VectorInfo
from qadapt.stores.base import Store
from qadapt.stores.leading_dims import too_many

RESCORE_CUT = (
    "{} has nothing to rescore with: the copy holds the first {:,} dimensions only, without codes"
)


def target_dim(store: Store, now: VectorInfo, wanted: Quantization) -> int:
    """Dimensions after the change.

    Raises:
        UnsupportedError: more than the vectors have.
    """
    if wanted.dims is not None and wanted.dims > now.dim:
        match = too_many(wanted.dims, now.dim)
        raise UnsupportedError(match.differences[0], hint=f"use {match.support[0]}")
    return now.dim if store.traits.shortens_codes else wanted.kept_dims(now.dim)


def strategy(store: Store, now: VectorInfo, target: Vector | None) -> Strategy | None:
    """The strategy of fewer dimensions in a store that adds vectors and has no aliases.

    None if the store decides.
    """
    narrower = target is not None and target.replace(dim=now.dim) == now.vector
    return "vector" if narrower and store.traits.keeps_full_vectors else None


def check(
    store: Store, collection: str, now: VectorInfo, wanted: Quantization, target: Vector | None
) -> None:
    """Refuse fewer dimensions or codes only if there is no alias to switch to a copy.

    Raises:
        UnsupportedError: the hint is the command that copies to a new collection; or nothing is
            left to rescore, because the vectors are cut and have no codes.
    """
    rescores = wanted.rescore is not None and wanted.rescore.on
    if rescores and wanted.kind is Kind.NONE and not store.traits.shortens_codes:
        raise UnsupportedError(
            RESCORE_CUT.format(wanted, wanted.kept_dims(now.dim)),
            hint=f"leave out rescore: {wanted.replace(rescore=None)}",
        )
    if target is None or (target.dim == now.dim and wanted.originals != "none"):
        return
    if store.traits.recreates:
        return
    raise UnsupportedError(
        f"dimensions and datatype are fixed at creation, and {store.name} has no aliases to switch "
        f"from {collection!r} to a copy",
        hint="copy to a new collection, and search that: qadapt migrate "
        f"'{store.address}#{collection}' '{store.address}#{collection}_{_suffix(now, target)}' "
        f"--quantize '{wanted.replace(rescore=None)}'",
    )


def _suffix(now: VectorInfo, target: Vector) -> str:
    return target.datatype if target.dim == now.dim else str(target.dim)


def remember(
    store: Store, collection: str, now: VectorInfo, dim: int, new: str | None = None
) -> Step:
    """Step that records the dimensions of the model, so that queries of that width are cut.

    Args:
        new: the vector that is added with fewer dimensions; None if the vector itself is cut.
    """
    former = read_settings(store, collection).of(now.name).full_dim
    full = now.dim if former is None or new is not None else former
    cut = f"qadapt cuts queries of {full:,} dimensions; other clients must send {dim:,}"
    if new is None:
        done, undone = RememberDims(now.name, full), RememberDims(now.name, former)
    else:
        done, undone = RememberDims(new, full, now.name), RememberDims(new, None)
        cut += f"; with rescore=, qadapt rescores with {_label(now.name)}"
    return Step(
        Symbol.CLIENT,
        f"record that {dim:,} of {full:,} dimensions are kept",
        cut,
        done.to_request(),
        undone.to_request(),
    )


def _label(vector: str) -> str:
    return f"the vector {vector!r}" if vector else "the unnamed vector"


def notes(now: VectorInfo, target: Vector | None, new: str | None = None) -> tuple[str, ...]:
    """What fewer dimensions mean for searches."""
    if target is None or target.dim == now.dim:
        return ()
    if new is not None:
        return (
            f"the vector {new!r} holds the first {target.dim:,} of {now.dim:,} dimensions; queries "
            f"with {now.dim:,} dimensions are rescored by qadapt, which fetches "
            f"{_label(now.name)} of the candidates",
        )
    return (
        f"the copy holds the first {target.dim:,} of {now.dim:,} dimensions: rescoring and exact "
        "searches of the copy compare these, and only the former collection has the others",
    )
