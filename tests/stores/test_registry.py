"""Stores come from entry points; a broken one must not affect the others."""

from __future__ import annotations

import importlib.metadata
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from qadapt import plugins
from qadapt.errors import AddressError, QadaptError, SpecError
from qadapt.model.address import Address
from qadapt.stores import registry

BROKEN = EntryPoint("torn", "no_such_package.store:Store", plugins.GROUP)
FOREIGN = EntryPoint("foreign", "json:dumps", plugins.GROUP)


@pytest.fixture
def with_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two invalid plug-ins in addition to the real ones."""
    real = importlib.metadata.entry_points

    def found(**wanted: str) -> object:
        extra = [p for p in (BROKEN, FOREIGN) if wanted.get("name") in (None, p.name)]
        return [*real(**wanted), *extra]

    monkeypatch.setattr(importlib.metadata, "entry_points", found)
    monkeypatch.setattr(plugins, "_scanned", {})


def test_an_unknown_store_suggests_the_nearest_name() -> None:
    with pytest.raises(SpecError, match="did you mean 'edge'"):
        registry.load("egde")


@pytest.mark.parametrize(
    "place",
    [
        "edge:./data", "lancedb:./data", "chroma:./data", "clickhouse:./data",
        "sqlite-vec:./data.db", "milvus:./data.db", "qdrant:./data", "postgresql://localhost/data",
        *(
            f"{store}+http://localhost:1"
            for store in (
                "qdrant", "milvus", "weaviate", "elasticsearch", "opensearch", "clickhouse",
                "chroma",
            )
        ),
    ],
)  # fmt: skip
def test_an_unknown_option_of_an_address_is_refused(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is created or connected to: a misspelled option would have no effect."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AddressError, match="unknown option 'metrik'"):
        registry.open_store(Address.parse(f"{place}?metrik=dot"))
    assert list(tmp_path.iterdir()) == []


def test_packages_are_scanned_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every address names a store, and a scan reads the metadata of all packages."""
    scans = []
    real = importlib.metadata.entry_points

    def counted(**wanted: str) -> object:
        scans.append(wanted)
        return real(**wanted)

    monkeypatch.setattr(importlib.metadata, "entry_points", counted)
    monkeypatch.setattr(plugins, "_scanned", {})
    for _ in range(3):
        assert Address.parse("postgresql://localhost/db").store == "pgvector"
        assert Address.parse("edge:./data").store == "edge"
    assert len(scans) == 1


def test_a_store_that_is_installed_later_is_found(request: pytest.FixtureRequest) -> None:
    assert "foreign" not in plugins.names()
    request.getfixturevalue("with_plugins")
    with pytest.raises(QadaptError, match="not a StoreProfile"):
        registry.load("foreign")


@pytest.mark.usefixtures("with_plugins")
def test_a_broken_plugin_is_reported_with_its_package() -> None:
    with pytest.raises(QadaptError, match="no_such_package") as caught:
        registry.load("torn")
    assert "no_such_package.store:Store" in (caught.value.hint or "")
    with pytest.raises(QadaptError, match="not a StoreProfile"):
        registry.load("foreign")


@pytest.mark.usefixtures("with_plugins")
def test_a_broken_plugin_does_not_affect_others() -> None:
    stores, broken = registry.load_all()
    assert "edge" in stores
    assert set(broken) == {"torn", "foreign"}


@pytest.mark.usefixtures("with_plugins")
def test_wrapping_reports_plugins_that_could_not_be_loaded() -> None:
    with pytest.raises(QadaptError, match="no_such_package"):
        registry.wrap_client(object())
