"""CodeIndex: a persistent, searchable index of codes."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import numpy.typing as npt

from qadapt.code_index import persist
from qadapt.code_index.comparison import differing
from qadapt.code_index.contents import Contents
from qadapt.code_index.given_codes import given_codes, refuse_known
from qadapt.code_index.hits import CodeHits
from qadapt.code_index.id_column import IdColumn
from qadapt.code_index.lock import FolderLock
from qadapt.code_index.open_index import OpenIndex
from qadapt.code_index.recalibration import recalibrate
from qadapt.code_index.rows import Id
from qadapt.code_index.settings import Settings, unique_ids
from qadapt.code_index.stages import Fetch
from qadapt.code_index.storage import (
    read_header,
    remove_unlisted,
    require_empty,
)
from qadapt.code_index.two_stage_search import search
from qadapt.code_index.vector_blocks import prepared_queries
from qadapt.codecs import Calibration, CalibrationWarning, Codebook
from qadapt.engines import Engine
from qadapt.errors import InputError
from qadapt.model.arrays import as_matrix
from qadapt.model.embedding_kinds import EmbeddingKind, refuse_packed


class CodeIndex(OpenIndex):
    """Sign bits in memory, int8 codes on disk, float32 queries.

    A search compares the sign bits of all rows, takes ``rescore * k`` candidates, and rescores
    them with their int8 codes (or with original vectors that the caller fetches), as in
    https://huggingface.co/blog/embedding-quantization, after Yamada et al. 2021 (arXiv
    2106.00882). The int8 steps are multiplied into the query, so that scores approximate those
    of the metric.

    With ``codes="rotational"`` the codes in memory have 1, 2 or 4 bits of each rotated dimension,
    with ``codes="scalar"`` 4 bits of each dimension.

    Use :meth:`create` or :meth:`open`. Changes are in memory (int8 codes in an unnamed file) until
    :meth:`save`; a ``with`` block saves at the end unless an error is raised. There is one writer
    at a time; a ``read_only`` reader has the state that was saved when it opened. Not thread-safe
    while one thread makes changes.

    Under cosine, vectors are normalized before encoding. Under dot and euclidean the first stage
    ignores vector lengths, because sign bits contain only directions: if lengths vary a lot, use
    more oversampling, ``codes="rotational"`` or ``codes="int8"``. The second
    stage takes lengths into account.

    In a forked process, searches work. An index that is open for writing belongs to the parent: in
    the child, changes raise BusyError and ``close`` does not modify the folder.
    """

    @classmethod
    def create(
        cls,
        folder: str | Path,
        dim: int,
        *,
        metric: str = "cosine",
        codes: Literal["binary", "int8", "rotational", "scalar"] = "binary",
        bits: Literal[1, 2, 4] | None = None,
        rotation: Literal["random", "learned"] | None = None,
        query_bits: Literal[1, 4, 8, 32] | None = None,
        rescore_codes: Literal["int8"] | None = "int8",
        calibration: Calibration | None = None,
        codebook: Codebook | None = None,
    ) -> CodeIndex:
        """Create an empty index.

        Args:
            folder: created if it does not exist; must be empty.
            dim: number of dimensions, at least 1.
            metric: ``cosine``, ``dot`` or ``euclidean``.
            codes: codes of the first stage: ``binary`` sign bits in memory; ``rotational`` codes in
                memory (see ``qadapt.codecs.rotational``), which find better candidates and estimate
                dot products and distances without bias, with lengths; ``scalar`` codes of 4 bits in
                memory with learned levels for each dimension (see ``qadapt.codecs.codebook``),
                which estimate the same; or ``int8`` codes on disk (then there are no bits, and the
                scan computes the scores; scores of equal codes may differ in the last digit).
            bits: bits per dimension: 1 (default), 2 or 4 of rotational codes, a row of which takes
                ``bits * (dim rounded up to 64) / 8 + 8`` bytes; 4 of scalar codes, with
                ``ceil(dim / 2) + 8`` bytes.
            rotation: rotation of rotational codes. ``random``, the default: seeded, the same for
                all indexes with this number of dimensions. ``learned``: fitted to the first
                vectors that are added (ITQ, see ``qadapt.codecs.learned_rotation``), of which there
                must be at least 6 per dimension, rounded up to 64.
            query_bits: bits per dimension of the query for scanning bits. Sign bits: 1 (default;
                Hamming distance) is by far the fastest; more bits find better candidates.
                Rotational codes: 4 (default with ``bits=1``) or 8 (default otherwise). Scalar
                codes: 8.
            rescore_codes: ``int8`` stores int8 codes for the second stage; None stores none.
            calibration: ranges of the int8 codes, of *normalized* vectors under cosine. None
                measures them on the first added vectors, of which there must be at least 100.
            codebook: levels of scalar codes, of *normalized* vectors under cosine. None learns them
                from the first added vectors, of which there must be at least 100.

        Raises:
            InputError: an option has an invalid value.
            CalibrationError: calibration or codebook has other dimensions.
            AlreadyExistsError: the folder contains an index.
            IntegrityError: the folder contains other files.
            BusyError: another process is creating it.
        """
        settings = Settings.checked(
            dim, metric, codes, query_bits, rescore_codes, bits=bits, rotation=rotation
        )
        if calibration is not None:
            settings.fits(calibration)
        if codebook is not None:
            settings.fits_codebook(codebook)
        place = Path(folder)
        require_empty(place)
        place.mkdir(parents=True, exist_ok=True)
        lock = FolderLock(place)
        try:
            require_empty(place)
            made = Contents(settings, calibration, codebook=codebook)
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
                KiB) when it is first used; ``full`` verifies all pages and ids now (5 seconds of
                CPU time for 10 million rows of 128 dimensions).
            wait: seconds to wait for another writer before BusyError is raised.

        Raises:
            IntegrityError: not an index, of another format version, or damaged.
            BusyError: another process has it open for writing.
        """
        if verify not in ("lazy", "full"):
            raise InputError(
                f"verify must be 'lazy' or 'full'; got {verify!r}",
                hint="both detect damage before a search uses it; 'full' reads all files first",
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

    # -- changes ---------------------------------------------------------------------------

    def add(
        self,
        ids: Any,
        X: Any = None,  # noqa: N803 - the usual name of a matrix
        *,
        codes: Any = None,
        kind: EmbeddingKind | None = None,
    ) -> None:
        """Add vectors with new ids.

        Args:
            ids: n ids, int or str; arrays of numpy and pyarrow.
            X: float16, bfloat16 (of ml_dtypes), float32 or float64 (n, dim); may be a memory map.
            codes: embeddings of a service, instead of ``X``.
            kind: form of ``codes``: ``int8`` or ``uint8`` (n, dim), proportional to the floats;
                packed bits ``ubinary`` (uint8) or ``binary`` (the same minus 128, as int8)
                (n, ceil(dim / 8)), for an index of sign bits with ``rescore_codes=None``;
                ``base64`` (n texts of float32 values); ``bfloat16`` (uint16); ``numbers``.

        Raises:
            InputError: existing or duplicate ids, or different numbers of ids and vectors.
            DimensionError, NonFiniteError, ZeroVectorError: invalid vectors.
            CalibrationError: there is no calibration, learned rotation or codebook, and too few
                vectors for it.
            SpecError: unknown kind, or packed bits for an index that needs vectors.
        """
        self._append(ids, X, codes, kind, replace=False)

    def upsert(
        self,
        ids: Any,
        X: Any = None,  # noqa: N803
        *,
        codes: Any = None,
        kind: EmbeddingKind | None = None,
    ) -> None:
        """Add vectors, replacing existing ids. They become the last rows.

        Args:
            ids, X, codes, kind: as in :meth:`add`.

        Raises:
            The same errors as :meth:`add`, except for existing ids.
        """
        self._append(ids, X, codes, kind, replace=True)

    def _append(
        self, ids: Any, vectors: Any, codes: Any, kind: str | None, *, replace: bool
    ) -> None:
        inside = self._writable()
        packed = None
        if codes is not None or kind is not None:
            vectors, packed = given_codes(inside.settings, vectors, codes, kind)
        if packed is None:
            names, vectors = inside.settings.batch(ids, vectors)
        else:
            names = unique_ids(ids, len(packed))
        if not replace:
            refuse_known(inside, names)
        if packed is None:
            inside.append(self._folder, names, vectors, replace=replace)
        else:
            inside.append_bits(names, packed, replace=replace)
        self._changed(inside, len(names))

    def _changed(self, inside: Contents, rows: int) -> None:
        """Note added rows, and warn once if the ranges cut off many of their values."""
        self._dirty = self._dirty or rows > 0
        cut = None if inside.watch is None or self._warned else inside.watch.take_warning()
        if cut is None or inside.calibration is None:
            return
        self._warned = True
        ranges = inside.calibration
        warnings.warn(
            f"{cut.share:.1%} of the values of the last {cut.rows:,} added vectors are outside of "
            f"the ranges of the int8 codes ({ranges.source}, {ranges.count:,} vectors) and were "
            "cut off. recalibrate(fetch) measures the ranges again with the original vectors; "
            "recalibrate() widens them for later vectors. For client-side codes of a database, "
            "`qadapt undo` and then `qadapt apply` measure them again",
            CalibrationWarning,
            stacklevel=4,
        )

    def recalibrate(
        self, fetch: Fetch | None = None, *, calibration: Calibration | None = None
    ) -> None:
        """Encode all int8 codes again with other ranges. Sign bits do not change.

        With ``fetch``, codes are made from the original vectors, and the ranges are those of all
        of them. Without, the present codes are decoded and encoded with ranges that include all
        vectors added since the index was opened: values that were cut off remain so, but later
        vectors are not cut off. The files are replaced by the next :meth:`save`.

        Args:
            fetch: as in :meth:`search`; called with the ids of about 8 MB of vectors at a time,
                twice if ``calibration`` is None.
            calibration: ranges to use; default: measured.

        Raises:
            SpecError: the index has no int8 codes.
            CalibrationError: neither argument was given and no value was cut off, or the
                dimensions differ.
            NotFoundError, InputError: ``fetch`` returned no vector for some ids, or others.
            OSError: the disk is full. Nothing was changed.
        """
        inside = self._writable()
        self._drop_merge()
        recalibrate(self._folder, inside, fetch, calibration)
        self._dirty, self._warned = True, False

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
                recall is limited to about 96 % of float32 with any oversampling (with
                rotational and scalar codes, the float32 query and the codes). ``off``: no
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
        refuse_packed(
            Q, inside.settings.dim, what="queries",
            how="queries are floats: qadapt.codecs.unpack_signs(codes, dim) decodes ubinary",
        )  # fmt: skip
        array = as_matrix(Q, what="queries", dim=inside.settings.dim)
        queries = prepared_queries(array, inside.settings.metric)
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
        return differing(inside, names, vectors)

    def check(self, ids: Any, X: Any) -> None:  # noqa: N803
        """Raise the errors of :meth:`upsert` without changing anything.

        Raises:
            InputError, DimensionError, NonFiniteError, ZeroVectorError: see :meth:`upsert`.
        """
        self._writable().settings.batch(ids, X)
