"""Partitions, vectors and options of a migration's plan, without a database."""

from __future__ import annotations

import inspect
import json
from types import SimpleNamespace
from typing import Any

import pytest

from qadapt.migration import migrate, plan_migration
from qadapt.migration.options import Options
from qadapt.migration.partition_plan import _partitions_refused
from qadapt.migration.payload_indexes import PARTITION_KIND, _wanted
from qadapt.migration.plan import PARTITION, PartitionMap
from qadapt.migration.row_codec import _TAG, _tagged
from qadapt.migration.schema import multivectors_refused
from qadapt.migration.text import duration
from qadapt.migration.vectors import _target_vector
from qadapt.model import ExtraVector, Vector
from qadapt.model.collection_schema import CollectionSchema


@pytest.mark.parametrize(
    ("found", "refused"),
    [
        (CollectionSchema(is_partitioned=True), None),
        (CollectionSchema(is_partitioned=True, partition_key="tenant"), "'docs' has none"),
        (CollectionSchema(), "'docs' has none"),
    ],
)
def test_an_existing_target_needs_partitions_of_the_same_form(
    found: CollectionSchema, refused: str | None
) -> None:
    target: Any = SimpleNamespace(exists=True, name="docs", schema=lambda: found)
    assert _partitions_refused(target, CollectionSchema(is_partitioned=True)) == refused


@pytest.mark.parametrize(
    ("partitions", "unsupported", "indexed"),
    [
        (PartitionMap("store", preserved=False), None, True),
        (PartitionMap("store", preserved=False), "no such index", False),
        (PartitionMap("store", preserved=True), None, False),
        (PartitionMap(), None, False),
    ],
)
def test_the_payload_field_of_merged_partitions_is_indexed(
    partitions: PartitionMap, unsupported: str | None, indexed: bool
) -> None:
    source: Any = SimpleNamespace(
        name="docs", store=SimpleNamespace(payload_indexes=lambda _: {"year": "integer"})
    )
    target: Any = SimpleNamespace(
        store=SimpleNamespace(unsupported_payload_index=lambda _: unsupported)
    )
    wanted = {"year": "integer", **({PARTITION: PARTITION_KIND} if indexed else {})}
    assert _wanted(source, target, partitions) == wanted


def test_the_index_of_the_partition_field_is_not_copied_to_partitions() -> None:
    source: Any = SimpleNamespace(
        name="docs",
        store=SimpleNamespace(payload_indexes=lambda _: {PARTITION: "keyword", "a": "keyword"}),
    )
    target: Any = SimpleNamespace(store=SimpleNamespace(unsupported_payload_index=lambda _: None))
    assert _wanted(source, target, PartitionMap("payload", preserved=True)) == {"a": "keyword"}


@pytest.mark.parametrize("function", [migrate, plan_migration])
def test_defaults_of_the_functions_are_those_of_the_options(function: Any) -> None:
    defaults = {name: each.default for name, each in inspect.signature(function).parameters.items()}
    for name in ("workers", "batch_bytes", "trial_copy", "retry_timeout", "timeout", "keep_norms"):
        if name in defaults:
            assert defaults[name] == getattr(Options(), name), name


@pytest.mark.parametrize(
    ("asked", "existing", "supported", "planned"),
    [
        (None, "float32", True, "float32"),
        (None, "float16", True, "float16"),
        (None, "float16", False, "float32"),
        ("float32", "float16", True, "float32"),
        ("float16", "float32", True, "float16"),
    ],
)
def test_the_datatype_is_kept_if_the_target_supports_it(
    asked: Any, existing: str, supported: bool, planned: str
) -> None:
    store: Any = SimpleNamespace(unsupported_vectors=lambda _: None if supported else "no float16")
    now: Any = SimpleNamespace(name="", dim=4, metric=Vector(4).metric, datatype=existing)
    assert _target_vector(store, now, Options(datatype=asked)).datatype == planned


def test_multivectors_that_the_target_refuses_are_named_with_the_reason() -> None:
    extras = {"colbert": ExtraVector("multi", dim=4), "words": ExtraVector("sparse")}
    vectors = {"": Vector(8)}
    answers: dict[int, str | None] = {1: None, 2: "one vector at most"}
    target: Any = SimpleNamespace(
        store=SimpleNamespace(unsupported_vectors=lambda each: answers[len(each)])
    )
    refused = {"extras.colbert": "one vector at most"}
    assert multivectors_refused(extras, target, vectors) == refused
    answers[2] = None
    assert multivectors_refused(extras, target, vectors) == {}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (json.dumps({_TAG: {"a": 1}}), {"a": 1}),
        ('{"a": 1}', None),
        (json.dumps({_TAG: 1}), None),
        (json.dumps({_TAG: {"a": 1}, "b": 2}), None),
        ("[1]", None),
        ("no json", None),
        (1, None),
    ],
)
def test_only_text_that_qadapt_stored_is_an_object(text: Any, found: Any) -> None:
    assert _tagged(text) == found


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1.25, "1.2 s"), (9.9, "9.9 s"), (10, "10 s"), (89, "89 s"), (90, "2 min"), (5399, "90 min"),
     (5400, "1.5 h")],
)  # fmt: skip
def test_durations_have_a_unit(seconds: float, text: str) -> None:
    assert duration(seconds) == text
