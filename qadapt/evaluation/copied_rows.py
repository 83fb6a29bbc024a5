"""The rows of a collection that candidates are measured on, and samples shared with queries."""

from __future__ import annotations

from collections.abc import Sequence

from qadapt.errors import InputError
from qadapt.evaluation.candidates import EvaluationContext
from qadapt.evaluation.options import EvaluationOptions
from qadapt.evaluation.row_samples import RowSamples
from qadapt.evaluation.sampling import present, whole_of
from qadapt.evaluation.settings import Setting
from qadapt.evaluation.subsets import Subset
from qadapt.model import Batch, CollectionInfo
from qadapt.model.filters import is_common, parse_filter, top_fields
from qadapt.stores.base import Progress, Store


def shared_samples(
    store: Store,
    info: CollectionInfo,
    name: str,
    settings: Sequence[Setting],
    options: EvaluationOptions,
) -> RowSamples:
    """Samples for the queries and the copy, so that the ids are listed once."""
    most = options.queries if isinstance(options.queries, int) else 0
    copied = any(item.quantization is not None for item in settings)
    if copied and info.count > options.copy_rows:
        most = max(most, options.copy_rows)
    return RowSamples(store, name, most, options.seed)


def copied_rows(
    work: EvaluationContext,
    info: CollectionInfo,
    works: Sequence[EvaluationContext],
    samples: RowSamples,
) -> Batch:
    """The rows with the vector that candidates are measured on: all of them, or a sample.

    With filters, each row has the payload fields that the filters use.

    Raises:
        InputError: a native filter, or a partition: a copy has neither.
    """
    options, fields = work.options, _copied_fields(work.collection, works)
    options.progress(Progress("reading a sample"))
    if info.count <= options.copy_rows:
        batch = whole_of(work.store, work.collection, work.name, payload=bool(fields))
    else:
        ids = samples.of(Subset(work.collection)).ids(options.copy_rows)
        batch = work.store.fetch(work.collection, ids, vectors=[work.name], payload=bool(fields))
    return present(batch, work.name, work.collection, fields)


def _copied_fields(collection: str, works: Sequence[EvaluationContext]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for each in works:
        asked = each.asked.filter
        native = asked is not None and not is_common(asked)
        if native or each.collection != collection:
            what = "a native filter" if native else "a partition"
            raise InputError(
                f"other settings are measured on a copy, which cannot be searched with {what}",
                hint="omit the settings to measure the live collection, or filter by a payload "
                'field: filter={"topic": "art"}, --by FIELD',
            )
        if asked is not None:
            found.update(dict.fromkeys(top_fields(parse_filter(asked))))
    return tuple(found)
