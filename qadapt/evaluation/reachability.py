"""Find unreachable rows: search for each row of a sample with its own vector.

An index can lose rows that the database still stores. After Weaviate 1.39.0 was killed, it had all
objects, but the vector index lacked the newest ones (docs/engines/weaviate.md#crashes), and no
status reported it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qadapt.engines.exact import pair_scores, tolerance
from qadapt.evaluation.exact_neighbors import FETCHED, Fetch, stored_vectors
from qadapt.evaluation.row_samples import RowSamples
from qadapt.evaluation.subsets import Subset
from qadapt.local.settings import read_settings
from qadapt.model import CollectionInfo, Id, Rescore, Serializable, Vector
from qadapt.model.arrays import Floats
from qadapt.model.query_checks import usable_queries
from qadapt.search import search
from qadapt.stores.base import OnProgress, Progress, SearchRequest, Store

SAMPLE = 500
K = 10
BLOCK = 64
# With codes, a row is near the top of its results, but not always first.
OVERSAMPLING = 4.0
HNSW_ADVICE = (
    "delete these rows and write them again (overwriting a row with the same vector may not fix "
    "the index); if rows are still not found, copy the collection: qadapt migrate"
)


@dataclass(frozen=True)
class Reachability(Serializable):
    """Rows that a search with their own vector returns or misses.

    Attributes:
        sampled: number of rows whose own vector was searched for.
        unreachable: ids of rows that were not returned although they score higher than a hit.
    """

    sampled: int
    unreachable: tuple[Id, ...] = ()

    @property
    def words(self) -> str:
        """A note about unreachable rows; empty if there are none."""
        if not self.unreachable:
            return ""
        some = ", ".join(map(str, self.unreachable[:3])) + (
            ", ..." if len(self.unreachable) > 3 else ""
        )
        return (
            f"{len(self.unreachable):,} of {self.sampled:,} sampled rows are not found by "
            f"a search with their own vector ({some}): they are missing from the index; "
            f"{HNSW_ADVICE}"
        )


def measure_reachability(
    store: Store,
    info: CollectionInfo,
    name: str,
    progress: OnProgress,
    *,
    sample: int = SAMPLE,
    seed: int = 0,
    samples: RowSamples | None = None,
) -> Reachability:
    """Search for each of ``sample`` rows with its own vector.

    Args:
        sample: number of rows, drawn uniformly; all rows of a smaller collection.
        samples: draw the rows from these samples, instead of by ``seed``.
    """
    samples = samples or RowSamples(store, name, sample, seed)
    batch = samples.of(Subset(info.name)).rows(sample)
    there = ~batch.missing.get(name, np.zeros(len(batch), dtype=np.bool_))
    now = info.vectors[name]
    there &= usable_queries(batch.vectors[name], now.vector)
    ids = [key for key, present in zip(batch.ids, there, strict=True) if present]
    rows = batch.vectors[name][there]
    more = store.limit_rescore(info.name, Rescore(OVERSAMPLING))
    rescore = None if now.is_plain else more
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
        progress(Progress("searching for rows with their own vectors", done, len(ids), "vectors"))
    return Reachability(len(ids), tuple(unreachable))


def unreachable_among(
    found: Sequence[Sequence[Id | None]],
    ids: Sequence[Id],
    rows: Floats,
    vector: Vector,
    fetch: Fetch,
    k: int,
) -> list[Id]:
    """Ids of rows that are missing from the hits of a search with their own vector.

    A row that does not score higher than the worst hit is not missing: with the dot metric others
    can score higher, and only some of many equal rows fit into k.

    Args:
        found: ids of the hits of each row.
        ids, rows: the rows, float32 ``(n, d)``.
        fetch: returns the vectors of hits.
        k: number of requested hits.
    """
    asked = {
        at: list(dict.fromkeys(hit for hit in hits if hit is not None))
        for at, (key, hits) in enumerate(zip(ids, found, strict=True))
        if key not in hits
    }
    stored = _fetched(list(dict.fromkeys(hit for hits in asked.values() for hit in hits)), fetch)
    missing = []
    for at, hits in asked.items():
        others = [stored[hit] for hit in hits if hit in stored]
        if len(others) < k:
            missing.append(ids[at])
            continue
        pair = np.zeros(len(others) + 1, dtype=np.intp)
        of = np.arange(len(pair), dtype=np.intp)
        scores = pair_scores(rows[at][None], np.stack([rows[at], *others]), pair, of, vector.metric)
        if scores[0] > scores[1:].min() + tolerance(scores[0], vector.dim):
            missing.append(ids[at])
    return missing


def _fetched(ids: Sequence[Id], fetch: Fetch) -> dict[Id, Floats]:
    """The vectors of rows that exist, with few requests."""
    stored: dict[Id, Floats] = {}
    for start in range(0, len(ids), FETCHED):
        there, rows = fetch(ids[start : start + FETCHED])
        stored.update(zip(there, rows, strict=True))
    return stored
