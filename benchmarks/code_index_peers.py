"""Searches of other libraries that ``benchmarks/code_index.py`` compares; each is built once."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from qadapt.codecs import Calibration, pack_bits, quantize
from qadapt.engines.exact import best_candidates
from qadapt.model import Metric

FACTOR = 4  # candidates of a search, in multiples of k
BATCH = 50_000  # rows added at a time, which limits the memory that libraries need meanwhile

# Queries, number of results, and the rows that may be found (None: all) -> row numbers.
Search = Callable[[np.ndarray, int, "np.ndarray | None"], np.ndarray]


def optional(name: str) -> Any:
    """A module, or None if it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def set_threads(threads: int) -> None:
    """Limit the threads of faiss; those of numpy and turbovec are set before they start."""
    faiss = optional("faiss")
    if faiss is not None:
        faiss.omp_set_num_threads(threads)


def peers(x: np.ndarray, threads: int, wanted: Callable[[str], bool]) -> dict[str, Search]:
    """Searches of the libraries that are installed, by name.

    Args:
        x: float32 ``(n, d)``, normalized.
        wanted: whether a search with this name is measured; others are not built.
    """
    found: dict[str, Search] = {}
    for build in (_faiss_binary, _faiss_refined, _turbovec, _usearch):
        found |= {name: make() for name, make in build(x, threads).items() if wanted(name)}
    return found


def _faiss_binary(x: np.ndarray, threads: int) -> dict[str, Callable[[], Search]]:
    faiss = optional("faiss")
    if faiss is None:
        return {}
    binary = faiss.IndexBinaryFlat(x.shape[1])
    binary.add(pack_bits(x))

    def bare() -> Search:
        return lambda q, k, mask: binary.search(pack_bits(q), k, params=_selector(faiss, mask))[1]

    def recipe() -> Search:
        codes = quantize(x, "int8", calibration=Calibration.fit(x))
        first = bare()
        return lambda q, k, mask: _by_int8(q, codes, first(q, FACTOR * k, mask), k)

    return {
        "faiss IndexBinaryFlat, bare": bare,
        "faiss IndexBinaryFlat, int8 rescoring": recipe,
    }


def _by_int8(q: np.ndarray, codes: np.ndarray, rows: np.ndarray, k: int) -> np.ndarray:
    """The recipe of sentence-transformers: float queries with the int8 codes of the candidates."""
    scores = np.einsum("ij,ikj->ik", q, codes[rows].astype(np.float32))
    scores[rows < 0] = -np.inf  # fewer rows than candidates
    return np.take_along_axis(rows, np.argsort(-scores, axis=1)[:, :k], axis=1)


def _faiss_refined(x: np.ndarray, threads: int) -> dict[str, Callable[[], Search]]:
    faiss = optional("faiss")
    if faiss is None:
        return {}
    dim, inner = x.shape[1], faiss.METRIC_INNER_PRODUCT

    def built() -> Any:
        base = faiss.index_factory(dim, f"RR{dim},RaBitQfs", inner)
        scalar = faiss.IndexScalarQuantizer(dim, faiss.ScalarQuantizer.QT_8bit, inner)
        refined = faiss.IndexRefine(base, scalar)
        refined.train(x[:20_000])
        for start in range(0, len(x), BATCH):
            refined.add(x[start : start + BATCH])
        refined.k_factor = FACTOR
        return base, refined

    known: list[Any] = []

    def one() -> Any:
        if not known:
            known.append(built())
        return known[0]

    def bare() -> Search:
        base = one()[0]
        return lambda q, k, mask: _unfiltered(mask) and base.search(q, k)[1]

    def refine() -> Search:
        refined = one()[1]
        return lambda q, k, mask: _unfiltered(mask) and refined.search(q, k)[1]

    return {
        "faiss RaBitQFastScan, bare": bare,
        "faiss IndexRefine(RaBitQFastScan, SQ8)": refine,
    }


class NoFilterError(Exception):
    """This library cannot search among some rows."""


def _unfiltered(mask: np.ndarray | None) -> bool:
    if mask is not None:
        raise NoFilterError
    return True


def _selector(faiss: Any, mask: np.ndarray | None) -> Any:
    if mask is None:
        return None
    selector = faiss.IDSelectorBitmap(np.packbits(mask, bitorder="little"))
    return faiss.SearchParameters(sel=selector)


def _turbovec(x: np.ndarray, threads: int) -> dict[str, Callable[[], Search]]:
    turbovec = optional("turbovec")
    if turbovec is None:
        return {}

    def of(bits: int) -> Search:
        turbo = turbovec.TurboQuantIndex(x.shape[1], bits)
        for start in range(0, len(x), BATCH):
            turbo.add(x[start : start + BATCH])

        def by_turbovec(q: np.ndarray, k: int, mask: np.ndarray | None) -> np.ndarray:
            some = {} if mask is None else {"mask": mask}
            rows = np.asarray(turbo.search(q, FACTOR * k, **some)[1]).astype(np.int64)
            places, _ = best_candidates(q, x, rows, k, Metric.COSINE)
            return np.take_along_axis(rows, places, axis=1)

        return by_turbovec

    return {
        f"turbovec {bits} bits, float32 rescoring": lambda bits=bits: of(bits) for bits in (2, 4)
    }


def _usearch(x: np.ndarray, threads: int) -> dict[str, Callable[[], Search]]:
    usearch = optional("usearch.index")
    if usearch is None:
        return {}

    def exact() -> Search:
        bits, codes = pack_bits(x), quantize(x, "int8", calibration=Calibration.fit(x))

        def by_usearch(q: np.ndarray, k: int, mask: np.ndarray | None) -> np.ndarray:
            _unfiltered(mask)
            matches = usearch.search(
                bits, pack_bits(q), FACTOR * k, usearch.MetricKind.Hamming, exact=True,
                threads=threads, dtype="b1",
            )  # fmt: skip
            rows = np.atleast_2d(np.asarray(matches.keys)).astype(np.int64)
            return _by_int8(q, codes, rows, k)

        return by_usearch

    return {"usearch exact, int8 rescoring": exact}
