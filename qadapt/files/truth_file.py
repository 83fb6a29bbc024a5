"""Vectors of a file as ground truth of a measurement."""

from __future__ import annotations

import os
from pathlib import Path

from qadapt.errors import InputError, SpecError
from qadapt.evaluation.ground_truth import refuse_bytes
from qadapt.evaluation.outside_truth import OutsideVectors
from qadapt.files.arrays import Arrays
from qadapt.files.decoded_rows import DecodedRows
from qadapt.files.layout import ColumnChoice
from qadapt.files.parquet_reader import Parquet
from qadapt.files.row_errors import RowErrors
from qadapt.files.survey import Source
from qadapt.model import Batch
from qadapt.model.npy import open_npy

PAGE = 8_192
TYPES = (".npy", ".fvecs", ".parquet")


def read_truth(path: str | os.PathLike[str], name: str, kind: str | None = None) -> OutsideVectors:
    """Read the vectors of ``FILE.npy`` (ids in ``FILE.npy.ids``), ``.fvecs`` or ``.parquet``.

    They are kept in memory as float32.

    Args:
        name: the vector to read if the file has several.
        kind: form of the vectors, see ``EmbeddingKind``; None for floats.

    Raises:
        InputError: the file does not exist, has no rows, has several other vectors, or bytes that
            may be packed bits.
        SpecError: another type of file.
        MissingExtraError: pyarrow is not installed.
    """
    file = Path(path)
    if file.suffix not in TYPES:
        raise SpecError.unknown("file type", file.suffix or str(file), TYPES)
    if not file.is_file():
        raise InputError(f"the file {str(file)!r} does not exist", hint="check the name")
    source: Source
    if file.suffix == ".parquet":
        source = parquet = Parquet(file, ColumnChoice(None, None, False))
        if kind is None:
            parquet.require_floats()
        else:
            source = DecodedRows(parquet, kind)
    else:
        if kind is None and file.suffix == ".npy":
            refuse_bytes(file, open_npy(file))
        source = Arrays(file, kind)
    there = source.head.vectors
    if name not in there and len(there) != 1:
        raise InputError(
            f"{file} has the vectors {', '.join(map(repr, there))}, not {name!r}",
            hint="pass a file with one column of vectors",
        )
    wanted = name if name in there else next(iter(there))
    errors = RowErrors()
    pages = [Batch(page.ids, {"": page.vectors[wanted]}) for page in source.pages(PAGE, errors)]
    errors.refuse(file)
    if not pages:
        raise InputError(f"{file} has no rows", hint="pass a file with vectors")
    return OutsideVectors(Batch.concat(pages), str(file))
