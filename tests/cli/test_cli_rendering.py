"""Numbers, tables, completion: no engine needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from qadapt.cli import completion, rendering
from qadapt.cli.command import after_the_command
from qadapt.cli.output import Output, fitting, table
from qadapt.cli.progress import Reporter
from qadapt.model import Rescore, State, Status
from qadapt.model.plan import Symbol
from qadapt.planning.outcome import ChangeState
from qadapt.stores.base import Progress


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0004, "0.4 ms"),
        (0.83, "830 ms"),
        (12.34, "12.3 s"),
        (245, "4 min 05 s"),
        (7800, "2 h 10 min"),
    ],
)
def test_seconds(seconds: float, text: str) -> None:
    assert rendering.seconds(seconds) == text


def test_a_recall_is_never_rounded_up_to_one() -> None:
    assert rendering.recall(0.99996) == "0.999"
    assert rendering.recall(1.0) == "1.000"
    assert rendering.recall(0.9344) == "0.934"


def test_unknown_values_are_a_dash() -> None:
    dash = rendering.DASH
    assert [
        rendering.size(None),
        rendering.seconds(None),
        rendering.number(None),
        rendering.recall(None),
    ] == [dash] * 4


def test_every_state_symbol_and_change_has_a_sign() -> None:
    assert set(rendering.STATES) == {state.value for state in State}
    assert set(rendering.SYMBOLS) == {symbol.value for symbol in Symbol}
    assert set(rendering.CHANGES) == set(ChangeState.__args__)  # type: ignore[attr-defined]
    signs = [sign for sign, _ in rendering.STATES.values()]
    assert len(set(signs)) == len(signs)


def test_building_shows_progress() -> None:
    assert rendering.state(Status(State.BUILDING, progress=0.25)) == ("… building 25%", "yellow")


def test_descriptions_of_rescore() -> None:
    assert rendering.rescore(Rescore(4)) == "x4 by originals"
    assert rendering.rescore(Rescore(source="off")) == "off"
    assert rendering.rescore(None) == "default of the database"


# -- tables ------------------------------------------------------------------------------------


def _printed(part: object, capsys: pytest.CaptureFixture[str]) -> list[str]:
    Output().print(part)  # type: ignore[arg-type]
    return capsys.readouterr().out.splitlines()


def test_a_piped_table_is_aligned_and_neither_cut_nor_padded(
    capsys: pytest.CaptureFixture[str],
) -> None:
    long = "x" * 300
    lines = _printed(table(["Name", ("Rows", "right")], [["a", "1"], [long, "12,345"]]), capsys)
    assert lines[2] == f"{long}  12,345"
    assert all(line == line.rstrip() for line in lines)
    assert len({len(line) for line in lines}) == 1


def test_columns_are_dropped_in_order_in_a_narrow_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    columns, rows = ["Name", "Metric", "Vectors"], [["articles", "cosine", "7.6 MiB"]]
    assert _printed(fitting(80, columns, rows, drop=["Metric"]), capsys)[1].split("  ") == rows[0]
    narrow = _printed(fitting(18, columns, rows, drop=["Metric", "Vectors"]), capsys)
    assert narrow == ["Name      Vectors", "articles  7.6 MiB"]


# -- progress ----------------------------------------------------------------------------------


def test_progress_without_a_terminal_is_one_line_per_stage(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Reporter(Output()) as on:
        on(Progress("set it", 0, 2, "steps"))
        for done in range(50):
            on(Progress("rebuilding", done, 50, "segments"))
        on(Progress("searching", 1, 1, "queries"))
    captured = capsys.readouterr()
    assert captured.err.splitlines() == ["step 1 of 2: set it", "rebuilding", "searching"]
    assert captured.out == ""


def test_quiet_progress_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with Reporter(Output(quiet=True)) as on:
        on(Progress("rebuilding", 1, 2))
        on(Progress("set it", 0, 2, "steps"))
    assert capsys.readouterr() == ("", "")


# -- completion --------------------------------------------------------------------------------


def test_kinds_and_their_options_are_completed() -> None:
    assert [word for word, _ in completion.quantizations("b")] == ["binary"]
    assert ("binary:query_bits=", "") in completion.quantizations("binary:q")
    after = [word for word, _ in completion.quantizations("binary:bits=2,")]
    assert "binary:bits=2,query_bits=" in after
    assert not any(word.endswith(",bits=") for word in after)


def test_every_completed_kind_is_valid() -> None:
    from qadapt.model import Kind

    assert [word for word, _ in completion.quantizations("")] == [kind.value for kind in Kind]


def test_stores_features_and_ids_are_completed() -> None:
    assert completion.words(("exact", "differs"))("d") == ["differs"]
    assert ("native-rescore") in [word for word, _ in completion.features("native-r")]
    assert "edge" in completion.stores("e")
    assert completion.schemas("Pla") == ["Plan"]
    assert completion.changes("") == []


def test_common_options_may_precede_the_command() -> None:
    assert after_the_command(["--json", "-v", "stores"]) == ["stores", "--json", "-v"]
    assert after_the_command(["--json", "--version"]) == ["--json", "--version"]
    assert after_the_command(["stores", "--json"]) == ["stores", "--json"]
    assert after_the_command(["--json"]) == ["--json"]
    assert after_the_command([]) == []


@pytest.mark.parametrize("width", [40, 60, 80])
def test_narrow_tables_fold_text_without_loss(width: int) -> None:
    import io

    from rich.console import Console

    console = Console(file=io.StringIO(), width=width, color_system=None)
    row = ["scalar:bits=7,per=collection", "x4", "plain", "1,024", "0.985", "0.802", "0.14"]
    columns = ["quantization", "rescore", "index"]
    numbers = [("bytes", "right"), ("recall", "right"), ("nDCG", "right"), ("p50", "right")]
    console.print(table([*columns, *numbers], [row]))  # type: ignore[list-item]
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert max(len(line) for line in text.splitlines()) <= width
    for number in row[3:] if width > 40 else ():
        assert number in text
    assert "p50" in text or width == 40


def test_no_help_text_is_wider_than_80_columns(
    cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from typer.main import get_command

    from qadapt.cli.app import app

    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERMINAL_WIDTH", "200")
    names = list(get_command(app).commands)  # type: ignore[attr-defined]
    assert "plan" in names
    texts = {name: cli(name, "--help").out for name in names}
    texts["qadapt"] = cli("--help").out
    wide = [
        (name, line) for name, text in texts.items() for line in text.splitlines() if len(line) > 80
    ]
    assert wide == []
