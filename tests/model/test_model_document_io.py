"""JSON round trip of every document, and its schema."""

from __future__ import annotations

import importlib
import json
import pkgutil
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_strategies import PLAIN, quantizations, specs
from slow import examples

import qadapt.model
from qadapt.errors import SpecError
from qadapt.model import Plan, Quantization, Rescore, Serializable, VectorInfo
from qadapt.model.json_schemas import DOCUMENTS, schemas
from qadapt.model.spec import Spec, parse_spec

CLASSES = sorted(PLAIN, key=lambda cls: cls.__name__)


def _subclasses(cls: type[Any]) -> set[type[Any]]:
    return {cls, *(deep for sub in cls.__subclasses__() for deep in _subclasses(sub))}


def test_no_document_is_forgotten() -> None:
    for module in pkgutil.iter_modules(qadapt.model.__path__, "qadapt.model."):
        importlib.import_module(module.name)
    ours = {cls for cls in _subclasses(Serializable) if cls.__module__.startswith("qadapt.model.")}
    assert ours - {Serializable} == set(PLAIN) == set(DOCUMENTS)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
@settings(max_examples=examples(25), deadline=None)
@given(data=st.data())
def test_json_round_trip(cls: type[Any], data: st.DataObject) -> None:
    value = data.draw(PLAIN[cls])
    text = value.to_json()
    assert cls.from_json(text) == value
    assert cls.from_dict(value.to_dict()) == value
    assert cls.from_json(text.encode()).to_json() == cls.from_json(text).to_json()
    json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_unknown_field_is_refused(cls: type[Any], data: st.DataObject) -> None:
    document = {**data.draw(PLAIN[cls]).to_dict(), "extra_field": 1}
    with pytest.raises(SpecError, match="extra_field"):
        cls.from_dict(document)


@settings(max_examples=examples(60), deadline=None)
@given(quantizations)
def test_quantization_text_round_trip(quantization: Quantization) -> None:
    assert Quantization.parse(str(quantization)) == quantization
    assert Quantization.of(str(quantization)) == quantization


@settings(max_examples=examples(30), deadline=None)
@given(specs)
def test_a_saved_spec_is_a_spec_file(spec: Spec) -> None:
    assert parse_spec(spec.to_json()) == spec
    assert Spec.from_json(spec.to_json()) == spec


def test_schemas_are_json_and_name_every_field() -> None:
    found = schemas()
    assert list(found) == sorted(found) == sorted(cls.__name__ for cls in PLAIN)
    json.dumps(found, allow_nan=False)
    for name, schema in found.items():
        body = schema["$defs"][name] if "$ref" in schema else schema
        cls = next(cls for cls in PLAIN if cls.__name__ == name)
        assert set(body["properties"]) == set(cls.__dataclass_fields__), name
        assert body["additionalProperties"] is False, name


def test_schema_of_an_address_is_text() -> None:
    assert schemas()["StoreSpec"]["properties"]["store"]["type"] == "string"


def test_place_of_an_error_is_named() -> None:
    with pytest.raises(SpecError, match=r"not a VectorInfo: status\.state") as caught:
        VectorInfo.from_dict(
            {
                "name": "",
                "dim": 3,
                "metric": "dot",
                "datatype": "float32",
                "count": 1,
                "index": {},
                "quantization": {"kind": "none"},
                "status": {"state": "actve"},
            }
        )
    assert "qadapt schema" in str(caught.value)


def test_error_of_a_value_keeps_its_hint() -> None:
    with pytest.raises(SpecError, match="oversampling must be 1 or more") as caught:
        Rescore.from_dict({"oversampling": 0.5})
    assert caught.value.hint is not None and "4 is a good start" in caught.value.hint
    assert "Value error" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", b"\xff", "[" * 100_000, '{"kind": 1}'])
def test_from_json_of_another_document(text: str | bytes) -> None:
    with pytest.raises(SpecError):
        Quantization.from_json(text)


def test_a_plan_of_another_format_is_refused() -> None:
    with pytest.raises(SpecError, match="format 2"):
        Plan.from_dict({**_PLAN, "format": 2})
    assert Plan.from_dict(_PLAN).format == 1


_PLAN: dict[str, Any] = {
    **dict.fromkeys(("id", "created", "address", "collection", "vector", "fingerprint"), "x"),
    "server": {"store": "edge"},
    **{key: {"kind": "none"} for key in ("current", "requested", "target")},
    "match": {"level": "exact"},
    "accept": "exact",
    "count": 1,
    "dim": 3,
    "steps": [],
}
