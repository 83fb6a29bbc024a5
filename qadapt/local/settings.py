"""What qadapt remembers of a collection: with the collection where its store has a place.

How searches rescore belongs to the collection, so it is kept there where the store can (Qdrant's
metadata, since 1.16), and everybody who opens the collection finds it. Codes of ours lie on this
machine, so they are remembered in its state folder, as is all of it for other stores.
"""

from __future__ import annotations

from qadapt.errors import IntegrityError, SpecError
from qadapt.local import state
from qadapt.local.state import Settings, VectorSettings
from qadapt.stores.base import Store


def read_settings(store: Store, collection: str) -> Settings:
    """What is remembered of a collection.

    Of a partition or tenant alone: what is remembered of the whole, but for our codes, which are
    of the whole and so are not searched for a part of it.

    Raises:
        IntegrityError: what is kept is damaged.
    """
    whole = store.collection_of(collection)
    if whole != collection:
        settings = read_settings(store, whole)
        for name, each in settings.vectors.items():
            settings = settings.with_vector(name, each.replace(client=None))
        return settings
    here = state.read_settings(store.address, collection)
    kept = store.load_settings(collection)
    if not kept or "vectors" not in kept:
        return here
    try:
        shared = Settings.from_dict({"vectors": kept["vectors"]})
    except SpecError as error:
        raise IntegrityError(
            f"qadapt's settings in {collection!r} of {store.address} are damaged: {error}",
            hint="delete them from the collection and run `qadapt apply` again",
        ) from error
    merged = here
    for name, each in shared.vectors.items():
        merged = merged.with_vector(name, here.of(name).replace(rescore=each.rescore))
    return merged


def write_settings(store: Store, collection: str, settings: Settings) -> None:
    """Remember the settings of a collection."""
    shared, here = Settings(), Settings()
    for name, each in settings.vectors.items():
        shared = shared.with_vector(name, VectorSettings(rescore=each.rescore))
        here = here.with_vector(name, VectorSettings(client=each.client))
    kept = store.save_settings(collection, shared.to_dict() if shared.vectors else {})
    state.write_settings(store.address, collection, here if kept else settings)
