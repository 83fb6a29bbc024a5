"""Findings of ``qadapt doctor`` that are specific to Qdrant, for the server and the embedded
engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from qadapt.model import (
    CollectionInfo,
    Evidence,
    Finding,
    Kind,
    Rescore,
    Severity,
    State,
    VectorInfo,
)
from qadapt.model.address import Address
from qadapt.model.cli_commands import vector_command
from qadapt.stores.qdrant.mapping import QUANTILE

IN_RAM = "https://github.com/qdrant/qdrant/issues/1738"
OPTIONS = "https://qdrant.tech/documentation/manage-data/quantization/#searching-with-quantization"
BROKEN_QUANTILE = "https://github.com/qdrant/qdrant/issues/9902"
THRESHOLD = "https://github.com/qdrant/qdrant-client/issues/1050"
# Rows without codes above this share are more than recently written rows.
APART = 0.2


def common(address: Address, info: CollectionInfo, options: Mapping[str, Any]) -> list[Finding]:
    """The findings for the server and the embedded engine."""
    found: list[Finding] = []
    for vector in info.vectors.values():
        for check in (_originals_in_ram, _quantile):
            found += check(address, info, vector)
        found += _options(address, info, vector, options)
    return found


def _coded(vector: VectorInfo) -> bool:
    none = (Kind.NONE, Kind.FLOAT16)
    return vector.quantized_by == "store" and vector.quantization.kind not in none


def _originals_in_ram(address: Address, info: CollectionInfo, vector: VectorInfo) -> list[Finding]:
    quantization = vector.quantization
    if not _coded(vector) or quantization.originals == "disk":
        return []
    chosen = quantization.originals == "ram"
    how = "as configured" if chosen else "by default"
    wanted = quantization.replace(originals="disk", codes=quantization.codes or "ram")
    return [
        Finding(
            "originals-in-ram",
            Severity.INFO if chosen else Severity.WARNING,
            vector.name,
            f"the original vectors are kept in RAM in addition to the codes, {how}: quantization "
            "increases memory use",
            (
                Evidence("originals", quantization.originals or "not set (in RAM)"),
                Evidence("bytes of original vectors", vector.float_bytes),
                Evidence("bytes of codes", vector.code_bytes),
            ),
            vector_command("apply", address, info.name, vector.name, wanted),
            IN_RAM,
        )
    ]


def _quantile(address: Address, info: CollectionInfo, vector: VectorInfo) -> list[Finding]:
    quantile = vector.quantization.quantile
    if not _coded(vector) or quantile is None or quantile >= 1:
        return []
    return [
        Finding(
            "parameter-without-effect",
            Severity.WARNING,
            vector.name,
            f"quantile={quantile:g}: {QUANTILE}",
            (Evidence("quantile", quantile), Evidence("dimensions", vector.dim)),
            vector_command(
                "apply", address, info.name, vector.name, vector.quantization.replace(quantile=None)
            ),
            BROKEN_QUANTILE,
        )
    ]


def _options(
    address: Address, info: CollectionInfo, vector: VectorInfo, options: Mapping[str, Any]
) -> list[Finding]:
    """Check the search parameters that the user's program sends (Qdrant's ``SearchParams``)."""
    if not _coded(vector):
        return []
    given = options.get("quantization") or {}
    oversampling, rescore = given.get("oversampling"), given.get("rescore")
    observation = (Evidence("search parameters", dict(options)),)
    if options.get("exact") or given.get("ignore"):
        word = "exact" if options.get("exact") else "quantization.ignore"
        return [
            Finding(
                "quantization-bypassed",
                Severity.WARNING,
                vector.name,
                f"searches with {word} compare the original vectors and never use the codes",
                observation,
                f"remove {word} from the search parameters",
                OPTIONS,
            )
        ]
    default = _default(vector)
    on = rescore if rescore is not None else default.on
    if not oversampling or oversampling <= 1 or on:
        return []
    kind = vector.quantization.kind
    why = (
        "rescore is false"
        if rescore is False
        else (f"rescoring is off by default for {kind} codes")
    )
    return [
        Finding(
            "oversampling-without-rescoring",
            Severity.ERROR,
            vector.name,
            f"oversampling {oversampling:g} without rescoring has no effect ({why})",
            (*observation, Evidence("default rescoring", default.on)),
            'set "rescore": true in the search parameters, or run:'
            + vector_command(
                "apply",
                address,
                info.name,
                vector.name,
                vector.quantization.replace(rescore=Rescore(float(oversampling))),
            ),
            OPTIONS,
        )
    ]


def _default(vector: VectorInfo) -> Rescore:
    """The engine's own default rescoring, without a default of qadapt."""
    from qadapt.stores.qdrant.mapping import default_rescore

    return default_rescore(vector.quantization) or Rescore(source="off")


