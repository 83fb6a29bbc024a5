"""Pytest plugin for live engines: options, fixtures, and the summary line.

pytest -m "not server"                     embedded engines only; -m server: the others
pytest --require-live=edge,milvus          these engines must be there: their tests fail, not skip
pytest --must-see=edge,milvus              and at least one test must have used each of them
QADAPT_REQUIRE_LIVE=edge                   the same
QADAPT_TEST_QDRANT_URL=qdrant+http://...   where a server for tests is; so for each engine
QADAPT_TEST_CONTAINERS=1                   containers only; 0: none
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import signal
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest

from live import Unavailable
from live.chroma import ChromaServer
from live.ladder import Ladder
from live.marks import needs_server
from live.milvus import MilvusServer
from live.shared import Desk, RemoteLadder
from live.weaviate import WeaviateServer
from qadapt.errors import QadaptError
from qadapt.stores import registry

ENGINES = (
    "edge",
    "qdrant",
    "milvus",
    "milvus-lite",
    "weaviate",
    "pgvector",
    "chroma",
    "clickhouse",
    "elasticsearch",
    "opensearch",
)
REQUIRED = pytest.StashKey[frozenset[str]]()
MUST_SEE = pytest.StashKey[frozenset[str]]()
SEEN = pytest.StashKey[set[str]]()
LADDER = pytest.StashKey["Ladder | RemoteLadder"]()
DESK = pytest.StashKey[Desk]()
_PORT = "port of the live engines' desk"
_SEEN = "live engines"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--require-live",
        default="",
        metavar="ENGINES",
        help=f"engines that must be there, separated by commas: {', '.join(ENGINES)}",
    )
    parser.addoption(
        "--must-see",
        default="",
        metavar="ENGINES",
        help="engines that must be there, and that at least one test must use",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "server: needs a server; set by itself (live.marks)")
    asked = f"{config.getoption('--require-live')},{os.environ.get('QADAPT_REQUIRE_LIVE', '')}"
    config.stash[MUST_SEE] = _engines("--must-see", config.getoption("--must-see"))
    config.stash[REQUIRED] = _engines("--require-live", asked) | config.stash[MUST_SEE]
    config.stash[SEEN] = set()
    given = getattr(config, "workerinput", {})  # in a worker of pytest-xdist
    config.stash[LADDER] = RemoteLadder(given[_PORT]) if _PORT in given else Ladder()


def _engines(option: str, text: str) -> frozenset[str]:
    names = frozenset(name.strip() for name in text.split(",") if name.strip())
    unknown = sorted(names.difference(ENGINES))
    if unknown:
        raise pytest.UsageError(
            f"{option}: unknown engine {', '.join(unknown)}; known: {', '.join(ENGINES)}"
        )
    return names


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if needs_server(item):
            item.add_marker("server")


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    stash = node.config.stash
    if DESK not in stash:
        stash[DESK] = Desk(stash[LADDER])
    node.workerinput[_PORT] = stash[DESK].port


def pytest_unconfigure(config: pytest.Config) -> None:
    if DESK in config.stash:
        config.stash[DESK].close()
    if LADDER in config.stash:
        config.stash[LADDER].stop()


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput[_SEEN] = sorted(session.config.stash[SEEN])
    elif _unseen(session.config) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _unseen(config: pytest.Config) -> list[str]:
    """Engines that the run must use and did not."""
    seen = {each.partition(" ")[0] for each in config.stash[SEEN]}
    return sorted(config.stash[MUST_SEE] - seen)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    node.config.stash[SEEN].update(getattr(node, "workeroutput", {}).get(_SEEN, []))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    seen = "; ".join(sorted(config.stash[SEEN])) or "none"
    terminalreporter.write_line(f"live engines: {seen}")
    unseen = _unseen(config)
    if unseen:
        terminalreporter.write_line(f"required engines that no test used: {', '.join(unseen)}")


@pytest.fixture
def live(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], str]:
    """``live("milvus")``: the address of a live engine, or the test is skipped (or fails).

    A server is shared with all other tests: use collections with names of your own. ``edge`` and
    ``milvus-lite`` are a new, empty folder or file. ``clickhouse`` is a new, empty database: chdb
    has one data folder per process, which all tests of a worker share.
    """

    def address(engine: str) -> str:
        if engine == "edge":
            return _edge(request.config, tmp_path)
        if engine == "milvus-lite":
            return _milvus_lite(request.config, tmp_path)
        if engine == "clickhouse":
            base = request.getfixturevalue("tmp_path_factory").getbasetemp()
            return _clickhouse(request.config, base / "chdb")
        if request.node.get_closest_marker("server") is None:
            pytest.fail("this test uses a server: add @pytest.mark.server", pytrace=False)
        return _server(request.config, engine)

    return address


@pytest.fixture
def weaviate_server(request: pytest.FixtureRequest) -> Iterator[Callable[..., WeaviateServer]]:
    """``weaviate_server(ASYNC_INDEXING="true")``: a new server for this test.

    See ``live.weaviate.WeaviateServer``: ``url``, ``rest``, ``kill()``, ``restart(**changes)``.
    """
    started: list[WeaviateServer] = []

    def start(**environment: str) -> WeaviateServer:
        with clock_stopped():
            try:
                server = WeaviateServer(**environment)
            except Unavailable as reason:
                missing(request.config, "weaviate", str(reason))
            started.append(server)
            server.start()
        saw(request.config, "weaviate", server.version, "server of one test")
        return server

    yield start
    for server in started:
        server.stop()


@pytest.fixture
def milvus_server(request: pytest.FixtureRequest) -> Iterator[MilvusServer]:
    """A new, started server for this test, with ``kill()`` and ``start()``."""
    try:
        server = MilvusServer()
    except Unavailable as reason:
        missing(request.config, "milvus", str(reason))
    try:
        with clock_stopped():
            server.start()
        saw(request.config, "milvus", server.version, "server of one test")
        yield server
    finally:
        server.stop()


@pytest.fixture
def chroma_server(request: pytest.FixtureRequest) -> Iterator[ChromaServer]:
    """A new, started server for this test, with ``kill()`` and ``start()``."""
    try:
        server = ChromaServer()
    except Unavailable as reason:
        missing(request.config, "chroma", str(reason))
    try:
        with clock_stopped():
            server.start()
        saw(request.config, "chroma", server.version, "server of one test")
        yield server
    finally:
        server.stop()


def _server(config: pytest.Config, engine: str) -> str:
    with clock_stopped():
        try:
            found = config.stash[LADDER].find(engine)
        except Unavailable as reason:
            missing(config, engine, str(reason))
        except (QadaptError, RuntimeError) as error:
            pytest.fail(
                f"the live engine {engine!r} is available and fails: {error}", pytrace=False
            )
    saw(config, engine, found.version, found.way)
    return found.url


def _edge(config: pytest.Config, folder: Path) -> str:
    address = f"edge:{folder / 'edge'}"
    try:
        with closing(registry.open_store(address)) as store:
            saw(config, "edge", str(store.server().version), "in process")
    except QadaptError as error:
        missing(config, "edge", str(error))
    return address


def _milvus_lite(config: pytest.Config, folder: Path) -> str:
    for module in ("pymilvus", "milvus_lite"):
        if importlib.util.find_spec(module) is None:
            missing(config, "milvus-lite", f"the package {module} is not installed")
    saw(config, "milvus-lite", importlib.metadata.version("milvus-lite"), "in process")
    return f"milvus:{folder / 'test.db'}"


def _clickhouse(config: pytest.Config, folder: Path) -> str:
    if importlib.util.find_spec("chdb") is None:
        missing(config, "clickhouse", "the package chdb is not installed")
    saw(config, "clickhouse", f"in chdb {importlib.metadata.version('chdb')}", "in process")
    return f"clickhouse:{folder}?database=test_{uuid.uuid4().hex[:10]}"


def saw(config: pytest.Config, engine: str, version: str, way: str) -> None:
    """Note a live engine for the line at the end of the run."""
    config.stash[SEEN].add(f"{engine} {version} ({way})")


def missing(config: pytest.Config, engine: str, why: str) -> NoReturn:
    """Skip, or fail where the engine is required."""
    if engine in config.stash[REQUIRED]:
        pytest.fail(
            f"the live engine {engine!r} is required and not available: {why}", pytrace=False
        )
    pytest.skip(f"no live engine {engine!r}: {why}")


@contextmanager
def clock_stopped() -> Iterator[None]:
    """Do not count what the first test waits for, such as a server's start, as that test's time."""
    left, _ = signal.setitimer(signal.ITIMER_REAL, 0)  # the clock of pytest-timeout
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, left)
