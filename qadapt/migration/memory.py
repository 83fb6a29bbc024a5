"""RAM and disk of the dense vectors in the source and in the target."""

from __future__ import annotations

from collections.abc import Mapping

from qadapt.costing import as_seen, memory
from qadapt.costing.footprints import change_between, total
from qadapt.errors import UnsupportedError
from qadapt.migration.plan import VectorPlan
from qadapt.model import CollectionInfo, MemoryChange


def memory_of_both(
    info: CollectionInfo, vectors: Mapping[str, VectorPlan], target: str
) -> MemoryChange | None:
    """RAM and disk of the source, as reported, and of the target, computed.

    None if there are no dense vectors, or if one of the stores has no cost model.

    Args:
        info: the source.
        target: name of the store of the target.
    """
    if not vectors:
        return None
    try:
        before = [as_seen(info, name) for name in vectors]
        after = [
            memory(each.count, each.target, each.requested_quantization, target)
            for each in vectors.values()
        ]
    except UnsupportedError:
        return None
    return change_between(total(before), total(after))
