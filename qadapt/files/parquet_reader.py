"""Reading of Parquet files of qadapt and of other programs, in pages.

Vectors are processed as Arrow and numpy arrays. Errors of rows are collected (``row_errors``);
errors of the file are raised.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qadapt.errors import InputError, IntegrityError, SpecError
from qadapt.files import checksum, extra_vectors, id_and_vector_columns
from qadapt.files.layout import PAYLOAD, ColumnChoice, Layout, is_document, layout_of
from qadapt.files.parquet_writer import META, Head, pyarrow
from qadapt.files.payload_values import Rows, entries, is_text, plain
from qadapt.files.row_errors import RowErrors
from qadapt.migration.idset import IdSet
from qadapt.model import Batch, ExtraVector, Id, Vector
from qadapt.model.embedding_kinds import unclear_bytes

BUFFER = 1 << 20  # bytes of a column that are read at once, independent of the size of row groups


class Parquet:
    """Parquet file to import.

    Args:
        missing_vectors: accept rows without a vector; always accepted in a file of qadapt.

    Raises:
        InputError: not a Parquet file, or its columns are ambiguous.
        IntegrityError: a file written by qadapt is damaged.
        MissingExtraError: pyarrow is not installed.
    """

    def __init__(self, path: Path, asked: ColumnChoice, *, missing_vectors: bool = False) -> None:
        self.path = path
        self._arrow = pyarrow()
        checksum.check(path)
        with self._opened() as file:
            with self._reported():
                schema = file.schema_arrow
            self.rows = int(file.metadata.num_rows)
            known = self._known(schema)
            self.ours = known is not None
            self._gaps = missing_vectors or self.ours
            more = known.extras if known is not None else self._guessed_extras(schema)
            self._documents = self._has_documents(file, schema)
            self.layout: Layout = layout_of(
                self._arrow, path, schema, asked, known.vectors if known is not None else (), more,
                ours=self.ours, document=self._documents,
            )  # fmt: skip
            self._json_ids = known is not None and known.ids == "json" and asked.id is None
            dims = {name: self._dim(file, schema, column)
                    for name, column in self.layout.vectors.items()}  # fmt: skip
        self.head = self._head(known, dims, more)
        self._types = {name: self._number_type(schema, name) for name in dims}

    # -- schema --------------------------------------------------------------------------------

    def _known(self, schema: Any) -> Head | None:
        """Read the metadata of a file of qadapt."""
        raw = (schema.metadata or {}).get(META)
        if raw is None:
            return None
        try:
            return Head.from_json(raw)
        except SpecError as error:
            raise IntegrityError(
                f"the metadata of {self.path} is damaged: {error}",
                hint="the file is damaged: copy or export it again",
            ) from error

    def _head(
        self, known: Head | None, dims: Mapping[str, int], more: Mapping[str, ExtraVector]
    ) -> Head:
        if known is None:
            vectors = {name: Vector(dim) for name, dim in dims.items()}
            return Head(self.path.stem, vectors, "int64", extras=more)
        reported = {name: known.vectors.get(name, Vector(dim)) for name, dim in dims.items()}
        for name, vector in reported.items():
            if vector.dim != dims[name]:
                raise IntegrityError(
                    f"the metadata of {self.path} and the column {self.layout.vectors[name]!r} "
                    f"differ: {vector.dim} and {dims[name]} dimensions",
                    hint="export the collection again",
                )
        return known.replace(vectors=reported)

    def _guessed_extras(self, schema: Any) -> dict[str, ExtraVector]:
        """Sparse vectors and multivectors of a file of qadapt that another program rewrote."""
        found = {}
        for field in schema:
            kind, _, name = field.name.partition(":")
            extra = extra_vectors.of_type(self._arrow, kind, field.type)
            if name and extra is not None:
                found[name] = extra
        return found

    def _has_documents(self, file: Any, schema: Any) -> bool:
        """Whether the column ``payload`` contains whole payloads (a struct or JSON objects)."""
        if PAYLOAD not in schema.names:
            return False
        kind = schema.field(PAYLOAD).type
        if self.ours or not is_document(self._arrow, kind):
            return self.ours
        if not is_text(self._arrow, kind):
            return True
        for batch in self._batches(file, [PAYLOAD], 1_000):
            for text in batch.column(PAYLOAD).to_pylist():
                if text:
                    return _object(text) is not None
        return False

    def _number_type(self, schema: Any, name: str) -> str:
        kind = schema.field(self.layout.vectors[name]).type
        return str(id_and_vector_columns.numbers_of(self._arrow, kind))

    def require_floats(self) -> None:
        """Refuse columns of bytes, which may be packed bits.

        Raises:
            InputError
        """
        for name, kind in self._types.items():
            if kind in ("int8", "uint8"):
                width = self.head.vectors[name].dim
                what = f"column {self.layout.vectors[name]!r} of {self.path} has lists of {kind}"
                raise unclear_bytes(f"{what} ({width} each)", kind, width)

    def _dim(self, file: Any, schema: Any, column: str) -> int:
        dim = id_and_vector_columns.dim_of(self._arrow, schema.field(column).type)
        if dim is None:
            for batch in self._batches(file, [column], 1_000):
                dim = id_and_vector_columns.first_length(self._arrow, batch.column(column))
                if dim is not None:
                    break
        if not dim:
            raise InputError(
                f"column {column!r} of {self.path} has no numbers, so its dimension is unknown",
                hint="add at least one row with a vector, or use fixed-size lists",
            )
        return dim

    # -- rows ------------------------------------------------------------------------------------

    def pages(self, page: int, row_errors: RowErrors, seen: IdSet | None = None) -> Iterator[Batch]:
        """Read the rows in pages; the values of invalid rows are undefined.

        Args:
            seen: collects the ids; duplicate ids are then not reported per page.
        """
        start = 0
        with self._opened() as file:
            for part in self._batches(file, self.layout.wanted, page):
                rows = np.arange(start, start + len(part), dtype=np.int64)
                start += len(part)
                yield self._batch(part, rows, row_errors, seen)
        if start != self.rows:
            raise IntegrityError(
                f"{self.path} declares {self.rows:,} rows, but has {start:,}",
                hint="the file is incomplete: copy or export it again",
            )

    def keys(self, page: int) -> Iterator[list[Id]]:
        """Read only the ids, in pages."""
        start = 0
        wanted = [] if self.layout.id is None else [self.layout.id]
        with self._opened() as file:
            for part in self._batches(file, wanted, page):
                rows = np.arange(start, start + len(part), dtype=np.int64)
                start += len(part)
                yield self._keys(part, rows, RowErrors())

    def _keys(self, part: Any, rows: Rows, row_errors: RowErrors) -> list[Id]:
        label = self.layout.id
        if label is None:
            return rows.tolist()  # type: ignore[no-any-return]
        array = part.column(label)
        return id_and_vector_columns.ids(
            self._arrow, array, label, rows, row_errors, json_text=self._json_ids
        )

    def _batch(self, part: Any, rows: Rows, row_errors: RowErrors, seen: IdSet | None) -> Batch:
        arrow, layout = self._arrow, self.layout
        keys = self._keys(part, rows, row_errors)
        vectors = {}
        missing: dict[str, npt.NDArray[np.bool_]] = {}
        for name, column in layout.vectors.items():
            dim = self.head.vectors[name].dim
            vectors[name], absent = id_and_vector_columns.vectors(
                arrow, part.column(column), dim, column, rows, row_errors
            )
            if absent.any():
                missing[name] = absent
                if not self._gaps:
                    row_errors.add(f"null in column {column!r}", rows[absent])
        more = {
            name: extra_vectors.from_arrow(part.column(column), self.head.extras[name])
            for name, column in layout.extras.items()
        }
        if seen is not None:
            seen.add(keys)
            keys = apart(keys)
        return Batch(keys, vectors, self._payloads(part, rows, row_errors), missing, more)

    def _payloads(self, part: Any, rows: Rows, row_errors: RowErrors) -> list[dict[str, Any]]:
        found = self._documents_of(part, rows, row_errors)
        for entry, column in self.layout.entries.items():
            values = entries(self._arrow, part.column(column), column, rows, row_errors)
            for row, payload, value in zip(rows.tolist(), found, values, strict=True):
                if value is None:
                    continue
                if entry in payload:
                    row_errors.add(f"the field {entry!r} in both 'payload' and {column!r}", [row])
                payload[entry] = value
        return found

    def _documents_of(self, part: Any, rows: Rows, row_errors: RowErrors) -> list[dict[str, Any]]:
        column = self.layout.document
        if column is None:
            return [{} for _ in range(len(part))]
        array = plain(self._arrow, part.column(column))
        if self._arrow.types.is_struct(array.type):
            made = entries(self._arrow, array, column, rows, row_errors)
            return [{key: value for key, value in (each or {}).items() if value is not None}
                    for each in made]  # fmt: skip
        found = []
        for row, text in zip(rows.tolist(), array.to_pylist(), strict=True):
            payload = _object(text) if text else {}
            if payload is None:
                row_errors.add(f"not a JSON object in column {column!r}", [row])
            found.append(payload or {})
        return found

    # -- the file --------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _opened(self) -> Iterator[Any]:
        with self._reported():
            file = self._arrow.parquet.ParquetFile(
                self.path, page_checksum_verification=True, buffer_size=BUFFER
            )
        with file:
            yield file

    def _batches(self, file: Any, wanted: Sequence[str], page: int) -> Iterator[Any]:
        """Read batches with these columns, and possibly others.

        pyarrow treats a name as the prefix of a path, so ``payload`` also selects
        ``payload.title``; callers select a column by its exact name.
        """
        batches = file.iter_batches(batch_size=page, columns=list(wanted))
        while True:
            with self._reported():
                batch = next(batches, None)
                if batch is None:
                    return
                batch.validate(full=True)
            yield batch

    @contextlib.contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError, self._arrow.ArrowException) as error:
            raise InputError(
                f"cannot read {self.path} as Parquet: {error}",
                hint="it is damaged, or not a Parquet file; nothing was written",
            ) from error


def _object(text: Any) -> dict[str, Any] | None:
    """Parse a JSON object; None for any other text."""
    try:
        found = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def apart(keys: Sequence[Any]) -> list[Any]:
    """Make duplicate ids unique, so that the page can be checked; it is not written."""
    if len(set(keys)) == len(keys):
        return list(keys)
    seen: set[Any] = set()
    made = []
    for key in keys:
        while key in seen:
            key = f"{key}'"
        seen.add(key)
        made.append(key)
    return made
