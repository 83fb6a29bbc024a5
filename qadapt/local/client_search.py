"""Searches with client-side codes, and the reasons for not using them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from qadapt.code_index import CodeIndex
from qadapt.code_index.hits import CodeHits
from qadapt.errors import IntegrityError, UnsupportedError
from qadapt.local import client_codes, code_freshness, code_marks
from qadapt.model import Hits, Id, Quantization, Rescore, SearchProvenance, Vector
from qadapt.stores.base import ReadRequest, SearchRequest, Store

Floats = npt.NDArray[np.float32]

Kept = Literal["codes", "originals", "off"]
# What a code index keeps for each rescore source.
_KEPT: dict[str, Kept] = {"codes": "codes", "int8": "codes", "originals": "originals", "off": "off"}
# Maximum rounds of searching with missing candidates before falling back to a native search.
ROUNDS = 20


WRITTEN = (
    "another client wrote to the collection, which is too large to compare during a search; "
    "`qadapt inspect` compares all rows"
)


class OutdatedError(Exception):
    """Raised if the codes must not be used; the message is the reason."""


class _RowsMissing(Exception):  # noqa: N818 - not an error: the search continues without these rows
    """Candidates that do not exist in the database."""

    def __init__(self, ids: Sequence[Id]) -> None:
        super().__init__(ids)
        self.ids = ids


class _Changed(Exception):  # noqa: N818 - not an error: it is checked again
    """Candidates whose vectors do not match their codes."""

    def __init__(self, ids: Sequence[Id]) -> None:
        super().__init__(ids)
        self.ids = ids


@dataclass(frozen=True)
class ClientSearch:
    """Vector with client-side codes.

    Attributes:
        vector: definition in the database.
        quantization: saved quantization.
    """

    store: Store
    collection: str
    name: str
    vector: Vector
    quantization: Quantization
    gone: set[Id] = field(default_factory=set)

    def search(self, queries: Floats, wanted: SearchRequest, rescore: Rescore) -> Hits:
        """Search the codes, and rescore candidates with original vectors from the database.

        Candidates that no longer exist are replaced by the next ones, which is reported in a
        note.

        Raises:
            OutdatedError: the codes are missing, damaged or outdated.
        """
        _check_tier(rescore)
        allowed = self._allowed(wanted)
        for _ in range(code_freshness.TRIES):
            try:
                with client_codes.open_index(self.store, self.collection, self.name) as index:
                    self._check(index)
                    found = self._without_gone(index, queries, wanted, rescore, allowed)
                    self._settle_gone(index)
                    break
            except IntegrityError as error:
                raise OutdatedError(error.message) from error
            except _Changed as changed:
                self._look_into(changed.ids)
        else:
            raise OutdatedError(
                "the collection is written to continuously, so the codes cannot be compared"
            )
        return self._hits(found, wanted, rescore)

    def _allowed(self, wanted: SearchRequest) -> list[Id] | None:
        """Ids of the rows that match a filter; None for all."""
        if wanted.filter is None:
            return None
        pages = self.store.read(
            self.collection, ReadRequest(vectors=(), payload=False, filter=wanted.filter)
        )
        return [key for page in pages for key in page.ids]

    def _check(self, index: CodeIndex) -> None:
        """Raise an error for codes of another vector or of other rows.

        Raises:
            OutdatedError: the codes must not be used.
        """
        reason = client_codes.mismatch_reason(index, self.vector, self.quantization)
        count = self.store.count(self.collection)
        if reason is None and len(index) != count:
            reason = code_freshness.rows_differ(len(index), count)
        if reason is not None:
            raise OutdatedError(reason)
        if code_freshness.checked_recently(index):
            return
        compared = code_freshness.compare_for_search(self.store, self.collection, self.name, index)
        if compared is None:
            raise OutdatedError(WRITTEN)
        if compared.differing:
            raise _Changed(compared.differing)
        code_freshness.remember(index.folder)

    def _without_gone(
        self,
        index: CodeIndex,
        queries: Floats,
        wanted: SearchRequest,
        rescore: Rescore,
        allowed: list[Id] | None,
    ) -> CodeHits:
        """Repeat the search without missing candidates, until there are none."""

        def fetch(ids: list[Id]) -> dict[Id, Floats]:
            return self._fetch(index, ids)

        for _ in range(ROUNDS):
            try:
                return index.search(
                    queries,
                    wanted.k,
                    rescore=rescore.oversampling,
                    candidates=rescore.candidates,
                    source=_KEPT[rescore.source],
                    fetch=fetch if rescore.source == "originals" else None,
                    ids=allowed,
                    exclude=self.gone,
                )
            except _RowsMissing as lost:
                self.gone.update(lost.ids)
        raise OutdatedError(f"{len(self.gone):,} candidates do not exist in the database")

    def _fetch(self, index: CodeIndex, ids: list[Id]) -> dict[Id, Floats]:
        """Fetch the vectors of candidates.

        Raises:
            _Gone, _Changed: candidates were deleted or changed.
        """
        batch = self.store.fetch(self.collection, ids, vectors=[self.name], payload=False)
        vectors = batch.vectors[self.name] if len(batch) else np.empty((0, self.vector.dim))
        missing = batch.missing.get(self.name)
        there = [key for at, key in enumerate(batch.ids) if missing is None or not missing[at]]
        if len(there) < len(ids):
            known = set(there)
            raise _RowsMissing([key for key in ids if key not in known])
        changed = index.differing(batch.ids, vectors)
        if changed:
            raise _Changed(changed)
        return dict(zip(batch.ids, vectors, strict=True))

    def _look_into(self, ids: Sequence[Id]) -> None:
        """Check again whether codes and database differ while no write is in progress.

        Raises:
            OutdatedError: they differ; the codes are marked.
        """
        with client_codes.open_index(self.store, self.collection, self.name) as index:
            still = code_freshness.differing(self.store, self.collection, self.name, index, ids)
            if not still or not code_freshness.ensure_fresh(
                self.store, self.collection, self.name, index
            ):
                return
        reason = code_freshness.CodeComparison(len(ids), len(ids), still).reason
        raise OutdatedError(code_freshness.record(self.store, self.collection, self.name, reason))

    def _settle_gone(self, index: CodeIndex) -> None:
        """Mark codes with deleted rows as outdated for later searches."""
        if not self.gone or not code_freshness.ensure_fresh(
            self.store, self.collection, self.name, index
        ):
            return
        reason = f"{_rows(self.gone)} deleted from the database by another client"
        code_freshness.record(self.store, self.collection, self.name, reason)

    def _hits(self, found: CodeHits, wanted: SearchRequest, rescore: Rescore) -> Hits:
        rescored = found.rescored_on != "nothing"
        notes = [f"first stage: {found.searcher}"]
        if self.gone:
            notes.append(
                f"{_rows(self.gone)} deleted from the database and replaced by the next "
                f"candidates; the client-side codes are outdated: {code_marks.REPAIR}"
            )
        if wanted.options:
            named = ", ".join(wanted.options)
            notes.append(f"native search options have no effect on client-side codes: {named}")
        how = SearchProvenance(
            searcher="qadapt",
            rescorer="qadapt" if rescored else "none",
            oversampling=rescore.factor(wanted.k),
            candidates=found.candidates if rescored else 0,
            rescored_on={"nothing": "none"}.get(found.rescored_on, found.rescored_on),
            scores="exact" if found.scores_kind == "exact" else "approximate",
            notes=tuple(notes),
        )
        payloads = payloads_of(self.store, self.collection, found.ids, wanted)
        return Hits(found.ids, found.scores, how, payloads)


def _check_tier(rescore: Rescore) -> None:
    """Refuse finer codes that the index does not keep.

    Raises:
        UnsupportedError
    """
    if rescore.source not in _KEPT:
        raise UnsupportedError(
            f"client-side codes keep int8 codes and no {rescore.source} to rescore with",
            hint="use rescore source 'int8' or 'originals'",
        )


def _rows(ids: set[Id]) -> str:
    some = ", ".join(map(repr, list(ids)[:3])) + (", ..." if len(ids) > 3 else "")
    return f"1 row ({some}) is" if len(ids) == 1 else f"{len(ids):,} rows ({some}) are"


def payloads_of(
    store: Store, collection: str, ids: npt.NDArray[np.object_], wanted: SearchRequest
) -> list[list[dict[str, Any] | None]] | None:
    """Fetch payloads of the results; None if they were not requested."""
    if not wanted.with_payload:
        return None
    unique = list(dict.fromkeys(key for key in ids.ravel().tolist() if key is not None))
    batch = store.fetch(collection, unique, vectors=(), payload=True)
    known = dict(zip(batch.ids, batch.payloads or ({},) * len(batch), strict=True))
    return [
        [None if key is None else dict(known.get(key, {})) for key in row] for row in ids.tolist()
    ]
