"""Engines in containers, by testcontainers: the services of docker/compose.yaml, one by one.

    QADAPT_TEST_CONTAINERS=1        images that are not there are pulled
    QADAPT_TEST_IMAGES=official     the official images and no others
    QADAPT_TEST_IMAGES=packages     those that docker/from-packages/build.sh has made, and no others
    QADAPT_TEST_AGE=oldest          official images of the oldest versions that are supported

Without QADAPT_TEST_IMAGES the first that is there is taken, official before package.

Ports are published on 127.0.0.1 and stay over a restart. Each container bears the label
``qadapt.tests=HOST/PID/START`` of the process that owns it; it is removed by ``stop``, by a reaper
when that process is gone, and by the next run should the reaper have been killed too.
"""

from __future__ import annotations

import atexit
import functools
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from live import Unavailable
from live.server import answer, free_ports
from qadapt.stores import registry

_DOCKER = Path(__file__).resolve().parents[2] / "docker"
_LABEL = "qadapt.tests"
_START = 180.0
_HEALTH = "_cluster/health?wait_for_status=yellow&timeout=1s"


@dataclass(frozen=True)
class _Service:
    """Data that compose.yaml lacks: an address, a health page, a package."""

    url: str
    health: str
    data: str
    package: str | None = None


_SERVICES = {
    "qdrant": _Service("qdrant+http://127.0.0.1:{6333}", "{6333}/readyz", "/qdrant/storage"),
    "milvus": _Service(
        "milvus+http://127.0.0.1:{19530}", "{9091}/healthz", "/var/lib/milvus", "v{MILVUS_PACKAGE}"
    ),
    "weaviate": _Service(
        "weaviate+http://127.0.0.1:{8080}?grpc={50051}",
        "{8080}/v1/.well-known/ready",
        "/var/lib/weaviate",
        "{WEAVIATE_PACKAGE}",
    ),
    "elasticsearch": _Service(
        "elasticsearch+http://127.0.0.1:{9200}",
        f"{{9200}}/{_HEALTH}",
        "/usr/share/elasticsearch/data",
        "{ELASTICSEARCH_PACKAGE}",
    ),
    "opensearch": _Service(
        "opensearch+http://127.0.0.1:{9200}",
        f"{{9200}}/{_HEALTH}",
        "/usr/share/opensearch/data",
        "{OPENSEARCH_PACKAGE}",
    ),
}


# -- one container -------------------------------------------------------------------------------


