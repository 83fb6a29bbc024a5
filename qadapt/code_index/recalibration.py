"""New ranges for the int8 codes of an index."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from qadapt.code_index.contents import Contents
from qadapt.code_index.int8_rows import Int8Rows
from qadapt.code_index.rows import Id, shown
from qadapt.code_index.storage import file_name
from qadapt.code_index.vector_blocks import block_rows, check, prepared
from qadapt.codecs import Calibration, dequantize, quantize
from qadapt.errors import CalibrationError, InputError, NotFoundError, SpecError
from qadapt.model.arrays import Floats, as_matrix

Fetch = Callable[[list[Id]], Any]


def recalibrate(
    folder: Path, inside: Contents, fetch: Fetch | None, calibration: Calibration | None
) -> None:
    """Encode all live rows again; see ``CodeIndex.recalibrate``."""
    if inside.int8 is None:
        raise SpecError(
            "this index has no int8 codes", hint="only int8 codes have ranges; nothing to do"
        )
    if calibration is not None:
        inside.settings.fits(calibration)
    elif fetch is not None:
        calibration = Calibration.from_stream(_fetched(inside, fetch), source="all vectors")
    else:
        calibration = None if inside.watch is None else inside.watch.widened()
    if calibration is None:
        raise CalibrationError(
            "no vector that was added since the index was opened is outside of the ranges",
            hint="pass fetch= to measure the ranges of the original vectors, or calibration=",
        )
    blocks = _decoded(inside) if fetch is None else _fetched(inside, fetch)
    made = Int8Rows(inside.settings.dim)
    made.begin(folder / file_name("rows", inside.next_generation()))
    try:
        for block in blocks:
            made.append(quantize(block, "int8", calibration=calibration))
    except BaseException:
        made.close()
        raise
    inside.replace_int8(made, calibration)


def _decoded(inside: Contents) -> Iterator[Floats]:
    """Vectors of the codes of live rows, in blocks."""
    assert inside.int8 is not None
    assert inside.calibration is not None
    alive = inside.rows.live_mask()
    first = 0
    for codes in inside.int8.blocks(block_rows(inside.settings.dim)):
        own = codes if alive is None else codes[alive[first : first + len(codes)]]
        first += len(codes)
        yield dequantize(own, inside.calibration)


def _fetched(inside: Contents, fetch: Fetch) -> Iterator[Floats]:
    """Original vectors of live rows, prepared for encoding, in blocks."""
    ids = inside.rows.column()
    settings = inside.settings
    step = block_rows(settings.dim)
    for start in range(0, len(ids), step):
        some = ids.take(np.arange(start, min(start + step, len(ids)))).tolist()
        got = fetch(list(some))
        if isinstance(got, Mapping):
            _refuse_missing([one for one in some if one not in got])
            got = [got[one] for one in some]
        vectors = as_matrix(got, what="fetched vectors", dim=settings.dim)
        if len(vectors) != len(some):
            raise InputError(
                f"fetch returned {len(vectors)} vectors for {len(some)} ids",
                hint="return one row per id in the order of the request, or a mapping",
            )
        absent = np.flatnonzero(np.isnan(vectors).all(axis=1))
        _refuse_missing([some[at] for at in absent.tolist()])
        check(vectors, settings.metric, what="fetched vectors")
        yield prepared(vectors, settings.metric)


def _refuse_missing(ids: list[Id]) -> None:
    if ids:
        raise NotFoundError(
            f"no original vectors for {len(ids)} ids: {shown(ids)}",
            hint="delete these ids from the index if they no longer exist; nothing was changed",
        )
