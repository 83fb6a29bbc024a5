"""What all tests share: live engines, real embeddings, a state folder of their own.

pytest --require-live=edge,qdrant      these engines must be there: their tests fail, not skip
QADAPT_REQUIRE_LIVE=edge               the same
QADAPT_TEST_QDRANT_URL=qdrant+http://...   where a server for tests is
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
import live_milvus
import numpy as np
import pytest

from qadapt.errors import QadaptError
from qadapt.stores import registry

REPO = Path(__file__).resolve().parents[1]
ENGINES = ("edge", "qdrant", "milvus", "weaviate")
REQUIRED = pytest.StashKey[frozenset[str]]()
SEEN = pytest.StashKey[dict[str, str]]()
MILVUS = pytest.StashKey[live_milvus.LiveMilvus]()

# On CI the same examples each time, so that what fails is what was changed; elsewhere new ones.
hypothesis.settings.register_profile("qadapt", deadline=None)
hypothesis.settings.register_profile("qadapt-ci", deadline=None, derandomize=True)
hypothesis.settings.load_profile("qadapt-ci" if os.environ.get("CI") else "qadapt")


# -- live engines --------------------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--require-live",
        default="",
        metavar="ENGINES",
        help=f"engines that must be there, separated by commas: {', '.join(ENGINES)}",
    )


def pytest_configure(config: pytest.Config) -> None:
    asked = f"{config.getoption('--require-live')},{os.environ.get('QADAPT_REQUIRE_LIVE', '')}"
    names = frozenset(name.strip() for name in asked.split(",") if name.strip())
    unknown = sorted(names.difference(ENGINES))
    if unknown:
        raise pytest.UsageError(
            f"--require-live: unknown engine {', '.join(unknown)}; known: {', '.join(ENGINES)}"
        )
    config.stash[REQUIRED] = names
    config.stash[SEEN] = {}


def pytest_unconfigure(config: pytest.Config) -> None:
    if MILVUS in config.stash:
        config.stash[MILVUS].stop()


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):  # a worker of pytest-xdist
        session.config.workeroutput["live engines"] = session.config.stash[SEEN]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    node.config.stash[SEEN].update(getattr(node, "workeroutput", {}).get("live engines", {}))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    seen = config.stash[SEEN]
    words = "; ".join(seen[name] for name in sorted(seen)) or "none"
    terminalreporter.write_line(f"live engines: {words}")


@pytest.fixture
def live(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], str]:
    """``live("edge")``: the address of a live engine, or the test is skipped (or fails)."""

    def address(name: str) -> str:
        return _live(request.config, name, tmp_path)

    return address


@pytest.fixture
def milvus_folder(live: Callable[[str], str], request: pytest.FixtureRequest) -> Path:
    """Where the Milvus of this session keeps its files; skipped where it runs elsewhere."""
    live("milvus")
    if MILVUS not in request.config.stash:
        pytest.skip("the files of a Milvus named in the environment cannot be seen")
    return request.config.stash[MILVUS].folder


def _live(config: pytest.Config, name: str, folder: Path) -> str:
    address = f"edge:{folder / 'edge'}" if name == "edge" else _server(config, name)
    try:
        with_version = _version_of(address)
    except QadaptError as error:
        if name != "edge":
            pytest.fail(f"{_variable(name)} names a server that cannot be used: {error}", False)
        _missing(config, name, str(error))
    way = "in process" if name == "edge" else "a server named in the environment"
    if name == "milvus" and MILVUS in config.stash:
        way = "started for this session"
    config.stash[SEEN][name] = f"{name} {with_version} ({way})"
    return address


def _server(config: pytest.Config, name: str) -> str:
    variable = _variable(name)
    if name == "milvus" and not os.environ.get(variable):
        return _own_milvus(config)
    if not os.environ.get(variable):
        _missing(config, name, f"{variable} is not set to the address of a server for tests")
    return os.environ[variable]


def _own_milvus(config: pytest.Config) -> str:
    """The server of the PyPI package ``milvus``, started when it is first asked for."""
    problem = live_milvus.problem()
    if problem is not None:
        _missing(config, "milvus", f"{_variable('milvus')} is not set, and {problem}")
    if MILVUS not in config.stash:
        config.stash[MILVUS] = live_milvus.LiveMilvus().start()
    return config.stash[MILVUS].url


def _variable(name: str) -> str:
    return f"QADAPT_TEST_{name.upper()}_URL"


def _version_of(address: str) -> str | None:
    with_store = registry.open_store(address)
    try:
        return with_store.server().version
    finally:
        with_store.close()


def _missing(config: pytest.Config, name: str, why: str) -> None:
    if name in config.stash[REQUIRED]:
        pytest.fail(f"the live engine {name!r} is required and not there: {why}", pytrace=False)
    pytest.skip(f"no live engine {name!r}: {why}")


# -- state ---------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def state_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder of this test's own, so that the user's is never touched."""
    folder = tmp_path_factory.mktemp("state")
    monkeypatch.setenv("QADAPT_STATE_DIR", str(folder))
    return folder


# -- real embeddings -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Embeddings:
    """SciFact by all-MiniLM-L6-v2: 5,183 abstracts and 300 claims, of length 1.

    Attributes:
        docs, queries: float32 ``(n, 384)``.
        doc_ids, query_ids: their ids in the data set.
        qrels: ``{query id: {doc id: 1}}``.
    """

    docs: np.ndarray
    queries: np.ndarray
    doc_ids: list[str]
    query_ids: list[str]
    qrels: dict[str, dict[str, int]]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of shared data: ``../shared/data`` beside the repository, or QADAPT_SHARED."""
    folder = Path(os.environ.get("QADAPT_SHARED", REPO.parent / "shared")) / "data"
    if not (folder / "scifact-minilm.npz").is_file():
        pytest.skip(f"no scifact-minilm.npz in {folder}: set QADAPT_SHARED to the folder of data/")
    return folder


@pytest.fixture(scope="session")
def scifact(shared_data: Path) -> Embeddings:
    """Real embeddings with labels; read once."""
    with np.load(shared_data / "scifact-minilm.npz") as arrays:
        return Embeddings(
            docs=arrays["docs"].astype(np.float32),
            queries=arrays["queries"].astype(np.float32),
            doc_ids=[str(key) for key in arrays["doc_ids"].tolist()],
            query_ids=[str(key) for key in arrays["query_ids"].tolist()],
            qrels=json.loads((shared_data / "scifact-qrels.json").read_text(encoding="utf-8")),
        )
