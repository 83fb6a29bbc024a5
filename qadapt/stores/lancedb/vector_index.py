"""Building, completing, dropping and restoring the index of a vector."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from qadapt.errors import StoreError, StoreTimeoutError
from qadapt.stores.lancedb import mapping, settings
from qadapt.stores.lancedb.connection import retried
from qadapt.stores.lancedb.schema import Column
from qadapt.stores.lancedb.snapshot import vector_indexes
from qadapt.stores.lancedb.status import VectorIndex
from qadapt.stores.operations import Execution
from qadapt.stores.polling import poll
from qadapt.stores.store_types import Progress

if TYPE_CHECKING:
    from qadapt.stores.lancedb.store import LanceDbStore

# `optimize` also deletes versions that are older; this keeps all of them.
KEEP_VERSIONS = timedelta(days=36_500)
# Keys of a configuration that are arguments of lancedb.
_ARGUMENTS = (
    "num_bits", "num_sub_vectors", "num_partitions", "target_partition_size", "sample_rate",
    "max_iterations", "m", "ef_construction",
)  # fmt: skip
_CLASSES = {
    "IVF_FLAT": "IvfFlat",
    "IVF_SQ": "IvfSq",
    "IVF_PQ": "IvfPq",
    "IVF_RQ": "IvfRq",
    "IVF_HNSW_FLAT": "HnswFlat",
    "IVF_HNSW_SQ": "HnswSq",
    "IVF_HNSW_PQ": "HnswPq",
}


def native_config(config: Mapping[str, Any], metric: str) -> Any:
    """The configuration of ``lancedb.index``."""
    from lancedb import index

    given = {key: config[key] for key in _ARGUMENTS if key in config}
    return getattr(index, _CLASSES[str(config["type"])])(distance_type=metric, **given)


def build(
    at: Execution[LanceDbStore], vector: str, config: Mapping[str, Any], metric: str | None = None
) -> None:
    """Build an index in one commit, in place of the current one; searches continue.

    Rows that are written during the build are indexed afterwards. Other indexes of the column are
    dropped first, because the oldest one would serve its searches.

    Args:
        metric: the engine's word; None for that of the vector.
    """
    handle, column = _opened(at, vector)
    word = metric or mapping.WORDS[column.vector.metric]
    indexes = _indexes(handle, column)
    for each in indexes[1:]:
        _drop(at, handle, each.name)
    name = indexes[0].name if indexes else f"{column.name}_idx"
    at.progress(Progress(f"building {config['type']} of {column.name}", 0, 1, "share"))

    def create() -> None:
        handle.checkout_latest()  # a repeated commit of the former version conflicts again
        native = native_config(config, word)
        handle.create_index(column.name, config=native, name=name, replace=True)

    retried(f"index {column.name!r} of {at.collection!r}", create, time.sleep)
    complete(at, vector)


def complete(at: Execution[LanceDbStore], vector: str) -> None:
    """Index the rows that are not in the index, until there are none.

    An index that holds no row is not changed: the engine builds product codes of 8 bits from 256
    rows on.
    """

    def look() -> VectorIndex | None:
        handle, column = _opened(at, vector)
        found = _indexes(handle, column)
        if found and found[0].indexed and found[0].unindexed:
            _optimize(at, handle)
            found = _indexes(handle, column)
        return found[0] if found else None

    def done(index: VectorIndex | None) -> bool:
        return index is None or not index.indexed or not index.unindexed

    def progress(index: VectorIndex | None) -> Progress:
        assert index is not None
        total = index.indexed + index.unindexed
        return Progress("indexing new rows", index.indexed, total)

    def late(index: VectorIndex | None) -> Exception:
        left = index.unindexed if index is not None else 0
        return StoreTimeoutError(
            f"{left:,} rows are not in the index after {at.deadline.seconds:g} seconds",
            hint="other clients write at the same time; run `qadapt apply` again",
        )

    poll(look, done, progress, late, at.wait)


def _optimize(at: Execution[LanceDbStore], handle: Any) -> None:
    def optimize() -> None:
        handle.checkout_latest()
        handle.optimize(cleanup_older_than=KEEP_VERSIONS)

    retried(f"index new rows of {at.collection!r}", optimize, time.sleep)


def drop(at: Execution[LanceDbStore], vector: str) -> None:
    """Drop the indexes of a vector."""
    handle, column = _opened(at, vector)
    for each in _indexes(handle, column):
        _drop(at, handle, each.name)


def _drop(at: Execution[LanceDbStore], handle: Any, name: str) -> None:
    def drop_index() -> None:
        handle.checkout_latest()
        if any(each.name == name for each in handle.list_indices()):
            handle.drop_index(name)

    retried(f"drop the index {name!r} of {at.collection!r}", drop_index, time.sleep)


def restore(
    at: Execution[LanceDbStore], vector: str, config: Mapping[str, Any], version: int, metric: str
) -> None:
    """Bring the index of an earlier version back.

    ``restore`` of the engine also loses all rows that were written since. It is used only if each
    version since then has the same rows and files; otherwise the index is built again.
    """
    handle, column = _opened(at, vector)
    found = _indexes(handle, column)
    word = mapping.WORDS[column.vector.metric]
    if len(found) == 1 and word == metric == found[0].metric:
        current = found[0]
        given = {key: value for key, value in config.items() if key in current.config}
        if mapping.same_codes(current.config, config, given) and not current.unindexed:
            return
    latest = unchanged_through(handle, version) if word == metric else None
    if latest is not None:
        kept = settings.read(handle, at.store.layout(at.collection).table)
        done = retried(
            f"restore version {version}",
            lambda: _restored(handle, version, latest),
            time.sleep,
        )
        settings.write_if_different(at.store, at.collection, kept)
        if done:
            return
    build(at, vector, config)


def _restored(handle: Any, version: int, latest: int) -> bool:
    """Restore a version; whether no other client has committed after ``latest``.

    ``restore`` conflicts with no other commit. If there was one, its version is restored, so that
    its rows are not lost.
    """
    handle.restore(version)
    made = handle.version
    if made == latest + 1:
        return True
    handle.restore(made - 1)
    if handle.version != made + 1:
        raise StoreError(
            f"other clients changed the table while version {version} was restored: rows of the "
            f"versions {made - 1} and {handle.version - 1} differ",
            hint="stop other writes, and compare these versions with `table.checkout` of lancedb",
        )
    return False


def unchanged_through(handle: Any, version: int) -> int | None:
    """The latest version, if no commit since a version has written, deleted or rewritten rows."""
    listed = {int(each["version"]): each["metadata"] for each in handle.list_versions()}
    latest = max(listed)
    if version not in listed or any(each not in listed for each in range(version, latest + 1)):
        return None
    totals = [
        {key: value for key, value in listed[each].items() if key.startswith("total_")}
        for each in range(version, latest + 1)
    ]
    same = bool(totals[0]) and all(each == totals[0] for each in totals)
    return latest if same else None


def _opened(at: Execution[LanceDbStore], vector: str) -> tuple[Any, Column]:
    """A handle of the latest version for changes, and the column of a vector."""
    at.store.forget(at.collection)
    column = at.store.layout(at.collection).table.column_of(vector)
    return at.store.connection.open_table(at.collection), column


def _indexes(handle: Any, column: Column) -> tuple[VectorIndex, ...]:
    return vector_indexes(handle).get(column.name, ())
