"""A real Milvus for the tests: the standalone server 2.3.5 of the PyPI package ``milvus``.

It starts in a fresh folder (one that ran before takes up to 54 s to start again) on ports that are
free, and ends by SIGINT; SIGKILL follows. The package's own wrapper is used for unpacking and
configuration only: it leaves the server behind on SIGTERM and selects ports without reporting them
(docs/engines/milvus.md#the-server-from-pypi). Its embedded etcd always listens on 2379 and 2380, so
ETCD_CONFIG_PATH sets a separate configuration.

    QADAPT_TEST_MILVUS_URL=milvus+http://...   a server that runs already
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import signal
from typing import Any

from live import Unavailable
from live.server import Server, answer, free_ports

_START = 180.0
_ETCD_FILE = "etcd.yaml"
_ETCD = """\
name: qadapt-test
data-dir: {data}
listen-client-urls: http://127.0.0.1:{client}
advertise-client-urls: http://127.0.0.1:{client}
listen-peer-urls: http://127.0.0.1:{peer}
initial-advertise-peer-urls: http://127.0.0.1:{peer}
initial-cluster: qadapt-test=http://127.0.0.1:{peer}
"""
_PORTS = (
    "proxy_port",
    "proxy_internal_port",
    "root_coord_port",
    "query_coord_port",
    "query_node_port",
    "index_coord_port",
    "index_node_port",
    "data_coord_port",
    "data_node_port",
)


class MilvusServer(Server):
    """A running server.

    Attributes:
        ports: by the names of its configuration.

    Raises:
        Unavailable: without the package.
    """

    name = "milvus"
    sign = signal.SIGINT

    def __init__(self) -> None:
        # Not by importing it: without the package, Python takes the folder tests/stores/milvus.
        try:
            self.version = importlib.metadata.version("milvus")
        except importlib.metadata.PackageNotFoundError:
            why = "the package milvus==2.3.5 is not installed (Linux x86-64 alone has it)"
            raise Unavailable(why) from None
        super().__init__()
        self.ports: dict[str, int] = {}

    @property
    def url(self) -> str:
        """Its address for qadapt."""
        return f"milvus+http://127.0.0.1:{self.ports['proxy_port']}"

    def start(self) -> MilvusServer:
        """Unpack, configure, start, and wait until it is healthy."""
        try:
            self._launch()
            health = f"http://127.0.0.1:{self.ports['metrics']}/healthz"
            self.wait_until(lambda: b"OK" in (answer(health) or b""), _START)
        except BaseException:
            self.stop()
            raise
        return self

    def _launch(self) -> None:
        if not self.ports:  # one that is started again keeps its configuration and address
            self._configure()
        program = self.folder / "bin" / "milvus"
        environment = {
            **os.environ,
            "DEPLOY_MODE": "STANDALONE",
            "METRICS_PORT": str(self.ports["metrics"]),
            "MILVUS_RUN_DIR": str(self.folder / "run"),
            "LD_LIBRARY_PATH": str(program.parent),
            "ETCD_CONFIG_PATH": str(self.folder / _ETCD_FILE),
            "OMP_NUM_THREADS": "1",
        }
        self.run(["nice", "-n", "10", str(program), "run", "standalone"], environment)

    def _configure(self) -> None:
        """Unpack the server, and write its configuration."""
        package: Any = importlib.import_module("milvus")
        names = (*_PORTS, "metrics", "etcd_client", "etcd_peer")
        self.ports = dict(zip(names, free_ports(len(names)), strict=True))
        given = {name: self.ports[name] for name in _PORTS}
        config = package.MilvusServerConfig(data_dir=str(self.folder), **given)
        config.set("etcd_port", self.ports["etcd_client"])
        config.resolve()
        config.set("etcd_port", self.ports["etcd_client"])
        # Relative to the working folder. With an absolute one the chunk cache of 2.3.5 takes the
        # segment's own file for its copy, and deletes it when the collection is released.
        config.set("local_storage_dir", "data")
        config.write_config()
        package._initialize_data_files(str(self.folder))
        etcd = self.folder / _ETCD_FILE
        etcd.write_text(
            _ETCD.format(
                data=self.folder / "data" / "etcd.data",
                client=self.ports["etcd_client"],
                peer=self.ports["etcd_peer"],
            ),
            encoding="utf-8",
        )
