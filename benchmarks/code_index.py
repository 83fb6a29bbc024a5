"""The client-side code index beside faiss, turbovec and usearch, interleaved in one run.

    OMP_NUM_THREADS=1 python benchmarks/code_index.py scan --rows 1000000    # scans of sign bits
    OMP_NUM_THREADS=1 python benchmarks/code_index.py search --rows 100000   # whole searches
    OMP_NUM_THREADS=2 python benchmarks/code_index.py search --rows 1000000 --threads 2 \\
        --k 10 100 --filters .01 .1 .5 --deleted .1
    OMP_NUM_THREADS=1 python benchmarks/code_index.py encode                 # int8 and uint8 codes
    OMP_NUM_THREADS=1 QADAPT_SCIFACT=... python benchmarks/code_index.py bits  # bits of the query

Every round runs each subject once, and the minimum of CPU seconds over the rounds counts, as a
loaded machine disturbs single rounds. Vectors of ``search`` are clustered with a decaying spectrum
(seed 0). Parameters are fixed: x4 oversampling everywhere. ``--filters`` and ``--deleted`` measure
searches among a random share of the rows and after random deletions, by qadapt, faiss
IndexBinaryFlat (id selector) and turbovec (mask). With several threads, seconds are elapsed ones.
Packages that are not installed are left out. faiss: IndexBinaryFlat, the same with int8 rescoring
in NumPy as sentence-transformers does it, RaBitQFastScan, and IndexRefine of RaBitQFastScan by
8-bit scalar codes. turbovec: 2 and 4 bits with
float32 rescoring.
"""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from qadapt.code_index import CodeIndex
from qadapt.codecs import Calibration, ints, pack_bits, quantize
from qadapt.codecs.bitquery import plane_query
from qadapt.engines import PlaneEngine, get_engine, installed_engines, use_threads
from qadapt.engines.exact import best_candidates, exact_scores
from qadapt.model import Metric

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

BLOCK = 32_768
FACTOR = 4

Subject = Callable[[], Any]


