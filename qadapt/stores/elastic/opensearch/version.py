"""The version of the k-NN plugin, and the version that introduced each feature.

docs/engines/opensearch.md#versions
"""

from __future__ import annotations

from qadapt.stores.engine_version import EngineVersion

OLDEST = "2.17"  # compression_level, mode, rescore
SINCE_LUCENE_SCALAR = "2.16"
SINCE_RESCORE_OFF = "2.19"  # `rescore: false` had no effect on on_disk before
SINCE_ONE_BIT = "3.6"  # also the method flat, and `bits` is required
SINCE_MORE_BITS = "3.9"  # 2 and 4 bits, flat with 8x and 16x


class ServerVersion(EngineVersion):
    """An OpenSearch server; the k-NN plugin has the same version."""

    product = "OpenSearch"


NEWEST = ServerVersion()
