"""Rows that searches do not reach: each row of a sample is searched for by its own vector.

An index may lose rows that its store still has: Weaviate 1.39.0, killed, came back with all
objects and without its newest ones in the vector index (docs/engines/weaviate.md#crashes), and no
status tells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qadapt.engines.exact import pair_scores, tolerance
from qadapt.evaluation.exact_neighbors import Fetch, stored_vectors
from qadapt.local.settings import read_settings
from qadapt.model import CollectionInfo, Id, Kind, Rescore, Serializable, Vector
from qadapt.model.data import Floats
from qadapt.search import search
from qadapt.stores.base import OnProgress, Progress, SearchRequest, Store

SAMPLE = 500
K = 10
BLOCK = 64
# Codes put a row itself near the top of its own results, not always first.
OVERSAMPLING = 4.0
HNSW_ADVICE = (
    "delete these rows and write them again; the same vector written over an old one may heal "
    "nothing"
)


@dataclass(frozen=True)
class Reachability(Serializable):
    """What was found.

    Attributes:
        sampled: rows whose own vector was searched for.
        unreachable: ids of those that it does not find, though they score better than what it
        finds.
    """

    sampled: int
    unreachable: tuple[Id, ...] = ()

    @property
    def words(self) -> str:
        """What a reader must know; empty where all were found."""
        if not self.unreachable:
            return ""
        some = ", ".join(map(str, self.unreachable[:3])) + (
            ", ..." if len(self.unreachable) > 3 else ""
        )
        return (
            f"{len(self.unreachable):,} of {self.sampled:,} sampled rows are not found by "
            "a search for "
            f"their own vector ({some}): the index has lost them. {HNSW_ADVICE}"
        )


def measure_reachability(
    store: Store,
    info: CollectionInfo,
    name: str,
    progress: OnProgress,
    *,
    sample: int = SAMPLE,
    seed: int = 0,
) -> Reachability:
    """Search for each of ``sample`` rows by its own vector.

    Args:
        sample: rows, drawn evenly; all where there are fewer.
    """
    batch = store.sample(info.name, sample, seed=seed, vectors=[name])
    there = ~batch.missing.get(name, np.zeros(len(batch), dtype=np.bool_))
    ids = [key for key, present in zip(batch.ids, there, strict=True) if present]
    rows = batch.vectors[name][there]
    now = info.vectors[name]
    more = store.limit_rescore(info.name, Rescore(OVERSAMPLING))
    rescore = None if now.quantization.kind is Kind.NONE else more
    settings = read_settings(store, info.name).of(name)
    k = min(K, store.max_results(info.name))
    wanted = SearchRequest(k=k, vector=name, rescore=rescore)
    fetch = stored_vectors(store, info.name, name)
    unreachable: list[Id] = []
    for start in range(0, len(ids), BLOCK):
        block = slice(start, start + BLOCK)
        hits = search(store, info.name, rows[block], wanted, now.vector, settings)
        found = hits.ids.tolist()
        unreachable += unreachable_among(found, ids[block], rows[block], now.vector, fetch, k)
        done = min(start + BLOCK, len(ids))
        progress(Progress("searching rows by their own vectors", done, len(ids), "vectors"))
    return Reachability(len(ids), tuple(unreachable))


def unreachable_among(
    found: Sequence[Sequence[Id | None]],
    ids: Sequence[Id],
    rows: Floats,
    vector: Vector,
    fetch: Fetch,
    k: int,
) -> list[Id]:
    """Rows that belong among the hits of a search by their own vector and are not there.

    Not those that score no better than the worst hit: under dot others may score higher, and of
    many equal rows only some fit in.

    Args:
        found: ids of each row's hits.
        ids, rows: the rows, float32 ``(n, d)``.
        fetch: gives vectors of hits.
        k: hits that were asked for.
    """
    missing = []
    for key, row, hits in zip(ids, rows, found, strict=True):
        there = list(dict.fromkeys(hit for hit in hits if hit is not None))
        if key in there:
            continue
        _, others = fetch(there) if there else ((), rows[:0])
        if len(others) < k:
            missing.append(key)
            continue
        pair = np.zeros(len(others) + 1, dtype=np.intp)
        of = np.arange(len(pair), dtype=np.intp)
        scores = pair_scores(
            row[None], np.concatenate([row[None], others]), pair, of, vector.metric
        )
        if scores[0] > scores[1:].min() + tolerance(scores[0], vector.dim):
            missing.append(key)
    return missing
