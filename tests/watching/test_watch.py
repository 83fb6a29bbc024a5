"""``qadapt watch``: checks, their metrics, and a server that goes away."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qadapt as qa
from qadapt.cli import main
from qadapt.cli import watch as watch_command
from qadapt.errors import InputError, SpecError, StorageError
from qadapt.watching import openmetrics
from qadapt.watching.check import Check, Watch
from qadapt.watching.pacing import Pace, seconds
from qadapt.watching.publish import publisher

ROWS, DIM = 1_500, 48
Live = Callable[[str], str]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def notes(live: Live) -> str:
    url = live("edge")
    rows = np.random.default_rng(0).standard_normal((ROWS, DIM)).astype(np.float32)
    with qa.open(url) as database:
        collection = database.create("notes", dim=DIM)
        collection.write(qa.Batch(range(ROWS), {"": rows}))
        collection.plan("binary:rescore=8").apply(yes=True)
    return url


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["watch", *map(str, words), "--rate", "100000"])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


class Clock:
    """A time that tests move."""

    def __init__(self) -> None:
        self.time = 1_000_000.0

    def __call__(self) -> float:
        return self.time


def watched(url: str, **changes: Any) -> Watch:
    given: dict[str, Any] = {
        "connect": lambda: qa.open(url),
        "address": url,
        "collection": "notes",
        "gate": qa.Guard(0.5, clients="configured"),
        "queries": 20,
        "k": 10,
        "pace": Pace(100_000),
        "truth_age": 3600.0,
        "now": Clock(),
    }
    return Watch(**{**given, **changes})


# -- the command -----------------------------------------------------------------------------------


def test_one_check_says_what_was_measured(notes: str, command: Run) -> None:
    before = contents(notes)
    words = ("--gate", "recall@10>=0.5", "--clients", "configured")
    code, out, _ = command(notes, "notes", "--once", *words)
    assert code == 0
    assert re.match(r"✓ notes  1,500 rows; binary:rescore=8\S* active; recall@10 0\.\d+", out)
    assert contents(notes) == before, "nothing is changed"


def contents(url: str) -> Any:
    with qa.open(url) as database:
        info = database["notes"].info()
    return info.fingerprint, info.count, info.vectors[""].quantization


def test_a_missed_gate_and_json_lines(notes: str, command: Run) -> None:
    code, out, _ = command(notes, "--once", "--gate", "recall@10>=0.99999", "--json")
    (line,) = out.splitlines()
    check = json.loads(line)
    assert code == 3
    assert (check["good"], check["met"], check["state"]) == (False, False, "active")
    assert 0 < check["recall"] < 0.99999 and check["k"] == 10
    assert (check["rows"], check["unindexed"], check["up"]) == (ROWS, 0, True)
    assert set(check["findings"]) == {"error", "warning", "info"}
    assert check["format"] == "qadapt.check/1"


def test_both_figures_and_the_clients_that_the_gate_judges(
    notes: str, command: Run, tmp_path: Path
) -> None:
    with qa.open(notes) as database:  # codes alone for clients that send no parameters
        database["notes"].plan("binary:rescore=16").apply(yes=True)
        verified = database["notes"].verify(queries=100, k=10).results[0]
    assert verified.recall is not None and verified.recall_no_params is not None
    bar = (verified.recall.value + verified.recall_no_params.value) / 2
    file = tmp_path / "qadapt.prom"
    words = ("notes", "--once", "--gate", f"recall@10>={bar:.6f}", "--metrics", file)
    code, out, _ = command(notes, *words, "--json")
    check = json.loads(out)
    assert check["recall"] > bar > check["recall_no_params"]
    assert (code, check["met"], check["clients"]) == (3, False, "any")
    samples = parsed(file.read_text())
    labels = f'address="{notes}",collection="notes",vector="",k="10"'
    assert samples[f"qadapt_recall{{{labels}}}"] == check["recall"]
    assert samples[f"qadapt_recall_no_params{{{labels}}}"] == check["recall_no_params"]
    assert samples[f'qadapt_gate_met{{{labels},clients="any"}}'] == 0
    code, out, _ = command(notes, *words)
    assert "without search parameters, gate missed; met with --clients configured" in out
    code, out, _ = command(notes, *words, "--clients", "configured")
    assert code == 0 and "gate missed" not in out and "without search parameters" in out


def test_clients_without_a_gate_are_refused(notes: str, command: Run) -> None:
    code, _, err = command(notes, "--once", "--clients", "configured")
    assert code == 2 and "--clients has no effect without --gate" in err


def test_checks_are_repeated_until_the_end(
    notes: str, command: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    class Stop:
        def wait(self, gap: float) -> bool:
            waits.append(gap)
            return len(waits) == 3

    monkeypatch.setattr(watch_command, "stop", Stop())
    file = tmp_path / "qadapt.prom"
    code, out, _ = command(notes, "--every", "15m", "--metrics", file, "--json", "--queries", "10")
    assert code == 0 and waits == [900.0] * 3
    checks = [json.loads(line) for line in out.splitlines()]
    assert [each["truth_renewed"] for each in checks] == [True, False, False]
    samples = parsed(file.read_text())
    assert samples['qadapt_checks_total{result="good"}'] == 3
    assert file.stat().st_mode & 0o777 == 0o644


def test_wrong_arguments_end_the_command(notes: str, command: Run, tmp_path: Path) -> None:
    for words, text in (
        (("--every", "often"), "--every must be a duration"),
        (("--queries", tmp_path / "no.npy"), "no.npy"),
        (("--queries", "2000"), "too many for repeated checks"),
        (("--metrics", "0.0.0.0:9464"), "loopback address only"),
        (("--gate", "recall"), "recall"),
    ):
        code, _, err = command(notes, "notes", "--once", *words)
        assert code == 2 and text in err, (words, err)
    assert main(["watch", notes, "--once", "--rate", "0"]) == 2
    code, _, err = command(notes, "missing", "--once")
    assert code == 1


# -- exact results ---------------------------------------------------------------------------------


def test_exact_results_are_kept_and_renewed_when_they_are_old(notes: str) -> None:
    watch = watched(notes)
    clock: Any = watch.now
    (first,) = watch.checks()
    clock.time += 1_800
    (second,) = watch.checks()
    clock.time += 1_801
    (third,) = watch.checks()
    assert [each.truth_renewed for each in (first, second, third)] == [True, False, True]
    assert [each.truth_age for each in (first, second, third)] == [0, 1_800, 0]
    assert second.recall == first.recall, "the same queries"


def test_changed_rows_do_not_look_like_lost_recall(notes: str) -> None:
    """Recall is 1 without codes, also after rows were added and deleted."""
    with qa.open(notes) as database:
        database["notes"].plan("none").apply(yes=True)
    watch = watched(notes, gate=qa.Guard(0.999))
    (first,) = watch.checks()
    assert first.recall == 1.0
    with qa.open(notes) as database:
        collection = database["notes"]
        near = collection.fetch(list(range(300))).vectors[""] + np.float32(0.01)
        collection.write(qa.Batch(range(5_000, 5_300), {"": near}))
    (added,) = watch.checks()
    assert (added.recall, added.met) == (1.0, True)
    with qa.open(notes) as database:
        database["notes"].delete(list(range(700)))
    (deleted,) = watch.checks()
    assert (deleted.recall, deleted.met, deleted.truth_renewed) == (1.0, True, True)


def test_a_collection_that_is_too_small_proves_nothing(live: Live) -> None:
    url = live("edge")
    with qa.open(url) as database:
        database.create("notes", dim=4).write(qa.Batch([1], {"": [[1, 0, 0, 0]]}))
    (check,) = watched(url).checks()
    assert (check.recall, check.met, check.good) == (None, False, False)
    (open_gate,) = watched(url, gate=None).checks()
    assert (open_gate.recall, open_gate.met, open_gate.good) == (None, None, True)


def test_queries_are_spread_over_the_time() -> None:
    clock, slept = Clock(), []

    def sleep(gap: float) -> None:
        slept.append(gap)
        clock.time += gap

    pace = Pace(4, sleep=sleep, clock=clock)
    for _ in range(5):
        pace.wait()
    assert slept == [0.25] * 4
    clock.time += 10
    pace.wait()
    assert slept == [0.25] * 4, "no wait after a pause"


def test_durations() -> None:
    assert [seconds(text, "x") for text in ("30s", "1.5m", "1h", "2d")] == [30, 90, 3600, 172_800]
    for wrong in ("", "1", "h", "0s", "-1h", "1h30m", "inf"):
        with pytest.raises(SpecError, match="a duration above 0"):
            seconds(wrong, "--every")


# -- a database that goes away ---------------------------------------------------------------------


@pytest.mark.server
def test_a_server_that_goes_away_is_a_failed_check(
    weaviate_server: Callable[..., Any],
) -> None:
    server = weaviate_server()
    with qa.open(server.url) as database:
        collection = database.create("Notes", dim=DIM)
        rows = np.random.default_rng(0).standard_normal((300, DIM)).astype(np.float32)
        ids = [f"00000000-0000-0000-0000-{at + 1:012x}" for at in range(300)]
        collection.write(qa.Batch(ids, {"": rows}))
    watch = watched(server.url, collection="Notes")
    (before,) = watch.checks()
    assert before.good and before.recall == 1.0
    server.kill()
    (lost,) = watch.checks()
    assert (lost.up, lost.good, lost.recall) == (False, False, None)
    assert lost.error
    server.restart()
    (again,) = watch.checks()
    # A killed server may have lost a part of its graph, which the check then reports.
    assert again.up and again.rows == 300
    assert again.recall == 1.0 or "unreachable-rows" in again.codes


def test_a_collection_that_is_dropped_does_not_end_the_watch(notes: str) -> None:
    watch = watched(notes)
    (before,) = watch.checks()
    with qa.open(notes) as database:
        database.drop("notes")
    (lost,) = watch.checks()
    assert before.up and not lost.up and "notes" in lost.error


def test_wrong_queries_are_an_error_before_the_first_check(notes: str) -> None:
    with pytest.raises(InputError, match=r"no\.npy"):
        list(watched(notes, queries="no.npy").checks())


# -- OpenMetrics -----------------------------------------------------------------------------------

SAMPLE = re.compile(r'(qadapt_\w+)\{((?:\w+="(?:[^"\\]|\\.)*",?)*)\} (\S+)')


def parsed(text: str) -> dict[str, float]:
    """Samples of OpenMetrics text, read by the rules of its specification."""
    lines = text.split("\n")
    assert lines[-2:] == ["# EOF", ""], "the text ends with # EOF and a line feed"
    found: dict[str, float] = {}
    family, kind = "", ""
    seen: set[str] = set()
    for line in lines[:-2]:
        if line.startswith("# TYPE "):
            _, _, family, kind = line.split(" ")
            assert family not in seen, "a family is one block"
            seen.add(family)
        elif line.startswith("# UNIT "):
            assert family.endswith("_" + line.split(" ")[3])
        elif line.startswith("# HELP "):
            assert line.split(" ")[2] == family
        else:
            sample = SAMPLE.fullmatch(line)
            assert sample is not None, line
            assert sample[1] == family + ("_total" if kind == "counter" else "")
            assert f"{sample[1]}{{{sample[2]}}}" not in found
            found[f"{sample[1]}{{{sample[2]}}}"] = float(sample[3])
    return found


def test_metrics_have_the_values_of_the_checks() -> None:
    odd = 'edge:a"b\\c'
    good = Check(
        1_700_000_000.5, odd, "notes", "title", rows=7, recall=0.5, k=10, met=True, progress=0.25,
        unindexed=3, truth_age=9.0, findings={"error": 0, "warning": 2, "info": 0}, seconds=1.5,
    )  # fmt: skip
    down = Check(2.0, "x", up=False, active=False, error="gone")
    samples = parsed(openmetrics.render([good, down], {"good": 3, "down": 1}))
    labels = 'address="edge:a\\"b\\\\c",collection="notes",vector="title"'
    assert samples[f'qadapt_recall{{{labels},k="10"}}'] == 0.5
    assert samples[f"qadapt_up{{{labels}}}"] == 1
    assert samples['qadapt_up{address="x",collection="",vector=""}'] == 0
    assert samples[f"qadapt_unindexed_rows{{{labels}}}"] == 3
    assert samples[f"qadapt_check_timestamp_seconds{{{labels}}}"] == 1_700_000_000.5
    assert samples[f'qadapt_findings{{{labels},severity="warning"}}'] == 2
    assert samples['qadapt_checks_total{result="down"}'] == 1
    assert 'qadapt_quantization_active{address="x",collection="",vector=""}' not in samples


@pytest.fixture
def server() -> Iterator[Any]:
    made = publisher(":0")
    yield made
    made.close()


def test_metrics_are_served_on_a_loopback_port(server: Any) -> None:
    assert server.where.startswith("http://127.0.0.1:")
    server.publish("qadapt_up 1\n# EOF\n")
    with urllib.request.urlopen(server.where, timeout=10) as answer:
        assert answer.headers["Content-Type"] == openmetrics.CONTENT_TYPE
        assert answer.read() == b"qadapt_up 1\n# EOF\n"
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(server.where.replace("/metrics", "/other"), timeout=10)
    with pytest.raises(StorageError, match="cannot listen"):
        publisher(":" + server.where.rpartition(":")[2].partition("/")[0])


@pytest.mark.parametrize("target", ["0.0.0.0:9464", "192.168.1.1:9464", "example.com:9464"])
def test_metrics_are_not_served_to_other_machines(target: str) -> None:
    with pytest.raises(SpecError, match="loopback address only"):
        publisher(target)
