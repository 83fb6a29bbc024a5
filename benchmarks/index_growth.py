"""Growth of a CodeIndex: bytes per id, bytes written per save, and a large index.

    python benchmarks/index_growth.py                    # ids and saves: 100,000 x 1,024
    python benchmarks/index_growth.py --large 10000000   # also 10 million rows of 128 dimensions

Bytes written are those passed to write() by this process (wchar in /proc/self/io), so Linux only.
Times are CPU seconds of one thread unless "elapsed" is stated.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from qadapt.code_index import CodeIndex
from qadapt.code_index.id_column import IdColumn
from qadapt.code_index.row_map import RowMap

BATCH = 100_000


def written() -> int:
    """Bytes that this process has passed to write()."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["wchar"])


def resident() -> tuple[float, float]:
    """Anonymous memory and mapped files of this process in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    sizes = dict(line.split(":", 1) for line in lines)
    return tuple(int(sizes[key].split()[0]) / 1024 for key in ("RssAnon", "RssFile"))  # type: ignore[return-value]


@contextmanager
def measured(what: str) -> Iterator[None]:
    """Print CPU and elapsed seconds, and memory afterwards."""
    cpu, clock = time.process_time(), time.perf_counter()
    yield
    cpu, clock = time.process_time() - cpu, time.perf_counter() - clock
    anonymous, mapped = resident()
    print(
        f"  {what:<44} {cpu:9.3f} s CPU, {clock:8.2f} s elapsed; "
        f"{anonymous:7.0f} + {mapped:.0f} MB resident"
    )


def batches(rows: int, dim: int, seed: int = 0) -> Iterator[tuple[range, np.ndarray]]:
    """Ids and random unit-scale vectors in batches."""
    for start in range(0, rows, BATCH):
        ids = range(start, min(start + BATCH, rows))
        rng = np.random.default_rng((seed, start))
        yield ids, rng.standard_normal((len(ids), dim), dtype=np.float32)


# -- ids -----------------------------------------------------------------------------------------


def measure_ids(rows: int) -> None:
    """Bytes per id, and the time of adding and looking up ids, by kind."""
    rng = np.random.default_rng(1)
    kinds: dict[str, Callable[[], object]] = {
        "int, ascending": lambda: np.arange(rows),
        "int, random order": lambda: rng.permutation(rows),
        "UUID": lambda: [str(uuid.UUID(bytes=rng.bytes(16), version=4)) for _ in range(rows)],
        "text, 12 characters": lambda: [f"doc-{i:08d}" for i in rng.permutation(rows).tolist()],
    }
    print(f"Ids, {rows:,} rows in batches of 10,000, all looked up")
    for name, make in kinds.items():
        ids = make()
        index = RowMap()
        cpu = time.process_time()
        for start in range(0, rows, 10_000):
            index.append(IdColumn.of(ids[start : start + 10_000]))  # type: ignore[index]
        added = time.process_time() - cpu
        column = IdColumn.of(ids)
        cpu = time.process_time()
        assert (index.places(column) == np.arange(rows)).all()
        found = time.process_time() - cpu
        one = column.take(np.array([rows // 3]))
        cpu = time.process_time()
        for _ in range(200):
            index.places(one)
        single = (time.process_time() - cpu) / 200
        print(
            f"  {name:<22} {index.nbytes / rows:6.1f} bytes per row; {added / rows * 1e6:5.2f} us "
            f"per added id, {found / rows * 1e6:5.2f} us per id looked up in one call, "
            f"{single * 1e6:4.0f} us for a single one"
        )


# -- saves ---------------------------------------------------------------------------------------


def measure_saves(folder: Path, rows: int, dim: int, saves: int) -> None:
    """Bytes written by saves of one changed row."""
    print(f"{saves:,} saves of one replaced row, {rows:,} x {dim}")
    with CodeIndex.create(folder / "saves", dim) as index:
        for ids, vectors in batches(rows, dim):
            index.add(ids, vectors)
        index.save()
        new = np.random.default_rng(2).standard_normal((saves, dim), dtype=np.float32)
        chosen = np.random.default_rng(3).choice(rows, saves, replace=False)
        sizes = []
        cpu = time.process_time()
        for one, vector in zip(chosen.tolist(), new, strict=True):
            before = written()
            index.upsert([one], vector[None])
            index.save()
            sizes.append(written() - before)
        cpu = time.process_time() - cpu
        changed = dim + -(-dim // 8) + 8
        print(
            f"  bytes per save: median {np.median(sizes):,.0f}, most {max(sizes):,}, total "
            f"{sum(sizes):,}: {sum(sizes) / saves / changed:.1f} times the changed bytes "
            f"({changed:,} per row)"
        )
        print(f"  CPU per upsert and save: {cpu / saves * 1000:.1f} ms")
        print(f"  segments: {len(index._header.segments)}")


# -- large ---------------------------------------------------------------------------------------


def measure_large(folder: Path, rows: int, dim: int) -> None:
    """Build, save, open, search and change a large index."""
    place = folder / "large"
    print(f"{rows:,} x {dim}, memory of this process before: {resident()[0]:.0f} MB")
    made = 0.0
    with CodeIndex.create(place, dim) as index:
        with measured("build (with generating the vectors)"):
            for ids, vectors in batches(rows, dim):
                cpu = time.process_time()
                index.add(ids, vectors)
                made += time.process_time() - cpu
        print(f"  of which CodeIndex.add: {made:.1f} s CPU, {rows / made:,.0f} rows/s")
        with measured("save"):
            index.save()
        print(f"  nbytes: {index.nbytes}")
    for verify in ("lazy", "full"):
        with measured(f"open, verify={verify!r}"):
            index = CodeIndex.open(place, read_only=True, verify=verify)  # type: ignore[arg-type]
        index.close()
    index = CodeIndex.open(place)
    queries = next(batches(100, dim))[1] + np.float32(0.3)
    with measured("first search, 1 query, k=10, rescore=4"):
        index.search(queries[0], 10)
    with measured("20 searches of 1 query"):
        for query in queries[1:21]:
            index.search(query, 10)
    with measured("1 search of 64 queries"):
        index.search(queries[:64], 10)
    with measured("upsert of 1 row, the first look-up of an id"):
        index.upsert([rows // 2], queries[:1])
    with measured("100 upserts of 1 row"):
        for at in range(100):
            index.upsert([at * 37], queries[at % 64][None])
    before = written()
    with measured("save"):
        index.save()
    print(f"  written: {written() - before:,} bytes; nbytes: {index.nbytes}")
    index.close()
    print(f"  peak memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=1024)
    parser.add_argument("--saves", type=int, default=1000)
    parser.add_argument("--ids", type=int, default=1_000_000, help="0 measures no ids")
    parser.add_argument("--large", type=int, default=0, help="rows of 128 dimensions; 0 for none")
    parser.add_argument("--folder", type=Path, help="folder of the indexes; default: temporary")
    given = parser.parse_args()
    print(f"numpy {np.__version__}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        if given.ids:
            measure_ids(given.ids)
        if given.saves:
            measure_saves(Path(folder), given.rows, given.dim, given.saves)
        if given.large:
            measure_large(Path(folder), given.large, 128)


if __name__ == "__main__":
    main()
