"""The table of https://huggingface.co/blog/embedding-quantization, on real embeddings.

    python benchmarks/article_table.py                # plain tables
    python benchmarks/article_table.py --json         # one JSON document
    python benchmarks/article_table.py --k 10         # candidates for 10 hits instead of 100

SciFact (BEIR test split: 5,183 documents, 300 queries) embedded by all-MiniLM-L6-v2 and
all-mpnet-base-v2 (texts cut at 128 tokens). As in the article 100 hits are searched, so that x4
means 400 candidates, and nDCG@10 is measured. The licence of SciFact is
non-commercial, so it is not part of the repository: ``QADAPT_SCIFACT`` names a folder that holds
``scifact-minilm.npz`` and ``scifact-mpnet.npz`` (arrays ``docs``, ``queries``, ``doc_ids``,
``query_ids``) and ``scifact-qrels.json`` (``{query id: {document id: grade}}``).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qadapt.code_index import CodeIndex
from qadapt.evaluation.exact_neighbors import recall_in
from qadapt.model import Metric

Floats = npt.NDArray[np.float32]
Ids = npt.NDArray[Any]

FACTORS = (1, 2, 4, 10)
SETS = {"scifact-minilm": "all-MiniLM-L6-v2", "scifact-mpnet": "all-mpnet-base-v2"}

# Quoted measurements: set -> rows of (method, nDCG@10 in percent, share of float, source)
_ST = "sentence-transformers 6.2, same set and model, separate run"
QUOTED: dict[str, list[tuple[str, float, float, str]]] = {
    "scifact-minilm": [
        ("sentence-transformers uint8, raw codes", 58.82, 91.2, _ST),
        ("sentence-transformers int8, raw codes", 62.65, 97.1, _ST),
        ("sentence-transformers ubinary + its rescore (bits) x4, k=10", 62.10, 96.3, _ST),
    ],
    "scifact-mpnet": [
        ("sentence-transformers ubinary + its rescore (bits) x4, k=10", 61.43, 97.8, _ST)
    ],
}
_BLOG = "the article (2024), MTEB retrieval"
ARTICLE = [
    ("mxbai-embed-large-v1, int8", 52.79, 97.0, _BLOG),
    ("mxbai-embed-large-v1, binary + bits rescore x4", 52.46, 96.45, _BLOG),
    ("all-MiniLM-L6-v2, int8", 37.82, 90.79, _BLOG),
    ("all-MiniLM-L6-v2, binary + bits rescore x4", 39.07, 93.79, _BLOG),
]


@dataclass(frozen=True)
class Task:
    """Embeddings with relevance labels.

    Attributes:
        name: name of the set.
        docs: float32 (n, d) of length 1.
        queries: float32 (nq, d) of length 1.
        doc_ids: (n,) ids of the documents.
        relevant: for each query its relevant ids and their grades.
    """

    name: str
    docs: Floats
    queries: Floats
    doc_ids: Ids
    relevant: list[dict[int, int]]


@dataclass(frozen=True)
class Row:
    """One method measured. ``ms`` is processor time of one query in a batch of all."""

    method: str
    ram: float
    disk: float
    ndcg: float
    of_float: float
    recall: float
    ms: float


def data_folder() -> Path:
    """The folder in QADAPT_SCIFACT."""
    named = os.environ.get("QADAPT_SCIFACT")
    if not named:
        raise SystemExit("set QADAPT_SCIFACT to the folder that holds scifact-minilm.npz")
    return Path(named)


def load(name: str, folder: Path | None = None) -> Task:
    """Load a set by name, one of SETS."""
    place = folder or data_folder()
    if not (place / f"{name}.npz").is_file():
        raise SystemExit(
            f"no {name}.npz in {place}: set QADAPT_SCIFACT to the folder that holds it"
        )
    with np.load(place / f"{name}.npz") as arrays:
        docs, queries = (arrays[key].astype(np.float32) for key in ("docs", "queries"))
        doc_ids, query_ids = arrays["doc_ids"], arrays["query_ids"]
    labels = json.loads((place / "scifact-qrels.json").read_text())
    relevant = [
        {int(doc): int(grade) for doc, grade in labels.get(str(one), {}).items()}
        for one in query_ids.tolist()
    ]
    # float16 storage leaves lengths a little off 1
    docs /= np.linalg.norm(docs, axis=1, keepdims=True)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    return Task(name, docs, queries, doc_ids, relevant)


def ndcg(task: Task, ids: Ids, at: int = 10) -> float:
    """Mean normalised discounted cumulative gain of found ids (nq, >= at)."""
    discount = 1 / np.log2(np.arange(2, at + 2))
    total = 0.0
    for found, grades in zip(ids[:, :at].tolist(), task.relevant, strict=True):
        gains = np.array([grades.get(one, 0) for one in found])
        ideal = np.sort(list(grades.values()))[::-1][:at]
        total += float((gains * discount).sum() / (ideal * discount[: len(ideal)]).sum())
    return total / len(ids)


def recall(task: Task, ids: Ids, at: int = 10) -> float:
    """Recall of the first ``at`` found ids by exact scores."""
    place = {one: row for row, one in enumerate(task.doc_ids.tolist())}
    found = [[place[one] for one in row] for row in ids[:, :at].tolist()]
    return float(recall_in(task.docs, task.queries, Metric.DOT, found, at).mean())


def exact(task: Task, k: int) -> Ids:
    """Ids of the ``k`` nearest documents by float32, equal scores in row order."""
    scores = task.queries @ task.docs.T
    return task.doc_ids[np.argsort(-scores, axis=1, kind="stable")[:, :k]]


def measure(task: Task, k: int = 100, repeats: int = 3) -> list[Row]:
    """All methods on one set."""
    n, dim = task.docs.shape
    base = ndcg(task, exact(task, k))
    place = {one: row for row, one in enumerate(task.doc_ids.tolist())}

    def fetch(ids: list[Any]) -> Floats:
        return task.docs[[place[one] for one in ids]]

    def row(method: str, ram: float, disk: float, run: Callable[[], Ids]) -> Row:
        best = float("inf")
        for _ in range(repeats):
            start = time.process_time()
            ids = run()
            best = min(best, time.process_time() - start)
        quality = ndcg(task, ids)
        ms = best * 1000 / len(task.queries)
        found = recall(task, ids)
        return Row(method, ram, disk, 100 * quality, 100 * quality / base, found, ms)

    with tempfile.TemporaryDirectory() as folder:
        bits = CodeIndex.create(Path(folder, "bits"), dim)
        ints = CodeIndex.create(Path(folder, "ints"), dim, codes="int8")
        for index in (bits, ints):
            index.add(task.doc_ids, task.docs)
            index.save()
        bit_bytes = bits.nbytes["ram"] / n

        def search(index: CodeIndex, **options: Any) -> Callable[[], Ids]:
            return lambda: index.search(task.queries, k, **options).ids

        rows = [
            row("float32", 4 * dim, 0, lambda: exact(task, k)),
            row("int8", 0, dim, search(ints)),
            row("binary", bit_bytes, 0, search(bits, source="off")),
        ]
        sources: list[tuple[str, str, int, dict[str, Any]]] = [
            ("bits", "bits", 0, {}),
            ("int8", "codes", dim, {}),
            ("float", "originals", 4 * dim, {"fetch": fetch}),
        ]
        for label, source, disk, options in sources:
            rows += [
                row(
                    f"binary + {label} rescore x{factor}",
                    bit_bytes,
                    disk,
                    search(bits, source=source, rescore=factor, **options),
                )
                for factor in FACTORS
            ]
        bits.close()
        ints.close()
    return rows


def print_table(head: list[str], lines: list[list[str]]) -> None:
    """Align columns: the first to the left, the others to the right."""
    widths = [max(len(line[i]) for line in [head, *lines]) for i in range(len(head))]
    for line in [head, ["-" * width for width in widths], *lines]:
        cells = [
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())


def _print(task: Task, rows: list[Row], k: int) -> None:
    n, dim = task.docs.shape
    print(f"\n{task.name}: {SETS[task.name]}, {n} x {dim}, {len(task.queries)} queries, k={k}")
    head = ["method", "RAM B/vec", "disk B/vec", "nDCG@10", "% of float", "recall@10", "ms/query"]
    print_table(
        head,
        [
            [
                r.method, f"{r.ram:.0f}", f"{r.disk:.0f}", f"{r.ndcg:.2f}", f"{r.of_float:.2f}",
                f"{r.recall:.3f}", f"{r.ms:.3f}",
            ]
            for r in rows
        ],
    )  # fmt: skip
    print("quoted for comparison:")
    quoted = QUOTED[task.name]
    print_table(
        ["method", "nDCG@10", "% of float", "source"],
        [[method, f"{a:.2f}", f"{b:.2f}", source] for method, a, b, source in quoted + ARTICLE],
    )


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="The article's table on real embeddings.")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    parser.add_argument("--k", type=int, default=100, help="number of hits (default 100)")
    parser.add_argument(
        "--repeats", type=int, default=3, help="number of runs; the fastest is reported"
    )
    parser.add_argument("--set", choices=sorted(SETS), action="append", help="only this set")
    options = parser.parse_args()
    report = []
    for name in options.set or SETS:
        task = load(name)
        rows = measure(task, options.k, options.repeats)
        if not options.json:
            _print(task, rows, options.k)
        quoted = [
            dict(zip(("method", "ndcg", "of_float", "source"), line, strict=True))
            for line in QUOTED[name] + ARTICLE
        ]
        report.append({"set": name, "rows": [asdict(r) for r in rows], "quoted": quoted})
    if options.json:
        machine = {"machine": platform.machine(), "numpy": np.__version__}
        print(json.dumps({**machine, "k": options.k, "sets": report}, indent=1))


if __name__ == "__main__":
    main()
