"""Options and provenance of searches, shared by the server and the embedded engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from qadapt.errors import SpecError
from qadapt.model import Id, Kind, Quantization, SearchProvenance
from qadapt.stores.base import SearchRequest
from qadapt.stores.qdrant.mapping import default_rescore

UNINDEXED = "indexed_only: rows that are not indexed yet were skipped"


class Answer(NamedTuple):
    """Results of one query, best first.

    Attributes:
        scores: as the engine reports them.
        ids, payloads: read them; called when they are needed.
    """

    scores: list[float]
    ids: Callable[[], list[Id]]
    payloads: Callable[[], list[dict[str, Any] | None]]


@dataclass(frozen=True)
class Codes:
    """The codes that a search uses.

    Attributes:
        quantization: in the common format; kind none if no segment holds codes.
        segments: number of segments with rows; None if unknown.
    """

    quantization: Quantization
    segments: int | None

    @property
    def there(self) -> bool:
        """Whether any segment holds codes."""
        return self.quantization.kind not in (Kind.NONE, Kind.FLOAT16)

    @property
    def exact_by_default(self) -> bool:
        """Whether a search without explicit rescoring returns scores of the original vectors."""
        rescore = default_rescore(self.quantization)
        return rescore is None or rescore.on


def chosen(search: SearchRequest) -> str:
    """The origin of the rescoring parameters."""
    return "store default" if search.rescore is None else "call"


def how(
    search: SearchRequest,
    codes: Codes,
    scores: Iterable[str],
    segments: Iterable[str],
    *,
    unobserved: Iterable[str] = (),
) -> SearchProvenance:
    """The provenance of a search.

    Args:
        scores: notes on the scores of codes without rescoring.
        segments: notes on the candidates of several segments.
        unobserved: why it is unknown whether segments held codes during the search; empty if known.
    """
    ignored = search.ignore_quantization
    notes = (UNINDEXED,) if search.options.get("indexed_only") else ()
    searcher = "store exact" if search.exact else "store"
    by = chosen(search)
    if search.exact or ignored or not codes.there:
        off = search.rescore is not None and not search.rescore.on
        surely = search.exact or ignored or not off or not unobserved
        return SearchProvenance(
            searcher,
            "none",
            1.0,
            0,
            "none",
            "exact" if surely else "approximate",
            by,
            notes if surely else (*notes, *unobserved),
        )
    rescore = search.rescore or default_rescore(codes.quantization)
    if rescore is None or not rescore.on:
        return SearchProvenance(
            searcher, "none", 1.0, 0, "none", "approximate", by, (*notes, *scores)
        )
    return SearchProvenance(
        searcher,
        "store",
        rescore.factor(search.k),
        rescore.count(search.k),
        "originals",
        "exact",
        by,
        (*notes, *segments),
    )


OPTIONS = ("hnsw_ef", "indexed_only")


def check(options: Mapping[str, Any], store: str) -> None:
    """Reject unknown search options.

    Raises:
        SpecError
    """
    for name, value in options.items():
        if name not in OPTIONS:
            raise SpecError.unknown("search option", name, OPTIONS, where=store)
        if name == "hnsw_ef":
            # The server silently accepts 0.
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise SpecError(
                    f"hnsw_ef must be a positive integer; got {value!r}",
                    hint="for example options={'hnsw_ef': 128}",
                )
        elif not isinstance(value, bool):
            raise SpecError(
                f"{name} must be true or false; got {value!r}",
                hint=f"for example options={{{name!r}: True}}",
            )
