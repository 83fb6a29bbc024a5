"""plan, apply, undo, history on a live engine."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qadapt as qa

Cli = Callable[..., Any]


# -- plan --------------------------------------------------------------------------------------


def test_a_plan_is_the_text_of_the_library(cli: Cli, articles: str) -> None:
    ran = cli("plan", articles, "articles", "binary:rescore=4")
    assert ran.code == 0
    assert "none  ->  binary:rescore=4" in ran.out
    assert "edge.configure" in ran.out
    assert f"to apply the plan: qadapt apply {articles} articles binary:rescore=4" in ran.err
    assert cli("plan", articles, "articles", "binary:rescore=4", "-q").err == ""


@pytest.mark.parametrize("name", ["-docs", "two words", "it's"])
def test_printed_commands_run_for_every_collection_name(
    cli: Cli, tmp_path: Path, name: str
) -> None:
    url = f"edge:{tmp_path}"
    with qa.open(url) as db:
        db.create(name, dim=4, metric="cosine")
        db[name].write(qa.Batch(list(range(8)), {"": np.eye(8, 4) + 1}))
    refused = cli("apply", "--", url, name, "binary")
    assert refused.code == 4
    command = re.split("pass --yes: ", refused.err)[1].replace("\n", " ").strip()
    assert cli(*shlex.split(command)[1:]).code == 0, command


def test_a_plan_changes_nothing(cli: Cli, articles: str) -> None:
    cli("plan", articles, "articles", "binary")
    with qa.open(articles) as db:
        assert db["articles"].info().vectors[""].quantization == qa.none()
    assert cli("history", "--json").json == {"changes": []}


def test_json_and_the_saved_file_are_one_document(cli: Cli, articles: str, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    told = cli("plan", articles, "articles", "scalar", "-o", path, "--json")
    assert told.json == json.loads(path.read_text())
    assert qa.Plan.from_json(path.read_text()).collection == "articles"
    assert f"qadapt apply {path}" in told.err


def test_a_plan_that_cannot_be_saved(cli: Cli, articles: str, tmp_path: Path) -> None:
    ran = cli("plan", articles, "articles", "scalar", "-o", tmp_path / "no" / "plan.json", "--json")
    assert ran.code == 2
    assert "No such file" in ran.json["error"]["message"]


def test_accept_limits_the_match_of_a_plan(cli: Cli, articles: str) -> None:
    ran = cli("plan", articles, "articles", "scalar", "--accept", "exact")
    assert ran.code == 1
    assert "7 bits" in ran.err
    assert "--accept differs" in ran.err


def test_a_vector_name_is_required_with_several_vectors(
    cli: Cli, live: Callable[[str], str]
) -> None:
    url = live("edge")
    with qa.open(url) as db:
        db.create("notes", vectors={"title": qa.Vector(8), "body": qa.Vector(8)})
        x = {
            name: [[float(row == at) for at in range(8)] for row in range(8)]
            for name in ("title", "body")
        }
        db["notes"].write(qa.Batch(list(range(8)), x))
    ran = cli("plan", url, "notes", "binary")
    assert ran.code == 2
    assert "--vector" in ran.err
    assert (
        cli("plan", url, "notes", "binary", "--vector", "body", "--json").json["vector"] == "body"
    )
    missing = cli("plan", url, "notes", "binary", "--vector", "bodi")
    assert "did you mean 'body'?" in missing.err


# -- apply and undo ----------------------------------------------------------------------------


def test_plan_apply_history_undo(cli: Cli, articles: str) -> None:
    words = ["apply", articles, "articles", "binary:rescore=4"]
    refused = cli(*words)
    assert refused.code == 4
    assert "none  ->  binary:rescore=4" in refused.out
    assert f"qadapt apply {articles} articles binary:rescore=4 --yes" in refused.err

    applied = cli(*words, "--yes", "--guard", "recall@10>=0.5")
    assert applied.code == 0
    assert "✓ applied  articles" in applied.out
    assert "✓ active" in applied.out
    assert "rebuilding" in applied.err.splitlines()
    assert re.search(r"recall +1.000 before", applied.out)

    again = cli(*words, "--yes")
    assert again.code == 0
    assert again.out.startswith("= articles: nothing to do")
    assert cli(*words, "--json").json["state"] == "nothing"  # nothing to confirm

    (change,) = cli("history", "--json").json["changes"]
    assert change["state"] == "applied"
    assert change["id"] in cli("history").out
    undone = cli("undo", change["id"][:18], "--json")
    assert undone.json["state"] == "undone"
    assert cli("history").out.count("↶ undone") == 1
    nothing = cli("undo")
    assert nothing.code == 1
    assert "no change to undo" in nothing.err


def test_json_is_one_document_and_progress_goes_to_stderr(cli: Cli, articles: str) -> None:
    ran = cli("apply", articles, "articles", "binary", "--yes", "--json")
    assert ran.json["state"] == "applied"
    assert ran.json["status"]["state"] == "active"
    assert "rebuilding" in ran.err
    undone = cli("undo", "--json", "--quiet")
    assert undone.json["state"] == "undone"
    assert undone.err == ""


def test_a_missed_guard_exits_3_and_is_rolled_back(cli: Cli, articles: str) -> None:
    ran = cli("apply", articles, "articles", "binary", "--yes", "--guard", "recall@10>=1", "--json")
    assert ran.code == 3
    assert ran.json["error"]["type"] == "GuardMissedError"
    with qa.open(articles) as db:
        assert db["articles"].info().vectors[""].quantization == qa.none()


def test_a_saved_plan_is_applied_once_and_then_stale(
    cli: Cli, articles: str, tmp_path: Path
) -> None:
    path = tmp_path / "plan.json"
    assert cli("plan", articles, "articles", "binary", "-o", path).code == 0
    assert cli("apply", path).code == 4
    applied = cli("apply", path, "--yes", "--json")
    assert (applied.code, applied.json["state"]) == (0, "applied")
    stale = cli("apply", path, "--yes")
    assert stale.code == 4
    assert "qadapt plan" in stale.err
    assert cli("apply", path, "--yes", "--json").json["error"]["type"] == "PlanStaleError"


def test_a_saved_plan_needs_no_other_arguments(cli: Cli, articles: str, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    cli("plan", articles, "articles", "binary", "-o", path)
    assert cli("apply", path, "--vector", "x", "--yes").code == 2
    near = cli("apply", tmp_path / "plam.json", "--yes")
    assert near.code == 2
    assert "did you mean" in near.err and "plan.json" in near.err
    path.write_text("{}")
    assert cli("apply", path, "--yes").code == 2
    path.write_text("no json")
    assert cli("apply", path, "--yes").code == 2


# -- spec files --------------------------------------------------------------------------------


def test_a_spec_file_does_nothing_the_second_time(
    cli: Cli, filled: Callable[..., str], tmp_path: Path
) -> None:
    url = filled("articles", "notes")
    spec = tmp_path / "quantization.yaml"
    spec.write_text(
        f"store: '{url}'\n"
        "collections:\n"
        "  articles:\n"
        "    vectors:\n"
        "      '': {quantization: binary, rescore: 4}\n"
        "    guard: {recall@10: 0.5}\n"
        "  notes: {quantization: none}\n"
    )
    path = tmp_path / "plans.json"
    planned = cli("plan", "-f", spec, "-o", path, "--json")
    assert [bool(plan["requested"]["kind"] == "binary") for plan in planned.json["plans"]] == [
        True,
        False,
    ]
    assert "2 plans, 1 with changes" in cli("plan", "-f", spec).out
    assert cli("apply", "-f", spec).code == 4

    first = cli("apply", path, "--yes", "--json")
    assert [change["state"] for change in first.json["changes"]] == ["applied", "nothing"]
    assert first.json["changes"][0]["recall_after"] >= 0.5
    second = cli("apply", "-f", spec, "--json")
    assert [change["state"] for change in second.json["changes"]] == ["nothing", "nothing"]
    assert cli("apply", "-f", spec).out.count("nothing to do") == 2


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("store: edge:x\ncollection: {}\n", "did you mean 'collections'?"),
        ("store: edge:x\ncollections: {a: {quantization: binry}}\n", "did you mean 'binary'?"),
        ("store: [", "spec.yaml"),
    ],
)
def test_an_invalid_spec_exits_2_with_its_location(
    cli: Cli, tmp_path: Path, text: str, told: str
) -> None:
    (tmp_path / "spec.yaml").write_text(text)
    ran = cli("plan", "-f", tmp_path / "spec.yaml", "--json")
    assert ran.code == 2
    error = ran.json["error"]
    assert told in f"{error['message']} {error['hint']}"


def test_a_damaged_record_is_listed_and_abandoned(
    cli: Cli, articles: str, state_folder: Path
) -> None:
    cli("apply", articles, "articles", "binary", "--yes", "-q")
    (path,) = (state_folder / "changes").glob("*/*/journal.sqlite")
    folder = path.parent
    path.write_bytes(b"\xff\x00{")
    told = cli("history")
    assert told.code == 0
    assert f"{folder.name}: the record cannot be used" in told.out
    assert str(folder) in told.out.replace("\n", "").replace(" ", "")
    (damaged,) = cli("history", "--json").json["damaged"]
    assert damaged["id"] == folder.name
    assert damaged["collection"] == "articles"

    for words in (("plan",), ("apply", "--yes")):
        refused = cli(words[0], articles, "articles", "scalar", *words[1:], "--json")
        assert refused.code == 1
        assert folder.name in refused.json["error"]["message"]
        assert f"qadapt history --abandon {folder.name}" in refused.json["error"]["hint"]

    asked = cli("history", "--abandon", folder.name[:18])
    assert asked.code == 4
    assert "--yes" in asked.err
    assert folder.exists()
    done = cli("history", "--abandon", folder.name[:18], "--yes")
    assert done.code == 0
    assert "some or all steps of the change may have been applied or rolled back" in done.out
    assert f"qadapt inspect {articles} articles" in done.out.replace("\n", " ")
    assert not folder.exists()
    kept = state_folder / "abandoned" / folder.name / "record" / "journal.sqlite"
    assert kept.read_bytes() == b"\xff\x00{"
    assert cli("apply", articles, "articles", "scalar", "--yes", "-q").code == 0


def test_history_rejects_yes_without_abandon(cli: Cli) -> None:
    ran = cli("history", "--yes")
    assert ran.code == 2
    assert "--abandon" in ran.err


def test_the_exit_code_says_whether_changes_are_pending(
    cli: Cli, articles: str, tmp_path: Path
) -> None:
    spec = tmp_path / "quantization.yaml"
    spec.write_text(
        f"store: {articles}\ncollections:\n  articles:\n    vectors:\n"
        '      "": {quantization: scalar}\n'
    )
    assert cli("plan", "-f", spec).code == 0, "without the option, as before"
    pending = cli("plan", "-f", spec, "--exit-code", "--json")
    assert pending.code == 5
    assert len(pending.json["plans"]) == 1
    assert cli("plan", articles, "articles", "scalar", "--exit-code").code == 5
    assert cli("apply", "-f", spec, "--yes").code == 0
    assert cli("plan", "-f", spec, "--exit-code").code == 0
    assert cli("plan", "-f", tmp_path / "missing.yaml", "--exit-code").code == 2
