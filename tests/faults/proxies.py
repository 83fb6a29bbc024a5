"""Proxies between a client and a container: toxiproxy for TCP, HAProxy for answers of HTTP.

Both run on 127.0.0.1 and end with the tests. toxiproxy delays and cuts connections; HAProxy returns
503 while its server is in maintenance, for HTTP and gRPC.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import urllib.request
from pathlib import Path
from typing import Any

from live import Unavailable
from live.containers import Container, versions
from live.server import Server, answer, free_ports

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_WAIT = 20.0
# The ports that speak gRPC, by HTTP/2 from the first byte.
_GRPC = (19530, 50051)


class Toxiproxy(Server):
    """All ports of a container, through toxiproxy.

    Attributes:
        url: the container's address by this proxy.
    """

    name = "toxiproxy"

    def __init__(self, container: Container) -> None:
        program = toxiproxy()
        super().__init__()
        self._api, *ports = free_ports(1 + len(container.ports))
        self.ports = dict(zip(container.ports, ports, strict=True))
        self.url = container.url_by(self.ports)
        self.run([str(program), "-host", "127.0.0.1", "-port", str(self._api)], os.environ)
        version = f"http://127.0.0.1:{self._api}/version"
        self.wait_until(lambda: answer(version) is not None, _WAIT)
        for inside, port in self.ports.items():
            target = f"127.0.0.1:{container.ports[inside]}"
            listen = f"127.0.0.1:{port}"
            self._post("proxies", name=str(inside), listen=listen, upstream=target, enabled=True)

    def delay(self, milliseconds: int) -> None:
        """Delay each response."""
        for inside in self.ports:
            self._post(
                f"proxies/{inside}/toxics",
                name="late",
                type="latency",
                attributes={"latency": milliseconds},
            )

    def cut(self) -> None:
        """Connections are closed, and new ones refused, until ``mend()``."""
        for inside in self.ports:
            self._post(f"proxies/{inside}", enabled=False)

    def mend(self) -> None:
        """Remove all faults."""
        self._post("reset")

    def _post(self, path: str, **body: Any) -> None:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._api}/{path}",
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with _DIRECT.open(request, timeout=_WAIT):
            pass


class Haproxy(Server):
    """All ports of a container, through HAProxy.

    Attributes:
        url: the container's address by this proxy.
    """

    name = "haproxy"

    def __init__(self, container: Container) -> None:
        program = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
        if program is None:
            raise Unavailable("there is no haproxy: Debian's package has it")
        super().__init__()
        self.ports = dict(zip(container.ports, free_ports(len(container.ports)), strict=True))
        self.url = container.url_by(self.ports)
        self._admin = self.folder / "admin"
        config = self.folder / "haproxy.cfg"
        config.write_text(self._config(container), encoding="utf-8")
        self.run([program, "-db", "-f", str(config)], os.environ)
        self.wait_until(self._admin.exists, _WAIT)

    def _config(self, container: Container) -> str:
        lines = ["global", f"  stats socket {self._admin} mode 600 level admin"]
        lines += ["defaults", "  mode http", "  timeout connect 5s"]
        lines += ["  timeout client 10m", "  timeout server 10m"]
        for inside, port in self.ports.items():
            form = " proto h2" if inside in _GRPC else ""
            lines += [
                f"frontend f{inside}",
                f"  bind 127.0.0.1:{port}{form}",
                f"  default_backend b{inside}",
                f"backend b{inside}",
                f"  server s 127.0.0.1:{container.ports[inside]}{form}",
            ]
        return "\n".join([*lines, ""])

    def refuse(self) -> None:
        """Each request is answered by 503, until ``mend()``."""
        self._set("maint")

    def mend(self) -> None:
        """Requests pass."""
        self._set("ready")

    def _set(self, state: str) -> None:
        for inside in self.ports:
            with socket.socket(socket.AF_UNIX) as admin:
                admin.connect(str(self._admin))
                admin.sendall(f"set server b{inside}/s state {state}\n".encode())
                told = admin.recv(4096).decode().strip()
            if told:
                raise RuntimeError(f"haproxy: {told}")


def toxiproxy() -> Path:
    """The program, as docker/from-packages/build.sh has built it.

    Raises: Unavailable: it does not exist.
    """
    cache = Path(os.environ.get("QADAPT_TEST_CACHE") or Path(__file__).parents[2] / ".cache")
    program = cache / f"toxiproxy-{versions()['TOXIPROXY_PACKAGE']}" / "toxiproxy"
    if not program.exists():
        raise Unavailable("docker/from-packages/build.sh proxies has not been run")
    return program
