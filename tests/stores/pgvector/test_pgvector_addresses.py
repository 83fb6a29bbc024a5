"""Addresses of databases: parts, passwords, identity, and what is given to libpq."""

from __future__ import annotations

import pytest

from qadapt.errors import AddressError
from qadapt.model import identity
from qadapt.model.address import Address
from qadapt.model.masking import mask
from qadapt.stores.pgvector.connection import arguments


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://host/app", "postgresql://host:5432/app"),
        ("postgres://ME@Host:5433/app", "postgresql://ME@host:5433/app"),
        ("postgresql://me:secret-word@host/app", "postgresql://me:***@host:5432/app"),
        ("postgresql:///app?host=/run", "postgresql:///app?host=/run"),
        ("postgresql://", "postgresql://"),
        ("postgresql://host/a%20b#s.t", "postgresql://host:5432/a%20b#s.t"),
        ("postgresql://[::1]/app", "postgresql://[::1]:5432/app"),
    ],
)
def test_an_address_is_printed_without_its_password(text: str, shown: str) -> None:
    address = Address.parse(text)
    assert str(address) == shown
    assert (address.store, address.transport) == ("pgvector", "tcp")
    assert str(Address.parse(shown.replace("***", "x"))) == shown


@pytest.mark.parametrize(
    "text",
    [
        "postgresql:app",
        "postgresql://a,b/app",
        "postgresql://host/app/more",
        "postgresql://host:0/app",
        "postgresql://ho st/app",
        "postgresql://host/app?user=a&user=b",
        "postgresql://a@host/app?user=b",
        "postgresql://host/app?host=other",
        "postgresql://host:5432/app?port=5433",
        "postgresql:///app?host=a,b",
        "postgresql:///app?host=a&port=b",
    ],
)
def test_a_malformed_address_is_refused_with_a_hint(text: str) -> None:
    with pytest.raises(AddressError) as found:
        Address.parse(text)
    assert found.value.hint


def test_spellings_of_one_database_have_one_identity() -> None:
    spellings = (
        "postgresql://localhost/app",
        "postgres://me:pw@127.0.0.1:5432/app?sslmode=disable&connect_timeout=3",
        "postgresql://[::1]/app#t",
        "postgresql:///app?host=localhost",
        "postgresql:///app?host=::1&port=5432",
        "postgresql://127.0.0.1/app?port=5432",
        "postgresql:///app?host=/tmp",
        "postgresql://:5432/app",
    )
    assert len({Address.parse(each).identity for each in spellings}) == 1
    assert (
        Address.parse("postgresql://localhost/other").identity
        != Address.parse(spellings[0]).identity
    )
    again = Address.parse(Address.parse(spellings[1]).identity)
    assert again.identity == Address.parse(spellings[0]).identity


def test_the_database_of_a_url_without_one_is_part_of_the_identity(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """libpq takes the name of the user, so these are two databases, each with its own settings."""
    for name in ("PGDATABASE", "PGUSER", "PGSERVICE", "PGHOST"):
        monkeypatch.delenv(name, raising=False)
    ann, ben = (Address.parse(f"postgresql://{name}@localhost") for name in ("ann", "ben"))
    assert ann.identity == Address.parse("postgresql://localhost/ann").identity
    assert ann.identity != ben.identity
    assert str(ann) == "postgresql://ann@localhost:5432", "an address is printed as given"
    monkeypatch.setattr(identity, "_account", lambda: "me")
    assert Address.parse("postgresql://").identity == "postgresql://localhost:5432/me"
    monkeypatch.setenv("PGUSER", "ann")
    assert Address.parse("postgresql://").identity == ann.identity
    monkeypatch.setenv("PGDATABASE", "app")
    assert Address.parse("postgresql://ben@localhost").identity.endswith("/app")
    assert (
        Address.parse("postgresql://?service=s").identity == "postgresql://localhost:5432?service=s"
    )


def test_the_environment_of_libpq_names_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "db.example")
    monkeypatch.setenv("PGPORT", "5433")
    assert str(Address.parse("postgresql:///app")) == "postgresql://db.example:5433/app"
    assert str(Address.parse("postgresql://other/app")) == "postgresql://other:5432/app"
    assert str(Address.parse("postgresql:///app?host=/run")) == "postgresql:///app?host=/run"
    assert str(Address.parse("postgresql:///app?service=s")) == "postgresql:///app?service=s"
    monkeypatch.setenv("PGSERVICE", "s")
    assert str(Address.parse("postgresql:///app")) == "postgresql:///app"


def test_a_port_of_a_socket_is_part_of_the_identity() -> None:
    other = Address.parse("postgresql:///app?host=/tmp&port=5433")
    assert other.identity == Address.parse("postgresql://localhost:5433/app").identity
    found = arguments(other)
    assert (found["host"], found["port"]) == ("/tmp", "5433")
    folder = Address.parse("postgresql:///app?host=/srv/a")
    assert folder.identity != Address.parse("postgresql:///app?host=/srv/b").identity


def test_arguments_of_libpq(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PGPASSWORD", raising=False)
    monkeypatch.delenv("QADAPT_API_KEY", raising=False)
    found = arguments(Address.parse("postgresql://me:p%40ss@db.example/a%20b?sslmode=verify-full"))
    assert found == {
        "host": "db.example", "port": 5432, "dbname": "a b", "user": "me", "password": "p@ss",
        "sslmode": "verify-full", "connect_timeout": 10, "application_name": "qadapt",
    }  # fmt: skip
    with pytest.raises(AddressError, match="sslmod"):
        arguments(Address.parse("postgresql://host/app?sslmod=require"))


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("postgresql://me@db.example/app", True),
        ("postgresql://me@db.example/app?sslmode=prefer", True),
        ("postgresql://me@db.example/app?sslmode=require", False),
        ("postgresql://me@localhost/app", False),
        ("postgresql:///app", False),
        ("postgresql:///app?host=db.example", True),
    ],
)
def test_a_password_is_not_sent_in_plain_text(text: str, refused: bool) -> None:
    found = arguments(Address.parse(text))
    assert (found.get("require_auth") == "!password") == refused


def test_a_user_stays_readable_and_a_password_does_not() -> None:
    Address.parse("postgresql://host/app")
    assert mask("qadapt apply postgresql://me@host/app") == "qadapt apply postgresql://me@host/app"
    assert mask("at postgresql://me:pw@host/app") == "at postgresql://me:***@host/app"
    assert mask("at qdrant+http://key@host") == "at qdrant+http://***@host"
