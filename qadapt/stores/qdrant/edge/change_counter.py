"""The engine's change counter: the version of each segment.

A segment's version is the number of the last operation that changed it. Observed with
qdrant-edge-py 0.9.0: each upsert and each deletion of existing points changes it, even of a single
point; reads, ``flush`` and reopening the collection do not. ``optimize`` gives segments new ids
when it merges or rebuilds them, so that all rows are compared once although none changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from qadapt.stores.change_counter import ChangeCounter

NAME = "segment versions"


def of_manifest(manifest: Mapping[str, Any]) -> ChangeCounter | None:
    """The counter of ``EdgeShard.snapshot_manifest()``; None if a segment has no version.

    A new, empty segment has none yet and is skipped, because it has no rows.
    """
    versions = []
    for segment in sorted(manifest):
        version = manifest[segment].get("segment_version")
        if version is None:
            return None
        versions.append(f"{segment}:{version}")
    return ChangeCounter(NAME, hashlib.sha256(" ".join(versions).encode()).hexdigest())
