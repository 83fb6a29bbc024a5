"""Versions of Elasticsearch and the features that they added."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from qadapt.stores.engine_version import EngineVersion

OLDEST = "8.12.0"
SINCE_FLAT = "8.13.0"
SINCE_INT4 = "8.15.0"
SINCE_BBQ = "8.16.0"
SINCE_RESCORE = "8.18.0"
SINCE_BYTES_OF_CODES = "9.1.0"
SINCE_EXCLUDED_VECTORS = "9.2.0"
SINCE_BASE64 = SINCE_BFLOAT16 = SINCE_ON_DISK_RESCORE = "9.3.0"
# Codes have 16 bytes of corrections (seen on 9.5.3; the format is named after 9.4), before that 4.
SINCE_WIDE_CORRECTIONS = "9.4.0"
# Rescored candidates are the oversampling times k; in 8.19 times num_candidates (9.0 to 9.4 were
# not observed).
SINCE_OVERSAMPLED_K = "9.0.0"
# Codes have an interval for each vector; before, int8 and int4 codes had one for a segment, which
# confidence_interval sets (seen on 8.19.21 and 9.5.3; the version between is read).
SINCE_INTERVAL_PER_VECTOR = "9.4.0"
# The server accepts a query vector in base64; earlier versions were not tried.
SINCE_BASE64_QUERY = "9.5.0"
# Reading a point in time in parts by the id: 8.19 refuses it; versions between were not observed.
SINCE_SLICES_BY_ID = "9.5.0"


@dataclass(frozen=True)
class ServerVersion(EngineVersion):
    """The version of a server."""

    product: ClassVar[str] = "Elasticsearch"

    @property
    def maps_rescoring(self) -> bool:
        """Whether a mapping holds a rescoring, which bbq has by default, and a search can turn it
        off. 9.0 is as old as 8.18, which does neither, and was not observed."""
        return self.has("9.1.0") or (self.has("8.19.0") and not self.has("9.0.0"))
