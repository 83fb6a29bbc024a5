"""Typical mistakes of first-time users."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qadapt as qa

Cli = Callable[..., Any]
AT = ("{url}", "articles")
ENDS = ("{url}#articles", "{url}#copy")

# Arguments, and the expected error; exit code 2.
WRONG: dict[str, tuple[tuple[str, ...], str]] = {
    "verify, no results": (("verify", *AT, "--k", "0"), "k must be an integer from 1"),
    "eval, no results": (("eval", *AT, "--k", "0"), "k must be an integer from 1"),
    "advise, no results": (("advise", *AT, "--recall", "0.9", "--k", "0"), "k must be"),
    "eval, no time": (("eval", *AT, "--seconds", "-1"), "seconds must be above 0"),
    "eval, no time to build": (
        ("eval", *AT, "binary", "--build-timeout", "0"), "--build-timeout) must be above 0"),
    "migrate, no number": (("migrate", *ENDS, "--batch", "nan"), "--batch must be a finite number"),
    "migrate, negative retry timeout": (
        ("migrate", *ENDS, "--retry-timeout", "-1"), "(--retry-timeout) must be a number"
    ),
    "migrate, infinite retry timeout": (
        ("migrate", *ENDS, "--retry-timeout", "nan"), "(--retry-timeout) must be a number"
    ),
    "migrate, a gate that is none": (
        ("migrate", *ENDS, "--dry-run", "--gate", "0.5"), "a guard must have the form"),
    "migrate, an invalid cluster": (
        ("migrate", *ENDS, "--dry-run", "--on", "spark"), "--on must be ray or ray://HOST:PORT"),
    "search, no .npy": (("search", *AT, "--queries", "{bad}"), "is not a .npy file"),
    "import, no .npy": (("import", "{bad}", "{url}#other"), "bad.npy is not a .npy file"),
}  # fmt: skip


@pytest.fixture
def places(articles: str, tmp_path: Path, embeddings: Any) -> dict[str, str]:
    """Values of the placeholders."""
    (tmp_path / "bad.npy").write_text("garbage")
    np.save(tmp_path / "q.npy", embeddings.queries[:3])
    rows = embeddings.docs[:50].copy()
    rows[40, 0] = np.nan
    np.save(tmp_path / "nan.npy", rows)
    names = {"bad": "bad.npy", "npy": "q.npy", "nan": "nan.npy"}
    return {"url": articles, **{key: str(tmp_path / name) for key, name in names.items()}}


@pytest.mark.parametrize("case", WRONG)
def test_first_time_mistakes_are_explained(cli: Cli, places: dict[str, str], case: str) -> None:
    words, says = WRONG[case]
    ran = cli(*(word.format_map(places) for word in words))
    assert ran.code == 2, (ran.out, ran.err)
    assert says in " ".join(ran.err.split())
    assert "bug in qadapt" not in ran.err and "pickle" not in ran.err
    with qa.open(places["url"]) as db:
        assert db.collections() == ["articles"]


def test_an_unsupported_file_creates_no_collection(
    cli: Cli, places: dict[str, str], tmp_path: Path, embeddings: Any
) -> None:
    ran = cli("import", places["nan"], f"{places['url']}#other")
    assert ran.code == 2
    assert "row 40" in ran.err and "nothing was written" in ran.err and "--allow" not in ran.err
    with qa.open(places["url"]) as db:
        assert db.collections() == ["articles"]
    np.save(tmp_path / "nan.npy", embeddings.docs[:50])  # corrected, and run again
    assert cli("import", places["nan"], f"{places['url']}#other").code == 0


def test_a_failed_import_keeps_an_existing_collection(cli: Cli, places: dict[str, str]) -> None:
    ran = cli("import", places["nan"], f"{places['url']}#articles", "--add")
    assert ran.code == 2 and "gone" not in ran.err
    with qa.open(places["url"]) as db:
        assert db["articles"].count() == 400


def test_an_unknown_vector_name_lists_the_unnamed_vector(cli: Cli, articles: str) -> None:
    ran = cli("doctor", articles, "articles", "--vector", "title")
    assert ran.code == 1 and "existing: (unnamed)" in ran.err


def test_a_cutover_without_alias_support_is_refused_before_the_copy(
    cli: Cli, articles: str
) -> None:
    ran = cli("migrate", f"{articles}#articles", f"{articles}#copy", "--cutover", "a")
    assert ran.code == 1 and "edge does not support aliases" in ran.err and "--cutover" in ran.err
    with qa.open(articles) as db:
        assert db.collections() == ["articles"]


def test_a_search_without_codes_reports_nothing_to_rescore(
    cli: Cli, places: dict[str, str]
) -> None:
    ran = cli("search", places["url"], "articles", "--queries", places["npy"], "--rescore", "4")
    assert "nothing to rescore; scores are exact" in ran.err


def test_doctor_fixes_a_metric_without_aliases_by_export_and_import(
    cli: Cli, live: Callable[[str], str], embeddings: Any, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    url = live("edge")
    with qa.open(url) as db:
        rows = embeddings.docs[:300] * rng.uniform(0.2, 5, (300, 1)).astype(np.float32)
        db.create("notes", dim=embeddings.dim, metric="dot").write(qa.Batch(range(300), {"": rows}))
    found = cli("doctor", url, "notes", "--check", "unnormalized-dot", "--json").json
    command = found["collections"][0]["findings"][0]["command"]
    for part in command.split(" && "):
        assert cli(*shlex.split(part)[1:]).code == 0
    with qa.open(url) as db:
        made = db["notes_cosine"]
        assert made.count() == 300 and str(made.info().vectors[""].metric) == "cosine"
