"""A code index of your own vectors: build, save, open, search, filter, change.

    python examples/code_index.py [FOLDER]

Needs only qadapt. With the extra `fast`, scans of large indexes are compiled.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

import qadapt as qa

ROWS, DIM = 20_000, 256


def main(folder: Path) -> None:
    rng = np.random.default_rng(0)
    centers = rng.standard_normal((200, DIM), dtype=np.float32)
    vectors = centers[rng.integers(0, 200, ROWS)]
    vectors += 0.7 * rng.standard_normal((ROWS, DIM), dtype=np.float32)
    ids = np.arange(ROWS)
    queries = vectors[:50] + 0.3 * rng.standard_normal((50, DIM), dtype=np.float32)

    # Sign bits in memory for the scan, int8 codes on disk for rescoring; saved at the end.
    with qa.CodeIndex.create(folder, dim=DIM, metric="cosine") as index:
        index.add(ids, vectors)
        print("bytes:", index.nbytes, "instead of", vectors.nbytes)

    with qa.CodeIndex.open(folder) as index:
        # 4 x 10 candidates by Hamming distance, rescored with the int8 codes.
        hits = index.search(queries, k=10, rescore=4)
        print("first stage:", hits.searcher, "rescored on:", hits.rescored_on)

        # Recall against exact search, which needs all original vectors.
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        truth = np.argsort(-(queries @ unit.T), axis=1)[:, :10]
        for rescore in (1, 4, 16):
            found = index.search(queries, k=10, rescore=rescore).ids
            pairs = zip(found.tolist(), truth.tolist(), strict=True)
            recall = np.mean([len(set(a) & set(b)) / 10 for a, b in pairs])
            print(f"rescore={rescore}: recall@10 {recall:.3f}")

        # Exact scores: rescoring with original vectors, fetched from where you keep them.
        exact = index.search(queries[:1], k=3, fetch=lambda wanted: vectors[wanted])
        print("exact cosines:", exact.scores.round(4).tolist()[0])

        # A filter is a mask in the order of index.ids, or a list of ids.
        even = index.search(queries, k=10, mask=np.arange(len(index)) % 2 == 0)
        assert all(one % 2 == 0 for one in even.ids.ravel())
        few = index.search(queries[:1], k=3, ids=[5, 6, 7])
        assert set(few.ids.ravel()) == {5, 6, 7}

        # Changes are in memory until save(), which is atomic.
        index.delete([0, 1])
        index.upsert([2], queries[:1])
        index.save()
        print("rows:", len(index))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as place:
            main(Path(place) / "index")
