"""Rows of a file whose vectors are embeddings of a service."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from qadapt.errors import InputError
from qadapt.files.row_errors import RowErrors
from qadapt.files.survey import Source
from qadapt.migration.idset import IdSet
from qadapt.model import Batch, Id
from qadapt.model.embedding_kinds import PACKED, decoded


class DecodedRows:
    """Source that converts the lists of integers of another one to floats.

    Args:
        inner: source of the integers, as floats.
        kind: form of the vectors, see ``EmbeddingKind``.
    """

    def __init__(self, inner: Source, kind: str) -> None:
        self.inner = inner
        self._kind = kind
        self.path, self.rows = inner.path, inner.rows
        vectors = inner.head.vectors
        if kind in PACKED:
            vectors = {
                name: each.replace(dim=8 * each.dim, datatype="bit")
                for name, each in vectors.items()
            }
        self.head = inner.head.replace(vectors=vectors)

    def pages(self, page: int, row_errors: RowErrors, seen: IdSet | None = None) -> Iterator[Batch]:
        """Read the rows in pages; errors are collected."""
        for batch in self.inner.pages(page, row_errors, seen):
            vectors = {name: self._floats(name, x) for name, x in batch.vectors.items()}
            yield Batch(batch.ids, vectors, batch.payloads, batch.missing, batch.extras)

    def _floats(self, name: str, values: Any) -> Any:
        label = f"vector {name!r}" if name else "the vectors"
        whole = values.astype(np.int64)
        if (whole != values).any():
            raise InputError(
                f"{label} of {self.path} are not integers, as the kind {self._kind!r} requires",
                hint="import floats without a kind",
            )
        return decoded(whole, self._kind, what=f"{label} of {self.path}")

    def keys(self, page: int) -> Iterator[list[Id]]:
        """Read only the ids, in pages."""
        return self.inner.keys(page)
