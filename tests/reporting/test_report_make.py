"""Contents of a report, without a browser."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reporting_helpers import Page, evaluation, result, usual

import qadapt as qa
from qadapt.cli import main
from qadapt.costing import Prices, cost
from qadapt.diagnosis import Diagnosis
from qadapt.errors import InputError, MissingExtraError, SpecError
from qadapt.evaluation.documents import (
    Advice,
    Option,
    RuledOut,
    Simulation,
    Target,
)
from qadapt.evaluation.results import Figure, Labels
from qadapt.model import Evidence, Finding, Server, Severity
from qadapt.model.engine_memory import EngineMemory
from qadapt.reporting import Report

pytest.importorskip("matplotlib")

FINDING = Finding(
    "originals-in-ram",
    Severity.WARNING,
    "",
    "the original vectors are kept in RAM in addition to the codes",
    (Evidence("originals", "not set (in RAM)"),),
    "qadapt apply edge:./data articles binary:originals=disk",
    "https://github.com/qdrant/qdrant/issues/1738",
)
DIAGNOSIS = Diagnosis(
    "edge:./data", Server("edge"), "articles", 5183, ("originals-in-ram",), (FINDING,)
)


# -- before and after ----------------------------------------------------------------------------


def test_the_smallest_setting_with_little_loss_is_recommended() -> None:
    made = qa.report(usual())
    assert made.before is not None and made.before.setting == "live"
    assert made.after is not None and made.after.setting == "scalar"
    assert "smallest" in made.after_is


def test_nothing_is_recommended_if_all_lose_more() -> None:
    made = qa.report(evaluation(result("live", 1.0, 1536), result("scalar", 0.982, 388)))
    assert made.after is None


def test_of_two_evaluations_the_last_is_after() -> None:
    later = evaluation(result("live", 0.946, 48, 0.2, quantization="binary:rescore=10"))
    made = qa.report(usual(), later)
    assert made.after is later.results[0]
    roles = {point.setting: point.role for point in made.points}
    assert roles["live: none"] == "before"
    assert roles["live: binary:rescore=10"] == "after"


def test_the_compared_setting_can_be_chosen() -> None:
    assert qa.report(usual(), after="binary:rescore=10").after == usual().results[4]
    with pytest.raises(SpecError, match="unknown setting"):
        qa.report(usual(), after="binary")


def test_nothing_is_recommended_if_the_live_setting_is_smallest() -> None:
    made = qa.report(evaluation(result("live", 0.99, 48), result("scalar", 0.991, 388)))
    assert made.after is None
    assert "Current setting" in made.to_html()


def test_a_live_setting_with_a_lower_recall_is_not_the_smallest_good_one() -> None:
    """The setting is that of the memory line of the evaluation."""
    made = qa.report(evaluation(result("live", 0.95, 48), result("scalar", 0.999, 388)))
    assert made.after is not None and made.after.setting == "scalar"


# -- Pareto --------------------------------------------------------------------------------------


def test_the_pareto_line() -> None:
    made = qa.report(usual())
    assert [point.setting for point in made.pareto("bytes")] == [
        "binary:rescore=10",
        "rotational:bits=4",
        "scalar",
        "live: none",
    ]
    assert [point.setting for point in made.pareto("latency")] == [
        "binary:rescore=1",
        "rotational:bits=4",
        "scalar",
        "live: none",
    ]


def test_predictions_are_not_on_the_pareto_line() -> None:
    base = usual()
    simulated = Simulation(
        store="", server=Server("qdrant", deployment=""), collection="articles", vector="",
        dim=384, metric=base.metric, datatype="float32", count=5183, k=10, queries=300,
        source="a sample", truth=base.truth,
        sample_rows=5183,
        results=(
            result("binary:bits=2", 0.9999, 20).replace(where="simulated", state="predicted"),
        ),
    )  # fmt: skip
    made = qa.report(base, simulated)
    point = made.points[-1]
    assert (point.setting, point.role) == ("binary:bits=2", "predicted")
    assert point.number not in made.pareto_bytes
    alone = qa.report(simulated)
    assert alone.before is None and alone.points[0].role == "predicted"
    assert "Before and after" not in alone.to_html()


def test_many_predictions_are_collapsed() -> None:
    base = usual()
    crowd = tuple(
        result(f"binary:rescore={at}", 0.5 + at / 200, 40 + at).replace(
            where="simulated", status=None
        )
        for at in range(11, 60)
    )
    simulated = Simulation(
        **{**base.shared(), "results": crowd, "sample_rows": 5183}
    )  # fmt: skip
    missing = result("scalar:bits=6", None, None, state="unsupported", notes=("7 bits here",))
    twice = evaluation(*base.results, missing, missing.replace(setting="scalar:bits=6,rescore=4"))
    made = qa.report(twice, simulated)
    assert made.crowded
    assert "| scalar:bits=6 and 1 more | unsupported | 7 bits here |" in made.to_markdown()
    page = Page(made.to_html())
    assert "49 predicted settings" in page.text
    assert page.text.count("binary:rescore=42") == 1, "only in the collapsed table"
    assert "| binary:rescore=42 |" in made.to_markdown()


# -- forms ---------------------------------------------------------------------------------------


def test_a_page_is_self_contained(tmp_path: Path) -> None:
    paid = cost(5183, 384, "binary", prices=Prices(3.8, 0.1))
    made = qa.report(usual(), paid, DIAGNOSIS, path=tmp_path / "report.html")
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert html == made.to_html()
    assert len(html.encode()) < 2_000_000
    page = Page(html)
    assert [tag for tag, _ in page.tags if tag in ("script", "link", "img", "iframe")] == []
    for _, attributes in page.tags:
        for name in ("src", "href", "xlink:href", "action", "data"):
            assert (attributes.get(name) or "#").startswith("#"), attributes
        assert not any(name.startswith("on") for name in attributes)
    assert not re.search(r"url\((?!#)", html) and "@import" not in html
    assert len(page.ids()) == len(set(page.ids())), "ids of two plots must differ"
    policy = [a for tag, a in page.tags if tag == "meta" and a.get("http-equiv")]
    assert policy and "default-src 'none'" in (policy[0]["content"] or "")
    assert len([1 for tag, a in page.tags if tag == "svg" and a.get("role") == "img"]) == 2
    for words in ("Before and after", "originals-in-ram", "Databases", "segments",
                  "qadapt eval edge:./data articles binary", "no 3 bits here"):  # fmt: skip
        assert words in page.text, words
    assert not re.findall(r"#0[1-8]0[1-8]0[1-8]", html), "all colors are variables of the page"


def test_the_same_documents_give_the_same_page() -> None:
    one, two = qa.report(usual()), qa.report(usual())
    assert one.replace(created="").to_html() == two.replace(created="").to_html()


def test_markdown_and_json(tmp_path: Path) -> None:
    made = qa.report(usual(), DIAGNOSIS, cost(5183, 384))
    text = made.to_markdown()
    assert "| binary:rescore=10 |" in text and "**warning originals-in-ram**" in text
    for line in (line for line in text.splitlines() if line.startswith("|")):
        assert line.endswith("|")
    made.save(tmp_path / "report.json")
    again = Report.from_json((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert again.replace(cost=made.cost) == made.replace(cost=made.cost)
    assert made.save(tmp_path / "r.md").read_text(encoding="utf-8") == text


def test_the_measured_memory_of_the_engine_is_shown() -> None:
    used = EngineMemory(300 * 2**20, "resident memory of the server")
    costs = cost(5183, 384).replace(engine_memory=used.replace(bytes=1))
    made = qa.report(usual().replace(engine_memory=used), costs)
    assert made.engine_memory == used
    line = "300.0 MiB, resident memory of the server"
    assert f"measured: {line}" in made.to_markdown()
    assert f"<p>measured: {line}" in made.to_html()
    assert f"measured: {line}" in str(made)
    assert qa.report(usual(), costs).engine_memory == costs.engine_memory
    assert "resident memory" not in qa.report(usual()).to_markdown()


def test_a_report_prints_the_memory_that_eval_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    address, file = f"edge:{tmp_path / 'data'}", tmp_path / "eval.json"
    rows = np.random.default_rng(0).standard_normal((200, 16)).astype(np.float32)
    with qa.open(address) as database:
        database.create("articles", dim=16).write(qa.Batch(range(200), {"": rows}))
        found = database["articles"].evaluate(concurrency=())
    assert found.engine_memory is not None
    file.write_text(found.to_json(), encoding="utf-8")
    assert main(["report", str(file)]) == 0
    words = " ".join(capsys.readouterr().out.split())
    assert str(found.engine_memory) in words


def test_advice_and_labels() -> None:
    base = usual()
    scored = base.results[4].replace(
        labels=Labels(Figure(0.77, 0.7, 0.8), Figure(0.64, 0.6, 0.7), 300, 0.78, 0.65)
    )
    best = Option(
        scored.setting, scored.quantization, scored.rescore, Figure(0.946, 0.93, 0.96),
        "measured", 600_000, 8_000_000, reasons=("the least RAM",),
    )  # fmt: skip
    advice = Advice(
        **{**base.shared(), "results": (*base.results[:4], scored)},
        target=Target(0.94), best=best, runner_up=None,
        ruled_out=(RuledOut("rotational:bits=1", "recall .70 < .94"),),
        spec="store: edge:./data\n", confirmed=True,
    )  # fmt: skip
    assert Advice.from_json(advice.to_json()) == advice
    assert advice.simulation.results == ()
    assert advice.evaluation is not None and advice.evaluation.results[-1] == scored
    made = qa.report(advice)
    assert made.after == scored and made.after_is == "recommended by advise"
    text = Page(made.to_html()).text
    for words in ("the least RAM", "recall .70 < .94", "store: edge:./data",
                  "Relevance labels", "0.640"):  # fmt: skip
        assert words in text, words
    assert "| binary:rescore=10 | 0.640 | 0.650 | 0.770 | 0.780 | 300 |" in made.to_markdown()


def test_a_terminal_plot() -> None:
    pytest.importorskip("plotext")
    from qadapt.reporting.terminal import plot

    drawn = plot(qa.report(usual()), "bytes", width=80, color=False)
    assert drawn is not None and "\x1b" not in drawn
    assert all(mark in drawn for mark in ("1■", "◆2", "●3", "●4"))
    assert max(len(line) for line in drawn.splitlines()) <= 80
    assert "\x1b" in (plot(qa.report(usual()), "bytes", width=80, color=True) or "")
    assert plot(qa.report(evaluation(result("live", 1.0, 10))), "latency", width=80,
                color=False) is None  # fmt: skip


def test_markup_in_names_is_text() -> None:
    evil = "<script>alert(1)</script>"
    made = qa.report(
        evaluation(result("live", 1.0, 10, notes=(evil,)), collection=evil, notes=(evil,),
                   command=f"qadapt eval {evil}", source=evil),
        Diagnosis("a", Server("edge"), evil, 1, (), ()),
        title=evil,
    )  # fmt: skip
    html = made.to_html()
    assert "<script" not in html and "&lt;script&gt;" in html
    assert evil in Page(html).text


# -- documents -----------------------------------------------------------------------------------


def test_documents_are_recognized(tmp_path: Path) -> None:
    """eval and verify with a gate, doctor with several collections, cost."""
    texts = {
        "eval": {**usual().to_dict(), "gate": None},
        "doctor": {"collections": [DIAGNOSIS.to_dict()], "failed": {}, "missed": False},
        "cost": cost(10, 4).to_dict(),
    }
    for name, data in texts.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(data), encoding="utf-8")
    made = qa.report(*[tmp_path / f"{name}.json" for name in texts])
    assert made.diagnoses == (DIAGNOSIS,)
    assert made.evaluations == (usual(),)
    assert made.cost is not None and made.cost.rows == 10


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "cannot read"),
        ("[]", "not a qadapt document"),
        ('{"format": "qadapt.plan/1"}', "a document that reports do not support"),
        ('{"format": "qadapt.evaluation/1"}', "not a Evaluation"),
        (None, "does not exist"),
    ],
)
def test_invalid_files_are_refused(tmp_path: Path, content: str | None, words: str) -> None:
    place = tmp_path / "eval.json"
    if content is not None:
        place.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=words):
        qa.report(place)


def test_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="needs an evaluation"):
        qa.report(DIAGNOSIS)
    with pytest.raises(SpecError, match="report format"):
        qa.report(usual(), path=tmp_path / "report.pdf")
    with pytest.raises(InputError, match="cannot write"):
        qa.report(usual(), path=tmp_path / "nowhere" / "report.md")


def test_without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    made: Any = qa.report(usual())
    with pytest.raises(MissingExtraError, match="matplotlib"):
        made.to_html()
    assert "binary" in made.to_markdown(), "Markdown needs no plots"
