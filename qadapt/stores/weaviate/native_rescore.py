"""Rescoring by the server, as configured for the index.

docs/engines/weaviate.md#rescoring
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qadapt.model import Quantization, Rescore
from qadapt.stores.base import MappedQuantization
from qadapt.stores.change import ChangeRequest
from qadapt.stores.weaviate import mapping, schema, vector_index_config
from qadapt.stores.weaviate.schema import DYNAMIC, FLAT, HFRESH, HNSW, Field, Layout

_Limited = tuple[dict[str, Any], dict[str, dict[str, int | None]]]

# Number of results for which a default search is described, if the rule depends on it.
K = 10


@dataclass(frozen=True)
class Rescoring:
    """How an index rescores candidates (docs/engines/weaviate.md#rescoring).

    Attributes:
        limit: its rescoreLimit; None if it has none (hnsw with BQ or PQ).
        off: whether it does not rescore.
        most: most results of a search; None for no limit (hfresh up to 1.39 has one).
    """

    limit: int | None
    off: bool
    most: int | None = None

    def candidates(self, index: str, k: int, ef: int) -> int:
        """Number of rows scored exactly in a search for ``k`` results."""
        if self.off:
            return 0
        if index == FLAT:
            return max(k, self.limit or 0)
        if index == HFRESH:
            return self.limit or vector_index_config.RESCORE_HFRESH
        seen = max(ef, k) if ef > 0 else max(k, min(max(8 * k, 100), 500))
        return min(seen, self.limit) if self.limit is not None and self.limit >= k else seen


def of(native: Mapping[str, Any]) -> Rescoring:
    """The rule of an index; without a quantizer there is nothing to rescore."""
    found = vector_index_config.quantizer(native)
    index = native["vectorIndexType"]
    if found is None:
        return Rescoring(None, off=True)
    name, block = found
    limit = block.get("rescoreLimit")
    if index == HFRESH:
        return Rescoring(
            int(limit or vector_index_config.RESCORE_HFRESH),
            off=False,
            most=int(limit or 0) or None,
        )
    if name in ("sq", "rq") and index != FLAT:
        value = int(vector_index_config.RESCORE_SQ if limit is None else limit)
        return Rescoring(value, off=value == 0)
    return Rescoring(int(limit or 0) if index == FLAT else None, off=False)


def held(native: Mapping[str, Any], rescore: Rescore | None) -> dict[str, Any]:
    """Fields of the index that make a rescoring the default of searches with k=10.

    They are set if the index has a limit below the requested candidates: hnsw with SQ and RQ, flat
    with BQ and RQ. A limit of 0 on hnsw disables rescoring and is kept, as are higher limits.
    """
    found, index = vector_index_config.quantizer(native), native["vectorIndexType"]
    if found is None or rescore is None or not rescore.on or index == HFRESH:
        return {}
    name, rule, wanted = found[0], of(native), rescore.count(K)
    if rule.limit is None or rule.limit >= wanted or (rule.off and index != FLAT):
        return {}
    block = {name: {"rescoreLimit": wanted}}
    return {"hnsw": block} if index == DYNAMIC else block


def limit_of(native: Mapping[str, Any]) -> int | None:
    """The rescoreLimit that ``held`` raises; None if the index has none."""
    found = vector_index_config.quantizer(native)
    limit = None if found is None else found[1].get("rescoreLimit")
    return None if limit is None else int(limit)


def limit_before(layout: Layout, vector: str, native: Mapping[str, Any]) -> int | None:
    """The rescoreLimit of an index without the setting that raised it.

    The note of the collection has it while the limit is the one that was set.
    """
    now = limit_of(native)
    record = (schema.note_of(layout.raw).get("limits") or {}).get(vector)
    if not isinstance(record, Mapping) or record.get("raised") != now:
        return now
    return int(record["was"])


def with_limits(layout: Layout, rescores: Mapping[str, Rescore | None]) -> _Limited:
    """The schema in which each index holds the rescoring of its vector, and no longer a former one.

    Args:
        rescores: the default rescoring of each vector.

    Returns:
        The schema, and what each raised limit was before, for the note.
    """
    raw, limits = dict(layout.raw), {}
    for name, field in layout.vectors.items():
        now, was = limit_of(field.native), limit_before(layout, name, field.native)
        if now is None or was is None:
            continue
        before = with_limit(field.native, was)
        held_fields = held(before, rescores.get(name))
        config = vector_index_config.merged(before["vectorIndexConfig"], held_fields)
        wanted = limit_of({**before, "vectorIndexConfig": config})
        if wanted != was:
            limits[name] = {"was": was, "raised": wanted}
        if wanted != now:
            raw = schema.with_config(raw, field.target, config)
    return raw, limits


def recorded(
    raw: Mapping[str, Any], field: Field, was: int, config: Mapping[str, Any]
) -> dict[str, Any]:
    """A schema whose note has the limit that fields of a change raise.

    Args:
        was: the limit without the setting.
        config: fields to set in the vector's index, with the raised limit.
    """
    native = {
        "vectorIndexType": field.index,
        "vectorIndexConfig": vector_index_config.merged(field.config, config),
    }
    noted = schema.note_of(raw)
    limits = {**(noted.get("limits") or {}), field.name: {"was": was, "raised": limit_of(native)}}
    return schema.with_settings(raw, noted.get("settings") or {}, limits)


def with_limit(native: Mapping[str, Any], limit: int) -> dict[str, Any]:
    """An index with another rescoreLimit."""
    found, index = vector_index_config.quantizer(native), native["vectorIndexType"]
    assert found is not None  # it has a limit
    block = {found[0]: {"rescoreLimit": limit}}
    fields = {"hnsw": block} if index == DYNAMIC else block
    return {
        "vectorIndexType": index,
        "vectorIndexConfig": vector_index_config.merged(native["vectorIndexConfig"], fields),
    }


def default_rescore(native: Mapping[str, Any]) -> Rescore | None:
    """Rescoring of a search with default parameters and k=10, since the rule depends on k."""
    if vector_index_config.quantizer(native) is None:
        return None
    index = native["vectorIndexType"]
    rule = of(native)
    if rule.off:
        return Rescore(source="off")
    halves = vector_index_config.halves(native["vectorIndexConfig"], index)
    ef = int(halves[0].get("ef", -1))
    return Rescore(max(1.0, rule.candidates(index, K, ef) / K))


def limit_notes(
    layout: Layout, vector: str, then: Mapping[str, Any], request: ChangeRequest
) -> list[str]:
    """Notes on the rescoreLimit that the index holds for a setting, or no longer holds."""
    was = limit_before(layout, vector, then)
    now = limit_of(then)
    if was is None:
        return []
    without = with_limit(then, was)
    wanted = held(without, request.rescore)
    then_limit = limit_of(
        {**without, "vectorIndexConfig": vector_index_config.merged(
            without["vectorIndexConfig"], wanted)}
    )  # fmt: skip
    if then_limit == now:
        return []
    later = "" if then_limit == was else f", and set back to {was} when the setting is removed"
    return [f"rescoreLimit is set {now} -> {then_limit} with the rescoring{later}"]


def notes(
    layout: Layout, vector: str, mapped: MappedQuantization, request: ChangeRequest
) -> list[str]:
    """Notes on the setting of the collection that provides the requested rescoring.

    Rescoring is not a query parameter of Weaviate, and a search never changes the collection.
    """
    native, rescore, asked = mapped.native, request.rescore, request.codes
    found = vector_index_config.quantizer(native) if native else None
    if native is None or found is None or rescore is None or asked is None:
        return []
    name, rule = found[0], of(then(layout.field(vector), native, asked))
    tunable = native["vectorIndexType"] in (HNSW, DYNAMIC) and name in ("sq", "rq")
    if not rescore.on and not rule.off:
        if not tunable:
            return [f"{name.upper()} on {native['vectorIndexType']} always rescores"]
        return [_offer(name, 0, "a query cannot disable rescoring; this setting does")]
    if rescore.on and rule.off:
        why = (
            "the collection does not rescore, so qadapt rescores client-side; to rescore on the "
            "server"
        )
        return [_offer(name, rescore.count(K), why)]
    wanted = rescore.count(K)
    if rescore.on and rule.most is not None and wanted > rule.most:
        why = f"hfresh rescores and returns at most {rule.most} results; {wanted} results need"
        return [_offer(name, wanted, why)]
    return []


def then(field: Field, native: Mapping[str, Any], asked: Quantization) -> Mapping[str, Any]:
    """The index after a change; existing settings are kept if the quantizer is the same."""
    same = mapping.from_native(field.native, field.vector) == mapping.from_native(
        native, field.vector
    )
    if native["vectorIndexType"] != field.index or not same:
        return native
    config = vector_index_config.merged(field.config, vector_index_config.settings(asked.native))
    return {"vectorIndexType": field.index, "vectorIndexConfig": config}


def _offer(name: str, limit: int, why: str) -> str:
    reported = json.dumps({name: {"rescoreLimit": limit}})
    return f"{why}, for all searches of the collection: native={reported}"
