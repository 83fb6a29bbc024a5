"""Writing and reading rows of LanceDB: qadapt compared with lancedb and Arrow.

    python benchmarks/lancedb_rows.py --rows 20000 --dim 384

Both write and read the same rows in turns, with an integer id, a vector and, with ``--payload``, a
JSON payload. The client adds an Arrow table with the same columns, built from the same arrays, in
batches of ``--batch`` rows, and reads pages of the same number of rows as numpy arrays. Seconds and
CPU seconds of this process are medians; the ratio is that of the seconds.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from typing import Any

import lancedb
import numpy as np
import pyarrow as pa
from pgvector_rows import report, turns

import qadapt as qa


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--rows", type=int, default=20_000)
    options.add_argument("--dim", type=int, default=384)
    options.add_argument("--batch", type=int, default=5_000)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--payload", action="store_true")
    asked = options.parse_args()
    with tempfile.TemporaryDirectory() as folder, qa.open(f"lancedb:{folder}") as db:
        compare(db, lancedb.connect(folder), asked)


def compare(db: Any, client: Any, asked: argparse.Namespace) -> None:
    count, dim = asked.rows, asked.dim
    rows = np.random.default_rng(0).standard_normal((count, dim)).astype(np.float32)
    parts = [(at, min(at + asked.batch, count)) for at in range(0, count, asked.batch)]
    payloads = [{"group": at % 7, "title": f"row {at}"} for at in range(count)]
    fields = [("id", pa.int64()), ("vector", pa.list_(pa.float32(), dim)), ("payload", pa.json_())]
    state: dict[str, Any] = {}

    schema = pa.schema(fields)
    names = [str(at) for at in range(asked.rounds + 1)]
    peers = [client.create_table(f"peer{name}", schema=schema) for name in names]
    ours = [db.create(f"ours{name}", dim=dim, metric="dot") for name in names]

    def peer_write() -> None:
        state["peer"] = table = peers.pop()
        for start, stop in parts:
            vectors = pa.FixedSizeListArray.from_arrays(pa.array(rows[start:stop].ravel()), dim)
            texts = ["{}"] * (stop - start)
            if asked.payload:
                texts = [json.dumps(each) for each in payloads[start:stop]]
            cells = pa.ExtensionArray.from_storage(pa.json_(), pa.array(texts))
            ids = pa.array(range(start, stop))
            table.add(pa.table({"id": ids, "vector": vectors, "payload": cells}))

    def our_write() -> None:
        state["ours"] = made = ours.pop()
        for start, stop in parts:
            batch = qa.Batch(
                range(start, stop),
                {"": rows[start:stop]},
                payloads[start:stop] if asked.payload else None,
            )
            made.write(batch)

    def peer_read() -> None:
        columns = ["id", "vector", *(["payload"] if asked.payload else [])]
        seen = 0
        found = state["peer"].search().select(columns).to_batches(asked.batch)
        for batch in found:
            vectors = batch.column("vector").flatten().to_numpy().reshape(-1, dim)
            ids = batch.column("id").to_pylist()
            if asked.payload:
                _ = [json.loads(text) for text in batch.column("payload").to_pylist()]
            seen += len(vectors)
            assert len(ids) == len(vectors)
        assert seen == count

    def our_read() -> None:
        pages = state["ours"].read(payload=asked.payload, page=asked.batch)
        assert sum(len(page.vectors[""]) for page in pages) == count

    report("write", count, turns(our_write, peer_write, asked.rounds))
    report("read", count, turns(our_read, peer_read, asked.rounds))


if __name__ == "__main__":
    main()
