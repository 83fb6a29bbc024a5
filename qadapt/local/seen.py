"""A collection as seen: what the store tells, and what qadapt keeps beside it."""

from __future__ import annotations

from qadapt.local import codes
from qadapt.local.settings import read_settings
from qadapt.local.state import VectorSettings
from qadapt.model import CollectionInfo, VectorInfo
from qadapt.stores.base import Store


def info(store: Store, collection: str) -> CollectionInfo:
    """The store's info, with our rescoring settings and our codes where they are in force.

    Raises:
        NotFoundError: no such collection.
    """
    told = store.info(collection)
    settings = read_settings(store, collection)
    vectors = {
        name: _merged(store, told, vector, settings.of(name))
        for name, vector in told.vectors.items()
    }
    return told.replace(vectors=vectors)


def _merged(
    store: Store, told: CollectionInfo, vector: VectorInfo, settings: VectorSettings
) -> VectorInfo:
    if settings.client is not None:
        status, size = codes.status(store, told.name, vector.name, settings.client, vector.count)
        vector = vector.replace(
            quantization=settings.client,
            held_by="qadapt",
            status=status,
            code_bytes=size,
            default_rescore=codes.default_rescore(settings.client),
        )
    if settings.rescore is not None:
        vector = vector.replace(
            default_rescore=settings.rescore,
            quantization=vector.quantization.replace(rescore=settings.rescore),
        )
    return vector
