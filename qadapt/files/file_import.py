"""Import of a file into a new or existing collection.

The file is read twice: it is checked completely before anything is written (``survey``), and then
written. An import that fails removes the collection that it created.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qadapt.errors import (
    AlreadyExistsError,
    InputError,
    IntegrityError,
    QadaptError,
    SpecError,
    UnsupportedError,
)
from qadapt.files import extra_vectors, unfinished_imports
from qadapt.files.arrays import Arrays
from qadapt.files.decoded_rows import DecodedRows
from qadapt.files.export import FORMATS
from qadapt.files.layout import ColumnChoice, VectorColumns
from qadapt.files.parquet_reader import Parquet
from qadapt.files.parquet_writer import Head
from qadapt.files.row_errors import RowErrors
from qadapt.files.survey import PAGE, Source, Zeros, file_state, survey
from qadapt.local import collection_info
from qadapt.local.row_writes import write_rows
from qadapt.local.state import exclusive
from qadapt.migration.endpoint import Endpoint, open_endpoint
from qadapt.migration.finalize import quantize
from qadapt.migration.nearest import map_quantization
from qadapt.migration.row_codec import RowCodec
from qadapt.migration.schema import create_collection
from qadapt.migration.writer import REJECTED, write_bisecting
from qadapt.model import (
    Batch,
    CollectionInfo,
    Id,
    Kind,
    Match,
    MatchLevel,
    Metric,
    Quantization,
    QuantizationLike,
    Serializable,
    Status,
    Vector,
)
from qadapt.model.embedding_kinds import checked_kind
from qadapt.model.option_checks import refuse_pairs
from qadapt.model.table import FieldTable
from qadapt.stores.base import OnProgress, Progress, silent

MISSING = "missing-vectors"
LOSSES = (*extra_vectors.LOSSES.values(), MISSING)


@dataclass(frozen=True)
class Imported(FieldTable, Serializable):
    """Result of an import.

    Attributes:
        collection: its name.
        rows: number of rows written.
        created: whether the collection was created.
        mapped: number of ids that were converted to UUIDs.
        quantization: requested quantization, by vector.
        match: match with the quantization of the file.
        status: verified status.
        columns: columns of a ``.parquet`` that hold the ids and the vectors (``vector:NAME``).
        entries: columns that became payload fields.
    """

    collection: str
    rows: int
    created: bool
    mapped: int
    quantization: Mapping[str, Quantization]
    match: Mapping[str, Match]
    status: Mapping[str, Status]
    columns: Mapping[str, str] = field(default_factory=dict)
    entries: tuple[str, ...] = ()


def import_file(
    path: str | os.PathLike[str],
    target: Any,
    *,
    id: str | None = None,
    vectors: VectorColumns | None = None,
    number_rows: bool = False,
    kind: str | None = None,
    metric: Metric | str | None = None,
    quantization: QuantizationLike | None = None,
    add: bool = False,
    allow: Collection[str] = (),
    timeout: float = 3600.0,
    progress: OnProgress | None = None,
) -> Imported:
    """Read ``FILE.parquet``, ``.npy`` or ``.fvecs`` into a collection.

    The whole file is checked before anything is written. Rows are upserted by id, so an import can
    be repeated. A failed import removes the collection if it created it; for an existing
    collection, the error names the rows that were written.

    Args:
        target: ``"URL#collection"`` or ``(Database, name)``; default name: that in the file, or
        that of the file.
        id: column of the ids in a ``.parquet``: integers, text, or 16 bytes of a UUID. Default:
        ``id``, or the index of a DataFrame.
        vectors: columns of vectors in a ``.parquet``: one, several, or ``{vector name:
            column}``. A column ``vector`` becomes the unnamed vector, ``vector:NAME`` the vector
            ``NAME``, any other a vector with the name of the column. Default: these two and lists
            of floats of a fixed size, or the only column of lists of floats.
        number_rows: use row numbers, from 0, as ids.
        kind: form of the vectors, if they are embeddings of a service: ``int8``, ``uint8``,
        ``ubinary`` or ``binary`` (packed bits: the datatype ``bit`` if the target has it and no
        quantization is given, else -1 and 1), ``bfloat16`` (uint16), or ``numbers``.
        metric: metric, if the file does not contain it; cosine by default.
        quantization: quantization of all vectors; default: that of the file.
        add: add rows to an existing collection.
        allow: ``sparse-vectors`` or ``multivectors`` omit those that the target does not support;
        ``missing-vectors`` accepts rows without a vector in files of other programs.
        timeout: seconds for building the quantization.

    Raises:
        AlreadyExistsError: the collection exists and ``add`` is False.
        InputError: the file does not exist, columns are ambiguous, or rows cannot be imported.
        IntegrityError: a file written by qadapt is damaged.
        MissingExtraError, UnsupportedError
    """
    file = Path(path)
    if file.suffix not in FORMATS:
        raise SpecError.unknown("file type", file.suffix or str(file), FORMATS)
    if file.is_dir():
        raise InputError(
            f"{file} is a folder",
            hint="import its files one at a time, all but the first with --add",
        )
    if not file.is_file():
        raise InputError(f"the file {str(file)!r} does not exist", hint="check its path")
    for name in allow:
        if name not in LOSSES:
            raise SpecError.unknown("loss to allow", name, LOSSES)
    if kind is not None and checked_kind(kind) == "base64":
        raise UnsupportedError(
            "files of base64 vectors cannot be imported",
            hint="decode them: Batch(ids, {'': texts}, kind='base64')",
        )
    asked = ColumnChoice(id, vectors, number_rows)
    _refuse_columns(file, asked)
    reported = progress or silent
    source: Source
    if file.suffix == ".parquet":
        parquet = Parquet(file, asked, missing_vectors=MISSING in allow)
        if kind is None:
            parquet.require_floats()
        source = parquet if kind is None else DecodedRows(parquet, kind)
    else:
        source = Arrays(file, kind)
    state = file_state(file)
    zeros = survey(source, reported)
    head = _with_metric(source.head, metric)
    with open_endpoint(target, default=head.collection) as end, exclusive(*end.key):
        work = _Import(
            source, head, end, metric, quantization, add, frozenset(allow), timeout, reported
        )
        return work.run(zeros, state)


def _refuse_columns(file: Path, asked: ColumnChoice) -> None:
    other = file.suffix != ".parquet"
    why = "it has one vector and no columns; ids are in FILE.ids"
    refuse_pairs(
        (asked.id is not None and other, "id (--id)", f"with a {file.suffix} file", why),
        (asked.vectors is not None and other, "vectors (--vectors)", f"with a {file.suffix} file",
         why),
        (asked.number_rows and other, "number_rows (--number-rows)", f"with a {file.suffix} file",
         "without FILE.ids, rows are numbered"),
        (asked.number_rows and asked.id is not None, "number_rows (--number-rows)",
         "with id (--id)", "both determine the ids"),
    )  # fmt: skip


def _with_metric(head: Head, metric: Metric | str | None) -> Head:
    if metric is None:
        return head
    wanted = Metric.of(metric)
    return head.replace(
        vectors={name: each.replace(metric=wanted) for name, each in head.vectors.items()}
    )


@dataclass
class _Import:
    """Import of a checked file."""

    source: Source
    head: Head
    end: Endpoint
    metric: Metric | str | None
    asked: QuantizationLike | None
    add: bool
    allow: frozenset[str]
    timeout: float
    progress: OnProgress
    rows: int = 0
    mapped: int = 0

    def run(self, zeros: Zeros, state: tuple[int, int]) -> Imported:
        """Write the rows, build the codes, and return the result."""
        end, head = self.end, self.head
        unfinished_imports.sweep(end, self.source)
        created = not end.exists
        if not created and not self.add:
            raise AlreadyExistsError(
                f"the collection {end.name!r} already exists in {end.store.address.identity}",
                hint="choose another name after '#', or add rows to it with --add",
            )
        made = {name: self._made(name, each) for name, each in head.vectors.items()}
        collection_schema = extra_vectors.plan_extras(
            end, head.extras, head.family, made, created=created, allow=self.allow
        )
        zeros.refuse(self.source.path, made if created else _there(end))
        with self._whole_or_not(created=created):
            if created:
                extra_vectors.refuse_names(end, made)
                create_collection(end, made, collection_schema)
            end.ensure_loaded()
            info = collection_info.info(end.store, end.name)
            _refuse_metric(self.metric, info)
            dense = {name: each.vector for name, each in info.vectors.items()
                     if name not in head.extras}  # fmt: skip
            codec = RowCodec(end.store, dense, schema=collection_schema)
            self._write(codec)
            if file_state(self.source.path) != state:
                raise IntegrityError(
                    f"{self.source.path} was modified during the import",
                    hint="import it again when no process writes to it",
                )
            return self._coded(codec, created=created)

    def _made(self, name: str, vector: Vector) -> Vector:
        """The vector of a new collection: float32 without the datatype, or to quantize bits."""
        asked = Quantization.of("none" if self.asked is None else self.asked)
        quantized = vector.datatype == "bit" and asked.kind is not Kind.NONE
        if quantized or self.end.store.unsupported_vectors({name: vector}) is not None:
            return vector.replace(datatype="float32")
        return vector

    @contextmanager
    def _whole_or_not(self, *, created: bool) -> Iterator[None]:
        """Remove the created collection if the block fails."""
        end = self.end
        if not created:
            try:
                yield
            except QadaptError as error:
                error.hint = _then(error.hint, self._written())
                raise
            return
        root = _folder(end)
        unfinished_imports.begin(end, self.source)
        try:
            yield
        except BaseException as error:
            reported = _taken_back(end)
            if root is not None and root.is_dir() and not any(root.iterdir()):
                root.rmdir()
            if isinstance(error, QadaptError):
                error.hint = _then(error.hint, reported)
            raise
        unfinished_imports.finished(end)

    def _written(self) -> str:
        """Describe the rows that were written to an existing collection."""
        name = repr(self.end.name)
        if not self.rows:
            return f"nothing was written to {name}"
        return (
            f"{self.rows:,} of {self.source.rows:,} rows of the file were written to {name} (from "
            "row 0); repeat the command to write all rows"
        )

    def _write(self, codec: RowCodec) -> None:
        end = self.end
        row_errors = RowErrors()
        for page in self.source.pages(PAGE, row_errors):
            row_errors.refuse(self.source.path)  # not found by the survey: the file was changed
            refused = write_bisecting(
                page, codec, lambda rows: write_rows(end.store, end.name, rows), {REJECTED}
            )
            self.mapped += sum(codec.target_id(key) != key for key in page.ids)
            if refused:
                raise self._unfit(page, refused)
            self.rows += len(page)
            self.progress(Progress("importing", self.rows, self.source.rows))

    def _unfit(self, page: Batch, refused: Mapping[Id, str]) -> InputError:
        """Error for rows of a page that the target does not support."""
        numbers = {key: self.rows + at for at, key in enumerate(page.ids) if key in refused}
        key = next(iter(numbers))
        self.rows += len(page) - len(refused)
        more = f" (and {len(refused) - 1:,} more in this page)" if len(refused) > 1 else ""
        return InputError(
            f"row {numbers[key]} of {self.source.path}, id {key!r}, is invalid for the target: "
            f"{refused[key]}{more}",
            hint="fix or remove the row (rows are numbered from 0)",
        )

    def _coded(self, codec: RowCodec, *, created: bool) -> Imported:
        """Build the requested quantization, or that of the file."""
        end, head = self.end, self.head
        wanted: dict[str, Quantization] = {}
        matches: dict[str, Match] = {}
        status: dict[str, Status] = {}
        for name, vector in codec.vectors.items():
            requested = Quantization.of(self.asked) if self.asked is not None else (
                head.quantization.get(name)
            )  # fmt: skip
            if (
                requested is None
                or requested.kind is Kind.NONE
                or not (created or self.asked is not None)
            ):
                continue
            wanted[name], _, matches[name] = map_quantization(
                end.store,
                requested.replace(rescore=None, native={}),
                vector,
                requested=self.asked is not None,
            )
            if matches[name].level is not MatchLevel.UNSUPPORTED:
                status[name] = quantize(
                    end, name, wanted[name], "differs", self.progress, self.timeout
                )
        columns, entries = _columns(self.source)
        return Imported(
            end.name, self.rows, created, self.mapped, wanted, matches, status, columns, entries
        )


def _then(hint: str | None, reported: str) -> str:
    return f"{hint}; {reported}" if hint else reported


def _taken_back(end: Endpoint) -> str:
    """Remove the created collection, and describe the result."""
    try:
        unfinished_imports.remove(end)
    except QadaptError as error:
        return (
            f"the new collection {end.name!r} could not be removed ({error.message}); the "
            "next import to that name removes it"
        )
    return f"the new collection {end.name!r} was removed"


def _folder(end: Endpoint) -> Path | None:
    """New folder of a local database, which is created together with the collection."""
    address = end.store.address
    if not address.is_local or address.path.exists():
        return None
    return address.path


def _there(end: Endpoint) -> Mapping[str, Vector]:
    end.ensure_loaded()
    return {name: each.vector for name, each in end.store.info(end.name).vectors.items()}


def _columns(source: Source) -> tuple[dict[str, str], tuple[str, ...]]:
    if isinstance(source, DecodedRows):
        source = source.inner
    if not isinstance(source, Parquet):
        return {}, ()
    layout = source.layout
    columns = {} if layout.id is None else {"id": layout.id}
    for name, column in layout.vectors.items():
        columns[f"vector:{name}" if name else "vector"] = column
    return columns, tuple(layout.entries.values())


def _refuse_metric(asked: Metric | str | None, info: CollectionInfo) -> None:
    """Reject a metric that differs from that of an existing collection."""
    if asked is None:
        return
    for name, each in info.vectors.items():
        label = f"vector {name!r}" if name else "the collection"
        refuse_pairs(
            (each.metric is not Metric.of(asked), f"metric={asked} (--metric)", "with add (--add)",
             f"the metric of {label} is {each.metric}"),
        )  # fmt: skip
