"""client-params, and what plan, apply, inspect and verify print about clients without qadapt."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

import qadapt as qa
from qadapt.integrations.store_arguments import FORMS
from qadapt.local.client_operations import Remember
from qadapt.model.client_params import ClientParams

Cli = Callable[..., Any]
SENT = '{"quantization": {"rescore": true, "oversampling": 4.0}}'
HERE = "the state folder of this machine only"


def test_the_parameters_are_printed_with_the_setting(cli: Cli, articles: str) -> None:
    words = (articles, "articles", "binary:rescore=4")
    planned = " ".join(cli("plan", *words).out.split())
    assert f"clients: for 10 results, send the parameters {SENT}" in planned
    assert HERE in planned
    applied = " ".join(cli("apply", *words, "--yes").out.split())
    inspected = " ".join(cli("inspect", articles, "articles").out.split())
    verified = " ".join(cli("verify", articles, "articles", "--queries", "60").out.split())
    for text in (applied, inspected, verified):
        assert f"clients send the parameters {SENT}" in text
        assert HERE in text
    found = cli("inspect", articles, "articles", "--json").json["clients"][""]
    assert found["needed"] and found["kept_in"] == "this machine" and found["code"] == {}


def test_nothing_is_printed_if_nothing_must_be_sent(cli: Cli, articles: str) -> None:
    assert cli("plan", articles, "articles", "scalar", "--json").json["clients"] is None
    assert cli("inspect", articles, "articles", "--json").json["clients"] == {}
    assert "clients" not in cli("inspect", articles, "articles").out
    assert "nothing must be sent" in cli("client-params", articles, "articles").out


def test_one_form_is_code_alone(cli: Cli, articles: str) -> None:
    cli("apply", articles, "articles", "binary:rescore=4", "--yes")
    ran = cli("client-params", articles, "articles", "--for", "qdrant-edge", "-k", "5")
    compile(ran.out, "pasted.py", "exec")
    assert "limit=5" in ran.out and "oversampling=4.0" in ran.out
    document = cli("client-params", articles, "articles", "-k", "5", "--json").json
    assert document["code"]["qdrant-edge"] == ran.out.rstrip("\n")
    assert document["params"] == json.loads(SENT)
    unknown = cli("client-params", articles, "articles", "--for", "pymilvus")
    assert unknown.code == 2 and "qdrant-edge" in unknown.err


def test_a_guard_that_judges_configured_clients(cli: Cli, articles: str) -> None:
    words = ("apply", articles, "articles", "binary:rescore=36", "--yes", "--guard")
    missed = cli(*words, "recall@10>=0.99")
    assert missed.code == 3
    assert "for a client that sends no search parameters" in missed.err
    assert "--guard-clients configured" in missed.err
    applied = cli(*words, "recall@10>=0.99", "--guard-clients", "configured")
    assert applied.code == 0
    assert "for clients that send none" in applied.out
    document = cli("history", "--json").json["changes"][0]
    assert document["recall_no_params"] < 0.99 <= document["recall_after"]


@pytest.mark.parametrize("command", ["plan", "apply"])
def test_clients_of_no_guard_are_refused(cli: Cli, articles: str, command: str) -> None:
    ran = cli(command, articles, "articles", "scalar", "--guard-clients", "any")
    assert ran.code == 2 and "--guard-clients has no effect without --guard" in ran.err


def test_rescoring_without_quantization_is_a_note(cli: Cli, articles: str) -> None:
    with qa.open(articles) as db:
        from qadapt.local.client_operations import run

        store = db["articles"]._store
        run(store, "articles", Remember("", "4").to_request(), lambda _: None, 0)
        found = db["articles"].client_params()
    assert not found.needed and found.rescore is None
    assert "rescore=4 is ignored" in found.notes[0]
    for words in (("inspect",), ("client-params",), ("plan",)):
        more = ("scalar",) if words == ("plan",) else ()
        ran = cli(*words, articles, "articles", *more)
        assert ran.code == 0 and "rescore=4 is ignored" in " ".join(ran.out.split())


def test_arguments_of_a_framework_are_code_alone(cli: Cli, tmp_path: Any) -> None:
    pytest.importorskip("qdrant_client")
    url = f"qdrant:{tmp_path / 'local'}"
    with qa.open(url) as database:
        database.create("notes", dim=4).write(qa.Batch([1], {"": [[1, 0, 0, 0]]}))
    ran = cli("client-params", url, "notes", "--for", "langchain-qdrant", "-k", "5")
    found: dict[str, Any] = {}
    exec(compile(ran.out, "pasted.py", "exec"), found)  # the code that users paste
    assert found["search"] == {"k": 5}
    assert "store.similarity_search(text, **search)" in ran.out
    unknown = cli("client-params", url, "notes", "--for", "langchain-milvus")
    assert unknown.code == 2 and "known: qdrant-client, langchain-qdrant" in unknown.err


SETTINGS = {"enable_seqscan": "off", "hnsw.ef_search": "80"}


@pytest.mark.parametrize(
    ("form", "search", "store", "notes"),
    [
        ("llama-index-qdrant", {"search_params": SETTINGS}, {}, 0),
        ("llama-index-milvus", {"milvus_search_config": {"metric_type": "IP", "params": SETTINGS}},
         {}, 0),
        ("llama-index-weaviate", {"target_vector": "title", "tenant": "ann"}, {}, 0),
        ("llama-index-postgres", {"hnsw_ef_search": 80},
         {"hnsw_kwargs": {"hnsw_ef_search": 80}}, 1),
        ("haystack-pgvector", None, {"search_strategy": "hnsw", "hnsw_ef_search": 80}, 1),
        ("haystack-weaviate", None, {}, 0),
        ("haystack-milvus", None, {"search_params": {"metric_type": "IP", "params": SETTINGS}}, 0),
    ],
)  # fmt: skip
def test_arguments_have_the_form_of_the_store(
    form: str, search: Any, store: dict[str, Any], notes: int
) -> None:
    """The forms that ``make test-integrations`` does not run on a database."""
    params = ClientParams("notes@ann", "title", 10, True, limit=40, params=SETTINGS)
    made = FORMS[form].convert(params, qa.Metric.DOT)
    assert made.search == (
        {"top_k": 40} if search is None else {"similarity_top_k": 40, "vector_store_kwargs": search}
    )
    assert dict(made.store) == store
    assert len(made.notes) == notes
    assert all("enable_seqscan = off" in note for note in made.notes)


def test_a_search_of_langchain_elasticsearch_has_the_options() -> None:
    options = {"num_candidates": 40, "rescore_vector": {"oversample": 4.0}}
    params = ClientParams("notes", "", 10, True, limit=10, params=options)
    made = FORMS["langchain-elasticsearch"].convert(params, qa.Metric.DOT).search
    body = {"knn": {"field": "vector", "k": 10, "num_candidates": 50}}
    assert made["custom_query"].value()(body, "text") == {
        "knn": {"field": "vector", "k": 10, **options}
    }
    assert body["knn"]["num_candidates"] == 50, "the body of the store is not changed"


def test_a_database_without_forms_of_frameworks_names_its_own(cli: Cli, articles: str) -> None:
    unknown = cli("client-params", articles, "articles", "--for", "langchain-qdrant")
    assert unknown.code == 2 and "known: qdrant-edge" in unknown.err