def small_segments(
    address: Address, info: CollectionInfo, vector: VectorInfo, rows: int, threshold: int
) -> list[Finding]:
    """Report rows in segments without an index, for codes that require one.

    Args:
        rows: in growing segments.
        threshold: KB from which a segment is indexed.
    """
    share = rows / max(1, vector.count)
    if share <= APART:
        return []
    return [
        Finding(
            "small-segments",
            Severity.WARNING,
            vector.name,
            f"up to {rows:,} of {vector.count:,} rows are in segments below the indexing "
            f"threshold of {threshold:,} KB and are compared by their original vectors",
            (
                Evidence("rows in segments without an index", rows),
                Evidence("indexing_threshold (KB)", threshold),
            ),
            vector_command("apply", address, info.name, vector.name, vector.quantization),
            THRESHOLD,
        )
    ]


def green_without_codes(address: Address, info: CollectionInfo, colour: str) -> list[Finding]:
    """Report vectors of a green collection without the configured codes."""
    wrong = [
        each
        for each in info.vectors.values()
        if _coded(each) and each.status.state in (State.IGNORED, State.BUILDING)
    ]
    if not wrong or colour != "green":
        return []
    return [
        Finding(
            "schema-only",
            Severity.WARNING,
            each.name,
            f"the collection's status is green and {each.quantization.kind} quantization is "
            f"configured, but {each.status.reason}",
            each.status.evidence,
            vector_command("apply", address, info.name, each.name, each.quantization),
            "https://github.com/qdrant/qdrant-client/issues/909",
        )
        for each in wrong
    ]


class OneBitText(NamedTuple):
    """What is known about rows that are compared by 1 bit: server and embedded engine differ."""

    message: str
    evidence: str
    measured: str


def one_bit(
    address: Address, info: CollectionInfo, vector: VectorInfo, rows: int, text: OneBitText
) -> list[Finding]:
    """Report binary codes of more than 1 bit in segments without an index.

    Args:
        rows: in segments that are not known to have been built from their rows.
        text: parts of the finding.
    """
    if rows / max(1, vector.count) <= APART:
        return []
    return [
        Finding(
            "one-bit-until-indexed",
            Severity.WARNING,
            vector.name,
            f"{rows:,} of {vector.count:,} rows {text.message}",
            (Evidence(text.evidence, rows),),
            vector_command("apply", address, info.name, vector.name, vector.quantization),
            text.measured,
        )
    ]


def over_the_limit(
    address: Address, info: CollectionInfo, vector: VectorInfo, allowed: Rescore
) -> list[Finding]:
    """Report a default rescoring that exceeds the limits of the collection.

    Args:
        allowed: the rescoring within the limits.
    """
    rescore = vector.quantization.rescore
    if rescore is None or allowed == rescore:
        return []
    return [
        Finding(
            "rescoring-over-the-limit",
            Severity.WARNING,
            vector.name,
            f"{rescore.option} is the default of this collection, but strict mode limits it to "
            f"{allowed.option}: searches use that",
            (
                Evidence("default rescore", str(rescore)),
                Evidence("strict_mode_config: search_max_oversampling", allowed.factor(10)),
            ),
            vector_command(
                "apply",
                address,
                info.name,
                vector.name,
                vector.quantization.replace(rescore=allowed),
            ),
            "https://qdrant.tech/documentation/operations/administration/#strict-mode",
        )
    ]
