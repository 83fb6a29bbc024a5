"""Findings of ``qadapt doctor``."""

from __future__ import annotations

from collections.abc import Mapping

from qadapt.model import Evidence, Finding, Severity, State
from qadapt.stores.elastic.elasticsearch import mapping
from qadapt.stores.elastic.elasticsearch.snapshot import Snapshot
from qadapt.stores.elastic.elasticsearch.status import ADVICE, status_of
from qadapt.stores.elastic.elasticsearch.version import SINCE_INTERVAL_PER_VECTOR
from qadapt.stores.elastic.schema import leaves
from qadapt.stores.profile import DoctorCheck

MIXED = DoctorCheck(
    "mapping-only", "The mapping names codes that segments do not have, until they are merged."
)
NO_EFFECT = DoctorCheck("no-effect", "confidence_interval is kept by the server and unused.")
LICENSED = DoctorCheck(
    "licensed-codes", "The type bbq_disk needs a licence, without which writes fail."
)
GUESSED = DoctorCheck(
    "guessed-fields", "The first value of a new payload field decides its type (dynamic mapping)."
)
CHECKS = (MIXED, NO_EFFECT, LICENSED, GUESSED)


def findings(taken: Snapshot) -> list[Finding]:
    """The findings of one index."""
    found = [each for name in taken.index.vectors for each in _of_vector(taken, name)]
    return [*found, *_guessed(taken)]


def _of_vector(taken: Snapshot, name: str) -> list[Finding]:
    seen, field = taken.observations[name], taken.index.vectors[name]
    shown = field.definition.get("index_options") or {}
    kind = str(seen.options["type"])
    found = []
    status = status_of(seen)
    if status.state is State.BUILDING:
        evidence = (Evidence("type in the mapping", kind), *_sizes(seen.sizes))
        found.append(_finding(MIXED, Severity.WARNING, name, status.reason, evidence, ADVICE))
    if "confidence_interval" in shown and taken.version.has(SINCE_INTERVAL_PER_VECTOR):
        value = shown["confidence_interval"]
        found.append(
            _finding(
                NO_EFFECT,
                Severity.INFO,
                name,
                "confidence_interval has no effect on the codes",
                (Evidence("confidence_interval", value),),
                "remove it from the mapping",
            )
        )
    if seen.codes == mapping.BBQ_DISK:
        found.append(
            _finding(
                LICENSED,
                Severity.WARNING,
                name,
                "bbq_disk needs an Enterprise or trial licence: without one, writes of vectors "
                "fail, and a merge stops the shard",
                (Evidence("type in the mapping", kind),),
                "`GET /_license` shows the licence",
            )
        )
    return found


def _guessed(taken: Snapshot) -> list[Finding]:
    index = taken.index
    dynamic = str(index.mappings.get("dynamic", "true"))
    if index.managed or dynamic not in ("true", "runtime"):
        return []
    fields = [path for path, each in leaves(index.properties) if each.get("type") != "dense_vector"]
    return [
        _finding(
            GUESSED,
            Severity.INFO,
            "",
            f"the mapping of {index.real!r} is dynamic: the first value of a new field decides its "
            "type, and rows with other values are refused",
            (Evidence("dynamic", dynamic), Evidence("fields", len(fields))),
            "map the fields that you filter by, and set dynamic to false",
        )
    ]


def _sizes(sizes: Mapping[str, int] | None) -> tuple[Evidence, ...]:
    return tuple(Evidence(f"bytes of {name}", size) for name, size in sorted((sizes or {}).items()))


def _finding(
    check: DoctorCheck,
    severity: Severity,
    vector: str,
    problem: str,
    evidence: tuple[Evidence, ...],
    fix: str,
) -> Finding:
    return Finding(check.code, severity, vector, problem, evidence, fix)
