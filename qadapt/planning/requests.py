"""The requests of a plan that qadapt carries out itself; all others are the store's.

Each may be repeated: doing it twice does the same as once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qadapt.local import codes
from qadapt.local.settings import read_settings, write_settings
from qadapt.local.state import VectorSettings
from qadapt.model import Quantization, Rescore
from qadapt.stores.base import OnProgress, Store

BUILD_CODES = "qadapt.build_codes"
DROP_CODES = "qadapt.drop_codes"
REMEMBER = "qadapt.remember"
FORGET = "qadapt.forget"


def ours(request: Mapping[str, Any]) -> bool:
    """Whether qadapt carries a request out itself, without a change in the store."""
    return request.get("op") in (BUILD_CODES, DROP_CODES, REMEMBER, FORGET)


def run(
    store: Store,
    collection: str,
    request: Mapping[str, Any],
    progress: OnProgress,
    timeout: float,
) -> None:
    """Carry out one request, ours or the store's."""
    op = request["op"]
    if op == BUILD_CODES:
        quantization = Quantization.parse(request["quantization"])
        codes.hold(store, collection, request["vector"], quantization, progress)
    elif op == DROP_CODES:
        _drop(store, collection, request["vector"])
    elif op == REMEMBER:
        _remember(store, collection, request["vector"], request["rescore"])
    elif op == FORGET:
        _forget(store, collection, request["vector"])
    else:
        store.run(collection, request, progress, timeout)


def _drop(store: Store, collection: str, name: str) -> None:
    # First forgotten, then deleted: a crash in between leaves a folder that nobody uses.
    settings = read_settings(store, collection)
    changed = settings.of(name).replace(client=None)
    write_settings(store, collection, settings.with_vector(name, changed))
    codes.remove(store, collection, name)


def _remember(store: Store, collection: str, name: str, rescore: str | None) -> None:
    settings = read_settings(store, collection)
    changed = settings.of(name).replace(rescore=Rescore.of(rescore))
    write_settings(store, collection, settings.with_vector(name, changed))


def _forget(store: Store, collection: str, name: str) -> None:
    settings = read_settings(store, collection)
    write_settings(store, collection, settings.with_vector(name, VectorSettings()))
    codes.remove(store, collection, name)
