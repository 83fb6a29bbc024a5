"""Requests of a plan that qadapt executes itself; all others are executed by the store.

All are idempotent.
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
    """Whether qadapt executes a request itself, without changing the database."""
    return request.get("op") in (
        BUILD_CODES,
        DROP_CODES,
        SET_SEARCH_DEFAULTS,
        RESET_SEARCH_DEFAULTS,
    )


def check(plan: Plan) -> None:
    """Raise an error for a plan with an invalid step, before anything is applied.

    Raises:
        SpecError: a request has no operation.
    """
    for step in plan.steps:
        if step.symbol is Symbol.NOTHING:
            continue
        for request in (step.request, step.reverse):
            if request is None:
                continue
            if not isinstance(request.get("op"), str) or not request["op"]:
                raise SpecError(
                    f"a request of the step {step.action!r} has no operation",
                    hint='"op" is missing; make the plan again: `qadapt plan`',
                )


def run(
    store: Store,
    collection: str,
    request: Mapping[str, Any],
    progress: OnProgress,
    timeout: float,
) -> None:
    """Execute one request.

    Raises:
        SpecError: a field is missing or has an invalid type, as in an edited plan file.
    """
    try:
        _run(store, collection, request, progress, timeout)
    except QadaptError:
        raise
    except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError) as error:
        # Requests from a file may be malformed.
        raise SpecError(
            f"{store.name} cannot run the request {dict(request)!r:.300}: "
            f"{type(error).__name__}: {error}",
            hint="make the plan again: `qadapt plan`; if it was not edited, report a bug",
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
    """Name of the vector of a request."""
    name = request["vector"]
    if not isinstance(name, str):
        raise TypeError(f"invalid vector {name!r:.60}")
    return name


def _drop(store: Store, collection: str, name: str) -> None:
    # The settings first: a crash in between leaves only an unused folder.
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
