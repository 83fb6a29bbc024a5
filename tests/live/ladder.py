"""Selection of the live engine of a test; see ``live`` for the order."""

from __future__ import annotations

import importlib
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from live import Unavailable, chroma, elasticsearch, milvus, opensearch, postgres, weaviate
from qadapt.stores import registry


class Running(Protocol):
    """An engine that a rung has started."""

    @property
    def url(self) -> str: ...

    @property
    def version(self) -> str: ...

    def stop(self) -> None: ...


OWN: dict[str, Callable[[], Running]] = {
    "chroma": lambda: chroma.ChromaServer().start(),
    "elasticsearch": lambda: elasticsearch.ElasticsearchServer().start(),
    "opensearch": lambda: opensearch.OpenSearchServer().start(),
    "pgvector": lambda: postgres.PostgresServer().start(),
    "milvus": lambda: milvus.MilvusServer().start(),
    "weaviate": lambda: weaviate.WeaviateServer().start(),
}


@dataclass(frozen=True)
class Found:
    """A live engine: its address for qadapt, its version, and its origin."""

    url: str
    version: str
    way: str


class Ladder:
    """Finds each engine once, and ends what it has started."""

    def __init__(self) -> None:
        self._found: dict[str, Found | Exception] = {}
        self._running: list[Running] = []
        self._lock = threading.Lock()

    def find(self, engine: str) -> Found:
        """The engine; the same answer each time.

        Raises:
            Unavailable: with the reason of each rung.
            Exception: an available one fails.
        """
        with self._lock:
            if engine not in self._found:
                try:
                    self._found[engine] = self._climb(engine)
                except Exception as error:  # noqa: BLE001 - raised in each test that asks
                    self._found[engine] = error
            found = self._found[engine]
        if isinstance(found, Exception):
            raise found
        return found

    def stop(self) -> None:
        """End the servers that were started here."""
        with self._lock:
            self._found.clear()
            while self._running:
                self._running.pop().stop()

    def _climb(self, engine: str) -> Found:
        url = os.environ.get(variable(engine))
        if url:
            return Found(url, _version(engine, url), "named in the environment")
        reasons = [f"{variable(engine)} is not set"]
        for way, start in _rungs():
            try:
                running = start(engine)
            except Unavailable as reason:
                reasons.append(str(reason))
                continue
            self._running.append(running)
            return Found(running.url, running.version, way)
        raise Unavailable("; ".join(reasons))


def variable(engine: str) -> str:
    """The name of the environment variable that names a server for tests."""
    return f"QADAPT_TEST_{engine.upper()}_URL"


def _rungs() -> list[tuple[str, Callable[[str], Running]]]:
    containers = ("container", _container)
    own = ("server of the tests", _own)
    wanted = os.environ.get("QADAPT_TEST_CONTAINERS", "")
    return {"1": [containers], "0": [own]}.get(wanted, [containers, own])


def _container(engine: str) -> Running:
    try:
        containers: Any = importlib.import_module("live.containers")
    except ModuleNotFoundError as missing:
        raise Unavailable(f"containers need {missing.name}") from None
    started: Running = containers.start(engine)
    return started


def _own(engine: str) -> Running:
    if engine not in OWN:
        raise Unavailable("no package has a server that the tests could start")
    return OWN[engine]()


def _version(engine: str, url: str) -> str:
    """As the store of qadapt reads it; a server that cannot be used fails here."""
    if engine not in registry.names():
        return "of unknown version"
    store = registry.open_store(url)
    try:
        return str(store.server().version)
    finally:
        store.close()
