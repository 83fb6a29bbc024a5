"""The index itself."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import numpy.typing as npt

from qadapt.codecs import Calibration
from qadapt.engines import Engine
from qadapt.errors import BusyError, InputError, IntegrityError
from qadapt.index import persist
from qadapt.index.contents import Contents, Settings
from qadapt.index.hits import CodeHits
from qadapt.index.lock import FolderLock
from qadapt.index.rows import Id, clean_ids, shown
from qadapt.index.stages import Fetch
from qadapt.index.storage import Header, check_files, read_header, remove_unlisted, require_empty
from qadapt.index.two_stage_search import search
from qadapt.index.vector_blocks import as_matrix, check, prepared
from qadapt.model.query_checks import check_norms

_OPEN_TRIES = 5


class CodeIndex:
    """Sign bits in memory, int8 codes on disk, the query as floats.

    A search compares sign bits with all rows, takes ``rescore * k`` candidates, and scores those
    again by their int8 codes (or by original vectors that the caller fetches). The recipe is
    that of https://huggingface.co/blog/embedding-quantization, after Yamada et al. 2021
    (arXiv 2106.00882); the int8 steps are multiplied into the query, so that scores have the
    metric's own unit.

    Made by :meth:`create` or :meth:`open`. Changes live in memory (int8 codes in an unnamed file)
    until :meth:`save`; leaving a ``with`` block without an error saves. One writer at a time; a
    ``read_only`` reader sees what was saved when it opened. Not safe for use by several threads
    while one of them changes it.

    Under cosine, vectors are normalised before encoding. Under dot and euclidean the first stage
    sees directions only: sign bits know nothing of lengths, so where lengths differ much, ask
    for more oversampling or use ``codes="int8"``; the second stage respects lengths.

    In a process forked while an index was open, searches work. An index that was open for writing
    stays with the parent: in the child, changes raise a BusyError and ``close`` leaves the folder
    alone.
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
        """A new, empty index.

        Args:
            folder: made if not there; must be empty.
            dim: dimensions of the vectors, at least 1.
            metric: ``cosine``, ``dot`` or ``euclidean``.
            codes: what the first stage scans: ``binary`` sign bits in memory, or ``int8`` codes
                on disk (then there are no bits, and the scan gives the scores; it multiplies
                matrices, so equal codes may there differ in the last digit).
            query_bits: bits of a query's dimension against sign bits. 1 is Hamming distance and
                by far the fastest; more finds better candidates.
            rescore_codes: ``int8`` keeps int8 codes for the second stage; None keeps none.
            calibration: ranges of the int8 codes, of *normalised* vectors under cosine. None
                takes them from the first vectors added, which must then be at least 100.

        Raises:
            InputError: an option out of range.
            AlreadyExistsError: the folder holds an index.
            IntegrityError: the folder holds something else.
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
        verify: Literal["full", "size"] = "full",
        wait: float = 0,
    ) -> CodeIndex:
        """An index that was saved.

        Args:
            folder: where it is.
            read_only: take no lock and refuse changes.
            verify: ``full`` compares all checksums (about a second per GB), ``size`` only the
                lengths of the files.
            wait: seconds to wait for another writer before the BusyError.

        Raises:
            IntegrityError: not an index, of a newer version, or damaged; says what to do.
            BusyError: another process has it open for writing.
        """
        if verify not in ("full", "size"):
            raise InputError(f"verify is {verify!r}, expected 'full' or 'size'")
        place = Path(folder)
        header = read_header(place)
        lock = None if read_only else FolderLock(place, wait=wait)
        try:
            for attempt in range(_OPEN_TRIES):
                header = read_header(place)
                try:
                    loaded = persist.load(place, header, content=verify == "full")
                    break
                except (IntegrityError, FileNotFoundError):
                    # a writer may just have replaced the files that a reader was about to open
                    newer = read_header(place).generation != header.generation
                    if not newer or attempt == _OPEN_TRIES - 1:
                        raise
        except BaseException:
            if lock is not None:
                lock.release()
            raise
        if lock is not None:
            remove_unlisted(place, header)
        return cls(place, loaded, header, lock)

    # -- what it is ------------------------------------------------------------------------

    @property
    def folder(self) -> Path:
        """Where it is."""
        return self._folder

    @property
    def settings(self) -> Settings:
        """dim, metric, codes, query_bits, rescore_codes."""
        return self._open.settings

    @property
    def calibration(self) -> Calibration | None:
        """Ranges of the int8 codes; None while there are none."""
        return self._open.calibration

    @property
    def read_only(self) -> bool:
        """Whether changes are refused."""
        return self._lock is None

    @property
    def generation(self) -> int:
        """A number that grows with each save that changed something."""
        return self._header.generation

    @property
    def ids(self) -> list[Id]:
        """All ids in row order: the order in which they were added (upserted ones go last)."""
        return self._open.rows.ids()

    @property
    def nbytes(self) -> dict[str, int]:
        """Bytes of codes in ``ram`` and of data files on ``disk``; ids in memory not counted."""
        inside = self._open
        disk = sum(record.bytes for record in self._header.records)
        if inside.int8 is not None:
            disk += inside.int8.grown_bytes
        return {"ram": 0 if inside.bits is None else inside.bits.nbytes, "disk": disk}

    def __len__(self) -> int:
        return self._open.rows.live

    def __contains__(self, one: object) -> bool:
        return one in self._open.rows

    def __repr__(self) -> str:
        if self._contents is None:
            return f"<CodeIndex {self._folder}, closed>"
        s = self.settings
        return f"<CodeIndex {self._folder}: {len(self)} x {s.dim}, {s.metric}, {s.codes}>"

    # -- changing it -----------------------------------------------------------------------

    def add(self, ids: Any, X: Any) -> None:  # noqa: N803 - the usual name of a matrix
        """Add vectors under new ids.

        Args:
            ids: n ids, int or str.
            X: float16, float32 or float64 (n, dim).

        Raises:
            InputError: ids that are there already or occur twice (named), or another number of
                ids than vectors.
            DimensionError, NonFiniteError, ZeroVectorError: see their texts.
            CalibrationError: no calibration yet and too few vectors to make one.
        """
        inside = self._writable()
        names, vectors = inside.settings.batch(ids, X)
        there = [one for one in names if one in inside.rows]
        if there:
            raise InputError(
                f"{len(there)} of {len(names)} ids are in the index already: {shown(there)}",
                hint="upsert replaces them; nothing was added",
            )
        inside.append(self._folder, names, vectors)
        self._dirty = self._dirty or bool(names)

    def upsert(self, ids: Any, X: Any) -> None:  # noqa: N803
        """Add vectors, replacing those whose ids are there. They become the last rows.

        Raises:
            As :meth:`add`, but for ids that are there.
        """
        inside = self._writable()
        names, vectors = inside.settings.batch(ids, X)
        inside.append(self._folder, names, vectors, replace=True)
        self._dirty = self._dirty or bool(names)

    def delete(self, ids: Any) -> int:
        """Remove ids; unknown ones are passed over.

        Returns:
            How many were there.
        """
        removed = self._writable().rows.remove(clean_ids(ids))
        self._dirty = self._dirty or removed > 0
        return removed

    # -- searching -------------------------------------------------------------------------

    def search(
        self,
        Q: Any,  # noqa: N803
        k: int = 10,
        *,
        rescore: float = 4.0,
        source: Literal["codes", "originals", "bits", "off"] | None = None,
        fetch: Fetch | None = None,
        mask: npt.ArrayLike | None = None,
        ids: Iterable[Id] | None = None,
        exclude: Iterable[Id] = (),
        engine: Engine | str | None = None,
    ) -> CodeHits:
        """The ``k`` best rows of each query.

        Args:
            Q: queries, floats (nq, dim) or (dim,).
            k: how many, at least 1.
            rescore: oversampling, at least 1: ``ceil(rescore * k)`` candidates are scored again.
            source: what on. ``codes``: int8 codes, from disk. ``originals``: vectors from
                ``fetch``; the only one with exact scores. ``bits``: the float query against sign
                bits; needs nothing more, but has a ceiling (about 96 % of float) that no
                oversampling lifts. ``off``: not at all. None takes ``originals`` if there is a
                ``fetch``, else ``codes`` if kept, else ``bits``. An int8 index scores by its
                codes at once, so ``codes`` and ``off`` are the same there.
            fetch: called with a list of distinct ids (once for all queries that fit in 16 MB of
                candidates); returns their vectors float (m, dim) in that order, NaN rows for
                missing ones, or a mapping from id to vector.
            mask: bool (len(index),) in the order of :attr:`ids`: True where a row may be found.
            ids: ids that may be found; those that are not in the index are passed over. Not
                together with ``mask``.
            exclude: ids that must not be found, such as rows that the store has lost.
            engine: who computes Hamming distances; a name or an :class:`qadapt.engines.Engine`.

        Returns:
            Ids and scores (nq, k). With ``off`` over Hamming distances h, scores are
            ``1 - 2 h / dim``. Equal scores are in row order.

        Raises:
            InputError, DimensionError, NonFiniteError, ZeroVectorError: a query or option. Under
                dot and euclidean a query whose squared norm overflows float32 is refused.
            NotFoundError: ``fetch`` has no vector for some ids; names them.
        """
        inside = self._open
        array = as_matrix(Q, inside.settings.dim, what="queries")
        check(array, inside.settings.metric, what="queries")
        queries = prepared(array, inside.settings.metric)
        check_norms(queries, inside.settings.metric)
        allowed = inside.allowed(mask, ids, exclude)
        return search(
            inside, queries, k, oversampling=rescore, source=source, fetch=fetch, mask=allowed,
            engine=engine,
        )  # fmt: skip

    def differing(self, ids: Any, X: Any) -> list[Id]:  # noqa: N803
        """Ids whose codes here are not those of these vectors: changed, unknown, or unfit.

        int8 codes may be one step apart, because a store may round or normalise otherwise.

        Args:
            ids: n ids, int or str.
            X: float16, float32 or float64 (n, dim).

        Raises:
            InputError: another number of ids than vectors.
            DimensionError: another number of dimensions.
        """
        inside = self._open
        names = clean_ids(ids)
        vectors = as_matrix(X, inside.settings.dim, what="vectors")
        if len(names) != len(vectors):
            raise InputError(f"{len(names)} ids for {len(vectors)} vectors")
        return inside.differing(names, vectors)

    def check(self, ids: Any, X: Any) -> None:  # noqa: N803
        """Refuse what :meth:`upsert` would refuse; nothing is changed.

        Raises:
            InputError, DimensionError, NonFiniteError, ZeroVectorError: as :meth:`upsert`.
        """
        self._writable().settings.batch(ids, X)

    # -- keeping it ------------------------------------------------------------------------

    def save(self) -> None:
        """Make all changes durable, in one step; deleted rows are dropped from the files.

        When it returns, everything is on the disk. When the process dies before, the folder is
        what it was. Added rows are written as they are; if rows were deleted (or after 16 saves)
        all are written anew.

        Raises:
            OSError: the disk is full or gone. The folder is what it was, the changes still here.
        """
        inside = self._writable()
        if self._dirty:
            self._header = persist.save(self._folder, inside, self._header)
            self._dirty = False

    def verify(self) -> None:
        """Read the saved files again and compare their checksums.

        Raises:
            IntegrityError: one is missing or damaged.
        """
        self._open  # noqa: B018 - raises when closed
        check_files(self._folder, self._header, content=True)

    def close(self) -> None:
        """Let go of files and lock. Changes that were not saved are lost, with a warning."""
        if self._contents is None:
            return
        if self._forked:  # files and lock are the parent's
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
                f"{self._folder} was opened with read_only=True", hint="open it without"
            )
        if self._forked:
            raise BusyError(
                f"{self._folder} is open for writing in process {self._pid}, from which this one "
                "was forked",
                hint="write in that process, or close the index there before the fork",
            )
        return self._open

    @property
    def _forked(self) -> bool:
        return self._pid != os.getpid()
