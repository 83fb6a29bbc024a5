"""Connections as people have them: password files, service files, TLS, replicas."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from live import Unavailable
from live.postgres import PostgresServer, ReplicaServer

import qadapt as qa
from qadapt.errors import AuthError, QadaptError, ReadOnlyError, UnreachableError

pytestmark = pytest.mark.server

PASSWORD = "a:secret\\word"  # both characters are escaped in a password file
ROWS = 2000


@pytest.fixture(scope="module")
def primary() -> Iterator[PostgresServer]:
    """A server of this module, whose role ``app`` needs a password."""
    try:
        server = PostgresServer().start()
    except Unavailable as reason:
        pytest.skip(f"no live engine 'pgvector': {reason}")
    try:
        with psycopg.connect(server.url, autocommit=True) as at:
            at.execute(f"CREATE ROLE app LOGIN PASSWORD '{PASSWORD}'")
            at.execute("GRANT ALL ON SCHEMA public TO app")
        server.authenticate("app")
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def filled(primary: PostgresServer) -> str:
    """The name of a table with sign bits."""
    random = np.random.default_rng(3)
    with qa.open(primary.url) as db:
        made = db.create("filled", dim=32)
        rows = random.normal(size=(ROWS, 32)).astype(np.float32)
        made.write(qa.Batch(list(range(ROWS)), {"": rows}))
        made.plan("binary:rescore=4").apply(yes=True)
    return "filled"


@pytest.fixture(autouse=True)
def no_files_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("PGPASSWORD", "PGSERVICE", "PGSERVICEFILE", "QADAPT_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "none"))


def password_file(folder: Path, port: int) -> Path:
    file = folder / "pgpass"
    escaped = PASSWORD.replace("\\", "\\\\").replace(":", "\\:")
    file.write_text(f"127.0.0.1:{port}:*:app:{escaped}\n")
    file.chmod(0o600)
    return file


def test_a_password_file_is_read(
    primary: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"postgresql://app@127.0.0.1:{primary.port}/postgres"
    with pytest.raises(AuthError) as refused:
        qa.open(url).collections()
    assert ".pgpass" in str(refused.value.hint)
    file = password_file(tmp_path, primary.port)
    with qa.open(f"{url}?passfile={file}") as db:
        assert isinstance(db.collections(), list)
    monkeypatch.setenv("PGPASSFILE", str(file))
    with qa.open(url) as db:
        assert isinstance(db.collections(), list)
    file.chmod(0o644)  # libpq ignores a password file that others can read
    with pytest.raises(AuthError):
        qa.open(url).collections()


def test_a_service_file_names_the_server(
    primary: PostgresServer, filled: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "services.conf"
    file.write_text(
        f"[search]\nhost=127.0.0.1\nport={primary.port}\ndbname=postgres\nuser=postgres\n"
        f"[wrong]\nhost=127.0.0.1\nport={primary.port}\ndbname=missing\nuser=postgres\n"
    )
    monkeypatch.setenv("PGSERVICEFILE", str(file))
    with qa.open("postgresql:///?service=search") as db:
        assert filled in db.collections()
        assert db[filled].search(np.ones((1, 32), np.float32), 3).ids.shape == (1, 3)
    with pytest.raises(QadaptError) as unknown:
        qa.open("postgresql:///?service=none").collections()
    assert "service" in unknown.value.message
    assert unknown.value.hint
    with pytest.raises(QadaptError, match="missing"):
        qa.open("postgresql:///?service=wrong").collections()


def test_a_server_without_tls_is_refused_if_the_address_requires_it(
    primary: PostgresServer,
) -> None:
    with pytest.raises(UnreachableError, match="SSL") as refused:
        qa.open(f"{primary.url}?sslmode=require").collections()
    assert "options of the address" in str(refused.value.hint)


# -- TLS -----------------------------------------------------------------------------------------


class TlsFront:
    """Ends the TLS of libpq in front of a server that has none.

    The server of the tests is built without OpenSSL. The message SSLRequest is answered with S:
    https://www.postgresql.org/docs/current/protocol-flow.html
    """

    def __init__(self, folder: Path, port: int) -> None:
        self.certificate = folder / "server.crt"
        key = folder / "server.key"
        subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
             "-keyout", str(key), "-out", str(self.certificate), *subject],
            check=True, capture_output=True,
        )  # fmt: skip
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(self.certificate, key)
        self._server = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.encrypted = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        request = client.recv(8)
        assert request == b"\x00\x00\x00\x08\x04\xd2\x16\x2f", request
        client.sendall(b"S")
        try:
            wrapped = self._context.wrap_socket(client, server_side=True)
        except (ssl.SSLError, ConnectionError):
            client.close()  # the client does not trust the certificate
            return
        self.encrypted += 1
        server = socket.create_connection(("127.0.0.1", self._server))
        ends = [(wrapped, server), (server, wrapped)]
        for left, right in ends:
            threading.Thread(target=_forward, args=(left, right), daemon=True).start()


def _forward(left: Any, right: Any) -> None:
    try:
        while data := left.recv(65536):
            right.sendall(data)
    except OSError:
        pass
    for each in (left, right):
        each.close()


@pytest.fixture(scope="module")
def front(primary: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsFront]:
    if shutil.which("openssl") is None:
        pytest.skip("needs Linux with the program openssl")
    found = TlsFront(tmp_path_factory.mktemp("tls"), primary.port)
    yield found
    found.close()


def test_certificates_are_verified(front: TlsFront, filled: str, tmp_path: Path) -> None:
    url = f"postgresql://postgres@localhost:{front.port}/postgres"
    trusted = f"{url}?sslmode=verify-full&sslrootcert={front.certificate}"
    with qa.open(trusted) as db:
        assert filled in db.collections()
        assert db[filled].search(np.ones((1, 32), np.float32), 3).ids.shape == (1, 3)
    assert front.encrypted
    other = TlsFront(tmp_path, 1)
    other.close()
    with pytest.raises(UnreachableError, match="certificate") as refused:
        qa.open(f"{url}?sslmode=verify-full&sslrootcert={other.certificate}").collections()
    assert "options of the address" in str(refused.value.hint)
    with pytest.raises(UnreachableError, match=r"127\.0\.0\.1"):
        qa.open(trusted.replace("localhost", "127.0.0.1")).collections()


# -- replicas ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def replica(primary: PostgresServer, filled: str) -> Iterator[ReplicaServer]:
    server = ReplicaServer(primary).start()
    try:
        yield server
    finally:
        server.stop()


def test_read_only_commands_work_on_a_replica(replica: ReplicaServer, filled: str) -> None:
    with qa.open(replica.url) as db:
        collection = db[filled]
        assert collection.count() == ROWS
        about = collection.info().vectors[""]
        assert about.status.state is qa.State.ACTIVE
        assert str(about.quantization) == "binary:rescore=4"
        hits = collection.search(np.ones((2, 32), np.float32), 5)
        assert hits.how.candidates == 20
        assert collection.verify(queries=20).recall.value > 0.2  # random rows
        assert collection.doctor().findings is not None
        assert collection.client_params().needed
        assert sum(len(batch) for batch in collection.read()) == ROWS
        with collection._store.consistent_reads(filled):
            assert sum(len(batch) for batch in collection.read()) == ROWS
        plan = collection.plan("float16")
        assert plan.changes


def test_a_change_on_a_replica_is_refused(
    replica: ReplicaServer, primary: PostgresServer, filled: str
) -> None:
    with qa.open(replica.url) as db:
        with pytest.raises(ReadOnlyError, match="read-only") as refused:
            db[filled].plan("float16").apply(yes=True)
        assert "primary" in str(refused.value.hint)
        assert "nothing was changed" in str(refused.value.hint)
        assert not db[filled].plan("binary:rescore=4").changes  # no unfinished change is recorded
        assert not any("unfinished" in note for note in db[filled].plan("float16").notes)
        with pytest.raises(ReadOnlyError, match="read-only"):
            db[filled].write(qa.Batch([1], {"": np.ones((1, 32), np.float32)}))
        with pytest.raises(ReadOnlyError, match="read-only"):
            db.create("new", dim=8)
    with qa.open(primary.url) as db:  # where the same change works
        change = db[filled].plan("float16").apply(yes=True)
        change.undo()
