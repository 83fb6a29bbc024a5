"""Quantization of a copy: each setting of a source, in each embedded target."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from migration_help import rows
from slow import SLOW

import qadapt as qa
from qadapt.api import Collection, Database
from qadapt.errors import UnsupportedError
from qadapt.model import MatchLevel

Ends = Callable[[str], Database]
DIM, ROWS = 32, 400

# The source's setting, and what the targets build for it.
SETTINGS = [
    ("none", {"edge": "none", "local": "none", "lite": "none"}),
    ("scalar", {"edge": "scalar", "local": None, "lite": "scalar"}),
    ("rotational:bits=8", {"edge": "rotational", "lite": "scalar"}),
    ("rotational:bits=1", {"edge": "rotational", "lite": "scalar"}),
    ("binary", {"edge": "binary", "lite": "scalar"}),
    ("binary:bits=2,query_bits=8", {"edge": "binary", "lite": "scalar"}),
    ("product:ratio=8", {"edge": "product", "lite": "scalar"}),
]
EDGE = [(setting, engine, kinds[engine]) for setting, kinds in SETTINGS for engine in kinds]
LITE = [
    (setting, engine, setting if engine != "local" or setting == "none" else None)
    for setting in ("none", "scalar")
    for engine in ("edge", "local", "lite")
]
if not SLOW:  # each setting, each target, and each target without the setting
    EDGE = [each for each in EDGE if each[:2] in (
        ("none", "edge"), ("scalar", "local"), ("rotational:bits=8", "lite"),
        ("rotational:bits=1", "edge"), ("binary", "lite"), ("binary:bits=2,query_bits=8", "edge"),
        ("product:ratio=8", "edge"),
    )]  # fmt: skip
    LITE = [each for each in LITE if each[:2] in (("scalar", "edge"), ("none", "local"))]


@pytest.fixture(scope="module")
def quantized(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Collection]]:
    """``quantized("edge", "binary")`` is a collection with that quantization, verified active."""
    opened: dict[str, Database] = {}
    made: dict[tuple[str, str], Collection] = {}

    def make(engine: str, setting: str) -> Collection:
        if engine not in opened:
            folder = tmp_path_factory.mktemp(engine)
            opened[engine] = qa.open(address_in(folder, engine))
        if (engine, setting) not in made:
            found = opened[engine].create(f"C{len(made)}", dim=DIM, metric="cosine")
            found.write(qa.Batch(range(ROWS), {"": rows(ROWS, dim=DIM)}))
            if setting != "none":
                found.plan(setting, accept="differs").apply(yes=True)
            made[engine, setting] = found
        return made[engine, setting]

    yield make
    for each in opened.values():
        each.close()


@pytest.fixture(scope="module")
def targets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ends]:
    """``targets("lite")`` is the same database for all tests."""
    opened: dict[str, Database] = {}

    def make(engine: str) -> Database:
        if engine not in opened:
            opened[engine] = qa.open(address_in(tmp_path_factory.mktemp("to"), engine))
        return opened[engine]

    yield make
    for each in opened.values():
        each.close()


def address_in(folder: Path, engine: str) -> str:
    """An address in a folder; skips without the engine's package."""
    form, package = {
        "edge": ("edge:{}", "qdrant_edge"),
        "local": ("qdrant:{}/local", "qdrant_client"),
        "lite": ("milvus:{}/lite.db", "milvus_lite"),
    }[engine]
    pytest.importorskip(package)
    return form.format(folder)


def migrated(source: Collection, target: Database, name: str, kind: str | None) -> qa.Migration:
    """The copy, after it was verified that a target without codes names the option that works."""
    if kind is not None:
        return qa.migrate(source, (target, name), trial_copy=False)
    with pytest.raises(UnsupportedError, match="would not be quantized") as caught:
        qa.migrate(source, (target, name), trial_copy=False)
    assert "--quantize none" in str(caught.value)
    assert name not in target.collections()
    return qa.migrate(source, (target, name), quantization="none", trial_copy=False)


def assert_translated(source: Collection, target: Database, name: str, kind: str | None) -> None:
    done = migrated(source, target, name, kind)
    plan, info = done.plan.vectors[""], target[name].info().vectors[""]
    assert done.state == "done"
    assert info.quantization.kind == plan.target_quantization.kind == (kind or "none")
    if kind not in (None, "none"):
        assert info.status.state is qa.State.ACTIVE
        assert done.check is not None
        assert done.check.recalls[0].exact_recall == pytest.approx(1, abs=0.01)
    if kind not in (None, plan.source_quantization.kind):
        assert plan.match.level is MatchLevel.DIFFERS


@pytest.mark.slow
@pytest.mark.parametrize(("setting", "engine", "kind"), EDGE)
def test_edge_to_each_store(
    quantized: Callable[..., Collection], targets: Ends, name: str,
    setting: str, engine: str, kind: str | None,
) -> None:  # fmt: skip
    assert_translated(quantized("edge", setting), targets(engine), name, kind)


@pytest.mark.slow
@pytest.mark.parametrize(("setting", "engine", "kind"), LITE)
def test_lite_to_each_store(
    quantized: Callable[..., Collection], targets: Ends, name: str,
    setting: str, engine: str, kind: str | None,
) -> None:  # fmt: skip
    assert_translated(quantized("lite", setting), targets(engine), name, kind)


@pytest.mark.parametrize("engine", ["edge", "local", "lite"])
def test_local_mode_to_each_store(
    quantized: Callable[..., Collection], targets: Ends, name: str, engine: str
) -> None:
    assert_translated(quantized("local", "none"), targets(engine), name, "none")


@pytest.mark.parametrize(
    ("one", "other", "setting", "built"),
    [
        ("weaviate", "milvus", "rotational:bits=8", "scalar"),
        ("milvus", "weaviate", "binary", "binary"),
    ],
)
def test_between_servers(
    ends: Ends, name: str, one: str, other: str, setting: str, built: str
) -> None:
    """Weaviate's RQ becomes scalar codes on Milvus 2.3.5, and its sign bits Weaviate's BQ."""
    source = ends(one).create(name, dim=DIM, metric="cosine")
    ids = [str(uuid.UUID(int=at)) for at in range(ROWS * 4)]
    source.write(qa.Batch(ids, {"": rows(ROWS * 4, dim=DIM)}))
    source.plan(setting, accept="differs").apply(yes=True)
    assert_translated(source, ends(other), f"{name}_b", built)
