"""Any input results in a value or a QadaptError: no other exception, no warning."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from model_strategies import PLAIN
from near_valid import near_objects, near_text, only_ours
from slow import examples

from qadapt.errors import QadaptError
from qadapt.model import Guard, Metric, Plan, Quantization, Rescore
from qadapt.model.address import Address, mask
from qadapt.model.filters import matches, parse_filter
from qadapt.model.spec import Spec, load_spec, parse_spec

many = settings(max_examples=examples(120), deadline=None)


@many
@given(near_text)
@example("product:segments=nan")
@example("product:segments=inf")
@example("scalar:quantile=nan")
@example("product:ratio=1e400")
@example("binary:bits=1,bits=2")
@example('scalar:native={"a":1e400}')
@example('scalar:native={"a":NaN}')
@example("scalar:native=[1]")
@example("binary:rescore=" + "9" * 5000)
def test_quantization_text(text: str) -> None:
    for given_text in (text, f"binary:{text}", f"product:{text}"):
        value = only_ours(lambda given_text=given_text: Quantization.parse(given_text))
        if isinstance(value, Quantization):
            assert Quantization.parse(str(value)) == value
            json.loads(value.to_json())


@many
@given(near_objects)
@example({"kind": "product", "segments": float("nan")})
@example({"kind": "binary", "native": 5})
@example({"kind": "binary", "native": {"a": float("nan")}})
@example({"kind": "binary", "rescore": 10**400})
def test_quantization_objects(obj: Any) -> None:
    for shape in (obj, {"kind": "binary", "native": obj}, {"kind": "scalar", "bits": obj}):
        value = only_ours(lambda shape=shape: Quantization.of(shape))
        if isinstance(value, Quantization):
            json.loads(value.to_json())


@many
@given(near_objects)
@example({"segments": float("nan")})
@example({"segments": float("inf"), "ratio": 10**400})
@example({"native": 5})
@example({"native": "text"})
def test_quantization_from_python(obj: Any) -> None:
    knobs = obj if isinstance(obj, dict) else {"bits": obj, "native": obj}
    known = {k: v for k, v in knobs.items() if k in Quantization.__dataclass_fields__}
    for kind in ("product", "scalar"):
        only_ours(lambda kind=kind: Quantization(**{**known, "kind": kind}))


@many
@given(near_text)
@example("1e308")
@example("9" * 5000)
def test_rescore_text(text: str) -> None:
    value = only_ours(lambda: Rescore.of(text))
    if isinstance(value, Rescore):
        assert value.count(10_000) >= 10_000
        assert Rescore.of(str(value)) == value


@many
@given(near_objects)
@example(10**400)
@example([1])
def test_rescore_objects(obj: Any) -> None:
    value = only_ours(lambda: Rescore.of(obj))
    assert value is None or isinstance(value, (Rescore, QadaptError))


@many
@given(near_text)
@example(f"recall@{'1' * 5000}>=0.5")
@example("recall@10>=1.2.3")
@example("recall@10>=%")
def test_guard_text(text: str) -> None:
    for given_text in (text, f"recall@10>={text}", f"recall@{text}>=0.5"):
        value = only_ours(lambda given_text=given_text: Guard.parse(given_text))
        if isinstance(value, Guard):
            assert Guard.parse(str(value)) == value


@many
@given(near_text)
@example("qdrant+http://h:" + "9" * 5000)
@example("é:80")
@example("edge:é:80")
@example("~nobody/x")
@example("edge:%2F%2Fx")
@example("foo:%31")
@example("qdrant+http://İ:1")
@example("qdrant+http://[fe80::1%eth0]:1")
def test_address_text(text: str) -> None:
    for given_text in (text, f"qdrant+http://{text}", f"edge:{text}", f"plug:{text}"):
        value = only_ours(lambda given_text=given_text: Address.parse(given_text))
        if isinstance(value, Address):
            assert str(Address.parse(str(value))) == str(value)
            assert value.identity
            only_ours(lambda value=value: value.url)
            only_ours(lambda value=value: value.path)


@many
@given(near_text)
def test_mask_accepts_any_text(text: str) -> None:
    assert isinstance(mask(text), str)


_SPEC = "store: edge:x\ncollections:\n  a:\n    "


@many
@given(near_text)
@example("a: !!int ''")
@example("a: !!float ''")
@example("a: !!bool x")
@example("a: !!timestamp x")
@example("a: 2001-13-45")
@example("? [a]\n: b")
@example("a: &a [*a]")
@example("<<: 5")
@example("a: " + "9" * 5000)
@example('{"a": ' + "9" * 5000 + "}")
@example('{"a": 1e999}')
@example("{" * 5000)
@example("a: =")
def test_spec_text(text: str) -> None:
    for given_text in (text, _SPEC + text, _SPEC + "quantization: " + text):
        value = only_ours(lambda given_text=given_text: parse_spec(given_text))
        assert isinstance(value, (Spec, QadaptError))


@many
@given(near_objects)
def test_spec_objects(obj: Any) -> None:
    try:
        text = json.dumps(obj)
    except ValueError:  # integers of thousands of digits can't be written
        return
    inside = (
        '{"store": "edge:x", "collections": {"a": {"quantization": %s}}}',
        '{"store": "edge:x", "collections": {"a": {"quantization": "binary", "guard": %s}}}',
        '{"store": "edge:x", "collections": {"a": {"vectors": {"": %s}}}}',
        '{"store": %s, "collections": {"a": {"quantization": "binary"}}}',
        '{"stores": %s}',
        "%s",
    )
    for shape in inside:
        value = only_ours(lambda shape=shape: parse_spec(shape % text))
        if isinstance(value, Spec):
            json.loads(value.to_json())


@many
@given(near_objects, near_objects)
@example({"a": {"gt": 1.5}}, {"a": 10**400})
@example({"a": {"gt": "0001-01-01T00:00:00+23:59"}}, {"a": "9999-12-31T23:59:59-23:59"})
def test_filters(obj: Any, payload: Any) -> None:
    for shape in (obj, {"any": [obj]}, {"not": obj}, {"topic": obj}):
        value = only_ours(lambda shape=shape: parse_filter(shape))
        if not isinstance(value, QadaptError):
            row = payload if isinstance(payload, dict) else {"topic": payload}
            assert matches(value, row) in (True, False)


@pytest.mark.parametrize("cls", sorted(PLAIN, key=lambda cls: cls.__name__))
@settings(max_examples=15, deadline=None)
@given(obj=near_objects)
def test_documents(cls: type[Any], obj: Any) -> None:
    assert isinstance(only_ours(lambda: cls.from_dict(obj)), (cls, QadaptError))
    try:
        text = json.dumps(obj)
    except ValueError:
        return
    only_ours(lambda: cls.from_json(text))


@settings(max_examples=examples(100), deadline=None)
@given(near_text)
def test_json_text(text: str) -> None:
    only_ours(lambda: Plan.from_json(text))
    only_ours(lambda: Metric.of(text))


@pytest.mark.parametrize("value", [None, 5, b"edge:x", ["edge:x"], {}, 1.5, True])
def test_values_that_are_not_text(value: Any) -> None:
    for call in (Address.parse, Quantization.parse, Guard.parse):
        assert isinstance(only_ours(lambda call=call: call(value)), QadaptError)


def test_a_missing_spec_file(tmp_path: Any) -> None:
    for path in (tmp_path / "no.yaml", tmp_path, "a\0b"):
        assert isinstance(only_ours(lambda path=path: load_spec(path)), QadaptError)
