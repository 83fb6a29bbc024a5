"""Codes of embedding services, given instead of vectors."""

from __future__ import annotations

from typing import Any

import numpy as np

from qadapt.code_index.contents import Contents
from qadapt.code_index.id_column import IdColumn
from qadapt.code_index.rows import shown
from qadapt.code_index.settings import Settings
from qadapt.errors import InputError, SpecError
from qadapt.model.embedding_kinds import PACKED, Packed, checked_kind, decoded, packed_bits


def given_codes(
    settings: Settings, vectors: Any, codes: Any, kind: str | None
) -> tuple[Any, Packed | None]:
    """Vectors, or packed bits, of the arguments of ``CodeIndex.add``.

    Raises:
        InputError: vectors and codes, or codes without a kind.
        SpecError: unknown kind, or packed bits for an index that needs vectors.
    """
    if codes is None or kind is None or vectors is not None:
        raise InputError(
            "codes and kind must be given together, and instead of X",
            hint="for example add(ids, codes=array, kind='ubinary')",
        )
    if checked_kind(kind) not in PACKED:
        return decoded(codes, kind), None
    if settings.codes in ("rotational", "scalar"):
        raise SpecError(
            f"this index keeps {settings.codes} codes, which cannot be made from sign bits",
            hint="create it with codes='binary', or add the vectors",
        )
    if "int8" in settings.row_bytes():
        raise SpecError(
            "this index keeps int8 codes, which cannot be made from sign bits",
            hint="create it with rescore_codes=None, or add the vectors",
        )
    return None, packed_bits(codes, kind, dim=settings.dim)


def refuse_known(inside: Contents, names: IdColumn) -> None:
    """Raise an error for ids that the index has.

    Raises:
        InputError
    """
    there = names.take(np.flatnonzero(inside.rows.places(names) >= 0)).tolist()
    if there:
        raise InputError(
            f"{len(there)} of {len(names)} ids already exist in the index: {shown(there)}",
            hint="use upsert to replace them; nothing was added",
        )
