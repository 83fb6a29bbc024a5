"""CodeIndex: a persistent, searchable index of codes."""

from __future__ import annotations

import os
import random
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from qadapt.codecs import Calibration
from qadapt.engines import Engine
from qadapt.errors import BusyError, InputError
from qadapt.index import persist
from qadapt.index.contents import Contents, Settings
from qadapt.index.hits import CodeHits
from qadapt.index.id_column import IdColumn
from qadapt.index.lock import FolderLock
from qadapt.index.rows import Id, shown
from qadapt.index.stages import Fetch
from qadapt.index.storage import (
    Header,
    read_header,
    read_record,
    remove_unlisted,
    require_empty,
)
from qadapt.index.two_stage_search import search
from qadapt.index.vector_blocks import check, prepared
from qadapt.model.arrays import as_matrix
from qadapt.model.query_checks import check_norms


class CodeIndex:
    """Sign bits in memory, int8 codes on disk, float32 queries.

    A search compares the sign bits of all rows, takes ``rescore * k`` candidates, and rescores
    them with their int8 codes (or with original vectors that the caller fetches), as in
    https://huggingface.co/blog/embedding-quantization, after Yamada et al. 2021 (arXiv
    2106.00882). The int8 steps are multiplied into the query, so that scores approximate those
    of the metric.

    Use :meth:`create` or :meth:`open`. Changes are in memory (int8 codes in an unnamed file) until
    :meth:`save`; a ``with`` block saves at the end unless an error is raised. There is one writer
    at a time; a ``read_only`` reader has the state that was saved when it opened. Not thread-safe
    while one thread makes changes.

    Under cosine, vectors are normalized before encoding. Under dot and euclidean the first stage
    ignores vector lengths, because sign bits contain only directions: if lengths vary a lot, use
    more oversampling or ``codes="int8"``. The second stage takes lengths into account.

    In a forked process, searches work. An index that is open for writing belongs to the parent: in
    the child, changes raise BusyError and ``close`` does not modify the folder.
    """

    def __init__(
        self, folder: Path, contents: Contents, header: Header, lock: FolderLock | None
    ) -> None:
        """Use :meth:`create` or :meth:`open`."""
        self._folder = folder
        self._contents: Contents | None = contents
        self._header = header
        self._lock = lock
        self._dirty = False
        self._pid = os.getpid()

    @classmethod
    def create(
        cls,
        folder: str | Path,
        dim: int,
        *,
        metric: str = "cosine",
        codes: Literal["binary", "int8"] = "binary",
        query_bits: Literal[1, 4, 8, 32] = 1,
        rescore_codes: Literal["int8"] | None = "int8",
        calibration: Calibration | None = None,
    ) -> CodeIndex:
        """Create an empty index.

        Args:
            folder: created if it does not exist; must be empty.
            dim: number of dimensions, at least 1.
            metric: ``cosine``, ``dot`` or ``euclidean``.
            codes: codes of the first stage: ``binary`` sign bits in memory, or ``int8`` codes on
                disk (then there are no bits, and the scan computes the scores; scores of equal
                codes may differ in the last digit).
            query_bits: bits per dimension of the query for scanning sign bits. 1 (Hamming
                distance) is by far the fastest; more bits find better candidates.
            rescore_codes: ``int8`` stores int8 codes for the second stage; None stores none.
            calibration: ranges of the int8 codes, of *normalized* vectors under cosine. None
                measures them on the first added vectors, of which there must be at least 100.

        Raises:
            InputError: an option has an invalid value.
            AlreadyExistsError: the folder contains an index.
            IntegrityError: the folder contains other files.
            BusyError: another process is creating it.
        """
        settings = Settings.checked(dim, metric, codes, query_bits, rescore_codes)
        if calibration is not None:
            settings.fits(calibration)
        place = Path(folder)
        require_empty(place)
        place.mkdir(parents=True, exist_ok=True)
        lock = FolderLock(place)
        try:
            require_empty(place)
            made = Contents(settings, calibration)
            header = persist.begin(place, made)
        except BaseException:
            lock.release()
            raise
        return cls(place, made, header, lock)

    @classmethod
    def open(
        cls,
        folder: str | Path,
        *,
        read_only: bool = False,
        verify: Literal["lazy", "full"] = "lazy",
        wait: float = 0,
    ) -> CodeIndex:
        """Open a saved index.

        Args:
            folder: folder of the index.
            read_only: take no lock and reject changes.
            verify: ``lazy`` verifies ids, sign bits and ranges now, and each page of int8 codes (8
                KiB) when it is first used; ``full`` verifies all pages and ids now (about 0.5
                seconds per GB).
            wait: seconds to wait for another writer before BusyError is raised.

        Raises:
            IntegrityError: not an index, of another format version, or damaged.
            BusyError: another process has it open for writing.
        """
        if verify not in ("lazy", "full"):
            raise InputError(
                f"verify must be 'lazy' or 'full'; got {verify!r}",
                hint="both detect damage before a search uses it; 'full' reads all files at first",
            )
        place = Path(folder)
        read_header(place)  # before a lock is created in a folder that has no index
        lock = None if read_only else FolderLock(place, wait=wait)
        try:
            header, loaded = persist.load_newest(place, content=verify == "full")
        except BaseException:
            if lock is not None:
                lock.release()
            raise
        if lock is not None:
            remove_unlisted(place, header)
        return cls(place, loaded, header, lock)

    # -- properties ------------------------------------------------------------------------

    @property
    def folder(self) -> Path:
        """Folder of the index."""
        return self._folder

    @property
    def settings(self) -> Settings:
        """Settings: dim, metric, codes, query_bits, rescore_codes."""
        return self._open.settings

    @property
    def calibration(self) -> Calibration | None:
        """Ranges of the int8 codes; None if there are none yet."""
        return self._open.calibration

    @property
    def read_only(self) -> bool:
        """Whether the index is read-only."""
        return self._lock is None

    @property
    def generation(self) -> int:
        """Number that increases with each save with changes."""
        return self._header.generation

    @property
    def ids(self) -> list[Id]:
        """All ids in row order: the order of addition (upserted rows are last)."""
        return self._open.rows.ids()

    def sample_ids(self, count: int) -> list[Id]:
        """Up to ``count`` random ids, without a list of all."""
        rows = self._open.rows
        chosen = random.sample(range(rows.live), min(count, rows.live))
        return rows.sample(np.array(chosen, dtype=np.int64))

    @property
    def nbytes(self) -> dict[str, int]:
        """Bytes: ``ram`` (sign bits and ids), ``ids`` (their share of it), ``disk`` (data files).

        Ids need 8 (ascending int), 12 (int) or 20 (UUID) bytes per row, other texts their UTF-8
        bytes and 13, and all of them 1 for the mask of deleted rows; the order in which they are
        looked up is created when it is first needed.
        """
        inside = self._open
        disk = persist.disk_bytes(self._header)
        if inside.int8 is not None:
            disk += inside.int8.grown_bytes
        ids = inside.rows.nbytes
        bits = 0 if inside.bits is None else inside.bits.nbytes
        return {"ram": bits + ids, "ids": ids, "disk": disk}

    def __len__(self) -> int:
        return self._open.rows.live

    def __contains__(self, one: object) -> bool:
        return one in self._open.rows

    def __repr__(self) -> str:
        if self._contents is None:
            return f"<CodeIndex {self._folder}, closed>"
        s = self.settings
        return f"<CodeIndex {self._folder}: {len(self)} x {s.dim}, {s.metric}, {s.codes}>"

    # -- changes ---------------------------------------------------------------------------

    def add(self, ids: Any, X: Any) -> None:  # noqa: N803 - the usual name of a matrix
        """Add vectors with new ids.

        Args:
            ids: n ids, int or str.
            X: float16, float32 or float64 (n, dim).

        Raises:
            InputError: existing or duplicate ids, or different numbers of ids and vectors.
            DimensionError, NonFiniteError, ZeroVectorError: invalid vectors.
            CalibrationError: there is no calibration, and too few vectors to measure one.
        """
        inside = self._writable()
        names, vectors = inside.settings.batch(ids, X)
        there = names.take(np.flatnonzero(inside.rows.places(names) >= 0)).tolist()
        if there:
            raise InputError(
                f"{len(there)} of {len(names)} ids already exist in the index: {shown(there)}",
                hint="use upsert to replace them; nothing was added",
            )
        inside.append(self._folder, names, vectors)
        self._dirty = self._dirty or len(names) > 0

    def upsert(self, ids: Any, X: Any) -> None:  # noqa: N803
        """Add vectors, replacing existing ids. They become the last rows.

        Raises:
            The same errors as :meth:`add`, except for existing ids.
        """
        inside = self._writable()
        names, vectors = inside.settings.batch(ids, X)
        inside.append(self._folder, names, vectors, replace=True)
        self._dirty = self._dirty or len(names) > 0

    def delete(self, ids: Any) -> int:
        """Delete ids; unknown ids are ignored.

        Returns:
            Number of deleted rows.
        """
        removed = self._writable().delete(IdColumn.of(ids))
        self._dirty = self._dirty or removed > 0
        return removed

    # -- searching -------------------------------------------------------------------------

    def search(
        self,
        Q: Any,  # noqa: N803
        k: int = 10,
        *,
        rescore: float = 4.0,
        candidates: int | None = None,
        source: Literal["codes", "originals", "bits", "off"] | None = None,
        fetch: Fetch | None = None,
        mask: npt.ArrayLike | None = None,
        ids: Iterable[Id] | None = None,
        exclude: Iterable[Id] = (),
        engine: Engine | str | None = None,
    ) -> CodeHits:
        """Search the ``k`` best rows of each query.

        Args:
            Q: queries, floats (nq, dim) or (dim,).
            k: number of results, at least 1.
            rescore: oversampling, at least 1: ``ceil(rescore * k)`` candidates are rescored.
            candidates: number of candidates per query, instead of ``rescore``; at least 1.
            source: data for rescoring. ``codes``: int8 codes on disk. ``originals``: vectors from
                ``fetch``; the only source of exact scores. ``bits``: float32 query and sign bits;
                recall is limited to about 96 % of float32 with any oversampling. ``off``: no
                rescoring. None uses ``originals`` with ``fetch``, else ``codes`` if stored, else
                ``bits``. For an int8 index ``codes`` and ``off`` are the same.
            fetch: function that takes a list of unique ids (once for all queries whose candidates
                fit in 16 MB) and returns their vectors, float (m, dim) with NaN rows for missing
                ids, or a mapping from id to vector.
            mask: bool (len(index),) in the order of :attr:`ids`: rows that may be returned.
            ids: ids that may be returned; unknown ids are ignored. Not together with ``mask``.
            exclude: ids that must not be returned, such as rows that were deleted.
            engine: engine that scans sign bits: a name of :func:`qadapt.engines.engine_names` or an
                :class:`qadapt.engines.Engine`; None chooses the fastest one installed.

        Returns:
            Ids and scores (nq, k). With ``off`` over Hamming distances h, scores are
            ``1 - 2 h / dim``. Equal scores are in row order.

        Raises:
            InputError, DimensionError, NonFiniteError, ZeroVectorError: an invalid query or option.
                Under dot and euclidean the squared norm of a query must not overflow float32.
            NotFoundError: ``fetch`` returned no vector for some ids.
        """
        inside = self._open
        array = as_matrix(Q, what="queries", dim=inside.settings.dim)
        check(array, inside.settings.metric, what="queries")
        queries = prepared(array, inside.settings.metric)
        check_norms(queries, inside.settings.metric)
        allowed = inside.allowed(mask, ids, exclude)
        return search(
            inside, queries, k, oversampling=rescore, wanted=candidates, source=source, fetch=fetch,
            mask=allowed, engine=engine,
        )  # fmt: skip

    def differing(self, ids: Any, X: Any) -> list[Id]:  # noqa: N803
        """Ids whose codes do not match these vectors: changed, unknown, or invalid vectors.

        int8 codes may differ by one step, because a database may round or normalize differently.

        Args:
            ids: n ids, int or str.
            X: float16, float32 or float64 (n, dim).

        Raises:
            InputError: different numbers of ids and vectors.
            DimensionError: wrong number of dimensions.
        """
        inside = self._open
        names = IdColumn.of(ids)
        vectors = as_matrix(X, dim=inside.settings.dim)
        if len(names) != len(vectors):
            raise InputError(
                f"{len(names)} ids for {len(vectors)} vectors", hint="give one id per vector"
            )
        return inside.differing(names, vectors)

    def check(self, ids: Any, X: Any) -> None:  # noqa: N803
        """Raise the errors of :meth:`upsert` without changing anything.

        Raises:
            InputError, DimensionError, NonFiniteError, ZeroVectorError: see :meth:`upsert`.
        """
        self._writable().settings.batch(ids, X)

    # -- persistence -----------------------------------------------------------------------

    def save(self) -> None:
        """Save all changes atomically.

        The changes are durable when it returns; until then, the folder is unchanged. Added rows and
        marks of deleted rows are written to a new segment. Ten segments of similar size are merged,
        and so are segments with one deleted row for each three live ones, so that n saves of a row
        write each row about log10(n) + 1 times. :meth:`compact` removes all deleted rows.

        Raises:
            OSError: the disk is full or unavailable. The folder is unchanged, and the changes are
                still in memory.
            IntegrityError: a page of a segment to merge is damaged; nothing was changed.
        """
        inside = self._writable()
        if self._dirty:
            self._header = persist.save(self._folder, inside)
            self._dirty = False

    def compact(self) -> None:
        """Save all changes, and write all rows to one segment without deleted rows.

        Until then, deleted vectors remain in the files, although no search returns them.

        Raises:
            The same errors as :meth:`save`.
        """
        inside = self._writable()
        self._header = persist.save(self._folder, inside, compact=True)
        self._dirty = False

    def verify(self) -> None:
        """Verify the checksums of the saved files, and that each id has one row.

        Raises:
            IntegrityError: a file is missing or damaged.
        """
        inside = self._open
        if self._header.calibration is not None:
            read_record(self._folder, self._header.calibration)
        inside.verify()
        persist.refuse_repeated(self._folder, inside)

    @staticmethod
    def saved_generation(folder: str | Path) -> int:
        """:attr:`generation` of the last save, without opening the index.

        Raises:
            IntegrityError: not an index, or damaged.
        """
        return read_header(Path(folder)).generation

    def close(self) -> None:
        """Close files and release the lock. Unsaved changes are lost, with a warning."""
        if self._contents is None:
            return
        if self._forked:  # files and lock belong to the parent process
            self._contents = None
            return
        if self._dirty:
            warnings.warn(f"{self!r} was closed with unsaved changes", stacklevel=2)
        self._contents.close()
        self._contents = None
        if self._lock is not None:
            self._lock.release()

    def __enter__(self) -> CodeIndex:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None and self._dirty and not self._forked:
                self.save()
        finally:
            self._dirty = False
            self.close()

    @property
    def _open(self) -> Contents:
        if self._contents is None:
            raise InputError(f"{self!r} was used after close()", hint="open it again")
        return self._contents

    def _writable(self) -> Contents:
        if self._lock is None:
            raise InputError(
                f"{self._folder} was opened with read_only=True", hint="open it without read_only"
            )
        if self._forked:
            raise BusyError(
                f"{self._folder} is open for writing in the parent process {self._pid} was forked",
                hint="write in that process, or close the index before the fork",
            )
        return self._open

    @property
    def _forked(self) -> bool:
        return self._pid != os.getpid()
