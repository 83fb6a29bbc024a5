"""The tests run the printed commands of docs/tasks on live engines."""

from __future__ import annotations

import re
import shlex
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from embeddings import Embeddings

import qadapt as qa
from qadapt.cli import main

ROOT = Path(__file__).parents[2]
TASKS = ROOT / "docs" / "tasks"
# Address of the page, name of its collection, engine.
SERVERS = {
    "shrink-weaviate": ("weaviate+http://localhost:8080?grpc=50051", "Articles", "weaviate"),
    "shrink-elasticsearch": ("elasticsearch+http://localhost:9200", "articles", "elasticsearch"),
    "shrink-postgres": ("postgresql://user@localhost/app", "articles", "pgvector"),
}
EMBEDDED = {
    "shrink-qdrant": "edge:./data",
    "shrink-milvus": "milvus:notes.db",
    "shrink-clickhouse": "clickhouse:./data",
    "shrink-lancedb": "lancedb:./data",
    "shrink-chroma": "chroma:./data",
    "move": "edge:./data",
    "choose": "edge:./data",
}
# The commands on these engines have tests of their own in tests/stores.
LONG = ("shrink-milvus", "shrink-clickhouse", "shrink-lancedb")
WITHOUT_COMMANDS = {"write-a-store"}


def commands(page: str) -> list[str]:
    """The command lines of all blocks with the mark ``<!-- run -->``."""
    text = (TASKS / f"{page}.md").read_text(encoding="utf-8")
    blocks = re.findall(r"<!-- run -->\n\n((?:    .*\n)+)", text)
    assert len(blocks) == text.count("<!-- run -->") > 0
    return [line.strip() for block in blocks for line in block.splitlines()]


def fill(address: str, name: str, embeddings: Embeddings, rows: int = 400) -> None:
    """Create a collection; its ids are UUIDs, which all of these databases accept."""
    ids = [str(uuid.UUID(int=row)) for row in range(rows)]
    with qa.open(address) as database:
        collection = database.create(name, dim=embeddings.dim, metric="cosine")
        collection.write(qa.Batch(ids, {"": embeddings.docs[:rows]}))


def run(lines: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Run command lines in this process; returns what they printed."""
    for line in lines:
        words = shlex.split(line)
        assert words[0] == "qadapt"
        code = main(words[1:])
        assert code == 0, (line, capsys.readouterr())
    return capsys.readouterr().out


def test_each_page_with_commands_is_run() -> None:
    pages = {path.stem for path in TASKS.glob("*.md")}
    assert pages == set(SERVERS) | set(EMBEDDED) | WITHOUT_COMMANDS


@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=pytest.mark.long if page in LONG else ()) for page in EMBEDDED],
)
def test_the_commands_run_on_an_embedded_engine(
    page: str,
    embeddings: Embeddings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    fill(EMBEDDED[page], "articles", embeddings)
    shown = run(commands(page), capsys)
    with qa.open(EMBEDDED[page]) as database:
        state = database["articles"].info().vectors[""].status.state.value
    assert state != "active"  # each page ends with an undo, or changes nothing
    if page.startswith("shrink"):
        assert "applied" in shown and "undone" in shown


@pytest.mark.parametrize(
    ("page", "engine"),
    [(page, engine) for page, (_, _, engine) in SERVERS.items()],
)
def test_the_commands_run_on_a_server(
    page: str,
    engine: str,
    live: Callable[[str], str],
    embeddings: Embeddings,
    capsys: pytest.CaptureFixture[str],
) -> None:
    printed, name, _ = SERVERS[page]
    address, own = live(engine), f"{name}_{uuid.uuid4().hex[:8]}"
    fill(address, own, embeddings, 1_000)  # PostgreSQL scans a table of 400 rows without its index
    try:
        lines = [
            line.replace(printed, address).replace(f" {name}", f" {own}") for line in commands(page)
        ]
        assert all(address in line and own in line for line in lines if "undo" not in line)
        assert "applied" in run(lines, capsys)
    finally:
        with qa.open(address) as database:
            database.drop(own)