class Container:
    """An engine in a container.

    Args:
        engine: a service of compose.yaml, such as ``milvus``.
        disk: size of a tmpfs that holds its data, such as ``64m``; without one, the image's layer.
        environment: variables besides those of compose.yaml.

    Attributes:
        image: what it was started from.
        ports: ``{port inside: port on 127.0.0.1}``.

    Raises:
        Unavailable: without Docker, testcontainers or an image.
    """

    def __init__(self, engine: str, disk: str | None = None, **environment: str) -> None:
        if engine not in _SERVICES:
            raise Unavailable(f"compose.yaml has no service {engine!r}")
        self.engine = engine
        self.image = _image(engine)
        service = _compose()[engine]
        inside = [int(str(port).rsplit(":", 1)[1]) for port in service["ports"]]
        self.ports = dict(zip(inside, free_ports(len(inside)), strict=True))
        self._container = _new(self.image, service, self.ports, environment)
        if disk is not None:
            self._container.with_tmpfs_mount(_SERVICES[engine].data, f"size={disk}")

    @property
    def url(self) -> str:
        """Its address for qadapt."""
        return self.url_by(self.ports)

    def url_by(self, ports: dict[int, int]) -> str:
        """Its address by other ports of this machine, those of a proxy."""
        return _with_ports(_SERVICES[self.engine].url, ports)

    @functools.cached_property
    def version(self) -> str:
        """The version reported by the server, or that of the tag without a store in qadapt."""
        if self.engine not in registry.names():
            return self.image.rpartition(":")[2].removeprefix("v")
        store = registry.open_store(self.url)
        try:
            return str(store.server().version)
        finally:
            store.close()

    @property
    def way(self) -> str:
        """Its origin, for the last line of a run."""
        return f"in a container of {self.image}"

    @property
    def inner(self) -> Any:
        """The container of the Docker client: ``pause``, ``kill``, ``exec_run``, ``stats``."""
        return self._container.get_wrapped_container()

    def start(self) -> Container:
        """Start it and wait until it is healthy."""
        _reaper()
        try:
            self._container.start()
            self.wait()
        except BaseException:
            self.stop()
            raise
        return self

    def healthy(self) -> bool:
        """Whether its health page answers."""
        page = _with_ports(_SERVICES[self.engine].health, self.ports)
        return answer(f"http://127.0.0.1:{page}") is not None

    def wait(self, seconds: float = _START) -> None:
        """Wait until it is healthy.

        Raises:
            RuntimeError: it ended, or is not healthy in time; with its last output.
        """
        end = time.monotonic() + seconds
        while not self.healthy():
            self.inner.reload()
            if self.inner.status not in ("created", "running", "paused"):
                raise RuntimeError(f"{self.engine} ended while starting: {self.last_words()}")
            if time.monotonic() > end:
                raise RuntimeError(
                    f"{self.engine} is not healthy after {seconds:g} s: {self.last_words()}"
                )
            time.sleep(0.2)

    def last_words(self) -> str:
        """The end of its log."""
        return str(self.inner.logs(tail=20).decode(errors="replace"))[-2000:]

    def stop(self) -> None:
        """Remove it, data and all."""
        self._container.stop()


def start(engine: str) -> Container:
    """The rung of the ladder: a healthy container of this engine.

    Raises:
        Unavailable: without Docker, testcontainers or an image.
    """
    return Container(engine).start()


def _new(image: str, service: dict[str, Any], ports: dict[int, int], more: dict[str, str]) -> Any:
    from testcontainers.core.container import DockerContainer

    container = DockerContainer(image)
    for inside, outside in ports.items():
        container.ports[str(inside)] = ("127.0.0.1", outside)  # type: ignore[assignment]
    for name, value in {**service.get("environment", {}), **more}.items():
        container.with_env(name, str(value))
    if "command" in service:
        container.with_command(service["command"])
    container.with_kwargs(
        labels={_LABEL: owner()},
        mem_limit=service["mem_limit"],
        security_opt=[each.replace(":", "=", 1) for each in service.get("security_opt", [])],
    )
    return container


def _with_ports(template: str, ports: dict[int, int]) -> str:
    for inside, outside in ports.items():
        template = template.replace(f"{{{inside}}}", str(outside))
    return template


# -- images --------------------------------------------------------------------------------------


@functools.cache
def _compose() -> dict[str, Any]:
    text = (_DOCKER / "compose.yaml").read_text(encoding="utf-8")
    services: dict[str, Any] = yaml.safe_load(text)["services"]
    return services


@functools.cache
def versions() -> dict[str, str]:
    """docker/versions.env."""
    lines = (_DOCKER / "versions.env").read_text(encoding="utf-8").splitlines()
    pairs = (line.split("=", 1) for line in lines if line and not line.startswith("#"))
    return {name: os.environ.get(name, value) for name, value in pairs}


def _image(engine: str) -> str:
    """The image to start; it is there when this returns."""
    client = _client()
    wanted = os.environ.get("QADAPT_TEST_IMAGES", "")
    if wanted not in ("", "official", "packages"):
        raise Unavailable(f"QADAPT_TEST_IMAGES={wanted} is neither official nor packages")
    here = [name for name in _candidates(engine, wanted) if _is_there(client, name)]
    if here:
        _decide_on_ryuk(client, pull=False)
        return here[0]
    if wanted == "packages":
        raise Unavailable(f"there is no image of {engine}: docker/from-packages/build.sh makes it")
    if os.environ.get("QADAPT_TEST_CONTAINERS") != "1":
        raise Unavailable(f"there is no image of {engine}: QADAPT_TEST_CONTAINERS=1 pulls it")
    return _pulled(client, engine)


