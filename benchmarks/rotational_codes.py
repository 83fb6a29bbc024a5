"""Recall of rotational and scalar codes on real embeddings, beside sign bits and turbovec.

    OMP_NUM_THREADS=1 QADAPT_SCIFACT=... python benchmarks/rotational_codes.py codes
    OMP_NUM_THREADS=1 QADAPT_SCIFACT=... python benchmarks/rotational_codes.py learned
    OMP_NUM_THREADS=1 QADAPT_SCIFACT=... python benchmarks/rotational_codes.py engines

``codes`` compares codes alone and with x2 and x4 candidates, and CPU time as in ``code_index.py``.
``learned`` shows what a rotation that was learned from some vectors does for all of them, and for
others. ``engines`` compares the results of a scan of codes of 1 bit with those of faiss
IndexRaBitQFastScan, which makes the same bits of the same rotated vectors.
"""

from __future__ import annotations

import argparse
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from code_index import Subject, machine, optional, real_sets, recall, rounds, show

from qadapt.code_index import CodeIndex
from qadapt.codecs.learned_rotation import apply_learned, learned_rotation
from qadapt.codecs.rotation import rotation
from qadapt.codecs.rotational import encode, rotational_query
from qadapt.engines import use_threads
from qadapt.engines.exact import best_candidates, exact_scores, unit
from qadapt.model import Metric

KINDS: dict[str, dict[str, Any]] = {
    "sign bits": {},
    "sign bits, query_bits=4": {"query_bits": 4},
    "rotational, 1 bit": {"codes": "rotational", "bits": 1},
    "rotational, 1 bit, learned": {"codes": "rotational", "bits": 1, "rotation": "learned"},
    "rotational, 2 bits": {"codes": "rotational", "bits": 2},
    "rotational, 2 bits, learned": {"codes": "rotational", "bits": 2, "rotation": "learned"},
    "rotational, 4 bits": {"codes": "rotational", "bits": 4},
    "rotational, 4 bits, learned": {"codes": "rotational", "bits": 4, "rotation": "learned"},
    "scalar, 4 bits": {"codes": "scalar", "bits": 4},
    "int8": {"codes": "int8"},
}


def codes(asked: argparse.Namespace) -> None:
    """Recall by the codes in memory, alone and with int8 rescoring, beside turbovec."""
    k = 10
    turbovec = optional("turbovec")
    for name, (docs, queries) in real_sets().items():
        exact = exact_scores(queries, docs, Metric.COSINE)
        truth = np.argsort(-exact, axis=1)[:, :k]
        print(f"\n{name}: {docs.shape[0]:,} x {docs.shape[1]}, {len(queries)} queries")
        notes: dict[str, str] = {}
        subjects: dict[str, Subject] = {}
        with tempfile.TemporaryDirectory() as place:
            for title, options in KINDS.items():
                index = CodeIndex.create(Path(place) / title, docs.shape[1], **options)
                index.add(np.arange(len(docs)), docs)
                index.save()
                size = next(iter(reversed(index.settings.row_bytes().values())))
                alone = index.search(queries, k, source="off").ids
                found = [recall(alone, truth)]
                for factor in (2, 4):
                    call = partial(index.search, queries, k, rescore=factor)
                    found.append(recall(call().ids, truth))
                subjects[title] = call
                shown = ", ".join(f"{each:.3f}" for each in found)
                notes[title] = f"{size} bytes/row, recall@{k} alone, x2, x4: {shown}"
            for width in (2, 4) if turbovec is not None else ():
                turbo = turbovec.TurboQuantIndex(docs.shape[1], width)
                turbo.add(docs)
                found = []
                for factor in (1, 2, 4):
                    rows = np.asarray(turbo.search(queries, factor * k)[1]).astype(np.int64)
                    if factor > 1:
                        places, _ = best_candidates(queries, docs, rows, k, Metric.COSINE)
                        rows = np.take_along_axis(rows, places, axis=1)
                    found.append(recall(rows, truth))
                title = f"turbovec, {width} bits, float32 rescoring"
                shown = ", ".join(f"{each:.3f}" for each in found)
                size = width * docs.shape[1] // 8
                notes[title] = f"{size} bytes/row or more, recall@{k} alone, x2, x4: {shown}"
                subjects[title] = partial(turbo.search, queries, 4 * k)
            times = rounds(subjects, asked.rounds)
            show("x4, all queries in one call", times, len(queries), "sign bits", notes)


