"""What all tests share: live engines, real embeddings, a state folder of their own.

pytest --require-live=edge,qdrant      these engines must be there: their tests fail, not skip
QADAPT_REQUIRE_LIVE=edge               the same
QADAPT_TEST_QDRANT_URL=qdrant+http://...   where a server for tests is
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import hypothesis
import numpy as np
import pytest
from live import Unavailable
from live.ladder import Ladder
from live.weaviate import WeaviateServer

from qadapt.errors import QadaptError
from qadapt.stores import registry

REPO = Path(__file__).resolve().parents[1]
ENGINES = ("edge", "qdrant", "milvus", "weaviate")
REQUIRED = pytest.StashKey[frozenset[str]]()
SEEN = pytest.StashKey[dict[str, str]]()
LADDER = pytest.StashKey[Ladder]()

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
    config.stash[LADDER] = Ladder()


def pytest_unconfigure(config: pytest.Config) -> None:
    if LADDER in config.stash:
        config.stash[LADDER].stop()


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
def weaviate_server(request: pytest.FixtureRequest) -> Iterator[Callable[..., WeaviateServer]]:
    """``weaviate_server(ASYNC_INDEXING="true")``: a fresh server of this test's own.

    See ``live.weaviate.WeaviateServer``: ``url``, ``rest``, ``kill()``, ``restart(**changes)``.
    """
    started: list[WeaviateServer] = []

    def start(**environment: str) -> WeaviateServer:
        with _clock_stopped():
            try:
                server = WeaviateServer(**environment)
            except Unavailable as reason:
                _missing(request.config, "weaviate", str(reason))
            started.append(server)
            return server.start()

    yield start
    for server in started:
        server.stop()


def _live(config: pytest.Config, name: str, folder: Path) -> str:
    if name == "edge":
        return _edge(config, folder)
    with _clock_stopped():
        try:
            found = config.stash[LADDER].find(name)
        except Unavailable as reason:
            _missing(config, name, str(reason))
    config.stash[SEEN][name] = f"{name} {found.version} ({found.way})"
    return found.url


def _edge(config: pytest.Config, folder: Path) -> str:
    address = f"edge:{folder / 'edge'}"
    try:
        store = registry.open_store(address)
    except QadaptError as error:
        _missing(config, "edge", str(error))
    with closing(store):
        config.stash[SEEN]["edge"] = f"edge {store.server().version} (in process)"
    return address


@contextmanager
def _clock_stopped() -> Iterator[None]:
    """Building and starting a server are not the time of the test that happens to be first."""
    left, _ = signal.setitimer(signal.ITIMER_REAL, 0)  # the clock of pytest-timeout
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, left)


def _missing(config: pytest.Config, name: str, why: str) -> NoReturn:
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
