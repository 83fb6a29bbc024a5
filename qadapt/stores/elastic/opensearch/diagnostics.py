"""Findings of ``qadapt doctor``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from qadapt.model import Evidence, Finding, Kind, Severity
from qadapt.stores.elastic.opensearch.schema import (
    FEWEST_CANDIDATES,
    FLAT,
    LUCENE,
    Field,
)
from qadapt.stores.elastic.opensearch.snapshot import Snapshot
from qadapt.stores.elastic.schema import Index

SOURCE = "docs/engines/opensearch.md#{}"


def findings(taken: Snapshot, options: Mapping[str, Any] | None) -> list[Finding]:
    """The findings of one index.

    Args:
        options: native search parameters, as the user's program sends them.
    """
    found = [*_of_index(taken.index)]
    for name, seen in taken.observations.items():
        found += _of_field(name, seen.settings, taken)
        if options:
            found += _of_options(name, seen.settings, options)
    return found


def _of_index(index: Index) -> Iterator[Finding]:
    if str(index.setting("refresh_interval")) == "-1":
        yield Finding(
            "refresh-disabled",
            Severity.WARNING,
            "",
            "index.refresh_interval is -1: writes are not visible until a client refreshes",
            (Evidence("index.refresh_interval", "-1"),),
            f'PUT /{index.real}/_settings {{"index.refresh_interval": null}}',
        )


def _of_field(name: str, settings: Field, taken: Snapshot) -> Iterator[Finding]:
    if settings.engine != LUCENE:
        return
    if settings.bits == 7 and settings.parameters.get("confidence_interval") is None:
        yield Finding(
            "default-interval",
            Severity.WARNING,
            name,
            "7-bit codes have the default confidence_interval, which cuts off "
            f"{1 - float(settings.quantization.quantile or 1):.1%} of the values and loses recall",
            (Evidence("confidence_interval", None),),
            "qadapt apply scalar:bits=7, which sets the interval to 1.0",
            SOURCE.format("encoders"),
        )
    if settings.method == FLAT:
        yield Finding(
            "hidden-codes",
            Severity.INFO,
            name,
            f"the method flat compares codes of {settings.bits} bit of all rows; the mapping does "
            "not mention them",
            (Evidence("mapping: method", FLAT),),
            source=SOURCE.format("what-the-mapping-does-not-show"),
        )
    by = settings.default_rescore(taken.product.server_version)
    if by is not None and not by.on:
        yield Finding(
            "not-rescored",
            Severity.INFO,
            name,
            f"the server rescores {settings.quantization} codes only if a search asks for it",
            (Evidence("mode", settings.mode or "in_memory"),),
            "send `rescore: true`, as `qadapt client-params` shows",
            SOURCE.format("rescoring"),
        )


def _of_options(name: str, settings: Field, options: Mapping[str, Any]) -> Iterator[Finding]:
    rescore = options.get("rescore")
    if rescore is None:
        return
    if settings.quantization.kind is Kind.NONE:
        why = "the field has no codes: `rescore` has no effect"
    else:
        factor = rescore.get("oversample_factor") if isinstance(rescore, Mapping) else None
        k = options.get("k", 10)
        if factor is None or factor * k > FEWEST_CANDIDATES or factor == 1:
            return
        why = (
            f"oversample_factor {factor:g} has no effect for k={k}: the server rescores at least "
            f"{FEWEST_CANDIDATES} candidates"
        )
    yield Finding(
        "parameter-without-effect",
        Severity.INFO,
        name,
        why,
        (Evidence("rescore", rescore),),
        source=SOURCE.format("rescoring"),
    )
