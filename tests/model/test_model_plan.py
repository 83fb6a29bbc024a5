"""Plans, steps, guards, matches and fingerprints."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from model_strategies import collection_infos, guards
from slow import examples

from qadapt.errors import SpecError
from qadapt.model import (
    CollectionInfo,
    Estimate,
    Evidence,
    Guard,
    Match,
    MatchLevel,
    Metric,
    Plan,
    Server,
    State,
    Status,
    Step,
    Symbol,
    Vector,
    VectorInfo,
    binary,
    none,
    scalar,
)


def _info(**changes: Any) -> CollectionInfo:
    vector = VectorInfo(
        name="",
        dim=8,
        metric=Metric.COSINE,
        datatype="float32",
        count=10,
        index={"type": "hnsw"},
        quantization=binary(),
        status=Status(State.ACTIVE),
    )
    of_vector = {k: v for k, v in changes.items() if k in VectorInfo.__dataclass_fields__}
    vector = vector.replace(**of_vector)
    rest = {k: v for k, v in changes.items() if k not in of_vector}
    base: dict[str, Any] = {"config": {"a": 1, "b": [1, 2]}, "server": Server("toy")}
    return CollectionInfo(name="c", count=10, vectors={"": vector}, **{**base, **rest})


def _plan(*steps: Step) -> Plan:
    return Plan(
        id="x",
        created="2026-01-01T00:00:00Z",
        address="edge:x",
        collection="c",
        vector="",
        server=Server("edge"),
        current=none(),
        requested=binary(),
        target=binary(),
        match=Match.of(),
        accept="differs",
        fingerprint="",
        count=1,
        dim=2,
        steps=steps,
    )


# -- fingerprint ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"config": {"a": 2, "b": [1, 2]}},
        {"config": {"a": 1, "b": [2, 1]}},
        {"config": {}},
        {"dim": 9},
        {"metric": Metric.DOT},
        {"datatype": "float16"},
        {"quantization": scalar()},
        {"quantization": binary(rescore=2)},
        {"quantized_by": "qadapt"},
    ],
)
def test_fingerprint_changes_with_the_configuration(changes: dict[str, Any]) -> None:
    assert _info(**changes).fingerprint != _info().fingerprint


@pytest.mark.parametrize(
    "changes",
    [
        {"config": {"b": [1, 2], "a": 1}},
        {"count": 99},
        {"status": Status(State.BUILDING, progress=0.5)},
        {"code_bytes": 5},
        {"server": Server("toy", "2.0")},
    ],
)
def test_fingerprint_does_not_change_with_the_data(changes: dict[str, Any]) -> None:
    assert _info(**changes).fingerprint == _info().fingerprint


def test_fingerprint_is_the_same_in_every_process_and_version() -> None:
    """A plan that was saved yesterday is not stale because qadapt was started again."""
    pinned = "59b78b2c840af6f8cec17425bb624693cb4f0aa12819beb58c16386f7b2417ca"
    assert _info().fingerprint == pinned


@settings(max_examples=examples(40), deadline=None)
@given(collection_infos)
def test_fingerprint_survives_json(info: CollectionInfo) -> None:
    assert CollectionInfo.from_json(info.to_json()).fingerprint == info.fingerprint


def test_vector_of_an_info() -> None:
    assert _info().vectors[""].vector == Vector(8, Metric.COSINE, "float32")


# -- steps ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("symbol", "reverse", "stops", "consent"),
    [
        (Symbol.NOTHING, None, "nothing", False),
        (Symbol.NOTHING, None, "searches", False),
        (Symbol.IN_PLACE, {}, "nothing", False),
        (Symbol.IN_PLACE, None, "nothing", True),
        (Symbol.BACKGROUND, {"op": "back"}, "writes", False),
        (Symbol.BLOCKING, {"op": "back"}, "searches", True),
        (Symbol.BLOCKING, {"op": "back"}, "searches and writes", True),
        (Symbol.RECREATE, {"op": "back"}, "nothing", False),
    ],
)
def test_consent(symbol: Symbol, reverse: Any, stops: Any, consent: bool) -> None:
    step = Step(symbol, "do", "because", {}, reverse, Estimate(stops=stops))
    quiet = Step(Symbol.IN_PLACE, "do", "because", {}, {})
    assert step.needs_consent is consent
    assert _plan(quiet, step).needs_consent is consent
    assert _plan(quiet).needs_consent is False


def test_changes() -> None:
    nothing = Step(Symbol.NOTHING, "", "", {})
    assert not _plan().changes and not _plan(nothing).changes
    assert _plan(nothing, Step(Symbol.CLIENT, "", "", {})).changes


def test_symbols_have_words() -> None:
    assert [str(symbol) for symbol in Symbol] == ["=", "~", "±", "!", "-/+", ">"]
    assert len({symbol.meaning for symbol in Symbol}) == len(Symbol)


def test_match() -> None:
    assert Match.of() == Match(MatchLevel.EXACT)
    assert Match.of("7 bits", "one range") == Match(MatchLevel.DIFFERS, ("7 bits", "one range"))
    assert Match.unsupported("no", "2.6", "IVF") == Match(
        MatchLevel.UNSUPPORTED, ("no",), ("2.6", "IVF")
    )


def test_values_that_json_cannot_hold() -> None:
    status = Status(State.ACTIVE, evidence=(Evidence("share", float("nan")),))
    assert Status.from_json(status.to_json()).evidence == (Evidence("share", None),)
    status = Status(State.ACTIVE, evidence=(Evidence("share", object()),))
    for write in (status.to_json, status.to_dict):
        with pytest.raises(SpecError, match="a Status cannot be represented in JSON"):
            write()


# -- guards --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "guard"),
    [
        ("recall@10>=0.95", Guard(0.95)),
        (" recall @ 5 >= 95% ", Guard(0.95, k=5)),
        ("recall@1>=1", Guard(1)),
        ("recall@10>=1e-05", Guard(1e-05)),
    ],
)
def test_guard_text(text: str, guard: Guard) -> None:
    found = Guard.parse(text)
    assert (found.recall, found.queries) == (guard.recall, 200)
    assert Guard.parse(str(found)) == found


@settings(max_examples=examples(100), deadline=None)
@given(guards)
def test_guard_text_round_trip(guard: Guard) -> None:
    assert Guard.parse(str(guard)) == Guard(guard.recall, guard.k)


@pytest.mark.parametrize(
    "text",
    [
        *("", "recall", "recall@10", "recall>=0.9", "recall@10>0.9", "recall@10>=", "recall@x>=1"),
        *("recall@10>=95", "recall@10>=0", "recall@10>=-1", "recall@0>=0.9", "recall@10>=nan"),
        *("recall@10>=1.2.3", "recall@10>=101%", "recall@10>=0.9 or so"),
    ],
)
def test_guard_mistakes(text: str) -> None:
    with pytest.raises(SpecError, match="guard"):
        Guard.parse(text)


@pytest.mark.parametrize(
    "parts",
    [
        *({"recall": True}, {"recall": "0.9"}, {"recall": 0}, {"recall": 1.01}),
        *({"recall": float("nan")}, {"recall": 0.9, "k": 0}, {"recall": 0.9, "k": True}),
        *(
            {"recall": 0.9, "queries": 0},
            {"recall": 0.9, "queries": True},
            {"recall": 0.9, "k": "5"},
        ),
    ],
)
def test_guard_parts(parts: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match="of a guard must be"):
        Guard(**parts)


def test_guard_accepts_an_array_of_queries() -> None:
    queries = np.eye(3, dtype=np.float32)
    assert Guard(0.9, queries=queries).queries is queries


@pytest.mark.parametrize(
    "name", ["../../x", "/etc/x", "..", ".", "", "a/b", "a\\b", "a\0b", "a\nb", "x" * 200, "é"]
)
def test_the_id_of_a_plan_is_no_path(name: str) -> None:
    with pytest.raises(SpecError, match="is not a valid plan id"):
        Plan.from_dict({**_plan().to_dict(), "id": name})
