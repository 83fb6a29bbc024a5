"""The matrix: cells from capability data and runs, and pages that agree with them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from qadapt.errors import SpecError
from qadapt.matrix import __main__ as command
from qadapt.matrix import cells, load, merge, of_feature, read_records
from qadapt.matrix.live_runs import LiveRun, append, forget
from qadapt.model import Rule, Support, by_contract, narrow
from qadapt.stores import registry

REPO = Path(__file__).resolve().parents[2]
RUN = LiveRun(
    store="toy",
    version="1.2.0",
    deployment="server",
    kind="binary",
    width="1",
    index="hnsw",
    codes="binary",
    differences=(),
    state="active",
    evidence=("bytes of codes",),
    code_bytes=100,
    float_bytes=3200,
    data="clustered",
    rows=2000,
    dim=64,
    queries=100,
    k=10,
    without=0.6,
    without_by="off",
    lifted=0.9,
    oversampling=10,
    rescorer="store",
    day="2026-11-22",
)


class Toy:
    """The parts of a store that the matrix uses."""

    deployments = ("server", "cloud")
    rules = by_contract(
        Rule("native-quantization", Support.NATIVE),
        Rule("native-binary", Support.NATIVE),
        Rule("native-binary:1", Support.NATIVE, "bits"),
        Rule("native-product", Support.NATIVE, "any", since="2.0", deployments=("server",)),
    )

    @classmethod
    def declared_capabilities(cls, version=None, deployment=None):
        return narrow("toy", cls.rules, version, deployment or "server")


def rows(seen):
    return [
        (c.deployment, c.version, c.kind, c.width, c.index, c.support.value, c.checked)
        for c in cells({"toy": Toy}, seen)
    ]


# -- generated pages ----------------------------------------------------------------


def test_the_pages_agree_with_capability_data_and_runs() -> None:
    for name, text in command.current().items():
        there = (REPO / "docs" / name).read_text(encoding="utf-8")
        assert there == text, f"docs/{name} is stale: python -m qadapt.matrix write docs"


def test_every_record_proves_something_and_has_a_cell() -> None:
    seen = load()
    assert seen
    stores, _ = registry.load_all()
    known = {cell.live_runs.key for cell in cells(stores, seen) if cell.live_runs}
    assert known == {each.key for each in seen}


def test_settings_that_were_verified_active_are_declared_as_native() -> None:
    stores, _ = registry.load_all()
    for cell in cells(stores, load()):
        if cell.live_runs:
            assert cell.support is Support.NATIVE, cell


# -- cells -----------------------------------------------------------------------------------------


def test_without_a_run_no_cell_is_verified() -> None:
    assert rows([]) == [
        ("server", None, "binary", "1", "", "native", "contract"),
        ("server", None, "product", "", "", "native", "contract"),
        ("cloud", None, "binary", "1", "", "native", "contract"),
        ("cloud", None, "product", "", "", "client", "contract"),
    ]


def test_a_run_is_a_cell_of_its_version_only() -> None:
    assert rows([RUN])[:4] == [
        ("server", "1.2.0", "binary", "1", "hnsw", "native", "verified"),
        ("server", "1.2.0", "product", "", "", "client", "contract"),
        ("server", None, "binary", "1", "", "native", "contract"),
        ("server", None, "product", "", "", "native", "contract"),
    ]


def test_each_index_and_each_width_that_was_run_is_a_cell() -> None:
    flat = dataclasses.replace(RUN, index="flat")
    products = [
        dataclasses.replace(RUN, version="2.1", kind="product", width=width)
        for width in ("4", "16")
    ]
    found = rows([RUN, flat, *products])
    assert [row[4] for row in found if row[1] == "1.2.0" and row[2] == "binary"] == ["hnsw", "flat"]
    assert [row[3] for row in found if row[1] == "2.1" and row[2] == "product"] == ["4", "16"]


def test_the_newest_version_is_omitted_if_equal_to_a_run() -> None:
    newer = dataclasses.replace(RUN, version="2.1")
    assert ("server", None) not in {row[:2] for row in rows([newer])}


def test_the_cells_of_a_feature() -> None:
    known = cells({"toy": Toy}, [RUN])
    assert len(of_feature(known, "toy", "native-binary")) == 3
    assert len(of_feature(known, "toy", "native-binary:1")) == 3
    assert of_feature(known, "toy", "native-binary:2") == []
    assert of_feature(known, "other", "native-binary") == []


# -- records ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"state": "building"}, "state was building"),
        ({"evidence": ()}, "no signal"),
        ({"code_bytes": 0}, "no codes"),
        ({"without": 1.0}, "codes may not be in use"),
        ({"without": 0.0}, "codes may not be in use"),
        ({"lifted": 0.6}, "did not improve recall"),
        ({"lifted": 0.5}, "did not improve recall"),
    ],
)
def test_a_run_that_proves_nothing_is_refused(change, why, tmp_path: Path) -> None:
    bad = dataclasses.replace(RUN, **change)
    file = tmp_path / "cells.jsonl"
    with pytest.raises(SpecError, match=why):
        append(bad, file)
    assert not file.exists()
    file.write_text(bad.to_json(indent=None), encoding="utf-8")
    with pytest.raises(SpecError, match=why):
        read_records(file)
    kept = tmp_path / "live_runs.json"
    kept.write_text(json.dumps([bad.to_dict()]), encoding="utf-8")
    with pytest.raises(SpecError, match=why):
        load(kept)


def test_records_are_merged_and_newer_ones_replace_older(tmp_path: Path) -> None:
    out, kept = tmp_path / "cells.jsonl", tmp_path / "live_runs.json"
    append(RUN, out)
    append(dataclasses.replace(RUN, index="flat"), out)
    assert len(merge(read_records(out), kept)) == 2
    again = dataclasses.replace(RUN, lifted=0.95)
    assert [each.lifted for each in merge([again], kept)] == [0.9, 0.95]
    assert load(kept) == merge([], kept)


def test_a_cell_is_forgotten_by_its_key(tmp_path: Path) -> None:
    kept = tmp_path / "live_runs.json"
    flat = dataclasses.replace(RUN, index="flat")
    merge([RUN, flat], kept)
    assert forget(list(flat.key), kept) == [RUN] == load(kept)
    with pytest.raises(SpecError, match="flat is not in"):
        forget(list(flat.key), kept)


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr("qadapt.matrix.__main__.merge", lambda records: records)
    out = tmp_path / "cells.jsonl"
    append(RUN, out)
    command.main(["merge", str(out)])
    assert capsys.readouterr().out == "1 cells were run live\n"
    monkeypatch.setattr("qadapt.matrix.__main__.forget", lambda key: [RUN] if key == want else [])
    want = ["toy", "server", "1.2.0", "binary", "1", "hnsw"]
    command.main(["forget", *want])
    assert capsys.readouterr().out == "1 cells were run live\n"
    command.main(["write", str(tmp_path)])
    assert "**verified**" in (tmp_path / "matrix.md").read_text(encoding="utf-8")
    with pytest.raises(SystemExit, match="error: "):
        command.main(["merge", str(tmp_path / "none.jsonl")])
