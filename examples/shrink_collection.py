"""Quantize a collection with a guard, measure it, search it, and undo the change.

    pip install 'qadapt-vectors[edge]'
    python examples/shrink_collection.py [FOLDER]

For a server, replace `edge:...` with its address, such as `qdrant+http://localhost:6333`.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

import qadapt as qa

ROWS, DIM = 3_000, 128


def main(folder: Path) -> None:
    # Clustered, as embeddings are.
    rng = np.random.default_rng(0)
    centers = rng.standard_normal((60, DIM), dtype=np.float32)
    vectors = centers[rng.integers(0, 60, ROWS)]
    vectors += 0.5 * rng.standard_normal((ROWS, DIM), dtype=np.float32)
    queries = vectors[:50] + 0.2 * rng.standard_normal((50, DIM), dtype=np.float32)

    with qa.open(f"edge:{folder}") as database:
        collection = database.create("articles", dim=DIM, metric="cosine")
        payload = [{"year": 2000 + row % 25} for row in range(ROWS)]
        collection.write(qa.Batch(range(ROWS), {"": vectors}, payload))

        # The plan names each step, the request that reverses it, and memory before and after.
        plan = collection.plan(qa.binary(rescore=4, codes="ram", originals="disk"))
        print(plan.memory)

        # Applied, verified on the engine, and rolled back if recall@10 is too low.
        guard = qa.Guard(recall=0.9, clients="configured", queries=queries)
        change = plan.apply(yes=True, guard=guard)
        print("status:", change.status.state)

        # What clients without qadapt must send to get this recall.
        found = collection.verify(queries=queries)
        print(f"recall@10 {found.recall.value:.3f}, without parameters ", end="")
        print(f"{found.recall_no_params.value:.3f}")
        print(collection.client_params().code["qdrant-edge"])

        hits = collection.search(queries[0], k=3, filter={"year": {"gte": 2015}}, with_payload=True)
        for hit in hits:
            print(hit.id, round(hit.score, 3), hit.payload)
        print("rescored on:", hits.how.rescored_on)

        change.undo()
        print("after undo:", collection.info().vectors[""].quantization)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as place:
            main(Path(place))
