"""What notebooks and scripts show: tables, pickled plans, closed connections."""

from __future__ import annotations

import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.errors import InputError, SpecError


@pytest.fixture
def database(tmp_path: Path, state_folder: Path) -> Database:
    pytest.importorskip("qdrant_edge")
    return qa.open(f"edge:{tmp_path / 'data'}")


@pytest.fixture
def collection(database: Database) -> Collection:
    made = database.create("notes", dim=16, metric="cosine")
    rows = np.random.default_rng(0).normal(size=(300, 16)).astype(np.float32)
    made.write(qa.Batch(range(300), {"": rows}, [{"row": row} for row in range(300)]))
    return made


def test_results_are_tables_as_text_and_html(collection: Collection) -> None:
    queries = np.random.default_rng(1).normal(size=(60, 16))
    shown = {
        "plan": (collection.plan("binary"), "none  ->  binary"),
        "info": (collection.info(), "Configured"),
        "vector": (collection.info().vectors[""], "absent"),
        "evaluation": (collection.evaluate("scalar", queries=queries), "Recall@10"),
        "verification": (collection.verify(queries=queries), "Recall@10"),
        "cost": (collection.cost("binary"), "RAM 1x"),
        "diagnosis": (collection.doctor(), "notes: "),
        "hits": (collection.search(queries[:2], k=3, with_payload=True), '{"row": '),
    }
    change = collection.plan("rotational:bits=4").apply(yes=True)
    shown |= {
        "change": (change, "applied"),
        "history": (qa.history(), "rotational:bits=4"),
        "client parameters": (collection.client_params(), "needed"),
        "rows": (collection.fetch([1, 2]), "{'row': 1}"),
        "report": (qa.report(shown["evaluation"][0]), "memory: RAM "),
        "memory": (change.memory, "RAM "),
    }
    for name, (found, words) in shown.items():
        assert words in str(found), name
        html = found._repr_html_()
        assert "<table>" in html or "<pre>" in html, name


def test_printed_results_have_both_recalls_and_the_verified_status(collection: Collection) -> None:
    queries = np.random.default_rng(1).normal(size=(60, 16))
    guard = qa.Guard(recall=0.01, clients="configured", queries=queries)
    change = collection.plan("binary:rescore=4").apply(yes=True, guard=guard)
    text = str(change)
    assert "Status(" not in text and "Evidence(" not in text and "Proof(" not in text
    assert re.search(r"^status +active", text, re.MULTILINE)
    with_params, without = change.outcome.recall_after, change.outcome.recall_no_params
    assert with_params is not None and without is not None and without < with_params
    assert f"{with_params:.6g}" in text and f"{without:.6g}" in text

    verified = collection.verify(queries=queries)
    assert "configured binary:rescore=4, verified active" in str(verified)
    evaluated = collection.evaluate("binary:rescore=2", queries=queries)
    for found in (verified, evaluated):
        assert "No params" in str(found) and "No params" in found._repr_html_()
        live = found.results[0]
        assert live.recall_no_params.value < live.recall.value
        line = next(each for each in str(found).splitlines() if each.startswith("live "))
        assert f"{live.recall.value:.3f}" in line
        assert f"{live.recall_no_params.value:.3f}" in line
    report = qa.report(evaluated)
    assert "No params" in str(report) and "No params" in report.to_markdown()


def test_code_of_client_parameters_is_shown_as_code(collection: Collection) -> None:
    params = collection.client_params()
    code = params.code["qdrant-edge"]
    assert code.count("\n") > 3
    assert code in str(params)
    assert "<pre>" in params._repr_html_()


def test_results_of_files_and_migrations_are_tables(
    database: Database, collection: Collection, tmp_path: Path
) -> None:
    address = f"edge:{tmp_path / 'data'}"
    database.close()
    target = f"edge:{tmp_path / 'other'}"
    shown = (
        (qa.export_file(f"{address}#notes", tmp_path / "notes.parquet"), "300"),
        (qa.import_file(tmp_path / "notes.parquet", f"{target}#file"), "300"),
        (qa.plan_migration(f"{address}#notes", f"{target}#copy"), "RAM "),
        (qa.migrate(f"{address}#notes", f"{target}#copy"), "RAM "),
        (qa.check(f"{address}#notes", f"{target}#copy"), "300 in the source"),
    )
    for found, words in shown:
        assert words in str(found)
        assert "\n" in str(found)
        assert "<table>" in found._repr_html_()


def test_ids_of_a_search_keep_their_type(collection: Collection) -> None:
    full = collection.search(np.ones(16), k=3)
    assert full.ids.dtype == np.int64
    padded = collection.search(np.ones(16), k=400)
    assert padded.ids.dtype == object
    assert len(padded) == 300


def test_pickled_plan_can_be_applied(collection: Collection) -> None:
    plan = pickle.loads(pickle.dumps(collection.plan("binary")))
    assert isinstance(plan, qa.Plan)
    assert plan.apply(yes=True).state == "applied"


def test_calls_after_close_are_refused(database: Database, collection: Collection) -> None:
    database.close()
    database.close()
    for call in (
        lambda: collection.search(np.ones(16)),
        collection.info,
        lambda: next(collection.read()),
        database.collections,
        lambda: database["notes"],
    ):
        with pytest.raises(InputError, match="is closed") as caught:
            call()
        assert "qa.open" in (caught.value.hint or "")


def test_list_of_settings_is_refused_with_the_right_form(collection: Collection) -> None:
    with pytest.raises(SpecError, match="got a list") as caught:
        collection.evaluate(["binary"])  # type: ignore[arg-type]
    assert "pass each setting separately" in (caught.value.hint or "")


def test_dir_lists_the_public_names_alone() -> None:
    assert dir(qa) == sorted(qa.__all__)


def test_the_package_runs_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "qadapt", "--version"], capture_output=True, text=True, timeout=60
    )
    assert done.stdout == f"qadapt {qa.__version__}\n"
    assert done.returncode == 0
