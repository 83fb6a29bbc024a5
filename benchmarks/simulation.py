"""Compare predicted with measured recall: each model of ``qadapt.simulation`` and its live engine.

    python benchmarks/simulation.py --store edge
    python benchmarks/simulation.py --store weaviate --store milvus --only minilm
    python benchmarks/simulation.py --render     from what is kept, the table and the checks alone

Real embeddings (SciFact by MiniLM and mpnet, in the folder ``QADAPT_SCIFACT``). Servers come
from the ladder of the tests. What was seen is kept in ``benchmarks/simulation.json``, one part a
store and data set, and ``docs/simulation.md`` and the ``quantizer_checks.json`` of each store are
made from it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import qadapt as qa
from qadapt.evaluation.exact_neighbors import recall_in

ROOT = Path(__file__).resolve().parents[1]
KEPT = ROOT / "benchmarks" / "simulation.json"
CHECKS = "qadapt/stores/**/{}/quantizer_checks.json"
DOC = ROOT / "docs" / "simulation.md"
MARK = "<!-- made by benchmarks/simulation.py -->"

K = 10
SETS = ("minilm", "mpnet")
CODES: dict[str, list[str]] = {
    "edge": [
        "scalar", "scalar:quantile=0.99", "binary", "binary:query_bits=4", "binary:query_bits=8",
        "binary:bits=1.5", "binary:bits=1.5,query_bits=8", "binary:bits=2",
        "binary:bits=2,query_bits=8", "rotational:bits=1", "rotational:bits=1.5",
        "rotational:bits=2", "rotational:bits=4", "rotational:bits=8",
        "product:ratio=16", "product:ratio=32", "product:ratio=64",
    ],
    "weaviate": [
        "rotational:bits=8", "rotational:bits=4", "rotational:bits=1", "scalar:per=collection",
        "binary", "product:ratio=16", "product:ratio=32",
        # Without rescoring, if it can be disabled, recall is that of the codes.
        'rotational:bits=8,native={"rq":{"rescoreLimit":0}}',
        'rotational:bits=4,native={"rq":{"rescoreLimit":0}}',
        'rotational:bits=1,native={"rq":{"rescoreLimit":0}}',
        'scalar:per=collection,native={"sq":{"rescoreLimit":0}}',
    ],
    "milvus": ["scalar", "binary", "product:ratio=32"],
    "pgvector": ["binary"],
    "sqlite-vec": ["scalar", "binary"],
    "clickhouse": [
        "scalar", 'scalar:native={"using":"codec"}', "binary", "rotational:bits=1",
        "rotational:bits=2", "product:ratio=32", "scalar:bits=4", "scalar:bits=6", "scalar:bits=7",
        'scalar:native={"using":"qbit"}', "scalar:dims=192",
    ],
    "lancedb": [
        "scalar", "rotational:bits=1", "rotational:bits=2", "rotational:bits=4",
        "rotational:bits=8", "product:ratio=16", "product:ratio=32",
    ],
    # Without a graph, so that only codes lose recall.
    "elasticsearch": [
        'scalar:native={"index":"flat"}', 'scalar:bits=4,native={"index":"flat"}',
        'binary:native={"index":"flat"}',
    ],
    "opensearch": ["scalar:bits=7", "scalar:bits=7,quantile=0.95", "binary"],
    # The library of Milvus' quantizers, for those that no packaged server has.
    "faiss": [
        "scalar", "scalar:bits=6", "scalar:bits=4", "rotational:bits=1", "rotational:bits=2",
        "rotational:bits=4", "product:ratio=16", "product:ratio=32",
    ],
}  # fmt: skip
# Weaviate's graph determines how many candidates it rescores; 0 disables it, if possible.
RESCORES: dict[str, list[str]] = {
    "edge": ["off", "1", "2", "4"],
    "weaviate": ["", "1", "4"],
    "milvus": ["off", "2", "4"],
    "pgvector": ["off", "2", "4", "10", "20"],
    "sqlite-vec": ["off", "2", "4", "10", "20"],
    "clickhouse": ["1", "2", "4", "10"],
    "lancedb": ["off", "2", "4", "10"],
    "elasticsearch": ["off", "2", "4"],
    "opensearch": ["off", "1", "20"],
    "faiss": ["off", "2", "4"],
}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--store", action="append", choices=list(CODES), default=[])
    options.add_argument("--only", action="append", choices=SETS, default=[])
    options.add_argument("--queries", type=int, default=300)
    options.add_argument("--code", action="append", default=[], help="these codes alone")
    options.add_argument("--render", action="store_true")
    asked = options.parse_args()
    for store in asked.store:
        if store == "faiss":
            for name in asked.only or SETS:
                run_faiss(name, asked.queries, asked.code or CODES[store])
            continue
        with address_of(store) as address:
            for name in asked.only or SETS:
                run(store, address, name, asked.queries, asked.code or CODES[store])
    render()


def run(store: str, address: str, name: str, count: int, codes: list[str]) -> None:
    """Predict, then measure, and record both."""
    rows, queries = vectors_of(name, count)
    with qa.open(address) as db:
        collection = f"Simulated_{name}"
        if store in ("elasticsearch", "opensearch"):  # whose names are in lower case
            collection = collection.lower()
        if collection in db:
            db.drop(collection)
        made = db.create(collection, dim=rows.shape[1])
        ids: list[Any] = list(range(len(rows)))
        if store == "weaviate":  # whose ids are UUIDs
            ids = [str(uuid.UUID(int=at)) for at in ids]
        made.write(qa.Batch(ids, {"": rows}))
        try:
            for code in codes:
                one(store, made, name, queries, code)
        finally:
            db.drop(collection)


def vectors_of(name: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    folder = Path(os.environ["QADAPT_SCIFACT"])
    with np.load(folder / f"scifact-{name}.npz") as arrays:
        rows = arrays["docs"].astype(np.float32)
        return rows, arrays["queries"].astype(np.float32)[:count]


def recall_of_candidates(rows: np.ndarray, queries: np.ndarray, ids: np.ndarray) -> float:
    """Recall@K with candidates rescored by the original vectors."""
    exact = np.einsum("qcd,qd->qc", rows[ids], queries)
    order = np.argsort(-exact, axis=1, kind="stable")[:, :K]
    best = np.take_along_axis(ids, order, axis=1).tolist()
    return float(recall_in(rows, queries, qa.Metric.DOT, best, K).mean())


def run_faiss(name: str, count: int, codes: list[str]) -> None:
    """The models of Milvus against faiss, all lists searched."""
    import faiss

    faiss.omp_set_num_threads(1)
    rows, queries = vectors_of(name, count)
    dim = rows.shape[1]
    kinds = {
        "scalar": "SQ8", "scalar:bits=6": "SQ6", "scalar:bits=4": None,
        "rotational:bits=1": f"RR{dim},IVF128,RaBitQ",
        "rotational:bits=2": f"RR{dim},IVF128,RaBitQ2",
        "rotational:bits=4": f"RR{dim},IVF128,RaBitQ4",
        "product:ratio=16": f"PQ{dim // 4}", "product:ratio=32": f"PQ{dim // 8}",
    }  # fmt: skip
    for code in codes:
        asked = [_with(code, rescore) for rescore in RESCORES["faiss"]]
        said = qa.simulate(rows, asked, queries=queries, store="milvus", k=K)
        metric, text = faiss.METRIC_INNER_PRODUCT, kinds[code]
        if text is None:
            uniform = faiss.ScalarQuantizer.QT_4bit_uniform
            index = faiss.IndexScalarQuantizer(dim, uniform, metric)
        else:
            index = faiss.index_factory(dim, text, metric)
        if text and "IVF" in text:
            faiss.extract_index_ivf(index).nprobe = 128
        index.train(rows)
        index.add(rows)
        _, ids = index.search(queries, 4 * K)
        lines = []
        for result, found in zip(said.results, (K, 2 * K, 4 * K), strict=True):
            near = recall_of_candidates(rows, queries, ids[:, :found])
            assert result.recall is not None and result.predicted is not None
            lines.append(
                {
                    "setting": result.setting,
                    "model": result.predicted.model,
                    "predicted": round(result.recall.value, 4),
                    "seen": round(near, 4),
                    "candidates": found,
                }
            )
            print("faiss", name, result.setting, lines[-1]["predicted"], lines[-1]["seen"])
        keep("faiss", name, f"faiss {faiss.__version__}", len(rows), len(queries), lines)


def one(store: str, made: Any, name: str, queries: np.ndarray, code: str) -> None:
    asked = [_with(code, rescore) for rescore in RESCORES[store]]
    vector = next(iter(made.info().vectors))
    predicted = made.simulate(*asked, vector=vector, queries=queries, k=K, sample_rows=10_000)
    found = made.evaluate(
        *asked, vector=vector, queries=queries, k=K, live=False, concurrency=(), timeout=1800
    )
    lines = []
    for ours, theirs in zip(predicted.results, found.results, strict=True):
        print(store, name, ours.setting, ours.state, theirs.state, end=" ")
        if ours.recall is None or theirs.recall is None:
            print("; ".join(theirs.notes), flush=True)
            continue
        print(f"{ours.recall.value:.3f} {theirs.recall.value:.3f}", flush=True)
        lines.append(
            {
                "setting": ours.setting,
                "model": ours.predicted.model if ours.predicted else "",
                "predicted": round(ours.recall.value, 4),
                "seen": round(theirs.recall.value, 4),
                "candidates": theirs.how.candidates if theirs.how else None,
            }
        )
    version = f"{found.server.store} {found.server.version}"
    keep(store, name, version, found.count, found.queries, lines)


def keep(
    store: str, name: str, version: str, rows: int, queries: int, lines: list[dict[str, Any]]
) -> None:
    """Replace the lines of the same settings."""
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    part = kept.setdefault(f"{store} {name}", {"lines": []})
    part.update(engine=version, rows=rows, queries=queries)
    new = {line["setting"] for line in lines}
    part["lines"] = [line for line in part["lines"] if line["setting"] not in new] + lines
    KEPT.write_text(json.dumps(kept, indent=1) + "\n")


def _with(code: str, rescore: str) -> str:
    if not rescore:
        return code
    return f"{code}{',' if ':' in code else ':'}rescore={rescore}"


def render() -> None:
    """The table of the docs, and the maximum error of each model."""
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    off: dict[tuple[str, str], tuple[float, set[str]]] = {}
    rows = []
    for part in sorted(kept):
        name = part.split()[1]
        about = kept[part]
        for line in about["lines"]:
            away = line["predicted"] - line["seen"]
            family, _, key = line["model"].partition(" ")
            known, engines = off.get((family.lower(), key), (0.0, set()))
            engines.add(about["engine"])
            off[family.lower(), key] = max(known, abs(away)), engines
            rows.append(
                f"| {about['engine']} | {name} | `{line['setting']}` | {line['predicted']:.3f} | "
                f"{line['seen']:.3f} | {away:+.3f}{'' if abs(away) <= 0.02 else ' **'} |"
            )
    checks = [
        {"store": store, "model": key, "off": round(away, 4), "against": ", ".join(sorted(engines))}
        for (store, key), (away, engines) in sorted(off.items())
    ]
    for store in {check["store"] for check in checks}:
        own = [
            {key: value for key, value in check.items() if key != "store"}
            for check in checks
            if check["store"] == store
        ]
        (target,) = ROOT.glob(CHECKS.format(store.replace("-", "_")))
        target.write_text(json.dumps(own, indent=1) + "\n")
    head = [
        "| engine | embeddings | setting | predicted | measured | difference |",
        "|---|---|---|---|---|---|",
    ]
    models = ["| model | maximum error | compared with |", "|---|---|---|"]
    for check in checks:
        sign = "" if check["off"] <= 0.02 else " **"
        name = f"{check['store']} {check['model']}"
        models.append(f"| {name} | {check['off']:.3f}{sign} | {check['against']} |")
    if DOC.exists():
        text = DOC.read_text().split(MARK)[0].rstrip()
        DOC.write_text("\n".join([text, "", MARK, "", *models, "", *head, *rows, ""]))
    print(f"{len(rows)} lines, {sum('**' in row for row in rows)} of them off by more than 0.02")


@contextlib.contextmanager
def address_of(store: str) -> Iterator[str]:
    """A live engine: in this process, or a server as the tests start one."""
    if store == "edge":
        with tempfile.TemporaryDirectory() as folder:
            yield f"edge:{folder}/edge"
        return
    if store == "sqlite-vec":
        with tempfile.TemporaryDirectory() as folder:
            yield f"sqlite-vec:{folder}/test.db"
        return
    if store == "clickhouse":
        with tempfile.TemporaryDirectory() as folder:
            yield f"clickhouse:{folder}/data"
        return
    if store == "lancedb":
        with tempfile.TemporaryDirectory() as folder:
            yield f"lancedb:{folder}/lance"
        return
    sys.path.insert(0, str(ROOT / "tests"))
    from live.ladder import Ladder

    ladder = Ladder()
    try:
        yield ladder.find(store).url
    finally:
        ladder.stop()


if __name__ == "__main__":
    main()
