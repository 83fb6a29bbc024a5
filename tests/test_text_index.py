"""Texts in one call: `qa.index`, `qa.search_text` and `qadapt index`, on the embedded engine."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from embeddings import wheel as wheel_of

import qadapt as qa
from qadapt.cli import main
from qadapt.demo.wheels import MODEL
from qadapt.encoder import CALL
from qadapt.errors import AddressError, DimensionError, InputError, SpecError
from qadapt.files.text_rows import TextFile
from qadapt.stores.base import Progress

DIM = 32
WORDS = ("vitamin", "birth", "weight", "paris", "capital", "france", "river", "stone")


class Normalize:
    """A module of a model that normalizes vectors."""


class Model:
    """A stand-in for SentenceTransformer: a direction for each known word of a text."""

    similarity_fn_name = "cosine"

    def __init__(self) -> None:
        self.calls: list[tuple[str, int, str | None]] = []
        self.directions = np.random.default_rng(0).standard_normal((len(WORDS) + 1, DIM))

    def children(self) -> Iterator[object]:
        yield Normalize()

    def get_embedding_dimension(self) -> int:
        return DIM

    def _encode(self, role: str, texts: list[str], **how: Any) -> np.ndarray:
        self.calls.append((role, len(texts), how.get("prompt")))
        rows = [
            self.directions[[len(WORDS), *(at for at, word in enumerate(WORDS) if word in text)]]
            for text in texts
        ]
        means = np.array([each.mean(axis=0) for each in rows])
        means /= np.linalg.norm(means, axis=1, keepdims=True)
        return means[:, : how.get("truncate_dim") or DIM]

    def encode_query(self, texts: list[str], **how: Any) -> np.ndarray:
        return self._encode("query", texts, **how)

    def encode_document(self, texts: list[str], **how: Any) -> np.ndarray:
        return self._encode("document", texts, **how)


TEXTS = ["vitamin and birth weight", "paris is a capital", "a river and a stone"]


@pytest.fixture
def url(live: Callable[[str], str]) -> str:
    return f"{live('edge')}#notes"


def test_texts_are_encoded_written_quantized_and_found(url: str) -> None:
    model = Model()
    done = qa.index(TEXTS, model, url, quantization="binary:rescore=4")
    assert (done.rows, done.created, done.dim, done.metric) == (3, True, DIM, qa.Metric.COSINE)
    assert (done.quantization, done.status.state) == (qa.binary(rescore=4), qa.State.ACTIVE)
    hits = qa.search_text(url, "the capital of france", model=model, k=1)
    assert hits.payloads == [[{"text": TEXTS[1]}]]
    assert hits.how.rescore_from == "collection"
    assert [role for role, _, _ in model.calls] == ["document", "query"]
    several = qa.search_text(url, ["river", "birth"], model=model, k=1)
    assert several.ids.tolist() == [[2], [0]]


def test_any_iterable_is_encoded_in_blocks_with_progress(url: str) -> None:
    model, told = Model(), list[Progress]()
    count = 2 * CALL + 5
    done = qa.index((f"stone {at}" for at in range(count)), model, url, progress=told.append)
    assert done.rows == count
    assert [size for _, size, _ in model.calls] == [CALL, CALL, 5]
    assert [(each.done, each.total) for each in told] == [
        (CALL, None), (2 * CALL, None), (count, None)
    ]  # fmt: skip
    with qa.open(url.partition("#")[0]) as database:
        assert database["notes"].count() == count


def test_rows_have_ids_and_payloads(url: str) -> None:
    rows = [{"key": 10 + at, "body": text, "year": 2000 + at} for at, text in enumerate(TEXTS)]
    qa.index(rows, Model(), url, text_field="body", id_field="key")
    hits = qa.search_text(url, "river", model=Model(), k=1, filter={"year": {"gte": 2001}})
    assert hits.ids.tolist() == [[12]]
    assert hits.payloads == [[{"body": TEXTS[2], "year": 2002}]]
    again = qa.index(["vitamin"], Model(), url, ids=[12])
    assert not again.created
    found = qa.search_text(url, "vitamin", model=Model(), k=1)
    assert found.payloads == [[{"text": "vitamin"}]]


def test_prompts_and_dimensions_of_the_model(url: str) -> None:
    model = Model()
    done = qa.index(TEXTS, model, url, dims=8, query_prompt="query: ", document_prompt="passage: ")
    assert done.dim == 8
    assert model.calls[0][2] == "passage: "
    encoder = qa.Encoder(model, dim=8, query_prompt="query: ")
    assert qa.search_text(url, "river", model=encoder, k=1).ids.tolist() == [[2]]
    assert model.calls[-1][2] == "query: "
    with pytest.raises(DimensionError, match="32 dimensions, expected 8"):
        qa.search_text(url, "river", model=model)


@pytest.mark.parametrize("precision", ["int8", "uint8", "ubinary", "binary"])
def test_embeddings_of_another_precision_are_accepted_as_codes(url: str, precision: Any) -> None:
    """As `model.encode(texts, precision=...)` of sentence-transformers returns them."""
    model = Model()
    floats = model.encode_document([f"{word} {at}" for at, word in enumerate(WORDS)])
    ranges = None
    if precision in ("int8", "uint8"):
        ranges = qa.Calibration.from_ranges(np.stack([floats.min(axis=0), floats.max(axis=0)]))
    codes = qa.quantize(floats, precision, calibration=ranges)
    model.calls.clear()
    qa.index(list(WORDS), model, url, vectors=codes, kind=precision, calibration=ranges)
    assert model.calls == [], "nothing was encoded"
    with qa.open(url.partition("#")[0]) as database:
        back = database["notes"].fetch(list(range(len(WORDS)))).vectors[""]
    expected = floats if ranges is not None else np.where(floats > 0, 1, -1) / DIM**0.5
    np.testing.assert_allclose(back @ expected.T, np.eye(len(WORDS)) + 0, atol=1.1)
    cosines = (back * expected).sum(axis=1) / np.linalg.norm(expected, axis=1)
    np.testing.assert_allclose(cosines, 1, atol=1e-3)
    assert qa.search_text(url, "paris", model=model, k=1).ids.tolist() == [[3]]


def test_the_model_is_saved_with_the_collection(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from qadapt import encoder

    monkeypatch.setitem(encoder.NAMED, "stand-in", f"{__name__}:Model")
    qa.index(TEXTS, "stand-in", url, dims=16, quantization="binary:rescore=2")
    assert qa.search_text(url, "river", k=1).ids.tolist() == [[2]]
    monkeypatch.setitem(encoder.NAMED, "other", f"{__name__}:Model")
    hits = qa.search_text(url, "river", model=qa.Encoder("other", dim=16), k=1)
    assert "encoded with stand-in" in hits.how.notes[-1]
    with qa.open(url.partition("#")[0]) as database:
        database["notes"].plan("none").apply(yes=True)
    assert qa.search_text(url, "river", k=1).ids.tolist() == [[2]]


@pytest.mark.parametrize(
    ("texts", "options", "words"),
    [
        ("one text", {}, "several texts"),
        ([], {}, "no texts"),
        ([3], {}, "text 0 is a int"),
        ([{"body": "x"}], {}, "no text in the field 'text'; it has 'body'"),
        (["a"], {"ids": [1, 2]}, "2 ids but 1 texts"),
        (iter(["a", "b"]), {"ids": [1]}, "1 ids but more texts"),
        ([{"text": "a"}], {"id_field": "id"}, "no id in the field 'id'"),
        (["a"], {"ids": [1], "id_field": "id"}, "given twice"),
        (["a"], {"kind": "int8"}, "describe vectors"),
        (["a"], {"vectors": np.ones((2, DIM))}, "2 vectors but 1 texts"),
        (["a"], {"dims": DIM + 1}, "from 1 to 32"),
    ],
)
def test_refused_and_nothing_is_created(
    url: str, texts: Any, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        qa.index(texts, Model(), url, **options)
    with qa.open(url.partition("#")[0]) as database:
        assert "notes" not in database


def test_an_existing_collection_is_checked_before_texts_are_encoded(url: str) -> None:
    address = url.partition("#")[0]
    with pytest.raises(AddressError, match="names no collection"):
        qa.index(TEXTS, Model(), address)
    with qa.open(address) as database:
        database.create("notes", dim=DIM, metric="dot")
    model = Model()
    with pytest.raises(InputError, match="metric dot, not cosine"):
        qa.index(TEXTS, model, url, metric="cosine")
    with pytest.raises(DimensionError):
        qa.index(TEXTS, model, url, dims=4)
    qa.index(TEXTS, model, url)
    model.calls.clear()
    with pytest.raises(InputError, match="numbers as ids would replace"):
        qa.index(TEXTS, model, url)
    assert model.calls == []
    with pytest.raises(InputError, match="no model is saved"):
        qa.search_text(url, "x")


# -- files and the command line ------------------------------------------------------------------


def written(folder: Path, suffix: str) -> Path:
    """Three rows in a file."""
    rows = [{"id": 5 + at, "text": text, "year": 1990 + at} for at, text in enumerate(TEXTS)]
    path = folder / f"notes{suffix}"
    if suffix == ".parquet":
        arrow = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        parquet.write_table(arrow.Table.from_pylist(rows), path)
    elif suffix == ".csv":
        lines = [",".join(map(str, row.values())) for row in rows]
        path.write_text("\n".join(["id,text,year", *lines]))
    else:
        path.write_text("\n".join(map(json.dumps, rows)))
    return path


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_a_file_is_indexed_and_searched_by_the_command_line(
    url: str, tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    from qadapt import encoder

    monkeypatch.setitem(encoder.NAMED, "stand-in", f"{__name__}:Model")
    file = written(tmp_path, suffix)
    words = ["index", str(file), url, "--model", "stand-in,dim=16", "--id", "id"]
    assert main([*words, "--quantize", "binary:rescore=4", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["rows"], document["dim"]) == (3, 16)
    assert document["status"]["state"] == "active"
    address = url.partition("#")[0]
    assert main(["search", address, "notes", "--text", "river", "-k", "1", "--payload"]) == 0
    shown = capsys.readouterr().out
    assert "a river and a stone" in shown
    hits = qa.search_text(url, "river", k=1)
    year = 1992 if suffix != ".csv" else "1992"
    assert hits.ids.tolist() == [[7]]
    assert hits.payloads is not None
    assert hits.payloads[0][0] is not None
    assert hits.payloads[0][0]["year"] == year


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.jsonl", '{"text": "x"}\n{', "line 2 of .* is not JSON"),
        ("a.jsonl", "[1]", "line 1 of .* is a list"),
        ("a.csv", "text,year\nx,1,2", "line 2 of .* another number of fields"),
        ("a.jsonl", b'{"text": "\xff"}', "is not UTF-8"),
        ("a.parquet", "x", "not a Parquet file"),
    ],
)
def test_damaged_files(tmp_path: Path, name: str, content: str | bytes, words: str) -> None:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=words):
        list(TextFile(path))


def test_other_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        TextFile(tmp_path / "x.csv")
    with pytest.raises(SpecError, match=r"\.txt"):
        TextFile(tmp_path / "x.txt")


# -- the page ------------------------------------------------------------------------------------

PAGE = Path(__file__).parents[1] / "docs" / "texts.md"


def test_the_first_example_of_the_page_runs_with_the_model_of_the_demo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The static model of the package wordllama, which needs no torch."""
    pytest.importorskip("qdrant_edge")
    wheel = wheel_of(MODEL)
    monkeypatch.setenv("QADAPT_CACHE_DIR", str(wheel.path.parent))
    monkeypatch.chdir(tmp_path)
    indented = PAGE.read_text().split("\n\n`demo`")[0].split("\n")[1:]
    code = textwrap.dedent("\n".join(indented))
    exec(compile(code, str(PAGE), "exec"), {})
    assert "The capital of France is Paris." in capsys.readouterr().out
    (tmp_path / "notes.jsonl").write_text('{"text": "vitamin D"}\n{"text": "a river"}\n')
    words = ["index", "notes.jsonl", "edge:./data#more", "--model", "demo"]
    assert main([*words, "--quantize", "binary:rescore=4"]) == 0
    assert main(["search", "edge:./data", "more", "--text", "vitamins", "--payload"]) == 0
    assert "vitamin D" in capsys.readouterr().out
