"""Rows that searches do not reach: each row of a sample is searched for by its own vector.

An index may lose rows that its store still has: Weaviate 1.39.0, killed, came back with all objects
and without its newest ones in the vector index (facts/weaviate.md section 7), and no status tells.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qadapt.engines.exact import exact_row_scores
from qadapt.local.settings import read_settings
from qadapt.model import CollectionInfo, Hits, Id, Kind, Plain, Rescore, Vector
from qadapt.model.data import Floats
from qadapt.search import search
from qadapt.stores.base import OnProgress, Progress, Search, Store

SAMPLE = 500
K = 10
BLOCK = 64
# Codes put a row itself near the top of its own results, not always first.
OVERSAMPLING = 4.0
CURE = (
    "delete these rows and write them again; the same vector written over an old one may heal "
    "nothing"
)


@dataclass(frozen=True)
class Reach(Plain):
    """What was found.

    Attributes:
        sampled: rows whose own vector was searched for.
        unfound: ids of those that it does not find, though they score better than what it finds.
    """

    sampled: int
    unfound: tuple[Id, ...] = ()

    @property
    def words(self) -> str:
        """What a reader must know; empty where all were found."""
        if not self.unfound:
            return ""
        some = ", ".join(map(str, self.unfound[:3])) + (", ..." if len(self.unfound) > 3 else "")
        return (
            f"{len(self.unfound):,} of {self.sampled:,} sampled rows are not found by a search for "
            f"their own vector ({some}): the index has lost them. {CURE}"
        )


def reach(
    store: Store,
    info: CollectionInfo,
    name: str,
    progress: OnProgress,
    *,
    sample: int = SAMPLE,
    seed: int = 0,
) -> Reach:
    """Search for each of ``sample`` rows by its own vector.

    Args:
        sample: rows, drawn evenly; all where there are fewer.
    """
    batch = store.sample(info.name, sample, seed=seed, vectors=[name])
    there = ~batch.missing.get(name, np.zeros(len(batch), dtype=np.bool_))
    ids = [key for key, present in zip(batch.ids, there, strict=True) if present]
    rows = batch.vectors[name][there]
    now = info.vectors[name]
    more = store.allowed_rescore(info.name, Rescore(OVERSAMPLING))
    rescore = None if now.quantization.kind is Kind.NONE else more
    settings = read_settings(store, info.name).of(name)
    wanted = Search(k=min(K, store.most_results(info.name)), vector=name, rescore=rescore)
    unfound: list[Id] = []
    for start in range(0, len(ids), BLOCK):
        block = slice(start, start + BLOCK)
        hits = search(store, info.name, rows[block], wanted, now.vector, settings)
        unfound += _unfound(hits, ids[block], rows[block], now.vector)
        done = min(start + BLOCK, len(ids))
        progress(Progress("searching rows by their own vectors", done, len(ids), "vectors"))
    return Reach(len(ids), tuple(unfound))


def _unfound(hits: Hits, ids: list[Id], rows: Floats, vector: Vector) -> list[Id]:
    """Rows that belong among the hits and are not there.

    Not those that score no better than the last hit: under dot others may score higher, and of
    many equal rows only some fit in.
    """
    missing = []
    for at, (key, row) in enumerate(zip(ids, rows, strict=True)):
        if key in hits.ids[at].tolist():
            continue
        last = hits.scores[at, -1]
        own = exact_row_scores(row, row[None, :], vector.metric)[0]
        if np.isnan(last) or own > last + 1e-5 * max(1.0, abs(float(own))):
            missing.append(key)
    return missing
