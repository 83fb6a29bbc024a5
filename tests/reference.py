"""Quantized search in plain numpy, written for tests and sharing no code with the package.

Each function takes float32 rows of length 1. Expectations on real embeddings are computed with
these, so that they hold for any data.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

K = 10


def top(scores: np.ndarray, k: int = K) -> np.ndarray:
    """Row numbers of the ``k`` highest scores of each query, best first."""
    return np.argsort(-scores, axis=1, kind="stable")[:, :k]


def recall(found: np.ndarray, truth: np.ndarray) -> float:
    """Mean share of ``truth`` that is in ``found``."""
    shared = [len(set(a) & set(b)) for a, b in zip(found.tolist(), truth.tolist(), strict=True)]
    return float(np.mean(shared) / truth.shape[1])


def hamming(docs: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """Scores of one-bit codes: minus the number of dimensions whose signs differ."""
    signs = np.where(docs > 0, 1, -1).astype(np.float32)
    asked = np.where(queries > 0, 1, -1).astype(np.float32)
    same: np.ndarray = (asked @ signs.T - docs.shape[1]) / 2
    return same


def asymmetric(docs: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """Scores of one-bit codes under a float query."""
    found: np.ndarray = queries @ np.where(docs > 0, 1, -1).astype(np.float32).T
    return found


def scalar(docs: np.ndarray, queries: np.ndarray, *, levels: int = 127) -> np.ndarray:
    """Scores of integer codes with one range for all dimensions, of rows and queries alike."""
    low, high = float(docs.min()), float(docs.max())
    step = (high - low) / levels

    def decoded(x: np.ndarray) -> np.ndarray:
        codes = np.clip(np.floor((x - low) / step), 0, levels)
        restored: np.ndarray = (low + codes * step).astype(np.float32)
        return restored

    found: np.ndarray = decoded(queries) @ decoded(docs).T
    return found


def rescored(codes: np.ndarray, exact: np.ndarray, factor: float, k: int = K) -> np.ndarray:
    """Row numbers of the ``k`` best by ``exact`` among the ``factor * k`` best by ``codes``."""
    candidates = top(codes, math.ceil(factor * k))
    order = top(np.take_along_axis(exact, candidates, axis=1), k)
    return np.take_along_axis(candidates, order, axis=1)


def binary_recall(docs: np.ndarray, queries: np.ndarray, factor: float = 1, k: int = K) -> float:
    """recall@k of one-bit codes, with ``factor * k`` candidates rescored by the vectors."""
    exact = queries @ docs.T
    return recall(rescored(hamming(docs, queries), exact, factor, k), top(exact, k))


def ndcg(
    found: np.ndarray,
    doc_ids: Sequence[str],
    query_ids: Sequence[str],
    qrels: Mapping[str, Mapping[str, int]],
    k: int = K,
) -> float:
    """Mean nDCG@k of row numbers against relevance labels."""
    total = 0.0
    for query, row in zip(query_ids, found.tolist(), strict=True):
        labels = qrels[query]
        gains = [
            labels.get(doc_ids[at], 0) / math.log2(place + 2) for place, at in enumerate(row[:k])
        ]
        best = sorted(labels.values(), reverse=True)[:k]
        total += sum(gains) / sum(gain / math.log2(place + 2) for place, gain in enumerate(best))
    return total / len(query_ids)
