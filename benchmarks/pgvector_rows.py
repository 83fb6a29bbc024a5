"""Writing and reading rows of PostgreSQL: qadapt compared with psycopg's COPY and pgvector-python.

    python benchmarks/pgvector_rows.py --rows 20000 --dim 384

Both write and read the same rows in turns. The peer copies rows in binary with ``set_types`` and
``write_row``, and reads with a binary cursor, as the documentation of pgvector-python shows.
Seconds and CPU seconds of this process are medians; the ratio is that of the seconds.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import qadapt as qa

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--rows", type=int, default=20_000)
    options.add_argument("--dim", type=int, default=384)
    options.add_argument("--rounds", type=int, default=5)
    asked = options.parse_args()
    sys.path.insert(0, str(ROOT / "tests"))
    from live.postgres import PostgresServer

    server = PostgresServer().start()
    try:
        compare(server.url, asked.rows, asked.dim, asked.rounds)
    finally:
        server.stop()


def compare(url: str, count: int, dim: int, rounds: int) -> None:
    import psycopg
    from pgvector.psycopg import register_vector

    rows = np.random.default_rng(0).standard_normal((count, dim)).astype(np.float32)
    ids = list(range(count))
    raw: Any = psycopg.connect(url, autocommit=True)
    register_vector(raw)
    raw.execute(f"CREATE TABLE peer (id bigint PRIMARY KEY, embedding vector({dim}))")
    db = qa.open(url)
    ours = db.create("ours", dim=dim)

    def peer_write() -> None:
        raw.execute("TRUNCATE peer")
        with raw.cursor().copy("COPY peer FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(["int8", "vector"])
            for key, row in zip(ids, rows, strict=True):
                copy.write_row((key, row))

    def our_write() -> None:
        raw.execute("TRUNCATE ours")
        ours.write(qa.Batch(ids, {"": rows}))

    def peer_read() -> None:
        with raw.cursor(binary=True) as cursor:
            found = cursor.execute("SELECT id, embedding FROM peer ORDER BY id").fetchall()
        assert np.stack([_array(each[1]) for each in found]).shape == (count, dim)

    def our_read() -> None:
        read = qa.Batch.concat(list(ours.read(payload=False, page=count)))
        assert read.vectors[""].shape == (count, dim)

    for word, one, other in (("write", our_write, peer_write), ("read", our_read, peer_read)):
        report(word, count, turns(one, other, rounds))
    db.close()
    raw.close()


def _array(value: Any) -> np.ndarray:
    return value.to_numpy() if hasattr(value, "to_numpy") else np.asarray(value)


def turns(
    one: Callable[[], None], other: Callable[[], None], rounds: int
) -> list[list[tuple[float, float]]]:
    """Seconds and CPU seconds of each, in turns; the first round warms up."""
    found: list[list[tuple[float, float]]] = [[], []]
    for number in range(rounds + 1):
        pair = [(0, one), (1, other)]
        for place, work in pair if number % 2 else reversed(pair):
            begun, cpu = time.perf_counter(), time.process_time()
            work()
            if number:
                found[place].append((time.perf_counter() - begun, time.process_time() - cpu))
    return found


def report(word: str, count: int, found: list[list[tuple[float, float]]]) -> None:
    seconds = [statistics.median(each[0] for each in runs) for runs in found]
    cpu = [statistics.median(each[1] for each in runs) for runs in found]
    print(
        f"{word:5}  qadapt {count / seconds[0]:9,.0f} rows/s"
        f"  peer {count / seconds[1]:9,.0f} rows/s"
        f"  ratio {seconds[1] / seconds[0]:.2f}  CPU ratio {cpu[1] / cpu[0]:.2f}"
    )


if __name__ == "__main__":
    main()
