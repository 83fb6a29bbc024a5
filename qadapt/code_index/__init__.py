"""Code index: sign bits in memory, int8 codes on disk, float32 queries.

from qadapt.code_index import CodeIndex

with CodeIndex.create("articles.codes", dim=384, metric="cosine") as index:
    index.add(ids, vectors)
    hits = index.search(queries, k=10, rescore=4)
"""

from __future__ import annotations

from qadapt.code_index.code_index import CodeIndex
from qadapt.code_index.hits import CodeHits

__all__ = ["CodeHits", "CodeIndex"]
