"""The requests of a plan that qadapt carries out itself; all others are the store's.

Each may be repeated: doing it twice does the same as once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qadapt.errors import QadaptError, SpecError
from qadapt.local import client_codes
from qadapt.local.settings import read_settings, write_settings
from qadapt.local.state import VectorSettings
from qadapt.model import Plan, Quantization, Rescore, Symbol
from qadapt.stores.base import OnProgress, Store

BUILD_CODES = "qadapt.build_codes"
DROP_CODES = "qadapt.drop_codes"
SET_SEARCH_DEFAULTS = "qadapt.remember"
RESET_SEARCH_DEFAULTS = "qadapt.forget"


def is_client_operation(request: Mapping[str, Any]) -> bool:
    """Whether qadapt carries a request out itself, without a change in the store."""
    return request.get("op") in (
        BUILD_CODES,
        DROP_CODES,
        SET_SEARCH_DEFAULTS,
        RESET_SEARCH_DEFAULTS,
    )


def check(plan: Plan) -> None:
    """Refuse a plan with a step that names no operation, before anything is begun.

    Raises:
        SpecError
    """
    for step in plan.steps:
        if step.symbol is Symbol.NOTHING:
            continue
        for request in (step.request, step.reverse):
            if request is None:
                continue
            if not isinstance(request.get("op"), str) or not request["op"]:
                raise SpecError(
                    f"a request of the step {step.action!r} names no operation",
                    hint='it has an "op"; make the plan again: `qadapt plan`',
                )


def run(
    store: Store,
    collection: str,
    request: Mapping[str, Any],
    progress: OnProgress,
    timeout: float,
) -> None:
    """Carry out one request, ours or the store's.

    Raises:
        SpecError: it lacks something, or holds something of another type, as a plan file that
            was edited may.
    """
    try:
        _run(store, collection, request, progress, timeout)
    except QadaptError:
        raise
    except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError) as error:
        # The requests that qadapt plans are well-formed; those of a file need not be.
        raise SpecError(
            f"{store.name} cannot carry out the request {dict(request)!r:.300}: "
            f"{type(error).__name__}: {error}",
            hint="make the plan again: `qadapt plan`; if nobody edited it, this is a bug in qadapt",
        ) from error


def _run(
    store: Store,
    collection: str,
    request: Mapping[str, Any],
    progress: OnProgress,
    timeout: float,
) -> None:
    op = request["op"]
    if op == BUILD_CODES:
        quantization = Quantization.parse(request["quantization"])
        client_codes.build_and_register(store, collection, _vector(request), quantization, progress)
    elif op == DROP_CODES:
        _drop(store, collection, _vector(request))
    elif op == SET_SEARCH_DEFAULTS:
        _remember(store, collection, _vector(request), request["rescore"])
    elif op == RESET_SEARCH_DEFAULTS:
        _forget(store, collection, _vector(request))
    else:
        store.run(collection, request, progress, timeout)


def _vector(request: Mapping[str, Any]) -> str:
    """The name of the vector that a request is of."""
    name = request["vector"]
    if not isinstance(name, str):
        raise TypeError(f"the vector is {name!r:.60}")
    return name


def _drop(store: Store, collection: str, name: str) -> None:
    # First forgotten, then deleted: a crash in between leaves a folder that nobody uses.
    settings = read_settings(store, collection)
    changed = settings.of(name).replace(client=None)
    write_settings(store, collection, settings.with_vector(name, changed))
    client_codes.remove(store, collection, name)


def _remember(store: Store, collection: str, name: str, rescore: str | None) -> None:
    settings = read_settings(store, collection)
    changed = settings.of(name).replace(rescore=Rescore.of(rescore))
    write_settings(store, collection, settings.with_vector(name, changed))


def _forget(store: Store, collection: str, name: str) -> None:
    settings = read_settings(store, collection)
    write_settings(store, collection, settings.with_vector(name, VectorSettings()))
    client_codes.remove(store, collection, name)
