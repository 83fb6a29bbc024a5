"""The index_options of a vector field, changed in place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from qadapt.errors import InputError, PlanStaleError
from qadapt.stores.elastic.elasticsearch import in_place, mapping
from qadapt.stores.elastic.schema import Index, VectorField, quoted

if TYPE_CHECKING:
    from qadapt.stores.elastic.elasticsearch.store import ElasticsearchStore


def same_options(shown: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether options equal the wanted ones, with the defaults that the server adds."""
    return _with_default(shown) == _with_default(wanted)


def _with_default(options: Mapping[str, Any]) -> dict[str, Any]:
    found = {key: value for key, value in options.items() if key != "confidence_interval"}
    if found.get("flat_index_threshold") == -1:
        del found["flat_index_threshold"]
    if found.get("on_disk_rescore") is False:
        del found["on_disk_rescore"]
    codes = mapping.split_type(str(found.get("type")))[0]
    default = mapping.DEFAULT_OVERSAMPLING.get(codes)
    oversample = (found.pop("rescore_vector", None) or {}).get("oversample", default)
    return {**found, "oversample": None if oversample is None else float(oversample)}


def put_options(
    store: ElasticsearchStore, index: Index, field: VectorField, options: Mapping[str, Any]
) -> None:
    """Send the whole definition of a field: what a request leaves out gets its default."""
    definition: dict[str, Any] = {**field.definition, "index_options": dict(options)}
    for part in reversed(field.path.split(".")):
        definition = {"properties": {part: definition}}
    path = f"/{quoted(index.real)}/_mapping"
    doing = f"change the mapping of {index.name!r}"
    try:
        store.connection.ask("PUT", path, definition, doing=doing)
    except InputError as error:
        store.forget(index.name)
        now = store.product.options_of(store.index(index.name).field_of(field.name))
        kind, version = str(now.get("type")), store.product.server_version
        if str(options["type"]) in (kind, *in_place.accepted(kind, version)):
            raise
        # The plan was made for another type.
        raise PlanStaleError(
            f"another client changed {index.name!r} at the same time: its index has the type "
            f"{kind}; {error.message}",
            hint="wait for the other client, then create a new plan: `qadapt plan`",
        ) from error
    store.forget(index.name)
