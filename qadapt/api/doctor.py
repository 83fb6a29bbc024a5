"""Function ``qa.doctor(collection)``, the same as ``collection.doctor()``."""

from __future__ import annotations

from typing import Any

from qadapt.api.collection import Collection
from qadapt.diagnosis import Diagnosis


def doctor(collection: Collection, **options: Any) -> Diagnosis:
    """Find problems of a collection; see ``Collection.doctor``."""
    return collection.doctor(**options)
