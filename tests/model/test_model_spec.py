"""Spec files: syntax and locations of errors."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from qadapt.errors import ConsentRequiredError, SpecError
from qadapt.model import Guard, Quantization, Rescore, binary, none, scalar
from qadapt.model.spec import Spec, VectorSpec, load_spec, parse_spec

FULL = """\
# quantization.yaml
store: qdrant+http://localhost:6333
collections:
  articles:
    vectors:
      "": {quantization: binary, rescore: 4, codes: ram, originals: disk}
    guard: {recall@10: 0.95, queries: queries.npy}
"""


_FULL_JSON = {
    "store": "edge:x",
    "collections": {
        "articles": {
            "quantization": "binary",
            "guard": {"recall@10": 0.9, "queries": "queries.npy"},
        }
    },
}


def _under(body: str) -> str:
    return "store: edge:x\ncollections:\n  a:\n" + "".join(
        f"    {line}\n" for line in body.splitlines()
    )


def _wanted(body: str, vector: str = "") -> Quantization:
    return parse_spec(_under(body)).stores[0].collections["a"].vectors[vector].wanted


def test_the_example_of_the_docs() -> None:
    (store,) = parse_spec(FULL).stores
    assert str(store.store) == "qdrant+http://localhost:6333"
    collection = store.collections["articles"]
    assert collection.vectors[""].wanted == binary(rescore=4, codes="ram", originals="disk")
    assert collection.guard == Guard(recall=0.95, k=10, queries="queries.npy")


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ("quantization: binary", binary()),
        ("quantization: none", none()),
        ("quantization: 'scalar:bits=7,quantile=0.99'", scalar(7, quantile=0.99)),
        ("quantization: {kind: scalar, bits: 7}", scalar(7)),
        ("quantization: binary\nrescore: 2.5", binary(rescore=2.5)),
        ("quantization: binary\nrescore: '4@codes'", binary(rescore="4@codes")),
        ("quantization: binary\nrescore: off", binary(rescore="off")),
        ("quantization: binary\nrescore: {oversampling: 3}", binary(rescore=3)),
        ("quantization: 'binary:rescore=4'", binary(rescore=4)),
        ("quantization: 'binary:rescore=4'\nrescore: 4", binary(rescore=4)),
        ("quantization: binary\nrescore: ~\ncodes: ~\nnative: ~", binary()),
        (
            "quantization: 'scalar:native={\"a\":1}'\nnative: {a: 1, b: [2, x]}",
            scalar(native={"a": 1, "b": [2, "x"]}),
        ),
        ("vectors: {'': {quantization: binary}}", binary()),
    ],
)
def test_equivalent_spellings(body: str, wanted: Quantization) -> None:
    assert _wanted(body) == wanted


def test_named_vectors_and_anchors() -> None:
    body = """\
vectors:
  title: &small {quantization: binary, rescore: 4}
  body: {<<: *small, rescore: 2}
  both: *small
