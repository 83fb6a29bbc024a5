"""The client-side code index beside faiss, turbovec and usearch, interleaved in one run.

    python benchmarks/code_index.py all                                      # everything below
    OMP_NUM_THREADS=1 python benchmarks/code_index.py scan --rows 1000000    # scans of sign bits
    OMP_NUM_THREADS=1 python benchmarks/code_index.py search --rows 100000   # whole searches
    OMP_NUM_THREADS=2 RAYON_NUM_THREADS=2 python benchmarks/code_index.py search --rows 1000000 \\
        --threads 2 --k 10 100 --filters .01 .1 .5 --deleted .1
    OMP_NUM_THREADS=1 python benchmarks/code_index.py encode                 # int8 and uint8 codes
    OMP_NUM_THREADS=1 QADAPT_SCIFACT=... python benchmarks/code_index.py bits  # bits of the query

``all`` measures 100,000 and 1,000,000 x 1024 with one and two threads, 1 and 64 queries, k 10 and
100, filters of 1, 10 and 50 %, and after 10 % deletions. 1,000,000 rows take 10 GB of memory
without usearch, RaBitQFastScan alone and turbovec with 2 bits (``--only``).
``--only`` builds and measures some searches only (``--only bare codes``).

Every round runs each subject once, and the minimum of seconds over the rounds counts, as a loaded
machine disturbs single rounds: CPU seconds of one thread, elapsed ones of several (``--clock``).
Vectors of ``search`` are clustered with a decaying spectrum (seed 0). Parameters are fixed: x4
oversampling everywhere. Packages that are not installed are left out, and libraries without
filters in searches with one. faiss: IndexBinaryFlat, the same with int8 rescoring in NumPy as
sentence-transformers does it, RaBitQFastScan, and IndexRefine of RaBitQFastScan by 8-bit scalar
codes. turbovec: 2 and 4 bits with float32 rescoring. usearch: exact search of bits with int8
rescoring.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Container
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from code_index_peers import BATCH, FACTOR, NoFilterError, Search, optional, peers, set_threads

from qadapt.code_index import CodeIndex
from qadapt.code_index.bit_blocks import BitBlocks
from qadapt.codecs import Calibration, ints, quantize
from qadapt.codecs.bitquery import plane_query
from qadapt.engines import PlaneEngine, get_engine, installed_engines, use_threads
from qadapt.engines.exact import exact_scores
from qadapt.model import Metric

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

Subject = Callable[[], Any]


def rounds(subjects: dict[str, Subject], count: int, clock: str = "cpu") -> dict[str, float]:
    """Minimum seconds of each subject over interleaved rounds, of CPU or elapsed ones."""
    best: dict[str, float] = {}
    read = time.process_time if clock == "cpu" else time.perf_counter
    for _ in range(count):
        for name, call in subjects.items():
            begun = read()
            call()
            spent = read() - begun
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
    kept = BitBlocks(64 * words, columns=True)  # as the index keeps them
    kept.append(rows.view(np.uint8))
    columns = kept.blocks()
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
        times = rounds(subjects, asked.rounds, asked.clock)
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


def search(asked: argparse.Namespace) -> None:
    """Whole searches: scan, top-k, rescoring, ids; of all rows, of some, and after deletions."""
    use_threads(asked.threads)
    set_threads(asked.threads)
    everything = clustered(asked.rows + 64, asked.dim)
    x, queries = everything[:-64], everything[-64:]
    blocks = [slice(start, start + BATCH) for start in range(0, len(x), BATCH)]
    exact = np.hstack([exact_scores(queries, x[rows], Metric.COSINE) for rows in blocks])

    def wanted(name: str) -> bool:
        return asked.only is None or any(each in name for each in asked.only)

    with tempfile.TemporaryDirectory() as folder:
        searches = peers(x, asked.threads, wanted)
        indexes = {}
        for bits in (1, 4):
            if any(wanted(own_name(bits, source)) for source in SOURCES):
                indexes[bits] = built(Path(folder) / f"{bits}", x, bits)
        own = {
            own_name(bits, source): own_search(index, x, source)
            for bits, index in indexes.items()
            for source in SOURCES
            if wanted(own_name(bits, source))
        }
        rng = np.random.default_rng(1)
        masks: dict[str, np.ndarray | None] = {"": None}
        masks |= {f", filter of {part:.0%}": rng.random(len(x)) < part for part in asked.filters}
        for title, mask in masks.items():
            measured(asked, title, searches | own, queries, exact, mask, own_mask=mask)
        if asked.deleted:
            left = rng.random(len(x)) >= asked.deleted
            for index in indexes.values():
                index.delete(np.flatnonzero(~left))
                index.save()
            title = f", {asked.deleted:.0%} deleted"
            measured(asked, title, searches | own, queries, exact, left, own_mask=None, own=own)
        for index in indexes.values():
            index.close()


SOURCES = ("codes", "originals")


def own_name(bits: int, source: str) -> str:
    """The name of a search by qadapt."""
    return f"qadapt query_bits={bits}, {source}"


def built(folder: Path, x: np.ndarray, bits: int) -> CodeIndex:
    """An index with the row numbers as ids."""
    index = CodeIndex.create(folder, x.shape[1], query_bits=bits)  # type: ignore[arg-type]
    index.add(np.arange(len(x)), x)
    index.save()
    return index


def own_search(index: CodeIndex, x: np.ndarray, source: str) -> Search:
    """The search of an index, by what rescores."""
    fetch = (lambda ids: x[ids]) if source == "originals" else None
    return lambda q, k, mask: (
        index.search(
            q,
            k,
            rescore=FACTOR,
            source=source,
            fetch=fetch,
            mask=mask,  # type: ignore[arg-type]
        ).ids
    )


def measured(
    asked: argparse.Namespace,
    title: str,
    searches: dict[str, Search],
    queries: np.ndarray,
    exact: np.ndarray,
    mask: np.ndarray | None,
    *,
    own_mask: np.ndarray | None,
    own: Container[str] = (),
) -> None:
    """Print recall and time of searches, for 1 and 64 queries.

    Args:
        mask: rows that may be found; None for all.
        own, own_mask: the searches that get another mask, because the other rows were deleted.
    """
    for k in asked.k:
        scores = exact if mask is None else np.where(mask, exact, -np.inf)
        truth = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        able: dict[str, Callable[[np.ndarray], np.ndarray]] = {}
        notes: dict[str, str] = {}
        for name, call in searches.items():
            given = own_mask if name in own else mask
            one = partial(_searched, call, k=k, mask=given)
            try:
                notes[name] = f"recall@{k} {recall(np.asarray(one(queries)), truth):.3f}"
            except NoFilterError:
                continue
            able[name] = one
        for count in (1, 64):
            subjects = {
                name: partial(call, queries[:count])
                for name, call in able.items()
                if count == 1 or not name.startswith("usearch")  # too slow to wait for
            }
            times = rounds(subjects, asked.rounds, asked.clock)
            base = "faiss IndexBinaryFlat, bare"
            show(f"{count} queries, k={k}{title}, x{FACTOR} candidates", times, count, base, notes)


def _searched(call: Search, queries: np.ndarray, k: int, mask: np.ndarray | None) -> np.ndarray:
    return call(queries, k, mask)


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
        f"{'thread' if asked.threads == 1 else 'threads'}, "
        f"{'CPU' if asked.clock == 'cpu' else 'elapsed'} time, "
        f"load {os.getloadavg()[0]:.1f}\n{versions}"
    )


def main() -> None:
    """Run one section."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    sections = {"all": every, "scan": scan, "search": search, "encode": encode, "bits": bits}
    parser.add_argument("section", choices=sections)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=1024)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clock", choices=("cpu", "elapsed"), help="default: cpu of one thread")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--k", type=int, nargs="+", default=[10], help="results of `search`")
    parser.add_argument("--filters", type=float, nargs="*", default=[], help="shares of the rows")
    parser.add_argument("--deleted", type=float, default=0, help="share of deleted rows")
    parser.add_argument("--only", nargs="+", help="measure and build searches with these texts")
    parser.add_argument("--engine", help="engine of `bits`; default: the fastest")
    asked = parser.parse_args()
    asked.clock = asked.clock or ("cpu" if asked.threads == 1 else "elapsed")
    if asked.section != "all":
        print(machine(asked))
    sections[asked.section](asked)


def every(asked: argparse.Namespace) -> None:
    """All sections but ``bits``, for one and two threads and both sizes, each in a new process."""
    more = ["--k", "10", "100", "--filters", ".01", ".1", ".5", "--deleted", ".1"]
    for threads in ("1", "2"):
        for rows in ("100000", "1000000"):
            for section in ("scan", "search"):
                command = [sys.executable, __file__, section, "--rows", rows, "--threads", threads]
                command += ["--dim", str(asked.dim), "--rounds", str(asked.rounds)]
                command += more if section == "search" else []
                run = {**os.environ, "OMP_NUM_THREADS": threads, "RAYON_NUM_THREADS": threads}
                subprocess.run(command, check=True, env=run)
    command = [sys.executable, __file__, "encode", "--dim", str(asked.dim)]
    subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


if __name__ == "__main__":
    main()
