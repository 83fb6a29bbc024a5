"""A real Milvus for the tests: the standalone server 2.3.5 of the PyPI package ``milvus``.

It starts in a fresh folder (one that ran before takes up to 54 s to start again), in a process
group of its own, on ports that are free, and ends by SIGINT to that group; SIGKILL follows.
The package's own wrapper is used for unpacking and configuration only: it leaves the server
behind on SIGTERM and picks ports without telling (facts section 5). Its embedded etcd listens on
2379 and 2380 whatever it is told, so a configuration of its own goes in by ETCD_CONFIG_PATH.

    QADAPT_TEST_MILVUS_URL=milvus+http://...   a server that runs already
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

START = 180.0
STOP = 15.0
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


def problem() -> str | None:
    """Why the package cannot be used here; None when it can."""
    # Not by importing it: without the package, Python takes the folder tests/stores/milvus for it.
    try:
        importlib.metadata.version("milvus")
    except importlib.metadata.PackageNotFoundError:
        return "the package milvus==2.3.5 is not installed (Linux x86-64 alone has it)"
    return None


class LiveMilvus:
    """A running server; ``stop`` ends it and deletes its folder."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="qadapt-milvus-"))
        self.ports: dict[str, int] = {}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its address for qadapt."""
        return f"milvus+http://127.0.0.1:{self.ports['proxy_port']}"

    def start(self) -> LiveMilvus:
        """Unpack, configure, start, and wait until it is healthy."""
        try:
            self._launch()
            self._wait()
        except BaseException:
            self.stop()
            raise
        return self

    def _launch(self) -> None:
        package: Any = importlib.import_module("milvus")
        names = (*_PORTS, "metrics", "etcd_client", "etcd_peer")
        self.ports = dict(zip(names, _free_ports(len(names)), strict=True))
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
        etcd = self.folder / "etcd.yaml"
        etcd.write_text(
            _ETCD.format(
                data=self.folder / "data" / "etcd.data",
                client=self.ports["etcd_client"],
                peer=self.ports["etcd_peer"],
            ),
            encoding="utf-8",
        )
        program = self.folder / "bin" / "milvus"
        environment = {
            **os.environ,
            "DEPLOY_MODE": "STANDALONE",
            "METRICS_PORT": str(self.ports["metrics"]),
            "MILVUS_RUN_DIR": str(self.folder / "run"),
            "LD_LIBRARY_PATH": str(program.parent),
            "ETCD_CONFIG_PATH": str(etcd),
            "OMP_NUM_THREADS": "1",
        }
        with (self.folder / "server.log").open("wb") as log:
            self._process = subprocess.Popen(
                ["nice", "-n", "10", str(program), "run", "standalone"],
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _wait(self) -> None:
        assert self._process is not None
        health = f"http://127.0.0.1:{self.ports['metrics']}/healthz"
        end = time.monotonic() + START
        while time.monotonic() < end:
            if self._process.poll() is not None:
                raise RuntimeError(f"milvus ended while starting: {self._last_words()}")
            try:
                with urllib.request.urlopen(health, timeout=5) as answer:
                    if b"OK" in answer.read():
                        return
            except (urllib.error.URLError, OSError):
                pass
            time.sleep(0.2)
        raise RuntimeError(f"milvus is not healthy after {START:g} s: {self._last_words()}")

    def _last_words(self) -> str:
        log = self.folder / "server.log"
        return log.read_text(errors="replace")[-2000:] if log.exists() else ""

    def stop(self) -> None:
        """End the process group and delete the folder."""
        if self._process is not None:
            for sign, patience in ((signal.SIGINT, STOP), (signal.SIGKILL, STOP)):
                try:
                    os.killpg(self._process.pid, sign)
                    self._process.wait(timeout=patience)
                    break
                except ProcessLookupError:
                    break
                except subprocess.TimeoutExpired:
                    continue
            self._process = None
        shutil.rmtree(self.folder, ignore_errors=True)


def _free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, all different."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]
    finally:
        for each in sockets:
            each.close()