"""
    assert _wanted(body, "title") == _wanted(body, "both") == binary(rescore=4)
    assert _wanted(body, "body") == binary(rescore=2)


def test_many_stores() -> None:
    text = json.dumps(
        {
            "stores": [
                {"store": "edge:x", "collections": {"a": {"quantization": "binary"}}},
                {"store": "edge:y", "collections": {"a": {"quantization": "scalar"}}},
            ]
        },
        indent="\t",
    )
    first, second = parse_spec(text).stores
    assert (str(first.store), str(second.store)) == ("edge:x", "edge:y")
    assert second.collections["a"].vectors[""].wanted == scalar()


@pytest.mark.parametrize(
    ("text", "guard"),
    [
        ("'recall@10>=0.95'", Guard(0.95)),
        ("recall@5>=90%", Guard(0.9, k=5)),
        ("{recall@100: 0.9}", Guard(0.9, k=100)),
        ("{recall@10: 1, queries: 50, seed: 3}", Guard(1, queries=50, seed=3)),
        ("{recall: 0.9, k: 7}", Guard(0.9, k=7)),
        ("{recall: 0.9}", Guard(0.9)),
        ("{recall: 0.9, clients: configured}", Guard(0.9, clients="configured")),
    ],
)
def test_guards(text: str, guard: Guard) -> None:
    spec = parse_spec(_under(f"quantization: binary\nguard: {text}"))
    assert spec.stores[0].collections["a"].guard == guard


def test_query_paths_are_relative_to_the_spec_file(tmp_path: Path) -> None:
    file = tmp_path / "sub" / "spec.yaml"
    file.parent.mkdir()
    file.write_text("\ufeff" + FULL, encoding="utf-8")

    def queries(spec: Spec) -> Any:
        guard = spec.stores[0].collections["articles"].guard
        assert guard is not None
        return guard.queries

    assert queries(load_spec(file)) == str(file.parent / "queries.npy")
    assert queries(load_spec(str(file))) == str(file.parent / "queries.npy")
    assert queries(parse_spec(FULL)) == "queries.npy"
    file.write_text("\ufeff" + json.dumps(_FULL_JSON, indent="\t"), encoding="utf-8")
    assert queries(load_spec(file)) == str(file.parent / "queries.npy")
    absolute = str(tmp_path / "q.npy")
    file.write_text(FULL.replace("queries.npy", absolute), encoding="utf-8")
    assert queries(load_spec(file)) == absolute


def test_errors_name_the_file(tmp_path: Path) -> None:
    file = tmp_path / "spec.yaml"
    file.write_text("stor: x", encoding="utf-8")
    with pytest.raises(SpecError, match=r"spec\.yaml: stor: unknown key"):
        load_spec(file)
    with pytest.raises(SpecError, match="cannot be read"):
        load_spec(tmp_path / "other.yaml")
    file.write_bytes(b"store: \xff\xfe")
    with pytest.raises(SpecError, match="cannot be read"):
        load_spec(file)


_AT = "spec.yaml: "


@pytest.mark.parametrize(
    ("text", "says", "hint"),
    [
        ("", "expected a mapping with store and collections; got nothing", ""),
        ("[]", "expected a mapping with store and collections; got nothing", ""),
        ("- store: x", "expected a mapping with store and collections; got a list", ""),
        ("just words", "expected a mapping with store and collections; got 'just words'", ""),
        ("store: edge:x", "'collections' is missing", "store and collections"),
        ("collections: {a: {quantization: binary}}", "'store' is missing", "store and collections"),
        ("store: edge:x\ncollection: 1", "collection: unknown key", "did you mean 'collections'?"),
        ("store: edge:x\ncollections: {}", "collections: expected a mapping of collec", ""),
        ("store: edge:x\ncollections: {a: binary}", "collections.a: expected a mapping", ""),
        ("store: edge:x\ncollections: {a: }", "collections.a: expected a mapping with vec", ""),
        ("store: 5\ncollections: {a: {}}", "store: expected an address as a string; got 5", ""),
        ("store: localhost:6333\ncollections: {a: {}}", "store: 'localhost:6333'", "did you mean"),
        ("store: edge:x#a\ncollections: {a: {}}",
         "must not contain '#collection'", "below collections"),
        ("stores: []", "stores: expected a list of documents", ""),
        ("stores: {a: 1}", "stores: expected a list of documents", ""),
        ("stores: [5]", "stores.0: expected a mapping with store and collections; got 5", ""),
        ("stores: [{store: edge:x}]", "stores.0: 'collections' is missing", ""),
        ("stores: [{store: edge:x}]\nstore: edge:y", "store: unknown key", "did you mean 'stores'"),
        (
            "stores: &s\n- &d {store: edge:x, collections: {a: {quantization: binary}}}\n- *d",
            "stores.1.collections.a: the collection is given twice for edge:x",
            "remove one",
        ),
        (_under("vectors: {'': {quantisation: binary}}"),
         "collections.a.vectors.''.quantisation: unknown key", "did you mean 'quantization'?"),
        (_under("quantisation: binary"), "collections.a.quantisation: unknown key", "did you mean"),
        (_under("guard: recall@10>=0.9"), "collections.a: expected a mapping with quant", ""),
        (_under("vectors: {}"), "collections.a.vectors: expected a mapping of vectors", ""),
        (_under("vectors: {t: binary}"), "collections.a.vectors.t: expected a mapping with", ""),
        (_under("vectors: {t: {rescore: 4}}"), "a.vectors.t: 'quantization' is missing", "binary"),
        (_under("rescore: 4"), "collections.a: 'quantization' is missing", "binary"),
        (_under("quantization: binary\nvectors: {t: {quantization: binary}}"),
         "collections.a.quantization: conflicts with vectors", "move it"),
        (_under("quantization: binry"), "a.quantization: unknown quantization 'binry'", "'binary'"),
        (_under("quantization: binary:bit=1"), "unknown option 'bit'", "did you mean 'bits'?"),
        (_under("quantization: 4"), "a.quantization: expected a string such as", ""),
        (_under("quantization: off"), "got true or false (quote it for a string)", ""),
        (_under("quantization: {kind: binary, bit: 1}"), "unknown field 'bit'", "'bits'"),
        (_under("quantization: {bits: 1}"), "kind", ""),
        (_under("quantization: binary\nrescore: x"), "collections.a.rescore: rescore must", "=4"),
        (_under("quantization: binary\nrescore: 0.5"), "a.rescore: oversampling must be 1", ""),
        (_under("quantization: none\nrescore: 4"), "rescoring has no effect without", "leave"),
        (_under("quantization: binary\ncodes: rom"), "codes: expected ram, cached or disk", ""),
        (_under("quantization: binary\noriginals: [1]"), "expected ram, disk or none", ""),
        (_under("quantization: binary\nnative: 5"), "a.native: expected a mapping of native", ""),
        (_under("quantization: 'binary:rescore=2'\nrescore: 3"), "rescore is given twice", "one"),
        (_under("quantization: 'binary:codes=ram'\ncodes: disk"), "codes is given twice", "one"),
        (_under("quantization: 'binary:native={\"a\":1}'\nnative: {a: 2}"), "native.a is give", ""),
        (_under("quantization: binary\nguard: {recal@10: 0.9}"), "guard.recal@10: unknown key",
         "did you mean 'recall@10'?"),
        (_under("quantization: binary\nguard: {queries: 5}"),
         "guard: a guard must have exactly one", ""),
        (_under("quantization: binary\nguard: {recall@1: 0.5, recall@2: 0.5}"),
         "exactly one rec", ""),
        (_under("quantization: binary\nguard: {recall@1: 0.5, k: 2}"), "guard.k: k is given", ""),
        (_under("quantization: binary\nguard: {recall@10: high}"), "guard.recall@10: expected", ""),
        (_under("quantization: binary\nguard: {recall@10: 95}"), "above 0 and at most 1", "0.95"),
        (_under("quantization: binary\nguard: {recall@0: 0.9}"),
         "k of a guard must be an integer", ""),
        (_under("quantization: binary\nguard: {recall: 0.9, k: x}"),
         "k of a guard must be an integer", ""),
        (_under("quantization: binary\nguard: {recall: 0.9, queries: 1.5}"), "guard.queries:", ""),
        (_under("quantization: binary\nguard: {recall: 0.9, queries: ''}"), "guard.queries:", ""),
        (_under("quantization: binary\nguard: {recall: 0.9, queries: 0}"),
         "queries of a guard must", ""),
        (_under("quantization: binary\nguard: {recall: 0.9, seed: x}"), "guard.seed: expected", ""),
        (_under("quantization: binary\nguard: recall>0.9"),
         "guard: a guard must have the form", ""),
        (_under("quantization: binary\nguard: [1]"), "guard: expected a string such as", ""),
    ],
)  # fmt: skip
def test_errors_name_the_problem_and_the_place(text: str, says: str, hint: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_spec(text, where="spec.yaml")
    assert caught.value.message.startswith(_AT)
    assert says in caught.value.message
    assert hint in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: [1", "line 1, column"),
        ("store: edge:x\n  bad: 1", "line 2, column 6"),
        ("a: 1\n\tb: 2", "line 2, column 1"),
        ("store: edge:x\nstore: edge:y", "line 2, column 1: the key 'store' is duplicated"),
        (_under("quantization: binary\nquantization: scalar"), "line 5, column 5: the key 'quant"),
        ("1: 2", "line 1, column 1: a key must be a string"),
        ("true: 2", "a key must be a string"),
        ("[a]: 2", "a key must be a string"),
        ("a: *b", "undefined alias 'b'"),
        ("a: &a {b: *a}", "it contains itself"),
        ("a: &a\n  - *a", "it contains itself"),
        ("a: 1\n---\nb: 1", "expected a single document"),
        ("a: !!python/object/apply:os.system [x]", "the tag !!python/object/apply:os.system"),
        ("a: !!set {x}", "the tag !!set"),
        ("a: !!binary YQ==", "the tag !!binary"),
        ("a: !mine 1", "the tag !mine"),
        ("a: !!int ''", "not valid for its tag"),
        ("a: !!float x", "not valid for its tag"),
        ("a: !!bool x", "not valid for its tag"),
        ("a: " + "9" * 5000, "not valid for its tag"),
        ("a: .nan", "not a finite number"),
        ("a: -.inf", "not a finite number"),
        ("a: 1.0e+400", "not a finite number"),
        ("a: \x07", "not YAML"),
        ('{"a": 1, "a": 2}', "the key 'a' is duplicated"),
        ('{"a": NaN}', "NaN is not a finite number"),
        ('{"a": -Infinity}', "-Infinity is not a finite number"),
        ('{"a": 1e400}', "1e400 is not a finite number"),
        ('{"a": ' + "9" * 5000 + "}", "a number of 5000 digits"),
        ('{"a": ' * 60 + "1" + "}" * 60, "nested too deeply"),
        ('{"a": ' * 20_000, "nested too deeply"),
        ("[" * 5_000, "nested too deeply"),
        ("a: " + "[" * 60 + "]" * 60, "nested too deeply"),
        ("- " * 60 + "x", "nested too deeply"),
        ("x" * 300_000, "longer than 262144 characters"),
    ],
)
def test_yaml_and_json_are_read_strictly(text: str, says: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_spec(text, where="spec.yaml")
    assert caught.value.message.startswith("spec.yaml: ")
    assert says in caught.value.message


def _bomb(first: str, following: str) -> str:
    lines = [f"a0: &a0 {first}"]
    for level in range(1, 30):
        lines.append(f"a{level}: &a{level} " + following.replace("?", f"*a{level - 1}"))
    return "\n".join(lines)


@pytest.mark.parametrize(
    "bomb",
    [
        _bomb("[x, x]", "[?, ?, ?, ?, ?, ?, ?, ?, ?, ?]"),
        _bomb("{x: y}", "{<<: [?, ?, ?, ?, ?, ?, ?, ?, ?, ?]}"),
        _bomb("{x: y}", "{b: ?, c: ?, d: ?}"),
    ],
)
def test_huge_alias_expansion_is_rejected_before_it_is_expanded(bomb: str) -> None:
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        with pytest.raises(SpecError, match="expands to more than 100000 values"):
            parse_spec(bomb)
    finally:
        sys.setprofile(before)
    assert calls < 200_000, "the work is limited, although there are 10^29 values"


def test_a_chain_of_aliases_is_too_deep() -> None:
    with pytest.raises(SpecError, match="nested too deeply"):
        parse_spec("\n".join(["a0: &a0 [x]", *(f"a{i}: &a{i} [*a{i - 1}]" for i in range(1, 99))]))


def test_dates_stay_text() -> None:
    assert _wanted("quantization: scalar\nnative: {since: 2024-05-01, 2024-05-02: x}") == scalar(
        native={"since": "2024-05-01", "2024-05-02": "x"}
    )


def test_a_key_in_the_address_is_used_and_masked() -> None:
    spec = parse_spec(FULL.replace("localhost", "ZQX123@localhost"))
    assert spec.stores[0].store.secret({}) == "ZQX123"
    for shown in (repr(spec), str(spec), spec.to_json()):
        assert "ZQX123" not in shown
    changed = spec.stores[0].replace(collections=spec.stores[0].collections)
    assert changed.store.secret({}) == "ZQX123"
    spec = parse_spec(FULL.replace("localhost:6333", "localhost:6333?key_env=QDRANT_API_KEY"))
    assert spec.stores[0].store.secret({"QDRANT_API_KEY": "x"}) == "x"
    spec = parse_spec(FULL.replace("localhost:6333", "localhost:6333?key_env=MINE"))
    with pytest.raises(ConsentRequiredError, match=r"variable MINE .* to localhost:6333"):
        spec.stores[0].store.secret({"MINE": "x"})


def test_specs_created_in_python() -> None:
    spec = VectorSpec("binary:query_bits=8", 4)  # type: ignore[arg-type]
    assert spec.quantization == binary(query_bits=8)
    assert spec.rescore == Rescore(4)
    assert spec.wanted == binary(query_bits=8, rescore=4)
    assert hash(spec) == hash(VectorSpec(binary(query_bits=8), Rescore(4)))


@pytest.mark.parametrize(
    ("written", "rescore"),
    [
        ("candidates: 200", Rescore(candidates=200)),
        ("candidates: 200@int8", Rescore(source="int8", candidates=200)),
        ("rescore: 4@float16", Rescore(4, "float16")),
    ],
)
def test_a_spec_takes_a_number_of_candidates(written: str, rescore: Rescore) -> None:
    assert _wanted(f"quantization: binary\n{written}").rescore == rescore


def test_a_spec_with_a_factor_and_a_number_of_candidates_is_refused() -> None:
    text = _under("quantization: binary\nrescore: 4\ncandidates: 200")
    with pytest.raises(SpecError, match="rescore and candidates are both given"):
        parse_spec(text)


@pytest.mark.parametrize("value", ["3", "[]", "text"])
def test_a_vector_that_is_no_mapping_has_a_hint(value: str) -> None:
    text = f'store: edge:/x\ncollections: {{a: {{vectors: {{"": {value}}}}}}}'
    with pytest.raises(SpecError, match="expected a mapping with quantization") as caught:
        parse_spec(text)
    assert "quantization: binary" in str(caught.value.hint)
