"""Code for pymilvus and REST that searches as qadapt does.

The REST API of 2.3 (``/v1``) ignores the parameters of an index, so its code finds what a client
without parameters finds, and begins with a warning (docs/engines/milvus.md#rest).
"""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

from qadapt.model import Metric, Quantization
from qadapt.stores.base import SearchRequest
from qadapt.stores.client_form import ClientCode, ClientForm, ClientSearch, literal
from qadapt.stores.milvus import binary_sidecar, mapping, search_params, vector_layout
from qadapt.stores.milvus.index_params import Index
from qadapt.stores.milvus.schema import METRICS, Field, Layout, metric_word
from qadapt.stores.milvus.version import BITS, SINCE_REST_2, ServerVersion

if TYPE_CHECKING:
    from qadapt.stores.milvus.store import MilvusStore


def client_search(
    store: MilvusStore, collection: str, request: SearchRequest, target: Quantization | None = None
) -> ClientSearch:
    """The search parameters of a request, and the fields that the code names.

    Raises:
        UnsupportedError: the index cannot rescore from the requested source.
    """
    layout = store.reader.layout(collection)
    field = layout.field(request.vector)
    if target is not None:
        version = ServerVersion(store.connection.version, store.connection.deployment)
        field = _changed(field, target, version)
    bits = field.coded or layout.bits.get(field.field) == binary_sidecar.ON
    if target is not None:
        bits = field.index is not None and field.index.type == BITS
    details = {**_details(layout, field, bits=bits), "rest": _rest_version(store)}
    if bits and target is not None and request.rescore is None:  # the default of sign bits
        count = binary_sidecar.RESCORE.count(request.k)
        return ClientSearch(count, rescores=True, details=details)
    search_params.check_rescore(request.rescore, None if bits else field.index)
    count = 0 if target is not None else store.reader.row_count(layout)
    params: dict[str, Any] = {} if bits else dict(search_params.params(field.index, request, count))
    return ClientSearch(request.k, params, details=details)


def _rest_version(store: MilvusStore) -> int | None:
    """The version of the REST API; None for Lite, which has none."""
    version = ServerVersion(store.connection.version, store.connection.deployment)
    if version.lite:
        return None
    return 2 if version.has(SINCE_REST_2) else 1


def _changed(field: Field, target: Quantization, version: ServerVersion) -> Field:
    """The field with the index of a planned quantization."""
    current = field.index.native if field.index else None
    native = mapping.to_native(target, field.vector, version, current).native
    if native is None:
        return field
    metric = metric_word(field.vector)
    return dataclasses.replace(
        field, index=Index("", native["index_type"], metric, native["params"], {})
    )


def _details(layout: Layout, field: Field, *, bits: bool) -> dict[str, Any]:
    own = field.form != vector_layout.FLOAT
    place = layout.base if own or not bits else binary_sidecar.name_of(layout.real, field.field)
    searched = field.field
    if bits:
        searched = vector_layout.codes_field(field.field) if own else binary_sidecar.CODES
    return {
        "searched": place,
        "searched_field": searched,
        "bits": bits,
        "base": layout.base,
        "field": field.field,
        "key": layout.keys.field,
        "partition": layout.partition if place == layout.base else None,
    }


def _pymilvus(about: ClientCode) -> str | None:
    details, sent = about.search.details, about.search
    if about.vector.datatype != "float32":
        return None
    numpy = details["bits"] or sent.rescores
    lines = ["import os", ""] if about.key_variable else []
    lines += ["import numpy as np"] if numpy else []
    lines += ["from pymilvus import MilvusClient", "", f"client = {_opened(about)}", "", ""]
    if about.opened is not None:  # Lite does not store which collections are loaded
        loaded = dict.fromkeys((details["base"], details["searched"]))
        lines[-2:] = [*(f"client.load_collection({name!r})" for name in loaded), "", ""]
    lines += ["def search(query):", f'    """Primary keys of the {about.k} best rows."""']
    data = "query"
    if details["bits"]:
        lines += ["    bits = np.packbits(np.asarray(query, dtype=np.float32) > 0)"]
        data = "bits.tobytes()"
    metric = "HAMMING" if details["bits"] else METRICS[about.vector.metric]
    params = literal({"metric_type": metric, "params": dict(sent.params)})
    lines += ["    found = client.search(", f"        {details['searched']!r},"]
    lines += [f"        data=[{data}],", f"        anns_field={details['searched_field']!r},"]
    lines += [f"        limit={sent.limit},", f"        search_params={params},"]
    lines += [f"        output_fields=[{details['key']!r}],"]
    if details["partition"] is not None:
        lines += [f"        partition_names=[{details['partition']!r}],"]
    lines += ["    )[0]", f"    keys = [hit['entity'][{details['key']!r}] for hit in found]"]
    lines += _rescoring(about) if sent.rescores else [f"    return keys[:{about.k}]"]
    return "\n".join(lines)


