"""Types exchanged with a store: searches, reads, mapped quantizations, progress."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from qadapt.errors import InputError, UnsupportedError
from qadapt.model import Hits, Id, Match, MatchLevel, Quantization, Rescore
from qadapt.model.numbers import is_whole, shown
from qadapt.model.vector import Datatype

MAX_K = 10_000
# What to do about codes that a database does not have and qadapt does.
USE_CLIENT_CODES = "use client-side codes with accept='client' (--accept client)"
# The kinds of payload indexes.
PAYLOAD_KINDS = ("keyword", "integer", "float", "bool", "datetime", "text", "geo", "uuid")
PAGE = 2_000


@dataclass(frozen=True)
class Progress:
    """The progress of a long operation.

    Attributes:
        stage: the current stage, in a few words.
        done, total: in ``unit``; total is None if unknown.
        unit: rows, segments, queries, ...
        rate: units per second; None if not measured.
        lag: rows of a source that a copy does not have yet.
        share: share of the whole call that is done, 0 to 1; None if unknown.
        left: estimated seconds until the whole call is done; None if unknown.
    """

    stage: str
    done: float = 0
    total: float | None = None
    unit: str = "rows"
    rate: float | None = None
    lag: int | None = None
    share: float | None = None
    left: float | None = None


ScanRange = Mapping[str, Any]
PayloadFidelity = Literal["exact", "lossy", "dropped"]
# Searches float32 queries; see ``Store.prepare_search``.
PreparedSearch = Callable[[Any], Hits | None]
OnProgress = Callable[[Progress], None]


def silent(_: Progress) -> None:
    """A progress callback that does nothing."""


@dataclass(frozen=True)
class ReadRequest:
    """One read of the rows of a collection, in pages.

    Attributes:
        vectors: names of the vectors to return, including sparse vectors and multivectors; None for
            all dense vectors, ``()`` for none.
        payload: return payloads.
        filter: the common form (see ``qadapt.model.filters``) or the store's own object.
        page: number of rows of a page.
        scan_range: read only this one of ``Store.scan_ranges()``; None for the whole collection.
        after: read only rows after this id, which need not exist: resumes an interrupted read.
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
        k: number of results for each query.
        vector: ``""`` for the unnamed one.
        rescore: None for the store's own default; ``Rescore(source="off")`` for none.
        exact: use neither index nor codes: compare the original vectors of all rows.
        filter: the common form (see ``qadapt.model.filters``) or the store's own object.
        with_payload: return payloads.
        ignore_quantization: use the index, but score with the original vectors instead of the
            codes; a store whose index contains only codes reads all rows instead.
        options: the store's own search parameters, such as ``{"hnsw_ef": 128}``.
        no_params: send no search parameters, not even those that qadapt computes: the results of
            a client that sets none. ``rescore`` is None and ``options`` is empty.
    """

    k: int
    vector: str = ""
    rescore: Rescore | None = None
    exact: bool = False
    filter: Any = None
    with_payload: bool = False
    ignore_quantization: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    no_params: bool = False


@dataclass(frozen=True)
class RowConstraints:
    """What a collection stores unchanged.

    Attributes:
        accepts_id: whether an id can be stored unchanged.
        payload_fidelity: how exactly a payload field is stored; None if all are stored exactly.
    """

    accepts_id: Callable[[Id], bool]
    payload_fidelity: Callable[[str, Any], PayloadFidelity] | None


@dataclass(frozen=True)
class MappedQuantization:
    """A quantization in a store's native configuration.

    Attributes:
        native: the store's configuration; None if there is none.
        target: the quantization that this configuration results in.
        match: how closely it matches the requested quantization.
        datatype: datatype that holds the codes in place of the original vectors
            (``originals="none"``); None if there is none.
    """

    native: Mapping[str, Any] | None
    target: Quantization
    match: Match
    datatype: Datatype | None = None


def unknown_kind(kind: str) -> str | None:
    """Why an index kind is unknown; None if it is known."""
    if kind in PAYLOAD_KINDS:
        return None
    return f"unknown payload index kind {kind!r}; expected one of: {', '.join(PAYLOAD_KINDS)}"


def check_k(k: int, limit: int = MAX_K) -> int:
    """``k`` as an int from 1 to ``limit``.

    Raises:
        InputError
    """
    if not is_whole(k) or not 1 <= k <= limit:
        raise InputError(
            f"k must be an integer from 1 to {limit}; got {shown(k)}",
            hint="for example k=10",
        )
    return int(k)


def unsupported_error(match: Match, asked: Quantization, store: str) -> UnsupportedError:
    """The error for a quantization that a store does not support."""
    return UnsupportedError(
        f"{store} does not support {asked}: {'; '.join(match.differences)}",
        hint="; ".join(match.support) or "`qadapt matrix` lists the supported kinds",
    )


def require_supported(
    mapped: MappedQuantization, asked: Quantization, store: str
) -> MappedQuantization:
    """The mapped quantization.

    Raises:
        UnsupportedError: the store does not support it.
    """
    if mapped.match.level is MatchLevel.UNSUPPORTED:
        raise unsupported_error(mapped.match, asked, store)
    return mapped