def _candidates(engine: str, wanted: str) -> Iterator[str]:
    """Names of images, the better ones first."""
    if wanted != "packages":
        yield _official(engine)
    package = _SERVICES[engine].package
    if wanted != "official" and package is not None:
        yield f"qadapt-test/{engine}:{package.format_map(versions())}"


def _official(engine: str) -> str:
    age = "OLDEST" if os.environ.get("QADAPT_TEST_AGE") == "oldest" else "TAG"
    name = engine.upper()
    return f"{versions()[f'{name}_IMAGE']}:{versions()[f'{name}_{age}']}"


def _is_there(client: Any, image: str) -> bool:
    import docker

    try:
        client.images.get(image)
    except docker.errors.ImageNotFound:
        return False
    return True


def _pulled(client: Any, engine: str) -> str:
    import docker

    image = _official(engine)
    try:
        client.images.pull(image)
    except docker.errors.APIError as error:
        raise Unavailable(f"the image {image} cannot be pulled: {error.explanation}") from None
    _decide_on_ryuk(client, pull=True)
    return image


def _decide_on_ryuk(client: Any, *, pull: bool) -> None:
    """testcontainers' own reaper is a container: only where its image can be had."""
    import docker
    from testcontainers.core.config import testcontainers_config as config

    if config.ryuk_disabled or _is_there(client, config.ryuk_image):
        return
    try:
        if pull:
            client.images.pull(config.ryuk_image)
    except docker.errors.APIError:
        pull = False
    config.ryuk_disabled = not pull


@functools.cache
def _client() -> Any:
    """The Docker client, leftovers of earlier runs removed."""
    try:
        import docker
        import testcontainers.core.container  # noqa: F401 - tells whether it is there
    except ModuleNotFoundError as missing:
        raise Unavailable(f"there is no Python package {missing.name}") from None
    _knock()
    try:
        client = docker.from_env()
        client.ping()
    except docker.errors.DockerException as error:
        raise Unavailable(f"no Docker engine answers: {error}") from None
    _remove_leftovers(client)
    return client


def _knock() -> None:
    """Reject a socket file without a listening engine: the Docker client (7.2) leaves a socket open
    after a refused connection, and Python warns about it during a later test."""
    from docker.constants import DEFAULT_UNIX_SOCKET

    host = os.environ.get("DOCKER_HOST") or DEFAULT_UNIX_SOCKET
    kind, _, path = host.partition("://")
    if kind not in ("unix", "http+unix"):
        return
    with socket.socket(socket.AF_UNIX) as door:
        try:
            door.connect(path)
        except OSError as error:
            raise Unavailable(f"no Docker engine answers at {path}: {error.strerror}") from None


# -- owners of containers
# ---------------------------------------------------------------------------


def owner() -> str:
    """This process, as its containers name it."""
    return f"{socket.gethostname()}/{os.getpid()}/{_started(os.getpid())}"


def _started(pid: int) -> str:
    """When a process started, in the kernel's ticks; empty when it is not there."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[19]


def _remove_leftovers(client: Any) -> None:
    """Containers of this machine whose owner is gone."""
    from live.reaper import remove

    if sys.platform != "linux":  # without /proc, only the reaper removes containers
        return
    for each in client.containers.list(all=True, filters={"label": _LABEL}, ignore_removed=True):
        host, pid, started = each.labels[_LABEL].split("/")
        if host == socket.gethostname() and _started(int(pid)) != started:
            remove(f"{_LABEL}={each.labels[_LABEL]}")


@functools.cache
def _reaper() -> subprocess.Popen[bytes]:
    """Started with the first container."""
    reaper = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("reaper.py")), f"{_LABEL}={owner()}"],
        stdin=subprocess.PIPE,
        start_new_session=True,
    )
    atexit.register(reaper.communicate)
    return reaper
