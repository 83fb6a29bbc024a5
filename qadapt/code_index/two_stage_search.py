"""Two-stage search: candidates, rescoring, batches of queries, ids."""

from __future__ import annotations

import math
import numbers

import numpy as np

from qadapt.code_index.contents import Contents
from qadapt.code_index.estimate_codes import EstimateCodes
from qadapt.code_index.hits import CodeHits
from qadapt.code_index.stages import (
    Fetch,
    PairScorer,
    Scores,
    bit_scale,
    by_estimate,
    by_float_bits,
    by_hamming,
    by_int8,
    by_query_bits,
    query_step,
    rescore,
    rescore_originals,
)
from qadapt.codecs import bit_query
from qadapt.codecs.bitquery import QueryBits
from qadapt.codecs.folded import fold_rows
from qadapt.engines import Engine, NumpyEngine, get_engine
from qadapt.engines.base import PADDING_ROW, Mask, Rows
from qadapt.engines.registry import with_planes
from qadapt.errors import InputError, SpecError, UnsupportedError
from qadapt.model.arrays import Floats
from qadapt.model.metric import Metric
from qadapt.model.rescore import candidate_count

SOURCES = ("codes", "originals", "bits", "off")

_FLOAT_BITS: QueryBits = 32


def search(
    inside: Contents,
    queries: Floats,
    k: int,
    *,
    oversampling: float,
    wanted: int | None,
    source: str | None,
    fetch: Fetch | None,
    mask: Mask | None,
    engine: Engine | str | None,
) -> CodeHits:
    """Search with prepared queries; see ``CodeIndex.search`` for the arguments.

    Args:
        inside: contents of the index.
        queries: float32 (nq, dim), normalized under cosine.
        k: results per query.
        oversampling: candidates per result.
        wanted: number of candidates, instead of ``oversampling``.
        source: data for rescoring, or None.
        fetch: returns original vectors.
        mask: bool (all rows,) or None.
        engine: engine for Hamming distances.
    """
    if isinstance(k, bool) or not isinstance(k, numbers.Integral) or k < 1:
        raise InputError(f"k must be an integer of at least 1; got {k!r}", hint="for example k=10")
    k = int(k)
    source = _source(inside, source, fetch)
    scanner = _engine(inside, engine, len(queries))
    candidates = k if source == "off" else _candidates(k, oversampling, wanted)
    there = inside.rows.total if mask is None else int(np.count_nonzero(mask))
    candidates = min(candidates, there)
    originals = fetch if source == "originals" else None

    def both(some: Floats) -> tuple[Rows, Scores]:
        found = _first(inside, some, candidates, mask, scanner)
        if source == "off":
            return found
        return _second(inside, some, found[0], k, source, originals)

    step = query_step(candidates, queries.shape[1], originals=originals is not None)
    if k <= candidates and 0 < len(queries) <= step:
        rows, scores = both(queries)
    else:
        rows = np.full((len(queries), k), PADDING_ROW, dtype=np.int64)
        scores = np.full((len(queries), k), np.nan, dtype=np.float32)
        for start in range(0, len(queries) if candidates else 0, step):
            some = slice(start, start + step)
            found, points = both(queries[some])
            rows[some, : found.shape[1]], scores[some, : found.shape[1]] = found, points
    if inside.settings.metric is Metric.COSINE:
        np.minimum(scores, 1, out=scores)  # NaN padding is preserved
        np.maximum(scores, -1, out=scores)
    ids = np.empty(rows.shape, dtype=object)
    ids.ravel()[:] = inside.rows.at(rows)
    return CodeHits(
        ids=ids,
        scores=scores,
        candidates=0 if source == "off" else candidates,
        rescored_on="nothing" if source == "off" else source,
        scores_kind="exact" if source == "originals" else "approximate",
        searcher=_searcher(inside, scanner),
    )


def _source(inside: Contents, source: str | None, fetch: Fetch | None) -> str:
    """Resolve the data for rescoring.

    Raises:
        SpecError: the source is unknown, or this index does not have it.
    """
    binary = inside.bits is not None
    if source is None:
        kept = "codes" if inside.int8 is not None else "bits"
        source = kept if fetch is None else "originals"
    if source not in SOURCES:
        raise SpecError.unknown("source", source, SOURCES)
    if source == "originals" and fetch is None:
        raise SpecError(
            "rescoring with original vectors requires fetch", hint="pass fetch=, or source='codes'"
        )
    if source == "codes" and inside.int8 is None:
        raise SpecError(
            "this index has no int8 codes for rescoring",
            hint="create it with rescore_codes='int8', or pass source='originals' or 'bits'",
        )
    if source == "bits" and not binary:
        raise SpecError("an int8 index has no sign bits", hint="pass source='codes'")
    return "off" if source == "codes" and not binary else source