def optional(name: str) -> Any:
    """A module, or None if it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def rounds(subjects: dict[str, Subject], count: int, threads: int = 1) -> dict[str, float]:
    """Minimum CPU seconds of each subject over interleaved rounds; elapsed ones of several
    threads."""
    best: dict[str, float] = {}
    clock = time.process_time if threads == 1 else time.perf_counter
    for _ in range(count):
        for name, call in subjects.items():
            begun = clock()
            call()
            spent = clock() - begun
            best[name] = min(best.get(name, spent), spent)
    return best


def show(title: str, times: dict[str, float], unit: int, base: str, notes: dict[str, str]) -> None:
    """Print milliseconds per query, and the ratio to one subject."""
    print(f"\n{title}")
    for name, spent in times.items():
        ratio = f"{spent / times[base]:6.2f}x" if base in times else ""
        print(f"  {name:44} {1e3 * spent / unit:9.3f} ms {ratio}  {notes.get(name, '')}")


# -- scans of sign bits ----------------------------------------------------------------------


def scan(asked: argparse.Namespace) -> None:
    """Hamming scans with top-k by every engine, and queries of 4 and 8 bits."""
    rng = np.random.default_rng(0)
    words = -(-asked.dim // 64)
    rows = rng.integers(0, 2**63, (asked.rows, words), dtype=np.uint64)
    columns = [
        np.ascontiguousarray(rows[at : at + BLOCK].T).T for at in range(0, asked.rows, BLOCK)
    ]
    queries = rng.integers(0, 2**63, (64, words), dtype=np.uint64)
    floats = rng.standard_normal((64, 64 * words))
    faiss = optional("faiss")
    index = None
    if faiss is not None:
        index = faiss.IndexBinaryFlat(64 * words)
        index.add(rows.view(np.uint8))
        faiss.omp_set_num_threads(asked.threads)
    share = {"10 % deleted": 0.9, "filter 50 %": 0.5, "filter 10 %": 0.1, "filter 1 %": 0.01}
    masks = {name: rng.random(asked.rows) < part for name, part in share.items()}
    engines = {name: get_engine(name) for name in installed_engines()}
    use_threads(asked.threads)
    read = rounds({"read": lambda: [block.max() for block in columns]}, asked.rounds)["read"]
    print(f"reading all codes once (max): {1e3 * read:.2f} ms")
    for count, k, filtered in [
        *((count, k, None) for count in (1, 64) for k in (10, 100)),
        *((1, 40, filtered) for filtered in masks),
    ]:
        mask = None if filtered is None else masks[filtered]
        subjects: dict[str, Subject] = {}
        some = queries[:count]
        if index is not None:
            params = None
            if mask is not None:
                selector = faiss.IDSelectorBitmap(np.packbits(mask, bitorder="little"))
                params = faiss.SearchParameters(sel=selector)
            subjects["faiss IndexBinaryFlat"] = lambda p=params, s=some, k=k: index.search(
                s.view(np.uint8), k, params=p
            )
        for name, engine in engines.items():
            if name == "usearch" and (count > 1 or mask is not None):
                continue  # too slow to wait for
            codes = rows if name in ("faiss", "usearch") else columns
            subjects[f"qadapt {name}"] = partial(engine.hamming_topk, some, codes, k, mask)
            planes = isinstance(engine, PlaneEngine) and (name != "numpy" or count == 1)
            for bits in (4, 8) if planes else ():
                query = plane_query(floats[:count], bits)  # type: ignore[arg-type]
                call = partial(engine.plane_topk, query, columns, k, mask)
                subjects[f"qadapt {name}, query_bits={bits}"] = call
        times = rounds(subjects, asked.rounds, asked.threads)
        title = f"{count} queries, k={k}" + (f", {filtered}" if filtered else "")
        show(title, times, count, "faiss IndexBinaryFlat", {})


# -- whole searches --------------------------------------------------------------------------


def clustered(rows: int, dim: int) -> np.ndarray:
    """Clusters with a decaying spectrum, float32 ``(rows, dim)``, normalized."""
    from measuring import vectors

    return vectors(rows, dim)


def recall(found: np.ndarray, truth: np.ndarray) -> float:
    """Mean share of the true ids."""
    hits = [len(set(a) & set(b)) for a, b in zip(found.tolist(), truth.tolist(), strict=True)]
    return sum(hits) / truth.size


def peers(x: np.ndarray, k: int) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """Searches of other libraries: queries to ids."""
    found: dict[str, Callable[[np.ndarray], np.ndarray]] = {}
    faiss, turbovec = optional("faiss"), optional("turbovec")
    dim, wide = x.shape[1], FACTOR * k
    if faiss is not None:
        binary = faiss.IndexBinaryFlat(dim)
        binary.add(pack_bits(x))
        found["faiss IndexBinaryFlat, bare"] = lambda q: binary.search(pack_bits(q), k)[1]
        calibration = Calibration.fit(x)
        codes = quantize(x, "int8", calibration=calibration)

        def recipe(q: np.ndarray) -> np.ndarray:
            rows = binary.search(pack_bits(q), wide)[1]
            scores = np.einsum("ij,ikj->ik", q, codes[rows].astype(np.float32))
            return np.take_along_axis(rows, np.argsort(-scores, axis=1)[:, :k], axis=1)

        found["faiss IndexBinaryFlat, int8 rescoring"] = recipe
        inner = faiss.METRIC_INNER_PRODUCT
        base = faiss.index_factory(dim, f"RR{dim},RaBitQfs", inner)
        scalar = faiss.IndexScalarQuantizer(dim, faiss.ScalarQuantizer.QT_8bit, inner)
        refined = faiss.IndexRefine(base, scalar)
        refined.train(x[:20_000])
        refined.add(x)
        refined.k_factor = FACTOR
        found["faiss RaBitQFastScan, bare"] = lambda q: base.search(q, k)[1]
        found["faiss IndexRefine(RaBitQFastScan, SQ8)"] = lambda q: refined.search(q, k)[1]
    for bits in (2, 4) if turbovec is not None else ():
        turbo = turbovec.TurboQuantIndex(dim, bits)
        turbo.add(x)

        def by_turbovec(q: np.ndarray, turbo: Any = turbo) -> np.ndarray:
            rows = np.asarray(turbo.search(q, wide)[1]).astype(np.int64)
            places, _ = best_candidates(q, x, rows, k, Metric.COSINE)
            return np.take_along_axis(rows, places, axis=1)

        found[f"turbovec {bits} bits, float32 rescoring"] = by_turbovec
    return found


def search(asked: argparse.Namespace) -> None:
    """Whole searches: scan, top-k, rescoring, ids."""
    use_threads(asked.threads)
    everything = clustered(asked.rows + 64, asked.dim)
    x, queries = everything[:-64], everything[-64:]
    faiss = optional("faiss")
    if faiss is not None:
        faiss.omp_set_num_threads(asked.threads)
    with tempfile.TemporaryDirectory() as folder:
        indexes = {}
        for bits in (1, 4):
            index = CodeIndex.create(Path(folder) / f"{bits}", asked.dim, query_bits=bits)  # type: ignore[arg-type]
            index.add(np.arange(len(x)), x)
            index.save()
            indexes[bits] = index
        exact = exact_scores(queries, x, Metric.COSINE)
        for k in asked.k:
            searches = peers(x, k)
            for bits, index in indexes.items():
                searches |= {
                    f"qadapt query_bits={bits}, {source}": call
                    for source, call in own_searches(index, x, k).items()
                }
            measured(asked, f"k={k}", searches, queries, best_rows(exact, k), k)
        rng = np.random.default_rng(1)
        for share in asked.filters:
            mask = rng.random(len(x)) < share
            masked_search(asked, f"filter of {share:.0%}", indexes, x, queries, exact, mask)
        if asked.deleted:
            mask = rng.random(len(x)) >= asked.deleted
            for index in indexes.values():
                index.delete(np.flatnonzero(~mask))
                index.save()
            title = f"{asked.deleted:.0%} deleted"
            masked_search(asked, title, indexes, x, queries, exact, mask, deleted=True)
        for index in indexes.values():
            index.close()


def best_rows(exact: np.ndarray, k: int) -> np.ndarray:
    """Rows with the highest scores, (nq, k)."""
    return np.argsort(-exact, axis=1, kind="stable")[:, :k]


def own_searches(
    index: CodeIndex, x: np.ndarray, k: int, mask: np.ndarray | None = None
) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """Searches of an index, by what rescores."""

    def by(source: Any, fetch: Any) -> Callable[[np.ndarray], np.ndarray]:
        return lambda q: (
            index.search(q, k, rescore=FACTOR, source=source, fetch=fetch, mask=mask).ids
        )

    return {"codes": by("codes", None), "originals": by("originals", lambda ids: x[ids])}


def masked_search(
    asked: argparse.Namespace,
    title: str,
    indexes: dict[int, CodeIndex],
    x: np.ndarray,
    queries: np.ndarray,
    exact: np.ndarray,
    mask: np.ndarray,
    *,
    deleted: bool = False,
) -> None:
    """Searches among the rows of a mask; ``deleted``: the others were deleted from the indexes."""
    faiss, turbovec = optional("faiss"), optional("turbovec")
    for k in asked.k:
        searches: dict[str, Callable[[np.ndarray], np.ndarray]] = {}
        if faiss is not None:
            binary = faiss.IndexBinaryFlat(asked.dim)
            binary.add(pack_bits(x))
            selector = faiss.IDSelectorBitmap(np.packbits(mask, bitorder="little"))
            params = faiss.SearchParameters(sel=selector)
            searches["faiss IndexBinaryFlat, bare"] = lambda q, k=k, b=binary, p=params: b.search(
                pack_bits(q), k, params=p
            )[1]
        if turbovec is not None:
            turbo = turbovec.TurboQuantIndex(asked.dim, 4)
            turbo.add(x)

            def by_turbovec(q: np.ndarray, k: int = k, turbo: Any = turbo) -> np.ndarray:
                rows = np.asarray(turbo.search(q, FACTOR * k, mask=mask)[1]).astype(np.int64)
                places, _ = best_candidates(q, x, rows, k, Metric.COSINE)
                return np.take_along_axis(rows, places, axis=1)

            searches["turbovec 4 bits, float32 rescoring"] = by_turbovec
        for bits, index in indexes.items():
            own = own_searches(index, x, k, None if deleted else mask)
            searches |= {
                f"qadapt query_bits={bits}, {source}": call for source, call in own.items()
            }
        truth = best_rows(np.where(mask, exact, -np.inf), min(k, int(mask.sum())))
        measured(asked, f"k={k}, {title}", searches, queries, truth, k)


def measured(
    asked: argparse.Namespace,
    title: str,
    searches: dict[str, Callable[[np.ndarray], np.ndarray]],
    queries: np.ndarray,
    truth: np.ndarray,
    k: int,
) -> None:
    """Print recall and time of searches, for 1 and 64 queries."""
    notes = {
        name: f"recall@{k} {recall(np.asarray(call(queries)), truth):.3f}"
        for name, call in searches.items()
    }
    for count in (1, 64):
        subjects = {
            name: (lambda c=call, n=count: c(queries[:n])) for name, call in searches.items()
        }
        times = rounds(subjects, asked.rounds, asked.threads)
        base = "faiss IndexBinaryFlat, bare"
        show(f"{count} queries, {title}, x{FACTOR} candidates", times, count, base, notes)


# -- encoding --------------------------------------------------------------------------------


def encode(asked: argparse.Namespace) -> None:
    """int8 and uint8 codes by NumPy and by the kernel of numba, 8 MB of vectors at a time."""
    rows = max(1, (8 << 20) // (4 * asked.dim))
    x = np.random.default_rng(0).standard_normal((rows, asked.dim), dtype=np.float32)
    calibration = Calibration.fit(x)
    subjects: dict[str, Subject] = {"read once (max)": x.max}
    for precision in ("int8", "uint8"):
        for name, pays in (("numpy", False), ("numba", True)):

            def run(precision: Any = precision, pays: bool = pays) -> None:
                with mock.patch.object(ints, "_kernel_pays", lambda _: pays):
                    quantize(x, precision, calibration=calibration)

            if not pays or "numba" in installed_engines():
                subjects[f"{precision} by {name}"] = run
    times = rounds(subjects, 5 * asked.rounds)
    show(f"{rows} x {asked.dim} float32", times, 1, "int8 by numpy", {})


# -- bits of the query -----------------------------------------------------------------------


def real_sets() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Documents and queries of real embeddings, float32, by name."""
    import embeddings

    sets = {"demo": (embeddings.load().docs, embeddings.load().queries)}
    folder = os.environ.get("QADAPT_SCIFACT")
    for name in ("scifact-minilm", "scifact-mpnet") if folder else ():
        with np.load(Path(str(folder)) / f"{name}.npz") as arrays:
            sets[name] = arrays["docs"].astype(np.float32), arrays["queries"].astype(np.float32)
    return sets


