"""Information about a collection from the database and the local state."""

from __future__ import annotations

from qadapt.local import client_codes, code_freshness
from qadapt.local.settings import read_settings
from qadapt.local.state import Settings, VectorSettings
from qadapt.model import CollectionInfo, VectorInfo
from qadapt.stores.base import Store

IGNORED = (
    "the default search parameter {} is ignored: the vector has no quantization (it was "
    "removed by another client, or the collection was restored or replaced); the next `qadapt "
    "apply` resets it"
)
FIRST_DIMS = "holds the first {:,} of {:,} dimensions; queries may have either width"
VECTOR_MISSING = (
    "the settings of the vector {!r} are ignored, because it does not exist; the next "
    "`qadapt apply` deletes them"
)


def info(store: Store, collection: str) -> CollectionInfo:
    """Info of the database, merged with saved rescoring settings and client-side codes.

    Settings that no longer apply are omitted and reported in ``notes``.

    Raises:
        NotFoundError: the collection does not exist.
    """
    return merged(store, store.info(collection))


def merged(store: Store, reported: CollectionInfo) -> CollectionInfo:
    """Same as ``info``, for a known inspection."""
    settings = read_settings(store, reported.name)
    vectors = {
        name: _merge_client_codes(store, reported.name, vector, settings.of(name))
        for name, vector in reported.vectors.items()
    }
    gone = settings_without_vector(reported, settings)
    return reported.replace(vectors=vectors, notes=(*reported.notes, *gone))


def settings_without_vector(reported: CollectionInfo, settings: Settings) -> tuple[str, ...]:
    """A note for each vector that has settings and does not exist."""
    return tuple(
        VECTOR_MISSING.format(name) for name in settings.vectors if name not in reported.vectors
    )


def ignored_default(vector: VectorInfo, settings: VectorSettings) -> str | None:
    """A note if the saved rescoring is ignored, because the vector has no codes."""
    rescore = settings.rescore
    if rescore is None or not rescore.on or not vector.is_plain or settings.full_vector is not None:
        return None
    return IGNORED.format(rescore.option)


def _merge_client_codes(
    store: Store, collection: str, vector: VectorInfo, settings: VectorSettings
) -> VectorInfo:
    if settings.full_dim is not None and settings.full_dim > vector.dim:
        vector = vector.replace(
            quantization=vector.quantization.replace(dims=vector.dim),
            notes=(*vector.notes, FIRST_DIMS.format(vector.dim, settings.full_dim)),
        )
    if settings.client is not None:
        status, size = code_freshness.status(
            store, collection, vector.vector, vector.name, settings.client, vector.count
        )
        vector = vector.replace(
            quantization=settings.client,
            quantized_by="qadapt",
            status=status,
            code_bytes=size,
            default_rescore=client_codes.default_rescore(settings.client),
        )
    rescore = settings.rescore
    if rescore is None:
        return vector
    ignored = ignored_default(vector, settings)
    if ignored is not None:
        return vector.replace(notes=(*vector.notes, ignored))
    return vector.replace(
        default_rescore=rescore,
        quantization=vector.quantization.replace(rescore=rescore),
    )
