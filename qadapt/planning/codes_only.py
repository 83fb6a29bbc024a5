"""Plans that keep codes only (``originals="none"``): the codes replace the original vectors."""

from __future__ import annotations

from qadapt.errors import UnsupportedError
from qadapt.model import Kind, Quantization, VectorInfo
from qadapt.model.vector import Datatype
from qadapt.stores.base import Store, require_supported

LOST = (
    "irreversible: the copy keeps {} and no original vectors. Exact values, exact scores and "
    "rescoring are lost, and a later change has only these vectors. The originals remain in the "
    "former collection, which an undo needs, until you drop it; export them first "
    "(`qadapt export`), because `verify` needs them as --truth FILE to measure the loss"
)


LOST_IN_PLACE = (
    "irreversible: the column keeps {} and no original vectors, and nothing has a copy of them. "
    "Another change of the type does not restore the rounded values; export them first "
    "(`qadapt export`), because `verify` needs them as --truth FILE to measure the loss"
)


def datatype_of(store: Store, now: VectorInfo, wanted: Quantization) -> Datatype | None:
    """The datatype of the codes; None if the original vectors are kept.

    Raises:
        UnsupportedError: the database keeps the original vectors of this quantization.
    """
    if wanted.originals != "none":
        return None
    mapped = require_supported(store.map(wanted, now.vector), wanted, store.name)
    if now.quantized_by == "qadapt":
        raise UnsupportedError(
            f"{wanted} replaces the original vectors, and client-side codes need them",
            hint=f"plan `none` first, then {wanted}",
        )
    return mapped.datatype


def stored(wanted: Quantization) -> Quantization:
    """The quantization besides the datatype: none if the datatype holds the codes."""
    if wanted.originals != "none":
        return wanted
    return Quantization(Kind.NONE, dims=wanted.dims)


def notes(
    store: Store, now: VectorInfo, wanted: Quantization, datatype: str | None
) -> tuple[str, ...]:
    """What is lost, for a plan that replaces the original vectors."""
    if datatype is None or datatype == now.datatype:
        return ()
    words = f"{wanted.bits:g}-bit codes" if wanted.bits else "values"
    lost = LOST if store.traits.aliases else LOST_IN_PLACE
    return (lost.format(f"{words} (datatype {datatype})"),)