def learned(_: argparse.Namespace) -> None:
    """Recall of codes by a rotation that was learned from some of the vectors."""
    for name, (given, queries) in real_sets().items():
        docs = unit(given)[np.random.default_rng(0).permutation(len(given))]
        turn = rotation(docs.shape[1])
        rows, asked = turn(docs), turn(queries)
        for per_dim in (2, 4, 6):
            sample = min(per_dim * rows.shape[1], len(rows) - 1000)
            matrix = learned_rotation(rows[:sample])
            other = apply_learned(rows, matrix), apply_learned(asked, matrix)
            for title, part in {"all": slice(None), "the last 1,000": slice(-1000, None)}.items():
                exact = exact_scores(queries, docs[part], Metric.COSINE)
                truth = np.argsort(-exact, axis=1)[:, :10]
                found = []
                for x, q in ((rows, asked), other):
                    query = rotational_query(q, 1, 4, euclidean=False)
                    scores = query.score(encode(x[part], 1))
                    best = np.argsort(-scores, axis=1, kind="stable")[:, :10]
                    found.append(recall(best, truth))
                print(f"{name}, 1 bit, learned from {sample:,}, recall@10 among {title}: "
                      f"random {found[0]:.3f}, learned {found[1]:.3f}")  # fmt: skip


def engines(_: argparse.Namespace) -> None:
    """Whether faiss returns the ids and scores of a scan of rotational codes."""
    faiss = optional("faiss")
    assert faiss is not None, "install faiss-cpu"
    for name, (given, asked) in real_sets().items():
        turn = rotation(given.shape[1])
        rows, queries = turn(unit(given)), turn(unit(asked))
        if rows.shape[1] != given.shape[1]:
            continue
        width, k = rows.shape[1], 40
        made = encode(rows, 1)
        exact = faiss.IndexRaBitQ(width, faiss.METRIC_INNER_PRODUCT)
        fast = faiss.IndexRaBitQFastScan(width, faiss.METRIC_INNER_PRODUCT)
        for index in (exact, fast):
            index.train(rows)
            faiss.copy_array_to_vector(np.zeros(width, np.float32), index.center)
            index.add(rows)
        theirs = np.unpackbits(exact.sa_encode(rows)[:, : width // 8], axis=1, bitorder="little")
        same_bits = (theirs == np.unpackbits(made[:, : width // 8], axis=1)).mean()
        print(f"\n{name}: {100 * same_bits:.1f} % of the bits are those of faiss")
        for bits in (4, 8):
            fast.qb = bits
            scores = rotational_query(queries, 1, bits, euclidean=False).score(made)  # type: ignore[arg-type]
            own = np.argsort(-scores, axis=1, kind="stable")[:, :k]
            their_scores, ids = fast.search(queries, k)
            apart = np.abs(np.take_along_axis(scores, ids, axis=1) - their_scores).max()
            print(
                f"  queries of {bits} bits: {100 * (own == ids).all(axis=1).mean():.1f} % of the "
                f"queries have the same {k} ids in the same order, {100 * recall(ids, own):.1f} % "
                f"of the ids are the same, largest difference of scores {apart:.4f}"
            )
        ties = faiss.IndexRaBitQFastScan(width, faiss.METRIC_INNER_PRODUCT)
        ties.train(rows)
        ties.add(np.repeat(rows[:1], 64, axis=0))
        print(f"  rows with equal scores, best first: {ties.search(rows[:1], 10)[1][0].tolist()}")
        try:
            fast.add_sa_codes(exact.sa_encode(rows))
        except RuntimeError as error:
            print(f"  add_sa_codes: {str(error).splitlines()[-1].split(': ')[-1]}")


def main() -> None:
    """Run one section."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    sections = {"codes": codes, "learned": learned, "engines": engines}
    parser.add_argument("section", choices=sections)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    asked.threads = 1
    use_threads(asked.threads)
    print(machine(asked))
    sections[asked.section](asked)


if __name__ == "__main__":
    main()