def _rescoring(about: ClientCode) -> list[str]:
    """Score the candidates with the original vectors."""
    details = about.search.details
    key, field = details["key"], details["field"]
    score = {
        Metric.COSINE: "rows @ wanted / np.linalg.norm(rows, axis=1)",
        Metric.DOT: "rows @ wanted",
        Metric.EUCLIDEAN: "-((rows - wanted) ** 2).sum(axis=1)",
    }[about.vector.metric]
    return [
        f"    read = client.get({details['base']!r}, ids=keys, output_fields=[{key!r}, {field!r}])",
        f"    originals = {{row[{key!r}]: row[{field!r}] for row in read}}",
        "    keys = [key for key in keys if key in originals]",
        "    rows = np.array([originals[key] for key in keys], dtype=np.float64)",
        "    wanted = np.asarray(query, dtype=np.float64)",
        f"    scores = {score}",
        f'    return [keys[at] for at in np.argsort(-scores, kind="stable")[:{about.k}]]',
    ]


def _opened(about: ClientCode) -> str:
    if about.opened is not None:
        return f"MilvusClient(uri={about.opened!r})"
    words = [f"uri={about.address.url!r}"]
    words += [f"token=os.environ[{about.key_variable!r}]"] if about.key_variable else []
    database = about.address.options.get("database", "default")
    words += [f"db_name={database!r}"] if database != "default" else []
    return f"MilvusClient({', '.join(words)})"


def _rest(about: ClientCode) -> str | None:
    """Code for REST; None for Lite, and where the client must score rows or send bits."""
    details, sent = about.search.details, about.search
    if details["rest"] is None or details["bits"] or sent.rescores:
        return None
    if about.vector.datatype != "float32" or (details["rest"] == 1 and details["partition"]):
        return None
    body: dict[str, Any] = {"collectionName": details["searched"]}
    database = about.address.options.get("database", "default")
    body |= {"dbName": database} if database != "default" else {}
    body |= {"limit": sent.limit, "outputFields": [details["key"]]}
    ignored = ""
    if details["rest"] == 1:
        path, body = "/v1/vector/search", {**body, "vector": "QUERY"}
        if sent.params:
            ignored = f"; this API ignores {', '.join(sent.params)}: recall is lower"
    else:
        path = "/v2/vectordb/entities/search"
        body |= {"annsField": details["searched_field"], "data": ["QUERY"]}
        numbers = {name: _number(value) for name, value in sent.params.items()}
        metric = METRICS[about.vector.metric]
        body |= {"searchParams": {"metricType": metric, "params": numbers}}
        body |= {"partitionNames": [details["partition"]]} if details["partition"] else {}
    head, tail = json.dumps(body).replace("'", "'\\''").split('"QUERY"')
    header = f' -H "Authorization: Bearer ${about.key_variable}"' if about.key_variable else ""
    return "\n".join(
        [
            f"# search '[0.1, ...]': a JSON list of {about.vector.dim} numbers{ignored}",
            "search() {",
            f"  curl -sS -X POST '{about.address.url}{path}' \\",
            f"    -H 'Content-Type: application/json'{header} \\",
            f"    -d '{head}'\"$1\"'{tail}'",
            "}",
        ]
    )


def _number(value: Any) -> Any:
    """A parameter as the JSON number that REST requires."""
    try:
        return json.loads(str(value))
    except ValueError:
        return value


FORMS = (
    ClientForm("pymilvus", "python", _pymilvus),
    ClientForm("rest", "shell", _rest),
)