def _candidates(k: int, oversampling: float, wanted: int | None) -> int:
    """Number of candidates, after a check of the arguments.

    Raises:
        SpecError: not a number of at least 1.
    """
    whole = isinstance(wanted, numbers.Integral) and not isinstance(wanted, bool)
    if wanted is not None and (not whole or wanted < 1):
        raise SpecError(
            f"candidates must be an integer of at least 1; got {wanted!r}",
            hint="for example candidates=200",
        )
    good = isinstance(oversampling, numbers.Real) and not isinstance(oversampling, bool)
    if not good or not math.isfinite(oversampling) or oversampling < 1:
        raise SpecError(
            f"rescore must be a number of at least 1; got {oversampling!r}",
            hint="use source='off' for no rescoring",
        )
    return candidate_count(k, float(oversampling), wanted)


def _first(
    inside: Contents, queries: Floats, k: int, mask: Mask | None, engine: Engine
) -> tuple[Rows, Scores]:
    settings = inside.settings
    if inside.bits is None:
        assert inside.int8 is not None
        return by_int8(queries, _folded(inside, queries), inside.int8, k, mask)
    if inside.estimates is not None:
        query = inside.estimates.query(queries, kernel=engine.name == "numba")
        return by_estimate(query, inside.bits, k, mask)
    query_bits = settings.query_bits
    if query_bits == 1:
        return by_hamming(queries, inside.bits, k, mask, engine)
    if query_bits == 32:
        return by_float_bits(queries, inside.bits, k, mask, settings.metric)
    planes = with_planes(engine)
    return by_query_bits(queries, inside.bits, k, mask, query_bits, settings.metric, planes)


def _second(
    inside: Contents, queries: Floats, rows: Rows, k: int, source: str, fetch: Fetch | None
) -> tuple[Rows, Scores]:
    settings = inside.settings
    if fetch is not None:
        return rescore_originals(queries, rows, k, settings.metric, inside.rows.at, fetch)
    if source == "bits":
        assert inside.bits is not None
        if inside.estimates is not None:
            query = inside.estimates.query
            return rescore(
                rows, settings.dim, k, lambda some: query(queries[some]), inside.bits.take
            )
        rows, scores = rescore(
            rows, settings.dim, k, lambda some: bit_query(queries[some], _FLOAT_BITS),
            inside.bits.take,
        )  # fmt: skip
        return rows, scores * bit_scale(settings.metric, settings.dim)
    assert inside.int8 is not None
    return rescore(
        rows, settings.dim, k, lambda some: _folded(inside, queries[some]), inside.int8.take
    )


def _folded(inside: Contents, queries: Floats) -> PairScorer:
    assert inside.calibration is not None
    wide = queries.astype(np.float64)
    folded: PairScorer = fold_rows(wide, inside.calibration, inside.settings.metric.value)
    return folded


def _engine(inside: Contents, engine: Engine | str | None, queries: int) -> Engine:
    """The engine of the first stage.

    Raises:
        SpecError, MissingExtraError, UnsupportedError: see ``get_engine``; or an engine that does
            not scan rotational and scalar codes.
    """
    if inside.estimates is not None:
        return _estimate_engine(inside, inside.estimates, engine, queries)
    query_bits = inside.settings.query_bits
    planes = query_bits in (4, 8)
    if engine is not None and not isinstance(engine, str):
        return with_planes(engine) if planes else engine
    words = 0 if inside.bits is None or query_bits == 32 else inside.bits.nbytes // 8
    return get_engine(engine, planes=planes, work=words * queries * query_bits)


def _estimate_engine(
    inside: Contents, estimates: EstimateCodes, engine: Engine | str | None, queries: int
) -> Engine:
    """numba or numpy."""
    assert inside.bits is not None
    settings = inside.settings
    if engine is None:
        if not estimates.kernel_pays(queries):
            return NumpyEngine()
        work = inside.bits.nbytes // 8 * queries * settings.query_bits
        return get_engine(planes=True, work=work)
    found = get_engine(engine) if isinstance(engine, str) else engine
    if found.name not in ("numpy", "numba"):
        raise UnsupportedError(
            f"the engine {found.name!r} does not scan {settings.codes} codes",
            hint="omit engine=, or pass engine='numba' or engine='numpy'",
        )
    return found


def _searcher(inside: Contents, engine: Engine) -> str:
    query_bits = inside.settings.query_bits
    if inside.bits is None:
        return f"numpy {np.__version__}:int8"
    if inside.estimates is not None:
        return f"{engine.name} {engine.version}:{inside.settings.codes}{inside.settings.bits}"
    if query_bits == 1:
        return f"{engine.name} {engine.version}:hamming"
    if query_bits == 32:
        return f"numpy {np.__version__}:bits32"
    return f"{engine.name} {engine.version}:bits{query_bits}"