def bits(asked: argparse.Namespace) -> None:
    """Recall and CPU time by bits of the query, on real embeddings."""
    for name, (docs, queries) in real_sets().items():
        exact = exact_scores(queries, docs, Metric.COSINE)
        print(f"\n{name}: {docs.shape[0]:,} x {docs.shape[1]}, {len(queries)} queries")
        with tempfile.TemporaryDirectory() as place:
            for k in (10, 100):
                truth = np.argsort(-exact, axis=1)[:, :k]
                notes, subjects = {}, {}
                for width in (1, 4, 8):
                    path = Path(place) / f"{width}-{k}"
                    index = CodeIndex.create(path, docs.shape[1], query_bits=width)  # type: ignore[arg-type]
                    index.add(np.arange(len(docs)), docs)
                    index.save()
                    for factor in (1, 2, 4, 8):
                        call = partial(
                            index.search, queries, k, rescore=factor, engine=asked.engine
                        )
                        title = f"query_bits={width}, rescore={factor}"
                        notes[title] = f"recall@{k} {recall(call().ids, truth):.4f}"
                        subjects[title] = call
                times = rounds(subjects, asked.rounds)
                base = "query_bits=1, rescore=4"
                show(f"k={k}, all queries in one call", times, len(queries), base, notes)


def machine(asked: argparse.Namespace) -> str:
    """Machine, versions, threads and load."""
    names = ("numpy", "numba", "faiss", "turbovec", "usearch")
    loaded = ((name, optional(name)) for name in names)
    versions = ", ".join(
        f"{name} {getattr(module, '__version__', '')}".strip()
        for name, module in loaded
        if module is not None
    )
    flags = Path("/proc/cpuinfo")
    text = flags.read_text() if flags.exists() else ""
    sets = [name for name in ("avx2", "avx512f", "avx512_vpopcntdq") if name in text]
    model = next((line.split(":")[1].strip() for line in text.splitlines() if "model name" in line),
                 platform.processor())  # fmt: skip
    return (
        f"{time.strftime('%Y-%m-%d')}, {model}, {', '.join(sets) or 'instruction set unknown'}, "
        f"{os.cpu_count()} cores, {asked.threads} "
        f"{'thread' if asked.threads == 1 else 'threads, elapsed time'}, "
        f"load {os.getloadavg()[0]:.1f}\n{versions}"
    )


def main() -> None:
    """Run one section."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    sections = {"scan": scan, "search": search, "encode": encode, "bits": bits}
    parser.add_argument("section", choices=sections)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=1024)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--k", type=int, nargs="+", default=[10], help="results of `search`")
    parser.add_argument("--filters", type=float, nargs="*", default=[], help="shares of the rows")
    parser.add_argument("--deleted", type=float, default=0, help="share of deleted rows")
    parser.add_argument("--engine", help="engine of `bits`; default: the fastest")
    asked = parser.parse_args()
    print(machine(asked))
    sections[asked.section](asked)


if __name__ == "__main__":
    main()
