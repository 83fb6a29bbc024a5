"""PgBouncer in transaction mode: consecutive statements may run in different sessions."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from live.server import Server, free_ports

import qadapt as qa
from qadapt.model import State
from qadapt.testing.data import Sample

pytestmark = pytest.mark.server

SETTINGS = ("enable_seqscan", "hnsw.ef_search", "hnsw.iterative_scan", "statement_timeout")


class PgBouncer(Server):
    """A pooler with two connections to the server.

    Attributes:
        url: the address of the server through the pooler.
    """

    name = "pgbouncer"

    def __init__(self, program: str, server: str) -> None:
        super().__init__()
        place = urlsplit(server)
        (port,) = free_ports(1)
        self.url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
        config = self.folder / "pgbouncer.ini"
        config.write_text(
            f"[databases]\npostgres = host={place.hostname} port={place.port} user=postgres\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
            "auth_type = any\npool_mode = transaction\ndefault_pool_size = 2\n"
        )
        self.folder.chmod(0o755)
        user = [] if os.geteuid() else ["-u", "nobody"]  # it refuses to run as root
        self.run([program, *user, str(config)], os.environ)
        self.wait_until(self._answers, 20)

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


@pytest.fixture
def url(live: Any) -> Iterator[str]:
    program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    if program is None:
        pytest.skip("no pgbouncer on PATH: Debian's package has it")
    pooler = PgBouncer(program, live("pgvector"))
    yield pooler.url
    pooler.stop()


def test_searches_of_threads_keep_their_settings_apart(
    articles: Any, sample: Sample, url: str
) -> None:
    """Searches find all candidates, and no session of the server keeps a setting."""
    articles.plan("binary:rescore=20").apply(yes=True)
    assert articles.info().vectors[""].status.state is State.ACTIVE
    expected = articles.search(sample.queries, 10)
    found: dict[int, list[Any]] = {}

    def search(first: int) -> None:
        for at in range(first, len(sample.queries), 4):
            hits = articles.search(sample.queries[at], 10)
            found[at] = [hits.how.candidates, hits.ids[0].tolist()]
            assert len(list(articles.search(sample.queries[at], 5, filter={"group": 3}))) == 5

    threads = [threading.Thread(target=search, args=(first,)) for first in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert [found[at] for at in range(len(sample.queries))] == [
        [200, ids] for ids in expected.ids.tolist()
    ]
    with psycopg.connect(url, autocommit=True, prepare_threshold=None) as at:
        names = ", ".join(f"current_setting('{name}')" for name in SETTINGS)
        at.execute("SELECT '[1]'::vector")
        for _ in range(4):
            assert at.execute(f"SELECT {names}").fetchone() == ("on", "40", "off", "0")


def test_changes_and_copies_through_a_pooler(
    articles: Any, sample: Sample, url: str, tmp_path: Path
) -> None:
    """A concurrent build, a copy from one exported snapshot, and the undo."""
    change = articles.plan("binary:rescore=4").apply(yes=True)
    articles.write(qa.Batch([9_000], {"": sample.rows[:1]}, [{"group": 1}]))
    qa.migrate(f"{url}#{articles.name}", f"edge:{tmp_path}#copy", workers=2)
    with qa.open(f"edge:{tmp_path}") as db:
        assert db["copy"].count() == articles.count() == 3_001
    change.undo()
    assert articles.info().vectors[""].status.state is State.ABSENT
