"""What passes between qadapt and a store: searches, mapped quantizations, progress, parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from qadapt.errors import InputError, UnsupportedError
from qadapt.model import Id, Match, MatchLevel, Quantization, Rescore
from qadapt.model.numbers import is_whole

MAX_K = 10_000
# What an index on an entry of the payload takes it for.
PAYLOAD_KINDS = ("keyword", "integer", "float", "bool", "datetime", "text", "geo", "uuid")
PAGE = 2_000


@dataclass(frozen=True)
class Progress:
    """How far a long piece of work is.

    Attributes:
        stage: what is being done, in a few words.
        done, total: in ``unit``; total is None where it can't be told.
        unit: rows, segments, queries, ...
        rate: in units a second; None where it was not measured.
        lag: rows of a source that a copy does not have yet.
    """

    stage: str
    done: float = 0
    total: float | None = None
    unit: str = "rows"
    rate: float | None = None
    lag: int | None = None


ScanRange = Mapping[str, Any]
PayloadFidelity = Literal["exact", "lossy", "dropped"]
OnProgress = Callable[[Progress], None]


def silent(_: Progress) -> None:
    """The progress callback of somebody who does not want to know."""


@dataclass(frozen=True)
class ReadRequest:
    """One read of the rows of a collection, in pages.

    Attributes:
        vectors: names to bring, sparse vectors and multivectors too; None for all that are dense,
            ``()`` for none.
        payload: bring payloads.
        filter: the common form (see ``qadapt.model.filters``) or the store's own object.
        page: rows of a page.
        scan_range: one of ``Store.scan_ranges()`` alone; None for the whole collection.
        after: rows behind this id alone, which itself may be gone: resumes an interrupted read.
    """

    vectors: Sequence[str] | None = None
    payload: bool = True
    filter: Any = None
    page: int = PAGE
    scan_range: ScanRange | None = None
    after: Id | None = None


ALL_ROWS = ReadRequest()


@dataclass(frozen=True)
class SearchRequest:
    """One native search of a batch of queries.

    Attributes:
        k: results for each query.
        vector: ``""`` for the unnamed one.
        rescore: None for the store's own default; ``Rescore(source="off")`` for none.
        exact: no index and no codes: every row by its originals.
        filter: the common form (see ``qadapt.model.filters``) or the store's own object.
        with_payload: return payloads.
        ignore_quantization: use the index, and score by the originals instead of the codes; a
            store whose index holds nothing but codes reads all rows instead.
        options: the store's own search parameters, such as ``{"hnsw_ef": 128}``.
    """

    k: int
    vector: str = ""
    rescore: Rescore | None = None
    exact: bool = False
    filter: Any = None
    with_payload: bool = False
    ignore_quantization: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RowConstraints:
    """What a collection keeps as it is.

    Attributes:
        accepts_id: whether it has room for an id, and gives it back.
        payload_fidelity: how one entry of a payload comes back; None where all do as they are.
    """

    accepts_id: Callable[[Id], bool]
    payload_fidelity: Callable[[str, Any], PayloadFidelity] | None


@dataclass(frozen=True)
class MappedQuantization:
    """A quantization in a store's own words.

    Attributes:
        native: the store's configuration; None where there is none.
        target: what that configuration really is, in common words.
        match: how near it comes to what was asked for.
    """

    native: Mapping[str, Any] | None
    target: Quantization
    match: Match


def unknown_kind(kind: str) -> str | None:
    """Why there is no index of this kind in any store; None where there may be."""
    if kind in PAYLOAD_KINDS:
        return None
    return f"there is no index of the kind {kind!r}, only {', '.join(PAYLOAD_KINDS)}"


def check_k(k: int, limit: int = MAX_K) -> int:
    """``k`` as an int from 1 to ``limit``.

    Raises:
        InputError
    """
    if not is_whole(k) or not 1 <= k <= limit:
        raise InputError(f"k must be a whole number from 1 to {limit}; got {k!r:.60}")
    return int(k)


def unsupported_error(match: Match, asked: Quantization, store: str) -> UnsupportedError:
    """The error for a quantization that a store does not have."""
    return UnsupportedError(
        f"{store} has no {asked}: {'; '.join(match.differences)}",
        hint="; ".join(match.support) or "choose another kind: `qadapt matrix` lists them",
    )


def require_supported(
    mapped: MappedQuantization, asked: Quantization, store: str
) -> MappedQuantization:
    """What a quantization was mapped to.

    Raises:
        UnsupportedError: the store has no such thing.
    """
    if mapped.match.level is MatchLevel.UNSUPPORTED:
        raise unsupported_error(mapped.match, asked, store)
    return mapped
