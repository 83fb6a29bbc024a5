"""Status of a quantization, from the files of the segments and from scores.

A mapping that asks for codes is no proof: evidence is the size of the files with codes (``veq``).
The server reports one file of each kind per segment, so that sizes do not distinguish several
fields. Then scores decide: those of a search that does not rescore differ from the exact ones if
they were computed from codes (docs/engines/opensearch.md#evidence).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from qadapt.model import Evidence, Kind, Quantization, State, Status
from qadapt.stores.elastic.opensearch.schema import LUCENE, Field

NO_ROWS = "the index has no rows with this vector, so nothing can be verified"
NO_FILES = "the server does not report the files of segments"
NOT_RUN = (
    "the field uses the engine {engine}, whose codes are in files of native libraries that qadapt "
    "was not tested with"
)
NOT_SEEN = "segments have {found} bytes of codes; {rows:,} rows need {least:,} bytes"
SAME_SCORES = "searches without rescoring return exact scores, so no codes are in use"
UNDECIDED = "the index has several vectors, and scores do not show whether codes of this one exist"
COPY = "`qadapt apply` copies the rows to a new index"
# Header and footer of the file with codes in a segment.
HEADER = 256
# The largest difference between exact scores and those of a search of float32 vectors.
SAME = 1e-5


@dataclass(frozen=True)
class Observation:
    """The evidence of one vector.

    Attributes:
        settings: of the field.
        rows: documents of the index; ``deleted`` ones stay in segments until they are merged.
        present: documents with the vector.
        segments: number of segments.
        files: bytes of the files of vectors by extension; None if the server reports none.
        alone: whether the index has no other vector.
        difference: largest difference between exact scores and those of codes; None if it was not
            measured.
    """

    settings: Field
    rows: int
    deleted: int
    present: int
    segments: int
    files: Mapping[str, int] | None = field(hash=False)
    alone: bool = True
    difference: float | None = None

    @property
    def quantization(self) -> Quantization:
        """As configured."""
        return self.settings.quantization

    @property
    def least(self) -> int:
        """The fewest bytes of codes of all rows."""
        return self.present * (self.settings.code_bytes or 0)

    @property
    def most(self) -> int:
        """The most bytes of codes, with deleted rows and headers."""
        count = self.present + self.deleted
        return count * (self.settings.code_bytes or 0) + HEADER * max(1, self.segments)


def status_of(seen: Observation) -> Status:
    """The state, its reason and its evidence."""
    evidence = _evidence(seen)
    settings = seen.settings
    if settings.engine != LUCENE:
        why = NOT_RUN.format(engine=settings.engine)
        return Status(State.UNKNOWN, why, evidence=evidence)
    if seen.quantization.kind is Kind.NONE:
        return _without_codes(seen, evidence)
    if not seen.present:
        return Status(State.UNKNOWN, NO_ROWS, evidence=evidence)
    if not seen.alone:
        return _by_scores(seen, evidence)
    if seen.files is None:
        return Status(State.UNKNOWN, NO_FILES, evidence=evidence)
    found = seen.files.get("veq", 0)
    if seen.least <= found <= seen.most:
        return Status(State.ACTIVE, _remark(seen), evidence=evidence)
    why = NOT_SEEN.format(found=f"{found:,}", rows=seen.present, least=seen.least)
    return Status(State.IGNORED, why, evidence=evidence, advice=COPY)


def _without_codes(seen: Observation, evidence: tuple[Evidence, ...]) -> Status:
    if seen.alone and (seen.files or {}).get("veq"):
        why = "segments have codes that the mapping does not mention"
        return Status(State.UNKNOWN, why, evidence=evidence)
    return Status(State.ABSENT, evidence=evidence)


def _by_scores(seen: Observation, evidence: tuple[Evidence, ...]) -> Status:
    if seen.difference is None:
        return Status(State.UNKNOWN, UNDECIDED, evidence=evidence)
    if seen.difference > SAME:
        return Status(State.ACTIVE, _remark(seen), evidence=evidence)
    return Status(State.IGNORED, SAME_SCORES, evidence=evidence, advice=COPY)


def _remark(seen: Observation) -> str:
    if seen.settings.method == "flat":
        return "the method flat compares the codes of all rows, without a graph"
    return ""


def _evidence(seen: Observation) -> tuple[Evidence, ...]:
    settings = seen.settings
    found = [
        Evidence("_stats: documents", seen.rows),
        Evidence("_count: rows with the vector", seen.present),
        Evidence("mapping: engine and method", f"{settings.engine} {settings.method}"),
    ]
    if settings.encoder:
        parameters = dict(settings.parameters)
        found.append(Evidence("mapping: encoder", f"{settings.encoder} {parameters}"))
    if seen.files is not None:
        found += [
            Evidence("_stats: bytes of codes (veq)", seen.files.get("veq", 0)),
            Evidence("_stats: bytes of original vectors (vec)", seen.files.get("vec", 0)),
            Evidence("_stats: bytes of the graph (vex)", seen.files.get("vex", 0)),
        ]
    if settings.code_bytes and seen.alone:
        found.append(Evidence("expected bytes of codes", f"{seen.least} to {seen.most}"))
    if seen.difference is not None:
        found.append(Evidence("difference of scores without rescoring", seen.difference))
    return tuple(found)
