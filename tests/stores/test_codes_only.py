"""Codes that replace the original vectors (``originals="none"``)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qadapt as qa
from qadapt.costing.compare import memory
from qadapt.errors import UnsupportedError
from qadapt.local import client_codes
from qadapt.model import Match, MatchLevel, Quantization, Vector
from qadapt.simulation.registry import mapped_to
from qadapt.stores.qdrant import mapping, placement

CODES = "rotational:bits=4,originals=none"


def asked(text: str) -> Quantization:
    return Quantization.parse(text)


@pytest.mark.parametrize(("bits", "datatype"), [(4, "turbo4"), (8, "turbo8")])
def test_rotational_codes_become_the_datatype(bits: int, datatype: str) -> None:
    wanted = asked(f"rotational:bits={bits},originals=none")
    found = mapping.to_native(wanted, Vector(64))
    assert (found.native, found.datatype) == ({"datatype": datatype}, datatype)
    assert (found.target, found.match) == (wanted, Match.of())


def test_placement_of_such_codes_is_that_of_vectors() -> None:
    disk = mapping.to_native(asked(f"{CODES},codes=disk"), Vector(64))
    assert disk.native == {"datatype": "turbo4", "memory": "cold"}
    pinned = mapping.to_native(asked(f"{CODES},codes=ram"), Vector(64))
    assert pinned.native == {"datatype": "turbo4", "memory": "cached"}
    assert pinned.match.differences == (placement.NOT_PINNED,)


@pytest.mark.parametrize(
    ("text", "version", "says", "instead"),
    [
        ("binary:originals=none", None, "4 or 8 bits, not binary", CODES),
        ("rotational:bits=2,originals=none", None, "4 or 8 bits, not rotational:bits=2", CODES),
        (CODES, "1.18.0", "1.19", "rotational:bits=4,originals=disk"),
    ],
)
def test_qdrant_refuses_other_codes(
    text: str, version: str | None, says: str, instead: str
) -> None:
    match = mapping.to_native(asked(text), Vector(64), version).match
    assert match.level is MatchLevel.UNSUPPORTED
    assert says in match.differences[0]
    assert instead in match.support


@pytest.mark.parametrize(
    ("store", "instead"), [("milvus", "bfloat16"), ("weaviate", "original vectors on disk")]
)
def test_stores_that_keep_the_originals_name_what_saves_space(store: str, instead: str) -> None:
    match = mapped_to(store, asked(CODES), Vector(64)).match
    assert match.level is MatchLevel.UNSUPPORTED
    assert "keeps the original vectors" in match.differences[0]
    assert instead in " ".join(match.support)


def test_client_side_codes_need_the_originals() -> None:
    assert client_codes.match(asked("binary:originals=none")).level is MatchLevel.UNSUPPORTED


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    return np.random.default_rng(3).normal(size=(600, 64)).astype(np.float32)


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory, rows: np.ndarray) -> str:
    """An edge folder with ``articles`` and its copy of 4-bit codes."""
    url = f"edge:{tmp_path_factory.mktemp('codes')}"
    with qa.open(url) as db:
        articles = db.create("articles", dim=64)
        articles.write(qa.Batch(range(len(rows)), {"": rows}))
        with pytest.raises(UnsupportedError) as refused:
            articles.plan(CODES)
        assert f"articles_turbo4' --quantize '{CODES}'" in str(refused.value.hint)
    done = qa.migrate(f"{url}#articles", f"{url}#articles_turbo4", quantization=CODES)
    assert done.check is not None and done.check.passed
    assert done.check.recalls[0].requirement.startswith("none: the target keeps 64 dimensions of")
    return url


def measured(rows: np.ndarray, queries: np.ndarray, found: Any) -> float:
    def unit(x: np.ndarray) -> np.ndarray:
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    wanted = np.argsort(-(unit(queries) @ unit(rows).T), axis=1)[:, :10]
    pairs = zip(wanted, found.ids.tolist(), strict=True)
    return float(np.mean([len(set(one.tolist()) & set(other)) / 10 for one, other in pairs]))


def test_verify_does_not_call_codes_the_truth(
    copied: str, rows: np.ndarray, tmp_path: Path
) -> None:
    file = tmp_path / "full.npy"
    np.save(file, rows)
    queries = rows[:60] + np.float32(0.1)
    with qa.open(copied) as db:
        codes = db["articles_turbo4"]
        assert codes.info().vectors[""].datatype == "turbo4"
        own, outside = codes.verify(queries=queries), codes.verify(queries=queries, truth=file)
        recall = measured(rows, queries, codes.search(queries, 10))
    assert any("itself of 4 bits per dimension" in note for note in own.notes)
    assert "--truth FILE" in " ".join(own.notes)
    assert own.recall.value > outside.recall.value == pytest.approx(recall, abs=1e-6)
    assert outside.notes == ()


def test_a_truth_of_other_rows_is_refused(copied: str, rows: np.ndarray, tmp_path: Path) -> None:
    file = tmp_path / "other.npy"
    np.save(file, rows[:3, :32])
    with qa.open(copied) as db:
        with pytest.raises(qa.errors.InputError, match="have 32 dimensions"):
            db["articles"].verify(truth=file)
        np.save(file, rows[:3])
        Path(f"{file}.ids").write_text("7001\n7002\n7003\n")
        with pytest.raises(qa.errors.InputError, match="has none of the first 3 ids"):
            db["articles"].verify(truth=file)


def test_simulate_eval_and_cost_know_codes_only(copied: str, rows: np.ndarray) -> None:
    with qa.open(copied) as db:
        articles = db["articles"]
        predicted = articles.simulate(CODES, queries=40).results[0]
        found = articles.evaluate(CODES, queries=40, live=False, concurrency=()).results[0]
        assert found.state == "measured" and found.recall is not None
        assert predicted.recall is not None
        assert predicted.recall.low <= found.recall.value <= predicted.recall.high


def test_the_cost_of_codes_only_has_no_originals() -> None:
    both = memory(10_000, Vector(64), "rotational:bits=4", "edge")
    only = memory(10_000, Vector(64), CODES, "edge")
    assert str(only.target) == CODES
    names = {part.name for part in only.components}
    assert "codes" not in names
    assert only.disk < both.disk - 10_000 * 64 * 3
    with pytest.raises(UnsupportedError, match="keeps the original vectors"):
        memory(10_000, Vector(64), CODES, "weaviate")


@pytest.mark.parametrize("store", ["edge", "qdrant", "weaviate"])
def test_stores_without_finer_codes_offer_the_originals(store: str) -> None:
    match = mapped_to(store, asked("binary:candidates=200@int8"), Vector(64)).match
    assert match.level is MatchLevel.UNSUPPORTED
    assert "keeps no int8 codes" in match.differences[0]
    assert match.support[0].startswith("candidates=200: ")


def test_client_side_codes_rescore_by_their_int8_tier(tmp_path: Path, rows: np.ndarray) -> None:
    with qa.open(f"edge:{tmp_path}") as db:
        articles = db.create("articles", dim=64)
        articles.write(qa.Batch(range(len(rows)), {"": rows}))
        with pytest.raises(UnsupportedError, match="keeps no int8 codes"):
            articles.plan("binary:rescore=20@int8")
        articles.plan("binary:rescore=20@int8", accept="client").apply(yes=True)
        hits = articles.search(rows[:20], 10)
        assert (hits.how.rescored_on, hits.how.rescorer) == ("codes", "qadapt")
        assert (hits.how.candidates, hits.how.scores) == (200, "approximate")
        assert articles.search(rows[:20], 10, rescore="candidates=50@int8").how.candidates == 50
        with pytest.raises(UnsupportedError, match="no float16 to rescore with"):
            articles.search(rows[:1], 10, rescore="4@float16")
