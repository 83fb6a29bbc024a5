"""A file into a collection: created as the file says where it is not there, codes built last."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qadapt.errors import AlreadyExistsError, InputError, SpecError, refuse_pairs
from qadapt.files import arrays, extras, parquet
from qadapt.files.export import FORMATS, PAGE
from qadapt.local import seen
from qadapt.local.state import exclusive
from qadapt.local.writing import write_rows
from qadapt.migration.beside import create
from qadapt.migration.building import quantize
from qadapt.migration.carrier import Carrier
from qadapt.migration.endpoint import Endpoint, opened
from qadapt.migration.putting import put
from qadapt.migration.translating import translated
from qadapt.model import (
    Batch,
    CollectionInfo,
    Kind,
    Level,
    Match,
    Metric,
    Plain,
    Quantization,
    QuantizationLike,
    Status,
    Vector,
)
from qadapt.stores.base import OnProgress, Progress, silent


@dataclass(frozen=True)
class Imported(Plain):
    """What was read, and what became of it.

    Attributes:
        collection: its name.
        rows: written.
        created: whether the collection was made.
        mapped: ids that became UUIDs.
        quantization: what the target was asked for, by vector.
        match: how near that comes to what the file says.
        status: what was seen of it.
    """

    collection: str
    rows: int
    created: bool
    mapped: int
    quantization: Mapping[str, Quantization]
    match: Mapping[str, Match]
    status: Mapping[str, Status]


def import_file(
    path: str | os.PathLike[str],
    target: Any,
    *,
    metric: Metric | str | None = None,
    quantization: QuantizationLike | None = None,
    add: bool = False,
    allow: Collection[str] = (),
    timeout: float = 3600.0,
    progress: OnProgress | None = None,
) -> Imported:
    """Read ``FILE.parquet``, ``.npy`` or ``.fvecs`` into a collection.

    Rows are upserted by their ids, so that doing it twice does the same as once.

    Args:
        target: ``"URL#collection"`` or ``(Database, name)``; the name is that of the file, or the
            one in it, where none is given.
        metric: for files that do not say theirs; cosine by default.
        quantization: of all vectors; what the file says, translated, where none is given.
        add: write to a collection that is there already.
        allow: ``sparse-vectors`` or ``multivectors``, to leave out those that the target lacks.

    Raises:
        AlreadyExistsError: there is such a collection and ``add`` is False.
        InputError, IntegrityError, MissingExtraError, UnsupportedError
    """
    file = Path(path)
    if file.suffix not in FORMATS:
        raise SpecError.unknown("ending of a file", file.suffix or str(file), FORMATS)
    if not file.is_file():
        raise InputError(f"no file {str(file)!r}", hint="look at the name and the folder")
    head = _head(file, metric)
    with opened(target, default=head.collection) as end, exclusive(*end.key):
        chosen = frozenset(allow)
        return _load(
            file, head, end, metric, quantization, add, chosen, timeout, progress or silent
        )


def _head(file: Path, metric: Metric | str | None) -> parquet.Head:
    if file.suffix == ".parquet":
        head = parquet.head_of(file)
    else:
        dim = int(arrays.open_rows(file).shape[1])
        head = parquet.Head(file.stem, {"": Vector(dim)}, "json")
    if metric is None:
        return head
    wanted = Metric.of(metric)
    return head.replace(
        vectors={name: each.replace(metric=wanted) for name, each in head.vectors.items()}
    )


def _load(
    file: Path,
    head: parquet.Head,
    end: Endpoint,
    metric: Metric | str | None,
    asked: QuantizationLike | None,
    add: bool,
    allow: frozenset[str],
    timeout: float,
    progress: OnProgress,
) -> Imported:
    created = not end.there
    made = {name: _made(end, name, each) for name, each in head.vectors.items()}
    if created or add:
        beside = extras.coming(end, head.extras, head.family, made, created=created, allow=allow)
    if created:
        create(end, made, beside)
    elif not add:
        raise AlreadyExistsError(
            f"there is a collection {end.name!r} at {end.store.address.identity} already",
            hint="choose another name behind '#', or write to it: --add",
        )
    end.must_be_there()
    info = seen.info(end.store, end.name)
    _refuse_metric(metric, info)
    dense = {name: each.vector for name, each in info.vectors.items() if name not in head.extras}
    carrier = Carrier(end.store, dense, beside=beside)
    rows = mapped = 0
    for page in _pages(file, head):
        try:
            put(
                page, carrier, lambda carried: write_rows(end.store, end.name, carried), frozenset()
            )
        except InputError as error:
            raise _unfit(error, end, created=created) from error
        rows += len(page)
        mapped += sum(carrier.target_id(key) != key for key in page.ids)
        progress(Progress("importing", rows))
    wanted: dict[str, Quantization] = {}
    matches: dict[str, Match] = {}
    status: dict[str, Status] = {}
    for name, vector in carrier.vectors.items():
        said = Quantization.of(asked) if asked is not None else head.quantization.get(name)
        if said is None or said.kind is Kind.NONE or not (created or asked is not None):
            continue
        wanted[name], _, matches[name] = translated(
            end.store, said.replace(rescore=None, native={}), vector
        )
        if matches[name].level is not Level.UNSUPPORTED:
            status[name] = quantize(end, name, wanted[name], "differs", progress, timeout)
    return Imported(end.name, rows, created, mapped, wanted, matches, status)


def _unfit(error: InputError, end: Endpoint, *, created: bool) -> InputError:
    """The error for a row that cannot be held; a collection that was made for the file goes."""
    told = "repair that row in the file, or leave it out"
    if created:
        end.store.drop(end.name)
        told += f"; {end.name!r} was not there before, and is gone again"
    return InputError(error.message, hint=told)


def _refuse_metric(asked: Metric | str | None, info: CollectionInfo) -> None:
    """Refuse another metric than that of a collection which was there already."""
    if asked is None:
        return
    for name, each in info.vectors.items():
        label = f"vector {name!r}" if name else "the collection"
        refuse_pairs(
            (each.metric is not Metric.of(asked), f"metric={asked} (--metric)", "with add (--add)",
             f"{label} has {each.metric} already"),
        )  # fmt: skip


def _made(end: Endpoint, name: str, vector: Vector) -> Vector:
    if end.store.refuses({name: vector}) is None:
        return vector
    return vector.replace(datatype="float32")


def _pages(file: Path, head: parquet.Head) -> Iterator[Batch]:
    if file.suffix == ".parquet":
        return parquet.pages(file, head, PAGE)
    return arrays.pages(file, PAGE)
