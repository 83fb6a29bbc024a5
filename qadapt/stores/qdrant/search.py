"""Options and provenance of searches, shared by the server and the embedded engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import Any, NamedTuple

from qadapt.errors import SpecError
from qadapt.model import Hits, Id, Kind, Metric, Quantization, SearchProvenance, Vector
from qadapt.model.found_rows import Columns, FoundRows, Payloads, clip, float32_values
from qadapt.stores.base import SearchRequest
from qadapt.stores.qdrant.mapping import default_rescore
from qadapt.stores.qdrant.rows import plain_ids

RAW_COUNTS = "scores are raw bit counts, not values of the metric; only the order is meaningful"
PER_SEGMENT = "the engine takes this number of candidates from each of {} segments"
UNINDEXED = "indexed_only: rows that are not indexed yet were skipped"


class Answer(NamedTuple):
    """Results of one query, best first.

    Attributes:
        scores: read the scores as the engine reports them.
        ids, payloads: read the ids and payloads.
        float32: whether the scores are exact in float32.
    """

    scores: Callable[[], list[float]]
    ids: Callable[[], list[Id]]
    payloads: Callable[[], list[dict[str, Any] | None]]
    float32: bool = False


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


_ID, _SCORE, _PAYLOAD = map(attrgetter, ("id", "score", "payload"))


def of_points(points: Sequence[Any], *, float32: bool = False) -> Answer:
    """Results of one query from points with ``id``, ``score`` and ``payload``."""
    return Answer(
        lambda: list(map(_SCORE, points)),
        lambda: plain_ids(list(map(_ID, points))),
        lambda: list(map(_PAYLOAD, points)),
        float32,
    )


class PointRows(FoundRows):
    """Points of one query with ``id``, ``score`` and ``payload``, best first.

    Args:
        points: as the client returned them.
        k: number of columns.
        with_payload: payloads were requested.
        convert: converts scores to values of the metric that are exact in float32; None if they
            are.
    """

    __slots__ = ("_convert", "_points")

    def __init__(
        self,
        points: Sequence[Any],
        k: int,
        with_payload: bool,
        convert: Callable[[list[float]], list[float]] | None,
    ) -> None:
        # One is made for each search: everything else is left for when the results are read.
        self._points = points
        self._convert = convert
        self._lists = None
        self.k = k
        self.with_payload = with_payload
        self.clip = self.typed_ids = False

    def lists(self) -> Columns:
        """Ids and scores of the query."""
        if self._lists is None:
            ids, scores = list(map(_ID, self._points)), list(map(_SCORE, self._points))
            if self._convert is not None:
                scores = self._convert(scores)
            try:
                sum(ids)  # as ``plain_ids``, without the time of a call
            except TypeError:
                ids = plain_ids(ids)
            self._lists = ([ids], clip([scores]) if self.clip else [scores])
        return self._lists

    def payload_lists(self) -> Payloads:
        """Payloads of the query."""
        found = list(map(_PAYLOAD, self._points))
        return [found if all(found) else [payload or {} for payload in found]]


def score_converter(
    vector: Vector, how: SearchProvenance, *, float32: bool
) -> Callable[[list[float]], list[float]] | None:
    """The conversion of the scores of a search; see ``hits`` and ``PointRows``.

    Args:
        float32: whether the engine's scores are exact in float32.
    """
    if _negated(vector, how):
        return _negative_squares
    return None if float32 else float32_values


def _negative_squares(distances: list[float]) -> list[float]:
    return float32_values([-(distance**2) for distance in distances])


def _negated(vector: Vector, how: SearchProvenance) -> bool:
    return vector.metric is Metric.EUCLIDEAN and RAW_COUNTS not in how.notes


def hits(
    found: Sequence[Answer], search: SearchRequest, vector: Vector, how: SearchProvenance
) -> Hits:
    """Convert results to ``Hits``: best first, higher is better.

    Euclidean distances are converted to negative squared distances; bit counts (``RAW_COUNTS``)
    stay unchanged, because the engine ranks higher counts first.
    """
    negated = _negated(vector, how)
    payloads = partial(_payloads, found) if search.with_payload else None
    return Hits.of_rows(FoundRows(partial(_columns, found, negated), search.k, payloads), how)


def _columns(found: Sequence[Answer], negated: bool) -> tuple[list[list[Id]], list[list[float]]]:
    """Ids and scores; distances become negative squares."""
    ids = [row.ids() for row in found]
    if negated:
        return ids, [_negative_squares(row.scores()) for row in found]
    scores = ((row.scores(), row.float32) for row in found)
    return ids, [row if exact else float32_values(row) for row, exact in scores]


def _payloads(found: Sequence[Answer]) -> list[list[dict[str, Any] | None]]:
    return [[payload or {} for payload in row.payloads()] for row in found]


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
